"""What an operator types: the command line's errors, the files beside it, and a deployment on a cluster that runs."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from eagleray.storage import ModelStore
from serve.app import RAY
from serve.settings import Settings
from tests.ray_head import free_ports
from tests.serving.conftest import ROOT, SERVED

BIN = Path(sys.executable).parent


def test_the_environment_of_a_cluster_is_the_one_that_serve_run_sets():
    lines = [line for line in (ROOT / "serve" / "ray.env").read_text().splitlines() if not line.startswith("#")]
    assert dict(line.split("=", 1) for line in lines) == RAY


def test_the_config_file_is_one_that_serve_and_we_accept():
    config = ServeDeploySchema.model_validate(yaml.safe_load((ROOT / "serve" / "config.yaml").read_text()))
    assert config.http_options.host == "127.0.0.1"
    (application,) = config.applications
    assert application.import_path == "serve.app:build"
    assert Settings.read(application.args).model == "/shared/runs/mine/model"


def test_the_kubernetes_file_holds_a_config_and_an_environment_like_ours():
    service = yaml.safe_load((ROOT / "serve" / "rayservice.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    config = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    settings = Settings.read(config.applications[0].args)
    assert settings.api_keys == "env"  # it listens to the network
    cluster = service["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        environment = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert environment.items() >= RAY.items()
        assert "EAGLERAY_API_KEYS" in environment


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model={tmp}/nothing"], ["nothing", "no model store here"]),
        (["model={tmp}/empty"], ["empty", "knows no class"]),
        (["model={store}", "version=9"], ["no version 9", "1 to 4"]),
        (["model={store}", "false_alarm_rate=2"], ["false_alarm_rate", "less than 1"]),
        (["model={store}", "bach_size=4"], ["bach_size", "batch_size"]),
        (["model={store}", "api_keys=env"], ["api_keys", "EAGLERAY_API_KEYS"]),
        ([], ["model", "model=runs/demo/model"]),
    ],
    ids=" ".join,
)
def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_two(products, tmp_path, arguments, words):
    ModelStore.create(tmp_path / "empty")
    given = [argument.format(tmp=tmp_path, store=products.store.uri) for argument in arguments]
    done = subprocess.run(
        [BIN / "serve", "run", "serve.app:build", *given],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "EAGLERAY_API_KEYS"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert line == done.stderr.splitlines()[-1]
    for word in words:
        assert word in line


def test_a_config_file_deploys_on_a_cluster_that_runs_with_keys_and_is_taken_down_again(
    head, products, pictures, tmp_path, eventually
):
    config = yaml.safe_load((ROOT / "serve" / "config.yaml").read_text())
    (port,) = free_ports(1)
    config["http_options"]["port"] = port
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-forty-characters-for-one-test-x\n")
    config["applications"][0]["args"] = {
        "model": products.store.uri,
        "experts_per_deployment": 4,
        "api_keys": str(keys),
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    deployed = head.run("serve", "deploy", str(tmp_path / "config.yaml"), "--address", head.dashboard)
    assert deployed.returncode == 0, deployed.stderr
    address = f"http://127.0.0.1:{port}"

    def ready():
        try:
            return httpx.get(f"{address}/v1/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    eventually(ready, within_s=120, every_s=0.5)
    body = pictures["good"].read_bytes()
    assert httpx.post(f"{address}/v1/score", content=body).status_code == 401
    headers = {"Authorization": f"Bearer {keys.read_text().strip()}"}
    answer = httpx.post(f"{address}/v1/score", content=body, headers=headers, timeout=30).json()
    assert (answer["model_version"], answer["items"][0]["verdict"]) == (SERVED, "good")
    served = httpx.get(f"{address}/v1/model", headers=headers).json()
    assert {expert["deployment"] for expert in served["experts"]} == {"expert-0"}
    head.run("serve", "shutdown", "--yes", "--address", head.dashboard)
    eventually(lambda: not ready(), within_s=60, every_s=0.5)
