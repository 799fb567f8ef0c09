"""Data sets in a bucket read like the same files on a disk, names apart."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from eagleray.data import image_digest, is_texture_ad, open_dataset, read_texture_ad, write_products, write_textures
from eagleray.data.demo import data_or_demo
from eagleray.data.files import data_root
from eagleray.data.sizes import shown_size
from eagleray.errors import BadImage, DataError, EagleRayWarning, UnknownClass, UriError
from eagleray.features import image_size, load_image, load_mask
from eagleray.uris import Uri
from tests.unit.buckets import bucket, upload

TEXTURES = {"num_train": 2, "num_test_good": 1, "num_test_defective": 1, "image_size": 32}


def below(categories, root):
    """Everything that was read, with names below the root."""
    return repr(categories).replace(f"{root}/", "")


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    root = tmp_path_factory.mktemp("products") / "data"
    write_products(root, num_train=3, num_test_good=1, num_test_defective=2, image_size=32, classes=("wood", "hex_nut"))
    (root / "wood").rename(root / "50% wood?")
    (root / "hex_nut/train/good/.hidden.png").write_bytes(b"x")
    (root / "hex_nut/train/good/notes.txt").write_bytes(b"x")
    return root


def test_the_layout_of_mvtec_ad_reads_alike(tmp_path, products):
    root = upload(products, bucket(tmp_path))
    assert below(open_dataset(root), root).replace("50%25 wood%3F/", "50% wood?/") == below(
        open_dataset(products), products
    )
    (chosen,) = open_dataset(root, ["hex_nut"])
    assert chosen.has_masks and chosen.train[0].path == f"{root}/hex_nut/train/good/000.png"
    with pytest.raises(UnknownClass, match="'nut' in mock://"):
        open_dataset(root, ["nut"])


def test_one_category_alone_and_folders_of_good_images_read_alike(tmp_path, products):
    root = upload(products, bucket(tmp_path))
    assert below(open_dataset(root / "hex_nut"), root) == below(open_dataset(products / "hex_nut"), products)
    good = "hex_nut/train"
    assert below(open_dataset(root / good), root) == below(open_dataset(products / good), products)


def test_the_layout_of_texture_ad_reads_alike(tmp_path):
    write_textures(tmp_path / "here", **TEXTURES)
    root = upload(tmp_path / "here", bucket(tmp_path))
    assert is_texture_ad(root)
    assert below(read_texture_ad(root), root) == below(read_texture_ad(tmp_path / "here"), tmp_path / "here")


def test_a_data_set_is_listed_once(tmp_path, products, monkeypatch):
    root = upload(products, bucket(tmp_path))
    walk, asked = Uri.walk, []
    monkeypatch.setattr(Uri, "walk", lambda self: (asked.append(self), walk(self))[1])
    open_dataset(root)
    listed = data_root(root)
    assert (is_texture_ad(listed), len(open_dataset(listed))) == (False, 2)
    assert asked == [root, root]


def test_pictures_masks_sizes_and_digests_are_the_same(tmp_path, products):
    root = upload(products, bucket(tmp_path))
    for here, there in zip(open_dataset(products), open_dataset(root), strict=True):
        for one, other in zip(here.train + here.test, there.train + there.test, strict=True):
            assert np.array_equal(load_image(one.path), load_image(other.path))
            assert image_size(one.path) == image_size(other.path)
            assert shown_size(one.path) == shown_size(other.path)
            assert image_digest(one.path) == image_digest(other.path)
            assert one.mask is None or np.array_equal(load_mask(one.mask), load_mask(other.mask))


def test_of_a_picture_whose_size_is_asked_only_the_beginning_is_read(tmp_path):
    uri = bucket(tmp_path) / "large.png"
    pixels = np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, format="PNG")
    uri.parent.mkdir(parents=True, exist_ok=True)
    uri.write_bytes(held.getvalue()[:70_000])
    assert shown_size(uri) == (300, 400)
    with pytest.raises(BadImage, match="truncated"):
        load_image(uri)


def test_a_picture_that_is_none_is_named_the_same_in_every_process(tmp_path):
    root = bucket(tmp_path)
    root.mkdir(parents=True, exist_ok=True)
    (root / "no.png").write_bytes(b"no picture")
    with pytest.raises(BadImage) as caught:
        load_image(str(root / "no.png"))
    assert str(caught.value) == (
        f"{root}/no.png: cannot be read as an image (cannot identify image file '{root}/no.png'); replace or delete it"
    )
    with pytest.raises(BadImage, match="No such file"):
        load_image(str(root / "gone.png"))
    with pytest.raises(BadImage, match="No such file"):
        image_digest(str(root / "gone.png"))


@pytest.mark.parametrize("read", [load_image, load_mask, image_size, image_digest])
def test_a_bucket_that_fails_makes_no_picture_bad(tmp_path, monkeypatch, read):
    def fail(_):
        raise OSError("AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 28, Timeout was reached")

    monkeypatch.setattr("eagleray.uris.located", fail)
    with pytest.raises(UriError, match="Timeout was reached"):
        read(str(bucket(tmp_path) / "a.png"))


def test_a_mask_of_another_size_is_named(tmp_path, products):
    root = upload(products, bucket(tmp_path))
    (sample, *_) = (one for one in open_dataset(root, ["hex_nut"])[0].test if one.mask)
    held = io.BytesIO()
    Image.new("L", (8, 9)).save(held, format="PNG")
    Uri(sample.mask).write_bytes(held.getvalue())
    with pytest.raises(DataError, match=f"{sample.mask}: the mask is 8x9 pixels but its image {sample.path} is 32x32"):
        open_dataset(root)


def test_where_nothing_is_one_line_says_so(tmp_path):
    root = bucket(tmp_path)
    with pytest.raises(DataError, match=f"^{root}/nowhere: no such folder; give --data"):
        open_dataset(root / "nowhere")
    (root / "empty").mkdir(parents=True, exist_ok=True)
    with pytest.raises(DataError, match="empty: the folder is empty"):
        open_dataset(root / "empty")
    (root / "other/notes").mkdir(parents=True, exist_ok=True)
    (root / "other/notes/a.txt").write_text("x")
    with pytest.raises(DataError, match="no image in it"):
        open_dataset(root / "other")


def test_a_category_without_train_is_warned_of(tmp_path, products):
    root = upload(products, bucket(tmp_path))
    (root / "half/test/good").mkdir(parents=True, exist_ok=True)
    with pytest.warns(EagleRayWarning, match=f"{root}/half: skipped, it has test/ but no train/"):
        assert len(open_dataset(root)) == 2


def test_demo_data_of_a_run_in_a_bucket_lie_in_the_bucket(tmp_path):
    out, calls = bucket(tmp_path) / "run", []

    def write(folder):
        calls.append(folder)
        write_products(folder, num_train=2, num_test_good=1, num_test_defective=1, image_size=32, classes=("wood",))

    root = data_or_demo(None, out, write)
    assert root == out / "data"
    write(tmp_path / "here")
    assert below(open_dataset(root), root) == below(open_dataset(tmp_path / "here"), tmp_path / "here")
    assert data_or_demo(None, out, write) == root
    assert len(calls) == 2 and not os.path.exists(calls[0])  # noqa: PTH110


def test_demo_data_whose_upload_was_killed_are_written_again(tmp_path):
    out = bucket(tmp_path) / "run"
    (out / "data/wood/train/good").mkdir(parents=True, exist_ok=True)
    (out / "data/wood/train/good/000.png").write_bytes(b"half")

    def write(folder):
        write_products(folder, num_train=2, num_test_good=1, num_test_defective=1, image_size=32, classes=("wood",))

    (wood,) = open_dataset(data_or_demo(None, out, write))
    assert load_image(wood.train[0].path).shape == (32, 32, 3)
