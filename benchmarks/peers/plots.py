"""results.json as pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.peers.markdown import NAMES
from eagleray.reports import canvas

_RATIOS = ("fit", "embedding", "coreset", "prediction", "peak_memory")


def ratios(tracks: Mapping[str, Mapping[str, Any]]) -> Figure:
    """How many times as good as anomalib, ours and ours on the same patches, with the bars."""
    figure, axes = canvas.blank(7.5, 3.2)
    rows = np.arange(len(_RATIOS))
    for prefix, offset, colour in (("", -0.18, canvas.BLUE), ("same_patches.", 0.18, canvas.SKY)):
        values = [tracks[prefix + name]["ratio"] for name in _RATIOS]
        axes.barh(rows + offset, values, 0.34, color=colour, left=0)
        for row, value in zip(rows, values, strict=True):
            canvas.write(axes, value * 1.05, row + offset, f"{value:.1f} x", color=colour)
    for row, name in zip(rows, _RATIOS, strict=True):
        if bar := tracks[name]["ratio_bar"]:
            axes.plot([bar, bar], [row - 0.4, row + 0.4], color=canvas.INK, linewidth=1.2, linestyle=":")
    axes.plot([1, 1], [-0.5, len(_RATIOS) - 0.5], color=canvas.INK, linewidth=1)
    axes.set_ylim(len(_RATIOS) - 0.4, -1.0)
    _log_axis(axes)
    canvas.name_ticks(axes, "y", list(rows), [name.replace("_", " ") for name in _RATIOS])
    canvas.beside(axes, 0.0, -0.75, "■ EagleRay", color=canvas.BLUE, weight="bold")
    canvas.beside(axes, 0.2, -0.75, "■ the same method and patches as anomalib's", color=canvas.SKY, weight="bold")
    canvas.beside(axes, 0.8, -0.75, "┊ what must hold", color=canvas.INK)
    canvas.label(axes, "times as good as anomalib PatchCore")
    return figure


def accuracy(found: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> Figure:
    """Image AUROC of each product, a dot a contestant."""
    products = list(next(iter(found.values())))
    figure, axes = canvas.blank(7.5, 1.6 + 0.3 * len(products))
    colours = {"anomalib_patchcore": canvas.VERMILLION, "eagleray_patchcore": canvas.BLUE, "same_patches": canvas.SKY}
    for line, (contestant, figures) in enumerate(found.items()):
        pairs = [(row, figures[p]["image_auroc"]) for row, p in enumerate(products)]
        shown = [(row, value) for row, value in pairs if value is not None]
        axes.scatter([value for _, value in shown], [row for row, _ in shown], s=38, color=colours[contestant])
        mean = np.mean([value for _, value in shown])
        text = f"● {NAMES[contestant]}, mean {mean:.3f}"
        canvas.beside(axes, 0.01, 0.6 * line - 2.2, text, color=colours[contestant], weight="bold")
    axes.set_ylim(len(products) - 0.5, -2.6)
    axes.grid(axis="x", color=canvas.FAINT, linewidth=0.8)
    canvas.name_ticks(axes, "y", range(len(products)), products)
    canvas.label(axes, "image AUROC, same bank rows, weights, taps and size")
    return figure


def limits(tracks: Mapping[str, Mapping[str, Any]]) -> Figure:
    """How many times its limit each stage costs."""
    shown = {name: track for name, track in tracks.items() if track["of_limit"] is not None}
    figure, axes = canvas.blank(7.5, 1.0 + 0.4 * len(shown))
    for row, track in enumerate(shown.values()):
        axes.barh(row, track["of_limit"] - 1, 0.5, left=1, color=canvas.BLUE)
        canvas.write(axes, max(track["of_limit"], 1) * 1.05, row, f"{track['of_limit']:.2f} x", color=canvas.BLUE)
    axes.axvline(1, color=canvas.INK, linewidth=1)
    axes.invert_yaxis()
    _log_axis(axes)
    canvas.name_ticks(axes, "y", range(len(shown)), [name.replace("_", " ") for name in shown])
    canvas.label(axes, "times what the limit costs")
    return figure


def _log_axis(axes: Axes) -> None:
    """Factors along x, as plain numbers."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [digit * 10.0**power for power in range(-2, 5) for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def draw_all(results: Mapping[str, Any], folder: Path) -> None:
    """Write ratios.png, accuracy.png and limits.png."""
    ratios(results["tracks"]).savefig(folder / "ratios.png")
    accuracy(results["accuracy"]).savefig(folder / "accuracy.png")
    limits(results["tracks"]).savefig(folder / "limits.png")
