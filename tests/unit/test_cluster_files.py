"""The files that make a cluster, held to what reads them: Ray's launcher, KubeRay, Docker, and our own jobs.

Nothing is started. `ray up` runs with stand-ins for ssh and rsync that only write down what they are given.
"""

import copy
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import cli

from eagleray.console import parse_flags
from eagleray.distributed.stream_job import PRESETS, StreamJob

ROOT = Path(__file__).resolve().parents[2]
LAUNCHED = ["cluster.yaml", "cluster-local.yaml"]
KUBERAY = ["jobs/rayjob.yaml", "serve/rayservice.yaml"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SERVE_ENVIRONMENT = dict(
    line.split("=", 1) for line in (ROOT / "serve/ray.env").read_text().splitlines() if not line.startswith("#")
)


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


def shell(command, home, *, path=""):
    """Run a set-up command in a home of its own, as ray up would on a node."""
    environment = {"HOME": str(home), "USER": "someone", "PATH": f"{path}:/usr/bin:/bin"}
    return subprocess.run(
        ["bash", "-c", command], cwd=home, env=environment, capture_output=True, text=True, timeout=60, check=True
    ).stdout


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def node(tmp_path):
    """A home with our tree and with an environment that says what it is asked to do."""
    home = tmp_path / "node"
    executable(home / "venv/bin/python", '#!/bin/sh\necho "$@"\n')
    (home / "venv/bin/activate").write_text("export VENV=active\n")
    (home / "eagleray").symlink_to(ROOT)
    return home


# ---- ray up


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_accepts_what_it_makes_of_a_cluster_file(name):
    validate_config(prepare_config(read(name)))


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_refuses_a_cluster_file_with_a_misspelt_key(name):
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout"):
        validate_config(prepare_config({**read(name), "idle_timeout": 5}))


def test_workers_are_spot_machines_that_come_and_go_and_the_head_is_neither_spot_nor_a_worker():
    config = prepare_config(read("cluster.yaml"))
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert head["resources"] == {"CPU": 0}
    assert head["max_workers"] == 0
    assert "InstanceMarketOptions" not in head["node_config"]
    assert set(types) == {"cpu", "gpu"}
    for worker in types.values():
        assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert worker["min_workers"] < worker["max_workers"] <= config["max_workers"]
    assert 0 < config["idle_timeout_minutes"] < 60


def test_both_cluster_files_install_and_start_the_same_way():
    aws, local = map(read, LAUNCHED)
    for key in ("file_mounts", "rsync_exclude", "head_start_ray_commands", "worker_start_ray_commands"):
        assert aws[key] == local[key]
    assert aws["setup_commands"][-len(local["setup_commands"]) :] == local["setup_commands"]


def test_what_is_copied_to_a_node_exists_and_is_all_that_the_package_is_built_from():
    mounts = read("cluster.yaml")["file_mounts"]
    token = mounts.pop("~/.ray/auth_token")
    assert token == "~/.ray/auth_token"
    for there, here in mounts.items():
        assert (ROOT / here).exists()
        assert there == f"~/eagleray/{here}"
    project, wheel = PROJECT["project"], PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    for needed in ("pyproject.toml", "constraints.txt", project["readme"], *project["license-files"]):
        assert needed in mounts.values()
    for package in wheel["packages"]:
        assert package.partition("/")[0] in mounts.values()


@pytest.mark.parametrize(("finds_one", "extra"), [(True, "gpu"), (False, "cpu")], ids=["a GPU", "none"])
def test_a_node_installs_the_extra_that_fits_its_machine(node, finds_one, extra):
    executable(node / "bin/nvidia-smi", f"#!/bin/sh\nexit {int(not finds_one)}\n")
    (command,) = [command for command in read("cluster.yaml")["setup_commands"] if "--editable" in command]
    asked = shlex.split(shell(command, node, path=str(node / "bin")))
    assert asked[-1] == f"{node}/eagleray[{extra}]"
    assert extra in PROJECT["project"]["optional-dependencies"]


def test_a_node_without_nvidias_tools_installs_the_extra_for_cpus(node):
    (command,) = [command for command in read("cluster.yaml")["setup_commands"] if "--editable" in command]
    assert shell(command, node).endswith("eagleray[cpu]\n")


def test_every_shell_of_a_node_asks_for_the_token_and_has_the_services_environment_however_often_it_is_set_up(node):
    (command,) = [command for command in read("cluster.yaml")["setup_commands"] if ".bashrc" in command]
    (node / ".bashrc").write_text("export PATH=$PATH:/home/eagleray/bin  # of whoever had this machine before\n")
    shell(command, node)
    once = (node / ".bashrc").read_text()
    shell(command, node)
    assert (node / ".bashrc").read_text() == once
    lines = shell(". ~/.bashrc; env", node).splitlines()
    environment = dict(line.split("=", 1) for line in lines)
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["PYTHONPATH"] == f"{node}/eagleray"
    assert environment["VENV"] == "active"
    assert environment.items() >= SERVE_ENVIRONMENT.items()


def test_ray_up_copies_the_token_and_the_tree_sets_the_head_up_and_starts_it(tmp_path):
    config = read("cluster-local.yaml")
    written = _ray_up(config, tmp_path)
    assert f"rsync {tmp_path}/.ray/auth_token {config['auth']['ssh_user']}@192.168.1.10:~/.ray/auth_token" in written
    steps = ["eagleray/platform/", *config["setup_commands"], *config["head_start_ray_commands"]]
    found = [next(number for number, line in enumerate(written) if _in(step, line)) for step in steps]
    assert found == sorted(found)
    assert "ray start --head" in written[-1]
    assert "RAY_enable_autoscaler_v2" not in written[-1]
    assert not any("192.168.1.11" in line for line in written)  # workers are the head's to set up


def _ray_up(config, home):
    """What `ray up` types to the head of a local cluster."""
    # "user@host command", or "rsync source user@host:target": without the options
    executable(home / "bin/ssh", '#!/bin/bash\nwhile [[ $1 != *@* ]]; do shift; done; echo "$*" >> ~/written\n')
    executable(home / "bin/rsync", '#!/bin/bash\necho "rsync ${*: -2}" >> ~/written\n')
    for name in (".ray/auth_token", ".ssh/id_ed25519"):
        (home / name).parent.mkdir()
        (home / name).write_text("secret\n")
    (home / "cluster.yaml").write_text(yaml.safe_dump(config))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {
        **kept,
        "HOME": str(home),
        "PATH": f"{home / 'bin'}{os.pathsep}{kept['PATH']}",
        "TMPDIR": str(home),
        "RAY_TMPDIR": str(home),
        "RAY_UP_enable_autoscaler_v2": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    command = [Path(sys.executable).parent / "ray", "up", home / "cluster.yaml", "--yes", "--no-config-cache"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return (home / "written").read_text().splitlines()


def _in(step, line):
    """True where a command stands in a line, whatever quotes it was put in for the way to the node."""
    return re.sub(r"[\"']", "", step) in re.sub(r"[\"']", "", line)


# ---- KubeRay


def _spec(name):
    resource = read(name)
    return resource["spec"].get("rayClusterSpec") or resource["spec"]["rayClusterConfig"]


def _groups(name):
    return (_spec(name)["headGroupSpec"], *_spec(name)["workerGroupSpecs"])


def _kuberay_schema():
    return json.loads((Path(__file__).parent / "kuberay.schema.json").read_text())


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_knows_every_field(name):
    jsonschema.validate(read(name), _kuberay_schema())


@pytest.mark.parametrize("name", KUBERAY)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(idleTimeoutSeconds=60),
        lambda spec: spec["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
        lambda spec: spec["workerGroupSpecs"][0].pop("maxReplicas"),
        lambda spec: spec["workerGroupSpecs"][0]["template"]["spec"].update(containers=[]),
    ],
    ids=["a field in the wrong place", "a number for text", "no limit", "no container"],
)
def test_a_mistake_in_a_kuberay_file_would_be_found(name, spoil):
    resource = copy.deepcopy(read(name))
    spoil(resource["spec"].get("rayClusterSpec") or resource["spec"]["rayClusterConfig"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(resource, _kuberay_schema())


@pytest.mark.parametrize("name", KUBERAY)
def test_rays_autoscaler_reads_a_head_without_work_and_workers_that_come_and_go(name):
    cluster = {"metadata": {"name": "eagleray", "namespace": "default"}, "spec": _spec(name)}
    config = _derive_autoscaling_config_from_ray_cr(cluster)  # validates, too
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert head["resources"]["CPU"] == 0
    assert types["cpu"]["resources"]["CPU"] > 0
    for worker in types.values():
        assert worker["min_workers"] < worker["max_workers"]
    if "gpu" in types:
        assert types["gpu"]["resources"]["GPU"] == 1


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_runs_the_dockerfiles_images_with_our_ray_and_asks_for_a_token(name):
    version = PROJECT["project"]["version"]
    assert f"ray=={_spec(name)['rayVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert _spec(name)["authOptions"] == {"mode": "token"}
    for group in _groups(name):
        (container,) = group["template"]["spec"]["containers"]
        suffix = "-gpu" if "nvidia.com/gpu" in container["resources"]["limits"] else ""
        assert container["image"] == f"eagleray:{version}{suffix}"
        assert f"docker build -t {container['image']} " in (ROOT / "Dockerfile").read_text()


def test_kuberays_job_is_one_of_ours_and_its_folders_are_on_the_volume_of_every_pod():
    name = "jobs/rayjob.yaml"
    python, script, *flags = shlex.split(read(name)["spec"]["entrypoint"])
    assert python == "python"
    assert (ROOT / Path(script).relative_to(_dockerfile()["WORKDIR"][0])).is_file()
    job = _stream_job(flags)
    assert job.resume  # or its second try would be refused
    assert job.data is not None
    for group in _groups(name):
        pod = group["template"]["spec"]
        (mount,) = pod["containers"][0]["volumeMounts"]
        assert mount["name"] in {volume["name"] for volume in pod["volumes"]}
        for folder in (job.data, job.out):
            assert folder.is_relative_to(mount["mountPath"])


def _stream_job(flags: list[str]) -> StreamJob:
    return parse_flags(PRESETS, flags, description="")


# ---- Docker


def _dockerfile():
    """Arguments of each instruction, by its name, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in filter(None, text.splitlines()):
        name, _, arguments = line.partition(" ")
        found.setdefault(name, []).append(arguments.strip())
    return found


def test_the_image_is_made_of_files_that_exist_and_docker_is_sent_nothing_else():
    copied = [source for arguments in _dockerfile()["COPY"] for source in arguments.split()[:-1]]
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert all((ROOT / source).exists() for source in copied)
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == set(copied)


def test_the_image_installs_an_extra_of_ours_on_a_python_of_ours_and_runs_as_nobody_special():
    instructions = _dockerfile()
    (extra,) = instructions["ARG"]
    assert extra.removeprefix("EXTRA=") in PROJECT["project"]["optional-dependencies"]
    assert any('".[${EXTRA}]"' in command and "constraints.txt" in command for command in instructions["RUN"])
    assert instructions["FROM"] == ["python:3.11-slim"]
    (user,) = instructions["USER"]
    assert int(user) > 0
    for name in KUBERAY:
        for group in _groups(name):
            assert group["template"]["spec"]["securityContext"]["runAsUser"] == int(user)
    (workdir,) = instructions["WORKDIR"]
    assert f"PYTHONPATH={workdir}" in instructions["ENV"]
    python, script = json.loads(instructions["CMD"][0])
    assert python == "python"
    assert (ROOT / script).is_file()


# ---- docs/operations.md


def _documented():
    """Commands of the section on clusters, without comments and redirections.

    Those of a cluster on one machine are typed by tests/cluster/test_nodes_document.py.
    """
    section = (ROOT / "docs/operations.md").read_text().partition("## From laptop to cluster")[2].partition("\n## ")[0]
    section = re.sub(r"\n### A cluster of three nodes on one machine\n.*?(?=\n### )", "", section, flags=re.DOTALL)
    blocks = re.findall(r"```\n(.*?)```", section, flags=re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [[word for word in words if not word.startswith(">")] for words in lines if words]


@pytest.mark.parametrize("words", [words for words in _documented() if words[0] == "ray"], ids=" ".join)
def test_ray_takes_the_commands_that_we_tell_users_to_type(words):
    command, rest = cli, words[1:]
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    command.make_context("ray", rest).close()  # parses, and raises on what it does not know
    if "--" in rest:
        python, script, *flags = rest[rest.index("--") + 1 :]
        assert python == "python"
        assert (ROOT / script).is_file()
        assert _stream_job(flags).out.is_absolute()


def test_files_that_the_commands_name_exist():
    named = [word for words in _documented() for word in words if re.fullmatch(r"[\w/-]+\.(yaml|py)", word)]
    assert {"cluster.yaml", "cluster-local.yaml", *KUBERAY} <= set(named)
    assert all((ROOT / name).is_file() for name in named if not name.startswith("/"))
