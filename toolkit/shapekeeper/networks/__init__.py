"""From a region graph to a PyTorch network: dense, or with the open blocks alone."""

from shapekeeper.networks.network import RegionNetwork, compile_network
from shapekeeper.networks.plan import Plan

__all__ = ["Plan", "RegionNetwork", "compile_network"]
