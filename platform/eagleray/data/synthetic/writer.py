"""Writes demo products to disk in the layout of MVTec AD."""

from collections.abc import Sequence
from pathlib import Path

from eagleray.data.synthetic.layout import Counts, check_numbers, choose_names, new_folder, write_product, write_readme
from eagleray.data.synthetic.products import PRODUCTS


def write_products(
    root: str | Path,
    *,
    seed: int = 0,
    num_train: int = 40,
    num_test_good: int = 12,
    num_test_defective: int = 18,
    image_size: int = 256,
    classes: Sequence[str] = (),
) -> None:
    """Generate demo data, never to be reported as a benchmark, in the layout of MVTec AD with pixel masks.

    Each image has a seed of its own, so fewer images or fewer classes are a part of more, byte for byte. Defective
    images take the product's defects in turn.

    Args:
        root: an empty or a new folder.
        seed: another seed, other images.
        num_train: good images to learn from, per class.
        num_test_good: good images to test on, per class.
        num_test_defective: defective images, per class, over all its defects.
        image_size: side of the square images in pixels.
        classes: names from `PRODUCTS`; all of them where empty.

    Raises:
        ConfigError: a number out of range.
        DataError: the folder is not empty or cannot be written to.
        UnknownClass: a name that is not in `PRODUCTS`.
    """
    counts = Counts(num_train, num_test_good, num_test_defective)
    check_numbers(seed, counts, image_size)
    names = choose_names(classes, PRODUCTS)
    parameters = {"seed": seed, **counts._asdict(), "image_size": image_size, "classes": names}
    with new_folder(root) as folder:
        write_readme(folder, "write_products", "The layout is that of MVTec AD.", parameters)
        for name in names:
            write_product(folder / name, name, PRODUCTS[name], seed, counts, image_size)
