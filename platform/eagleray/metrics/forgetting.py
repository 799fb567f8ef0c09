"""Forgetting over a stream of classes, from the matrix of image AUROCs after each step.

The literature uses both signs, so each figure here says its own:

    forgetting          final minus just after learning     negative = forgets   (MECAD; the mean is Lopez-Paz and
                                                                                 Ranzato's backward transfer)
    forgetting measure  best earlier minus final            positive = forgets   (Chaudhry et al. 2018)

A class counts in either only if a later step could have harmed it and it is still there at the end: the class of the
last step, a class without figures (no defective test image) and a removed class have none. A class that was removed
and learned again is another class: give it a column for each learning.

Sources: MECAD, section 4.1.2; Lopez-Paz and Ranzato 2017 (GEM); Chaudhry et al. 2018 (Riemannian Walk).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class ForgettingReport:
    """What a stream of classes did to the classes before; None where a figure cannot exist."""

    forgetting: tuple[float | None, ...]
    """Per class final value minus the value just after it was learned; negative = forgets."""
    mean_forgetting: float | None
    """Mean of `forgetting`; negative = forgets. MECAD's figure, known elsewhere as backward transfer."""
    mean_forgetting_by_step: tuple[float | None, ...]
    """After each step the mean of (value now minus just after learning) over the classes learned before it.

    Negative = forgets; the last entry is `mean_forgetting`.
    """
    forgetting_measure: float | None
    """Mean over classes of the best earlier value minus the final one; positive = forgets."""
    final_average: float | None
    """Mean over classes of the value after the last step."""
    step_average: float | None
    """Mean over steps of the mean over the classes known at that step."""

    @property
    def backward_transfer(self) -> float | None:
        """`mean_forgetting` by the name that the continual-learning literature uses."""
        return self.mean_forgetting


def forgetting_report(matrix_SC: ArrayLike, learned_at_C: Sequence[int]) -> ForgettingReport:
    """Sum up a stream.

    Args:
        matrix_SC: image AUROC of class j after step i, (steps, classes); NaN where the class was not yet learned, was
            removed, or has no figure.
        learned_at_C: per class the step, from 0, at which it was learned; updates do not count.

    Raises:
        ValueError: the matrix is not (steps, classes) with at least one step, or a learning step lies outside it.
    """
    R = np.asarray(matrix_SC, dtype=np.float64)
    learned_at = np.asarray(learned_at_C, dtype=np.int64)
    if R.ndim != 2 or len(R) == 0 or learned_at.shape != R.shape[1:]:
        raise ValueError(f"a matrix (steps, classes) of shape {R.shape} does not fit {learned_at.size} learning steps")
    if ((learned_at < 0) | (learned_at >= len(R))).any():
        raise ValueError(f"learning steps must be in [0, {len(R)}), got {learned_at.tolist()}")
    steps = np.arange(len(R))[:, None]
    known = np.where(steps >= learned_at, R, np.nan)
    change = np.where(steps > learned_at, R - R[learned_at, np.arange(R.shape[1])], np.nan)
    drop = np.where(np.isnan(change[-1]), np.nan, _best(known[:-1]) - known[-1])
    by_step = tuple(_mean(row) for row in change)
    return ForgettingReport(
        forgetting=tuple(None if np.isnan(value) else float(value) for value in change[-1]),
        mean_forgetting=by_step[-1],
        mean_forgetting_by_step=by_step,
        forgetting_measure=_mean(drop),
        final_average=_mean(known[-1]),
        step_average=_mean([np.nan if (mean := _mean(row)) is None else mean for row in known]),
    )


def _mean(values: ArrayLike) -> float | None:
    """Mean of what is not NaN; None if nothing is left (numpy would warn)."""
    present = np.asarray(values)[~np.isnan(values)]
    return float(present.mean()) if present.size else None


def _best(known_SC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Highest value of each class over the steps, NaN where it has none."""
    best = np.where(np.isnan(known_SC), -np.inf, known_SC).max(axis=0, initial=-np.inf)
    return np.where(np.isinf(best), np.nan, best)
