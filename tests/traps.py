"""Ways to lose a constraint while training, each written once as an experiment on any library.

A `Way` is one training session in which one library, or a few lines of one's own, keeps the matrix
of a small layer in a set. An experiment takes a way and gives one number. The matrix is read off
the layer itself, as its weight and as what it does to the unit vectors, so no library is asked how
well it did.
"""

import copy
import io
import warnings
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize, prune
from torch.nn.utils.parametrizations import orthogonal, weight_norm

import shapekeeper as sk

N = 32
DENSE, HELD = 20, 50  # steps before and after a constraint is put on
LONG = 2000  # steps in which a multiplier has settled


class NotAskedError(Exception):
    """A question that does not arise for this library."""


# -- what is kept, on what problem -----------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Shape:
    """Which weights are free, and the number of every other one; both `(target, source)`."""

    free: Tensor
    numbers: Tensor

    def nearest(self, w: Tensor) -> Tensor:
        return torch.where(self.free, w, self.numbers)

    def connections(self) -> sk.Connections:
        return sk.Connections(self.free | (self.numbers != 0), fixed=self.numbers)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


OPEN = drawn(N, N, seed=0) > 0.5  # 3 of 10
MASK = Shape(OPEN, torch.zeros(N, N))
PRESET = Shape(~OPEN, torch.where(OPEN, drawn(N, N, seed=1), torch.zeros(N, N)))
FIRST_ROWS = torch.arange(N)[:, None].expand(N, N) < 4
ROWS = Shape(~FIRST_ROWS, torch.where(FIRST_ROWS, drawn(N, N, seed=2) / 4, torch.zeros(N, N)))
ALL = Shape(torch.ones(N, N, dtype=torch.bool), torch.zeros(N, N))

INPUTS = drawn(64, N, seed=3)
WANTED = INPUTS @ drawn(N, N, seed=4).T / N**0.5  # of a dense teacher, which calls for every weight

OPTIMIZERS = {
    "Adam": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-2),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "SGD": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, weight_decay=1e-2),
    "fused": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1, fused=True),
    "no decay": lambda p: torch.optim.Adam(p, lr=1e-2),
    # By these names the class itself, also where a library brings optimizers of its own.
    "torch.optim.Adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    "torch.optim.Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
}
KINDS = ("Adam", "AdamW", "SGD")


class Net(nn.Module):
    """One layer with a name, and no bias unless a library insists."""

    def __init__(self, inputs: int = N, outputs: int = N, bias: bool = False):
        super().__init__()
        torch.manual_seed(5)
        self.layer = nn.Linear(inputs, outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


# -- ways to keep it -------------------------------------------------------------------------


class Way:
    """One training session; by itself it keeps nothing.

    Args:
        kind: Which optimizer.
        shape: What is to be kept, for libraries that keep masks.
    """

    needs = ""  # the package it is about
    new_parameters = False  # whether an optimizer built before the constraint can't see it
    bias = False
    own_layer = False  # whether it can only begin with a layer of its own
    sizes = (N, N)

    def __init__(self, kind: str = "Adam", shape: Shape = MASK):
        self.kind, self.shape = kind, shape
        self.net = Net(*self.sizes, bias=self.bias)
        self.forward, self.autocast = self.net, False
        self.optimizer = self.make_optimizer()

    def make_optimizer(self) -> torch.optim.Optimizer:
        return OPTIMIZERS[self.kind](self.net.parameters())

    def hold(self, rebuild: bool = True) -> "Way":
        """Put the constraint on, and build the optimizer anew where its documentation says so."""
        self.put_on()
        if rebuild and self.new_parameters:
            self.optimizer = self.make_optimizer()
        return self

    def put_on(self) -> None:
        """Put the constraint on the layer."""
        self.write(self.shape.nearest(self.net.layer.weight.detach()))

    @torch.no_grad()
    def write(self, value: Tensor) -> None:
        self.net.layer.weight.copy_(value)

    def matrix(self) -> Tensor:
        """What the layer does to the unit vectors, `(target, source)`."""
        self.net.eval()
        w = self.net(torch.eye(self.sizes[0])).T.detach().clone()
        self.net.train()
        return w

    def off(self) -> float:
        """How far the weight as it stands, or as the layer uses it, is from what is to be kept."""
        standing = self.net.layer.weight.detach().clone()  # before a forward pass can mend it
        return max(self.miss(standing), self.miss(self.matrix()))

    def miss(self, w: Tensor) -> float:
        """The worst entry of the difference from the nearest allowed matrix."""
        return (w - self.shape.nearest(w)).abs().max().item()

    def loss(self) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            return F.mse_loss(self.forward(INPUTS).float(), WANTED)

    def backward(self) -> None:
        self.loss().backward()

    def step(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)
        self.backward()
        self.optimizer.step()

    def train(self, steps: int) -> float:
        """Train; the farthest that the matrix was off after any step."""
        worst = 0.0
        for _ in range(steps):
            self.step()
            worst = max(worst, self.off())
        return worst

    def decay(self, steps: int) -> None:
        """Weight decay and nothing else."""
        parameters = [p for p in self.net.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=0.1, weight_decay=0.1)
        for _ in range(steps):
            for p in parameters:
                p.grad = torch.zeros_like(p)
            optimizer.step()

    def with_net(self, net: nn.Module) -> "Way":
        """A new session on another network, with an optimizer of its own."""
        other = copy.copy(self)
        other.net = other.forward = net
        other.optimizer = other.make_optimizer()
        return other

    def copied(self) -> "Way":
        return self.with_net(copy.deepcopy(self.net))

    def saved(self) -> dict:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, saved: dict) -> None:
        self.net.load_state_dict(saved["net"])
        self.optimizer.load_state_dict(saved["optimizer"])

    def freeze(self) -> None:
        """Keep the whole matrix where it is from now on."""
        raise NotAskedError

    def says(self) -> str:
        """What the library says of its own about the layer's weight."""
        return ""


class GradientHook(Way):
    """Zero the closed weights, and stop their gradients."""

    def put_on(self) -> None:
        super().put_on()
        free = self.shape.free.float()
        self.net.layer.weight.register_hook(lambda grad: grad * free)

    def freeze(self) -> None:
        self.net.layer.weight.requires_grad_(False)


class StepHook(Way):
    """Project after each step of this optimizer."""

    def put_on(self) -> None:
        super().put_on()
        self.optimizer.register_step_post_hook(lambda *_: Way.put_on(self))


class RowsOff(Way):
    """Ask the first rows to need no gradient."""

    def put_on(self) -> None:
        super().put_on()
        self.net.layer.weight.data[:4].requires_grad = False


class Prune(Way):
    def put_on(self) -> None:
        if (self.shape.numbers != 0).any():
            raise NotAskedError
        prune.custom_from_mask(self.net.layer, "weight", self.shape.free)


class Rebuilt(nn.Module):
    """A parametrization one writes oneself: free weights, and numbers for the others."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.register_buffer("free", shape.free.float())
        self.register_buffer("numbers", shape.numbers)

    def forward(self, w: Tensor) -> Tensor:
        return w * self.free + self.numbers


class Parametrize(Way):
    def put_on(self) -> None:
        parametrize.register_parametrization(self.net.layer, "weight", Rebuilt(self.shape))


def enforce(layer: nn.Module, inputs: object) -> None:
    """What the networks of nn4n do before each forward pass in training."""
    if layer.training:
        layer.enforce_constraints()


class NN4N(Way):
    needs = "nn4n"
    new_parameters = bias = own_layer = True

    def put_on(self) -> None:
        from nn4n.layer import LinearLayer

        # Closed weights are set to zero; the gradients of those that keep a number are.
        preset = self.shape.numbers != 0
        start = self.shape.nearest(self.net.layer.weight.detach())
        spec = {"input_dim": N, "output_dim": N, "weights": "uniform", "biases": None}
        masks = {"sparsity_mask": self.shape.free | preset, "plasticity_mask": ~preset}
        masks = {name: mask.float().T for name, mask in masks.items()}
        self.net.layer = LinearLayer(spec | masks | {"ei_mask": None})
        self.net.layer.set_weight(start)
        self.net.layer.register_forward_pre_hook(enforce)

    def backward(self) -> None:
        super().backward()
        if hasattr(self.net.layer, "apply_plasticity"):
            self.net.layer.apply_plasticity()

    def freeze(self) -> None:
        self.net.layer.plasticity_mask.zero_()
        self.net.layer.plasticity_scales = torch.zeros(1)


class Cooper(Way):
    """A Lagrange multiplier for each weight that is not free."""

    needs = "cooper"
    rate = 1e-3

    def put_on(self) -> None:
        import cooper

        super().put_on()
        multiplier = cooper.multipliers.DenseMultiplier(
            num_constraints=int((~self.shape.free).sum())
        )
        equality = cooper.Constraint(
            constraint_type=cooper.ConstraintType.EQUALITY, multiplier=multiplier
        )

        class Problem(cooper.ConstrainedMinimizationProblem):
            def __init__(self, net: nn.Module):
                super().__init__()
                self.net, self.equality = net, equality

            def compute_cmp_state(self, way: Way) -> "cooper.CMPState":
                w = self.net.layer.weight
                violation = (w - way.shape.numbers)[~way.shape.free]
                state = cooper.ConstraintState(violation=violation)
                return cooper.CMPState(loss=way.loss(), observed_constraints={equality: state})

        self.problem = Problem(self.net)
        dual = torch.optim.SGD(self.problem.dual_parameters(), lr=self.rate, maximize=True)
        self.both = cooper.optim.AlternatingDualPrimalOptimizer(
            cmp=self.problem, primal_optimizers=self.optimizer, dual_optimizers=dual
        )

    def step(self, set_to_none: bool = True) -> None:
        if not hasattr(self, "both"):
            return super().step(set_to_none)
        self.both.roll(compute_cmp_state_kwargs={"way": self})

    def saved(self) -> dict:
        whole = {"problem": self.problem.state_dict(), "both": self.both.state_dict()}
        return super().saved() | whole

    def load(self, saved: dict) -> None:
        super().load(saved)
        self.problem.load_state_dict(saved["problem"])
        self.both.load_state_dict(saved["both"])

    def copied(self) -> Way:
        copy.deepcopy(self.problem)
        raise NotAskedError

    def with_net(self, net: nn.Module) -> Way:
        raise NotAskedError


class Keeper(Way):
    """This library."""

    strategy: sk.Strategy = sk.Projection()

    def put_on(self) -> None:
        self.keep(self.constraint(), self.strategy)

    def constraint(self) -> sk.Constraint:
        return self.shape.connections()

    def keep(self, c: sk.Constraint, strategy: sk.Strategy) -> None:
        self.held = sk.hold(self.net, {"layer.weight": c}, strategy, self.optimizer)

    def backward(self) -> None:
        loss = self.loss()
        (loss + self.held.penalty() if hasattr(self, "held") else loss).backward()

    def with_net(self, net: nn.Module) -> Way:
        other = super().with_net(net)
        other.held = sk.Held.of(net)
        return other

    def saved(self) -> dict:
        return super().saved() | {"held": self.held.state_dict()}

    def load(self, saved: dict) -> None:
        super().load(saved)
        self.held.load_state_dict(saved["held"])

    def freeze(self) -> None:
        self.keep(ALL.connections(), sk.Freeze())

    def says(self) -> str:
        return str(self.held.report().frame["weight decay"].iloc[0])


class ProjectionKeeper(Keeper):
    pass


class ReparametrizationKeeper(Keeper):
    strategy = sk.Reparametrization()


# -- ways to keep orthogonal matrices --------------------------------------------------------


class Orthogonal(Way):
    """Sessions on orthogonal matrices, which is what these libraries keep."""

    def miss(self, w: Tensor) -> float:
        return (w @ w.T - torch.eye(len(w))).abs().max().item()


class TorchOrthogonal(Orthogonal):
    def put_on(self) -> None:
        orthogonal(self.net.layer, orthogonal_map="cayley")


class Geotorch(Orthogonal):
    needs = "geotorch"

    def put_on(self) -> None:
        import geotorch

        geotorch.orthogonal(self.net.layer, "weight")


class WithGeoopt(Way):
    """Sessions with the optimizers that geoopt brings for its parameters."""

    needs = "geoopt"
    new_parameters = True

    def make_optimizer(self) -> torch.optim.Optimizer:
        from geoopt.optim import RiemannianAdam, RiemannianSGD

        if self.kind.startswith("torch"):
            return super().make_optimizer()
        if self.kind == "SGD":
            return RiemannianSGD(self.net.parameters(), lr=1e-2, momentum=0.9, weight_decay=1e-2)
        decay = 0.0 if self.kind == "no decay" else 1e-2
        return RiemannianAdam(self.net.parameters(), lr=1e-2, weight_decay=decay)

    def decay(self, steps: int) -> None:
        from geoopt.optim import RiemannianSGD

        weight = self.net.layer.weight
        optimizer = RiemannianSGD([weight], lr=0.1, weight_decay=0.1)
        for _ in range(steps):
            weight.grad = torch.zeros_like(weight)
            optimizer.step()


class Geoopt(WithGeoopt, Orthogonal):
    def put_on(self) -> None:
        import geoopt

        start = torch.linalg.qr(self.net.layer.weight.detach())[0].contiguous()
        stiefel = geoopt.EuclideanStiefel()
        self.net.layer.weight = geoopt.ManifoldParameter(start, manifold=stiefel)


# -- ways to keep vectors of length one ------------------------------------------------------

SCALES = torch.logspace(-2, 1, 8)
TARGET = drawn(8, seed=6)


class OnSphere(Way):
    """A vector of length one, as near as it can be to a target along badly scaled axes."""

    sizes = (8, 1)

    def miss(self, w: Tensor) -> float:
        return (w.norm(dim=1) - 1).abs().max().item()

    def loss(self) -> Tensor:
        return cost(self.forward(torch.eye(8))[:, 0])


def cost(w: Tensor) -> Tensor:
    return 0.5 * (SCALES * (w - TARGET).square()).sum()


def least_cost() -> float:
    """Of all vectors of length one: the stationary one whose multiplier leaves the cost convex."""
    d, t = SCALES.double().numpy(), TARGET.double().numpy()
    low, high = -d.min() + 1e-12, d.sum() * np.abs(t).sum() + 1.0  # of the multiplier
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.linalg.norm(d * t / (d + middle)) > 1 else (low, middle)
    return cost(torch.from_numpy(d * t / (d + low)).float()).item()


class NormalizeOnce(OnSphere):
    """Divide by the length at the start."""

    def put_on(self) -> None:
        self.write(F.normalize(self.net.layer.weight.detach()))


class Normalize(NormalizeOnce):
    """Divide by the length after each step."""

    def put_on(self) -> None:
        super().put_on()
        self.optimizer.register_step_post_hook(lambda *_: NormalizeOnce.put_on(self))

    def decay(self, steps: int) -> None:
        for _ in range(steps):
            super().decay(1)
            NormalizeOnce.put_on(self)


class WeightNorm(OnSphere):
    """The direction is free, the length stays one."""

    new_parameters = True

    def put_on(self) -> None:
        weight_norm(self.net.layer)
        length = self.net.layer.parametrizations.weight.original0
        length.requires_grad_(False).fill_(1.0)


class GeotorchSphere(OnSphere):
    needs = "geotorch"

    def put_on(self) -> None:
        import geotorch

        geotorch.sphere(self.net.layer, "weight")


class GeooptSphere(WithGeoopt, OnSphere):
    def put_on(self) -> None:
        import geoopt

        start = F.normalize(self.net.layer.weight.detach())
        self.net.layer.weight = geoopt.ManifoldParameter(start, manifold=geoopt.Sphere())


class SphereKeeper(OnSphere, ProjectionKeeper):
    def constraint(self) -> sk.Constraint:
        return sk.Sphere()


class SphereChartKeeper(OnSphere, ReparametrizationKeeper):
    def constraint(self) -> sk.Constraint:
        return sk.Sphere()


# -- ways to freeze a batch norm -------------------------------------------------------------


class FrozenNorm(Way):
    """A frozen batch norm after a layer."""

    def __init__(self, kind: str = "Adam"):
        super().__init__(kind)
        self.net.norm = nn.BatchNorm1d(N)

    def put_on(self) -> None:
        self.net.norm.requires_grad_(False)


class FrozenNormKeeper(FrozenNorm):
    name = "norm"

    def put_on(self) -> None:
        anything = sk.Connections(torch.ones(N))
        self.held = sk.hold(self.net, {self.name: anything}, sk.Freeze(), self.optimizer)


# -- the experiments: one number each --------------------------------------------------------


def from_the_start(way: type[Way], kind: str) -> float:
    """Leak of a constraint that is put on before the first step."""
    return way(kind).hold().train(HELD)


def in_the_long_run(way: type[Way], kind: str) -> float:
    """Leak after many steps."""
    session = way(kind).hold()
    for _ in range(LONG):
        session.step()
    return session.off()


def late(way: type[Way], kind: str) -> float:
    """Leak of a constraint that is put on when momentum has gathered."""
    session = way(kind)
    if session.own_layer:
        raise NotAskedError
    session.train(DENSE)
    return session.hold().train(HELD)


def presets(way: type[Way], kind: str) -> float:
    """How far weights drift that shall keep a number other than zero."""
    return way(kind, PRESET).hold().train(HELD)


def rows(way: type[Way], kind: str) -> float:
    """The same for whole rows, of which no other weight takes part."""
    return way(kind, ROWS).hold().train(HELD)


def deepcopied(way: type[Way], kind: str) -> float:
    """Leak in five steps of a copy."""
    session = way(kind).hold()
    session.train(5)
    return session.copied().train(5)


def frozen(way: type[Way], kind: str) -> float:
    """How far a matrix moves that is frozen in mid-training, gradients being zeroed in place."""
    session = way(kind, ALL)
    if session.own_layer:
        session.hold()
    session.train(DENSE)
    session.freeze()
    before = session.matrix()
    for _ in range(HELD):
        session.optimizer.zero_grad(set_to_none=False)
        if any(p.requires_grad for p in session.net.parameters()):
            session.backward()
        session.optimizer.step()
    return (session.matrix() - before).abs().max().item()


def frozen_after_backward(way: type[Way], kind: str) -> float:
    """How far it moves if the last gradient is still there."""
    session = way(kind, ALL)
    if session.own_layer:
        session.hold()
    session.train(DENSE)
    session.freeze()
    before = session.matrix()
    session.optimizer.step()
    return (session.matrix() - before).abs().max().item()


def running_mean(way: type[FrozenNorm], kind: str) -> float:
    """How far the running mean of a frozen batch norm moves in one step."""
    session = way(kind).hold()
    session.net.norm(session.net(INPUTS + 1)).square().mean().backward()
    session.optimizer.step()
    return session.net.norm.running_mean.abs().max().item()


def rebuilt_optimizer(way: type[Way], kind: str) -> float:
    """Leak in five steps of an optimizer built anew and loaded with the old one's state."""
    session = way(kind).hold()
    session.train(10)
    state = session.optimizer.state_dict()
    session.optimizer = session.make_optimizer()
    session.optimizer.load_state_dict(state)
    if isinstance(session, Cooper):
        raise NotAskedError
    return session.train(5)


def initialized(way: type[Way], kind: str) -> Way:
    session = way(kind).hold()
    session.train(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.init.constant_(session.net.layer.weight, 0.5)
    return session


def init_moves(way: type[Way], kind: str) -> float:
    """By how much `nn.init` on the held weight changes what the layer does; 0: not at all."""
    session = way(kind).hold()
    session.train(5)
    return (initialized(way, kind).matrix() - session.matrix()).abs().max().item()


def init_leaks(way: type[Way], kind: str) -> float:
    """How far it takes what the layer does from the set."""
    session = initialized(way, kind)
    return session.miss(session.matrix())


def early_optimizer(way: type[Way], kind: str) -> float:
    """How far a layer gets in ten steps of an optimizer built before the constraint; 0: nowhere."""
    session = way(kind)
    if session.own_layer:
        raise NotAskedError
    session.hold(rebuild=False)
    before = session.matrix()
    session.train(10)
    return (session.matrix() - before).abs().max().item()


def wrong_optimizer(way: type[Way], kind: str) -> float:
    """How far an optimizer of `torch.optim` takes a weight from its manifold in 200 steps."""
    return way(kind).hold().train(200)


def excess(way: type[Way], kind: str) -> float:
    """How far above the least cost on the sphere training ends, in parts of that cost."""
    session = way(kind).hold()
    for i in range(1500):
        for group in session.optimizer.param_groups:
            group["lr"] = 1e-2 * 0.5 ** (i / 250)
        session.step()
    return cost(session.matrix()[0]).item() / least_cost() - 1


def left_by_decay(way: type[Way], kind: str) -> float:
    """Share of the way from the start that weight decay alone leaves."""
    session = way(kind).hold()
    start = session.matrix()
    for _ in range(HELD):
        session.step()
    far = (session.matrix() - start).norm()
    session.decay(400)
    return ((session.matrix() - start).norm() / far).item()


def one_step_of_adamw(way: type[Way], kind: str) -> float:
    """Size of the matrix after one step of `torch.optim.AdamW` as it comes, in parts of before."""
    session = way(kind).hold(rebuild=False)
    before = session.matrix().norm()
    session.optimizer = torch.optim.AdamW(p for p in session.net.parameters() if p.requires_grad)
    session.step()
    return (session.matrix().norm() / before).item()


class Tall:
    """64 inputs, 32 outputs: not square, where torch takes Householder's map."""

    sizes = (64, 32)

    def loss(self) -> Tensor:
        return self.forward(torch.eye(64)).square().mean()


class TallTorchOrthogonal(Tall, TorchOrthogonal):
    def put_on(self) -> None:
        orthogonal(self.net.layer)


class TallGeotorch(Tall, Geotorch):
    pass


class TallSphereKeeper(Tall, SphereKeeper):
    pass


class TallSphereChartKeeper(Tall, SphereChartKeeper):
    pass


def stale(way: type[Way], kind: str) -> float:
    """How far `layer.weight`, read after a step, is from what the layer does then."""
    session = way(kind).hold()
    session.step()
    read = session.net.layer.weight.detach().clone()
    return (session.matrix() - read).abs().max().item()


# -- situations ------------------------------------------------------------------------------


def loaded_plain(way: type[Way], kind: str) -> float:
    """What is not allowed in a plain network that takes the state dict."""
    session = way(kind).hold()
    session.train(5)
    plain = Net(bias=session.bias)
    plain.load_state_dict(session.net.state_dict())
    session.net = plain
    return session.off()


def resumed(way: type[Way], kind: str) -> float:
    """Difference between training on and saving, building anew, loading, training on."""
    first, second = way(kind).hold(), way(kind).hold()
    first.train(10)
    buffer = io.BytesIO()
    torch.save(first.saved(), buffer)
    buffer.seek(0)
    second.load(torch.load(buffer))
    first.train(10)
    second.train(10)
    return (first.matrix() - second.matrix()).abs().max().item()


def pickled(way: type[Way], kind: str) -> float:
    """Leak in five steps of a network that was saved and loaded whole."""
    session = way(kind).hold()
    session.train(5)
    buffer = io.BytesIO()
    torch.save(session.net, buffer)
    buffer.seek(0)
    return session.with_net(torch.load(buffer, weights_only=False)).train(5)


def compiled(way: type[Way], kind: str) -> float:
    """Leak in five steps under `torch.compile`, as one graph."""
    session = way(kind).hold()
    torch._dynamo.reset()
    session.forward = torch.compile(session.net, backend="aot_eager", fullgraph=True)
    return session.train(5)


def autocast(way: type[Way], kind: str) -> float:
    """Leak in five steps of training in bfloat16, of the weight as it is there."""
    session = way(kind).hold()
    session.autocast = True
    for _ in range(5):
        session.step()
    session.loss()
    with torch.autocast("cpu", torch.bfloat16):
        weight = session.net.layer.weight.detach().float()
    return session.miss(weight)


def distributed(way: type[Way], kind: str) -> float:
    """Leak in five steps under DistributedDataParallel, in a group of one process."""
    # The group stays: Gloo's thread may need the interpreter just when the group goes, and then
    # either waits for the other for ever.
    if not dist.is_initialized():
        dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    session = way(kind).hold()
    session.forward = nn.parallel.DistributedDataParallel(session.net)
    return session.train(5)


# -- who can be asked ------------------------------------------------------------------------

OURS = {"sk Projection": ProjectionKeeper, "sk Reparametrization": ReparametrizationKeeper}
MASKS: dict[str, type[Way]] = {
    "do it yourself": GradientHook,
    "torch prune": Prune,
    "torch parametrize": Parametrize,
    "nn4n": NN4N,
    "cooper": Cooper,
    **OURS,
}
# The same questions about orthogonal matrices, which is what these two keep.
KEPT = {**MASKS, "geotorch": Geotorch, "geoopt": Geoopt}
NORMS: dict[str, type[Way]] = {
    "do it yourself": FrozenNorm,
    "sk Projection": FrozenNormKeeper,
    "sk Reparametrization": FrozenNormKeeper,
}
SPHERES: dict[str, type[Way]] = {
    "do it yourself": Normalize,
    "torch parametrize": WeightNorm,
    "geotorch": GeotorchSphere,
    "geoopt": GeooptSphere,
    "sk Projection": SphereKeeper,
    "sk Reparametrization": SphereChartKeeper,
}
TALL: dict[str, type[Way]] = {
    "torch parametrize": TallTorchOrthogonal,
    "geotorch": TallGeotorch,
    "sk Projection": TallSphereKeeper,
    "sk Reparametrization": TallSphereChartKeeper,
}


def installed(way: type[Way]) -> bool:
    return not way.needs or find_spec(way.needs) is not None
