"""What a comparison has found, as tables: medians over the rounds, and ratios within the run."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.loads import LOADS

HEAD = "proxy | {unit} | least - most | to nginx | us of processor | median us | p99 us | failed"


def tables(result: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a table for each load, with medians over the rounds."""
    for name in dict.fromkeys(row["load"] for row in result["rounds"]):
        load = LOADS[name]
        yield f"\n### {load.title}\n"
        yield f"| {HEAD.format(unit=load.unit)} |"
        yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
        nginx = median(result, name, "nginx", "figure")
        for target in dict.fromkeys(row["target"] for row in result["rounds"]):
            figures = _figures(result, name, target, "figure")
            if figures:
                middle = statistics.median(figures)
                ratio = f"{middle / nginx:.2f}" if nginx else "-"
                processor = median(result, name, target, "processor")
                yield (
                    f"| {target} | {middle:.0f} | {min(figures):.0f} - {max(figures):.0f} | {ratio}"
                    f" | {processor:.1f} | {median(result, name, target, 'median'):.0f}"
                    f" | {median(result, name, target, 'p99'):.0f}"
                    f" | {sum(_figures(result, name, target, 'failed')):.0f} |"
                )
    yield "\n### Start and memory\n"
    yield (
        "| proxy | s to the first answer | MB idle | MB after the loads"
        " | more with 10,000 idle connections |"
    )
    yield "| --- | --- | --- | --- | --- |"
    for target, start in result["start"].items():
        yield (
            f"| {target} | {start['seconds']:.2f} | {start['idle']:.0f} | {start['after']:.0f}"
            f" | {start['idle connections']:.0f} |"
        )
    for peer, why in result["left out"].items():
        yield f"\nLeft out: {peer}, since {why}."


def _figures(result: dict[str, Any], load: str, target: str, name: str) -> list[float]:
    rows = (row for row in result["rounds"] if (row["load"], row["target"]) == (load, target))
    return [row[name] for row in rows if name in row]


def median(result: dict[str, Any], load: str, target: str, name: str) -> float:
    """Return the median of a figure over the rounds, 0 if there is none."""
    figures = _figures(result, load, target, name)
    return statistics.median(figures) if figures else 0.0
