"""The stream job with its pictures and its results on a real S3 server, where nothing of a run stays on a disk."""

import json
import subprocess
import sys

import pytest

from tests.cluster.conftest import FLAGS, ROOT

TAKEN = ("command", "seconds", "peak_rss_mb", "processes")
"""What results say of the machine and not of the products."""


class BucketJob:
    """Runs of jobs/mecad_stream.py that share a bucket, each in a home of its own."""

    def __init__(self, s3, bucket, environment, machines):
        self.s3, self.bucket, self._machines = s3, bucket, machines
        # What every machine would have to make for itself, and takes longest.
        caches = {"EAGLERAY_CACHE": str(machines.mktemp("cache")), "MPLCONFIGDIR": str(machines.mktemp("fonts"))}
        self._environment = {**environment, **caches, **s3.environment}

    def start(self, out, *flags, data="my images", **environment):
        home = self._machines.mktemp("machine")
        places = [place if "://" in place else f"s3://{self.bucket}/{place}" for place in (data, out)]
        command = [sys.executable, str(ROOT / "jobs/mecad_stream.py"), "--data", places[0], "--out", places[1]]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        ours = {**self._environment, "HOME": str(home), **environment}
        return subprocess.Popen([*command, *FLAGS, *flags], cwd=home, env=ours, **pipes)

    def finish(self, out, *flags, **environment):
        process = self.start(out, *flags, **environment)
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors
        return self.written(out)

    def written(self, out):
        """Every object of a run, without what it took."""
        found = self.s3.objects(self.bucket, f"{out}/")
        results = json.loads(found["results.json"])
        assert found.pop("report.html").startswith(b"<!doctype html>")
        return {**found, "results.json": {key: value for key, value in results.items() if key not in TAKEN}}


@pytest.fixture(scope="module")
def job(s3, data, environment, tmp_path_factory):
    bucket = "line"
    s3.client.create_bucket(Bucket=bucket)
    for path in data.rglob("*"):
        name = f"my images/{path.relative_to(data)}"
        if path.is_file():
            s3.client.upload_file(str(path), bucket, name)
        else:
            s3.client.put_object(Bucket=bucket, Key=f"{name}/")  # as Amazon's console makes folders
    return BucketJob(s3, bucket, environment, tmp_path_factory)


@pytest.fixture(scope="module")
def calm(job):
    """What a run writes that nothing disturbs."""
    return job.finish("calm")


def test_a_run_in_a_bucket_learns_and_finds_what_one_on_a_disk_does(job, calm, undisturbed):
    model = {name.removeprefix("model/"): data for name, data in calm.items() if name.startswith("model/")}
    on_disk = {name: data for name, data in undisturbed.model().items() if name != "LOCK"}
    assert {name: None if name.startswith("blobs/") else data for name, data in model.items()} == on_disk
    here = json.dumps(undisturbed.results()).replace(str(undisturbed.data), "DATA")
    there = json.dumps(calm["results.json"]).replace(f"s3://{job.bucket}/my images", "DATA")
    assert json.loads(there) == json.loads(here)
    files = {str(path.relative_to(undisturbed.out)) for path in undisturbed.out.rglob("*") if path.is_file()}
    assert files - {"report.html", "model/LOCK"} == calm.keys()


def test_a_driver_killed_as_it_writes_to_a_bucket_is_gone_on_with_by_a_machine_that_has_nothing(
    job, calm, eventually, tmp_path
):
    job.s3.hold("PUT .*/killed/progress/0002.json")
    process = job.start("killed")
    eventually(lambda: job.s3.held or process.poll() is not None, within_s=300)
    assert process.poll() is None, process.communicate()[1]
    process.kill()
    process.communicate()
    job.s3.release()
    eventually(lambda: job.s3.idle, within_s=60)
    found = job.s3.objects(job.bucket, "killed/")
    assert "progress/0001.json" in found and "progress/0002.json" not in found

    refused = job.start("killed")
    _is_one_line(refused, f"s3://{job.bucket}/killed", "--resume")
    assert job.finish("killed", "--resume", EAGLERAY_CACHE=str(tmp_path)) == calm


def test_a_bucket_that_fails_on_the_way_is_one_line_and_the_run_can_be_gone_on_with(job, calm):
    job.s3.refuse("(GET|HEAD) .*/my images/wood/test/")
    _is_one_line(job.start("refused"), f"error: s3://{job.bucket}/my images/wood/test/", "ACCESS_DENIED", "credentials")
    job.s3.refuse("")
    assert job.finish("refused", "--resume", "--address", "none") == calm


NOBODY = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
UNKNOWN = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


@pytest.mark.parametrize(
    ("places", "changes", "parts"),
    [
        ({"data": "no images"}, {}, ["s3://line/no images: no such folder", "--data"]),
        ({"data": "s3://nowhere/images"}, {}, ["s3://nowhere/images", "NO_SUCH_BUCKET", "make the bucket"]),
        ({"out": "s3://nowhere/out"}, {}, ["s3://nowhere/out", "NO_SUCH_BUCKET", "make the bucket"]),
        ({}, UNKNOWN, ["s3://line/new", "ACCESS_DENIED", "AWS_ACCESS_KEY_ID"]),
        ({}, NOBODY, ["s3://line/new", "NETWORK_CONNECTION", "AWS_ENDPOINT_URL"]),
    ],
    ids=["no folder", "no bucket for data", "no bucket for results", "no credentials", "nobody answers"],
)
def test_what_a_user_may_get_wrong_with_a_bucket_is_one_line(job, places, changes, parts):
    places = {"out": "new", **places}
    process = job.start(places.pop("out"), "--address", "none", **places, **changes)
    _is_one_line(process, *parts)


def _is_one_line(process, *parts):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert all(part in line for part in parts), line
