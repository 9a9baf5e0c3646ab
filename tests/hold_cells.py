"""One cell of a table: an optimizer, a strategy that promises to hold, and what happens meanwhile.

The network is small, its first weight is held: closed connections and presets. `run_cell` trains it
in a plain loop and looks, at each step, at the weight that the network reads.
"""

import copy
import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import shapekeeper as sk

STEPS = 200
CUTS = (50, 150)  # where training is interrupted: before and after the stages change
MASK = torch.rand(8, 6, generator=torch.Generator().manual_seed(1)) < 0.5
HELD = sk.Connections(MASK, fixed=MASK * (torch.arange(48).view(8, 6) % 5 == 0) * 0.3)

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": partial(torch.optim.SGD, lr=0.1),
    "SGD, momentum, decay": partial(torch.optim.SGD, lr=0.02, momentum=0.9, weight_decay=0.01),
    "Adam, decay": partial(torch.optim.Adam, lr=0.01, weight_decay=0.01),
    "AdamW": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1),
    "NAdam": partial(torch.optim.NAdam, lr=0.01),
    "RAdam": partial(torch.optim.RAdam, lr=0.01),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.01, momentum=0.5),
    "Adagrad": partial(torch.optim.Adagrad, lr=0.05),
    "Adadelta": partial(torch.optim.Adadelta, lr=1.0),
    "Adamax": partial(torch.optim.Adamax, lr=0.01),
    "ASGD": partial(torch.optim.ASGD, lr=0.05),
    "Rprop": partial(torch.optim.Rprop, lr=0.01),
    "Adafactor": partial(torch.optim.Adafactor, lr=0.05),
    "Muon": partial(torch.optim.Muon, lr=0.01),
    "LBFGS": partial(torch.optim.LBFGS, lr=0.1, max_iter=4),
    "SparseAdam": partial(torch.optim.SparseAdam, lr=0.01),
}
HALF = partial(sk.Stage, 0.5)
STRATEGIES: dict[str, sk.Strategy] = {
    "Projection": sk.Projection(),
    "Reparametrization": sk.Reparametrization(),
    "Freeze": sk.Freeze(),
    "free → Projection": sk.Staged(HALF(sk.Unconstrained(start="task")), HALF(sk.Projection())),
    "Penalty → Reparam.": sk.Staged(HALF(sk.Penalty(0.1)), HALF(sk.Reparametrization())),
    "Projection → Freeze": sk.Staged(HALF(sk.Projection()), HALF(sk.Freeze(), rate=0.5)),
}
SITUATIONS = ("plain", "resumed")
OF_ADAMW = ("bf16 autocast", "compiled", "deepcopied", "2 processes")


class Net(nn.Module):
    """6 -> 8 -> 3, matrices alone, since Muon takes nothing else."""

    def __init__(self, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.fc = nn.Linear(6, 8, bias=False, dtype=dtype)
        self.out = nn.Linear(8, 3, bias=False, dtype=dtype)

    def forward(self, x):
        return self.out(torch.tanh(self.fc(x)))


class Table(nn.Module):
    """Eight rows of a table that is looked up: the gradients are sparse."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Embedding(8, 6, sparse=True)

    def forward(self, x):
        return torch.tanh(self.fc(x)).sum(-1)


def batch(step: int, sparse: bool, dtype: torch.dtype = torch.float32):
    """Inputs and targets of one step: a function of the step alone."""
    draw = torch.Generator().manual_seed(step)
    x = torch.randn(16, 6, generator=draw, dtype=torch.float64)
    y = x[:, :3].argmax(1)
    if sparse:
        return torch.randint(8, (16, 4), generator=draw), torch.eye(4)[y % 4]
    return x.to(dtype), y


class Cell:
    """A model, its optimizer and what is held, and how far they have come."""

    def __init__(self, optimizer: str, strategy: str, dtype: torch.dtype = torch.float32):
        self.build, self.strategy = OPTIMIZERS[optimizer], STRATEGIES[strategy]
        self.sparse, self.dtype = optimizer == "SparseAdam", dtype
        self.worst = 0.0
        self.begin()

    def begin(self) -> None:
        torch.manual_seed(0)
        self.model = Table() if self.sparse else Net(self.dtype)
        self.optimizer = self.build(self.model.parameters())
        self.held = sk.hold(
            self.model, {"fc.weight": HELD}, self.strategy, self.optimizer, steps=STEPS
        )
        self.run: Any = self.model

    def take(self, step: int, context: Any = None, part: slice = slice(None)) -> None:
        """One step on a part of its batch; closures serve L-BFGS, which asks again, and others."""
        x, y = (tensor[part] for tensor in batch(step, self.sparse, self.dtype))

        def closure():
            self.optimizer.zero_grad()
            with context or nullcontext():
                prediction = self.run(x).to(self.dtype)
            loss = F.mse_loss(prediction, y) if self.sparse else F.cross_entropy(prediction, y)
            (loss + self.held.penalty()).backward()
            return loss

        self.optimizer.step(closure)
        if step + 1 >= (STEPS // 2 if len(self.strategy.stages()) > 1 else 0):
            violation = HELD.violation(self.model.fc.weight.detach()).item()
            self.worst = max(self.worst, violation, *self.held.violation().values())

    def resume(self) -> None:
        """Save everything, build everything anew, load."""
        file = io.BytesIO()
        parts = [self.model, self.optimizer, self.held]
        torch.save([part.state_dict() for part in parts], file)
        self.begin()
        states = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
        for part, state in zip([self.model, self.optimizer, self.held], states, strict=True):
            part.load_state_dict(state)

    def go_on_as_a_copy(self) -> None:
        """The copy trains on; the original is gone."""
        state = self.optimizer.state_dict()
        self.run = self.model = copy.deepcopy(self.model)
        self.optimizer = self.build(self.model.parameters())
        self.optimizer.load_state_dict(copy.deepcopy(state))
        self.held = sk.Held.of(self.model)


def run_cell(optimizer: str, strategy: str, situation: str = "plain") -> Cell:
    """Train one cell to its end; HoldError where it can't be offered."""
    cell = Cell(optimizer, strategy)
    if situation == "compiled":
        torch._dynamo.reset()
        cell.run = torch.compile(cell.model, backend="aot_eager", fullgraph=True)
    for step in range(STEPS):
        if step in CUTS and situation == "resumed":
            cell.resume()
        if step in CUTS and situation == "deepcopied":
            cell.go_on_as_a_copy()
        bf16 = situation == "bf16 autocast"
        cell.take(step, torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else None)
    return cell


def run_on_two_processes(folder: Path) -> list[dict[str, Any]]:
    """What each process ended at: strategy -> worst violation and state; words of a refusal."""
    script = Path(__file__).with_name("hold_processes.py")
    command = [sys.executable, str(script), str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240)
    if run.returncode:
        raise RuntimeError(run.stderr)
    return [torch.load(folder / f"end{rank}", weights_only=True) for rank in range(2)]
