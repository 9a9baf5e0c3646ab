"""A layer that passes on symbols."""

import torch
from torch import Tensor, nn

__all__ = ["StraightThrough"]


class StraightThrough(nn.Module):
    """Passes on each slot's largest entry as one-hot, with the gradient of the softmax.

    The straight-through estimator (Y. Bengio, N. Léonard and A. Courville 2013, Estimating or
    propagating gradients through stochastic neurons for conditional computation). What is one-hot
    already passes unchanged, value and gradient: after a layer that a strategy holds to a
    `Grammar`, this layer does nothing, and after one that gives scores it makes words of them.

    Example:
        >>> speak = StraightThrough()
        >>> scores = torch.tensor([0.0, 2.0], requires_grad=True)
        >>> word = speak(scores)
        >>> word[1].backward()
        >>> word.detach(), scores.grad
        (tensor([0., 1.]), tensor([-0.1050,  0.1050]))
    """

    def forward(self, scores: Tensor) -> Tensor:
        """Words of scores.

        Args:
            scores: `(..., symbols)`.

        Returns:
            The same shape, one-hot along the last axis; of equal entries the first.
        """
        best = scores.detach().argmax(-1, keepdim=True)
        word = torch.zeros_like(scores).scatter(-1, best, 1.0)
        said = (scores == word).all(-1, keepdim=True)
        soft = torch.where(said, scores, torch.softmax(scores, -1))
        return word + (soft - soft.detach())
