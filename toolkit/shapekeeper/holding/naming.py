"""Which parameters and layers the names of a `hold` mean, and all that is wrong with them."""

from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from shapekeeper.constraints import Constraint, ConstraintError

from .held_weight import HeldWeight
from .watch import holders_of

__all__ = ["Names"]


class Names:
    """The constraints of a `hold`, sorted by what they bind.

    Args:
        model: Whose parameters and submodules are named.
        constraints: Name or pattern -> constraint.
        needed: Whether there must be one.

    Attributes:
        weights: Parameter name -> constraint.
        outputs: Submodule name -> constraint.
        problems: One sentence each.
    """

    def __init__(
        self, model: nn.Module, constraints: Mapping[str, Any], needed: bool = True
    ) -> None:
        self.model = model
        self.parameters = dict(model.named_parameters(remove_duplicate=False))
        self.modules = {name: m for name, m in model.named_modules() if name}
        self.weights: dict[str, Constraint] = {}
        self.outputs: dict[str, Constraint] = {}
        self.problems: list[str] = []
        if needed and not constraints:
            self.problems.append("Wanted at least one name with its constraint, got none.")
        for name, c in constraints.items():
            if isinstance(c, Constraint):
                self._sort(name, c)
            else:
                self.problems.append(f"Wanted a constraint for {name!r}, got {c!r}.")

    def places(self, name: str) -> list[tuple[nn.Module, str]]:
        """Every module, and the name in it, where a parameter sits; tied ones sit in several."""
        wanted = self.parameters[name]
        places = {}
        for other, parameter in self.parameters.items():
            if parameter is wanted:
                owner, _, attribute = other.rpartition(".")
                module = self.model.get_submodule(owner)
                places[id(module), attribute] = (module, attribute)
        return list(places.values())

    def readers(self, places: list[tuple[nn.Module, str]]) -> list[nn.Module]:
        """The owners of a parameter and all modules around them, which may read it too."""
        owners = {id(module) for module, _ in places}
        named = dict(self.model.named_modules(remove_duplicate=False))
        paths = [name.split(".") if name else [] for name, m in named.items() if id(m) in owners]
        around = {".".join(path[:n]) for path in paths for n in range(len(path) + 1)}
        return list({id(named[name]): named[name] for name in sorted(around)}.values())

    def _sort(self, name: str, c: Constraint) -> None:
        parameters = self._matching(name, list(self.parameters))
        if not (found := parameters or self._matching(name, list(self.modules))):
            self.problems.append(self._unknown(name))
        for match in found:
            if match in self.weights or match in self.outputs:
                self.problems.append(f"Two constraints bind {match!r}; join them with &.")
            elif parameters:
                self._bind_weight(match, c)
            else:
                self.outputs[match] = c

    def _matching(self, name: str, known: list[str]) -> list[str]:
        return [name] if name in known else [k for k in known if fnmatchcase(k, name)]

    def _bind_weight(self, name: str, c: Constraint) -> None:
        parameter = self.parameters[name]
        tied = [n for n in self.weights if self.parameters[n] is parameter]
        if tied and self.weights[tied[0]] == c:
            return  # one pattern, two names of one tensor
        if tied:
            self.problems.append(f"{tied[0]!r} and {name!r} are one parameter; bind it once.")
        elif any(isinstance(h, HeldWeight) and h.constraint for h in holders_of(parameter)):
            self.problems.append(
                f"{name!r} is held already; Held.of(model) finds the handle, and its remove() "
                "lets go."
            )
        elif is_lazy(parameter):
            self.problems.append(f"{name!r} has no shape yet; run one forward pass first.")
        elif not parameter.is_floating_point():
            self.problems.append(f"Wanted real numbers in {name!r}, got {parameter.dtype}.")
        else:
            try:
                c.check(tuple(parameter.shape))
                for owner, _ in self.places(name):
                    c.check_layer(owner)
                self.weights[name] = c
            except ConstraintError as error:
                self.problems.append(f"{name!r}: {error}")

    def _unknown(self, name: str) -> str:
        owner, _, attribute = name.rpartition(".")
        if name in dict(self.model.named_buffers()):
            return f"{name!r} is a buffer, which no optimizer moves; wanted a parameter."
        if f"{name}_orig" in self.parameters:
            return (
                f"{name!r} is pruned; torch.nn.utils.prune.remove(module, {attribute!r}) makes it "
                "a parameter again."
            )
        if any(p.startswith(f"{owner}.parametrizations.{attribute}.") for p in self.parameters):
            return (
                f"{name!r} is computed by torch.nn.utils.parametrize; remove_parametrizations("
                f"module, {attribute!r}) makes it a parameter again."
            )
        known = [*self.parameters, *self.modules]
        close = get_close_matches(name, known, n=3, cutoff=0.4)
        if any(sign in name for sign in "*?["):
            return f"The pattern {name!r} matches no parameter and no submodule of {known}."
        hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"There are {known}."
        return f"Wanted the name of a parameter or a submodule, got {name!r}. {hint}"
