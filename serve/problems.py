"""Errors as RFC 9457 problem documents: the one place where what went wrong becomes an HTTP status.

A client is told what it can change, in one line; what it cannot is logged here and never shown.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from eagleray.errors import UnknownClass

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
_logger = logging.getLogger("ray.serve")


class Problem(Exception):
    """A request that cannot be answered as asked."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(status, detail)
        self.status, self.detail = status, detail
        self.headers, self.errors = dict(headers or {}), errors


def unavailable(detail: str) -> Problem:
    """503 with Retry-After: nothing is wrong with the request."""
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def document(
    status: int, detail: str, *, request_id: str | None, errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """The members of a problem document; what a client sent and the detail quotes cannot break its line."""
    detail = "".join(letter if letter.isprintable() else " " for letter in detail)
    found = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return found | ({"request_id": request_id} if request_id else {}) | ({"errors": errors} if errors else {})


def answer_with_problems(api: FastAPI) -> None:
    """Have every error that is somebody's leave an application as a problem document; `mistake` is for the others."""
    api.add_exception_handler(Problem, _problem)
    api.add_exception_handler(UnknownClass, _unknown_class)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http)


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return _response(request, error.status, error.detail, headers=error.headers, errors=error.errors)


async def _unknown_class(request: Request, error: Exception) -> JSONResponse:
    return _response(request, 404, str(error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [{"name": str(e["loc"][-1]), "detail": e["msg"]} for e in error.errors()]
    return _response(request, 422, "; ".join(f"{e['name']}: {e['detail']}" for e in errors), errors=errors)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"nothing at {request.scope['path']}; /docs lists what there is"
    return _response(request, error.status_code, detail, headers=dict(error.headers or {}))


def mistake(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that met a mistake of ours, which is logged."""
    _logger.error("request %s %s failed", request.method, request.scope["path"], exc_info=error)
    return _response(request, 500, "this is a mistake of the service; its log has more under this request id")


def _response(
    request: Request,
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
) -> JSONResponse:
    found = document(status, detail, request_id=request.headers.get("x-request-id"), errors=errors)
    return JSONResponse(found, status, headers, MEDIA_TYPE)
