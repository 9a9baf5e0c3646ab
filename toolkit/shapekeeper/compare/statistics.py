"""What a few seeds can tell: paired differences, their interval, and how many seeds it takes.

The seeds of a comparison pair: two strategies begin with the same weights and see the same batches
in one seed. What differs from seed to seed but not from strategy to strategy drops out of their
difference.
"""

from math import isfinite, sqrt

import numpy as np
from scipy import stats

__all__ = ["LEVEL", "paired_interval", "power", "seeds_needed"]

LEVEL = 0.95  # of all intervals: each by itself, not all of a table at once
MOST = 10_000_000  # seeds; who needs more looks for something that isn't there


def paired_interval(differences: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of paired differences.

    Student 1908, The probable error of a mean.

    Args:
        differences: One for each seed.

    Returns:
        Its ends; NaN for fewer than two.

    Example:
        >>> low, high = paired_interval(np.array([1.0, 2.0, 3.0]))
        >>> round(low, 3), round(high, 3)
        (-0.484, 4.484)
    """
    if len(differences) < 2:
        return np.nan, np.nan
    half = stats.sem(differences) * stats.t.ppf((1 + LEVEL) / 2, len(differences) - 1)
    return float(differences.mean() - half), float(differences.mean() + half)


def power(seeds: int, effect: float) -> float:
    """Chance that the interval of so many paired differences leaves out zero.

    J. Cohen 1988, Statistical power analysis for the behavioral sciences, section 2.2: the
    noncentral t distribution.

    Args:
        seeds: How many, from 2 up.
        effect: True mean of the differences over their standard deviation.

    Returns:
        A share.

    Example:
        >>> round(power(34, 0.5), 2), round(power(33, 0.5), 2)
        (0.81, 0.8)
    """
    edge = stats.t.ppf((1 + LEVEL) / 2, seeds - 1)
    shift = abs(effect) * sqrt(seeds)
    if shift > 30:
        return 1.0  # far beyond where scipy's noncentral t is exact
    missed = stats.nct.cdf(edge, seeds - 1, shift) - stats.nct.cdf(-edge, seeds - 1, shift)
    return float(1 - missed)


def seeds_needed(difference: float, sd: float, chance: float = 0.8) -> int:
    """Fewest seeds with which a difference of this size would show.

    Args:
        difference: True mean of the paired differences that is to be seen, other than 0.
        sd: Their standard deviation from seed to seed.
        chance: With which the 95 % interval is to leave out zero.

    Returns:
        A whole number from 2 up.

    Raises:
        ValueError: If the difference is 0, the chance no share, or millions would be needed.

    Example:
        >>> seeds_needed(difference=0.5, sd=1.0), seeds_needed(difference=0.2, sd=1.0)
        (34, 199)
    """
    if not (isfinite(difference) and difference and isfinite(sd) and 0 < chance < 1):
        raise ValueError(
            f"Wanted a difference other than 0, a finite spread and a chance between 0 and 1, got "
            f"{difference}, {sd} and {chance}."
        )
    if sd == 0:
        return 2
    effect = difference / sd
    few, enough = 1, 2
    while power(enough, effect) < chance:
        few, enough = enough, 2 * enough
        if enough > MOST:
            raise ValueError(
                f"A difference of {difference:g} beside a spread of {sd:g} takes more than "
                f"{MOST} seeds; wanted a larger difference."
            )
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (middle, enough) if power(middle, effect) < chance else (few, middle)
    return enough
