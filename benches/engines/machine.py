"""What the machine is, and what it is doing at this moment."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

from case import HERE
from engines import on_processors, rust

PACKAGES = ("torch", "onnxruntime", "openvino")
CRATES = ("rten", "tract-onnx", "candle-core", "burn")


class Peak:
    """The multiply-add rate of so many threads, in GFLOP/s, from registers alone."""

    def __init__(self, threads: int):
        self.threads = threads
        command = on_processors([*rust("striate"), "--peak"], threads)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.best = 0.0
        for _ in range(20):
            self.share()

    def share(self) -> float:
        """The rate at this moment as a share of the best so far: the host of a virtual machine can be busy without a trace here."""
        rate = max(self.rate(), self.rate())
        self.best = max(self.best, rate)
        return rate / self.best

    def rate(self) -> float:
        print(self.threads, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def busy_seconds() -> float:
    """Processor time that all processes have used, with what the host took away."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, stat.readline().split()[1:])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def describe() -> dict:
    """Machine, commit and versions, for the head of a record."""
    return {
        "cpu": cpu_model(),
        "processors": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "commit": output("git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"),
        "versions": {**{name: installed(name) for name in PACKAGES}, **crates()},
    }


def cpu_model() -> str:
    with open("/proc/cpuinfo") as info:
        names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return names[0] if names else platform.machine()


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def crates() -> dict[str, str]:
    """Versions in Cargo.lock."""
    found = {}
    name = ""
    for line in (HERE / "Cargo.lock").read_text().splitlines():
        key, _, value = line.partition(" = ")
        if key == "name":
            name = value.strip('"')
        elif key == "version" and name in CRATES:
            found[name] = value.strip('"')
    return found


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()
