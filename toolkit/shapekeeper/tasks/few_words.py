"""Twenty words of many strings: a task so small that evolution has a chance."""

from __future__ import annotations

from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shapekeeper.constraints import Grammar
from shapekeeper.networks import StraightThrough
from shapekeeper.randomness import generator

from .task import Data, Task, accuracy
from .writing import written

__all__ = ["few_words", "share_that_obeys"]

WORDS, SLOTS, SYMBOLS = 20, 8, "abc"
FEATURES = 12
_ADAM = partial(torch.optim.Adam, lr=1e-2)


class SmallSpeaker(nn.Module):
    """Sentence -> word -> which of the meanings; about 2400 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(FEATURES, 24),
            nn.Tanh(),
            nn.Linear(24, SLOTS * len(SYMBOLS)),
            nn.Unflatten(1, (SLOTS, len(SYMBOLS))),
        )
        self.speaker = StraightThrough()
        self.decoder = nn.Sequential(
            nn.Linear(SLOTS * len(SYMBOLS), 32), nn.Tanh(), nn.Linear(32, WORDS)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scores `(batch, meanings)`."""
        return self.decoder(self.speaker(self.encoder(x)).flatten(1))


@written
def few_words() -> Task:
    """Say which of 20 things was meant, by one of 20 words.

    40 sentences, two for each thing, are 12 random signs each. All a network passes on in the
    middle is a word of 8 slots with 3 symbols, of which 20 are allowed and 6541 are not. Training
    and test set are the same 40 sentences: the question is what can be trained at all.

    Returns:
        A task whose batches are all sentences, so that whether a network obeys is known at every
        step.

    Example:
        >>> task = few_words()
        >>> sum(p.numel() for p in task.start_model(0).parameters())
        2372
        >>> task.constraints["encoder"].count, task.data_for(0)
        (20, Data(train=(40, 12)->(40,), test=(40, 12)->(40,)))
    """
    return Task(
        "few words",
        model=_small_speaker,
        data=_data,
        loss=F.cross_entropy,
        metric=accuracy,
        constraints={"encoder": _language()},
        batch_size=2 * WORDS,
        optimizer=_ADAM,
    )


def share_that_obeys(networks: int, seed: int = 0) -> float:
    """Share of untrained networks of the task that say an allowed word to all 40 sentences.

    Args:
        networks: How many to draw.
        seed: Of the first; each network has a seed of its own.

    Returns:
        From 0 to 1.

    Example:
        >>> share_that_obeys(20)
        0.0
    """
    task = few_words()
    grammar, (x, _) = task.constraints["encoder"], _data(0).train
    obey = 0
    for i in range(networks):
        with torch.no_grad():
            said = task.start_model(seed + i).get_submodule("encoder")(x)
        obey += bool(grammar.allows(said).all())
    return obey / networks


def _small_speaker(seed: int) -> nn.Module:
    return SmallSpeaker()


@cache
def _language() -> Grammar:
    """Twenty words, drawn once."""
    strings = len(SYMBOLS) ** SLOTS
    drawn = torch.randperm(strings, generator=generator(0, "few words/language"))[:WORDS]
    words = ["".join(SYMBOLS[n // 3**t % 3] for t in range(SLOTS)) for n in drawn.tolist()]
    return Grammar.from_words(words, alphabet=SYMBOLS)


def _data(seed: int) -> Data:
    rng = generator(seed, "few words/sentences")
    x = torch.randint(2, (2 * WORDS, FEATURES), generator=rng) * 2.0 - 1
    y = torch.arange(WORDS).repeat(2)
    return Data((x, y), (x, y))
