"""One parameter under a strategy: hooks that live on its module and travel with every copy."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._autograd import _top_saved_tensors_default_hooks
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from shapekeeper.constraints import Constraint
from shapekeeper.optimizers import forget_moves, has_moved
from shapekeeper.strategies import Strategy

from .errors import HoldError
from .schedule import Schedule
from .watch import forget, watch

__all__ = ["HeldWeight", "Hook"]


class Hook:
    """A method of a holder as a module hook; an object, since torch sets attributes on hooks."""

    def __init__(self, holder: Any, method: str) -> None:
        self.holder, self.method = holder, method

    def __getstate__(self) -> dict[str, Any]:
        """Also the number that the next hook of this process would get."""
        return self.__dict__ | {"next_id": RemovableHandle.next_id}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Torch numbers hooks anew in each process: one registered later would replace this."""
        RemovableHandle.next_id = max(RemovableHandle.next_id, state.pop("next_id"))
        self.__dict__ |= state

    def __call__(self, *args: Any) -> Any:
        """Pass the call on."""
        return getattr(self.holder, self.method)(*args)


class HeldWeight:
    """A parameter that a strategy holds, wherever it is read and whoever moves it.

    The optimizer moves the *leaf*, which stays in `module._parameters`. A strategy with a chart
    shows the network an allowed value instead, in `module.__dict__`, where attribute access looks
    first; between forward passes that value is detached, so that models can be copied.

    Args:
        name: The parameter's name in the model.
        constraint: What it may be, or None if its steps are only slowed down or counted.
        schedule: Shared with the other tensors of the same `hold`.
        places: Every module, and the name in it, where the parameter sits.
        slowed: Whether the rate of the schedule is for it.
    """

    def __init__(
        self,
        name: str,
        constraint: Constraint | None,
        schedule: Schedule,
        places: list[tuple[nn.Module, str]],
        slowed: bool = True,
    ) -> None:
        self.name, self.constraint, self.schedule = name, constraint, schedule
        self.places, self.slowed = places, slowed
        self.memory: dict[str, Tensor] = {}
        self.stage, self.depth, self.counted = -1, 0, schedule.step
        self.fresh, self.grown, self.moved_inside = False, 1.0, 0.0
        self.before: Tensor | None = None  # the leaf before a step whose rate is not 1
        self.free: Tensor | None = None  # the leaf before something is loaded into it
        self.rest: Tensor | None = None  # what a chart shows between forward passes
        self.leaf = self._parameter()
        self.device = self.leaf.device  # where the memory is
        self.stamp, self.rest_stamp = _stamp(self.leaf), _stamp(self.rest)

    # -- where it lives ----------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """What a copy needs; not what only a step, a load or a forward pass needs."""
        settled = {"stamp": _stamp(self.leaf) == self.stamp}
        settled |= {"rest_stamp": _stamp(self.rest) == self.rest_stamp}
        return self.__dict__ | settled | {"before": None, "free": None, "depth": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy holds its own parameter from its first moment on."""
        self.__dict__ |= state
        # Stamps are of this very tensor; what was written to before it was copied has none.
        self.stamp = _stamp(self.leaf) if state["stamp"] else ()
        self.rest_stamp = _stamp(self.rest) if state["rest_stamp"] else ()
        with torch.no_grad():
            self.value()  # what a constraint computes once, before torch.compile looks at it
        watch(self)

    def attach(self, readers: list[nn.Module]) -> None:
        """Put the hooks on the modules that own or may read the parameter."""
        for module in readers:
            module.register_forward_pre_hook(Hook(self, "enter"))
            module.register_forward_hook(Hook(self, "leave"), always_call=True)
        for module, _ in self.places:
            module.register_state_dict_pre_hook(Hook(self, "before_saving"))
            module.register_state_dict_post_hook(Hook(self, "after_saving"))
            module.register_load_state_dict_pre_hook(Hook(self, "before_loading"))
            module.register_load_state_dict_post_hook(Hook(self, "after_loading"))
        watch(self)

    @property
    def hooks(self) -> Strategy:
        """The strategy that holds it now."""
        return self.schedule.parts[self.stage].strategy

    @property
    def charted(self) -> bool:
        """Whether the network sees something else than the optimizer moves."""
        return self.constraint is not None and self.stage >= 0 and self.hooks.charted

    def _parameter(self) -> nn.Parameter:
        module, attribute = self.places[0]
        parameter = module._parameters[attribute]
        assert isinstance(parameter, nn.Parameter)
        return parameter

    # -- its value ---------------------------------------------------------------------------

    def value(self) -> Tensor:
        """What the network sees; gradients flow to the leaf."""
        if not self.charted:
            return self.leaf
        assert self.constraint is not None
        for key, tensor in self.memory.items():
            if tensor.device != self.leaf.device or tensor.dtype != self.leaf.dtype:
                self.memory[key] = tensor.to(self.leaf)
        with _in_full(self.leaf), _apart_from_checkpoints():
            return self.hooks.weights(self.constraint, self.leaf[None], self.memory)[0]

    def price(self) -> Tensor | float:
        """What the strategy adds to the loss."""
        if self.constraint is None:
            return 0.0
        value = self.value()[None]
        self._follow()
        with _in_full(self.leaf):
            price = self.hooks.price(self.constraint, value, self.memory)
        return price[0] if isinstance(price, Tensor) else price

    def _follow(self) -> None:
        """The model may have moved to another device since the memory was last used."""
        if self.device != self.leaf.device:
            self.device = self.leaf.device
            self.memory = {k: t.to(self.device) for k, t in self.memory.items()}
        if self.hooks.advances and any(t.dtype != self.leaf.dtype for t in self.memory.values()):
            self.memory = {k: t.to(self.leaf.dtype) for k, t in self.memory.items()}

    @torch.no_grad()
    def enter_stage(self, start: str | None = None) -> None:
        """Begin the stage that the schedule is in.

        Args:
            start: `"constraint"` where the strategy may choose the starting point, `"nearest"`
                where training goes on from the nearest allowed value; None at a later stage.
        """
        x = self.value().clone()[None]
        self._hide()
        self.stage = self.schedule.stage
        c = self.constraint
        if c is None:
            if self.hooks.advances:
                _, self.memory = self.hooks.begin(None, x)  # type: ignore[arg-type]  # takes all
            return
        with _in_full(self.leaf):
            if start == "constraint":
                x, given = self.hooks.starting_point(c, x), x
                self.grown = _growth(given, x)
            elif start == "nearest" or self.hooks.guarantee == "structural":
                x = c.project(x)
            leaf, self.memory = self.hooks.begin(c, x)
        self.device = self.leaf.device
        self.leaf.copy_(leaf[0])
        self.moved_inside = (self.value() - x[0]).abs().max().item()
        self._settle()
        self.fresh = self.charted
        if self.charted:
            self.forget_steps()

    @torch.no_grad()
    def resume(self, memory: dict[str, Tensor], free: Tensor | None) -> None:
        """Go on in the schedule's stage with what was remembered of it."""
        self._hide()
        self.stage, self.counted, self.fresh = self.schedule.stage, self.schedule.step, False
        self.memory = {k: t.to(self.leaf.device, copy=True) for k, t in memory.items()}
        self.device = self.leaf.device
        if free is not None:
            self.leaf.copy_(free)
        elif self.constraint is not None:
            self.leaf.copy_(self.hooks.recall(self.constraint, self.leaf[None], self.memory)[0])
        self._put_right()
        self._settle()

    def forget_steps(self) -> None:
        """Drop what optimizers and backward passes remember of other coordinates."""
        self.leaf.grad = None
        for optimizer in self.schedule.optimizers:
            forget_moves(optimizer, self.leaf)

    @torch.no_grad()
    def keep(self) -> None:
        """Put the leaf right after somebody wrote to it without an optimizer's step."""
        self._put_right()
        if self.constraint is not None and self.hooks.advances:
            self._follow()
            self.leaf.copy_(self.hooks.revisit(self.constraint, self.leaf[None], self.memory)[0])
        self._settle()

    def _put_right(self) -> None:
        c = self.constraint
        if c is not None and self.hooks.guarantee == "structural" and not self.charted:
            self.leaf.copy_(_allowed(c, self.leaf))

    def _settle(self) -> None:
        """Everything is as it should be now; later changes are somebody else's."""
        self.stamp = _stamp(self.leaf)
        if self.charted:
            # Tensors made in inference mode count no versions and can't be trained on.
            with torch.inference_mode(False), torch.no_grad():
                self.rest = self.value()
            self.rest_stamp = _stamp(self.rest)
            self._show(self.rest)

    def _show(self, value: Tensor) -> None:
        for module, attribute in self.places:
            module.__dict__[attribute] = value
            _refresh_flat(module, attribute, value)

    def _hide(self) -> None:
        """Attribute access finds the parameter again."""
        for module, attribute in self.places:
            if module.__dict__.pop(attribute, None) is not None:
                _refresh_flat(module, attribute, self.leaf)
        self.rest, self.rest_stamp = None, _stamp(None)

    # -- forward passes ----------------------------------------------------------------------

    def enter(self, module: nn.Module, args: Any) -> None:
        """Before a module reads: the value is allowed, and new for each backward pass."""
        if not torch.compiler.is_compiling():
            _refuse_replica(module)
            self.notice()
        if not self.charted:
            return
        self.depth += 1
        if self.depth == 1:
            self._show(self.value())

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        """After the outermost module: what is shown has no graph, so that it can be copied."""
        if not self.charted or self.depth == 0:
            return
        self.depth -= 1
        if self.depth == 0 and self.rest is not None:
            self._show(self.rest)

    def notice(self) -> None:
        """Somebody may have replaced the parameter, or written to it or to what it shows."""
        for module, attribute in self.places:
            parameter = module._parameters.get(attribute)
            if parameter is not self.leaf:
                # Assigning to the attribute takes away what a chart shows there.
                self._meet_stranger(parameter, assigned=attribute not in module.__dict__)
                return
        if self.depth:
            return  # a chart shows what this forward pass is about
        if _stamp(self.rest) != self.rest_stamp:
            assert self.rest is not None
            self._take(self.rest)
        elif _stamp(self.leaf) != self.stamp:
            self.keep()

    def _meet_stranger(self, parameter: Tensor | None, assigned: bool) -> None:
        if parameter is None:
            raise HoldError(
                f"{self.name!r} is no parameter any more; pruning and torch.nn.utils.parametrize "
                "move it elsewhere. Call held.remove() before."
            )
        if isinstance(parameter, nn.Parameter) and assigned:
            self._adopt(parameter)
        elif self.charted:
            raise HoldError(
                f"torch.func.functional_call gives another tensor for {self.name!r}, but "
                f"{self.hooks.label} reads free numbers. Hold it by Projection, or call "
                "held.remove() first."
            )

    def owns(self, tensor: Tensor) -> bool:
        """Whether this very tensor is the parameter, when nobody has put another in its place."""
        module, attribute = self.places[0]
        return module._parameters.get(attribute) is tensor

    def _adopt(self, parameter: nn.Parameter) -> None:
        """The module has another parameter now, with values as they look."""
        for module, attribute in self.places:
            module._parameters[attribute] = parameter
        # The one from before is watched on: after torch.func.functional_call it is back.
        self.leaf = parameter
        watch(self)
        for optimizer in self.schedule.optimizers:
            if follow := getattr(optimizer, "follow", None):  # one that knows what is held
                follow()
        if self.charted:
            self._take(parameter)
        else:
            self.keep()

    @torch.no_grad()
    def _take(self, value: Tensor) -> None:
        """Begin anew at a value that somebody gave for the network to see."""
        assert self.constraint is not None
        x = _allowed(self.constraint, value.detach().to(self.leaf, copy=True))[None]
        leaf, self.memory = self.hooks.begin(self.constraint, x)
        self.leaf.copy_(leaf[0])
        self.forget_steps()
        self._settle()

    # -- steps -------------------------------------------------------------------------------

    def before_step(self, optimizer: Optimizer, group: dict[str, Any]) -> None:
        """The optimizer is about to move the leaf."""
        c, schedule = self.constraint, self.schedule
        if optimizer not in schedule.optimizers:
            self.meet(optimizer)
        self.fresh = False
        self.notice()
        if c is not None:
            self.hooks.before(c, self.leaf, optimizer, group)
        slow = self.slowed and schedule.rate != 1.0
        self.before = self.leaf.detach().clone() if slow else None

    def advance(self, hooks: Strategy, noise: Tensor | None) -> None:
        """Take a step of the strategy's own, with its settings of this moment; without gradient."""
        if self.memory:
            self._follow()
        assert self.leaf.grad is not None
        grad = self.leaf.grad.to_dense() if self.leaf.grad.is_sparse else self.leaf.grad
        leaf, grad = self.leaf.detach()[None], grad[None]
        with _in_full(self.leaf):
            hooks.advance(self.constraint, leaf, grad, self.memory, noise)

    def after_step(self, group: dict[str, Any]) -> None:
        """The optimizer has moved the leaf: rate, repair."""
        if not self.hooks.advances:
            with torch.no_grad():
                self._repair(float(group["lr"]))
        self.depth = 0
        self._settle()

    def _repair(self, lr: float) -> None:
        if self.before is not None:
            rate = self.schedule.rate
            # At rate 0 even a step to infinity is undone.
            self.leaf.copy_(torch.lerp(self.before, self.leaf, rate) if rate else self.before)
            self.before = None
        if self.constraint is not None:
            self._follow()
            leaf = self.leaf.detach()[None]
            with _in_full(self.leaf):
                repaired = self.hooks.repair(self.constraint, leaf, self.memory, lr)
            if repaired is not leaf:
                self.leaf.copy_(repaired[0])

    def count(self) -> bool:
        """Count the step that the leaf has taken; whether another stage begins.

        A step of the schedule is over when something moves that has moved in it already, so that
        optimizers that take turns count once, whichever of them comes first or goes.
        """
        schedule = self.schedule
        changed = self.counted == schedule.step and schedule.advance()
        self.counted = schedule.step
        return changed

    def meet(self, optimizer: Optimizer) -> None:
        """Raise if this optimizer can't move the leaf under this schedule."""
        for strategy in [part.strategy for part in self.schedule.parts]:
            # One that takes the steps itself takes those of what nothing binds, too.
            if self.constraint is not None or strategy.advances:
                if problem := strategy.unfit(self.constraint, optimizer):  # type: ignore[arg-type]
                    raise HoldError(f"{strategy.label} can't hold {self.name!r}: {problem}")
        if self.fresh and has_moved(optimizer, self.leaf):
            raise HoldError(
                f"This {type(optimizer).__name__} remembers steps of {self.name!r} from before it "
                "had free numbers. Pass the optimizer to hold(...), or, after a resume, load "
                "held.state_dict() before the first step."
            )
        self.schedule.optimizers.add(optimizer)

    def detach(self) -> None:
        """Leave a plain parameter with an allowed value."""
        c = self.constraint
        value = self.value().detach().clone()
        with torch.no_grad():
            self.leaf.copy_(value if c is None else _allowed(c, value))
        if self.charted:
            self.forget_steps()
        self._hide()
        forget(self)

    # -- saving and loading ------------------------------------------------------------------

    def before_saving(self, module: nn.Module, prefix: str, keep_vars: bool) -> None:
        """What is saved is allowed, even if an average or a loader wrote to it last."""
        self.notice()

    def after_saving(
        self, module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: Any
    ) -> None:
        """State dicts hold what the network sees, under the names of the plain model."""
        if self.charted:
            for place, attribute in self.places:
                if place is module and prefix + attribute in state:
                    state[prefix + attribute] = self.value().detach().clone()

    def before_loading(self, *args: Any) -> None:
        """Remember the free numbers: the value they stand for may be what is loaded."""
        if self.charted and self.free is None:
            self.free = self.leaf.detach().clone()

    @torch.no_grad()
    def after_loading(self, module: nn.Module, incompatible_keys: Any) -> None:
        """What was loaded is what the network shall see."""
        here, attribute = self.places[0]
        parameter = here._parameters.get(attribute)
        if parameter is not self.leaf and isinstance(parameter, nn.Parameter):
            self._adopt(parameter)
        elif self.charted and _stamp(self.leaf) != self.stamp:
            self._load(self.leaf.detach().clone())
        elif not self.charted:
            self.keep()
        self.free = None

    def _load(self, value: Tensor) -> None:
        """Free numbers for a loaded value; those from before, where they stand for it already."""
        if self.free is not None:
            self.leaf.copy_(self.free)
        if not torch.equal(self.value(), value):
            self._take(value)
        self._settle()


def _stamp(tensor: Tensor | None) -> tuple[Any, ...]:
    """Changes when somebody writes to a tensor, gives it other memory, or casts it."""
    return (None,) if tensor is None else (tensor._version, tensor.dtype, tensor.data_ptr())


def _allowed(c: Constraint, x: Tensor) -> Tensor:
    """The nearest allowed value; what is allowed already stays as it is, bit by bit."""
    with _in_full(x):
        return x if c.allows(x).all() else c.project(x)


def _refuse_replica(reader: nn.Module) -> None:
    if "_is_replica" in reader.__dict__:  # asking the module itself takes a search and an error
        raise HoldError(
            "nn.DataParallel runs copies that share one module's hooks; wrap the model in "
            "torch.nn.parallel.DistributedDataParallel instead."
        )


def _in_full(x: Tensor) -> AbstractContextManager[Any]:
    """Compute in the tensor's own type: rounded to a shorter one, a value would leave the set."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def _apart_from_checkpoints() -> AbstractContextManager[Any]:
    """Let what a chart saves for its backward pass be nobody else's.

    torch.utils.checkpoint counts what a layer saves, and computes the layer again later, but not
    the module around it, which may have asked for the value the first time.
    """
    if torch.compiler.is_compiling() or not _top_saved_tensors_default_hooks(True):
        return nullcontext()
    return saved_tensors_hooks(Tensor.detach, lambda saved: saved)


def _growth(before: Tensor, after: Tensor) -> float:
    """Factor on the size of the entries that are not zero."""
    there = after != 0
    old = before[there].abs().sum().item()
    return after[there].abs().sum().item() / old if old else 1.0


def _refresh_flat(module: nn.Module, attribute: str, value: Tensor) -> None:
    """Recurrent layers read a list that they made of their weights."""
    if isinstance(module, nn.RNNBase) and attribute in module._flat_weights_names:
        module._flat_weights[module._flat_weights_names.index(attribute)] = value
