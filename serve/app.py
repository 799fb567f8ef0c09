"""Builds the application: `serve run serve.app:build model=runs/demo/model`, or `serve deploy serve/config.yaml`."""

import math
import os
from collections import Counter
from typing import Any

import click
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import LoggingConfig

from eagleray.continual import FUSION_KIND
from eagleray.errors import EagleRayError
from eagleray.storage import Manifest, ModelStore
from serve import proxy
from serve.expert import ExpertHost
from serve.keys import Keys
from serve.router import Router
from serve.service import first_manifest
from serve.settings import Settings

RAY = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": proxy.IMPORT_PATH,
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "100",
    "RAY_SERVE_FREEZE_GC_ON_STARTUP": "1",
    "RAY_max_direct_call_object_size": "4194304",
}
"""How Ray's own processes are to run, each worth some ms of CPU a picture (docs/operations.md, docs/log.md).

They inherit it where `serve run` starts Ray. A cluster that runs already has to be started with it: serve/ray.env.
"""
_HEALTH: dict[str, Any] = {"health_check_period_s": 2, "health_check_timeout_s": 10}
"""A killed replica is missed at its next check; Ray's own are every 10 s."""
_LOGGING = LoggingConfig(encoding="JSON", enable_access_log=False)


class UsersMistake(click.ClickException):
    """Prints as one line, without a traceback, where `serve run` is what called us."""

    exit_code = 2


def build(values: dict[str, Any]) -> Application:
    """The application for some settings, which are the fields of `Settings`.

    Raises:
        UsersMistake: a wrong setting, or no model at its place.
    """
    for name, value in RAY.items():
        os.environ.setdefault(name, value)
    try:
        settings = Settings.read(values)
        keys = Keys.read(settings.api_keys)
        manifest = first_manifest(ModelStore.open(settings.model), settings)
    except EagleRayError as error:
        raise UsersMistake(str(error)) from error
    if manifest.kind == FUSION_KIND:  # its one network is in the router
        return _router(settings).bind(settings, keys, [])
    count = math.ceil(_num_experts(manifest) / settings.experts_per_deployment)
    return _router(settings).bind(settings, keys, [_expert(settings, number) for number in range(count)])


def _num_experts(manifest: Manifest) -> int:
    """An expert of a stream's classes, or those of each category's subclasses, which are numbered from its first."""
    blobs = Counter(name.split("/")[0] for name in manifest.blobs if "/" in name)
    return max(entry.expert + max(1, blobs[name]) for name, entry in manifest.classes.items())


def _router(settings: Settings) -> serve.Deployment:
    return serve.deployment(
        Router,
        name="router",
        ray_actor_options={"num_cpus": settings.router_cpus, "num_gpus": settings.router_gpus},
        autoscaling_config=AutoscalingConfig(
            min_replicas=settings.router_replicas,
            max_replicas=settings.max_router_replicas,
            target_ongoing_requests=settings.target_requests,
        ),
        max_ongoing_requests=settings.max_requests,
        max_queued_requests=settings.max_waiting,
        logging_config=_LOGGING,
        **_HEALTH,
    )


def _expert(settings: Settings, number: int) -> Application:
    deployment = serve.deployment(
        ExpertHost,
        name=f"expert-{number}",
        ray_actor_options={"num_cpus": settings.expert_cpus},
        autoscaling_config=AutoscalingConfig(
            min_replicas=1,
            max_replicas=settings.max_expert_replicas,
            target_ongoing_requests=settings.target_requests,
        ),
        max_ongoing_requests=2 * math.ceil(settings.target_requests),
        logging_config=_LOGGING,
        **_HEALTH,
    )
    return deployment.bind(settings.model, settings.expert_cache_mb)
