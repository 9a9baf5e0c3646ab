"""Notebook 07: the checks with right answers and the tempting wrong ones."""

from math import inf, log
from pathlib import Path

import pandas as pd
import pytest
import torch
from judging import NONSENSE, judged, survives

import shapekeeper as sk
from shapekeeper import course
from shapekeeper.course import notebook_07

pytestmark = pytest.mark.usefixtures("not_strict")

KEYS = ["07.1", "07.2", "07.3", "07.4", "07.5"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: type(answer).__name__)
def test_no_answer_whatever_makes_a_check_raise(key, answer):
    survives(key, answer)


@pytest.mark.parametrize("key", ["07.1", "07.2", "07.4", "07.5"])
def test_a_function_without_a_body_is_not_yet(key):
    def unwritten(*arguments): ...

    assert course.check(key, unwritten).state == "todo"


# 07.1


def swept(scores, machine):
    """From each state and slot, the best score from here on and the word that has it."""
    onward = {state: (0.0, "") for state in machine.ends}
    for row in reversed(scores):
        here = {}
        for state, symbol, target in machine.arrows:
            if target in onward:
                rest, word = onward[target]
                total = rest + row[machine.symbols.index(symbol)].item()
                here[state] = max(here.get(state, (-inf, "")), (total, symbol + word))
        onward = here
    return onward[machine.start][1]


def greedy(scores, machine):
    states, word = frozenset({machine.start}), ""
    for row in scores:
        open_ = [k for k, v in enumerate(machine.symbols) if machine.after(states, v)]
        if not open_:
            break
        symbol = machine.symbols[max(open_, key=lambda k, row=row: row[k])]
        word, states = word + symbol, machine.after(states, symbol)
    return word


def largest(scores, machine):
    return "".join(machine.symbols[k] for k in scores.argmax(-1).tolist())


def largest_or_nothing(scores, machine):
    states = frozenset({machine.start})
    for symbol in largest(scores, machine):
        states = machine.after(states, symbol)
    return largest(scores, machine) if states & machine.ends else None


def first_word(scores, machine):
    return notebook_07._words(machine, len(scores))[0]


def looking_one_symbol_ahead(scores, machine):
    words, word = notebook_07._words(machine, len(scores)), ""
    for row in scores:
        left = {w[len(word)] for w in words if w.startswith(word)}
        word += max(left, key=lambda v, row=row: row[machine.symbols.index(v)])
    return word


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (swept, "right", "As by enumeration, on 100 inputs. In 50 of them a word may have two"),
        (lambda s, m: list(swept(s, m)), "right", "nearest to the scores"),
        (greedy, "wrong", r"Slot \d chose `\w`, after which no legal word can be finished"),
        (largest, "wrong", r"Slot \d chose `\w`, after which no legal word"),
        (largest_or_nothing, "wrong", r"You return nothing for [1-9]\d of 100 inputs"),
        (first_word, "wrong", r"Legal, but another word has \d+\.\d\d more"),
        (looking_one_symbol_ahead, "wrong", "What is best in one slot may be dear"),
        (lambda s, m: swept(s, m)[:-1], "wrong", "another length"),
        (lambda s, m: s.argmax(-1).tolist(), "wrong", "not in the alphabet. Return the symbols"),
    ],
)
def test_best(answer, state, words):
    judged("07.1", answer, state, words)


def test_machines_have_words_dead_ends_and_now_and_then_two_paths():
    kinds, slots = set(), set()
    for scores, machine in notebook_07._instances():
        words = notebook_07._words(machine, len(scores))
        assert 2 <= len(words) < len(machine.symbols) ** len(scores)
        kinds.add(notebook_07._ambiguous(machine))
        slots.add((len(scores), len(machine.symbols)))
    assert kinds == {True, False}
    assert len(slots) > 3


def test_words_of_a_machine_are_those_of_the_library():
    for scores, machine in notebook_07._instances(10):
        if notebook_07._ambiguous(machine):
            continue
        steps = {(s, v): t for s, v, t in machine.arrows}
        grammar = sk.Grammar.from_table(
            steps, start=0, ends=machine.ends, length=len(scores), alphabet=machine.symbols
        )
        assert grammar.count == len(notebook_07._words(machine, len(scores)))
        assert grammar.decode(grammar.project(scores[None]))[0] == tuple(swept(scores, machine))
        log_chance = grammar.log_probability(scores).item()
        assert log_chance == pytest.approx(log(notebook_07._chance(scores, machine)))


# 07.2


def summed(logits, machine):
    """Chances of sets of states, so that each word is counted once."""
    chances = {frozenset({machine.start}): 1.0}
    for row in logits.softmax(-1).tolist():
        onward = {}
        for states, chance in chances.items():
            for symbol, p in zip(machine.symbols, row, strict=True):
                after = machine.after(states, symbol)
                onward[after] = onward.get(after, 0.0) + chance * p
        chances = onward
    return sum(chance for states, chance in chances.items() if states & machine.ends)


def paths(logits, machine):
    return notebook_07._by_paths(logits, machine)


def by_slot(logits, machine):
    words, chance = notebook_07._words(machine, len(logits)), 1.0
    for k, row in enumerate(logits.softmax(-1)):
        there = {word[k] for word in words}
        chance *= sum(row[machine.symbols.index(v)].item() for v in there)
    return chance


def share_of_strings(logits, machine):
    words = notebook_07._words(machine, len(logits))
    return len(words) / len(machine.symbols) ** len(logits)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (summed, "right", r"51 machines.*it is ½.*ln 2 = 0\.69"),
        (lambda z, m: torch.tensor(summed(z, m)), "right", "As by enumeration"),
        (by_slot, "wrong", r"You get 1\.0; 01 is not a word"),
        (paths, "wrong", r"1\.66 is no probability: one word, two paths"),
        (lambda z, m: log(summed(z, m)), "wrong", "the logarithm"),
        (lambda z, m: 1 - summed(z, m) / 2, "wrong", "another number"),
        (lambda z, m: -summed(z, m), "wrong", "can't be below 0"),
        (share_of_strings, "wrong", r"Of \d+ strings, \d+ are words here"),
        (lambda z, m: notebook_07._unnormalized(z, m), "wrong", "softmax makes chances"),
    ],
)
def test_chance(answer, state, words):
    judged("07.2", answer, state, words)


# 07.3


def with_words(*words, kind="medium", **kinds):
    rules = sk.tasks.meaning_rules(kind) | {"word": list(words)} | kinds
    symbols = sk.tasks.interlingua().symbols
    length = len(words[0].split())
    return sk.Grammar.from_rules(rules, length=length, alphabet=symbols)


def valency_relaxed():
    return with_words(*(f"noun {n} verb {n} noun? number? manner" for n in ("sg", "pl")))


def sleepers_with_objects():
    frames = ("noun {0} verb {0} noun number manner", "noun {0} verb {0} 0 0 manner")
    return with_words(*(frame.format(n) for frame in frames for n in ("sg", "pl")))


def without_agreement():
    frames = ("noun number transitive number noun number manner",
              "noun number sleep number 0 0 manner")  # fmt: skip
    return with_words(*frames)


def any_manner():
    tight = sk.tasks.meaning_rules("tight")
    anything = list(sk.tasks.interlingua().symbols)
    frames = [" ".join([*frame.split()[:-1], "anything"]) for frame in tight["word"]]
    return with_words(*frames, kind="tight", anything=anything)


def eighth_slot():
    tight, symbols = sk.tasks.meaning_rules("tight"), sk.tasks.interlingua().symbols
    frames = [f"{frame} anything" for frame in tight["word"]]
    rules = tight | {"word": frames, "anything": list(symbols)}
    return sk.Grammar.from_rules(rules, length=8, alphabet=symbols)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (valency_relaxed, "right", r"3,780 words, 3\.0 bits of slack, and all agree"),
        (sleepers_with_objects, "right", r"2,340 words, 2\.3 bits"),
        (without_agreement, "wrong", r"`\w+ (pl … sg|sg … pl)` is now legal.*1,764 of 3,528"),
        (any_manner, "wrong", "Roomy in the wrong place: 16 ways.*slot 7 may hold any"),
        (eighth_slot, "wrong", "Roomy in the wrong place: 16 ways.*slot 8 may hold any"),
        (lambda: sk.tasks.interlingua("medium"), "wrong", r"Too few.*medium.*1,764 words, 1\.9"),
        (lambda: sk.tasks.interlingua("tight"), "wrong", r"Too few.*464 words, 0\.0 bits"),
        (lambda: sk.tasks.interlingua("loose"), "wrong", "no longer agree"),
        (lambda: sk.tasks.interlingua("all"), "wrong", "Far too roomy"),
        (lambda: with_words("noun sg verb sg noun? number? manner"), "wrong",
         "`child pl .*` is a meaning, and can't be said"),
        (lambda: sk.Grammar("(ab)*c", length=5), "wrong", "another shape"),
    ],
)  # fmt: skip
def test_slack(answer, state, words):
    judged("07.3", answer(), state, words)


# 07.4


def shrunk(w, bias, a, b):
    slack = min(bias - a, b - bias)
    return w * min(1.0, slack / w.abs().sum())


def by_length(w, bias, a, b):
    return w * min(1.0, min(bias - a, b - bias) / w.norm())


def clamped_output(w, bias, a, b):
    return lambda h: (h @ w + bias).clamp(a, b)


def always(w, bias, a, b):
    return w * min(bias - a, b - bias) / w.abs().sum()


def clamped_weights(w, bias, a, b):
    slack = min(bias - a, b - bias) / len(w)
    return w.clamp(-slack, slack)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (shrunk, "right", r"100,000 inputs each, and the corners; \d+ rows had to shrink"),
        (by_length, "wrong", r"The corner \(1, −1, 1\) gives 1\.1"),
        (lambda w, bias, a, b: w, "wrong", r"The corner \(1, −1, 1\) gives 4\.9"),
        (lambda w, bias, a, b: w.clamp(a - bias, b - bias), "wrong", r"The corner \(.*\) gives"),
        (clamped_output, "wrong", r"True for the output, but \d+% of such nodes.*learn nothing"),
        (lambda w, bias, a, b: 0 * w, "wrong", "Safe, but smaller than it must be|safe already"),
        (always, "wrong", "safe already; leave it"),
        (clamped_weights, "wrong", "points elsewhere"),
        (lambda w, bias, a, b: w.sum(), "wrong", "Return the new weights"),
    ],
)
def test_bounded(answer, state, words):
    judged("07.4", answer, state, words)


def test_some_rows_are_safe_from_the_start_and_some_are_not():
    safe = [torch.equal(shrunk(*each), each.w) for each in notebook_07._rows()]
    assert 3 <= sum(safe) < len(safe) - 10


# 07.5


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (lambda words, meanings: len({*words}) / len({*meanings}), "right", "C 0.03"),
        (
            lambda words, meanings: len({*words}) / len(words),
            "wrong",
            "Paraphrases .should. share a word; you punish network A",
        ),
        (
            lambda words, meanings: len({*words}) / 464,
            "wrong",
            "You divide by 464, .* A roomy grammar is never used up",
        ),
        (lambda words, meanings: len({*words}), "wrong", "different things are there to say"),
        (lambda words, meanings: 1 - len({*words}) / len({*meanings}), "wrong", "other way round"),
        (lambda words, meanings: 1.0, "wrong", "another number"),
    ],
)
def test_told_apart(answer, state, words):
    judged("07.5", answer, state, words)


def test_the_merging_of_a_table_is_what_was_asked_for():
    for kind in notebook_07.NETWORKS.values():
        words, meanings = notebook_07.heard(*kind)
        _, count, merged, _ = kind
        assert (len({*meanings}), len({*words})) == (count, count - merged)
        assert len({*zip(words, meanings, strict=True)}) == count


# What was stored


LINES = """table,row,seed,labels,test,raw,made
translation,free word,0,0,0.9,,"2026-11-28, 2 seeds"
translation,free word,1,0,0.7,,"2026-11-28, 2 seeds"
translation,penalty 1,0,0,0.1,1,"2026-11-28, 2 seeds"
range,free,0,,0.0017,,"2026-11-28, 2 seeds"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(LINES)
    return path


def test_stored_runs_are_those_of_one_table_with_when_and_how_they_were_made(file):
    runs = course.stored_runs("translation", file)
    assert runs["row"].to_list() == ["free word", "free word", "penalty 1"]
    assert runs.attrs["made"] == "2026-11-28, 2 seeds"
    assert runs.attrs["command"].startswith("python tests/benchmarks/bench_language_tasks.py --csv")
    assert list(course.stored_runs("range", file)) == ["row", "seed", "test"]


def test_the_command_of_stored_runs_names_a_program_that_is_there(root, file):
    command = course.stored_runs("range", file).attrs["command"].split()
    assert (root / command[1]).exists()
    assert (root / command[-1]).parent == Path(course.__file__).parent


def test_means_are_told_with_their_spread_and_what_is_missing_is_empty(file):
    runs = course.stored_runs("translation", file)
    told = course.told_runs(runs, {"test": "right", "raw": "filter off", "true": "true words"})
    assert list(told) == ["right", "filter off", "true words"]
    assert told.loc["free word"].to_list() == ["0.80 ± 0.14", "", ""]
    assert told.loc["penalty 1"].to_list() == ["0.10", "1.00", ""]
    small = course.told_runs(course.stored_runs("range", file), {"test": "error"})
    assert small.loc["free", "error"] == "0.0017"
    share = pd.DataFrame({"row": ["a", "b"], "allowed": [0.9963, 1.0]})
    assert course.told_runs(share, {"allowed": "in"})["in"].to_list() == ["0.9963", "1.00"]
    large = pd.DataFrame({"row": ["a", "a"], "evaluations": [1500, 1510]})
    assert course.told_runs(large, {"evaluations": "n"}).loc["a", "n"] == "1505 ± 7"


def test_a_missing_file_says_how_it_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"makes it again.*bench_language_tasks.py --csv"):
        course.stored_runs("range", tmp_path / "none.csv")


def test_another_file_and_another_table_are_refused(tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"no \['made', 'row', 'seed', 'table'\]"):
        course.stored_runs("range", other)
    other.write_text("\n".join(LINES.splitlines()[:2]))
    with pytest.raises(ValueError, match=r"no runs of 'range'; this makes them: python"):
        course.stored_runs("range", other)
    with pytest.raises(ValueError, match="got 'letters'"):
        course.stored_runs("letters")


def test_a_sentence_is_read_back():
    x, _ = sk.tasks.translation().data_for(0).test
    meanings = sk.tasks.translation_meanings("test")
    for k in (0, 100, 447):
        assert course.sentence(x[k]) in sk.tasks.english(meanings[k // 8])
