import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from eagleray.config import from_json, to_json
from eagleray.errors import ConfigError, DataError
from eagleray.fusion.anomalies import AnomalyConfig, AnomalyGenerator
from eagleray.fusion.textures import generate_textures

SIZE = 64
TEXTURES = generate_textures(10, SIZE, 0)


def picture(seed=0):
    """A noisy disc on a smooth slope; around the disc there are no points."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    valid_YX = y**2 + x**2 < 0.8
    shade = np.where(valid_YX, 150 + 60 * x, 20)[..., None] * (1, 0.8, 0.6) + rng.normal(0, 4, (SIZE, SIZE, 3))
    height_YX = np.where(valid_YX, np.sqrt(np.clip(1.2 - y**2 - x**2, 0, None)) * 4 - 3, 0)
    return np.clip(shade, 0, 255).astype(np.uint8), height_YX.astype(np.float32), valid_YX


def generator(**fields):
    return AnomalyGenerator(AnomalyConfig(**{"share": 1.0, **fields}), SIZE, TEXTURES)


def corruptions(count=150, seed=0, **fields):
    make, rng, given = generator(**fields), np.random.default_rng(seed), picture()
    return given, [make.corrupt(*given, rng) for _ in range(count)]


def changes(given, made):
    """Where colour, height and validity differ."""
    color_YX3, height_YX, valid_YX = given
    return (made.color_YX3 != color_YX3).any(2), made.height_YX != height_YX, made.valid_YX != valid_YX


def arrays(made):
    return [getattr(made, field.name) for field in dataclasses.fields(made)]


def test_the_same_seed_gives_the_same_anomalies_and_another_seed_others():
    _, first = corruptions(20)
    _, again = corruptions(20)
    _, other = corruptions(20, seed=1)
    for one, two in zip(first, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(two), strict=True))
    assert not any(np.array_equal(one.mask_YX, two.mask_YX) for one, two in zip(first, other, strict=True))


def test_the_mask_is_where_something_changed_and_never_empty():
    given, made = corruptions(300)
    for one in made:
        np.testing.assert_array_equal(one.mask_YX, np.any(changes(given, one), axis=0))
        assert one.mask_YX.any()


def test_anomalies_lie_on_valid_points():
    given, made = corruptions()
    assert not any((one.mask_YX & ~given[2]).any() for one in made)


def test_what_comes_in_is_not_written_to():
    given, kept = picture(), picture()
    for array in given:
        array.flags.writeable = False
    make, rng = generator(), np.random.default_rng(0)
    for _ in range(50):
        make.corrupt(*given, rng)
    assert all(np.array_equal(a, b) for a, b in zip(given, kept, strict=True))


def test_colour_depth_and_both_are_a_third_each():
    given, made = corruptions(600)
    seen = [(color.any(), height.any() or valid.any()) for color, height, valid in (changes(given, m) for m in made)]
    for kind in ((True, False), (False, True), (True, True)):
        assert seen.count(kind) / 600 == pytest.approx(1 / 3, abs=0.06)


def test_anomalies_of_colour_leave_heights_and_points_untouched():
    given, made = corruptions(modalities="color")
    for one in made:
        color, height, valid = changes(given, one)
        assert color.any()
        assert not height.any()
        assert not valid.any()


def test_anomalies_of_depth_leave_colours_untouched():
    given, made = corruptions(modalities="depth")
    for one in made:
        color, height, valid = changes(given, one)
        assert not color.any()
        assert height.any() or valid.any()


def test_share_of_the_pictures_get_an_anomaly_and_the_others_stay_byte_for_byte():
    given, made = corruptions(600, share=0.25)
    changed = [one.mask_YX.any() for one in made]
    assert np.mean(changed) == pytest.approx(0.25, abs=0.06)
    for one, anomalous in zip(made, changed, strict=True):
        same = [a.tobytes() == b.tobytes() for a, b in zip(arrays(one), given, strict=False)]
        assert all(same) != anomalous
    assert not any(one.mask_YX.any() for one in corruptions(50, share=0.0)[1])


def test_a_picture_without_points_stays_as_it_is():
    color_YX3, height_YX, _ = picture()
    made = generator().corrupt(color_YX3, height_YX, np.zeros((SIZE, SIZE), bool), np.random.default_rng(0))
    assert not made.mask_YX.any()
    assert made.color_YX3 is color_YX3


def test_a_picture_with_one_point_has_its_anomaly_there():
    valid_YX = np.zeros((SIZE, SIZE), bool)
    valid_YX[3, 60] = True
    rng = np.random.default_rng(0)
    for _ in range(50):
        made = generator().corrupt(*picture()[:2], valid_YX, rng)
        np.testing.assert_array_equal(made.mask_YX, valid_YX)


def test_the_points_of_a_hole_are_gone_and_have_no_height():
    given, made = corruptions(modalities="depth", holes=1.0)
    for one in made:
        np.testing.assert_array_equal(one.valid_YX, given[2] & ~one.mask_YX)
        assert (one.height_YX[one.mask_YX] == 0).all()
        np.testing.assert_array_equal(one.height_YX[~one.mask_YX], given[1][~one.mask_YX])


def test_bumps_and_dents_are_as_high_as_asked_for_and_as_often_up_as_down():
    given, made = corruptions(400, modalities="depth", holes=0.0, heights=(0.1, 1.6))
    peaks = []
    for one in made:
        rise = (one.height_YX - given[1])[one.mask_YX]
        assert (rise > 0).all() or (rise < 0).all()
        assert np.abs(rise).min() > 0.0099  # the foot is a tenth of the height at least
        peaks.append(rise[np.abs(rise).argmax()])
        assert one.valid_YX is given[2]
    sizes = np.abs(peaks)
    assert 0.0999 < sizes.min() < 0.12
    assert 1.4 < sizes.max() < 1.6001
    assert np.mean(np.log(sizes) < np.log(0.4)) == pytest.approx(0.5, abs=0.1)  # log-uniform: half below the middle
    assert np.mean(np.array(peaks) > 0) == pytest.approx(0.5, abs=0.1)


def test_some_bumps_have_soft_rims_and_others_steep_ones():
    given, made = corruptions(modalities="depth", holes=0.0, blobs=1.0, areas=(0.05, 0.2))
    full = []
    for one in made:
        rise = np.abs(one.height_YX - given[1])[one.mask_YX]
        full.append(np.mean(rise > 0.999 * rise.max()))
    assert np.quantile(full, 0.1) < 0.1
    assert np.quantile(full, 0.9) > 0.6


@pytest.mark.parametrize("background", ["disc", "black", "white", "almost white"])
def test_a_change_of_colour_can_be_seen_on_any_background(background):
    color_YX3, height_YX, valid_YX = picture()
    if background != "disc":
        color_YX3 = np.full_like(color_YX3, 0 if background == "black" else 255)
    if background == "almost white":  # differs by too little for a patch of another place to show
        color_YX3 = color_YX3 - np.random.default_rng(5).integers(0, 3, color_YX3.shape).astype(np.uint8)
    make, rng = generator(modalities="color"), np.random.default_rng(0)
    for _ in range(200):
        made = make.corrupt(color_YX3, height_YX, valid_YX, rng)
        change = np.abs(made.color_YX3.astype(float) - color_YX3)
        assert change[made.mask_YX].mean() >= 6
        assert made.mask_YX.sum() >= 2  # half of the smallest area


def test_no_part_of_the_mask_holds_a_change_that_cannot_be_seen():
    color_YX3, height_YX, valid_YX = picture()
    make, rng = generator(modalities="color", areas=(0.05, 0.2)), np.random.default_rng(0)
    for _ in range(100):
        made = make.corrupt(color_YX3, height_YX, valid_YX, rng)
        change = np.abs(made.color_YX3.astype(float) - color_YX3).mean(2).reshape(16, 4, 16, 4)
        count = made.mask_YX.reshape(16, 4, 16, 4).sum(axis=(1, 3))
        squares = change.sum(axis=(1, 3))[count > 0] / count[count > 0]
        assert squares.min() >= 6 - 1e-9


def test_where_no_draw_can_be_seen_colours_change_by_half_the_range():
    color_YX3, height_YX, valid_YX = picture()
    black_YX3 = np.zeros_like(color_YX3)
    make = AnomalyGenerator(
        AnomalyConfig(share=1.0, modalities="color", faintest=64.0, opacity=(0.0, 0.0)), SIZE, TEXTURES
    )
    rng = np.random.default_rng(0)
    changed = [make.corrupt(black_YX3, height_YX, valid_YX, rng) for _ in range(100)]
    found = [np.unique(one.color_YX3[one.mask_YX]) for one in changed]
    assert all(values.min() >= 64 or values.max() >= 64 for values in found)
    assert any(values.tolist() == [128] for values in found)


def test_textures_are_seen_in_the_anomalies():
    plain = np.full((1, SIZE, SIZE, 3), (0, 255, 0), np.uint8)
    given = picture()
    make = AnomalyGenerator(AnomalyConfig(share=1.0, modalities="color"), SIZE, plain)
    other = generator(modalities="color")
    differs = [
        not np.array_equal(
            make.corrupt(*given, np.random.default_rng(seed)).color_YX3,
            other.corrupt(*given, np.random.default_rng(seed)).color_YX3,
        )
        for seed in range(200)
    ]
    assert 0.2 < np.mean(differs) < 0.5  # a third, and what was drawn again


def test_areas_of_masks_reach_from_spots_to_a_fifth_of_the_picture():
    everywhere_YX = np.ones((SIZE, SIZE), bool)
    color_YX3, height_YX, _ = picture()
    make, rng = generator(modalities="depth"), np.random.default_rng(0)
    areas = [make.corrupt(color_YX3, height_YX, everywhere_YX, rng).mask_YX.mean() for _ in range(400)]
    assert 0.0009 <= min(areas) < 0.002
    assert 0.12 < max(areas) <= 0.2
    assert np.mean(np.array(areas) < 0.01) == pytest.approx(0.25, abs=0.12)


def test_without_textures_they_are_drawn_or_read_from_the_users_folder(tmp_path):
    drawn = AnomalyGenerator(AnomalyConfig(num_textures=3, texture_seed=4), SIZE)
    np.testing.assert_array_equal(drawn._textures_TP3.reshape(3, SIZE, SIZE, 3), generate_textures(3, SIZE, 4))
    Image.new("RGB", (30, 20), (1, 2, 3)).save(tmp_path / "one.png")
    read = AnomalyGenerator(AnomalyConfig(textures=str(tmp_path)), SIZE)
    assert np.unique(read._textures_TP3.reshape(-1, 3), axis=0).tolist() == [[1, 2, 3]]
    with pytest.raises(DataError, match="no such folder"):
        AnomalyGenerator(AnomalyConfig(textures=str(tmp_path / "none")), SIZE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("share", 1.1),
        ("share", float("nan")),
        ("modalities", "thermal"),
        ("perlin_scales", (3, 2)),
        ("perlin_scales", (-1, 2)),
        ("areas", (0.0, 0.2)),
        ("areas", (0.1, 1.2)),
        ("blobs", -0.1),
        ("heights", (0.0, 1.0)),
        ("heights", (1.0, float("inf"))),
        ("holes", 2.0),
        ("opacity", (0.5, 0.4)),
        ("faintest", 0.0),
        ("faintest", 100.0),
        ("num_textures", 0),
        ("texture_seed", -1),
    ],
)
def test_a_wrong_setting_is_named_by_its_flag(field, value):
    with pytest.raises(ConfigError, match=f"--anomalies.{field.replace('_', '-')} must be"):
        AnomalyConfig(**{field: value})


def test_the_configuration_survives_as_json():
    config = AnomalyConfig(areas=(0.01, 0.1), perlin_scales=(1, 3), textures="somewhere")
    assert from_json(AnomalyConfig, json.loads(json.dumps(to_json(config)))) == config
