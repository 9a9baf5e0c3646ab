// What all widgets share: elements, icons, the frame (bar, canvas, panel, status, code, keys), and
// the conversation with Python. Python puts this text in front of the widget's own module.

const SVG = "http://www.w3.org/2000/svg";
const FOCUSABLE = new Set(["button", "input", "select", "textarea", "summary", "a", "pre"]);

// Elements

function fill(node, attributes, children) {
  setAttributes(node, attributes ?? {});
  if (FOCUSABLE.has(node.localName) || node.hasAttribute("tabindex")) quiet(node);
  node.append(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
}

/** Keeps the notebook's single-key shortcuts off an element; they ignore marks on its ancestors. */
function quiet(node) {
  node.setAttribute("data-lm-suppress-shortcuts", "true");
  return node;
}

const h = (name, attributes, ...children) =>
  fill(document.createElement(name), attributes, children);
const s = (name, attributes, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

/** Sets what differs; null and false take an attribute away, but for aria-… true and false are words. */
function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const text = value === true && !name.startsWith("aria-") ? "" : String(value);
    const gone =
      value === null || value === undefined || (value === false && !name.startsWith("aria-"));
    if (gone) node.removeAttribute(name);
    else if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}

/** Brings the children of a layer in step with items, and keeps the nodes (and focus) that stay. */
function keyed(layer, items, create, update) {
  const old = new Map([...layer.children].map((node) => [node.dataset.key, node]));
  for (const [key, item] of new Map(items)) {
    let node = old.get(key);
    if (!node) {
      node = create(key, item);
      node.dataset.key = key;
      layer.append(node);
    }
    old.delete(key);
    update(node, item, key);
  }
  for (const node of old.values()) node.remove();
}

/** Replaces the children of a node where they differ, so that focus and selection survive. */
function refresh(node, children) {
  const wanted = node.cloneNode(false);
  wanted.append(...children.filter(Boolean));
  if (!node.isEqualNode(wanted)) node.replaceChildren(...wanted.childNodes);
}

const ICONS = {
  region: "M8.6 5.2a4.6 4.6 0 1 0 2.4 2.6M12 1v5M9.5 3.5h5",
  pathway:
    "M3.5 14.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM4.5 10.6C5.5 6.5 8.5 4.5 13 4.5M10.2 1.5l3.2 3-3.2 3",
  undo: "M6 2.5 2.5 6 6 9.5M2.8 6H10a3.75 3.75 0 0 1 0 7.5H6.5",
  redo: "M10 2.5 13.5 6 10 9.5M13.2 6H6a3.75 3.75 0 0 0 0 7.5h3.5",
  fit: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  code: "M5 4 1.5 8 5 12M11 4l3.5 4L11 12",
  help: "M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM6 6.3a2 2 0 1 1 2.8 1.8c-.5.3-.8.6-.8 1.4M8 11.7v.1",
  dice: "M3.5 2h9a1.5 1.5 0 0 1 1.5 1.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 2 12.5v-9A1.5 1.5 0 0 1 3.5 2ZM5.2 5.2v.1M10.8 5.2v.1M8 8v.1M5.2 10.8v.1M10.8 10.8v.1",
  trash: "M2.5 4.5h11M6 4.5V2.5h4v2M4 4.5l.6 9.5h6.8l.6-9.5",
  reverse: "M2 5.5h11M10 2.5l3 3-3 3M14 10.5H3M6 7.5l-3 3 3 3",
  plus: "M8 2.5v11M2.5 8h11",
  minus: "M2.5 8h11",
  chevron: "M6 3.5 10.5 8 6 12.5",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  play: "M4.5 2.5v11l9-5.5Z",
  stop: "M3.5 3.5h9v9h-9Z",
  good: "M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM5 8.2l2.1 2.1L11 6.2",
  info: "M8 14.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM8 7.5v4M8 4.7v.1",
  warn: "M8 1.8 15 14H1L8 1.8ZM8 6.3v4M8 12v.1",
  bad: "M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3l3.8-3.8ZM8 4.7v4.3M8 11.2v.1",
};

function icon(name, size = 16) {
  return s(
    "svg",
    { class: "sk-icon", viewBox: "0 0 16 16", width: size, height: size, "aria-hidden": "true" },
    s("path", { d: ICONS[name], fill: "none", stroke: "currentColor", "stroke-width": 1.6 }),
  );
}

function button(cmd, { label, icon: sign, title, pressed, kind = "" } = {}) {
  const attributes = {
    type: "button",
    "data-cmd": cmd,
    class: `sk-button ${kind}`,
    title,
    "aria-pressed": pressed,
  };
  if (!label) attributes["aria-label"] = title;
  return h("button", attributes, sign && icon(sign), label && h("span", {}, label));
}

/** A button with the icon of that name alone. */
const plain = (cmd, words) => button(cmd, { icon: cmd, title: words, kind: "sk-bare" });

const key = (text) => h("kbd", {}, text);

/** A number as it is read: digits in groups of three, a true minus sign. */
const count = (value) =>
  String(value)
    .replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f")
    .replace("-", "−");
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

// Conversation: edits go out one message per gesture; steps through history never overtake one

/** @param drawn name of the trait that the browser edits */
function conversation(model, drawn = "value") {
  let asked = null;
  let pending = null; // the newest of the moves that came while Python was busy with an older one
  const waiting = [];
  const watchers = new Set();
  const memory = new Map();
  const idle = () => asked === null || model.get("facts").answered === asked;
  const send = (command) => {
    asked = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
    model.set("command", { ...command, id: asked });
    model.save_changes();
    watchers.forEach((watch) => watch());
  };
  const next = () => {
    if (pending) {
      const { value, gesture } = pending;
      pending = null;
      model.set(drawn, value);
      send({ do: "edit", gesture });
    } else if (waiting.length) send(waiting.shift());
  };
  model.on("change:facts", () => {
    if (idle()) next();
    watchers.forEach((watch) => watch());
  });
  return {
    idle,
    watchers,
    drawn,
    speaker: null, // the view that was used last; only one of several reads things out
    /** What was computed once for a drawing, so that all views and every undo draw the same. */
    remembered(drawing, compute) {
      if (!memory.has(drawing)) memory.set(drawing, compute());
      if (memory.size > 200) memory.delete(memory.keys().next().value);
      return memory.get(drawing);
    },
    edit(value, selected) {
      model.set(drawn, value);
      if (selected) model.set("selected", selected);
      send({ do: "edit" });
    },
    /** One of many edits that a gesture makes, which are one for the history. The newest wins. */
    move(value, gesture) {
      pending = { value, gesture };
      if (idle()) next();
      else watchers.forEach((watch) => watch());
    },
    /** The drawing with the newest edit. */
    newest: () => pending?.value ?? model.get(drawn),
    ask(command) {
      if (idle() && !pending) send(command);
      else waiting.push(command);
    },
    select(keys) {
      model.set("selected", keys);
      model.save_changes();
    },
  };
}

/** Tells when the kernel goes or comes back. The proxy anywidget hands out hides that, but calls back
 *  with the view as `this`, and the view knows its model. */
function onKernelChange(model, tell) {
  model.on("comm_live_update", function () {
    tell(this?.model?.comm_live === false);
  });
}

// Frame

/**
 * The parts every widget has. `make` and `extra` are what its bar has of its own, in front of undo
 * and behind redo; without a `history` there are neither, nor a panel. `run(cmd, button)` is called
 * for every element with `data-cmd`.
 * @returns the nodes, and `on` (a listener that goes with the frame), `showCode`, `say`, `alert`, `close`
 */
function frame({ run, ...parts }) {
  const controller = new AbortController();
  const on = (node, type, listener, options = {}) =>
    node.addEventListener(type, listener, { signal: controller.signal, ...options });
  const nodes = frameNodes(parts);
  const { root } = nodes;
  root.tabIndex = -1; // takes the focus that Esc lets go, and leaves the notebook its keys
  on(root, "click", (event) => {
    const pressed = event.target.closest("[data-cmd]");
    if (pressed && root.contains(pressed) && !pressed.disabled && pressed.ariaDisabled !== "true")
      run(pressed.dataset.cmd, pressed);
  });
  on(root, "mousedown", (event) => event.stopPropagation());
  on(root, "keydown", (event) => handOn(event, root));
  followTheme(root, on, controller.signal);
  const showCode = (code) => {
    if (nodes.codeText.textContent === code) return;
    nodes.codeText.textContent = code;
    nodes.code.querySelector("button").lastChild.textContent = "Copy";
  };
  return {
    ...nodes,
    on,
    showCode,
    ...voices(nodes),
    close: () => (controller.abort(), root.remove()),
  };
}

function frameNodes({ testid, title, make, extra, keys, history = true }) {
  const nodes = {
    fact: h("span", { class: "sk-fact" }),
    canvas: h("div", { class: "sk-canvas" }),
    panel: h("div", { class: "sk-panel", role: "group", "aria-label": "Properties" }),
    status: h("div", {
      class: "sk-status",
      "data-testid": "status",
      role: "group",
      "aria-label": "Status",
    }),
    codeText: h("pre", {
      tabindex: 0,
      "data-testid": "code",
      "aria-label": "Python that rebuilds the drawing",
    }),
    polite: h("div", { class: "sk-voice", "data-testid": "polite", "aria-live": "polite" }),
    assertive: h("div", {
      class: "sk-voice",
      "data-testid": "assertive",
      "aria-live": "assertive",
    }),
    help: helpDialog(keys),
  };
  nodes.code = h(
    "div",
    { class: "sk-code", hidden: true },
    nodes.codeText,
    button("copy", { label: "Copy", title: "Copy the code" }),
  );
  nodes.bar = h(
    "div",
    { class: "sk-bar", role: "toolbar", "aria-label": title },
    h("strong", {}, title),
    nodes.fact,
    h(
      "span",
      { class: "sk-tools" },
      make,
      h("hr"),
      history && [plain("undo", "Undo"), plain("redo", "Redo"), h("hr")],
      extra,
      plain("code", "Show the code"),
      plain("help", "All keys (?)"),
    ),
  );
  nodes.root = h(
    "div",
    { class: "sk-editor", "data-testid": testid, role: "group", "aria-label": title },
    h(
      "div",
      { class: "sk-frame" },
      nodes.bar,
      h("div", { class: "sk-working", "aria-hidden": "true" }),
      nodes.canvas,
      history && nodes.panel,
      nodes.status,
      nodes.code,
      nodes.help,
      nodes.polite,
      nodes.assertive,
    ),
  );
  return nodes;
}

function helpDialog(keys) {
  const row = ([keysText, does]) =>
    h("tr", {}, h("th", { scope: "row" }, keysText), h("td", {}, does));
  const section = ([title, rows]) =>
    h("section", {}, h("h4", {}, title), h("table", {}, rows.map(row)));
  return h(
    "div",
    { class: "sk-help", role: "dialog", "aria-label": "Keys and gestures", hidden: true },
    h(
      "div",
      { class: "sk-row" },
      h("strong", {}, "Keys and gestures"),
      button("help", { icon: "close", title: "Close (Esc)", kind: "sk-bare" }),
    ),
    h("div", { class: "sk-scroll", tabindex: 0 }, keys.map(section)),
  );
}

/** What is read out: politely, at once or after a rest; and refusals. */
function voices({ polite, assertive }) {
  let timer = 0;
  const say = (text, rest = 0) => {
    clearTimeout(timer);
    timer = setTimeout(() => (polite.textContent = text), rest);
  };
  const alert = (text) => {
    assertive.textContent = ""; // the same words twice must be heard twice
    assertive.textContent = text;
  };
  return { say, alert };
}

/** Running a cell and saving belong to the notebook: give up the focus, then press the key there. */
function handOn(event, root) {
  const saves = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s";
  const runs = event.shiftKey && event.key === "Enter";
  if (!(saves || runs) || event.target === root) return;
  event.preventDefault();
  event.stopPropagation();
  root.focus({ preventScroll: true });
  const { key, code, keyCode, ctrlKey, metaKey, shiftKey } = event;
  root.dispatchEvent(
    new KeyboardEvent("keydown", {
      key,
      code,
      keyCode,
      ctrlKey,
      metaKey,
      shiftKey,
      bubbles: true,
      cancelable: true,
      composed: true,
    }),
  );
}

// One view of a widget in its frame: what every view does, whatever it shows

/**
 * A widget's own view extends it and answers: draw(), commands(argument, pressed), code (the text to
 * copy), home (what takes the focus when it has nowhere else to go) and backToDrawing().
 */
class FrameView {
  /** @param parts what `frame` takes: { testid, title, keys, make, extra, history } */
  constructor(model, el, talk, parts) {
    this.model = model;
    this.talk = talk;
    this.uid = `sk${Math.random().toString(36).slice(2, 9)}`; // ids are shared by the whole page
    this.dead = false; // no kernel: look, but do not touch
    this.frame = frame({ ...parts, run: (cmd, pressed) => this.run(cmd, pressed) });
    el.append(this.frame.root);
  }

  /** Knows from now on whether keys are in use, and which view is the one that reads things out. */
  watchFocus() {
    const { on, root } = this.frame;
    on(root, "pointerdown", () => this.markKeys(false), { capture: true });
    on(root, "keydown", () => this.markKeys(true), { capture: true });
    on(root, "focusin", (e) => this.entered(e));
    this.talk.speaker ??= this;
  }

  watchKernel() {
    onKernelChange(this.model, (isGone) => {
      this.dead = isGone;
      this.later();
    });
  }

  close() {
    this.closed = true;
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

  run(cmd, pressed) {
    const [name, ...rest] = cmd.split(":");
    this.commands(rest.join(":"), pressed)[name]();
  }

  barButton(cmd) {
    return this.frame.bar.querySelector(`[data-cmd="${cmd}"]`);
  }

  toggleCode(pressed) {
    const { code } = this.frame;
    code.hidden = !code.hidden;
    setAttributes(pressed, { "aria-pressed": !code.hidden });
  }

  toggleHelp() {
    const { help } = this.frame;
    help.hidden = !help.hidden;
    if (!help.hidden) {
      this.before = document.activeElement;
      help.querySelector("[tabindex]").focus();
    } else (this.before?.checkVisibility() ? this.before : this.home).focus();
  }

  async copy(pressed) {
    try {
      await navigator.clipboard.writeText(this.code);
    } catch {
      getSelection().selectAllChildren(this.frame.codeText);
      document.execCommand("copy"); // pages without https have no clipboard
    }
    pressed.lastChild.textContent = "Copied";
    this.frame.say("Copied");
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

  /** Redraws; if what had the focus is gone, it goes to the drawing, not to the notebook. */
  keepFocus(redraw) {
    const { root } = this.frame;
    const had = root.contains(document.activeElement);
    redraw();
    if (had && !root.contains(document.activeElement)) this.backToDrawing();
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
}

// Theme: light or dark is read off the page, so that custom themes work

function luminance(color) {
  const parts = (color.match(/[\d.]+/g) ?? [255, 255, 255]).slice(0, 3).map(Number);
  const scale = color.startsWith("color(") ? 1 : 255;
  const [r, g, b] = parts.map((p) => ((p / scale + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function readTheme(root) {
  const styles = getComputedStyle(root);
  root.dataset.theme = luminance(styles.backgroundColor) < 0.2 ? "dark" : "light";
  const accent = luminance(getComputedStyle(root.querySelector(".sk-working")).color);
  root.style.setProperty(
    "--sk-on-accent",
    1.05 / (accent + 0.05) > (accent + 0.05) / 0.055 ? "#fff" : "#111",
  );
}

function followTheme(root, on, signal) {
  const read = () => root.isConnected && readTheme(root);
  const sizes = new ResizeObserver(read); // also tells when a hidden notebook comes into view
  sizes.observe(root);
  const themes = new MutationObserver(() => requestAnimationFrame(read));
  themes.observe(document.body, { attributes: true });
  themes.observe(document.documentElement, { attributes: true });
  signal.addEventListener("abort", () => (sizes.disconnect(), themes.disconnect()));
}

// Status strip

/**
 * Shows the first message, and the others on request.
 * @param messages [{ kind, text, detail, ways: [{ label, … }] }]
 * @returns the ways out that have buttons; `way:i` is the i-th
 */
function drawStatus(node, messages, open) {
  const ways = [];
  const shown = open ? messages : messages.slice(0, 1);
  const rows = shown.map((message, i) =>
    statusRow(
      message,
      ways,
      i === 0 && messages.length > 1 && moreButton(messages.length - 1, open),
    ),
  );
  const rebuilt = h("div", {}, rows);
  const focused = node.contains(document.activeElement) && document.activeElement.dataset.cmd;
  if (node.firstChild && node.firstChild.isEqualNode(rebuilt)) return ways;
  node.replaceChildren(rebuilt);
  if (focused)
    (node.querySelector(`[data-cmd="${focused}"]`) ?? node.querySelector("button"))?.focus();
  return ways;
}

const moreButton = (others, open) =>
  button("more", {
    label: open ? "fewer" : `${others} more`,
    title: open ? "Show the first only" : "Show all messages",
    kind: "sk-bare",
    pressed: String(Boolean(open)),
  });

function statusRow({ kind, text, detail, ways: choices = [] }, ways, more) {
  const buttons = choices.map((way) => {
    ways.push(way);
    return button(`way:${ways.length - 1}`, {
      label: way.label,
      kind: way.do === "show" ? "sk-bare" : "",
    });
  });
  return h(
    "div",
    { class: `sk-message sk-${kind}` },
    icon(kind === "plain" ? "info" : kind),
    h("p", {}, h("b", {}, text), " ", h("span", {}, detail)),
    more,
    buttons.length > 0 && h("div", { class: "sk-ways" }, buttons),
  );
}
