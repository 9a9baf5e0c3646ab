"""What a layer can give for any input of a box: interval bounds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import exp, inf, prod
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from .masked_linear import MaskedLinear

__all__ = ["BoundsError", "layer_path", "output_bounds"]

Box = tuple[Tensor, Tensor]
Apply = Callable[[Tensor, Tensor, Tensor | None], Tensor]

FUNCTION_ERROR = 8  # units in the last place of 1 and of the value, for tanh and its like


class BoundsError(ValueError):
    """A module that interval bounds can't follow, or a box that is none."""


def output_bounds(module: nn.Module, low: Any, high: Any, *, exact: bool = False) -> Box:
    """A box that holds what a module gives for every input between two ends.

    Ends pass through the layers one by one: of a weighted sum the lower end takes the lower ends
    of the inputs with positive weights and the upper ends of the others; a rising function takes
    ends to ends (R. E. Moore 1966, Interval analysis; S. Gowal et al. 2018, On the effectiveness of
    interval bound propagation for training verifiably robust models). It is the smallest such box
    for one layer of sums; behind several it is larger, since it forgets that their inputs belong
    together.

    The box holds what the module computes in its own floating type, which rounds: computed in
    double precision, each end is moved outward by the largest error of the sums (N. J. Higham 2002,
    Accuracy and stability of numerical algorithms, section 3.1), whatever their order, and by 8
    units in the last place for functions such as tanh. It does not hold for coarser arithmetic
    inside, such as TensorFloat-32 or convolutions by Winograd's method, nor for sums of infinite
    numbers, which are NaN.

    Args:
        module: In evaluation mode: `Linear`, `MaskedLinear`, `Conv1d`, `Conv2d`, batch norm,
            dropout, average and max pooling, `Flatten`, rising functions of each number such as
            `ReLU` and `Tanh`, and `Sequential` of these.
        low: Smallest inputs `(boxes, ...)`, shaped as the module takes them; `-inf` for no end.
        high: Largest inputs, of a shape that broadcasts with it; `inf` for no end.
        exact: Bounds of the function of real numbers alone, without the rounding of the module's
            own floating type.

    Returns:
        Smallest and largest outputs `(boxes, ...)` in double precision.

    Raises:
        BoundsError: If a part can't be followed, all of them named; or if an end is NaN, or a lower
            end lies above its upper one.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> _ = layer.load_state_dict({"weight": torch.tensor([[1.0, -2.0]]),
        ...                            "bias": torch.tensor([0.5])})
        >>> low, high = output_bounds(layer, [[-1.0, -1.0]], [[1.0, 1.0]], exact=True)
        >>> round(low.item(), 6), round(high.item(), 6)
        (-2.5, 3.5)
    """
    if problems := [*_unfollowed(module, "")]:
        raise BoundsError(f"Interval bounds can't follow {'; '.join(problems)}. {_FOLLOWED}")
    numbers = [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
    device = numbers[0].device if numbers else None
    ends = [torch.as_tensor(end, device=device) for end in (low, high)]
    types = [t.dtype for t in numbers or ends if t.is_floating_point()]
    coarsest = max([*types, torch.float64], key=lambda dtype: torch.finfo(dtype).eps)
    low, high = _checked(*(end.to(torch.float64) for end in ends))
    with torch.no_grad():
        return _follow(module, low, high, _Rounding(None if exact else coarsest))


def layer_path(model: nn.Module, name: str) -> nn.Sequential:
    """What an input passes through on its way to the value of a layer, that layer included.

    The model's forward pass is traced by `torch.fx`, so the model need not be a `Sequential`.

    Args:
        model: In evaluation mode.
        name: Of a submodule, as in `named_modules`.

    Returns:
        The modules in their order; they are those of the model, not copies.

    Raises:
        BoundsError: If the forward pass can't be traced, or the way is no chain of modules: the
            layer is called several times, or reads other values beside.

    Example:
        >>> model = nn.Sequential(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), nn.Linear(2, 1))
        >>> layer_path(model, "0.1")
        Sequential(
          (0): Linear(in_features=3, out_features=2, bias=True)
          (1): Tanh()
        )
    """
    target = model.get_submodule(name)
    try:
        graph = _Tracer(target).trace(model)
    except Exception as error:  # whatever a forward pass does with a value that is none
        reason = [*str(error).strip().splitlines(), type(error).__name__][0]
        raise BoundsError(
            f"Wanted a forward pass that torch.fx can trace up to {name!r}, got: {reason}"
        ) from error
    calls = [n for n in graph.nodes if n.op == "call_module" and _called(model, n) is target]
    if len(calls) != 1:
        raise BoundsError(
            f"Wanted a layer that the forward pass calls once, and {name!r} is called "
            f"{len(calls)} times."
        )
    return nn.Sequential(*reversed([*_way_back(model, calls[0], name)]))


class _Tracer(fx.Tracer):
    """Stops at the layer in question, and at what bounds have a rule for."""

    def __init__(self, target: nn.Module) -> None:
        super().__init__()
        self.target = target

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        followed = not isinstance(m, nn.Sequential) and _rule(m) is not None
        return m is self.target or followed or super().is_leaf_module(m, module_qualified_name)


def _called(model: nn.Module, node: fx.Node) -> nn.Module:
    return model.get_submodule(str(node.target))


def _way_back(model: nn.Module, node: fx.Node, name: str) -> Iterator[nn.Module]:
    """The modules from a layer back to the input."""
    while node.op != "placeholder":
        if node.op == "call_module" and len(node.args) == 1 and not node.kwargs:
            yield _called(model, node)
        elif made := _as_module(node):
            yield made
        else:
            raise BoundsError(
                f"Wanted a chain of modules up to {name!r}, and {node.name!r} on the way is none "
                "that bounds follow."
            )
        source = node.args[0]
        # Another reader could write to the value in place.
        if not isinstance(source, fx.Node) or len(source.users) != 1:
            raise BoundsError(
                f"Wanted a chain of modules up to {name!r}, and what {node.name!r} reads is read "
                "elsewhere, too."
            )
        node = source


def _as_module(node: fx.Node) -> nn.Module | None:
    """The module that does what a call of a function or method does."""
    if node.op not in ("call_function", "call_method") or set(node.kwargs) - {"inplace"}:
        return None
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    numbers: Any = node.args[1:]
    if name == "flatten" and len(numbers) in (1, 2):
        return nn.Flatten(*numbers)
    made = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}.get(str(name))
    return made() if made and not numbers else None


# -- one layer after another ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Rounding:
    """How far rounding may carry numbers of a floating type; None has real numbers."""

    dtype: torch.dtype | None

    def of_sums(self, size: Tensor, terms: int) -> Tensor:
        """Largest error of a sum of so many products, for the end of a box.

        A product t comes with an error of at most share·|t|, and t − share·|t| rises with t: of all
        values in a box none is computed below the smallest sum by more than the share of `size`,
        the sum of the absolute products that make it. The same for the largest.
        """
        share = sum(_gamma(terms, dtype) for dtype in self._types())
        tiny = terms * sum(torch.finfo(dtype).tiny for dtype in self._types())
        return torch.where(size == 0, 0.0, size * share * (1 + 1e-6) + tiny)

    def of_functions(self, value: Tensor) -> Tensor:
        """Largest error of a function such as tanh."""
        error = FUNCTION_ERROR * sum(torch.finfo(dtype).eps for dtype in self._types())
        return error * (1 + _finite(value).abs())

    def overflow(self, low: Tensor, high: Tensor) -> Box:
        """Ends beyond the largest number of the type are infinite, as that is what it computes."""
        if self.dtype is None:
            return low, high
        largest = torch.finfo(self.dtype).max
        return torch.where(low < -largest, -inf, low), torch.where(high > largest, inf, high)

    def _types(self) -> list[torch.dtype]:
        """What rounds: the computation of the bounds, and the module."""
        return [torch.float64] if self.dtype is None else [torch.float64, self.dtype]


def _gamma(terms: int, dtype: torch.dtype) -> float:
    share = terms * torch.finfo(dtype).eps / 2
    return share / (1 - share) if share < 0.25 else inf


def _finite(x: Tensor) -> Tensor:
    return torch.where(x.isinf(), 0.0, x)


def _checked(low: Tensor, high: Tensor) -> Box:
    low, high = torch.broadcast_tensors(low, high)
    bad = ~(low <= high) | (low == inf) | (high == -inf)
    if bad.any():
        more = f" and {int(bad.sum()) - 1} more such pairs" if bad.sum() > 1 else ""
        raise BoundsError(
            f"Wanted ends low <= high, got low={low[bad][0].item():g} and "
            f"high={high[bad][0].item():g}{more}."
        )
    return low, high


def _follow(module: nn.Module, low: Tensor, high: Tensor, rounding: _Rounding) -> Box:
    rule = _rule(module)
    assert rule is not None
    return rounding.overflow(*rule(module, low, high, rounding))


def _sequence(module: Any, low: Tensor, high: Tensor, rounding: _Rounding) -> Box:
    for part in module:
        low, high = _follow(part, low, high, rounding)
    return low, high


def _linear(module: Any, low: Tensor, high: Tensor, rounding: _Rounding) -> Box:
    return _affine(F.linear, module.weight, module.bias, low, high, rounding)


def _masked_linear(module: Any, low: Tensor, high: Tensor, rounding: _Rounding) -> Box:
    return _affine(F.linear, module.weight_matrix(), module._bias(), low, high, rounding)


def _convolution(module: Any, low: Tensor, high: Tensor, rounding: _Rounding) -> Box:
    return _affine(module._conv_forward, module.weight, module.bias, low, high, rounding)


def _affine(
    apply: Apply,
    weight: Tensor,
    bias: Tensor | None,
    low: Tensor,
    high: Tensor,
    rounding: _Rounding,
) -> Box:
    w = weight.detach().double()
    b = None if bias is None else bias.detach().double()
    up, down = w.clamp(min=0), w.clamp(max=0)
    # A weight of zero keeps an infinite end out; zero times infinity would be NaN.
    low_inf, high_inf = low.isinf().double(), high.isinf().double()
    low, high = _finite(low), _finite(high)
    least = apply(low, up, b) + apply(high, down, None)
    most = apply(high, up, b) + apply(low, down, None)
    offset, terms = None if b is None else b.abs(), weight[0].numel() + 1
    smallest = apply(low.abs(), up, offset) + apply(high.abs(), -down, None)
    largest = apply(high.abs(), up, offset) + apply(low.abs(), -down, None)
    least = least - rounding.of_sums(smallest, terms)
    most = most + rounding.of_sums(largest, terms)
    is_up, is_down = (up > 0).double(), (down < 0).double()
    no_least = apply(low_inf, is_up, None) + apply(high_inf, is_down, None) > 0
    no_most = apply(high_inf, is_up, None) + apply(low_inf, is_down, None) > 0
    return torch.where(no_least, -inf, least), torch.where(no_most, inf, most)


def _batch_norm(module: Any, low: Tensor, high: Tensor, rounding: _Rounding) -> Box:
    shape = (-1, *(1,) * (low.dim() - 2))
    mean, variance = module.running_mean.double(), module.running_var.double()
    scale, shift = (variance + module.eps).rsqrt(), torch.zeros_like(mean)
    if module.weight is not None:
        scale, shift = scale * module.weight.detach().double(), module.bias.detach().double()
    factor, offset = scale.view(shape), (shift - mean * scale).view(shape)
    # A factor of zero keeps an infinite end out.
    low, high = (torch.where(factor == 0, 0.0, end) for end in (low, high))
    least = torch.where(factor < 0, high, low) * factor
    most = torch.where(factor < 0, low, high) * factor
    moved = (shift.abs() + (mean * scale).abs()).view(shape)
    # Of the factor, the offset and the sum there are fewer than 16 roundings.
    errors = [rounding.of_sums(_finite(end).abs() + moved, 16) for end in (least, most)]
    return least + offset - errors[0], most + offset + errors[1]


def _average(module: Any, low: Tensor, high: Tensor, rounding: _Rounding) -> Box:
    sizes = [module.forward(_finite(end).abs()) for end in (low, high)]
    errors = [rounding.of_sums(size, prod(low.shape[2:]) + 1) for size in sizes]
    return module.forward(low) - errors[0], module.forward(high) + errors[1]


def _selection(module: Any, low: Tensor, high: Tensor, rounding: _Rounding) -> Box:
    """What picks or moves numbers, and computes none."""
    return module.forward(low.clone()), module.forward(high.clone())


def _rising(module: Any, low: Tensor, high: Tensor, rounding: _Rounding) -> Box:
    least, most = module.forward(low.clone()), module.forward(high.clone())
    # Beyond its threshold torch's softplus is the number itself, a step down.
    step = exp(-module.threshold) / module.beta if isinstance(module, nn.Softplus) else 0.0
    least = least - rounding.of_functions(least) - step
    most = most + rounding.of_functions(most) + step
    bottom, top = _RANGES.get(type(module), (-inf, inf))
    return least.clamp(min=bottom), most.clamp(max=top)


_RANGES: dict[type[nn.Module], tuple[float, float]] = {
    nn.Tanh: (-1.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Softplus: (0.0, inf),
}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
_PICKING = (nn.Identity, nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Flatten, nn.MaxPool1d, nn.MaxPool2d)
_AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
_CURVES = (
    nn.LeakyReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardsigmoid,
    nn.Softplus,
    nn.ELU,
    nn.SELU,
    nn.CELU,
)
_RULES: dict[type[nn.Module], Callable[[Any, Tensor, Tensor, _Rounding], Box]] = {
    nn.Sequential: _sequence,
    nn.Linear: _linear,
    MaskedLinear: _masked_linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    **dict.fromkeys(_NORMS, _batch_norm),
    **dict.fromkeys(_AVERAGES, _average),
    **dict.fromkeys((*_PICKING, *_DROPOUTS), _selection),
    **dict.fromkeys(_CURVES, _rising),
}
_FOLLOWED = f"They follow {', '.join(kind.__name__ for kind in _RULES)}, in evaluation mode."


def _rule(module: nn.Module) -> Callable[[Any, Tensor, Tensor, _Rounding], Box] | None:
    """By the forward pass, which a subclass may have replaced."""
    for kind, rule in _RULES.items():
        if isinstance(module, kind) and type(module).forward is kind.forward:
            return rule
    return None


def _unfollowed(module: nn.Module, name: str) -> Iterator[str]:
    """What can't be followed, and why."""
    called = f"{name or 'the module'} ({type(module).__name__})"
    if module._forward_hooks or module._forward_pre_hooks:
        yield f"{called}, whose hooks may change its value"
    elif _rule(module) is None:
        yield called
    elif isinstance(module, nn.Sequential):
        for part, child in module.named_children():
            yield from _unfollowed(child, f"{name}.{part}".lstrip("."))
    elif isinstance(module, (*_NORMS, *_DROPOUTS)) and module.training:
        yield f"{called}, which is in training mode"
    elif isinstance(module, _NORMS) and module.running_mean is None:
        yield f"{called}, which norms by the batch"
    elif isinstance(module, _CURVES) and any(
        getattr(module, setting, 1) < 0 for setting in ("negative_slope", "alpha", "beta")
    ):
        yield f"{called}, which falls somewhere"
    elif getattr(module, "return_indices", False):
        yield f"{called}, which returns indices as well"
