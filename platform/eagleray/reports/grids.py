"""Tables as plain text in rows, from which terminal, Markdown and HTML each draw their own; those of adapted_moe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from eagleray.reports.mixture_wording import (
    BASELINES,
    LOSSES,
    PARTS,
    Row,
    baseline_name,
    categories,
    part,
    reasons,
    seeds_words,
    switches,
    variants,
)
from eagleray.reports.wording import figure, signed

AUROCS = {"pixel_auroc": "P-AUROC", "image_auroc": "I-AUROC"}
"""Pixel AUROC before image AUROC, as in the paper's tables."""


class Cell(NamedTuple):
    """The text of a cell, and what is written smaller beside it; "" where there is none."""

    text: str
    around: str = ""
    """Spread of the figure."""
    change: str = ""
    """Its difference to another figure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """A table in words."""

    name: str
    """The key of the results it shows."""
    title: str
    caption: str
    """How to read it."""
    headings: list[str]
    words: frozenset[int]
    """Columns that hold words and not figures; they are set flush left."""
    rows: list[list[Cell]]
    strong: frozenset[tuple[int, int]] = frozenset()
    """Cells to stress, as (row, column)."""
    notes: Sequence[str] = ()
    """Why figures are missing, one line per reason."""
    folded: bool = False
    """Whether the report lets the reader fold it away, which it is at first where it is long."""


def mixture_grids(results: Mapping[str, Any]) -> dict[str, Grid]:
    """Every table of adapted_moe that there are figures for, by name, in the order of the report; none for another
    job.
    """
    makers = (subclasses_grid, ablation_grid, losses_grid, top_k_grid, baselines_grid, evidence_grid)
    return {grid.name: grid for grid in (make(results) for make in makers) if grid is not None}


def ablation_grid(results: Mapping[str, Any]) -> Grid | None:
    """The paper's Table 3: a row per combination of parts, a column per category and figure."""
    rows = part(results, "ablation")
    if not rows:
        return None
    names, at = categories(rows), {(switches(row), row["category"]): row for row in rows}
    combinations = variants(rows)
    columns = [(name, key) for key in AUROCS for name in names]
    lines = []
    for switched in combinations:
        line: list[Cell] = [Cell("✓" if on else "-") for on in switched]
        for name, key in columns:
            own, first = at.get((switched, name)), at.get((combinations[0], name))
            reference = first[key] if first is not None and switched != combinations[0] else None
            line.append(Cell("-") if own is None else spread_cell(own[key], reference))
        lines.append(line)
    best = {
        (row, len(PARTS) + column)
        for column, (name, key) in enumerate(columns)
        for row in highest([at[s, name][key]["mean"] if (s, name) in at else None for s in combinations])
    }
    return Grid(
        name="ablation",
        title="Ablation of the parts",
        caption=f"{seeds_words(rows)}, and the difference to the first row; the best of a column is bold. MoE: an "
        "expert for each seen subclass and a routing network. TTA: test-time adaption of the features. Norm: their "
        "normalisation.",
        headings=[f"+{title}" for title in PARTS.values()] + [f"{name}\n{AUROCS[key]}" for name, key in columns],
        words=frozenset(),
        rows=lines,
        strong=frozenset(best),
        notes=reasons(rows, AUROCS),
    )


def losses_grid(results: Mapping[str, Any]) -> Grid | None:
    """The paper's Table 4: what training the routing network with center loss changes."""
    rows = part(results, "losses")
    if not rows:
        return None
    rows = sorted(rows, key=lambda row: (categories(rows).index(row["category"]), list(LOSSES).index(row["loss"])))
    titles = AUROCS | {"routing_accuracy": "routing"}
    softmax = {row["category"]: row for row in rows if row["loss"] == "softmax"}
    lines = []
    for row in rows:
        base = softmax.get(row["category"]) if row["loss"] != "softmax" else None
        spreads = [spread_cell(row[key], base and base[key]) for key in AUROCS]
        lines.append([Cell(row["category"]), Cell(LOSSES[row["loss"]]), *spreads, spread_cell(row["routing_accuracy"])])
    return Grid(
        name="losses",
        title="Loss of the routing network",
        caption=f"{seeds_words(rows)}, and the difference to softmax loss alone. Routing: share of seen test images "
        "at the expert of their own subclass.",
        headings=["category", "loss", *titles.values()],
        words=frozenset({0, 1}),
        rows=lines,
        notes=reasons(rows, titles),
    )


def top_k_grid(results: Mapping[str, Any]) -> Grid | None:
    """The paper's Figure 6 in figures, with the speed."""
    rows = part(results, "top_k")
    if not rows:
        return None
    lines = [
        [
            Cell(row["category"]),
            Cell(str(row["k"])),
            *(spread_cell(row[key]) for key in AUROCS),
            Cell("-" if row["images_per_s"] is None else f"{row['images_per_s']:,.1f}"),
        ]
        for row in rows
    ]
    return Grid(
        name="top_k",
        title="Experts per image",
        caption=f"{seeds_words(rows)}. Speed: images a second from features at hand.",
        headings=["category", "k", *AUROCS.values(), "images/s"],
        words=frozenset({0}),
        rows=lines,
        notes=reasons(rows, AUROCS),
    )


def baselines_grid(results: Mapping[str, Any]) -> Grid | None:
    """Other methods on the same test images."""
    rows = part(results, "baselines")
    if not rows:
        return None
    order = {name: number for number, name in enumerate(BASELINES)}
    rows = sorted(rows, key=lambda r: (categories(rows).index(r["category"]), order.get(r["name"], len(order))))
    return Grid(
        name="baselines",
        title="Other methods on the same test images",
        caption=f"{seeds_words(rows)}.",
        headings=["category", "method", *AUROCS.values()],
        words=frozenset({0, 1}),
        rows=[
            [Cell(r["category"]), Cell(baseline_name(r["name"])), *(spread_cell(r[key]) for key in AUROCS)]
            for r in rows
        ],
        notes=reasons(rows, AUROCS),
    )


def evidence_grid(results: Mapping[str, Any]) -> Grid | None:
    """What the preset chose its method by."""
    rows = part(results, "evidence")
    if not rows:
        return None
    return Grid(
        name="evidence",
        title="What the method was chosen by",
        caption="Subclasses held out of training, with synthetic anomalies. No test image was looked at to choose.",
        headings=["category", "candidate", *AUROCS.values(), "chosen"],
        words=frozenset({0, 1}),
        rows=[
            [
                Cell(row["category"]),
                Cell(row["candidate"]),
                *(Cell(figure(row[key])) for key in AUROCS),
                Cell("✓" if row["chosen"] else ""),
            ]
            for row in rows
        ],
        strong=frozenset((n, column) for n, row in enumerate(rows) if row["chosen"] for column in range(1, 5)),
    )


def subclasses_grid(results: Mapping[str, Any]) -> Grid | None:
    """Each tested subclass, and the experts its test images went to."""
    rows = part(results, "subclasses")
    if not rows:
        return None
    titles = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "aupro": "AUPRO"}
    return Grid(
        name="subclasses",
        title="Figures per subclass",
        caption="A seen subclass has training images; an unseen one is met only in the test. Images: good + defective "
        "test images. Mostly routed to: the subclasses whose experts were first for most of its images, with shares.",
        headings=["category", "subclass", "seen", *titles.values(), "images", "mostly routed to"],
        words=frozenset({0, 1, 2, 7}),
        rows=[
            [
                Cell(row["category"]),
                Cell(row["subclass"]),
                Cell("seen" if row["seen"] else "unseen"),
                *(Cell(figure(row[key])) for key in titles),
                Cell(f"{row['num_test_good']:,} + {row['num_test_defective']:,}"),
                Cell(_routed(row["experts"])),
            ]
            for row in rows
        ],
        notes=reasons(rows, titles),
    )


def spread_cell(spread: Row, reference: Row | None = None) -> Cell:
    """Mean, standard deviation where there is more than one seed, and the difference to the mean of `reference`."""
    mean, std = spread["mean"], spread["std"]
    if mean is None:
        return Cell("-")
    around = f"±{std:.3f}" if std is not None and len(spread["values"]) > 1 else ""
    change = "" if reference is None or reference["mean"] is None else signed(mean - reference["mean"])
    return Cell(figure(mean), around, change)


def highest(values: Sequence[float | None]) -> list[int]:
    """Places of the highest value as it is printed, ties included."""
    printed = [None if value is None else round(value, 3) for value in values]
    top = max((value for value in printed if value is not None), default=None)
    return [place for place, value in enumerate(printed) if value is not None and value == top]


def _routed(experts: Mapping[str, float], most: int = 2) -> str:
    """ "twill 0.80, knit 0.20": the largest shares."""
    shares = sorted(experts.items(), key=lambda item: -item[1])[:most]
    return ", ".join(f"{name} {share:.2f}" for name, share in shares if share > 0) or "-"
