"""What kernels of one size can do for a drawing, in words."""

from math import floor, inf
from typing import TYPE_CHECKING

from .ways_out import LONGEST, Sizes

if TYPE_CHECKING:
    from .feasibility import Feasibility
    from .filter_shape import FilterShape

__all__ = ["message", "reason", "size_told", "statement"]

VERBS = {"reach": "reaches", "meet": "meets", "are": "is"}


def statement(found: "Feasibility") -> str:
    """The result in one sentence, without any search."""
    size = size_told(found.sizes)
    if found.shape.kind == "band-limited":
        return _statement_of_subspace(found)
    if found.feasible:
        return f"{_taps('meet', found.sizes)} this drawing, and would with {_times(found)} tighter."
    if found.silenced:
        return (
            f"An even number of symmetric taps is zero at {_last(found.shape)}: "
            f"no {_name(found.shape)}."
        )
    if found.scale <= 1:
        return (
            f"{_taps('meet', found.sizes)} this drawing by a hair: "
            f"{100 * (1 - found.scale):.1f} % of every tolerance are left, and 2 % are needed for "
            "what happens between the frequencies that are asked."
        )
    return f"No symmetric kernel of {size} meets this drawing."


def reason(found: "Feasibility") -> str:
    """Why not, for a reader who has the drawing in view; empty where it is met."""
    if found.feasible or found.silenced or found.scale <= 1:
        return ""
    if found.shape.kind == "band-limited":
        return f"The best single kernel reaches {_levels(found, found.attenuation_db)} dB."
    if found.attenuation_db in (None, -inf):
        return f"It misses by a factor {_factor(found)} in every tolerance."
    return (
        f"Wanted {_wanted(found, 'g')} dB; with these edges and this ripple "
        f"{_taps('reach', found.sizes)} {_levels(found, found.attenuation_db)} dB."
    )


def message(found: "Feasibility") -> str:
    """The whole answer: what was wanted, what the size can do, and the ways out."""
    if found.feasible:
        return statement(found)
    if found.shape.kind == "band-limited":
        return _refusal_of_subspace(found)
    if found.silenced:
        return f"{statement(found)} {_odd_ways(found)}"
    start = statement(found)
    if found.scale > 1:
        start = f"{start[:-1]} (it misses by a factor {_factor(found)} in every tolerance)."
    told = [start, _attenuation(found), _length(found), _phase(found)]
    return " ".join(sentence for sentence in told if sentence)


def size_told(sizes: Sizes) -> str:
    """A size, e.g. "15 taps" or "5 × 5 taps"."""
    return f"{' × '.join(map(str, sizes))} {'tap' if sizes == (1,) else 'taps'}"


def _taps(verb: str, sizes: Sizes) -> str:
    return f"{size_told(sizes)} {VERBS[verb] if sizes == (1,) else verb}"


def _times(found: "Feasibility") -> str:
    digits = 0 if found.margin >= 10 else 1 if found.margin >= 2 else 2
    return f"tolerances {floor(found.margin * 10**digits) / 10**digits:g} times"


def _factor(found: "Feasibility") -> str:
    return f"{found.scale:.2f}" if found.scale >= 1.005 else f"{found.scale:.5f}"


def _last(shape: "FilterShape") -> str:
    """The frequency at which a kernel alternates."""
    if shape.dilation == 1:
        return "Nyquist"
    return f"{shape.nyquist / shape.dilation:g}{'' if shape.sampling_rate is None else ' Hz'}"


def _name(shape: "FilterShape") -> str:
    kinds = "".join(band.kind[0] for band in shape.bands)
    names = {"sp": "high-pass", "psp": "notch"} if shape.dilation == 1 else {}
    return names.get(kinds, "pass band there")


def _odd_ways(found: "Feasibility") -> str:
    lengths = [str(taps) for _, _, taps in found.ways]
    return f"Use {' or '.join(lengths)}." if lengths else f"{_nothing(found)}."


def _nothing(found: "Feasibility") -> str:
    longest = max(LONGEST[len(found.sizes)], *found.sizes)
    told = (
        f"length up to {longest}" if len(found.sizes) == 1 else f"size up to {longest} × {longest}"
    )
    return f"No {told} was found"


def _attenuation(found: "Feasibility") -> str:
    reached = found.attenuation_db
    if reached is None or reached >= max(_asked(found)):
        return ""
    if reached == -inf:
        return f"Already the pass bands are too much for {size_told(found.sizes)}."
    return (
        f"Keeping the edges and ripple, {_taps('reach', found.sizes)} "
        f"{_levels(found, reached)} dB of attenuation, not {_wanted(found, '.1f')}."
    )


def _length(found: "Feasibility") -> str:
    hint = "" if found.kaiser_taps is None else f" (Kaiser's estimate: {found.kaiser_taps})"
    if found.sizes_needed is None:
        return f"{_nothing(found)}{hint}."
    return f"{_taps('are', found.sizes_needed)} enough{hint}."


def _phase(found: "Feasibility") -> str:
    reached = found.free_phase_db
    if reached is None:
        return ""
    best = f"best {_levels(found, reached)} dB"
    if reached < max(_asked(found)):
        return f"Free phase would not help: {best}."
    return f"Free phase would do it: {best}, but this constraint holds symmetric kernels."


def _asked(found: "Feasibility") -> list[float]:
    """Attenuations of the stop bands, each once."""
    bands = found.shape.bands
    return list(dict.fromkeys(band.decibels for band in bands if band.kind == "stop"))


def _wanted(found: "Feasibility", form: str) -> str:
    return " and ".join(f"{asked:{form}}" for asked in _asked(found))


def _levels(found: "Feasibility", strictest: float | None) -> str:
    """What all stop bands get if the strictest gets so much: they miss by the same factor."""
    miss = max(_asked(found)) - (strictest or 0.0)
    return " and ".join(f"{asked - miss:.1f}" for asked in _asked(found))


def _statement_of_subspace(found: "Feasibility") -> str:
    count, taps = found.freedom, " × ".join(map(str, found.sizes))
    if count:
        return f"band-limited: {count} free {'number' if count == 1 else 'numbers'} of {taps}"
    return f"{size_told(found.sizes)} cannot hold {_wanted(found, 'g')} dB outside the pass region."


def _refusal_of_subspace(found: "Feasibility") -> str:
    longer = f"{_nothing(found)}; ask for less."
    if found.sizes_needed:
        longer = f"Use {' × '.join(map(str, found.sizes_needed))} or more, or ask for less."
    best = _levels(found, found.attenuation_db)
    return f"{statement(found)[:-1]}: the best single kernel reaches {best} dB. {longer}"
