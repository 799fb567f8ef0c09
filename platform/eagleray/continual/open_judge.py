"""A judge of a model version in a store, of any kind that looks at colour alone."""

from typing import Any

from eagleray.config import from_json
from eagleray.continual.bank_judge import BankJudge
from eagleray.continual.judge import Judge
from eagleray.continual.learner import MODEL_KIND
from eagleray.continual.mixture_judge import MixtureJudge, StoredMixture
from eagleray.continual.model import Model
from eagleray.errors import StoreCorrupt, StoreError, StoreMissing
from eagleray.experts import ScoringConfig
from eagleray.features import Extractor, FeaturesConfig
from eagleray.mixture import MIXTURE_KIND, Mixture
from eagleray.storage import Manifest, ModelStore

FUSION_KIND = "adnas"
"""`Manifest.kind` of a model that looks at colour and depth together; `eagleray.adnas` is what opens it."""


def open_judge(
    store: ModelStore, manifest: Manifest, *, false_alarm_rate: float, previous: Judge | None = None
) -> Judge:
    """Load a version from the store; every blob's hash is checked, but those that `previous` knows.

    Raises:
        StoreError: the model cannot be read, knows no class, or is of a kind that does not belong here.
        ConfigError: the false-alarm rate is not in (0, 1).
    """
    if not manifest.classes:
        raise StoreMissing(store.uri, "the model knows no class yet; learn one, or choose another version")
    if manifest.kind == FUSION_KIND:
        problem = f"holds a model of kind {FUSION_KIND!r}, which has neither extractor nor experts"
        raise StoreError(store.uri, f"{problem}; open it with eagleray.adnas.FusionSession")
    if manifest.kind not in _OPENERS:
        kinds = " or ".join(map(repr, _OPENERS))
        raise StoreError(store.uri, f"holds a model of kind {manifest.kind!r}, not {kinds}; use the eagleray it is of")
    _check_complete(store, manifest)
    settings = {
        "image_size": from_json(FeaturesConfig, _without_hash(manifest)).image_size,
        "scoring": from_json(ScoringConfig, manifest.config["scoring"]),
        "false_alarm_rate": false_alarm_rate,
    }
    return _OPENERS[manifest.kind](store, manifest, previous, settings)


def _open_banks(store: ModelStore, manifest: Manifest, previous: Judge | None, settings: dict[str, Any]) -> Judge:
    known = previous.model.banks.values() if isinstance(previous, BankJudge) else ()
    return BankJudge(Model.load(store, manifest, {stored.digest: stored for stored in known}), **settings)


def _open_mixtures(store: ModelStore, manifest: Manifest, previous: Judge | None, settings: dict[str, Any]) -> Judge:
    known = previous.mixtures.values() if isinstance(previous, MixtureJudge) else ()
    mixtures = {stored.digest: stored.mixture for stored in known}
    found = {}
    for name, entry in manifest.classes.items():
        mixture = mixtures.get(entry.blob)
        if mixture is None:
            mixture = Mixture.from_bytes(store.get_blob(entry.blob).to_pybytes(), store.blob_path(entry.blob))
            for digest in (digest for row in mixture.head.experts for digest in row):
                store.get_blob(digest)  # experts read them when they are first asked; a damaged one shows now
        found[name] = StoredMixture(entry.blob, mixture, entry.expert)
    return MixtureJudge(manifest.version, found, **settings)


_OPENERS = {MODEL_KIND: _open_banks, MIXTURE_KIND: _open_mixtures}
_SETTINGS = {MODEL_KIND: ("mecad", "scoring"), MIXTURE_KIND: ("scoring",)}


def stored_extractor(store: ModelStore, manifest: Manifest) -> Extractor:
    """The feature extractor that a model version was learned with and carries.

    Raises:
        StoreCorrupt: the version does not name it, or its blob is gone or altered.
    """
    _check_complete(store, manifest)
    model = store.get_blob(manifest.blobs["extractor"]).to_pybytes()
    config = from_json(FeaturesConfig, _without_hash(manifest))
    return Extractor(config=config, weights_sha256=manifest.features["weights_sha256"], onnx=model)


def _without_hash(manifest: Manifest) -> dict[str, object]:
    return {name: value for name, value in manifest.features.items() if name != "weights_sha256"}


def _check_complete(store: ModelStore, manifest: Manifest) -> None:
    """Raise StoreCorrupt unless a version has all that scoring reads: a manifest may have been edited by hand."""
    parts = {"features": (manifest.features, "weights_sha256"), "blobs": (manifest.blobs, "extractor")}
    parts |= {f"config.{name}": (manifest.config, name) for name in _SETTINGS.get(manifest.kind, ())}
    for part, (values, name) in parts.items():
        if name not in values:
            problem = f"the manifest of version {manifest.version} lacks {name!r} in {part.partition('.')[0]}"
            raise StoreCorrupt(store.uri, f"{problem}; restore it from a backup, or give another --version")
