from pathlib import Path

import pytest

from eagleray.errors import ConfigError
from serve.settings import Settings

COUNTS = ["router_replicas", "max_router_replicas", "threads", "batch_size", "experts_per_deployment"]
COUNTS += ["max_expert_replicas", "max_requests", "max_files"]
AMOUNTS = ["poll_s", "expert_cache_mb", "expert_timeout_s", "target_requests", "max_request_mb", "max_megapixels"]
AMOUNTS += ["upload_timeout_s"]

WRONG = [
    *((name, value) for name in COUNTS for value in (0, -1, "0", "2.5", "x", "", None, [1])),
    *((name, value) for name in AMOUNTS for value in (0, -1, "0", "x", "nan", "inf", float("inf"), None)),
    *((name, value) for name in ("router_cpus", "router_gpus", "batch_wait_s", "expert_cpus") for value in (-1, "inf")),
    *(("false_alarm_rate", value) for value in (0, 1, "1.5", -0.1, "nan", "5%")),
    *(("version", value) for value in (0, -1, "x", "1.5")),
    *(("max_waiting", value) for value in (0, -1)),
    ("max_megapixels", 179),
    ("model", ""),
    ("model", 3),
    ("api_keys", 3),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_one_line_that_names_the_setting_and_the_value(name, value):
    with pytest.raises(ConfigError) as caught:
        Settings.read({"model": "m", name: value})
    text = str(caught.value)
    assert text.startswith(f"{name} must be ")
    assert text.endswith(f"got {value!r}")
    assert len(text.splitlines()) == 1


def test_an_unknown_setting_is_told_the_known_ones():
    with pytest.raises(ConfigError, match=r"'treads'") as caught:
        Settings.read({"model": "m", "treads": 3})
    assert "threads" in str(caught.value)


def test_a_model_is_needed_and_the_error_shows_how():
    with pytest.raises(ConfigError, match="model=runs/demo/model"):
        Settings.read({})


@pytest.mark.parametrize("values", [{"router_replicas": 5}, {"router_replicas": "3", "max_router_replicas": "2"}])
def test_no_fewer_routers_at_most_than_at_least(values):
    with pytest.raises(ConfigError, match="max_router_replicas must be at least router_replicas") as caught:
        Settings.read({"model": "m", "api_keys": "/run/secrets/keys", **values})
    assert "secrets" not in str(caught.value)


def test_strings_of_the_command_line_are_numbers():
    settings = Settings.read({"model": "m", "false_alarm_rate": "0.05", "threads": "4", "version": "2", "poll_s": "1"})
    assert (settings.false_alarm_rate, settings.threads, settings.version, settings.poll_s) == (0.05, 4, 2, 1.0)


@pytest.mark.parametrize("model", ["runs/demo/model", "./model", "../model"])
def test_a_relative_place_becomes_absolute_for_workers_run_elsewhere(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Settings.read({"model": model}).model == str(tmp_path / model)


@pytest.mark.parametrize("model", ["/srv/model", "s3://bucket/model", "file:///srv/model"])
def test_an_absolute_place_and_a_uri_stay(model):
    assert Settings.read({"model": model}).model == model


def test_every_setting_says_what_it_is():
    assert all(field.description for name, field in Settings.model_fields.items())
    assert Path(Settings.read({"model": "m"}).model).is_absolute()
