"""The job as its users run it: again on a finished folder, with new products, with more pictures, with mistakes."""

import shutil
import socket

import pytest

from eagleray.data import write_products


@pytest.fixture
def finished(folder, undisturbed, data, tmp_path):
    """A finished folder of its own, and a data folder that may be changed."""
    shutil.copytree(undisturbed.out, folder.out)
    folder.data = tmp_path / "products"
    shutil.copytree(data, folder.data)
    return folder


def test_the_same_command_again_adds_nothing(finished, undisturbed):
    finished.data = undisturbed.data
    assert finished.finish() == undisturbed.results()
    assert finished.model() == undisturbed.model()


def test_a_finished_folder_takes_a_new_product_and_more_pictures_and_forgets_another(finished, undisturbed):
    write_products(
        finished.data.parent / "more",
        num_train=12,
        num_test_good=4,
        num_test_defective=4,
        image_size=96,
        seed=1,
        classes=("denim", "wood"),
    )
    shutil.copytree(finished.data.parent / "more" / "denim", finished.data / "denim")
    for picture in (finished.data.parent / "more" / "wood" / "train" / "good").iterdir():
        shutil.copy(picture, finished.data / "wood" / "train" / "good" / f"later_{picture.name}")
    before, after = undisturbed.results(), finished.finish("--remove", "capsule")

    assert [(step["op"], step["class"]) for step in after["stream"]] == [
        *(("learn", name) for name in sorted(before["classes"])),
        ("remove", "capsule"),
        ("learn", "denim"),
        ("update", "wood"),
    ]
    assert set(after["classes"]) == {"denim", "hex_nut", "wood"}
    assert after["matrix"][0][: len(before["order"])] == before["matrix"][0]
    assert after["classes"]["wood"]["num_train"] > before["classes"]["wood"]["num_train"]
    old, new = undisturbed.model(), finished.model()
    assert {name: new[name] for name in old if name != "CURRENT"} == {n: b for n, b in old.items() if n != "CURRENT"}


def test_a_cluster_that_is_not_there_is_one_line(folder):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    done = folder.run("--address", f"127.0.0.1:{port}")
    _is_one_line(done, f"127.0.0.1:{port}", "ray start --head")


def test_the_address_of_a_dashboard_is_no_cluster(folder):
    folder.environment = {**folder.environment, "RAY_ADDRESS": "http://127.0.0.1:8265"}
    _is_one_line(folder.run(), "http://127.0.0.1:8265", "ray job submit")


@pytest.mark.parametrize("seed", ["-1", "4294967296"])
def test_a_seed_that_not_every_library_takes_is_one_line(folder, seed):
    _is_one_line(folder.run("--seed", seed), "--seed must be in 0 to 4294967295", seed)
    assert not folder.out.exists()


def test_test_images_that_no_figure_counts_are_told(finished):
    next((finished.data / "wood" / "test" / "good").iterdir()).write_bytes(b"no picture")
    done = finished.run("--address", "none", "--resume")
    assert done.returncode == 0, done.stderr
    assert "warning: 1 test images are unreadable and left out, the first is" in done.stderr


def _is_one_line(done, *parts):
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr
    assert all(part in line for part in parts), line
