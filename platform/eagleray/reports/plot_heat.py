"""A heat map of image AUROC with its figures in the cells, in the house style."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap, Normalize

from eagleray.arrays import AnyArray
from eagleray.reports.canvas import FONT_PT, INK, MUTED, bare, write
from eagleray.reports.wording import figure


def heat_map(axes: Axes, auroc_RC: AnyArray, *, annotated: bool) -> QuadMesh:
    """Draw rows downwards and columns from 1, the darker the nearer to 1; NaN stays white.

    Args:
        axes: blank ones.
        auroc_RC: image AUROC, with at least one figure.
        annotated: whether each cell carries its figure.
    """
    num_rows, num_columns = auroc_RC.shape
    low = min(0.95, np.floor(np.nanmin(auroc_RC) * 20) / 20)
    shades = LinearSegmentedColormap.from_list("ours", matplotlib.colormaps["Blues"](np.linspace(0.06, 0.92, 64)))
    scale = Normalize(low, 1.0)
    mesh = axes.pcolormesh(
        np.arange(num_columns + 1) + 0.5,
        np.arange(num_rows + 1) - 0.5,
        np.ma.masked_invalid(auroc_RC),
        cmap=shades,
        norm=scale,
        edgecolor="white",
        linewidth=1.2 if annotated else 0.3,
    )
    if annotated:
        for (row, column), value in np.ndenumerate(auroc_RC):
            if np.isfinite(value):
                colour = "white" if scale(value) > 0.62 else INK
                write(axes, column + 1, row, figure(value), ha="center", fontsize=FONT_PT - 1.5, color=colour)
    axes.invert_yaxis()
    bare(axes)
    return mesh


def shade_bar(axes: Axes, mesh: QuadMesh) -> None:
    """Put the scale of a heat map beside it."""
    bar = axes.figure.colorbar(mesh, ax=axes, fraction=0.035, pad=0.02, aspect=28)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=FONT_PT - 1, labelcolor=MUTED)
    bar.set_label("image AUROC", fontsize=FONT_PT, color=MUTED)
