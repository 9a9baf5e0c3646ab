"""Unrolled languages: as small as they can be, and with as many words as are known."""

import re
from itertools import pairwise, product
from math import comb, log2

import numpy as np
import pytest
from enumeration import PAD, Language, derived, random_language

import shapekeeper as sk
from shapekeeper.constraints import ConstraintError
from shapekeeper.constraints.words import lattice as lattice_module
from shapekeeper.constraints.words import rules as rules_module
from shapekeeper.constraints.words.rules import read_rules, terminals

BRACKETS = {
    "as one grows": ["( )", "( S )", "( ) S", "( S ) S"],
    "ambiguous": ["( S )", "S S", "( )"],
    "left-recursive": ["S ( )", "S ( S )", "( S )", "( )"],
    "with an empty alternative": ["( S ) S", ""],
    "with all of that": ["S S", "( S )", "", "S"],
}

seeds = pytest.mark.parametrize("seed", range(200))


def count(pattern: str, length: int, **more) -> int:
    return sk.Grammar(pattern, length=length, **more).count


# As small as can be


@seeds
def test_states_are_as_many_as_what_may_follow(seed):
    """A. Nerode 1958: the smallest automaton has one state for each set of words to go on with."""
    found = random_language(seed)
    words = [tuple(row) for row in found.rows.tolist()]
    lattice = found.grammar.lattice
    for t, layer in enumerate(lattice.layers):
        follow: dict[tuple, set] = {}
        for word in words:
            follow.setdefault(word[:t], set()).add(word[t:])
        wanted = {frozenset(rest) for rest in follow.values()}
        assert len(layer.symbols) == len(wanted)
        heads = {len({rest[0] for rest in rests}) for rests in wanted}
        assert layer.symbols.shape[1] == max(heads)  # rows are no longer than they must be


@seeds
def test_no_way_ends_early_and_each_is_one_word(seed):
    found: Language = random_language(seed)
    layers = found.grammar.lattice.layers
    assert len(layers[0].symbols) == layers[-1].states == 1
    for layer, after in pairwise(layers):
        assert layer.states == len(after.symbols)
    for layer in layers:
        assert layer.open.any(1).all(), "a state without steps"
        assert (np.diff(layer.open.astype(int), axis=1) <= 0).all(), "a gap in a row"
        assert set(layer.targets[layer.open]) == set(range(layer.states)), "a state without ways"
        for symbols, is_open in zip(layer.symbols, layer.open, strict=True):
            assert len(set(symbols[is_open])) == is_open.sum(), "two steps with one symbol"
        places = (layer.symbols[~layer.open], layer.targets[~layer.open])
        assert not np.any(places), "what is filled up points nowhere else"
    ways = list(found.grammar.lattice.words())
    padded = {w + (PAD,) * (found.grammar.length - len(w)) for w in found.words}
    assert len(ways) == len(set(ways))
    assert set(ways) == padded


# Numbers of words that are known


@pytest.mark.parametrize("alternatives", BRACKETS.values(), ids=BRACKETS)
def test_balanced_brackets_are_as_many_as_catalan_says(alternatives):
    for pairs in (1, 2, 3, 6, 10):
        grammar = sk.Grammar.from_rules({"S": alternatives}, length=2 * pairs)
        assert grammar.count == comb(2 * pairs, pairs) // (pairs + 1)
        depths = [min(t, 2 * pairs - t) // 2 + 1 for t in range(2 * pairs)]
        assert [len(layer.symbols) for layer in grammar.lattice.layers] == depths


def test_brackets_up_to_a_length_are_a_sum_of_catalan_numbers():
    grammar = sk.Grammar.from_rules({"S": BRACKETS["ambiguous"]}, length=9, up_to=True)
    assert grammar.count == 1 + 2 + 5 + 14


def test_pairs_and_an_end():
    assert [count("(ab)*c", n) for n in (1, 3, 5, 99)] == [1, 1, 1, 1]
    assert count("(ab)*c", 99, up_to=True) == 50


@pytest.mark.parametrize("symbols", [1, 2, 5])
@pytest.mark.parametrize("length", [1, 3, 40])
def test_all_words(symbols, length):
    assert count(".*", length, alphabet="abcde"[:symbols]) == symbols**length
    assert count(".*", length, alphabet="abcde"[:symbols], up_to=True) == sum(
        symbols**n for n in range(1, length + 1)
    )


def test_no_two_neighbours_that_are_both_1_is_fibonacci():
    fibonacci = [1, 1]
    while len(fibonacci) < 102:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    for length in (1, 2, 3, 10, 100):
        assert count("(0|10)*1?", length) == fibonacci[length + 1]


def test_large_numbers_are_exact():
    symbols = [f"s{i}" for i in range(31)]
    steps = {(a, b): b for a in ["start", *symbols] for b in symbols if a != b}
    grammar = sk.Grammar.from_table(steps, start="start", ends=symbols, length=32)
    assert grammar.count == 31 * 30**31
    assert grammar.count > 10**47
    assert isinstance(grammar.count, int)
    assert grammar.bits == pytest.approx(log2(31) + 31 * log2(30), rel=1e-12)
    assert max(len(layer.symbols) for layer in grammar.lattice.layers) == 31


def test_numbers_larger_than_any_float_have_bits():
    symbols = [f"s{i}" for i in range(64)]
    grammar = sk.Grammar(".*", length=400, alphabet=symbols)
    assert grammar.count == 64**400
    assert grammar.bits == 2400


# Rules

RULES = {
    "ambiguous": {"S": ["S S", "a"]},
    "left-recursive through another": {"S": ["A a", "b"], "A": ["S b", "A a", "c"]},
    "a circle of names": {"S": ["A", "a"], "A": ["B"], "B": ["S", "b A"]},
    "a name that may be left out": {"S": ["A b A"], "A": ["", "a", "a A"]},
    "only what may be left out": {"S": ["A B", "a a"], "A": ["", "B"], "B": ["", "b"]},
    "a name that never ends": {"S": ["a", "b S", "A"], "A": ["a A"]},
    "a name nobody asks for": {"S": ["a S b", "a b"], "A": ["c"]},
    "palindromes": {"S": ["a S a", "b S b", "a", "b", "a a", "b b"]},
    "as many a as b": {"S": ["a S b S", "b S a S", ""]},
    "the end first": {"S": ["S a", "S b", "a"]},
    "one alternative as a text": {"S": "a a b"},
    "in sequences": {"S": [("a", "S"), ["b"]]},
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_rules_say_what_can_be_derived(rules):
    texts = {
        name: [a if isinstance(a, str) else " ".join(a) for a in
               ([given] if isinstance(given, str) else given)]
        for name, given in rules.items()
    }  # fmt: skip
    every = derived(texts, "S", 7)
    for length in range(1, 8):
        wanted = {word for word in every if len(word) == length}
        if wanted:
            grammar = sk.Grammar.from_rules(rules, length=length)
            assert set(grammar.examples(10**4)) == wanted
        else:
            with pytest.raises(ConstraintError, match=f"No word has exactly {length} symbols"):
                sk.Grammar.from_rules(rules, length=length)
    padded = sk.Grammar.from_rules(rules, length=7, up_to=True)
    assert set(padded.examples(10**4)) == every - {()}


def test_another_name_may_be_the_start():
    rules = {"S": ["A A"], "A": ["x", "y"]}
    assert sk.Grammar.from_rules(rules, length=1, start="A").count == 2
    assert sk.Grammar.from_rules(rules, length=2).count == 4
    with pytest.raises(ConstraintError, match=r"a start among the names \['S', 'A'\], got 'B'"):
        sk.Grammar.from_rules(rules, length=1, start="B")


@pytest.mark.parametrize(("rules", "words"), [
    ({}, r"Wanted rules such as \{'S': \['a S b', 'a b'\]\}, got \{\}"),
    (["S"], r"Wanted rules such as .*, got \['S'\]"),
    ({"S": []}, "at least one alternative for 'S', got none"),
])  # fmt: skip
def test_what_is_no_rule_is_refused(rules, words):
    with pytest.raises(ConstraintError, match=words):
        sk.Grammar.from_rules(rules, length=1)


def test_terminals_are_what_has_no_rule():
    assert terminals(read_rules({"S": ["b A", "a"], "A": ["c", ""]})) == ["a", "b", "c"]


# Lists of words


def test_lists_share_what_begins_and_ends_alike():
    words = ["".join(word) for word in product("ab", "cd", "ef")]
    grammar = sk.Grammar.from_words(words)
    assert [layer.symbols.shape for layer in grammar.lattice.layers] == [(1, 2)] * 3
    assert grammar.lattice.steps == 6


def test_a_word_may_begin_another():
    grammar = sk.Grammar.from_words(["a", "ab", "abc", "b"])
    assert set(grammar.examples(9)) == {("a",), ("a", "b"), ("a", "b", "c"), ("b",)}
    assert grammar.up_to


@pytest.mark.parametrize("words", [[], [""], ["a", ""], [()]])
def test_a_list_has_words_and_none_is_empty(words):
    got = "an empty one" if words else "none"
    with pytest.raises(ConstraintError, match=f"at least one symbol, got {got}"):
        sk.Grammar.from_words(words)


# Errors


def test_lengths_that_have_words_are_named():
    with pytest.raises(ConstraintError, match=re.escape(
        "No word has exactly 4 symbols. Wanted at least one word, got none; lengths that have "
        "words: 1, 3, 5, 7, 9, …."
    )):  # fmt: skip
        sk.Grammar("(ab)*c", length=4)
    with pytest.raises(ConstraintError, match=r"lengths that have words: 2, 3\.$"):
        sk.Grammar("ab|abc", length=8)
    with pytest.raises(ConstraintError, match=r"lengths that have words: 6, 12, 18, 24, 30, …\.$"):
        sk.Grammar("(a{6})*", length=25)
    with pytest.raises(ConstraintError, match=r"lengths that have words: 2, 4, 6, 8, 10, …\.$"):
        sk.Grammar.from_rules({"S": ["a S b", "a b"]}, length=3)


def test_a_language_without_words_says_so():
    with pytest.raises(ConstraintError, match=r"got none; nor has the language a word of any len"):
        sk.Grammar.from_rules({"S": ["a S"]}, length=3)
    with pytest.raises(ConstraintError, match=r"No word has at most 3 symbols\. Wanted at least"):
        sk.Grammar.from_rules({"S": ["a S"]}, length=3, up_to=True)
    with pytest.raises(ConstraintError, match=r"No word has at most 3 symbols"):
        sk.Grammar("a{4}", length=3, up_to=True)
    with pytest.raises(ConstraintError, match=r"No word has at most 2 symbols"):
        sk.Grammar("()", length=2, up_to=True, alphabet="a")  # the empty word is none


def test_too_many_states_are_refused_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(lattice_module, "MOST_STATES", 100)
    assert count("(a|b)*a(a|b){2}", 12) > 0
    words = "Wanted at most 100 states and 5,000,000 steps over all slots, got more by slot 7 of 12"
    with pytest.raises(ConstraintError, match=words):
        sk.Grammar.from_rules({"S": RULES["palindromes"]["S"]}, length=12)


def test_too_many_steps_are_refused(monkeypatch):
    monkeypatch.setattr(lattice_module, "MOST_STEPS", 1000)
    with pytest.raises(ConstraintError, match=r"and 1,000 steps over all slots, got more by slot"):
        sk.Grammar(".{60}", length=60, alphabet=[f"s{i}" for i in range(20)])


def test_rules_with_too_many_ways_to_go_on_are_refused(monkeypatch):
    rules = {"S": ["a S X", "a S Y", "a"], "X": ["b"], "Y": ["b"]}
    assert sk.Grammar.from_rules(rules, length=9).count == 1
    monkeypatch.setattr(rules_module, "MOST_STACKS", 100)
    with pytest.raises(ConstraintError, match=r"at most 100 ways to go on.*less ambiguous"):
        sk.Grammar.from_rules(rules, length=21)
