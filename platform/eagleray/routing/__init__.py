"""Routing: classes to experts when they are learned, images to classes when they are scored.

Nothing here needs torch; training a routing network does, and is in `network_training`.
"""

from eagleray.routing.centroids import similarities
from eagleray.routing.network import RoutingNetwork
from eagleray.routing.novelty import novelty_limits
from eagleray.routing.prototypes import PrototypeRouter
from eagleray.routing.routing_config import RoutingConfig

__all__ = ["PrototypeRouter", "RoutingConfig", "RoutingNetwork", "novelty_limits", "similarities"]
