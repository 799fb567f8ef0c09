import numpy as np
import pytest
from PIL import Image

from eagleray.errors import BadImage, DataError
from eagleray.fusion.textures import generate_textures, read_textures


def save(path, value, size=(20, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(path)


def test_textures_depend_on_the_seed_and_the_number_of_each_alone():
    textures = generate_textures(10, 48, 1)
    assert textures.shape == (10, 48, 48, 3)
    assert textures.dtype == np.uint8
    np.testing.assert_array_equal(textures, generate_textures(10, 48, 1))
    np.testing.assert_array_equal(textures[:3], generate_textures(3, 48, 1))
    assert (textures != generate_textures(10, 48, 2)).any(axis=(1, 2, 3)).all()


def test_no_two_textures_are_alike_and_none_is_flat():
    textures = generate_textures(20, 48, 0).astype(float)
    assert textures.std(axis=(1, 2)).max(axis=1).min() > 3
    means = textures.mean(axis=(1, 2))
    apart = np.abs(means[:, None] - means[None]).max(axis=2)
    assert apart[~np.eye(20, dtype=bool)].min() > 2


def test_a_users_folder_is_read_with_the_folders_inside_it(tmp_path):
    save(tmp_path / "woven" / "b.jpg", 200)
    save(tmp_path / "a.PNG", 10)
    save(tmp_path / ".hidden.png", 50)
    (tmp_path / "notes.txt").write_text("no picture")
    textures = read_textures(str(tmp_path), 16, 40, 0)
    assert textures.shape == (2, 16, 16, 3)
    assert [round(float(value), -1) for value in textures[..., 0].mean(axis=(1, 2))] == [10, 200]


def test_of_too_many_pictures_the_seed_chooses(tmp_path):
    for value in range(30):
        save(tmp_path / f"{value:02}.png", value)

    def chosen(seed):
        return read_textures(str(tmp_path), 4, 5, seed)[:, 0, 0, 0].tolist()

    assert len(set(chosen(0))) == 5
    assert chosen(0) == chosen(0) == sorted(chosen(0))
    assert chosen(0) != chosen(1)


def test_a_folder_that_cannot_be_used_is_named_in_one_line_with_the_cure(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("x")
    for name, problem in (("none", "no such folder"), ("file.txt", "is a file"), ("empty", "holds no pictures")):
        with pytest.raises(DataError, match=problem) as caught:
            read_textures(str(tmp_path / name), 16, 40, 0)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "--anomalies.textures" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    save(tmp_path / "a.png", 1)
    (tmp_path / "b.png").write_bytes(b"not a picture")
    with pytest.raises(BadImage, match=r"b\.png: cannot be read"):
        read_textures(str(tmp_path), 16, 40, 0)
