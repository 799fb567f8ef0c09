"""Every knob of the service; `serve run serve.app:build name=value ...`, or `args:` in serve/config.yaml."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from eagleray.errors import ConfigError


class Settings(BaseModel):
    """Settings of one service; docs/operations.md says when to touch which."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    model: str = Field(min_length=1)
    """Model store: a folder such as runs/demo/model, or a URI; every node must reach it under this name."""
    version: int | None = Field(None, ge=1)
    """Serve this version whatever is published; by default the published one, or else the one that is current."""
    false_alarm_rate: float = Field(0.01, gt=0, lt=1)
    """Share of good pictures that may be called anomalous."""
    poll_s: float = Field(0.25, gt=0)
    """Seconds between two looks at what is published."""

    router_replicas: int = Field(1, ge=1)
    """Routers that are always there."""
    max_router_replicas: int = Field(4, ge=1, validate_default=True)
    """Routers at most; one is added when each has more than `target_requests` in work."""
    router_cpus: float = Field(1, ge=0)
    """CPUs that Ray reserves for a router."""
    router_gpus: float = Field(0, ge=0)
    """GPUs, or the share of one, of a router; with more than 0 it embeds on CUDA."""
    threads: int = Field(2, ge=1)
    """Threads of a router that embed, and as many that decode and draw."""
    batch_size: int = Field(4, ge=1)
    """Pictures embedded in one go, at most; on a GPU 16 to 64 pay."""
    batch_wait_s: float = Field(0.002, ge=0)
    """How long a picture waits for others to fill its batch."""

    experts_per_deployment: int = Field(1, ge=1)
    """Experts that share one deployment; raise it where there are hundreds."""
    expert_cpus: float = Field(0.05, ge=0)
    """CPUs that Ray reserves for a replica of an expert deployment."""
    max_expert_replicas: int = Field(4, ge=1)
    """Replicas of each expert deployment at most; one is added when each has more than `target_requests` in work."""
    expert_cache_mb: float = Field(1024, gt=0)
    """Bank bytes that a replica keeps; beyond, those used least recently are read again when they are needed."""
    expert_timeout_s: float = Field(30, gt=0)
    """Seconds in which an expert has to answer, restarts of its replica included; then the request is answered 503."""

    target_requests: float = Field(16, gt=0)
    """Requests in work of one replica at which autoscaling aims."""
    max_requests: int = Field(64, ge=1)
    """Requests that a router works on at once; more wait."""
    max_waiting: int = Field(256, ge=1)
    """Requests that wait for a router; more are answered 503 with Retry-After."""
    max_files: int = Field(64, ge=1)
    """Pictures in one request at most."""
    max_request_mb: float = Field(32, gt=0)
    """Bytes of one request's body at most, in MB."""
    max_megapixels: float = Field(50, gt=0, le=178)
    """Pixels of one picture at most, in millions; checked before a picture is decoded. Pillow takes 178."""
    upload_timeout_s: float = Field(30, gt=0)
    """Seconds in which a request's body has to arrive."""
    api_keys: str | None = None
    """Ask for a key: a file with one key a line, or "env" for those in EAGLERAY_API_KEYS, separated by commas."""

    @field_validator("max_router_replicas")
    @classmethod
    def _not_below_the_least(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("router_replicas", 1):
            raise ValueError("at least router_replicas")
        return value

    @classmethod
    def read(cls, values: dict[str, Any]) -> Self:
        """Settings from what the command line or a config file says; a local model's path becomes absolute.

        Raises:
            ConfigError: an unknown setting, one that is missing, or a wrong value; the first of them.
        """
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            if first["type"] == "extra_forbidden":
                raise ConfigError("a setting", f"one of {', '.join(cls.model_fields)}", name) from error
            if first["type"] == "missing":
                raise ConfigError(name, "given, as in model=runs/demo/model", None) from error
            expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            raise ConfigError(name, expected, first["input"]) from error
        if "://" in settings.model:
            return settings
        return settings.model_copy(update={"model": str(Path(settings.model).absolute())})
