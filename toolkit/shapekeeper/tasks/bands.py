"""Signals of a few samples and the bands that their power lies in."""

from math import pi

import torch
from torch import Tensor

__all__ = ["band_noise", "band_tone", "power_share"]

OUTSIDE = 1e-3  # share of its power that a disturbance may have outside its bands

Bands = tuple[tuple[float, float], ...]


def power_share(x: Tensor, bands: Bands) -> Tensor:
    """The share of a signal's power that lies in some bands.

    That of the samples given, with silence before and after them, over all frequencies and not
    only those of a discrete Fourier transform: x'Qx / x'x with
    `Q[m, n] = integral of cos(pi f (m - n)) over the bands`, in closed form.

    Args:
        x: Signals `(..., samples)`.
        bands: Pairs of frequencies, 1 = Nyquist, without overlap.

    Returns:
        Shares `(...)` from 0 to 1, in double precision.

    Example:
        >>> click = torch.tensor([0.0, 1.0, 0.0])  # as strong at every frequency
        >>> power_share(click, ((0.5, 0.75),))
        tensor(0.2500, dtype=torch.float64)
    """
    x = x.double()
    return (x @ _energy(x.shape[-1], bands) * x).sum(-1) / x.square().sum(-1)


def band_noise(count: int, samples: int, bands: Bands, rng: torch.Generator) -> Tensor:
    """Noise that lies in some bands, each piece of it with a root mean square of 1.

    Sums of Slepian's sequences with normal factors: the signals of so many samples with the most of
    their power in the bands (D. Slepian 1978, Prolate spheroidal wave functions, Fourier analysis,
    and uncertainty V). Less than a thousandth of it lies elsewhere, unless the bands are so narrow
    (about 4 / samples) that the one best sequence is all there is. It fades toward both ends: noise
    that stops abruptly has power everywhere.

    Args:
        count: How many pieces.
        samples: Length of each.
        bands: Pairs of frequencies, 1 = Nyquist, without overlap.
        rng: Where the randomness comes from.

    Returns:
        Noise `(count, samples)`.

    Example:
        >>> noise = band_noise(3, 40, ((0.5, 1.0),), torch.Generator().manual_seed(0))
        >>> bool((power_share(noise, ((0.5, 1.0),)) > 0.999).all())
        True
    """
    sequences = _sequences(samples, bands)
    drawn = torch.randn(count, sequences.shape[1], dtype=torch.float64, generator=rng)
    return _unit(drawn @ sequences.T)


def band_tone(count: int, samples: int, bands: Bands, rng: torch.Generator) -> Tensor:
    """Like `band_noise`, one tone each, of random frequency and phase.

    Example:
        >>> band_tone(3, 40, ((0.5, 1.0),), torch.Generator().manual_seed(0)).shape
        torch.Size([3, 40])
    """
    widths = torch.tensor([high - low for low, high in bands], dtype=torch.float64)
    chosen = torch.multinomial(widths, count, replacement=True, generator=rng)
    place, phase = torch.rand(2, count, 1, dtype=torch.float64, generator=rng)
    frequency = torch.tensor(bands, dtype=torch.float64)[chosen, :1] + place * widths[chosen, None]
    tone = torch.cos(pi * (frequency * torch.arange(samples) + 2 * phase))
    sequences = _sequences(samples, bands)
    return _unit(tone @ sequences @ sequences.T)


def _energy(samples: int, bands: Bands) -> Tensor:
    n = torch.arange(samples, dtype=torch.float64)
    apart = n[:, None] - n
    parts = [high * torch.sinc(high * apart) - low * torch.sinc(low * apart) for low, high in bands]
    return torch.stack(parts).sum(0)


def _sequences(samples: int, bands: Bands) -> Tensor:
    """Orthonormal columns `(samples, count)`, the last one with the most power in the bands."""
    shares, sequences = torch.linalg.eigh(_energy(samples, bands))
    return sequences[:, -max(1, int((shares >= 1 - OUTSIDE).sum())) :]


def _unit(x: Tensor) -> Tensor:
    return (x / x.square().mean(-1, keepdim=True).sqrt()).float()
