"""What the report says about the machine."""
import os
import platform


def read(path, default=""):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return default


def cpu():
    for line in read("/proc/cpuinfo").split("\n"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def memory_gib():
    for line in read("/proc/meminfo").split("\n"):
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / (1 << 20))
    return 0


def mount_of(path):
    """(device, file system type, options) of the mount that holds path."""
    path, best = os.path.realpath(path), ("", "?", "?", "?")
    for line in read("/proc/self/mountinfo").split("\n"):
        left, _, right = line.partition(" - ")
        if not right:
            continue
        point = left.split()[4]
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):
            kind, device, options = right.split()[:3]
            best = (point, device, kind, options)
    return best[1:]


def disk_of(path):
    """What the kernel says about the block device that holds path."""
    number = os.stat(path).st_dev
    block = os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not os.path.exists(os.path.join(block, "queue")):
        block = os.path.dirname(block)  # a partition
    if not os.path.exists(os.path.join(block, "queue")):
        return "unknown"
    words = [os.path.basename(block)]
    model = read(os.path.join(block, "device/model"))
    if model:
        words.append(model)
    words.append("says it is rotating" if read(os.path.join(block, "queue/rotational")) == "1"
                 else "says it is not rotating")
    words.append(read(os.path.join(block, "queue/write_cache"), "unknown") + " cache")
    return ", ".join(words)


def describe(directory):
    device, kind, options = mount_of(directory)
    virtual = " hypervisor" in read("/proc/cpuinfo")
    return {
        "Processor": cpu() + (", virtual machine" if virtual else ""),
        "Cores": str(len(os.sched_getaffinity(0))),
        "Memory": f"{memory_gib()} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "File system": f"{kind} on {device} ({options})",
        "Disk": disk_of(directory),
        "Load average at the start": " ".join(f"{x:.2f}" for x in os.getloadavg()),
    }


def is_busy():
    """Is anybody else at work here?"""
    return os.getloadavg()[0] > 0.5 * len(os.sched_getaffinity(0))
