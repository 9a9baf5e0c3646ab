"""One sweep over the layers of a lattice: the best word, the share of legal words, marginals.

From the last slot to the first, with s the scores, beta of the last layer 0 and a state's steps
(symbol v, state r):

    x_t[q, v] = s[t, v] + beta_(t+1)[r]        beta_t[q] = max or logsumexp over v of x_t[q, v]

With the maximum, the best steps from the start are the best word; with logsumexp, beta_0 is the
logarithm of the sum over all words, and softmax(x_t[q]) the chances of the next symbol in state q.
All is computed with the batch as the last axis, so that rows are gathered and reduced whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from .lattice import Lattice
from .tables import Table, tables

__all__ = ["best_word", "draw_word", "legal_share", "marginals"]

Surrogate: TypeAlias = Literal["", "softmax", "marginals"]
Sweep: TypeAlias = Callable[..., Tensor]

ROOM = 2**24  # numbers that the steps of one layer may take; more events go one part after another


def best_word(scores: Tensor, lattice: Lattice, surrogate: Surrogate = "") -> Tensor:
    """The word with the largest sum of scores, one-hot.

    Args:
        scores: `(*batch, length, symbols)`.
        lattice: The words.
        surrogate: Whose derivative it has: none, each slot's softmax, or the marginals.

    Returns:
        The same shape and dtype.
    """
    return _Word.apply(scores, lattice, surrogate, None)


def draw_word(scores: Tensor, lattice: Lattice, generator: torch.Generator | None) -> Tensor:
    """A word, drawn by its chance among the legal ones; derivative of the marginals.

    Args:
        scores: `(*batch, length, symbols)`.
        lattice: The words.
        generator: Of random numbers.

    Returns:
        The same shape and dtype.
    """
    # The largest of scores plus Gumbel noise is a draw from their softmax (E. J. Gumbel 1954).
    shape = (scores.shape[:-2].numel(), lattice.length, lattice.widest)
    uniform = torch.rand(shape, generator=generator, device=scores.device)
    noise = -torch.log(-torch.log(uniform.clamp(min=torch.finfo(uniform.dtype).tiny)))
    return _Word.apply(scores, lattice, "marginals", noise)


def legal_share(scores: Tensor, lattice: Lattice) -> Tensor:
    """Logarithm of the chance that a word drawn slot by slot from the softmax is legal.

    Args:
        scores: `(*batch, length, symbols)`.
        lattice: The words.

    Returns:
        `(*batch)`, at least in float32.
    """
    return _LegalShare.apply(scores, lattice)


def marginals(scores: Tensor, lattice: Lattice) -> Tensor:
    """The chance of each symbol in each slot, given that the word is legal.

    Args:
        scores: `(*batch, length, symbols)`.
        lattice: The words.

    Returns:
        The same shape, at least in float32.
    """
    return _Marginals.apply(scores, lattice)


class _OnBatches(torch.autograd.Function):
    """A function of events that takes any number of leading axes, so vmap only adds one."""

    @classmethod
    def vmap(cls, info: Any, in_dims: tuple, *args: Any) -> tuple[Any, Any]:  # type: ignore[override]
        moved = [
            value
            if not isinstance(value, Tensor)
            else value.movedim(axis, 0)
            if axis is not None
            else value.expand(info.batch_size, *value.shape)
            for value, axis in zip(args, in_dims, strict=True)
        ]
        return cls.apply(*moved), 0


class _Word(_OnBatches):
    @staticmethod
    def forward(x: Tensor, lattice: Lattice, surrogate: Surrogate, noise: Tensor | None) -> Tensor:
        def sweep(s: Tensor, noise: Tensor | None = None) -> Tensor:
            read = tables(lattice, s)
            return _walk(read, s, _later(read, s, noise is not None)[0], noise)

        draws = [] if noise is None else [_columns(noise)]
        return _by_parts(sweep, lattice, _level(x), *draws).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        x, ctx.lattice, ctx.surrogate, _ = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        if ctx.surrogate == "marginals":
            return _Covariance.apply(x, grad, ctx.lattice), None, None, None
        if ctx.surrogate == "softmax":
            p = torch.softmax(_whole(x), -1)
            inward = p * (grad - (grad * p).sum(-1, keepdim=True))
            return inward.to(x.dtype), None, None, None
        return None, None, None, None


class _LegalShare(_OnBatches):
    @staticmethod
    def forward(x: Tensor, lattice: Lattice) -> Tensor:
        def sweep(s: Tensor) -> Tensor:
            return _later(tables(lattice, s), s, True)[0][0][0]

        share = _by_parts(sweep, lattice, torch.log_softmax(_whole(x), -1))
        return share.reshape(x.shape[:-2]).clamp(max=0)  # rounding may lift it above 0

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        x, ctx.lattice = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        way = _Marginals.apply(x, ctx.lattice) - torch.softmax(_whole(x), -1)
        return (way * grad[..., None, None]).to(x.dtype), None


class _Marginals(_OnBatches):
    @staticmethod
    def forward(x: Tensor, lattice: Lattice) -> Tensor:
        def sweep(s: Tensor) -> Tensor:
            read = tables(lattice, s)
            _, chances = _later(read, s, True, keep=True)
            shares, flow = [], s.new_ones(1, s.shape[-1])
            for table, chance in zip(read, chances, strict=True):
                steps = flow[:, None] * chance
                shares.append(_by_symbol(table, steps))
                flow = _by_target(table, steps)
            return torch.stack(shares)

        return _by_parts(sweep, lattice, _level(x))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        x, ctx.lattice = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return _Covariance.apply(x, grad, ctx.lattice), None


class _Covariance(_OnBatches):
    """The derivative of the marginals along a direction: covariances, which are symmetric.

    So the product with a gradient from the left is the derivative along it, which goes forward with
    the same two sweeps.
    """

    @staticmethod
    def forward(x: Tensor, along: Tensor, lattice: Lattice) -> Tensor:
        def sweep(s: Tensor, along: Tensor) -> Tensor:
            read, slots = tables(lattice, s), reversed(along.unbind())
            _, chances = _later(read, s, True, keep=True)
            turns, rise = [], s.new_zeros(1, s.shape[-1])
            for table, chance, slot in zip(reversed(read), reversed(chances), slots, strict=True):
                change = _ahead(table, slot, rise)
                rise = (chance * change).sum(1)
                turns.append(change.sub_(rise[:, None]))
            shares, flow, drift = [], s.new_ones(1, s.shape[-1]), s.new_zeros(1, s.shape[-1])
            for table, chance, turn in zip(read, chances, reversed(turns), strict=True):
                steps = chance * turn.mul_(flow[:, None]).add_(drift[:, None])
                shares.append(_by_symbol(table, steps))
                drift = _by_target(table, steps)
                flow = _by_target(table, chance * flow[:, None])
            return torch.stack(shares)

        return _by_parts(sweep, lattice, _level(x), _columns(along)).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        """Derivatives end here."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        raise NotImplementedError("The marginals of a grammar have one derivative, not two.")


def _whole(x: Tensor) -> Tensor:
    """At least in float32, also under autocast: sums over words are no place for halves."""
    return x if x.dtype == torch.float64 else x.float()


def _columns(x: Tensor) -> Tensor:
    """`(*batch, length, symbols)` with the batch last: `(length, symbols, events)`."""
    return _whole(x).reshape(-1, *x.shape[-2:]).permute(1, 2, 0).contiguous()


def _level(x: Tensor) -> Tensor:
    """The best score of each slot moved to 0: the same words and chances, and sums that are small.

    Scores of 10 000 in 32 slots leave float32 a resolution of .03.
    """
    return _whole(x) - _whole(x).amax(-1, keepdim=True)


def _by_parts(sweep: Sweep, lattice: Lattice, x: Tensor, *others: Tensor) -> Tensor:
    """The sweep over all events, in parts that fit; back in the shape of `x` where it has one."""
    s = _columns(x)
    events, most = s.shape[-1], max(1, ROOM // lattice.steps)
    parts = [
        sweep(*(t[..., at : at + most].contiguous() for t in (s, *others)))
        for at in range(0, max(1, events), most)
    ]
    found = torch.cat(parts, -1) if len(parts) != 1 else parts[0]
    if found.dim() == 1:
        return found
    return found.permute(2, 0, 1).reshape(x.shape)


def _ahead(table: Table, slot: Tensor, later: Tensor) -> Tensor:
    """X of one layer, `(states, fan, events)`: the score of each step, and of what follows."""
    steps = later.index_select(0, table.targets).view(*table.size, -1)
    if table.dense:
        return steps.add_(slot)
    return steps.add_(slot.index_select(0, table.symbols).view(*table.size, -1))


def _later(
    read: list[Table], s: Tensor, summed: bool, keep: bool = False
) -> tuple[list[Tensor], list[Tensor]]:
    """The beta of every layer, `(states, events)`; if asked for, the chances of all steps too."""
    beta, chances = [s.new_zeros(1, s.shape[-1])], []
    for table, slot in zip(reversed(read), reversed(s.unbind()), strict=True):
        x = _ahead(table, slot, beta[-1])
        if table.closed is not None:
            x.masked_fill_(table.closed, -torch.inf)
        top = x.amax(1)
        if not summed:
            beta.append(top)
            continue
        total = x.sub_(top[:, None]).exp_().sum(1)
        beta.append(total.log().add_(top))
        if keep:
            chances.append(x.div_(total[:, None]))
    return beta[::-1], chances[::-1]


def _walk(read: list[Table], s: Tensor, beta: list[Tensor], noise: Tensor | None) -> Tensor:
    """The best steps from the start on, or with noise drawn ones: a word `(length, symbols, b)`."""
    state = torch.zeros(s.shape[-1], dtype=torch.long, device=s.device)
    word = torch.zeros_like(s)
    for t, table in enumerate(read):
        symbols = table.symbols.view(table.size).index_select(0, state).t()
        targets = table.targets.view(table.size).index_select(0, state).t()
        x = s[t].gather(0, symbols).add_(beta[t + 1].gather(0, targets))
        if noise is not None:
            x = x.add_(noise[t, : len(x)])
        if table.closed is not None:
            x.masked_fill_(table.closed[..., 0].index_select(0, state).t(), -torch.inf)
        best = x.argmax(0, keepdim=True)
        word[t].scatter_(0, symbols.gather(0, best), 1.0)
        state = targets.gather(0, best)[0]
    return word


def _by_symbol(table: Table, steps: Tensor) -> Tensor:
    """Sum over the steps that carry each symbol, `(symbols, events)`."""
    if table.dense:
        return steps.sum(0)
    return _bagged(steps, *table.by_symbol)


def _by_target(table: Table, steps: Tensor) -> Tensor:
    """Sum over the steps that lead to each state, `(states, events)`."""
    return _bagged(steps, *table.by_target)


def _bagged(steps: Tensor, order: Tensor, ends: Tensor) -> Tensor:
    # A bag is a sum of whole rows in a fixed order: as fast as it gets, and on CUDA, unlike
    # index_add, the same each time.
    rows = steps.flatten(0, 1)
    return embedding_bag(order, rows, ends, mode="sum", include_last_offset=True)
