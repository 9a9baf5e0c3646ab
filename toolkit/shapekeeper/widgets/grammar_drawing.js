// One view of a grammar as it is seen: drawing, table, words, panel and status strip.

class GrammarDrawing extends MapView {
  constructor(model, el, talk) {
    super(model, el, talk, {
      testid: "grammar-editor",
      title: "Grammar",
      keys: HELP,
      make: [
        button("add-state", { label: "State", icon: "region", title: "New state (N)" }),
        button("add-step", { label: "Step", icon: "pathway", title: "New step (P)" }),
      ],
      extra: [
        h(
          "span",
          { class: "sk-switch", role: "group", "aria-label": "View" },
          button("drawing", { label: "Drawing", title: "Draw the automaton (V)" }),
          button("table", { label: "Table", title: "Show the transition table (V)" }),
        ),
        plain("fit", "Fit the drawing (0)"),
      ],
    });
    this.frame.root.classList.add("sk-grammar");
    this.mode = null;
    this.beside = 0;
    this.word = null; // a word to try that Python has not seen yet
    Object.assign(this.ui, { pending: null, symbol: null, walk: null, slot: 0, examples: false });
    this.buildCanvas();
  }

  buildCanvas() {
    this.buildMap(
      ["back", "lines", "circles", "chips", "front"],
      "Press N for a new state, P for a step from the selected one, question mark for all keys.",
    );
    this.leader = h("span", { class: "sk-caption sk-leader" });
    this.input = h("input", {
      type: "text",
      class: "sk-mono sk-chip-field",
      "data-field": "step",
      "aria-label": "Symbols of the step",
      autocomplete: "off",
      spellcheck: "false",
      hidden: true,
    });
    this.table = h("div", { class: "sk-table-box", hidden: true });
    this.buildTable();
    this.below = h("div", { class: "sk-below" });
    this.frame.canvas.append(this.leader, this.input, this.table, this.below);
    this.upper = h("div", { class: "sk-lower" });
    this.lower = h("div", { class: "sk-lower" });
    this.frame.panel.append(this.upper, this.lower);
  }

  // State

  get isMap() {
    return this.mode === "drawing";
  }

  get automaton() {
    return this.drawing;
  }

  /** Whether the drawing leads, and the pattern follows. */
  get leads() {
    return this.automaton.pattern === null;
  }

  get isEmpty() {
    return this.automaton.states.length === 1 && !this.automaton.steps.length;
  }

  get currentState() {
    return this.current?.startsWith("s:") ? this.scene.states.get(this.current.slice(2)) : null;
  }

  get currentArrow() {
    return this.scene.arrows.get(this.current) ?? null;
  }

  exists(key) {
    return (
      Boolean(key) &&
      (this.scene.arrows.has(key) || (key.startsWith("s:") && this.scene.states.has(key.slice(2))))
    );
  }

  circles() {
    return new Map(
      [...this.scene.states].map(([name, { position }]) => [
        name,
        { x: position[0], y: position[1], r: RADIUS },
      ]),
    );
  }

  commit(drawn, selected) {
    this.ui.walk = null;
    super.commit(drawn, selected);
  }

  /** An edit of what belongs to the whole: length, start. */
  change(changes) {
    this.commit({ ...this.automaton, ...changes });
  }

  // Drawing

  draw() {
    this.scene = readScene(this.automaton);
    if (this.isOther()) this.zoom = null;
    const many = this.automaton.states.length > TOO_MANY;
    this.mode = many ? "table" : (this.mode ?? "drawing");
    if (this.ui.walk && !this.model.get("facts").words[this.ui.walk.index]) this.ui.walk = null;
    this.keepFocus(() => {
      this.drawCanvas();
      this.drawPanel();
      this.fillPanel("below", () => belowParts(this), this.below);
      this.drawBar();
      this.drawStatus();
    });
    this.frame.showCode(this.model.get("facts").code);
  }

  /** Whether another automaton is drawn: then it is fitted anew. */
  isOther() {
    const before = this.shown;
    this.shown = new Set(this.automaton.states.map(({ name, position }) => `${name} ${position}`));
    return before && ![...before].some((state) => this.shown.has(state));
  }

  drawBar() {
    this.frame.fact.textContent = this.countWords();
    this.drawHistory();
    this.enable("add-state", !this.dead);
    this.enable("add-step", !this.dead);
    this.enable("drawing", this.automaton.states.length <= TOO_MANY);
    this.enable("fit", this.isMap);
    setAttributes(this.barButton("drawing"), { "aria-pressed": this.isMap });
    setAttributes(this.barButton("table"), { "aria-pressed": !this.isMap });
  }

  countWords() {
    if (this.isEmpty) return "empty";
    const { states, symbols } = this.automaton;
    return `${plural(states.length, "state")}, ${plural(symbols.length, "symbol")}`;
  }

  drawCanvas() {
    this.frame.root.dataset.mode = this.mode;
    this.svg.toggleAttribute("hidden", !this.isMap);
    this.table.hidden = this.isMap;
    this.frame.canvas.style.setProperty("--slot", `${slotWidth(this.automaton)}px`);
    setAttributes(this.svg, {
      "aria-roledescription": "automaton",
      "aria-label": this.countWords(),
    });
    if (this.isMap) this.drawMap();
    else this.drawTable();
    this.leader.textContent = this.leads || !this.isMap ? "" : "Follows the pattern.";
    this.rove();
  }

  drawn() {
    return this.world;
  }

  begins(key) {
    return key[0] === "s";
  }

  // The map

  drawMap() {
    this.placed = this.circles();
    this.placeWorld();
    this.lines = this.routed();
    const { selected } = this;
    this.drawLines(selected);
    this.drawStates(selected);
    this.drawChips(selected);
    this.drawFront();
    this.layers.back.replaceChildren(...(this.isEmpty ? ghosts([...this.placed.values()][0]) : []));
    this.placeInput();
  }

  /** With room for loops, for the arrow of the start, and for words below. */
  extents() {
    return [...this.placed].flatMap(([name, { x, y, r }]) => {
      const loops = this.scene.arrows.has(stepKey({ source: name, target: name }));
      const starts = this.automaton.start === name;
      const around = [
        { x, y, r: r + 4 },
        { x, y: y + r + 20, r: 0 },
      ];
      if (loops || starts) around.push({ x, y: y - 72, r: 0 });
      if (loops && starts) around.push({ x: x - 80, y, r: 0 });
      return around;
    });
  }

  /** Every arrow with its curve. */
  routed() {
    const { scene, placed } = this;
    const lines = [...scene.arrows].map(([key, step]) => ({
      key,
      step,
      from: step.source,
      to: step.target,
      isLoop: step.source === step.target,
      twin: step.source !== step.target && Boolean(scene.back(step)),
    }));
    const straight = lines.filter((line) => !line.isLoop);
    this.settleBows(straight, this.obstacles(lines), true);
    for (const line of lines) {
      const [a, b] = [placed.get(line.from), placed.get(line.to)];
      if (line.isLoop) line.shape = loopShape(a);
      else {
        const bow = this.bows.get(line.key);
        line.whole = curve(a, b, Math.abs(bow) <= 0.08 && !line.twin ? 0 : bow);
        line.shape = arrow(line.whole, a.r, b.r, 2);
      }
    }
    return lines;
  }

  /** The states, and the loops above them, which lines keep clear of as well. */
  obstacles(lines) {
    const all = new Map(this.placed);
    for (const { isLoop, from } of lines) {
      const { x, y } = this.placed.get(from);
      if (isLoop) all.set(`loop of ${from}`, { x, y: y - RADIUS - 20, r: 14 });
    }
    return all;
  }

  farFrom(line, at) {
    if (!line.isLoop) return super.farFrom(line, at);
    const { x, y } = line.shape.middle;
    return Math.abs(distance({ x, y: y + 8 }, at) - 14);
  }

  drawLines(selected) {
    const walked = this.walkedStep();
    keyed(
      this.layers.lines,
      this.lines.map((line) => [line.key, line]),
      lineGroup,
      (g, line, key) => {
        const isSelected = selected.includes(key);
        setAttributes(g, {
          "aria-label": stepLabel(line.step, isSelected),
          class: [
            "sk-pathway",
            isSelected && "sk-selected",
            key === walked && "sk-walked",
            line.isLoop && "sk-loop",
          ]
            .filter(Boolean)
            .join(" "),
        });
        fillLine(g, line.shape, 2);
      },
    );
  }

  drawChips(selected) {
    const plainLines = this.lines.filter((line) => !line.isLoop);
    for (const line of this.lines) {
      line.words = chipText(line.step.symbols);
      line.width = Math.max(24, MONO * [...line.words].length + 14);
    }
    placeChips(plainLines, this.placed, 24);
    const walked = this.walkedStep();
    const items = this.lines.map((line) => [`c:${line.key.slice(2)}`, line]);
    keyed(this.layers.chips, items, chipGroup, (g, line) => {
      const on = selected.includes(line.key) || line.key === walked;
      setAttributes(g, { class: `sk-chip ${on ? "sk-selected" : ""}` });
      fillChip(g, line.isLoop ? line.shape.middle : line.chip, line.words, line.width, 24);
      setAttributes(g.children[2], { y: 4.5 });
    });
  }

  drawStates(selected) {
    const culprits = this.culprits();
    const { scene, placed } = this;
    const walk = this.ui.walk && this.walkPath();
    const on = walk ? walk[this.ui.walk.at] : null;
    keyed(
      this.layers.circles,
      [...scene.states].map(([name, state]) => [stateKey(name), state]),
      () => s("g", { role: "button", tabindex: -1 }),
      (g, state) => {
        const isSelected = selected.includes(stateKey(state.name));
        const { x, y } = placed.get(state.name);
        setAttributes(g, {
          transform: `translate(${round(x)} ${round(y)})`,
          "aria-label": stateLabel(scene, state, isSelected),
          class: [
            "sk-region",
            isSelected && "sk-selected",
            culprits.has(state.name) && "sk-culprit",
            on === state.name && "sk-lit",
            this.isEmpty && "sk-invited",
          ]
            .filter(Boolean)
            .join(" "),
        });
        const plan = this.statePlan(state, culprits.has(state.name));
        const look = JSON.stringify(plan);
        if (g.look === look) return; // a node that goes between two clicks makes no double-click
        g.look = look;
        g.replaceChildren(...stateParts(plan));
      },
    );
  }

  culprits() {
    return new Set(
      this.model
        .get("messages")
        .filter((m) => m.kind === "warn")
        .flatMap((m) => m.states ?? []),
    );
  }

  /** What is drawn of a state, and in which directions its arrow, its words and its handle go. */
  statePlan({ name, end }, isCulprit) {
    const taken = this.lineAngles(name);
    const free = (angle) => taken.every((other) => turn(angle, other) > 0.62);
    const plan = { name, end, isCulprit, start: null, below: false };
    if (this.automaton.start === name) {
      const angle = [-Math.PI / 2, Math.PI, Math.PI / 2, -2.4, 2.4, -0.75].find(free);
      plan.start = angle ?? widestGap(taken);
      taken.push(plan.start);
    }
    if (end && free(Math.PI / 2)) {
      plan.below = true;
      taken.push(Math.PI / 2);
    }
    plan.handle = this.isEmpty || !taken.length ? 0 : widestGap(taken);
    return plan;
  }

  /** The directions in which lines touch a state; a loop takes two. */
  lineAngles(name) {
    const { x, y } = this.placed.get(name);
    const ends = this.lines
      .flatMap((line) => [
        line.from === name && line.shape.leave,
        line.to === name && line.shape.arrive,
        line.isLoop && line.from === name && line.shape.middle,
      ])
      .filter(Boolean);
    return ends.map((p) => Math.atan2(p.y - y, p.x - x));
  }

  /** Besides what every map shows: a step that waits for its symbol, the start on its way. */
  drawFront() {
    super.drawFront();
    const { gesture, pending } = this.ui;
    if (pending && !this.pendingLine()) this.layers.front.append(...this.ghostLine(pending));
    const dragged = gesture?.kind === "start";
    this.frame.root.classList.toggle("sk-starting", dragged);
    if (!dragged) return;
    const { x, y } = gesture.at;
    const target = gesture.target && this.placed.get(gesture.target);
    const shape = arrow(curve({ x, y: y - 52 }, target ?? { x, y }, 0), 0, target?.r ?? 4, 2);
    this.layers.front.append(...ghostArrow(shape));
    for (const g of this.layers.circles.children)
      g.classList.toggle("sk-chosen", g.dataset.key === stateKey(gesture.target));
  }

  ghostLine(link) {
    if (link.target === link.from) return ghostArrow(loopShape(this.placed.get(link.from)));
    return super.ghostLine(link);
  }

  pendingLine() {
    const { from, target } = this.ui.pending;
    return this.lines.find(({ key }) => key === stepKey({ source: from, target }));
  }

  // The field for the symbols of a step, where its chip is

  /** The middle of a step that is being made or edited, in the drawing. */
  fieldPlace() {
    const { pending } = this.ui;
    if (!pending || !this.isMap) return null;
    const line = this.pendingLine();
    if (line) return line.isLoop ? line.shape.middle : line.chip;
    const a = this.placed.get(pending.from);
    const b = pending.target ? this.placed.get(pending.target) : pending.at;
    if (!a || !b) return null;
    if (pending.target === pending.from) return loopShape(a).middle;
    return pointAt(curve(a, b, 0.08), 0.5);
  }

  placeInput() {
    const place = this.fieldPlace();
    this.input.hidden = !place;
    if (!place) return;
    const { k, x, y } = this.zoom;
    const at = new DOMPoint(place.x * k + x, place.y * k + y).matrixTransform(
      this.svg.getScreenCTM(),
    );
    const box = this.frame.canvas.getBoundingClientRect();
    const clampTo = (value, most) => Math.round(clamp(4, value, most));
    const left = clampTo(at.x - box.left - 44, box.width - 92);
    const top = clampTo(at.y - box.top - 14, CANVAS.height - 32);
    setAttributes(this.input, { style: `left:${left}px;top:${top}px` });
  }

  // The table

  buildTable() {
    const on = this.frame.on;
    this.header = h("tr", {});
    this.rows = h("tbody", {});
    this.table.append(
      h(
        "table",
        {
          class: "sk-table",
          "aria-label": "Transition table: from a state, with a symbol, to a state",
        },
        h("thead", {}, this.header),
        this.rows,
      ),
      h(
        "div",
        { class: "sk-row" },
        button("add-state", { label: "State", icon: "plus", title: "New state" }),
        button("add-symbol", { label: "Symbol", icon: "plus", title: "New symbol" }),
      ),
    );
    on(this.table, "change", (e) => this.tableChanged(e));
    on(this.table, "keydown", (e) => this.tableKey(e));
    on(this.table, "focusin", (e) => this.tableFocused(e));
  }

  drawTable() {
    const { automaton: drawn } = this;
    const listed = drawn.states.length > FAR_TOO_MANY ? [] : drawn.states;
    const culprits = this.culprits();
    refresh(this.header, [
      h("th", { scope: "col", class: "sk-caption" }, "state"),
      h("th", { scope: "col", class: "sk-caption" }, "start"),
      h("th", { scope: "col", class: "sk-caption" }, "may end"),
      ...drawn.symbols.map((symbol) => h("th", { scope: "col", class: "sk-mono" }, symbol)),
    ]);
    inOrder(
      this.rows,
      listed.map((state) => [`row:${state.name}`, state]),
      () => h("tr", {}),
      (tr, { name }) => {
        const isSelected = this.selected.includes(stateKey(name));
        setAttributes(tr, {
          class: `${isSelected ? "sk-selected" : ""} ${culprits.has(name) ? "sk-culprit" : ""}`,
        });
        inOrder(
          tr,
          tableCells(this, name),
          (_, { create }) => create(),
          (td, { update }) => update(td),
        );
      },
    );
    this.roveTable();
  }

  tableStops() {
    return [...this.rows.querySelectorAll("button, input, select")];
  }

  /** The table is one stop for Tab, as the drawing is. */
  roveTable() {
    const stops = this.tableStops();
    const active = stops.includes(this.ui.cell) ? this.ui.cell : (stops[3] ?? stops[0]);
    for (const stop of stops) setAttributes(stop, { tabindex: stop === active ? 0 : -1 });
  }

  tableFocused({ target }) {
    if (!this.tableStops().includes(target)) return;
    this.ui.cell = target;
    this.roveTable();
  }

  // The panel

  panelKind() {
    const { selected } = this;
    if (selected.length > 1) return ["several"];
    const [key] = selected;
    const step = this.scene.arrows.get(key);
    if (step) return ["step", step.source, step.target];
    if (key) return ["state", key.slice(2)];
    return [this.isEmpty ? "empty" : "whole"];
  }

  /** What is about the whole stays, whatever is selected. */
  drawPanel() {
    const [kind, ...subject] = this.panelKind();
    const panels = {
      several: () => [severalPanel(this)],
      step: () => [stepPanel(this, ...subject)],
      state: () => [statePanel(this, ...subject)],
      empty: () => emptyPanel(this),
      whole: () => wholePanel(),
    };
    this.fillPanel("whole", () => [wordsPanel(this), countSection(this)], this.upper);
    this.fillPanel([kind, ...subject], panels[kind], this.lower);
  }

  /** The title of the panel, with the examples behind a button once something is drawn. */
  examplesHead() {
    const list = h("div", {});
    const toggle = h(
      "button",
      {
        type: "button",
        class: "sk-button sk-bare sk-quiet",
        "data-cmd": "examples",
        title: "Open an example",
      },
      h("span", {}, "Examples"),
    );
    this.fresh.push(() => {
      const open = !this.isEmpty && this.ui.examples;
      toggle.hidden = this.isEmpty;
      setAttributes(toggle, { "aria-expanded": open });
      refresh(list, [open && exampleList(this)]);
    });
    return h("div", {}, head("Words", toggle), list);
  }

  backToDrawing() {
    if (!this.isMap) return (this.ui.cell ?? this.tableStops()[0])?.focus();
    const [key] = this.selected;
    this.focusThing(key ?? this.ui.active);
  }

  get home() {
    return this.isMap ? this.svg : (this.tableStops()[3] ?? this.frame.root);
  }

  /** Whether a refusal is about what the panel shows. */
  concerns({ key }) {
    return !key || this.selected.includes(key);
  }

  // Walking a word

  walkPath() {
    return walkOf(this.scene, this.model.get("facts").words[this.ui.walk.index]);
  }

  /** The arrow that the walk took last. */
  walkedStep() {
    const { walk } = this.ui;
    if (!walk?.at) return null;
    const path = this.walkPath();
    return stepKey({ source: path[walk.at - 1], target: path[walk.at] });
  }

  // The status strip

  messages() {
    if (this.farewell) return this.farewell;
    const hint = this.gestureHint();
    if (hint) return [{ kind: "plain", detail: "", ...hint }];
    return this.standing().map((m, i) =>
      i === 0 && m.kind === "good" ? { ...m, detail: this.nextStep() } : m,
    );
  }

  nextStep() {
    const { length } = this.automaton.states;
    if (length > FAR_TOO_MANY) return `Too many states to draw or to list (${length}).`;
    if (length > TOO_MANY) return `Too many states to draw (${length}); the table lists them all.`;
    if (!this.isMap) return "A row is a state; a column says where its symbol leads.";
    return "Drag the blue handle to a state, then type the symbol.";
  }

  gestureHint() {
    const { gesture, pending, walk } = this.ui;
    if (pending)
      return {
        text: `Step from ${pending.from} to ${pending.target ?? "a new state"}.`,
        detail: "Type its symbol, Enter; several with commas between. Esc drops it.",
      };
    if (gesture?.kind === "link" && gesture.keys)
      return {
        text: `Step from ${gesture.from} to ${gesture.target === gesture.from ? "itself" : gesture.target}.`,
        detail: "Arrow keys choose, then type the symbol; Esc drops it.",
      };
    if (gesture?.kind === "link" && !gesture.from)
      return { text: "Step.", detail: "Click the state it starts from; Esc to drop it." };
    if (gesture?.kind === "link" && gesture.sticky)
      return {
        text: `Step from ${gesture.from}.`,
        detail: "Click the state it leads to; Esc to drop it.",
      };
    if (gesture?.kind === "link")
      return {
        text: "",
        detail:
          "Let go on a state to add a step, on free ground to add a state too; Esc to drop it.",
      };
    if (gesture?.kind === "start")
      return {
        text: "",
        detail: gesture.target
          ? `Let go: words begin at ${gesture.target}.`
          : "Let go on the state where words begin; Esc to drop it.",
      };
    if (gesture?.kind === "shift")
      return {
        text: `Moving ${gesture.names.join(", ")}.`,
        detail: "Arrow keys by 8, with Shift by 1; Enter keeps it, Esc puts it back.",
      };
    if (walk) return this.walkHint();
    return null;
  }

  walkHint() {
    const { walk } = this.ui;
    const word = this.model.get("facts").words[walk.index];
    const path = this.walkPath();
    const done = walk.at === word.length;
    const text = walk.at
      ? `${word[walk.at - 1]}: ${path[walk.at - 1]} to ${path[walk.at]}.`
      : `Start in ${path[0]}.`;
    const end = done ? `${path[walk.at]} may end: ${wordText(word)} is a word.` : "";
    return { text, detail: `${end} ${done ? "←" : "→"} goes on, Esc ends the walk.`.trim() };
  }
}

/** The angle between two directions. */
const turn = (a, b) => Math.abs(Math.atan2(Math.sin(a - b), Math.cos(a - b)));
