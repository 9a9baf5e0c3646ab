// The table of results. Its rows stand as the strategies were listed, until a header is pressed;
// nobody is crowned. A press on a row's mark makes that strategy the reference.

const WHISKER = { width: 84, height: 20, room: 10 };

// name of the column, its words, what it is sorted by
const COLUMNS = [
  ["strategy", () => "strategy", ({ run }) => fullName(run)],
  ["holds", () => "shape holds", ({ row }) => row.holds],
  ["metric", ({ metric }) => metric, ({ row }) => row.metric],
  ["held", ({ metric }) => `${metric} held`, ({ row }) => row.held],
  ["difference", ({ against }) => `held, against ${against} (95 %)`, ({ row }) => row.difference],
  ["violation", () => "violation", ({ row }) => row.violation],
  ["seconds", () => "time", ({ row }) => row.seconds],
];

class ResultsTable {
  constructor(view) {
    this.view = view;
    this.sort = { column: null, descending: false };
    this.head = h("tr", {});
    this.body = h("tbody", {});
    this.caption = h("caption", { class: "sk-caption" });
    this.table = h(
      "table",
      { class: "sk-table", "data-testid": "results" },
      this.caption,
      h("thead", {}, this.head),
      this.body,
    );
    this.node = h("section", { class: "sk-results" }, this.table);
    const { on } = view.frame;
    on(this.body, "keydown", (event) => this.key(event));
    on(this.body, "focusin", (event) => this.enter(event.target));
    on(this.body, "focusout", () => view.setFocus(null));
    on(this.body, "pointerover", (event) => this.enter(event.target));
    on(this.body, "pointerleave", () => view.setFocus(null));
  }

  draw() {
    const { view } = this;
    const rows = view.ranked();
    this.reference = rows.find(({ row }) => row.key === view.result.reference);
    const against = this.reference ? fullName(this.reference.run) : "the first";
    const { metric } = view.setup;
    const { at } = view.result;
    this.caption.textContent = isNumber(at) ? `At step ${count(at)}.` : "";
    this.caption.hidden = !isNumber(at);
    this.places = {
      metric: decimals(rows.flatMap(({ row }) => [row.metric, row.held])),
      limit: whiskerLimit(rows.map(({ row }) => row)),
    };
    refresh(
      this.head,
      COLUMNS.map(([name, words]) => this.headCell(name, words({ metric, against }))),
    );
    const sorted = this.sorted(rows);
    const focused = this.body.contains(document.activeElement) && this.active;
    keyed(
      this.body,
      sorted.map((one) => [`row:${one.run.key}`, one]),
      () => h("tr", {}),
      (node, one) => this.drawRow(node, one),
    );
    this.arrange(sorted);
    this.rove();
    if (focused) this.pick(focused)?.focus({ preventScroll: true }); // its button may be a new one
  }

  /** The button that makes a run the reference. */
  pick(key) {
    return this.body.querySelector(`tr[data-run="${key}"] .sk-pick`);
  }

  headCell(name, words) {
    const { column, descending } = this.sort;
    const way = column !== name ? null : descending ? "descending" : "ascending";
    return h(
      "th",
      { scope: "col", class: `sk-${name}`, "aria-sort": way },
      h(
        "button",
        { type: "button", class: "sk-sort", "data-cmd": `sort:${name}`, title: `Sort by ${words}` },
        words,
        way && h("span", { "aria-hidden": "true" }, descending ? " ↓" : " ↑"),
      ),
    );
  }

  /** Up, down, and back to the order of the list. */
  sortBy(name) {
    const { column, descending } = this.sort;
    if (column !== name) this.sort = { column: name, descending: false };
    else if (!descending) this.sort = { column: name, descending: true };
    else this.sort = { column: null, descending: false };
    this.view.draw();
    this.head.querySelector(`[data-cmd="sort:${name}"]`)?.focus();
  }

  sorted(rows) {
    const [, , by] = COLUMNS.find(([name]) => name === this.sort.column) ?? [];
    if (!by) return rows;
    const sign = this.sort.descending ? -1 : 1;
    const value = (one) => (by(one) === null && one === this.reference ? 0 : by(one));
    return [...rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      const lacking = (x === null || x === undefined) - (y === null || y === undefined);
      if (lacking) return lacking; // what has no numbers comes last either way
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
    });
  }

  /** Puts the rows in order. */
  arrange(sorted) {
    const nodes = new Map([...this.body.children].map((node) => [node.dataset.run, node]));
    const wanted = sorted.map(({ run }) => nodes.get(run.key));
    if (wanted.every((node, i) => this.body.children[i] === node)) return;
    this.body.append(...wanted);
  }

  drawRow(node, { run, row }) {
    setAttributes(node, { "data-run": run.key });
    const cell = (name, ...children) => h("td", { class: `sk-${name}` }, children);
    const first = h(
      "th",
      { scope: "row", class: "sk-strategy" },
      h("div", {}, this.markButton(run), named(run)),
    );
    const holds = cell(
      "holds",
      h("span", { class: row.holds === "always" ? "sk-always" : "sk-quiet" }, row.holds),
    );
    const numbers = row.diverged
      ? [h("td", { class: "sk-diverged", colspan: 4 }, row.diverged)]
      : [
          cell("metric", fixed(row.metric, this.places.metric)),
          cell("held", h("b", {}, fixed(row.held, this.places.metric))),
          h("td", { class: "sk-difference" }, this.difference(run, row)),
          cell("violation", short(row.violation)),
        ];
    refresh(node, [
      first,
      holds,
      ...numbers,
      cell("seconds", h("span", { class: "sk-quiet" }, duration(row.seconds))),
    ]);
  }

  markButton(run) {
    const isReference = run.key === this.view.result.reference;
    return h(
      "button",
      {
        type: "button",
        class: "sk-pick",
        tabindex: run.key === this.active ? 0 : -1,
        "data-cmd": `reference:${run.key}`,
        "aria-pressed": isReference,
        "aria-disabled": this.view.dead ? "true" : null,
        "aria-label": `Compare with ${fullName(run)}`,
        title: isReference ? "The reference" : `Compare with ${fullName(run)}`,
      },
      lineSample(run.look, run.dash),
    );
  }

  difference(run, row) {
    if (run.key === this.view.result.reference)
      return h(
        "div",
        {},
        h("span", { class: "sk-room" }),
        h("span", { class: "sk-quiet" }, "reference"),
      );
    if (!isNumber(row.difference)) return h("div", {}, h("span", { class: "sk-room" }), "–");
    const half = isNumber(row.low) && isNumber(row.high) ? (row.high - row.low) / 2 : null;
    const { metric } = this.places;
    const words =
      half === null ? null : h("span", { class: "sk-quiet" }, ` ± ${fixed(half, metric)}`);
    const kind = row.clear ? "" : "sk-unclear";
    return h(
      "div",
      { title: row.clear || half === null ? null : "The interval holds 0: no clear difference" },
      whisker(run, row, this.places.limit),
      h("span", { class: "sk-room" }),
      h("span", { class: `sk-numbers ${kind}`.trim() }, signed(row.difference, metric), words),
    );
  }

  // Keys: one stop for Tab in the body; up and down go from row to row

  get keys() {
    return [...this.body.children].map((node) => node.dataset.run);
  }

  rove() {
    if (!this.keys.includes(this.active)) [this.active] = this.keys;
    for (const node of this.body.querySelectorAll(".sk-pick"))
      setAttributes(node, { tabindex: node.closest("tr").dataset.run === this.active ? 0 : -1 });
  }

  enter(target) {
    const key = target.closest("tr")?.dataset.run ?? null;
    if (key && this.body.contains(document.activeElement))
      this.active = document.activeElement.closest("tr").dataset.run;
    this.rove();
    this.view.setFocus(key);
  }

  key(event) {
    const { keys } = this;
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const to =
      { Home: 0, End: keys.length - 1 }[event.key] ??
      clamp(0, keys.indexOf(this.active) + step, keys.length - 1);
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !keys[to]) return;
    event.preventDefault();
    this.body.children[to].querySelector(".sk-pick").focus();
  }
}

/** How far the whiskers' axis goes: differences much larger than their intervals leave it. */
function whiskerLimit(rows) {
  const drawn = rows.filter((row) => isNumber(row.difference));
  const far = drawn.map((row) =>
    Math.max(...finite([row.difference, row.low, row.high]).map(Math.abs)),
  );
  const halves = drawn.filter((row) => isNumber(row.low)).map((row) => (row.high - row.low) / 2);
  const middle = halves.sort((a, b) => a - b)[Math.floor((halves.length - 1) / 2)] ?? Infinity;
  const near = far.filter((v) => v <= 12 * middle);
  return Math.max(...(near.length ? near : far), 1e-12);
}

/** The difference as a mark, its interval as a line, 0 as a hair line; off the scale: an arrow. */
function whisker(run, row, limit) {
  const { width, height, room } = WHISKER;
  const middle = width / 2;
  const at = (value) => middle + (clamp(-1, value / limit, 1) * (width - 2 * room)) / 2;
  const isOff = Math.abs(row.difference) > limit * 1.0001;
  const way = Math.sign(row.difference);
  const tip = middle + way * (middle - 4);
  const y = height / 2;
  const drawn = isOff
    ? [
        s("path", {
          class: "sk-off",
          d: `M${tip - way * 15} ${y}H${tip}M${tip - way * 5} ${y - 4}L${tip} ${y}L${tip - way * 5} ${y + 4}`,
        }),
      ]
    : [
        isNumber(row.low) &&
          s("path", { class: "sk-stroke", d: `M${at(row.low)} ${y}H${at(row.high)}` }),
        markPath(run.look, { transform: `translate(${at(row.difference)} ${y}) scale(0.8)` }),
      ];
  return s(
    "svg",
    {
      class: "sk-whisker",
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      "aria-hidden": "true",
    },
    s("path", { class: "sk-zero", d: `M${middle} 2V${height - 2}` }),
    colored(run.look, {}, ...drawn.filter(Boolean)),
  );
}
