"""A service on three nodes, of which one dies with a router: every picture is answered, and as a session would."""

import subprocess
import threading

import httpx
import pytest
import yaml

from eagleray.continual import ScoringSession
from eagleray.features import load_image
from eagleray.service_client import ServiceClient
from eagleray.storage import ModelStore
from tests.cluster.conftest import ROOT
from tests.ray_head import free_ports

ROUTER = "ServeReplica:eagleray:router"


@pytest.fixture
def serve(nodes, environment):
    def run(*command):
        options = {"capture_output": True, "text": True, "timeout": 300, "check": False}
        done = subprocess.run(["serve", *command, "--address", nodes.dashboard], cwd=ROOT, env=environment, **options)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.fixture
def service_url(serve, undisturbed, tmp_path, eventually):
    """Address of the service, which has two routers."""
    config = yaml.safe_load((ROOT / "serve" / "config.yaml").read_text())
    (port,) = free_ports(1)
    config["http_options"]["port"] = port
    config["applications"][0]["args"] = {
        "model": str(undisturbed.out / "model"),
        "router_replicas": 2,
        "router_cpus": 0.6,
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    serve("deploy", str(tmp_path / "config.yaml"))
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: _ready(url), within_s=300, every_s=0.5)
    yield url
    serve("shutdown", "--yes")


@pytest.mark.chaos
def test_a_service_that_loses_a_node_answers_every_picture_as_before(nodes, service_url, undisturbed, data, eventually):
    eventually(lambda: len(nodes.actors(ROUTER)) == 2, within_s=120)  # on nodes of their own
    session = ScoringSession.open(ModelStore.open(undisturbed.out / "model"))
    pictures = sorted(data.glob("*/test/*/*.png"))
    expected = [session.score(load_image(path)).score for path in pictures]
    doomed = max(nodes.actors(ROUTER), key=nodes.actors("ServeReplica").__getitem__)  # with an expert on it, too
    killed = threading.Event()

    def endlessly():
        while not killed.is_set():
            yield from pictures
        yield from pictures  # once more, with the node gone

    scored = []
    with ServiceClient(service_url) as client:
        for answer in client.score_files(endlessly(), concurrency=4):
            scored.append(answer.score)
            if len(scored) == len(pictures):
                nodes.kill(doomed)
                killed.set()
    assert len(scored) >= 2 * len(pictures)
    assert scored == expected * (len(scored) // len(pictures))
    eventually(lambda: _routers_elsewhere(nodes, doomed) == 2, within_s=120)  # the lost one has a successor


def _routers_elsewhere(nodes, doomed):
    living = nodes.actors(ROUTER)
    return living.total() - living[doomed]


def _ready(url):
    try:
        return httpx.get(f"{url}/v1/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
