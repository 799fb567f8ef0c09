"""Trials run by Ray Tune."""

from eagleray.sweeps.tune_runner import TuneConfig, TuneRunner

__all__ = ["TuneConfig", "TuneRunner"]
