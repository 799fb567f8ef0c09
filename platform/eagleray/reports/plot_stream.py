"""Pictures of the stream: AUROC by class and step, forgetting, bank rows, and which classes share an expert."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from eagleray.arrays import AnyArray
from eagleray.reports.canvas import (
    FAINT,
    FONT_PT,
    HATCHED,
    INK,
    MUTED,
    beside,
    blank,
    expert_colour,
    label,
    name_ticks,
    shortened,
    spread,
    step_ticks,
    write,
)
from eagleray.reports.plot_heat import heat_map, shade_bar
from eagleray.reports.wording import count, signed

MOST_ANNOTATED = 15
"""Most classes and steps for which every cell of the heat map carries its figure."""
MOST_LABELLED = 6
"""Most experts whose lines are coloured and labelled; of more, only the lowest is."""
MARKS = {"learn": "+", "update": "↻", "remove": "−"}


def auroc_matrix(results: Mapping[str, Any]) -> AnyArray:
    """Image AUROC after each step, (S, C) in stream and class order; NaN where a class is not known."""
    return np.array(results["matrix"], dtype=float).reshape(len(results["matrix"]), len(results["order"]))


def auroc_by_step(results: Mapping[str, Any]) -> Figure | None:
    """Heat map of image AUROC, classes down and steps across; None with fewer than two figures."""
    auroc_CS = auroc_matrix(results).T
    if np.isfinite(auroc_CS).sum() < 2:
        return None
    num_classes, num_steps = auroc_CS.shape
    annotated = max(num_classes, num_steps) <= MOST_ANNOTATED
    cell_w, cell_h = (min(0.8, 7.3 / num_steps), 0.38) if annotated else (6.9 / num_steps, min(0.24, 12 / num_classes))
    fig, axes = blank((1.9 if annotated else 2.5) + cell_w * num_steps, 1.2 + cell_h * num_classes)
    mesh = heat_map(axes, auroc_CS, annotated=annotated)
    _mark_removed(axes, results, auroc_CS)
    size = FONT_PT if annotated else max(5.0, min(FONT_PT, 62 * cell_h))
    name_ticks(axes, "y", range(num_classes), [shortened(n) for n in results["order"]], fontsize=size)
    _name_steps(axes, results["stream"], annotated)
    if not annotated:
        shade_bar(axes, mesh)
    return fig


def _mark_removed(axes: Axes, results: Mapping[str, Any], auroc_CS: AnyArray) -> None:
    """Shade the cells from a class's removal on, so that they do not read as "not learned yet"."""
    for number, step in enumerate(results["stream"], start=1):
        if step["op"] != "remove" or step["class"] not in results["order"]:
            continue
        row = results["order"].index(step["class"])
        later = auroc_CS[row, number - 1 :]
        width = int(np.argmax(np.isfinite(later))) if np.isfinite(later).any() else len(later)
        axes.add_patch(Rectangle((number - 0.5, row - 0.5), width, 1, facecolor=HATCHED, edgecolor="white", lw=1.2))
        if auroc_CS.shape[1] <= MOST_ANNOTATED:
            write(axes, number, row, "gone", ha="center", fontsize=FONT_PT - 2.5, color=MUTED)


def _name_steps(axes: Axes, stream: list[dict[str, Any]], annotated: bool) -> None:
    if not annotated:
        step_ticks(axes, len(stream))
        label(axes, "step")
        return
    names = [f"{step['step']}  {MARKS[step['op']]} {shortened(step['class'], 14)}" for step in stream]
    name_ticks(axes, "x", range(1, len(stream) + 1), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", pad=2, labelsize=FONT_PT - 1, labelcolor=MUTED)


def change_since_learned(results: Mapping[str, Any]) -> AnyArray:
    """Image AUROC now minus right after the class was learned, (S, C); NaN in that step and where not known."""
    auroc_SC = auroc_matrix(results)
    change_SC = np.full_like(auroc_SC, np.nan)
    for j, column in enumerate(auroc_SC.T):
        start = np.nan  # forgotten at removal: a class that comes back is judged from its second learning on
        for i, value in enumerate(column):
            if np.isnan(value) or np.isnan(start):
                start = value
            else:
                change_SC[i, j] = value - start
    return change_SC


def forgetting_by_step(results: Mapping[str, Any]) -> Figure | None:
    """Lines of forgetting over steps, the mean and each expert's; None before anything can be forgotten."""
    mean_S = np.array([step["mean_forgetting"] for step in results["stream"]], dtype=float)
    return forgetting_lines(_change_by_expert(results), mean_S)


def forgetting_lines(lines: Mapping[int, AnyArray], mean_S: AnyArray | None = None) -> Figure | None:
    """A line of forgetting over steps for each expert, by its number, and a bold one for the mean where there is one;
    None where no line has two points.
    """
    drawn = [*lines.values()] if mean_S is None else [*lines.values(), mean_S]
    if all(np.isfinite(line_S).sum() < 2 for line_S in drawn):
        return None
    steps = np.arange(1, len(drawn[0]) + 1)
    fig, axes = blank(9.4, 3.6)
    axes.axhline(0, color=MUTED, lw=0.8)
    ends = []
    many = len(lines) > MOST_LABELLED
    for expert, line_S in lines.items():
        colour = FAINT if many else expert_colour(expert)
        axes.plot(steps, line_S, color=colour, lw=1.0 if many else 1.6, marker="" if many else "o", ms=3)
        last = line_S[np.isfinite(line_S)][-1]
        ends.append((last, f"expert {expert}  {signed(last)}", MUTED if many else colour, "normal"))
    ends = [min(ends)] if many else ends
    if mean_S is not None:
        axes.plot(steps, mean_S, color=INK, lw=2.6, solid_capstyle="round")
        last_mean = mean_S[np.isfinite(mean_S)][-1]
        ends.append((last_mean, f"mean  {signed(last_mean)}", INK, "bold"))
    # A range of a few thousandths would blow noise up to drama.
    bottom, top = axes.get_ylim()
    axes.set(xlim=(1, steps[-1] * 1.02), ylim=(min(bottom, -0.05), max(top, 0.02)))
    height = np.ptp(axes.get_ylim())
    for y, (_, text, colour, weight) in zip(spread([e[0] for e in ends], 0.07 * height), ends, strict=True):
        beside(axes, 1.005, y, text, color=colour, weight=weight)
    axes.grid(axis="y", color=FAINT, lw=0.6)
    step_ticks(axes, len(steps))
    label(axes, "step", "change of image AUROC")
    return fig


def _change_by_expert(results: Mapping[str, Any]) -> dict[int, AnyArray]:
    """Mean change since learning over the classes an expert holds after each step, by expert, where there is any."""
    change_SC, order, stream = change_since_learned(results), results["order"], results["stream"]
    experts = sorted({int(e) for step in stream for e in step["classes_per_expert"]})
    lines = {}
    for expert in experts if change_SC.size and len(experts) > 1 else ():
        line_S = np.full(len(stream), np.nan)
        for i, step in enumerate(stream):
            held = [order.index(name) for name in step["classes_per_expert"].get(str(expert), []) if name in order]
            known = change_SC[i, held][np.isfinite(change_SC[i, held])]
            line_S[i] = known.mean() if known.size else np.nan
        if np.isfinite(line_S).any():
            lines[expert] = line_S
    return lines


def rows_by_step(results: Mapping[str, Any]) -> Figure | None:
    """Stacked bars of bank rows per expert over steps, with each expert's share of its budget."""
    stream = results["stream"]
    experts = sorted({int(e) for step in stream for e in step["rows_per_expert"]})
    if not experts or len(stream) < 2:
        return None
    rows_ES = np.array([[step["rows_per_expert"].get(str(e), 0) for step in stream] for e in experts], dtype=float)
    fig, axes = blank(9.4, 3.8)
    steps, base_S = np.arange(1, len(stream) + 1), np.zeros(len(stream))
    for expert, rows_S in zip(experts, rows_ES, strict=True):
        width, gap = (0.82, 0.8) if len(steps) <= 30 else (1.0, 0.0)  # many thin bars shimmer: join them
        axes.bar(steps, rows_S, width, bottom=base_S, color=expert_colour(expert), edgecolor="white", lw=gap)
        base_S = base_S + rows_S
    top = max(base_S.max(), 1.0)
    budget = results.get("budgets", {}).get("rows_per_expert")
    middles = np.cumsum(rows_ES[:, -1]) - rows_ES[:, -1] / 2
    shown = range(len(experts)) if len(experts) <= 12 else np.argsort(-rows_ES[:, -1])[:12]
    places = spread([middles[k] for k in shown], 0.075 * top)
    for y, k in zip(places, shown, strict=True):
        used = f", {100 * rows_ES[k, -1] / budget:.0f} % of {budget:,}" if budget else ""
        text = f"expert {experts[k]}  {rows_ES[k, -1]:,.0f}{used}"
        beside(axes, 1.01, y, text, color=expert_colour(experts[k]), weight="bold", fontsize=FONT_PT - 0.5)
    axes.set_xlim(0.4, steps[-1] + 0.5)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y", color=FAINT, lw=0.6)
    step_ticks(axes, len(stream))
    label(axes, "step", "bank rows")
    return fig


def shared_experts(results: Mapping[str, Any]) -> Figure | None:
    """Chips of the classes, grouped by the expert that holds them, with their similarity when they joined."""
    stream = results["stream"]
    held = {int(e): names for e, names in stream[-1]["classes_per_expert"].items()} if stream else {}
    held = {expert: names for expert, names in sorted(held.items()) if names}
    if not held:
        return None
    columns = 4
    lines = sum(-(-len(names) // columns) for names in held.values())
    height = 0.42 * lines + 0.24 * len(held) + 0.1
    fig, axes = blank(9.4, height)
    axes.set_axis_off()
    axes.set(xlim=(-0.92, columns), ylim=(height, 0))
    y = 0.1
    for expert, names in held.items():
        rows = stream[-1]["rows_per_expert"].get(str(expert), 0)
        write(axes, -0.92, y + 0.13, f"Expert {expert}", weight="bold", color=expert_colour(expert), fontsize=11)
        text = f"{count(len(names), 'class', 'classes')}, {rows:,} rows"
        write(axes, -0.92, y + 0.33, text, color=MUTED, fontsize=FONT_PT - 1.5)
        for number, name in enumerate(names):
            _chip(axes, number % columns, y + 0.42 * (number // columns), name, _joined(stream, name, expert), expert)
        y += 0.42 * -(-len(names) // columns) + 0.24
    return fig


def _joined(stream: list[dict[str, Any]], name: str, expert: int) -> str:
    """Similarity of a class to its expert when it was learned, or "new" where it opened that expert."""
    for step in stream:
        if step["class"] == name and step["op"] == "learn":
            alone = step["classes_per_expert"].get(str(expert)) == [name]
            similarity = step["similarities"].get(str(expert))
            return "new" if alone or similarity is None else f"{similarity:.2f}"
    return ""


def _chip(axes: Axes, x: float, y: float, name: str, note: str, expert: int) -> None:
    box = FancyBboxPatch(
        (x + 0.02, y),
        0.96,
        0.34,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=expert_colour(expert) + "1f",
        edgecolor=expert_colour(expert),
        lw=0.9,
    )
    axes.add_patch(box)
    write(axes, x + 0.07, y + 0.17, shortened(name, 19), fontsize=FONT_PT - 0.5)
    write(axes, x + 0.94, y + 0.17, note, ha="right", fontsize=FONT_PT - 2, color=MUTED)
