"""Text of four letters to be guessed letter by letter: easy, harder, and two of them at once."""

from collections.abc import Callable
from functools import partial
from math import ceil, log

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from shapekeeper.constraints import Connections
from shapekeeper.networks import RegionNetwork, compile_network
from shapekeeper.randomness import generator
from shapekeeper.regions import Region, RegionGraph

from .task import Data, Pair, Task, TaskError
from .writing import written

__all__ = ["sequence_floor", "sequence_text", "sequences", "two_texts"]

LETTERS = "()ab"
GO_ON = 0.6  # after each "ab" of an easy string

_RMSPROP = partial(torch.optim.RMSprop, lr=0.01, alpha=0.99)


def sequence_text(level: int, characters: int, streams: int = 1, seed: int = 0) -> Tensor:
    """Streams of text of the two kinds that T. Miconi 2016 (arXiv 1606.06216, section 3) uses.

    Level 0, his easy one: `(ab...ab)`, where after each `ab` another follows with probability .6.
    From level 1 up, his hard one with groups of so many letters: each group is the last one
    backwards with one letter, drawn at random, turned from a to b or from b to a.

    Args:
        level: 0, or how many letters a group has (his are 5 or 6).
        characters: Length of each stream.
        streams: How many, each drawn by itself.
        seed: Draws them.

    Returns:
        Places in `"()ab"`, `(streams, characters)`.

    Raises:
        TaskError: If a number can't be.

    Example:
        >>> text = sequence_text(3, characters=20)[0]
        >>> "".join("()ab"[i] for i in text)
        '(abb)(bbb)(bba)(aba)'
    """
    _refuse(level=level, characters=characters, streams=streams)
    draws = generator(seed, f"data/sequence/{level}")
    if level:
        return _turned(level, characters, streams, draws)
    return torch.stack([_repeated(characters, draws) for _ in range(streams)])


def _turned(level: int, characters: int, streams: int, draws: torch.Generator) -> Tensor:
    groups = ceil(characters / (level + 2))
    first = torch.randint(2, (streams, 1, level), generator=draws)
    place = torch.randint(level, (streams, groups - 1), generator=draws)
    turns = torch.cat([first, one_hot(place, level)], dim=1)
    # Reversing twice does nothing: seen every other time in a mirror, all turns simply add up.
    turns[:, 1::2] = turns[:, 1::2].flip(-1)
    letters = turns.cumsum(1) % 2
    letters[:, 1::2] = letters[:, 1::2].flip(-1)
    ends = letters.new_zeros(streams, groups, 1)
    return torch.cat([ends, letters + 2, ends + 1], dim=-1).flatten(1)[:, :characters]


def _repeated(characters: int, draws: torch.Generator) -> Tensor:
    strings = ceil(characters / 4)  # the shortest is "(ab)"
    more = torch.rand(strings * 2, generator=draws) < GO_ON
    # One draw for each "ab": what follows it is another, or the end of this string and the next.
    pieces = [torch.tensor([0, 2, 3])] + [
        torch.tensor([2, 3] if again else [1, 0, 2, 3]) for again in more.tolist()
    ]
    return torch.cat(pieces)[:characters]


def sequence_floor(level: int) -> float:
    """What the best guesser pays for a letter of `sequence_text`.

    Args:
        level: As there.

    Returns:
        The entropy in nats per character: the entropy of a choice, times choices, per length.

    Example:
        >>> [round(sequence_floor(level), 4) for level in (0, 4, 6)]
        [0.2404, 0.231, 0.224]
    """
    _refuse(level=level)
    if level:
        return log(level) / (level + 2)
    stop = 1 - GO_ON
    choice = -GO_ON * log(GO_ON) - stop * log(stop)
    return (choice / stop) / (2 + 2 / stop)


@written
def sequences(
    level: int = 4,
    *,
    units: int = 64,
    streams: int = 16,
    window: int = 40,
    windows: int = 250,
    optimizer: Callable[..., torch.optim.Optimizer] = _RMSPROP,
) -> Task:
    """Guess the next letter of `sequence_text` with a recurrent network of tanh units.

    The task of T. Miconi 2016, Neural networks with differentiable structure (arXiv 1606.06216):
    `h' = tanh(W h + W_in x + b)`, and a readout of four scores. Training reads each stream in
    order, one window after the other (`Task.in_order`); `shapekeeper.growth` carries the activities
    over, `compare` begins each window at rest. Each seed has a text of its own, all are judged by
    the same one.

    Args:
        level: 0 is easy; from 1 up, letters of a group.
        units: Of the network: what it has, and what a network that grows may reach.
        streams: Texts that are read at the same time, a batch.
        window: Letters of a step.
        windows: Steps until the text begins anew.
        optimizer: Parameters -> optimizer; RMSProp with rate .01 and decay .99, as there.

    Returns:
        A task whose loss and metric are nats per character; `sequence_floor` is the least.

    Raises:
        TaskError: If a number can't be.

    Example:
        >>> task = sequences(level=4, units=8)
        >>> task.data_for(0)
        Data(train=(4000, 40, 4)->(4000, 40), test=(400, 40, 4)->(400, 40))
        >>> task.start_model(0).graph.regions
        (Region("memory", 8, input=True, output=True),)
    """
    _refuse(level=level, units=units, streams=streams, window=window, windows=windows)
    graph = RegionGraph([Region("memory", units, input=True, output=True)])
    return Task(
        "easy sequences" if level == 0 else f"sequences of {level}",
        model=partial(_network, graph=graph, symbols=len(LETTERS)),
        data=partial(_data, levels=(level,), sizes=(streams, window, windows)),
        loss=_nats,
        metric=_nats,
        batch_size=streams,
        optimizer=optimizer,
        better="lower",
        metric_name="nats per character",
        in_order=True,
    )


@written
def two_texts(
    easy: int = 0,
    hard: int = 4,
    *,
    graph: RegionGraph | None = None,
    streams: int = 16,
    window: int = 40,
    windows: int = 250,
    optimizer: Callable[..., torch.optim.Optimizer] = _RMSPROP,
) -> Task:
    """Two texts at once, for two areas that need not be alike: one reads an easy one, one a hard.

    Both areas are recurrent, see their own text and guess its next letter; the other's guesses
    they can't reach, since `output_weight` is bound to `Connections`. In whatever network is drawn,
    the first two inputs and the first two outputs, in region order, are those of the two texts;
    regions besides them may help.

    Args:
        easy: Level of the first text.
        hard: Level of the second.
        graph: The areas: two with `input=4`, the same or others with `output=True`, two in all. By
            default "left" and "right", 64 units each, with no pathway between them.
        streams: As in `sequences`, as are those below.
        window: Letters of a step.
        windows: Steps until the texts begin anew.
        optimizer: Parameters -> optimizer.

    Returns:
        A task whose loss is the sum of both texts' nats per character, as is its metric.

    Raises:
        TaskError: If a number can't be, or the graph has other inputs or outputs.

    Example:
        >>> two_texts().constraints
        {'output_weight': Connections(‹8×128, 50 % open, e87c…›)}
    """
    _refuse(easy=easy, hard=hard, streams=streams, window=window, windows=windows)
    drawn = graph or RegionGraph(
        [Region(name, 64, input=len(LETTERS), output=True) for name in ("left", "right")]
    )
    inputs = [region for region in drawn.regions if region.input]
    outputs = [region for region in drawn.regions if region.output]
    if [region.input for region in inputs] != [4, 4] or len(outputs) != 2:
        problem = (
            "Wanted a graph with two regions of input=4 and two of output=True, got "
            f"{len(inputs)} inputs of {[region.input for region in inputs]} and {len(outputs)} "
            "outputs. Mark two of each."
        )
        raise TaskError("two texts", [problem])
    speaks = torch.zeros(2 * len(LETTERS), sum(region.size for region in outputs))
    speaks[:4, : outputs[0].size] = speaks[4:, outputs[0].size :] = 1
    return Task(
        "two texts",
        model=partial(_network, graph=drawn, symbols=2 * len(LETTERS)),
        data=partial(_data, levels=(easy, hard), sizes=(streams, window, windows)),
        loss=_nats_of_both,
        metric=_nats_of_both,
        constraints={"output_weight": Connections(speaks)},
        batch_size=streams,
        optimizer=optimizer,
        better="lower",
        metric_name="nats per character, summed",
        in_order=True,
    )


def _network(seed: int, graph: RegionGraph, symbols: int) -> RegionNetwork:
    """Recurrent, and small at the start as there: weights N(0, .01), biases 0."""
    net = compile_network(graph, symbols, symbols, layout="dense", steps=2, activation=torch.tanh)
    draws = generator(seed, "model")
    with torch.no_grad():
        for weight in net.parameters():
            small = 0.01 * torch.randn(weight.shape, generator=draws, dtype=torch.float64)
            weight.copy_(small if weight.ndim > 1 else torch.zeros_like(weight))
        for name, constraint in net.constraints.items():
            weight = net.get_parameter(name)
            weight.copy_(constraint.project(weight))
    return net


JUDGED = 25  # windows of the text that all runs are judged by
JUDGE = 2**31  # its seed


def _data(seed: int, levels: tuple[int, ...], sizes: tuple[int, int, int]) -> Data:
    streams, window, windows = sizes
    return Data(
        _read(seed, levels, (streams, window, windows)),
        _read(JUDGE, levels, (streams, window, JUDGED)),
    )


def _read(seed: int, levels: tuple[int, ...], sizes: tuple[int, int, int]) -> Pair:
    """Windows in the order of reading: that of one stream comes `streams` examples later."""
    streams, window, windows = sizes
    inputs, targets = [], []
    for k, level in enumerate(levels):
        text = sequence_text(level, window * windows + 1, streams, seed + k)
        inputs.append(one_hot(_in_order(text[:, :-1], window), len(LETTERS)).float())
        targets.append(_in_order(text[:, 1:], window))
    if len(levels) == 1:
        return inputs[0], targets[0]
    return torch.cat(inputs, dim=-1), torch.stack(targets, dim=-1)


def _in_order(text: Tensor, window: int) -> Tensor:
    return text.unflatten(1, (-1, window)).transpose(0, 1).flatten(0, 1)


def _nats(scores: Tensor, target: Tensor) -> Tensor:
    return cross_entropy(scores.flatten(0, -2), target.flatten())


def _nats_of_both(scores: Tensor, target: Tensor) -> Tensor:
    n = len(LETTERS)
    return _nats(scores[..., :n], target[..., 0]) + _nats(scores[..., n:], target[..., 1])


def _refuse(**numbers: int) -> None:
    wrong = [
        f"Wanted {name} as a whole number from {least} up, got {value!r}."
        for name, value in numbers.items()
        for least in [0 if name in ("level", "easy", "hard") else 1]
        if not isinstance(value, int) or isinstance(value, bool) or value < least
    ]
    if wrong:
        raise TaskError("sequences", wrong)
