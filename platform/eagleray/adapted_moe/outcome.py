"""The closing figures of a run, in the form of ``results.json`` and ``scores.parquet``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eagleray.adapted_moe.dataset import CategoryPatches
from eagleray.adapted_moe.evaluation import FIGURES, headline, image_scores
from eagleray.adapted_moe.evidence import Evidence
from eagleray.adapted_moe.study import Study, routing_accuracy
from eagleray.adapted_moe.workshop import Built, Workshop
from eagleray.arrays import Bools, Floats, Ints
from eagleray.continual import EvaluationConfig, Verdict, means, write_examples
from eagleray.experts import ScoringConfig
from eagleray.metrics import p_value, threshold
from eagleray.mixture import Mixture
from eagleray.storage import Manifest
from eagleray.uris import Place


def outcome(
    study: Study,
    workshop: Workshop,
    built: Sequence[Built],
    mixtures: Mapping[str, Mixture],
    evidence: Mapping[str, Sequence[Evidence]],
    manifest: Manifest,
    *,
    scoring: ScoringConfig,
    evaluation: EvaluationConfig,
    out: Place,
) -> dict[str, Any]:
    """What the kept model shows on the test pictures; writes the example pictures.

    Args:
        study: has the figures.
        workshop: has the scores.
        built: the design that was kept of each category.
        mixtures: what was kept, by category.
        evidence: what designs were chosen on, by category.
        manifest: the version that has all of them.
        scoring: how a picture's score follows from its patches.
        evaluation: false-alarm rate and blur.
        out: folder of the run.
    """
    study.measure(built, seen=True)
    judged = [_Judged(one, workshop, mixtures[one.data.name], manifest, scoring, evaluation) for one in built]
    classes = {one.data.name: one.class_figures(study) for one in judged}
    accuracies = [figures["routing_accuracy"] for figures in classes.values()]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return {
        "order": [one.data.name for one in judged],
        "stream": [],
        "matrix": [],
        "step_average": None,
        "controls": {},
        "routing_accuracy": float(np.mean(known)) if known else None,
        "classes": classes,
        "mean": means(classes),
        "subclasses": [row for one in judged for row in one.subclass_rows(study)],
        "evidence": [
            {
                "category": name,
                "candidate": row.design.name,
                "image_auroc": row.image_auroc,
                "pixel_auroc": row.pixel_auroc,
                "chosen": row.design == _design(built, name),
            }
            for name, rows in evidence.items()
            for row in rows
        ],
        "routing_space": [study.routing_space(one) for one in built if one.design.moe],
        "examples": _examples(judged, out, evaluation.heatmap_sigma),
        "scores": [row for one in judged for row in one.score_rows()],
    }


def _examples(judged: Sequence["_Judged"], out: Place, sigma: float) -> list[dict[str, Any]]:
    """The pictures worth looking at of each category; a sample names its subclass, an example its category too."""
    category = {verdict.sample.path: one.data.name for one in judged for verdict in one.shown}
    rows = write_examples(out, {one.data.name: one.shown for one in judged}, sigma=sigma)
    return [{**row, "class": category[row["path"]], "subclass": row["class"]} for row in rows]


def _design(built: Sequence[Built], name: str) -> Any:
    return next(one.design for one in built if one.data.name == name)


class _Judged:
    """A kept mixture's test pictures, judged as a user's would be."""

    def __init__(
        self,
        built: Built,
        workshop: Workshop,
        mixture: Mixture,
        manifest: Manifest,
        scoring: ScoringConfig,
        evaluation: EvaluationConfig,
    ) -> None:
        self.data: CategoryPatches = built.data
        self._built, self._mixture = built, mixture
        self._entry = manifest.classes[built.data.name]
        self._rate = evaluation.false_alarm_rate
        self._limit = threshold(mixture.calibration_N, self._rate)
        self._routing_accuracy = routing_accuracy(workshop, built)
        self._grids_NHW: Floats = np.empty((0, 1, 1), np.float32)
        self._first_N: Ints = np.empty(0, np.int64)
        self._scores_N: Floats = np.empty(0, np.float32)
        if self.data.tests:
            self._grids_NHW = workshop.patch_scores(built)
            self._first_N = workshop.routes(built)[0][:, 0]
            self._scores_N = image_scores(self._grids_NHW, scoring)
        self._flagged_N: Bools = self._scores_N > self._limit.value
        self._p_N = p_value(self._scores_N, mixture.calibration_N)

    @property
    def shown(self) -> list[Verdict]:
        """Verdicts of the unseen subclasses, or of all where none is unseen."""
        chosen = [number for number, test in enumerate(self.data.tests) if not test.seen]
        return [self._verdict(number) for number in chosen or range(len(self.data.tests))]

    def class_figures(self, study: Study) -> dict[str, Any]:
        """Of the category: means over its unseen subclasses, where there are any."""
        figures = study.figures(self._built)
        found = {name: headline(figures, name) for name in FIGURES}
        reasons = {name: reason for name, (_, reason) in found.items() if reason}
        reasons["forgetting"] = "nothing was learned after it"
        if self._routing_accuracy is None:
            unlabelled = "no test images whose subclass an expert is named after"
            reasons["routing_accuracy"] = unlabelled if self._built.design.moe else "one expert: nothing to route"
        shown = self.shown
        good = [verdict for verdict in shown if not verdict.sample.label]
        defective = [verdict for verdict in shown if verdict.sample.label]
        return {
            **{name: value for name, (value, _) in found.items()},
            "expert": self._entry.expert,
            "experts": sum(len(row) for row in self._mixture.head.experts),
            "forgetting": None,
            "rows": self._entry.rows,
            "threshold": self._limit.value,
            "attained_false_alarm_rate": self._limit.attained_rate,
            "routing_accuracy": self._routing_accuracy,
            "false_alarms": sum(verdict.flagged for verdict in good),
            "missed": sum(not verdict.flagged for verdict in defective),
            "num_train": len(self.data.fitted()),
            "num_calibration": len(self.data.held()),
            "num_test_good": len(good),
            "num_test_defective": len(defective),
            "reasons": reasons,
        }

    def subclass_rows(self, study: Study) -> list[dict[str, Any]]:
        """Of each subclass that has test pictures."""
        return [
            {
                "category": self.data.name,
                "subclass": one.subclass,
                "seen": one.seen,
                **one.values,
                "num_test_good": one.num_test_good,
                "num_test_defective": one.num_test_defective,
                "experts": self._first_experts(one.subclass),
                "reasons": dict(one.reasons),
            }
            for one in study.figures(self._built)
        ]

    def score_rows(self) -> list[dict[str, Any]]:
        """One row per test picture, in the columns of ``scores.parquet``."""
        return [
            {
                "class": self.data.name,
                "subclass": test.subclass,
                "path": test.sample.path,
                "label": test.sample.label,
                "defect": test.sample.defect,
                "score": float(self._scores_N[number]),
                "p_value": float(self._p_N[number]),
                "flagged": bool(self._flagged_N[number]),
                "expert": self._entry.expert,
                "routed_expert": self._first_expert(number),
                "routed_class": self._mixture.head.subclasses[self._first_N[number]],
            }
            for number, test in enumerate(self.data.tests)
        ]

    def _first_expert(self, number: int) -> int:
        """The first expert that is asked of a picture."""
        return self._entry.expert + int(self._first_N[number]) * len(self._built.design.adaptions)

    def _first_experts(self, subclass: str) -> dict[str, float]:
        """Where a subclass's test pictures are routed first: shares by the name of the expert's subclass."""
        own = [number for number, test in enumerate(self.data.tests) if test.subclass == subclass]
        counts = Counter(self._mixture.head.subclasses[self._first_N[number]] for number in own)
        return {name: count / len(own) for name, count in counts.most_common()}

    def _verdict(self, number: int) -> Verdict:
        sample = self.data.tests[number].sample
        return Verdict(
            sample=sample,
            score=float(self._scores_N[number]),
            p_value=float(self._p_N[number]),
            flagged=bool(self._flagged_N[number]),
            routed_class=self._mixture.head.subclasses[self._first_N[number]],
            routed_expert=self._first_expert(number),
            patch_scores_HW=self._grids_NHW[number],
            patch_limit=float(self._mixture.calibration_N.max()),
        )
