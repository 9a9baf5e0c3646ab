// The region graph editor: a map and a matrix of one graph, each a full editor.
//
// What tests and style sheets may hold on to:
//   root          .sk-editor[data-testid="region-graph-editor"]
//   canvas        svg[data-testid="canvas"] (the map or the matrix)
//   regions       [data-key="r:NAME"], each with its handle [data-key="h:NAME"]
//   pathways      [data-key="p:SOURCE>TARGET"], up to 8 regions with chips [data-key="c:SOURCE>TARGET"]
//   matrix cells  [data-key="m:TARGET<SOURCE"]
//   buttons       [data-cmd="add-region|add-pathway|undo|redo|map|matrix|fit|code|help|copy|delete|
//                 reverse|edit|open|examples|more|example:NAME|select:KEY|way:I"]
//   panel fields  [data-field="name|size|inside|input|output|sign|density|known"]
//   status strip  [data-testid="status"]; code [data-testid="code"]
//   live regions  [data-testid="polite"], [data-testid="assertive"]

const regionKey = (name) => `r:${name}`;
const pathKey = ({ source, target }) => `p:${source}>${target}`;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TOO_MANY = 40;

// Edits: a graph in, a new graph out

function withRegion(graph, name, changes) {
  const regions = graph.regions.map((r) => (r.name === name ? { ...r, ...changes } : r));
  if (!("name" in changes)) return { ...graph, regions };
  const called = (end) => (end === name ? changes.name : end);
  const pathways = graph.pathways.map((p) => ({ ...p, source: called(p.source), target: called(p.target) }));
  return { ...graph, regions, pathways, tested_absent: graph.tested_absent.map((pair) => pair.map(called)) };
}

function addRegion(graph, name, { x, y }) {
  const region = { name, size: 32, density: 1, position: [x, y], level: null, input: false, output: false, sign: null };
  return { ...graph, regions: [...graph.regions, region] };
}

function addPathway(graph, source, target) {
  const pathway = { source, target, density: 1, known: true, evidence: null };
  const tested_absent = graph.tested_absent.filter(([s, t]) => s !== source || t !== target);
  return { ...graph, pathways: [...graph.pathways, pathway], tested_absent };
}

function withPathway(graph, key, changes) {
  return { ...graph, pathways: graph.pathways.map((p) => (pathKey(p) === key ? { ...p, ...changes } : p)) };
}

/** Without these regions, their pathways, and these pathways. */
function without(graph, keys) {
  const gone = new Set(keys);
  const stays = (name) => !gone.has(regionKey(name));
  return {
    ...graph,
    regions: graph.regions.filter((r) => stays(r.name)),
    pathways: graph.pathways.filter((p) => stays(p.source) && stays(p.target) && !gone.has(pathKey(p))),
    tested_absent: graph.tested_absent.filter((pair) => pair.every(stays)),
  };
}

/** Whether a graph can be drawn at all. What is wrong with it is for Python to say. */
function isWellFormed({ regions, pathways }) {
  const names = new Set(regions.map((r) => r.name));
  const isShare = (density) => typeof density === "number" && density > 0 && density <= 1;
  return (
    names.size === regions.length && new Set(pathways.map(pathKey)).size === pathways.length &&
    regions.every((r) => Number.isInteger(r.size) && r.size > 0 && isShare(r.density)) &&
    pathways.every((p) => p.source !== p.target && names.has(p.source) && names.has(p.target) && isShare(p.density))
  );
}

function freeName(graph) {
  const taken = new Set(graph.regions.map((r) => r.name));
  let number = graph.regions.length + 1;
  while (taken.has(`region ${number}`)) number++;
  return `region ${number}`;
}

// Reading

/** A density as it is written on a chip: two digits, more only where two would say nothing. */
function densityText(density) {
  return density >= 0.005 ? density.toFixed(2) : density.toPrecision(1);
}

/** The graph with everything that is looked up again and again. */
function readScene(graph) {
  const style = mapStyle(graph.regions.length);
  const regions = new Map(graph.regions.map((region) => [region.name, region]));
  const paths = new Map(graph.pathways.map((path) => [pathKey(path), path]));
  // large maps leave out what was never tested: 34 dashed lines would hide 77 known ones
  const shown = (path) => path && (path.known || !style.merged);
  const into = (name) => graph.pathways.filter((p) => p.target === name && shown(p));
  const outOf = (name) => graph.pathways.filter((p) => p.source === name && shown(p));
  const back = (path) => paths.get(pathKey({ source: path.target, target: path.source }));
  const absent = new Set(graph.tested_absent.map(([source, target]) => pathKey({ source, target })));
  const counted = graph.pathways.some((p) => p.evidence);
  const most = Math.max(2, ...graph.pathways.map((p) => p.evidence?.[0] ?? 0));
  /** From 0 to 1: how much stands behind a pathway, entries where they were counted, else density. */
  const strength = (p) => (counted ? Math.log2(1 + (p.evidence?.[0] ?? 0)) / Math.log2(1 + most) : p.density);
  return { graph, style, regions, paths, shown, into, outOf, back, absent, counted, strength };
}

function regionLabel(scene, region, selected) {
  const ends = [region.input && "input", region.output && "output"].filter(Boolean);
  const [into, outOf] = [scene.into(region.name).length, scene.outOf(region.name).length];
  return [region.name, plural(region.size, "unit"), ...ends, region.sign && `sign ${region.sign > 0 ? "plus" : "minus"}`,
    selected && "selected", `${plural(into, "pathway")} in`, `${outOf} out`].filter(Boolean).join(", ");
}

const pathLabel = (path, selected) =>
  `Pathway from ${path.source} to ${path.target}, ${path.known ? "" : "never tested, "}density ${densityText(path.density)}${selected ? ", selected" : ""}`;

/** What a cell of the matrix says: found, unsure, absent, open (no word on it), closed or inside. */
function cellState(scene, target, source) {
  if (target === source) return "inside";
  const key = pathKey({ source, target });
  const path = scene.paths.get(key);
  if (path?.known) return "found";
  if (scene.absent.has(key)) return "absent";
  if (path && !scene.absent.size) return "untested";
  return scene.absent.size ? "unsettled" : "closed";
}

const CELL_WORDS = {
  found: "pathway", untested: "never tested: closed", absent: "tested, none found: closed",
  unsettled: "not settled: closed", closed: "no pathway: closed", inside: "inside a region",
};

const HELP = [
  ["With the keyboard, in the drawing", [
    ["Arrows", "Next region or cell in that direction"], ["N", "New region"],
    ["P, arrows, Enter", "Pathway from here"], ["M, arrows, Enter", "Move by 8, with Shift by 1"],
    ["E, D", "Edit the name; the density"], ["I, O", "Input; output"], ["U", "Known or never tested"],
    ["R", "Turn a pathway round"], ["+ −", "Density by 0.05, size by 8"], ["] [", "Next, previous pathway of a region"],
    ["Delete", "Remove"], ["F", "Keep a region in view"], ["V", "Map or matrix"], ["0", "Fit the drawing"],
    ["Space", "Matrix: open or close a cell"], ["Enter", "Edit in the panel"],
    ["Esc", "One step back, and out of the drawing"], ["Ctrl Z, Ctrl Shift Z", "Undo, redo"],
  ]],
  ["With the pointer", [
    ["Double-click on free ground", "New region"], ["Drag the blue handle", "New pathway, or new region with one"],
    ["Drag a region", "Move; Ctrl leaves the grid"], ["Drag a density", "Up or down by 0.01"],
    ["Double-click a pathway", "Known or never tested"], ["Ctrl click, or drag a frame", "Select several"],
    ["Ctrl wheel", "Zoom"], ["Drag with the middle button", "Move the drawing"],
  ]],
];

// View

class RegionGraphView {
  constructor(model, el, talk) {
    this.model = model;
    this.talk = talk;
    this.uid = `sk${Math.random().toString(36).slice(2, 9)}`; // ids are shared by the whole page
    this.mode = null;
    this.zoom = { k: 1, x: 0, y: 0 };
    this.bows = new Map();
    this.trial = null; // the graph as it would be if the gesture that is going on ended here
    this.pointers = new Map();
    this.ui = { active: null, hover: null, kept: null, cell: null, gesture: null, editing: false, open: false, dismissed: null };
    this.frame = frame({
      testid: "region-graph-editor", title: "Region graph", keys: HELP,
      make: [button("add-region", { label: "Region", name: "region", title: "New region (N)" }),
        button("add-pathway", { label: "Pathway", name: "pathway", title: "New pathway (P)" })],
      extra: h("span", { class: "sk-switch", role: "group", "aria-label": "View" },
        button("map", { label: "Map", title: "Draw as a map (V)" }), button("matrix", { label: "Matrix", title: "Show as a matrix (V)" })),
      run: (cmd, pressed) => this.run(cmd, pressed),
    });
    this.buildCanvas();
    this.listen();
    el.append(this.frame.root);
    this.draw();
  }

  buildCanvas() {
    this.layers = Object.fromEntries(["back", "lines", "chips", "strands", "regions", "front"].map((name) => [name, s("g", { class: `sk-${name}` })]));
    this.world = s("g", {}, Object.values(this.layers));
    const dots = s("pattern", { id: `${this.uid}-dots`, width: 24, height: 24, patternUnits: "userSpaceOnUse" },
      s("circle", { cx: 12, cy: 12, r: 1, class: "sk-dot" }));
    this.grid = s("rect", { x: -600, y: -600, width: 1800, height: 1700, fill: `url(#${this.uid}-dots)` });
    this.cells = s("g", { class: "sk-cells" });
    this.svg = s("svg", {
      "data-testid": "canvas", role: "application", tabindex: 0, viewBox: `0 0 ${CANVAS.width} ${CANVAS.height}`,
      "aria-describedby": `${this.uid}-first`,
    }, s("defs", {}, dots), this.grid, this.world, this.cells);
    const first = "Press N for a new region, P for a pathway from the selected one, question mark for all keys.";
    this.frame.canvas.append(this.svg, h("span", { id: `${this.uid}-first`, class: "sk-voice" }, first));
  }

  listen() {
    const { on, root } = this.frame;
    const canvas = this.svg;
    on(canvas, "pointerdown", (e) => this.pointerDown(e));
    on(canvas, "pointermove", (e) => this.pointerMove(e));
    on(canvas, "pointerup", (e) => this.pointerUp(e));
    on(canvas, "pointercancel", () => this.cancelGesture());
    on(canvas, "mousedown", (e) => e.preventDefault()); // the focus is placed by pointerDown
    on(canvas, "dblclick", (e) => this.doubleClick(e));
    on(canvas, "wheel", (e) => this.wheel(e), { passive: false });
    on(canvas, "pointerover", (e) => this.pointAt(e));
    on(canvas, "pointerleave", () => this.hover(null));
    on(canvas, "keydown", (e) => this.canvasKey(e));
    on(canvas, "focusin", (e) => this.focused(e.target));
    on(canvas, "focusout", () => this.frame.root.classList.remove("sk-in-canvas"));
    on(root, "keydown", (e) => this.frameKey(e));
    on(root, "pointerdown", () => this.markKeys(false), { capture: true });
    on(root, "keydown", () => this.markKeys(true), { capture: true });
    on(root, "focusin", (e) => this.entered(e));
    const { model } = this;
    model.on("change:value", () => this.later());
    model.on("change:messages", () => this.later());
    model.on("change:selected", () => (this.ui.editing = false, this.later()));
    model.on("change:facts", () => (this.speak(), this.later()));
    model.on("comm_live_update", () => this.later());
    this.busy = () => this.watchBusy();
    this.talk.watchers.add(this.busy);
    this.talk.speaker ??= this;
    this.heard = model.get("facts").said?.id;
  }

  /** Focus rings in the drawing are for the keyboard; a click does not call for one. */
  markKeys(used) {
    this.frame.root.classList.toggle("sk-by-keys", used);
    this.pressing = !used;
  }

  entered({ relatedTarget }) {
    this.talk.speaker = this;
    if (!this.pressing && !this.frame.root.contains(relatedTarget)) this.markKeys(true);
    this.pressing = false;
  }

  close() {
    clearTimeout(this.busyTimer);
    clearTimeout(this.hoverTimer);
    this.closed = true;
    this.talk.watchers.delete(this.busy);
    if (this.talk.speaker === this) this.talk.speaker = null;
    this.frame.close();
  }

  later() {
    if (this.due) return;
    this.due = true;
    queueMicrotask(() => {
      this.due = false;
      if (!this.closed) this.draw();
    });
  }

  watchBusy() {
    const { root } = this.frame;
    clearTimeout(this.busyTimer);
    if (this.talk.idle()) root.classList.remove("sk-busy");
    else this.busyTimer = setTimeout(() => root.classList.toggle("sk-busy", !this.talk.idle()), 300);
  }

  /** Reads out what Python says has happened, and what it refused. */
  speak() {
    const { said } = this.model.get("facts");
    if (!said || said.id === this.heard) return;
    this.heard = said.id;
    if ((this.talk.speaker ?? this) !== this) return;
    if (said.refused) this.frame.alert(said.text);
    else this.frame.say(said.text, this.stepping ? 500 : 0);
    this.stepping = false;
  }

  // State

  /** The graph that is drawn; an edit that Python will refuse is never drawn. */
  get graph() {
    const value = this.model.get("value");
    if (isWellFormed(value)) this.good = value;
    return this.trial ?? this.good;
  }

  get dead() {
    return Boolean(this.frame.root.closest(".jupyter-widgets-disconnected"));
  }

  get selected() {
    return this.model.get("selected").filter((key) => this.scene.paths.has(key) || this.scene.regions.has(key.slice(2)));
  }

  /** The one thing that keys act on: the selected one, else the one in focus. */
  get current() {
    const { selected } = this;
    if (selected.length) return selected.length === 1 ? selected[0] : null;
    return this.frame.root.contains(document.activeElement) && this.exists(this.ui.active) ? this.ui.active : null;
  }

  get currentRegion() {
    return this.current?.startsWith("r:") ? this.scene.regions.get(this.current.slice(2)) : null;
  }

  get currentPath() {
    return this.scene.paths.get(this.current) ?? null;
  }

  exists(key) {
    return Boolean(key) && (this.scene.paths.has(key) || (key.startsWith("r:") && this.scene.regions.has(key.slice(2))));
  }

  place(name) {
    const [x, y] = this.scene.regions.get(name).position;
    return { x, y };
  }

  circles() {
    const { regions, style } = this.scene;
    return new Map([...regions].map(([name, r]) => [name, { ...this.place(name), r: style.radius(r.size) }]));
  }

  commit(graph, selected) {
    if (this.dead) return;
    this.ui.open = false;
    this.talk.edit(graph, selected);
    this.draw();
  }

  select(keys, { focus = null } = {}) {
    this.ui.editing = false;
    if (String(keys) !== String(this.model.get("selected"))) this.talk.select(keys);
    if (focus) this.ui.active = focus;
    this.draw();
    if (focus) this.focusThing(focus);
  }

  // Drawing

  draw() {
    this.scene = readScene(this.graph);
    const count = this.graph.regions.length;
    this.mode = count > TOO_MANY ? "matrix" : (this.mode ?? (count > 25 ? "matrix" : "map"));
    this.keepFocus(() => {
      this.drawCanvas();
      this.drawPanel();
    });
    this.drawBar();
    this.drawStatus();
    this.frame.showCode(this.model.get("facts").code);
  }

  /** Redraws without letting the focus fall out of the drawing, where a key would reach the notebook. */
  keepFocus(redraw) {
    const had = this.svg.contains(document.activeElement);
    redraw();
    if (had && !this.svg.contains(document.activeElement)) this.focusThing(this.ui.active);
  }

  drawBar() {
    const { graph } = this;
    const { undo, redo } = this.model.get("facts");
    this.frame.fact.textContent = this.countWords();
    const bar = (cmd) => this.frame.bar.querySelector(`[data-cmd="${cmd}"]`);
    const enable = (cmd, can) => setAttributes(bar(cmd), { "aria-disabled": can ? null : "true" });
    enable("undo", undo && !this.dead);
    enable("redo", redo && !this.dead);
    enable("add-region", !this.dead);
    enable("add-pathway", graph.regions.length > 1 && !this.dead);
    enable("map", graph.regions.length <= TOO_MANY);
    setAttributes(bar("map"), { "aria-pressed": this.mode === "map" });
    setAttributes(bar("matrix"), { "aria-pressed": this.mode === "matrix" });
    setAttributes(bar("undo"), { title: undo ? `Undo: ${undo} (Ctrl Z)` : "Nothing to undo" });
    setAttributes(bar("redo"), { title: redo ? `Redo: ${redo} (Ctrl Shift Z)` : "Nothing to redo" });
  }

  countWords() {
    const { regions, pathways } = this.graph;
    const untested = pathways.filter((p) => !p.known).length;
    if (!regions.length) return "empty";
    return `${plural(regions.length, "region")}, ${plural(pathways.length - untested, "pathway")}${untested ? `, ${untested} never tested` : ""}`;
  }

  drawCanvas() {
    const isMap = this.mode === "map";
    this.frame.root.dataset.mode = this.mode;
    this.world.toggleAttribute("hidden", !isMap);
    this.grid.toggleAttribute("hidden", !isMap);
    this.cells.toggleAttribute("hidden", isMap);
    setAttributes(this.svg, { "aria-roledescription": isMap ? "region map" : "region matrix", "aria-label": this.countWords() });
    if (isMap) this.cells.replaceChildren();
    if (isMap) this.drawMap();
    else this.drawMatrix();
    this.rove();
  }

  /** The drawing is one stop for Tab: the thing used last, else the first. */
  rove() {
    const drawn = this.mode === "map" ? this.world : this.cells;
    const nodes = [...drawn.querySelectorAll("[data-key][tabindex]")];
    const active = nodes.find((node) => node.dataset.key === this.ui.active) ?? nodes[0];
    for (const node of nodes) setAttributes(node, { tabindex: node === active ? 0 : -1 });
    setAttributes(this.svg, { tabindex: nodes.length ? -1 : 0 });
    this.ui.active = active?.dataset.key ?? null;
  }

  node(key) {
    return [...this.svg.querySelectorAll("[data-key]")].find((node) => node.dataset.key === key);
  }

  focusThing(key) {
    this.ui.active = key;
    this.rove();
    (this.node(this.ui.active) ?? this.svg).focus({ preventScroll: true });
  }

  focused(node) {
    const key = node.dataset?.key;
    this.frame.root.classList.toggle("sk-in-canvas", true);
    if (!key || key === this.ui.active) return;
    this.ui.active = key;
    this.rove();
  }

  // The map

  drawMap() {
    setAttributes(this.svg, { viewBox: `0 0 ${CANVAS.width} ${CANVAS.height}`, style: null });
    setAttributes(this.world, { transform: `translate(${round(this.zoom.x)} ${round(this.zoom.y)}) scale(${this.zoom.k})` });
    this.placed = this.circles();
    this.lines = this.routed();
    const { selected } = this;
    this.drawBack();
    this.drawLines(selected);
    this.drawRegions(selected);
    this.drawFront();
    this.drawFocus();
  }

  /** Every pathway with its curve; lines that nobody moved keep their bow. */
  routed() {
    const { scene, placed } = this;
    const same = (name) => JSON.stringify(this.routedCircles?.get(name)) === JSON.stringify(placed.get(name));
    const lines = scene.graph.pathways.map((path) => this.lineOf(path));
    const drawn = lines.filter((line) => !line.mirror && line.prominent);
    const still = drawn.filter(({ key, from, to }) => this.bows.has(key) && ((same(from) && same(to)) || this.trial));
    const kept = still.length * 2 >= drawn.length ? new Map(still.map(({ key }) => [key, this.bows.get(key)])) : new Map();
    const compute = () => chooseBows(drawn, this.obstacles(), kept, scene.style.chips);
    const drawing = JSON.stringify([drawn.map((line) => line.key), [...this.obstacles()]]);
    this.bows = this.trial ? compute() : this.talk.remembered(drawing, compute);
    if (!this.trial) this.routedCircles = placed;
    for (const line of lines) {
      const bow = this.bows.get(line.mirror ?? line.key) ?? 0.06;
      line.whole = curve(placed.get(line.from), placed.get(line.to), line.mirror ? -bow : bow);
    }
    return lines;
  }

  lineOf(path) {
    const { scene } = this;
    const key = pathKey(path);
    const other = scene.back(path);
    const back = scene.shown(path) && scene.shown(other) ? other : null;
    const mirror = scene.style.merged && back && scene.graph.pathways.indexOf(back) < scene.graph.pathways.indexOf(path) ? pathKey(back) : null;
    const twin = Boolean(scene.style.chips && back);
    const prominent = scene.shown(path) && (scene.style.strongest === undefined || this.strongest(path, scene.style.strongest) || (back && this.strongest(back, scene.style.strongest)));
    return { key, path, from: path.source, to: path.target, back, mirror, twin, prominent };
  }

  strongest(path, number) {
    const { scene } = this;
    const rank = (list) => [...list].sort((p, q) => scene.strength(q) - scene.strength(p)).indexOf(path);
    return rank(scene.outOf(path.source)) < number && number > 0;
  }

  /** The circles, and the docking arrows of inputs and outputs, which lines keep clear of as well. */
  obstacles() {
    const all = new Map(this.placed);
    if (!this.scene.style.chips) return all;
    for (const [name, { x, y, r }] of this.placed) {
      const { input, output } = this.scene.regions.get(name);
      if (input) all.set(`input of ${name}`, { x: x - r - 14, y: y - 4, r: 12 });
      if (output) all.set(`output of ${name}`, { x: x + r + 14, y: y - 4, r: 12 });
    }
    return all;
  }

  drawBack() {
    const { scene, layers } = this;
    const columns = scene.style.groups ? [] : levelColumns(scene.graph.regions);
    const empty = !scene.graph.regions.length;
    layers.back.replaceChildren(
      ...columns.flatMap(({ level, x }) => [s("path", { class: "sk-column", d: `M${round(x)} 30V456` }), s("text", { x, y: 22, class: "sk-small" }, level)]),
      ...(columns.length ? [s("text", { x: 12, y: 470, class: "sk-small sk-start" }, "Columns: level in the hierarchy")] : []),
      ...(scene.style.groups ? this.hulls() : []), ...(empty ? ghosts() : []));
    this.grid.toggleAttribute("hidden", columns.length > 0);
  }

  /** Groups of regions, and how many pathways run between them. */
  hulls() {
    const groups = groupsByPlace(this.placed).filter((group) => group.length > 1);
    const middles = groups.map((group) => {
      const points = group.map((name) => this.placed.get(name));
      return { x: points.reduce((sum, p) => sum + p.x, 0) / points.length, y: points.reduce((sum, p) => sum + p.y, 0) / points.length };
    });
    const outlines = groups.map((group) => {
      const around = group.flatMap((name) => {
        const { x, y, r } = this.placed.get(name);
        return Array.from({ length: 8 }, (_, i) => ({ x: x + (r + 10) * Math.cos((i * Math.PI) / 4), y: y + (r + 10) * Math.sin((i * Math.PI) / 4) }));
      });
      return s("path", { class: "sk-hull", d: `M${hull(around).map((p) => `${round(p.x)} ${round(p.y)}`).join("L")}Z` });
    });
    const between = groups.flatMap((a, i) => groups.slice(i + 1).map((b, j) => this.bundle(a, b, middles[i], middles[i + 1 + j])));
    return [...outlines, ...between.flat()];
  }

  bundle(a, b, from, to) {
    const [inA, inB] = [new Set(a), new Set(b)];
    const number = this.scene.graph.pathways.filter((p) => (inA.has(p.source) && inB.has(p.target)) || (inB.has(p.source) && inA.has(p.target))).length;
    if (!number) return [];
    const whole = curve(from, to, 0.16);
    const free = (p) => Math.min(...[...this.placed.values()].map((circle) => distance(circle, p) - circle.r));
    const middle = [0.5, 0.4, 0.6, 0.3, 0.7].map((t) => pointAt(whole, t)).reduce((p, q) => (free(p) < 12 && free(q) > free(p) ? q : p));
    return [s("path", { class: "sk-bundle", d: curveText(whole), "stroke-width": round(1 + 0.6 * Math.log2(number)) }),
      s("text", { class: "sk-small sk-halo sk-bundle-count", x: round(middle.x), y: round(middle.y + 4) }, number)];
  }

  width(path) {
    const { style, strength, counted } = this.scene;
    if (style.chips) return path.known ? 1.5 + 4 * path.density : 1.5;
    return counted ? 1 + 0.28 * Math.log2(Math.max(1, path.evidence?.[0] ?? 1)) : 1 + 1.6 * strength(path);
  }

  /** How strongly a merged line is inked: by weight, long ones paler. */
  ink(line) {
    if (this.scene.style.chips) return 1;
    if (!line.prominent) return this.scene.shown(line.path) && !this.scene.style.groups ? 0.08 : 0;
    const length = distance(line.whole.a, line.whole.b);
    const strength = Math.max(this.scene.strength(line.path), line.back ? this.scene.strength(line.back) : 0);
    return (0.42 + 0.5 * strength) * (length > 300 ? 0.72 : length > 180 ? 0.86 : 1);
  }

  drawLines(selected) {
    const { scene, placed, layers } = this;
    const items = this.lines.map((line) => {
      const half = Boolean(scene.style.merged && line.back);
      line.thick = half ? Math.max(this.width(line.path), this.width(line.back)) : this.width(line.path);
      const bar = scene.regions.get(line.from).sign === -1;
      line.shape = arrow(line.whole, placed.get(line.from).r, placed.get(line.to).r, line.thick, { half, bar });
      return [line.key, line];
    });
    keyed(layers.lines, items, () => s("g", { class: "sk-pathway", role: "button", tabindex: -1 }, s("path", { class: "sk-hit" }), s("path", { class: "sk-line" }), s("path", { class: "sk-head" })),
      (g, line, key) => this.updateLine(g, line, selected.includes(key)));
    this.drawChips(selected);
  }

  updateLine(g, line, isSelected) {
    const { path, shape } = line;
    setAttributes(g, {
      "aria-label": pathLabel(path, isSelected), style: `--ink:${round(this.ink(line) * 10) / 10}`,
      class: ["sk-pathway", isSelected && "sk-selected", !path.known && "sk-untested", !line.prominent && "sk-hair"].filter(Boolean).join(" "),
    });
    const [hit, drawn, head] = g.children;
    setAttributes(hit, { d: shape.line });
    setAttributes(drawn, { d: shape.line, "stroke-width": round(line.thick) });
    setAttributes(head, { d: shape.head });
  }

  drawChips(selected) {
    const { layers, scene } = this;
    const chipText = ({ known, density }) => (known ? densityText(density) : "never tested");
    const lines = scene.style.chips ? this.lines : [];
    for (const line of lines) line.width = textWidth(chipText(line.path), 12) + 10;
    placeChips(lines, this.placed);
    const items = lines.map((line) => [`c:${line.key.slice(2)}`, line]);
    keyed(layers.chips, items, () => s("g", { class: "sk-chip", "aria-hidden": "true" }, s("rect", { class: "sk-hit" }), s("rect", { rx: 3 }), s("text", { y: 4 })), (g, line) => {
      const wide = Math.max(25, line.width);
      setAttributes(g, { transform: `translate(${round(line.chip.x)} ${round(line.chip.y)})`, class: `sk-chip ${selected.includes(line.key) ? "sk-selected" : ""} ${line.path.known ? "" : "sk-untested"}` });
      setAttributes(g.children[0], { x: -wide / 2, width: wide, y: -12.5, height: 25 });
      setAttributes(g.children[1], { x: -line.width / 2, width: line.width, y: -9, height: 18 });
      if (g.children[2].textContent !== chipText(line.path)) g.children[2].textContent = chipText(line.path);
    });
  }

  drawRegions(selected) {
    const culprits = this.culprits();
    const { scene, placed, layers } = this;
    const beside = scene.style.beside ? this.namesBeside() : null;
    const named = this.namedRegions();
    keyed(layers.regions, [...scene.regions].map(([name, region]) => [regionKey(name), region]),
      () => s("g", { role: "button", tabindex: -1 }),
      (g, region) => {
        const isSelected = selected.includes(regionKey(region.name));
        const { x, y } = placed.get(region.name);
        setAttributes(g, {
          transform: `translate(${round(x)} ${round(y)})`, "aria-label": regionLabel(scene, region, isSelected),
          class: ["sk-region", isSelected && "sk-selected", culprits.has(region.name) && "sk-culprit", named && !named.has(region.name) && "sk-unnamed"].filter(Boolean).join(" "),
        });
        g.replaceChildren(...this.regionParts(region, beside?.get(region.name), culprits));
      });
  }

  namesBeside() {
    const { scene, placed } = this;
    const dock = (name, side) => {
      const { x, y, r } = placed.get(name);
      return curve({ x: x + side * r, y }, { x: x + side * (r + 18), y }, 0);
    };
    const docks = scene.graph.regions.flatMap(({ name, input, output }) => [input && dock(name, -1), output && dock(name, 1)]).filter(Boolean);
    const lines = this.lines.filter((line) => line.prominent).map((line) => line.whole);
    return placeNames([...scene.regions.keys()], placed, 11, [...lines, ...docks]);
  }

  /** With very many regions only the largest are named at rest; null names them all. */
  namedRegions() {
    if (!this.scene.style.groups) return null;
    const bySize = [...this.scene.graph.regions].sort((p, q) => q.size - p.size);
    return new Set(bySize[0]?.size === bySize.at(-1)?.size ? [] : bySize.slice(0, 8).map((r) => r.name));
  }

  culprits() {
    return new Set(this.model.get("messages").filter((m) => m.kind === "bad" && !m.field).flatMap((m) => m.regions ?? []));
  }

  regionParts(region, beside, culprits) {
    const { r } = this.placed.get(region.name);
    const inner = region.density < 1 && innerRing(r, region.density);
    const angles = this.lineAngles(region.name);
    const above = angles.filter((a) => Math.sin(a) > 0.6).length > angles.filter((a) => Math.sin(a) < -0.6).length;
    const parts = [
      s("circle", { class: "sk-hit", r: Math.max(r, 12.5) }), s("circle", { class: "sk-ring", r: r + 5 }), s("circle", { class: "sk-disc", r }),
      inner, ...dockingArrows(region, r, this.scene.style.chips), ...regionText(region, r, this.scene.style, beside, above)];
    if (culprits.has(region.name)) parts.push(badge(0.7 * r, -0.72 * r));
    return [...parts.filter(Boolean), this.handle(region, r, angles)];
  }

  /** The directions in which lines touch a region. */
  lineAngles(name) {
    const { x, y } = this.placed.get(name);
    const ends = this.lines.flatMap((line) => [line.from === name && line.shape.leave, line.to === name && line.shape.arrive]).filter(Boolean);
    return ends.map((p) => Math.atan2(p.y - y, p.x - x));
  }

  /** The handle sits in the widest gap between the lines; on a region of its own at the right. */
  handle({ name, input, output }, r, angles) {
    const docks = [input && Math.PI, output && 0].filter((angle) => angle !== false);
    const taken = [...angles, ...docks];
    const angle = widestGap(taken.length ? taken : [Math.PI]);
    const small = r < 28;
    const reach = small ? r + 9 : r;
    return s("g", { class: "sk-handle", "data-key": `h:${name}`, transform: `translate(${round(reach * Math.cos(angle))} ${round(reach * Math.sin(angle))})`, "aria-hidden": "true" },
      s("circle", { class: "sk-hit", r: 12.5 }), s("circle", { class: "sk-knob", r: small ? 8 : 12 }),
      s("path", { transform: small ? "scale(.7)" : null, d: "M-5 0H5M1-4 5 0 1 4" }));
  }

  /** What belongs to a gesture that is going on: a ghost line, a frame. */
  drawFront() {
    const { gesture } = this.ui;
    const parts = [];
    if (gesture?.kind === "link" && gesture.from) parts.push(...this.ghostLine(gesture));
    if (gesture?.kind === "frame" && gesture.moved) parts.push(frameRect(gesture));
    this.layers.front.replaceChildren(...parts);
    const linking = gesture?.kind === "link";
    this.frame.root.classList.toggle("sk-linking", linking);
    if (linking) for (const g of this.layers.regions.children) {
      const name = g.dataset.key.slice(2);
      g.classList.toggle("sk-target", !gesture.from || (name !== gesture.from && !this.scene.paths.has(pathKey({ source: gesture.from, target: name }))));
      g.classList.toggle("sk-chosen", name === gesture.target);
    }
  }

  ghostLine({ from, target, at }) {
    const circle = this.placed.get(from);
    const end = target ? this.placed.get(target) : at && { ...at, r: 0 };
    if (!end || distance(circle, end) < circle.r) return [];
    const ghost = arrow(curve(circle, end, 0.08), circle.r, end.r, 2);
    return [s("path", { class: "sk-ghost", d: ghost.line }), s("path", { class: "sk-ghost-head", d: ghost.head })];
  }

  // Focus: one region's own pathways come forward

  focusName() {
    const { kept, hover, active } = this.ui;
    const { scene } = this;
    if (kept && scene.regions.has(kept)) return kept;
    if (!scene.style.merged || this.ui.gesture) return null;
    const [only, ...more] = this.selected;
    if (only) return !more.length && only.startsWith("r:") ? only.slice(2) : null;
    if (hover && scene.regions.has(hover)) return hover;
    return this.svg.contains(document.activeElement) && active?.startsWith("r:") && this.frame.root.matches(".sk-by-keys") ? active.slice(2) : null;
  }

  /** Classes only, and the few strands of one region: the map itself is not redrawn. */
  drawFocus() {
    const name = this.mode === "map" ? this.focusName() : null;
    const { scene, placed, layers, lines } = this;
    this.frame.root.classList.toggle("sk-faded", Boolean(name));
    const own = name ? lines.filter((line) => scene.shown(line.path) && (line.from === name || line.to === name)) : [];
    const near = new Set(own.flatMap((line) => [line.from, line.to]).concat(name ?? []));
    for (const g of layers.regions.children) g.classList.toggle("sk-near", near.has(g.dataset.key.slice(2)));
    const picked = scene.style.merged ? this.selected.filter((key) => scene.paths.has(key)) : [];
    const strand = (line, kind) => {
      const course = line.prominent ? line.whole : this.clearCourse(line);
      const whole = line.back && scene.style.merged ? shifted(course, 2.6) : course;
      const bar = scene.regions.get(line.from).sign === -1;
      const shape = arrow(whole, placed.get(line.from).r + (kind === "sk-picked" ? 0 : 1), placed.get(line.to).r + 1, 2, { bar });
      return s("g", { class: kind }, s("path", { class: "sk-line", d: shape.line, "stroke-width": 2 }), s("path", { class: "sk-head", d: shape.head }));
    };
    layers.strands.replaceChildren(
      ...own.map((line) => strand(line, line.to === name ? "sk-into" : "sk-out-of")),
      ...lines.filter((line) => picked.includes(line.key)).map((line) => strand(line, "sk-picked")));
  }

  /** A line that shows only in focus keeps clear of regions, not of other lines. */
  clearCourse({ from, to }) {
    const [a, b] = from < to ? [from, to] : [to, from]; // one course for both directions
    const bow = chooseBows([{ key: "", from: a, to: b }], this.placed, new Map(), false).get("");
    return curve(this.placed.get(from), this.placed.get(to), a === from ? bow : -bow);
  }

  hover(name) {
    clearTimeout(this.hoverTimer);
    if (name === this.ui.hover || this.ui.gesture) return;
    this.hoverTimer = setTimeout(() => {
      this.ui.hover = name;
      if (this.mode === "map" && this.scene.style.merged) this.drawFocus(), this.drawPanel(), this.drawStatus();
    }, 80);
  }

  pointAt(event) {
    const key = event.target.closest("[data-key]")?.dataset.key;
    this.hover(key && "rh".includes(key[0]) ? key.slice(2) : null);
  }

  // The matrix

  /** Cell size and the corner of the first cell. */
  matrixPlan() {
    const names = this.graph.regions.map((r) => r.name);
    const cell = clamp(10, 2 * Math.floor(Math.min(400 / Math.max(1, names.length), 40) / 2), 40);
    const text = cell >= 14 ? 11 : 9;
    const label = clamp(24, Math.max(...names.map((name) => textWidth(name, text + 1))) + 10, 110);
    const side = cell * names.length;
    const width = Math.max(CANVAS.width, side + label + 32);
    const height = Math.max(CANVAS.height, side + label + 30);
    return { names, cell, text, label, width, height, left: Math.max(label + 16, (width - side + label) / 2 - 8), top: Math.max(label + 24, (height - side + label) / 2 - 4) };
  }

  drawMatrix() {
    const plan = (this.plan = this.matrixPlan());
    const big = plan.width > CANVAS.width || plan.height > CANVAS.height; // then the canvas scrolls
    setAttributes(this.svg, { viewBox: `0 0 ${plan.width} ${plan.height}`, style: big ? `width:${plan.width}px;height:${plan.height}px` : null });
    let [labels, grid] = this.cells.children;
    if (!grid) this.cells.append((labels = s("g", {})), (grid = s("g", {})));
    const { selected } = this;
    this.frame.root.classList.remove("sk-faded");
    const items = plan.names.flatMap((target, row) => plan.names.map((source, column) => [`m:${target}<${source}`, { target, source, row, column }]));
    keyed(grid, items, () => s("g", { class: "sk-cell", role: "button", tabindex: -1 }), (g, item) => this.updateCell(g, item, selected));
    this.drawLabels(labels);
  }

  updateCell(g, { target, source, row, column }, selected) {
    const { cell, left, top } = this.plan;
    const state = cellState(this.scene, target, source);
    const path = this.scene.paths.get(pathKey({ source, target }));
    const key = path ? pathKey(path) : target === source ? regionKey(source) : null;
    const shade = path ? 0.25 + 0.6 * this.scene.strength(path) : state === "inside" ? 0.9 : 0;
    const look = JSON.stringify([state, shade, cell, left, top, row, column]);
    setAttributes(g, {
      class: `sk-cell sk-${state} ${key && selected.includes(key) ? "sk-selected" : ""}`, "aria-pressed": state === "inside" ? null : Boolean(path),
      "aria-label": state === "inside" ? `Inside ${source}, density ${densityText(this.scene.regions.get(source).density)}`
        : path ? pathLabel(path, selected.includes(key)) : `From ${source} to ${target}, ${CELL_WORDS[state]}`,
      transform: `translate(${round(left + column * cell)} ${round(top + row * cell)})`,
    });
    if (g.look === look) return;
    g.look = look;
    g.replaceChildren(s("rect", { class: "sk-hit", width: cell, height: cell }), ...cellMark(state, cell, shade), s("rect", { class: "sk-ring", x: -1, y: -1, width: cell + 2, height: cell + 2, rx: 4 }));
  }

  /** Row and column names, with the band of the cell in focus. */
  drawLabels(layer) {
    const { names, cell, text, left, top } = this.plan;
    const [target, source] = this.cursor() ?? [];
    const side = cell * names.length;
    const band = (x, y, width, height, kind) => s("rect", { x, y, width, height, class: kind });
    const name = (value) => (value.length > 16 ? `${value.slice(0, 15)}…` : value);
    const rows = names.map((value, i) => s("text", { x: left - 8, y: top + (i + 0.5) * cell + text * 0.36, class: `sk-end ${value === target ? "sk-into" : ""}`, "font-size": text }, name(value)));
    const columns = names.map((value, i) => s("text", {
      transform: `translate(${left + (i + 0.5) * cell + text * 0.36} ${top - 8}) rotate(-90)`, class: `sk-start ${value === source ? "sk-out-of" : ""}`, "font-size": text,
    }, name(value)));
    const corner = names.length > 0 ? [s("text", { x: left - 8, y: top - 8, class: "sk-small sk-end" }, "to"), s("text", { x: left, y: Math.max(14, top - this.plan.label - 4), class: "sk-small sk-start" }, "from")] : [];
    const bands = source ? [band(left + names.indexOf(source) * cell, top, cell, side, "sk-band-out"), band(left, top + names.indexOf(target) * cell, side, cell, "sk-band-in")] : [];
    layer.replaceChildren(...bands, ...rows, ...columns, ...corner);
  }

  /** [target, source] of the cell in focus, else of what is selected, else of the closed cell. */
  cursor() {
    const node = this.ui.active?.startsWith("m:") && this.node(this.ui.active);
    const cell = node && this.svg.contains(document.activeElement) ? this.cellOf(this.ui.active) : null;
    if (cell) return cell;
    const [key] = this.selected;
    const path = this.scene.paths.get(key);
    if (path) return [path.target, path.source];
    if (key) return [key.slice(2), key.slice(2)];
    return this.ui.cell?.every((name) => this.scene.regions.has(name)) ? this.ui.cell : null;
  }

  cellOf(key) {
    for (const target of this.scene.regions.keys()) {
      if (!key.startsWith(`m:${target}<`)) continue;
      const source = key.slice(target.length + 3);
      if (this.scene.regions.has(source)) return [target, source];
    }
    return null;
  }

  moveCursor([dx, dy]) {
    const { names } = this.plan;
    const [target, source] = this.cursor() ?? [names[0], names[0]];
    if (!names.length) return;
    const row = clamp(0, names.indexOf(target) + dy, names.length - 1);
    const column = clamp(0, names.indexOf(source) + dx, names.length - 1);
    this.goToCell(names[row], names[column]);
  }

  goToCell(target, source) {
    const path = this.scene.paths.get(pathKey({ source, target }));
    const key = `m:${target}<${source}`;
    this.ui.cell = [target, source];
    this.select(path ? [pathKey(path)] : target === source ? [regionKey(source)] : [], { focus: key });
  }

  /** Opens a closed cell, closes an open one; the inside of a region is thinned by its density. */
  toggleCell(target, source) {
    const key = pathKey({ source, target });
    if (target === source) return;
    this.ui.active = `m:${target}<${source}`;
    if (this.scene.paths.has(key)) this.commit(without(this.graph, [key]), []);
    else this.commit(addPathway(this.graph, source, target), [key]);
    this.focusThing(this.ui.active);
  }

  pressCell(key) {
    const [target, source] = this.cellOf(key);
    const path = pathKey({ source, target });
    const open = this.scene.paths.has(path);
    if (target !== source && (!open || this.selected.includes(path))) this.toggleCell(target, source);
    else this.goToCell(target, source);
  }

  // The panel

  panelKind() {
    const { selected, scene } = this;
    if (!scene.graph.regions.length) return ["empty"];
    if (selected.length > 1) return ["several", ...selected];
    const [key] = selected;
    if (scene.paths.has(key)) return ["pathway", scene.graph.pathways.indexOf(scene.paths.get(key))];
    const listed = this.mode === "map" && scene.style.merged && !this.ui.editing;
    if (key) return listed ? ["table", key.slice(2)] : ["region", scene.graph.regions.findIndex((r) => regionKey(r.name) === key)];
    const cell = this.mode === "matrix" && this.cursor();
    if (cell && cell[0] !== cell[1]) return ["cell", ...cell];
    return listed && this.focusName() ? ["table", this.focusName()] : ["whole"];
  }

  /** Builds the panel when its subject changes, else only brings it up to date: fields keep focus. */
  drawPanel() {
    const [kind, ...subject] = this.panelKind();
    const signature = JSON.stringify([kind, ...subject, this.mode]);
    if (signature !== this.signature) {
      this.signature = signature;
      this.fresh = [];
      const sections = PANELS[kind](this, ...subject);
      const reading = this.mode === "matrix" && kind !== "empty" ? [matrixLegend(this), matrixKeys()] : [];
      this.frame.panel.replaceChildren(...[...sections, ...reading].filter(Boolean));
    }
    for (const update of this.fresh) update();
  }

  field(name) {
    return this.frame.panel.querySelector(`[data-field="${name}"]`);
  }

  /** Opens a field of the panel, its text ready to be replaced. */
  openField(name) {
    this.ui.editing = true;
    this.drawPanel();
    const input = this.field(name) ?? this.frame.panel.querySelector("[data-field]");
    input?.focus();
    input?.select?.();
  }

  /** Opens a field for what is selected or in focus. */
  edit(name) {
    const key = this.current;
    if (!key) return;
    if (!this.selected.length) this.select([key], { focus: key });
    this.openField(name);
  }

  backToDrawing() {
    const [key] = this.selected;
    this.focusThing(this.mode === "matrix" || !key ? this.ui.active : key);
  }

  /** What Python refused for a field of the selected thing. */
  refusal(field) {
    return this.refusals().find((m) => m.field === field && this.selected.includes(m.key));
  }

  refusals() {
    return this.model.get("messages").filter((m) => m.refused && m.refused !== this.ui.dismissed);
  }

  // The status strip

  messages() {
    if (this.dead) return [{ kind: "bad", text: "No kernel.", detail: "You can look, not change. Run the cell again." }];
    const hint = this.gestureHint();
    if (hint) return [{ kind: "plain", detail: "", ...hint }];
    const all = this.model.get("messages").filter((m) => !(m.refused && (m.refused === this.ui.dismissed || (m.field && this.field(m.field) && this.selected.includes(m.key)))));
    const warnings = all.filter((m) => m.kind === "warn");
    const first = all.filter((m) => m.kind === "bad" || (m.ways?.length && m.kind !== "warn"));
    const local = this.localHint();
    const others = [...first, ...(local ? [local] : []), ...warnings];
    return others.length ? others : all.map((m) => ({ ...m, detail: `${m.detail} ${this.nextStep()}`.trim() }));
  }

  nextStep() {
    if (this.mode !== "map" || !this.currentRegion || this.scene.style.merged) return "";
    return "Drag the blue handle to add a pathway.";
  }

  gestureHint() {
    const { gesture } = this.ui;
    if (gesture?.kind === "link" && gesture.keys)
      return { text: `Pathway ${gesture.from} → ${gesture.target ?? "…"}`, detail: "Arrow keys choose, Enter makes it, Esc drops it." };
    if (gesture?.kind === "link" && !gesture.from) return { text: "Pathway.", detail: "Click the region it starts from; Esc to drop it." };
    if (gesture?.kind === "link" && gesture.sticky) return { text: `Pathway from ${gesture.from}.`, detail: "Click the region it leads to; Esc to drop it." };
    if (gesture?.kind === "link") return { text: "", detail: "Let go on a region to add a pathway; Esc to drop it." };
    if (gesture?.kind === "shift") return { text: `Moving ${gesture.names.join(", ")}.`, detail: "Arrow keys by 8, with Shift by 1; Enter keeps it, Esc puts it back." };
    if (gesture?.kind === "density") return { text: `${gesture.path.source} → ${gesture.path.target}, density ${densityText(gesture.value)}.`, detail: "Let go to keep it, Esc to put it back." };
    return null;
  }

  localHint() {
    const { scene } = this;
    if (this.mode === "matrix") return this.matrixHint();
    if (scene.graph.regions.length > 0 && scene.graph.regions.length <= 2 && !scene.graph.pathways.length)
      return { kind: "plain", text: "Next: a pathway.", detail: "Drag the blue handle of a region to another one, or to free ground." };
    const name = this.focusName();
    if (!name && scene.style.merged && scene.graph.note) return { kind: "plain", text: scene.graph.note, detail: "Point at a region to see only its own pathways." };
    if (!name) return null;
    const text = `${name}: ${plural(scene.into(name).length, "pathway")} in, ${scene.outOf(name).length} out.`;
    const kept = this.ui.kept === name || this.selected.includes(regionKey(name));
    return { kind: "plain", text, detail: `${kept ? "Esc lets it go." : "Click to keep it in view."} Arrow keys step to the next region.` };
  }

  matrixHint() {
    const cell = this.cursor();
    if (!cell) return null;
    const [target, source] = cell;
    const path = this.scene.paths.get(pathKey({ source, target }));
    const state = cellState(this.scene, target, source);
    const fact = path?.known ? `, density ${densityText(path.density)}.` : `: ${CELL_WORDS[state].replace(": closed", "")}, closed.`;
    const text = target === source ? `Inside ${source}, density ${densityText(this.scene.regions.get(source).density)}.` : `${source} → ${target}${fact}`;
    return { kind: "plain", text, detail: "Columns send, rows receive, as in W[target, source]." };
  }

  drawStatus() {
    this.ways = drawStatus(this.frame.status, this.messages(), this.ui.open);
    const refused = this.refusals()[0];
    if (refused && refused.refused !== this.answered) this.takeRefusal(refused);
  }

  /** A refused edit: the thing is selected again, and if it was typed, its field is open again. */
  takeRefusal(refused) {
    this.answered = refused.refused;
    if (this.talk.speaker !== this || !refused.field || !this.selected.includes(refused.key)) return;
    this.ui.active = refused.key;
    this.openField(refused.field);
    this.drawStatus();
  }

  // Commands

  run(cmd, pressed) {
    const [name, ...rest] = cmd.split(":");
    const argument = rest.join(":");
    const commands = {
      "add-region": () => this.newRegion({ naming: true }), "add-pathway": () => this.startLink(), undo: () => this.step("undo"), redo: () => this.step("redo"),
      map: () => this.show("map"), matrix: () => this.show("matrix"), fit: () => this.fit(), help: () => this.toggleHelp(), copy: () => this.copy(pressed),
      code: () => this.toggleCode(pressed), more: () => (this.ui.open = !this.ui.open, this.drawStatus()),
      delete: () => this.remove(), reverse: () => this.reverse(), edit: () => this.openField("name"), open: () => this.toggleCell(...this.cursor()),
      example: () => this.openExample(argument), examples: () => this.toggleExamples(pressed), select: () => this.select([argument]), way: () => this.takeWay(this.ways[Number(argument)]),
    };
    commands[name]();
  }

  step(direction) {
    if (this.dead) return;
    this.stopGesture();
    this.talk.ask({ do: direction });
  }

  openExample(name) {
    if (this.dead) return;
    this.zoom = { k: 1, x: 0, y: 0 };
    this.mode = null;
    this.talk.ask({ do: "example", name });
    this.svg.focus({ preventScroll: true });
  }

  takeWay(way) {
    if (way.do === "undo") this.step("undo");
    if (way.do === "show") this.showThing(way.key);
    if (way.do === "pathway") this.commit(addPathway(this.graph, way.source, way.target), [pathKey(way)]);
    if (way.do === "known") this.commit(withPathway(this.graph, way.key, { known: true }), [way.key]);
    if (way.do === "region") this.commit(withRegion(this.graph, way.name, way.set), [regionKey(way.name)]);
  }

  showThing(key) {
    if (this.mode === "matrix" && this.graph.regions.length <= TOO_MANY) this.mode = "map";
    this.select([key], { focus: key });
    this.node(key)?.scrollIntoView({ block: "nearest" });
  }

  show(mode) {
    this.stopGesture();
    this.mode = this.graph.regions.length > TOO_MANY ? "matrix" : mode;
    const [key] = this.selected;
    const path = this.scene.paths.get(key);
    if (this.mode === "map") this.ui.active = key ?? this.ui.active;
    else if (key) this.ui.active = path ? `m:${path.target}<${path.source}` : `m:${key.slice(2)}<${key.slice(2)}`;
    const inside = this.svg.contains(document.activeElement);
    this.draw();
    if (inside) this.focusThing(this.ui.active);
  }

  fit() {
    this.zoom = fitting([...this.circles().values()]);
    this.draw();
  }

  toggleCode(pressed) {
    const { code } = this.frame;
    code.hidden = !code.hidden;
    setAttributes(pressed, { "aria-pressed": !code.hidden });
  }

  toggleExamples(pressed) {
    const list = this.frame.panel.querySelector(".sk-list");
    list.hidden = !list.hidden;
    setAttributes(pressed, { "aria-expanded": !list.hidden });
  }

  toggleHelp() {
    const { help } = this.frame;
    help.hidden = !help.hidden;
    if (!help.hidden) {
      this.before = document.activeElement;
      help.querySelector("[tabindex]").focus();
    } else (this.before?.checkVisibility() ? this.before : this.svg).focus();
  }

  async copy(pressed) {
    const { code } = this.model.get("facts");
    try {
      await navigator.clipboard.writeText(code);
    } catch {
      getSelection().selectAllChildren(this.frame.codeText);
      document.execCommand("copy"); // pages without https have no clipboard
    }
    pressed.lastChild.textContent = "Copied";
    this.frame.say("Copied");
  }

  newRegion({ at = null, from = null, naming = false } = {}) {
    if (this.dead) return;
    const name = freeName(this.graph);
    const place = at ?? this.roomBeside();
    const graph = addRegion(this.graph, name, place);
    this.ui.active = regionKey(name);
    this.commit(from ? addPathway(graph, from, name) : graph, [regionKey(name)]);
    if (naming) this.openField("name");
    else this.focusThing(regionKey(name));
  }

  roomBeside() {
    const circles = [...this.circles().values()];
    const beside = this.currentRegion && this.place(this.currentRegion.name);
    const wanted = beside ? { x: beside.x + 144, y: beside.y } : circles.length ? circles.at(-1) : { x: 200, y: 240 };
    return freeSpot(circles, wanted, mapStyle(circles.length + 1).radius(32));
  }

  remove() {
    const keys = this.selected.length ? this.selected : [this.current].filter(Boolean);
    if (!keys.length || this.dead) return;
    const [first] = keys;
    const path = this.scene.paths.get(first);
    const left = [...this.circles()].filter(([name]) => !keys.includes(regionKey(name)));
    const from = path ? this.place(path.source) : this.place(first.slice(2));
    const next = left.sort(([, p], [, q]) => distance(p, from) - distance(q, from))[0];
    const inDrawing = this.svg.contains(document.activeElement) || this.frame.panel.contains(document.activeElement);
    const target = this.mode === "matrix" ? (path ? `m:${path.target}<${path.source}` : null) : next ? regionKey(next[0]) : null;
    if (inDrawing) this.svg.focus({ preventScroll: true }); // before the node in focus goes
    this.ui.active = target;
    this.commit(without(this.graph, keys), []);
    if (inDrawing) this.focusThing(target);
  }

  changeRegion(changes) {
    const names = this.selected.length ? this.selected.filter((key) => key.startsWith("r:")).map((key) => key.slice(2)) : [this.currentRegion?.name].filter(Boolean);
    if (!names.length) return;
    const graph = names.reduce((g, name) => withRegion(g, name, changes), this.graph);
    const renamed = names.length === 1 && "name" in changes;
    if (renamed) this.ui.active = regionKey(changes.name);
    this.commit(graph, names.map((name) => regionKey(renamed ? changes.name : name)));
  }

  changePath(changes) {
    const path = this.currentPath;
    if (path) this.commit(withPathway(this.graph, pathKey(path), changes), [pathKey(path)]);
  }

  reverse() {
    const path = this.currentPath;
    if (!path) return;
    const turned = { source: path.target, target: path.source };
    const inCanvas = this.svg.contains(document.activeElement);
    if (this.mode === "map") this.ui.active = pathKey(turned);
    this.commit(withPathway(this.graph, pathKey(path), turned), [pathKey(turned)]);
    if (inCanvas) this.focusThing(this.mode === "map" ? pathKey(turned) : `m:${turned.target}<${turned.source}`);
  }

  /** Density by 0.05, or size by 8. */
  grow(sign) {
    this.stepping = true;
    const path = this.currentPath;
    const region = this.currentRegion;
    const step = (density) => clamp(0.01, Math.round((Math.round(density * 20 + 1e-9) + sign) * 5) / 100, 1);
    if (path) this.changePath({ density: step(path.density) });
    if (region) this.changeRegion({ size: Math.max(1, sign > 0 && region.size < 8 ? 8 : region.size + 8 * sign) });
  }

  // Gestures with the pointer

  toWorld(event) {
    const matrix = this.svg.getScreenCTM().inverse();
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
    return { x: (at.x - this.zoom.x) / this.zoom.k, y: (at.y - this.zoom.y) / this.zoom.k };
  }

  pointerDown(event) {
    this.pointers.set(event.pointerId, event);
    this.svg.setPointerCapture(event.pointerId);
    const key = event.target.closest("[data-key]")?.dataset.key ?? null;
    this.lastKey = key;
    this.focusThing(key?.replace(/^h:/, "r:").replace(/^c:/, "p:") ?? this.ui.active); // Esc must reach the drawing
    if (this.mode === "matrix") this.ui.gesture = { kind: "press", key };
    else if (this.pointers.size > 1) this.startPinch();
    else if (event.button === 1) this.ui.gesture = { kind: "pan", last: event };
    else if (this.ui.gesture?.sticky) this.pickForLink(this.toWorld(event));
    else if (event.button === 0) this.ui.gesture = { kind: "press", key, start: event, at: this.toWorld(event) };
  }

  pointerMove(event) {
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, event);
    const { gesture } = this.ui;
    if (gesture?.kind === "press" && gesture.start && Math.hypot(event.clientX - gesture.start.clientX, event.clientY - gesture.start.clientY) >= 4)
      this.startDrag(gesture);
    const moves = {
      pan: () => this.pan(event), pinch: () => this.pinch(), move: () => this.dragRegions(event), link: () => this.aim(event),
      frame: () => this.stretchFrame(event), density: () => this.dragDensity(event),
    };
    moves[this.ui.gesture?.kind]?.();
  }

  startDrag({ key, start, at }) {
    const kind = key?.[0];
    const free = !key || kind === "p";
    if (this.dead && !free) return;
    if (kind === "h") this.ui.gesture = { kind: "link", from: key.slice(2), at };
    else if (kind === "r") this.startMove(key, at);
    else if (kind === "c") this.startDensity(`p:${key.slice(2)}`, start);
    else this.ui.gesture = { kind: "frame", from: at, to: at, moved: true, add: start.ctrlKey || start.metaKey };
  }

  pointerUp(event) {
    this.pointers.delete(event.pointerId);
    const { gesture } = this.ui;
    if (!gesture || gesture.sticky || gesture.keys) return;
    this.ui.gesture = null;
    const ends = {
      press: () => this.click(gesture.key, event), move: () => this.finishTrial(gesture.selected), density: () => this.finishTrial([gesture.key]),
      link: () => this.dropLink(gesture, this.toWorld(event)), frame: () => this.selectFrame(gesture),
    };
    ends[gesture.kind]?.();
    if (gesture.kind !== "press") this.draw();
  }

  click(key, event) {
    if (this.mode === "matrix") return key ? this.dead || this.pressCell(key) : this.select([], { focus: this.ui.active });
    const kind = key?.[0];
    if (kind === "h") return this.startLink(key.slice(2));
    const thing = kind === "c" ? `p:${key.slice(2)}` : kind === "p" ? this.nearestLine(this.toWorld(event)) : key;
    if (!thing) {
      this.ui.kept = null;
      return this.select([], { focus: this.ui.active });
    }
    const selected = this.selected;
    if (!event.ctrlKey && !event.metaKey) return this.select([thing], { focus: thing });
    return this.select(selected.includes(thing) ? selected.filter((k) => k !== thing) : [...selected, thing], { focus: thing });
  }

  /** Where lines overlap, the one whose centre is nearest. */
  nearestLine(at) {
    const far = ({ whole, back, path }) => {
      const points = sampled(whole, 24).slice(this.scene.style.merged && back ? 12 : 0);
      return Math.min(...points.map((p) => distance(p, at))) + (path.known ? 0 : 0.01);
    };
    return this.lines.reduce((p, q) => (far(q) < far(p) ? q : p)).key;
  }

  doubleClick(event) {
    if (this.mode === "matrix" || this.dead) return;
    const key = this.lastKey;
    const at = this.toWorld(event);
    if (!key) this.newRegion({ at: snapped(at), naming: true });
    else if ("pc".includes(key[0]) && this.currentPath) this.changePath({ known: !this.currentPath.known });
    else if (key[0] === "r") this.openField("name");
  }

  startMove(key, at) {
    const selected = this.selected.includes(key) ? this.selected : [key];
    const names = selected.filter((k) => k.startsWith("r:")).map((k) => k.slice(2));
    this.ui.gesture = { kind: "move", names, at, selected, places: new Map(names.map((name) => [name, this.place(name)])), key };
  }

  dragRegions(event) {
    const { gesture } = this.ui;
    const now = this.toWorld(event);
    const free = event.ctrlKey || event.metaKey;
    this.moveBy(gesture, { x: now.x - gesture.at.x, y: now.y - gesture.at.y }, free ? 1 : 8);
  }

  /** Shows the regions of a gesture elsewhere; the one it began with keeps to the grid. */
  moveBy({ names, places }, by, grid) {
    const lead = places.get(names[0]);
    const [dx, dy] = ["x", "y"].map((axis) => Math.round((lead[axis] + by[axis]) / grid) * grid - lead[axis]);
    const value = this.model.get("value");
    this.trial = names.reduce((graph, name) => withRegion(graph, name, { position: [round(places.get(name).x + dx), round(places.get(name).y + dy)] }), value);
    this.scene = readScene(this.trial);
    this.drawMap();
    this.drawStatus();
  }

  finishTrial(selected) {
    const { trial } = this;
    this.trial = null;
    if (trial) this.commit(trial, selected);
    if (selected.length === 1) this.focusThing(selected[0]);
  }

  startDensity(key, start) {
    const path = this.scene.paths.get(key);
    this.ui.gesture = { kind: "density", key, path, start, value: path.density };
  }

  dragDensity(event) {
    const { gesture } = this.ui;
    const steps = Math.round((gesture.start.clientY - event.clientY) / 2);
    gesture.value = clamp(0.01, Math.round((gesture.path.density + steps / 100) * 100) / 100, 1);
    this.trial = withPathway(this.model.get("value"), gesture.key, { density: gesture.value });
    this.draw();
  }

  stretchFrame(event) {
    this.ui.gesture.to = this.toWorld(event);
    this.drawFront();
  }

  selectFrame({ from, to, add }) {
    const inside = ({ x, y }) => (x - from.x) * (x - to.x) < 0 && (y - from.y) * (y - to.y) < 0;
    const framed = [...this.placed].filter(([, circle]) => inside(circle)).map(([name]) => regionKey(name));
    this.drawFront();
    this.select(add ? [...new Set([...this.selected, ...framed])] : framed, { focus: framed[0] ?? this.ui.active });
  }

  wheel(event) {
    if (!(event.ctrlKey || event.metaKey) || this.mode === "matrix") return;
    event.preventDefault();
    this.zoomAt(this.toWorld(event), this.zoom.k * Math.exp(-event.deltaY * 0.002));
  }

  /** Zooms so that a place of the drawing stays where it is seen. */
  zoomAt(at, wanted) {
    const k = clamp(0.5, wanted, 3);
    const { zoom } = this;
    this.zoom = { k, x: zoom.x + at.x * (zoom.k - k), y: zoom.y + at.y * (zoom.k - k) };
    this.drawMap();
  }

  pan(event) {
    const { gesture } = this.ui;
    const [from, to] = [this.toWorld(gesture.last), this.toWorld(event)];
    gesture.last = event;
    this.zoom = { ...this.zoom, x: this.zoom.x + (to.x - from.x) * this.zoom.k, y: this.zoom.y + (to.y - from.y) * this.zoom.k };
    this.drawMap();
  }

  startPinch() {
    this.stopGesture();
    this.ui.gesture = { kind: "pinch", last: this.fingers() };
  }

  fingers() {
    const [p, q] = [...this.pointers.values()].map((event) => this.toWorld(event));
    return { middle: { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 }, spread: distance(p, q) * this.zoom.k };
  }

  pinch() {
    if (this.pointers.size < 2) return;
    const { gesture } = this.ui;
    const now = this.fingers();
    this.zoom = { ...this.zoom, x: this.zoom.x + (now.middle.x - gesture.last.middle.x) * this.zoom.k, y: this.zoom.y + (now.middle.y - gesture.last.middle.y) * this.zoom.k };
    this.zoomAt(gesture.last.middle, (this.zoom.k * now.spread) / gesture.last.spread);
    gesture.last = this.fingers();
  }

  // Pathways: dragged from a handle, picked with two clicks, or aimed with the keys

  startLink(from = this.currentRegion?.name ?? this.currentPath?.source ?? null) {
    if (this.dead) return;
    if (this.mode === "matrix") return this.cursor() && this.toggleCell(...this.cursor());
    this.ui.gesture = { kind: "link", sticky: true, from, target: null };
    this.draw();
    this.svg.focus({ preventScroll: true });
  }

  startKeyLink() {
    const from = this.currentRegion?.name ?? this.currentPath?.source;
    if (!from || this.dead) return;
    this.ui.gesture = { kind: "link", keys: true, from, target: null };
    this.draw();
    this.frame.say(`Pathway from ${from}. Arrow keys choose where it leads.`);
  }

  regionAt(at) {
    const reached = [...this.placed].filter(([, circle]) => distance(circle, at) <= Math.max(circle.r, 12) + 4);
    return reached.length ? reached.reduce((p, q) => (distance(q[1], at) < distance(p[1], at) ? q : p))[0] : null;
  }

  aim(event) {
    const { gesture } = this.ui;
    if (gesture.keys) return;
    gesture.at = this.toWorld(event);
    const over = this.regionAt(gesture.at);
    gesture.target = over !== gesture.from ? over : null;
    this.drawFront();
    this.drawStatus();
  }

  pickForLink(at) {
    const { gesture } = this.ui;
    const name = this.regionAt(at);
    if (!gesture.from) gesture.from = name;
    else {
      this.ui.gesture = null;
      if (name) this.connect(gesture.from, name);
    }
    this.draw();
  }

  dropLink({ from }, at) {
    const name = this.regionAt(at);
    if (name) this.connect(from, name);
    else this.newRegion({ at: snapped(at), from, naming: true });
  }

  connect(from, to) {
    const key = pathKey({ source: from, target: to });
    this.ui.active = key;
    this.commit(addPathway(this.graph, from, to), [key]);
    this.focusThing(key);
  }

  chooseTarget(direction) {
    const { gesture } = this.ui;
    const allowed = [...this.placed].filter(([name]) => name !== gesture.from && !this.scene.paths.has(pathKey({ source: gesture.from, target: name })));
    if (!allowed.length) return this.frame.say(`${gesture.from} feeds every other region already.`);
    gesture.target = nearestToward(this.placed.get(gesture.target ?? gesture.from), allowed, direction) ?? gesture.target;
    this.drawFront();
    this.drawStatus();
    if (gesture.target) this.frame.say(`To ${gesture.target}.`);
  }

  // Keys

  cancelGesture() {
    this.pointers.clear();
    this.stopGesture();
    this.draw();
  }

  stopGesture() {
    this.ui.gesture = null;
    this.trial = null;
  }

  /** Keys that work anywhere in the frame. */
  frameKey(event) {
    if (event.target === this.frame.root || event.defaultPrevented) return;
    const command = event.ctrlKey || event.metaKey;
    const typing = event.target.matches("input[type=text]");
    const letter = event.key.toLowerCase();
    if (!this.frame.help.hidden) return this.helpKey(event);
    if (command && !event.altKey && "zy".includes(letter) && !(typing && event.target.dirty)) {
      event.preventDefault();
      this.step(letter === "y" || event.shiftKey ? "redo" : "undo");
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (this.frame.panel.contains(event.target)) this.backToDrawing();
      else this.frame.root.focus({ preventScroll: true });
    } else if (event.key === "?" && !typing) {
      event.preventDefault();
      this.toggleHelp();
    }
  }

  helpKey(event) {
    if (event.key === "Escape" || event.key === "?") {
      event.preventDefault();
      this.toggleHelp();
    } else if (event.key === "Tab") {
      event.preventDefault();
      const stops = [...this.frame.help.querySelectorAll("button, [tabindex]")];
      stops[(stops.indexOf(document.activeElement) + 1) % stops.length].focus();
    }
  }

  canvasKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isLetter = event.key.length === 1 && !ARROWS[event.key];
    const handle = ARROWS[event.key] ? () => this.arrowKey(event) : this.canvasKeys()[isLetter ? event.key.toLowerCase() : event.key];
    if (!handle || (event.shiftKey && !["+", "?", "_"].includes(event.key) && !ARROWS[event.key] && !isLetter)) return;
    event.preventDefault();
    handle();
  }

  canvasKeys() {
    const region = this.currentRegion;
    const path = this.currentPath;
    return {
      Escape: () => this.escape(), Enter: () => this.enter(), Delete: () => this.remove(), Backspace: () => this.remove(),
      Home: () => this.goToEnd(0), End: () => this.goToEnd(-1), " ": () => this.space(),
      n: () => this.newRegion({ naming: true }), p: () => this.startKeyLink(), m: () => this.startShift(), v: () => this.show(this.mode === "map" ? "matrix" : "map"),
      e: () => this.edit(path ? "density" : "name"), d: () => this.edit(path ? "density" : "inside"),
      i: () => region && this.changeRegion({ input: !region.input }), o: () => region && this.changeRegion({ output: !region.output }),
      u: () => path && this.changePath({ known: !path.known }), r: () => this.reverse(), "+": () => this.grow(1), "=": () => this.grow(1), "-": () => this.grow(-1),
      "]": () => this.nextPath(1), "[": () => this.nextPath(-1), f: () => this.keep(), 0: () => this.fit(),
    };
  }

  arrowKey(event) {
    const direction = ARROWS[event.key];
    const { gesture } = this.ui;
    if (this.mode === "matrix") return this.moveCursor(direction);
    if (gesture?.kind === "shift") return this.shiftBy(direction, event.shiftKey ? 1 : 8);
    if (gesture?.kind === "link") return this.chooseTarget(direction);
    const line = this.lines.find(({ key }) => key === this.ui.active);
    const from = line ? pointAt(line.whole, 0.5) : this.placed.get(this.ui.active?.slice(2));
    const next = from && nearestToward(from, this.placed, direction);
    if (next) this.select([regionKey(next)], { focus: regionKey(next) });
  }

  escape() {
    if (this.ui.gesture) return this.cancelGesture();
    if (this.ui.kept || this.ui.cell || this.selected.length) {
      this.ui.kept = this.ui.cell = null;
      return this.select([], { focus: this.ui.active });
    }
    return this.frame.root.focus({ preventScroll: true });
  }

  enter() {
    const { gesture } = this.ui;
    if (gesture?.kind === "link") {
      if (!gesture.target) return;
      this.ui.gesture = null;
      this.connect(gesture.from, gesture.target);
    } else if (gesture?.kind === "shift") {
      this.ui.gesture = null;
      this.finishTrial(gesture.selected);
      this.draw();
    } else if (this.current) this.edit(this.currentPath ? "density" : "name");
    else if (this.mode === "matrix" && this.cursor()) this.goToCell(...this.cursor());
  }

  space() {
    if (this.mode === "matrix") return this.cursor() && !this.dead && this.toggleCell(...this.cursor());
    if (this.ui.active) this.select([this.ui.active], { focus: this.ui.active });
  }

  goToEnd(index) {
    if (this.mode === "matrix") {
      const name = this.plan.names.at(index);
      return name && this.goToCell(name, name);
    }
    const rows = [...this.placed].sort(([, p], [, q]) => Math.round(p.y / 48) - Math.round(q.y / 48) || p.x - q.x);
    const key = rows.length && regionKey(rows.at(index)[0]);
    return key && this.select([key], { focus: key });
  }

  nextPath(step) {
    const path = this.currentPath;
    const name = this.currentRegion?.name ?? this.around ?? path?.source;
    if (!name || !this.scene.regions.has(name)) return;
    this.around = name; // ] and [ go round this region, not the far end of the pathway
    const own = this.scene.graph.pathways.filter((p) => p.source === name || p.target === name);
    if (!own.length) return;
    const index = path ? own.indexOf(path) + step : step > 0 ? 0 : -1;
    const key = pathKey(own.at(index % own.length));
    const cell = `m:${own.at(index % own.length).target}<${own.at(index % own.length).source}`;
    this.select([key], { focus: this.mode === "matrix" ? cell : key });
  }

  keep() {
    this.ui.kept = this.ui.kept ? null : (this.currentRegion?.name ?? null);
    this.draw();
    this.frame.say(this.ui.kept ? `Keeping ${this.ui.kept} in view.` : "All in view.");
  }

  startShift() {
    const region = this.currentRegion;
    if (!region || this.dead || this.mode === "matrix") return;
    this.startMove(regionKey(region.name), { x: 0, y: 0 });
    Object.assign(this.ui.gesture, { kind: "shift", keys: true, by: { x: 0, y: 0 } });
    this.draw();
  }

  shiftBy([dx, dy], by) {
    const { gesture } = this.ui;
    gesture.by = { x: gesture.by.x + dx * by, y: gesture.by.y + dy * by };
    this.moveBy(gesture, gesture.by, 1);
    const { x, y } = this.place(gesture.names[0]);
    this.frame.say(`At ${x}, ${y}.`, 500);
  }
}

const snapped = ({ x, y }) => ({ x: Math.round(x / 8) * 8, y: Math.round(y / 8) * 8 });

// Parts of the map

function ghosts() {
  const words = (x, y, title, more) => [s("text", { x, y, class: "sk-name" }, title), s("text", { x, y: y + 17, class: "sk-small" }, more)];
  const line = arrow(curve({ x: 250, y: 216 }, { x: 388, y: 216 }, 0), 12, 38, 1.5);
  return [
    ...[200, 388].map((cx) => s("circle", { class: "sk-ghost-region", cx, cy: 216, r: 38 })),
    s("path", { class: "sk-ghost", d: line.line }), s("path", { class: "sk-ghost-head", d: line.head }),
    s("g", { transform: "translate(245 216)", class: "sk-shown-handle" }, s("circle", { class: "sk-knob", r: 12 }), s("path", { d: "M-5 0H5M1-4 5 0 1 4" })),
    ...words(200, 154, "1 Double-click", "makes a region"), ...words(388, 154, "3 Mark the ends", "one input, one output"),
    ...words(294, 282, "2 Drag its blue handle", "to another region makes a pathway")];
}

function innerRing(r, density) {
  const ring = 2 * Math.PI * (r - 5);
  return s("circle", { class: "sk-inner", r: r - 5, "stroke-dasharray": `${round(ring * density)} ${round(ring)}`, transform: "rotate(-90)" });
}

function dockingArrows({ input, output }, r, worded) {
  const reach = worded ? 24 : 13;
  const dock = (from, to, word) => {
    const head = headText({ x: to, y: 0 }, { x: from, y: 0 }, 8);
    return s("g", { class: "sk-dock" }, s("path", { d: `M${from} 0H${to - 5}`, class: "sk-dock-line" }), s("path", { d: head, class: "sk-dock-head" }),
      worded && s("text", { x: from < 0 ? to - 2 : from + 2, y: -8, class: `sk-small ${from < 0 ? "sk-end" : "sk-start"}` }, word));
  };
  return [input && dock(-r - 3 - reach, -r - 3, "input"), output && dock(r + 3, r + 3 + reach, "output")];
}

function regionText({ name, size }, r, style, beside, above) {
  const shown = [...name].length > 22 ? `${[...name].slice(0, 21).join("")}…` : name;
  if (beside) return [s("text", { class: "sk-name sk-halo sk-beside", x: beside.dx, y: beside.dy, "text-anchor": beside.anchor, "font-size": 11 }, shown)];
  const font = style.chips ? 13 : 12;
  const inside = textWidth(shown, font, true) < 2 * r - (style.chips ? 6 : 2);
  const units = style.chips && s("text", { class: "sk-units", y: inside ? 15 : 4 }, plural(size, "unit"));
  const label = s("text", { class: inside ? "sk-name" : "sk-name sk-halo", y: inside ? (style.chips ? 0 : 4) : above ? -r - 6 : r + font + 3, "font-size": font }, shown);
  return [units, label];
}

const badge = (x, y) => s("g", { class: "sk-badge", transform: `translate(${round(x)} ${round(y)})`, "aria-hidden": "true" }, s("circle", { r: 9 }), s("text", { y: 5 }, "!"));

function frameRect({ from, to }) {
  return s("rect", { class: "sk-selecting", x: Math.min(from.x, to.x), y: Math.min(from.y, to.y), width: Math.abs(to.x - from.x), height: Math.abs(to.y - from.y) });
}

// Parts of the matrix

function cellMark(state, cell, shade) {
  const gap = cell >= 20 ? 2 : 1;
  const box = (inset, attributes) => s("rect", { x: inset, y: inset, width: cell - 2 * inset, height: cell - 2 * inset, rx: 2, ...attributes });
  if (state === "found") return [box(gap, { class: "sk-fill", "fill-opacity": round(shade * 100) / 100 })];
  if (state === "inside") return [box(gap, { class: "sk-fill", "fill-opacity": 0.92 })];
  if (state === "untested" || state === "unsettled") return [box(Math.max(gap + 1, cell * 0.16), { class: "sk-open-box" })];
  if (state === "absent") return [s("circle", { class: "sk-fill", cx: cell / 2, cy: cell / 2, r: cell > 16 ? 1.8 : 1.2 })];
  return [box(gap + 1, { class: "sk-blank" })];
}

function legendRow(state, shade, words) {
  return h("li", {}, s("svg", { width: 24, height: 24, viewBox: "0 0 24 24", "aria-hidden": "true" }, s("g", { class: `sk-cell sk-${state}` }, cellMark(state, 24, shade))), words);
}

function matrixLegend({ scene }) {
  const [counted, absent] = [scene.counted, scene.absent.size > 0];
  const untested = scene.graph.pathways.some((p) => !p.known);
  return h("section", {}, h("h4", {}, "Reading the matrix"), h("ul", { class: "sk-legend" },
    legendRow("found", 0.6, counted ? "pathway; stronger: more entries" : "pathway; stronger: denser"), legendRow("inside", 0.9, "inside a region"),
    absent && legendRow("absent", 0, "tested, none found: closed"), absent && legendRow("unsettled", 0, "not settled: closed"),
    untested && !absent && legendRow("untested", 0, "never tested: closed")));
}

const matrixKeys = () => keyList([["next cell", ["←", "↑", "→", "↓"]], ["open or close", ["Space"]], ["density", ["−", "+"]]]);
const keyList = (rows, title) => h("section", {}, title && h("p", { class: "sk-caption" }, title),
  h("ul", { class: "sk-keys" }, rows.map(([does, keys]) => h("li", {}, does, h("span", {}, keys.map(key))))));

// The mask, as small as it is

/** A picture of W[target, source]: blocks by size, shaded by density, the selection outlined. */
function maskPicture({ scene, graph, selected, model }, side, names = false) {
  const { open, total } = model.get("facts");
  const label = names ? clamp(20, Math.max(...graph.regions.map((r) => textWidth(r.name, 11))) + 8, 90) : 0;
  const sizes = graph.regions.map((r) => r.size);
  const sum = sizes.reduce((a, b) => a + b, 0);
  const box = side - label;
  const starts = new Map(graph.regions.map((r, i) => [r.name, { at: (sizes.slice(0, i).reduce((a, b) => a + b, 0) / sum) * box, long: (sizes[i] / sum) * box }]));
  const marked = new Set(selected.flatMap((k) => (scene.paths.has(k) ? [] : [k.slice(2)])));
  const block = (target, source, kind, shade) => {
    const [row, column] = [starts.get(target), starts.get(source)];
    const accent = marked.has(target) || marked.has(source) || selected.includes(pathKey({ source, target }));
    const inset = kind === "sk-open-box" ? 1 : Math.min(0.5, row.long / 8, column.long / 8);
    return s("rect", { class: `${kind} ${accent ? "sk-own" : ""}`, x: round(column.at + inset), y: round(row.at + inset),
      width: Math.max(0.5, round(column.long - 2 * inset)), height: Math.max(0.5, round(row.long - 2 * inset)), "fill-opacity": shade });
  };
  const blocks = [...graph.regions.map((r) => block(r.name, r.name, "sk-fill", round((0.3 + 0.6 * r.density) * 10) / 10)),
    ...graph.pathways.filter((p) => (p.known || !scene.absent.size)).map((p) => block(p.target, p.source, p.known ? "sk-fill" : "sk-open-box", p.known ? round((0.25 + 0.5 * scene.strength(p)) * 20) / 20 : null))];
  const outlines = [...marked].filter((name) => starts.has(name)).flatMap((name) => {
    const { at, long } = starts.get(name);
    return [s("rect", { class: "sk-outline", x: round(at), y: 0, width: round(long), height: box }), s("rect", { class: "sk-outline", x: 0, y: round(at), width: box, height: round(long) })];
  });
  const texts = names ? [...starts].filter(([, { long }]) => long >= 9).flatMap(([name, { at, long }]) => [
    s("text", { x: -5, y: round(at + long / 2 + 4), class: "sk-small sk-end" }, name),
    s("text", { transform: `translate(${round(at + long / 2 + 4)} -5) rotate(-90)`, class: "sk-small sk-start" }, name)]) : [];
  return s("svg", { class: "sk-mask", width: side, height: side, viewBox: `${-label} ${-label} ${side} ${side}`, role: "img", "aria-label": `Mask: ${count(open)} of ${count(total)} weights open` },
    s("rect", { class: "sk-ground", width: box, height: box }), blocks, outlines, texts);
}

function openWords({ open, total }) {
  return [h("p", { class: "sk-number" }, count(open)), h("p", { class: "sk-caption" }, `of ${count(total)} weights open (${total ? Math.round((100 * open) / total) : 0} %)`)];
}

function maskSection(view) {
  const section = h("section", { class: "sk-side" });
  view.fresh.push(() => refresh(section, [maskPicture(view, 104), h("div", {}, h("strong", {}, "Mask"), h("p", { class: "sk-caption" }, "row: to · column: from"), ...openWords(view.model.get("facts")))]));
  return section;
}

/** Replaces the children of a node where they differ, so that focus and selection survive. */
function refresh(node, children) {
  const wanted = node.cloneNode(false);
  wanted.append(...children.filter(Boolean));
  if (!node.isEqualNode(wanted)) node.replaceChildren(...wanted.childNodes);
}

// The panel's fields

/**
 * A field that takes what was typed on Enter or on leaving it, and shows what Python says to it.
 * `read()` gives the text now, `take(text)` makes the edit.
 */
function textField(view, { name, label, unit, read, take }) {
  const input = h("input", { type: "text", "data-field": name, "aria-label": label, autocomplete: "off", spellcheck: "false", "aria-describedby": `${view.uid}-${name}` });
  const error = h("p", { class: "sk-error", id: `${view.uid}-${name}`, hidden: true });
  let shown = "";
  const commit = () => {
    input.dirty = false;
    const text = input.value.trim();
    if (text === shown) return;
    shown = text; // Enter commits, and leaving the field afterwards must not do it again
    take(text);
  };
  const { on } = view.frame;
  on(input, "input", () => (input.dirty = true));
  on(input, "change", commit);
  on(input, "keydown", (event) => {
    if (!["Enter", "Escape"].includes(event.key) || event.shiftKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (event.key === "Enter") commit();
    else {
      view.ui.dismissed = view.refusal(name)?.refused ?? view.ui.dismissed;
      input.dirty = false;
    }
    view.backToDrawing();
    view.draw();
  });
  view.fresh.push(() => {
    const refusal = view.refusal(name);
    shown = refusal ? refusal.got : read();
    if (!input.dirty && input.value !== shown) input.value = shown;
    setAttributes(input, { "aria-invalid": refusal ? "true" : null, disabled: view.dead });
    error.hidden = !refusal;
    error.textContent = refusal ? `${refusal.text} ${refusal.detail}` : "";
  });
  return [h("span", { class: "sk-input" }, input, unit && h("span", { class: "sk-unit", "aria-hidden": "true" }, unit)), error];
}

function checkBox(view, { name, label, read, take }) {
  const input = h("input", { type: "checkbox", "data-field": name });
  view.frame.on(input, "change", () => take(input.checked));
  view.fresh.push(() => {
    const value = read();
    input.checked = value === true;
    input.indeterminate = value === null;
    input.disabled = view.dead;
  });
  return h("label", { class: "sk-check" }, input, h("span", {}, label));
}

function signSwitch(view, read) {
  const choices = [[null, "free", "either sign"], [1, "+", "only positive weights leave it"], [-1, "−", "only negative weights leave it"]];
  const buttons = choices.map(([sign, label, title]) => {
    const node = h("button", { type: "button", "data-value": label, title, class: "sk-button" }, h("span", {}, label));
    view.frame.on(node, "click", () => view.changeRegion({ sign }));
    view.fresh.push(() => setAttributes(node, { "aria-pressed": read() === sign, disabled: view.dead }));
    return node;
  });
  return h("span", { class: "sk-switch sk-wide", role: "group", "aria-label": "Sign", "data-field": "sign" }, buttons);
}

const row = (label, ...parts) => h("div", { class: "sk-field" }, h("span", { class: "sk-label" }, label), h("div", {}, parts));
const number = (text) => (text !== "" && Number.isFinite(Number(text.replace(",", "."))) ? Number(text.replace(",", ".")) : text);
const head = (title, ...buttons) => h("div", { class: "sk-row" }, h("h4", {}, title), h("span", { class: "sk-room" }), buttons);
const removeButton = () => button("delete", { name: "trash", title: "Remove (Delete)", kind: "sk-bare" });

// The panel, by what is selected

const PANELS = { empty: emptyPanel, whole: wholePanel, region: regionPanel, table: tablePanel, pathway: pathwayPanel, several: severalPanel, cell: cellPanel };

function exampleList(view) {
  return h("ul", { class: "sk-list" }, view.model.get("facts").examples.map(({ name, title, detail }) =>
    h("li", {}, h("button", { type: "button", class: "sk-button sk-bare sk-example", "data-cmd": `example:${name}` }, h("span", {}, title, h("small", {}, detail)), icon("chevron")))));
}

function emptyPanel(view) {
  return [
    h("section", {}, h("h4", {}, "Start here"), h("p", { class: "sk-text" }, "A region is a group of units, all joined to each other. Units in two regions are joined only through a pathway."),
      button("add-region", { label: "First region", name: "plus", title: "Make the first region", kind: "sk-primary" })),
    h("section", {}, h("h4", {}, "Or open an example"), exampleList(view)),
    keyList([["new region", ["N"]], ["pathway from here", ["P"]], ["all keys", ["?"]]], "Keys, once the drawing has focus")];
}

function factRows({ graph, scene }) {
  const pairs = graph.pathways.filter((p) => p.known && scene.back(p)?.known).length / 2;
  const n = graph.regions.length;
  const open = n * (n - 1) - graph.pathways.filter((p) => p.known).length - graph.tested_absent.length;
  const untested = graph.pathways.filter((p) => !p.known).length;
  const rows = [["Units", count(graph.regions.reduce((sum, r) => sum + r.size, 0))], ["Two-way pairs", pairs]];
  if (graph.tested_absent.length) rows.push(["Tested, none found", graph.tested_absent.length], ["Not settled", open]);
  else if (untested) rows.push(["Never tested", untested]);
  return rows.map(([label, value]) => h("div", { class: "sk-row" }, h("span", { class: "sk-text" }, label), h("span", { class: "sk-room" }), String(value)));
}

function wholePanel(view) {
  const facts = h("div", { class: "sk-facts" });
  const mask = h("section", {});
  const note = h("section", {});
  view.fresh.push(() => {
    refresh(facts, factRows(view));
    const { open, total } = view.model.get("facts");
    refresh(mask, [h("div", { class: "sk-row" }, h("h4", {}, "Mask"), h("span", { class: "sk-room" }), h("span", { class: "sk-caption" }, "row: to · column: from")),
      maskPicture(view, 240, view.graph.regions.length <= 16), h("p", { class: "sk-caption" }, `${count(open)} of ${count(total)} weights open (${total ? Math.round((100 * open) / total) : 0} %)`)]);
    const { merged } = view.scene.style;
    const reading = merged && view.mode === "map" ? `Two heads: a pair of pathways. Thicker: ${view.scene.counted ? "more database entries confirm it" : "denser"}.` : "";
    refresh(note, [reading, view.graph.note].filter(Boolean).map((text) => h("p", { class: "sk-caption" }, text)));
    note.hidden = !note.firstChild;
  });
  const list = exampleList(view);
  list.hidden = true;
  const examples = h("button", { type: "button", class: "sk-button", "data-cmd": "examples", "aria-expanded": "false", title: "Open an example" }, h("span", {}, "Examples"));
  const top = h("section", {}, head("Whole graph", examples), list, facts);
  return view.mode === "matrix" ? [top] : [top, mask, note];
}

function regionPanel(view, index) {
  const region = () => view.graph.regions[index] ?? view.graph.regions.at(-1);
  const features = h("p", { class: "sk-caption" });
  view.fresh.push(() => {
    features.hidden = typeof region().input !== "number";
    features.textContent = features.hidden ? "" : `sees the next ${plural(region().input, "feature")}`;
  });
  const take = (key, read) => (text) => view.changeRegion({ [key]: read(text) });
  const plain = (text) => text;
  const size = textField(view, { name: "size", label: "Size, in units", unit: "units", read: () => String(region().size), take: take("size", number) });
  const inside = textField(view, { name: "inside", label: "Density inside", unit: "inside", read: () => densityText(region().density), take: take("density", number) });
  return [
    h("section", {}, head("Region", removeButton()),
      row("Name", ...textField(view, { name: "name", label: "Name", read: () => region().name, take: take("name", plain) })),
      row("Size", h("div", { class: "sk-pair" }, size[0], inside[0]), size[1], inside[1]),
      row("Ends", h("div", { class: "sk-pair" }, checkBox(view, { name: "input", label: "input", read: () => Boolean(region().input), take: (on) => view.changeRegion({ input: on }) }),
        checkBox(view, { name: "output", label: "output", read: () => region().output, take: (on) => view.changeRegion({ output: on }) })), features),
      row("Sign", signSwitch(view, () => region().sign))),
    pathwayList(view, () => region().name), maskSection(view)];
}

/** The pathways of a region; a row selects its pathway. */
function pathwayList(view, name) {
  const section = h("section", {});
  const entry = (other) => {
    const [into, out] = [view.scene.paths.get(pathKey({ source: other, target: name() })), view.scene.paths.get(pathKey({ source: name(), target: other }))];
    const words = (path) => (path.known ? densityText(path.density) : "never tested");
    const arrowSign = into && out ? "⇄" : into ? "←" : "→";
    const label = into && out ? `${words(into)} · ${words(out)}` : words(into ?? out);
    const title = into && out ? `from ${other} ${words(into)}, to ${other} ${words(out)}` : "";
    return h("li", {}, h("button", { type: "button", class: "sk-button sk-bare", title, "data-cmd": `select:${pathKey(out ?? into)}` }, h("span", { class: "sk-arrow" }, arrowSign), h("span", { class: "sk-grow" }, other), h("span", { class: "sk-quiet" }, label)));
  };
  view.fresh.push(() => {
    const others = view.graph.regions.map((r) => r.name).filter((other) => view.scene.paths.has(pathKey({ source: other, target: name() })) || view.scene.paths.has(pathKey({ source: name(), target: other })));
    refresh(section, [head("Pathways", h("span", { class: "sk-caption" }, others.length ? "density" : "none yet")), others.length > 0 && h("ul", { class: "sk-list" }, others.map(entry))]);
  });
  return section;
}

/** Who feeds a region of a large graph and whom it feeds, as numbers. */
function tablePanel(view, name) {
  const section = h("section", {});
  const value = (path) => (!path ? "" : view.scene.counted ? String(path.evidence?.[0] ?? 0) : path.known ? densityText(path.density) : "?");
  const cell = (path, kind) => h("td", { class: kind }, path && h("button", { type: "button", class: "sk-button sk-bare", "data-cmd": `select:${pathKey(path)}`, "aria-label": pathLabel(path) }, value(path)));
  view.fresh.push(() => {
    const { scene } = view;
    const region = scene.regions.get(name);
    if (!region) return;
    const [into, out] = [scene.into(name), scene.outOf(name)];
    const others = view.graph.regions.map((r) => r.name).filter((other) => into.some((p) => p.source === other) || out.some((p) => p.target === other));
    const level = region.level === null ? "" : `level ${region.level} · `;
    const rows = others.map((other) => h("tr", {}, h("th", { scope: "row" }, other), cell(into.find((p) => p.source === other), "sk-into"), cell(out.find((p) => p.target === other), "sk-out-of")));
    refresh(section, [h("div", { class: "sk-row" }, h("h4", {}, name), h("span", { class: "sk-caption" }, `${level}${plural(region.size, "unit")}`), h("span", { class: "sk-room" }), button("edit", { label: "Edit", title: "Edit this region (Enter)" })),
      h("table", { class: "sk-table" }, h("thead", {}, h("tr", {}, h("th", { class: "sk-caption", scope: "col" }, "region"), h("th", { class: "sk-into", scope: "col" }, `${into.length} in`), h("th", { class: "sk-out-of", scope: "col" }, `${out.length} out`))), h("tbody", {}, rows)),
      h("p", { class: "sk-caption" }, scene.counted ? "Numbers: database entries that confirm it." : "Numbers: density.")]);
  });
  return [section, maskSection(view)];
}

function pathwayPanel(view, index) {
  const path = () => view.graph.pathways[index] ?? view.graph.pathways.at(-1);
  const ends = h("div", {});
  const evidence = h("p", { class: "sk-caption" });
  const back = h("div", {});
  view.fresh.push(() => {
    const end = (label, name, kind) => row(label, h("button", { type: "button", class: `sk-button sk-bare sk-end-name ${kind}`, "data-cmd": `select:${regionKey(name)}`, title: `Select ${name}` }, name));
    refresh(ends, [end("From", path().source, "sk-out-of"), end("To", path().target, "sk-into")]);
    evidence.hidden = !path().evidence;
    evidence.textContent = path().evidence ? `${plural(path().evidence[0], "entry").replace("entrys", "entries")} confirm it, ${path().evidence[1]} deny it` : "";
    const other = view.scene.back(path());
    refresh(back, [other && row("Back", h("button", { type: "button", class: "sk-button sk-bare sk-end-name", "data-cmd": `select:${pathKey(other)}`, title: `Select ${other.source} → ${other.target}` }, `${other.source} → ${other.target}`))]);
  });
  return [h("section", {}, head("Pathway", button("reverse", { name: "reverse", title: "Turn it round (R)", kind: "sk-bare" }), removeButton()), ends,
    row("Density", ...textField(view, { name: "density", label: "Density", read: () => densityText(path().density), take: (text) => view.changePath({ density: number(text) }) })),
    row("Known", checkBox(view, { name: "known", label: "tested and found", read: () => path().known, take: (on) => view.changePath({ known: on }) }), evidence), back),
  view.mode === "map" && maskSection(view)];
}

function severalPanel(view) {
  const chosen = () => view.selected.filter((k) => k.startsWith("r:")).map((k) => view.scene.regions.get(k.slice(2)));
  const common = (read) => (new Set(chosen().map(read)).size === 1 ? read(chosen()[0]) : undefined);
  const fields = () => [
    row("Size", ...textField(view, { name: "size", label: "Size of each, in units", unit: "units", read: () => String(common((r) => r.size) ?? ""), take: (text) => text !== "" && view.changeRegion({ size: number(text) }) })),
    row("Sign", signSwitch(view, () => common((r) => r.sign)))];
  const title = chosen().length === view.selected.length ? plural(chosen().length, "region") : `${view.selected.length} things`;
  return [h("section", {}, head(title, removeButton()), chosen().length ? fields() : null), view.mode === "map" && maskSection(view)];
}

function cellPanel(view, target, source) {
  const state = cellState(view.scene, target, source);
  return [h("section", {}, head("Closed"), row("From", h("b", { class: "sk-out-of" }, source)), row("To", h("b", { class: "sk-into" }, target)),
    h("p", { class: "sk-text" }, `${CELL_WORDS[state].replace(": closed", "")[0].toUpperCase()}${CELL_WORDS[state].replace(": closed", "").slice(1)}.`),
    button("open", { label: "Add this pathway", name: "plus", title: "Open this cell (Space)" }))];
}

// The module: history and conversation belong to the model, so that all views of it agree

export default function () {
  let talk;
  return {
    initialize({ model }) {
      talk = conversation(model);
    },
    render({ model, el }) {
      const view = new RegionGraphView(model, el, talk);
      return () => view.close();
    },
  };
}
