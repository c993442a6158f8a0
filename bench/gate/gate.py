"""gate.py: the part of the benchmarks that is repeatable, and so can stop a change.

Every benchmark that bench_fixed lists as gated runs a fixed number of iterations under callgrind.
Compared with bench/baselines/ci/gate.json are, per item:

  instructions   no more than 3% above the baseline (the CPU offers no counters on shared machines)
  allocations, bytes written, syncs, pages copied: exactly the baseline's

Better is not silent either: instructions 3% below, or any count below, ask for a new baseline, so
that the gain cannot be lost again unseen. Instruction counts belong to one compiler; with another
one they are shown and not judged.

A new baseline is made with `bench/run --gate --accept "why"`: the reason is kept beside the numbers
and read in review.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import tempfile

import harness

BASELINE = harness.ROOT / "bench" / "baselines" / "ci" / "gate.json"
EXACT = ("allocs", "alloc_bytes", "written_bytes", "syncs", "pages_copied")
LIMIT = 0.03

# glibc chooses copies and searches by CPU: without these they are the same on every x86-64.
TUNABLES = ("glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-ERMS,-FSRM,"
            "-AVX_Fast_Unaligned_Load,-Prefer_No_VZEROUPPER"
            ":glibc.cpu.x86_non_temporal_threshold=0x300000")


def gated(program):
    return [line.split()[0] for line in harness.output_of(program, "--list").splitlines()]


def measure(program, name):
    """What one run of the benchmark counts, as a dictionary."""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--instr-atstart=no",
                   "--callgrind-out-file=" + os.path.join(scratch, "out"), str(program), name]
        if subprocess.run(["setarch", "-R", "true"], stderr=subprocess.DEVNULL).returncode == 0:
            command = ["setarch", "-R", *command]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, "GLIBC_TUNABLES": TUNABLES, "TMPDIR": scratch,
                                   "NS_BENCH_DIR": scratch})
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or collected is None:
        harness.die(f"{name}: callgrind failed:\n{done.stderr}")
    counts = json.loads(done.stdout)
    counts["instructions"] = int(collected.group(1))
    return counts


def measure_all(program, names):
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        jobs = {name: pool.submit(measure, program, name) for name in names}
        return {name: job.result() for name, job in jobs.items()}


# ---- judging ----

def judge(base, now, same_compiler=True):
    """Complaints (they fail the gate) and hints (a new baseline is due)."""
    complaints, hints = [], []
    ratio = now["instructions"] / max(1, base["instructions"])
    if same_compiler and ratio > 1 + LIMIT:
        complaints.append(f"instructions {100 * (ratio - 1):+.1f}%")
    elif same_compiler and ratio < 1 - LIMIT:
        hints.append(f"instructions {100 * (ratio - 1):+.1f}%")
    for count in EXACT:
        if now[count] == base[count]:
            continue
        text = f"{count} {base[count]} -> {now[count]}"
        (complaints if now[count] > base[count] else hints).append(text)
    return complaints, hints


def compare(baseline, counts, compiler):
    """Prints one line a benchmark; the number of benchmarks that fail."""
    known = baseline["benchmarks"]
    same = baseline["compiler"] == compiler
    if not same:
        print(f"gate: instructions are not judged: the baseline is of {baseline['compiler']}, "
              f"this is {compiler}")
    width = max(len(name) for name in counts)
    failed = 0
    for name, now in counts.items():
        per_item = now["instructions"] / now["items"]
        text = f"  {name:<{width}} {per_item:>12,.1f} instructions an item"
        if name not in known:
            complaints, hints = ["not in the baseline"], []
        else:
            complaints, hints = judge(known[name], now, same)
            text += f" ({100 * (now['instructions'] / known[name]['instructions'] - 1):+.2f}%)"
        failed += bool(complaints)
        notes = ["FAILS: " + ", ".join(complaints)] if complaints else []
        notes += ["better, accept it: " + ", ".join(hints)] if hints else []
        print("; ".join([text, *notes]))
    for name in known.keys() - counts.keys():
        print(f"  {name}: in the baseline, but gone")
        failed += 1
    return failed


def accept(counts, reason, compiler):
    old = harness.load(BASELINE)["benchmarks"] if BASELINE.exists() else {}
    kept = {}
    for name, now in counts.items():
        before = old.get(name)
        same = before is not None and judge(before, now) == ([], [])
        kept[name] = before if same else {**{k: now[k] for k in ("items", "instructions", *EXACT)},
                                          "reason": reason}
    for name in old.keys() - counts.keys():
        print(f"  {name}: leaves the baseline")
    BASELINE.parent.mkdir(parents=True, exist_ok=True)
    harness.save(BASELINE, {"compiler": compiler, "benchmarks": kept})
    print(f"gate: {BASELINE.relative_to(harness.ROOT)} written; commit it with its reason")


def run(regex="", reason=None, program=None):
    """bench/run --gate. program: another bench_fixed (the self-test's)."""
    if program is None:
        program = harness.build(["bench_fixed"]) / "bench_fixed"
    compiler = harness.machine()["compiler"]
    names = [name for name in gated(pathlib.Path(program)) if re.search(regex, name)]
    if not names:
        harness.die(f"no gated benchmark matches '{regex}'")
    counts = measure_all(program, names)
    if reason is not None:
        if regex:
            harness.die("--accept takes all gated benchmarks: leave --filter out")
        accept(counts, reason, compiler)
        return 0
    if not BASELINE.exists():
        harness.die("no baseline yet: bench/run --gate --accept 'first baseline of ...'")
    baseline = harness.load(BASELINE)
    baseline["benchmarks"] = {name: entry for name, entry in baseline["benchmarks"].items()
                              if re.search(regex, name)}
    failed = compare(baseline, counts, compiler)
    print(f"gate: {len(counts)} benchmarks, {failed} fail"
          + ("; bench/run --gate --accept REASON, if that is meant" if failed else ""))
    return 1 if failed else 0
