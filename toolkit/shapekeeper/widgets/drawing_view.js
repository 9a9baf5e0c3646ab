// One view of a drawing widget: its frame, its history, its fields, what it says, and where the
// focus is. A widget's own view extends it and answers: draw(), drawn() (what holds the things that
// take the focus), begins(key), backToDrawing(), stopGesture(), takeWay(way), messages(),
// concerns(message), arrowKey(event) and canvasKeys().

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class DrawingView extends FrameView {
  /** @param parts what `frame` takes: { testid, title, keys, make, extra } */
  constructor(model, el, talk, parts) {
    super(model, el, talk, parts);
    this.ui = { active: null, gesture: null, open: false, dismissed: null };
    this.fresh = []; // what brings the box that is being built up to date
  }

  get code() {
    return this.model.get("facts").code;
  }

  /** What takes the focus when it has nowhere else to go. */
  get home() {
    return this.svg;
  }

  /** The canvas, with the sentence that tells screen readers how to begin. */
  canvas(layers, viewBox, first) {
    const id = `${this.uid}-first`;
    const attributes = { role: "application", tabindex: 0, viewBox, "aria-describedby": id };
    this.svg = s("svg", { "data-testid": "canvas", ...attributes }, layers);
    this.frame.canvas.append(this.svg, h("span", { id, class: "sk-voice" }, first));
  }

  /** Follows the model and the keys; a widget's own listeners come on top. */
  follow() {
    const { model } = this;
    const { on, root } = this.frame;
    on(this.svg, "focusin", (e) => this.focused(e.target));
    on(root, "keydown", (e) => this.frameKey(e));
    this.watchFocus();
    model.on(`change:${this.talk.drawn}`, () => this.later());
    model.on("change:messages", () => this.later());
    model.on("change:facts", () => (this.speak(), this.later()));
    this.watchKernel();
    this.busy = () => this.watchBusy();
    this.talk.watchers.add(this.busy);
    this.heard = model.get("facts").said?.id;
  }

  close() {
    clearTimeout(this.busyTimer);
    this.talk.watchers.delete(this.busy);
    super.close();
  }

  watchBusy() {
    const { root } = this.frame;
    clearTimeout(this.busyTimer);
    if (this.talk.idle()) root.classList.remove("sk-busy");
    else
      this.busyTimer = setTimeout(() => root.classList.toggle("sk-busy", !this.talk.idle()), 300);
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

  // Commands that every drawing has

  commands(argument, pressed) {
    return {
      undo: () => this.step("undo"),
      redo: () => this.step("redo"),
      help: () => this.toggleHelp(),
      copy: () => this.copy(pressed),
      code: () => this.toggleCode(pressed),
      more: () => ((this.ui.open = !this.ui.open), this.drawStatus()),
      way: () => this.takeWay(this.ways[Number(argument)]),
    };
  }

  step(direction) {
    if (this.dead) return;
    this.stopGesture();
    this.talk.ask({ do: direction });
  }

  // Focus: the drawing is one stop for Tab

  /** Lets Tab reach one of what is drawn: the thing used last, else the one to begin with. */
  rove() {
    const nodes = [...this.drawn().querySelectorAll("[data-key][tabindex]")];
    const active =
      nodes.find((node) => node.dataset.key === this.ui.active) ??
      nodes.find((node) => this.begins(node.dataset.key)) ??
      nodes[0];
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
    if (!key || key === this.ui.active) return false;
    this.ui.active = key;
    this.rove();
    return true;
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

  /** A key in the drawing, by the table that `canvasKeys` gives; modifiers belong to the arrows. */
  canvasKey(event) {
    const arrow = ARROWS[event.key];
    if (event.altKey || (!arrow && (event.ctrlKey || event.metaKey))) return;
    const isLetter = event.key.length === 1;
    const handle = arrow
      ? this.arrowKey(event)
      : this.canvasKeys()[isLetter ? event.key.toLowerCase() : event.key];
    const shifted = event.shiftKey && !arrow && !isLetter;
    if (!handle || shifted) return;
    event.preventDefault();
    handle();
  }

  // Bar, panel and status strip

  /** Undo and redo, as the history stands; buttons that are of no use now are pale. */
  enable(cmd, can) {
    setAttributes(this.barButton(cmd), { "aria-disabled": can ? null : "true" });
  }

  drawHistory() {
    const { undo, redo } = this.model.get("facts");
    this.enable("undo", undo && !this.dead);
    this.enable("redo", redo && !this.dead);
    setAttributes(this.barButton("undo"), {
      title: undo ? `Undo: ${undo} (Ctrl Z)` : "Nothing to undo",
    });
    setAttributes(this.barButton("redo"), {
      title: redo ? `Redo: ${redo} (Ctrl Shift Z)` : "Nothing to redo",
    });
  }

  /** Builds a box when its subject changes, else brings it up to date: fields keep focus. */
  fillPanel(subject, build, box = this.frame.panel) {
    const signature = JSON.stringify(subject);
    if (signature !== box.signature) {
      box.signature = signature;
      box.fresh = this.fresh = [];
      box.replaceChildren(...build().filter(Boolean));
    }
    for (const update of box.fresh) update();
  }

  field(name) {
    return this.frame.panel.querySelector(`[data-field="${name}"]`);
  }

  /** Opens a field of the panel, its text ready to be replaced. */
  openField(name) {
    const input = this.field(name) ?? this.frame.panel.querySelector("[data-field]");
    input?.focus();
    input?.select?.();
  }

  /** What Python refused for a field that is shown. */
  refusal(field) {
    return this.refusals().find((m) => m.field === field && this.concerns(m));
  }

  refusals() {
    return this.model.get("messages").filter((m) => m.refused && m.refused !== this.ui.dismissed);
  }

  /** Without a kernel there is one thing to say. */
  get farewell() {
    const detail = "You can look, not change. Run the cell again.";
    return this.dead ? [{ kind: "bad", text: "No kernel.", detail }] : null;
  }

  /** What Python says, without refusals that were read or that stand at their field. */
  standing() {
    const seen = (m) =>
      m.refused &&
      (m.refused === this.ui.dismissed || (m.field && this.field(m.field) && this.concerns(m)));
    return this.model.get("messages").filter((m) => !seen(m));
  }

  drawStatus() {
    this.ways = drawStatus(this.frame.status, this.messages(), this.ui.open);
    const refused = this.refusals()[0];
    if (refused && refused.refused !== this.answered) this.takeRefusal(refused);
  }

  /** A refused edit: the thing is selected again, and if it was typed, its field is open again. */
  takeRefusal(refused) {
    this.answered = refused.refused;
    if (this.talk.speaker !== this || !refused.field || !this.concerns(refused)) return;
    if (refused.key) this.ui.active = refused.key;
    this.openField(refused.field);
    this.drawStatus();
  }
}

// The panel's parts

/**
 * A field that takes what was typed on Enter or on leaving it, and shows what Python says to it.
 * `read()` gives the text now, `take(text)` makes the edit.
 */
function textField(view, { name, label, unit, read, take }) {
  const input = h("input", {
    type: "text",
    "data-field": name,
    "aria-label": label,
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": `${view.uid}-${name}`,
  });
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
    if (
      !["Enter", "Escape"].includes(event.key) ||
      event.shiftKey ||
      event.ctrlKey ||
      event.metaKey
    )
      return;
    event.preventDefault();
    if (event.key === "Enter") commit();
    else {
      view.ui.dismissed = view.refusal(name)?.refused ?? view.ui.dismissed;
      input.dirty = false;
      input.value = shown = read(); // leaving the field would take what was typed
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
  return [
    h(
      "span",
      { class: "sk-input" },
      input,
      unit && h("span", { class: "sk-unit", "aria-hidden": "true" }, unit),
    ),
    error,
  ];
}

/** Buttons of which one holds: [value, label, title]. */
function choiceSwitch(view, { name, label, choices, read, take }) {
  const buttons = choices.map(([value, text, title]) => {
    const node = h(
      "button",
      { type: "button", "data-value": text, title, class: "sk-button" },
      h("span", {}, text),
    );
    view.frame.on(node, "click", () => take(value));
    view.fresh.push(() =>
      setAttributes(node, { "aria-pressed": read() === value, disabled: view.dead }),
    );
    return node;
  });
  return h(
    "span",
    { class: "sk-switch sk-wide", role: "group", "aria-label": label, "data-field": name },
    buttons,
  );
}

const row = (label, ...parts) =>
  h("div", { class: "sk-field" }, h("span", { class: "sk-label" }, label), h("div", {}, parts));
const number = (text) =>
  text !== "" && Number.isFinite(Number(text.replace(",", ".")))
    ? Number(text.replace(",", "."))
    : text;
const head = (title, ...buttons) =>
  h("div", { class: "sk-row" }, h("h4", {}, title), h("span", { class: "sk-room" }), buttons);
const removeButton = () =>
  button("delete", { icon: "trash", title: "Remove (Delete)", kind: "sk-bare" });

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

/** Keys and what they do: [words, [key, …]]. */
const keyList = (rows, title) =>
  h(
    "section",
    {},
    title && h("p", { class: "sk-caption" }, title),
    h(
      "ul",
      { class: "sk-keys" },
      rows.map(([does, keys]) => h("li", {}, does, h("span", {}, keys.map(key)))),
    ),
  );

/** What Python offers to open. */
function exampleList(view) {
  return h(
    "ul",
    { class: "sk-list" },
    view.model.get("facts").examples.map(({ name, title, detail }) =>
      h(
        "li",
        {},
        h(
          "button",
          {
            type: "button",
            class: "sk-button sk-bare sk-example",
            "data-cmd": `example:${name}`,
          },
          h("span", {}, title, h("small", {}, detail)),
          icon("chevron"),
        ),
      ),
    ),
  );
}
