"""Patterns spelled from automata: the same words again, and no longer than they need be."""

import itertools

import numpy as np
import pytest

from shapekeeper.constraints import Automaton, ConstraintError
from shapekeeper.constraints.words.spelling import merged, spelled

pytest.importorskip("pyformlang")

ALPHABETS = [("a", "b", "c"), ("the", "dog", "-"), ("(", "^", "-"), ("a", "dog", "*")]


def random_automata(count):
    """Automata with words, up to 7 states and 3 symbols, also with loose states."""
    generator = np.random.default_rng(0)
    made = 0
    while made < count:
        states, symbols = generator.integers(1, 8), ALPHABETS[made % len(ALPHABETS)]
        steps: dict[tuple[int | str, str], int | str] = {
            (s, symbol): int(generator.integers(states))
            for s in range(states)
            for symbol in symbols[: generator.integers(1, 4)]
            if generator.random() < 0.6
        }
        known = {0, *(s for s, _ in steps), *steps.values()}
        ends = [s for s in known if generator.random() < 0.4]
        automaton = Automaton(steps, start=0, ends=ends, symbols=symbols)
        if automaton.trimmed().ends and automaton.trimmed().steps:
            made += 1
            yield automaton


def accepts(automaton, word):
    state = automaton.start
    for symbol in word:
        state = automaton.target(state, symbol)
        if state is None:
            return False
    return state in automaton.ends


@pytest.mark.parametrize("part", range(4))
def test_what_is_spelled_reads_back_as_the_same_language(part):
    for automaton in itertools.islice(random_automata(300), part, None, 4):
        text = spelled(automaton)
        again = Automaton.from_pattern(text, automaton.symbols)
        assert again.counts(9) == automaton.counts(9), text
        for length in range(6):
            for word in itertools.product(automaton.symbols, repeat=length):
                assert accepts(again, word) == accepts(automaton, word), (text, word)


def test_it_reads_back_without_the_alphabet_too():
    for automaton in random_automata(60):
        again = Automaton.from_pattern(spelled(automaton))
        assert again.counts(8) == automaton.counts(8)


@pytest.mark.parametrize(
    "pattern",
    [
        "(ab)*c",
        "a?",
        "a*b*c*",
        "(ab|cd)+",
        "(a|b)?c+",
        "[abc]*d",
        "((a|b)(c|d))*",
        r"(\((\((\(\))*\))*\))*",
        "(a|the) dog+",
        "(child sees|children see) (child|children)",
        r"[\-ab]+",
    ],
)
def test_short_patterns_come_back_to_the_letter(pattern):
    assert spelled(Automaton.from_pattern(pattern)) == pattern


def test_the_drawing_of_the_course_is_spelled_as_it_is_written():
    drawn = Automaton({(0, "a"): 1, (1, "b"): 0, (0, "c"): 2}, start=0, ends=2)
    assert spelled(drawn) == "(ab)*c"


def test_a_single_long_symbol_is_not_read_letter_by_letter():
    dog = Automaton({(0, "dog"): 1}, start=0, ends=1)
    assert Automaton.from_pattern(spelled(dog)).steps == ((0, "dog", 1),)


def test_states_that_do_the_same_are_one():
    chain = Automaton({(i, "a"): (i + 1) % 6 for i in range(6)}, start=0, ends=[0, 2, 4])
    assert len(merged(chain).states) == 2
    assert spelled(chain) == "(aa)*"


def test_without_words_there_is_nothing_to_spell():
    with pytest.raises(ConstraintError, match="got one whose start reaches no end"):
        spelled(Automaton({(0, "a"): 1}, start=0, ends=[]))
