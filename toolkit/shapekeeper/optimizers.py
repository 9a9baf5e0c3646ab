"""What is known of PyTorch's optimizers, where it matters to a constraint."""

from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = [
    "ELEMENTWISE",
    "asks_again",
    "equalize_second_moment",
    "forget_moves",
    "fuse",
    "has_moved",
    "mixes_numbers",
    "rescales_for_good",
]

# These act on each number by itself, so that stacked runs don't meet.
ELEMENTWISE = (
    torch.optim.ASGD,
    torch.optim.Adadelta,
    torch.optim.Adagrad,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
    torch.optim.Rprop,
    torch.optim.SGD,
)
# These move all numbers of a tensor at one rate, so that a projected step is a gradient step.
EVEN_HANDED = (torch.optim.SGD, torch.optim.ASGD)
# These divide by the root of a running mean of squares, which can be made one for each event.
SECOND_MOMENTS = {
    torch.optim.Adam: "exp_avg_sq",
    torch.optim.AdamW: "exp_avg_sq",
    torch.optim.NAdam: "exp_avg_sq",
    torch.optim.RAdam: "exp_avg_sq",
    torch.optim.RMSprop: "square_avg",
}


def asks_again(optimizer: Optimizer) -> bool:
    """Whether one step needs the loss several times, as that of L-BFGS does.

    Example:
        >>> asks_again(torch.optim.LBFGS([torch.zeros(2, requires_grad=True)]))
        True
    """
    closure = signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is Parameter.empty


def fuse(optimizer: Optimizer) -> None:
    """Let Adam and AdamW take a step in one pass, where nobody has chosen how they do.

    Twice as fast on stacked runs of a few thousand numbers, and nine times where the intermediate
    tensors of the plain form no longer fit the cache.

    Args:
        optimizer: Fresh, without a state.

    Example:
        >>> adam = torch.optim.Adam([torch.zeros(2, requires_grad=True)])
        >>> fuse(adam)
        >>> adam.param_groups[0]["fused"]
        True
    """
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return
    for group in optimizer.param_groups:
        asked = any(group[name] for name in ("foreach", "fused", "capturable", "differentiable"))
        floats = all(p.is_floating_point() for p in group["params"])
        if group["fused"] is None and not asked and floats:
            group["fused"] = True


def mixes_numbers(optimizer: Optimizer) -> bool:
    """Whether the gradient of one number moves others, so that no projection can follow the step.

    Muon makes the whole step orthogonal (K. Jordan et al. 2024, Muon: an optimizer for hidden
    layers in neural networks): gradients of closed weights then move open ones, also where the
    open ones are at their optimum.

    Example:
        >>> mixes_numbers(torch.optim.Muon([torch.zeros(2, 2, requires_grad=True)]))
        True
    """
    return isinstance(optimizer, torch.optim.Muon)


def has_moved(optimizer: Optimizer, leaf: Tensor) -> bool:
    """Whether an optimizer remembers a step of a tensor.

    Example:
        >>> weight = torch.zeros(2, requires_grad=True)
        >>> has_moved(torch.optim.Adagrad([weight]), weight)  # fills its state when it is built
        False
    """
    state = optimizer.state.get(leaf, {})
    if "step" in state:
        return float(state["step"]) > 0
    return any(value is not None for value in state.values())


@torch.no_grad()
def forget_moves(optimizer: Optimizer, leaf: Tensor) -> None:
    """Let an optimizer begin anew with one tensor.

    Example:
        >>> weight = torch.zeros(2, requires_grad=True)
        >>> adam = torch.optim.Adam([weight])
        >>> weight.grad = torch.ones(2)
        >>> adam.step()
        >>> forget_moves(adam, weight)
        >>> has_moved(adam, weight)
        False
    """
    if asks_again(optimizer):
        optimizer.state.clear()  # one memory for all of its tensors
    elif isinstance(optimizer, torch.optim.Adagrad):
        # It makes its state when it is built, and never again.
        if state := optimizer.state.get(leaf):
            state["step"].zero_()
            state["sum"].fill_(optimizer.defaults["initial_accumulator_value"])
    else:
        optimizer.state.pop(leaf, None)


def rescales_for_good(optimizer: Optimizer) -> bool:
    """Whether an optimizer rescales each number by itself, and nothing here can even that out.

    Example:
        >>> weights = [torch.zeros(2, requires_grad=True)]
        >>> [rescales_for_good(o(weights)) for o in (torch.optim.Adagrad, torch.optim.Adam)]
        [True, False]
    """
    if type(optimizer) in EVEN_HANDED:
        return False
    centered = any(group.get("centered") for group in optimizer.param_groups)
    return type(optimizer) not in SECOND_MOMENTS or centered


@torch.no_grad()
def equalize_second_moment(
    optimizer: Optimizer, group: dict[str, Any], leaf: Tensor, event_dims: int
) -> None:
    """Make the next step of an Adam-like optimizer divide each event by one number.

    Adam (D. P. Kingma and J. Ba 2015, Adam: a method for stochastic optimization, algorithm 1)
    divides each number by the root of its own running mean of squares v. A nearest point taken in
    the Euclidean norm after such a step does not lead to the optimum, unless the set is a product
    of intervals. Here v is set so that the optimizer's own update,
    `v <- b v + (1 - b) g^2`, leaves the mean of `b v + (1 - b) g^2` over the event everywhere.

    Args:
        optimizer: Adam, AdamW, NAdam, RAdam or RMSprop.
        group: The parameter group that holds `leaf`.
        leaf: The parameter, `(*batch, *event)`, with its gradient.
        event_dims: Number of trailing axes of one event.

    Example:
        >>> w = torch.zeros(2, requires_grad=True)
        >>> adam = torch.optim.Adam([w], lr=1.0)
        >>> w.grad = torch.tensor([3.0, 4.0])
        >>> equalize_second_moment(adam, adam.param_groups[0], w, event_dims=1)
        >>> adam.step()
        >>> w
        tensor([-0.8485, -1.1314], requires_grad=True)
    """
    if leaf.grad is None:
        return
    name = SECOND_MOMENTS[type(optimizer)]
    state = optimizer.state[leaf] or _fresh_state(optimizer, group, leaf)
    decay = group["alpha"] if name == "square_avg" else group["betas"][1]
    fresh = _step_gradient(optimizer, group, leaf).square().mul_(1 - decay)
    axes = tuple(range(-event_dims, 0))
    goal = torch.add(fresh, state[name], alpha=decay).mean(axes, keepdim=True)
    # Where one gradient dwarfs a very long event, what rounding leaves must not pass for negative.
    least = fresh.amax(axes, keepdim=True).mul_(8 * torch.finfo(leaf.dtype).eps)
    wanted = torch.sub(torch.maximum(goal, least), fresh, out=fresh).div_(decay)
    if getattr(optimizer, "found_inf", None) is not None:
        # A gradient scaler skips a step with infinite gradients; its state must stay as it was.
        wanted = torch.where(torch.isfinite(wanted), wanted, state[name])
    state[name].copy_(wanted)
    if (peak := state.get("max_exp_avg_sq")) is not None:
        peak.copy_(peak.mean(axes, keepdim=True).expand_as(peak))


def _step_gradient(optimizer: Optimizer, group: dict[str, Any], leaf: Tensor) -> Tensor:
    """The gradient as the step will square it: unscaled, with the decay that is part of it."""
    grad = leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)
    if (scale := getattr(optimizer, "grad_scale", None)) is not None:
        grad = grad / scale
    decoupled = type(optimizer) is torch.optim.AdamW or group.get("decoupled_weight_decay")
    if decoupled or not group["weight_decay"]:
        return grad
    return (-grad if group["maximize"] else grad).add(leaf, alpha=group["weight_decay"])


def _fresh_state(optimizer: Optimizer, group: dict[str, Any], leaf: Tensor) -> dict[str, Tensor]:
    """What the optimizer would make itself at its first step."""
    on_device = group.get("capturable") or group.get("fused")
    count = leaf.new_zeros((), dtype=torch.float32) if on_device else torch.tensor(0.0)
    names = [SECOND_MOMENTS[type(optimizer)]]
    if type(optimizer) is torch.optim.RMSprop:
        names += ["momentum_buffer"] if group["momentum"] > 0 else []
    else:
        names += ["exp_avg"] + (["max_exp_avg_sq"] if group.get("amsgrad") else [])
    state: dict[str, Tensor] = {"step": count}
    state |= {name: torch.zeros_like(leaf) for name in names}
    if type(optimizer) is torch.optim.NAdam:
        state["mu_product"] = torch.ones_like(count)
    optimizer.state[leaf] = state
    return state
