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

class RegionGraphView extends RegionGraphDrawing {
  constructor(model, el, talk) {
    super(model, el, talk);
    this.listen();
    this.draw();
  }

  listen() {
    const { on } = this.frame;
    const canvas = this.svg;
    this.follow();
    this.followPointer();
    on(canvas, "dblclick", (e) => this.doubleClick(e));
    on(canvas, "pointerover", (e) => this.pointAt(e));
    on(canvas, "pointerleave", () => this.hover(null));
    this.model.on("change:selected", () => ((this.ui.editing = false), this.later()));
  }

  close() {
    clearTimeout(this.hoverTimer);
    super.close();
  }

  // Commands

  commands(argument, pressed) {
    return {
      ...super.commands(argument, pressed),
      "add-region": () => this.newRegion({ naming: true }),
      "add-pathway": () => this.startLink(),
      map: () => this.show("map"),
      matrix: () => this.show("matrix"),
      fit: () => this.fit(),
      delete: () => this.remove(),
      reverse: () => this.reverse(),
      edit: () => this.openField("name"),
      open: () => this.toggleCell(...this.cursor()),
      example: () => this.openExample(argument),
      examples: () => this.toggleExamples(pressed),
      select: () => this.select([argument]),
    };
  }

  openExample(name) {
    if (this.dead) return;
    this.talk.ask({ do: "example", name });
    this.svg.focus({ preventScroll: true });
  }

  takeWay(way) {
    if (way.do === "undo") this.step("undo");
    if (way.do === "show") this.showThing(way.key);
    if (way.do === "pathway")
      this.commit(addPathway(this.graph, way.source, way.target), [pathKey(way)]);
    if (way.do === "known")
      this.commit(withPathway(this.graph, way.key, { known: true }), [way.key]);
    if (way.do === "region")
      this.commit(withRegion(this.graph, way.name, way.set), [regionKey(way.name)]);
  }

  showThing(key) {
    this.mode = this.graph.regions.length > TOO_MANY ? "matrix" : "map";
    this.zoom = null;
    this.select([key], { focus: key });
    this.node(this.ui.active)?.scrollIntoView({ block: "nearest" });
  }

  show(mode) {
    this.stopGesture();
    this.mode = this.graph.regions.length > TOO_MANY ? "matrix" : mode;
    const [key] = this.selected;
    const path = this.scene.paths.get(key);
    if (this.mode === "map") this.ui.active = key ?? this.ui.active;
    else if (key)
      this.ui.active = path
        ? `m:${path.target}<${path.source}`
        : `m:${key.slice(2)}<${key.slice(2)}`;
    const inside = this.svg.contains(document.activeElement);
    this.draw();
    if (inside) this.focusThing(this.ui.active);
  }

  toggleExamples(pressed) {
    const list = this.frame.panel.querySelector(".sk-list");
    list.hidden = !list.hidden;
    setAttributes(pressed, { "aria-expanded": !list.hidden });
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
    const wanted = beside
      ? { x: beside.x + 144, y: beside.y }
      : circles.length
        ? circles.at(-1)
        : { x: 200, y: 240 };
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
    const inDrawing =
      this.svg.contains(document.activeElement) ||
      this.frame.panel.contains(document.activeElement);
    const target =
      this.mode === "matrix"
        ? path
          ? `m:${path.target}<${path.source}`
          : null
        : next
          ? regionKey(next[0])
          : null;
    if (inDrawing) this.svg.focus({ preventScroll: true }); // before the node in focus goes
    this.ui.active = target;
    this.commit(without(this.graph, keys), []);
    if (inDrawing) this.focusThing(target);
  }

  changeRegion(changes) {
    const names = this.selected.length
      ? this.selected.filter((key) => key.startsWith("r:")).map((key) => key.slice(2))
      : [this.currentRegion?.name].filter(Boolean);
    if (!names.length) return;
    const graph = names.reduce((g, name) => withRegion(g, name, changes), this.graph);
    const renamed = names.length === 1 && "name" in changes;
    if (renamed) this.ui.active = regionKey(changes.name);
    this.commit(
      graph,
      names.map((name) => regionKey(renamed ? changes.name : name)),
    );
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
    if (inCanvas)
      this.focusThing(
        this.mode === "map" ? pathKey(turned) : `m:${turned.target}<${turned.source}`,
      );
  }

  /** Density by 0.05, or size by 8. */
  grow(sign) {
    this.stepping = true;
    const path = this.currentPath;
    const region = this.currentRegion;
    const step = (density) =>
      clamp(0.01, Math.round((Math.round(density * 20 + 1e-9) + sign) * 5) / 100, 1);
    if (path) this.changePath({ density: step(path.density) });
    if (region)
      this.changeRegion({
        size: Math.max(1, sign > 0 && region.size < 8 ? 8 : region.size + 8 * sign),
      });
  }

  // Gestures with the pointer

  keyOf(name) {
    return regionKey(name);
  }

  thingOf(key) {
    return key.replace(/^h:/, "r:").replace(/^c:/, "p:");
  }

  startOther(key, { start, at }) {
    if (key?.[0] === "c") this.startDensity(`p:${key.slice(2)}`, start);
    else this.startFrame(start, at);
  }

  moves(event) {
    return { density: () => this.dragDensity(event) };
  }

  ends(gesture) {
    return { density: () => this.finishTrial([gesture.key]) };
  }

  click(key, event) {
    if (this.mode === "matrix")
      return key ? this.dead || this.pressCell(key) : this.select([], { focus: this.ui.active });
    const kind = key?.[0];
    if (kind === "h") return this.startLink(key.slice(2));
    const thing = kind === "p" ? this.nearestLine(this.toWorld(event)) : key && this.thingOf(key);
    if (!thing) {
      this.ui.kept = null;
      return this.select([], { focus: this.ui.active });
    }
    return this.pick(thing, event);
  }

  farFrom({ whole, back, path }, at) {
    const points = sampled(whole, 24).slice(this.scene.style.merged && back ? 12 : 0);
    return Math.min(...points.map((p) => distance(p, at))) + (path.known ? 0 : 0.01);
  }

  doubleClick(event) {
    if (this.mode === "matrix" || this.dead) return;
    const key = this.lastKey;
    const at = this.toWorld(event);
    if (!key) this.newRegion({ at: snapped(at), naming: true });
    else if ("pc".includes(key[0]) && this.currentPath)
      this.changePath({ known: !this.currentPath.known });
    else if (key[0] === "r") this.openField("name");
  }

  withPlaces(graph, places) {
    return [...places].reduce((g, [name, position]) => withRegion(g, name, { position }), graph);
  }

  readTrial() {
    this.scene = readScene(this.trial);
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

  // Pathways: dragged from a handle, picked with two clicks, or aimed with the keys

  startLink(from = this.currentRegion?.name ?? this.currentPath?.source ?? this.focusedRegion()) {
    if (this.dead) return;
    if (this.mode === "matrix") return this.cursor() && this.toggleCell(...this.cursor());
    this.startSticky(from);
  }

  /** With the keyboard a pathway has to start somewhere; with the pointer, where one clicks next. */
  focusedRegion() {
    if (!this.frame.root.matches(".sk-by-keys")) return null;
    return this.ui.active?.startsWith("r:")
      ? this.ui.active.slice(2)
      : (this.graph.regions[0]?.name ?? null);
  }

  startKeyLink() {
    const from = this.currentRegion?.name ?? this.currentPath?.source;
    if (!from || this.dead) return;
    this.ui.gesture = { kind: "link", keys: true, from, target: null };
    this.draw();
    this.frame.say(`Pathway from ${from}. Arrow keys choose where it leads.`);
  }

  mayAim(from, to) {
    return to !== from;
  }

  mayJoin(from, to) {
    return to !== from && !this.scene.paths.has(pathKey({ source: from, target: to }));
  }

  growTo(from, at) {
    this.newRegion({ at: snapped(at), from, naming: true });
  }

  connect(from, to) {
    const key = pathKey({ source: from, target: to });
    this.ui.active = key;
    this.commit(addPathway(this.graph, from, to), [key]);
    this.focusThing(key);
  }

  chooseTarget(direction) {
    const { gesture } = this.ui;
    const allowed = [...this.placed].filter(([name]) => this.mayJoin(gesture.from, name));
    if (!allowed.length) return this.frame.say(`${gesture.from} feeds every other region already.`);
    gesture.target =
      nearestToward(this.placed.get(gesture.target ?? gesture.from), allowed, direction) ??
      gesture.target;
    this.drawFront();
    this.drawStatus();
    if (gesture.target) this.frame.say(`To ${gesture.target}.`);
  }

  // Keys

  canvasKeys() {
    const region = this.currentRegion;
    const path = this.currentPath;
    return {
      Escape: () => this.escape(),
      Enter: () => this.enter(),
      Delete: () => this.remove(),
      Backspace: () => this.remove(),
      Home: () => this.goToEnd(0),
      End: () => this.goToEnd(-1),
      " ": () => this.space(),
      n: () => this.newRegion({ naming: true }),
      p: () => this.startKeyLink(),
      m: () => region && this.startShift(regionKey(region.name)),
      v: () => this.show(this.mode === "map" ? "matrix" : "map"),
      e: () => this.edit(path ? "density" : "name"),
      d: () => this.edit(path ? "density" : "inside"),
      i: () => region && this.changeRegion({ input: !region.input }),
      o: () => region && this.changeRegion({ output: !region.output }),
      u: () => path && this.changePath({ known: !path.known }),
      r: () => this.reverse(),
      "+": () => this.grow(1),
      "=": () => this.grow(1),
      "-": () => this.grow(-1),
      "]": () => this.nextPath(1),
      "[": () => this.nextPath(-1),
      f: () => this.keep(),
      0: () => this.fit(),
    };
  }

  arrowKey({ key, shiftKey, ctrlKey, metaKey }) {
    return ctrlKey || metaKey ? null : () => this.go(ARROWS[key], shiftKey);
  }

  go(direction, isFine) {
    const { gesture } = this.ui;
    if (this.mode === "matrix") return this.moveCursor(direction);
    if (gesture?.kind === "link" && !gesture.from) return null;
    if (gesture?.kind === "shift") return this.shiftBy(direction, isFine ? 1 : 8);
    if (gesture?.kind === "link") return this.chooseTarget(direction);
    return this.goToward(direction);
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
    if (this.finishKeys()) return;
    if (this.current) this.edit(this.currentPath ? "density" : "name");
    else if (this.mode === "matrix" && this.cursor()) this.goToCell(...this.cursor());
  }

  space() {
    if (this.mode === "matrix")
      return this.cursor() && !this.dead && this.toggleCell(...this.cursor());
    if (this.ui.active) this.select([this.ui.active], { focus: this.ui.active });
  }

  goToEnd(index) {
    if (this.mode === "matrix") {
      const name = this.plan.names.at(index);
      return name && this.goToCell(name, name);
    }
    return super.goToEnd(index);
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
