// The trade-off plane: how far from the shape training ended, and what it got for that. The arrow
// goes from the metric as trained to the metric with the shape enforced.

const PLANE = { left: 52, right: 22, top: 14, height: 446, below: 80 };
const LETTERS = 12; // px
const SHORT = 12; // px; shorter arrows would hide under their marks

class TradeOffPlane {
  constructor(view) {
    this.view = view;
    this.grid = s("g", { class: "sk-grid" });
    this.marks = s("g", {});
    this.svg = s(
      "svg",
      { "data-testid": "plane", role: "group", "aria-label": "Price of keeping the shape" },
      this.grid,
      this.marks,
    );
    this.node = h(
      "section",
      { class: "sk-plane" },
      h("h5", {}, "Price of keeping the shape"),
      this.svg,
    );
    const { on } = view.frame;
    on(this.svg, "keydown", (event) => this.key(event));
    on(this.svg, "focusin", (event) => this.enter(event.target));
    on(this.svg, "focusout", () => view.setFocus(null));
    on(this.svg, "pointerover", (event) => this.enter(event.target));
    on(this.svg, "pointerleave", () => view.setFocus(null));
  }

  draw(width) {
    const { view } = this;
    const drawn = view
      .ranked()
      .filter(({ row }) => isNumber(row.metric) && isNumber(row.violation));
    this.box = {
      left: PLANE.left,
      right: width - PLANE.right,
      top: PLANE.top,
      bottom: PLANE.height - PLANE.below,
    };
    setAttributes(this.svg, {
      viewBox: `0 0 ${width} ${PLANE.height}`,
      width,
      height: PLANE.height,
    });
    this.makeAxes(drawn);
    refresh(this.grid, this.gridParts());
    this.things = drawn.map((one) => this.place(one));
    this.labels = placedLabels(this.things, this.box, view.textWidth);
    keyed(
      this.marks,
      this.things.map((thing) => [`m:${thing.run.key}`, thing]),
      () => s("g", { role: "img", tabindex: -1 }),
      (node, thing) => this.drawThing(node, thing),
    );
    this.rove();
  }

  makeAxes(drawn) {
    const { left, right, top, bottom } = this.box;
    const { better } = this.view.setup;
    const zeros = drawn.filter(({ row }) => row.violation === 0);
    this.column = clamp(44, 16 + 20 * zeros.length, (right - left) * 0.4);
    this.zeros = zeros.map(({ run }) => run.key);
    const positive = drawn
      .flatMap(({ row }) => [row.violation, ...(row.seeds?.violation ?? [])])
      .filter((v) => v > 0);
    const largest = Math.max(...positive);
    const shown = positive.filter((v) => v >= largest * 1e-8);
    this.x = logAxis(shown, left + this.column + 14, right, 6, 2);
    const heights = drawn.flatMap(({ row }) => [
      row.metric,
      row.held,
      ...(row.seeds?.metric ?? []),
    ]);
    const ends = better === "lower" ? [top, bottom] : [bottom, top];
    this.y = planeAxis(finite(heights), ...ends);
  }

  gridParts() {
    const { left, right, top, bottom } = this.box;
    const { metric } = this.view.setup;
    const middle = (left + right) / 2;
    const text = (x, y, words, kind = "") => s("text", { class: `sk-small ${kind}`, x, y }, words);
    return [
      s("rect", {
        class: "sk-shelf",
        x: left,
        y: top,
        width: this.column,
        height: bottom - top,
      }),
      ...this.y.ticks.flatMap((tick) => [
        s("path", { class: "sk-grid-line", d: `M${left} ${tick.at}H${right}` }),
        text(left - 8, tick.at + 4, tick.text, "sk-end"),
      ]),
      ...this.x.ticks.flatMap((tick) => [
        s("path", { class: "sk-grid-line", d: `M${tick.at} ${top}V${bottom}` }),
        text(tick.at, bottom + 16, tick.text),
      ]),
      text(left + this.column / 2, bottom + 16, "0", "sk-strong"),
      text(middle, bottom + 33, "violation after training (log; shaded: exactly 0)"),
      s(
        "text",
        { class: "sk-small", transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)` },
        metric,
      ),
      s("path", { class: "sk-arrow-key", d: arrowPath(left + 5, bottom + 46, bottom + 70) }),
      text(left + 16, bottom + 54, `from ${metric} as trained to ${metric}`, "sk-start"),
      text(left + 16, bottom + 69, "with the shape enforced (the leak cut off)", "sk-start"),
    ];
  }

  across(violation, key) {
    const { left } = this.box;
    const i = this.zeros.indexOf(key);
    if (i >= 0) return left + (this.column * (i + 0.5)) / this.zeros.length;
    return violation > 0 ? this.x.at(Math.max(violation, this.x.low)) : left + this.column / 2;
  }

  place({ run, row }) {
    const x = this.across(row.violation, run.key);
    const y = this.y.at(row.metric);
    const held = isNumber(row.held) ? this.y.at(row.held) : y;
    const seeds = (row.seeds?.violation ?? [])
      .map((violation, i) => [violation, row.seeds.metric[i]])
      .filter(([violation, metric]) => isNumber(violation) && isNumber(metric))
      .map(([violation, metric]) => [this.across(violation, run.key), this.y.at(metric)]);
    const arrow = Math.abs(held - y) > SHORT ? held : null;
    const tip = Math.abs(held - y) > 2 * SHORT ? this.view.metricText(row.held) : "";
    return { run, row, x, y, arrow, seeds, tip };
  }

  drawThing(node, thing) {
    const { run, row, x, y, arrow, seeds, tip } = thing;
    const label = this.labels.get(run.key);
    const way = Math.sign((arrow ?? y) - y);
    const parts = [
      label.leader && s("path", { class: "sk-leader", d: label.leader }),
      ...seeds.map(([sx, sy]) => s("circle", { class: "sk-seed", cx: sx, cy: sy, r: 2 })),
      arrow !== null && [
        s("path", {
          class: "sk-drop",
          "stroke-dasharray": run.dash || null,
          d: `M${x} ${y + way * 8}V${arrow - way * 6}`,
        }),
        s("path", { class: "sk-arrowhead", d: headPath(x, arrow, way) }),
      ],
      markPath(run.look, { transform: `translate(${x} ${y})` }),
      s("circle", { class: "sk-hit", cx: x, cy: y, r: 12 }),
      s("circle", { class: "sk-around", cx: x, cy: y, r: 11 }),
    ];
    const words = [
      s("text", { class: `sk-halo ${label.anchor}`, x: label.x, y: label.y }, fullName(run)),
      tip && s("text", { class: "sk-halo sk-tip sk-end", x: x - 8, y: arrow + 4 - way * 4 }, tip),
    ];
    const metric = this.view.setup.metric;
    setAttributes(node, {
      ...inked(run.look, "sk-thing"),
      "data-run": run.key,
      "aria-label": `${fullName(run)}: violation ${short(row.violation)}, ${metric} ${this.view.metricText(row.metric)}, with the shape enforced ${this.view.metricText(row.held)}`,
    });
    refresh(node, [...parts.flat(), ...words].filter(Boolean));
  }

  // Keys: one stop for Tab; arrows go from mark to mark

  inOrder() {
    return [...this.things].sort((a, b) => a.x - b.x || a.y - b.y);
  }

  rove() {
    const keys = this.inOrder().map(({ run }) => run.key);
    if (!keys.includes(this.active)) [this.active] = keys;
    for (const node of this.marks.children) {
      quiet(node);
      setAttributes(node, { tabindex: node.dataset.run === this.active ? 0 : -1 });
    }
  }

  enter(target) {
    const key = target.closest?.("[data-run]")?.dataset.run ?? null;
    if (key && this.marks.contains(document.activeElement)) this.active = key;
    this.rove();
    this.view.setFocus(key);
  }

  key(event) {
    const order = this.inOrder().map(({ run }) => run.key);
    const at = order.indexOf(this.active);
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const to =
      { Home: 0, End: order.length - 1 }[event.key] ?? clamp(0, at + step, order.length - 1);
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !order[to]) return;
    event.preventDefault();
    this.active = order[to];
    this.rove();
    [...this.marks.children].find((node) => node.dataset.run === this.active)?.focus();
  }
}

/** Shares of 1 keep 1 as their end; others get round ends around what there is. */
function planeAxis(values, from, to) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const isShare = values.every((v) => v >= 0 && v <= 1);
  const room = Math.max((high - low) * 0.04, 1e-6);
  return linearAxis(
    isShare ? [...values, 1, low - Math.min(low, 0.1)] : [low - room, high + room],
    from,
    to,
    5,
  );
}

const headPath = (x, y, way) =>
  `M${x} ${y}L${x - 4} ${y - way * 9}L${x} ${y - way * 6}L${x + 4} ${y - way * 9}Z`;
const arrowPath = (x, from, to) =>
  `M${x} ${from}V${to}M${x - 3} ${to - 4}L${x} ${to}L${x + 3} ${to - 4}`;

// Names at the marks: each takes the place that covers least; far places have a leader

function placedLabels(things, box, textWidth) {
  const obstacles = things.flatMap(obstaclesOf(textWidth));
  const chosen = new Map();
  for (let sweep = 0; sweep < 3; sweep++)
    for (const thing of things) {
      const others = [...chosen].filter(([key]) => key !== thing.run.key).map(([, label]) => label);
      const width = textWidth(fullName(thing.run));
      const choices = candidates(thing, width).map((label) => ({
        ...label,
        cost: label.price + outside(label.rect, box) + covered(label, obstacles, others, thing),
      }));
      chosen.set(
        thing.run.key,
        choices.reduce((a, b) => (b.cost < a.cost ? b : a)),
      );
    }
  return chosen;
}

/** What names should not cover: marks, arrows, the numbers at their tips, and the seeds. */
const obstaclesOf =
  (textWidth) =>
  ({ run, x, y, arrow, tip, seeds }) => {
    const around = (left, top, right, bottom) => ({ key: run.key, left, top, right, bottom });
    const mark = around(x - 8, y - 8, x + 8, y + 8);
    const line = arrow !== null && around(x - 5, Math.min(y, arrow), x + 5, Math.max(y, arrow));
    const number = tip && around(x - 10 - textWidth(tip), arrow - 14, x - 8, arrow + 10);
    const dots = seeds.map(([sx, sy]) => around(sx - 2, sy - 2, sx + 2, sy + 2));
    return [mark, line, number, ...dots].filter(Boolean);
  };

function candidates({ x, y }, width) {
  const at = (dx, dy, anchor, price, leader = null) => {
    const left = x + dx - { "sk-start": 0, "sk-end": width, "": width / 2 }[anchor];
    const rect = { left, right: left + width, top: y + dy - LETTERS, bottom: y + dy + 4 };
    const [top, bottom] = leader ?? [];
    const stick = leader && { left: x - 2, right: x + 2, top: y + top, bottom: y + bottom };
    const path = leader && `M${x} ${y + top}V${y + bottom}`;
    return { x: x + dx, y: y + dy, anchor, price, rect, stick, leader: path };
  };
  const near = [
    at(12, 4, "sk-start", 0),
    at(-12, 4, "sk-end", 1),
    at(0, 24, "", 2),
    at(0, -14, "", 2),
    at(10, 20, "sk-start", 3),
    at(-10, 20, "sk-end", 3),
    at(10, -10, "sk-start", 4),
    at(-10, -10, "sk-end", 4),
  ];
  const far = [40, 58, 76, 94, 112, 130, 148].flatMap((d) =>
    ["sk-start", "", "sk-end"].map((anchor) =>
      at({ "sk-start": -6, "": 0, "sk-end": 6 }[anchor], d, anchor, 6 + d / 12, [
        10,
        d - LETTERS - 1,
      ]),
    ),
  );
  return [...near, ...far];
}

function overlap(a, b) {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  return width > 0 && height > 0 ? 12 + (width * height) / 12 : 0;
}

const outside = (rect, { left, right, top }) =>
  200 *
  (Math.max(0, left - 4 - rect.left) +
    Math.max(0, rect.right - right - 18) +
    Math.max(0, top - 12 - rect.top));

/** How much a name and its leader cover, and what other leaders cover of it. */
function covered({ rect, stick }, obstacles, others, thing) {
  const sum = (rects, one) => rects.reduce((total, other) => total + overlap(one, other), 0);
  const names = others.map((label) => label.rect);
  const sticks = others.map((label) => label.stick).filter(Boolean);
  const strangers = obstacles.filter(({ key }) => key !== thing.run.key);
  return (
    sum(obstacles, rect) +
    2 * sum([...names, ...sticks], rect) +
    (stick ? sum([...strangers, ...names], stick) : 0)
  );
}
