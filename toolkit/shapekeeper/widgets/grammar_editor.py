"""The grammar editor: an automaton, drawn by hand, and the words it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from traitlets import Instance, TraitError, observe

from shapekeeper.constraints import Automaton, ConstraintError, Grammar
from shapekeeper.widgets import grammar_words
from shapekeeper.widgets.drawing_widget import DrawingWidget, Message, source
from shapekeeper.widgets.drawn_automaton import DrawnAutomaton, DrawnState
from shapekeeper.widgets.grammar_outcome import READS, GrammarOutcome, code, drawing_of
from shapekeeper.widgets.grammar_picture import picture

__all__ = ["GrammarEditor"]

LENGTH = 9


def _to_browser(drawn: DrawnAutomaton, _: Any) -> dict[str, Any]:
    return drawn.to_json()


def _from_browser(data: Mapping[str, Any], editor: GrammarEditor) -> DrawnAutomaton:
    """A drawing that does not say any more what its pattern says leads from now on."""
    drawn, before = DrawnAutomaton.from_json(data), editor.automaton
    follows = drawn.pattern == before.pattern and drawn.language == before.language
    return drawn if follows else replace(drawn, pattern=None)


class GrammarEditor(DrawingWidget):
    """Draws what a layer may say: states, and steps between them that carry symbols.

    What is drawn becomes the value when it has words of the wanted length. While it has none, the
    editor says why and what would help, and the value stays the last drawing that had words. The
    pattern and the drawing follow each other: whichever was edited last leads.

    Args:
        grammar: What is drawn at first: a `Grammar`, a pattern, an `Automaton`, or a
            `DrawnAutomaton`; by default a single state.
        length: How many symbols words have; by default that of the grammar, else 9.
        up_to: Whether shorter words count too; by default as in the grammar, else only if no length
            is given.

    Attributes:
        value: The last drawing that had words, a `Grammar`; None while there was none.
        automaton: What is drawn, perhaps unfinished: a `DrawnAutomaton`.
        selected: What is selected: "s:NAME" for a state, "p:SOURCE>TARGET" for a step.

    Raises:
        ConstraintError: If a pattern can't be read.
        ImportError: For a pattern without pyformlang; all else works without.
        traitlets.TraitError: If the value is to be something else than a `Grammar`.

    Example:
        >>> editor = GrammarEditor("(ab)*c", length=9, up_to=True)
        >>> editor.value.count, editor.messages[0]["text"]
        (5, '5 words of at most 9 symbols; shorter ones are padded.')
        >>> editor.automaton = editor.automaton.wanting(8, up_to=False)
        >>> editor.messages[0]["text"], [way["label"] for way in editor.messages[0]["ways"]]
        ('No word has exactly 8 symbols.', ['Use 7', 'Use 9', 'Allow up to 8'])
        >>> editor.value.count
        5
        >>> editor.close()
    """

    _esm = source(
        "shared.js",
        "drawing_view.js",
        "curves.js",
        "map_view.js",
        "grammar_graph.js",
        "grammar_parts.js",
        "grammar_drawing.js",
        "grammar_editor.js",
    )
    _css = source("shared.css", "map_view.css", "grammar_editor.css")

    kept: ClassVar[tuple[str, ...]] = ("automaton", "value")

    automaton = Instance(DrawnAutomaton).tag(
        sync=True, to_json=_to_browser, from_json=_from_browser
    )
    value = Instance(Grammar, allow_none=True)

    def __init__(
        self,
        grammar: Grammar | Automaton | DrawnAutomaton | str | None = None,
        length: int | None = None,
        up_to: bool | None = None,
        **traits: Any,
    ):
        self._settling = False
        self._dice = 0
        self._tried: list[str | None] = []
        self._said: tuple[DrawnAutomaton, Grammar] | None = None  # a drawing with its grammar
        drawn = _drawing(grammar, length, up_to)
        if isinstance(grammar, Grammar):
            sizes = grammar.length, grammar.up_to
            self._said = (drawn.wanting(*sizes), grammar)
        self._outcome = self._followed(drawn)
        super().__init__(automaton=drawn, value=self._outcome.grammar, **traits)

    # -- the value and the drawing -----------------------------------------------------------

    @observe("value")
    def _assigned(self, change: Any) -> None:
        """What Python assigns is drawn."""
        if self._settling or not self._recording:
            return
        if self.value is None:
            raise TraitError("Wanted a Grammar, got None; for an empty drawing make a new editor.")
        drawn = drawing_of(self.value)
        self._said = (drawn, self.value)
        if drawn == self.automaton:  # it was drawn before
            self._report()
        self.automaton = drawn

    def _settle(self) -> None:
        """The value follows the drawing."""
        self._outcome = self._followed(self.automaton)
        self._tried = _slots(self._tried, self.automaton)
        found = self._outcome.grammar
        if self._recording and found is not None:
            self._settling = True
            try:
                self.value = found
            finally:
                self._settling = False

    def _followed(self, drawn: DrawnAutomaton) -> GrammarOutcome:
        """What a drawing comes to; a state that was only moved costs nothing."""
        outcome = GrammarOutcome(drawn)
        if self._said is not None and _words(self._said[0]) == _words(drawn):
            outcome = GrammarOutcome(drawn, self._said[1])
        if outcome.grammar is not None:
            self._said = (drawn, outcome.grammar)
        return outcome

    # -- what the editor says ----------------------------------------------------------------

    def code(self) -> str:
        """The Python that rebuilds the value."""
        outcome, note = self._outcome, ""
        if not outcome.is_short and outcome.grammar is not None and outcome.pattern:
            note = f"# as a pattern: {outcome.pattern}\n"
        return code(self.value, note)

    def _refusals(self, data: Any) -> list[Message]:
        return grammar_words.refusals(self.automaton, data)

    def _described(self, before: DrawnAutomaton, after: DrawnAutomaton) -> str:
        return grammar_words.described(before, after)

    def _consequence(self) -> str:
        outcome = self._outcome
        if not outcome.drawn.steps or outcome.drawn.automaton is None:
            return ""
        number = outcome.drawn.count
        return f"{grammar_words.counted(number)} word{'' if number == 1 else 's'}."

    def _remarked(self, before: DrawnAutomaton, after: DrawnAutomaton) -> Message | None:
        return grammar_words.remark(before, after)

    def _judged(self) -> list[Message]:
        return grammar_words.judged(self._outcome)

    def _computed(self) -> dict[str, Any]:
        outcome, drawn = self._outcome, self.automaton
        trial = outcome.tried(self._tried)
        return {
            "pattern": outcome.pattern if outcome.is_short else "(long)",
            "reads": "" if READS else grammar_words.NO_READER,
            "count": grammar_words.counted(drawn.count if drawn.steps else 0),
            "single": drawn.count == 1,
            "strings": grammar_words.counted(outcome.strings),
            "room": grammar_words.room(outcome),
            "chart": grammar_words.chart(drawn),
            "words": [list(word) for word in outcome.samples(self._dice)],
            "all": outcome.has_all,
            "tried": self._tried,
            "wrong": [slot for slot, _, _ in trial.changes] if trial else [],
            "verdict": grammar_words.verdict(trial, drawn.length),
            "examples": [
                {"name": name, "title": title, "detail": detail}
                for name, (title, detail, _) in EXAMPLES.items()
            ],
        }

    def _has(self, key: str) -> bool:
        drawn = self.automaton
        arrows = {f"p:{source}>{target}" for source, _, target in drawn.steps}
        return key in arrows or key in {f"s:{name}" for name in drawn.names}

    def _ask(self, command: Mapping[str, Any]) -> None:
        do = command.get("do")
        if do == "pattern":
            self._read(str(command.get("text", "")).strip())
        elif do == "dice":
            self._dice += 1
            self._speak("Other words.")
        elif do == "try" and isinstance(command.get("word"), list):
            self._try(command["word"])
        elif do == "example" and command.get("name") in EXAMPLES:
            self.automaton = EXAMPLES[str(command["name"])][2]

    def _read(self, text: str) -> None:
        """The drawing of a pattern that was typed."""
        before = self.automaton
        try:
            automaton = _of_pattern(text, before.symbols)
        except (ConstraintError, ImportError) as error:
            message = grammar_words.refused_pattern(text, error)
            self._refused = [{**message, "refused": self._answered}]
            self._speak(message["text"], refused=True)
            return
        self.automaton = DrawnAutomaton.of(automaton, before.length, before.up_to, text)

    def _try(self, word: list[Any]) -> None:
        known = self.automaton.symbols
        self._tried = _slots([s if s in known else None for s in word], self.automaton)
        trial = self._outcome.tried(self._tried)
        self._speak(grammar_words.verdict(trial, self.automaton.length))

    def _picture(self) -> str:
        return picture(self.automaton)


def _drawing(given: Any, length: int | None, up_to: bool | None) -> DrawnAutomaton:
    """What an editor shows first."""
    shorter = length is None if up_to is None else up_to
    size = LENGTH if length is None else length
    if given is None:
        return DrawnAutomaton.empty(size, shorter)
    if isinstance(given, str):
        return DrawnAutomaton.of(Automaton.from_pattern(given), size, shorter, given)
    if isinstance(given, Automaton):
        return DrawnAutomaton.of(given, size, shorter)
    if isinstance(given, Grammar):
        given = drawing_of(given)
    if not isinstance(given, DrawnAutomaton):
        raise TypeError(
            "Wanted a Grammar, a pattern such as '(ab)*c', an Automaton or a DrawnAutomaton, got "
            f"{given!r}."
        )
    return given.wanting(
        given.length if length is None else length, given.up_to if up_to is None else up_to
    )


def _words(drawn: DrawnAutomaton) -> tuple[Any, ...]:
    """What decides about a grammar."""
    return drawn.language, drawn.symbols, drawn.length, drawn.up_to, drawn.pattern


def _slots(word: list[str | None], drawn: DrawnAutomaton) -> list[str | None]:
    """A tried word with as many slots as words have, of symbols that are there."""
    known = [symbol if symbol in drawn.symbols else None for symbol in word[: drawn.length]]
    return known + [None] * (drawn.length - len(known))


def _of_pattern(text: str, symbols: tuple[str, ...]) -> Automaton:
    """A pattern with signs for "any" is about the symbols that are drawn already."""
    if symbols and ("." in text or "[^" in text):
        try:
            return Automaton.from_pattern(text, symbols)
        except ConstraintError:
            pass  # it has symbols of its own
    return Automaton.from_pattern(text)


def _example(
    places: dict[str, tuple[float, float]],
    steps: dict[tuple[str, str], str],
    ends: str,
    symbols: list[str],
    length: int,
    up_to: bool,
) -> DrawnAutomaton:
    states = tuple(DrawnState(name, place, name in ends) for name, place in places.items())
    triples = tuple((source, symbol, target) for (source, symbol), target in steps.items())
    return DrawnAutomaton(states, triples, "0", tuple(symbols), length, up_to)


EXAMPLES = {
    "pairs": (
        "(ab)*c",
        "3 states, a loop",
        _example(
            {"0": (296, 140), "1": (128, 140), "2": (464, 140)},
            {("0", "a"): "1", ("1", "b"): "0", ("0", "c"): "2"},
            ends="2",
            symbols=["a", "b", "c"],
            length=9,
            up_to=True,
        ),
    ),
    "sentence": (
        "Subject, verb, object",
        "5 states, whole words as symbols",
        _example(
            {
                "0": (48, 140),
                "1": (176, 76),
                "2": (176, 204),
                "3": (312, 140),
                "4": (532, 140),
            },
            {
                ("0", "child"): "1",
                ("0", "children"): "2",
                ("1", "sees"): "3",
                ("2", "see"): "3",
                ("3", "child"): "4",
                ("3", "children"): "4",
            },
            ends="4",
            symbols=["child", "children", "see", "sees"],
            length=3,
            up_to=False,
        ),
    ),
    "brackets": (
        "Balanced brackets",
        "to depth 3",
        _example(
            {"0": (88, 140), "1": (226, 140), "2": (364, 140), "3": (502, 140)},
            {(str(i), "("): str(i + 1) for i in range(3)}
            | {(str(i + 1), ")"): str(i) for i in range(3)},
            ends="0",
            symbols=["(", ")"],
            length=8,
            up_to=False,
        ),
    ),
}
