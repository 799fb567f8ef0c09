"""What is compared: each track with our figure, the peer's, the ratio, and what physics allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One comparison."""

    unit: str
    more_is_better: bool
    ours: float
    peer: float | None = None
    """The other's, measured in the same run."""
    limit: float | None = None
    """What this machine could do at best, in the unit of `ours`."""
    ratio_bar: float | None = None
    """`ratio` must be at least this."""
    limit_bar: float | None = None
    """`of_limit` must be at most this."""
    rounds: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    """Ours and the peer's, of which the figures are the medians."""

    @property
    def ratio(self) -> float | None:
        """How many times as good as the peer; above 1 ours is better."""
        if self.peer is None:
            return None
        return self.ours / self.peer if self.more_is_better else self.peer / self.ours

    @property
    def of_limit(self) -> float | None:
        """How many times what the limit costs."""
        if self.limit is None:
            return None
        return self.limit / self.ours if self.more_is_better else self.ours / self.limit

    @property
    def holds(self) -> bool | None:
        """Whether all bars are held; None without one."""
        held = []
        if self.ratio_bar is not None and self.ratio is not None:
            held.append(self.ratio >= self.ratio_bar)
        if self.limit_bar is not None and self.of_limit is not None:
            held.append(self.of_limit <= self.limit_bar)
        return all(held) if held else None

    def as_json(self) -> dict[str, Any]:
        return {
            "ours": self.ours,
            "peer": self.peer,
            "ratio": self.ratio,
            "limit": self.limit,
            "of_limit": self.of_limit,
            "unit": self.unit,
            "more_is_better": self.more_is_better,
            "ratio_bar": self.ratio_bar,
            "limit_bar": self.limit_bar,
            "holds": self.holds,
            "rounds": {"ours": self.rounds[0], "peer": self.rounds[1]},
        }


Figures = Sequence[Mapping[str, Any]]
"""What a contestant wrote, a round each."""


def limits_of(found: Figures, rows: int, projection_dim: int) -> dict[str, Any]:
    """Limits of the stages from what the limits' rounds measured: the fastest the machine was, the median of the parts.

    The rows of a bank need the distance of every point to every row, and every point read at least once.
    """
    best = {key: max(float(f[key]) for f in found) for key in ("float32_flops", "float64_flops", "read_bytes_per_s")}
    points = found[0]["num_points"]
    ms = {part: median(float(f["ms"][part]) for f in found) for part in ("predict", "backbone", "product")}
    point_bytes = points * projection_dim * 4
    arithmetic_s = 2 * points * rows * projection_dim / best["float64_flops"]
    return {
        **best,
        "backbone_flops": float(found[0]["backbone_flops"]),
        "num_points": float(points),
        "embedding_images_per_s": best["float32_flops"] / found[0]["backbone_flops"],
        "select_s": max(arithmetic_s, point_bytes / best["read_bytes_per_s"]),
        "textbook_select_s": rows * point_bytes / best["read_bytes_per_s"],
        "predict_ms": ms["predict"],
        "backbone_ms": ms["backbone"],
        "product_ms": ms["product"],
        "fit_parts_s": {part: median(f["fit_parts_s"][part] for f in found) for part in found[0]["fit_parts_s"]},
    }


def speed_tracks(found: Mapping[str, Figures], limits: Mapping[str, Any]) -> dict[str, Track]:
    """Tracks of the speed rounds: ours and ours on the same patches against anomalib, ours against the floor."""
    tracks = {}
    for prefix, ours, peer in (
        ("", "eagleray_patchcore", "anomalib_patchcore"),
        ("same_patches.", "same_patches", "anomalib_patchcore"),
        ("floor.", "eagleray_patchcore", "floor"),
    ):
        for name, (unit, more, read) in _STAGES.items():
            pair = tuple(tuple(read(f) for f in found[who]) for who in (ours, peer))
            mine = not prefix  # bars and limits are of ours as it is
            tracks[prefix + name] = Track(
                unit=unit,
                more_is_better=more,
                ours=median(pair[0]),
                peer=median(pair[1]),
                limit=_stage_limit(name, limits) if mine else None,
                ratio_bar=_BARS.get(name) if mine else None,
                rounds=(pair[0], pair[1]),
            )
    tracks["choosing_rows"] = Track(
        unit="s", more_is_better=False, ours=limits["fit_parts_s"]["rows"], limit=limits["select_s"]
    )
    tracks["prediction_in_process"] = Track(
        unit="ms/image",
        more_is_better=False,
        ours=limits["predict_ms"],
        limit=limits["backbone_ms"] + limits["product_ms"],
        limit_bar=1.3,
    )
    return tracks


def accuracy_tracks(means: Mapping[str, Mapping[str, float | None]]) -> dict[str, Track]:
    """Tracks of mean accuracy by contestant and figure; figures that the data cannot give are left out."""
    tracks = {}
    for prefix, ours in (("", "eagleray_patchcore"), ("same_patches.", "same_patches")):
        for figure, value in means[ours].items():
            peer = means["anomalib_patchcore"][figure]
            if value is not None and peer is not None:
                bar = 1.0 if figure == "image_auroc" and not prefix else None
                tracks[prefix + figure] = Track(unit="mean", more_is_better=True, ours=value, peer=peer, ratio_bar=bar)
    return tracks


def stream_tracks(runs: Sequence[Mapping[str, Any]]) -> dict[str, Track]:
    """Ours, the first of the runs, against the best of the others by final average."""
    ours = runs[0]
    peer = max(runs[1:], key=lambda run: run["final_average"])
    return {
        "stream.final_average": Track(
            unit="image AUROC", more_is_better=True, ours=ours["final_average"], peer=peer["final_average"]
        ),
        "stream.seconds": Track(unit="s", more_is_better=False, ours=ours["seconds"], peer=peer["seconds"]),
    }


def _fit_s(figures: Mapping[str, Any]) -> float:
    return float(figures["seconds"]["embed"] + figures["seconds"]["select"])


_STAGES: dict[str, tuple[str, bool, Any]] = {
    "fit": ("s", False, _fit_s),
    "embedding": ("images/s", True, lambda f: f["num_train"] / f["seconds"]["embed"]),
    "coreset": ("s", False, lambda f: f["seconds"]["select"]),
    "prediction": ("images/s", True, lambda f: f["num_test"] / f["seconds"]["predict"]),
    "peak_memory": ("MB", False, lambda f: f["peak_mb"]),
}
_BARS = {"fit": 40.0, "prediction": 5.0, "peak_memory": 3.0}


def _stage_limit(name: str, limits: Mapping[str, Any]) -> float | None:
    parts_ms = limits["backbone_ms"] + limits["product_ms"]
    return {
        "embedding": limits["embedding_images_per_s"],
        "coreset": limits["select_s"],
        "prediction": 1e3 / parts_ms,
    }.get(name)
