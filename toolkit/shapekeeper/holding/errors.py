"""The one exception of `hold`."""

__all__ = ["HoldError"]


class HoldError(ValueError):
    """A constraint that can't be held on this model, this way."""
