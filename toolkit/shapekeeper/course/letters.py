"""Texts that networks write."""

import torch
from torch.nn.functional import one_hot

from shapekeeper.networks import RegionNetwork
from shapekeeper.randomness import generator

__all__ = ["letters_of"]

LETTERS = "()ab"


def letters_of(net: RegionNetwork, count: int = 60, seed: int = 0) -> str:
    """What a network writes that has learned to guess the next letter of a text.

    A letter is drawn as the network guesses, and read as the next one. The first thing that it
    reads is `)`, the end of a string.

    Args:
        net: Of the sequence tasks.
        count: How many letters.
        seed: Draws them.

    Returns:
        The text.

    Example:
        >>> import shapekeeper as sk
        >>> len(letters_of(sk.tasks.sequences(0, units=3).start_model(0)))
        60
    """
    draws = generator(seed, "course/letters")
    h, place, text = net.rest(1), LETTERS.index(")"), ""
    with torch.no_grad():
        for _ in range(count):
            scores, h = net(one_hot(torch.tensor([[place]]), len(LETTERS)).float(), h)
            chances = scores[0, 0].softmax(-1)
            place = int(torch.multinomial(chances, 1, generator=draws))
            text += LETTERS[place]
    return text
