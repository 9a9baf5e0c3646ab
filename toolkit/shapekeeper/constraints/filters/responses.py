"""The frequency response of kernels."""

from math import pi

import numpy as np
import torch
from torch import Tensor

__all__ = ["response", "waves"]


def waves(frequencies: np.ndarray, taps: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of each frequency at the taps, counted from the middle.

    Args:
        frequencies: `(F,)`, 1 = Nyquist.
        taps: Length of the kernel.

    Returns:
        Two arrays `(F, taps)`.
    """
    angles = pi * np.outer(frequencies, np.arange(taps) - (taps - 1) / 2)
    return np.cos(angles), np.sin(angles)


def response(x: Tensor, frequencies: Tensor | np.ndarray) -> Tensor:
    """The frequency response of kernels, counted from their middle tap.

    A. V. Oppenheim and R. W. Schafer 1989, Discrete-time signal processing, section 5.1:
    `H(f) = sum_n w_n exp(-i pi f n)`. PyTorch's convolution slides the kernel without turning it
    around, which changes the phase of H and not its magnitude.

    Args:
        x: Kernels `(..., taps)`.
        frequencies: `(F,)`, 1 = Nyquist.

    Returns:
        Complex responses `(..., F)`.

    Example:
        >>> mean = torch.full((5,), 0.2, dtype=torch.float64)
        >>> response(mean, torch.tensor([0.0, 0.4, 0.8])).abs().round(decimals=6).tolist()
        [1.0, 0.0, 0.0]
    """
    taps = x.shape[-1]
    places = torch.arange(taps, dtype=torch.float64, device=x.device) - (taps - 1) / 2
    given = torch.as_tensor(frequencies, dtype=torch.float64, device=x.device)
    angles = pi * places[:, None] * given
    dtype = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
    x = x.to(dtype)
    return torch.complex(x @ angles.cos().to(dtype), -(x @ angles.sin().to(dtype)))
