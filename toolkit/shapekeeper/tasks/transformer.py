"""A small transformer that guesses the next character, each of its matrices a weight of its own."""

import math

import torch
from torch import Tensor, nn

from .task import TaskError

__all__ = ["CausalTransformer"]


class CausalTransformer(nn.Module):
    """A transformer without dropout that at each place sees what came before, and nothing after.

    A. Vaswani and others 2017, Attention is all you need, arXiv 1706.03762, the decoder without its
    second input. Query, key, value and output are four matrices, so that each can be held for
    itself. Matrices start as `nn.Linear` does, the table of symbols even in
    `U(-1/sqrt(width), 1/sqrt(width))`; it is scaled by `sqrt(width)` when read, and positions are
    sines that are not learned (section 3.4 and 3.5 there).

    Args:
        symbols: How many different ones there are.
        context: The longest sequence.
        width: Numbers per place, an even multiple of `heads`.
        heads: Of each attention.
        layers: Blocks of attention and two layers of units.
        hidden: Units between these two layers.
        norm_first: Whether each sum is normalized before its branch (R. Xiong and others 2020, On
            layer normalization in the transformer architecture, arXiv 2002.04745), or after.

    Raises:
        TaskError: If these numbers make no transformer.

    Example:
        >>> net = CausalTransformer(96, 32, width=8, layers=1)
        >>> [name for name, weight in net.named_parameters() if weight.dim() > 1]
        ['table.weight', 'blocks.0.query.weight', 'blocks.0.key.weight', 'blocks.0.value.weight', \
'blocks.0.out.weight', 'blocks.0.up.weight', 'blocks.0.down.weight', 'head.weight']
        >>> net(torch.zeros(5, 32, dtype=torch.uint8)).shape
        torch.Size([5, 32, 96])
    """

    positions: Tensor

    def __init__(
        self,
        symbols: int,
        context: int,
        *,
        width: int = 64,
        heads: int = 2,
        layers: int = 2,
        hidden: int = 128,
        norm_first: bool = True,
    ) -> None:
        sizes = [symbols, context, width, heads, layers, hidden]
        if min(sizes) < 1 or width % (2 * heads):
            raise TaskError(
                "transformer",
                [
                    "Wanted whole numbers from 1 up and a width that is an even multiple of heads, "
                    f"got {symbols=}, {context=}, {width=}, {heads=}, {layers=}, {hidden=}."
                ],
            )
        super().__init__()
        self.table = nn.Embedding(symbols, width)
        nn.init.uniform_(self.table.weight, -(width**-0.5), width**-0.5)
        blocks = [_Block(width, heads, hidden, norm_first) for _ in range(layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width) if norm_first else nn.Identity()
        self.head = nn.Linear(width, symbols)
        # Not in the state dict: it follows from the sizes.
        self.register_buffer("positions", _sines(context, width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of what comes next.

        Args:
            x: Symbols (batch, places), whole numbers of any type, at most `context` places.

        Returns:
            Logits (batch, places, symbols).
        """
        scale = math.sqrt(self.table.embedding_dim)
        h = scale * self.table(x.long()) + self.positions[: x.shape[-1]]
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


class _Block(nn.Module):
    """Attention to what came before, then two layers; each adds to what passes by."""

    def __init__(self, width: int, heads: int, hidden: int, norm_first: bool) -> None:
        super().__init__()
        self.heads, self.norm_first = heads, norm_first
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm_seen, self.norm_thought = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, h: Tensor) -> Tensor:
        if self.norm_first:
            h = h + self.attend(self.norm_seen(h))
            return h + self.think(self.norm_thought(h))
        h = self.norm_seen(h + self.attend(h))
        return self.norm_thought(h + self.think(h))

    def attend(self, h: Tensor) -> Tensor:
        """What each place takes from those before it and from itself."""
        q, k, v = (self._split(layer(h)) for layer in (self.query, self.key, self.value))
        # torch's scaled_dot_product_attention has no rule for many runs at once on the CPU.
        alike = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        future = torch.ones(alike.shape[-2:], dtype=torch.bool, device=h.device).triu(1)
        mixed = alike.masked_fill(future, -math.inf).softmax(-1) @ v
        return self.out(mixed.transpose(-3, -2).flatten(-2))

    def think(self, h: Tensor) -> Tensor:
        """Two layers at each place for itself."""
        return self.down(self.up(h).relu())

    def _split(self, h: Tensor) -> Tensor:
        """(batch, places, width) -> (batch, heads, places, width / heads)."""
        return h.unflatten(-1, (self.heads, -1)).transpose(-3, -2)


def _sines(context: int, width: int) -> Tensor:
    """Sines and cosines (context, width) of waves from 2 pi to 2 pi 10000 places long."""
    place = torch.arange(context)[:, None]
    rate = 10000.0 ** (-torch.arange(0, width, 2) / width)
    return torch.stack([(place * rate).sin(), (place * rate).cos()], -1).flatten(-2)
