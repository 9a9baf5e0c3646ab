// Strategies as they are drawn everywhere: a mark, a line, a name; and numbers as they are written.

// Paths around 0, 0 in a box of 14; closed ones are filled with their color or with the ground.
const MARKS = {
  x: "M-4.5 -4.5L4.5 4.5M4.5 -4.5L-4.5 4.5",
  up: "M0 -5.8L5.8 4.6H-5.8Z",
  down: "M0 5.8L5.8 -4.6H-5.8Z",
  "diamond-open": "M0 -6L6 0L0 6L-6 0Z",
  diamond: "M0 -6L6 0L0 6L-6 0Z",
  square: "M-4.8 -4.8H4.8V4.8H-4.8Z",
  circle: "M-5.2 0A5.2 5.2 0 1 0 5.2 0A5.2 5.2 0 1 0 -5.2 0Z",
  hexagon: "M-3 -5.2H3L6 0L3 5.2H-3L-6 0Z",
  "hexagon-open": "M-5.2 -3V3L0 6L5.2 3V-3L0 -6Z",
};

/** A group in the color of a strategy, which follows the theme. */
const colored = (look, attributes, ...children) =>
  s("g", { ...attributes, ...inked(look, attributes.class) }, children);

/** The attributes that give an element the color of a strategy. */
const inked = (look, also = "") => ({
  class: `sk-inked ${also}`.trim(),
  style: `--sk-light: ${look.light}; --sk-dark: ${look.dark}`,
});

function markPath({ mark, filled }, attributes = {}) {
  const kind = mark === "x" ? "sk-crossed" : filled ? "sk-filled" : "sk-open";
  return s("path", { class: `sk-mark ${kind}`, d: MARKS[mark], ...attributes });
}

/** A short line with the mark on it, as it stands in front of a name. */
function lineSample(look, dash = "") {
  const open = look.mark === "x";
  return s(
    "svg",
    { class: "sk-sample", viewBox: "0 0 36 16", width: 36, height: 16, "aria-hidden": "true" },
    colored(
      look,
      {},
      s("path", {
        class: "sk-stroke",
        d: open ? "M1 8H35" : "M1 8H11M25 8H35",
        "stroke-dasharray": dash || null,
      }),
      markPath(look, { transform: "translate(18 8)" }),
    ),
  );
}

/** A name in ink, its settings muted. */
const named = ({ name, words }) =>
  h("span", { class: "sk-name" }, name, words && h("span", { class: "sk-quiet" }, ` ${words}`));

const fullName = ({ name, words }) => `${name} ${words}`.trim();

// Numbers

const clamp = (low, value, high) => Math.max(low, Math.min(high, value));
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const SUPERSCRIPTS = {
  "-": "⁻",
  0: "⁰",
  1: "¹",
  2: "²",
  3: "³",
  4: "⁴",
  5: "⁵",
  6: "⁶",
  7: "⁷",
  8: "⁸",
  9: "⁹",
};
const power = (exponent) => `10${[...String(exponent)].map((c) => SUPERSCRIPTS[c]).join("")}`;
const minus = (text) => text.replace("-", "−");

/** As many decimals as show so many digits of the largest of some values. */
function decimals(values, digits = 3) {
  const largest = Math.max(0, ...values.filter(isNumber).map(Math.abs));
  return largest === 0 ? 0 : clamp(0, digits - Math.ceil(Math.log10(largest) - 1e-9), 6);
}

/** A number with so many decimals; what has none of them to show is written short. */
function fixed(value, places) {
  if (!isNumber(value)) return "–";
  return Math.abs(value) >= 1e6 ? short(value) : minus(value.toFixed(places));
}

const signed = (value, places) => (value > 0 ? "+" : "") + fixed(value, places);

/** A number of any size in a few characters. */
function short(value) {
  if (!isNumber(value)) return "–";
  if (value === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  if (exponent < -4 || exponent > 4)
    return minus(`${Number((value / 10 ** exponent).toPrecision(2))}`) + ` × ${power(exponent)}`;
  return minus(String(Number(value.toPrecision(exponent > 0 ? 3 : 2))));
}

function duration(seconds) {
  if (!isNumber(seconds)) return "–";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 100) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}
