"""Networks that keep to a drawing.

- From a region graph to a network, dense or with the open blocks alone: `compile_network`,
  `RegionNetwork`, `Plan`.
- Layers for networks of one's own: `MaskedLinear`, `SincConv1d`
  (its kernels are `SincKernels`, and `widest_sinc` is a fixed one), `StraightThrough`.
- What a layer can give for any input of a box: `output_bounds`, along a `layer_path`; what can't be
  followed is a `BoundsError`.
"""

from shapekeeper.networks.bounds import BoundsError, layer_path, output_bounds
from shapekeeper.networks.masked_linear import MaskedLinear
from shapekeeper.networks.network import RegionNetwork, compile_network
from shapekeeper.networks.plan import Plan
from shapekeeper.networks.sinc_conv import SincConv1d, SincKernels, widest_sinc
from shapekeeper.networks.straight_through import StraightThrough

__all__ = [
    "BoundsError",
    "MaskedLinear",
    "Plan",
    "RegionNetwork",
    "SincConv1d",
    "SincKernels",
    "StraightThrough",
    "compile_network",
    "layer_path",
    "output_bounds",
    "widest_sinc",
]
