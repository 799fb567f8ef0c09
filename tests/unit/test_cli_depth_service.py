"""`eagleray score` with depth by a running service: our own application, on this machine's loopback."""

import json
import socket
import threading
from pathlib import Path

import pytest
import uvicorn

from eagleray.data import open_rgbd
from eagleray.features import load_image
from eagleray.storage import ModelStore
from tests.unit.serve.conftest import Site
from tests.unit.tiny_fusion import BOTH, COLOR, keep, write_pictures


@pytest.fixture(scope="module")
def fusion(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fusion")
    return keep(ModelStore.create(folder / "model"), write_pictures(folder / "data"), BOTH)


@pytest.fixture(scope="module")
def serving():
    """Serve a model; gives the address."""
    running = []

    def start(store):
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(Site(store).api, log_level="error"))
        running.append((server, threading.Thread(target=server.run, args=([listening],), daemon=True)))
        running[-1][1].start()
        return "http://{}:{}".format(*listening.getsockname())

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def address(serving, fusion):
    return serving(fusion.store.uri)


@pytest.fixture
def score(run_cli):
    """Run `eagleray score` with a model or a service; returns the records, and what stderr says beside the rates."""

    def score(place, *arguments):
        code, lines, complaints = run_cli("score", *place, *arguments)
        assert code == 0, complaints
        return [json.loads(line) for line in lines], [line for line in complaints if "held out" not in line]

    return score


def test_a_service_gives_the_lines_and_heat_maps_that_the_model_gives(score, fusion, address, tmp_path):
    bolt, _ = open_rgbd(fusion.data)
    folders = sorted({Path(sample.sample.path).parents[1] for sample in bolt.test})
    given = [str(folder / "rgb") for folder in folders] + [f"--depth={folder / 'xyz'}" for folder in folders]
    local, _ = score(("--model", fusion.store.uri), *given, "--out", tmp_path / "local")
    served, complaints = score(("--address", address), *given, "--out", tmp_path / "served")
    assert (complaints, len(served)) == ([], len(bolt.test))
    for ours, theirs in zip(local, served, strict=True):
        assert {**theirs, "heatmap": ""} == {**ours, "heatmap": ""}
        assert (load_image(theirs["heatmap"]) == load_image(ours["heatmap"])).all()


def test_the_other_layout_and_a_category_work_by_a_service_too(score, fusion, address, tmp_path):
    scenes = write_pictures(tmp_path, layout="eyecandies") / "tray/val/data"
    given = (scenes, "--depth", scenes, "--category", "bolt")
    local, _ = score(("--model", fusion.store.uri), *given)
    assert score(("--address", address), *given, "--concurrency", 2) == (local, [])
    assert len(local) == 3


def test_depth_that_the_service_cannot_read_gives_a_line_that_names_it(score, fusion, address, tmp_path):
    folder = fusion.data / "bolt/validation/good"
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes((folder / f"rgb/00{number}.png").read_bytes())
    (tmp_path / "0.tiff").write_bytes(b"no points")
    (tmp_path / "1.tiff").write_bytes((folder / "xyz/001.tiff").read_bytes())
    records, complaints = score(("--address", address), tmp_path / "0.png", tmp_path / "1.png", "--depth", tmp_path)
    assert records[0]["path"] == str(tmp_path / "0.png")
    assert records[0]["error"].startswith("0.tiff: cannot be read as a TIFF")
    assert "score" in records[1]
    assert complaints == [f"warning: {tmp_path / '0.png'}: {records[0]['error']}"]


SOLID, PICTURE = "{solids}/bolt/validation/good", "{data}/dots/test/good/0.png"
MISTAKES = {
    "no depth": ("{both}", (SOLID + "/rgb",), "give --depth the depth of the pictures, as the model at http"),
    "depth for a model of colour": (
        "{dots}",
        (PICTURE, "--depth", SOLID + "/xyz"),
        "leave --depth out, as the model at",
    ),
    "depth for an architecture of colour": (
        "{color}",
        (SOLID + "/rgb", "--depth", SOLID + "/xyz"),
        "leave --depth out",
    ),
    "a picture without depth": (
        "{both}",
        (SOLID + "/rgb", "--depth", SOLID + "/xyz/000.tiff"),
        "rgb/001.png: has no depth; give its file 001.tiff",
    ),
    "an unknown category": (
        "{both}",
        (SOLID + "/rgb", "--depth", SOLID + "/xyz", "--category", "nuts"),
        "no class 'nuts' in version 1 at http",
    ),
}


@pytest.fixture(scope="module")
def addresses(serving, fusion, address, tiny_model, tmp_path_factory):
    color = keep(ModelStore.create(tmp_path_factory.mktemp("color") / "model"), fusion.data, COLOR)
    return {"both": address, "dots": serving(tiny_model.store), "color": serving(color.store.uri)}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2_before_a_picture_is_sent(
    run_cli, fusion, tiny_model, addresses, mistake
):
    place, arguments, told = MISTAKES[mistake]
    filled = [text.format(solids=fusion.data, data=tiny_model.data) for text in arguments]
    code, lines, complaints = run_cli("score", "--address", place.format(**addresses), *filled)
    assert (code, lines, len(complaints)) == (2, [], 1), complaints
    assert complaints[0].startswith("error: ")
    assert told in complaints[0]
