// The filter shape editor: what a filter may do to each frequency, drawn by hand.
//
// What tests and style sheets may hold on to:
//   root          .sk-editor[data-testid="filter-shape-editor"]
//   canvas        svg[data-testid="canvas"]
//   bands         [data-key="b:I"]
//   handles       [data-key="e:I:low"] edge, "c:I:low" corner (or high), "l:I" level, "t:I" point
//   buttons       [data-cmd="form:FORM|add:KIND|remove:I|band:I|delete|shorter|longer|undo|redo|
//                 code|help|copy|more|way:I"]
//   panel fields  [data-field="low-I|high-I|decibels-I|tolerance|frequency-I|gain-I|taps|rate|
//                 reference"]
//   status strip  [data-testid="status"]; code [data-testid="code"]
//   live regions  [data-testid="polite"], [data-testid="assertive"]

const REST = 250; // ms without an edit, after which ways out are looked for
const BURST = 700; // ms within which strokes of a key are one edit

class FilterShapeView extends FilterShapeDrawing {
  constructor(model, el, talk) {
    super(model, el, talk);
    this.burst = { key: null, name: null, until: 0 };
    this.listen();
    this.draw();
  }

  listen() {
    const { on, root } = this.frame;
    this.follow();
    on(this.svg, "pointerdown", (e) => this.pointerDown(e));
    on(this.svg, "pointermove", (e) => this.pointerMove(e));
    on(this.svg, "pointerup", (e) => this.pointerUp(e));
    on(this.svg, "pointercancel", () => this.cancelGesture());
    on(this.svg, "mousedown", (e) => e.preventDefault()); // the focus is placed by pointerDown
    on(this.svg, "dblclick", (e) => this.doubleClick(e));
    on(this.svg, "keydown", (e) => this.canvasKey(e));
    on(this.frame.panel, "keydown", (e) => this.panelKey(e));
    on(root, "pointerdown", () => this.touch());
    on(root, "keydown", () => this.touch());
    this.model.on("change:selected", () => this.later());
  }

  /** A move that Python has not seen yet is drawn in every view. */
  watchBusy() {
    super.watchBusy();
    this.later();
  }

  /** Nothing is read out while a hand is drawing; what it came to, when it lets go. */
  speak() {
    if (!this.ui.gesture) super.speak();
  }

  // Commands

  commands(argument, pressed) {
    return {
      ...super.commands(argument, pressed),
      form: () => this.form(argument),
      add: () => this.add(argument),
      remove: () => this.remove(`b:${argument}`),
      delete: () => this.remove(),
      band: () => this.focusThing(`b:${argument}`),
      shorter: () => this.lengthen(-2),
      longer: () => this.lengthen(2),
    };
  }

  form(form) {
    if (this.dead) return;
    this.stopGesture();
    this.select([]);
    this.talk.ask({ do: "form", form });
  }

  takeWay(way) {
    if (way.do === "undo") this.step("undo");
    if (way.do === "edit") this.commit(way.drawing);
  }

  lengthen(by) {
    const { drawing } = this;
    const taps = clamp(1, drawing.taps + by, 255);
    if (taps === drawing.taps) return;
    this.stepping = true;
    this.commit({ ...drawing, taps }, this.gestureOf("taps"));
  }

  /** Adds a band or a point where there is room, near what is selected or where it is wanted. */
  add(kind, at = this.besideSelection(), level = undefined) {
    if (this.dead) return;
    const { drawing } = this;
    if (kind === "point") return this.addPoint(at, level);
    if (drawing.points.length) return;
    const after = withNewBand(drawing, kind, at, level);
    if (!after)
      return this.say(`No free ground for a ${kind} band: bands keep 0.01 of Nyquist apart.`);
    this.commit(after);
    const index = after.bands.findIndex((band) => !drawing.bands.includes(band));
    this.focusThing(`b:${index}`);
  }

  addPoint(at, gain) {
    const { drawing } = this;
    if (!drawing.points.length) return;
    const frequency = at ?? this.besideSelection();
    const after = withNewPoint(drawing, frequency, gain);
    if (!after) return this.say("No room for a point here: points keep 0.01 of Nyquist apart.");
    this.commit(after);
    const index = after.points.findIndex((point) => !drawing.points.includes(point));
    this.focusThing(`t:${index}`);
  }

  /** Halfway to the next point; with bands, the free ground that is nearest. */
  besideSelection() {
    const { bands, points } = this.drawing;
    const index = Math.max(0, this.index);
    if (points.length) {
      const [a, b] = index + 1 < points.length ? [index, index + 1] : [index - 1, index];
      return snapped((points[a][0] + points[b][0]) / 2, nyquistOf(this.drawing), 1000);
    }
    return bands[index] ? bands[index][2] : 0;
  }

  remove(key = this.selectedKey) {
    if (!key || this.dead) return;
    const after = withoutThing(this.drawing, key);
    const left = this.drawing.points.length ? "points" : "band";
    if (!after)
      return this.say(left === "band" ? "One band has to stay." : "A target keeps two points.");
    const inside = this.frame.root.contains(document.activeElement);
    this.ui.active = null;
    this.select([]);
    this.commit(after);
    if (inside) this.focusThing(null);
  }

  get selectedKey() {
    const [key] = this.model.get("selected");
    return key ?? null;
  }

  /** Shows and reads out why something did not happen. */
  say(words) {
    this.ui.hint = words;
    this.frame.say(words);
    this.drawStatus();
  }

  // Gestures with the pointer

  toPlot(event) {
    const matrix = this.svg.getScreenCTM().inverse();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
    return { x, y };
  }

  isInPlot({ x, y }) {
    return x >= PLOT.left - 8 && x <= PLOT.right + 8 && y >= PLOT.top - 8 && y <= PLOT.bottom + 8;
  }

  pointerDown(event) {
    if (event.button !== 0) return;
    this.svg.setPointerCapture(event.pointerId);
    const at = this.toPlot(event);
    const handle = handleAt(this.handles, at);
    const { axes, drawing } = this;
    this.ui.hint = "";
    const band = !handle && this.isInPlot(at) ? bandAt(drawing, axes.frequency(at.x)) : -1;
    const key = handle?.key ?? (band >= 0 ? `b:${band}` : null);
    this.ui.gesture = { kind: "press", handle, key, at, axes, event, start: drawing };
    if (key)
      this.focusThing(key); // Esc must reach the drawing
    else (this.node(this.ui.active) ?? this.svg).focus({ preventScroll: true });
  }

  pointerMove(event) {
    const { gesture } = this.ui;
    if (!gesture) return this.pointAt(event);
    const far = Math.hypot(
      event.clientX - gesture.event.clientX,
      event.clientY - gesture.event.clientY,
    );
    if (gesture.kind === "press" && far >= 4) this.startDrag(gesture);
    if (gesture.kind === "handle") this.drag(gesture, event);
    if (gesture.kind === "stroke") this.drawOn(gesture, event);
    return null;
  }

  /** The cursor says what a press would do. */
  pointAt(event) {
    const handle = handleAt(this.handles, this.toPlot(event));
    this.svg.dataset.over = handle?.kind ?? "";
  }

  startDrag(gesture) {
    if (this.dead) return;
    gesture.id = `${this.uid}-${Date.now().toString(36)}`;
    if (gesture.handle) gesture.kind = "handle";
    else if (gesture.start.points.length && this.isInPlot(gesture.at)) {
      gesture.kind = "stroke";
      gesture.stroke = [this.placeOf(gesture.at, gesture.axes)];
      this.select([]);
    }
    this.talk.dragging = true;
  }

  placeOf({ x, y }, axes) {
    return [axes.frequency(x), Math.max(0, axes.level(y))];
  }

  /** Moves a handle by as much as the pointer has moved: on whole steps, with Ctrl on tenths. */
  drag({ handle, at, axes, start, id }, event) {
    const now = this.toPlot(event);
    const fine = event.ctrlKey || event.metaKey ? 10 : 1;
    const x = handle.x + now.x - at.x;
    const y = handle.y + now.y - at.y;
    const band = start.bands[handle.index];
    const to = { frequency: snapped(axes.frequency(x), axes.nyquist, 100 * fine) };
    if (handle.kind === "point") to.gain = round(axes.level(y), fine === 10 ? 3 : 2);
    else if (band[0] === "stop") to.decibels = this.attenuationAt(y, axes, fine);
    // a ripple is a few pixels tall: twenty pixels are one dB
    else to.decibels = round(Math.max(0.01, band[3] + (now.y - at.y) * 0.05), fine === 10 ? 2 : 1);
    if (handle.kind === "level") delete to.frequency;
    const { drawing, hint } = moved(start, handle, to);
    this.ui.hint = hint;
    this.commit(drawing, id);
  }

  attenuationAt(y, axes, fine) {
    const level = axes.level(y);
    const decibels = axes.linear ? -toDecibels(level) : -level;
    return Math.round(decibels * fine) / fine;
  }

  drawOn(gesture, event) {
    const events = event.getCoalescedEvents?.() ?? [event];
    for (const e of events.length ? events : [event])
      gesture.stroke.push(this.placeOf(this.toPlot(e), gesture.axes));
    this.commit(
      withStroke(gesture.start, filled(gesture.stroke, gesture.axes.nyquist)),
      gesture.id,
    );
  }

  pointerUp(event) {
    const { gesture } = this.ui;
    if (!gesture) return;
    this.stopGesture();
    if (gesture.kind === "press") this.click(gesture, event);
    else if (gesture.handle) this.focusThing(gesture.handle.key);
    this.speak();
    this.draw();
  }

  click({ key }) {
    if (!key) this.select([]);
  }

  doubleClick(event) {
    const at = this.toPlot(event);
    const { axes, drawing } = this;
    if (this.dead || !this.isInPlot(at) || handleAt(this.handles, at)) return;
    const frequency = snapped(axes.frequency(at.x), axes.nyquist);
    if (drawing.points.length) return this.add("point", frequency, round(axes.level(at.y), 2));
    if (bandAt(drawing, frequency) >= 0) return;
    // near the top something is to pass, further down it is to be stopped there
    const decibels = Math.round(-axes.level(at.y));
    if (decibels < 10) this.add("pass", frequency);
    else this.add("stop", frequency, decibels);
  }

  stopGesture() {
    this.ui.gesture = null;
    this.ui.hint = "";
    this.talk.dragging = false;
    this.talk.rest?.();
  }

  /** Esc in a drag, or a pointer that was taken away: everything as it was before. */
  cancelGesture() {
    const { gesture } = this.ui;
    this.stopGesture();
    if (gesture?.id) this.commit(gesture.start, gesture.id);
    this.draw();
  }

  // Keys

  /** Strokes of one key that follow each other soon are one edit. */
  gestureOf(key) {
    const now = performance.now();
    const { burst } = this;
    if (burst.key !== key || now > burst.until) {
      burst.key = key;
      burst.name = `${this.uid}-${key}-${Math.round(now)}`;
    }
    burst.until = now + BURST;
    return burst.name;
  }

  canvasKeys() {
    return {
      Escape: () => this.escape(),
      Enter: () => this.enter(),
      Delete: () => this.remove(),
      Backspace: () => this.remove(),
      Home: () => this.goTo(this.handles[0]?.key),
      End: () => this.goTo(this.handles.at(-1)?.key),
      PageUp: () => this.lengthen(2),
      PageDown: () => this.lengthen(-2),
      "]": () => this.goAlong(1),
      "[": () => this.goAlong(-1),
      b: () => this.nextBand(),
      n: () => this.add(this.drawing.points.length ? "point" : "pass"),
      s: () => this.add("stop"),
      a: () => this.frame.say(`${this.model.get("facts").aloud}.`),
    };
  }

  panelKey(event) {
    const by = { PageUp: 2, PageDown: -2 }[event.key];
    if (!by || event.target.dataset.field !== "taps") return;
    event.preventDefault();
    this.lengthen(by);
  }

  escape() {
    const { gesture, hint } = this.ui;
    if (gesture) return this.cancelGesture();
    this.ui.hint = "";
    if (hint) return this.drawStatus();
    if (this.selectedKey) {
      this.select([]);
      return this.draw();
    }
    return this.frame.root.focus({ preventScroll: true });
  }

  /** Opens the field of what is in focus. */
  enter() {
    const key = this.ui.active;
    const handle = this.handle(key);
    if (!key) return;
    const index = Number(key.split(":")[1]);
    this.select([key[0] === "t" ? key : `b:${index}`]);
    this.draw();
    const fields = {
      edge: [`${handle?.end}-${index}`],
      corner: [`${handle?.end}-${index}`],
      level: [`decibels-${index}`],
      point: [`frequency-${index}`],
    }[handle?.kind] ?? [`low-${index}`, `high-${index}`];
    this.openField(fields.find((name) => this.field(name)) ?? `decibels-${index}`);
  }

  goTo(key) {
    if (key) this.focusThing(key);
  }

  /** The next handle in reading order, round and round. */
  goAlong(step) {
    const { handles } = this;
    const at = handles.findIndex(({ key }) => key === this.ui.active);
    const next = at < 0 ? (step > 0 ? 0 : -1) : (at + step + handles.length) % handles.length;
    this.goTo(handles.at(next)?.key);
  }

  nextBand() {
    const { bands } = this.drawing;
    if (!bands.length) return;
    const onBand = this.ui.active?.startsWith("b:");
    const index = Math.max(0, this.index);
    this.focusThing(`b:${onBand ? (index + 1) % bands.length : index}`);
  }

  arrowKey({ key, shiftKey, ctrlKey, metaKey }) {
    const isLarge = ctrlKey || metaKey;
    if (isLarge && shiftKey) return null;
    return () => this.nudge(ARROWS[key], isLarge ? 10 : shiftKey ? 0.1 : 1);
  }

  /** Moves the handle in focus; what it can't move leads on to the next handle. */
  nudge([dx, dy], factor) {
    const { drawing, axes } = this;
    const handle = this.handle(this.ui.active);
    const sideways = dx !== 0;
    if (!handle || (sideways ? handle.kind === "level" : handle.kind === "edge"))
      return this.goAlong(dx || dy);
    if (this.dead) return null;
    const { kind, index, end } = handle;
    const to = {};
    if (kind === "point") {
      const [frequency, gain] = drawing.points[index];
      to.frequency = frequency + dx * 0.01 * factor * axes.nyquist;
      to.gain = round(gain - dy * 0.01 * factor, 3);
    } else {
      const [type, low, high, decibels] = drawing.bands[index];
      const step = (type === "stop" ? 1 : 0.1) * factor;
      if (sideways) to.frequency = (end === "low" ? low : high) + dx * 0.01 * factor * axes.nyquist;
      // the line goes where the arrow points: a stop level down is more attenuation
      else to.decibels = round(decibels + dy * step, 3);
    }
    if (to.frequency !== undefined) to.frequency = round(to.frequency, 6);
    const after = moved(drawing, handle, to);
    this.ui.hint = after.hint;
    this.stepping = true;
    if (after.hint) this.frame.say(after.hint);
    if (JSON.stringify(after.drawing) !== JSON.stringify(drawing))
      this.commit(after.drawing, this.gestureOf(this.ui.active));
    return this.drawStatus();
  }

  // Focus: what is in focus is selected

  focusThing(key) {
    super.focusThing(key);
    this.selectOwner(this.ui.active);
    this.draw();
  }

  focused(node) {
    if (super.focused(node) && !this.ui.gesture) this.ui.hint = "";
    this.selectOwner(node.dataset?.key);
  }

  /** Selects the band or the point that a handle belongs to. */
  selectOwner(key) {
    if (!key) return;
    const [kind, index] = key.split(":");
    this.select([`${kind === "t" ? "t" : "b"}:${index}`]);
  }
}

/** A stroke without holes: a quick hand leaves out what lies between two of its places. */
function filled(stroke, nyquist) {
  return stroke.flatMap(([frequency, gain], i) => {
    if (i === 0) return [[frequency, gain]];
    const [before, level] = stroke[i - 1];
    const steps = Math.max(1, Math.ceil(Math.abs(frequency - before) / (GAP * nyquist)));
    return Array.from({ length: steps }, (_, k) => {
      const share = (k + 1) / steps;
      return [before + (frequency - before) * share, level + (gain - level) * share];
    });
  });
}

/** Has ways out looked for once nobody has changed anything for a while. Returns what ends that. */
function searching(model, talk) {
  let timer = 0;
  talk.rest = () => {
    clearTimeout(timer);
    const { feasible, searched } = model.get("facts");
    if (feasible || searched || talk.dragging) return;
    timer = setTimeout(() => talk.dragging || talk.ask({ do: "ways" }), REST);
  };
  model.on("change:facts", talk.rest);
  talk.rest();
  return () => clearTimeout(timer);
}

// The module: history and conversation belong to the model, so that all views of it agree

export default function () {
  let talk;
  return {
    initialize({ model }) {
      talk = conversation(model, "drawing");
      return searching(model, talk);
    },
    render({ model, el }) {
      const view = new FilterShapeView(model, el, talk);
      return () => view.close();
    },
  };
}
