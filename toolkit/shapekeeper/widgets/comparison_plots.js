// Curves over the steps: loss, metric, violation. Line: mean of the seeds; band: their range; the
// marks at the ends stand apart, with hair lines to where they belong.

const SHELF = 18; // pixels for exactly 0, which a log axis can't show
const NEAR = 18; // pixels within which the pointer means a line
const FULL = { left: 48, right: 32, top: 12, heights: { loss: 128, metric: 118, violation: 142 } };
const SMALL = { left: 48, right: 30, top: 10, heights: { loss: 104, metric: 98, violation: 112 } };

const finite = (values) => values.filter(isNumber);

class CurvePlot {
  /** @param measure "loss", "metric" or "violation" @param place its key, 1 to 3 */
  constructor(view, measure, place) {
    this.view = view;
    this.measure = measure;
    this.uid = `${view.uid}-${measure}`;
    this.title = h("h5", { id: `${this.uid}-title` });
    this.note = h("span", { class: "sk-caption sk-note" });
    this.layers = {
      grid: s("g", { class: "sk-grid" }),
      curves: s("g", {}),
      ends: s("g", {}),
      now: s("path", { class: "sk-now" }),
      ruler: s("g", { class: "sk-ruler" }),
    };
    this.clip = s("rect", {});
    this.svg = s(
      "svg",
      {
        "data-testid": `plot-${measure}`,
        "data-plot": measure,
        role: "application",
        "aria-roledescription": "plot",
        "aria-keyshortcuts": String(place),
        tabindex: 0,
      },
      s("clipPath", { id: `${this.uid}-clip` }, this.clip),
      Object.values(this.layers),
    );
    this.node = h(
      "section",
      { class: "sk-plot" },
      h("div", { class: "sk-row" }, this.title, h("span", { class: "sk-room" }), this.note),
      this.svg,
    );
    this.groups = new Map();
    this.listen();
  }

  listen() {
    const { on } = this.view.frame;
    on(this.svg, "pointermove", (event) => this.pointAt(event));
    on(this.svg, "pointerleave", () => this.view.setRuler(null, "pointer"));
    on(this.svg, "keydown", (event) => this.key(event));
    on(this.svg, "focus", () => this.view.openRuler());
    on(this.svg, "blur", () => this.view.setRuler(null, "keys"));
  }

  // Drawing

  /** @param small whether it stands beside the plane */
  draw(width, small) {
    const { view, measure } = this;
    const size = small ? SMALL : FULL;
    const isLast = measure === "violation";
    const height = size.heights[measure];
    const below = isLast ? 36 : 8;
    this.box = { left: size.left, right: width - size.right, top: size.top, bottom: height };
    this.small = small;
    setAttributes(this.svg, {
      viewBox: `0 0 ${width} ${height + below}`,
      width,
      height: height + below,
    });
    this.title.textContent = view.measureName(measure, true);
    this.points = view.curvePoints(measure);
    this.axis = this.makeAxis();
    setAttributes(this.clip, {
      x: this.box.left,
      y: this.box.top - 3,
      width: Math.max(0, this.box.right - this.box.left),
      height: this.box.bottom - this.box.top + 6,
    });
    refresh(this.layers.grid, this.gridParts(isLast));
    this.drawCurves();
    this.drawNow();
    this.drawRuler();
    setAttributes(this.svg, { "aria-label": this.label() });
  }

  label() {
    const { view } = this;
    const better = this.measure === "metric" ? `, ${view.setup.better} is better` : "";
    const count = plural(this.points.length, "strategy").replace("ys", "ies");
    return `${view.measureName(this.measure, true)} over ${count}${better}, step by step. Left and right move the ruler, up and down choose the strategy.`;
  }

  makeAxis() {
    const { top, bottom } = this.box;
    const steady = this.points.filter(({ run }) => !run.diverged);
    const shown = (steady.length ? steady : this.points).flatMap(({ values }) => values.flat());
    const all = finite(shown);
    if (this.measure === "violation") return this.violationAxis(all, top, bottom);
    if (this.measure === "metric") return metricAxis(all, bottom, top, this.view.setup.better);
    const most = this.small ? 4 : 5;
    return all.every((v) => v > 0)
      ? logAxis(all, bottom, top, most)
      : linearAxis(all, bottom, top, 3);
  }

  violationAxis(all, top, bottom) {
    const above = bottom - SHELF - 10;
    const positive = all.filter((v) => v > 0);
    const largest = Math.max(...positive);
    // rounding alone leaves 1e-9; what matters lies within some decades of the largest
    const axis = logAxis(
      positive.filter((v) => v >= largest * 1e-8),
      above,
      top,
      3,
    );
    return { ...axis, zero: bottom - SHELF / 2, shelf: { top: bottom - SHELF, bottom } };
  }

  gridParts(isLast) {
    const { left, right, top, bottom } = this.box;
    const { axis, small } = this;
    const across = (tick) => [
      s("path", { class: "sk-grid-line", d: `M${left} ${tick.at}H${right}` }),
      s("text", { class: "sk-small sk-end", x: left - 8, y: tick.at + 4 }, tick.text),
    ];
    const shelf = axis.shelf && [
      s("rect", {
        class: "sk-shelf",
        x: left,
        y: axis.shelf.top,
        width: Math.max(0, right - left),
        height: SHELF,
      }),
      s("text", { class: "sk-small sk-end", x: left - 8, y: axis.zero + 4 }, "0"),
    ];
    const lines = [...axis.ticks.map(across), shelf ?? []].flat();
    return isLast ? [...lines, ...this.stepTicks(top, bottom, small)] : lines;
  }

  stepTicks(top, bottom, small) {
    const { steps, seeds } = this.view.progress;
    const ticks = stepValues(steps, small ? 2 : 5);
    const words = small
      ? "step"
      : `step; line: mean of ${plural(seeds, "seed")}, band: their range`;
    const middle = (this.box.left + this.box.right) / 2;
    return [
      ...ticks.map((v) =>
        s("text", { class: "sk-small", x: this.across(v), y: bottom + 16 }, count(v)),
      ),
      s("text", { class: "sk-small", x: middle, y: bottom + 31 }, words),
    ];
  }

  across(step) {
    const { left, right } = this.box;
    return left + ((right - left) * step) / Math.max(1, this.view.progress.steps);
  }

  /** The height of a value; of several runs at exactly 0 each has a line of its own. */
  down(value, place = 0.5) {
    const { axis } = this;
    if (!isNumber(value)) return null;
    if (axis.shelf && value <= 0) return axis.shelf.top + 4 + place * (SHELF - 8);
    if (axis.shelf) return axis.at(Math.max(value, axis.low));
    return axis.isLog && value <= 0 ? null : axis.at(value);
  }

  drawCurves() {
    const { points, groups, layers } = this;
    const keys = points.map(({ run }) => `${run.key} ${run.look.light} ${run.dash}`).join();
    if (keys !== this.drawnKeys) {
      this.drawnKeys = keys;
      groups.clear();
      for (const { run } of points) groups.set(run.key, this.curveGroup(run));
      layers.curves.replaceChildren(...[...groups.values()].map(({ lines }) => lines));
      layers.ends.replaceChildren(...[...groups.values()].map(({ end }) => end));
    }
    const isZero = ({ values }) => values.at(-1)?.[0] === 0;
    const zeros = points.filter(isZero);
    for (const point of points) {
      const place = zeros.length > 1 ? zeros.indexOf(point) / (zeros.length - 1) : 0.5;
      point.place = place < 0 ? 0.5 : place;
      this.drawCurve(groups.get(point.run.key), point);
    }
    this.drawEnds();
  }

  curveGroup(run) {
    const parts = {
      band: s("path", { class: "sk-band" }),
      line: s("path", { class: "sk-curve", "stroke-dasharray": run.dash || null }),
      hair: s("path", { class: "sk-hair" }),
      mark: markPath(run.look),
      cross: s("path", { class: "sk-cross", d: MARKS.x }),
    };
    const clipped = s("g", { "clip-path": `url(#${this.uid}-clip)` }, parts.band, parts.line);
    const lines = colored(run.look, { "data-run": run.key }, clipped);
    const end = colored(run.look, { "data-run": run.key }, parts.hair, parts.mark, parts.cross);
    return { lines, end, ...parts };
  }

  drawCurve({ band, line }, point) {
    const { steps, values, place } = point;
    const drawn = (j) =>
      steps.map((step, i) => [this.across(step), this.down(values[i][j], place)]);
    const path = (places) =>
      places.map(([x, y]) => `${x.toFixed(1)} ${clamp(-1e4, y, 1e4).toFixed(1)}`).join("L");
    const isDrawn = ([, y]) => y !== null;
    point.line = drawn(0);
    const middle = point.line.filter(isDrawn);
    const outline = [...drawn(1).filter(isDrawn), ...drawn(2).filter(isDrawn).reverse()];
    point.end = middle.at(-1) ?? null;
    setAttributes(line, { d: middle.length ? `M${path(middle)}` : null });
    setAttributes(band, { d: outline.length > 3 ? `M${path(outline)}Z` : null });
  }

  /** Marks at the ends, or a red cross where a run diverged. */
  drawEnds() {
    const { box, groups, points, small } = this;
    const living = points.filter(({ run, end }) => end && !run.diverged);
    const gap = small ? 11 : 13;
    const places = pushedApart(
      living.map(({ end }) => end[1]),
      gap,
      box.top - 4,
      box.bottom + 2,
    );
    const size = small ? 0.8 : 0.95;
    for (const { run, end } of points) {
      const { hair, mark, cross } = groups.get(run.key);
      const i = living.findIndex((point) => point.run === run);
      const y = clamp(box.top, end?.[1] ?? box.top, box.bottom);
      const x = end && run.diverged ? this.across(run.diverged.step) : 0;
      setAttributes(hair, {
        d: i < 0 ? null : `M${end[0]} ${end[1]}L${end[0] + 9} ${places[i]}H${end[0] + 12}`,
      });
      setAttributes(mark, {
        transform: i < 0 ? null : `translate(${end[0] + 18} ${places[i]}) scale(${size})`,
        visibility: i < 0 ? "hidden" : null,
      });
      setAttributes(cross, {
        transform: run.diverged && end ? `translate(${x} ${y}) scale(1.1)` : null,
        visibility: run.diverged && end ? null : "hidden",
      });
    }
  }

  drawNow() {
    const { step, steps } = this.view.progress;
    const { top, bottom } = this.box;
    const x = this.across(step);
    setAttributes(this.layers.now, {
      d: step > 0 && step < steps ? `M${x} ${top - 4}V${bottom}` : null,
    });
  }

  // Ruler: a step and a strategy, shared by the three plots

  drawRuler() {
    const { view } = this;
    const reading = this.box && view.reading(this.measure);
    this.note.classList.toggle("sk-reading", Boolean(reading));
    if (!reading) {
      this.layers.ruler.replaceChildren();
      this.note.textContent = this.small ? "" : view.measureNote(this.measure);
      return;
    }
    const { step, point, value, words } = reading;
    const x = this.across(step);
    const y = this.down(value, this.points.find(({ run }) => run === point.run)?.place);
    this.layers.ruler.replaceChildren(
      s("path", { class: "sk-ruler-line", d: `M${x} ${this.box.top - 4}V${this.box.bottom}` }),
      ...(y === null
        ? []
        : [colored(point.run.look, {}, s("circle", { class: "sk-dot", cx: x, cy: y, r: 3.5 }))]),
    );
    this.note.textContent = words;
  }

  pointAt(event) {
    const bounds = this.svg.getBoundingClientRect();
    const scale = this.svg.viewBox.baseVal.width / bounds.width;
    const x = (event.clientX - bounds.left) * scale;
    const y = (event.clientY - bounds.top) * scale;
    const near = this.points
      .flatMap((point) =>
        point.line.map(([px, py], i) => ({ point, px, py, step: point.steps[i] })),
      )
      .filter(({ px, py }) => py !== null && Math.abs(px - x) < 40);
    if (!near.length) return this.view.setRuler(null, "pointer");
    const closest = Math.min(...near.map(({ px }) => Math.abs(px - x)));
    const column = near.filter(({ px }) => Math.abs(px - x) < closest + 0.5);
    const best = column.reduce((a, b) => (Math.abs(b.py - y) < Math.abs(a.py - y) ? b : a));
    if (Math.abs(best.py - y) > NEAR) return this.view.setRuler(null, "pointer");
    return this.view.setRuler({ step: best.step, key: best.point.run.key }, "pointer");
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const moves = {
      ArrowLeft: () => this.view.moveRuler(-1),
      ArrowRight: () => this.view.moveRuler(1),
      PageUp: () => this.view.moveRuler(5),
      PageDown: () => this.view.moveRuler(-5),
      Home: () => this.view.moveRuler(-Infinity),
      End: () => this.view.moveRuler(Infinity),
      ArrowUp: () => this.view.turnRuler(1, this),
      ArrowDown: () => this.view.turnRuler(-1, this),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
    this.view.readOut(this.measure);
  }

  /** The runs as they lie at a step, from the lowest line to the highest. */
  order(step) {
    const height = ({ steps, line, end }) => line[steps.indexOf(step)]?.[1] ?? end[1];
    return this.points.filter(({ end }) => end).sort((a, b) => height(b) - height(a));
  }
}

/** Shares between 0 and 1 get that axis; losses over decades a log one. */
function metricAxis(all, from, to, better) {
  if (all.every((v) => v >= 0 && v <= 1) && better === "higher")
    return linearAxis([0, 1], from, to, 2);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  if (low > 0 && high / low > 30) return logAxis(all, from, to, 4);
  return linearAxis(all, from, to, 3);
}

/** 0, some round steps, and the last one; no two so close that their numbers touch. */
function stepValues(steps, about) {
  const round = roundValues(0, Math.max(1, steps), about).values.filter(
    (v) => v % 1 === 0 && v < steps,
  );
  const [first, second] = round;
  const room = second ? (second - first) * 0.6 : 0;
  return [...round.filter((v) => v === 0 || steps - v >= room), steps];
}
