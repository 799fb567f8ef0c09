"""The HTTP interface: routes, answers, documentation. What stands behind it is a `Service`; no Ray in it."""

import importlib.metadata
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

from fastapi import Depends, FastAPI, Query, Request, Security
from fastapi.responses import FileResponse, Response
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eagleray.continual import Judge
from serve import schema
from serve.keys import Keys
from serve.pipeline import EmbedBatched, Pipeline
from serve.problems import answer_with_problems, mistake
from serve.service import Scored, Service
from serve.settings import Settings
from serve.stats import WINDOW_S, Window
from serve.upload import Upload, read_uploads

_PAGE = Path(__file__).parent / "page"
_POLICY = b"default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'"
_DOCS_POLICY = _POLICY + b"; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
"""The documentation page is not ours and starts its script from within the page."""
_CLIENT_LEFT = 499
"""What nginx calls it when nobody waits for the answer any more; counted, never sent."""
_SAFE = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]

_Heatmap = Annotated[Literal["png", "none"], Query(description="png: every item carries its heat map")]
_Category = Annotated[str | None, Query(description="the class that all pictures show; without it, each one decides")]


class Observer(Protocol):
    """Whoever counts: Ray's metrics in a deployment, nobody in tests."""

    def request(self, operation: str, status: int, seconds: float) -> None:
        """A request was answered."""
        ...

    def verdicts(self, scored: list[Scored]) -> None:
        """Pictures were judged."""
        ...


def make_api(service: Service, *, embed: EmbedBatched, keys: Keys, observer: Observer) -> FastAPI:
    """The application.

    Args:
        service: what answers.
        embed: embeds a picture in whatever batch comes together.
        keys: who may ask.
        observer: who counts.
    """
    api = FastAPIOffline(
        title="EagleRay",
        version=importlib.metadata.version("eagleray"),
        description="Says which image is defective and where, for every product that the model was taught.",
        redoc_url=None,
        redirect_slashes=False,
    )
    window = Window()
    answer_with_problems(api)
    api.add_middleware(_Observe, observer=observer)

    async def key(request: Request) -> None:
        keys.check(request.headers)

    guarded = [Depends(key)]
    if keys:  # for the documentation page, which asks for one then
        guarded.append(Security(HTTPBearer(auto_error=False)))

    @api.post(
        "/v1/score",
        response_model=schema.ScoreAnswer,
        responses=schema.problems(400, 401, 404, 408, 413, 415, 422, 503),
        openapi_extra=schema.SCORE_BODY,
        dependencies=guarded,
    )
    async def score(request: Request, category: _Category = None, heatmap: _Heatmap = "none") -> Response:
        """Score one picture (the body as it is) or several (multipart parts called `file`).

        A model that looks at depth, too (`modalities` in `/v1/model`), takes parts called `image` and `depth` instead:
        a TIFF of points x, y, z, or a 16-bit PNG with its NNN_info_depth.yaml in a part called `depth_range`. The first
        depth is of the first picture, and so on; the first range is of the first PNG.
        """
        start, pipeline = time.perf_counter(), service.pipeline
        uploads = await read_uploads(request, service.settings, with_depth="depth" in pipeline.modalities)
        scored = await service.score(pipeline, uploads, category=category, heatmap=heatmap == "png", embed=embed)
        window.add(time.perf_counter() - start, len(scored))
        observer.verdicts(scored)
        return Response(answer(pipeline.judge, uploads, scored).model_dump_json(), media_type="application/json")

    @api.get("/v1/model", responses=schema.problems(401), dependencies=guarded)
    async def model() -> schema.ModelAnswer:
        """The model that is served: its classes, their experts, and what a request may hold."""
        return _model(service.pipeline, service.settings)

    @api.get("/v1/stats", responses=schema.problems(401), dependencies=guarded)
    async def stats() -> schema.StatsAnswer:
        """Throughput and latency of the replica that answers."""
        images, rate, p50_ms, p99_ms = window.summary()
        return schema.StatsAnswer(
            model_version=service.judge.version,
            window_s=WINDOW_S,
            images=images,
            images_per_s=rate,
            p50_ms=p50_ms,
            p99_ms=p99_ms,
        )

    @api.get("/v1/health/live")
    async def live() -> schema.HealthAnswer:
        """Whether this replica's process answers at all."""
        return schema.HealthAnswer(status="live")

    @api.get("/v1/health/ready", responses=schema.problems(503))
    async def ready() -> schema.HealthAnswer:
        """Whether a model is loaded and its experts answer."""
        await service.pipeline.check()
        return schema.HealthAnswer(status="ready", model_version=service.judge.version)

    @api.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    api.mount("/static", StaticFiles(directory=_PAGE), name="static")
    return api


def answer(judge: Judge, uploads: Sequence[Upload], scored: Sequence[Scored]) -> schema.ScoreAnswer:
    """What a request is answered: the version that judged, and an item for each picture, in order."""
    items = [_item(one, upload.name) for one, upload in zip(scored, uploads, strict=True)]
    return schema.ScoreAnswer(model_version=judge.version, items=items)


def _item(scored: Scored, name: str | None) -> schema.ScoreItem:
    finding = scored.finding
    return schema.ScoreItem(
        name=name,
        score=finding.score,
        p_value=finding.p_value,
        verdict=finding.verdict,
        anomalous=finding.anomalous,
        threshold=finding.threshold.value,
        category=finding.category,
        expert=finding.expert,
        routing=[schema.RouteItem(category=r.category, expert=r.expert, distance=r.distance) for r in finding.routing],
        heatmap=scored.heatmap,
    )


def _model(pipeline: Pipeline, settings: Settings) -> schema.ModelAnswer:
    judge = pipeline.judge
    by_expert: dict[int, list[str]] = {}
    for name, known in judge.classes.items():
        for expert in known.experts:
            by_expert.setdefault(expert, []).append(name)
    return schema.ModelAnswer(
        model_version=judge.version,
        kind=pipeline.kind,
        modalities=list(pipeline.modalities),
        image_size=judge.image_size,
        false_alarm_rate=judge.false_alarm_rate,
        categories=[
            schema.CategoryInfo(
                name=name,
                expert=known.experts[0],
                rows=known.rows,
                num_images=known.num_images,
                threshold=judge.thresholds[name].value,
                attained_rate=judge.thresholds[name].attained_rate,
            )
            for name, known in judge.classes.items()
        ],
        experts=[
            schema.ExpertInfo(expert=expert, deployment=pipeline.deployment_of(expert), categories=sorted(names))
            for expert, names in sorted(by_expert.items())
        ],
        limits=schema.Limits(
            max_files=settings.max_files,
            max_request_mb=settings.max_request_mb,
            max_megapixels=settings.max_megapixels,
        ),
    )


class _Observe:
    """Times every request, answers it where nobody did, and adds the headers that every answer has."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app, self._observer = app, observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0
        policy = b"content-security-policy", _DOCS_POLICY if scope["path"] == "/docs" else _POLICY

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", []), *_SAFE, policy]}
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception as error:
            if status:
                raise
            await mistake(Request(scope), error)(scope, receive, observed)
        finally:
            route = scope.get("route")
            operation = f"{scope['method']} {route.path if route is not None else 'unknown'}"
            self._observer.request(operation, status or _CLIENT_LEFT, time.perf_counter() - start)
