"""What a layer that speaks a language costs in each training step, against one that does not.

Run it: `python tests/benchmarks/bench_grammar.py` (four minutes). First each answer of a grammar
alone, on a batch of 64, for random automata of several sizes; beside it the same by a straight-
forward implementation: the batch first, `torch.logsumexp`, and autograd through it. Then a whole
training step, forward, backward and Adam: of a translator through a layer of 7 slots by 16 symbols,
and of a network of one hidden layer whose layer has the larger sizes. In CPU time of one thread. In
every round all sides take turns in a new order; a ratio is to the first side of the same round.
Shown are medians of all rounds.
"""

import argparse
import os
import random
from collections.abc import Callable, Sequence
from statistics import median
from time import thread_time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.constraints.words import Lattice
from shapekeeper.networks import StraightThrough
from shapekeeper.tasks.interlingua import interlingua

BATCH = 64
SIZES = {(7, 10, 16): 1.0, (16, 50, 64): 1.0, (32, 50, 256): 1.0}  # slots, states, symbols: density
SPARSE = {(7, 10, 16): 0.25, (16, 50, 64): 0.1, (32, 50, 256): 0.05}
HIDDEN = 512
Step = Callable[[], object]


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_grammar(
    size: tuple[int, int, int], density: float, alphabet: Sequence[str] = ()
) -> sk.Grammar:
    """A random automaton, of which each state can be reached and reach an end."""
    slots, states, symbols = size
    chance = np.random.default_rng(0)
    names = list(alphabet) or [f"s{i}" for i in range(symbols)]
    steps = {
        (state, name): int(chance.integers(states))
        for state in range(states)
        for i, name in enumerate(names)
        if chance.random() < density or i == 0
    }
    steps |= {(state, names[0]): (state + 1) % states for state in range(states)}
    ends = list(range(0, states, 2))
    return sk.Grammar.from_table(steps, start=0, ends=ends, length=slots, alphabet=names)


class Straightforward:
    """The same sweeps as one writes them down: the batch first, and autograd does the rest."""

    def __init__(self, lattice: Lattice) -> None:
        self.layers = [
            tuple(torch.from_numpy(a) for a in (layer.symbols, layer.targets, layer.open))
            for layer in lattice.layers
        ]

    def ahead(self, s: Tensor, summed: bool) -> tuple[Tensor, list[Tensor]]:
        later, all_steps = s.new_zeros(len(s), 1), []
        for t in reversed(range(len(self.layers))):
            symbols, targets, is_open = self.layers[t]
            steps = (s[:, t][:, symbols] + later[:, targets]).masked_fill(~is_open, -torch.inf)
            all_steps.append(steps)
            later = torch.logsumexp(steps, -1) if summed else steps.amax(-1)
        return later[:, 0], all_steps[::-1]

    def penalty(self, u: Tensor) -> Tensor:
        return -self.ahead(torch.log_softmax(u, -1), True)[0]

    def marginals(self, u: Tensor) -> Tensor:
        """The gradient of the logarithm of the sum."""
        x = u if u.requires_grad else u.detach().requires_grad_()
        with torch.enable_grad():
            total = self.ahead(x, True)[0].sum()
            return torch.autograd.grad(total, x, create_graph=u.requires_grad)[0]

    def word(self, steps: list[Tensor], like: Tensor, drawn: bool) -> Tensor:
        rows = torch.arange(len(like))
        state, word = torch.zeros(len(like), dtype=torch.long), torch.zeros_like(like)
        for t, (symbols, targets, _) in enumerate(self.layers):
            x = steps[t][rows, state]
            best = torch.multinomial(torch.softmax(x, -1), 1)[:, 0] if drawn else x.argmax(-1)
            word[rows, t, symbols[state, best]] = 1.0
            state = targets[state, best]
        return word

    def project(self, u: Tensor) -> Tensor:
        with torch.no_grad():
            word = self.word(self.ahead(u, False)[1], u, False)
        soft = torch.softmax(u, -1)
        return word + soft - soft.detach()

    def from_free(self, u: Tensor) -> Tensor:
        with torch.no_grad():
            word = self.word(self.ahead(u, False)[1], u, False)
        soft = self.marginals(u)
        return word + soft - soft.detach()

    def draw(self, u: Tensor) -> Tensor:
        with torch.no_grad():
            return self.word(self.ahead(u, True)[1], u, True)


def answers(made: sk.Grammar | Straightforward, u: Tensor) -> dict[str, Step]:
    """Each answer forward and backward; a sample forward alone."""
    along = torch.randn(u.shape, generator=draw(1))

    def pulled(f: Callable[[Tensor], Tensor]) -> Step:
        def step() -> None:
            x = u.detach().requires_grad_()
            y = f(x)
            (y.sum() if y.dim() == 1 else (y * along).sum()).backward()

        return step

    def sample() -> Tensor:
        with torch.no_grad():
            return made.draw(u)

    return {
        "penalty": pulled(made.penalty),
        "projection": pulled(made.project),
        "conditioned": pulled(made.from_free),
        "sample": sample,
        "marginals": pulled(made.marginals),
    }


def assert_alike(grammar: sk.Grammar, other: Straightforward, u: Tensor) -> None:
    """Both sides compute the same, or the ratio says nothing."""
    torch.testing.assert_close(grammar.penalty(u), other.penalty(u), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(grammar.marginals(u), other.marginals(u), rtol=0, atol=1e-4)
    torch.testing.assert_close(grammar.project(u), other.project(u))
    assert grammar.allows(other.draw(u)).all()


def seconds(step: Step, repeats: int) -> float:
    step()  # warm caches again: the other sides have just been here
    start = thread_time()
    for _ in range(repeats):
        step()
    return (thread_time() - start) / repeats


def measured(sides: dict[str, Step], rounds: int, least: float = 0.02) -> dict[str, list[float]]:
    """Seconds per step of each side in each round, of as many steps as take `least` seconds."""
    repeats = {name: max(1, round(least / seconds(step, 1))) for name, step in sides.items()}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(sides), len(sides)):
            taken[name].append(seconds(sides[name], repeats[name]))
    return taken


def ratio(taken: list[float], base: list[float]) -> float:
    return median(t / b for t, b in zip(taken, base, strict=True))


def alone(size: tuple[int, int, int], density: float, rounds: int) -> list[str]:
    """A row of the first table: milliseconds, and how many times as fast as straightforward."""
    grammar = random_grammar(size, density)
    u = torch.randn(BATCH, *grammar.shape, generator=draw(0))
    other = Straightforward(grammar.lattice)
    assert_alike(grammar, other, u)
    ours, theirs = answers(grammar, u), answers(other, u)
    sides = ours | {f"straightforward {name}": step for name, step in theirs.items()}
    taken = measured(sides, rounds)
    cells = [
        f"{1e3 * median(taken[name]):.2f} ({ratio(taken[f'straightforward {name}'], times):.1f})"
        for name, times in taken.items()
        if name in ours
    ]
    return ["×".join(map(str, size)), f"{density:g}", f"10^{grammar.bits * 0.30103:.0f}", *cells]


class Net(nn.Module):
    """One hidden layer, the scores of a word, and a reader of the word."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        size = shape[0] * shape[1]
        hidden = [nn.Linear(HIDDEN, HIDDEN), nn.ReLU()]
        self.encoder = nn.Sequential(*hidden, nn.Linear(HIDDEN, size), nn.Unflatten(-1, shape))
        self.speaker = StraightThrough()
        self.reader = nn.Sequential(nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.reader(self.speaker(self.encoder(x)).flatten(-2))


STRATEGIES = [sk.Unconstrained(), sk.Penalty(0.03), sk.Projection(), sk.Reparametrization()]


def training_step(
    net: nn.Module, grammar: sk.Grammar, strategy: sk.Strategy, loss: Callable[[], Tensor]
) -> Step:
    """Forward, backward and Adam with the layer held."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    held = sk.hold(net, {"encoder": grammar}, strategy, optimizer)

    def step() -> None:
        optimizer.zero_grad()
        (loss() + held.penalty()).backward()
        optimizer.step()

    return step


def small_steps(grammar: sk.Grammar) -> dict[str, Step]:
    """Of the network of one hidden layer."""
    x = torch.randn(BATCH, HIDDEN, generator=draw(2))
    y = torch.randint(10, (BATCH,), generator=draw(3))

    def side(strategy: sk.Strategy) -> Step:
        torch.manual_seed(0)
        net = Net(grammar.shape)
        return training_step(net, grammar, strategy, lambda: F.cross_entropy(net(x), y))

    return {strategy.label: side(strategy) for strategy in STRATEGIES}


def translator_steps(grammar: sk.Grammar) -> dict[str, Step]:
    """Of the translator."""
    task = sk.tasks.translation(grammar)
    x, y = (part[:BATCH] for part in task.data_for(0).train)

    def side(strategy: sk.Strategy) -> Step:
        net = task.start_model(0)
        return training_step(net, grammar, strategy, lambda: task.loss(net(x), y))

    return {strategy.label: side(strategy) for strategy in STRATEGIES}


def whole(name: str, sides: dict[str, Step], rounds: int) -> list[str]:
    """A row of the second table: milliseconds of the unconstrained step, and ratios to it."""
    taken = measured(sides, rounds, least=0.05)
    base = taken["Unconstrained"]
    cells = [
        f"{ratio(times, base):.3f}" for side, times in taken.items() if side != "Unconstrained"
    ]
    return [name, f"{1e3 * median(base):.2f}", *cells]


def print_table(title: str, heads: list[str], rows: list[list[str]], markdown: bool) -> None:
    print(f"\n{title}\n")
    wide = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = [[cell.ljust(w) for cell, w in zip(row, wide, strict=True)] for row in [heads, *rows]]
    if markdown:
        lines.insert(1, ["-" * w for w in wide])
    for line in lines:
        print(f"| {' | '.join(line)} |" if markdown else "  ".join(line))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--markdown", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, batch {BATCH}, one thread, load {os.getloadavg()[0]:.1f}")
    cases = [*SIZES.items(), *SPARSE.items()]
    names = ["penalty", "projection", "conditioned", "sample", "marginals"]
    rows = [alone(size, density, asked.rounds) for size, density in cases]
    title = "ms (how many times as fast as straightforward)"
    print_table(title, ["size", "density", "words", *names], rows, asked.markdown)
    labels = [strategy.label for strategy in STRATEGIES[1:]]
    own = interlingua("medium")
    dense = random_grammar((7, 10, 16), 1.0, own.symbols)
    rows = [
        whole("translator, 7×10×16, density 1", translator_steps(dense), asked.rounds),
        whole("translator, its own grammar", translator_steps(own), asked.rounds),
    ]
    for size, density in cases:
        grammar = random_grammar(size, density)
        name = f"hidden layer, {'×'.join(map(str, size))}, density {density:g}"
        rows.append(whole(name, small_steps(grammar), asked.rounds))
    title = "Whole training step: ms of the unconstrained one, and ratios to it"
    print_table(title, ["network", "ms", *labels], rows, asked.markdown)
    print(f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
