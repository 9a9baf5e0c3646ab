"""A network that translates by way of a word: it reads, says one word, and writes from it alone."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from shapekeeper.networks import StraightThrough

from .interlingua import ENGLISH, GERMAN, LONGEST_GERMAN, SLOTS, SYMBOLS

__all__ = ["Encoder", "ShortTranslator", "Translator"]

WIDTH = 48  # of the reader, each way
DEEP = 96  # of what writes
HEADS = 4


class Cell(nn.Module):
    """One step of gated recurrent networks side by side (K. Cho et al. 2014).

    Written out, since `nn.GRU` can't run under `torch.vmap` and `nn.GRUCell` is slow there.
    """

    def __init__(self, ways: int, width: int) -> None:
        super().__init__()
        bound = 1 / sqrt(width)
        self.onward = nn.Parameter(torch.empty(ways, width, 3 * width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(ways, 1, width).uniform_(-bound, bound))

    def forward(self, gates: Tensor, state: Tensor) -> Tensor:
        """The next states from what the inputs ask of the gates, `(ways, batch, 3 width)`."""
        reset, keep, new = gates.chunk(3, -1)
        one, two, three = torch.bmm(state, self.onward).chunk(3, -1)
        reset, keep = torch.sigmoid(reset + one), torch.sigmoid(keep + two)
        return torch.lerp(torch.tanh(new + reset * (three + self.bias)), state, keep)


class Reader(nn.Module):
    """A gated recurrent network that reads both ways at once."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.inward = nn.Linear(size, 6 * width)
        self.cell = Cell(2, width)

    def forward(self, x: Tensor, said: Tensor) -> Tensor:
        """States `(batch, time, 2 width)` for inputs `(batch, time, size)`.

        Where nothing is said, `(batch, time)`, a state stays what it was.
        """
        gates = self.inward(x).unflatten(-1, (2, -1))  # batch, time, way, 3 width
        gates = torch.stack([gates[:, :, 0], gates[:, :, 1].flip(1)])
        heard = torch.stack([said, said.flip(1)])[..., None]
        state = torch.zeros_like(gates[:, :, 0, : gates.shape[-1] // 3])
        states = []
        for slot, mask in zip(gates.unbind(2), heard.unbind(2), strict=True):
            state = torch.where(mask, self.cell(slot, state), state)
            states.append(state)
        there, back = torch.stack(states, 2)
        return torch.cat([there, back.flip(1)], -1)


class Encoder(nn.Module):
    """From a sentence to the scores of a word: one symbol in each slot.

    Each slot asks the sentence by a query of its own. The scores are normalized over the batch:
    without, the layer hardly learns to say different words.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(ENGLISH), 32)
        self.reader = Reader(32, WIDTH)
        self.keys = nn.Linear(2 * WIDTH, 64)
        self.queries = nn.Parameter(torch.randn(len(SLOTS), 64))
        self.values = nn.Linear(2 * WIDTH, 64)
        self.scores = nn.Linear(64, len(SYMBOLS))
        self.norm = nn.BatchNorm1d(len(SLOTS) * len(SYMBOLS))

    def forward(self, sentence: Tensor) -> Tensor:
        """Scores `(batch, 7, 16)` of sentences `(batch, words)`, word numbers filled up with 0."""
        said = sentence != 0
        states = self.reader(self.embedding(sentence), said)
        match = self.queries @ self.keys(states).transpose(1, 2) / 8
        weights = torch.softmax(match.masked_fill(~said[:, None], -1e9), -1)
        slots = torch.tanh(weights @ self.values(states) + self.queries)
        return self.norm(self.scores(slots).flatten(1)).unflatten(1, (len(SLOTS), len(SYMBOLS)))


class Decoder(nn.Module):
    """From a word to the scores of a sentence: a recurrent network that looks at all slots.

    It reads no sentence and none of what it has written, so that training and test are alike.
    """

    def __init__(self) -> None:
        super().__init__()
        self.symbols = nn.Linear(len(SYMBOLS), DEEP, bias=False)
        self.slots = nn.Parameter(torch.randn(len(SLOTS), DEEP) / 2)
        self.places = nn.Parameter(torch.randn(LONGEST_GERMAN, DEEP) / 2)
        self.query, self.key = nn.Linear(DEEP, DEEP), nn.Linear(DEEP, DEEP)
        self.value = nn.Linear(DEEP, DEEP)
        self.inward, self.cell = nn.Linear(2 * DEEP, 3 * DEEP), Cell(1, DEEP)
        self.words = nn.Linear(2 * DEEP, len(GERMAN))

    def forward(self, word: Tensor) -> Tensor:
        """Scores `(batch, 6, words)` of the German words that `(batch, 7, 16)` is said with."""
        memory = torch.tanh(self.symbols(word) + self.slots)
        keys, values = (_headed(f(memory)) for f in (self.key, self.value))
        state = memory.mean(1)
        written = []
        for place in self.places:
            query = _headed(self.query(state + place)[:, None])
            weights = torch.softmax(query @ keys.transpose(2, 3) / sqrt(DEEP / HEADS), -1)
            seen = (weights @ values).transpose(1, 2).flatten(1)
            gates = self.inward(torch.cat([seen, place.expand_as(seen)], -1))
            state = self.cell(gates[None], state[None])[0]
            written.append(torch.cat([state, seen], -1))
        return self.words(torch.stack(written, 1))


class Translator(nn.Module):
    """English-like to German-like sentences by way of one word.

    Args:
        words: Whether what passes is a word (`StraightThrough`) or the encoder's scores.

    Example:
        >>> Translator()(torch.ones(3, 11, dtype=torch.long)).shape
        torch.Size([3, 6, 31])
    """

    def __init__(self, words: bool = True) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.speaker = StraightThrough() if words else nn.Identity()
        self.decoder = Decoder()

    def forward(self, sentence: Tensor) -> Tensor:
        """Scores `(batch, 6, words)` of German words, for sentences `(batch, 11)`."""
        return self.decoder(self.speaker(self.encoder(sentence)))


class ShortTranslator(nn.Module):
    """The encoder of a `Translator` alone, under the same names: a shorter network to train first.

    Example:
        >>> ShortTranslator()(torch.ones(3, 11, dtype=torch.long)).shape
        torch.Size([3, 7, 16])
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()

    def forward(self, sentence: Tensor) -> Tensor:
        """The encoder's scores `(batch, 7, 16)`."""
        return self.encoder(sentence)


def _headed(x: Tensor) -> Tensor:
    """`(batch, items, deep)` to `(batch, heads, items, deep / heads)`."""
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
