"""What the steps of a simulation come to: medians, straight lines beyond them, tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

PROMISED = 100_000
STRAIGHT_FROM = 100
LINEAR = [
    *("rows", "assign_ms", "commit_ms", "route_ms", "route_untaught_ms"),
    *("judge_bytes", "banks_bytes", "manifest_bytes", "start_s", "follow_s"),
]
TABLES: dict[str, dict[str, tuple[str, float, str]]] = {
    "learning one more class: ms of CPU, medians": {
        "learn": ("learn_ms", 1, ".0f"),
        "quartiles": ("learn_low_ms", 1, ".0f"),
        "to": ("learn_high_ms", 1, ".0f"),
        "assign": ("assign_ms", 1, ".1f"),
        "fit": ("fit_ms", 1, ".0f"),
        "commit": ("commit_ms", 1, ".1f"),
        "by the tenth": ("ratio_cpu", 1, ".2f"),
        "(wall)": ("ratio_wall", 1, ".2f"),
    },
    "routing a picture: ms of CPU": {
        "taught": ("route_ms", 1, ".2f"),
        "(wall)": ("route_wall_ms", 1, ".2f"),
        "untaught": ("route_untaught_ms", 1, ".2f"),
        "right": ("routed_right", 1, ".3f"),
        "untaught called unknown": ("untaught_called_unknown", 1, ".3f"),
        "taught called unknown": ("taught_called_unknown", 1, ".3f"),
        "service starts, s": ("start_s", 1, ".2f"),
        "takes up a version, s": ("follow_s", 1, ".2f"),
    },
    "sizes: MB": {
        "experts": ("experts", 1, ",.0f"),
        "rows": ("rows", 1, ",.0f"),
        "banks": ("banks_bytes", 1e-6, ",.1f"),
        "router's memory": ("judge_bytes", 1e-6, ",.1f"),
        "manifest": ("manifest_bytes", 1e-6, ",.2f"),
        "all manifests": ("manifests_bytes", 1e-6, ",.1f"),
        "from it": ("sent_answer_of_the_expert_bytes", 1e-6, ",.2f"),
        "to the store": ("sent_new_bank_bytes", 1e-6, ",.2f"),
        "a picture scored": ("sent_patches_of_a_picture_scored_bytes", 1e-6, ",.2f"),
    },
}


def summarise(rows: Sequence[Mapping[str, Any]], window: int) -> dict[str, Any]:
    """Figures at the numbers of classes that are shown, times of the classes up to them, and lines through both.

    Times are medians over a window, and a ratio is that of the pairs in it; the first class of all, which pays for
    imports, counts only where there is no other.
    """
    shown = []
    for row in rows:
        if "figures" in row:
            near = [one for one in rows if max(1, row["k"] - window) < one["k"] <= row["k"]] or [row]
            shown.append({"k": row["k"], **_times(near), **row["figures"]})
    straight = [row for row in shown if row["k"] >= STRAIGHT_FROM]
    return {"shown": shown, "promised": _lines(straight) if len(straight) > 1 else None}


def _times(near: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Medians in ms, and quartiles of the whole."""
    stages = {stage: [1e3 * row["cpu"][stage] for row in near] for stage in near[0]["cpu"]}
    times = {f"{stage}_ms": float(np.median(values)) for stage, values in stages.items()}
    times["learn_low_ms"], times["learn_high_ms"] = np.quantile(stages["learn"], (0.25, 0.75)).tolist()
    times["learn_wall_ms"] = 1e3 * float(np.median([row["wall"]["learn"] for row in near]))
    pairs = [row for row in near if "tenth" in row]
    for clock in ("cpu", "wall") if pairs else ():
        ratios = [row[clock]["learn"] / row["tenth"][clock]["learn"] for row in pairs]
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist()
        times |= {f"ratio_{clock}": middle, f"ratio_{clock}_low": low, f"ratio_{clock}_high": high}
    return times


def _lines(shown: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What straight lines come to at the number that nobody simulated; for all manifests together, a parabola."""
    k_N = [row["k"] for row in shown]
    reached = {}
    for name in LINEAR:
        slope, level = np.polyfit(k_N, [row[name] for row in shown], 1)
        reached[name] = float(level + slope * PROMISED)
    per_class = np.polyfit(k_N, [row["manifest_bytes"] for row in shown], 1)[0]
    return {"k": PROMISED, **reached, "manifests_bytes": float(per_class * PROMISED**2 / 2)}


def tables(summary: Mapping[str, Any]) -> list[Table]:
    """What is printed: learning, routing, sizes."""
    rows = [*summary["shown"], *([summary["promised"]] if summary["promised"] else [])]
    made = []
    for title, columns in TABLES.items():
        table = Table("classes", *columns, title=title)
        for row in rows:
            cells = [_cell(row, *what) for what in columns.values()]
            table.add_row(f"{'~' if row['k'] == PROMISED else ''}{row['k']:,}", *cells)
        made.append(table)
    return made


def _cell(row: Mapping[str, float], name: str, scale: float, form: str) -> str:
    return format(scale * row[name], form) if name in row else "-"
