"""Replay: the random sample that stands for an older class once another joins its expert (MECAD, section 3.4)."""

import dataclasses

import numpy as np

from eagleray.banks import ClassBank


def random_replay(bank: ClassBank, num_rows: int, *, seed: int) -> ClassBank:
    """Keep `num_rows` rows drawn at random: R_c' of MECAD eq. 3. A sample that is small enough is kept as it is.

    The calibration scores stay those of the full bank: the paper has no thresholds, so no rule for them.
    """
    if bank.num_rows <= num_rows:
        return bank
    rng = np.random.default_rng([seed, *bank.name.encode()])
    kept_M = np.sort(rng.choice(bank.num_rows, num_rows, replace=False))
    return dataclasses.replace(
        bank,
        rows_MD=bank.rows_MD[kept_M],
        level_rows_L=np.array([num_rows]),
        calibration_LN=bank.calibration_LN[-1:],
    )
