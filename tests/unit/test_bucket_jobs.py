"""Jobs whose pictures and results lie in a bucket write what they write on a disk, names apart."""

import json
import sys

import pytest

pytest.importorskip("ray")

from eagleray.banks import BankConfig
from eagleray.console import parse_flags, run_main
from eagleray.continual import MecadConfig
from eagleray.distributed import mixture_job, stream_job
from eagleray.distributed.mixture_job import MixtureJob, run_mixture_job
from eagleray.distributed.stream_job import PRESETS, StreamJob, run_stream_job
from eagleray.errors import ConfigError, UsageError
from eagleray.features import FeaturesConfig
from eagleray.sweeps import sweep_job
from eagleray.sweeps.kinds import SpaceSearch
from eagleray.sweeps.sweep_job import run_sweep_job
from eagleray.uris import Uri
from jobs import mecad_stream
from tests.unit.adapted_moe.conftest import BANK, DISCRIMINATOR, MIXTURE, ROUTING, SIDE, tiny_extractor, write_category
from tests.unit.buckets import bucket, upload
from tests.unit.continual.conftest import Workshop

SETTINGS = {
    "address": "none",
    "features": FeaturesConfig(image_size=SIDE),
    "mecad": MecadConfig(num_experts=2, expert_capacity=2, rows_per_class=60, rows_per_expert=100),
    "bank": BankConfig(num_prototypes=3, whitening_directions=0),
}
TAKEN = ("seconds", "peak_rss_mb", "processes", "command")


@pytest.fixture(autouse=True)
def _tiny_extractor(monkeypatch):
    for module in (mixture_job, stream_job, sweep_job):
        monkeypatch.setattr(module, "build_extractor", lambda _: tiny_extractor())


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    workshop = Workshop(tmp_path_factory.mktemp("products"))
    for name in ("bolt", "nut"):
        workshop.product(name, masks=False)
    return workshop.root / "data"


def there(out):
    """Every file of a run in a bucket."""
    return {below: (out / below).read_bytes() for below, is_file in out.walk() if is_file}


def here(out):
    """Every file of a run on a disk; locks are files of a disk alone."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name != "LOCK"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def settled(files, data, out):
    """Files without names of places and measures of time."""
    found = {}
    for name, content in files.items():
        if name.endswith((".json", ".txt")):
            text = content.decode().replace(str(data), "DATA").replace(str(out), "OUT")
            values = json.loads(text) if name.endswith(".json") else text
            if name == "results.json":
                values = {key: value for key, value in values.items() if key not in TAKEN}
                for trial in values.get("trials", []):
                    del trial["seconds"]
            found[name] = values
        else:
            found[name] = content if name.endswith(".png") or "/blobs/" in name else None
    return found


def test_a_stream_in_a_bucket_is_as_on_a_disk(tmp_path, products):
    data, out = upload(products, bucket(tmp_path) / "my data"), bucket(tmp_path) / "runs/50%"
    run_stream_job(StreamJob(data=products, out=tmp_path / "here", **SETTINGS))
    run_stream_job(StreamJob(data=data, out=out, **SETTINGS))
    first = there(out)
    assert settled(first, data, out) == settled(here(tmp_path / "here"), products, tmp_path / "here")

    run_stream_job(StreamJob(data=data, out=out, **SETTINGS))  # finished: nothing to resume, nothing to learn
    assert settled(there(out), data, out) == settled(first, data, out)
    (out / "results.json").unlink()
    with pytest.raises(ConfigError, match=f"--resume to finish the interrupted run in it, got '{out}'"):
        run_stream_job(StreamJob(data=data, out=out, **SETTINGS))
    (out / "progress/0002.json").unlink()
    run_stream_job(StreamJob(data=data, out=out, resume=True, **SETTINGS))
    assert settled(there(out), data, out) == settled(first, data, out)


def test_test_pictures_that_left_a_bucket_are_forgotten(tmp_path, products):
    data, out = upload(products, bucket(tmp_path) / "data"), bucket(tmp_path) / "out"
    run_stream_job(StreamJob(data=data, out=out, **SETTINGS))
    (data / "bolt/test/good/500.png").unlink()
    results = run_stream_job(
        StreamJob(data=data, out=out, stream=stream_job.StreamConfig(classes=("nut",)), resume=True, **SETTINGS)
    )
    assert results["classes"]["bolt"]["num_test_good"] == 3
    assert results["classes"]["nut"]["num_test_good"] == 4


def test_a_sweep_in_a_bucket_is_as_on_a_disk(tmp_path, products):
    (tmp_path / "space.yaml").write_text("mecad.num_experts: [1, 2]\n")
    data, out = upload(products, bucket(tmp_path) / "data"), bucket(tmp_path) / "out"

    def job(**places):
        return SpaceSearch(**places, **SETTINGS, space=tmp_path / "space.yaml")

    run_sweep_job(job(data=products, out=tmp_path / "here"))
    run_sweep_job(job(data=data, out=out))
    mine, yours = settled(there(out), data, out), settled(here(tmp_path / "here"), products, tmp_path / "here")
    for files in (mine, yours):
        files.pop("settings.txt")  # a fingerprint, of the data's place among others
    assert mine == yours
    with pytest.raises(ConfigError, match=f"--resume to go on with the run in it, got '{out}'"):
        run_sweep_job(job(data=data, out=out))


def test_a_mixture_in_a_bucket_is_as_on_a_disk(tmp_path):
    write_category(tmp_path / "data/cloth")
    data, out = upload(tmp_path / "data", bucket(tmp_path) / "data"), bucket(tmp_path) / "out"
    settings = {key: SETTINGS[key] for key in ("address", "features")}
    parts = {"mixture": MIXTURE, "routing": ROUTING, "discriminator": DISCRIMINATOR, "bank": BANK, **settings}
    run_mixture_job(MixtureJob(data=tmp_path / "data", out=tmp_path / "here", **parts))
    run_mixture_job(MixtureJob(data=data, out=out, **parts))
    mine, yours = settled(there(out), data, out), settled(here(tmp_path / "here"), tmp_path / "data", tmp_path / "here")
    for files in (mine, yours):
        for name in [name for name in files if name.endswith("made_of.json")]:
            files.pop(name)  # says of which files pictures were made
    assert mine == yours
    with pytest.raises(ConfigError, match="--resume"):
        run_mixture_job(MixtureJob(data=data, out=out, **parts))


def test_flags_take_uris_and_paths(tmp_path):
    job = parse_flags(PRESETS, ["--data", "s3://line/images", "--out", "runs/a"], description="")
    assert (job.data, str(job.out)) == (Uri("s3://line/images"), "runs/a")
    job = parse_flags(PRESETS, ["--data", f"file://{tmp_path}", "--out=gs://line/runs/a b"], description="")
    assert (job.data, job.out) == (tmp_path, Uri("gs://line/runs/a b"))
    with pytest.raises(ConfigError, match="without password"):
        parse_flags(PRESETS, ["--data", "s3://a:b@line/images"], description="")
    with pytest.raises(UsageError, match="--nonsense"):
        parse_flags(PRESETS, ["--nonsense", "s3://line/images"], description="")


def test_what_is_wrong_with_a_uri_is_one_line(monkeypatch, capsys, tmp_path):
    root = bucket(tmp_path)
    for data, says in ((f"{root}/nowhere", "no such folder"), ("gopher://line/images", "s3://bucket/...")):
        monkeypatch.setattr(sys, "argv", ["mecad_stream.py", "--data", data, "--out", f"{root}/out"])
        assert run_main(mecad_stream.main) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {data}") and says in line
