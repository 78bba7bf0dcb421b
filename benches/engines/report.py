"""Prints what driver.py measured as tables in Markdown.

    report.py [FILE ...]        by default results/conv.jsonl; of rows measured twice, the later counts
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Callable, Iterable

from case import HERE, SUITES, Case, Network
from engines import ENGINES

OWN = "striate"
CASES = {case.id: case for suite in SUITES.values() for case in suite()}
MODES = {"fwd": "forward", "fwdbwd": "forward and backward"}
# Outputs that differ by more are another function's; a module in training rounds in many places, and norms divide by what is left.
TOLERANCE = {"convolution": 1e-4, "operation": 1e-4, "plugin": 1e-3, "network": 1e-3}
# Of the gradients of a whole network; PyTorch's own are 1e-2 from those that it computes in double precision.
TRAINING_TOLERANCE = 3e-2
# Rows measured while the machine was not ours to this extent are marked.
NOISY_SHARE = 0.85


def wide_3x3(case) -> bool:
    if not isinstance(case, Case) or case.transposed or case.g > 1:
        return False
    return case.k == (3, 3) and case.s == (1, 1) and min(case.ci, case.co) >= 64


def images(count: int) -> Callable[[object], bool]:
    return lambda case: isinstance(case, Network) and case.shape[0] == count


# Parts of a suite that have means of their own.
GROUPS: dict[str, Callable[[object], bool]] = {
    "dense 3x3, stride 1, 64 channels or more": wide_3x3,
    "those without dilation": lambda case: wide_3x3(case) and case.d == (1, 1),
    "grouped and depthwise": lambda case: isinstance(case, Case) and case.g > 1,
    **{f"batches of {count}": images(count) for count in (1, 8, 32)},
}

Row = dict
# What each engine measured of a case.
Line = dict[str, Row]


def main() -> None:
    files = [Path(name) for name in sys.argv[1:]] or [HERE / "results" / "conv.jsonl"]
    read = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    runs = [row for row in read if "run" in row]
    latest = {(row["threads"], row["mode"], row["case"], row["engine"]): row for row in read if "case" in row}
    print(heading(runs, latest.values()))
    for threads in sorted({key[0] for key in latest}):
        for mode in MODES:
            lines = {
                case: {engine: latest[key] for engine in ENGINES if (key := (threads, mode, case, engine)) in latest}
                for case in CASES
            }
            lines = {case: line for case, line in lines.items() if line}
            steps = {case: line for case, line in lines.items() if CASES[case].measures_memory}
            lines = {case: line for case, line in lines.items() if case not in steps}
            if lines:
                print(section(lines, mode, threads))
            if steps:
                print(training(steps, threads))


def heading(runs: list[dict], rows: Iterable[Row]) -> str:
    """The machine, the versions and the peak."""
    run = runs[-1]["run"]
    peaks: dict[int, float] = {}
    for row in rows:
        peaks[row["threads"]] = max(peaks.get(row["threads"], 0.0), row.get("peak_gflops", 0.0))
    commits = list(dict.fromkeys(each["run"]["commit"] for each in runs))
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    peak = ", ".join(f"{peaks[threads]:.0f} GFLOP/s with {threads}" for threads in sorted(peaks))
    return (
        f"{run['cpu']}, {run['processors']} processors, {run['system']}\n"
        f"striate {', '.join(commits)}; {versions}\n"
        f"multiply-adds between registers, threads: {peak}"
    )


def section(lines: dict[str, Line], mode: str, threads: int) -> str:
    """A table of times with the groups' means and the rows behind."""
    engines = present(lines)
    counted = any(counts_multiply_adds(case) for case in lines)
    head = ["case", *engines, "best other", f"{OWN} ahead", *(["% of peak"] if counted else [])]
    rows = [[case, *(cell(line.get(engine)) for engine in engines), *verdict(case, line, mode)] for case, line in lines.items()]
    title = f"{MODES[mode].capitalize()}, {threads} thread{'s' if threads > 1 else ''}, milliseconds"
    return "\n".join([*table(title, head, rows), *means(lines, ahead), behind(lines, ahead)])


def training(lines: dict[str, Line], threads: int) -> str:
    """Tables of the images that a second is enough to train on, and of the memory that it takes."""
    engines = present(lines)
    head = ["case", *engines, "best other", f"{OWN} ahead"]
    of = f"{threads} thread{'s' if threads > 1 else ''}"

    def rate(case: str, engine: str) -> str:
        return cell(lines[case].get(engine), lambda ms: f"{1e3 * CASES[case].shape[0] / ms:.2f}")

    def memory(row: Row | None) -> str:
        return f"{row['peak_mib']:.0f} ({grown(row):.0f})" if row and "peak_mib" in row else "-"

    rates, memories = [], []
    for case, line in lines.items():
        rates.append([case, *(rate(case, engine) for engine in engines), best_other(line) or "", times(ahead(line))])
        memories.append([case, *(memory(line.get(engine)) for engine in engines), least_other(line) or "", times(leaner(line))])
    text = table(f"Training, {of}, images a second", head, rates)
    text += [*means(lines, ahead), behind(lines, ahead)]
    text += table(f"Training, {of}, MiB at the peak, and how much more that is than before", head, memories)
    text += [*means(lines, leaner), behind(lines, leaner)]
    return "\n".join(text)


def present(lines: dict[str, Line]) -> list[str]:
    return [engine for engine in ENGINES if any(engine in line for line in lines.values())]


def table(title: str, head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, *rows]
    cells = ["| " + " | ".join(line) + " |" for line in lines]
    return [f"\n## {title}\n", cells[0], "|---" * len(head) + "|", *cells[1:], ""]


def behind(lines: dict[str, Line], by: Callable[[Line], float | None]) -> str:
    found = {case: ratio for case, line in lines.items() if (ratio := by(line)) is None or ratio < 1.0}
    return "- behind: " + (", ".join(f"{case} ({times(ratio)})" for case, ratio in found.items()) or "none")


def cell(row: Row | None, written: Callable[[float], str] | None = None) -> str:
    """Milliseconds; `~` where the machine was disturbed, `!` where the output is another than the reference's."""
    if row is None or "ms" not in row:
        return "" if row is None else "-"
    wrong = "" if right(row) else "!"
    noisy = "~" if row["share"] < NOISY_SHARE else ""
    return f"{(written or milliseconds)(row['ms'])}{noisy}{wrong}"


def counts_multiply_adds(case: str) -> bool:
    return isinstance(CASES[case], (Case, Network))


def verdict(case: str, line: Line, mode: str) -> list[str]:
    cells = [best_other(line) or "", times(ahead(line))]
    own = line.get(OWN, {})
    if "ms" in own and counts_multiply_adds(case):
        operations = 2 * CASES[case].multiply_adds * (3 if mode == "fwdbwd" else 1)
        cells.append(f"{100 * operations / own['ms'] / 1e6 / own['peak_gflops']:.0f}")
    return cells


def best_other(line: Line) -> str | None:
    """The fastest of the other engines whose output is right."""
    return min(others(line), key=lambda engine: line[engine]["ms"], default=None)


def least_other(line: Line) -> str | None:
    """The one of them that takes the least memory."""
    return min(others(line), key=lambda engine: grown(line[engine]), default=None)


def others(line: Line) -> list[str]:
    return [engine for engine, row in line.items() if engine != OWN and ENGINES[engine].competes and "ms" in row and right(row)]


def right(row: Row) -> bool:
    """Whether it computed what the reference does."""
    case = CASES[row["case"]]
    return row.get("difference", 0.0) <= (TRAINING_TOLERANCE if case.measures_memory else TOLERANCE[case.kind])


def grown(row: Row) -> float:
    """What training added to the process."""
    return row["peak_mib"] - row["idle_mib"]


def ahead(line: Line) -> float | None:
    """The best other engine's time over ours."""
    best = best_other(line)
    if best is None or "ms" not in line.get(OWN, {}):
        return None
    return line[best]["ms"] / line[OWN]["ms"]


def leaner(line: Line) -> float | None:
    """The least memory that another engine's training adds over ours."""
    least = least_other(line)
    if least is None or "peak_mib" not in line.get(OWN, {}):
        return None
    return grown(line[least]) / grown(line[OWN])


def means(lines: dict[str, Line], by: Callable[[Line], float | None]) -> list[str]:
    """Of all lines, and of the groups that they have."""
    text = []
    for name, members in {"all rows": lambda case: True, **GROUPS}.items():
        ratios = [ratio for case, line in lines.items() if members(CASES[case]) and (ratio := by(line))]
        if ratios:
            text.append(f"- {name}: geometric mean {times(statistics.geometric_mean(ratios))} over {len(ratios)}")
    return text


def times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"


def milliseconds(value: float) -> str:
    """Three digits or more."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    main()
