// One view of a filter shape as it is seen: the plot, the taps, panel and status strip.

const SIGNS_OF = { edge: "M-3.5 0H3.5", level: "M0-3.5V3.5", corner: "M-3.5 0H3.5M0-3.5V3.5" };
const MAKING = '[data-cmd^="add:"], [data-cmd="shorter"], [data-cmd="longer"], [data-cmd="delete"]';

class FilterShapeDrawing extends DrawingView {
  constructor(model, el, talk) {
    super(model, el, talk, {
      testid: "filter-shape-editor",
      title: "Filter shape",
      keys: FILTER_HELP,
      make: h(
        "span",
        { class: "sk-switch", role: "group", "aria-label": "Form" },
        FORMS.map(([form, label, title]) => button(`form:${form}`, { label, title })),
      ),
    });
    this.frame.root.classList.add("sk-filter");
    this.ui.hint = "";
    this.touched = false; // by anybody yet: until then a ring shows where to begin
    this.buildCanvas();
  }

  buildCanvas() {
    const id = (name) => `${this.uid}-${name}`;
    const hatch = s(
      "pattern",
      {
        id: id("hatch"),
        width: 7,
        height: 7,
        patternUnits: "userSpaceOnUse",
        patternTransform: "rotate(45)",
      },
      s("rect", { width: 7, height: 7, class: "sk-tinted" }),
      s("path", { d: "M0 0V7", class: "sk-hatching" }),
    );
    const { left, right, top, bottom } = PLOT;
    const clip = s(
      "clipPath",
      { id: id("plot") },
      s("rect", { x: left, y: top - 3, width: right - left, height: bottom - top + 3 }),
    );
    const names = ["ground", "grid", "curves", "rims", "inset", "things", "stems", "legend"];
    this.layers = Object.fromEntries(names.map((name) => [name, s("g", { class: `sk-${name}` })]));
    const { curves, things } = this.layers;
    setAttributes(curves, { "clip-path": `url(#${id("plot")})`, "aria-hidden": "true" });
    for (const name of ["ground", "grid", "rims", "inset", "stems", "legend"])
      setAttributes(this.layers[name], { "aria-hidden": "true" });
    this.lines = {
      layer: s("path", { class: "sk-layer-line" }),
      halo: s("path", { class: "sk-response-halo" }),
      response: s("path", { class: "sk-response" }),
      leaves: s("path", { class: "sk-leaves" }),
    };
    curves.append(...Object.values(this.lines));
    this.blocks = s("g", {});
    this.grips = s("g", {});
    things.append(this.blocks, this.grips);
    this.canvas(
      [s("defs", {}, hatch, clip), Object.values(this.layers)].flat(),
      `0 0 ${SIZE.width} ${SIZE.height}`,
      "Arrow keys move the handle in focus, brackets go to the next one, Page Up and Page Down " +
        "change the length, A reads the facts, question mark lists all keys.",
    );
  }

  // State

  /** The drawing with the newest edit; one that Python will refuse is never drawn. */
  get drawing() {
    const newest = this.talk.newest();
    if (isWellFormed(newest)) this.good = newest;
    return this.good;
  }

  /** The number of the band or point that is selected, or −1. */
  get index() {
    const [key] = this.model.get("selected");
    const things = this.drawing[this.drawing.points.length ? "points" : "bands"];
    const number = key ? Number(key.slice(2)) : -1;
    return number < things.length ? number : -1;
  }

  get axes() {
    return axesOf(this.drawing, this.ui.gesture?.axes);
  }

  get handles() {
    return handlesOf(this.drawing, this.axes, this.drawing.points.length ? -1 : this.index);
  }

  handle(key) {
    return this.handles.find((handle) => handle.key === key);
  }

  select(keys) {
    if (String(keys) !== String(this.model.get("selected"))) this.talk.select(keys);
  }

  commit(drawing, gesture = null) {
    if (this.dead) return;
    this.touch();
    this.ui.open = false;
    this.talk.move(drawing, gesture);
    this.draw();
  }

  touch() {
    if (this.touched) return;
    this.touched = true;
    this.later();
  }

  // Drawing

  draw() {
    this.keepFocus(() => {
      this.drawCanvas();
      this.fillPanel(panelSubject(this), () => panelSections(this));
      this.drawBar();
      this.drawStatus();
    });
    this.frame.showCode(this.model.get("facts").code);
  }

  drawBar() {
    const { name } = this.model.get("facts");
    this.frame.fact.textContent = name;
    this.frame.fact.title = name;
    this.drawHistory();
    const form = formOf(this.drawing);
    for (const [other] of FORMS) {
      this.enable(`form:${other}`, !this.dead);
      setAttributes(this.barButton(`form:${other}`), { "aria-pressed": form === other });
    }
    for (const node of this.frame.panel.querySelectorAll(MAKING))
      setAttributes(node, { "aria-disabled": this.dead ? "true" : null });
  }

  drawCanvas() {
    const { axes, drawing } = this;
    setAttributes(this.svg, {
      "aria-roledescription": "filter plot",
      "aria-label": this.countWords(),
    });
    this.frame.root.classList.toggle("sk-invites", this.invites);
    this.drawGrid(axes);
    this.drawGround(drawing, axes);
    this.drawCurves(axes);
    this.drawInset(drawing, axes);
    this.drawThings(drawing);
    this.drawStems();
    this.drawLegend();
    this.rove();
  }

  /** Whether nobody has touched the drawing yet: then a ring shows where to begin. */
  get invites() {
    return Boolean(this.model.get("facts").opening) && !this.touched;
  }

  countWords() {
    const { bands, points, taps } = this.drawing;
    const feasible = this.model.get("facts").feasible ? "can be met" : "can not be met";
    const what = points.length
      ? `target of ${plural(points.length, "point")}`
      : plural(bands.length, "band");
    return `Filter plot, ${what}, ${plural(taps, "tap")}, ${feasible}`;
  }

  drawGrid(axes) {
    const { left, right, top, bottom } = PLOT;
    const kilo = axes.nyquist >= 10000;
    const across = ticks(0, axes.nyquist, 5);
    const up = axes.linear
      ? ticks(...axes.range, 5)
      : ticks(...axes.range, 4).filter((v) => v % 10 === 0);
    const line = (d) => s("path", { class: "sk-grid-line", d });
    const text = (attributes, words) => s("text", attributes, words);
    refresh(this.layers.grid, [
      line(`M${left} ${bottom}H${right}M${left} ${top}V${bottom}`),
      ...across.slice(1).map((f) => line(`M${round(axes.x(f))} ${top}V${bottom}`)),
      ...up.map((v) => line(`M${left} ${round(axes.y(v))}H${right}`)),
      ...across.map((f) =>
        text(
          { x: round(axes.x(f)), y: bottom + 15, class: "sk-small" },
          f === 0 ? "0" : kilo ? String(round(f / 1000, 2)) : f === 1 ? "1" : String(f),
        ),
      ),
      ...up.map((v) =>
        text(
          { x: left - 8, y: round(axes.y(v)) + 4, class: "sk-small sk-end" },
          axes.linear ? v.toFixed(v === 0 || v === 1 ? 0 : 1) : minus(String(v)),
        ),
      ),
      text({ x: 8, y: top + 4, class: "sk-small sk-start" }, axes.linear ? "gain" : "dB"),
      text(
        { x: (left + right) / 2, y: bottom + 32, class: "sk-small" },
        axes.nyquist === 1 ? "frequency, 1 = Nyquist" : `frequency, ${kilo ? "kHz" : "Hz"}`,
      ),
    ]);
  }

  /** Forbidden ground and its rims; what can be pressed lies on top, in `drawThings`. */
  drawGround({ bands, points }, axes) {
    const fill = `url(#${this.uid}-hatch)`;
    const blocks = bands.flatMap((band) => blocksOf(band, axes));
    const tube = points.length > 1 ? tubeOf(points, axes) : null;
    refresh(this.layers.ground, [
      ...blocks.map((block) => s("rect", { ...rounded(block), fill })),
      tube && s("path", { d: tube.ground, fill }),
    ]);
    const { index } = this;
    const shown = this.invites ? Number(this.firstHandle.split(":")[1]) : index;
    refresh(this.layers.rims, [
      ...bands.map((band, i) =>
        s("path", { class: `sk-rim ${i === shown ? "sk-mine" : ""}`, d: rimOf(band, axes) }),
      ),
      ...(tube?.rims ?? []).map((d) => s("path", { class: "sk-rim", d })),
      tube && s("path", { class: "sk-aim", d: tube.middle }),
    ]);
  }

  drawCurves(axes) {
    const { curve } = this.model.get("facts");
    const last = curve.levels.length - 1;
    const x = (i) => PLOT.left + ((PLOT.right - PLOT.left) * i) / last;
    const solid = curvePath(curve.levels, x, axes.height);
    setAttributes(this.lines.layer, {
      d: curve.layer.length ? curvePath(curve.layer, x, axes.height) : null,
    });
    setAttributes(this.lines.halo, { d: solid });
    setAttributes(this.lines.response, { d: solid });
    setAttributes(this.lines.leaves, {
      d: curvePath(curve.levels, x, axes.height, curve.runs) || null,
    });
  }

  /** A pass band enlarged, since ± 1 dB is three pixels tall on the main axis. */
  drawInset(drawing, axes) {
    const { enlarged } = this.model.get("facts");
    const index = this.insetBand(drawing.bands, enlarged);
    const place = index < 0 ? null : insetPlace(drawing.bands, index, axes);
    refresh(
      this.layers.inset,
      place ? insetParts(place, enlarged[index], drawing.bands[index][3]) : [],
    );
  }

  /** The pass band that is enlarged: the selected one, else the widest. */
  insetBand(bands, enlarged) {
    const known = (i) => bands[i]?.[0] === "pass" && enlarged[i];
    if (known(this.index)) return this.index;
    const width = (i) => bands[i][2] - bands[i][1];
    return bands
      .map((_, i) => i)
      .filter(known)
      .reduce((p, q) => (p < 0 || width(q) > width(p) ? q : p), -1);
  }

  // What can be grabbed, pressed and reached with the keys

  drawThings(drawing) {
    const { axes } = this;
    keyed(
      this.blocks,
      drawing.bands.map((band, i) => [`b:${i}`, band]),
      () =>
        s(
          "g",
          { class: "sk-block", role: "button", tabindex: -1 },
          s("rect", { class: "sk-hit" }),
          s("path", { class: "sk-around" }),
          s("g", { class: "sk-tag" }, s("rect", { rx: 3 }), s("text", {})),
        ),
      (g, band, key) => this.updateBlock(g, band, key, axes),
    );
    keyed(
      this.grips,
      this.handles.map((handle) => [handle.key, handle]),
      (_, { kind }) =>
        s(
          "g",
          { role: "slider", tabindex: -1 },
          s("circle", { class: "sk-hit", r: 12.5 }),
          s("circle", { class: "sk-around", r: 12 }),
          s("circle", { class: "sk-grip", r: kind === "point" ? 5.5 : 7.5 }),
          kind !== "point" && s("path", { class: "sk-sign", d: SIGNS_OF[kind] }),
        ),
      (g, handle) => this.updateGrip(g, handle, drawing),
    );
  }

  updateBlock(g, band, key, axes) {
    const [kind, low, high] = band;
    const [left, right] = [axes.x(low), axes.x(high)];
    const width = Math.max(25, right - left); // a narrow band can be hit as well
    const selected = this.index === Number(key.slice(2));
    setAttributes(g, {
      "aria-label": `${this.bandWords(band)}${selected ? ", selected" : ""}`,
      "aria-pressed": selected,
    });
    const [hit, around, tag] = g.children;
    const blocks = blocksOf(band, axes).map(rounded);
    setAttributes(hit, {
      x: round((left + right - width) / 2),
      y: PLOT.top,
      width: round(width),
      height: PLOT.bottom - PLOT.top,
    });
    setAttributes(around, {
      d: blocks.map((b) => `M${b.x} ${b.y}h${b.width}v${b.height}h${-b.width}Z`).join(""),
    });
    this.updateTag(tag, band, axes, blocks);
  }

  /** The word on the ground: what is forbidden here, where there is room to say it. */
  updateTag(tag, [kind], axes, blocks) {
    const block = blocks.at(-1);
    const middle = block.x + block.width / 2;
    const shown = kind === "stop" && block.width > 46 && block.height > 40;
    setAttributes(tag, {
      class: shown ? "sk-tag" : "sk-tag sk-gone",
      transform: `translate(${round(middle)} ${round(block.y + Math.min(block.height / 2, 84))})`,
    });
    const [ground, text] = tag.children;
    setAttributes(ground, { x: -21, y: -11, width: 42, height: 20 });
    setAttributes(text, { y: 4 });
    if (text.textContent !== kind) text.textContent = kind;
  }

  updateGrip(g, handle, drawing) {
    const { key, kind, x, y } = handle;
    const isOwn = this.index === handle.index;
    const invited = this.invites && key === this.firstHandle;
    setAttributes(g, {
      class: [`sk-handle-${kind}`, (isOwn || invited) && "sk-mine", invited && "sk-invited"]
        .filter(Boolean)
        .join(" "),
      transform: `translate(${round(x)} ${round(y)})`,
      ...this.handleWords(handle, drawing),
    });
  }

  /** What a screen reader says of a handle. */
  handleWords({ kind, index, end }, drawing) {
    const nyquist = nyquistOf(drawing);
    const unit = nyquist === 1 ? "of Nyquist" : "Hz";
    if (kind === "point") {
      const [frequency, gain] = drawing.points[index];
      return {
        "aria-label": `Point ${index + 1} of the target`,
        "aria-valuenow": gain,
        "aria-valuemin": 0,
        "aria-valuemax": ENDS.gain[1],
        "aria-valuetext": `at ${frequencyText(frequency, nyquist)} ${unit}, gain ${gainText(gain)}`,
      };
    }
    const [type, low, high, decibels] = drawing.bands[index];
    const name = type === "pass" ? "Ripple" : "Attenuation";
    const level = `${type === "pass" ? rippleText(decibels) : attenuationText(decibels)} dB`;
    if (kind === "level") {
      const [least, most] = ENDS[name.toLowerCase()];
      return {
        "aria-label": `${name} of the ${type} band`,
        "aria-orientation": "vertical",
        "aria-valuenow": decibels,
        "aria-valuemin": least,
        "aria-valuemax": most,
        "aria-valuetext": level,
      };
    }
    const edge = end === "low" ? low : high;
    const place = `${end === "low" ? "from" : "up to"} ${frequencyText(edge, nyquist)} ${unit}`;
    const words = `${end === "low" ? "Lower" : "Upper"} edge of the ${type} band`;
    return {
      "aria-label": kind === "corner" ? `${words}, and its attenuation` : words,
      "aria-valuenow": edge,
      "aria-valuemin": 0,
      "aria-valuemax": nyquist,
      "aria-valuetext": kind === "corner" ? `${place}, ${level}` : place,
    };
  }

  bandWords(band) {
    const unit = nyquistOf(this.drawing) === 1 ? "of Nyquist" : "Hz";
    const level = band[0] === "pass" ? "ripple" : "attenuation";
    return `${bandPlace(band, nyquistOf(this.drawing))} ${unit}, ${level} ${levelWords(band)}`;
  }

  // Taps and legend

  drawStems() {
    const { kernel } = this.model.get("facts");
    const { style, zero, places, first, last } = stemsOf(kernel);
    const reach = (kernel.length - 1) / 2;
    const end = (sign) => `${sign}${Number.isInteger(reach) ? reach : reach.toFixed(1)}`;
    const tips = places.map(({ x, y }) => `${x} ${y}`).join("L");
    const outline = `M${round(first)} ${zero}L${tips}L${round(last)} ${zero}Z`;
    const stems = places.map(({ x, y }) => `M${x} ${zero}V${y}`).join("");
    const number = (x, words) =>
      s("text", { x: round(x), y: STEMS.bottom + 22, class: "sk-small" }, words);
    refresh(this.layers.stems, [
      s("path", { class: "sk-zero", d: `M${PLOT.left} ${zero}H${PLOT.right}` }),
      style === "outline"
        ? s("path", { class: "sk-outline-taps", d: outline })
        : s("path", { class: style === "dots" ? "sk-stem" : "sk-stem sk-thin", d: stems }),
      ...(style === "dots" ? places : []).map(({ x, y }) =>
        s("circle", { class: "sk-tap", cx: x, cy: y, r: 3 }),
      ),
      s("text", { x: 8, y: STEMS.top + 4, class: "sk-small sk-start" }, "taps"),
      ...(kernel.length > 1 ? [number(first, end("−")), number(last, end("+"))] : []),
      number((first + last) / 2, "0"),
    ]);
  }

  drawLegend() {
    const { legend, curve } = this.model.get("facts");
    const entries = [
      ["sk-response", legend.solid],
      curve.runs.length > 0 && ["sk-leaves", "where it leaves the drawing"],
      legend.dashed && ["sk-layer-line", legend.dashed],
    ].filter(Boolean);
    let [x, y] = [PLOT.left, PLOT.bottom + 52];
    const parts = entries.flatMap(([kind, words]) => {
      const wide = 32 + 6 * words.length;
      if (x + wide > SIZE.width) [x, y] = [PLOT.left, y + 16];
      const at = x;
      x += wide + 16;
      return [
        s("path", { class: kind, d: `M${at} ${y - 4}h24` }),
        s("text", { x: at + 32, y, class: "sk-small sk-start" }, words),
      ];
    });
    refresh(this.layers.legend, parts);
  }

  // What the base asks of every drawing

  drawn() {
    return this.layers.things;
  }

  /** The first stop is the corner of the first stop band, else the first handle. */
  begins(key) {
    return key === this.firstHandle;
  }

  get firstHandle() {
    const { handles } = this;
    return (handles.find(({ kind }) => kind === "corner") ?? handles[0])?.key ?? "b:0";
  }

  backToDrawing() {
    this.focusThing(this.ui.active);
  }

  /** All fields are in sight, whatever is selected. */
  concerns() {
    return true;
  }

  messages() {
    if (this.farewell) return this.farewell;
    const { hint } = this.ui;
    if (hint) return [{ kind: "plain", text: hint, detail: "" }];
    return this.standing();
  }
}

const rounded = ({ x, y, width, height }) => ({
  x: round(x),
  y: round(y),
  width: round(width),
  height: round(height),
});

/** The card with an enlarged pass band: its limits, and the response between them. */
function insetParts({ x, y, width, height }, { levels, layer, runs }, ripple) {
  const reach = insetReach(levels, ripple);
  const [left, top] = [round(x), round(y)];
  const [wide, tall] = [width - 16, height - 30];
  const at = (level) => (tall / 2) * (1 - level / reach);
  const across = (i) => (wide * i) / (levels.length - 1);
  const limit = (level) => `M0 ${round(at(level), 2)}H${wide}`;
  const words = `pass, ± ${digits(reach, 0, 2)} dB`;
  return [
    s("rect", { class: "sk-card", x: left, y: top, width, height, rx: 4 }),
    s("text", { class: "sk-small sk-start", x: left + 8, y: top + 16 }, words),
    s(
      "svg", // cuts off what lies beyond
      { x: left + 8, y: top + 23, width: wide, height: tall },
      s("path", { class: "sk-limit", d: limit(ripple) + limit(-ripple) }),
      layer.length > 0 && s("path", { class: "sk-layer-line", d: curvePath(layer, across, at) }),
      s("path", { class: "sk-response", d: curvePath(levels, across, at) }),
      runs.length > 0 && s("path", { class: "sk-leaves", d: curvePath(levels, across, at, runs) }),
    ),
  ];
}
