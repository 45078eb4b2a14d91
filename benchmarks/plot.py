"""Draws what a comparison has found: `python -m benchmarks.plot FIGURES.json PLOT.svg`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.loads import LOADS
from benchmarks.report import median

COLOURS = {"sidekey": "#d1495b"}
OTHERS = "#8d99ae"


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw bars for each load in which nginx takes part, as long as the ratio to it."""
    every = dict.fromkeys(row["load"] for row in result["rounds"])
    loads = [name for name in every if median(result, name, "nginx", "figure")]
    figure, places = plt.subplots(len(loads), 1, figsize=(8, 2.4 * len(loads)), squeeze=False)
    for name, place in zip(loads, places[:, 0], strict=True):
        targets = [
            target
            for target in dict.fromkeys(row["target"] for row in result["rounds"])
            if median(result, name, target, "figure")
        ]
        nginx = median(result, name, "nginx", "figure")
        ratios = [median(result, name, target, "figure") / nginx for target in targets]
        colours = [COLOURS.get(target, OTHERS) for target in targets]
        bars = place.barh(targets, ratios, color=colours)
        place.bar_label(bars, fmt="%.2f", padding=3)
        place.invert_yaxis()
        place.set_title(f"{LOADS[name].title}, to nginx", loc="left", fontsize=10)
        place.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
