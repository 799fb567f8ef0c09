"""Pictures that made-up defects of colour are cut from: drawn here from a seed, or a folder of the user's.

DRAEM and EasyNet take the Describable Textures Dataset. It has to be downloaded, so drawn textures are the default;
give its folder, or any other, to work as the papers do.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from eagleray.arrays import AnyArray, Floats, Pixels
from eagleray.data.files import IMAGE_EXTENSIONS
from eagleray.errors import DataError
from eagleray.features.images import load_image, resize
from eagleray.fusion.perlin import perlin_noise

# T textures, P points of one

Pattern = Callable[[np.random.Generator, Floats, Floats], Floats]
"""How much of the second colour, in [0, 1], at the points of these coordinates, in sides of the picture."""

_OCTAVES = 5


def generate_textures(num: int, size: int, seed: int) -> Pixels:
    """Draw textures of two colours each: cloudy noise, stripes, checks, spots and scratches in turn.

    Returns:
        (T, size, size, 3). Those of fewer pictures are the first ones of more.
    """
    patterns = (_clouds, _stripes, _checks, _spots, _scratches)
    return np.stack([_texture((seed, t), size, patterns[t % len(patterns)]) for t in range(num)])


def read_textures(folder: str, size: int, most: int, seed: int) -> Pixels:
    """Read a user's pictures, folders inside included, each squashed to (size, size).

    Args:
        folder: what `--anomalies.textures` names.
        size: of the result.
        most: pictures read; of more than these, `seed` chooses.
        seed: of that choice.

    Returns:
        (T, size, size, 3), in the order of their paths.

    Raises:
        DataError: there is no such folder, or no picture in it.
        BadImage: one cannot be read.
    """
    if not Path(folder).is_dir():
        problem = "is a file" if Path(folder).exists() else "no such folder"
        raise DataError(folder, f"{problem}; give --anomalies.textures a folder of pictures, or leave it out")
    found = (path for path in Path(folder).rglob("*") if path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file())
    paths = sorted(path for path in found if not path.name.startswith("."))
    if not paths:
        kinds = ", ".join(sorted(IMAGE_EXTENSIONS))
        raise DataError(folder, f"holds no pictures ({kinds}); put textures into it or leave --anomalies.textures out")
    if len(paths) > most:
        chosen = np.random.default_rng(seed).choice(len(paths), most, replace=False)
        paths = [paths[number] for number in sorted(chosen)]
    return np.stack([resize(load_image(path), size) for path in paths])


def _texture(seed: tuple[int, int], size: int, pattern: Pattern) -> Pixels:
    rng = np.random.default_rng(seed)
    rows_P, columns_P = np.indices((size, size), np.float32).reshape(2, -1) / size
    angle = rng.uniform(0, np.pi)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    y_P, x_P = cosine * rows_P - sine * columns_P, sine * rows_P + cosine * columns_P
    colors_23 = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    greys_21 = colors_23.mean(1, keepdims=True)
    first_3, second_3 = greys_21 + np.float32(rng.random()) * (colors_23 - greys_21)  # dirt and metal are grey
    color_P3 = first_3 + pattern(rng, y_P, x_P)[:, None] * (second_3 - first_3)
    color_P3 += _fractal(rng, y_P, x_P)[:, None] * rng.normal(0, 30, 3).astype(np.float32)
    color_P3 += rng.uniform(0, 12) * rng.standard_normal((size * size, 1), dtype=np.float32)
    return np.asarray(np.clip(np.rint(color_P3), 0, 255), dtype=np.uint8).reshape(size, size, 3)


def _fractal(rng: np.random.Generator, y_P: Floats, x_P: Floats) -> Floats:
    """Noise about 0 with detail at every scale: each octave is twice as fine and half as strong."""
    cells = 2 ** int(rng.integers(0, 4))
    octaves = [perlin_noise(rng, y_P * (cells * 2**k), x_P * (cells * 2**k)) * 0.5**k for k in range(_OCTAVES)]
    return np.asarray(np.sum(octaves, axis=0), dtype=np.float32)


def _clouds(rng: np.random.Generator, y_P: Floats, x_P: Floats) -> Floats:
    return np.asarray(np.clip(0.5 + _fractal(rng, y_P, x_P), 0, 1))


def _stripes(rng: np.random.Generator, y_P: Floats, x_P: Floats) -> Floats:
    waves_P = y_P * rng.uniform(3, 30) + rng.uniform(0, 0.3) * perlin_noise(rng, 4 * y_P, 4 * x_P)
    return _edges(np.sin(2 * np.pi * waves_P), rng.uniform(1, 8))


def _checks(rng: np.random.Generator, y_P: Floats, x_P: Floats) -> Floats:
    fields = 2 * np.pi * rng.uniform(2, 15)
    return _edges(np.sin(fields * y_P) * np.sin(fields * x_P), rng.uniform(1, 8))


def _spots(rng: np.random.Generator, y_P: Floats, x_P: Floats) -> Floats:
    cells = rng.uniform(6, 30)
    return _edges(perlin_noise(rng, y_P * cells, x_P * cells) - rng.uniform(0.1, 0.4), rng.uniform(4, 16))


def _scratches(rng: np.random.Generator, y_P: Floats, x_P: Floats) -> Floats:
    ridges_P = np.abs(perlin_noise(rng, y_P * rng.uniform(10, 30), x_P * rng.uniform(1, 3)))
    return _edges(rng.uniform(0.03, 0.08) - ridges_P, 20)


def _edges(wave_P: AnyArray, steepness: float) -> Floats:
    """From 0 to 1 where the wave goes through 0."""
    return np.asarray(np.clip(0.5 + steepness * wave_P, 0, 1), dtype=np.float32)
