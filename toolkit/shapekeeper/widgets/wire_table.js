// A table of checkboxes, and arrows beside it from the names of the rows to those of the columns.

const ROW = 30;

class WireTableView {
  constructor(model, el) {
    this.model = model;
    this.sources = model.get("sources");
    this.targets = model.get("targets");
    this.boxes = this.sources.map((source) =>
      this.targets.map((target) =>
        h("input", { type: "checkbox", "aria-label": `${source} to ${target}` }),
      ),
    );
    this.arrows = s("svg", { class: "sk-wire-arrows", role: "img" });
    this.root = h("div", { class: "sk-wires" }, this.table(), this.arrows);
    this.root.addEventListener("change", () => this.send());
    el.append(this.root);
    this.draw = this.draw.bind(this);
    model.on("change:wires", this.draw);
    this.draw();
  }

  table() {
    const head = this.targets.map((target) => h("th", { scope: "col" }, target));
    const rows = this.sources.map((source, i) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, source),
        this.boxes[i].map((box) => h("td", {}, h("label", {}, box))),
      ),
    );
    const corner = h("td", { class: "sk-corner" }, "from \\ to");
    return h("table", {}, h("tr", {}, corner, head), rows);
  }

  send() {
    const wires = this.boxes.flatMap((row, i) =>
      row.flatMap((box, j) => (box.checked ? [[i, j]] : [])),
    );
    this.model.set("wires", wires);
    this.model.save_changes();
  }

  draw() {
    const wires = this.model.get("wires");
    const open = new Set(wires.map(String));
    this.boxes.forEach((row, i) =>
      row.forEach((box, j) => (box.checked = open.has(String([i, j])))),
    );
    const rows = Math.max(this.sources.length, this.targets.length);
    const height = ROW * rows;
    const left = (i) => ROW * (i + 0.5 + (rows - this.sources.length) / 2);
    const right = (j) => (height * (j + 0.5)) / this.targets.length;
    const names = wires.map(([i, j]) => `${this.sources[i]} to ${this.targets[j]}`);
    setAttributes(this.arrows, {
      viewBox: `0 0 240 ${height}`,
      width: 240,
      height,
      "aria-label": `Arrows: ${names.join(", ") || "none"}`,
    });
    const text = (name, x, y, anchor) =>
      s("text", { x, y: y + 4, "text-anchor": anchor }, name);
    this.arrows.replaceChildren(
      ...this.sources.map((name, i) => text(name, 44, left(i), "end")),
      ...this.targets.map((name, j) => text(name, 196, right(j), "start")),
      ...wires.map(([i, j]) => arrow(52, left(i), 188, right(j))),
    );
  }

  close() {
    this.model.off("change:wires", this.draw);
    this.root.remove();
  }
}

/** A line with its head drawn by hand: markers need names, and names are shared by the whole page. */
function arrow(x1, y1, x2, y2) {
  const angle = Math.atan2(y2 - y1, x2 - x1);
  const wing = (turn) =>
    `${x2 - 9 * Math.cos(angle + turn)} ${y2 - 9 * Math.sin(angle + turn)}`;
  return s("path", { d: `M${x1} ${y1}L${x2} ${y2}M${wing(0.4)}L${x2} ${y2}L${wing(-0.4)}` });
}

export default {
  render({ model, el }) {
    const view = new WireTableView(model, el);
    return () => view.close();
  },
};
