"""A client of the EagleRay service: keeps connections open, tries again what may pass, says what went wrong in a line.

Threads and httpx's blocking client, not asyncio: a request costs less than half the processor time that way, and the
client often shares its machine with the service.
"""

import itertools
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx

from eagleray.data.rgbd import RgbdSample
from eagleray.data.source import NamedBytes
from eagleray.errors import BadImage, ConfigError, ServiceError, UnknownClass
from eagleray.service_client.answers import Scored, ServedModel
from eagleray.service_client.in_order import in_order

T = TypeVar("T")

_PASSING = frozenset({408, 429, 502, 503, 504})
"""What a service answers, itself or through a proxy, that is busy, restarts or got the request too slowly."""
_ABOUT_THE_PICTURE = frozenset({400, 413, 415})
_CONNECT_TIMEOUT_S = 5.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.2, 10.0
_PATIENCE_S = 60.0
"""From the first attempt on; no attempt begins later."""
_RETRIES_UNREACHED = 3
_POLL_S = 0.1
_MB = 2**20


class ServiceClient:
    """One service at an HTTP address; any number of threads may use it at once.

    Args:
        address: such as http://127.0.0.1:8000; http:// may be left out, and a proxy's path prefix may follow.
        api_key: sent as a bearer token, never shown.
        timeout_s: longest silence of the service in one attempt, in seconds.
        retries: further attempts where the service cannot be reached, is busy or stays silent, at growing intervals
            and within a minute; at most 3 while nobody has answered at all, where the address may be wrong. Scoring
            changes nothing in the service, so it may be asked again.
        transport: what carries requests, in place of the network.

    Raises:
        ConfigError: the address or the key cannot be one, or the environment names proxies or certificates that
            cannot be used.
    """

    def __init__(
        self,
        address: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        retries: int = 8,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url = _base_url(address)
        self.address = str(url).rstrip("/")
        self._timeout_s, self._retries, self._has_key = timeout_s, retries, api_key is not None
        self._reached = False
        self._closed = threading.Event()
        self._http = _http_client(
            base_url=url,
            headers=_key_header(api_key),
            timeout=httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; requests under way fail, and those waiting for another attempt are given up."""
        self._closed.set()
        self._http.close()

    def score(
        self,
        data: bytes,
        *,
        name: str,
        depth: NamedBytes | None = None,
        depth_range: NamedBytes | None = None,
        category: str | None = None,
        heatmap: bool = False,
    ) -> Scored:
        """Score one picture.

        Args:
            data: the bytes of an image file.
            name: what errors call it.
            depth: for a model that looks at it: a TIFF of points, or a 16-bit PNG.
            depth_range: of a PNG, the YAML file with its distances.
            category: the class it shows, where that is known; else the picture itself decides.
            heatmap: whether to ask for a heat map.

        Raises:
            BadImage: the service does not take this picture.
            ServiceError: it cannot be reached, refuses the key or the category, or gives no usable answer.
        """
        query = {"heatmap": "png" if heatmap else "none"} | ({} if category is None else {"category": category})
        url = f"/v1/score?{urlencode(query)}"
        if depth is None:
            response = self._send("POST", url, content=data)
        else:
            parts = {"image": NamedBytes(data, name), "depth": depth, "depth_range": depth_range}
            files = {field: (Path(part.name).name, part.data) for field, part in parts.items() if part is not None}
            response = self._send("POST", url, files=files)
        if response.status_code in _ABOUT_THE_PICTURE:
            raise BadImage(name, _detail(response))
        return self._read(response, lambda answer: Scored.read(answer, heatmap=heatmap))

    def score_files(
        self,
        pictures: Iterable[Path | RgbdSample],
        *,
        model: ServedModel | None = None,
        category: str | None = None,
        heatmap: bool = False,
        concurrency: int = 16,
    ) -> Iterator[Scored | BadImage]:
        """Score files; gives one answer a picture, in order, and goes on after one that cannot be read or scored.

        At most `concurrency` requests are under way at once. Files are read, and pictures taken, only a little ahead of
        the answers given out.

        Args:
            pictures: image files; with their depth, where the service's model needs that.
            model: what the service answers with, where the caller has asked for it already.
            category: as `score`.
            heatmap: as `score`.
            concurrency: see above.

        Raises:
            UnknownClass: the service does not know the category.
            ServiceError: as `score`.
        """
        served = model or self.model()
        if category is not None and category not in served.categories:
            raise UnknownClass(category, served.categories, f"version {served.version} at {self.address}")

        def score(picture: Path | RgbdSample) -> Scored | BadImage:
            try:
                image, *others = _read_files(picture, served.max_request_mb)
                parts = dict(zip(("depth", "depth_range"), others, strict=False))
                return self.score(image.data, name=image.name, category=category, heatmap=heatmap, **parts)
            except BadImage as error:
                return error

        yield from in_order(score, pictures, workers=concurrency)

    def model(self) -> ServedModel:
        """What the service answers with now.

        Raises:
            ServiceError: as `score`.
        """
        return self._read(self._send("GET", "/v1/model"), ServedModel.read)

    def wait_for_version(self, version: int, *, timeout_s: float = 30.0) -> None:
        """Return once the service answers with a model version.

        Raises:
            ServiceError: it still answers with another one after `timeout_s`, or as `score`.
        """
        end_s = time.monotonic() + timeout_s
        while (answering := self.model().version) != version:
            if time.monotonic() > end_s:
                problem = f"still answers with version {answering} after {timeout_s:g} s, not with {version}"
                raise ServiceError(self.address, f"{problem}; check that it serves this store, and its log")
            time.sleep(_POLL_S)

    def _send(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> httpx.Response:
        """Send a request, again where that may help, and give the answer unless it says to try later."""
        end_s = time.monotonic() + _PATIENCE_S
        for attempt in itertools.count(1):
            asked_s = 0.0
            try:
                response = self._http.request(method, url, content=content, files=files)
            except (httpx.ReadTimeout, httpx.WriteTimeout):
                problem, cure = f"gives no answer within {self._timeout_s:g} s", "look at its log, or ask less at once"
            except httpx.RequestError as error:
                problem, cure = f"cannot be reached ({_reason(error)})", "start it, or correct the address"
            else:
                self._reached = True
                if response.status_code not in _PASSING:
                    return response
                asked_s = _retry_after_s(response)
                problem, cure = f"answers {response.status_code} ({_detail(response)})", "try again later"
            delay_s = asked_s + _backoff_s(attempt)
            retries = self._retries if self._reached else min(self._retries, _RETRIES_UNREACHED)
            if attempt > retries or time.monotonic() + delay_s > end_s:
                attempts = f" in {attempt} attempts" if attempt > 1 else ""
                raise ServiceError(self.address, f"{problem}{attempts}; {cure}")
            if self._closed.wait(delay_s):
                raise ServiceError(self.address, "the connection was closed while waiting for another attempt")
        raise AssertionError("count() has no end")

    def _read(self, response: httpx.Response, read: Callable[[Any], T]) -> T:
        if response.status_code == httpx.codes.UNAUTHORIZED:
            problem = "refuses the API key" if self._has_key else "wants an API key"
            raise ServiceError(self.address, f"{problem}; give the right one in --api-key-file or EAGLERAY_API_KEY")
        try:
            if response.is_success:
                return read(response.json())
            answer = f"{response.status_code} ({_detail(response)})"
        except (KeyError, TypeError, ValueError):
            answer = "something that is no answer of an EagleRay service"
        raise ServiceError(self.address, f"answers {answer}; check the address, and that both are of one release")


def _base_url(address: str) -> httpx.URL:
    expected = "http://HOST:PORT or https://HOST:PORT, without a user or a query"
    if "@" in address:  # a password is nothing to repeat in a message
        raise ConfigError("--address", expected, "one with @ in it")
    text = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and " " not in text
        if usable and not parts.query and not parts.fragment:
            return httpx.URL(text)
    except (ValueError, httpx.InvalidURL):  # what is wrong about it is for the reader to see
        pass
    raise ConfigError("--address", expected, address)


def _http_client(**settings: Any) -> httpx.Client:
    try:
        return httpx.Client(**settings)
    except OSError as error:
        names = "SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE of the environment"
        raise ConfigError(names, "unset, or paths that can be used", _reason(error)) from error
    except (ImportError, ValueError, httpx.InvalidURL):  # whose words may have a proxy's password
        pass
    names = "ALL_PROXY, HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment"
    expected = "unset, or http://HOST:PORT (NO_PROXY: hosts; socks5:// needs pip install 'httpx[socks]')"
    raise ConfigError(names, expected, "something else")


def _key_header(api_key: str | None) -> dict[str, str]:
    if api_key is None:
        return {}
    if not api_key or not all("!" <= character <= "~" for character in api_key):
        raise ConfigError("the API key", "one word of visible ASCII characters", "something else")
    return {"Authorization": f"Bearer {api_key}"}


def _read_files(picture: Path | RgbdSample, max_mb: float) -> list[NamedBytes]:
    """A picture, and its depth with its range where it has them; all of it is one request."""
    if isinstance(picture, RgbdSample):
        files = (picture.sample.path, picture.depth, picture.depth_range)
        paths = [Path(file) for file in files if file is not None]
    else:
        paths = [picture]
    found, left_mb = [], max_mb
    for path in paths:
        found.append(NamedBytes(_read_file(path, left_mb, max_mb), str(path)))
        left_mb -= len(found[-1].data) / _MB
    return found


def _read_file(path: Path, left_mb: float, max_mb: float) -> bytes:
    try:
        size_mb = path.stat().st_size / _MB
        if size_mb <= left_mb:
            return path.read_bytes()
    except OSError as error:
        raise BadImage(str(path), f"cannot be read ({error.strerror}); replace or delete it") from error
    # It need not be sent to be refused, and a service that hangs up on it would look like one that is down.
    beside = " beside its picture" if left_mb < max_mb else ""
    raise BadImage(
        str(path), f"has {size_mb:.0f} MB, the service takes {left_mb:.3g} MB{beside} at most; make it smaller"
    )


def _backoff_s(attempt: int) -> float:
    """Seconds to wait after the attempt of this number, from 1: they double, less a random share of up to a half."""
    return min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1)


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds that the service asks to wait; 0 where it asks for none, or names a date as some proxies do."""
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 0.0


def _detail(response: httpx.Response) -> str:
    """What a problem document says of its cause, else what the status is called."""
    try:
        detail = response.json()["detail"]
    except (KeyError, TypeError, ValueError):
        detail = response.reason_phrase
    return " ".join(str(detail).split()) or "no reason given"


def _reason(error: Exception) -> str:
    return re.sub(r"^\[Errno -?\d+\] |\.$", "", str(error)) or type(error).__name__
