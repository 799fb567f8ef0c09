"""API keys: who may use the service. Only hashes of keys are held, compared in constant time, and never logged."""

import hashlib
import hmac
import os
from pathlib import Path

from starlette.datastructures import Headers

from eagleray.errors import ConfigError
from serve.problems import Problem

VARIABLE = "EAGLERAY_API_KEYS"
_LEAST = 16
"""Characters of a key at least: a short one can be tried out."""


class Keys:
    """The keys that open the service; without any it is open to all who reach it."""

    def __init__(self, digests: tuple[bytes, ...]) -> None:
        self._digests = digests

    @classmethod
    def read(cls, source: str | None) -> "Keys":
        """Read keys from a file, from the environment ("env"), or take none.

        Raises:
            ConfigError: there are no keys, or one is too short.
        """
        if source is None:
            return cls(())
        from_env = source == "env"
        try:
            text = os.environ.get(VARIABLE, "").replace(",", "\n") if from_env else Path(source).read_text("utf-8-sig")
        except (OSError, ValueError) as error:  # ValueError: bytes that are no text
            raise ConfigError("api_keys", 'a readable file with one key a line, or "env"', source) from error
        keys = [key for line in text.splitlines() if (key := line.strip()) and not key.startswith("#")]
        where = VARIABLE if from_env else source
        if not keys:
            raise ConfigError("api_keys", f"a place with at least one key; there is none in {where}", source)
        if any(len(key) < _LEAST for key in keys):
            raise ConfigError("api_keys", f"keys of at least {_LEAST} characters; one in {where} is shorter", source)
        return cls(tuple(_digest(key.encode("utf-8", "surrogateescape")) for key in keys))

    def __bool__(self) -> bool:
        """Whether a key is asked for."""
        return bool(self._digests)

    def check(self, headers: Headers) -> None:
        """Raise a 401 unless a request carries one of the keys, as a bearer token or as X-API-Key."""
        if not self:
            return
        kind, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        digest_given = _digest(given.encode("latin-1"))  # the bytes that were sent
        # Every key is compared, found or not: the time tells nothing.
        if not sum([hmac.compare_digest(digest_given, digest) for digest in self._digests]):
            detail = "this key is not valid" if given else "an API key is needed: Authorization: Bearer KEY"
            raise Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
