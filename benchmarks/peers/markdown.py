"""results.json as Markdown, for the README and the log to quote."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NAMES = {
    "anomalib_patchcore": "anomalib PatchCore",
    "eagleray_patchcore": "EagleRay",
    "same_patches": "EagleRay, same patches",
    "floor": "plain loops",
}
_FIGURES = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "aupro": "AUPRO"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def digits(value: float | None, unit: str = "") -> str:
    """Three digits of a figure; AUROCs and shares have three decimals; a dash where there is none."""
    if value is None:
        return "-"
    if "AUROC" in unit or unit == "mean":
        return f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def tracks_table(tracks: Mapping[str, Mapping[str, Any]], prefix: str) -> str:
    """Tracks whose names begin with `prefix` and have no other."""
    rows = []
    for name, track in tracks.items():
        head, _, rest = name.rpartition(".")
        if head != prefix:
            continue
        unit = track["unit"]
        rows.append(
            [
                f"{rest.replace('_', ' ')}, {unit}",
                _with_range(track["ours"], track["rounds"]["ours"], unit),
                _with_range(track["peer"], track["rounds"]["peer"], unit),
                f"{track['ratio']:.2f}" if track["ratio"] is not None else "-",
                digits(track["limit"], unit),
                f"{track['of_limit']:.2f}" if track["of_limit"] is not None else "-",
                _bar(track),
            ]
        )
    return table(("", "ours", "peer", "ratio", "limit", "times the limit", "bar"), rows)


def accuracy_table(accuracy: Mapping[str, Mapping[str, Mapping[str, float | None]]], figure: str) -> str:
    """One figure by product and contestant, means over the seeds."""
    contestants = list(accuracy)
    products = list(accuracy[contestants[0]])
    rows = [[p, *(digits(accuracy[c][p][figure], "AUROC") for c in contestants)] for p in products]
    return table((_FIGURES[figure], *(NAMES[c] for c in contestants)), rows)


def stream_table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Ours and each strategy."""
    rows = [
        [r["name"], digits(r["final_average"], "AUROC"), digits(r["forgetting"], "AUROC"), digits(r["seconds"])]
        for r in runs
    ]
    return table(("", "final average", "forgetting (negative forgets)", "seconds of learning"), rows)


def limits_table(limits: Mapping[str, Any]) -> str:
    """What the limits are made of."""
    rows = [
        ["matrix product, float32, GFLOP/s", digits(limits["float32_flops"] / 1e9)],
        ["matrix product, float64, GFLOP/s", digits(limits["float64_flops"] / 1e9)],
        ["reading memory, GB/s", digits(limits["read_bytes_per_s"] / 1e9)],
        ["backbone, GFLOP/image", digits(limits["backbone_flops"] / 1e9)],
        ["embedding, images/s, backbone at the float32 rate", digits(limits["embedding_images_per_s"])],
        ["embedding, images/s, backbone alone by onnxruntime", digits(1e3 / limits["backbone_ms"])],
        ["coreset, s, all distances at the float64 rate, points read once", digits(limits["select_s"])],
        ["coreset, s, textbook loop: points read once a row", digits(limits["textbook_select_s"])],
        *([f"ours, {part}, s", digits(took)] for part, took in limits["fit_parts_s"].items()),
        ["prediction, ms/image, backbone alone", digits(limits["backbone_ms"])],
        ["prediction, ms/image, one matrix product for the neighbours", digits(limits["product_ms"])],
    ]  # fmt: skip
    return table(("limit", ""), rows)


def page(results: Mapping[str, Any]) -> str:
    """The whole report."""
    options, tracks = results["options"], results["tracks"]
    conditions = results["conditions"]
    peers = ", ".join(f"{name} {version}" for name, version in results["peer_versions"].items())
    ours = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    parts = [
        "# Benchmark against peers\n",
        f"`{results['command']}`, {results['date']}, commit {results['git_commit']}, {options['threads']} cores of "
        f"{results['machine']['cpus']} ({results['machine']['processor']}), load before a measurement "
        f"{conditions['load_median']:.1f} in the median, {conditions['load_max']:.1f} at most"
        f"{_kept(conditions)}. Ours: {ours}. Peers: {peers}.\n",
        f"Speed: {conditions['num_train']} good pictures of {conditions['speed_product']} at {options['image_size']} "
        f"px, {options['rows']} rows, {conditions['num_test']} test pictures, {options['rounds']} rounds in turn, "
        "medians (range). Ratio: how many times as good as the peer.\n",
        "## EagleRay against anomalib\n",
        tracks_table(tracks, ""),
        f"Held before the first picture was embedded, libraries included: {_loaded(conditions['loaded_mb'])}. Where "
        "both make the same patches (below), those of one picture differ by "
        f"{conditions['patches_differ']:.1e} of the largest value, without the border.\n",
        "## The same method and patches as anomalib's\n",
        tracks_table(tracks, "same_patches"),
        "## EagleRay against plain loops\n",
        tracks_table(tracks, "floor"),
        "## Limits\n",
        limits_table(results["limits"]),
        f"## Accuracy\n\n{options['category_rows']} rows, seeds {' '.join(map(str, options['seeds']))}"
        f"{'; generated demo products, no benchmark of accuracy' if conditions['generated'] else ''}.\n",
        *(accuracy_table(results["accuracy"], figure) for figure in _FIGURES),
        f"## A stream of {len(conditions['products'])} products\n\nAt most {options['stream_images']} good and "
        f"{options['stream_tests']} test pictures each, no class told at the test.\n",
        stream_table(results["stream"]),
        "![ratios](ratios.png)\n\n![accuracy](accuracy.png)\n\n![stages and their limits](limits.png)\n",
    ]
    return "\n".join(parts)


def _with_range(value: float | None, rounds: Sequence[float], unit: str) -> str:
    shown = digits(value, unit)
    return f"{shown} ({digits(min(rounds))} to {digits(max(rounds))})" if len(rounds) > 1 else shown


def _bar(track: Mapping[str, Any]) -> str:
    bars = []
    if track["ratio_bar"] is not None:
        bars.append(f"ratio >= {track['ratio_bar']:g}")
    if track["limit_bar"] is not None:
        bars.append(f"limit x {track['limit_bar']:g}")
    if not bars:
        return ""
    return f"{', '.join(bars)}: {'holds' if track['holds'] else '**missed**'}"


def _loaded(megabytes: Mapping[str, float]) -> str:
    return ", ".join(f"{NAMES[who]} {digits(held)} MB" for who, held in megabytes.items())


def _kept(conditions: Mapping[str, Any]) -> str:
    return f"; {conditions['kept']} measurements kept from an interrupted run" if conditions["kept"] else ""
