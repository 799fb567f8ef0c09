"""How one picture of a solid comes about: shape, damage, light and both cameras."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from scipy import ndimage

from eagleray.arrays import Bools, Floats, Pixels
from eagleray.data.synthetic.camera import photograph
from eagleray.data.synthetic.solid_defects import Damage, Modality
from eagleray.data.synthetic.solid_depth import DEPTH_NOISE, Depth, measure
from eagleray.data.synthetic.solid_light import Lamp, Scene, normals
from eagleray.data.synthetic.solid_surface import Surface

# Y, X  pixels

_VISIBLE_TONE = 0.03
"""Change of a colour, 0 to 1 as displayed, from which a pixel counts as defective."""
_VISIBLE_RISE = 3 * DEPTH_NOISE
"""Change of height from which a pixel counts as defective."""
_CLEAR_TONE, _CLEAR_RISE = 2 * _VISIBLE_TONE, 5 * DEPTH_NOISE
_CLEAR_SHARE: Mapping[Modality, float] = {"color": 0.004, "depth": 0.004, "both": 0.001}
"""Share of the picture that a defect must change clearly; smaller ones are drawn again, a few times."""
_TRIES = 20

Lighting: TypeAlias = Callable[[Scene, np.random.Generator], list[Floats]]
"""Turns a scene into one picture or several of it, linear."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect and what shows it: the color picture, the depth picture or both."""

    shows: Modality
    damage: Damage


@dataclass(frozen=True, slots=True)
class Solid:
    """A kind of object: its shape and the defects it can have."""

    shape: Callable[[int, np.random.Generator], Surface]
    defects: Mapping[str, Defect]


@dataclass(frozen=True, slots=True)
class Shot:
    """What both cameras see of one object."""

    colors: tuple[Pixels, ...]
    """Each (Y, X, 3), one per lighting."""
    depth: Depth
    normals: Floats
    """(Y, X, 3), of the true surface: without noise."""
    mask: Bools
    """(Y, X), true where the object is defective."""
    kinds: tuple[str, ...]
    """What is wrong with it in the words of Eyecandies: "bumps" or "dents", "colors"; none for a good one."""


def daylight(scene: Scene, rng: np.random.Generator) -> list[Floats]:
    """One picture under a lamp from the upper left, a weaker one from the right, and light from all around."""
    turn, rise, bright = rng.uniform(-1, 1, 3)
    key = Lamp(225 + 15 * turn, 52 + 4 * rise, 0.8 + 0.06 * bright)
    return [scene.ambient(0.3) + scene.under([key, Lamp(20 + 15 * turn, 60, 0.25)])]


def six_lights(scene: Scene, rng: np.random.Generator) -> list[Floats]:
    """The six of Eyecandies: all four spotlights, only the bottom, right, top and left one, all and the camera's."""
    turn, bright = rng.uniform(-1, 1, 2)
    spots = [scene.under([Lamp(side + 5 * turn, 48, 0.8 + 0.05 * bright)]) for side in (90, 0, 270, 180)]
    ambient, every = scene.ambient(0.12), np.asarray(np.sum(spots, axis=0), dtype=np.float32) * np.float32(0.4)
    camera = scene.under([Lamp(0, 90, 0.3)])
    return [ambient + every, *(ambient + spot for spot in spots), ambient + every + camera]


def shoot(solid: Solid, size: int, seed: np.random.SeedSequence, lighting: Lighting, defect: str | None = None) -> Shot:
    """Make one object and take its pictures; the same seed without a defect gives the same but for the damage.

    A defect that shows in depth only is left out of the scene that is lit, as if the light came from all around.
    """
    shape, lamps, camera, sensor, flaw = (np.random.default_rng(part) for part in seed.spawn(5))
    clean = solid.shape(size, shape)
    seen, lit, mask, kinds = clean, clean, np.zeros((size, size), dtype=np.bool_), list[str]()
    if defect is not None:
        shows = solid.defects[defect].shows
        seen, mask = _damaged(clean, solid.defects[defect], flaw)
        lit = replace(seen, height=clean.height) if shows == "depth" else seen
        kinds += ["bumps" if np.sum(seen.height - clean.height) > 0 else "dents"] if shows != "color" else []
        kinds += ["colors"] if shows != "depth" else []
    pictures = lighting(Scene(lit), lamps)
    colors = tuple(photograph(_displayed(picture), camera) for picture in pictures)
    return Shot(colors, measure(seen.height, sensor), normals(seen.height), mask, tuple(kinds))


def _damaged(clean: Surface, defect: Defect, rng: np.random.Generator) -> tuple[Surface, Bools]:
    for _ in range(_TRIES):
        damaged = defect.damage(clean, rng)
        tone = np.abs(_displayed(damaged.albedo) - _displayed(clean.albedo)).max(axis=2)
        rise = np.abs(damaged.height - clean.height)
        if np.mean((tone > _CLEAR_TONE) | (rise > _CLEAR_RISE)) >= _CLEAR_SHARE[defect.shows]:
            break
    changed = (tone > _VISIBLE_TONE) | (rise > _VISIBLE_RISE)
    return damaged, _outlined(changed) & (changed | (clean.body > 0.5))


def _outlined(changed: Bools) -> Bools:
    """Turn changed pixels into a mask as a person would draw it: gaps closed, holes filled."""
    closed = ndimage.binary_closing(np.pad(changed, 2), iterations=2)[2:-2, 2:-2]
    return np.asarray(ndimage.binary_fill_holes(closed), dtype=np.bool_)


def _displayed(linear: Floats) -> Floats:
    """Linear colours as a display wants them, 0 to 1, about as sRGB does."""
    return np.asarray(np.sqrt(np.clip(linear, 0, 1)), dtype=np.float32)
