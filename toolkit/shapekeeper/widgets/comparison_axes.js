// Axes: where a value stands, and which values are written beside the lines.

/** Round values between two ends, about so many. */
function roundValues(low, high, about) {
  const rough = (high - low) / about;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((f) => f * unit).find((s) => s >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  const values = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return {
    values,
    places: Math.max(0, Math.ceil(-Math.log10(step) - 1e-9) + (step / unit === 2.5 ? 1 : 0)),
  };
}

/**
 * An axis from `from` to `to` in pixels: `at(value)` and `ticks` of { at, text, value }.
 * @param values what has to lie on it
 */
function linearAxis(values, from, to, about = 4) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (!values.length) [low, high] = [0, 1];
  if (high - low < 1e-9 * Math.max(1, Math.abs(high))) [low, high] = [low - 0.5, high + 0.5];
  const { values: round, places } = roundValues(low, high, about);
  const [first, last] = [round[0], round.at(-1)];
  const at = (value) => from + ((to - from) * (value - first)) / (last - first);
  return {
    at,
    low: first,
    high: last,
    ticks: round.map((v) => ({ value: v, at: at(v), text: fixed(v, places) })),
  };
}

/**
 * The same for what goes over decades.
 * @param room factor that is left free at both ends
 */
function logAxis(values, from, to, most = 5, room = 1.15) {
  const [least, largest] = values.length ? [Math.min(...values), Math.max(...values)] : [0.1, 10];
  const low = least / room;
  const high = largest * room;
  const [first, last] = [Math.log10(low), Math.log10(high)];
  const at = (value) => from + ((to - from) * (Math.log10(value) - first)) / (last - first);
  const ticks = logValues(low, high, most);
  return {
    at,
    low,
    high,
    isLog: true,
    ticks: ticks.map((v) => ({ value: v, at: at(v), text: powerText(v) })),
  };
}

/** Round values within two ends: decades, with thirds or fifths of them where there is room. */
function logValues(low, high, most) {
  const exponents = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
    exponents.push(e);
  const within = (digits) =>
    exponents
      .flatMap((e) => digits.map((d) => d * 10 ** e))
      .filter((v) => v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9));
  for (const digits of [
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 5],
    [1, 3],
  ]) {
    const found = within(digits);
    if (found.length <= most && found.length > 1) return found;
  }
  const decades = within([1]);
  const stride = Math.ceil(decades.length / most);
  return decades.filter((_, i) => (decades.length - 1 - i) % stride === 0);
}

/** 0.001 to 1000 in full, others as powers. */
function powerText(value) {
  if (value > 9.9e-4 && value < 1e4) return String(Number(value.toPrecision(1)));
  const exponent = Math.floor(Math.log10(value) + 1e-9);
  const factor = Math.round(value / 10 ** exponent);
  return factor === 1 ? power(exponent) : `${factor} × ${power(exponent)}`;
}

/**
 * Moves places apart until they are `gap` from each other, by as little as it takes, within limits.
 * @param places numbers in any order
 */
function pushedApart(places, gap, low, high) {
  const room = places.length > 1 ? Math.min(gap, (high - low) / (places.length - 1)) : gap;
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b] || a - b);
  // With i gaps taken off, what must not overlap must not go down: runs of equals take their mean.
  const blocks = [];
  order.forEach((index, i) => {
    blocks.push({ sum: clamp(low, places[index], high) - i * room, size: 1 });
    while (blocks.length > 1 && mean(blocks.at(-2)) >= mean(blocks.at(-1))) {
      const last = blocks.pop();
      blocks.at(-1).sum += last.sum;
      blocks.at(-1).size += last.size;
    }
  });
  const free = blocks.flatMap((block) => Array(block.size).fill(mean(block)));
  const top = high - (places.length - 1) * room;
  const apart = [];
  order.forEach((index, i) => (apart[index] = clamp(low, free[i], top) + i * room));
  return apart;
}

const mean = ({ sum, size }) => sum / size;
