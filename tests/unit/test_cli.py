import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from eagleray import reports
from eagleray.continual import ScoringSession, load_bank
from eagleray.features import load_image
from eagleray.score_command import find_pictures
from eagleray.storage import ModelStore
from tests.unit.loopback_service import Service


@pytest.fixture
def score(run_cli, tiny_model):
    """Run `eagleray score` on the tiny model; returns the records, and what stderr says beside the rates."""

    def score(*arguments):
        code, lines, complaints = run_cli("score", "--model", tiny_model.store, *arguments)
        assert code == 0, complaints
        return [json.loads(line) for line in lines], [line for line in complaints if "held out" not in line]

    return score


@pytest.fixture
def tests(tiny_model):
    return tiny_model.data / "dots/test"


@pytest.fixture
def copy(tiny_model, tmp_path):
    """A store of its own for a test that changes it."""
    store, copy = ModelStore.open(tiny_model.store), ModelStore.create(tmp_path / "copy")
    for version in store.versions():
        manifest = store.read(version)
        for digest in manifest.digests():
            copy.put_blob(store.get_blob(digest))
        copy.commit(manifest)
    return copy


@pytest.fixture
def service(copy, tiny_model):
    service = Service(copy, tiny_model.data)
    yield service
    service.close()


def test_each_picture_gives_one_line_of_json_in_the_order_given(score, tests):
    given = [tests / "spot/1.png", tests / "good/2.png", tests / "good/0.png"]
    records, complaints = score(*given)
    assert [record["path"] for record in records] == [str(path) for path in given]
    assert records[0]["anomalous"]
    assert records[0]["score"] > 2 * max(record["score"] for record in records[1:])
    assert complaints == []
    assert list(records[0]) == [
        "path", "score", "p_value", "verdict", "anomalous", "threshold", "category", "expert", "routing",
        "model_version", "heatmap",
    ]  # fmt: skip
    assert (records[0]["category"], records[0]["model_version"], records[0]["heatmap"]) == ("dots", 2, None)
    assert [sorted(route) for route in records[0]["routing"]] == 2 * [["category", "distance", "expert"]]


def test_the_line_says_what_the_session_finds(score, tests, tiny_model):
    (record,), _ = score(tests / "spot/0.png")
    finding = ScoringSession.open(ModelStore.open(tiny_model.store)).score(load_image(tests / "spot/0.png"))
    assert (record["score"], record["p_value"]) == (finding.score, finding.p_value)
    assert record["threshold"] == finding.threshold.value


def test_folders_are_searched_in_order_of_name_and_hidden_files_left_alone(score, tests, tmp_path):
    for name in ("b/2.png", "b/deep/1.JPG", "a/10.png", "a/9.png", ".hidden/1.png", "a/.1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(tests / "good/0.png").save(tmp_path / name)
    (tmp_path / "a/notes.txt").write_text("no image")
    records, _ = score(tmp_path)
    names = [str(Path(record["path"]).relative_to(tmp_path)) for record in records]
    assert names == ["a/10.png", "a/9.png", "b/2.png", "b/deep/1.JPG"]


def test_a_link_back_up_the_tree_is_not_followed(tests, tmp_path):
    (tmp_path / "a").mkdir()
    Image.open(tests / "good/0.png").save(tmp_path / "a/0.png")
    (tmp_path / "a/again").symlink_to(tmp_path)
    assert [picture.path for picture in find_pictures([tmp_path])] == [tmp_path / "a/0.png"]


def test_heat_maps_mirror_the_tree_in_the_pictures_sizes(score, tests, tmp_path):
    records, _ = score(tests, "--out", tmp_path / "heat")
    assert len({record["heatmap"] for record in records}) == len(records) == 6
    for record in records:
        below = Path(record["path"]).relative_to(tests)
        assert record["heatmap"] == str(tmp_path / "heat" / f"{below}.heat.png")
        with Image.open(record["heatmap"]) as heat, Image.open(record["path"]) as picture:
            heat.load()
            assert (heat.format, heat.size, heat.mode) == ("PNG", picture.size, "RGB")


def test_heat_map_names_never_meet_each_other_or_a_picture(tests, tmp_path):
    for name in ("x/0.png", "x/0.jpg", "y/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.open(tests / "good/0.png").save(tmp_path / name)
    pictures = find_pictures([tmp_path / "x", tmp_path / "y/0.png"])
    heatmaps = {str(picture.heatmap) for picture in pictures}
    assert heatmaps == {"x/0.png.heat.png", "x/0.jpg.heat.png", "y/0.png.heat.png"}


def test_a_category_given_is_not_looked_for(score, tests):
    (record,), _ = score(tests / "good/0.png", "--category", "stripes")
    assert (record["category"], record["routing"], record["anomalous"]) == ("stripes", [], True)


def test_an_older_version_can_be_asked(score, tiny_model):
    (record,), _ = score(tiny_model.data / "stripes/test/good/0.png", "--version", 1)
    assert (record["category"], record["model_version"]) == ("dots", 1)


def test_models_of_other_kinds_are_asked_without_torch(tiny_model):
    code = "import sys; from eagleray import cli; code = cli.main(); sys.exit(code or 'torch' in sys.modules)"
    command = [sys.executable, "-c", code, "score", "--model", tiny_model.store, tiny_model.data / "dots/test/good"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3), done.stderr


def test_a_service_gives_the_lines_and_heat_maps_that_the_model_gives(run_cli, score, service, tests, tmp_path):
    given = (tests, tests / "good/2.png", "--out")
    locally, _ = score(*given, tmp_path / "local")
    code, lines, complaints = run_cli("score", "--address", service.address, *given, tmp_path / "served")
    served = [json.loads(line) for line in lines]
    assert (code, complaints, len(served)) == (0, [], 7)
    assert list(served[0]) == [
        "path", "score", "p_value", "verdict", "anomalous", "threshold", "category", "expert", "routing",
        "model_version", "heatmap",
    ]  # fmt: skip
    for local, remote in zip(locally, served, strict=True):
        assert remote["verdict"] == ("anomalous" if remote["anomalous"] else "good")
        shared = local.keys() - {"verdict", "heatmap"}
        assert {name: remote[name] for name in shared} == {name: local[name] for name in shared}
        assert Path(remote["heatmap"]).relative_to(tmp_path / "served") == (
            Path(local["heatmap"]).relative_to(tmp_path / "local")
        )
        assert (load_image(remote["heatmap"]) == load_image(local["heatmap"])).all()


def test_a_service_is_told_the_category_and_connections_are_kept(run_cli, service, tests):
    arguments = ("score", "--address", service.address, "--category", "stripes", "--concurrency", 2, tests)
    code, lines, _ = run_cli(*arguments)
    assert (code, {json.loads(line)["category"] for line in lines}) == (0, {"stripes"})
    assert sorted(service.requests) == ["GET /v1/model", *6 * ["POST /v1/score"]]
    assert len(service.connections) <= 2


def test_a_busy_service_is_asked_again(run_cli, service, tests):
    service.busy_for = 2
    code, lines, complaints = run_cli("score", "--address", service.address, tests / "good/0.png")
    assert (code, len(lines), complaints) == (0, 1, [])


def test_a_picture_that_a_service_cannot_read_gives_a_line_and_a_warning(run_cli, service, tests, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    given = (broken, tests / "good/0.png", tmp_path / "missing.png")
    code, lines, complaints = run_cli("score", "--address", service.address, *given)
    records = [json.loads(line) for line in lines]
    assert (code, len(complaints)) == (0, 2)
    assert records[0] == {"path": str(broken), "error": "is no image; send one"}
    assert records[1]["category"] == "dots"
    assert sorted(records[2]) == ["error", "path"]
    assert complaints[0] == f"warning: {broken}: is no image; send one"
    code, _, complaints = run_cli("score", "--address", service.address, broken)
    assert code == 2
    assert "none of 1 images could be read" in complaints[-1]


def test_the_key_comes_from_a_file_or_the_environment_and_is_never_printed(
    run_cli, service, tests, tmp_path, monkeypatch
):
    service.key = "s3cr3t"
    (right := tmp_path / "right").write_text("s3cr3t\n")
    (wrong := tmp_path / "wrong").write_text("gu3ss3d")
    score = ("score", "--address", service.address, tests / "good/0.png")
    assert run_cli(*score, "--api-key-file", right)[0] == 0
    code, lines, (told,) = run_cli(*score, "--api-key-file", wrong)
    assert (code, lines) == (2, [])
    assert "refuses the API key" in told
    assert "gu3ss3d" not in told
    assert "wants an API key" in run_cli(*score)[2][0]
    monkeypatch.setenv("EAGLERAY_API_KEY", "s3cr3t")
    assert run_cli(*score)[0] == 0
    assert run_cli(*score, "--api-key-file", wrong)[0] == 2


def test_a_version_is_published_and_learning_goes_on_where_it_was(run_cli, copy):
    assert run_cli("publish", "--model", copy.uri, "--version", 1) == (0, ["version 1 is published"], [])
    assert (copy.published(), copy.current().version) == (1, 2)
    assert run_cli("publish", "--model", copy.uri, "--version", "latest") == (0, ["version 2 is published"], [])
    assert copy.published() == 2


def test_publishing_waits_for_the_service_that_is_named(run_cli, copy, service):
    code, (line,), complaints = run_cli("publish", "--model", copy.uri, "--version", 1, "--address", service.address)
    assert (code, complaints) == (0, [])
    assert re.fullmatch(rf"version 1 answers at {service.address}, \d\.\d s after publishing", line)


def test_nothing_is_published_for_a_service_that_refuses_the_key(run_cli, copy, service):
    service.key = "s3cr3t"
    code, lines, (told,) = run_cli("publish", "--model", copy.uri, "--version", 1, "--address", service.address)
    assert (code, lines, copy.published()) == (2, [], None)
    assert "API key" in told


def test_a_rate_that_cannot_be_promised_is_told_once_and_one_that_can_is_not(run_cli, tests, tiny_model):
    arguments = ("score", "--model", tiny_model.store, tests)
    _, _, complaints = run_cli(*arguments)
    assert len(complaints) == 1
    bank = load_bank(store := ModelStore.open(tiny_model.store), store.current().classes["dots"].blob)
    promised = 1 / (bank.calibration_LN.shape[1] + 1)
    assert complaints[0].endswith(f"{promised:.2g} for dots")
    assert run_cli(*arguments, "--false-alarm-rate", promised)[2] == []


def test_an_unreadable_picture_gives_a_line_and_a_warning_and_the_others_are_scored(score, tests, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes((tests / "good/0.png").read_bytes()[:200])
    records, complaints = score(broken, tests / "good/0.png", tmp_path / "missing.png")
    assert [sorted(record) for record in records[::2]] == 2 * [["error", "path"]]
    assert records[0]["path"] == str(broken)
    assert "score" in records[1]
    assert len(complaints) == 2
    assert complaints[0].startswith(f"warning: {broken}: cannot be read")


def test_when_no_picture_can_be_read_the_exit_code_says_so(run_cli, tests, tmp_path, tiny_model):
    (tmp_path / "broken.png").write_text("no image")
    code, lines, complaints = run_cli("score", "--model", tiny_model.store, tmp_path)
    assert (code, len(lines)) == (2, 1)
    assert "none of 1 images could be read" in complaints[-1]


MODEL, PICTURE = "{model}", "{data}/dots/test/good/0.png"
MISTAKES = {
    "no images": (("score", "--model", MODEL), "no image found"),
    "no store": (("score", "--model", "{data}", PICTURE), "no model store here"),
    "no such version": (("score", "--model", MODEL, PICTURE, "--version", "9"), "no version 9"),
    "unknown category": (("score", "--model", MODEL, PICTURE, "--category", "nuts"), "no class 'nuts'"),
    "a rate of 0": (("score", "--model", MODEL, PICTURE, "--false-alarm-rate", "0"), "--false-alarm-rate"),
    "a word for a number": (("score", "--model", MODEL, PICTURE, "--version", "new"), "new"),
    "no model given": (("score", PICTURE), "--model"),
    "a model and an address": (("score", "--model", MODEL, "--address", "a", PICTURE), "either --model STORE or"),
    "a version of a service": (("score", "--address", "a", PICTURE, "--version", "1"), "--version can only be given"),
    "a rate of a service": (("score", "--address", "a", PICTURE, "--false-alarm-rate", "0.1"), "--false-alarm-rate"),
    "a key for a model": (("score", "--model", MODEL, PICTURE, "--api-key-file", "a"), "only be given with --address"),
    "no requests at once": (("score", "--address", "a", PICTURE, "--concurrency", "0"), "between 1 and 256"),
    "no address": (("score", "--address", "ftp://a", PICTURE), "--address"),
    "no key file": (("score", "--address", "a", PICTURE, "--api-key-file", "{data}"), "--api-key-file"),
    "no number to publish": (("publish", "--model", MODEL, "--version", "newest"), "newest"),
    "nothing to publish": (("publish", "--model", MODEL, "--version", "9"), "no version 9"),
    "an output folder that is a file": (("score", "--model", MODEL, PICTURE, "--out", PICTURE), "0.png"),
    "unknown flag": (("score", "--model", MODEL, PICTURE, "--colour", "red"), "--colour"),
    "unknown command": (("scoer", PICTURE), "scoer"),
    "nothing to report on": (("report", "{data}"), "results.json"),
    "rollback to nowhere": (("rollback", "--model", MODEL, "9"), "no version 9"),
    "cleaning no store": (("clean", "--model", "{data}"), "no model store here"),
    "unknown product": (("demo-data", "{data}/demo", "--classes", "spaceship"), "spaceship"),
    "unknown category of textures": (("demo-data", "{data}/demo", "--kind", "textures", "--classes", "wood"), "wood"),
    "unknown solid": (("demo-data", "{data}/demo", "--kind", "solids", "--classes", "wood"), "wood"),
    "unknown layout of solids": (("demo-data", "{data}/demo", "--kind", "solids", "--layout", "coco"), "coco"),
    "a layout of products": (("demo-data", "{data}/demo", "--layout", "mvtec_3d"), "--kind solids"),
    "unknown kind of demo data": (("demo-data", "{data}/demo", "--kind", "sounds"), "sounds"),
    "a folder in use": (("demo-data", "{data}"), "not empty"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(run_cli, tiny_model, mistake):
    arguments, told = MISTAKES[mistake]
    filled = [text.format(model=tiny_model.store, data=tiny_model.data) for text in arguments]
    code, lines, complaints = run_cli(*filled)
    assert (code, lines, len(complaints)) == (2, [], 1), complaints
    assert complaints[0].startswith("error: ")
    assert told in complaints[0]


def test_a_folder_without_images_beside_one_with_images_is_a_warning(score, tests, tmp_path):
    records, complaints = score(tmp_path, tests / "good")
    assert len(records) == 3
    assert len(complaints) == 1
    assert complaints[0].startswith(f"warning: {tmp_path}: no image in it")


def test_versions_are_listed_and_the_one_in_use_is_marked(run_cli, copy):
    _, lines, _ = run_cli("versions", "--model", copy.uri)
    rows = [line.split()[:-1] for line in lines if "learn" in line]
    assert rows == [["1", "-", "learn", "dots", "0", "1"], ["*", "2", "1", "learn", "stripes", "0", "2"]]


def test_clean_frees_what_no_version_names(run_cli, copy):
    used = set(Path(copy.uri, "blobs").iterdir())
    copy.put_blob(bytes(2_500_000))
    assert run_cli("clean", "--model", copy.uri) == (0, ["2.5 MB freed"], [])
    assert set(Path(copy.uri, "blobs").iterdir()) == used
    assert run_cli("clean", "--model", copy.uri) == (0, ["0.0 MB freed"], [])


def test_a_rollback_is_what_the_next_score_uses(run_cli, copy, tests):
    assert run_cli("rollback", "--model", copy.uri, 1) == (0, ["version 1 is in use"], [])
    _, lines, _ = run_cli("score", "--model", copy.uri, tests / "good/0.png")
    assert json.loads(lines[0])["model_version"] == 1
    assert "*" in next(line for line in run_cli("versions", "--model", copy.uri)[1] if "dots" in line)


def test_report_rebuilds_the_report_of_the_folder_given(run_cli, tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "write_report", lambda out: out / "report.html")
    assert run_cli("report", tmp_path) == (0, [str(tmp_path / "report.html")], [])


def test_demo_data_are_written(run_cli, tmp_path):
    demo = ("demo-data", tmp_path / "demo", "--classes", "hex_nut", "--image-size", 32, "--seed", 3)
    assert run_cli(*demo) == (0, [str(tmp_path / "demo")], [])
    assert [path.name for path in (tmp_path / "demo").iterdir() if path.is_dir()] == ["hex_nut"]
    assert Image.open(tmp_path / "demo/hex_nut/train/good/000.png").size == (32, 32)


def test_demo_data_can_be_textures(run_cli, tmp_path):
    demo = ("demo-data", tmp_path / "demo", "--kind", "textures", "--classes", "metal", "--image-size", 32)
    assert run_cli(*demo) == (0, [str(tmp_path / "demo")], [])
    assert [path.name for path in (tmp_path / "demo").iterdir() if path.is_dir()] == ["metal"]
    assert Image.open(tmp_path / "demo/metal/brushed_steel/train/good/000.png").size == (32, 32)


@pytest.mark.parametrize(
    ("layout", "picture"),
    [((), "train/good/rgb/000.png"), (("--layout", "eyecandies"), "train/data/000_image_5.png")],
)
def test_demo_data_can_be_solids_in_either_layout(run_cli, tmp_path, layout, picture):
    demo = ("demo-data", tmp_path / "demo", "--kind", "solids", "--classes", "tray", "--image-size", 32, *layout)
    assert run_cli(*demo) == (0, [str(tmp_path / "demo")], [])
    assert [path.name for path in (tmp_path / "demo").iterdir() if path.is_dir()] == ["tray"]
    assert Image.open(tmp_path / "demo/tray" / picture).size == (32, 32)


def test_without_arguments_the_commands_are_listed(run_cli):
    code, lines, _ = run_cli()
    assert code == 0
    assert all(any(f"• {name} " in line for line in lines) for name in ("score", "versions", "report", "demo-data"))


def test_the_version_is_told(run_cli):
    code, (line,), _ = run_cli("--version")
    assert (code, line.split()[0]) == (0, "eagleray")


def test_a_reader_that_goes_away_is_no_error(tiny_model):
    command = [sys.executable, "-m", "eagleray.cli", "score", "--model", tiny_model.store, tiny_model.data]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        complaints = process.stderr.read().decode()
    assert process.returncode == 141
    assert "Error" not in complaints


def test_a_reader_of_a_services_answers_that_goes_away_is_no_error(service, tiny_model):
    command = [sys.executable, "-m", "eagleray.cli", "score", "--address", service.address, tiny_model.data]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        complaints = process.stderr.read().decode()
    assert process.returncode == 141
    assert "Error" not in complaints


def test_a_service_that_hangs_is_not_waited_for_once_the_user_stops(service, tests):
    service.go_on.clear()
    command = [sys.executable, "-m", "eagleray.cli", "score", "--address", service.address, tests]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert service.asked.wait(60)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130  # well before the client's own time-out
    service.go_on.set()
