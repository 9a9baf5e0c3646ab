"""Sentences of the translation task, to be read."""

from torch import Tensor

from shapekeeper.tasks.interlingua import ENGLISH, text_of

__all__ = ["sentence"]


def sentence(numbers: Tensor) -> str:
    """The English-like text of one input of the translation task.

    Args:
        numbers: Word numbers `(11,)`, filled up with 0.

    Returns:
        Words between blanks.

    Example:
        >>> import shapekeeper as sk
        >>> x, _ = sk.tasks.translation().data_for(0).test
        >>> sentence(x[0]).split()[0]
        'the'
    """
    return text_of(numbers.tolist(), ENGLISH)
