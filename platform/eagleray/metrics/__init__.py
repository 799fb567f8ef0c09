"""Figures of merit: AUROC, AUPRO, forgetting and conformal calibration, on numpy and scipy alone."""

from eagleray.metrics.calibration import Threshold, p_value, threshold
from eagleray.metrics.forgetting import ForgettingReport, forgetting_report
from eagleray.metrics.heatmap import anomaly_map
from eagleray.metrics.pro import PixelMetrics, aupro, pixel_metrics
from eagleray.metrics.roc import auroc, pixel_auroc

__all__ = [
    "ForgettingReport",
    "PixelMetrics",
    "Threshold",
    "anomaly_map",
    "aupro",
    "auroc",
    "forgetting_report",
    "p_value",
    "pixel_auroc",
    "pixel_metrics",
    "threshold",
]
