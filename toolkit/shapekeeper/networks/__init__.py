"""Networks that keep to a drawing.

- From a region graph to a network, dense or with the open blocks alone: `compile_network`,
  `RegionNetwork`, `Plan`.
- A layer for networks of one's own: `MaskedLinear`.
"""

from shapekeeper.networks.masked_linear import MaskedLinear
from shapekeeper.networks.network import RegionNetwork, compile_network
from shapekeeper.networks.plan import Plan

__all__ = ["MaskedLinear", "Plan", "RegionNetwork", "compile_network"]
