"""What `eagleray score` does with files: finds pictures, scores them one by one, writes their heat maps."""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from operator import methodcaller
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from eagleray.arrays import Pixels
from eagleray.continual import FUSION_KIND, Finding, ScoringSession
from eagleray.data import RgbdSample
from eagleray.data.depth_pairs import is_color, is_depth, pair_depth
from eagleray.data.files import IMAGE_EXTENSIONS, list_folders, list_images
from eagleray.errors import BadImage, DataError, EagleRayWarning, UsageError
from eagleray.features import load_image
from eagleray.storage import ModelStore

if TYPE_CHECKING:  # httpx and torch take a while to load, and most scoring does without
    from eagleray.adnas import FusionSession
    from eagleray.service_client import Scored, ServedModel, ServiceClient


@dataclass(frozen=True, slots=True)
class Picture:
    """One file to score."""

    path: Path
    """As the user wrote it, or below the folder that the user named."""
    heatmap: Path
    """Where its heat map goes, below the output folder."""
    sample: RgbdSample | None = None
    """With its depth, where it has one."""


def find_pictures(given: Sequence[Path], *, with_depth: bool = False) -> list[Picture]:
    """Every file given, and every image in or below every folder given, in order.

    Heat maps mirror the tree below the deepest folder that holds everything given, and keep the whole file name, so
    that no two share a name and none takes that of a picture.

    Args:
        given: files and folders.
        with_depth: of folders, take only what `is_color` does.

    Raises:
        DataError: there is none.
    """
    anchors = [path if path.is_dir() else path.parent for path in given]
    root = os.path.commonpath([os.path.abspath(anchor) for anchor in anchors]) if anchors else ""  # noqa: PTH100
    found = []
    for path in given:
        files = [path]
        if path.is_dir():
            files = [file for file in _images_below(path) if not with_depth or is_color(file)]
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


def add_depth(pictures: Sequence[Picture], given: Sequence[Path]) -> list[Picture]:
    """The pictures with their depth: of every file given, and of all depth (`is_depth`) in or below every folder given.

    Raises:
        DataError: no such file, a folder without any, or as `pair_depth`.
    """
    found = []
    for path in given:
        files = [file for file in _images_below(path) if is_depth(file)] if path.is_dir() else [path]
        if not files:
            raise DataError(str(path), "no depth in it or in its folders; give --depth TIFFs of points or *_depth.png")
        if not files[0].is_file():
            raise DataError(str(path), "no such file; give --depth the depth of the pictures, or its folder")
        found += files
    samples = pair_depth([picture.path for picture in pictures], found)
    return [replace(picture, sample=sample) for picture, sample in zip(pictures, samples, strict=True)]


def _images_below(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Images in a folder, then those in its folders, each sorted by name; a link back up is not followed."""
    real = folder.resolve()
    if real in above:
        return
    yield from list_images(folder)
    for inner in list_folders(folder):
        yield from _images_below(inner, above | {real})


def open_session(
    store: ModelStore, *, version: int | None, false_alarm_rate: float, with_depth: bool
) -> "ScoringSession | FusionSession":
    """Open a version of the model, the current one by default, whatever kind it is.

    Args:
        store: where it is.
        version: its number; None is the current one.
        false_alarm_rate: share of good pictures that may be called anomalous.
        with_depth: whether the pictures come with depth.

    Raises:
        UsageError: depth is missing, or not wanted.
        StoreError: as `ScoringSession.open`.
    """
    manifest = store.current() if version is None else store.read(version)
    place = f"in {store.uri}"
    if manifest is None or manifest.kind != FUSION_KIND:
        check_depth(needed=False, given=with_depth, place=place)
        return ScoringSession.open(store, version=version, false_alarm_rate=false_alarm_rate)
    from eagleray.adnas import FusionSession  # loads torch, which no other model needs

    session = FusionSession.open(store, version=manifest.version, false_alarm_rate=false_alarm_rate)
    check_depth(needed=session.needs_depth, given=with_depth, place=place)
    return session


def check_depth(*, needed: bool, given: bool, place: str) -> None:
    """Raise UsageError where depth is missing, or not wanted by the model in some place."""
    if needed and not given:
        raise UsageError(f"give --depth the depth of the pictures, as the model {place} looks at it")
    if given and not needed:
        raise UsageError(f"leave --depth out, as the model {place} looks at colour alone")


def score_pictures(
    session: "ScoringSession | FusionSession", pictures: Sequence[Picture], *, category: str | None, out: Path | None
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
            finding = _finding(session, picture, pixels, category)
        except DataError as error:
            unreadable += 1
            yield _complaint(picture, error)
            continue
        promised[finding.category] = finding.threshold.attained_rate
        heatmap = None
        if out is not None:
            heatmap = out / picture.heatmap
            _write_png(heatmap, session.heat_map(pixels, finding))
        yield json.dumps(_record(picture.path, finding, session.judge.version, heatmap))
    _check_any_scored(pictures, unreadable)
    _warn_of_rates(session.judge.false_alarm_rate, promised)


def _finding(
    session: "ScoringSession | FusionSession", picture: Picture, pixels_YX3: Pixels, category: str | None
) -> Finding:
    if isinstance(session, ScoringSession):
        return session.score(pixels_YX3, category=category)
    return session.score(pixels_YX3 if picture.sample is None else picture.sample, category=category)


def score_by_service(
    client: "ServiceClient",
    model: "ServedModel",
    pictures: Sequence[Picture],
    *,
    category: str | None,
    out: Path | None,
    concurrency: int,
) -> Iterator[str]:
    """As `score_pictures`, by a running service that gets at most `concurrency` pictures at once.

    Args:
        client: of the service.
        model: what it answers with.
        pictures: with their depth, where the model needs that.
        category: the class that all of them show; without it, each one decides.
        out: folder for heat maps.
        concurrency: see above.

    Raises:
        UnknownClass: the service's model does not know the category.
        ServiceError: the service cannot be reached, refused us, or answers nonsense.
        DataError: no picture could be read.
        ResultsError: a heat map cannot be written.
    """
    unreadable = 0
    files = (picture.sample or picture.path for picture in pictures)
    answers = client.score_files(
        files, model=model, category=category, heatmap=out is not None, concurrency=concurrency
    )
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


def _complaint(picture: Picture, error: DataError) -> str:
    """Warn of a picture that cannot be read, and give its line, which names the file where that is the depth's."""
    warnings.warn(str(error), EagleRayWarning, stacklevel=3)
    path, problem = error.args
    return json.dumps({"path": str(picture.path), "error": problem if path == str(picture.path) else str(error)})


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
