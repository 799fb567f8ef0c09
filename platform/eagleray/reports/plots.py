"""Every picture of a report with its title, its caption and words for who cannot see it; writes them as PNG."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from matplotlib.figure import Figure

from eagleray.errors import ResultsError
from eagleray.reports import plot_mixture, plot_routing, plot_scores, plot_stream, search_pictures, sweep_pictures
from eagleray.reports.files import CURE
from eagleray.reports.mixture_wording import categories, part, switches, variant_name
from eagleray.reports.wording import (
    CONTROLS,
    at_once,
    class_names,
    controls_in_order,
    count,
    figure,
    is_sweep,
    listed,
    signed,
)
from eagleray.uris import Place, place

PLOTS_FOLDER = "plots"


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A drawn picture with its words."""

    name: str
    """File name without ".png"."""
    title: str
    caption: str
    """How to read it."""
    alt: str
    """What it shows, with its figures."""
    figure: Figure


def draw_pictures(results: Mapping[str, Any], scores: pa.Table | None) -> list[Picture]:
    """Draw every picture that the figures allow, in the order of the report."""
    pictures = []
    known = sweep_pictures.PICTURES if is_sweep(results) else _PICTURES
    for name, (title, draw, caption, alt) in known.items():
        drawn = draw(results, scores)
        if drawn is not None:
            if name == "scores" and at_once(results):
                caption = SCORES_OF_CATEGORIES
            pictures.append(Picture(name=name, title=title, caption=caption, alt=alt(results), figure=drawn))
    return pictures


def write_plots(out: str | Place, pictures: list[Picture]) -> dict[str, Place]:
    """Write each picture to ``<out>/plots/<name>.png``; returns the files by name.

    Raises:
        ResultsError: the disk refused.
    """
    folder = place(out) / PLOTS_FOLDER
    files = {picture.name: folder / f"{picture.name}.png" for picture in pictures}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            files[picture.name].write_bytes(_png(picture.figure))
    except OSError as error:
        raise ResultsError(str(folder), f"plots cannot be written ({error.strerror or error}); {CURE}") from error
    return files


def _png(figure: Figure) -> bytes:
    held = io.BytesIO()
    figure.savefig(held, format="png")
    return held.getvalue()


def _strips(results: Mapping[str, Any], scores: pa.Table | None) -> Figure | None:
    return None if scores is None else plot_scores.score_strips(results, scores)


def _alt_auroc(results: Mapping[str, Any]) -> str:
    finals = [f"{n} {figure(results['classes'][n]['image_auroc'])}" for n in class_names(results)]
    return f"Heat map of image AUROC by class and step. After the last step: {listed(finals, 20)}."


def _alt_forgetting(results: Mapping[str, Any]) -> str:
    values = [step["mean_forgetting"] for step in results["stream"] if step["mean_forgetting"] is not None]
    return f"Lines of forgetting over {len(results['stream'])} steps; the mean ends at {signed(values[-1])}."


def _alt_rows(results: Mapping[str, Any]) -> str:
    last = results["stream"][-1]["rows_per_expert"]
    return (
        f"Stacked bars of bank rows over steps; at the end {listed([f'expert {e}: {r:,}' for e, r in last.items()])}."
    )


def _alt_experts(results: Mapping[str, Any]) -> str:
    held = results["stream"][-1]["classes_per_expert"]
    return "Classes by expert. " + "; ".join(f"expert {e}: {listed(n, 12)}" for e, n in held.items() if n) + "."


def _alt_scores(results: Mapping[str, Any]) -> str:
    judged = [c for c in results["classes"].values() if c["missed"] is not None and c["false_alarms"] is not None]
    missed, alarms = sum(c["missed"] for c in judged), sum(c["false_alarms"] for c in judged)
    return (
        f"Dots of image scores per class against its threshold, with {count(missed, 'missed defective image')} and "
        f"{count(alarms, 'false alarm')}."
    )


def _alt_controls(results: Mapping[str, Any]) -> str:
    means = [
        f"{CONTROLS.get(name, (name,))[0]} {figure(results['controls'][name]['image_auroc'])}"
        for name in controls_in_order(results)
    ]
    return f"Mean image AUROC of each control: {listed(means, 12)}."


def _alt_ablation(results: Mapping[str, Any]) -> str:
    rows = [row for row in part(results, "ablation") if not any(switches(row)) or all(switches(row))]
    told = [f"{row['category']}, {variant_name(switches(row))}: {figure(row['image_auroc']['mean'])}" for row in rows]
    return f"Dots of image and pixel AUROC per combination of parts. Image AUROC: {listed(told, 12)}."


def _alt_top_k(results: Mapping[str, Any]) -> str:
    rows = part(results, "top_k")
    told = []
    for name in categories(rows):
        mine = {row["k"]: row["image_auroc"]["mean"] for row in rows if row["category"] == name}
        known = {k: value for k, value in mine.items() if value is not None}
        if known:
            best = max(known, key=known.__getitem__)
            told.append(f"{name} is highest at k = {best} ({figure(known[best])})")
    return f"Lines of image and pixel AUROC over the number of experts. Image AUROC: {listed(told, 12)}."


def _alt_routing(results: Mapping[str, Any]) -> str:
    told = []
    for space in part(results, "routing_space"):
        seen = dict(zip(space["subclasses"], space["seen"], strict=True)).values()
        told.append(f"{space['category']}, {sum(seen)} seen and {len(seen) - sum(seen)} unseen subclasses")
    return f"Scatter of routing embeddings: {'; '.join(told)}."


_SHOWN = (
    f"Scores beyond {plot_scores.LOWEST:g} and {plot_scores.HIGHEST:g} thresholds are drawn at the edge; of more than "
    f"{plot_scores.MOST_CLASSES} classes, those with the lowest AUROC are shown."
)
_STRONG = (
    "Each dot is a test image; right of the line is flagged. The strong dots are mistakes: blue a false alarm, orange "
    "a missed defect."
)
SCORES_OF_CATEGORIES = f"{_STRONG} {_SHOWN}"
_Draw = Callable[[Mapping[str, Any], pa.Table | None], Figure | None]
_PICTURES: dict[str, tuple[str, _Draw, str, Callable[[Mapping[str, Any]], str]]] = {
    "auroc_by_step": (
        "Image AUROC of every class after every step",
        lambda results, _: plot_stream.auroc_by_step(results),
        "Read a row from left to right: it starts when its class is learned, and fades where the class is forgotten.",
        _alt_auroc,
    ),
    "forgetting": (
        "Forgetting over the stream",
        lambda results, _: plot_stream.forgetting_by_step(results),
        "Image AUROC now minus image AUROC when a class was learned: below zero, something was forgotten. Black is "
        "the mean over all classes, colours are the means over one expert's classes.",
        _alt_forgetting,
    ),
    "shared_experts": (
        "Which classes share an expert",
        lambda results, _: plot_stream.shared_experts(results),
        "In the order learned. The figure in a chip is the similarity to the expert when the class joined; “new” "
        "opened its expert.",
        _alt_experts,
    ),
    "rows_per_expert": (
        "Memory of each expert",
        lambda results, _: plot_stream.rows_by_step(results),
        "Rows in the experts' banks after each step, stacked; on the right the share of its budget an expert uses.",
        _alt_rows,
    ),
    "scores": (
        "Scores of good and defective images",
        _strips,
        f"{_STRONG} An image sent to another class's expert is judged by that class's threshold, so its mistake may "
        f"lie on the other side. {_SHOWN}",
        _alt_scores,
    ),
    "controls": (
        "The run against its controls",
        lambda results, _: plot_scores.controls_compared(results),
        "The same test images, scored in other ways.",
        _alt_controls,
    ),
    "routing_space": (
        "Where the routing network sees the subclasses",
        lambda results, _: plot_routing.routing_space(results),
        "Each mark is a good image, by the two directions in which its routing embeddings differ most; neighbours are "
        f"routed alike. Of more than {plot_routing.MOST_PANELS} categories, the first are shown.",
        _alt_routing,
    ),
    "ablation": (
        "What each part of the method changes",
        lambda results, _: plot_mixture.ablation_dots(results),
        "Large dots are means, small dots what they are means of, bars one standard deviation to either side. Other "
        "methods on the same test images, where measured, stand below the strong line.",
        _alt_ablation,
    ),
    "top_k": (
        "How many experts should judge an image",
        lambda results, _: plot_mixture.top_k_curves(results),
        "The experts are weighed by the routing network. The band is one standard deviation to either side.",
        _alt_top_k,
    ),
    **search_pictures.PICTURES,
}
"""File name -> title, how to draw, caption, alternative text; in the order of the report."""
