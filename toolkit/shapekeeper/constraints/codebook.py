"""Vectors from a list."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vector_norm

from .constraint import Constraint, ConstraintError, check_last_axes
from .tensor_value import TensorValue

__all__ = ["Codebook"]

ROOM = 2**22  # numbers that are held at once; more events go one part after another
KEPT = "_tensor"  # no field: neither compared nor pickled
CLOSE = 4  # candidates that are compared once more


@dataclass(frozen=True, init=False, repr=False)
class Codebook(Constraint):
    """Vectors along the last axis, each one of a list of codes.

    The nearest code takes the place of a layer's value (A. van den Oord, O. Vinyals and
    K. Kavukcuoglu 2017, Neural discrete representation learning; here the codes stay as given). It
    is found in double precision whatever the tensor's own, and then rounded to that.

    Derivatives of codes are surrogates, as their own is 0. That of `project` is the identity, the
    straight-through estimator, as if the code were the value itself. That of `from_free`, which
    `Reparametrization` uses, is of the mean of the codes, each weighted by the softmax of minus its
    squared distance. That sees where other codes lie, if neighbours are about 1 apart: of codes
    much closer it is nearly the same everywhere, of codes much further nearly 0 but where two are
    equally near.

    `penalty` is the squared distance to the nearest code: 0 at codes and nowhere else. The soft
    minimum over all codes is smoother, but is below 0 where several are near, and not 0 at a code.

    On a weight, `Projection` undoes every step that does not lead past the middle between two
    codes; `Reparametrization` moves free numbers from which steps add up.

    Args:
        codes: Numbers `(count, size)`, no two rows alike.

    Attributes:
        codes: The same, a fresh tensor in double precision.

    Raises:
        ConstraintError: If there is no code, the array has other axes, a number is not finite, or
            codes are equal.

    Example:
        >>> codebook = Codebook([[0.0, 0.0], [3.0, 4.0]])
        >>> codebook.project(torch.tensor([[1.0, 1.0], [2.0, 3.0]]))
        tensor([[0., 0.],
                [3., 4.]])
        >>> codebook.violation(torch.tensor([3.0, 1.0]))
        tensor(3.)
    """

    _codes: TensorValue

    event_dims: ClassVar[int] = 1  # type: ignore[misc]  # a constant here, a property elsewhere
    unit: ClassVar[str] = "distance"

    def __init__(self, codes: Any) -> None:
        """See the class."""
        entries = _numpy(codes)
        if problem := _bad_codes(entries):
            raise ConstraintError(problem)
        # -0.0 is the same code as 0.0, and has other bytes.
        object.__setattr__(self, "_codes", TensorValue.of(entries.astype(np.float64) + 0.0))
        with torch.inference_mode(False):  # else it could never be saved for a backward pass
            object.__setattr__(self, KEPT, self.codes)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """From the codes alone."""
        self.__init__(state["_codes"].numpy())

    def __repr__(self) -> str:
        """The call that makes it, or a digest beyond 64 entries."""
        return f"Codebook({self._codes})"

    @property
    def codes(self) -> Tensor:
        """The codes `(count, size)`, a fresh tensor in double precision."""
        return torch.from_numpy(self._codes.numpy())

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]  # fixed by the codes
        """Size of a code."""
        return self._codes.shape[1:]

    @property
    def scale(self) -> float:  # type: ignore[override]  # depends on the codes
        """Length of the longest code; 1 if there is none but zeros."""
        return float(np.linalg.norm(self._codes.numpy(), axis=-1).max()) or 1.0

    def tolerance(self, dtype: torch.dtype) -> float:
        """One rounding of each entry of the longest code: codes are stored, not computed."""
        return torch.finfo(dtype).eps * self.scale

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError unless the last axis has the size of a code."""
        check_last_axes(self.shape, shape, "each code")

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Differences from the nearest code; no `at_most`."""
        equal = x - self._nearest(x)
        return equal, equal[..., :0]

    def violation(self, x: Tensor) -> Tensor:
        """Euclidean distance to the nearest code."""
        return vector_norm(self.residual(x)[0], dim=-1)

    def project(self, x: Tensor) -> Tensor:
        """The nearest code, as stored; derivative of the identity.

        Of codes at the same distance, one; values have to be finite.
        """
        return self._nearest(x) + (x - x.detach())

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """The vector itself."""
        return x

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """The nearest code again; derivative of the codes' mean, weighted by nearness.

        Args:
            u: Any vectors, `(*batch, size)`.
            at: Not read.

        Example:
            >>> codebook = Codebook([[-0.5], [0.5]])
            >>> u = torch.tensor([0.0], requires_grad=True)
            >>> codebook.from_free(u).backward()
            >>> u.grad
            tensor([0.5000])
        """
        soft = self._mean(u)
        return self._nearest(u) + (soft - soft.detach()).to(u.dtype)

    def _on(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        # torch.compile can't read the bytes of a value that nobody has asked yet.
        if torch.compiler.is_compiling():
            return self.__dict__[KEPT].to(device, dtype)
        return self._codes.on(device, dtype)

    def _nearest(self, x: Tensor) -> Tensor:
        """The code nearest to each vector, without a derivative."""
        self.check(tuple(x.shape))
        codes = self._on(x.device, x.dtype)
        # float32 products of vectors far from 0 round away what tells codes apart, and devices may
        # compute them in even less.
        wide = codes.to(torch.float32 if x.device.type == "mps" else torch.float64)
        parts = (
            x.detach().reshape(-1, x.shape[-1]).split(max(1, ROOM // (len(codes) + x.shape[-1])))
        )
        which = torch.cat([_which(part.to(wide.dtype), wide) for part in parts])
        return codes[which].reshape(x.shape)

    def _mean(self, u: Tensor) -> Tensor:
        """Mean of the codes, weighted by the softmax of minus the squared distance."""
        wide = torch.promote_types(u.dtype, torch.float32)
        codes = self._on(u.device, wide)
        middle = codes.mean(0)
        rounds = torch.is_autocast_enabled(kind := u.device.type)
        with torch.autocast(kind, enabled=False) if rounds else nullcontext():
            codes = codes - middle
            weights = torch.softmax(2 * _nearness(u.to(wide) - middle, codes), -1)
            return weights @ codes + middle

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Codes, all with the same chance."""
        self.check(shape)
        device = torch.device("cpu") if generator is None else generator.device
        codes = self._on(device, torch.get_default_dtype())
        return codes[torch.randint(len(codes), shape[:-1], generator=generator, device=device)]


def _nearness(x: Tensor, codes: Tensor) -> Tensor:
    """`x c - |c|^2 / 2` of each code: minus half the squared distance, but for what all share."""
    return x @ codes.mT - codes.square().sum(-1) / 2


def _which(x: Tensor, codes: Tensor) -> Tensor:
    """Index of the nearest code to each of the vectors `(events, size)`."""
    middle = codes.mean(0)
    found = _nearness(x - middle, codes - middle).topk(min(CLOSE, len(codes)), -1).indices
    close = codes[found]
    # Of codes next to each other products leave no digits; differences from the first do:
    # |x - c|^2 - |x - c_1|^2 = |c - c_1|^2 - 2 (x - c_1) (c - c_1)
    first = close[:, :1]
    beyond, way = close - first, x.unsqueeze(1) - first
    best = (beyond * (beyond - 2 * way)).sum(-1).argmin(-1, keepdim=True)
    return found.gather(-1, best).squeeze(-1)


def _numpy(codes: Any) -> np.ndarray:
    if isinstance(codes, Tensor):
        return codes.detach().cpu().double().numpy()  # numpy has no bfloat16
    try:
        return np.asarray(codes)
    except ValueError as error:
        raise ConstraintError(f"Wanted codes of one size, got rows that differ: {error}") from error


def _bad_codes(codes: np.ndarray) -> str:
    if codes.dtype.kind not in "biuf":
        return f"Wanted numbers for codes, got entries of type {codes.dtype}."
    if codes.ndim != 2 or 0 in codes.shape:
        return (
            "Wanted at least one code, as the rows of an array (count, size), got shape "
            f"{codes.shape}. Numbers alone are codes of size 1: numpy.reshape(codes, (-1, 1))."
        )
    lost = np.flatnonzero(~np.isfinite(codes).all(-1)).tolist()
    known = set(lost)
    _, first, which = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    earlier = first[which.ravel()]
    twice = [(int(earlier[i]), i) for i in range(len(codes)) if earlier[i] != i and i not in known]
    problems = []
    if lost:
        problems.append(f"Wanted finite codes, got others in rows {_some(lost)}.")
    if twice:
        pairs = [f"{one} and {other}" for one, other in twice]
        problems.append(
            f"Wanted codes that differ, got equal rows {_some(pairs)}; numpy.unique(codes, axis=0) "
            "leaves one of each."
        )
    return " ".join(problems)


def _some(found: list) -> str:
    """The first five, and how many more."""
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return ", ".join(map(str, found[:5])) + more
