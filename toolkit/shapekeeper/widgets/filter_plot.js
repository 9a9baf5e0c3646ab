// Geometry of the filter plot: numbers in, numbers out. Nothing here knows the page.

const SIZE = { width: 588, height: 480 };
const PLOT = { left: 44, right: 572, top: 16, bottom: 276 };
const STEMS = { top: 362, bottom: 444 };
const GAP = 0.01; // of Nyquist: bands keep that far apart, and are that wide
const ENDS = { attenuation: [1, 150], ripple: [0.01, 12], gain: [0, 4] };

const clamp = (low, value, high) => Math.max(low, Math.min(high, value));
const within = (value, [low, high]) => clamp(low, value, high);
const round = (value, digits = 1) => Number(value.toFixed(digits));
const toDecibels = (level) => 20 * Math.log10(Math.max(level, 1e-9));
const toLevel = (decibels) => 10 ** (decibels / 20);

// Numbers as they are written

const nyquistOf = ({ sampling_rate: rate }) => (rate === null ? 1 : rate / 2);
const minus = (text) => text.replace("-", "−");

/** A number with as many digits as it needs, and at least so many behind the point. */
function digits(value, least, most) {
  const short = value.toFixed(most).replace(/0+$/, "");
  const behind = short.length - short.indexOf(".") - 1;
  return minus(value.toFixed(clamp(least, behind, most)));
}

const frequencyText = (value, nyquist) =>
  nyquist === 1 ? digits(value, 2, 4) : digits(value, 0, value < 1000 ? 2 : 1);
const rippleText = (value) => digits(value, 1, 3);
const attenuationText = (value) => digits(value, 0, 2);
const gainText = (value) => digits(value, 2, 3);

// Axes

/**
 * Where frequencies and levels stand. A target is drawn in plain gains, everything else in dB.
 * @param drawing what is drawn
 * @param [steady] axes from before a gesture, which must not move under the hand
 */
function axesOf(drawing, steady) {
  const nyquist = nyquistOf(drawing);
  const linear = drawing.points.length > 0;
  const [bottom, top] = steady?.linear === linear ? steady.range : rangeOf(drawing, linear);
  const { left, right } = PLOT;
  const height = (level) =>
    PLOT.bottom - ((PLOT.bottom - PLOT.top) * (level - bottom)) / (top - bottom);
  return {
    nyquist,
    linear,
    range: [bottom, top],
    x: (frequency) => left + ((right - left) * frequency) / nyquist,
    y: (level) => height(clamp(bottom, level, top)),
    height, // also of what lies beyond the plot
    frequency: (x) => clamp(0, (x - left) / (right - left), 1) * nyquist,
    level: (y) => bottom + ((PLOT.bottom - y) / (PLOT.bottom - PLOT.top)) * (top - bottom),
    /** A level in dB as it stands on this axis. */
    of: (decibels) => (linear ? toLevel(decibels) : decibels),
  };
}

function rangeOf({ bands, points }, linear) {
  const ripples = bands.filter(([kind]) => kind === "pass").map(([, , , decibels]) => decibels);
  if (linear) {
    const tallest = Math.max(1, ...points.map(([, gain, tolerance]) => gain + tolerance));
    return [0, Math.ceil(tallest * 1.15 * 5) / 5];
  }
  const stops = bands.filter(([kind]) => kind === "stop").map(([, , , decibels]) => decibels);
  const deepest = Math.max(60, ...stops);
  return [
    -Math.ceil((deepest + 12) / 12) * 12,
    Math.max(6, Math.ceil(Math.max(0, ...ripples) + 4)),
  ];
}

/** Round numbers across an axis, about so many. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((f) => f * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => round((first + i) * step, 9));
}

/** Whether a drawing can be drawn at all. What is wrong with it is for Python to say. */
function isWellFormed({ bands, points, taps, sampling_rate: rate }) {
  const numbers = [...bands.flatMap(([, ...rest]) => rest), ...points.flat(), taps, rate ?? 1];
  if (!numbers.every(Number.isFinite) || !(rate === null || rate > 0)) return false;
  const nyquist = rate === null ? 1 : rate / 2;
  const edges = bands.flatMap(([, low, high]) => [low, high]);
  const places = points.map(([frequency]) => frequency);
  const rising = (list) => list.every((v, i) => v >= (i ? list[i - 1] : 0) && v <= nyquist);
  const wide = bands.every(([, low, high, decibels]) => low < high && decibels > 0);
  return (
    rising(edges) && rising(places) && wide && points.every(([, , tolerance]) => tolerance > 0)
  );
}

// Ground

/** The forbidden blocks of a band: [{ x, y, width, height }], the one above and the one below. */
function blocksOf(band, axes) {
  const [kind, low, high, decibels] = band;
  const [x, right] = [axes.x(low), axes.x(high)];
  const block = (from, to) => ({ x, width: right - x, y: from, height: Math.max(0, to - from) });
  if (kind === "stop") return [block(PLOT.top, axes.y(axes.of(-decibels)))];
  return [
    block(PLOT.top, axes.y(axes.of(decibels))),
    block(axes.y(axes.of(-decibels)), PLOT.bottom),
  ];
}

/** The rim of a band's forbidden ground; the frame of the plot is no rim. */
function rimOf(band, axes) {
  const [kind, low, high, decibels] = band;
  const [left, right] = [axes.x(low), axes.x(high)].map((x) => round(x));
  const inner = [low > 0, high < axes.nyquist * (1 - 1e-9)];
  const rim = (level, end) => {
    const y = round(axes.y(axes.of(level)));
    const [down, up] = [inner[0] ? `M${left} ${end}L${left} ${y}` : `M${left} ${y}`, inner[1]];
    return `${down}L${right} ${y}${up ? `L${right} ${end}` : ""}`;
  };
  if (kind === "stop") return rim(-decibels, PLOT.top);
  return rim(decibels, PLOT.top) + rim(-decibels, PLOT.bottom);
}

/** What a target forbids: the ground above and below its tube, and the tube's two rims. */
function tubeOf(points, axes) {
  const line = (sign) =>
    points
      .map(
        ([f, gain, tolerance]) => `${round(axes.x(f))} ${round(axes.y(gain + sign * tolerance))}`,
      )
      .join("L");
  const [first, last] = [axes.x(points[0][0]), axes.x(points.at(-1)[0])].map((x) => round(x));
  const ground = (sign, end) => `M${first} ${end}L${line(sign)}L${last} ${end}Z`;
  return {
    ground: ground(1, PLOT.top) + ground(-1, PLOT.bottom),
    rims: [`M${line(1)}`, `M${line(-1)}`],
    middle: `M${points.map(([f, gain]) => `${round(axes.x(f))} ${round(axes.y(gain))}`).join("L")}`,
  };
}

// Curves

/**
 * A path through levels at evenly spaced frequencies.
 * @param runs pieces of it, pairs of first and last index; all of it without them
 */
function curvePath(levels, x, y, runs = [[0, levels.length - 1]]) {
  return runs
    .map(([from, to]) => {
      const place = (level, i) => `${round(x(from + i), 2)} ${round(y(level), 2)}`;
      return `M${levels
        .slice(from, to + 1)
        .map(place)
        .join("L")}`;
    })
    .join("");
}

/** A place for the enlarged pass band: in its own column, else on the ground of a stop band. */
function insetPlace(bands, index, axes) {
  const size = { width: 92, height: 88 };
  const [, low, high] = bands[index];
  const middle = (axes.x(low) + axes.x(high)) / 2;
  const inside = (at, from, to) => clamp(from + 8, at - size.width / 2, to - 8 - size.width);
  const blank = axes.y(axes.of(-34)); // below the handle at an edge
  if (axes.x(high) - axes.x(low) >= size.width + 12)
    return {
      ...size,
      x: inside(middle, axes.x(low), axes.x(high)),
      y: Math.min(blank, PLOT.bottom - size.height - 10),
    };
  const roomy = ([kind, from, to, decibels]) =>
    kind === "stop" &&
    axes.x(to) - axes.x(from) >= size.width + 16 &&
    axes.y(axes.of(-decibels)) - PLOT.top >= size.height + 20;
  const stops = bands
    .filter(roomy)
    .sort((a, b) => distanceTo(a, low, high) - distanceTo(b, low, high));
  if (!stops.length) return null;
  const [, from, to] = stops[0];
  return { ...size, x: inside(middle, axes.x(from), axes.x(to)), y: PLOT.top + 10 };
}

const distanceTo = ([, from, to], low, high) => Math.max(from - high, low - to);

/** Where the taps stand, and how: dots up to 32, bare stems up to 96, from there on an outline. */
function stemsOf(kernel) {
  const [high, low] = [Math.max(0, ...kernel), Math.min(0, ...kernel)];
  const span = high - low || 1;
  const y = (value) => STEMS.top + ((high - value) / span) * (STEMS.bottom - STEMS.top);
  const inset = 9;
  const width = PLOT.right - PLOT.left - 2 * inset;
  const x = (i) =>
    PLOT.left + inset + (kernel.length > 1 ? (width * i) / (kernel.length - 1) : width / 2);
  const style = kernel.length <= 32 ? "dots" : kernel.length <= 96 ? "stems" : "outline";
  const places = kernel.map((value, i) => ({ x: round(x(i), 2), y: round(y(value), 2) }));
  return { style, zero: round(y(0), 2), places, first: x(0), last: x(kernel.length - 1) };
}

// Edits: a drawing in, a new drawing out

/** A frequency on the grid of so many steps to Nyquist, in its own unit. */
const snapped = (frequency, nyquist, steps = 100) =>
  round((Math.round((frequency / nyquist) * steps) / steps) * nyquist, 6);

const withBand = (drawing, index, change) => ({
  ...drawing,
  bands: drawing.bands.map((band, i) => (i === index ? change(band) : band)),
});

/** How far an edge can go: to its neighbor and to its own other end, less a gap. */
function room(drawing, index, end) {
  const { bands } = drawing;
  const nyquist = nyquistOf(drawing);
  const gap = GAP * nyquist;
  const [, low, high] = bands[index];
  if (end === "low") return [index ? round(bands[index - 1][2] + gap, 6) : 0, round(high - gap, 6)];
  return [
    round(low + gap, 6),
    index + 1 < bands.length ? round(bands[index + 1][1] - gap, 6) : nyquist,
  ];
}

const withEdge = (drawing, index, end, frequency) =>
  withBand(drawing, index, ([kind, low, high, decibels]) =>
    end === "low" ? [kind, frequency, high, decibels] : [kind, low, frequency, decibels],
  );
const withLevel = (drawing, index, decibels) =>
  withBand(drawing, index, ([kind, low, high]) => [kind, low, high, decibels]);

/** A point moved within its neighbors. */
function withPoint(drawing, index, frequency, gain) {
  const nyquist = nyquistOf(drawing);
  const { points } = drawing;
  const gap = GAP * nyquist;
  const low = index ? points[index - 1][0] + gap : 0;
  const high = index + 1 < points.length ? points[index + 1][0] - gap : nyquist;
  const place = [round(clamp(low, frequency, high), 6), round(within(gain, ENDS.gain), 6)];
  return { ...drawing, points: points.map((p, i) => (i === index ? [...place, p[2]] : p)) };
}

/** Stretches of frequencies without a band, wide enough for a new one: [[from, to]]. */
function freeGround({ bands, ...rest }) {
  const nyquist = nyquistOf(rest);
  const gap = GAP * nyquist;
  const edges = [0, ...bands.flatMap(([, low, high]) => [low, high]), nyquist];
  const pairs = Array.from({ length: edges.length / 2 }, (_, i) => [
    edges[2 * i],
    edges[2 * i + 1],
  ]);
  return pairs
    .map(([from, to]) => [from && from + gap, to < nyquist ? to - gap : to])
    .filter(([from, to]) => to - from >= gap * 0.999);
}

/** A new band on free ground around a frequency, or null where there is none. */
function withNewBand(drawing, kind, at, decibels) {
  const nyquist = nyquistOf(drawing);
  const away = ([from, to]) => Math.max(from - at, at - to, 0);
  const ground = freeGround(drawing).sort((a, b) => away(a) - away(b))[0];
  if (!ground) return null;
  const [from, to] = ground;
  const width = Math.min(0.1 * nyquist, Math.max((to - from) / 2, GAP * nyquist));
  const low = clamp(from, at - width / 2, to - width);
  const levels = Object.fromEntries(
    [...drawing.bands].reverse().map(([k, , , level]) => [k, level]),
  );
  const level = decibels ?? levels[kind] ?? { pass: 1, stop: 40 }[kind];
  const band = [kind, round(low, 6), round(low + width, 6), level];
  const fine = nyquist === 1 ? band.map((v, i) => (i === 1 || i === 2 ? round(v, 3) : v)) : band;
  return { ...drawing, bands: [...drawing.bands, fine].sort((a, b) => a[1] - b[1]) };
}

/** A new point of a target, on its line where no gain is given. */
function withNewPoint(drawing, frequency, gain) {
  const nyquist = nyquistOf(drawing);
  const { points } = drawing;
  const near = points.some(([f]) => Math.abs(f - frequency) < GAP * nyquist * 0.999);
  if (near) return null;
  const level = gain ?? gainAt(points, frequency);
  const point = [
    round(frequency, 6),
    round(within(level, ENDS.gain), 3),
    toleranceAt(points, frequency),
  ];
  return { ...drawing, points: [...points, point].sort((a, b) => a[0] - b[0]) };
}

const toleranceAt = (points, frequency) =>
  points.reduce((p, q) => (Math.abs(q[0] - frequency) < Math.abs(p[0] - frequency) ? q : p))[2];

function gainAt(points, frequency) {
  const next = points.findIndex(([f]) => f >= frequency);
  if (next <= 0) return points.at(next)[1];
  const [[f0, g0], [f1, g1]] = [points[next - 1], points[next]];
  return g0 + ((g1 - g0) * (frequency - f0)) / (f1 - f0);
}

/** Without a band or a point; null if it is the last that can stay. */
function withoutThing(drawing, key) {
  const index = Number(key.slice(2));
  const part = key[0] === "t" ? "points" : "bands";
  if (drawing[part].length <= (part === "points" ? 2 : 1)) return null;
  const left = drawing[part].filter((_, i) => i !== index);
  const passes = part === "points" || left.some(([kind]) => kind === "pass");
  return { ...drawing, [part]: left, gain: passes ? drawing.gain : "free" };
}

/** The same drawing at another sampling rate, so that it looks the same. */
function withRate(drawing, rate) {
  const factor = (rate === null ? 1 : rate / 2) / nyquistOf(drawing);
  const scaled = (frequency) => round(frequency * factor, 6);
  return {
    ...drawing,
    sampling_rate: rate,
    bands: drawing.bands.map(([kind, low, high, level]) => [
      kind,
      scaled(low),
      scaled(high),
      level,
    ]),
    points: drawing.points.map(([frequency, gain, tolerance]) => [
      scaled(frequency),
      gain,
      tolerance,
    ]),
  };
}

/** Another target where a hand has drawn, the old one elsewhere. */
function withStroke(drawing, stroke) {
  const nyquist = nyquistOf(drawing);
  const drawn = simplified(rising(stroke, nyquist), 0.015, nyquist);
  if (drawn.length < 2) return drawing;
  const [first, last] = [drawn[0][0], drawn.at(-1)[0]];
  const gap = GAP * nyquist * 0.999;
  const old = drawing.points.filter(([f]) => f < first - gap || f > last + gap);
  const tolerance = drawing.points[0][2];
  const fresh = drawn.map(([f, gain]) => [
    round(f, 6),
    round(within(gain, ENDS.gain), 3),
    tolerance,
  ]);
  return { ...drawing, points: [...old, ...fresh].sort((a, b) => a[0] - b[0]) };
}

/** Places of a stroke in rising order of frequency, one for each hundredth of Nyquist. */
function rising(stroke, nyquist) {
  const places = new Map(); // where a hand goes back over itself, the last word counts
  for (const [frequency, gain] of stroke) places.set(snapped(frequency, nyquist), gain);
  return [...places].sort((a, b) => a[0] - b[0]);
}

/** Fewer points, none further off than so much gain (D. Douglas and T. Peucker 1973). */
function simplified(points, off, nyquist) {
  if (points.length < 3) return points;
  const [first, last] = [points[0], points.at(-1)];
  const line = (f) => first[1] + ((last[1] - first[1]) * (f - first[0])) / (last[0] - first[0]);
  const misses = points.map(([f, gain]) => Math.abs(gain - line(f)));
  const worst = misses.indexOf(Math.max(...misses));
  if (misses[worst] <= off) return [first, last];
  return [
    ...simplified(points.slice(0, worst + 1), off, nyquist),
    ...simplified(points.slice(worst), off, nyquist).slice(1),
  ];
}

/**
 * A drawing with a handle moved to where it is wanted, as far as it can go.
 * @param to { frequency, decibels, gain }: what of it the handle moves
 * @returns { drawing, hint }: and why it went no further
 */
function moved(drawing, { kind, index, end }, to) {
  if (kind === "point")
    return { drawing: withPoint(drawing, index, to.frequency, to.gain), hint: "" };
  let [after, hint] = [drawing, ""];
  if (end && to.frequency !== undefined) {
    const ends = room(drawing, index, end);
    const frequency = within(to.frequency, ends);
    if (Math.abs(frequency - to.frequency) > 1e-6 * nyquistOf(drawing))
      hint = roomWords(drawing, index, end, frequency);
    after = withEdge(after, index, end, round(frequency, 6));
    if (isSilent(after)) {
      const back = round(frequency + (end === "low" ? 1 : -1) * GAP * nyquistOf(drawing), 6);
      after = withEdge(after, index, end, back);
      hint = "Something has to pass: stop bands leave free ground.";
    }
  }
  if (kind !== "edge" && to.decibels !== undefined) {
    const [name, ends] =
      drawing.bands[index][0] === "pass"
        ? ["Ripple", ENDS.ripple]
        : ["Attenuation", ENDS.attenuation];
    const decibels = within(to.decibels, ends);
    if (decibels !== to.decibels) hint ||= `${name} goes from ${ends[0]} to ${ends[1]} dB.`;
    after = withLevel(after, index, round(decibels, 3));
  }
  return { drawing: after, hint };
}

/** Whether stop bands cover everything. */
function isSilent({ bands, ...rest }) {
  const covered = bands.reduce(
    (sum, [kind, low, high]) => sum + (kind === "stop" ? high - low : 0),
    0,
  );
  return covered >= nyquistOf(rest) * (1 - 1e-6);
}

/** Why an edge goes no further. */
function roomWords({ bands, ...rest }, index, end, limit) {
  const nyquist = nyquistOf(rest);
  const kind = bands[index][0];
  const other = bands[index + (end === "high" ? 1 : -1)];
  const name = `${kind[0].toUpperCase()}${kind.slice(1)}`;
  const text = frequencyText(limit, nyquist);
  const far = Math.abs(limit - (other?.[end === "high" ? 1 : 2] ?? Infinity));
  if (!other || far > 1.5 * GAP * nyquist) return `${name} keeps 1 % of Nyquist between its ends.`;
  const neighbor = other[0] === kind ? `the next ${kind}` : other[0];
  return end === "high"
    ? `${name} must end before ${neighbor} begins (${text}).`
    : `${name} must begin after ${neighbor} ends (${text}).`;
}

// Handles

/**
 * What can be grabbed: [{ key, kind, index, end, x, y }], in reading order. An edge moves
 * sideways, a level up and down, a corner and a point both ways. At the ends of the axis only the
 * selected band has a handle.
 */
function handlesOf(drawing, axes, selected = -1) {
  const points = drawing.points.map(([frequency, gain], index) => ({
    key: `t:${index}`,
    kind: "point",
    index,
    x: axes.x(frequency),
    y: axes.y(gain),
  }));
  const ends = drawing.bands.flatMap((band, index) =>
    handlesOfBand(band, index, axes, index === selected),
  );
  return [...ends, ...points];
}

function handlesOfBand([kind, low, high, decibels], index, axes, isSelected) {
  const level = axes.y(axes.of(-decibels));
  const height = kind === "stop" ? level : axes.y(axes.linear ? 0.4 : -24);
  const shown = {
    low: isSelected || low > 0,
    high: isSelected || high < axes.nyquist * (1 - 1e-9),
  };
  const at = (end) => ({
    key: `${kind === "stop" ? "c" : "e"}:${index}:${end}`,
    kind: kind === "stop" ? "corner" : "edge",
    index,
    end,
    x: axes.x(end === "low" ? low : high),
    y: height,
  });
  const middle = {
    key: `l:${index}`,
    kind: "level",
    index,
    x: (axes.x(low) + axes.x(high)) / 2,
    y: level,
  };
  return [shown.low && at("low"), middle, shown.high && at("high")].filter(Boolean);
}

/** The handle nearest to a place, if one is under it. */
function handleAt(handles, { x, y }, reach = 13) {
  const far = (handle) => Math.hypot(handle.x - x, handle.y - y);
  const near = handles.filter((handle) => far(handle) <= reach);
  return near.length ? near.reduce((p, q) => (far(q) < far(p) ? q : p)) : null;
}

/** The band whose column a place lies in. */
const bandAt = ({ bands }, frequency) =>
  bands.findIndex(([, low, high]) => frequency >= low && frequency <= high);

/** Which button of the bar a drawing belongs to; none for a drawing of another kind. */
function formOf({ bands, points }) {
  if (points.length) return bands.length ? null : "target";
  const forms = { "pass stop": "lowpass", "stop pass": "highpass" };
  Object.assign(forms, { "stop pass stop": "bandpass", "pass stop pass": "bandstop" });
  return forms[bands.map(([kind]) => kind).join(" ")] ?? null;
}

/** How many dB up and down an enlarged pass band shows: a round number that holds the response. */
function insetReach(levels, ripple) {
  const wanted = Math.max(1.6 * ripple, ...levels.map((level) => Math.min(Math.abs(level), 40)));
  const steps = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20];
  return steps.find((step) => step >= wanted * 0.98) ?? 40;
}
