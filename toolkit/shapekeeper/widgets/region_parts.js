// What the region graph editor is made of: parts of the map and the matrix, the mask, the panel.

// Parts of the map

function ghosts() {
  const words = (x, y, title, more) => [
    s("text", { x, y, class: "sk-name" }, title),
    s("text", { x, y: y + 17, class: "sk-small" }, more),
  ];
  const line = arrow(curve({ x: 250, y: 216 }, { x: 388, y: 216 }, 0), 12, 38, 1.5);
  return [
    ...[200, 388].map((cx) => s("circle", { class: "sk-ghost-region", cx, cy: 216, r: 38 })),
    ...ghostArrow(line),
    knob(null, 245, 216, { shown: true }),
    ...words(200, 154, "1 Double-click", "makes a region"),
    ...words(388, 154, "3 Mark the ends", "one input, one output"),
    ...words(294, 282, "2 Drag its blue handle", "to another region makes a pathway"),
  ];
}

function innerRing(r, density) {
  const ring = 2 * Math.PI * (r - 5);
  return s("circle", {
    class: "sk-inner",
    r: r - 5,
    "stroke-dasharray": `${round(ring * density)} ${round(ring)}`,
    transform: "rotate(-90)",
  });
}

function dockingArrows({ input, output }, r, worded) {
  const reach = worded ? 24 : 13;
  const dock = (from, to, word) => {
    const head = headText({ x: to, y: 0 }, { x: from, y: 0 }, 8);
    return s(
      "g",
      { class: "sk-dock" },
      s("path", { d: `M${from} 0H${to - 5}`, class: "sk-dock-line" }),
      s("path", { d: head, class: "sk-dock-head" }),
      worded &&
        s(
          "text",
          {
            x: from < 0 ? to - 2 : from + 2,
            y: -8,
            class: `sk-small ${from < 0 ? "sk-end" : "sk-start"}`,
          },
          word,
        ),
    );
  };
  return [
    input && dock(-r - 3 - reach, -r - 3, "input"),
    output && dock(r + 3, r + 3 + reach, "output"),
  ];
}

function regionText({ name, size }, r, style, beside, above) {
  const shown = [...name].length > 22 ? `${[...name].slice(0, 21).join("")}…` : name;
  if (beside)
    return [
      s(
        "text",
        {
          class: "sk-name sk-halo sk-beside",
          x: beside.dx,
          y: beside.dy,
          "text-anchor": beside.anchor,
          "font-size": 11,
        },
        shown,
      ),
    ];
  const font = style.chips ? 13 : 12;
  const inside = textWidth(shown, font, true) < 2 * r - (style.chips ? 6 : 2);
  const units =
    style.chips && s("text", { class: "sk-units", y: inside ? 15 : 4 }, plural(size, "unit"));
  const label = s(
    "text",
    {
      class: inside ? "sk-name" : "sk-name sk-halo",
      y: inside ? (style.chips ? 0 : 4) : above ? -r - 6 : r + font + 3,
      "font-size": font,
    },
    shown,
  );
  return [units, label];
}

// Parts of the matrix

function cellMark(state, cell, shade) {
  const gap = cell >= 20 ? 2 : 1;
  const box = (inset, attributes) =>
    s("rect", {
      x: inset,
      y: inset,
      width: cell - 2 * inset,
      height: cell - 2 * inset,
      rx: 2,
      ...attributes,
    });
  if (state === "found")
    return [box(gap, { class: "sk-fill", "fill-opacity": round(shade * 100) / 100 })];
  if (state === "inside") return [box(gap, { class: "sk-fill", "fill-opacity": 0.92 })];
  if (state === "untested" || state === "unsettled")
    return [box(Math.max(gap + 1, cell * 0.16), { class: "sk-open-box" })];
  if (state === "absent")
    return [
      s("circle", { class: "sk-fill", cx: cell / 2, cy: cell / 2, r: cell > 16 ? 1.8 : 1.2 }),
    ];
  return [box(gap + 1, { class: "sk-blank" })];
}

function legendRow(state, shade, words) {
  return h(
    "li",
    {},
    s(
      "svg",
      { width: 24, height: 24, viewBox: "0 0 24 24", "aria-hidden": "true" },
      s("g", { class: `sk-cell sk-${state}` }, cellMark(state, 24, shade)),
    ),
    words,
  );
}

function matrixLegend({ scene }) {
  const [counted, absent] = [scene.counted, scene.absent.size > 0];
  const untested = scene.graph.pathways.some((p) => !p.known);
  return h(
    "section",
    {},
    h("h4", {}, "Reading the matrix"),
    h(
      "ul",
      { class: "sk-legend" },
      legendRow(
        "found",
        0.6,
        counted ? "pathway; stronger: more entries" : "pathway; stronger: denser",
      ),
      legendRow("inside", 0.9, "inside a region"),
      absent && legendRow("absent", 0, "tested, none found: closed"),
      absent && legendRow("unsettled", 0, "not settled: closed"),
      untested && !absent && legendRow("untested", 0, "never tested: closed"),
    ),
  );
}

const matrixKeys = () =>
  keyList([
    ["next cell", ["←", "↑", "→", "↓"]],
    ["open or close", ["Space"]],
    ["density", ["−", "+"]],
  ]);
// The mask, as small as it is

/** A picture of W[target, source]: blocks by size, shaded by density, the selection outlined. */
function maskPicture({ scene, graph, selected, model }, side, names = false) {
  const { open, total } = model.get("facts");
  const label = names
    ? clamp(20, Math.max(...graph.regions.map((r) => textWidth(r.name, 11))) + 8, 90)
    : 0;
  const sizes = graph.regions.map((r) => r.size);
  const sum = sizes.reduce((a, b) => a + b, 0);
  const box = side - label;
  const starts = new Map(
    graph.regions.map((r, i) => [
      r.name,
      {
        at: (sizes.slice(0, i).reduce((a, b) => a + b, 0) / sum) * box,
        long: (sizes[i] / sum) * box,
      },
    ]),
  );
  const marked = new Set(selected.flatMap((k) => (scene.paths.has(k) ? [] : [k.slice(2)])));
  const block = (target, source, kind, shade) => {
    const [row, column] = [starts.get(target), starts.get(source)];
    const accent =
      marked.has(target) || marked.has(source) || selected.includes(pathKey({ source, target }));
    const inset = kind === "sk-open-box" ? 1 : Math.min(0.5, row.long / 8, column.long / 8);
    return s("rect", {
      class: `${kind} ${accent ? "sk-own" : ""}`,
      x: round(column.at + inset),
      y: round(row.at + inset),
      width: Math.max(0.5, round(column.long - 2 * inset)),
      height: Math.max(0.5, round(row.long - 2 * inset)),
      "fill-opacity": shade,
    });
  };
  const blocks = [
    ...graph.regions.map((r) =>
      block(r.name, r.name, "sk-fill", round((0.3 + 0.6 * r.density) * 10) / 10),
    ),
    ...graph.pathways
      .filter((p) => p.known || !scene.absent.size)
      .map((p) =>
        block(
          p.target,
          p.source,
          p.known ? "sk-fill" : "sk-open-box",
          p.known ? round((0.25 + 0.5 * scene.strength(p)) * 20) / 20 : null,
        ),
      ),
  ];
  const outlines = [...marked]
    .filter((name) => starts.has(name))
    .flatMap((name) => {
      const { at, long } = starts.get(name);
      return [
        s("rect", { class: "sk-outline", x: round(at), y: 0, width: round(long), height: box }),
        s("rect", { class: "sk-outline", x: 0, y: round(at), width: box, height: round(long) }),
      ];
    });
  const texts = names
    ? [...starts]
        .filter(([, { long }]) => long >= 9)
        .flatMap(([name, { at, long }]) => [
          s("text", { x: -5, y: round(at + long / 2 + 4), class: "sk-small sk-end" }, name),
          s(
            "text",
            {
              transform: `translate(${round(at + long / 2 + 4)} -5) rotate(-90)`,
              class: "sk-small sk-start",
            },
            name,
          ),
        ])
    : [];
  return s(
    "svg",
    {
      class: "sk-mask",
      width: side,
      height: side,
      viewBox: `${-label} ${-label} ${side} ${side}`,
      role: "img",
      "aria-label": `Mask: ${count(open)} of ${count(total)} weights open`,
    },
    s("rect", { class: "sk-ground", width: box, height: box }),
    blocks,
    outlines,
    texts,
  );
}

function openWords({ open, total }) {
  return [
    h("p", { class: "sk-number" }, count(open)),
    h(
      "p",
      { class: "sk-caption" },
      `of ${count(total)} weights open (${total ? Math.round((100 * open) / total) : 0} %)`,
    ),
  ];
}

function maskSection(view) {
  const section = h("section", { class: "sk-side" });
  view.fresh.push(() =>
    refresh(section, [
      maskPicture(view, 104),
      h(
        "div",
        {},
        h("strong", {}, "Mask"),
        h("p", { class: "sk-caption" }, "row: to · column: from"),
        ...openWords(view.model.get("facts")),
      ),
    ]),
  );
  return section;
}

const SIGNS = [
  [null, "free", "either sign"],
  [1, "+", "only positive weights leave it"],
  [-1, "−", "only negative weights leave it"],
];
const signSwitch = (view, read) =>
  choiceSwitch(view, {
    name: "sign",
    label: "Sign",
    choices: SIGNS,
    read,
    take: (sign) => view.changeRegion({ sign }),
  });

// The panel, by what is selected

const PANELS = {
  empty: emptyPanel,
  whole: wholePanel,
  region: regionPanel,
  table: tablePanel,
  pathway: pathwayPanel,
  several: severalPanel,
  cell: cellPanel,
};

function emptyPanel(view) {
  return [
    h(
      "section",
      {},
      h("h4", {}, "Start here"),
      h(
        "p",
        { class: "sk-text" },
        "A region is a group of units, all joined to each other. Units in two regions are joined only through a pathway.",
      ),
      button("add-region", {
        label: "First region",
        icon: "plus",
        title: "Make the first region",
        kind: "sk-primary",
      }),
    ),
    h("section", {}, h("h4", {}, "Or open an example"), exampleList(view)),
    keyList(
      [
        ["new region", ["N"]],
        ["pathway from here", ["P"]],
        ["all keys", ["?"]],
      ],
      "Keys, once the drawing has focus",
    ),
  ];
}

function factRows({ graph, scene }) {
  const pairs = graph.pathways.filter((p) => p.known && scene.back(p)?.known).length / 2;
  const n = graph.regions.length;
  const open =
    n * (n - 1) - graph.pathways.filter((p) => p.known).length - graph.tested_absent.length;
  const untested = graph.pathways.filter((p) => !p.known).length;
  const rows = [
    ["Units", count(graph.regions.reduce((sum, r) => sum + r.size, 0))],
    ["Two-way pairs", pairs],
  ];
  if (graph.tested_absent.length)
    rows.push(["Tested, none found", graph.tested_absent.length], ["Not settled", open]);
  else if (untested) rows.push(["Never tested", untested]);
  return rows.map(([label, value]) =>
    h(
      "div",
      { class: "sk-row" },
      h("span", { class: "sk-text" }, label),
      h("span", { class: "sk-room" }),
      String(value),
    ),
  );
}

function wholePanel(view) {
  const facts = h("div", { class: "sk-facts" });
  const mask = h("section", {});
  const note = h("section", {});
  view.fresh.push(() => {
    refresh(facts, factRows(view));
    const { open, total } = view.model.get("facts");
    refresh(mask, [
      h(
        "div",
        { class: "sk-row" },
        h("h4", {}, "Mask"),
        h("span", { class: "sk-room" }),
        h("span", { class: "sk-caption" }, "row: to · column: from"),
      ),
      maskPicture(view, 240, view.graph.regions.length <= 16),
      h(
        "p",
        { class: "sk-caption" },
        `${count(open)} of ${count(total)} weights open (${total ? Math.round((100 * open) / total) : 0} %)`,
      ),
    ]);
    const { merged } = view.scene.style;
    const reading =
      merged && view.mode === "map"
        ? `Two heads: a pair of pathways. Thicker: ${view.scene.counted ? "more database entries confirm it" : "denser"}.`
        : "";
    refresh(
      note,
      [reading, view.graph.note]
        .filter(Boolean)
        .map((text) => h("p", { class: "sk-caption" }, text)),
    );
    note.hidden = !note.firstChild;
  });
  const list = exampleList(view);
  list.hidden = true;
  const examples = h(
    "button",
    {
      type: "button",
      class: "sk-button",
      "data-cmd": "examples",
      "aria-expanded": "false",
      title: "Open an example",
    },
    h("span", {}, "Examples"),
  );
  const top = h("section", {}, head("Whole graph", examples), list, facts);
  return view.mode === "matrix" ? [top] : [top, mask, note];
}

function regionPanel(view, index) {
  const region = () => view.graph.regions[index] ?? view.graph.regions.at(-1);
  const features = h("p", { class: "sk-caption" });
  view.fresh.push(() => {
    features.hidden = typeof region().input !== "number";
    features.textContent = features.hidden
      ? ""
      : `sees the next ${plural(region().input, "feature")}`;
  });
  const take = (key, read) => (text) => view.changeRegion({ [key]: read(text) });
  const plain = (text) => text;
  const size = textField(view, {
    name: "size",
    label: "Size, in units",
    unit: "units",
    read: () => String(region().size),
    take: take("size", number),
  });
  const inside = textField(view, {
    name: "inside",
    label: "Density inside",
    unit: "inside",
    read: () => densityText(region().density),
    take: take("density", number),
  });
  return [
    h(
      "section",
      {},
      head("Region", removeButton()),
      row(
        "Name",
        ...textField(view, {
          name: "name",
          label: "Name",
          read: () => region().name,
          take: take("name", plain),
        }),
      ),
      row("Size", h("div", { class: "sk-pair" }, size[0], inside[0]), size[1], inside[1]),
      row(
        "Ends",
        h(
          "div",
          { class: "sk-pair" },
          checkBox(view, {
            name: "input",
            label: "input",
            read: () => Boolean(region().input),
            take: (on) => view.changeRegion({ input: on }),
          }),
          checkBox(view, {
            name: "output",
            label: "output",
            read: () => region().output,
            take: (on) => view.changeRegion({ output: on }),
          }),
        ),
        features,
      ),
      row(
        "Sign",
        signSwitch(view, () => region().sign),
      ),
    ),
    pathwayList(view, () => region().name),
    maskSection(view),
  ];
}

/** The pathways of a region; a row selects its pathway. */
function pathwayList(view, name) {
  const section = h("section", {});
  const entry = (other) => {
    const [into, out] = [
      view.scene.paths.get(pathKey({ source: other, target: name() })),
      view.scene.paths.get(pathKey({ source: name(), target: other })),
    ];
    const words = (path) => (path.known ? densityText(path.density) : "never tested");
    const arrowSign = into && out ? "⇄" : into ? "←" : "→";
    const label = into && out ? `${words(into)} · ${words(out)}` : words(into ?? out);
    const title = into && out ? `from ${other} ${words(into)}, to ${other} ${words(out)}` : "";
    return h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "sk-button sk-bare",
          title,
          "data-cmd": `select:${pathKey(out ?? into)}`,
        },
        h("span", { class: "sk-arrow" }, arrowSign),
        h("span", { class: "sk-grow" }, other),
        h("span", { class: "sk-quiet" }, label),
      ),
    );
  };
  view.fresh.push(() => {
    const others = view.graph.regions
      .map((r) => r.name)
      .filter(
        (other) =>
          view.scene.paths.has(pathKey({ source: other, target: name() })) ||
          view.scene.paths.has(pathKey({ source: name(), target: other })),
      );
    refresh(section, [
      head("Pathways", h("span", { class: "sk-caption" }, others.length ? "density" : "none yet")),
      others.length > 0 && h("ul", { class: "sk-list" }, others.map(entry)),
    ]);
  });
  return section;
}

/** Who feeds a region of a large graph and whom it feeds, as numbers. */
function tablePanel(view, name) {
  const section = h("section", {});
  const value = (path) =>
    !path
      ? ""
      : view.scene.counted
        ? String(path.evidence?.[0] ?? 0)
        : path.known
          ? densityText(path.density)
          : "?";
  const cell = (path, kind) =>
    h(
      "td",
      { class: kind },
      path &&
        h(
          "button",
          {
            type: "button",
            class: "sk-button sk-bare",
            "data-cmd": `select:${pathKey(path)}`,
            "aria-label": pathLabel(path),
          },
          value(path),
        ),
    );
  view.fresh.push(() => {
    const { scene } = view;
    const region = scene.regions.get(name);
    if (!region) return;
    const [into, out] = [scene.into(name), scene.outOf(name)];
    const others = view.graph.regions
      .map((r) => r.name)
      .filter(
        (other) => into.some((p) => p.source === other) || out.some((p) => p.target === other),
      );
    const level = region.level === null ? "" : `level ${region.level} · `;
    const rows = others.map((other) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, other),
        cell(
          into.find((p) => p.source === other),
          "sk-into",
        ),
        cell(
          out.find((p) => p.target === other),
          "sk-out-of",
        ),
      ),
    );
    refresh(section, [
      h(
        "div",
        { class: "sk-row" },
        h("h4", {}, name),
        h("span", { class: "sk-caption" }, `${level}${plural(region.size, "unit")}`),
        h("span", { class: "sk-room" }),
        button("edit", { label: "Edit", title: "Edit this region (Enter)" }),
      ),
      h(
        "table",
        { class: "sk-table" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { class: "sk-caption", scope: "col" }, "region"),
            h("th", { class: "sk-into", scope: "col" }, `${into.length} in`),
            h("th", { class: "sk-out-of", scope: "col" }, `${out.length} out`),
          ),
        ),
        h("tbody", {}, rows),
      ),
      h(
        "p",
        { class: "sk-caption" },
        scene.counted ? "Numbers: database entries that confirm it." : "Numbers: density.",
      ),
    ]);
  });
  return [section, maskSection(view)];
}

function pathwayPanel(view, index) {
  const path = () => view.graph.pathways[index] ?? view.graph.pathways.at(-1);
  const ends = h("div", {});
  const evidence = h("p", { class: "sk-caption" });
  const back = h("div", {});
  view.fresh.push(() => {
    const end = (label, name, kind) =>
      row(
        label,
        h(
          "button",
          {
            type: "button",
            class: `sk-button sk-bare sk-end-name ${kind}`,
            "data-cmd": `select:${regionKey(name)}`,
            title: `Select ${name}`,
          },
          name,
        ),
      );
    refresh(ends, [end("From", path().source, "sk-out-of"), end("To", path().target, "sk-into")]);
    evidence.hidden = !path().evidence;
    evidence.textContent = path().evidence
      ? `${plural(path().evidence[0], "entry").replace("entrys", "entries")} confirm it, ${path().evidence[1]} deny it`
      : "";
    const other = view.scene.back(path());
    refresh(back, [
      other &&
        row(
          "Back",
          h(
            "button",
            {
              type: "button",
              class: "sk-button sk-bare sk-end-name",
              "data-cmd": `select:${pathKey(other)}`,
              title: `Select ${other.source} → ${other.target}`,
            },
            `${other.source} → ${other.target}`,
          ),
        ),
    ]);
  });
  return [
    h(
      "section",
      {},
      head(
        "Pathway",
        button("reverse", { icon: "reverse", title: "Turn it round (R)", kind: "sk-bare" }),
        removeButton(),
      ),
      ends,
      row(
        "Density",
        ...textField(view, {
          name: "density",
          label: "Density",
          read: () => densityText(path().density),
          take: (text) => view.changePath({ density: number(text) }),
        }),
      ),
      row(
        "Known",
        checkBox(view, {
          name: "known",
          label: "tested and found",
          read: () => path().known,
          take: (on) => view.changePath({ known: on }),
        }),
        evidence,
      ),
      back,
    ),
    view.mode === "map" && maskSection(view),
  ];
}

function severalPanel(view) {
  const chosen = () =>
    view.selected.filter((k) => k.startsWith("r:")).map((k) => view.scene.regions.get(k.slice(2)));
  const common = (read) => (new Set(chosen().map(read)).size === 1 ? read(chosen()[0]) : undefined);
  const fields = () => [
    row(
      "Size",
      ...textField(view, {
        name: "size",
        label: "Size of each, in units",
        unit: "units",
        read: () => String(common((r) => r.size) ?? ""),
        take: (text) => text !== "" && view.changeRegion({ size: number(text) }),
      }),
    ),
    row(
      "Sign",
      signSwitch(view, () => common((r) => r.sign)),
    ),
  ];
  const title =
    chosen().length === view.selected.length
      ? plural(chosen().length, "region")
      : `${view.selected.length} things`;
  return [
    h("section", {}, head(title, removeButton()), chosen().length ? fields() : null),
    view.mode === "map" && maskSection(view),
  ];
}

function cellPanel(view, target, source) {
  const state = cellState(view.scene, target, source);
  return [
    h(
      "section",
      {},
      head("Closed"),
      row("From", h("b", { class: "sk-out-of" }, source)),
      row("To", h("b", { class: "sk-into" }, target)),
      h(
        "p",
        { class: "sk-text" },
        `${CELL_WORDS[state].replace(": closed", "")[0].toUpperCase()}${CELL_WORDS[state].replace(": closed", "").slice(1)}.`,
      ),
      button("open", { label: "Add this pathway", icon: "plus", title: "Open this cell (Space)" }),
    ),
  ];
}
