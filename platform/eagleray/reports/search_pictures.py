"""The pictures of adnas_search with their words, for `eagleray.reports.plots`; none is drawn for another job."""

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from eagleray.reports.plot_alphas import alphas
from eagleray.reports.plot_genotype import genotype_graph
from eagleray.reports.plot_pareto import PANELS, front, pareto, points_of
from eagleray.reports.search_rows import OPERATIONS, Row, feature_name, gradient_search, method_name, used_cells
from eagleray.reports.wording import figure, is_search, listed

_Draw = Callable[[Mapping[str, Any], object], Figure | None]


def _alt_genotype(results: Row) -> str:
    told = []
    for name, cell in used_cells(results["genotype"]).items():
        features = " and ".join(map(feature_name, cell["features"]))
        told.append(f"{name} cell: {features} by {', then '.join(OPERATIONS[node['op']] for node in cell['nodes'])}")
    return f"Graph of the fusion. {'; '.join(told)}; then the head."


def _alt_alphas(results: Row) -> str:
    search = gradient_search(results)
    if search is None:
        return ""
    history = search["history"]
    changes = [str(epoch["epoch"]) for epoch in history if epoch["genotype_changed"]]
    when = f"last at epoch {changes[-1]}" if changes else "never"
    return (
        f"Lines of the weights of all choices of {search['name']} over {len(history)} epochs. The genotype changed "
        f"{len(changes)} times, {when}; the merit ends at {figure(history[-1]['merit'])}."
    )


def _alt_pareto(results: Row) -> str:
    told = []
    for cost, (title, _, better) in PANELS.items():
        best = front(points_of(results, cost), better)
        names = [f"{method_name(p.method)} ({figure(p.auroc)} at {p.cost:,.0f})" for p in best]
        told.append(f"{title.lower()} {listed(names, 12)}")
    return f"Scatter of image AUROC per method. On the front {'; '.join(told)}."


PICTURES: dict[str, tuple[str, _Draw, str, Callable[[Row], str]]] = {
    "genotype": (
        "The fusion that was kept",
        lambda results, _: genotype_graph(results) if is_search(results) else None,
        "Read from left to right. Each cell takes two features of colour or depth, or the output of an earlier cell; "
        "its nodes fuse two inputs each, and all of them make its output. A cell that was left out is not drawn. The "
        "last cell feeds the head.",
        _alt_genotype,
    ),
    "alphas": (
        "How the search by gradient decided",
        lambda results, _: alphas(results),
        "The weights of the candidates of each choice, which sum to 1, over the epochs of the search by gradient. The "
        "fusion that was chosen among its best is that of the dotted line; what is in it is strong. Where lines are "
        "close there, the choice was close.",
        _alt_alphas,
    ),
    "pareto": (
        "Image AUROC against frame rate and memory",
        lambda results, _: pareto(results),
        "Large dots are means over seeds, small dots the seeds, bars one standard deviation to either side. Bold names "
        "are on the front: no other method is better in both. Nothing was chosen by these figures.",
        _alt_pareto,
    ),
}
"""File name -> title, how to draw, caption, alternative text; in the order of the report."""
