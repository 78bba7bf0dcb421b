"""The engines, and a worker process of one."""

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass

from case import HERE

BUILT = HERE / "target" / "release"


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(HERE / script), *arguments]


def rust(name: str) -> list[str]:
    return [str(BUILT / f"engine-{name}")]


@dataclass(frozen=True)
class Engine:
    command: list[str]
    # Those that it has something for.
    suites: tuple[str, ...]
    trains: bool = False
    # Whether it computes what the others do.
    competes: bool = True


EVERYTHING = ("conv", "ops", "modules", "models", "train")
ENGINES = {
    "striate": Engine(rust("striate"), EVERYTHING, trains=True),
    "torch": Engine(python("torch_worker.py", "contiguous"), EVERYTHING, trains=True),
    "torch_cl": Engine(python("torch_worker.py", "channels_last"), EVERYTHING, trains=True),
    "torch_compile": Engine(python("torch_worker.py", "channels_last", "compiled"), ("models",)),
    "ort": Engine(python("ort_worker.py"), ("conv", "ops", "models")),
    "ov": Engine(python("openvino_worker.py", "f32"), ("conv", "ops", "models")),
    "ov_bf16": Engine(python("openvino_worker.py", "bf16"), ("models",), competes=False),
    "rten": Engine(rust("rten"), ("conv", "models")),
    "tract": Engine(rust("tract"), ("conv", "models")),
    "candle": Engine(rust("candle"), ("conv",), trains=True),
    "burn": Engine(rust("burn"), ("conv",), trains=True),
}
# Each library reads its own.
THREAD_VARIABLES = ("ENGINE_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RTEN_NUM_THREADS")
# glibc keeps the memory it was given: else every large output is paid for page by page, which can take longer than the kernel.
KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}


def on_processors(command: list[str], threads: int) -> list[str]:
    """One thread stays on the last processor, away from what the system does on the first."""
    if threads > 1:
        return command
    return ["taskset", "-c", str(max(os.sched_getaffinity(0))), *command]


class Worker:
    """A process that runs cases by one engine with some number of threads."""

    def __init__(self, engine: str, threads: int, fresh_memory: bool = False):
        variables = {name: str(threads) for name in THREAD_VARIABLES}
        if not fresh_memory:
            variables |= KEPT_MEMORY
        self.process = subprocess.Popen(
            on_processors(ENGINES[engine].command, threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **variables},
        )

    def ask(self, timeout: float = 60.0, **request) -> dict:
        """The answer to a request, or an error."""
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return {"error": f"the worker ended with {self.process.wait()}"}
        answer = b""
        deadline = time.monotonic() + timeout
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            if not ready:
                self.kill()
                return {"error": f"no answer in {timeout:.0f} s"}
            part = os.read(self.process.stdout.fileno(), 1 << 16)
            if not part:
                return {"error": f"the worker ended with {self.process.wait()}"}
            answer += part
        return json.loads(answer)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def cpu_seconds(self) -> float:
        """Processor time used so far."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def mebibytes(self, what: str) -> float:
        """Of memory: VmRSS, what the process has, or VmHWM, the most it ever had."""
        with open(f"/proc/{self.process.pid}/status") as status:
            (found,) = (line for line in status if line.startswith(what))
        return int(found.split()[1]) / 1024

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
