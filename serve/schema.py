"""What crosses HTTP: the JSON of requests and answers, and how the bodies look that are no JSON."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")


class RouteItem(_Answer):
    """A class that the picture could show."""

    category: str
    expert: int
    distance: float
    """To the nearest typical picture of the class; lower is closer."""


class ScoreItem(_Answer):
    """What the model says of one picture."""

    name: str | None
    """File name of the part, where the request had one."""
    score: float
    """Higher is more anomalous."""
    p_value: float
    """Against held-out good pictures of the category, in (0, 1]; lower is more anomalous."""
    verdict: Literal["good", "anomalous", "unknown"]
    """unknown: like no product that was taught."""
    anomalous: bool | None
    """Whether the score is above the threshold; null where the product is unknown."""
    threshold: float
    """Of the score, for the false-alarm rate that the service was started with."""
    category: str
    """The class that the picture was compared with."""
    expert: int
    routing: list[RouteItem]
    """The closest classes, closest first, three at most; empty where the request named the category."""
    heatmap: str | None
    """PNG in base64, the picture with what was found in it laid over; null unless it was asked for."""


class ScoreAnswer(_Answer):
    """One item a picture, in the order of the request."""

    model_version: int
    """The version of the model that produced all of it."""
    items: list[ScoreItem]


class CategoryInfo(_Answer):
    """A class that the model knows."""

    name: str
    expert: int
    rows: int
    """Bank rows that it holds."""
    num_images: int
    """Good pictures that it was learned from."""
    threshold: float
    attained_rate: float
    """Bound on the false-alarm rate that its held-out pictures can promise."""


class ExpertInfo(_Answer):
    """An expert and where it runs."""

    expert: int
    deployment: str
    categories: list[str]


class Limits(_Answer):
    """What one request may hold."""

    max_files: int
    max_request_mb: float
    max_megapixels: float


class ModelAnswer(_Answer):
    """The model that is served."""

    model_version: int
    kind: str
    modalities: list[Literal["color", "depth"]]
    """What a request holds of each picture: with depth, parts `image` and `depth`, else `file` or the body itself."""
    image_size: int
    """Pixels of the square that pictures are resized to."""
    false_alarm_rate: float
    categories: list[CategoryInfo]
    experts: list[ExpertInfo]
    limits: Limits


class StatsAnswer(_Answer):
    """What the replica that answers has done of late."""

    model_version: int
    window_s: float
    images: int
    """Pictures scored within the window."""
    images_per_s: float
    p50_ms: float | None
    """Median time of a score request within the window; null without any."""
    p99_ms: float | None


class HealthAnswer(_Answer):
    """Whether the replica lives, and is ready."""

    status: Literal["live", "ready"]
    model_version: int | None = None


class ProblemAnswer(BaseModel):
    """RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[dict[str, str]] | None = None


_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_SEVERAL = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
_COLOR = {
    "title": "Pictures for a model that looks at colour",
    "type": "object",
    "required": ["file"],
    "properties": {"file": _SEVERAL},
    "additionalProperties": False,
}
_DEPTH = {
    "title": "Pictures for a model that looks at depth, too",
    "type": "object",
    "required": ["image", "depth"],
    "properties": {
        "image": _SEVERAL,
        "depth": {**_SEVERAL, "description": "of each image, in order: a TIFF of points x, y, z, or a 16-bit PNG"},
        "depth_range": {**_SEVERAL, "description": "of each depth that is a PNG, in order: its NNN_info_depth.yaml"},
    },
    "additionalProperties": False,
}
SCORE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **dict.fromkeys(("image/png", "image/jpeg", "image/*", "application/octet-stream"), _IMAGE),
            "multipart/form-data": {"schema": {"oneOf": [_COLOR, _DEPTH]}},
        },
    }
}
"""One picture as it is, or several as parts, perhaps with depth; FastAPI cannot say that with types."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How an operation's problems are described in the OpenAPI document."""
    content = {"application/problem+json": {"schema": ProblemAnswer.model_json_schema()}}  # FastAPI knows no such model
    return {status: {"description": "Problem", "content": content} for status in statuses}
