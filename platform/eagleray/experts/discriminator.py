"""An expert that learned to tell good patches from good patches with noise, and scores by how sure it is (SimpleNet).

Shapes, beside the legend of eagleray.arrays: J hidden units.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from eagleray.arrays import Floats

NEGATIVE_SLOPE = 0.2
"""Slope of the leaky rectifier below zero."""


@dataclass(frozen=True, slots=True)
class DiscriminatorExpert:
    """A projection and a discriminator of one hidden layer (Liu et al. 2023), single precision.

    Sums of BLAS depend on its threads: a caller whose scores must not limits them to one.
    """

    projection_DD: Floats
    """Linear map of embeddings, applied from the right."""
    projection_bias_D: Floats
    hidden_DJ: Floats
    """First layer of the discriminator, batch norm folded in."""
    hidden_bias_J: Floats
    tail_J: Floats
    """Weights of the hidden units in the output, which has no bias."""

    def patch_scores(self, patches_HWD: Floats) -> Floats:
        """Anomaly score of every patch of one picture, (H, W): minus the discriminator's output, unbounded."""
        height, width, dim = patches_HWD.shape
        projected_PD: Floats = patches_HWD.reshape(-1, dim) @ self.projection_DD + self.projection_bias_D
        hidden_PJ: Floats = projected_PD @ self.hidden_DJ + self.hidden_bias_J
        hidden_PJ[hidden_PJ < 0] *= NEGATIVE_SLOPE
        output_P: Floats = hidden_PJ @ self.tail_J
        return (-output_P).reshape(height, width)

    def to_tensors(self) -> dict[str, Floats]:
        """The weights by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Floats]) -> "DiscriminatorExpert":
        """From what `to_tensors` gave.

        Raises:
            TypeError: other names.
        """
        return cls(**tensors)
