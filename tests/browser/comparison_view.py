"""The comparison view as a person meets it: one object per view, found by its test names."""

from lab import Notebook
from playwright.sync_api import expect
from region_editor import Editor

# A cell with a view, and what tests ask Python about it.
START = """
import shapekeeper as sk
from shapekeeper.widgets import ComparisonView
view = ComparisonView({arguments})
view
"""
# Without a handle of the element, which would keep it alive in the page.
REACHES = """async (bar, step) => {
  const end = performance.now() + 60_000;
  while (Number(bar.getAttribute('aria-valuenow')) < step) {
    if (performance.now() > end) throw new Error(`step ${step} was not reached in a minute`);
    await new Promise(requestAnimationFrame);
  }
}"""
STEP = "view.progress.get('step', 0)"


class View(Editor):
    """One view of a `ComparisonView`, in the output of one cell."""

    def __init__(self, notebook: Notebook, cell: int) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.root = notebook.cell(cell).locator('.sk-editor[data-testid="comparison-view"]')
        self.status = self.root.get_by_test_id("status")
        self.main = self.root.locator(".sk-main-button")
        self.table = self.root.get_by_test_id("results")
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()

    def entry(self, name: str):
        """A row of the list of strategies, by its id."""
        return self.key(f"s:{name}")

    def tick(self, name: str) -> None:
        """A click on the box in front of a strategy."""
        row = self.entry(name)
        before = row.get_attribute("aria-checked") == "true"
        self.click(row.locator(".sk-tick"))
        expect(row).to_have_attribute("aria-checked", str(not before).lower())

    def says(self, text, seconds: float = 20.0) -> None:
        """Waits until the status strip says so."""
        expect(self.status).to_contain_text(text, timeout=1000 * seconds)

    def offers(self, label: str, seconds: float = 60.0) -> None:
        """Waits until the button that runs and stops says this."""
        expect(self.main).to_have_text(label, timeout=1000 * seconds)

    def trains(self, step: int = 1) -> None:
        """Waits until that step is drawn."""
        self.root.get_by_role("progressbar").evaluate(REACHES, step)

    def rows(self) -> list[list[str]]:
        """What the table shows: the texts of its cells."""
        return self.table.locator("tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.textContent.trim()))"
        )

    def order(self) -> list[str]:
        """The runs of the table's rows, from above."""
        return self.table.locator("tbody tr").evaluate_all("rows => rows.map(r => r.dataset.run)")

    def drawn(self) -> dict:
        """What the view shows, without ids and sizes, to lay beside another view of it."""
        return self.root.evaluate(DRAWN)


DRAWN = """root => {
  const shown = selector => [...root.querySelectorAll(selector)].filter(e => e.checkVisibility());
  const text = selector => shown(selector).map(e => e.textContent.trim());
  return {
    layout: root.dataset.layout, bar: text('.sk-bar .sk-button'), fact: text('.sk-fact'),
    status: text('[data-testid=status] p'), rows: text('.sk-entry'),
    checked: shown('.sk-entry').map(e => e.getAttribute('aria-checked')),
    steps: text('.sk-progress b'), table: text('[data-testid=results] tr'),
    fields: shown('.sk-fields [data-field]').map(e => e.value),
    curves: shown('.sk-curve').map(e => e.getAttribute('d')),
    code: root.querySelector('[data-testid=code]').textContent,
  };
}"""
