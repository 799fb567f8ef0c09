"""What `eagleray score` does with files: finds pictures, scores them one by one, writes their heat maps."""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import methodcaller
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from eagleray.arrays import Pixels
from eagleray.continual import Finding, ScoringSession
from eagleray.data.files import IMAGE_EXTENSIONS, list_folders, list_images
from eagleray.errors import BadImage, DataError, EagleRayWarning
from eagleray.features import load_image

if TYPE_CHECKING:  # httpx takes a while to load, and scoring without a service does without
    from eagleray.service_client import Scored, ServiceClient


@dataclass(frozen=True, slots=True)
class Picture:
    """One file to score."""

    path: Path
    """As the user wrote it, or below the folder that the user named."""
    heatmap: Path
    """Where its heat map goes, below the output folder."""


def find_pictures(given: Sequence[Path]) -> list[Picture]:
    """Every file given, and every image in or below every folder given, in order.

    Heat maps mirror the tree below the deepest folder that holds everything given, and keep the whole file name, so
    that no two share a name and none takes that of a picture.

    Raises:
        DataError: there is none.
    """
    anchors = [path if path.is_dir() else path.parent for path in given]
    root = os.path.commonpath([os.path.abspath(anchor) for anchor in anchors]) if anchors else ""  # noqa: PTH100
    found = []
    for path in given:
        files = list(_images_below(path)) if path.is_dir() else [path]
        if not files:
            formats = ", ".join(sorted(extension[1:] for extension in IMAGE_EXTENSIONS))
            text = f"{path}: no image in it or in its folders; expected {formats}"
            warnings.warn(text, EagleRayWarning, stacklevel=2)
        for file in files:
            below = Path(os.path.relpath(os.path.abspath(file), root))  # noqa: PTH100 (links keep their names)
            found.append(Picture(file, below.with_name(f"{below.name}.heat.png")))
    if not found:
        raise DataError(" ".join(map(str, given)) or "IMAGES", "no image found; give image files or folders of images")
    return found


def _images_below(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Images in a folder, then those in its folders, each sorted by name; a link back up is not followed."""
    real = folder.resolve()
    if real in above:
        return
    yield from list_images(folder)
    for inner in list_folders(folder):
        yield from _images_below(inner, above | {real})


def score_pictures(
    session: ScoringSession, pictures: Sequence[Picture], *, category: str | None, out: Path | None
) -> Iterator[str]:
    """Score pictures in order; yields one line of JSON each, after its heat map was written.

    A picture that cannot be read gives a line with an error, and a warning.

    Raises:
        UnknownClass: the model does not know the category.
        DataError: no picture could be read.
        ResultsError: a heat map cannot be written.
    """
    unreadable = 0
    promised: dict[str, float] = {}
    for picture in pictures:
        try:
            pixels = load_image(picture.path)
        except BadImage as error:
            unreadable += 1
            yield _complaint(picture, error)
            continue
        finding = session.score(pixels, category=category)
        promised[finding.category] = finding.threshold.attained_rate
        heatmap = None
        if out is not None:
            heatmap = out / picture.heatmap
            _write_png(heatmap, session.heat_map(pixels, finding))
        yield json.dumps(_record(picture.path, finding, session.judge.version, heatmap))
    _check_any_scored(pictures, unreadable)
    _warn_of_rates(session.judge.false_alarm_rate, promised)


def score_by_service(
    client: "ServiceClient", pictures: Sequence[Picture], *, category: str | None, out: Path | None, concurrency: int
) -> Iterator[str]:
    """As `score_pictures`, by a running service that gets at most `concurrency` pictures at once.

    Raises:
        UnknownClass: the service's model does not know the category.
        ServiceError: the service cannot be reached, refused us, or answers nonsense.
        DataError: no picture could be read.
        ResultsError: a heat map cannot be written.
    """
    unreadable = 0
    paths = (picture.path for picture in pictures)
    answers = client.score_files(paths, category=category, heatmap=out is not None, concurrency=concurrency)
    for picture, answer in zip(pictures, answers, strict=True):
        if isinstance(answer, BadImage):
            unreadable += 1
            yield _complaint(picture, answer)
            continue
        heatmap = None
        if out is not None:
            heatmap = out / picture.heatmap
            _write_whole(heatmap, methodcaller("write", answer.heatmap))
        yield json.dumps(_service_record(picture.path, answer, heatmap))
    _check_any_scored(pictures, unreadable)


def _complaint(picture: Picture, error: BadImage) -> str:
    """Warn of a picture that cannot be read, and give its line."""
    warnings.warn(str(error), EagleRayWarning, stacklevel=3)
    return json.dumps({"path": str(picture.path), "error": error.args[1]})


def _check_any_scored(pictures: Sequence[Picture], unreadable: int) -> None:
    if unreadable == len(pictures):
        raise DataError(str(pictures[0].path), f"none of {unreadable} images could be read; give other images")


def _warn_of_rates(wished: float, promised: dict[str, float]) -> None:
    """Say so where a class has too few held-out good pictures for the wished false-alarm rate."""
    above = [f"{rate:.2g} for {name}" for name, rate in sorted(promised.items()) if rate > wished]
    if above:
        text = f"too few good images were held out for --false-alarm-rate {wished:g}; what can be promised is"
        warnings.warn(f"{text} {', '.join(above)}", EagleRayWarning, stacklevel=2)


def _write_png(path: Path, pixels: Pixels) -> None:
    # The usual level 6 takes longer than scoring does, for a fifth of the bytes.
    _write_whole(path, lambda stream: Image.fromarray(pixels).save(stream, format="PNG", compress_level=1))


def _write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    from eagleray.reports.files import write_whole  # loads all of matplotlib, which scores alone should not wait for

    write_whole(path, write)


def _record(path: Path, finding: Finding, model_version: int, heatmap: Path | None) -> dict[str, Any]:
    return {
        "path": str(path),
        "score": finding.score,
        "p_value": finding.p_value,
        "verdict": finding.verdict,
        "anomalous": finding.anomalous,
        "threshold": finding.threshold.value,
        "category": finding.category,
        "expert": finding.expert,
        "routing": [asdict(route) for route in finding.routing],
        "model_version": model_version,
        "heatmap": None if heatmap is None else str(heatmap),
    }


def _service_record(path: Path, scored: "Scored", heatmap: Path | None) -> dict[str, Any]:
    return {"path": str(path), **asdict(scored), "heatmap": None if heatmap is None else str(heatmap)}
