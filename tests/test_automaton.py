"""Automata as values, and what patterns mean, against Python's own regular expressions."""

import builtins
import itertools
import json
import pickle
import re

import numpy as np
import pytest
from enumeration import random_pattern

import shapekeeper as sk
from shapekeeper.constraints import Automaton, ConstraintError
from shapekeeper.constraints.words import patterns

LOOP = Automaton({(0, "a"): 1, (1, "b"): 0, (0, "c"): 2}, start=0, ends=2)


def accepts(machine: Automaton, word) -> bool:
    state = machine.start
    for symbol in word:
        state = machine.target(state, symbol)
        if state is None:
            return False
    return state in machine.ends


def every(symbols, longest: int):
    for length in range(longest + 1):
        yield from itertools.product(symbols, repeat=length)


def told_apart(machine: Automaton) -> set[tuple]:
    """Pairs of states from which different words follow; None is where nothing follows."""
    states = [*machine.states, None]
    pairs = list(itertools.combinations(states, 2))
    found = {(p, q) for p, q in pairs if (p in machine.ends) != (q in machine.ends)}
    while True:
        before = len(found)
        for p, q in pairs:
            for symbol in machine.symbols:
                onward = [None if s is None else machine.target(s, symbol) for s in (p, q)]
                if {tuple(onward), tuple(onward[::-1])} & found:
                    found.add((p, q))
        if len(found) == before:
            return found


# What patterns mean


@pytest.mark.parametrize("seed", range(150))
def test_random_patterns_mean_what_python_means(seed):
    draw = np.random.default_rng(seed)
    symbols = list("abc"[: draw.integers(1, 4)])
    pattern = random_pattern(draw, symbols, depth=4)
    machine = Automaton.from_pattern(pattern, symbols)
    reads = re.compile(pattern)
    for word in every(symbols, 6):
        assert accepts(machine, word) == bool(reads.fullmatch("".join(word))), (pattern, word)
    states = len(machine.states) + 1
    assert len(told_apart(machine)) == states * (states - 1) // 2  # none could be left out
    assert not machine.unreachable
    assert machine.states == tuple(range(len(machine.states)))


@pytest.mark.parametrize(
    "pattern",
    [
        "(ab)*c", "a|b|", "()", "(|a)b", "a?b+c*", "a{2}", "a{2,}", "a{1,3}b", "a{0}b", "(ab){2,3}",
        "[abc]", "[^a]", "[^ab]c", "[a-c]b", "[ab-c]", "[a-]", "[-a]", ".", ".*a.", "a.c|b",
        "((a|b)(c|a))*", "(a*)*", "(a|ab)(c|bc)", "a(b(c|a)*)?", r"a\*", r"\.|\(a\)", r"[\]a]",
        r"\\", r"a\|b", "a-b", "a,b", r"a\{2\}", "(a+)?", "((a{2})?){2}",
    ],
)  # fmt: skip
def test_patterns_mean_what_python_means(pattern):
    symbols = sorted({"a", "b", "c", *patterns.pattern_symbols(pattern)})
    machine = Automaton.from_pattern(pattern, symbols)
    reads = re.compile(pattern)
    for word in every(symbols, 6 if len(symbols) <= 4 else 4):
        assert accepts(machine, word) == bool(reads.fullmatch("".join(word))), word


def test_large_alphabets_and_long_patterns_are_read_too():
    symbols = [f"s{i}" for i in range(256)]
    assert len(Automaton.from_pattern(".{32}", symbols).states) == 33
    assert Automaton.from_pattern("a{700}").counts(700)[-1] == 1
    assert Automaton.from_pattern("|".join(["ab"] * 400)).counts(2) == (0, 0, 1)
    assert Automaton.from_pattern(".{8}", "abcdefgh").counts(8)[-1] == 8**8


def test_symbols_are_words_where_there_are_blanks_or_longer_ones():
    machine = Automaton.from_pattern("(the|a) dog+")
    assert machine.symbols == ("a", "dog", "the")
    assert accepts(machine, ["a", "dog", "dog"])
    assert not accepts(machine, ["the"])
    assert Automaton.from_pattern("dog", ["dog", "cat"]).counts(1) == (0, 1)
    assert Automaton.from_pattern("dog").counts(3) == (0, 0, 0, 1)
    some = Automaton.from_pattern("[the a] . [^the dog]", ["the", "a", "dog", "cat"])
    assert some.counts(3)[-1] == 2 * 4 * 2
    assert Automaton.from_pattern(" ab ").counts(2) == (0, 0, 1)


def test_the_alphabet_gives_symbols_and_their_order():
    assert Automaton.from_pattern("ba").symbols == ("a", "b")
    assert Automaton.from_pattern("ba", "xba").symbols == ("x", "b", "a")
    assert Automaton.from_pattern("[a-d]").symbols == ("a", "b", "c", "d")


# Patterns that can't be read, and the place

BAD = [
    ("a(b", 3, "Wanted a closing bracket, got the end of “a(b”."),
    ("((a)", 4, "Wanted a closing bracket, got the end of “((a)”."),
    ("ab)c", 2, "Wanted an opening bracket before “)”, got none."),
    ("*a", 0, "Wanted something to repeat before “*”, got nothing."),
    ("a|+b", 2, "Wanted something to repeat before “+”, got nothing."),
    ("(?:a)", 1, "Wanted something to repeat before “?”, got nothing."),
    ("{2}", 0, "Wanted something to repeat before “{”, got nothing."),
    ("a{b}", 1, "Wanted a count such as {2}, {2,} or {2,3}, got another text."),
    ("a{2", 1, "Wanted a count such as {2}, {2,} or {2,3}, got another text."),
    ("ab{3,2}", 2, "Wanted counts in order and at most 1000, got {3,2}."),
    ("a{1001}", 1, "Wanted counts in order and at most 1000, got {1001}."),
    ("a{2,1001}", 1, "Wanted counts in order and at most 1000, got {2,1001}."),
    ("a+?b", 2, "Wanted one sign that repeats, or brackets before the next, got “?”."),
    ("a{2}?", 4, "Wanted one sign that repeats, or brackets before the next, got “?”."),
    ("a**", 2, "Wanted one sign that repeats, or brackets before the next, got “*”."),
    ("[ab", 3, "Wanted a closing bracket ], got the end of “[ab”."),
    ("a[]", 1, "Wanted at least one symbol between [ and ], got none."),
    ("[b-a]", 0, "Wanted a range in order, got “b-a”."),
    ("[a(]", 2, "Wanted symbols between [ and ], got “(”."),
    ("a]", 1, "Wanted a backslash before a “]” that is a symbol, got “]”."),
    ("a}", 1, "Wanted a backslash before a “}” that is a symbol, got “}”."),
    ("^a", 0, "Wanted a backslash before a “^” that is a symbol, got “^”."),
    (r"a\d", 1, r"Wanted one of the signs | ( ) * + ? { } [ ] . ^ after \, got “\d”."),
    ("ab\\", 2, "Wanted one of the signs | ( ) * + ? { } [ ] . ^ after \\, got the end of “ab\\”."),
    ("the [dog | cat]", 9, "Wanted symbols between [ and ], got “|”."),
]


@pytest.mark.parametrize(("pattern", "place", "words"), BAD, ids=[pattern for pattern, *_ in BAD])
def test_a_caret_shows_where_a_pattern_goes_wrong(pattern, place, words):
    with pytest.raises(ConstraintError) as caught:
        Automaton.from_pattern(pattern)
    assert str(caught.value) == f"{words}\n{pattern}\n{' ' * place}^"
    with pytest.raises(ConstraintError, match=re.escape(words)):
        sk.Grammar(pattern, length=2)


def test_patterns_are_texts_of_known_symbols():
    with pytest.raises(ConstraintError, match=r"a pattern such as '\(ab\)\*c', got 3"):
        Automaton.from_pattern(3)  # type: ignore[arg-type]
    with pytest.raises(ConstraintError, match="at least one symbol, got “”"):
        Automaton.from_pattern("")
    with pytest.raises(ConstraintError, match=r"alphabet \['a', 'b'\], got 'c' in “abc”; add it"):
        Automaton.from_pattern("abc", "ab")
    with pytest.raises(ConstraintError, match=r"not among \['a'\], but the alphabet is \['a'\]"):
        Automaton.from_pattern("[^a]", "a")


def test_patterns_that_remember_too_much_are_refused(monkeypatch):
    monkeypatch.setattr(patterns, "MOST_STATES", 100)
    assert len(Automaton.from_pattern("(a|b)*a(a|b){4}").states) == 32
    with pytest.raises(ConstraintError, match="a pattern of at most 100 states, got more"):
        Automaton.from_pattern("(a|b)*a(a|b){7}")


def test_without_the_parser_other_ways_are_named(monkeypatch):
    plain = builtins.__import__

    def absent(name, *rest):
        if name.startswith("pyformlang"):
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=r"pip install 'shapekeeper\[grammar\]'.*from_rules"):
        sk.Grammar("ab", length=2)
    with pytest.raises(ConstraintError, match="a closing bracket"):
        Automaton.from_pattern("(ab")
    assert sk.Grammar.from_words(["ab"]).count == 1
    assert sk.Grammar.from_rules({"S": ["a b"]}, length=2).count == 1
    assert sk.Grammar.from_table({(0, "a"): 1}, start=0, ends=1, length=1).count == 1


# Automata


def test_states_and_steps_are_in_the_order_in_which_they_are_reached():
    steps = [("z", "b", "x"), ("start", "b", "z"), ("start", "a", "y"), ("lost", "a", "x")]
    machine = Automaton(steps, start="start", ends=["x", "y"])
    assert machine.states == ("start", "y", "z", "x", "lost")
    assert machine.steps == (
        ("start", "a", "y"), ("start", "b", "z"), ("z", "b", "x"), ("lost", "a", "x"),
    )  # fmt: skip
    assert machine.ends == ("y", "x")
    assert machine == Automaton(steps[::-1], start="start", ends=["y", "x"])
    assert machine == Automaton(
        {(s, v): t for s, v, t in steps}, start="start", ends=["x", "y"], symbols=["a", "b"]
    )


def test_words_are_counted_by_a_list_of_all():
    for pattern in ("(ab)*c", "(a|b|c)*", "a(b|c){2}"):
        machine = Automaton.from_pattern(pattern, "abc")
        counted = [sum(accepts(machine, w) for w in every("abc", 6) if len(w) == n)
                   for n in range(7)]  # fmt: skip
        assert machine.counts(6) == tuple(counted)
    assert LOOP.counts(0) == (0,)
    assert Automaton.from_pattern(".*", "ab").counts(200)[-1] == 2**200


def test_what_may_follow():
    assert LOOP.target(0, "a") == 1
    assert LOOP.target(2, "a") is None
    assert LOOP.target("nowhere", "a") is None
    assert dict(LOOP.moves(0)) == {"a": 1, "c": 2}
    assert dict(LOOP.moves(2)) == {}


def test_states_that_are_in_no_word_are_named_and_can_be_left_out():
    steps = {(0, "a"): 1, (0, "b"): 2, (2, "a"): 2, (3, "a"): 1, (4, "a"): 4}
    machine = Automaton(steps, start=0, ends=1)
    assert machine.unreachable == (3, 4)
    assert machine.stuck == (2, 4)
    trimmed = machine.trimmed()
    assert trimmed.states == (0, 1)
    assert trimmed.symbols == machine.symbols
    assert trimmed.counts(5) == machine.counts(5)
    with pytest.raises(ConstraintError) as caught:
        sk.Grammar.from_table(steps, start=0, ends=1, length=1)
    assert str(caught.value) == (
        "State 3 is never reached from the start. Leave it out, or add a step to it. "
        "State 4 is never reached from the start. Leave it out, or add a step to it. "
        "State 2 cannot reach an end. Leave it out, or add a step to an end."
    )


def test_all_problems_of_a_table_are_told_at_once():
    with pytest.raises(ConstraintError) as caught:
        Automaton(
            [(0, "a", 1), (0, "a", 2), (1, "b", 0)], start=0, ends=[1, 7], symbols=["a", "a", ""]
        )
    said = str(caught.value)
    for part in (
        "words without blanks, got ''",
        "each symbol once in the alphabet, got 'a' twice",
        "From state 0 two steps carry “a” (to 1 and to 2). A step must be certain",
        "Wanted symbols of the alphabet ['a', 'a', ''], got 'b'; add it",
        "Wanted ends among the states, got 7; no step leads there",
    ):
        assert part in said
    with pytest.raises(ConstraintError, match="two steps carry “a”"):
        sk.Grammar.from_table([(0, "a", 1), (0, "a", 0)], start=0, ends=1, length=2)


def test_the_same_step_twice_is_one():
    machine = Automaton([(0, "a", 1), (0, "a", 1)], start=0, ends=1)
    assert machine.steps == ((0, "a", 1),)


@pytest.mark.parametrize("machine", [
    LOOP,
    Automaton({("in", "x"): "out"}, start="in", ends=["out", "in"], symbols=["y", "x"]),
    Automaton.from_pattern("(the|a) dog+"),
    Automaton([], start=0, ends=0, symbols="a"),
])  # fmt: skip
def test_copies_are_equal(machine):
    called = eval(repr(machine), {"Automaton": Automaton})
    plain = json.loads(json.dumps([machine.steps, machine.ends, machine.symbols]))
    read = Automaton([tuple(step) for step in plain[0]], start=machine.start, ends=plain[1],
                     symbols=plain[2])  # fmt: skip
    machine.target(machine.start, "a")  # remembers its moves
    for same in (called, read, pickle.loads(pickle.dumps(machine))):
        assert same == machine
        assert hash(same) == hash(machine)
        assert same.states == machine.states


def test_what_differs_is_not_equal():
    others = [
        Automaton(LOOP.steps, start=0, ends=[0, 2]),
        Automaton(LOOP.steps, start=1, ends=2),
        Automaton(LOOP.steps[:2], start=0, ends=0),
        Automaton(LOOP.steps, start=0, ends=2, symbols="cba"),
    ]
    assert len({LOOP, *others}) == 5


def test_nothing_of_a_value_can_be_changed():
    with pytest.raises(AttributeError, match="cannot assign"):
        LOOP.start = 1  # type: ignore[misc]
