"""How long a process takes from its start to the first output of a network with weights on disk, and how much memory, engine by
engine: prints a table in Markdown and appends to a record.

    coldstart.py [--peers striate,torch] [--threads 1,2] [--case resnet50@224_b1] [--rounds 5] [--out results/coldstart.jsonl]
    coldstart.py --table FILE       the table of what was measured before

A process is started, loads the network and answers when it has run once; then it is ended. Engines take turns. A row is the
median of the rounds' times, and the most memory of any. Weights and models come from the system's cache: they are read before.
"""

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path

import machine
from case import HERE, SUITES
from driver import LOADING_SECONDS, REFERENCE, difference, export, quiet, rounded
from engines import ENGINES, Worker
from report import NOISY_SHARE, right

PEERS = ["striate", "torch", "ort", "ov", "rten", "tract"]


def main() -> None:
    options = arguments()
    if options.table:
        print(table([json.loads(line) for line in options.table.read_text().splitlines()]))
        return
    (case,) = (case for case in SUITES["models"]() if case.id == options.case)
    export([case])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"run": machine.describe(), "rounds": options.rounds}]
    for threads in options.threads:
        rows += compare(case, threads, options)
    with options.out.open("a") as out:
        for row in rows:
            print(json.dumps(rounded(row)), file=out)
    print(table(rows))


def arguments() -> argparse.Namespace:
    def words(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=words, default=PEERS, help="engines, from " + ", ".join(ENGINES))
    parser.add_argument("--threads", type=lambda text: [int(n) for n in words(text)], default=[1, 2])
    parser.add_argument("--case", default="resnet50@224_b1", help="of models.json")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "coldstart.jsonl")
    parser.add_argument("--table", type=Path, metavar="FILE")
    return parser.parse_args()


def compare(case, threads: int, options: argparse.Namespace) -> list[dict]:
    """A row for each engine, with what it computed compared with PyTorch's."""
    peak = machine.Peak(threads)
    rows = {engine: {"case": case.id, "threads": threads, "engine": engine} for engine in options.peers}
    starts = {engine: [] for engine in options.peers}
    for turn in range(options.rounds):
        first = turn % len(options.peers)
        for engine in options.peers[first:] + options.peers[:first]:
            starts[engine].append(quiet(peak, lambda: start(engine, case, threads)))
    for engine, row in rows.items():
        failed = [each["error"] for each in starts[engine] if "error" in each]
        row |= {"error": failed[0]} if failed else summary(starts[engine])
    reference = starts.get(REFERENCE, [{}])[0].get("digests")
    for engine, row in rows.items():
        if reference and "ms" in row:
            row["difference"] = difference(starts[engine][0]["digests"], reference)
    return list(rows.values())


def start(engine: str, case, threads: int) -> dict:
    """What one process takes, with what malloc does by itself."""
    for file in (case.weights, case.onnx):
        Path(file).read_bytes()
    begin = time.monotonic()
    worker = Worker(engine, threads, fresh_memory=True)
    answer = worker.ask(LOADING_SECONDS, do="load", case=dataclasses.asdict(case), mode="fwd")
    elapsed = time.monotonic() - begin
    if "error" not in answer:
        answer = {"ms": 1e3 * elapsed, "peak_mib": worker.mebibytes("VmHWM"), **worker.ask(do="output")}
        answer["own"] = worker.cpu_seconds()
    worker.kill()
    return answer


def summary(starts: list[dict]) -> dict:
    return {
        "ms": statistics.median(each["ms"] for each in starts),
        "rounds_ms": [each["ms"] for each in starts],
        "peak_mib": max(each["peak_mib"] for each in starts),
        "share": min(each["share"] for each in starts),
        "others": max(each["others"] for each in starts),
    }


def table(rows: list[dict]) -> str:
    """Of the rows that were measured last; `~` where the machine was disturbed, `!` where the output is another than PyTorch's."""
    latest = {(row["engine"], row["threads"]): row for row in rows if "engine" in row}
    counts = sorted({threads for _, threads in latest})
    heads = [f"{what}, {threads} thread{'s' if threads > 1 else ''}" for threads in counts for what in ("ms", "MiB")]

    def cells(row: dict | None) -> list[str]:
        if row is None or "ms" not in row:
            return ["-", "-"]
        marks = ("~" if row["share"] < NOISY_SHARE else "") + ("" if right(row) else "!")
        return [f"{row['ms']:.0f}{marks}", f"{row['peak_mib']:.0f}"]

    lines = [["engine", *heads]]
    for engine in dict.fromkeys(engine for engine, _ in latest):
        lines.append([engine, *(text for threads in counts for text in cells(latest.get((engine, threads))))])
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
