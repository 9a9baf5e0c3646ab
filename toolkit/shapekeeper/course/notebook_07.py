"""Checks of notebook 07: a layer that speaks a grammar."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from math import exp, isfinite
from typing import Any, NamedTuple

import torch
from torch import Tensor

from shapekeeper.constraints import Grammar
from shapekeeper.course.verdicts import Wrong, attempted, called, exercise, number
from shapekeeper.randomness import generator
from shapekeeper.tasks import interlingua

__all__ = ["Machine"]


class Machine(NamedTuple):
    """States, and arrows between them that carry symbols; a word is a way from start to end.

    Two arrows with one symbol may leave a state, and some ways may lead to where no end can be
    reached.

    Attributes:
        symbols: One character each, in the order of the columns of scores.
        arrows: (state, symbol, next state) each.
        start: The first state.
        ends: Where a word may end.
    """

    symbols: str
    arrows: tuple[tuple[int, str, int], ...]
    start: int
    ends: frozenset[int]

    def after(self, states: Any, symbol: str) -> frozenset[int]:
        """The states that one symbol leads to from any of some states.

        Example:
            >>> Machine("ab", ((0, "a", 1), (0, "a", 2), (1, "b", 2)), 0, frozenset({2})).after(
            ...     {0}, "a"
            ... )
            frozenset({1, 2})
        """
        return frozenset(t for s, v, t in self.arrows if s in states and v == symbol)


def _reached(machine: Machine, word: Sequence[str]) -> frozenset[int]:
    states = frozenset({machine.start})
    for symbol in word:
        states = machine.after(states, symbol)
    return states


def _words(machine: Machine, slots: int) -> list[str]:
    """All words of a length, by trying every string."""
    return [
        "".join(string)
        for string in product(machine.symbols, repeat=slots)
        if _reached(machine, string) & machine.ends
    ]


def _score(scores: Tensor, machine: Machine, word: Sequence[str]) -> float:
    return sum(row[machine.symbols.index(v)].item() for row, v in zip(scores, word, strict=True))


def _ambiguous(machine: Machine) -> bool:
    return len({arrow[:2] for arrow in machine.arrows}) < len(machine.arrows)


class Scored(NamedTuple):
    """Scores for each slot and symbol, and a machine."""

    scores: Tensor
    machine: Machine


def scored(seed: int = 0) -> Scored:
    """A machine drawn at random, and scores for a layer that is to say one of its words.

    Args:
        seed: Which draw.

    Returns:
        Scores `(slots, symbols)`, 3 to 5 slots, and a machine with at least two words of so many
        symbols, with a dead end, and of odd seeds with two arrows of one symbol somewhere.

    Example:
        >>> scores, machine = scored()
        >>> scores.shape, machine.symbols
        (torch.Size([4, 3]), 'abc')
    """
    draw = generator(seed, "course/machines")

    def below(n: int) -> int:
        return int(torch.randint(n, (), generator=draw))

    while True:
        symbols, states, slots = "abcd"[: 3 + seed % 2], 3 + below(3), 3 + (seed + 1) % 3
        arrows = {
            (s, v): below(states)
            for s, v in product(range(states), symbols)
            if torch.rand((), generator=draw) < 0.6
        }
        several = [(s, v, t) for (s, v), t in arrows.items()]
        if seed % 2:
            s, v, t = several[below(len(several))] if several else (0, "a", 0)
            several.append((s, v, (t + 1) % states))
        machine = Machine(symbols, tuple(several), 0, frozenset({below(states)}))
        words = _words(machine, slots)
        if len(words) > 1 and _has_dead_end(machine, words):
            scores = torch.randn(slots, len(symbols), generator=draw, dtype=torch.float64)
            return Scored(2 * scores, machine)


def _has_dead_end(machine: Machine, words: list[str]) -> bool:
    """Whether some way goes on for a while, and no word begins so."""
    starts = {word[:k] for word in words for k in range(len(word) + 1)}
    return any(
        machine.after(_reached(machine, start), v) and start + v not in starts
        for start in starts
        if len(start) < len(words[0])
        for v in machine.symbols
    )


def _instances(count: int = 50) -> Iterator[Scored]:
    for seed in range(1, count + 1):
        yield scored(seed)


# 07.1


@exercise("07.1", example=scored)
def best(function) -> str:
    """The legal word with the highest sum of scores."""
    given = [(scores, machine) for s, machine in _instances() for scores in (s, s.flip(0))]
    answers = [attempted(function, scores.clone(), machine) for scores, machine in given]
    nothing = sum(answer is None or answer is ... for answer in answers)
    if nothing == len(answers):
        called(function, given[0][0].clone(), given[0][1])
    if nothing:
        raise Wrong(
            f"You return nothing for {nothing} of {len(answers)} inputs. Each machine has words; "
            "find the best of them.",
            "a word for every input",
            f"{len(answers) - nothing} words",
        )
    for (scores, machine), answer in zip(given, answers, strict=True):
        _judge_word(scores, machine, _spelled(answer, machine))
    twofold = sum(_ambiguous(machine) for _, machine in given)
    return (
        f"As by enumeration, on {len(given)} inputs. In {twofold} of them a word may have two "
        "paths, and you need not care: the best of two equal sums is that sum. All one-hot words "
        "are equally long, so the best word is also the one nearest to the scores."
    )


def _spelled(answer: Any, machine: Machine) -> str:
    try:
        word = [str(symbol) for symbol in answer]
    except TypeError as error:
        raise Wrong(
            "This is no word.", "symbols, such as 'abc'", f"a {type(answer).__name__}"
        ) from error
    if strange := [symbol for symbol in word if symbol not in [*machine.symbols]]:
        raise Wrong(
            "This symbol is not in the alphabet. Return the symbols, not their numbers.",
            f"symbols of {machine.symbols!r}",
            repr(strange[0]),
        )
    return "".join(word)


def _judge_word(scores: Tensor, machine: Machine, word: str) -> None:
    slots = len(scores)
    words = _words(machine, slots)
    top = max(words, key=lambda w: _score(scores, machine, w))
    for k in range(1, len(word) + 1):
        if not any(w.startswith(word[:k]) for w in words):
            raise Wrong(
                f"Slot {k} chose `{word[k - 1]}`, after which no legal word can be finished.",
                f"{top!r}, one of {len(words)} words of {slots} symbols",
                repr(word),
            )
    if len(word) != slots:
        raise Wrong("The word has another length.", f"{slots} symbols", f"{len(word)}")
    gap = _score(scores, machine, top) - _score(scores, machine, word)
    if gap > 1e-9:
        raise Wrong(
            f"Legal, but another word has {gap:.2f} more. What is best in one slot may be dear in "
            "the slots after it.",
            repr(top),
            repr(word),
        )


# 07.2

EQUAL = Machine("01", ((0, "0", 1), (0, "1", 2), (1, "0", 3), (2, "1", 3)), 0, frozenset({3}))


def _chance(logits: Tensor, machine: Machine) -> float:
    """The sum over all words, one after the other."""
    logs = torch.log_softmax(logits, -1)
    words = _words(machine, len(logits))
    return sum(exp(_score(logs, machine, w)) for w in words)


def _by_paths(logits: Tensor, machine: Machine) -> float:
    """The sum over paths, which counts a word once for each path that it has."""
    p = torch.softmax(logits, -1)
    ways = {machine.start: 1.0}
    for row in p:
        onward: dict[int, float] = {}
        for s, v, t in machine.arrows:
            share = ways.get(s, 0.0) * float(row[machine.symbols.index(v)])
            onward[t] = onward.get(t, 0.0) + share
        ways = onward
    return float(sum(ways.get(s, 0.0) for s in machine.ends))


@exercise("07.2", example=scored)
def chance(function) -> str:
    """The probability that slots drawn one by one make a legal word."""
    uniform = torch.zeros(2, 2, dtype=torch.float64)
    got = number(called(function, uniform.clone(), EQUAL))
    if abs(got - 1) < 1e-9:
        raise Wrong(
            f"You get {got:.1f}; 01 is not a word. Each symbol occurs in some word, but not "
            "together with every other.",
            "0.5 for two slots, words 00 and 11, all symbols equally likely",
            f"{got:.3f}",
        )
    worst = 0.0
    for logits, machine in [(uniform, EQUAL), *_instances()]:
        found, right = number(called(function, logits.clone(), machine)), _chance(logits, machine)
        if not isfinite(found) or abs(found - right) > 1e-6:
            raise _why_not_chance(function, logits, machine, found, right)
        worst = max(worst, abs(found - right))
    return (
        f"As by enumeration on 51 machines, off by {worst:.0e} at most. For the words 00 and 11 it "
        "is ½, so that the penalty −log P(legal) is ln 2 = 0.69. And each machine was summed once "
        "for each word, though some words have two paths."
    )


def _why_not_chance(
    function: Callable, logits: Tensor, machine: Machine, found: float, right: float
) -> Wrong:
    wanted, got = f"{right:.4f}", f"{found:.4f}"
    if abs(found - _by_paths(logits, machine)) < 1e-6:
        # The largest "probability" of all machines says it best.
        most = max(number(called(function, lo.clone(), m)) for lo, m in _twofold())
        return Wrong(f"{most:.2f} is no probability: one word, two paths. Count each word once.",
                     wanted, got)  # fmt: skip
    if isfinite(found) and found <= 0 and abs(exp(found) - right) < 1e-6:
        return Wrong("That is the logarithm of the chance.", wanted, got)
    if abs(found - _unnormalized(logits, machine)) < 1e-6 * (1 + found):
        return Wrong("The scores of a slot are logits: softmax makes chances of them.", wanted, got)
    kind = "It can't be below 0 or above 1." if not 0 <= found <= 1 else "It is another number."
    return Wrong(f"{kind} Of {len(machine.symbols) ** len(logits)} strings, "
                 f"{len(_words(machine, len(logits)))} are words here.", wanted, got)  # fmt: skip


def _unnormalized(logits: Tensor, machine: Machine) -> float:
    scores = [_score(logits, machine, w) for w in _words(machine, len(logits))]
    return float(torch.tensor(scores, dtype=torch.float64).exp().sum())


def _twofold() -> Iterator[Scored]:
    """Machines in which most words have two paths, with scores that like these words."""
    doubled = Machine("ab", ((0, "a", 1), (0, "a", 2), (1, "b", 3), (2, "b", 3), (0, "b", 1)), 0,
                      frozenset({3}))  # fmt: skip
    yield Scored(torch.tensor([[2.0, 0.0], [0.0, 2.0]]).double(), doubled)
    yield from (each for each in _instances() if _ambiguous(each.machine))


# 07.3

LEAST, MOST = 1856, 7424
READABLE = 300_000  # words that a check looks at one by one


@exercise("07.3")
def slack(grammar) -> str:
    """A grammar with 2 to 4 bits more than the 464 meanings, whose verbs agree."""
    if not isinstance(grammar, Grammar):
        raise Wrong("This is no grammar.", "a Grammar", f"a {type(grammar).__name__}")
    tight = interlingua("tight")
    if grammar.count > READABLE:
        raise Wrong("Far too roomy.", _counts(), f"{grammar.count:,} words")
    words = list(grammar.lattice.words())
    if free := _free_slot(words, len(grammar.symbols)):
        raise Wrong(
            f"Roomy in the wrong place: {len(grammar.symbols)} ways to say each meaning, and none "
            "of them helps the encoder tell two meanings apart. Relax a rule instead.",
            "every slot says something",
            f"slot {free} may hold any symbol, whatever the others hold",
        )
    if grammar.length != tight.length or set(grammar.symbols) != set(tight.symbols):
        raise Wrong(
            "The layer has another shape.",
            f"{tight.length} slots, symbols {' '.join(tight.symbols)}",
            f"{grammar.length} slots, symbols {' '.join(grammar.symbols)}",
        )
    missing = [w for w in tight.lattice.words() if w not in set(words)] if words else []
    if missing:
        raise Wrong(
            f"`{' '.join(missing[0])}` is a meaning, and can't be said.",
            "all 464 meanings",
            f"{464 - len(missing)}",
        )
    if quarrel := [w for w in words if not _agrees(w)]:
        agent, one, _, other, *_ = quarrel[0]
        raise Wrong(
            f"`{agent} {one} … {other}` is now legal: verb and agent no longer agree.",
            "every word agrees",
            f"{len(quarrel):,} of {len(words):,} words do not",
        )
    if not LEAST <= grammar.count <= MOST:
        why = "Too few: relax one more rule." if grammar.count < LEAST else "Too many."
        medium = " (That is the medium grammar.)" if grammar == interlingua("medium") else ""
        raise Wrong(why + medium, _counts(), _told_count(grammar))
    return (
        f"{grammar.count:,} words, {_bits(grammar):.1f} bits of slack, and all agree. "
        "`sk.tasks.translation(my_grammar)` trains a translator that speaks it."
    )


def _counts() -> str:
    return f"{LEAST:,} to {MOST:,} words (2 to 4 bits of slack)"


def _bits(grammar: Grammar) -> float:
    return grammar.bits - interlingua("tight").bits


def _told_count(grammar: Grammar) -> str:
    return f"{grammar.count:,} words, {_bits(grammar):.1f} bits"


def _agrees(word: Sequence[str]) -> bool:
    """Whether the verb has the number of the agent."""
    return word[1] in ("sg", "pl") and word[1] == word[3]


def _free_slot(words: list[tuple[str, ...]], symbols: int) -> int | None:
    """A slot that may hold any symbol whatever the others hold, counted from 1."""
    for k in range(len(words[0])):
        others = {word[:k] + word[k + 1 :] for word in words}
        if len(others) * symbols == len(words):
            return k + 1
    return None


# 07.4

DRAWN = 100_000


class Row(NamedTuple):
    """The weights of one node, its bias, and the ends of its range."""

    w: Tensor
    bias: Tensor
    a: float
    b: float


def row(seed: int = 0, inputs: int = 3, size: float = 2.0) -> Row:
    """A node after a tanh layer, drawn at random, with its bias inside of the range.

    Args:
        seed: Which draw.
        inputs: How many weights.
        size: Their standard deviation.

    Returns:
        Weights `(inputs,)`, bias `()`, and the ends a < b.

    Example:
        >>> w, bias, a, b = row()
        >>> w.shape, bool(a < bias < b)
        (torch.Size([3]), True)
    """
    draw = generator(seed, "course/rows", inputs)
    w = size * torch.randn(inputs, generator=draw, dtype=torch.float64)
    a = float(torch.randn((), generator=draw))
    b = a + 0.5 + 2 * float(torch.rand((), generator=draw))
    bias = a + (b - a) * (0.1 + 0.8 * torch.rand((), generator=draw, dtype=torch.float64))
    return Row(w, bias, a, b)


def _rows() -> Iterator[Row]:
    yield Row(torch.tensor([1.0, -2.0, 1.5]).double(), torch.tensor(0.4).double(), 0.0, 1.0)
    for seed in range(1, 21):
        yield row(seed, 1 + seed % 7, size=0.02 if seed % 4 == 0 else 2.0)


@exercise("07.4", example=row)
def bounded(function) -> str:
    """A row scaled so that its node can't leave a range, whatever tanh gives it."""
    changed = 0
    for k, (w, bias, a, b) in enumerate(_rows()):
        found = _row_of(called(function, w.clone(), bias.clone(), a, b), w, k)
        signs = torch.where(found < 0, -1.0, 1.0).double()
        reach = found.abs().sum()
        high, low = float(bias + reach), float(bias - reach)
        if high > b + 1e-9 or low < a - 1e-9:
            corner, value = (signs, high) if high > b + 1e-9 else (-signs, low)
            told = ", ".join(f"{x:.0f}".replace("-", "−") for x in corner.tolist())
            raise Wrong(
                f"The corner ({told}) gives {value:.2g}.", f"from {a:.3g} to {b:.3g}",
                f"{value:.3g}",
            )  # fmt: skip
        room = min(float(bias) - a, b - float(bias))
        right = w * min(1.0, room / float(w.abs().sum()))
        if torch.allclose(found, right, atol=1e-9):
            changed += not torch.allclose(right, w)
            _drawn_inside(found, bias, a, b, seed=k)
            continue
        if torch.allclose(right, w):
            raise Wrong("This row was safe already; leave it.", _numbers(w), _numbers(found))
        across = found - (found @ w) / (w @ w) * w
        if across.norm() > 1e-9:
            raise Wrong("Safe, but the row points elsewhere: the weights do not share one factor.",
                        _numbers(right), _numbers(found))  # fmt: skip
        raise Wrong("Safe, but smaller than it must be.", _numbers(right), _numbers(found))
    return (
        f"{DRAWN:,} inputs each, and the corners; {changed} rows had to shrink. It holds for every "
        "input there is, without looking at any: a certificate. It costs something: rows that use "
        "their whole reach at one corner only."
    )


def _row_of(answer: Any, w: Tensor, k: int) -> Tensor:
    if callable(answer):
        flat = _share_without_slope()
        raise Wrong(
            f"True for the output, but {flat:.0%} of such nodes' values lie where the clamp is "
            "flat, and learn nothing from there. Shrink the row, not the output.",
            "new weights",
            "a function",
        )
    try:
        found = torch.as_tensor(answer).detach().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong("Return the new weights.", f"shape {tuple(w.shape)}",
                    f"a {type(answer).__name__}") from error  # fmt: skip
    if found.shape != w.shape or not found.isfinite().all():
        raise Wrong("Return the new weights.", f"finite, shape {tuple(w.shape)}",
                    f"shape {tuple(found.shape)} for row {k + 1}")  # fmt: skip
    return found


def _share_without_slope() -> float:
    """Of the values of the nodes that are tried, the share that a clamp would move."""
    out = []
    for k, (w, bias, a, b) in enumerate(_rows()):
        values = _inputs(k, len(w), 2000) @ w + bias
        out.append(((values < a) | (values > b)).double().mean())
    return float(torch.stack(out).mean())


def _inputs(seed: int, width: int, count: int) -> Tensor:
    draw = generator(seed, "course/tanh", width)
    return torch.tanh(2 * torch.randn(count, width, generator=draw, dtype=torch.float64))


def _drawn_inside(w: Tensor, bias: Tensor, a: float, b: float, seed: int) -> None:
    values = _inputs(seed, len(w), DRAWN) @ w + bias
    if values.min() < a - 1e-9 or values.max() > b + 1e-9:
        raise Wrong("An input drawn at random leaves the range.", f"from {a:.3g} to {b:.3g}",
                    f"{values.min():.3g} to {values.max():.3g}")  # fmt: skip


def _numbers(w: Tensor) -> str:
    return f"({', '.join(f'{x:.3g}' for x in w.tolist())})"


# 07.5


class Heard(NamedTuple):
    """What a network said to sentences, and what they mean."""

    words: list[str]
    meanings: list[str]


def heard(seed: int = 0, meanings: int = 8, merged: int = 3, paraphrases: int = 3) -> Heard:
    """Words that a network might say, some of them to several meanings.

    Args:
        seed: Which draw.
        meanings: How many different meanings there are.
        merged: How many of them have to share a word with another one.
        paraphrases: How many sentences each has, at least; some have one more.

    Returns:
        The word and the meaning of each sentence.

    Example:
        >>> words, meanings = heard()
        >>> len(set(words)), len(set(meanings))
        (5, 8)
    """
    draw = generator(seed, "course/heard", meanings)
    spoken = sorted({f"{a}{b}{c}" for a, b, c in product("bdgk", "aeiou", "lmnrst")})
    order = torch.randperm(len(spoken), generator=draw).tolist()
    kept = meanings - merged
    says = [spoken[order[m if m < kept else m % kept]] for m in range(meanings)]
    sentences = [m for m in range(meanings) for _ in range(paraphrases + m % 2)]
    mixed = [sentences[i] for i in torch.randperm(len(sentences), generator=draw).tolist()]
    return Heard([says[m] for m in mixed], [f"meaning {m}" for m in mixed])


NETWORKS = {
    "A": (1, 20, 0, 6),
    "B": (2, 24, 11, 4),
    "C": (3, 30, 29, 2),
    "D": (4, 18, 1, 3),
    "E": (5, 40, 20, 1),
}


@exercise("07.5", example=heard)
def told_apart(function) -> str:
    """How many different words there are for each different meaning."""
    tables = {name: heard(*kind) for name, kind in NETWORKS.items()}
    found = {
        name: number(called(function, list(t.words), list(t.meanings)))
        for name, t in tables.items()
    }
    right = {name: len(set(t.words)) / len(set(t.meanings)) for name, t in tables.items()}
    wrong = [name for name in tables if not abs(found[name] - right[name]) < 1e-6]
    if wrong:
        raise _why_not_apart(found, right, tables, wrong[0])
    worst = sorted(right, key=lambda name: right[name])[:3]
    told = ", ".join(f"{name} {right[name]:.2f}" for name in worst)
    return (
        f"All five are 100 % legal; three have collapsed ({told}). Where the paraphrases of one "
        "meaning get different words, count the most frequent one of each meaning: so does "
        "`sk.tasks.distinct_words`."
    )


def _why_not_apart(
    found: dict[str, float], right: dict[str, float], tables: dict[str, Heard], name: str
) -> Wrong:
    wanted = f"{right[name]:.3f} for network {name}"
    got = f"{found[name]:.3f}"
    words = {n: len(set(t.words)) for n, t in tables.items()}
    if all(abs(found[n] - words[n] / len(tables[n].words)) < 1e-6 for n in tables):
        return Wrong(
            "Paraphrases *should* share a word; you punish network A for understanding.",
            wanted, got,
        )  # fmt: skip
    if all(abs(found[n] - (1 - right[n])) < 1e-6 for n in tables):
        return Wrong("The other way round: 1 is for a word of its own for each meaning.",
                     wanted, got)  # fmt: skip
    if all(abs(found[n] - words[n]) < 1e-6 for n in tables):
        return Wrong("How many different things are there to say? Divide by that.", wanted, got)
    sizes = [words[n] / found[n] for n in tables if found[n] > 0]
    if len(sizes) == len(tables) and all(abs(x - y) < 1e-6 * x for x, y in pairwise(sizes)):
        return Wrong(
            f"You divide by {sizes[0]:.0f}, whatever there is to say. A roomy grammar is never "
            "used up.",
            wanted, got,
        )  # fmt: skip
    return Wrong("It is another number.", wanted, got)
