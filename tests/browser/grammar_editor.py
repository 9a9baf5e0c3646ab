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

    keys = (
        "sorted([f's:{name}' for name in editor.automaton.names]"
        " + [f'p:{s}>{t}' for s, t in {(s, t) for s, _, t in editor.automaton.steps}])"
    )

    def __init__(self, notebook: Notebook, cell: int) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.root = notebook.cell(cell).locator('.sk-editor[data-testid="grammar-editor"]')
        self.canvas = self.root.get_by_test_id("canvas")
        self.status = self.root.get_by_test_id("status")
        self.count = self.root.get_by_test_id("count")
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()

    def command(self, name: str):
        """A button that is shown; the drawing and the table have some of the same."""
        return self.root.locator(f'[data-cmd="{name}"]').locator("visible=true").first

    def draw_state(self, name: str, across: float, down: float) -> None:
        """Double-click on free ground."""
        self.page.mouse.dblclick(*self.ground(across, down))
        self.key(f"s:{name}").wait_for()

    def pull_handle(self, source: str, to: tuple[float, float]) -> None:
        """Select the source, then drag its blue handle."""
        self.page.mouse.click(*self.middle(source))
        handle = self.key(f"h:{source}")
        handle.wait_for()
        self.notebook.drag(center(handle), to)
        self.field("step").and_(self.root.locator(":focus")).wait_for()

    def draw_step(self, source: str, symbol: str, target: str) -> None:
        """Drag the blue handle onto the target, then type the symbol."""
        self.pull_handle(source, self.middle(target))
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
        self.page.mouse.dblclick(*self.middle(name))

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

    def move(self, name: str, across: float, down: float) -> None:
        """Drags a state by so many pixels."""
        x, y = self.middle(name)
        self.notebook.drag((x, y), (x + across, y + down))

    def middle(self, name: str) -> tuple[float, float]:
        """The middle of a state's circle, whatever stands beside it."""
        return center(self.key(f"s:{name}").locator(".sk-disc"))

    def move_start(self, name: str) -> None:
        """Drags the start arrow to another state."""
        self.notebook.drag(center(self.key("start").locator(".sk-hit")), self.middle(name))

    def select_step(self, arrow: str) -> None:
        """Clicks the line of a step, off its chip."""
        source, target = arrow.split(">")
        (x0, y0), (x1, y1) = self.middle(source), self.middle(target)
        at = 30 / ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        self.page.mouse.click(x0 + (x1 - x0) * at, y0 + (y1 - y0) * at)
        self.field("symbols").wait_for()

    def try_word(self, word: str) -> None:
        """Types a word into the slots, from the first one on."""
        self.click(self.key("w:0"))
        self.page.keyboard.type(word)
        self.root.locator(".sk-verdict").get_by_text("to change").wait_for()

    def table_button(self, command: str):
        """A button below the table."""
        return self.root.locator(f'.sk-table-box [data-cmd="{command}"]')
