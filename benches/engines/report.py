"""Prints what driver.py measured as tables in Markdown.

    report.py [FILE ...]        by default results/conv.jsonl; of rows measured twice, the later counts
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Callable, Iterable

from case import HERE, SUITES, Case
from engines import ENGINES

OWN = "striate"
CASES = {case.id: case for suite in SUITES.values() for case in suite()}
MODES = {"fwd": "forward", "fwdbwd": "forward and backward"}
# Outputs that differ by more are another function's; a module in training rounds in many places, and norms divide by what is left.
TOLERANCE = {"convolution": 1e-4, "operation": 1e-4, "plugin": 1e-3}
# Rows measured while the machine was not ours to this extent are marked.
NOISY_SHARE = 0.85


def undilated(case: Case) -> bool:
    return case.d == (1, 1)


def wide_3x3(case: Case) -> bool:
    return not case.transposed and case.g == 1 and case.k == (3, 3) and case.s == (1, 1) and min(case.ci, case.co) >= 64


GROUPS: dict[str, Callable[[Case], bool]] = {
    "dense 3x3, stride 1, 64 channels or more": wide_3x3,
    "those without dilation": lambda case: wide_3x3(case) and undilated(case),
    "grouped and depthwise": lambda case: case.g > 1,
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
            if lines:
                print(section(lines, mode, threads))


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
    engines = [engine for engine in ENGINES if any(engine in line for line in lines.values())]
    convolutions = {case: line for case, line in lines.items() if isinstance(CASES[case], Case)}
    head = ["case", *engines, "best other", f"{OWN} ahead", *(["% of peak"] if convolutions else [])]
    text = [
        f"\n## {MODES[mode].capitalize()}, {threads} thread{'s' if threads > 1 else ''}, milliseconds\n",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for case, line in lines.items():
        text.append("| " + " | ".join([case, *(cell(line.get(engine)) for engine in engines), *verdict(case, line, mode)]) + " |")
    text.append("")
    text.append(mean("all rows", lambda case: True, lines))
    if convolutions:
        text += [mean(name, members, convolutions) for name, members in GROUPS.items()]
    behind = {case: ratio for case, line in lines.items() if (ratio := ahead(line)) is None or ratio < 1.0}
    text.append("- behind: " + (", ".join(f"{case} ({times(ratio)})" for case, ratio in behind.items()) or "none"))
    return "\n".join(text)


def cell(row: Row | None) -> str:
    """Milliseconds; `~` where the machine was disturbed, `!` where the output is another than the reference's."""
    if row is None or "ms" not in row:
        return "" if row is None else "-"
    wrong = "!" if row.get("difference", 0.0) > TOLERANCE[CASES[row["case"]].kind] else ""
    noisy = "~" if row["share"] < NOISY_SHARE else ""
    return f"{milliseconds(row['ms'])}{noisy}{wrong}"


def verdict(case: str, line: Line, mode: str) -> list[str]:
    cells = [best_other(line) or "", times(ahead(line))]
    own = line.get(OWN, {})
    if "ms" in own and isinstance(CASES[case], Case):
        operations = 2 * CASES[case].multiply_adds * (3 if mode == "fwdbwd" else 1)
        cells.append(f"{100 * operations / own['ms'] / 1e6 / own['peak_gflops']:.0f}")
    return cells


def best_other(line: Line) -> str | None:
    """The fastest of the other engines whose output is right."""
    others = [
        engine
        for engine, row in line.items()
        if engine != OWN and "ms" in row and row.get("difference", 0.0) <= TOLERANCE[CASES[row["case"]].kind]
    ]
    return min(others, key=lambda engine: line[engine]["ms"], default=None)


def ahead(line: Line) -> float | None:
    """The best other engine's time over ours."""
    best = best_other(line)
    if best is None or "ms" not in line.get(OWN, {}):
        return None
    return line[best]["ms"] / line[OWN]["ms"]


def mean(name: str, members: Callable[[Case], bool], lines: dict[str, Line]) -> str:
    ratios = [ratio for case, line in lines.items() if members(CASES[case]) and (ratio := ahead(line))]
    value = times(statistics.geometric_mean(ratios)) if ratios else "no rows"
    return f"- {name}: geometric mean {value} over {len(ratios)}"


def times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"


def milliseconds(value: float) -> str:
    """Three digits or more."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    main()
