"""The losses of DRAEM and EasyNet: structure and squared error of the reconstruction, focal loss of the verdict."""

import torch
from torch import Tensor
from torch.nn import functional

_WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def ssim_loss(found_NCYX: Tensor, wanted_NCYX: Tensor) -> Tensor:
    """One minus the mean structural similarity of pictures whose values span 2, such as -1 to 1 (Wang et al. 2004)."""
    channels = found_NCYX.shape[1]
    offsets = torch.arange(_WINDOW, dtype=found_NCYX.dtype, device=found_NCYX.device) - _WINDOW // 2
    bell = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    bell = bell / bell.sum()
    rows = bell.view(1, 1, _WINDOW, 1).expand(channels, 1, -1, 1)
    columns = bell.view(1, 1, 1, _WINDOW).expand(channels, 1, 1, -1)

    def blurred(values: Tensor) -> Tensor:
        values = functional.conv2d(values, rows, padding=(_WINDOW // 2, 0), groups=channels)
        return functional.conv2d(values, columns, padding=(0, _WINDOW // 2), groups=channels)

    x, y = (found_NCYX + 1) / 2, (wanted_NCYX + 1) / 2
    mean_x, mean_y = blurred(x), blurred(y)
    var_x, var_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
    covariance = blurred(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    likeness = likeness / ((mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2))
    return 1 - likeness.mean()


def focal_loss(logits_NHW: Tensor, target_NHW: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Cross entropy that counts patches the less, the surer they are right (Lin et al. 2017)."""
    entropy_NHW = functional.binary_cross_entropy_with_logits(logits_NHW, target_NHW, reduction="none")
    right_NHW = torch.exp(-entropy_NHW)
    return ((1 - right_NHW) ** gamma * entropy_NHW).mean()
