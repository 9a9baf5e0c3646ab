// What is to be compared: the list of strategies, the settings of the one that is looked at, and
// how long to train.

const TICK = "M3.5 8.5 6.8 11.5 12.5 5";

/** A list that is one stop for Tab: arrows go from row to row. Rows have `data-key`. */
class RowList {
  /** @param take is called with the key of the row that was gone to */
  constructor(view, attributes, take) {
    this.node = h("div", { role: "listbox", "aria-orientation": "vertical", ...attributes });
    this.take = take;
    const { on } = view.frame;
    on(this.node, "keydown", (event) => this.key(event));
    on(this.node, "focusin", (event) => this.enter(event.target));
  }

  draw(items, create, update) {
    keyed(this.node, items, (key, item) => quiet(create(key, item)), update);
    [...items].forEach(([key], i) => {
      const node = this.row(key);
      if (this.node.children[i] !== node) this.node.insertBefore(node, this.node.children[i]);
    });
    this.rove();
  }

  row(key) {
    return [...this.node.children].find((node) => node.dataset.key === key);
  }

  rove() {
    if (!this.row(this.active)) this.active = this.node.firstElementChild?.dataset.key;
    for (const node of this.node.children)
      setAttributes(node, { tabindex: node.dataset.key === this.active ? 0 : -1 });
  }

  enter(target) {
    const key = target.closest("[data-key]")?.dataset.key;
    if (!key) return;
    this.active = key;
    this.rove();
    this.take(key);
  }

  goTo(key) {
    this.active = key;
    this.rove();
    this.row(this.active)?.focus({ preventScroll: true });
  }

  key(event) {
    const rows = [...this.node.children];
    const at = rows.findIndex((node) => node.dataset.key === this.active);
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const to = { Home: 0, End: rows.length - 1 }[event.key] ?? clamp(0, at + step, rows.length - 1);
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !rows[to]) return;
    event.preventDefault();
    rows[to].focus();
  }
}

/** A box to tick, as large as a finger wants it; the row around it is what takes the focus. */
const tickBox = (isTicked) =>
  h(
    "span",
    { class: "sk-tick" },
    h(
      "span",
      { class: "sk-box" },
      isTicked && s("svg", { viewBox: "0 0 16 16", width: 14, height: 14 }, s("path", { d: TICK })),
    ),
  );

const promiseWords = () =>
  h(
    "p",
    { class: "sk-caption sk-promise" },
    "Filled mark: the shape holds at every step. Open mark: it does not have to.",
  );

class Setup {
  constructor(view) {
    this.view = view;
    this.count = h("span", { class: "sk-caption" });
    this.list = new RowList(
      view,
      {
        "aria-label": "Strategies",
        "aria-multiselectable": "true",
        class: "sk-rows",
        "data-testid": "strategies",
      },
      (key) => this.look(key.slice(2)),
    );
    this.about = h("section", { class: "sk-about", "aria-label": "Settings" });
    this.runs = h("section", { class: "sk-fields", "aria-label": "Run" }, h("h4", {}, "Run"));
    this.node = h(
      "div",
      { class: "sk-sides sk-setup" },
      h(
        "div",
        { class: "sk-side" },
        h(
          "div",
          { class: "sk-row sk-list-head" },
          h("h4", {}, "Strategies"),
          h("span", { class: "sk-room" }),
          this.count,
        ),
        this.list.node,
        promiseWords(),
      ),
      h("div", { class: "sk-main" }, this.about, this.runs),
    );
    this.fresh = [];
    this.buildFields();
    const { on } = view.frame;
    on(this.list.node, "click", (event) => this.click(event));
    on(this.list.node, "keydown", (event) => this.key(event));
  }

  get entries() {
    return this.view.setup.entries ?? [];
  }

  /** The strategy that is looked at: the one chosen, else the first that has settings. */
  get entry() {
    const { entries } = this;
    return (
      entries.find(({ id }) => id === this.chosen) ??
      entries.find(({ ticked, settings }) => ticked && settings.length) ??
      entries[0]
    );
  }

  look(id) {
    if (this.chosen === id) return;
    this.chosen = id;
    this.view.later();
  }

  draw() {
    const { view, entry } = this;
    const { ticked, total } = view.setup;
    this.count.textContent = total ? `${ticked} of ${total}` : "";
    if (!this.list.active && entry) this.list.active = `s:${entry.id}`;
    this.list.draw(
      this.entries.map((one) => [`s:${one.id}`, one]),
      () => h("div", { role: "option", class: "sk-entry" }),
      (node, one) => this.drawEntry(node, one),
    );
    this.drawAbout(entry);
    for (const update of this.fresh) update();
  }

  drawEntry(node, one) {
    setAttributes(node, {
      "aria-checked": one.ticked,
      "aria-selected": one === this.entry,
      "aria-disabled": one.unfit ? "true" : null,
      "aria-label": `${one.name} ${one.words}`.trim() + (one.unfit ? `: ${one.unfit}` : ""),
      title: one.unfit || null,
    });
    refresh(node, [
      tickBox(one.ticked),
      lineSample(one.look),
      named(one),
      one.unfit && h("span", { class: "sk-unfit sk-caption" }, one.unfit),
    ]);
  }

  drawAbout(entry) {
    if (!entry) return this.about.replaceChildren();
    const { id, name, look, about, promise, fits, watch, settings, copy, unfit } = entry;
    const built = JSON.stringify([
      id,
      name,
      look,
      about,
      promise,
      fits,
      watch,
      copy,
      unfit,
      settings.map((one) => [one.name, one.hint, one.choices]),
    ]);
    if (built !== this.built) {
      this.built = built;
      this.ofEntry = [];
      const rows = [
        ["promise", promise],
        ["fits", fits],
        ["watch out", unfit || watch],
      ].filter(([, words]) => words);
      this.about.replaceChildren(
        h(
          "div",
          { class: "sk-row" },
          lineSample(look),
          h("h3", {}, name),
          h("span", { class: "sk-room" }),
          this.copyButtons(copy),
        ),
        h("p", { class: "sk-sentence" }, about),
        ...settings.map((setting) => this.settingRow(id, setting)),
        h(
          "dl",
          {},
          rows.flatMap(([term, words]) => [h("dt", {}, term), h("dd", {}, words)]),
        ),
      );
    }
    for (const update of this.ofEntry) update();
    for (const pressed of this.about.querySelectorAll("[data-cmd]"))
      setAttributes(pressed, { "aria-disabled": this.view.locked || unfit ? "true" : null });
    return null;
  }

  copyButtons(isCopy) {
    return [
      isCopy &&
        button("remove", { icon: "trash", title: "Remove this copy (Delete)", kind: "sk-bare" }),
      button("add", {
        label: "Add a copy",
        icon: "plus",
        title: "A second copy with other settings (+)",
        kind: "sk-bare",
      }),
    ].filter(Boolean);
  }

  settingRow(id, { name, choices }) {
    const read = () =>
      this.entries.find((one) => one.id === id)?.settings.find((one) => one.name === name);
    const take = (text) => this.view.tell({ do: "set", entry: id, setting: name, text });
    const parts = {
      field: `${id}:${name}`,
      label: name,
      choices,
      read,
      take,
      updates: this.ofEntry,
    };
    return formRow(name, ...formField(this.view, parts));
  }

  buildFields() {
    const read = (name) => () => this.view.setup.fields?.[name];
    const take = (name) => (text) => this.view.tell({ do: "field", name, text });
    const row = (name, choices) =>
      formRow(
        name,
        ...formField(this.view, {
          field: name,
          label: name,
          choices,
          read: read(name),
          take: take(name),
          updates: this.fresh,
        }),
      );
    const { choices } = this.view.setup.fields?.device ?? {};
    this.runs.append(
      h(
        "div",
        { class: "sk-grid-fields" },
        row("seeds"),
        row("steps"),
        row("device", choices ?? ["auto", "cpu"]),
      ),
      h(
        "p",
        { class: "sk-caption" },
        "For each seed, every strategy starts from the same weights and sees the same batches.",
      ),
    );
  }

  // Gestures

  click(event) {
    const node = event.target.closest("[data-key]");
    if (!node) return;
    this.list.goTo(node.dataset.key);
    if (event.target.closest(".sk-tick")) this.toggle(node.dataset.key.slice(2));
  }

  toggle(id) {
    const entry = this.entries.find((one) => one.id === id);
    if (this.view.locked || !entry) return;
    if (entry.unfit) return this.view.frame.say(`${entry.name} can't be ticked: ${entry.unfit}.`);
    this.view.tell({ do: "tick", entry: id, on: !entry.ticked });
  }

  key(event) {
    const id = this.list.active?.slice(2);
    if (event.ctrlKey || event.metaKey || event.altKey || !id) return;
    const does = {
      " ": () => this.toggle(id),
      "+": () => this.add(),
      Enter: () => this.about.querySelector("[data-field]")?.focus(),
      Delete: () => this.remove(),
      Backspace: () => this.remove(),
    }[event.key];
    if (!does || (event.shiftKey && event.key !== "+")) return;
    event.preventDefault();
    does();
  }

  /** A second copy: Python makes it, and once it is there it is looked at. */
  add() {
    const { entry, view } = this;
    if (view.locked || !entry || entry.unfit) return;
    const before = new Set(this.entries.map(({ id }) => id));
    view.tell({ do: "add", entry: entry.id });
    if (!entry.settings.length) return; // Python says that a second one would be the same
    this.expected = () => {
      const fresh = this.entries.find(({ id }) => !before.has(id));
      if (!fresh) return;
      this.expected = null;
      this.chosen = fresh.id;
      view.draw();
      this.list.goTo(`s:${fresh.id}`);
    };
  }

  remove() {
    const { entry, entries, view } = this;
    if (view.locked || !entry?.copy) return;
    this.chosen = entries[entries.indexOf(entry) - 1]?.id;
    view.tell({ do: "remove", entry: entry.id });
    this.list.goTo(`s:${this.chosen}`);
  }
}

const formRow = (label, field, below) =>
  h(
    "div",
    { class: "sk-form" },
    h("span", { class: "sk-label", "aria-hidden": "true" }, label),
    h("div", {}, field, below),
  );

/**
 * A field of text, or of choices. It takes what was typed on Enter or on leaving it.
 * `read()` gives { text, problem, hint, runs, here }; `updates` collects what brings it up to date.
 */
function formField(view, { field, label, choices = [], read, take, updates }) {
  const id = `${view.uid}-${field}`;
  const attributes = { "data-field": field, "aria-label": label, "aria-describedby": id };
  const input = choices.length
    ? h(
        "select",
        attributes,
        choices.map((text) => h("option", { value: text }, text)),
      )
    : h("input", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes });
  const unit = h("span", { class: "sk-unit", "aria-hidden": "true" });
  const below = h("p", { class: "sk-caption", id });
  let shown = "";
  let dirty = false;
  const commit = () => {
    dirty = false;
    const text = input.value.trim();
    if (text === shown || view.locked) return;
    shown = text; // Enter commits, and leaving the field afterwards must not do it again
    take(text);
  };
  const { on } = view.frame;
  on(input, "input", () => (dirty = true));
  on(input, "change", commit);
  on(input, "keydown", (event) => {
    const isPlain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (!isPlain || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "Enter") commit();
    else {
      input.value = read()?.text ?? "";
      dirty = false;
    }
    view.backToDrawing();
  });
  updates.push(() => {
    const now = read();
    if (!now) return;
    const problem = now.problem ?? "";
    if (!dirty) {
      shown = now.text;
      if (input.value !== shown) input.value = shown;
    }
    setAttributes(input, { disabled: view.locked, "aria-invalid": problem ? "true" : null });
    unit.textContent = unitWords(now);
    below.textContent = problem || (now.hint ?? "");
    below.className = problem ? "sk-error" : "sk-caption";
    below.hidden = !below.textContent;
  });
  return [
    h("span", { class: choices.length ? "sk-input sk-choice" : "sk-input" }, input, unit),
    below,
  ];
}

function unitWords({ text, runs, here }) {
  if (runs > 1) return plural(runs, "run");
  return here && here !== text ? here : "";
}
