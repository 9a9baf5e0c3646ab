"""The region graph editor as a person meets it: one object per view, found by its test names."""

from lab import Notebook, center
from playwright.sync_api import expect

# A cell with an editor, and what tests ask Python about it.
THREE = """
import shapekeeper as sk
from shapekeeper.widgets import RegionGraphEditor
start = sk.RegionGraph(
    [
        sk.Region("eye", 64, position=(110, 140), input=True),
        sk.Region("between", 48, position=(290, 320)),
        sk.Region("hand", 32, position=(470, 140), output=True),
    ],
    [sk.Pathway("eye", "between", 0.25), sk.Pathway("between", "hand", 0.5)],
)
editor = RegionGraphEditor(start)
calls = []
editor.observe(lambda change: calls.append(change["name"]), "value")
editor
"""
NAMES = "[r.name for r in editor.value.regions]"
PATHWAYS = "sorted(f'{p.source}>{p.target}' for p in editor.value.pathways)"

# What a view draws, without what may differ between two views of one graph (ids, focus, selection).
DRAWING = """root => {
  const canvas = root.querySelector('[data-testid="canvas"]');
  const near = canvas.getBoundingClientRect();
  const things = [...canvas.querySelectorAll('[data-key]')].filter(
    thing => /^[rspcm]:/.test(thing.dataset.key));
  return things.map(thing => {
    const box = thing.getBoundingClientRect();
    const place = [box.x - near.x, box.y - near.y, box.width, box.height].map(Math.round);
    return [thing.dataset.key, thing.textContent.trim(), ...place].join(' ');
  }).sort();
}"""


class Editor:
    """One view of a `RegionGraphEditor`, in the output of one cell."""

    # What Python has, as keys of what is drawn.
    keys = (
        "sorted([f'r:{r.name}' for r in editor.value.regions]"
        " + [f'p:{p.source}>{p.target}' for p in editor.value.pathways])"
    )

    def __init__(self, notebook: Notebook, cell: int) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.root = notebook.cell(cell).locator('.sk-editor[data-testid="region-graph-editor"]')
        self.canvas = self.root.get_by_test_id("canvas")
        self.status = self.root.get_by_test_id("status")
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()

    def key(self, name: str):
        """One drawn thing: "r:NAME", "p:SOURCE>TARGET", "c:…", "h:NAME", "m:TARGET<SOURCE"."""
        return self.root.locator(f'[data-key="{name}"]')

    def command(self, name: str):
        """A button; where the bar and the panel both have it, the one in the bar."""
        return self.root.locator(f'[data-cmd="{name}"]').first

    def field(self, name: str):
        return self.root.locator(f'[data-field="{name}"]')

    def drawing(self) -> list[str]:
        return self.root.evaluate(DRAWING)

    def ground(self, across: float, down: float) -> tuple[float, float]:
        """A point of the canvas on the screen, given as shares of its width and height."""
        box = self.canvas.bounding_box()
        return box["x"] + across * box["width"], box["y"] + down * box["height"]

    def click(self, locator) -> None:
        """A click of the mouse at the middle of a thing, as it lies on the screen."""
        self.page.mouse.click(*center(locator))

    def write(self, field: str, text: str) -> None:
        """Fills a field as a person does: click, select all, type, Enter."""
        self.click(self.field(field))
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def draw_region(self, name: str, across: float, down: float) -> None:
        """Double-click on free ground, then type the name, which is ready to be typed."""
        self.page.mouse.dblclick(*self.ground(across, down))
        self.field("name").and_(self.root.locator(":focus")).wait_for()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(name)
        self.page.keyboard.press("Enter")
        self.key(f"r:{name}").wait_for()

    def draw_pathway(self, source: str, target: str) -> None:
        """Select the source, then drag its blue handle onto the target."""
        self.click(self.key(f"r:{source}"))
        handle = self.key(f"h:{source}")
        handle.wait_for()
        self.notebook.drag(center(handle), center(self.key(f"r:{target}")))
        self.key(f"p:{source}>{target}").wait_for(state="attached")

    def move_region(self, name: str, across: float, down: float) -> None:
        """Drags a region by so many pixels."""
        x, y = center(self.key(f"r:{name}"))
        self.notebook.drag((x, y), (x + across, y + down))

    def drag_chip(self, pathway: str, down: float) -> None:
        """Selects a pathway by its chip, then drags the chip up or down."""
        chip = self.key(f"c:{pathway}")
        self.click(chip)
        x, y = center(chip)
        self.notebook.drag((x, y), (x, y + down))

    def described(self, field: str):
        """The text that a field points to, where its problems stand."""
        return self.root.locator(f'[id="{self.field(field).get_attribute("aria-describedby")}"]')

    def offers(self, **commands: bool) -> None:
        """Waits until these buttons can be pressed, or can't."""
        for name, wanted in commands.items():
            expect(self.command(name)).to_be_enabled(enabled=wanted)

    def draws(self, drawing: list[str]) -> None:
        """Waits until this is what the view draws."""
        self.page.wait_for_function(
            f"([view, drawing]) => JSON.stringify(({DRAWING})(view)) === JSON.stringify(drawing)",
            arg=[self.root.element_handle(), drawing],
        )

    def agrees_with(self, other: "Editor") -> None:
        """Waits until both views draw what Python has, alike, and can undo alike."""
        drawn = self.notebook.ask(self.keys)
        self.page.wait_for_function(
            f"""([views, drawn]) => {{
              const drawings = views.map({DRAWING});
              const keys = drawings[0].map(thing => thing.split(' ')[0]);
              return JSON.stringify(drawings[0]) === JSON.stringify(drawings[1])
                && drawn.every(key => keys.includes(key.split(' ')[0]))
                && keys.filter(key => /^[rsp]:/.test(key)).length === drawn.length;
            }}""",
            arg=[[self.root.element_handle(), other.root.element_handle()], drawn],
        )
        for command in ("undo", "redo"):
            other.offers(**{command: self.command(command).is_enabled()})

    def widen(self, width: int) -> None:
        """Resizes the window until the editor is that many pixels wide."""
        window = self.page.viewport_size
        lacking = width - self.root.evaluate("root => root.parentElement.clientWidth")
        self.page.set_viewport_size(
            {"width": round(window["width"] + lacking), "height": window["height"]}
        )
        self.page.wait_for_function(
            "([root, width]) => Math.abs(root.getBoundingClientRect().width - width) <= 1",
            arg=[self.root.element_handle(), width],
        )
