"""Routing: classes to experts when they are learned, images to classes when they are scored."""

from eagleray.routing.centroids import similarities
from eagleray.routing.novelty import novelty_limits
from eagleray.routing.prototypes import PrototypeRouter

__all__ = ["PrototypeRouter", "novelty_limits", "similarities"]
