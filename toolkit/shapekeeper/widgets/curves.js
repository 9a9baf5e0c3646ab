// Geometry of drawings made of circles and arrows: numbers in, numbers out. Nothing here knows the
// page; how large the CANVAS is, the widget's own file says.

const clamp = (low, value, high) => Math.max(low, Math.min(high, value));
const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);

/** About how wide a text is; measuring it would need a page that is laid out. */
function textWidth(text, size, bold = false) {
  const wide = (c) =>
    "mwMW→".includes(c)
      ? 0.86
      : "ijlI.,'|: ()ft".includes(c)
        ? 0.31
        : /[A-Z]/.test(c)
          ? 0.69
          : 0.56;
  return [...text].reduce((sum, c) => sum + wide(c), 0) * size * (bold ? 1.06 : 1);
}

// Curves: quadratic Béziers { a, c, b }

/** The curve from one center to another; `bow` moves its control point by that share of its length. */
function curve(a, b, bow) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  return { a, b, c: { x: (a.x + b.x) / 2 - dy * bow, y: (a.y + b.y) / 2 + dx * bow } };
}

function pointAt({ a, c, b }, t) {
  const s = 1 - t;
  return {
    x: s * s * a.x + 2 * s * t * c.x + t * t * b.x,
    y: s * s * a.y + 2 * s * t * c.y + t * t * b.y,
  };
}

/** The part of a curve between two of its parameters (de Casteljau). */
function part(whole, from, to) {
  const { a, c, b } = whole;
  const mix = (p, q, t) => ({ x: p.x + (q.x - p.x) * t, y: p.y + (q.y - p.y) * t });
  const middle = mix(mix(a, c, from), mix(c, b, from), to);
  return { a: pointAt(whole, from), c: middle, b: pointAt(whole, to) };
}

/** The parameter at which the curve is `reach` away from one of its ends. */
function leaves(whole, end, reach) {
  let [near, far] = end === "a" ? [0, 1] : [1, 0];
  for (let i = 0; i < 14; i++) {
    const t = (near + far) / 2;
    if (distance(pointAt(whole, t), whole[end]) < reach) near = t;
    else far = t;
  }
  return (near + far) / 2;
}

/** The same curve moved sideways, to the right of its direction. */
function shifted({ a, c, b }, by) {
  const aside = (p, from, to) => {
    const length = distance(from, to) || 1;
    return { x: p.x - ((to.y - from.y) / length) * by, y: p.y + ((to.x - from.x) / length) * by };
  };
  return { a: aside(a, a, c), c: aside(c, a, b), b: aside(b, c, b) };
}

function sampled(whole, count = 12) {
  return Array.from({ length: count + 1 }, (_, i) => pointAt(whole, i / count));
}

const round = (value) => Math.round(value * 10) / 10;
const curveText = ({ a, c, b }) =>
  `M${round(a.x)} ${round(a.y)}Q${round(c.x)} ${round(c.y)} ${round(b.x)} ${round(b.y)}`;

/** Line and head of an arrow along a curve between two circles; `half` keeps the target's half. */
function arrow(whole, radiusA, radiusB, width, { half = false, bar = false, gap = 4 } = {}) {
  const room = distance(whole.a, whole.b) - radiusA - radiusB;
  gap = Math.min(gap, Math.max(1, room * 0.1));
  const length = Math.min(5.5 + 2 * width, Math.max(4, (room - 2 * gap) * (half ? 0.42 : 0.6)));
  const start = half ? 0.5 : leaves(whole, "a", radiusA + gap);
  const tip = leaves(whole, "b", radiusB + gap);
  const neck = leaves(whole, "b", radiusB + gap + (bar ? 0 : 0.7 * length));
  const end = part(whole, start, Math.max(tip, start)).b;
  const before = pointAt(whole, Math.max(tip - 0.02, 0));
  return {
    line: curveText(part(whole, start, Math.max(neck, start))),
    head: bar ? barText(end, before, 5 + 1.2 * width) : headText(end, before, length),
    middle: pointAt(whole, 0.5),
    leave: pointAt(whole, leaves(whole, "a", radiusA)),
    arrive: pointAt(whole, leaves(whole, "b", radiusB)),
  };
}

function turned(tip, before) {
  const angle = Math.atan2(tip.y - before.y, tip.x - before.x);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return (x, y) => `${round(tip.x + x * cos - y * sin)} ${round(tip.y + x * sin + y * cos)}`;
}

function headText(tip, before, length) {
  const at = turned(tip, before);
  return `M${at(0, 0)}L${at(-length, 0.38 * length)}L${at(-0.72 * length, 0)}L${at(-length, -0.38 * length)}Z`;
}

function barText(tip, before, reach) {
  const at = turned(tip, before);
  return `M${at(0, reach)}L${at(0, -reach)}L${at(-2.6, -reach)}L${at(-2.6, reach)}Z`;
}

// Bows: which way and how far each line bends

const BOWS = Array.from({ length: 13 }, (_, i) => round((i - 6) * 9) / 100);
const SLIGHT = [0.08, -0.08, 0.16, -0.16, 0.25, -0.25, 0.36, -0.36, 0.54, -0.54];
const APART = [0.16, 0.22, 0.28, 0.36, 0.54]; // of two lines that join one pair both ways

/**
 * Bends lines so that they keep clear of foreign regions and of each other.
 * @param lines [{ key, from, to, twin }] with `from` and `to` the keys of circles; a twin has a
 *     partner the other way round, and both bend to their own right.
 * @param circles Map of key -> { x, y, r }
 * @param kept Map of key -> bow of lines that stay as they are
 * @returns Map of key -> bow
 */
function chooseBows(lines, circles, kept, slight) {
  const length = (line) => distance(circles.get(line.from), circles.get(line.to));
  const course = (line, bow) => curve(circles.get(line.from), circles.get(line.to), bow);
  const shape = (line, bow) => outlined(sampled(course(line, bow), 9));
  // the chips of two lines that join one pair need 44 pixels between them
  const apart = (line) => APART.map((bow) => Math.max(bow, 44 / length(line) + bow - APART[0]));
  const choices = (line) => (line.twin ? apart(line) : slight ? SLIGHT : BOWS);
  const bows = new Map(kept);
  const free = lines.filter((line) => !kept.has(line.key)).sort((p, q) => length(p) - length(q));
  if (!free.length) return bows;
  const shapes = new Map(
    lines
      .filter((line) => kept.has(line.key))
      .map((line) => [line.key, shape(line, kept.get(line.key))]),
  );
  const options = new Map(
    free.map((line) => [
      line.key,
      choices(line).map((bow) => ({
        bow,
        shape: shape(line, bow),
        cost: aloneCost(course(line, bow), bow, line, circles),
      })),
    ]),
  );
  for (let sweep = 0, settled = false; sweep < 3 && !settled; sweep++) {
    settled = true;
    for (const { key } of free) {
      const best = cheapest(
        options.get(key),
        [...shapes].filter(([other]) => other !== key).map(([, other]) => other),
      );
      settled &&= bows.get(key) === best.bow;
      bows.set(key, best.bow);
      shapes.set(key, best.shape);
    }
  }
  return bows;
}

/** What a bow costs before the other lines are looked at. */
function aloneCost(whole, bow, { from, to }, circles) {
  let cost = 14 * Math.abs(bow);
  const points = sampled(whole, 24);
  for (const [key, circle] of circles) {
    if (key === from || key === to) continue;
    const near = Math.min(...points.map((p) => distance(p, circle)));
    if (near < circle.r + 7) cost += 60 + 2 * (circle.r + 7 - near);
    else if (near < circle.r + 26) cost += 3 * (1 - (near - circle.r) / 26);
  }
  const isOut = (p) => p.x < 6 || p.x > CANVAS.width - 6 || p.y < 6 || p.y > CANVAS.height - 6;
  return cost + 4 * points.filter(isOut).length;
}

/** The cheapest option beside the other lines; one that costs more alone is not looked at further. */
function cheapest(options, others) {
  let best = { total: Infinity };
  for (const option of options) {
    let total = option.cost;
    for (const other of others) {
      if (total >= best.total) break;
      total += meeting(option.shape, other);
    }
    if (total < best.total - 1e-9) best = { ...option, total };
  }
  return best;
}

/** Points with the box around them, widened by how close two lines may come. */
function outlined(points) {
  const [xs, ys] = [points.map((p) => p.x), points.map((p) => p.y)];
  return {
    points,
    left: Math.min(...xs) - 5,
    right: Math.max(...xs) + 5,
    top: Math.min(...ys) - 5,
    bottom: Math.max(...ys) + 5,
  };
}

/** 1.6 per crossing, 5 per stretch that two lines run nearly on top of each other. */
function meeting(one, other) {
  if (
    one.left > other.right ||
    other.left > one.right ||
    one.top > other.bottom ||
    other.top > one.bottom
  )
    return 0;
  const [p, q] = [one.points, other.points];
  let cost = 0;
  for (let i = 1; i < p.length; i++) {
    if (Math.max(p[i - 1].x, p[i].x) < other.left || Math.min(p[i - 1].x, p[i].x) > other.right)
      continue;
    if (Math.max(p[i - 1].y, p[i].y) < other.top || Math.min(p[i - 1].y, p[i].y) > other.bottom)
      continue;
    const inner = i > 2 && i < p.length - 1; // lines of one region are close where they meet it
    let close = false;
    for (let j = 1; j < q.length; j++) {
      if (crosses(p[i - 1], p[i], q[j - 1], q[j])) cost += 1.6;
      close ||=
        inner && distance(p[i], q[j]) < 10 && nearlyParallel(p[i - 1], p[i], q[j - 1], q[j]);
    }
    if (close) cost += 5 / 2;
  }
  return cost;
}

function crosses(a, b, c, d) {
  const side = (p, q, r) => (q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x);
  const apart = (p, q, r, s) => side(p, q, r) * side(p, q, s) < -1e-6; // touching is not crossing
  return apart(a, b, c, d) && apart(c, d, a, b);
}

function nearlyParallel(a, b, c, d) {
  const [ux, uy, vx, vy] = [b.x - a.x, b.y - a.y, d.x - c.x, d.y - c.y];
  return Math.abs(ux * vy - uy * vx) < 0.26 * (Math.hypot(ux, uy) * Math.hypot(vx, vy) || 1);
}

// Places

/** Where on each line its chip goes: near the middle, off the regions and off other chips. */
function placeChips(lines, circles, tall = 18) {
  const taken = [];
  for (const line of lines) {
    const overlap = (t) => {
      const p = pointAt(line.whole, t);
      const hits = taken.filter(
        (q) =>
          Math.abs(q.x - p.x) < (q.width + line.width) / 2 + 2 && Math.abs(q.y - p.y) < tall + 2,
      );
      const covered = [...circles.values()].filter((c) => distance(p, c) < c.r + line.width / 2);
      return 10 * hits.length + 4 * covered.length + Math.abs(t - 0.5);
    };
    const t = [0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73].reduce((p, q) =>
      overlap(q) < overlap(p) ? q : p,
    );
    line.chip = pointAt(line.whole, t);
    taken.push({ ...line.chip, width: line.width });
  }
}

/** The angle in the middle of the widest gap between the given ones. */
function widestGap(angles) {
  const sorted = angles.map((a) => (a + 4 * Math.PI) % (2 * Math.PI)).sort((a, b) => a - b);
  if (!sorted.length) return 0;
  const gaps = sorted.map((a, i) => ({ a, gap: (sorted[i + 1] ?? sorted[0] + 2 * Math.PI) - a }));
  const best = gaps.reduce((p, q) => (q.gap > p.gap + 1e-6 ? q : p));
  return best.a + best.gap / 2;
}

/** The free place nearest to the wanted one, on the grid of 8, inside the canvas while there is room. */
function freeSpot(circles, wanted, radius) {
  const fits = (p) => circles.every((c) => distance(p, c) > c.r + radius + 24);
  const inside = (p) =>
    p.x > radius + 40 &&
    p.x < CANVAS.width - radius - 40 &&
    p.y > radius + 24 &&
    p.y < CANVAS.height - radius - 24;
  const start = { x: Math.round(wanted.x / 8) * 8, y: Math.round(wanted.y / 8) * 8 };
  for (let reach = 0; reach < 800; reach += 16) {
    const steps = Math.max(1, Math.round(reach / 6));
    for (let i = 0; i < steps; i++) {
      const angle = (2 * Math.PI * i) / steps;
      const p = {
        x: start.x + Math.round((reach * Math.cos(angle)) / 8) * 8,
        y: start.y + Math.round((reach * Math.sin(angle)) / 8) * 8,
      };
      if (fits(p) && (inside(p) || reach > 500)) return p;
    }
  }
  return start;
}

/** The nearest thing in a direction: by angle first, then by distance. */
function nearestToward(from, places, [dx, dy]) {
  let best = null;
  for (const [key, p] of places) {
    const [x, y] = [p.x - from.x, p.y - from.y];
    const far = Math.hypot(x, y);
    if (far < 1) continue;
    const cos = (x * dx + y * dy) / far;
    if (cos < 0.35) continue;
    const cost = far * (1 + 2.5 * (1 - cos));
    if (!best || cost < best.cost) best = { key, cost };
  }
  return best?.key ?? null;
}

/** Scale and shift that show all circles, with what stands `beside` them and a margin of 24. */
function fitting(circles, beside) {
  if (!circles.length) return { k: 1, x: 0, y: 0 };
  const side = (axis, sign) =>
    Math.max(
      ...circles.map((c) => sign * c[axis] + c.r + (axis === "x" ? beside : Math.min(12, beside))),
    );
  const [left, right, top, bottom] = [-side("x", -1), side("x", 1), -side("y", -1), side("y", 1)];
  const k = clamp(
    0.5,
    Math.min((CANVAS.width - 48) / (right - left), (CANVAS.height - 48) / (bottom - top)),
    1.25,
  );
  return {
    k,
    x: CANVAS.width / 2 - (k * (left + right)) / 2,
    y: CANVAS.height / 2 - (k * (top + bottom)) / 2,
  };
}
