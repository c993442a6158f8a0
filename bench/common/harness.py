"""harness.py: what bench/run, bench/compare, bench/ab and bench/profile share.

A result file (JSON) holds one object:
  machine   what it ran on           commit  the revision, "+" when the tree was changed
  command   how it was made          rounds  how often each benchmark ran
  benchmarks: name -> {ns: [nanoseconds an item, one for each round], counters: {name: [..]}}
"""
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COUNTERS = ("allocs", "moved_B", "written_B", "pages_copied", "syncs")
PERCENTILES = ("p50_ns", "p99_ns", "p999_ns")
IGNORED = {"name", "family_index", "per_family_instance_index", "run_name", "run_type",
           "repetitions", "repetition_index", "threads", "iterations", "real_time", "cpu_time",
           "time_unit", "items_per_second"}


def die(text):
    print(f"bench: {text}", file=sys.stderr)
    sys.exit(2)


def output_of(*command, cwd=ROOT):
    done = subprocess.run([str(c) for c in command], cwd=cwd, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    return done.stdout.strip()


# ---- building ----

def build(targets, source=ROOT, binary=None, options=()):
    """Configures and builds the release preset; quiet unless it fails."""
    binary = binary or source / "build" / "release"
    for command in (["cmake", "--preset", "release", "-B", binary, *options],
                    ["cmake", "--build", binary, "--target", *targets]):
        done = subprocess.run([str(c) for c in command], cwd=source, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.stderr.write(done.stdout)
            die("the build failed: " + " ".join(str(c) for c in command))
    return binary


def install(*groups):
    if subprocess.run([ROOT / "tools" / "install-deps", *groups]).returncode != 0:
        die("packages are missing: tools/install-deps " + " ".join(groups))


# ---- the machine and the revision ----

def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    model = re.search(r"^model name\s*:\s*(.*)$", text, re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": model.group(1) if model else platform.processor(), "cores": os.cpu_count(),
            "memory_gib": round(memory / 2**30), "kernel": platform.release(),
            "compiler": output_of("gcc", "--version").splitlines()[0]}


def revision(source=ROOT):
    commit = output_of("git", "rev-parse", "--short", "HEAD", cwd=source)
    dirty = output_of("git", "status", "--porcelain", "--untracked-files=no", cwd=source)
    return commit + ("+" if dirty else "")


# ---- running ----

def list_names(binary, regex="", quick=False):
    """The names that the regular expression finds, in the order in which they run."""
    command = [binary / "bench_suites", "--benchmark_list_tests=true"]
    names = [clean(line) for line in output_of(*command, *(["--quick"] if quick else [])).split()]
    return [name for name in names if re.search(regex, name)]


def clean(name):
    """Google Benchmark appends how it ran."""
    return re.sub(r"/(real_time|iterations:\d+|manual_time)", "", name)


def run_round(binary, regex, quick, on_line=lambda name: None):
    """One process, every chosen benchmark once. Returns name -> (ns an item, counters)."""
    names = "|".join(re.escape(name) for name in list_names(binary, regex, quick))
    chosen = f"^({names})(/iterations:[0-9]+)?/real"
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "out.json")
        command = [binary / "bench_suites", "--benchmark_filter=" + chosen,
                   "--benchmark_out=" + out, "--benchmark_out_format=json",
                   f"--benchmark_min_time={0.05 if quick else 0.4}"]
        command += ["--quick"] if quick else []
        child = subprocess.Popen([str(c) for c in command], text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        for line in child.stdout:
            if re.match(r"\S+/\S+\s+[\d.]+ ns", line):
                on_line(clean(line.split()[0]))
        complaint = child.stderr.read()
        if child.wait() != 0:
            die("bench_suites failed:\n" + complaint)
        with open(out) as file:
            return {clean(b["name"]): measured(b) for b in json.load(file)["benchmarks"]}


def measured(entry):
    rate = entry.get("items_per_second", 0)
    nanoseconds = 1e9 / rate if rate > 0 else entry["real_time"]
    return nanoseconds, {key: value for key, value in entry.items() if key not in IGNORED}


def collect(results, one_round):
    """Adds one round to name -> {ns: [...], counters: {...}}."""
    for name, (nanoseconds, counters) in one_round.items():
        entry = results.setdefault(name, {"ns": [], "counters": {}})
        entry["ns"].append(nanoseconds)
        for key, value in counters.items():
            entry["counters"].setdefault(key, []).append(value)


def result_file(results, rounds, source=ROOT):
    return {"machine": machine(), "commit": revision(source), "command": " ".join(sys.argv),
            "date": datetime.date.today().isoformat(), "rounds": rounds, "benchmarks": results}


def load(path):
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError) as problem:
        die(f"{path}: {problem}")


def save(path, what):
    with open(path, "w") as file:
        json.dump(what, file, indent=1, sort_keys=True)
        file.write("\n")


# ---- showing ----

def duration(nanoseconds):
    for unit, size in (("s ", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def amount(value):
    if value == 0:
        return "0"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}" if value >= 0.01 else "<.01"


def spread(values):
    """Half of the distance between the quartiles, in per cent of the median."""
    middle = statistics.median(values)
    if len(values) < 3 or middle == 0:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return 50 * (high - low) / middle


def print_table(results):
    width = max([len(name) for name in results], default=10)
    print(f"\n{'benchmark':<{width}}  {'an item':>9} {'+-':>4}  {'items/s':>7} {'p50':>8}"
          f" {'p99':>8} {'p99.9':>8} {'allocs':>7} {'moved B':>8} {'written':>8} {'copied':>7}"
          f" {'syncs':>6}")
    for name, entry in results.items():
        middle = statistics.median(entry["ns"])
        counters = {k: statistics.median(v) for k, v in entry["counters"].items()}
        tail = [duration(counters[p]) if p in counters else "" for p in PERCENTILES]
        cells = [amount(counters.get(c, 0)) for c in COUNTERS]
        print(f"{name:<{width}}  {duration(middle):>9} {spread(entry['ns']):>3.0f}%  "
              f"{amount(1e9 / middle):>7} {tail[0]:>8} {tail[1]:>8} {tail[2]:>8} {cells[0]:>7} "
              f"{cells[1]:>8} {cells[2]:>8} {cells[3]:>7} {cells[4]:>6}")
        others = {k: v for k, v in counters.items() if k not in COUNTERS + PERCENTILES}
        if others:
            print(" " * width + "  " + ", ".join(f"{k} {amount(v)}" for k, v in others.items()))
