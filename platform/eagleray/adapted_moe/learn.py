"""Keeping a mixture: experts, routing network and thresholds as one version of a model store."""

import dataclasses

import numpy as np

from eagleray.adapted_moe.evaluation import image_scores
from eagleray.adapted_moe.workshop import Built, FittedExpert, Workshop
from eagleray.arrays import Floats
from eagleray.experts import ScoringConfig
from eagleray.experts.adapted_expert import BankWeights
from eagleray.mixture import Mixture, MixtureHead
from eagleray.storage import ClassEntry, Event, Manifest, ModelStore, write_image_list
from eagleray.threads import limit_threads

_PROTOTYPES = 4


def keep(
    built: Built, workshop: Workshop, store: ModelStore, manifest: Manifest, scoring: ScoringConfig
) -> tuple[Manifest, Mixture]:
    """Put a category's mixture into the store as a new version; none, if it lies there already.

    Args:
        built: a design on a category that the workshop has prepared.
        workshop: has its experts.
        store: where it goes.
        manifest: the version that it is added to.
        scoring: how a picture's score follows from its patches.

    Returns:
        The version that has it, and the mixture.
    """
    data, fitted = built.data, workshop.experts(built)
    digests = [[store.put_blob(one.to_bytes()) for one in row] for row in fitted]
    mixture = Mixture(
        head=MixtureHead(
            name=data.name,
            design=built.design,
            top_k=built.top_k,
            subclasses=tuple(data.subclasses[n] for n in data.present) if built.design.moe else (data.name,),
            experts=tuple(tuple(row) for row in digests),
            num_images=len(data.fitted()) + len(data.held()),
            rows=sum(_rows(one) for row in fitted for one in row),
        ),
        network=workshop.network(built),
        prototypes_KD=_prototypes(data.train.means_ND, built.seed),
        calibration_N=np.sort(image_scores(workshop.patch_scores(built, held_out=True), scoring)),
    )
    blob = store.put_blob(mixture.to_bytes())
    known = manifest.classes.get(data.name)
    if known and known.blob == blob:
        return manifest, mixture
    blobs = {name: digest for name, digest in manifest.blobs.items() if not name.startswith(f"{data.name}/")}
    blobs |= {
        f"{data.name}/{subclass}/{adaption}": digest
        for subclass, row in zip(mixture.head.subclasses, digests, strict=True)
        for adaption, digest in zip(built.design.adaptions, row, strict=True)
    }
    expert = _first_expert(data.name, sum(map(len, digests)), manifest, store)
    entry = ClassEntry(expert=expert, blob=blob, rows=mixture.head.rows, num_images=mixture.head.num_images)
    event = Event(
        step=len(manifest.history) + 1,
        op="update" if known else "learn",
        class_name=data.name,
        expert=expert,
        images=write_image_list(store, data.digests),
        num_images=len(data.digests),
        skipped=data.train.skipped,
    )
    successor = manifest.successor(
        classes=dict(sorted({**manifest.classes, data.name: entry}.items())),
        blobs=blobs,
        history=(*manifest.history, event),
    )
    return dataclasses.replace(successor, version=store.commit(successor)), mixture


def first_manifest(store: ModelStore, ours: Manifest, *, extractor_blob: str) -> Manifest:
    """The version to go on from: the current one, or an empty one with these settings."""
    return store.current() or dataclasses.replace(ours, blobs={"extractor": extractor_blob})


def _rows(fitted: FittedExpert) -> int:
    return len(fitted.inner.rows_MD) if isinstance(fitted.inner, BankWeights) else 0


def _first_expert(name: str, count: int, manifest: Manifest, store: ModelStore) -> int:
    """From where on a category's experts are numbered: where they were, or behind all others where they grew."""
    ends = {category: entry.expert + _count(entry, store) for category, entry in manifest.classes.items()}
    known = manifest.classes.get(name)
    if known and known.expert + count <= ends[name]:
        return known.expert
    return max((end for category, end in ends.items() if category != name), default=0)


def _count(entry: ClassEntry, store: ModelStore) -> int:
    head = Mixture.from_bytes(store.get_blob(entry.blob).to_pybytes(), store.blob_path(entry.blob)).head
    return sum(map(len, head.experts))


def _prototypes(means_ND: Floats, seed: int) -> Floats:
    from sklearn.cluster import KMeans  # takes two seconds to import

    with limit_threads(1):  # sums, and so bytes, would depend on the threads
        clusters = KMeans(min(_PROTOTYPES, len(means_ND)), n_init=4, random_state=seed).fit(means_ND)
    return np.asarray(clusters.cluster_centers_, dtype=np.float32)
