// One view of circles that are joined by arrows: zooming, moving, and making arrows, by pointer and
// keys. A widget's own view extends it and answers, besides what DrawingView asks for: isMap (or is
// another picture shown?), drawMap(), keyOf(name) of a circle, thingOf(key) (what takes the focus for
// a key), withPlaces(drawing, places), mayJoin(from, to), connect(from, to), growTo(from, at) (an
// arrow let go on free ground), click(key, event), startOther(key, press), moves(), ends(gesture),
// exists(key), and from its drawing: placed (name -> circle), lines, layers.

class MapView extends DrawingView {
  constructor(model, el, talk, parts) {
    super(model, el, talk, parts);
    this.zoom = null; // until the first drawing is known
    this.trial = null; // the drawing as it would be if the gesture that is going on ended here
    this.pointers = new Map();
    this.beside = 44; // room beside a circle for words
    this.bows = new Map(); // line -> how far it bends
  }

  /** The ground with its dots, and layers one above the other; `more` is shown in their place. */
  buildMap(names, first, more = []) {
    this.layers = Object.fromEntries(names.map((name) => [name, s("g", { class: `sk-${name}` })]));
    this.world = s("g", {}, Object.values(this.layers));
    const dots = s(
      "pattern",
      { id: `${this.uid}-dots`, width: 24, height: 24, patternUnits: "userSpaceOnUse" },
      s("circle", { cx: 12, cy: 12, r: 1, class: "sk-dot" }),
    );
    this.grid = s("rect", {
      x: -600,
      y: -600,
      width: 1800,
      height: 1700,
      fill: `url(#${this.uid}-dots)`,
    });
    this.canvas(
      [s("defs", {}, dots), this.grid, this.world, ...more],
      `0 0 ${CANVAS.width} ${CANVAS.height}`,
      first,
    );
  }

  // State

  /** What is drawn; an edit that Python will refuse is never drawn. */
  get drawing() {
    const value = this.model.get(this.talk.drawn);
    if (isWellFormed(value)) this.good = value;
    return this.trial ?? this.good;
  }

  get selected() {
    return this.model.get("selected").filter((key) => this.exists(key));
  }

  /** The one thing that keys act on: the selected one, else the one in focus. */
  get current() {
    const { selected } = this;
    if (selected.length) return selected.length === 1 ? selected[0] : null;
    return this.frame.root.contains(document.activeElement) && this.exists(this.ui.active)
      ? this.ui.active
      : null;
  }

  commit(drawing, selected) {
    if (this.dead) return;
    this.ui.open = false;
    this.talk.edit(drawing, selected);
    this.draw();
  }

  select(keys, { focus = null } = {}) {
    if (String(keys) !== String(this.model.get("selected"))) this.talk.select(keys);
    if (focus) this.ui.active = focus;
    this.draw();
    if (focus) this.focusThing(focus);
  }

  /** With Ctrl a click adds to what is selected, or takes away. */
  pick(key, { ctrlKey, metaKey }) {
    const { selected } = this;
    const others = selected.filter((other) => other !== key);
    const several = others.length < selected.length ? others : [...selected, key];
    this.select(ctrlKey || metaKey ? several : [key], { focus: key });
  }

  /** The first or last circle in reading order. */
  goToEnd(index) {
    const rows = [...this.placed].sort(
      ([, p], [, q]) => Math.round(p.y / 48) - Math.round(q.y / 48) || p.x - q.x,
    );
    const key = rows.length && this.keyOf(rows.at(index)[0]);
    return key && this.select([key], { focus: key });
  }

  /** From a circle or the middle of a line to the next circle in a direction. */
  goToward(direction) {
    const line = this.lines.find(({ key }) => key === this.ui.active);
    const from = line ? line.shape.middle : this.placed.get(this.ui.active?.slice(2));
    const next = from && nearestToward(from, this.placed, direction);
    if (next) this.select([this.keyOf(next)], { focus: this.keyOf(next) });
  }

  /** Bows of lines { key, from, to, twin } around obstacles; lines that nobody moved keep theirs. */
  settleBows(lines, around, slight) {
    const { placed } = this;
    const same = (name) =>
      JSON.stringify(this.routedCircles?.get(name)) === JSON.stringify(placed.get(name));
    const still = lines.filter(
      ({ key, from, to }) => this.bows.has(key) && ((same(from) && same(to)) || this.trial),
    );
    const kept =
      still.length * 2 >= lines.length
        ? new Map(still.map(({ key }) => [key, this.bows.get(key)]))
        : new Map();
    const compute = () => chooseBows(lines, around, kept, slight);
    const drawing = JSON.stringify([lines.map((line) => line.key), [...around]]);
    this.bows = this.trial ? compute() : this.talk.remembered(drawing, compute);
    if (!this.trial) this.routedCircles = placed;
  }

  followPointer() {
    const { on } = this.frame;
    const canvas = this.svg;
    on(canvas, "pointerdown", (e) => this.pointerDown(e));
    on(canvas, "pointermove", (e) => this.pointerMove(e));
    on(canvas, "pointerup", (e) => this.pointerUp(e));
    on(canvas, "pointercancel", () => this.cancelGesture());
    on(canvas, "mousedown", (e) => e.preventDefault()); // the focus is placed by pointerDown
    on(canvas, "wheel", (e) => this.wheel(e), { passive: false });
    on(canvas, "keydown", (e) => this.canvasKey(e));
  }

  // Zoom

  /** Brings the world to where the zoom has it; the first time as it was drawn, if that fits. */
  placeWorld() {
    this.zoom ??= this.firstLook();
    setAttributes(this.world, {
      transform: `translate(${round(this.zoom.x)} ${round(this.zoom.y)}) scale(${this.zoom.k})`,
    });
  }

  /** The drawing as it was made, unless it leaves the canvas. */
  firstLook() {
    const all = this.extents();
    const inside = ({ x, y, r }) =>
      x >= r && x <= CANVAS.width - r && y >= r && y <= CANVAS.height - r;
    return all.every(inside) ? { k: 1, x: 0, y: 0 } : fitting(all, this.beside);
  }

  /** What is to be seen of the circles. */
  extents() {
    return [...this.placed.values()];
  }

  fit() {
    if (!this.isMap) return;
    this.zoom = fitting(this.extents(), this.beside);
    this.draw();
  }

  toWorld(event) {
    const matrix = this.svg.getScreenCTM().inverse();
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
    return { x: (at.x - this.zoom.x) / this.zoom.k, y: (at.y - this.zoom.y) / this.zoom.k };
  }

  wheel(event) {
    if (!(event.ctrlKey || event.metaKey) || !this.isMap) return;
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
    this.shiftZoom(from, to);
    this.drawMap();
  }

  shiftZoom(from, to) {
    const { k, x, y } = this.zoom;
    this.zoom = { k, x: x + (to.x - from.x) * k, y: y + (to.y - from.y) * k };
  }

  startPinch() {
    this.stopGesture();
    this.ui.gesture = { kind: "pinch", last: this.fingers() };
  }

  fingers() {
    const [p, q] = [...this.pointers.values()].map((event) => this.toWorld(event));
    return {
      middle: { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 },
      spread: distance(p, q) * this.zoom.k,
    };
  }

  pinch() {
    if (this.pointers.size < 2) return;
    const { last } = this.ui.gesture;
    const now = this.fingers();
    this.shiftZoom(last.middle, now.middle);
    this.zoomAt(last.middle, (this.zoom.k * now.spread) / last.spread);
    this.ui.gesture.last = this.fingers();
  }

  // Gestures with the pointer

  pointerDown(event) {
    this.pointers.set(event.pointerId, event);
    this.svg.setPointerCapture(event.pointerId);
    const key = event.target.closest("[data-key]")?.dataset.key ?? null;
    this.lastKey = key;
    this.focusThing(key ? this.thingOf(key) : this.ui.active); // Esc must reach the drawing
    if (!this.isMap) this.ui.gesture = { kind: "press", key };
    else if (this.pointers.size > 1) this.startPinch();
    else if (event.button === 1) this.ui.gesture = { kind: "pan", last: event };
    else if (this.ui.gesture?.sticky) this.pickForLink(this.toWorld(event));
    else if (event.button === 0)
      this.ui.gesture = { kind: "press", key, start: event, at: this.toWorld(event) };
  }

  pointerMove(event) {
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, event);
    const { gesture } = this.ui;
    if (
      gesture?.kind === "press" &&
      gesture.start &&
      Math.hypot(event.clientX - gesture.start.clientX, event.clientY - gesture.start.clientY) >= 4
    )
      this.startDrag(gesture);
    const moves = {
      pan: () => this.pan(event),
      pinch: () => this.pinch(),
      move: () => this.dragCircles(event),
      link: () => this.aim(event),
      frame: () => this.stretchFrame(event),
      ...this.moves(event),
    };
    moves[this.ui.gesture?.kind]?.();
  }

  startDrag(press) {
    const { key, at } = press;
    if (this.dead && key) return;
    if (key?.startsWith("h:")) this.ui.gesture = { kind: "link", from: key.slice(2), at };
    else if (key && this.placed.has(key.slice(2)) && key === this.keyOf(key.slice(2)))
      this.startMove(key, at);
    else this.startOther(key, press);
  }

  pointerUp(event) {
    this.pointers.delete(event.pointerId);
    const { gesture } = this.ui;
    if (!gesture || gesture.sticky || gesture.keys) return;
    this.ui.gesture = null;
    const ends = {
      press: () => this.click(gesture.key, event),
      move: () => this.finishTrial(gesture.selected),
      link: () => this.dropLink(gesture, this.toWorld(event)),
      frame: () => this.selectFrame(gesture),
      ...this.ends(gesture),
    };
    ends[gesture.kind]?.();
    if (gesture.kind !== "press") this.draw();
  }

  cancelGesture() {
    this.pointers.clear();
    this.stopGesture();
    this.draw();
  }

  stopGesture() {
    this.ui.gesture = null;
    this.trial = null;
  }

  /** Where lines overlap, the one whose center is nearest. */
  nearestLine(at) {
    return this.lines.reduce((p, q) => (this.farFrom(q, at) < this.farFrom(p, at) ? q : p)).key;
  }

  farFrom({ whole }, at) {
    return Math.min(...sampled(whole, 24).map((p) => distance(p, at)));
  }

  // A frame around several

  startFrame({ ctrlKey, metaKey }, at) {
    this.ui.gesture = { kind: "frame", from: at, to: at, add: ctrlKey || metaKey };
  }

  stretchFrame(event) {
    this.ui.gesture.to = this.toWorld(event);
    this.drawFront();
  }

  selectFrame({ from, to, add }) {
    const inside = ({ x, y }) => (x - from.x) * (x - to.x) < 0 && (y - from.y) * (y - to.y) < 0;
    const framed = [...this.placed]
      .filter(([, circle]) => inside(circle))
      .map(([name]) => this.keyOf(name));
    this.drawFront();
    this.select(add ? [...new Set([...this.selected, ...framed])] : framed, {
      focus: framed[0] ?? this.ui.active,
    });
  }

  // Moving circles

  startMove(key, at) {
    const selected = this.selected.includes(key) ? this.selected : [key];
    const names = [...this.placed.keys()].filter((name) => selected.includes(this.keyOf(name)));
    names.sort((p, q) => (this.keyOf(q) === key) - (this.keyOf(p) === key));
    const places = new Map(names.map((name) => [name, this.placed.get(name)]));
    this.ui.gesture = { kind: "move", names, at, selected, places, key };
  }

  dragCircles(event) {
    const { gesture } = this.ui;
    const now = this.toWorld(event);
    const free = event.ctrlKey || event.metaKey;
    this.moveBy(gesture, { x: now.x - gesture.at.x, y: now.y - gesture.at.y }, free ? 1 : 8);
  }

  /** Shows the circles of a gesture elsewhere; the one it began with keeps to the grid. */
  moveBy({ names, places }, by, grid) {
    const lead = places.get(names[0]);
    const [dx, dy] = ["x", "y"].map(
      (axis) => Math.round((lead[axis] + by[axis]) / grid) * grid - lead[axis],
    );
    const moved = names.map((name) => {
      const { x, y } = places.get(name);
      return [name, [round(x + dx), round(y + dy)]];
    });
    this.trial = this.withPlaces(this.model.get(this.talk.drawn), new Map(moved));
    this.readTrial();
    this.drawMap();
    this.drawStatus();
  }

  finishTrial(selected) {
    const { trial } = this;
    this.trial = null;
    if (trial) this.commit(trial, selected);
    if (selected.length === 1) this.focusThing(selected[0]);
  }

  startShift(key) {
    if (this.dead || !this.isMap) return;
    this.startMove(key, { x: 0, y: 0 });
    Object.assign(this.ui.gesture, { kind: "shift", keys: true, by: { x: 0, y: 0 } });
    this.draw();
  }

  shiftBy([dx, dy], by) {
    const { gesture } = this.ui;
    gesture.by = { x: gesture.by.x + dx * by, y: gesture.by.y + dy * by };
    this.moveBy(gesture, gesture.by, 1);
    const { x, y } = this.placed.get(gesture.names[0]);
    this.frame.say(`At ${x}, ${y}.`, 500);
  }

  /** Enter in a gesture of the keys: what it has come to. Whether there was one. */
  finishKeys() {
    const { gesture } = this.ui;
    if (gesture?.kind === "link") {
      if (!gesture.target) return true;
      this.ui.gesture = null;
      this.connect(gesture.from, gesture.target);
      return true;
    }
    if (gesture?.kind !== "shift") return false;
    this.ui.gesture = null;
    this.finishTrial(gesture.selected);
    this.draw();
    return true;
  }

  // Arrows: dragged from a handle, picked with two clicks, or aimed with the keys

  startSticky(from) {
    this.ui.gesture = { kind: "link", sticky: true, from, target: null };
    this.draw();
    this.svg.focus({ preventScroll: true });
  }

  circleAt(at) {
    const reached = [...this.placed].filter(
      ([, circle]) => distance(circle, at) <= Math.max(circle.r, 12) + 4,
    );
    return reached.length
      ? reached.reduce((p, q) => (distance(q[1], at) < distance(p[1], at) ? q : p))[0]
      : null;
  }

  aim(event) {
    const { gesture } = this.ui;
    if (gesture.keys) return;
    gesture.at = this.toWorld(event);
    const over = this.circleAt(gesture.at);
    gesture.target = over && this.mayAim(gesture.from, over) ? over : null;
    this.drawFront();
    this.drawStatus();
  }

  pickForLink(at) {
    const { gesture } = this.ui;
    const name = this.circleAt(at);
    if (!gesture.from) gesture.from = name;
    else {
      this.ui.gesture = null;
      if (name) this.connect(gesture.from, name);
    }
    this.draw();
  }

  dropLink({ from }, at) {
    const name = this.circleAt(at);
    if (name) this.connect(from, name);
    else this.growTo(from, at);
  }

  /** What belongs to a gesture that is going on: a ghost line, a frame. */
  drawFront() {
    const { gesture } = this.ui;
    const parts = [];
    if (gesture?.kind === "link" && gesture.from) parts.push(...this.ghostLine(gesture));
    if (gesture?.kind === "frame") parts.push(frameRect(gesture));
    this.layers.front.replaceChildren(...parts);
    this.markTargets();
  }

  /** Marks what an arrow in the making may lead to, and what it leads to now. */
  markTargets() {
    const { gesture } = this.ui;
    const linking = gesture?.kind === "link";
    this.frame.root.classList.toggle("sk-linking", linking);
    if (!linking) return;
    for (const g of this.layers.circles.children) {
      const name = g.dataset.key.slice(2);
      const open = !gesture.from || this.mayJoin(gesture.from, name);
      g.classList.toggle("sk-target", open);
      g.classList.toggle("sk-chosen", name === gesture.target);
    }
  }

  ghostLine({ from, target, at }) {
    const circle = this.placed.get(from);
    const end = target ? this.placed.get(target) : at && { ...at, r: 0 };
    if (!end || distance(circle, end) < circle.r) return [];
    return ghostArrow(arrow(curve(circle, end, 0.08), circle.r, end.r, 2));
  }
}

const ghostArrow = ({ line, head }) => [
  s("path", { class: "sk-ghost", d: line }),
  s("path", { class: "sk-ghost-head", d: head }),
];

function frameRect({ from, to }) {
  return s("rect", {
    class: "sk-selecting",
    x: Math.min(from.x, to.x),
    y: Math.min(from.y, to.y),
    width: Math.abs(to.x - from.x),
    height: Math.abs(to.y - from.y),
  });
}

const snapped = ({ x, y }) => ({ x: Math.round(x / 8) * 8, y: Math.round(y / 8) * 8 });

// Parts of the map

/** The blue handle, from which an arrow is drawn. */
function knob(key, x, y, { small = false, shown = false } = {}) {
  return s(
    "g",
    {
      class: shown ? "sk-shown-handle" : "sk-handle",
      "data-key": key,
      transform: `translate(${round(x)} ${round(y)})`,
      "aria-hidden": "true",
    },
    s("circle", { class: "sk-hit", r: 12.5 }),
    s("circle", { class: "sk-knob", r: small ? 8 : 12 }),
    s("path", { transform: small ? "scale(.7)" : null, d: "M-5 0H5M1-4 5 0 1 4" }),
  );
}

const badge = (x, y) =>
  s(
    "g",
    { class: "sk-badge", transform: `translate(${round(x)} ${round(y)})`, "aria-hidden": "true" },
    s("circle", { r: 9 }),
    s("text", { y: 5 }, "!"),
  );

/** A line with its head, and around it the room where a pointer reaches it. */
const lineGroup = () =>
  s(
    "g",
    { class: "sk-pathway", role: "button", tabindex: -1 },
    s("path", { class: "sk-hit" }),
    s("path", { class: "sk-line" }),
    s("path", { class: "sk-head" }),
  );

function fillLine(g, shape, width) {
  const [hit, line, head] = g.children;
  setAttributes(hit, { d: shape.line });
  setAttributes(line, { d: shape.line, "stroke-width": round(width) });
  setAttributes(head, { d: shape.head });
}

const chipGroup = () =>
  s(
    "g",
    { class: "sk-chip", "aria-hidden": "true" },
    s("rect", { class: "sk-hit" }),
    s("rect", { rx: 3 }),
    s("text", { y: 4 }),
  );

/** @param wide of what is seen; what is hit is never under 25 */
function fillChip(g, { x, y }, text, wide, tall) {
  const [hit, box, words] = g.children;
  const [broad, high] = [Math.max(25, wide), Math.max(25, tall)];
  setAttributes(g, { transform: `translate(${round(x)} ${round(y)})` });
  setAttributes(hit, { x: -broad / 2, width: broad, y: -high / 2, height: high });
  setAttributes(box, { x: -wide / 2, width: wide, y: -tall / 2, height: tall });
  if (words.textContent !== text) words.textContent = text;
}
