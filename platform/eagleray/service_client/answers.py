"""What the service answers, from JSON to dataclasses; fields that a newer service adds are left alone."""

import base64
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Verdict = Literal["good", "anomalous", "unknown"]


@dataclass(frozen=True, slots=True)
class Route:
    """One class that a picture could be of."""

    category: str
    expert: int
    distance: float
    """To the class's nearest typical picture; lower is closer."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What the service says of one picture; the fields stand in the order of `eagleray score`'s lines."""

    score: float
    """Higher is more anomalous."""
    p_value: float
    """Against held-out good pictures of the category; lower is more anomalous."""
    verdict: Verdict
    """Unknown where nobody taught the model this product."""
    anomalous: bool | None
    """Whether the score is above the threshold; None exactly where the verdict is unknown."""
    threshold: float
    category: str
    """The class that the picture was compared with."""
    expert: int
    routing: tuple[Route, ...]
    """At most three classes, closest first; empty where the category was given."""
    model_version: int
    heatmap: bytes | None = field(repr=False)
    """A PNG in the picture's own size, up to 2,048 px on the longer side, where it was asked for."""

    @classmethod
    def read(cls, answer: Any, *, heatmap: bool) -> "Scored":
        """Read the answer about one picture.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        (item,) = answer["items"]
        if item["verdict"] not in get_args(Verdict):
            raise ValueError(item["verdict"])
        return cls(
            score=float(item["score"]),
            p_value=float(item["p_value"]),
            verdict=item["verdict"],
            anomalous=None if item["anomalous"] is None else bool(item["anomalous"]),
            threshold=float(item["threshold"]),
            category=str(item["category"]),
            expert=int(item["expert"]),
            routing=tuple(
                Route(str(route["category"]), int(route["expert"]), float(route["distance"]))
                for route in item["routing"]
            ),
            model_version=int(answer["model_version"]),
            heatmap=base64.b64decode(item["heatmap"], validate=True) if heatmap else None,
        )


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that the service answers with."""

    version: int
    categories: tuple[str, ...]
    """Names of the classes it knows."""
    max_request_mb: float
    """Larger pictures are refused."""
    modalities: tuple[str, ...] = ("color",)
    """What it looks at, of color and depth."""

    @property
    def needs_depth(self) -> bool:
        """Whether every picture has to come with its depth; else none may."""
        return "depth" in self.modalities

    @classmethod
    def read(cls, answer: Any) -> "ServedModel":
        """Read the answer of GET /v1/model.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(
            version=int(answer["model_version"]),
            categories=tuple(str(category["name"]) for category in answer["categories"]),
            max_request_mb=float(answer["limits"]["max_request_mb"]),
            modalities=tuple(map(str, answer.get("modalities", ("color",)))),  # older services know no other
        )
