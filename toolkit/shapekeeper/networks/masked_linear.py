"""A linear layer in which only some inputs reach some outputs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shapekeeper.constraints import Connections, Constraint, ConstraintError

__all__ = ["MaskedLinear"]


class MaskedLinear(nn.Module):
    """`nn.Linear` that reads open weights only, whatever an optimizer does to the others.

    Parameters, and keys of the state dict: `weight` (out, in), `[target, source]`, and `bias`
    (out,), as in `nn.Linear`. Closed weights are there, and never read; presets are read as they
    were given. The constraint is part of the layer, so nothing needs to hold it.

    Args:
        connections: `Connections` of a mask (out, in), or an intersection with them, such as
            `Connections(mask) & Signs(signs)`: the layer reads the nearest allowed weights.
        bias: Whether there is a bias.
        bias_mask: Yes/no or 0/1 entries (out,): which outputs have one; all by default.

    Raises:
        ConstraintError: If the connections are not those of a matrix, or the bias mask does not
            fit; all problems at once.

    Example:
        >>> layer = MaskedLinear(Connections([[1, 0, 1], [0, 1, 1]]), bias_mask=[1, 0])
        >>> layer
        MaskedLinear(in_features=3, out_features=2, bias=1 of 2, open=4 of 6 (67 %))
        >>> layer(torch.rand(5, 3)).shape
        torch.Size([5, 2])
        >>> (layer.weight_matrix() != 0).int().tolist()
        [[1, 0, 1], [0, 1, 1]]
    """

    def __init__(self, connections: Constraint, bias: bool = True, bias_mask: Any = None) -> None:
        super().__init__()
        problems = [*_bad_connections(connections), *_bad_bias(connections, bias, bias_mask)]
        if problems:
            raise ConstraintError(" ".join(problems))
        self.connections = connections
        self.bias_connections = None if bias_mask is None else Connections(bias_mask)
        self.out_features, self.in_features = connections.shape
        self.weight = nn.Parameter(torch.empty(connections.shape))
        self.bias = nn.Parameter(torch.empty(self.out_features)) if bias else None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw starting weights as `nn.Linear` does, and let `connections.start` allow them."""
        drawn = nn.Linear(self.in_features, self.out_features)
        self.weight.copy_(self.connections.start(drawn.weight))
        if self.bias is not None:
            self.bias.copy_(drawn.bias)
            self.bias.copy_(self._bias())  # type: ignore[arg-type]  # there is one

    def forward(self, x: Tensor) -> Tensor:
        """Weighted sums.

        Args:
            x: `(*, in_features)`.

        Returns:
            `(*, out_features)`.
        """
        return F.linear(x, self.connections.project(self.weight), self._bias())

    def weight_matrix(self) -> Tensor:
        """The weights that are read, a detached copy (out, in), `[target, source]`; closed are 0.

        Example:
            >>> MaskedLinear(Connections([[1, 0]], fixed=[[0.5, 0]])).weight_matrix()
            tensor([[0.5000, 0.0000]])
        """
        return self.connections.project(self.weight.detach())

    def _bias(self) -> Tensor | None:
        if self.bias is None or self.bias_connections is None:
            return self.bias
        return self.bias_connections.project(self.bias)

    def extra_repr(self) -> str:
        """What the module's printed form says about it."""
        bias: Any = self.bias is not None
        if self.bias_connections is not None:
            bias = f"{int(self.bias_connections.mask.sum())} of {self.out_features}"
        low, high = self.connections.ends()
        count, size = int(((low != 0) | (high != 0)).sum()), self.weight.numel()
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}, "
            f"open={count:,} of {size:,} ({100 * count / size:.0f} %)"
        )


def _bad_connections(connections: Any) -> list[str]:
    if not isinstance(connections, Constraint):
        given = type(connections).__name__
        return [f"Wanted connections, got {given}. Write MaskedLinear(Connections(mask))."]
    parts = getattr(connections, "parts", (connections,))
    if not any(isinstance(part, Connections) for part in parts):
        return [f"Wanted Connections, or an intersection with them, got {connections!r}."]
    if len(connections.shape) != 2:
        return [f"Wanted connections (out, in), got those of shape {connections.shape}."]
    return []


def _bad_bias(connections: Any, bias: bool, bias_mask: Any) -> list[str]:
    if bias_mask is None:
        return []
    if not bias:
        return ["Wanted no bias_mask where bias=False, got one."]
    try:
        shape = Connections(bias_mask).shape
    except ConstraintError as error:
        return [f"bias_mask: {error}"]
    wanted = getattr(connections, "shape", ())[:1]
    fits = shape == wanted or not wanted
    return [] if fits else [f"Wanted a bias_mask of shape {wanted}, got {shape}."]
