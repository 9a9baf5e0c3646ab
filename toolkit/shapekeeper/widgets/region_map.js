// Geometry of the region map: numbers in, numbers out. Nothing here knows the page.

const CANVAS = { width: 588, height: 480 };

/** How a map of that many regions is drawn. */
function mapStyle(count) {
  if (count <= 8) return { radius: (size) => clamp(28, 4.8 * Math.sqrt(size), 52), chips: true };
  if (count <= 15) return { radius: (size) => clamp(20, 2.75 * Math.sqrt(size), 24), merged: true };
  if (count <= 25) return { radius: () => 16, merged: true, beside: true, strongest: 2 };
  return { radius: () => 10, merged: true, beside: true, strongest: 0, groups: true };
}

/** Where names beside small circles go: right, left, below or above, off circles, names and lines. */
function placeNames(names, circles, size, lines) {
  const points = lines.flatMap((whole) => sampled(whole, 16));
  const boxes = [...circles.values()].map((c) => ({
    x: c.x - c.r,
    y: c.y - c.r,
    w: 2 * c.r,
    h: 2 * c.r,
  }));
  const overlap = (p, q) =>
    Math.max(0, Math.min(p.x + p.w, q.x + q.w) - Math.max(p.x, q.x)) *
    Math.max(0, Math.min(p.y + p.h, q.y + q.h) - Math.max(p.y, q.y));
  return new Map(
    names.map((name) => {
      const { x, y, r } = circles.get(name);
      const w = textWidth(name, size, true);
      const spots = [
        { anchor: "start", dx: r + 4, dy: 4, x: x + r + 4, y: y - 7, w, h: 14 },
        { anchor: "end", dx: -r - 4, dy: 4, x: x - r - 4 - w, y: y - 7, w, h: 14 },
        { anchor: "middle", dx: 0, dy: r + 13, x: x - w / 2, y: y + r + 2, w, h: 14 },
        { anchor: "middle", dx: 0, dy: -r - 5, x: x - w / 2, y: y - r - 16, w, h: 14 },
      ];
      const covers = (spot) =>
        points.filter((p) => p.x > spot.x && p.x < spot.x + w && p.y > spot.y && p.y < spot.y + 14)
          .length;
      const price = (spot) =>
        boxes.reduce((sum, box) => sum + overlap(spot, box), 0) +
        40 * covers(spot) +
        (spot.x < 0 || spot.x + w > CANVAS.width ? 900 : 0);
      const best = spots.reduce((p, q) => (price(q) < price(p) ? q : p));
      boxes.push(best);
      return [name, best];
    }),
  );
}

/** Columns of regions that share a level: [{ level, x }], where the drawing follows the levels. */
function levelColumns(regions) {
  const columns = new Map();
  for (const { level, position } of regions) {
    if (level === null) continue;
    columns.set(level, [...(columns.get(level) ?? []), position[0]]);
  }
  const means = [...columns].map(([level, xs]) => ({
    level,
    x: xs.reduce((a, b) => a + b) / xs.length,
    xs,
  }));
  means.sort((p, q) => p.level - q.level);
  const tidy = means.every(({ x, xs }) => xs.every((value) => Math.abs(value - x) < 16));
  const rising = means.every(({ x }, i) => i === 0 || x > means[i - 1].x + 20);
  return means.length > 1 && tidy && rising ? means : [];
}

/** Groups of regions that stand close together, as lists of names. */
function groupsByPlace(circles) {
  const entries = [...circles];
  const nearest = entries.map(([key, c]) =>
    Math.min(...entries.filter(([k]) => k !== key).map(([, d]) => distance(c, d))),
  );
  const reach = 2.2 * [...nearest].sort((a, b) => a - b)[Math.floor(nearest.length / 2)];
  const left = new Map(entries);
  const groups = [];
  while (left.size) {
    const [first] = left.keys();
    const group = [];
    const queue = [first];
    for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
      if (!left.has(key)) continue;
      group.push(key);
      left.delete(key);
      for (const [other, c] of left) if (distance(circles.get(key), c) < reach) queue.push(other);
    }
    groups.push(group);
  }
  return groups;
}

/** The convex hull of points (Andrew's monotone chain). */
function hull(points) {
  const sorted = [...points].sort((p, q) => p.x - q.x || p.y - q.y);
  const turn = (o, p, q) => (p.x - o.x) * (q.y - o.y) - (p.y - o.y) * (q.x - o.x);
  const chain = (list) => {
    const kept = [];
    for (const p of list) {
      while (kept.length > 1 && turn(kept.at(-2), kept.at(-1), p) <= 0) kept.pop();
      kept.push(p);
    }
    return kept.slice(0, -1);
  };
  return sorted.length < 3 ? sorted : [...chain(sorted), ...chain(sorted.reverse())];
}
