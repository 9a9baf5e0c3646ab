// The grammar editor: an automaton as a drawing and as a table, and the words it makes.
//
// What tests and style sheets may hold on to:
//   root          .sk-editor[data-testid="grammar-editor"]
//   canvas        svg[data-testid="canvas"]
//   states        [data-key="s:NAME"], each with its handle [data-key="h:NAME"]
//   steps         [data-key="p:SOURCE>TARGET"] with chips [data-key="c:SOURCE>TARGET"]
//   start arrow   [data-key="start"]
//   table cells   [data-key="t:STATE|SYMBOL"]
//   slots to try  [data-key="w:I"]; bars [data-key="n:LENGTH"]
//   buttons       [data-cmd="add-state|add-step|undo|redo|drawing|table|fit|code|help|copy|delete|
//                 dice|walk:I|length:N|examples|more|example:NAME|select:KEY|symbol:S|add-symbol|way:I"]
//   fields        [data-field="pattern|length|up_to|symbol|symbols|start|end|step"], and where
//                 symbols lead [data-field="from STATE with SYMBOL"]
//   word count    [data-testid="count"]
//   status strip  [data-testid="status"]; code [data-testid="code"]
//   live regions  [data-testid="polite"], [data-testid="assertive"]

class GrammarView extends GrammarDrawing {
  constructor(model, el, talk) {
    super(model, el, talk);
    this.listen();
    this.draw();
  }

  listen() {
    const { on } = this.frame;
    this.follow();
    this.followPointer();
    on(this.svg, "dblclick", (e) => this.doubleClick(e));
    on(this.input, "keydown", (e) => this.stepKey(e));
    on(this.input, "blur", () => this.takeStep());
    on(this.below, "keydown", (e) => this.belowKey(e));
    on(this.below, "focusin", (e) => this.belowFocused(e));
    this.model.on("change:automaton", () => (this.word = this.ui.walk = null));
    this.model.on("change:facts", () => this.talk.idle() && (this.word = null));
    this.model.on("change:selected", () => this.later());
    const sizes = new ResizeObserver(() => !this.closed && this.isMap && this.placeInput());
    sizes.observe(this.frame.canvas);
    this.stopWatching = () => sizes.disconnect();
  }

  close() {
    this.stopWatching();
    super.close();
  }

  // Commands

  commands(argument, pressed) {
    return {
      ...super.commands(argument, pressed),
      "add-state": () => this.newState(),
      "add-step": () => this.startLink(),
      drawing: () => this.show("drawing"),
      table: () => this.show("table"),
      fit: () => this.fit(),
      delete: () => this.remove(),
      dice: () => this.throwDice(),
      walk: () => this.walk(Number(argument)),
      length: () => this.change({ length: Number(argument) }),
      example: () => this.openExample(argument),
      examples: () => ((this.ui.examples = !this.ui.examples), this.draw()),
      select: () => this.select([argument]),
      symbol: () => this.openSymbol(argument),
      "add-symbol": () => this.openSymbol(""),
    };
  }

  openExample(name) {
    if (this.dead) return;
    this.ui.examples = false;
    this.zoom = this.ui.walk = null;
    this.talk.ask({ do: "example", name });
    this.home.focus({ preventScroll: true });
  }

  takeWay(way) {
    if (way.do === "undo") this.step("undo");
    if (way.do === "show") this.showThing(way.key);
    if (way.do === "edit") {
      this.ui.active = way.key ?? this.ui.active;
      this.commit(way.drawing, way.key ? [way.key] : undefined);
    }
  }

  showThing(key) {
    this.mode = this.automaton.states.length > TOO_MANY ? "table" : "drawing";
    this.zoom = null;
    this.select([key], { focus: key });
    this.node(this.ui.active)?.scrollIntoView({ block: "nearest" });
  }

  show(mode) {
    this.stopGesture();
    const inside = this.frame.canvas.contains(document.activeElement);
    this.mode = this.automaton.states.length > TOO_MANY ? "table" : mode;
    this.draw();
    if (inside) this.backToDrawing();
  }

  newState({ at = null, from = null } = {}) {
    if (this.dead) return;
    const name = freeName(this.automaton);
    const drawn = addState(this.automaton, name, at ?? this.roomBeside());
    this.ui.active = stateKey(name);
    this.commit(drawn, [stateKey(name)]);
    if (this.isMap && !from) this.focusThing(stateKey(name));
    return name;
  }

  roomBeside() {
    const circles = [...this.circles().values()];
    const state = this.currentState;
    const beside = state ? { x: state.position[0], y: state.position[1] } : circles.at(-1);
    return freeSpot(circles, { x: beside.x + 128, y: beside.y }, RADIUS);
  }

  remove() {
    const keys = this.selected.length ? this.selected : [this.current].filter(Boolean);
    if (!keys.length || this.dead) return;
    const { root } = this.frame;
    const inside = root.contains(document.activeElement);
    const [first] = keys;
    const from = this.placed?.get(first.slice(2)) ?? { x: 0, y: 0 };
    const left = [...this.circles()].filter(([name]) => !keys.includes(stateKey(name)));
    const next = left.sort(([, p], [, q]) => distance(p, from) - distance(q, from))[0];
    if (inside) this.home.focus({ preventScroll: true }); // before the node in focus goes
    const source = this.scene.arrows.get(first)?.source;
    this.ui.active = source ? stateKey(source) : next ? stateKey(next[0]) : null;
    this.commit(without(this.automaton, keys), []);
    if (inside) this.backToDrawing();
  }

  /** Where a symbol leads from a state, as the table and the panel say. */
  lead(name, symbol, target) {
    this.commit(withTarget(this.automaton, name, symbol, target));
  }

  toggleEnd() {
    const state = this.currentState;
    if (state) this.commit(withState(this.automaton, state.name, { end: !state.end }));
  }

  makeStart() {
    const state = this.currentState;
    if (state && this.automaton.start !== state.name) this.change({ start: state.name });
  }

  /** The arrow with other symbols; none removes it. */
  retitle(source, target, text) {
    const symbols = symbolsIn(text);
    const key = stepKey({ source, target });
    if (String(symbols) === String(this.scene.arrows.get(key)?.symbols)) return;
    if (symbols.length) this.commit(withSymbols(this.automaton, source, target, symbols), [key]);
    else this.commit(without(this.automaton, [key]), []);
  }

  readPattern(text) {
    if (this.dead) return;
    this.ui.walk = null;
    this.talk.ask({ do: "pattern", text });
  }

  // The alphabet

  openSymbol(symbol) {
    if (this.dead) return;
    this.ui.symbol = symbol;
    this.draw();
    this.openField("symbol");
  }

  closeSymbol() {
    if (this.field("symbol").dirty || this.refusal("symbol")) return;
    this.ui.symbol = null;
    this.later();
  }

  nameSymbol(text) {
    const symbol = this.ui.symbol;
    this.ui.symbol = null;
    const drawn = this.automaton;
    if (symbol && !text) this.commit(removeSymbol(drawn, symbol));
    else if (symbol) this.commit(renameSymbol(drawn, symbol, text));
    else if (text) this.commit({ ...drawn, symbols: [...drawn.symbols, ...text.split(/,\s*|,/)] });
    else this.draw();
  }

  // Gestures with the pointer

  keyOf(name) {
    return stateKey(name);
  }

  thingOf(key) {
    if (key === "start") return stateKey(this.automaton.start);
    return key.replace(/^h:/, "s:").replace(/^c:/, "p:");
  }

  startOther(key, { start, at }) {
    if (key === "start") this.ui.gesture = { kind: "start", at, target: null };
    else this.startFrame(start, at);
  }

  moves(event) {
    return { start: () => this.dragStart(event) };
  }

  ends({ target }) {
    return {
      start: () => target && target !== this.automaton.start && this.change({ start: target }),
    };
  }

  dragStart(event) {
    const { gesture } = this.ui;
    gesture.at = this.toWorld(event);
    gesture.target = this.circleAt(gesture.at);
    this.drawFront();
    this.drawStatus();
  }

  click(key, event) {
    const kind = key?.[0];
    this.ui.walk = null;
    if (kind === "h") return this.startLink(key.slice(2));
    const thing = kind === "p" ? this.nearestLine(this.toWorld(event)) : key && this.thingOf(key);
    if (!thing) return this.select([], { focus: this.ui.active });
    this.pick(thing, event);
    if (kind === "c" && this.selected.length === 1) this.editStep(thing);
  }

  doubleClick(event) {
    if (this.dead || !this.isMap) return;
    const key = this.lastKey;
    if (!key) this.newState({ at: snapped(this.toWorld(event)) });
    else if (key[0] === "s" && key !== "start") this.toggleEnd();
    else if (key[0] === "p") this.editStep(this.current);
  }

  withPlaces(drawn, places) {
    return [...places].reduce((d, [name, position]) => withState(d, name, { position }), drawn);
  }

  readTrial() {
    this.scene = readScene(this.trial);
  }

  // Steps: dragged from a handle, picked with two clicks, or aimed with the keys; then the symbol

  startLink(from = this.currentState?.name ?? this.currentArrow?.source ?? this.focusedState()) {
    if (this.dead) return;
    if (!this.isMap) this.show("drawing");
    this.startSticky(from);
  }

  /** With the keyboard a step has to start somewhere; with the pointer, where one clicks next. */
  focusedState() {
    return this.frame.root.matches(".sk-by-keys") ? this.automaton.states[0].name : null;
  }

  startKeyLink() {
    const from = this.currentState?.name ?? this.currentArrow?.source;
    if (!from || this.dead) return;
    this.ui.walk = null;
    this.ui.gesture = { kind: "link", keys: true, from, target: from };
    this.draw();
    this.frame.say(`Step from ${from} to itself. Arrow keys choose another state, then type.`);
  }

  mayAim() {
    return true;
  }

  mayJoin() {
    return true;
  }

  growTo(from, at) {
    const place = snapped(at);
    const circles = [...this.circles().values()];
    if (circles.some((circle) => distance(circle, place) < circle.r + RADIUS + 8)) return;
    this.askSymbol({ from, target: null, at: place });
  }

  connect(from, target) {
    this.askSymbol({ from, target });
  }

  /** Opens the field for the symbols of a step, new or old. */
  askSymbol(pending, text = "") {
    this.ui.gesture = this.ui.walk = null;
    this.ui.pending = pending;
    this.input.value = text;
    this.draw();
    this.input.focus({ preventScroll: true });
    this.input.setSelectionRange(text.length, text.length);
  }

  editStep(key) {
    const step = this.scene.arrows.get(key);
    if (!step || this.dead) return;
    this.askSymbol({ from: step.source, target: step.target, old: true }, step.symbols.join(", "));
    this.input.select();
  }

  stepKey(event) {
    event.stopPropagation();
    if (event.key !== "Enter" && event.key !== "Escape") return;
    if (event.shiftKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (event.key === "Escape") this.input.value = "";
    this.takeStep(event.key === "Escape");
  }

  /** Enter or leaving the field makes the step; without a symbol a new one is dropped. */
  takeStep(isDropped = false) {
    const { pending } = this.ui;
    if (!pending) return;
    this.ui.pending = null;
    const { from, target, at, old } = pending;
    const symbols = symbolsIn(this.input.value);
    const back = document.activeElement === this.input;
    const key = target === null ? null : stepKey({ source: from, target });
    if (old && !isDropped) this.retitle(from, target, this.input.value);
    else if (symbols.length && key) {
      this.ui.active = key;
      this.commit(addSteps(this.automaton, from, target, symbols), [key]);
    } else if (symbols.length) this.growWith(from, at, symbols);
    if (back) this.focusThing(this.exists(this.ui.active) ? this.ui.active : stateKey(from));
    this.draw();
  }

  /** A new state with the step that leads to it. */
  growWith(from, at, symbols) {
    const name = freeName(this.automaton);
    const drawn = addSteps(addState(this.automaton, name, at), from, name, symbols);
    this.ui.active = stateKey(name);
    this.commit(drawn, [stateKey(name)]);
  }

  chooseTarget(direction) {
    const { gesture } = this.ui;
    const from = this.placed.get(gesture.target ?? gesture.from);
    gesture.target = nearestToward(from, this.placed, direction) ?? gesture.target;
    this.drawFront();
    this.drawStatus();
    this.frame.say(gesture.target === gesture.from ? "To itself." : `To ${gesture.target}.`);
  }

  // Keys

  stopGesture() {
    super.stopGesture();
    this.ui.pending = null;
  }

  canvasKey(event) {
    const { gesture } = this.ui;
    const isSymbol = event.key.length === 1 && event.key !== " " && !event.ctrlKey;
    if (gesture?.kind === "link" && gesture.keys && isSymbol && !event.metaKey && !event.altKey) {
      event.preventDefault();
      event.stopPropagation();
      return this.askSymbol({ from: gesture.from, target: gesture.target }, event.key);
    }
    return super.canvasKey(event);
  }

  canvasKeys() {
    const state = this.currentState;
    return {
      Escape: () => this.escape(),
      Enter: () => this.enter(),
      Delete: () => this.remove(),
      Backspace: () => this.remove(),
      Home: () => this.goToEnd(0),
      End: () => this.goToEnd(-1),
      " ": () => this.toggleEnd(),
      n: () => this.newState(),
      p: () => this.startKeyLink(),
      m: () => state && this.startShift(stateKey(state.name)),
      s: () => this.makeStart(),
      e: () => this.editCurrent(),
      w: () => this.walk(this.ui.walk?.index ?? 0),
      r: () => this.throwDice(),
      t: () => this.slots.children[this.ui.slot]?.focus(),
      v: () => this.show("table"),
      "]": () => this.nextStepOf(1),
      "[": () => this.nextStepOf(-1),
      0: () => this.fit(),
    };
  }

  editCurrent() {
    const state = this.currentState;
    const key = state
      ? [...this.scene.arrows.keys()].find((k) => this.scene.arrows.get(k).source === state.name)
      : this.current;
    if (key) this.editStep(key);
  }

  arrowKey({ key, shiftKey, ctrlKey, metaKey }) {
    return ctrlKey || metaKey ? null : () => this.go(ARROWS[key], shiftKey);
  }

  go(direction, isFine) {
    const { gesture, walk } = this.ui;
    if (gesture?.kind === "shift") return this.shiftBy(direction, isFine ? 1 : 8);
    if (gesture?.kind === "link") return gesture.from && this.chooseTarget(direction);
    if (walk) return this.walkOn(direction[0] + direction[1]);
    return this.goToward(direction);
  }

  escape() {
    if (this.ui.gesture) return this.cancelGesture();
    if (this.ui.walk) {
      this.ui.walk = null;
      return this.draw();
    }
    if (this.selected.length) return this.select([], { focus: this.ui.active });
    return this.frame.root.focus({ preventScroll: true });
  }

  enter() {
    if (this.finishKeys()) return;
    const key = this.current;
    if (!key) return;
    if (!this.selected.length) this.select([key], { focus: key });
    const first = this.lower.querySelector("input, select");
    first?.focus();
    first?.select?.();
  }

  nextStepOf(by) {
    const step = this.currentArrow;
    const name = this.currentState?.name ?? this.around ?? step?.source;
    if (!name || !this.scene.states.has(name)) return;
    this.around = name; // ] and [ go round this state, not the far end of the step
    const own = [...this.scene.arrows.values()].filter(
      (a) => a.source === name || a.target === name,
    );
    if (!own.length) return;
    const index = step ? own.indexOf(step) + by : by > 0 ? 0 : -1;
    const key = stepKey(own.at(index % own.length));
    this.select([key], { focus: key });
  }

  // Walking a word

  walk(index) {
    if (!this.model.get("facts").words[index]) {
      return this.frame.say("There is no word to walk.");
    }
    this.mode = this.automaton.states.length > TOO_MANY ? this.mode : "drawing";
    this.stopGesture();
    this.ui.walk = { index, at: 0 };
    this.draw();
    this.backToDrawing();
    this.frame.say(this.walkHint().text);
  }

  walkOn(by) {
    const { walk } = this.ui;
    const word = this.model.get("facts").words[walk.index];
    walk.at = clamp(0, walk.at + by, word.length);
    this.draw();
    const end = walk.at === word.length ? " May end." : "";
    this.frame.say(
      walk.at ? this.walkHint().text.replace(/\.$/, "") + end : `Start in ${this.automaton.start}.`,
    );
  }

  throwDice() {
    if (this.dead || this.model.get("facts").all) return;
    this.ui.walk = null;
    this.talk.ask({ do: "dice" });
  }

  // Trying a word

  belowFocused({ target }) {
    const key = target.dataset?.key;
    if (!key?.startsWith("w:")) return;
    this.ui.slot = Number(key.slice(2));
    for (const node of this.slots.children)
      setAttributes(node, { tabindex: node === target ? 0 : -1 });
  }

  belowKey(event) {
    const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
    if (!event.target.dataset.key?.startsWith("w:") || altKey) return;
    if (ctrlKey || metaKey) return;
    const { slot } = this.ui;
    const keys = {
      ArrowLeft: () => this.goToSlot(slot - 1),
      ArrowRight: () => this.goToSlot(slot + 1),
      Home: () => this.goToSlot(0),
      End: () => this.goToSlot(this.automaton.length - 1),
      ArrowUp: () => this.turnSlot(-1),
      ArrowDown: () => this.turnSlot(1),
      Delete: () => this.fillSlot(slot, null),
      Backspace: () => this.backspace(),
    };
    const handle = shiftKey && key.length > 1 ? null : keys[key];
    if (handle) handle();
    else if (key.length === 1 && key !== "?") this.typeSymbol(key);
    else return;
    event.preventDefault();
  }

  goToSlot(index) {
    const last = this.automaton.length - 1;
    this.ui.typed = "";
    this.slots.children[clamp(0, index, last)].focus();
  }

  get slotWord() {
    return [...(this.word ?? this.model.get("facts").tried)];
  }

  fillSlot(index, symbol) {
    if (this.dead) return;
    const word = this.slotWord;
    word[index] = symbol;
    this.word = word;
    this.stepping = true;
    this.talk.ask({ do: "try", word });
    this.draw();
  }

  backspace() {
    const { slot } = this.ui;
    const index = this.slotWord[slot] ? slot : Math.max(0, slot - 1);
    this.fillSlot(index, null);
    this.goToSlot(index);
  }

  turnSlot(by) {
    const { symbols } = this.automaton;
    if (!symbols.length) return;
    const { slot } = this.ui;
    const at = symbols.indexOf(this.slotWord[slot]); // -1: empty, which is one of the choices
    const next = (at + 1 + by + symbols.length + 1) % (symbols.length + 1);
    this.fillSlot(slot, next ? symbols[next - 1] : null);
  }

  /** A symbol by its letters: what is typed is taken as soon as it is certain. */
  typeSymbol(letter) {
    const { symbols } = this.automaton;
    const { slot } = this.ui;
    const among = (text) => symbols.filter((symbol) => symbol.startsWith(text));
    let typed = `${this.ui.typed ?? ""}${letter}`;
    if (!among(typed).length) typed = letter;
    const found = among(typed);
    if (!found.length) {
      this.ui.typed = "";
      return this.frame.say(`${letter} is no symbol. Symbols are ${symbols.join(", ")}.`);
    }
    this.ui.typed = found.length > 1 ? typed : "";
    this.fillSlot(slot, found.find((symbol) => symbol === typed) ?? found[0]);
    if (found.length === 1) this.goToSlot(slot + 1);
  }

  // The table

  tableChanged({ target }) {
    const { tick } = target.dataset;
    if (!tick) return;
    const name = target.closest("tr").dataset.key.slice(4);
    if (tick === "start") this.change({ start: name });
    else this.commit(withState(this.automaton, name, { end: target.checked }));
  }

  tableKey(event) {
    const { key, target, altKey, ctrlKey, metaKey, shiftKey } = event;
    if (altKey || ctrlKey || metaKey || shiftKey || !this.rows.contains(target)) return;
    const stops = this.tableStops();
    const wide = 3 + this.automaton.symbols.length;
    const at = stops.indexOf(target);
    const column = at % wide;
    const isChoice = target.localName === "select"; // up and down choose its state
    const to = {
      ArrowLeft: column > 0 ? at - 1 : at,
      ArrowRight: column < wide - 1 ? at + 1 : at,
      ArrowUp: isChoice ? undefined : at - wide,
      ArrowDown: isChoice ? undefined : at + wide,
      PageUp: at - wide,
      PageDown: at + wide,
      Home: at - column,
      End: at - column + wide - 1,
    }[key];
    const actions = {
      v: () => this.show("drawing"),
      n: () => this.newState(),
      r: () => this.throwDice(),
      Delete: () => this.tableDelete(target),
      Backspace: () => this.tableDelete(target),
    };
    const typed = key.length === 1 ? key.toLowerCase() : key;
    const act = isChoice && key.length === 1 && key !== "v" ? null : actions[typed];
    if (to === undefined && !act) return;
    event.preventDefault();
    if (act) act();
    else stops[to]?.focus();
  }

  /** Not allowed any more; on the name of a state, the state goes. */
  tableDelete(target) {
    const [, name, symbol] = /^t:(.*)\|(.*)$/.exec(target.closest("[data-key]").dataset.key);
    if (target.localName === "select") this.lead(name, symbol, null);
    else if (target.localName === "button") {
      this.talk.select([stateKey(name)]);
      this.remove();
    }
  }
}

// The module: history and conversation belong to the model, so that all views of it agree

export default function () {
  let talk;
  return {
    initialize({ model }) {
      talk = conversation(model, "automaton");
    },
    render({ model, el }) {
      const view = new GrammarView(model, el, talk);
      return () => view.close();
    },
  };
}
