"""What the driver and a worker say to each other, for workers in Python; protocol/src/lib.rs says what that is."""

import json
import os
import sys
import time
from typing import Callable, Protocol

import numpy as np

from case import fill, parsed

THREADS = int(os.environ.get("ENGINE_THREADS", "1"))
PROJECTIONS = 64
SEED = 9


class Loaded(Protocol):
    """A case that is ready to run."""

    def run(self) -> None:
        """Computes everything once, as an application would. This is what is timed."""

    def output(self) -> list[np.ndarray]:
        """What the last run computed: the outputs, or the gradients of inputs, weights and biases, one by one. Of training, what
        its first steps compute: their losses, and the gradients of the first, in the order of names."""


class InferenceOnly(Exception):
    def __init__(self):
        super().__init__("inference only")


def only_models(case, mode: str) -> None:
    """For engines that read an ONNX model, which plug-ins have none of."""
    if mode != "fwd":
        raise InferenceOnly
    if not case.onnx:
        raise ValueError("no model")


def serve(load: Callable[..., Loaded]) -> None:
    """Answers requests until the input ends. `load` prepares a case for a mode: fwd or fwdbwd, of a network a step of training."""
    # What libraries print goes to the error stream.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    loaded = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "ready":
                answer = {}
            elif request["do"] == "load":
                loaded = None
                loaded = load(parsed(request["case"]), request["mode"])
                answer = {"first_ms": timed(loaded) * 1e3}
            elif request["do"] == "measure":
                answer = {"times_ms": [t * 1e3 for t in measure(loaded, request["seconds"])]}
            else:
                answer = {"digests": [projections(np.ravel(part)) for part in loaded.output()]}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps(answer), file=answers, flush=True)


def measure(loaded: Loaded, seconds: float) -> list[float]:
    """Seconds of each run, after a fifth of the time to warm up: another engine has just used the caches."""
    start = time.perf_counter()
    timed(loaded)
    while time.perf_counter() - start < seconds / 5:
        timed(loaded)
    times = []
    start = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        times.append(timed(loaded))
        if time.perf_counter() - start > 2.0:
            break
    return times


def timed(loaded: Loaded) -> float:
    start = time.perf_counter()
    loaded.run()
    return time.perf_counter() - start


def projections(output: np.ndarray) -> list[float]:
    """The digest of protocol/src/digest.rs."""
    weighted = output.astype(np.float64) * fill(output.shape, SEED, 2.0)
    whole = np.pad(weighted, (0, -output.size % PROJECTIONS))
    return whole.reshape(-1, PROJECTIONS).sum(axis=0).tolist()
