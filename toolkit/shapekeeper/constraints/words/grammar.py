"""Words of a language: what a layer may say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from ..constraint import Constraint, ConstraintError
from .automaton import Automaton, State, Step, alphabet_problems
from .lattice import PAD, Lattice, Source
from .patterns import pattern_symbols
from .rules import read_rules, rules_source, terminals
from .scores import check_finite, one_hot
from .sweeps import best_word, draw_word, legal_share, marginals

__all__ = ["Grammar"]

Word: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, init=False, repr=False)
class Grammar(Constraint):
    """Words of a language, one symbol in each slot of a layer.

    A value is a word where each slot is one-hot; scores `(length, symbols)` are what a layer gives
    before. As all words have the same norm, the word nearest to scores is the one whose symbols
    have the largest sum, found by one sweep over an automaton (A. J. Viterbi 1967, Error bounds for
    convolutional codes and an asymptotically optimum decoding algorithm). The chance that a word
    drawn slot by slot is legal, and each symbol's share of the legal ones, come from the same sweep
    with a sum in place of the maximum (L. E. Baum et al. 1970, A maximization technique occurring
    in the statistical analysis of probabilistic functions of Markov chains).

    Derivatives of words are surrogates. That of `project` is the straight-through softmax of each
    slot by itself, blind to the language (Y. Bengio, N. Léonard and A. Courville 2013, Estimating
    or propagating gradients through stochastic neurons for conditional computation); that of
    `from_free`, which `Reparametrization` uses, is of the marginals of the words that are legal
    (K. Ahmed et al. 2023, SIMPLE: a gradient estimator for k-subset sampling). Forward, both give
    the same word. Scores must be finite.

    Args:
        pattern: A regular expression, read by `Automaton.from_pattern`. `from_table`, `from_words`
            and `from_rules` take other forms.
        length: Slots of the layer.
        up_to: Whether shorter words, of at least one symbol, are allowed too; the slots after them
            hold the symbol "·".
        alphabet: The symbols in the order of the layer's last axis; by default those that occur,
            sorted.

    Attributes:
        symbols: The last axis of a word; with `up_to` "·" is the last of them.
        count: How many words there are, exactly.
        bits: Logarithm of that to base 2.
        lattice: All words as ways through layers of states.

    Raises:
        ConstraintError: If the pattern can't be read, no word has the length, or there are too many
            states.
        ImportError: For a pattern without pyformlang: `pip install 'shapekeeper[grammar]'`.

    Example:
        >>> grammar = Grammar("(ab)*c", length=9, up_to=True)
        >>> grammar.count, grammar.symbols
        (5, ('a', 'b', 'c', '·'))
        >>> scores = grammar.encode(["abaac"])
        >>> grammar.violation(scores), grammar.decode(grammar.project(scores))
        (tensor([1.]), [('a', 'b', 'a', 'b', 'c')])
    """

    form: str
    source: Any
    length: int
    up_to: bool
    alphabet: tuple[str, ...]

    event_dims: ClassVar[int] = 2  # type: ignore[misc]  # a constant here, a property elsewhere
    unit: ClassVar[str] = "symbols"
    graded: ClassVar[bool] = False

    def __init__(
        self,
        pattern: str,
        *,
        length: int,
        up_to: bool = False,
        alphabet: Iterable[str] | None = None,
    ) -> None:
        automaton = Automaton.from_pattern(pattern, alphabet)
        self._become("pattern", pattern, length, up_to, automaton.symbols, _walk(automaton))

    @classmethod
    def from_table(
        cls,
        steps: Mapping[tuple[Any, str], State] | Iterable[Step],  # keys are invariant
        *,
        start: State,
        ends: State | Iterable[State],
        length: int,
        up_to: bool = False,
        alphabet: Iterable[str] | None = None,
    ) -> Grammar:
        """The language of an automaton.

        Args:
            steps: `{(state, symbol): state}`, or triples (state, symbol, state).
            start: The state in which words begin.
            ends: Where they may end; one state or several.
            length: Slots of the layer.
            up_to: Whether shorter words are allowed too.
            alphabet: The symbols in their order.

        Returns:
            The grammar.

        Raises:
            ConstraintError: If the table is no deterministic automaton, or has states that are in
                no word (`Automaton.trimmed` is without them); all problems at once.

        Example:
            >>> Grammar.from_table({(0, "a"): 1, (1, "b"): 0}, start=0, ends=[0], length=4).count
            1
        """
        automaton = Automaton(steps, start=start, ends=ends, symbols=alphabet)
        problems = [
            f"State {state} is never reached from the start. Leave it out, or add a step to it."
            for state in automaton.unreachable
        ] + [
            f"State {state} cannot reach an end. Leave it out, or add a step to an end."
            for state in automaton.stuck
            if state not in automaton.unreachable
        ]
        if problems:
            raise ConstraintError(" ".join(problems))
        made = cls.__new__(cls)
        source = (automaton.steps, automaton.start, automaton.ends)
        made._become("table", source, length, up_to, automaton.symbols, _walk(automaton))
        return made

    @classmethod
    def from_words(
        cls, words: Iterable[str | Iterable[str]], *, alphabet: Iterable[str] | None = None
    ) -> Grammar:
        """A list of words; where their lengths differ, the shorter ones are padded.

        Args:
            words: Texts, whose symbols are single characters or, if any text has blanks, what
                stands between them; or sequences of symbols.
            alphabet: The symbols in their order; by default those that occur, sorted.

        Returns:
            The grammar; its length is that of the longest word.

        Raises:
            ConstraintError: If there is no word, an empty one, or a symbol that is not in the
                alphabet.

        Example:
            >>> Grammar.from_words(["ab", "ba", "a"]).symbols
            ('a', 'b', '·')
        """
        given = list(words)
        by_blanks = any(isinstance(word, str) and " " in word.strip() for word in given)
        listed = [_symbols_of(word, by_blanks) for word in given]
        if not listed or not all(listed):
            raise ConstraintError(
                f"Wanted words of at least one symbol, got {'an empty one' if listed else 'none'}."
            )
        listed = sorted(set(listed))
        found = sorted({symbol for word in listed for symbol in word})
        symbols = tuple(found if alphabet is None else alphabet)
        _refuse_foreign(found, symbols)
        lengths = {len(word) for word in listed}
        made = cls.__new__(cls)
        made._become(
            "words", tuple(listed), max(lengths), len(lengths) > 1, symbols, _prefixes(listed)
        )
        return made

    @classmethod
    def from_rules(
        cls,
        rules: Mapping[str, Iterable[Any] | str],
        *,
        length: int,
        start: str | None = None,
        up_to: bool = False,
        alphabet: Iterable[str] | None = None,
    ) -> Grammar:
        """The words of context-free rules that have the length.

        Args:
            rules: Name -> alternatives, each a text of names and symbols between blanks.
            length: Slots of the layer.
            start: The name that words come from; by default the first.
            up_to: Whether shorter words are allowed too.
            alphabet: The symbols in their order; by default those without a rule, sorted.

        Returns:
            The grammar. Rules may be ambiguous and left-recursive: a word counts once.

        Raises:
            ConstraintError: If there is no such word, the start has no rule, a symbol is not in the
                alphabet, or too many states are needed.

        Example:
            >>> Grammar.from_rules({"S": ["( S )", "S S", "( )"]}, length=6).count
            5
        """
        read = read_rules(rules)
        first = read[0][0] if start is None else start
        if first not in dict(read):
            raise ConstraintError(
                f"Wanted a start among the names {[name for name, _ in read]}, got {first!r}."
            )
        found = terminals(read)
        symbols = tuple(found if alphabet is None else alphabet)
        _refuse_foreign(found, symbols)
        made = cls.__new__(cls)
        made._become("rules", (read, first), length, up_to, symbols, rules_source(read, first))
        return made

    def _become(
        self,
        form: str,
        source: Any,
        length: int,
        up_to: bool,
        alphabet: tuple[str, ...],
        unrolled: Source,
    ) -> None:
        """Set the fields, and unroll the language."""
        if type(length) is not int or length < 1:
            raise ConstraintError(f"Wanted a length of at least 1 slot, got {length!r}.")
        if not alphabet:
            raise ConstraintError("Wanted at least one symbol, got none.")
        if problems := alphabet_problems(alphabet):
            raise ConstraintError(" ".join(problems))
        if up_to and PAD in alphabet:
            raise ConstraintError(f"“{PAD}” stands for padding; wanted another symbol for it.")
        fields = {"form": form, "source": source, "length": length, "up_to": bool(up_to)}
        for name, value in {**fields, "alphabet": tuple(alphabet)}.items():
            object.__setattr__(self, name, value)
        symbols = (*alphabet, PAD) if up_to else tuple(alphabet)
        object.__setattr__(
            self, "_lattice", Lattice.unroll(unrolled, symbols, length, padded=bool(up_to))
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """By the call that makes it; a copy elsewhere unrolls the language anew."""
        return Constraint.from_json, (self.to_json(),)

    def __copy__(self) -> Grammar:
        """Itself: nothing of it changes."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Grammar:
        """Itself: nothing of it changes."""
        return self

    def __repr__(self) -> str:
        """The call that makes it, or a digest where that is long."""
        call = self._call()
        if len(call) <= 400:
            return call
        head = "Grammar" if self.form == "pattern" else f"Grammar.from_{self.form}"
        return f"{head}(‹{self.count:,} words, {self.length}×{len(self.symbols)}›)"

    def _call(self) -> str:
        sizes = f"length={self.length}" + (", up_to=True" if self.up_to else "")
        if self.form == "pattern":
            found = pattern_symbols(self.source)
            head = f"Grammar({self.source!r}, {sizes}"
        elif self.form == "table":
            steps, start, ends = self.source
            inside = ", ".join(f"({s!r}, {v!r}): {t!r}" for s, v, t in steps)
            found = sorted({v for _, v, _ in steps})
            head = f"Grammar.from_table({{{inside}}}, start={start!r}, ends={list(ends)}, {sizes}"
        elif self.form == "words":
            found = sorted({v for word in self.source for v in word})
            head = f"Grammar.from_words({list(self.source)}"
        else:
            rules, start = self.source
            found = terminals(rules)
            table = {name: [" ".join(a) for a in alternatives] for name, alternatives in rules}
            first = "" if start == rules[0][0] else f", start={start!r}"
            head = f"Grammar.from_rules({table}, {sizes}{first}"
        more = "" if tuple(found) == self.alphabet else f", alphabet={list(self.alphabet)}"
        return f"{head}{more})"

    @property
    def lattice(self) -> Lattice:
        """All words as ways through layers of states."""
        return self.__dict__["_lattice"]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The last axis of a word."""
        return self.lattice.symbols

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]  # fixed by the language
        """Slots and symbols."""
        return (self.length, len(self.symbols))

    @property
    def count(self) -> int:
        """How many words there are, exactly."""
        return self.lattice.count

    @property
    def bits(self) -> float:
        """Logarithm of the number of words to base 2."""
        return self.lattice.bits

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConstraintError unless the last axes are slots and symbols."""
        if tuple(shape)[-2:] != self.shape:
            raise ConstraintError(
                f"Wanted a tensor whose last axes are {self.shape}, the slots and symbols of the "
                f"grammar, got {tuple(shape)}. Symbols are {list(self.symbols)}."
            )

    # -- as a constraint ---------------------------------------------------------------------

    def residual(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Symbols to change, without a derivative; no `at_most`."""
        equal = self.violation(x)[..., None]
        return equal, equal[..., :0]

    def violation(self, x: Tensor) -> Tensor:
        """Symbols to change until the word is legal, each slot read as its largest entry.

        Args:
            x: A word or scores, `(*batch, length, symbols)`; a slot with NaN is to be changed.

        Returns:
            A whole number from 0 to the length, `(*batch)`.
        """
        self.check(tuple(x.shape))
        with torch.no_grad():
            read = one_hot(x.detach()) * ~x.isnan().any(-1, keepdim=True)
            agreeing = (best_word(read, self.lattice) * read).sum((-2, -1))
            return x.new_tensor(self.length) - agreeing

    def tolerance(self, dtype: torch.dtype) -> float:
        """Zero: a word is legal or not."""
        return 0.0

    def project(self, x: Tensor) -> Tensor:
        """The nearest word, which has the largest sum of scores; derivative of the softmax.

        Args:
            x: Scores `(*batch, length, symbols)`.

        Returns:
            One-hot words of the same shape and dtype. Of words with equal sums, one.

        Raises:
            ConstraintError: If a score is infinite or NaN.
        """
        self.check(tuple(x.shape))
        check_finite(x)
        return best_word(x, self.lattice, surrogate="softmax")

    def from_free(self, u: Tensor, at: Tensor | None = None) -> Tensor:
        """The nearest word again; derivative of the marginals of the legal words.

        Args:
            u: Scores `(*batch, length, symbols)`.
            at: Not read.

        Returns:
            The most probable of the legal words, where slots are drawn from their softmax.

        Raises:
            ConstraintError: If a score is infinite or NaN.

        Example:
            >>> grammar = Grammar.from_words(["aa", "bb"])
            >>> scores = torch.zeros(2, 2, requires_grad=True)
            >>> grammar.from_free(scores)[0, 0].backward()
            >>> scores.grad
            tensor([[ 0.2500, -0.2500],
                    [ 0.2500, -0.2500]])
        """
        self.check(tuple(u.shape))
        check_finite(u)
        return best_word(u, self.lattice, surrogate="marginals")

    def to_free(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """The word itself, as scores."""
        return x

    def log_probability(self, scores: Tensor) -> Tensor:
        """Logarithm of the chance that a word drawn slot by slot is legal.

        Args:
            scores: `(*batch, length, symbols)`; each slot's symbol has the chance of its softmax.

        Returns:
            At most 0, `(*batch)`, in float32 or, of float64, float64; differentiable.

        Raises:
            ConstraintError: If a score is infinite or NaN.

        Example:
            >>> Grammar.from_words(["aa", "bb"]).log_probability(torch.zeros(2, 2)).exp()
            tensor(0.5000)
        """
        self.check(tuple(scores.shape))
        check_finite(scores)
        return legal_share(scores, self.lattice)

    def penalty(self, x: Tensor) -> Tensor:
        """Minus the logarithm of that chance: never negative, 0 if all of it is on legal words.

        The semantic loss (J. Xu et al. 2018, A semantic loss function for deep learning with
        symbolic knowledge).
        """
        return -self.log_probability(x)

    def marginals(self, scores: Tensor) -> Tensor:
        """Each symbol's share of the legal words: its chance, given that the word is legal.

        Args:
            scores: `(*batch, length, symbols)`.

        Returns:
            The same shape, each slot summing to 1; differentiable.

        Raises:
            ConstraintError: If a score is infinite or NaN.

        Example:
            >>> Grammar.from_words(["ab", "ba", "bb"]).marginals(torch.zeros(2, 2))
            tensor([[0.3333, 0.6667],
                    [0.3333, 0.6667]])
        """
        self.check(tuple(scores.shape))
        check_finite(scores)
        return marginals(scores, self.lattice)

    def draw(self, scores: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A legal word, with its chance given that the word is legal; derivative of the marginals.

        Args:
            scores: `(*batch, length, symbols)`.
            generator: Of random numbers, on the device of the scores.

        Returns:
            One-hot words of the same shape and dtype.

        Raises:
            ConstraintError: If a score is infinite or NaN.
        """
        self.check(tuple(scores.shape))
        check_finite(scores)
        return draw_word(scores, self.lattice, generator)

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Words, all with the same chance."""
        self.check(shape)
        device = None if generator is None else generator.device
        return self.draw(torch.zeros(shape, device=device), generator)

    # -- words and tensors -------------------------------------------------------------------

    def encode(self, words: Iterable[str | Iterable[str]]) -> Tensor:
        """Words as one-hot tensors, legal or not.

        Args:
            words: Texts, with blanks between symbols of several characters, or sequences of
                symbols; at most `length` of them each. With `up_to` shorter ones are padded.

        Returns:
            `(words, length, symbols)`.

        Raises:
            ConstraintError: If a symbol is not in the alphabet, or a word has another length.

        Example:
            >>> Grammar("ab|ba", length=2).encode(["ba"])
            tensor([[[0., 1.],
                     [1., 0.]]])
        """
        by_blanks = any(len(symbol) > 1 for symbol in self.alphabet)
        listed = [_symbols_of(word, by_blanks) for word in words]
        where = {symbol: i for i, symbol in enumerate(self.symbols)}
        _refuse_foreign([symbol for word in listed for symbol in word], self.symbols)
        for word in listed:
            if len(word) > self.length or (len(word) < self.length and not self.up_to):
                wanted = f"at most {self.length}" if self.up_to else f"{self.length}"
                raise ConstraintError(f"Wanted words of {wanted} symbols, got {' '.join(word)!r}.")
        rows = [[where[v] for v in word] + [where.get(PAD, 0)] * (self.length - len(word))
                for word in listed]  # fmt: skip
        index = torch.tensor(rows, dtype=torch.long).reshape(len(rows), self.length)
        return torch.nn.functional.one_hot(index, len(self.symbols)).to(torch.get_default_dtype())

    def decode(self, x: Tensor) -> list[Word]:
        """Tensors as words, each slot read as its largest entry; padding at the end is left off.

        Args:
            x: Words or scores, `(*batch, length, symbols)`.

        Returns:
            As many words as the batch has entries, tuples of symbols.

        Example:
            >>> Grammar("ab|ba", length=2).decode(torch.tensor([[0.1, 0.2], [0.3, 0.1]]))
            [('b', 'a')]
        """
        self.check(tuple(x.shape))
        rows = x.detach().argmax(-1).reshape(-1, self.length).tolist()
        return [_unpadded(tuple(self.symbols[i] for i in row)) for row in rows]

    def examples(self, count: int, generator: torch.Generator | None = None) -> list[Word]:
        """Some words: all of them in order if there are no more, else so many different ones.

        Args:
            count: How many.
            generator: Of random numbers.

        Returns:
            Tuples of symbols without padding.

        Example:
            >>> ["".join(word) for word in Grammar("(ab)*c", length=5, up_to=True).examples(6)]
            ['ababc', 'abc', 'c']
        """
        if self.count <= count:
            return [_unpadded(word) for word in self.lattice.words()]
        found: dict[Word, None] = {}
        while len(found) < count:
            drawn = self.sample((count, *self.shape), generator)
            found |= dict.fromkeys(self.decode(drawn))
        return list(found)[:count]

    # -- as JSON -----------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Form and source."""
        settings = {name: getattr(self, name) for name in ("form", "length", "up_to")}
        plain = {"source": _listed(self.source), "alphabet": list(self.alphabet)}
        return {"constraint": "Grammar", **settings, **plain}

    @classmethod
    def _from_settings(cls, settings: dict[str, Any]) -> Grammar:
        form, source, alphabet = settings["form"], settings["source"], settings["alphabet"]
        sizes = {"length": settings["length"], "up_to": settings["up_to"]}
        if form == "pattern":
            return cls(source, **sizes, alphabet=alphabet)
        if form == "words":
            return cls.from_words(source, alphabet=alphabet)
        if form == "rules":
            rules, start = source
            return cls.from_rules(
                {name: alternatives for name, alternatives in rules},
                start=start, **sizes, alphabet=alphabet,
            )  # fmt: skip
        steps, start, ends = source
        return cls.from_table(
            [tuple(step) for step in steps], start=start, ends=ends, **sizes, alphabet=alphabet
        )


def _walk(automaton: Automaton) -> Source:
    return Source(
        automaton.start,
        lambda state, left: automaton.moves(state),
        set(automaton.ends).__contains__,
    )


def _prefixes(words: list[Word]) -> Source:
    """A list of words in order; a state is how many symbols were said, and which words fit."""

    def moves(state: tuple[int, int, int], left: int) -> Mapping[str, tuple[int, int, int]]:
        said, low, high = state
        found: dict[str, tuple[int, int, int]] = {}
        for i in range(low, high):
            if len(words[i]) > said:
                symbol = words[i][said]
                first = found[symbol][1] if symbol in found else i
                found[symbol] = (said + 1, first, i + 1)
        return found

    def is_end(state: tuple[int, int, int]) -> bool:
        said, low, _ = state
        return len(words[low]) == said  # in order, the word itself comes before what it begins

    return Source((0, 0, len(words)), moves, is_end)


def _symbols_of(word: str | Iterable[str], by_blanks: bool) -> Word:
    if not isinstance(word, str):
        return tuple(word)
    return tuple(word.split() if by_blanks else "".join(word.split()))


def _refuse_foreign(found: Iterable[str], symbols: tuple[str, ...]) -> None:
    if foreign := [symbol for symbol in dict.fromkeys(found) if symbol not in symbols]:
        raise ConstraintError(
            f"Wanted symbols of the alphabet {list(symbols)}, got {foreign[0]!r}"
            f"{f' and {len(foreign) - 1} more' if len(foreign) > 1 else ''}; add it."
        )


def _unpadded(word: Word) -> Word:
    said = len(word)
    while said and word[said - 1] == PAD:
        said -= 1
    return word[:said]


def _listed(source: Any) -> Any:
    return [_listed(part) for part in source] if isinstance(source, tuple) else source
