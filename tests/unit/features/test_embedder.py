import dataclasses
import os
import pickle
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from eagleray.errors import EagleRayWarning, WeightsMissing
from eagleray.features import Extractor, FeaturesConfig, TorchEmbedder, build_extractor, embedder
from eagleray.features.embedder import build_network


def pictures(count, size=64):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def opened(extractor):
    return extractor.open()


def test_onnxruntime_equals_torch_on_random_pictures(opened, small):
    network = TorchEmbedder(small, device="cpu")
    for picture in [*pictures(3), np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)]:
        ours, theirs = opened.embed(picture), network.embed(picture)
        assert ours.shape == theirs.shape
        assert np.linalg.norm(ours - theirs) <= 1e-3 * np.linalg.norm(theirs)
        per_patch = np.linalg.norm(ours - theirs, axis=-1) / np.linalg.norm(theirs, axis=-1)
        assert per_patch.max() <= 1e-3


def test_embeddings_are_single_precision_on_the_configured_grid(opened, small):
    patches_HWD = opened.embed(pictures(1)[0])
    side = small.image_size // small.grid_stride
    assert patches_HWD.dtype == np.float32
    assert patches_HWD.shape[:2] == (side, side)
    assert np.isfinite(patches_HWD).all()


def test_a_picture_alone_decides_its_embedding(opened):
    first, second = pictures(2)
    before = opened.embed(first)
    opened.embed(second)
    np.testing.assert_array_equal(opened.embed(first), before)
    assert np.abs(opened.embed(second) - before).max() > 0.01


def test_a_batch_holds_the_embeddings_of_its_pictures_in_order(extractor, small):
    several = list(pictures(7))
    one_by_one = [extractor.open().embed(picture) for picture in several]
    together = extractor.open(parallel=3).embed_batch(several)
    np.testing.assert_array_equal(together, one_by_one)  # on CPU to the last bit
    for ours, theirs in zip(TorchEmbedder(small, device="cpu").embed_batch(several), one_by_one, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_read_only_picture_is_embedded(opened, small):
    picture = pictures(1)[0]
    picture.setflags(write=False)
    np.testing.assert_allclose(opened.embed(picture), TorchEmbedder(small, device="cpu").embed(picture), atol=1e-3)


def test_a_defect_changes_the_patches_where_it_is_most(opened):
    picture = np.full((64, 64, 3), 120, np.uint8)
    scratched = picture.copy()
    scratched[48:56, 8:16] = 250
    change_HW = np.linalg.norm(opened.embed(scratched) - opened.embed(picture), axis=-1)
    assert np.unravel_index(change_HW.argmax(), change_HW.shape) == (3, 0)


@pytest.fixture(scope="module")
def plain_taps():
    """A network whose taps are laid on the grid but not scaled, with what the backbone gives."""
    config = FeaturesConfig(image_size=64, unit_taps=False)
    network, _ = build_network(config)
    images = torch.from_numpy(pictures(1))
    with torch.inference_mode():
        pixels = (images.permute(0, 3, 1, 2).float() / 255 - network.mean) / network.std
        return config, network(images)[0].numpy(), [tap[0].numpy() for tap in network.backbone(pixels)]


def pooled(tap_DHW):
    """3 x 3 mean of each channel over what lies inside, by loops."""
    result = np.empty_like(tap_DHW)
    for y in range(tap_DHW.shape[1]):
        for x in range(tap_DHW.shape[2]):
            result[:, y, x] = tap_DHW[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean(axis=(1, 2))
    return result


def test_each_tap_is_averaged_over_its_neighbours_and_laid_on_the_grid(plain_taps):
    config, patches_HWD, taps = plain_taps
    assert config.strides == (8, 16, 32)
    assert config.grid_stride == 16
    fine, same, coarse = (pooled(tap) for tap in taps)
    parts = np.split(patches_HWD.transpose(2, 0, 1), np.cumsum([len(fine), len(same)]))
    np.testing.assert_allclose(parts[1], same, rtol=1e-4, atol=1e-5)
    quarters = fine.reshape(len(fine), 4, 2, 4, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(parts[0], quarters, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(parts[2][:, ::3, ::3], coarse, rtol=1e-4, atol=1e-5)  # corners are not interpolated


def test_unit_taps_have_equal_weight(opened, plain_taps):
    _, _, taps = plain_taps
    patches_HWD = opened.embed(pictures(1)[0])
    for part in np.split(patches_HWD, np.cumsum([len(tap) for tap in taps])[:-1], axis=-1):
        np.testing.assert_allclose(np.linalg.norm(part, axis=-1), 1, rtol=1e-4)


def test_an_extractor_travels(extractor):
    again = pickle.loads(pickle.dumps(extractor))
    np.testing.assert_array_equal(again.open().embed(pictures(1)[0]), extractor.open().embed(pictures(1)[0]))


def test_an_export_does_not_tell_where_it_was_made_so_that_it_is_the_same_everywhere(extractor):
    assert b".py" not in extractor.onnx


def test_other_weights_than_the_model_was_learned_with_are_refused(small):
    with pytest.raises(WeightsMissing, match="learned with other weights"):
        TorchEmbedder(small, device="cpu", weights_sha256="0" * 64)


@pytest.fixture
def no_export(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("exported again")

    monkeypatch.setattr(embedder, "_export", refuse)


@pytest.fixture
def fake_export(monkeypatch):
    """Stand in for the slow half; counts its calls."""
    calls = []

    def export(network, image_size):
        calls.append(image_size)
        return b"a model of size %d" % image_size

    monkeypatch.setattr(embedder, "_export", export)
    monkeypatch.setattr(embedder, "build_network", lambda config: (None, "ab" * 32))
    return calls


@pytest.mark.usefixtures("no_export")
def test_the_second_build_reads_the_cache(extractor, small, cache):
    assert build_extractor(small, cache=cache) == extractor


def entry_in(folder):
    (entry,) = folder.iterdir()
    return entry


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "foreign"])
def test_a_damaged_entry_is_built_anew(damage, small, tmp_path, fake_export):
    first = build_extractor(small, cache=tmp_path)
    whole = entry_in(tmp_path).read_bytes()
    spoilt = {"flipped": whole[:-1] + b"?", "truncated": whole[:-3], "emptied": b"", "foreign": b"\xff\n\xfe"}[damage]
    entry_in(tmp_path).write_bytes(spoilt)
    assert build_extractor(small, cache=tmp_path) == first
    assert fake_export == [64, 64]
    assert entry_in(tmp_path).read_bytes() == whole


def test_other_settings_are_another_entry(small, tmp_path, fake_export):
    build_extractor(small, cache=tmp_path)
    build_extractor(dataclasses.replace(small, image_size=96), cache=tmp_path)
    build_extractor(dataclasses.replace(small, unit_taps=False), cache=tmp_path)
    assert fake_export == [64, 96, 64]
    assert len(list(tmp_path.iterdir())) == 3


def test_the_name_of_the_backbone_makes_no_second_entry_for_packaged_weights(small, tmp_path, fake_export):
    build_extractor(small, cache=tmp_path)
    with pytest.warns(EagleRayWarning, match="--features.backbone resnet18 is not used"):
        found = build_extractor(dataclasses.replace(small, backbone="resnet18"), cache=tmp_path)
    assert fake_export == [64]
    assert found.config == small


def test_weights_from_a_file_are_never_cached_because_the_file_may_change(tmp_path, fake_export):
    config = FeaturesConfig(weights="a.pth", image_size=64)
    for _ in range(2):
        build_extractor(config, cache=tmp_path / "cache")
    assert fake_export == [64, 64]
    assert not (tmp_path / "cache").exists()


def test_the_cache_is_where_the_environment_says(small, tmp_path, monkeypatch, fake_export):
    monkeypatch.setenv("EAGLERAY_CACHE", str(tmp_path / "there"))
    build_extractor(small)
    assert entry_in(tmp_path / "there").suffix == ".onnx"


def test_a_cache_that_cannot_be_written_costs_no_result(small, tmp_path, fake_export):
    (tmp_path / "file").write_text("")
    found = build_extractor(small, cache=tmp_path / "file")
    assert found == Extractor(config=small, weights_sha256="ab" * 32, onnx=b"a model of size 64")


def test_a_failed_write_leaves_nothing_behind(small, tmp_path, monkeypatch, fake_export):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    build_extractor(small, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_entry_can_be_read_by_others_as_far_as_the_umask_allows(small, tmp_path, fake_export):
    old = os.umask(0o022)
    try:
        build_extractor(small, cache=tmp_path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(entry_in(tmp_path).stat().st_mode) == 0o644
