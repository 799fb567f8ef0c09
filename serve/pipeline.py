"""What one version of a model does with a picture, from its bytes to a verdict; no HTTP and no Ray in it.

A kind of model is a kind of pipeline. Each is of one version and does not change: whoever holds one is answered by that
version, whatever is published meanwhile.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol

from eagleray.arrays import Floats, Pixels
from eagleray.continual import Ask, Finding, Judge
from eagleray.errors import StoreError
from eagleray.features import decode_image
from eagleray.storage import Manifest, ModelStore
from serve.settings import Settings
from serve.upload import Upload

EmbedBatched = Callable[[Pixels], Awaitable[Floats]]
"""Patches (H, W, D) of one resized picture, which may wait for others to share a batch with."""
Modality = Literal["color", "depth"]
_MEGA = 10**6


class Experts(Protocol):
    """Whoever asks the experts: handles of deployments, or the experts themselves in tests."""

    async def ask(self, ask: Ask, patches_HWD: Floats) -> Floats:
        """Patch scores (H, W) of patches (H, W, D) by the blobs that an ask names; `Problem` 503 where none answers."""
        ...

    async def check(self) -> None:
        """Raise `Problem` 503 unless the experts answer."""
        ...

    def deployment_of(self, expert: int) -> str:
        """Name of where an expert runs."""
        ...


class Pipeline(Protocol):
    """One version of a model, ready to answer."""

    @property
    def judge(self) -> Judge:
        """Says whom to ask, and what the answers mean."""
        ...

    @property
    def kind(self) -> str:
        """`Manifest.kind`."""
        ...

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What a request holds of each picture."""
        ...

    def prepare(self, upload: Upload) -> Any:
        """Decode a picture and make it the size that the model looks at; slow, and safe on any number of threads.

        Raises:
            DataError: it cannot be used.
        """
        ...

    async def find(self, prepared: Any, category: str | None, embed: EmbedBatched) -> Finding:
        """Judge a picture that `prepare` gave.

        Raises:
            DataError: it cannot be used.
            Problem: 503, an expert does not answer.
        """
        ...

    def successor(self, manifest: Manifest) -> "Pipeline":
        """The pipeline of another version, with what both share; slow.

        Raises:
            StoreError: the version cannot be read, or not without starting the service anew.
        """
        ...

    async def check(self) -> None:
        """Raise `Problem` 503 unless whoever is asked answers."""
        ...

    def deployment_of(self, expert: int) -> str:
        """Name of where an expert runs."""
        ...


def decode(upload: Upload, settings: Settings) -> Pixels:
    """Colours (Y, X, 3) of a picture as it was sent.

    Raises:
        BadImage, TooManyPixels: as `decode_image`.
    """
    limit = int(settings.max_megapixels * _MEGA)
    return decode_image(upload.data, name=upload.name or "the picture", max_pixels=limit)


def other_kind(store: ModelStore, manifest: Manifest, served: str) -> StoreError:
    """A version of another kind of pipeline was published."""
    problem = f"version {manifest.version} is a model of kind {manifest.kind!r}, and one of kind {served!r} is served"
    return StoreError(store.uri, f"{problem}; start the service anew")
