"""Anomaly map of an image from the scores of its patches."""

import numpy as np
from scipy import ndimage

from eagleray.arrays import Floats


def anomaly_map(patch_scores_HW: Floats, size: tuple[int, int], *, sigma: float = 4.0) -> Floats:
    """Upsample patch scores bilinearly to the image and smooth them.

    Equal to torch's bilinear `interpolate` with align_corners=False, then scipy's `gaussian_filter` with its defaults
    (cut at 4 sigma, edges reflected). Both steps are linear and separable, so they are folded into one small matrix
    per axis: two matrix products replace a blur of the full image.

    Args:
        patch_scores_HW: higher is more anomalous; leading axes, if any, are kept: (..., H, W).
        size: rows and columns of the map, (Y, X).
        sigma: standard deviation of the Gaussian in pixels of the map; 0 leaves out the smoothing.

    Returns:
        The map (..., Y, X), float32, within the range of the patch scores up to rounding.

    Source: Roth et al. 2022 (PatchCore), section 3.3: bilinear interpolation and a Gaussian of sigma 4.
    """
    rows_YH = _upsample_and_blur(patch_scores_HW.shape[-2], size[0], sigma)
    columns_XW = _upsample_and_blur(patch_scores_HW.shape[-1], size[1], sigma)
    map_YX: Floats = rows_YH @ patch_scores_HW.astype(np.float32) @ columns_XW.T
    return map_YX


def _upsample_and_blur(num_patches: int, num_pixels: int, sigma: float) -> Floats:
    """Weight of each patch in each pixel along one axis, (pixels, patches); each row sums to 1."""
    # Pixel centres in patch coordinates; outside the outermost patch centres the nearest one counts alone.
    centre = (np.arange(num_pixels) + 0.5) * num_patches / num_pixels - 0.5
    centre = np.clip(centre, 0, num_patches - 1)
    weight = np.maximum(0.0, 1.0 - np.abs(centre[:, None] - np.arange(num_patches)))
    if sigma > 0:
        weight = ndimage.gaussian_filter1d(weight, sigma, axis=0)
    return weight.astype(np.float32)
