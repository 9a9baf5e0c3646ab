"""Which unit may feed which: closed weights are zero, presets keep their number."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .constraint import Constraint, ConstraintError
from .tensor_value import TensorValue

__all__ = ["Connections"]


@dataclass(frozen=True, init=False, repr=False)
class Connections(Constraint):
    """Weights that exist only where a matrix says so.

    Args:
        mask: Yes/no or 0/1 entries `(target, source)`, or the shape of whatever tensor is bound:
            open where true, zero where false.
        fixed: Numbers of the same shape; a non-zero one holds that open weight at this value.

    Raises:
        ConstraintError: If the mask has other entries than 0 and 1, or a preset is not finite or
            sits on a closed weight; all problems at once.

    Example:
        >>> Connections([[1, 0], [1, 1]]).project(torch.ones(2, 2))
        tensor([[1., 0.],
                [1., 1.]])
        >>> Connections([[1, 0], [1, 1]], fixed=[[0, 0], [0, 0.5]]).project(torch.ones(2, 2))
        tensor([[1.0000, 0.0000],
                [1.0000, 0.5000]])
    """

    _mask: TensorValue
    _fixed: TensorValue | None
    _free: TensorValue = field(compare=False)  # follows from the two above

    unit: ClassVar[str] = "weight"
    separable: ClassVar[bool] = True

    def __init__(self, mask: Any, fixed: Any = None) -> None:
        """See the class."""
        entries = _numpy(mask)
        presets = None if fixed is None else _numpy(fixed).astype(np.float64)
        problems = [*_bad_mask(entries), *_bad_presets(entries, presets)]
        if problems:
            raise ConstraintError(" ".join(problems))
        object.__setattr__(self, "_mask", TensorValue.of(entries.astype(bool)))
        object.__setattr__(self, "_fixed", None if presets is None else TensorValue.of(presets))
        free = entries.astype(bool) if presets is None else entries.astype(bool) & (presets == 0)
        object.__setattr__(self, "_free", TensorValue.of(free))

    def __repr__(self) -> str:
        """The call that makes it, or a digest beyond 64 entries."""
        return f"Connections({self._mask}{f', fixed={self._fixed}' if self._fixed else ''})"

    @property
    def event_dims(self) -> int:
        """As many axes as the mask has."""
        return len(self._mask.shape)

    @property
    def mask(self) -> Tensor:
        """Open connections, a fresh bool tensor `(target, source)`."""
        return torch.from_numpy(self._mask.numpy())

    @property
    def fixed(self) -> Tensor | None:
        """Presets, a fresh tensor of the mask's shape with 0 where nothing is preset, or None."""
        return None if self._fixed is None else torch.from_numpy(self._fixed.numpy())

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError unless the last axes have the mask's sizes."""
        wanted = self._mask.shape
        got = tuple(shape)[-len(wanted) :]
        if got == wanted:
            return
        turned = " That is the transpose: rows are targets, columns sources (use mask.T)."
        raise ConstraintError(
            f"Wanted a tensor whose last axes are {wanted}, as the mask [target, source] has, "
            f"got {tuple(shape)}.{turned if got == wanted[::-1] else ''}"
        )

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of closed and preset weights from their number, 0 at free ones; no `at_most`."""
        equal = (x - self.project(x)).flatten(-self.event_dims)
        return equal, equal[..., :0]

    def violation(self, x: Tensor) -> Tensor:
        """The largest distance of a closed or preset weight from its number."""
        return (x - self.project(x)).abs().amax(tuple(range(-self.event_dims, 0)))

    def tolerance(self, dtype: torch.dtype) -> float:
        """Zero: a closed weight is exactly zero."""
        return 0.0

    def project(self, x: Tensor) -> Tensor:
        """Closed weights to exactly 0, presets to their number; `x` must be finite."""
        # Multiplying takes an eighth of the time of torch.where or masked_fill on a CPU; added to
        # a zero, a product of -0.0 becomes 0.0.
        return torch.addcmul(self._rest(x), x, self._free.on(x.device, x.dtype))

    def start(self, x: Tensor) -> Tensor:
        """Project, then scale each target's free weights by sqrt(fan-in / open).

        The variance of what arrives at a target stays what it was in the dense start (K. He et al.
        2015, Delving deep into rectifiers, eq. 10: variance times fan-in is kept). Fan-in counts
        non-zero entries, so a start that is allowed already is left alone.
        """
        free = self._free.on(x.device)
        held = self._free.on(x.device) | ~self._mask.on(x.device)  # not preset
        axes = tuple(range(-self.event_dims + 1, 0))
        count = (x != 0).to(x.dtype)
        before, after = count * held, count * free
        if axes:
            before, after = before.sum(axes, keepdim=True), after.sum(axes, keepdim=True)
        return self.project(x * (before / after.clamp(min=1)).sqrt())

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """The weights themselves: closed entries are free numbers that nothing reads."""
        return x

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """Read only the open entries of `u`; the gradient of all others is zero."""
        return self.project(u)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Standard normal numbers where connections are free."""
        self.check(shape)
        device = None if generator is None else generator.device
        return self.project(torch.randn(shape, generator=generator, device=device))

    def _rest(self, x: Tensor) -> Tensor:
        """What stands at weights that are not free."""
        if self._fixed is None:
            return x.new_zeros(())
        return self._fixed.on(x.device, x.dtype)


def _numpy(array: Any) -> np.ndarray:
    return array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)


def _bad_mask(mask: np.ndarray) -> list[str]:
    if mask.dtype == object or mask.dtype.kind not in "biuf":
        return [f"Wanted a mask of 0 and 1, got entries of type {mask.dtype}."]
    if mask.ndim == 0 or mask.size == 0:
        return [f"Wanted a mask with at least one entry and one axis, got shape {mask.shape}."]
    odd = np.argwhere((mask != 0) & (mask != 1))
    if not len(odd):
        return []
    where = [int(i) for i in odd[0]]
    return [
        f"Wanted a mask of 0 and 1 (or False and True), got {mask[tuple(where)]} at {where}"
        f"{f' and {len(odd) - 1} more such entries' if len(odd) > 1 else ''}. "
        "Say from where on a connection is open, e.g. Connections(matrix > 0.5)."
    ]


def _bad_presets(mask: np.ndarray, fixed: np.ndarray | None) -> list[str]:
    if fixed is None:
        return []
    if fixed.shape != mask.shape:
        return [f"Wanted presets of the mask's shape {mask.shape}, got {fixed.shape}."]
    problems = []
    if not np.isfinite(fixed).all():
        problems.append("Wanted finite presets, got NaN or infinity; 0 means not preset.")
    closed = np.argwhere((fixed != 0) & (mask == 0))
    if len(closed):
        where = [int(i) for i in closed[0]]
        problems.append(
            f"Wanted presets on open connections only, got {fixed[tuple(where)]} at {where}, which "
            "is closed. Open it in the mask, or set its preset to 0."
        )
    return problems
