"""Runs convolutions, operations, modules or networks through several engines, turn by turn, and appends what it measures to a
file for report.py.

    driver.py [--suite conv|ops|modules|models|train] [--peers striate,torch] [--threads 1,2] [--modes fwd,fwdbwd]
              [--cases substring,=name] [--rounds 3] [--seconds 0.1] [--out results/SUITE.jsonl]

Every engine has a process of its own. A case is loaded by all of them; then, round by round, each runs it for some time. The row
of an engine has the median of the rounds' medians. Before and after each turn the machine's multiply-add rate is measured; a turn
at a time when the machine was not ours is taken again.
"""

import argparse
import dataclasses
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import machine
from case import HERE, SUITES
from engines import ENGINES, Worker

REFERENCE = "torch"
# A turn counts as quiet at this share of the best multiply-add rate, and while others use at most this much of a processor.
QUIET_SHARE = 0.9
QUIET_OTHERS = 0.25
ATTEMPTS = 4
# An engine's threads may wait for more work before they sleep.
SETTLING_SECONDS = 0.05
# An engine may compile what it loads.
LOADING_SECONDS = 600.0


def main() -> None:
    options = arguments()
    export([case for case, _ in selected(options)])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a") as out:
        for threads in options.threads:
            peak = machine.Peak(threads)
            workers: dict[str, Worker] = {}
            head = {"run": machine.describe(), "threads": threads, "rounds": options.rounds, "seconds": options.seconds, "fresh_memory": options.fresh_memory}
            print(json.dumps(head), file=out, flush=True)
            for case, mode in selected(options):
                rows = compare(case, mode, threads, workers, peak, options)
                for row in rows:
                    print(json.dumps(rounded(row)), file=out, flush=True)
                print(line(rows), flush=True)
            for worker in workers.values():
                worker.kill()


def arguments() -> argparse.Namespace:
    def words(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=SUITES, default="conv")
    parser.add_argument("--peers", type=words, help="engines, from " + ", ".join(ENGINES))
    parser.add_argument("--threads", type=lambda text: [int(n) for n in words(text)], default=[1, 2])
    parser.add_argument("--modes", type=words, default=["fwd", "fwdbwd"])
    parser.add_argument("--cases", type=words, default=[""], help="parts of names, or =name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.1, help="of a turn")
    parser.add_argument("--fresh-memory", action="store_true", help="let malloc give memory back between runs")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.peers = options.peers or [name for name, engine in ENGINES.items() if options.suite in engine.suites]
    options.out = options.out or HERE / "results" / f"{options.suite}.jsonl"
    return options


def export(cases: list) -> None:
    """Writes the models and weights of cases that are not there yet."""
    lacking = [case for case in cases if not all(Path(file).exists() for file in (getattr(case, "weights", ""), case.onnx) if file)]
    networks = {case.network: None for case in lacking if case.kind == "network"}
    if networks:
        subprocess.run([sys.executable, HERE / "networks.py", *networks], check=True)
    if any(case.kind != "network" for case in lacking):
        subprocess.run([sys.executable, HERE / "export.py"], check=True)


def selected(options: argparse.Namespace) -> list[tuple]:
    def wanted(case) -> bool:
        return any(word[1:] == case.id if word.startswith("=") else word in case.id for word in options.cases)

    return [
        (case, mode)
        for mode in options.modes
        for case in SUITES[options.suite]()
        if wanted(case) and mode in case.modes
    ]


def compare(case, mode: str, threads: int, workers: dict[str, Worker], peak: machine.Peak, options) -> list[dict]:
    """The rows of a case, one for each engine."""
    rows = {}
    for engine in options.peers:
        if mode != "fwd" and not ENGINES[engine].trains:
            continue
        if engine in workers and case.measures_memory:
            workers.pop(engine).kill()
        if engine not in workers or not workers[engine].alive:
            workers[engine] = Worker(engine, threads, options.fresh_memory)
        rows[engine] = {"case": case.id, "mode": mode, "threads": threads, "engine": engine}
        if case.measures_memory:
            if "error" not in workers[engine].ask(do="ready"):
                rows[engine]["idle_mib"] = workers[engine].mebibytes("VmRSS")
        rows[engine] |= workers[engine].ask(LOADING_SECONDS, do="load", case=dataclasses.asdict(case), mode=mode)
    running = [engine for engine, row in rows.items() if "error" not in row]
    turns = {engine: [] for engine in running}
    for turn in range(options.rounds):
        first = turn % max(len(running), 1)
        for engine in running[first:] + running[:first]:
            turns[engine].append(quiet(peak, lambda: turn_of(workers[engine], options.seconds)))
    for engine in running:
        rows[engine].update(summary(turns[engine]))
        if case.measures_memory and workers[engine].alive:
            rows[engine]["peak_mib"] = workers[engine].mebibytes("VmHWM")
        if "error" not in rows[engine]:
            rows[engine].update(workers[engine].ask(do="output"), peak_gflops=peak.best)
    reference = rows.get(REFERENCE, {}).get("digests")
    for row in rows.values():
        digests = row.pop("digests", None)
        if reference and digests:
            row["difference"] = difference(digests, reference)
    return list(rows.values())


def turn_of(worker: Worker, seconds: float) -> dict:
    """What a worker measures in a turn."""
    before = worker.cpu_seconds()
    turn = worker.ask(do="measure", seconds=seconds)
    return turn if "error" in turn else {**turn, "own": worker.cpu_seconds() - before}


def quiet(peak: machine.Peak, run: Callable[[], dict]) -> dict:
    """What `run` measures, with the processor seconds that are its `own`; of several attempts, the one at the quietest time."""
    best = None
    for _ in range(ATTEMPTS):
        share = peak.share()
        start, busy = time.monotonic(), machine.busy_seconds()
        turn = run()
        if "error" in turn:
            return turn
        others = (machine.busy_seconds() - busy) - turn.pop("own")
        turn["others"] = max(0.0, others / (time.monotonic() - start))
        time.sleep(SETTLING_SECONDS)
        turn["share"] = min(share, peak.share())
        if best is None or turn["share"] - turn["others"] > best["share"] - best["others"]:
            best = turn
        if best["share"] >= QUIET_SHARE and best["others"] <= QUIET_OTHERS:
            break
    return best


def summary(turns: list[dict]) -> dict:
    failed = [turn["error"] for turn in turns if "error" in turn]
    if failed:
        return {"error": failed[0]}
    medians = [statistics.median(turn["times_ms"]) for turn in turns]
    return {
        "ms": statistics.median(medians),
        "rounds_ms": medians,
        "min_ms": min(min(turn["times_ms"]) for turn in turns),
        "share": min(turn["share"] for turn in turns),
        "others": max(turn["others"] for turn in turns),
    }


def difference(digests: list[list[float]], reference: list[list[float]]) -> float:
    """The greatest relative distance of two digests' parts. A part far below the largest, as the gradient of a bias before a
    norm, which is 0, is compared with that."""
    if len(digests) != len(reference) or any(len(a) != len(b) for a, b in zip(digests, reference)):
        return math.inf
    least = 1e-3 * max((math.hypot(*b) for b in reference), default=0.0)
    return max(math.dist(a, b) / (max(math.hypot(*b), least) or 1.0) for a, b in zip(digests, reference))


def rounded(value):
    """Five digits of every number."""
    match value:
        case float():
            return float(f"{value:.5g}")
        case list():
            return [rounded(each) for each in value]
        case dict():
            return {key: rounded(each) for key, each in value.items()}
    return value


def line(rows: list[dict]) -> str:
    def cell(row: dict) -> str:
        return f"{row['engine']} {row['ms']:.3f}" if "ms" in row else f"{row['engine']} ({row['error'][:40]})"

    head = rows[0]
    return f"{head['case']:26} {head['mode']:6} {head['threads']}  " + "  ".join(map(cell, rows))


if __name__ == "__main__":
    main()
