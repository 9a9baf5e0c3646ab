"""The grammar editor as a person meets it: one object per view, found by its test names."""

from lab import Notebook, center
from region_editor import Editor

# A cell with an editor, and what tests ask Python about it.
START = """
import shapekeeper as sk
from shapekeeper.widgets import GrammarEditor
editor = GrammarEditor({arguments})
start = editor.automaton
calls = []
editor.observe(lambda change: calls.append(change["name"]), "automaton")
editor
"""
EMPTY = START.format(arguments="")
PAIRS = START.format(arguments="'(ab)*c', length=9, up_to=True")
STEPS = "sorted(' '.join(step) for step in editor.automaton.steps)"
WORDS = "[''.join(word) for word in editor.value.examples(99)] if editor.value else None"
AB_STAR_C = ["0 a 1", "0 c 2", "1 b 0"]


class GrammarEditor(Editor):
    """One view of a `GrammarEditor`, in the output of one cell."""

    def __init__(self, notebook: Notebook, cell: int) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.root = notebook.cell(cell).locator('.sk-editor[data-testid="grammar-editor"]')
        self.canvas = self.root.get_by_test_id("canvas")
        self.status = self.root.get_by_test_id("status")
        self.count = self.root.get_by_test_id("count")
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()

    def draw_state(self, name: str, across: float, down: float) -> None:
        """Double-click on free ground."""
        self.page.mouse.dblclick(*self.ground(across, down))
        self.key(f"s:{name}").wait_for()

    def pull_handle(self, source: str, to: tuple[float, float]) -> None:
        """Select the source, then drag its blue handle."""
        self.click(self.key(f"s:{source}"))
        handle = self.key(f"h:{source}")
        handle.wait_for()
        self.notebook.drag(center(handle), to)
        self.field("step").and_(self.root.locator(":focus")).wait_for()

    def draw_step(self, source: str, symbol: str, target: str) -> None:
        """Drag the blue handle onto the target, then type the symbol."""
        self.pull_handle(source, center(self.key(f"s:{target}")))
        self.page.keyboard.type(symbol)
        self.page.keyboard.press("Enter")
        self.key(f"p:{source}>{target}").wait_for(state="attached")

    def draw_step_to_ground(self, source: str, symbol: str, across: float, down: float) -> None:
        """Drag the blue handle onto free ground, then type the symbol."""
        self.pull_handle(source, self.ground(across, down))
        self.page.keyboard.type(symbol)
        self.page.keyboard.press("Enter")

    def end(self, name: str) -> None:
        """Double-click a state: words may end in it."""
        self.page.mouse.dblclick(*center(self.key(f"s:{name}")))

    def way(self, text: str):
        """A way out that is offered, by its words."""
        return self.status.get_by_role("button", name=text)

    def says(self, text: str) -> None:
        """Waits until the status strip says so."""
        self.status.get_by_text(text).first.wait_for()

    def words(self) -> list[str]:
        """The words that are shown, padding left off."""
        rows = self.root.locator(".sk-word[data-cmd]").all_inner_texts()
        return ["".join(row.split()).rstrip("·") for row in rows]
