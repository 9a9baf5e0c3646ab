"""Languages of which all words are known, and what follows of a list of all words."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

import shapekeeper as sk

PAD = "·"
Word = tuple[str, ...]


@dataclass(frozen=True)
class Language:
    """A grammar, and its words as found without it."""

    kind: str
    grammar: sk.Grammar
    words: frozenset[Word]  # without padding

    @property
    def rows(self) -> np.ndarray:
        """Numbers of the symbols of all words, padded, `(words, length)`."""
        grammar = self.grammar
        where = {symbol: i for i, symbol in enumerate(grammar.symbols)}
        full = [w + (PAD,) * (grammar.length - len(w)) for w in sorted(self.words)]
        return np.array([[where[v] for v in word] for word in full])

    @property
    def tensors(self) -> Tensor:
        """All words as one-hot tensors in double precision, `(words, length, symbols)`."""
        eye = torch.eye(len(self.grammar.symbols), dtype=torch.float64)
        return eye[torch.from_numpy(self.rows)]


class Enumerated:
    """What a grammar answers, by a sum over the list of all words."""

    def __init__(self, words: Tensor) -> None:
        self.words = words

    def sums(self, scores: Tensor) -> Tensor:
        return torch.einsum("...lv,wlv->...w", scores, self.words)

    def best(self, scores: Tensor) -> Tensor:
        return self.words[self.sums(scores).argmax(-1)]

    def log_probability(self, scores: Tensor) -> Tensor:
        return torch.logsumexp(self.sums(torch.log_softmax(scores, -1)), -1)

    def chances(self, scores: Tensor) -> Tensor:
        return torch.softmax(self.sums(scores), -1)

    def marginals(self, scores: Tensor) -> Tensor:
        return torch.einsum("...w,wlv->...lv", self.chances(scores), self.words)

    def changes(self, scores: Tensor) -> Tensor:
        """Slots in which the largest entries differ from the nearest word."""
        read, said = scores.argmax(-1), self.words.argmax(-1)
        return (read[..., None, :] != said).sum(-1).amin(-1)


def number_of(words: Tensor) -> Tensor:
    """One number for each one-hot word."""
    digits = words.argmax(-1)
    return (digits * words.shape[-1] ** torch.arange(words.shape[-2])).sum(-1)


def frequencies(drawn: Tensor, words: Tensor) -> Tensor:
    """How often each of the words was drawn; one that is not among them is an error."""
    numbers, order = number_of(words).sort()
    at = torch.searchsorted(numbers, number_of(drawn)).clamp(max=len(numbers) - 1)
    assert torch.equal(numbers[at], number_of(drawn)), "a word that is not in the language"
    found = torch.zeros(len(words), dtype=torch.float64)
    return found.index_add(0, order[at], torch.ones(len(at), dtype=torch.float64)) / len(at)


def too_far(chances: Tensor, draws: int, risk: float = 1e-9) -> float:
    """A total variation that frequencies of correct draws exceed with less than this risk.

    Its mean is at most half the sum of the standard deviations; one draw moves it by at most
    1 / draws, so it exceeds the mean by more only as C. McDiarmid (1989) bounds.
    """
    mean = 0.5 * (chances * (1 - chances) / draws).clamp(min=0).sqrt().sum()
    return float(mean) + float(np.sqrt(np.log(1 / risk) / (2 * draws)))


# Random languages


def random_language(seed: int) -> Language:
    """One of five kinds in turn, of at most five slots and four symbols; few have one word."""
    draw = np.random.default_rng(seed)
    while True:
        made = KINDS[seed % len(KINDS)](draw)
        if made is not None and (len(made.words) > 3 or draw.random() < 0.1):
            return made


def _sizes(draw: np.random.Generator) -> tuple[list[str], int, bool]:
    symbols = list("abcd"[: draw.choice([1, 2, 3, 4], p=[0.1, 0.3, 0.3, 0.3])])
    return symbols, int(draw.integers(1, 6)), bool(draw.integers(2))


def _accepted(symbols: Iterable[str], lengths: Iterable[int], accepts: Callable) -> frozenset[Word]:
    every = (word for length in lengths for word in product(symbols, repeat=length))
    return frozenset(word for word in every if accepts(word))


def _lengths(length: int, up_to: bool) -> range:
    return range(1 if up_to else length, length + 1)


def _table(draw: np.random.Generator, density: float) -> Language | None:
    symbols, length, up_to = _sizes(draw)
    count = int(draw.integers(1, 7))
    steps = {
        (state, symbol): int(draw.integers(count))
        for state in range(count)
        for symbol in symbols
        if draw.random() < density
    }
    ends = [state for state in range(count) if draw.random() < 0.4]

    def accepts(word: Word) -> bool:
        state: int | None = 0
        for symbol in word:
            state = None if state is None else steps.get((state, symbol))
        return state in ends

    words = _accepted(symbols, _lengths(length, up_to), accepts)
    named = {state for (state, _), target in steps.items() for state in (state, target)} | {0}
    if not words:
        return None
    machine = sk.constraints.Automaton(
        steps, start=0, ends=[end for end in ends if end in named], symbols=symbols
    ).trimmed()
    grammar = sk.Grammar.from_table(
        machine.steps, start=0, ends=machine.ends, length=length, up_to=up_to, alphabet=symbols
    )
    return Language("dense table" if density > 0.6 else "sparse table", grammar, words)


def random_pattern(draw: np.random.Generator, symbols: list[str], depth: int) -> str:
    """A regular expression that Python's `re` reads too."""
    kind = draw.integers(7) if depth else draw.integers(3)
    if kind <= 1:
        return str(draw.choice(symbols))
    if kind == 2:
        picked = "".join(draw.choice(symbols, size=draw.integers(1, 3)))
        return str(draw.choice([".", f"[{picked}]", f"[{symbols[0]}-{symbols[-1]}]"]))
    parts = [random_pattern(draw, symbols, depth - 1) for _ in range(draw.integers(1, 4))]
    if kind <= 4:
        return f"({'|'.join(parts)})"
    if kind == 5:
        return "".join(parts)
    sign = draw.choice(["*", "+", "?", "{2}", "{1,}", "{0,2}"])
    return f"({''.join(parts)}){sign}"


def _pattern(draw: np.random.Generator) -> Language | None:
    symbols, length, up_to = _sizes(draw)
    pattern = random_pattern(draw, symbols, depth=3)
    reads = re.compile(pattern)
    words = _accepted(symbols, range(1, 6), lambda word: reads.fullmatch("".join(word)))
    if not words:
        return None
    if not up_to:  # few patterns have words of any one length
        length = int(draw.choice(sorted({len(word) for word in words})))
    words = frozenset(word for word in words if len(word) in _lengths(length, up_to))
    if not words:
        return None
    grammar = sk.Grammar(pattern, length=length, up_to=up_to, alphabet=symbols)
    return Language("pattern", grammar, words)


def derived(rules: dict[str, list[str]], start: str, longest: int) -> frozenset[Word]:
    """All words of rules up to a length: what the rules say, again and again until no more come."""
    found: dict[str, set[Word]] = {name: set() for name in rules}
    while True:
        before = sum(map(len, found.values()))
        for name, alternatives in rules.items():
            for alternative in alternatives:
                so_far: set[Word] = {()}
                for symbol in alternative.split():
                    onward = found.get(symbol, {(symbol,)})
                    so_far = {a + b for a in so_far for b in onward if len(a + b) <= longest}
                found[name] |= so_far
        if sum(map(len, found.values())) == before:
            return frozenset(found[start])


def _rules(draw: np.random.Generator) -> Language | None:
    symbols, length, up_to = _sizes(draw)
    names = ["S", "A", "B"][: draw.integers(1, 4)]

    def alternative(name: str) -> str:
        size = draw.choice([0, 1, 2, 3], p=[0.1, 0.3, 0.4, 0.2])
        picked = [str(draw.choice(symbols + names)) for _ in range(size)]
        if draw.random() < 0.2:
            picked = [name, *picked]  # left-recursive
        return " ".join(picked)

    rules = {name: [alternative(name) for _ in range(draw.integers(1, 4))] for name in names}
    lengths = _lengths(length, up_to)
    words = frozenset(w for w in derived(rules, "S", length) if len(w) in lengths)
    used = {symbol for word in words for symbol in word}
    if not words or not used:
        return None
    known = {symbol for listed in rules.values() for a in listed for symbol in a.split()}
    alphabet = [symbol for symbol in symbols if symbol in known]
    grammar = sk.Grammar.from_rules(rules, length=length, up_to=up_to, alphabet=alphabet)
    return Language("rules", grammar, words)


def _list(draw: np.random.Generator) -> Language:
    symbols, length, up_to = _sizes(draw)
    sizes = draw.integers(1 if up_to else length, length + 1, size=draw.integers(1, 30))
    words = frozenset(tuple(str(v) for v in draw.choice(symbols, size=size)) for size in sizes)
    return Language("words", sk.Grammar.from_words(words, alphabet=symbols), words)


KINDS: list[Callable[[np.random.Generator], Language | None]] = [
    lambda draw: _table(draw, 0.9),
    lambda draw: _table(draw, 0.4),
    _pattern,
    _rules,
    _list,
]
