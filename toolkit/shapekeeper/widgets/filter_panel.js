// The panel of the filter shape editor: bands or a target, the kernel, and what it comes to.

const KIND = { pass: "Pass", stop: "Stop" };

/** What the panel is about; while that stays the same, its fields stay. */
function panelSubject({ drawing, index }) {
  const { bands, points } = drawing;
  const nyquist = nyquistOf(drawing);
  const shapes = bands.map(([kind, low, high]) => [kind, low > 0, high < nyquist]);
  const chosen = points.length || bands.length > 2 ? index : -1;
  return [shapes, points.length > 0, chosen, nyquist === 1];
}

function panelSections(view) {
  const { bands, points } = view.drawing;
  const shown = points.length ? [targetSection(view)] : bandSections(view, bands);
  return [...shown, kernelSection(view), resultSection(view)];
}

const typed = (text) => number(text.replace(/^±\s*/, "").replace("−", "-"));

/** A field with a number of the drawing; `read` takes the drawing, `change` gives another one. */
function drawingField(view, { name, label, unit, read, change }) {
  const parts = textField(view, {
    name,
    label,
    unit,
    read: () => read(view.drawing),
    take: (text) => view.commit(change(view.drawing, typed(text))),
  });
  const [input] = parts[0].children;
  view.fresh.push(() =>
    parts[0].classList.toggle("sk-asked", view.model.get("facts").outlined.includes(name)),
  );
  setAttributes(input, { inputmode: "decimal" });
  return parts;
}

// Bands

function bandSections(view, bands) {
  if (bands.length <= 2)
    return [
      ...bands.map((_, i) => bandSection(view, i)),
      h("section", { class: "sk-adding" }, addRow()),
    ];
  const chosen = view.index < 0 ? null : bandSection(view, view.index);
  return [h("section", {}, head("Bands"), bandList(view), addRow()), chosen];
}

const addRow = () =>
  h(
    "div",
    { class: "sk-row" },
    button("add:pass", { label: "Pass band", icon: "plus", title: "New pass band (N)" }),
    button("add:stop", { label: "Stop band", icon: "plus", title: "New stop band (S)" }),
  );

/** All bands, one row each; a row selects its band. */
function bandList(view) {
  const list = h("ul", { class: "sk-list" });
  view.fresh.push(() =>
    refresh(
      list,
      view.drawing.bands.map((band, i) =>
        h(
          "li",
          {},
          h(
            "button",
            {
              type: "button",
              class: "sk-button sk-bare",
              "data-cmd": `band:${i}`,
              "aria-pressed": view.index === i,
            },
            h("span", { class: "sk-grow" }, bandPlace(band, nyquistOf(view.drawing))),
            h("span", { class: "sk-quiet" }, levelWords(band)),
          ),
        ),
      ),
    ),
  );
  return list;
}

function bandPlace([kind, low, high], nyquist) {
  const text = (f) => frequencyText(f, nyquist);
  if (low === 0) return `${KIND[kind]} up to ${text(high)}`;
  if (high === nyquist) return `${KIND[kind]} from ${text(low)}`;
  return `${KIND[kind]} ${text(low)} to ${text(high)}`;
}

const levelWords = ([kind, , , decibels]) =>
  kind === "pass" ? `± ${rippleText(decibels)} dB` : `${attenuationText(decibels)} dB`;

function bandSection(view, index) {
  const [kind, low, high] = view.drawing.bands[index];
  const nyquist = nyquistOf(view.drawing);
  const unit = nyquist === 1 ? "Nyquist" : "Hz";
  const edge = (end, label, short) =>
    drawingField(view, {
      name: `${end}-${index}`,
      label: `${KIND[kind]} ${label}, in ${unit}`,
      unit: short ? "" : unit,
      read: (drawing) => {
        const [, from, to] = drawing.bands[index] ?? [0, 0, 0];
        return frequencyText(end === "low" ? from : to, nyquistOf(drawing));
      },
      change: (drawing, value) => withEdge(drawing, index, end, value),
    });
  const place = () => {
    if (low === 0 && high < nyquist) return row("up to", ...edge("high", "up to"));
    if (high === nyquist && low > 0) return row("from", ...edge("low", "from"));
    const [first, last] = [edge("low", "from", true), edge("high", "to", true)];
    return row(`from, to`, h("div", { class: "sk-pair" }, first[0], last[0]), first[1], last[1]);
  };
  const isPass = kind === "pass";
  const level = drawingField(view, {
    name: `decibels-${index}`,
    label: isPass ? "Ripple, in dB up or down" : "Attenuation, in dB",
    unit: "dB",
    read: (drawing) => {
      const decibels = drawing.bands[index]?.[3] ?? 0;
      return isPass ? `± ${rippleText(decibels)}` : attenuationText(decibels);
    },
    change: (drawing, value) => withLevel(drawing, index, value),
  });
  const remove = button(`remove:${index}`, {
    icon: "trash",
    title: `Remove this ${kind} band (Delete)`,
    kind: "sk-bare",
  });
  view.fresh.push(() =>
    setAttributes(remove, {
      "aria-disabled": view.drawing.bands.length > 1 && !view.dead ? null : "true",
    }),
  );
  return h(
    "section",
    { "data-band": index },
    head(KIND[kind], remove),
    place(),
    row(isPass ? "ripple" : "attenuation", ...level),
  );
}

// A target

function targetSection(view) {
  const tolerance = drawingField(view, {
    name: "tolerance",
    label: "Tolerance, in gain up or down",
    unit: "gain",
    read: ({ points }) => `± ${gainText(points[0]?.[2] ?? 0)}`,
    change: (drawing, value) => ({
      ...drawing,
      points: drawing.points.map(([frequency, gain]) => [frequency, gain, value]),
    }),
  });
  const count = h("span", { class: "sk-label" });
  view.fresh.push(() => (count.textContent = String(view.drawing.points.length)));
  return h(
    "section",
    {},
    head("Target", button("add:point", { label: "Point", icon: "plus", title: "New point (N)" })),
    row("tolerance", ...tolerance),
    row("points", count),
    ...(view.index < 0 ? [] : pointFields(view, view.index)),
    h(
      "p",
      { class: "sk-caption" },
      "Drag across the plot to draw. A point can be moved by itself.",
    ),
  );
}

function pointFields(view, index) {
  const unit = nyquistOf(view.drawing) === 1 ? "Nyquist" : "Hz";
  const change = (place) => (drawing, value) => ({
    ...drawing,
    points: drawing.points.map((point, i) =>
      i === index ? point.map((old, j) => (j === place ? value : old)) : point,
    ),
  });
  const frequency = drawingField(view, {
    name: `frequency-${index}`,
    label: `Frequency of the point, in ${unit}`,
    unit,
    read: (drawing) => frequencyText(drawing.points[index]?.[0] ?? 0, nyquistOf(drawing)),
    change: change(0),
  });
  const gain = drawingField(view, {
    name: `gain-${index}`,
    label: "Gain of the point",
    unit: "gain",
    read: (drawing) => gainText(drawing.points[index]?.[1] ?? 0),
    change: change(1),
  });
  const remove = button("delete", { icon: "trash", title: "Remove (Delete)", kind: "sk-bare" });
  return [head(`Point ${index + 1}`, remove), row("at", ...frequency), row("gain", ...gain)];
}

// Kernel and result

const GAINS = [
  ["free", "free", "Levels are relative to the kernel's own gain"],
  ["unit", "unit", "Levels are relative to a gain of 1"],
];

function kernelSection(view) {
  const taps = drawingField(view, {
    name: "taps",
    label: "Length of the kernel, in taps",
    read: (drawing) => String(drawing.taps),
    change: (drawing, value) => ({ ...drawing, taps: value }),
  });
  const rate = drawingField(view, {
    name: "rate",
    label: "Sampling rate, in Hz; empty for units of Nyquist",
    unit: "Hz",
    read: ({ sampling_rate: hertz }) => (hertz === null ? "" : digits(hertz, 0, 2)),
    change: (drawing, value) => {
      if (value === "") return withRate(drawing, null);
      return value > 0 ? withRate(drawing, value) : { ...drawing, sampling_rate: value };
    },
  });
  setAttributes(rate[0].firstChild, { placeholder: "not set" });
  const step = (cmd, icon, title) => button(cmd, { icon, title });
  const gain = choiceSwitch(view, {
    name: "reference",
    label: "Gain",
    choices: GAINS,
    read: () => view.drawing.gain,
    take: (value) => view.commit({ ...view.drawing, gain: value }),
  });
  return h(
    "section",
    {},
    head("Kernel"),
    row(
      "length",
      h(
        "div",
        { class: "sk-stepper" },
        step("shorter", "minus", "2 taps fewer (Page Down)"),
        taps[0],
        step("longer", "plus", "2 taps more (Page Up)"),
      ),
      taps[1],
    ),
    row("gain", gain),
    row("sampling rate", ...rate),
  );
}

function resultSection(view) {
  const section = h("section", { class: "sk-result" });
  view.fresh.push(() => {
    const { title, rows } = view.model.get("facts").result;
    refresh(section, [
      h("h4", {}, title),
      h(
        "dl",
        {},
        rows.flatMap(([label, value, missed]) => [
          h("dt", {}, label),
          h("dd", { class: missed ? "sk-missed" : null }, value),
        ]),
      ),
    ]);
  });
  return section;
}

// The forms of the bar, and the list of keys

const FORMS = [
  ["lowpass", "Low-pass", "Low frequencies pass"],
  ["highpass", "High", "High frequencies pass"],
  ["bandpass", "Band", "Frequencies in between pass"],
  ["bandstop", "Notch", "Frequencies in between are stopped"],
  ["target", "Free hand", "Draw the wanted gain"],
];

const FILTER_HELP = [
  [
    "With the keyboard, in the drawing",
    [
      ["Arrows", "Move the handle: an edge by 0.01, a level by 1 dB, a ripple by 0.1 dB"],
      ["Ctrl arrows, Shift arrows", "The same ten times as far; a tenth as far"],
      ["] [", "Next, previous handle"],
      ["Home, End", "First, last handle"],
      ["B", "Next band"],
      ["Enter", "Edit in the panel"],
      ["N, S", "New pass band, new stop band; free hand: N for a point"],
      ["Delete", "Remove the band or the point"],
      ["Page Up, Page Down", "2 taps more, 2 fewer"],
      ["A", "Read the facts aloud"],
      ["Esc", "One step back, and out of the drawing"],
      ["Ctrl Z, Ctrl Shift Z", "Undo, redo"],
    ],
  ],
  [
    "With the pointer",
    [
      ["Drag a handle", "− an edge, | a level, + both; Ctrl for tenths"],
      ["Click a band", "Select it; its ends can then be dragged too"],
      ["Double-click free ground", "New band: near the top it passes, below it stops"],
      ["Drag across (free hand)", "Draw the target"],
      ["Double-click (free hand)", "New point"],
    ],
  ],
  [
    "Reading the plot",
    [
      ["Hatched ground", "Forbidden: the curve keeps out of it"],
      ["Solid line", "The allowed kernel"],
      ["Dashed line", "The kernel that is in the layer now"],
      ["Thick red line", "Where no kernel can keep out"],
    ],
  ],
];
