// What the grammar editor is made of: parts of the drawing, the words, the table, the panel.

// Parts of the drawing

const LOOP = 34; // how far a loop stands out of its state

/** A step to the same state, as a loop above it. */
function loopShape({ x, y }) {
  const at = (dx, dy) => `${round(x + dx)} ${round(y + dy)}`;
  const tip = { x: x + 11, y: y - RADIUS - 1 };
  const before = { x: x + 15, y: y - RADIUS - 12 };
  return {
    line: `M${at(-10, -RADIUS)}C${at(-34, -RADIUS - LOOP)} ${at(34, -RADIUS - LOOP)} ${at(13.5, -RADIUS - 6)}`,
    head: headText(tip, before, 9),
    middle: { x, y: y - RADIUS - 25 },
    leave: { x: x - 10, y: y - RADIUS },
    arrive: { x: x + 10, y: y - RADIUS },
  };
}

function startArrow(angle) {
  const at = (far, aside = 0) => ({
    x: far * Math.cos(angle) - aside * Math.sin(angle),
    y: far * Math.sin(angle) + aside * Math.cos(angle),
  });
  const [tail, neck, tip] = [at(RADIUS + 44), at(RADIUS + 8), at(RADIUS + 3)];
  const word =
    Math.abs(Math.cos(angle)) < 0.5
      ? { x: tail.x + 10, y: tail.y + 10, class: "sk-small sk-start sk-halo" }
      : { x: tail.x, y: tail.y - 8, class: "sk-small sk-halo" };
  const middle = at(RADIUS + 26);
  return s(
    "g",
    { class: "sk-start-arrow", "data-key": "start", "aria-hidden": "true" },
    s("circle", { class: "sk-hit", cx: round(middle.x), cy: round(middle.y), r: 16 }),
    s("path", {
      class: "sk-dock-line",
      d: `M${round(tail.x)} ${round(tail.y)}L${round(neck.x)} ${round(neck.y)}`,
    }),
    s("path", { class: "sk-dock-head", d: headText(tip, tail, 10) }),
    s("text", { ...word, x: round(word.x), y: round(word.y) }, "start"),
  );
}

function stateParts({ name, end, start, below, handle, isCulprit }) {
  return [
    s("circle", { class: "sk-hit", r: RADIUS }),
    s("circle", { class: "sk-ring", r: RADIUS + 5 }),
    s("circle", { class: "sk-disc", r: RADIUS }),
    end && s("circle", { class: "sk-rim", r: RADIUS - 4 }),
    s("text", { class: "sk-name", y: 4.5 }, name.length > 5 ? `${name.slice(0, 4)}…` : name),
    start !== null && startArrow(start),
    below && s("text", { class: "sk-small sk-halo", y: RADIUS + 18 }, "may end"),
    isCulprit && badge(0.7 * RADIUS, -0.72 * RADIUS),
    knob(`h:${name}`, RADIUS * Math.cos(handle), RADIUS * Math.sin(handle)),
  ].filter(Boolean);
}

/** What a beginner does first, drawn beside the one state there is. */
function ghosts({ x, y }) {
  const to = { x: x + 232, y };
  const line = arrow(curve({ x, y }, to, 0), RADIUS + 14, RADIUS, 1.5);
  const middle = { x: (x + to.x) / 2 + 8, y };
  const words = (at, title, more) => [
    s("text", { x: at.x, y: at.y, class: "sk-name" }, title),
    s("text", { x: at.x, y: at.y + 17, class: "sk-small" }, more),
  ];
  return [
    s("circle", { class: "sk-ghost-region", cx: to.x, cy: to.y, r: RADIUS }),
    ...ghostArrow(line),
    s("rect", {
      class: "sk-ghost-chip",
      x: middle.x - 12,
      y: y - 12,
      width: 24,
      height: 24,
      rx: 3,
    }),
    s("text", { class: "sk-ghost-symbol", x: middle.x, y: y + 4.5 }, "a"),
    ...words({ x: x + 4, y: y + 62 }, "1 Drag the blue handle", "onto free ground or a state"),
    ...words({ x: middle.x + 12, y: y - 50 }, "2 Type a symbol", "then Enter"),
    ...words({ x: to.x + 12, y: y + 62 }, "3 Double-click", "where a word may end"),
  ];
}

// Words

const slotCell = (symbol, kind = "") =>
  h("span", { class: `sk-slot ${symbol === PAD ? "sk-padding" : ""} ${kind}` }, symbol);

/** How wide a slot is: as wide as the longest symbol. */
function slotWidth({ symbols, length }) {
  const longest = Math.max(1, ...symbols.map((symbol) => [...symbol].length));
  if (longest > 1) return Math.round(MONO * longest + 8);
  return length > 12 ? 16 : length > 9 ? 19 : 24;
}

function wordsSection(view) {
  const title = h("h4", {}, "");
  const dice = button("dice", { icon: "dice", title: "Other samples (R)", kind: "sk-bare" });
  const list = h("div", { class: "sk-words", role: "group", "aria-label": "Words" });
  view.fresh.push(() => {
    const facts = view.model.get("facts");
    const { length, up_to: upTo } = view.automaton;
    title.textContent =
      facts.words.length === 0
        ? "Words"
        : facts.all
          ? "All words"
          : `${facts.words.length} of ${facts.count} words`;
    dice.hidden = facts.all;
    setAttributes(dice, { "aria-disabled": view.dead ? "true" : null });
    const numbers = Array.from({ length }, (_, i) => h("span", {}, String(i + 1)));
    const walked = view.ui.walk;
    const rows = facts.words.map((word, i) => {
      const cells = Array.from({ length }, (_, slot) => {
        const on = walked?.index === i && slot === walked.at - 1;
        return slotCell(word[slot] ?? PAD, on ? "sk-on" : "");
      });
      return h(
        "button",
        {
          type: "button",
          class: "sk-word",
          "data-cmd": `walk:${i}`,
          "aria-pressed": walked?.index === i,
          "aria-label": `Walk ${word.join(" ")}`,
        },
        cells,
      );
    });
    const none = !rows.length && [
      h(
        "div",
        { class: "sk-word" },
        numbers.map(() => slotCell(PAD)),
      ),
      h(
        "p",
        { class: "sk-text" },
        upTo || facts.count !== "0" || !view.automaton.steps.length
          ? "No words yet."
          : `No word has exactly ${plural(length, "symbol")}.`,
      ),
    ];
    refresh(list, [
      h("div", { class: "sk-numbers", "aria-hidden": "true" }, numbers),
      ...rows,
      ...(none || []),
    ]);
  });
  return h(
    "div",
    { class: "sk-said" },
    h("div", { class: "sk-row" }, title, h("span", { class: "sk-room" }), dice),
    list,
  );
}

/** A word to try: one stop for Tab, a slot each to type into. */
function tryParts(view) {
  const slots = h("div", { class: "sk-try", role: "group", "aria-label": "A word to try" });
  const verdict = h("p", { class: "sk-caption sk-verdict" });
  view.fresh.push(() => {
    const { tried, wrong, verdict: words } = view.model.get("facts");
    const word = view.word ?? tried;
    view.ui.slot = clamp(0, view.ui.slot ?? 0, view.automaton.length - 1);
    keyed(
      slots,
      Array.from({ length: view.automaton.length }, (_, i) => [`w:${i}`, i]),
      () => h("span", { class: "sk-slot", role: "spinbutton", tabindex: -1 }),
      (node, i) => {
        const symbol = word[i] ?? PAD;
        const isWrong = wrong.includes(i) && !view.word;
        if (node.textContent !== symbol) node.textContent = symbol;
        setAttributes(node, {
          tabindex: i === view.ui.slot ? 0 : -1,
          class: `sk-slot ${word[i] ? "" : "sk-padding"} ${isWrong ? "sk-wrong" : ""}`,
          "aria-label": `Slot ${i + 1} of ${view.automaton.length}`,
          "aria-valuetext": word[i] ? `${word[i]}${isWrong ? ", to be changed" : ""}` : "empty",
          "aria-valuenow": word[i] ? view.automaton.symbols.indexOf(word[i]) + 1 : 0,
          "aria-valuemin": 0,
          "aria-valuemax": view.automaton.symbols.length,
          "aria-invalid": isWrong ? "true" : null,
        });
      },
    );
    verdict.textContent = words || "Click a slot and type symbols.";
    verdict.classList.toggle("sk-is-wrong", wrong.length > 0);
  });
  view.slots = slots;
  return [h("h4", {}, "Try a word"), slots, verdict];
}

function chartSection(view) {
  const bars = h("div", { class: "sk-bars", role: "group", "aria-label": "Words per length" });
  view.fresh.push(() => {
    const { chart, count: total } = view.model.get("facts");
    const { length, up_to: upTo } = view.automaton;
    keyed(
      bars,
      chart.map((entry) => [`n:${entry.length}`, entry]),
      (_, { length: n }) =>
        h(
          "button",
          { type: "button", class: "sk-bar-button", "data-cmd": `length:${n}` },
          h(
            "span",
            { class: "sk-column-box" },
            h("span", { class: "sk-bar-count" }),
            h("span", { class: "sk-bar-fill" }),
          ),
          h("span", { class: "sk-bar-length" }, String(n)),
        ),
      (node, { length: n, count: words, short, height }) => {
        const isWanted = n === length;
        const taken = height > 0 && (upTo ? n <= length : isWanted);
        const empty = isWanted && total === "0" && view.automaton.steps.length > 0;
        setAttributes(node, {
          class: `sk-bar-button ${taken ? "sk-taken" : ""} ${isWanted ? "sk-wanted" : ""} ${empty ? "sk-missed" : ""} ${height ? "" : "sk-none"}`,
          title: `${words} ${words === "1" ? "word" : "words"} of ${plural(n, "symbol")}`,
          "aria-label": `${words} ${words === "1" ? "word" : "words"} of ${plural(n, "symbol")}; take this length`,
          "aria-pressed": isWanted,
          "aria-disabled": view.dead ? "true" : null,
        });
        const [box, label] = node.children;
        const [number, bar] = box.children;
        if (number.textContent !== short) number.textContent = short;
        setAttributes(bar, { style: `height:${Math.round(84 * height)}px` });
        setAttributes(label, {});
      },
    );
  });
  return [
    h("h4", {}, "Words per length"),
    h("p", { class: "sk-caption" }, "click a bar to take that length"),
    bars,
  ];
}

function roomParts(view) {
  const words = h("p", { class: "sk-caption" });
  view.fresh.push(() => (words.textContent = view.model.get("facts").room));
  return [h("h4", {}, "Room left for learning"), words];
}

/** What stands below the drawing: the words, and how many there are. */
const belowParts = (view) => [
  h("section", { class: "sk-speaks" }, wordsSection(view), ...tryParts(view)),
  h("section", { class: "sk-counts" }, ...chartSection(view), ...roomParts(view)),
];

// The table: the same automaton, a state in each row

/** Where a symbol leads; a list of states, one of them "not allowed". */
function targetChoice(view, name, symbol, none = "–") {
  const select = h("select", {
    class: "sk-target-choice",
    "data-field": `from ${name} with ${symbol}`,
    "aria-label": `From ${name} with ${symbol} go to`,
  });
  const update = () => {
    const target = view.scene.target(name, symbol);
    // all states in each of a thousand lists would be a million nodes
    const all = [...view.scene.states.keys()];
    const isFull = all.length <= TOO_MANY || document.activeElement === select;
    const names = isFull ? all : [target].filter((name) => name !== null);
    refresh(select, [
      h("option", { value: "" }, none),
      ...names.map((n) => h("option", { value: `=${n}` }, n)),
    ]);
    const value = target === null ? "" : `=${target}`;
    if (select.value !== value) select.value = value;
    select.disabled = view.dead;
    select.classList.toggle("sk-blank", target === null);
  };
  for (const type of ["focus", "blur", "pointerdown"])
    view.frame.on(select, type, () => view.scene.states.size > TOO_MANY && update());
  view.frame.on(select, "change", () =>
    view.lead(name, symbol, select.value === "" ? null : select.value.slice(1)),
  );
  return { select, update };
}

/** `keyed`, where the order is seen as well. */
function inOrder(layer, items, create, update) {
  keyed(layer, items, create, update);
  const wanted = items.map(([key]) => key);
  if (wanted.every((key, i) => layer.children[i].dataset.key === key)) return;
  const nodes = new Map([...layer.children].map((node) => [node.dataset.key, node]));
  layer.append(...wanted.map((key) => nodes.get(key)));
}

const tick = (name, type, label) => h("input", { type, "data-tick": name, "aria-label": label });

/** The cells of a row, by their keys: the state, start, end, and a symbol each. */
function tableCells(view, name) {
  const cell = (key, create, update) => [`t:${name}|${key}`, { create, update }];
  const { scene } = view;
  return [
    cell(
      "",
      () =>
        h(
          "th",
          { scope: "row" },
          button(`select:${stateKey(name)}`, {
            label: name,
            title: `Select state ${name}`,
            kind: "sk-bare",
          }),
        ),
      () => {},
    ),
    cell(
      " start",
      () => h("td", {}, h("label", {}, tick("start", "radio", `Words begin at ${name}`))),
      ({ firstChild: { firstChild: input } }) => {
        input.checked = scene.drawn.start === name;
        input.disabled = view.dead;
      },
    ),
    cell(
      " end",
      () => h("td", {}, h("label", {}, tick("end", "checkbox", `Words may end in ${name}`))),
      ({ firstChild: { firstChild: input } }) => {
        input.checked = scene.states.get(name).end;
        input.disabled = view.dead;
      },
    ),
    ...scene.drawn.symbols.map((symbol) =>
      cell(
        symbol,
        () => {
          const choice = targetChoice(view, name, symbol);
          const td = h("td", {}, choice.select);
          td.choice = choice;
          return td;
        },
        (td) => td.choice.update(),
      ),
    ),
  ];
}

// The panel

function wordsPanel(view) {
  const follows = h("p", { class: "sk-caption" });
  const caret = h("code", { class: "sk-caret", hidden: true });
  const pattern = textField(view, {
    name: "pattern",
    label: "Pattern, a regular expression",
    read: () => view.model.get("facts").pattern,
    take: (text) => view.readPattern(text),
  });
  const [input] = pattern[0].children;
  setAttributes(input, { placeholder: "(ab)*c", class: "sk-mono" });
  const length = textField(view, {
    name: "length",
    label: "Length, in symbols",
    unit: "symbols",
    read: () => String(view.automaton.length),
    take: (text) => view.change({ length: number(text) }),
  });
  view.fresh.push(() => {
    const { reads } = view.model.get("facts");
    const refusal = view.refusal("pattern");
    follows.textContent =
      reads ||
      (view.automaton.steps.length
        ? view.leads
          ? "Follows the drawing."
          : "The drawing follows it."
        : "");
    follows.hidden = Boolean(refusal) || !follows.textContent;
    if (reads) input.disabled = true;
    caret.hidden = !refusal?.caret;
    caret.textContent = refusal?.caret ?? "";
    const missed = view.model.get("messages").some((m) => m.field === "length" && !m.refused);
    length[0].classList.toggle("sk-missed", missed);
  });
  return h(
    "section",
    { class: "sk-compact" },
    view.examplesHead(),
    row("Pattern", ...pattern, caret, follows),
    row("Symbols", symbolChips(view)),
    row(
      "Length",
      choiceSwitch(view, {
        name: "up_to",
        label: "Length",
        choices: [
          [false, "exactly", "All words have this length"],
          [true, "up to", "Shorter words count too; they are padded"],
        ],
        read: () => view.automaton.up_to,
        take: (on) => view.change({ up_to: on }),
      }),
      h("div", { class: "sk-gap" }, ...length),
    ),
  );
}

/** The alphabet: a chip each, which opens a field for its name, and one to add another. */
function symbolChips(view) {
  const box = h("div", { class: "sk-symbols" });
  const [holder, error] = textField(view, {
    name: "symbol",
    label: "Symbol; empty removes it",
    read: () => view.ui.symbol ?? "",
    take: (text) => view.nameSymbol(text),
  });
  const [input] = holder.children;
  setAttributes(input, { class: "sk-mono", placeholder: "symbol" });
  const hint = h("p", { class: "sk-caption" });
  view.frame.on(input, "blur", () => view.closeSymbol());
  view.fresh.push(() => {
    const open = view.ui.symbol !== null || Boolean(view.refusal("symbol"));
    holder.hidden = !open;
    hint.hidden = !open || !error.hidden;
    hint.textContent = view.ui.symbol
      ? "Empty removes it and its steps."
      : "A character or a word.";
    refresh(box, [
      ...view.automaton.symbols.map((symbol) =>
        h(
          "button",
          {
            type: "button",
            class: "sk-button sk-symbol",
            "data-cmd": `symbol:${symbol}`,
            title: `Rename or remove ${symbol}`,
            "aria-pressed": view.ui.symbol === symbol ? "true" : null,
            "aria-disabled": view.dead ? "true" : null,
          },
          h("span", {}, symbol),
        ),
      ),
      h(
        "button",
        {
          type: "button",
          class: "sk-button sk-bare",
          "data-cmd": "add-symbol",
          "aria-label": "Add a symbol",
          title: "Add a symbol",
          "aria-disabled": view.dead ? "true" : null,
        },
        icon("plus"),
      ),
    ]);
  });
  return h("div", {}, box, holder, error, hint);
}

function countSection(view) {
  const section = h("section", { class: "sk-total" });
  view.fresh.push(() => {
    const { count: words, single, strings } = view.model.get("facts");
    const { symbols, steps } = view.automaton;
    const none = steps.length > 0 && words === "0";
    refresh(section, [
      h(
        "p",
        {},
        h("b", { class: `sk-big ${none ? "sk-none" : ""}`, "data-testid": "count" }, words),
        h("span", {}, single ? " word" : " words"),
      ),
      h(
        "p",
        { class: "sk-caption" },
        symbols.length ? `of ${strings} strings of these symbols` : "no symbols yet",
      ),
    ]);
  });
  return section;
}

/** A state: start, end, and where each symbol leads. */
function statePanel(view, name) {
  const rows = h("div", { class: "sk-leads" });
  view.fresh.push(() =>
    inOrder(
      rows,
      view.automaton.symbols.map((symbol) => [`l:${name}|${symbol}`, symbol]),
      (_, symbol) => {
        const choice = targetChoice(view, name, symbol, "not allowed");
        const goes = h("span", {}, " go to");
        const words = h("span", {}, "with ", h("b", { class: "sk-mono" }, symbol), goes);
        const node = h("label", { class: "sk-lead" }, words, choice.select);
        node.update = () => {
          choice.update();
          goes.hidden = view.scene.target(name, symbol) === null;
        };
        return node;
      },
      (node) => node.update(),
    ),
  );
  const state = () => view.scene.states.get(name);
  return h(
    "section",
    {},
    head(`State ${name}`),
    h(
      "div",
      { class: "sk-row" },
      checkBox(view, {
        name: "start",
        label: "start",
        read: () => view.automaton.start === name,
        take: (on) => view.change({ start: on ? name : null }),
      }),
      checkBox(view, {
        name: "end",
        label: "may end",
        read: () => Boolean(state()?.end),
        take: (on) => view.commit(withState(view.automaton, name, { end: on })),
      }),
      h("span", { class: "sk-room" }),
      removeButton(),
    ),
    rows,
  );
}

function stepPanel(view, source, target) {
  const [holder, error] = textField(view, {
    name: "symbols",
    label: "Symbols of this step, with commas between",
    read: () => view.scene.arrows.get(stepKey({ source, target }))?.symbols.join(", ") ?? "",
    take: (text) => view.retitle(source, target, text),
  });
  setAttributes(holder.firstChild, { class: "sk-mono" });
  const end = (label, name) =>
    row(
      label,
      h(
        "button",
        {
          type: "button",
          class: "sk-button sk-bare sk-end-name",
          "data-cmd": `select:${stateKey(name)}`,
          title: `Select state ${name}`,
        },
        `state ${name}`,
      ),
    );
  return h(
    "section",
    {},
    head("Step", removeButton()),
    end("From", source),
    end("To", target),
    row("Symbols", holder, error, h("p", { class: "sk-caption" }, "Several: with commas between.")),
  );
}

function severalPanel(view) {
  return h("section", {}, head(`${view.selected.length} things`, removeButton()));
}

function emptyPanel(view) {
  return [
    h("section", {}, h("h4", {}, "Open an example"), exampleList(view)),
    keyList(
      [
        ["new state", ["N"]],
        ["step from here", ["P"]],
        ["all keys", ["?"]],
      ],
      "Keys, once the drawing has focus",
    ),
  ];
}

const wholePanel = () => [
  h(
    "section",
    {},
    h("h4", {}, "Nothing selected"),
    h(
      "p",
      { class: "sk-text" },
      "Click a state for its steps, or a chip for its symbols. What is not drawn is not allowed.",
    ),
  ),
];
