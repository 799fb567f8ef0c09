"""How a routing network is trained; apart from the training, so that reading a configuration needs no torch."""

from dataclasses import dataclass
from typing import Literal

from eagleray.config import check_at_least, check_one_of, check_share
from eagleray.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingConfig:
    """The routing network and its training (Lei et al. 2024, eq. 1 and 2)."""

    loss: Literal["center", "softmax"] = "center"
    """'center' is eq. 2; 'softmax' is its cross entropy alone, with the subclasses' mean embeddings as centres."""
    alpha: float = 0.5
    """Weight of the centre term, in [0, 1]; the cross entropy has the rest. Not used with 'softmax'."""
    channels: int = 128
    """Size of a picture's embedding; 0 is that of the features, as in the paper."""
    stride: int = 2
    """Patches from one place of the convolution to the next."""
    epochs: int = 10
    """Passes over the training pictures."""
    batch_size: int = 16
    """Pictures of a step."""
    learning_rate: float = 1e-3
    """Of Adam, in (0, 1]."""
    centre_rate: float = 0.5
    """Share of the way that a centre moves towards its subclass in a step, in (0, 1] (Wen et al. 2016)."""

    def __post_init__(self) -> None:
        check_one_of("--routing.loss", self.loss, ("center", "softmax"))
        check_share("--routing.alpha", self.alpha)
        check_at_least("--routing.channels", self.channels, 0)
        if self.channels == 1:  # what the routing space is drawn from has two axes
            raise ConfigError("--routing.channels", "0 or at least 2", self.channels)
        check_at_least("--routing.stride", self.stride, 1)
        check_at_least("--routing.epochs", self.epochs, 1)
        check_at_least("--routing.batch-size", self.batch_size, 1)
        check_share("--routing.centre-rate", self.centre_rate, zero=False)
        check_share("--routing.learning-rate", self.learning_rate, zero=False)
