"""Writes demo categories with subclasses to disk in the layout that `eagleray.data.texture_ad` reads."""

from collections.abc import Sequence
from pathlib import Path

from eagleray.data.synthetic.layout import Counts, check_numbers, choose_names, new_folder, write_product, write_readme
from eagleray.data.synthetic.subclasses import TEXTURES

_SEEN_SHARE = 3
"""Subclasses to learn from get this many times fewer test images than those that only appear in test."""
_LAYOUT = (
    "Each folder is a category and each folder in it a subclass in the layout of MVTec AD; a subclass without train/ "
    "is not to be learned from."
)


def write_textures(
    root: str | Path,
    *,
    seed: int = 0,
    num_train: int = 12,
    num_test_good: int = 10,
    num_test_defective: int = 12,
    image_size: int = 256,
    categories: Sequence[str] = (),
) -> None:
    """Generate categories with seen and unseen subclasses, never to be reported as a benchmark, with pixel masks.

    Seen subclasses have images to learn from and a third of the test images, rounded down; unseen ones, of other
    colours, scales and lights, have test images only. Each image has a seed of its own, so fewer images or fewer
    categories are a part of more, byte for byte. Defective images take the subclass's defects in turn.

    Args:
        root: an empty or a new folder.
        seed: another seed, other images.
        num_train: good images to learn from, per seen subclass.
        num_test_good: good images to test on, per unseen subclass.
        num_test_defective: defective images, per unseen subclass, over all its defects.
        image_size: side of the square images in pixels.
        categories: names from `TEXTURES`; all of them where empty.

    Raises:
        ConfigError: a number out of range.
        DataError: the folder is not empty or cannot be written to.
        UnknownClass: a name that is not in `TEXTURES`.
    """
    counts = Counts(num_train, num_test_good, num_test_defective)
    check_numbers(seed, counts, image_size)
    names = choose_names(categories, TEXTURES)
    parameters = {"seed": seed, **counts._asdict(), "image_size": image_size, "categories": names}
    of_seen = Counts(num_train, num_test_good // _SEEN_SHARE, num_test_defective // _SEEN_SHARE)
    of_unseen = counts._replace(num_train=0)
    with new_folder(root) as folder:
        write_readme(folder, "write_textures", _LAYOUT, parameters)
        for name in names:
            texture = TEXTURES[name]
            for subclasses, share in ((texture.seen, of_seen), (texture.unseen, of_unseen)):
                for subclass, product in subclasses.items():
                    write_product(folder / name / subclass, f"{name}/{subclass}", product, seed, share, image_size)
