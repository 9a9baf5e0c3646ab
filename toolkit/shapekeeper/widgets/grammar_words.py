"""What the grammar editor says: about a drawing, about an edit, about what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import log2, log10
from typing import Any

from shapekeeper.widgets.drawing_widget import Message
from shapekeeper.widgets.drawn_automaton import DrawingError, DrawnAutomaton, Fault, Step
from shapekeeper.widgets.grammar_outcome import GrammarOutcome, Trial

__all__ = [
    "NO_READER",
    "chart",
    "counted",
    "described",
    "judged",
    "refusals",
    "refused_pattern",
    "remark",
    "room",
    "verdict",
]

EXACT = 10**6  # up to here counts are written out
SHOWN = 12  # lengths in the chart
NO_READER = (
    "Patterns need pyformlang: pip install 'shapekeeper[grammar]'. The drawing works without."
)
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _message(kind: str, text: str, detail: str = "", **more: Any) -> Message:
    return {"kind": kind, "text": text, "detail": detail, "states": [], "ways": [], **more}


def _way(label: str, drawn: DrawnAutomaton, key: str | None = None) -> dict[str, Any]:
    return {"label": label, "do": "edit", "drawing": drawn.to_json(), "key": key}


def _show(key: str) -> dict[str, Any]:
    return {"label": "Show me", "do": "show", "key": key}


def _plural(number: int, word: str) -> str:
    return f"{counted(number)} {word}{'' if number == 1 else 's'}"


def _listed(names: Any) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else f"{last}"


def counted(number: int) -> str:
    r"""A number of words: exact up to a million, then rounded.

    Example:
        >>> counted(29_523), counted(4_596_876_543_210)
        ('29\u202f523', '4.6 × 10¹²')
    """
    if number <= EXACT:
        return f"{number:,}".replace(",", "\u202f")
    power = int(log10(number))
    share = 10 ** (log10(number) - power)
    if round(share, 1) >= 10:
        power, share = power + 1, 1.0
    return f"{share:.1f} × 10{str(power).translate(SUPERSCRIPT)}"


# About a drawing


def judged(outcome: GrammarOutcome) -> list[Message]:
    """What there is to say about a drawing, the worst first."""
    drawn = outcome.drawn
    if not drawn.steps:
        how = "Drag the blue handle to make a step, then type a symbol."
        return [_message("info", "Nothing drawn yet.", how), *_startless(drawn)]
    unfinished = [*_startless(drawn), *_endless(drawn)]
    if unfinished:
        return unfinished
    if outcome.grammar is None:
        return [*_wordless(outcome), *_left_out(drawn)]
    if drawn.count == 1:
        return [_single(outcome), *_left_out(drawn)]
    size = f"at most {drawn.length}" if drawn.up_to else f"exactly {drawn.length}"
    padded = "; shorter ones are padded" if drawn.up_to and _is_mixed(outcome) else ""
    text = f"{_plural(drawn.count, 'word')} of {size} {_symbols(drawn.length)}{padded}."
    return [*_left_out(drawn), _message("good", text)]


def _symbols(length: int) -> str:
    return "symbol" if length == 1 else "symbols"


def _is_mixed(outcome: GrammarOutcome) -> bool:
    return any(n < outcome.drawn.length for n in outcome.lengths)


def _startless(drawn: DrawnAutomaton) -> Iterator[Message]:
    if drawn.start is None:
        first = drawn.names[0]
        text, detail = "No start.", "Wanted one state where words begin, got none."
        way = _way(f"Start at {first}", replace(drawn, start=first), f"s:{first}")
        yield _message("bad" if drawn.steps else "info", text, detail, ways=[way])


def _endless(drawn: DrawnAutomaton) -> Iterator[Message]:
    if drawn.ends:
        return
    sources = {source for source, _, _ in drawn.steps}
    joined = [target for _, _, target in drawn.steps]
    likely = next((t for t in reversed(joined) if t not in sources), joined[-1])
    text = "No state may end."
    detail = "Wanted at least one state where a word may end, got none."
    way = _way(f"Let {likely} end", _ending(drawn, likely), f"s:{likely}")
    yield _message("bad", text, detail, ways=[way, _show(f"s:{likely}")])


def _ending(drawn: DrawnAutomaton, name: str) -> DrawnAutomaton:
    states = tuple(replace(s, end=True) if s.name == name else s for s in drawn.states)
    return replace(drawn, states=states)


def _wordless(outcome: GrammarOutcome) -> Iterator[Message]:
    drawn, lengths = outcome.drawn, outcome.lengths
    if drawn.count:  # there are words, but they need too many states
        yield _message("bad", "Too many states.", outcome.problem)
        return
    if not lengths:
        text, detail = "The start reaches no end.", "Wanted at least one word, got none."
        ends = [_show(f"s:{end}") for end in drawn.ends[:1]]
        yield _message("bad", text, f"{detail} Add a step to a state that may end.", ways=ends)
        return
    size = "at most" if drawn.up_to else "exactly"
    text = f"No word has {size} {drawn.length} {_symbols(drawn.length)}."
    shown = [str(n) for n in lengths[:5]]
    more = ", …" if outcome.goes_on or len(lengths) > 5 else ""
    detail = (
        "Wanted at least one word, got none; lengths that have words: "
        f"{', '.join(shown)}{more}{'' if more else '.'}"
    )
    below = [n for n in lengths if n < drawn.length][-1:]
    above = [n for n in lengths if n > drawn.length][:1]
    ways = [_way(f"Use {n}", replace(drawn, length=n)) for n in [*below, *above]]
    if below and not drawn.up_to:
        ways.append(_way(f"Allow up to {drawn.length}", replace(drawn, up_to=True)))
    yield _message("bad", text, detail, ways=ways, field="length")


def _single(outcome: GrammarOutcome) -> Message:
    drawn = outcome.drawn
    assert outcome.grammar is not None
    (word,) = outcome.samples(0)
    text = "".join(word) if all(len(symbol) == 1 for symbol in word) else " ".join(word)
    ways = []
    if not drawn.up_to and any(n < drawn.length for n in outcome.lengths):
        ways.append(_way(f"Allow up to {drawn.length}", replace(drawn, up_to=True)))
    above = [n for n in outcome.lengths if n > drawn.length][:1]
    if not ways and above:
        longer = replace(drawn, length=above[0], up_to=True)
        ways.append(_way(f"Allow up to {above[0]}", longer))
    says = f"1 word: the layer could only ever say {text}."
    return _message("warn", says, "Allow other lengths, or widen the pattern.", ways=ways)


def _left_out(drawn: DrawnAutomaton) -> Iterator[Message]:
    automaton = drawn.automaton
    if automaton is None:
        return
    lost = [(str(s), "cannot reach an end") for s in automaton.stuck]
    far = [str(s) for s in automaton.unreachable]
    found = [entry for entry in lost if entry[0] not in far]
    found += [(name, "cannot be reached from the start") for name in far]
    for name, fault in found:
        text = f"State {name} {fault}."
        detail = "It is left out of the words."
        yield _message("warn", text, detail, states=[name], ways=[_show(f"s:{name}")])
    for name in drawn.lone:
        yield _message("info", f"State {name} has no step yet.", states=[name])


def verdict(trial: Trial | None, slots: int) -> str:
    """What a tried word comes to."""
    if trial is None:
        return ""
    if trial.changes:
        shown = [f"slot {i + 1}, {got} → {best}" for i, got, best in trial.changes[:3]]
        more = "; …" if len(trial.changes) > 3 else ""
        return f"{_plural(len(trial.changes), 'symbol')} to change: {'; '.join(shown)}{more}"
    if trial.open == slots:
        return ""
    if trial.open:
        return f"Right so far; {_plural(trial.open, 'slot')} to fill."
    return "This is a word: nothing to change."


def room(outcome: GrammarOutcome) -> str:
    """How much a layer can still learn."""
    count = outcome.drawn.count
    if outcome.grammar is None:
        return "None: the layer would have no value to take"
    bits = log2(count)
    shown = f"{bits:.1f}" if bits < 100 else f"{bits:.0f}"
    return f"{_plural(count, 'word')} to choose from: {'0' if count == 1 else shown} bits"


def chart(drawn: DrawnAutomaton) -> list[dict[str, Any]]:
    """Words per length: the number in words and in short, and its height on a log scale."""
    counts = drawn.counts(SHOWN)[1:]
    highest = log2(1 + max(counts))
    return [
        {
            "length": n,
            "count": counted(count),
            "short": _brief(count),
            "height": round(log2(1 + count) / highest, 3) if count else 0,
        }
        for n, count in enumerate(counts, start=1)
    ]


def _brief(count: int) -> str:
    """A count in the width of three digits."""
    if count < 1000:
        return str(count)
    return f"10{str(round(log10(count))).translate(SUPERSCRIPT)}"


# About an edit


def described(before: DrawnAutomaton, after: DrawnAutomaton) -> str:
    """What has happened between two drawings, in one sentence."""
    if after.pattern is not None and after.pattern != before.pattern:
        return f"Pattern {after.pattern}."
    if gone := [name for name in before.names if name not in after.names]:
        if len(gone) == 1 and _only_lost(before, after, gone[0]):
            return _removal(before, gone[0])
        return f"Now {_plural(len(after.names), 'state')}, {_plural(len(_arrows(after)), 'step')}."
    said = [*_state_changes(before, after), *_other_changes(before, after)]
    if len(said) > 1 and {sentence.split()[-1] for sentence in said} == {"moved."}:
        return f"{len(said)} states moved."
    return " ".join(said[:3]) or "Nothing changed."


def _arrows(drawn: DrawnAutomaton) -> set[tuple[str, str]]:
    return {(source, target) for source, _, target in drawn.steps}


def _only_lost(before: DrawnAutomaton, after: DrawnAutomaton, name: str) -> bool:
    """Whether nothing but a state has gone, with its steps."""
    left = tuple(step for step in before.steps if name not in (step[0], step[2]))
    return after.steps == left and len(after.names) == len(before.names) - 1


def _removal(before: DrawnAutomaton, name: str) -> str:
    lost = sum(name in ends for ends in _arrows(before))
    return (
        f"Removed state {name} and {_plural(lost, 'step')}." if lost else f"Removed state {name}."
    )


def _state_changes(before: DrawnAutomaton, after: DrawnAutomaton) -> Iterator[str]:
    old = {state.name: state for state in before.states}
    for state in after.states:
        known = old.get(state.name)
        if known is None:
            yield f"State {state.name} added."
        elif known.end != state.end:
            yield f"Words may {'' if state.end else 'not '}end in {state.name}."
        elif known.position != state.position:
            yield f"State {state.name} moved."
    if before.start != after.start:
        yield "No start." if after.start is None else f"Words begin at {after.start}."


def _other_changes(before: DrawnAutomaton, after: DrawnAutomaton) -> Iterator[str]:
    gone = [symbol for symbol in before.symbols if symbol not in after.symbols]
    come = [symbol for symbol in after.symbols if symbol not in before.symbols]
    used = {symbol for _, symbol, _ in after.steps}
    if len(gone) == len(come) == 1 and len(before.symbols) == len(after.symbols):
        yield f"Symbol {gone[0]} is now called {come[0]}."
    else:
        yield from _step_changes(before, after)
        yield from (f"Symbol {symbol} removed." for symbol in gone)
        yield from (f"Symbol {symbol} added." for symbol in come if symbol not in used)
    if not gone and not come and before.symbols != after.symbols:
        yield f"Symbols in the order {', '.join(after.symbols)}."
    if (before.length, before.up_to) != (after.length, after.up_to):
        size = "at most" if after.up_to else "exactly"
        yield f"Words of {size} {after.length} {_symbols(after.length)}."


def _step_changes(before: DrawnAutomaton, after: DrawnAutomaton) -> Iterator[str]:
    old, new = set(before.steps), set(after.steps)
    for source, symbol, target in before.steps:
        led = after.target(source, symbol)
        if (source, symbol, target) not in new and led is None:
            yield f"Step from {source} to {target} with {symbol} removed."
    for source, symbol, target in after.steps:
        if (source, symbol, target) in old:
            continue
        led = before.target(source, symbol)
        yield (
            f"Step from {source} to {target} with {symbol} added."
            if led is None
            else f"From {source}, {symbol} now leads to {target}."
        )


def remark(before: DrawnAutomaton, after: DrawnAutomaton) -> Message | None:
    """An edit that took steps along offers to take it back."""
    gone = [name for name in before.names if name not in after.names]
    joined = len(gone) == 1 and any(gone[0] in ends for ends in _arrows(before))
    if joined and _only_lost(before, after, gone[0]):
        ways = [{"label": "Undo", "do": "undo"}]
        return _message("info", described(before, after), ways=ways)
    return None


# About what is refused


def refusals(drawn: DrawnAutomaton, data: Any) -> list[Message]:
    """Why what the browser sent is no drawing, at the field where it was typed if there is one.

    Args:
        drawn: The drawing as it is.
        data: What is to become of it, as `DrawnAutomaton.to_json` writes it.
    """
    try:
        DrawnAutomaton.from_json(data)
    except DrawingError as error:
        return [_refused(drawn, fault) for fault in error.found]
    return []


def _refused(drawn: DrawnAutomaton, fault: Fault) -> Message:
    more: dict[str, Any] = {}
    if fault.field:
        more = {"key": fault.key, "field": fault.field, "got": str(fault.got)}
    if fault.step:
        more = {"ways": [*_certain(drawn, fault.step)]}
    return _message("bad", fault.text, fault.detail, **more)


def _certain(drawn: DrawnAutomaton, step: Step) -> Iterator[dict[str, Any]]:
    """Ways out of two steps with one symbol: let it lead elsewhere, or look at the other step."""
    source, symbol, target = step
    known = drawn.target(source, symbol)
    if known is None or target not in drawn.names:
        return
    others = tuple(s for s in drawn.steps if s[:2] != (source, symbol))
    led = replace(drawn, steps=(*others, step), pattern=None)
    yield _way(f"Lead {symbol} to {target} instead", led, f"p:{source}>{target}")
    yield _show(f"p:{source}>{known}")


def refused_pattern(text: str, error: Exception) -> Message:
    """Why a pattern can't be read, with a caret under the place."""
    said, _, caret = str(error).partition("\n")
    return _message("bad", said, "", key=None, field="pattern", got=text, caret=caret)
