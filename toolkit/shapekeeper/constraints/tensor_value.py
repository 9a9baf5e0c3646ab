"""A tensor as a value: read-only, hashable, small in print, portable as JSON."""

import base64
import zlib
from dataclasses import dataclass, field
from hashlib import sha256
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["TensorValue"]

PRINTED = 64  # entries up to which a value prints as nested lists
LISTED = 4096  # entries up to which JSON holds nested lists


@dataclass(frozen=True, repr=False)
class TensorValue:
    """An immutable array that compares, hashes and pickles by its content.

    Attributes:
        shape: Sizes of the axes.
        dtype: Name of the numpy dtype, e.g. `"bool"` or `"float64"`.
        data: The entries in C order; bools are packed eight to a byte.
        digest: SHA-256 of shape, dtype and data; equality and hash use it alone.

    Example:
        >>> TensorValue.of([[True, False]]) == TensorValue.of(torch.tensor([[True, False]]))
        True
    """

    shape: tuple[int, ...]
    dtype: str
    data: bytes
    digest: str
    # Left out of copies and pickles; not a global table, which torch.compile can't read.
    _copies: dict[tuple, Tensor] = field(default_factory=dict, init=False)

    def __getstate__(self) -> tuple:
        """The content, without copies on devices."""
        return self.shape, self.dtype, self.data, self.digest

    def __setstate__(self, state: tuple) -> None:
        """Content alone makes a value."""
        self.__init__(*state)

    @classmethod
    def of(cls, array: Any) -> "TensorValue":
        """The value of an array-like: a tensor on any device, numpy, pandas, nested lists."""
        if isinstance(array, Tensor):
            array = array.detach().cpu().numpy()
        array = np.asarray(array, order="C")  # ascontiguousarray would give a number an axis
        data = np.packbits(array.ravel()).tobytes() if array.dtype == bool else array.tobytes()
        head = f"{array.shape}{array.dtype}".encode()
        return cls(array.shape, str(array.dtype), data, sha256(head + data).hexdigest())

    def __eq__(self, other: object) -> bool:
        """Same shape, dtype and entries."""
        return isinstance(other, TensorValue) and self.digest == other.digest

    def __hash__(self) -> int:
        """Equal values hash alike."""
        return hash(self.digest)

    def __repr__(self) -> str:
        """Nested lists up to 64 entries, else a digest."""
        if prod(self.shape) <= PRINTED:
            array = self.numpy()
            return repr((array.astype(int) if array.dtype == bool else array).tolist())
        sizes = "×".join(map(str, self.shape))
        share = f", {100 * self.numpy().mean():.0f} % open" if self.dtype == "bool" else ""
        return f"‹{sizes}{share}, {self.digest[:4]}…›"

    def numpy(self) -> np.ndarray:
        """A fresh array of the entries."""
        if self.dtype == "bool":
            bits = np.unpackbits(np.frombuffer(self.data, np.uint8), count=prod(self.shape))
            return bits.astype(bool).reshape(self.shape)
        return np.frombuffer(self.data, self.dtype).reshape(self.shape).copy()

    def on(self, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
        """The entries on a device, made once per device and dtype; not to be written to."""
        copies = self._copies
        if (device, dtype) not in copies:
            # A copy made in inference mode could never be saved for a backward pass.
            with torch.inference_mode(False):
                copies[device, dtype] = torch.from_numpy(self.numpy()).to(device, dtype)
        return copies[device, dtype]

    def to_json(self) -> Any:
        """Nested lists up to 4096 entries, else a compressed form."""
        array = self.numpy()
        if array.size <= LISTED:
            return (array.astype(int) if array.dtype == bool else array).tolist()
        packed = base64.b64encode(zlib.compress(self.data)).decode()
        return {"shape": list(self.shape), "dtype": self.dtype, "zlib": packed}

    @staticmethod
    def array_from_json(saved: Any) -> np.ndarray:
        """The array that `to_json` wrote."""
        if not isinstance(saved, dict):
            return np.asarray(saved)
        data = zlib.decompress(base64.b64decode(saved["zlib"]))
        return TensorValue(tuple(saved["shape"]), saved["dtype"], data, "").numpy()
