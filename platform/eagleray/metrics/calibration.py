"""Split conformal calibration: from scores of held-out good images to p-values and a threshold.

If a new good image and the n calibration images are exchangeable, and the model saw none of them while it learned, the
new score is equally likely to take any of the n + 1 ranks. That alone bounds the false-alarm rate; no shape of the
score distribution is assumed. The bound holds on average over calibration sets: for one given set the true rate
scatters around it, the less the larger n is (Bates et al. 2023).

Sources: Vovk, Gammerman and Shafer 2005 (Algorithmic Learning in a Random World); Bates, Candès, Lei, Romano and Sesia
2023 (Testing for Outliers with Conformal p-values, Annals of Statistics 51).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eagleray.arrays import AnyArray
from eagleray.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Threshold:
    """An image is flagged when its score is greater than `value`."""

    value: float
    """One of the calibration scores."""
    attained_rate: float
    """Upper bound on the probability that a good image is flagged, in (0, 1); attained where scores do not tie."""


def p_value(score: ArrayLike, calibration_scores: ArrayLike) -> NDArray[np.float64]:
    """How unusual each score is among good images: (1 + #{calibration >= score}) / (n + 1).

    Args:
        score: of any shape; higher is more anomalous.
        calibration_scores: n scores of held-out good images; none at all gives p-values of 1.

    Returns:
        Conformal p-values of the shape of `score`, in [1 / (n + 1), 1], lower is more anomalous. For a good image the
        probability of a p-value <= a is at most a, for every a.

    Raises:
        ValueError: a NaN score.
    """
    calibration_N = _sorted(calibration_scores)
    scores = _without_nan(score, "scores")
    num_at_least = calibration_N.size - np.searchsorted(calibration_N, scores, "left")
    return np.asarray((1 + num_at_least) / (calibration_N.size + 1))


def threshold(calibration_scores: ArrayLike, false_alarm_rate: float) -> Threshold:
    """Find the smallest calibration score to flag above with at most the wished false-alarm rate.

    Flagging and p-values agree: ``score > value`` exactly when ``p_value <= attained_rate``, ties included, and exactly
    when ``p_value <= max(false_alarm_rate, attained_rate)``. For with n calibration scores of which `value` is the k-th
    smallest, ``score > value`` says that at least k of them are below the score, so at most n - k are at or above it,
    so the p-value is at most (n + 1 - k) / (n + 1), which is `attained_rate`; and no p-value lies between the largest
    multiple of 1 / (n + 1) that the wished rate allows and that rate.

    With fewer than 1 / false_alarm_rate - 1 scores no finite threshold keeps the wished rate. The value is then the
    largest calibration score, and `attained_rate` = 1 / (n + 1), above the wish, says what is promised.

    Args:
        calibration_scores: at least one score of held-out good images; higher is more anomalous.
        false_alarm_rate: wished share of good images flagged, in (0, 1).

    Raises:
        ConfigError: the rate is not in (0, 1).
        ValueError: no calibration score, or a NaN one.
    """
    if not 0 < false_alarm_rate < 1:
        raise ConfigError("false_alarm_rate", "in (0, 1)", false_alarm_rate)
    calibration_N = _sorted(calibration_scores)
    n = calibration_N.size
    if n == 0:
        raise ValueError("a threshold needs at least one calibration score")
    # Counting the p-values themselves, not rounding rate * (n + 1) down, agrees with them to the last bit.
    possible_p = np.arange(1, n + 1) / (n + 1)
    num_flagged = max(1, int(np.searchsorted(possible_p, false_alarm_rate, "right")))
    return Threshold(float(calibration_N[n - num_flagged]), float(possible_p[num_flagged - 1]))


def _sorted(calibration_scores: ArrayLike) -> AnyArray:
    return np.sort(_without_nan(calibration_scores, "calibration scores").ravel())


def _without_nan(scores: ArrayLike, what: str) -> AnyArray:
    values = np.asarray(scores)
    if np.isnan(values).any():
        raise ValueError(f"{np.isnan(values).sum()} of {values.size} {what} are NaN; they cannot be ranked")
    return values
