import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from eagleray.adnas import FusionModel, FusionSettings, Product, keep_model, load_model
from eagleray.continual import FUSION_KIND
from eagleray.errors import ConfigError, StoreCorrupt, StoreError
from eagleray.experts.expert_task import one_thread
from eagleray.fusion.images import RgbdImages
from eagleray.fusion.network import NetworkConfig
from eagleray.fusion.training import patch_scores
from eagleray.storage import ModelStore, read_image_list
from tests.unit.tiny_fusion import BOTH, PIXELS, SCORING, SIZE, keep, random_network, write_pictures


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    data = write_pictures(tmp_path_factory.mktemp("solids") / "data")
    return keep(ModelStore.create(tmp_path_factory.mktemp("tiny") / "model"), data, BOTH)


@pytest.fixture
def copy(tiny, tmp_path):
    """A store of its own, of version 1 with some of its manifest changed."""

    def copy(**changes):
        store = ModelStore.create(tmp_path / "copy")
        for digest in tiny.manifest.digests():
            store.put_blob(tiny.store.get_blob(digest))
        manifest = dataclasses.replace(tiny.manifest, version=0, **changes)
        return store, dataclasses.replace(manifest, version=store.commit(manifest))

    return copy


def random_images(count, side):
    random = np.random.default_rng(0)
    shape = (count, side, side)
    return RgbdImages(
        random.integers(0, 256, (*shape, 3), np.uint8),
        random.normal(size=shape).astype(np.float32),
        random.random(shape) > 0.1,
        np.ones(shape, np.bool_),
    )


def settings(**changes):
    fields = {"network": SIZE, "image_size": PIXELS, "height_scale": 1.0, "plane_removal": False, **changes}
    return FusionSettings(genotype=BOTH, **fields)


def test_a_stored_model_says_to_the_bit_what_it_said_before(tiny):
    with warnings.catch_warnings(action="error"):
        loaded = load_model(tiny.store, tiny.store.current())
    assert loaded.settings == tiny.model.settings
    assert loaded.modalities == ("color", "depth")
    assert list(loaded.products) == ["bolt", "tray"]
    for name, product in tiny.model.products.items():
        np.testing.assert_array_equal(loaded.products[name].calibration_N, product.calibration_N)
        np.testing.assert_array_equal(loaded.products[name].summaries_ND, product.summaries_ND)
        assert loaded.products[name].num_images == product.num_images == 2
    for category in tiny.categories:
        for ours, theirs in zip(loaded.look(category.test), tiny.model.look(category.test), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        with one_thread():
            np.testing.assert_array_equal(loaded.look(category.test)[0], patch_scores(tiny.network, category.test))


def test_scores_depend_neither_on_the_other_pictures_nor_on_the_threads():
    size = NetworkConfig(width=16, channels=32)  # networks this large give other last bits for a batch, or two threads
    images = random_images(3, 128)
    model = FusionModel(settings(network=size), random_network(BOTH, images, size), {})
    scores_NHW, summaries_ND = model.look(images)
    for number in range(3):
        alone_NHW, summary_ND = model.look(images.chosen([number]))
        np.testing.assert_array_equal(alone_NHW[0], scores_NHW[number])
        np.testing.assert_array_equal(summary_ND[0], summaries_ND[number])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        np.testing.assert_array_equal(model.look(images)[0], scores_NHW)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_products_are_nearest_by_their_nearest_picture_and_then_by_name():
    def product(*rows):
        return Product(np.zeros(1, np.float32), np.array(rows, np.float32), 2)

    products = {"c": product([9, 0], [0, 4]), "b": product([3, 4], [3, 4]), "a": product([0, -5])}
    model = FusionModel(settings(), random_network(BOTH, random_images(2, 32)), products)
    assert model.nearest(np.zeros(2, np.float32)) == [("c", 4.0), ("a", 5.0), ("b", 5.0)]


def test_the_manifest_says_what_the_model_rests_on(tiny):
    manifest = tiny.store.current()
    assert (manifest.kind, manifest.version, manifest.seed) == (FUSION_KIND, 1, 0)
    assert manifest.features["genotype"] == BOTH.to_json()
    assert (manifest.features["image_size"], manifest.features["plane_removal"]) == (32, False)
    assert manifest.config == {"preset": "demo", "scoring": {"top_share": 0.05}}
    assert [(event.op, event.class_name, event.num_images) for event in manifest.history] == [
        ("learn", "bolt", 2), ("learn", "tray", 2)
    ]  # fmt: skip
    assert read_image_list(tiny.store, manifest.history[0].images) == ("0123456789abcdef", "fedcba9876543210")


def test_the_same_model_is_kept_once_and_another_is_not_put_over_it(tiny, copy):
    store, manifest = copy()
    digests = {name: ["0123456789abcdef", "fedcba9876543210"] for name in tiny.model.products}
    kept = {"config": {"preset": "demo"}, "scoring": SCORING}
    again = keep_model(store, tiny.model, tiny.network.state_dict(), digests, **kept, seed=0)
    assert again == manifest
    assert store.versions() == (1,)
    with pytest.raises(StoreError):
        keep_model(store, tiny.model, tiny.network.state_dict(), digests, **kept, seed=1)
    assert store.versions() == (1,)


def test_a_version_of_another_kind_is_refused(copy):
    store, manifest = copy(kind="mecad")
    with pytest.raises(StoreError, match="kind 'mecad', which looks at colour alone"):
        load_model(store, manifest)


DAMAGES = {
    "no architecture": ({"genotype": None}, "is no architecture of schema"),
    "an architecture without a cell": (
        {"genotype": {"schema": "eagleray.genotype/1", "cells": {"early": None, "middle": None, "late": None}}},
        "has no cell",
    ),
    "no size of the network": ({"network": None}, "features.network must be an object"),
    "a size of no network": ({"network": {"width": 0, "channels": 8}}, "--network.width must be at least 1"),
    "a word for the size of pictures": ({"image_size": "small"}, "features.image_size must be of type int"),
    "a size that cannot be halved": ({"image_size": 36}, "image_size must be a multiple of 8, got 36"),
    "no size at all": ({"image_size": 0}, "image_size must be a multiple of 8, got 0"),
    "a scale of 0": ({"height_scale": 0.0}, "height_scale must be above 0, got 0.0"),
    "a setting of tomorrow": ({"normals": True}, "features.normals must be one of"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_settings_are_named_in_one_line(tiny, copy, damage):
    changes, told = DAMAGES[damage]
    store, manifest = copy(features={**tiny.manifest.features, **changes})
    with pytest.raises(StoreCorrupt) as caught:
        load_model(store, manifest)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{store.uri} version 1: the settings of its network are damaged (")
    assert str(caught.value).endswith("; restore it from a backup, or learn the model again")
    assert len(str(caught.value).splitlines()) == 1


def test_a_setting_that_is_missing_is_named(tiny, copy):
    features = {name: value for name, value in tiny.manifest.features.items() if name != "height_scale"}
    store, manifest = copy(features=features)
    with pytest.raises(StoreCorrupt, match=r"damaged \(features must be complete .*height_scale"):
        load_model(store, manifest)


def test_a_manifest_without_a_network_is_refused(copy):
    store, manifest = copy(blobs={})
    with pytest.raises(StoreCorrupt, match="version 1: the manifest lacks the network in blobs"):
        load_model(store, manifest)


def test_weights_of_another_network_are_refused_in_one_line(tiny, copy):
    store, manifest = copy(features={**tiny.manifest.features, "network": {"width": 8, "channels": 8}})
    with pytest.raises(StoreCorrupt, match="holds no weights of this network; restore it") as caught:
        load_model(store, manifest)
    assert caught.value.args[0] == store.blob_path(manifest.blobs["network"])
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "told"), [(b"no arrays", "network"), (b"no arrays", "bolt"), ("the other kind", "bolt")]
)
def test_blobs_of_something_else_are_refused(tiny, copy, content, told):
    store, manifest = copy()
    digest = manifest.blobs["network"] if content == "the other kind" else store.put_blob(content)
    if told == "network":
        manifest = dataclasses.replace(manifest, blobs={"network": digest})
    else:
        entry = dataclasses.replace(manifest.classes["bolt"], blob=digest)
        manifest = dataclasses.replace(manifest, classes={**manifest.classes, "bolt": entry})
    expected = "no weights of this network" if told == "network" else "no product of a fusion network"
    with pytest.raises(StoreCorrupt, match=expected) as caught:
        load_model(store, manifest)
    assert caught.value.args[0] == store.blob_path(digest)


@pytest.mark.parametrize("part", ["network", "tray"])
def test_altered_and_missing_blobs_are_named(copy, part):
    store, manifest = copy()
    digest = manifest.blobs["network"] if part == "network" else manifest.classes[part].blob
    path = Path(store.blob_path(digest))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(StoreCorrupt, match="does not match its sha256") as caught:
        load_model(store, manifest)
    assert caught.value.args[0] == str(path)
    path.unlink()
    with pytest.raises(StoreCorrupt, match="is gone"):
        load_model(store, manifest)


def test_settings_are_checked_when_they_are_made():
    with pytest.raises(ConfigError, match="height_scale must be above 0"):
        settings(height_scale=float("inf"))
    with pytest.raises(ConfigError, match="image_size must be a multiple of 8"):
        settings(image_size=-8)


def test_the_manifest_on_disk_is_json_that_any_reader_takes(tiny):
    text = (Path(tiny.store.uri) / "versions/1.json").read_text()
    assert json.loads(text)["features"]["height_scale"] == tiny.model.settings.height_scale
