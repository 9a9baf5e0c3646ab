// One view of a region graph as it is seen: map, matrix, panel and status strip.

class RegionGraphDrawing extends MapView {
  constructor(model, el, talk) {
    super(model, el, talk, {
      testid: "region-graph-editor",
      title: "Region graph",
      keys: HELP,
      make: [
        button("add-region", { label: "Region", icon: "region", title: "New region (N)" }),
        button("add-pathway", { label: "Pathway", icon: "pathway", title: "New pathway (P)" }),
      ],
      extra: [
        h(
          "span",
          { class: "sk-switch", role: "group", "aria-label": "View" },
          button("map", { label: "Map", title: "Draw as a map (V)" }),
          button("matrix", { label: "Matrix", title: "Show as a matrix (V)" }),
        ),
        plain("fit", "Fit the drawing (0)"),
      ],
    });
    this.mode = null;
    Object.assign(this.ui, { hover: null, kept: null, cell: null, editing: false });
    this.buildCanvas();
  }

  buildCanvas() {
    this.cells = s("g", { class: "sk-cells" });
    this.buildMap(
      ["back", "lines", "chips", "strands", "circles", "front"],
      "Press N for a new region, P for a pathway from the selected one, question mark for all keys.",
      [this.cells],
    );
  }

  // State

  get isMap() {
    return this.mode === "map";
  }

  get graph() {
    return this.drawing;
  }

  get currentRegion() {
    return this.current?.startsWith("r:") ? this.scene.regions.get(this.current.slice(2)) : null;
  }

  get currentPath() {
    return this.scene.paths.get(this.current) ?? null;
  }

  exists(key) {
    return (
      Boolean(key) &&
      (this.scene.paths.has(key) || (key.startsWith("r:") && this.scene.regions.has(key.slice(2))))
    );
  }

  place(name) {
    const [x, y] = this.scene.regions.get(name).position;
    return { x, y };
  }

  circles() {
    const { regions, style } = this.scene;
    return new Map(
      [...regions].map(([name, r]) => [name, { ...this.place(name), r: style.radius(r.size) }]),
    );
  }

  select(keys, options) {
    this.ui.editing = false;
    super.select(keys, options);
  }

  // Drawing

  draw() {
    const before = this.scene?.regions;
    this.scene = readScene(this.graph);
    const isAnother = before && ![...before.keys()].some((name) => this.scene.regions.has(name));
    if (isAnother) this.zoom = this.mode = null;
    const count = this.graph.regions.length;
    this.mode = count > TOO_MANY ? "matrix" : (this.mode ?? (count > 25 ? "matrix" : "map"));
    this.keepFocus(() => {
      this.drawCanvas();
      this.drawPanel();
      this.drawBar();
      this.drawStatus();
    });
    this.frame.showCode(this.model.get("facts").code);
  }

  drawBar() {
    const { graph } = this;
    this.frame.fact.textContent = this.countWords();
    this.frame.fact.title = this.countWords();
    this.drawHistory();
    this.enable("add-region", !this.dead);
    this.enable("add-pathway", graph.regions.length > 1 && !this.dead);
    this.enable("map", graph.regions.length <= TOO_MANY);
    setAttributes(this.barButton("map"), { "aria-pressed": this.mode === "map" });
    setAttributes(this.barButton("matrix"), { "aria-pressed": this.mode === "matrix" });
  }

  countWords() {
    const { regions, pathways } = this.graph;
    const untested = pathways.filter((p) => !p.known).length;
    if (!regions.length) return "empty";
    return `${plural(regions.length, "region")}, ${plural(pathways.length - untested, "pathway")}${untested ? `, ${untested} untested` : ""}`;
  }

  drawCanvas() {
    const isMap = this.mode === "map";
    this.frame.root.dataset.mode = this.mode;
    this.world.toggleAttribute("hidden", !isMap);
    this.grid.toggleAttribute("hidden", !isMap);
    this.cells.toggleAttribute("hidden", isMap);
    setAttributes(this.svg, {
      "aria-roledescription": isMap ? "region map" : "region matrix",
      "aria-label": this.countWords(),
    });
    if (isMap) this.cells.replaceChildren();
    if (isMap) this.drawMap();
    else this.drawMatrix();
    this.rove();
  }

  drawn() {
    return this.mode === "map" ? this.world : this.cells;
  }

  begins(key) {
    return key[0] === "r";
  }

  focused(node) {
    if (!super.focused(node)) return;
    if (this.mode === "matrix") this.drawLabels(this.cells.firstChild);
    else if (this.scene.style.merged) this.drawFocus();
  }

  // The map

  drawMap() {
    setAttributes(this.svg, { viewBox: `0 0 ${CANVAS.width} ${CANVAS.height}`, style: null });
    this.placed = this.circles();
    this.placeWorld();
    this.lines = this.routed();
    const { selected } = this;
    this.drawBack();
    this.drawLines(selected);
    this.drawRegions(selected);
    this.drawFront();
    this.drawFocus();
  }

  /** Every pathway with its curve. */
  routed() {
    const { scene, placed } = this;
    const lines = scene.graph.pathways.map((path) => this.lineOf(path));
    const drawn = lines.filter((line) => !line.mirror && line.prominent);
    this.settleBows(drawn, this.obstacles(), scene.style.chips);
    for (const line of lines) {
      const bow = this.bows.get(line.mirror ?? line.key) ?? 0.06;
      line.whole = curve(placed.get(line.from), placed.get(line.to), line.mirror ? -bow : bow);
    }
    return lines;
  }

  lineOf(path) {
    const { scene } = this;
    const key = pathKey(path);
    const other = scene.back(path);
    const back = scene.shown(path) && scene.shown(other) ? other : null;
    const mirror =
      scene.style.merged &&
      back &&
      scene.graph.pathways.indexOf(back) < scene.graph.pathways.indexOf(path)
        ? pathKey(back)
        : null;
    const twin = Boolean(scene.style.chips && back);
    const prominent =
      scene.shown(path) &&
      (scene.style.strongest === undefined ||
        this.strongest(path, scene.style.strongest) ||
        (back && this.strongest(back, scene.style.strongest)));
    return { key, path, from: path.source, to: path.target, back, mirror, twin, prominent };
  }

  strongest(path, number) {
    const { scene } = this;
    const rank = (list) =>
      [...list].sort((p, q) => scene.strength(q) - scene.strength(p)).indexOf(path);
    return rank(scene.outOf(path.source)) < number && number > 0;
  }

  /** The circles, and the docking arrows of inputs and outputs, which lines keep clear of as well. */
  obstacles() {
    const all = new Map(this.placed);
    if (!this.scene.style.chips) return all;
    for (const [name, { x, y, r }] of this.placed) {
      const { input, output } = this.scene.regions.get(name);
      if (input) all.set(`input of ${name}`, { x: x - r - 14, y: y - 4, r: 12 });
      if (output) all.set(`output of ${name}`, { x: x + r + 14, y: y - 4, r: 12 });
    }
    return all;
  }

  drawBack() {
    const { scene, layers } = this;
    const columns = scene.style.groups ? [] : levelColumns(scene.graph.regions);
    const empty = !scene.graph.regions.length;
    layers.back.replaceChildren(
      ...columns.flatMap(({ level, x }) => [
        s("path", { class: "sk-column", d: `M${round(x)} 30V456` }),
        s("text", { x, y: 22, class: "sk-small" }, level),
      ]),
      ...(columns.length
        ? [
            s(
              "text",
              { x: 12, y: 470, class: "sk-small sk-start" },
              "Columns: level in the hierarchy",
            ),
          ]
        : []),
      ...(scene.style.groups ? this.hulls() : []),
      ...(empty ? ghosts() : []),
    );
    this.grid.toggleAttribute("hidden", columns.length > 0);
  }

  /** Groups of regions, and how many pathways run between them. */
  hulls() {
    const groups = groupsByPlace(this.placed).filter((group) => group.length > 1);
    const middles = groups.map((group) => {
      const points = group.map((name) => this.placed.get(name));
      return {
        x: points.reduce((sum, p) => sum + p.x, 0) / points.length,
        y: points.reduce((sum, p) => sum + p.y, 0) / points.length,
      };
    });
    const outlines = groups.map((group) => {
      const around = group.flatMap((name) => {
        const { x, y, r } = this.placed.get(name);
        return Array.from({ length: 8 }, (_, i) => ({
          x: x + (r + 10) * Math.cos((i * Math.PI) / 4),
          y: y + (r + 10) * Math.sin((i * Math.PI) / 4),
        }));
      });
      return s("path", {
        class: "sk-hull",
        d: `M${hull(around)
          .map((p) => `${round(p.x)} ${round(p.y)}`)
          .join("L")}Z`,
      });
    });
    const between = groups.flatMap((a, i) =>
      groups.slice(i + 1).map((b, j) => this.bundle(a, b, middles[i], middles[i + 1 + j])),
    );
    return [...outlines, ...between.flat()];
  }

  bundle(a, b, from, to) {
    const [inA, inB] = [new Set(a), new Set(b)];
    const number = this.scene.graph.pathways.filter(
      (p) => (inA.has(p.source) && inB.has(p.target)) || (inB.has(p.source) && inA.has(p.target)),
    ).length;
    if (!number) return [];
    const whole = curve(from, to, 0.16);
    const free = (p) =>
      Math.min(...[...this.placed.values()].map((circle) => distance(circle, p) - circle.r));
    const middle = [0.5, 0.4, 0.6, 0.3, 0.7]
      .map((t) => pointAt(whole, t))
      .reduce((p, q) => (free(p) < 12 && free(q) > free(p) ? q : p));
    return [
      s("path", {
        class: "sk-bundle",
        d: curveText(whole),
        "stroke-width": round(1 + 0.6 * Math.log2(number)),
      }),
      s(
        "text",
        { class: "sk-small sk-halo sk-bundle-count", x: round(middle.x), y: round(middle.y + 4) },
        number,
      ),
    ];
  }

  width(path) {
    const { style, strength, counted } = this.scene;
    if (style.chips) return path.known ? 1.5 + 4 * path.density : 1.5;
    return counted
      ? 1 + 0.28 * Math.log2(Math.max(1, path.evidence?.[0] ?? 1))
      : 1 + 1.6 * strength(path);
  }

  /** How strongly a merged line is inked: by weight, long ones paler. */
  ink(line) {
    if (this.scene.style.chips) return 1;
    if (!line.prominent) return this.scene.shown(line.path) && !this.scene.style.groups ? 0.08 : 0;
    const length = distance(line.whole.a, line.whole.b);
    const strength = Math.max(
      this.scene.strength(line.path),
      line.back ? this.scene.strength(line.back) : 0,
    );
    return (0.42 + 0.5 * strength) * (length > 300 ? 0.72 : length > 180 ? 0.86 : 1);
  }

  drawLines(selected) {
    const { scene, placed, layers } = this;
    const items = this.lines.map((line) => {
      const half = Boolean(scene.style.merged && line.back);
      line.thick = half
        ? Math.max(this.width(line.path), this.width(line.back))
        : this.width(line.path);
      const bar = scene.regions.get(line.from).sign === -1;
      line.shape = arrow(line.whole, placed.get(line.from).r, placed.get(line.to).r, line.thick, {
        half,
        bar,
      });
      return [line.key, line];
    });
    keyed(layers.lines, items, lineGroup, (g, line, key) =>
      this.updateLine(g, line, selected.includes(key)),
    );
    this.drawChips(selected);
  }

  updateLine(g, line, isSelected) {
    const { path, shape } = line;
    setAttributes(g, {
      "aria-label": pathLabel(path, isSelected),
      style: `--ink:${round(this.ink(line) * 10) / 10}`,
      class: [
        "sk-pathway",
        isSelected && "sk-selected",
        !path.known && "sk-untested",
        !line.prominent && "sk-hair",
      ]
        .filter(Boolean)
        .join(" "),
    });
    fillLine(g, shape, line.thick);
  }

  drawChips(selected) {
    const { layers, scene } = this;
    const chipText = ({ known, density }) => (known ? densityText(density) : "never tested");
    const lines = scene.style.chips ? this.lines : [];
    for (const line of lines) line.width = textWidth(chipText(line.path), 12) + 10;
    placeChips(lines, this.placed);
    const items = lines.map((line) => [`c:${line.key.slice(2)}`, line]);
    keyed(layers.chips, items, chipGroup, (g, line) => {
      setAttributes(g, {
        class: `sk-chip ${selected.includes(line.key) ? "sk-selected" : ""} ${line.path.known ? "" : "sk-untested"}`,
      });
      fillChip(g, line.chip, chipText(line.path), line.width, 18);
    });
  }

  drawRegions(selected) {
    const culprits = this.culprits();
    const { scene, placed, layers } = this;
    const beside = scene.style.beside ? this.namesBeside() : null;
    const named = this.namedRegions();
    keyed(
      layers.circles,
      [...scene.regions].map(([name, region]) => [regionKey(name), region]),
      () => s("g", { role: "button", tabindex: -1 }),
      (g, region) => {
        const isSelected = selected.includes(regionKey(region.name));
        const { x, y } = placed.get(region.name);
        setAttributes(g, {
          transform: `translate(${round(x)} ${round(y)})`,
          "aria-label": regionLabel(scene, region, isSelected),
          class: [
            "sk-region",
            isSelected && "sk-selected",
            culprits.has(region.name) && "sk-culprit",
            named && !named.has(region.name) && "sk-unnamed",
          ]
            .filter(Boolean)
            .join(" "),
        });
        g.replaceChildren(...this.regionParts(region, beside?.get(region.name), culprits));
      },
    );
  }

  namesBeside() {
    const { scene, placed } = this;
    const dock = (name, side) => {
      const { x, y, r } = placed.get(name);
      return curve({ x: x + side * r, y }, { x: x + side * (r + 18), y }, 0);
    };
    const docks = scene.graph.regions
      .flatMap(({ name, input, output }) => [input && dock(name, -1), output && dock(name, 1)])
      .filter(Boolean);
    const lines = this.lines.filter((line) => line.prominent).map((line) => line.whole);
    return placeNames([...scene.regions.keys()], placed, 11, [...lines, ...docks]);
  }

  /** With very many regions only the largest are named at rest; null names them all. */
  namedRegions() {
    if (!this.scene.style.groups) return null;
    const bySize = [...this.scene.graph.regions].sort((p, q) => q.size - p.size);
    return new Set(
      bySize[0]?.size === bySize.at(-1)?.size ? [] : bySize.slice(0, 8).map((r) => r.name),
    );
  }

  culprits() {
    return new Set(
      this.model
        .get("messages")
        .filter((m) => m.kind === "bad" && !m.field)
        .flatMap((m) => m.regions ?? []),
    );
  }

  regionParts(region, beside, culprits) {
    const { r } = this.placed.get(region.name);
    const inner = region.density < 1 && innerRing(r, region.density);
    const angles = this.lineAngles(region.name);
    const above =
      angles.filter((a) => Math.sin(a) > 0.6).length >
      angles.filter((a) => Math.sin(a) < -0.6).length;
    const parts = [
      s("circle", { class: "sk-hit", r: Math.max(r, 12.5) }),
      s("circle", { class: "sk-ring", r: r + 5 }),
      s("circle", { class: "sk-disc", r }),
      inner,
      ...dockingArrows(region, r, this.scene.style.chips),
      ...regionText(region, r, this.scene.style, beside, above),
    ];
    if (culprits.has(region.name)) parts.push(badge(0.7 * r, -0.72 * r));
    return [...parts.filter(Boolean), this.handle(region, r, angles)];
  }

  /** The directions in which lines touch a region. */
  lineAngles(name) {
    const { x, y } = this.placed.get(name);
    const ends = this.lines
      .flatMap((line) => [
        line.from === name && line.shape.leave,
        line.to === name && line.shape.arrive,
      ])
      .filter(Boolean);
    return ends.map((p) => Math.atan2(p.y - y, p.x - x));
  }

  /** The handle sits in the widest gap between the lines; on a region of its own at the right. */
  handle({ name, input, output }, r, angles) {
    const docks = [input && Math.PI, output && 0].filter((angle) => angle !== false);
    const taken = [...angles, ...docks];
    const angle = widestGap(taken.length ? taken : [Math.PI]);
    const small = r < 28;
    const reach = small ? r + 9 : r;
    return knob(`h:${name}`, reach * Math.cos(angle), reach * Math.sin(angle), { small });
  }

  // Focus: one region's own pathways come forward

  focusName() {
    const { kept, hover, active } = this.ui;
    const { scene } = this;
    if (kept && scene.regions.has(kept)) return kept;
    if (!scene.style.merged || this.ui.gesture) return null;
    const [only, ...more] = this.selected;
    if (only) return !more.length && only.startsWith("r:") ? only.slice(2) : null;
    if (hover && scene.regions.has(hover)) return hover;
    return this.svg.contains(document.activeElement) &&
      active?.startsWith("r:") &&
      this.frame.root.matches(".sk-by-keys")
      ? active.slice(2)
      : null;
  }

  /** Classes only, and the few strands of one region: the map itself is not redrawn. */
  drawFocus() {
    const name = this.mode === "map" ? this.focusName() : null;
    const { scene, placed, layers, lines } = this;
    this.frame.root.classList.toggle("sk-faded", Boolean(name));
    const own = name
      ? lines.filter((line) => scene.shown(line.path) && (line.from === name || line.to === name))
      : [];
    const near = new Set(own.flatMap((line) => [line.from, line.to]).concat(name ?? []));
    for (const g of layers.circles.children)
      g.classList.toggle("sk-near", near.has(g.dataset.key.slice(2)));
    const picked = scene.style.merged ? this.selected.filter((key) => scene.paths.has(key)) : [];
    const strand = (line, kind) => {
      const course = line.prominent ? line.whole : this.clearCourse(line);
      const whole = line.back && scene.style.merged ? shifted(course, 2.6) : course;
      const bar = scene.regions.get(line.from).sign === -1;
      const shape = arrow(
        whole,
        placed.get(line.from).r + (kind === "sk-picked" ? 0 : 1),
        placed.get(line.to).r + 1,
        2,
        { bar },
      );
      return s(
        "g",
        { class: `${kind} ${line.path.known ? "" : "sk-untested"}` },
        s("path", { class: "sk-line", d: shape.line, "stroke-width": 2 }),
        s("path", { class: "sk-head", d: shape.head }),
      );
    };
    layers.strands.replaceChildren(
      ...own.map((line) => strand(line, line.to === name ? "sk-into" : "sk-out-of")),
      ...lines.filter((line) => picked.includes(line.key)).map((line) => strand(line, "sk-picked")),
    );
  }

  /** A line that shows only in focus keeps clear of regions, not of other lines. */
  clearCourse({ from, to }) {
    const [a, b] = from < to ? [from, to] : [to, from]; // one course for both directions
    const bow = chooseBows([{ key: "", from: a, to: b }], this.placed, new Map(), false).get("");
    return curve(this.placed.get(from), this.placed.get(to), a === from ? bow : -bow);
  }

  hover(name) {
    clearTimeout(this.hoverTimer);
    if (name === this.ui.hover || this.ui.gesture) return;
    this.hoverTimer = setTimeout(() => {
      this.ui.hover = name;
      if (this.mode !== "map" || !this.scene.style.merged) return;
      this.drawFocus();
      if (!this.frame.panel.contains(document.activeElement)) this.drawPanel();
      this.drawStatus();
    }, 80);
  }

  pointAt(event) {
    const key = event.target.closest("[data-key]")?.dataset.key;
    this.hover(key && "rh".includes(key[0]) ? key.slice(2) : null);
  }

  // The matrix

  /** Cell size and the corner of the first cell. */
  matrixPlan() {
    const names = this.graph.regions.map((r) => r.name);
    const cell = clamp(10, 2 * Math.floor(Math.min(400 / Math.max(1, names.length), 40) / 2), 40);
    const text = cell >= 14 ? 11 : 9;
    const label = clamp(24, Math.max(...names.map((name) => textWidth(name, text + 1))) + 10, 110);
    const side = cell * names.length;
    const width = Math.max(CANVAS.width, side + label + 32);
    const height = Math.max(CANVAS.height, side + label + 30);
    return {
      names,
      cell,
      text,
      label,
      width,
      height,
      left: Math.max(label + 16, (width - side + label) / 2 - 8),
      top: Math.max(label + 24, (height - side + label) / 2 - 4),
    };
  }

  drawMatrix() {
    const plan = (this.plan = this.matrixPlan());
    const big = plan.width > CANVAS.width || plan.height > CANVAS.height; // then the canvas scrolls
    setAttributes(this.svg, {
      viewBox: `0 0 ${plan.width} ${plan.height}`,
      style: big ? `width:${plan.width}px;height:${plan.height}px` : null,
    });
    let [labels, grid] = this.cells.children;
    if (!grid) this.cells.append((labels = s("g", {})), (grid = s("g", {})));
    const { selected } = this;
    this.frame.root.classList.remove("sk-faded");
    const items = plan.names.flatMap((target, row) =>
      plan.names.map((source, column) => [
        `m:${target}<${source}`,
        { target, source, row, column },
      ]),
    );
    keyed(
      grid,
      items,
      () => s("g", { class: "sk-cell", role: "button", tabindex: -1 }),
      (g, item) => this.updateCell(g, item, selected),
    );
    this.drawLabels(labels);
  }

  updateCell(g, { target, source, row, column }, selected) {
    const { cell, left, top } = this.plan;
    const state = cellState(this.scene, target, source);
    const path = this.scene.paths.get(pathKey({ source, target }));
    const key = path ? pathKey(path) : target === source ? regionKey(source) : null;
    const shade = path ? 0.5 + 0.36 * this.scene.strength(path) : state === "inside" ? 0.9 : 0;
    const look = JSON.stringify([state, shade, cell, left, top, row, column]);
    setAttributes(g, {
      class: `sk-cell sk-${state} ${key && selected.includes(key) ? "sk-selected" : ""}`,
      "aria-pressed": state === "inside" ? null : Boolean(path),
      "aria-label":
        state === "inside"
          ? `Inside ${source}, density ${densityText(this.scene.regions.get(source).density)}`
          : path
            ? pathLabel(path, selected.includes(key))
            : `From ${source} to ${target}, ${CELL_WORDS[state]}`,
      transform: `translate(${round(left + column * cell)} ${round(top + row * cell)})`,
    });
    if (g.look === look) return;
    g.look = look;
    g.replaceChildren(
      s("rect", { class: "sk-hit", width: cell, height: cell }),
      ...cellMark(state, cell, shade),
      s("rect", { class: "sk-ring", x: -1, y: -1, width: cell + 2, height: cell + 2, rx: 4 }),
    );
  }

  /** Row and column names, with the band of the cell in focus. */
  drawLabels(layer) {
    const { names, cell, text, left, top } = this.plan;
    const [target, source] = this.cursor() ?? [];
    const side = cell * names.length;
    const band = (x, y, width, height, kind) => s("rect", { x, y, width, height, class: kind });
    const name = (value) => (value.length > 16 ? `${value.slice(0, 15)}…` : value);
    const rows = names.map((value, i) =>
      s(
        "text",
        {
          x: left - 8,
          y: top + (i + 0.5) * cell + text * 0.36,
          class: `sk-end ${value === target ? "sk-into" : ""}`,
          "font-size": text,
        },
        name(value),
      ),
    );
    const columns = names.map((value, i) =>
      s(
        "text",
        {
          transform: `translate(${left + (i + 0.5) * cell + text * 0.36} ${top - 8}) rotate(-90)`,
          class: `sk-start ${value === source ? "sk-out-of" : ""}`,
          "font-size": text,
        },
        name(value),
      ),
    );
    const corner =
      names.length > 0
        ? [
            s("text", { x: left - 8, y: top - 8, class: "sk-small sk-end" }, "to"),
            s(
              "text",
              { x: left, y: Math.max(14, top - this.plan.label - 4), class: "sk-small sk-start" },
              "from",
            ),
          ]
        : [];
    const bands = source
      ? [
          band(left + names.indexOf(source) * cell, top, cell, side, "sk-band-out"),
          band(left, top + names.indexOf(target) * cell, side, cell, "sk-band-in"),
        ]
      : [];
    layer.replaceChildren(...bands, ...rows, ...columns, ...corner);
  }

  /** [target, source] of the cell in focus, else of what is selected, else of the closed cell. */
  cursor() {
    const node = this.ui.active?.startsWith("m:") && this.node(this.ui.active);
    const cell =
      node && this.svg.contains(document.activeElement) ? this.cellOf(this.ui.active) : null;
    if (cell) return cell;
    const [key] = this.selected;
    const path = this.scene.paths.get(key);
    if (path) return [path.target, path.source];
    if (key) return [key.slice(2), key.slice(2)];
    return this.ui.cell?.every((name) => this.scene.regions.has(name)) ? this.ui.cell : null;
  }

  cellOf(key) {
    for (const target of this.scene.regions.keys()) {
      if (!key.startsWith(`m:${target}<`)) continue;
      const source = key.slice(target.length + 3);
      if (this.scene.regions.has(source)) return [target, source];
    }
    return null;
  }

  moveCursor([dx, dy]) {
    const { names } = this.plan;
    const [target, source] = this.cursor() ?? [names[0], names[0]];
    if (!names.length) return;
    const row = clamp(0, names.indexOf(target) + dy, names.length - 1);
    const column = clamp(0, names.indexOf(source) + dx, names.length - 1);
    this.goToCell(names[row], names[column]);
  }

  goToCell(target, source) {
    const path = this.scene.paths.get(pathKey({ source, target }));
    const key = `m:${target}<${source}`;
    this.ui.cell = [target, source];
    this.select(path ? [pathKey(path)] : target === source ? [regionKey(source)] : [], {
      focus: key,
    });
  }

  /** Opens a closed cell, closes an open one; the inside of a region is thinned by its density. */
  toggleCell(target, source) {
    const key = pathKey({ source, target });
    if (target === source) return;
    this.ui.active = `m:${target}<${source}`;
    if (this.scene.paths.has(key)) this.commit(without(this.graph, [key]), []);
    else this.commit(addPathway(this.graph, source, target), [key]);
    this.focusThing(this.ui.active);
  }

  pressCell(key) {
    const [target, source] = this.cellOf(key);
    const path = pathKey({ source, target });
    const open = this.scene.paths.has(path);
    if (target !== source && (!open || this.selected.includes(path)))
      this.toggleCell(target, source);
    else this.goToCell(target, source);
  }

  // The panel

  panelKind() {
    const { selected, scene } = this;
    if (!scene.graph.regions.length) return ["empty"];
    if (selected.length > 1) return ["several", ...selected];
    const [key] = selected;
    if (scene.paths.has(key))
      return ["pathway", scene.graph.pathways.indexOf(scene.paths.get(key))];
    const listed = this.mode === "map" && scene.style.merged && !this.ui.editing;
    if (key)
      return listed
        ? ["table", key.slice(2)]
        : ["region", scene.graph.regions.findIndex((r) => regionKey(r.name) === key)];
    const cell = this.mode === "matrix" && this.cursor();
    if (cell && cell[0] !== cell[1]) return ["cell", ...cell];
    return listed && this.focusName() ? ["table", this.focusName()] : ["whole"];
  }

  drawPanel() {
    const [kind, ...subject] = this.panelKind();
    this.fillPanel([kind, ...subject, this.mode], () => {
      const sections = PANELS[kind](this, ...subject);
      const reading =
        this.mode === "matrix" && kind !== "empty" ? [matrixLegend(this), matrixKeys()] : [];
      return [...sections, ...reading];
    });
  }

  openField(name) {
    this.ui.editing = true;
    this.drawPanel();
    super.openField(name);
  }

  /** Opens a field for what is selected or in focus. */
  edit(name) {
    const key = this.current;
    if (!key) return;
    if (!this.selected.length) this.select([key], { focus: key });
    this.openField(name);
  }

  backToDrawing() {
    const [key] = this.selected;
    this.focusThing(this.mode === "matrix" || !key ? this.ui.active : key);
  }

  /** Whether a refusal is about what the panel shows. */
  concerns({ key }) {
    return this.selected.includes(key);
  }

  // The status strip

  messages() {
    if (this.farewell) return this.farewell;
    const hint = this.gestureHint();
    if (hint) return [{ kind: "plain", detail: "", ...hint }];
    const all = this.standing();
    const warnings = all.filter((m) => m.kind === "warn");
    const first = all.filter((m) => m.kind === "bad" || (m.ways?.length && m.kind !== "warn"));
    const local = this.localHint();
    const others = [...first, ...(local ? [local] : []), ...warnings];
    const shown = others.length ? others : all;
    return shown.map((m, i) =>
      i === 0 && "info good".includes(m.kind)
        ? { ...m, detail: `${m.detail} ${this.nextStep()}`.trim() }
        : m,
    );
  }

  /** The next gesture for who has just begun, or has just selected a region. */
  nextStep() {
    const { regions, pathways } = this.graph;
    const beginning = regions.length > 0 && !pathways.length;
    if (this.mode !== "map" || this.scene.style.merged || !(beginning || this.currentRegion))
      return "";
    return beginning
      ? "Drag the blue handle of a region to another one for a pathway."
      : "Drag the blue handle to add a pathway.";
  }

  gestureHint() {
    const { gesture } = this.ui;
    if (gesture?.kind === "link" && gesture.keys)
      return {
        text: `Pathway ${gesture.from} → ${gesture.target ?? "…"}`,
        detail: "Arrow keys choose, Enter makes it, Esc drops it.",
      };
    if (gesture?.kind === "link" && !gesture.from)
      return { text: "Pathway.", detail: "Click the region it starts from; Esc to drop it." };
    if (gesture?.kind === "link" && gesture.sticky)
      return {
        text: `Pathway from ${gesture.from}.`,
        detail: "Click the region it leads to; Esc to drop it.",
      };
    if (gesture?.kind === "link")
      return { text: "", detail: "Let go on a region to add a pathway; Esc to drop it." };
    if (gesture?.kind === "shift")
      return {
        text: `Moving ${gesture.names.join(", ")}.`,
        detail: "Arrow keys by 8, with Shift by 1; Enter keeps it, Esc puts it back.",
      };
    if (gesture?.kind === "density")
      return {
        text: `${gesture.path.source} → ${gesture.path.target}, density ${densityText(gesture.value)}.`,
        detail: "Let go to keep it, Esc to put it back.",
      };
    return null;
  }

  localHint() {
    const { scene } = this;
    if (this.mode === "matrix") return this.matrixHint();
    const name = this.focusName();
    if (!name && scene.style.merged && scene.graph.note)
      return {
        kind: "plain",
        text: scene.graph.note,
        detail: "Point at a region to see only its own pathways.",
      };
    if (!name) return null;
    const text = `${name}: ${plural(scene.into(name).length, "pathway")} in, ${scene.outOf(name).length} out.`;
    const kept = this.ui.kept === name || this.selected.includes(regionKey(name));
    return {
      kind: "plain",
      text,
      detail: `${kept ? "Esc lets it go." : "Click to keep it in view."} Arrow keys step to the next region.`,
    };
  }

  matrixHint() {
    const cell = this.cursor();
    const regions = this.graph.regions.length;
    if (!cell)
      return regions > TOO_MANY
        ? {
            kind: "plain",
            text: `Too many to draw as a map (${regions});`,
            detail: "the matrix shows them all.",
          }
        : null;
    const [target, source] = cell;
    const path = this.scene.paths.get(pathKey({ source, target }));
    const state = cellState(this.scene, target, source);
    const fact = path?.known
      ? `, density ${densityText(path.density)}.`
      : `: ${CELL_WORDS[state].replace(": closed", "")}, closed.`;
    const text =
      target === source
        ? `Inside ${source}, density ${densityText(this.scene.regions.get(source).density)}.`
        : `${source} → ${target}${fact}`;
    return { kind: "plain", text, detail: "Columns send, rows receive, as in W[target, source]." };
  }
}
