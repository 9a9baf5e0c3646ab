// Region graphs in the browser: edits (a graph in, a new graph out) and what the drawing reads off one.

const regionKey = (name) => `r:${name}`;
const pathKey = ({ source, target }) => `p:${source}>${target}`;
const TOO_MANY = 40;

// Edits: a graph in, a new graph out

function withRegion(graph, name, changes) {
  const regions = graph.regions.map((r) => (r.name === name ? { ...r, ...changes } : r));
  if (!("name" in changes)) return { ...graph, regions };
  const called = (end) => (end === name ? changes.name : end);
  const pathways = graph.pathways.map((p) => ({
    ...p,
    source: called(p.source),
    target: called(p.target),
  }));
  return {
    ...graph,
    regions,
    pathways,
    tested_absent: graph.tested_absent.map((pair) => pair.map(called)),
  };
}

function addRegion(graph, name, { x, y }) {
  const region = {
    name,
    size: 32,
    density: 1,
    position: [x, y],
    level: null,
    input: false,
    output: false,
    sign: null,
  };
  return { ...graph, regions: [...graph.regions, region] };
}

function addPathway(graph, source, target) {
  const pathway = { source, target, density: 1, known: true, evidence: null };
  const tested_absent = graph.tested_absent.filter(([s, t]) => s !== source || t !== target);
  return { ...graph, pathways: [...graph.pathways, pathway], tested_absent };
}

function withPathway(graph, key, changes) {
  return {
    ...graph,
    pathways: graph.pathways.map((p) => (pathKey(p) === key ? { ...p, ...changes } : p)),
  };
}

/** Without these regions, their pathways, and these pathways. */
function without(graph, keys) {
  const gone = new Set(keys);
  const stays = (name) => !gone.has(regionKey(name));
  return {
    ...graph,
    regions: graph.regions.filter((r) => stays(r.name)),
    pathways: graph.pathways.filter(
      (p) => stays(p.source) && stays(p.target) && !gone.has(pathKey(p)),
    ),
    tested_absent: graph.tested_absent.filter((pair) => pair.every(stays)),
  };
}

/** Whether a graph can be drawn at all. What is wrong with it is for Python to say. */
function isWellFormed({ regions, pathways }) {
  const names = new Set(regions.map((r) => r.name));
  const isShare = (density) => typeof density === "number" && density > 0 && density <= 1;
  return (
    names.size === regions.length &&
    new Set(pathways.map(pathKey)).size === pathways.length &&
    regions.every((r) => Number.isInteger(r.size) && r.size > 0 && isShare(r.density)) &&
    pathways.every(
      (p) =>
        p.source !== p.target && names.has(p.source) && names.has(p.target) && isShare(p.density),
    )
  );
}

function freeName(graph) {
  const taken = new Set(graph.regions.map((r) => r.name));
  let number = graph.regions.length + 1;
  while (taken.has(`region ${number}`)) number++;
  return `region ${number}`;
}

// Reading

/** A density as it is written on a chip: two digits, more only where two would say nothing. */
function densityText(density) {
  return density >= 0.005 ? density.toFixed(2) : density.toPrecision(1);
}

/** The graph with everything that is looked up again and again. */
function readScene(graph) {
  const style = mapStyle(graph.regions.length);
  const regions = new Map(graph.regions.map((region) => [region.name, region]));
  const paths = new Map(graph.pathways.map((path) => [pathKey(path), path]));
  // large maps leave out what was never tested: 34 dashed lines would hide 77 known ones
  const shown = (path) => path && (path.known || !style.merged);
  const into = (name) => graph.pathways.filter((p) => p.target === name && shown(p));
  const outOf = (name) => graph.pathways.filter((p) => p.source === name && shown(p));
  const back = (path) => paths.get(pathKey({ source: path.target, target: path.source }));
  const absent = new Set(
    graph.tested_absent.map(([source, target]) => pathKey({ source, target })),
  );
  const counted = graph.pathways.some((p) => p.evidence);
  const most = Math.max(2, ...graph.pathways.map((p) => p.evidence?.[0] ?? 0));
  /** From 0 to 1: how much stands behind a pathway, entries where they were counted, else density. */
  const strength = (p) =>
    counted ? Math.log2(1 + (p.evidence?.[0] ?? 0)) / Math.log2(1 + most) : p.density;
  return { graph, style, regions, paths, shown, into, outOf, back, absent, counted, strength };
}

function regionLabel(scene, region, selected) {
  const ends = [region.input && "input", region.output && "output"].filter(Boolean);
  const [into, outOf] = [scene.into(region.name).length, scene.outOf(region.name).length];
  return [
    region.name,
    plural(region.size, "unit"),
    ...ends,
    region.sign && `sign ${region.sign > 0 ? "plus" : "minus"}`,
    selected && "selected",
    `${plural(into, "pathway")} in`,
    `${outOf} out`,
  ]
    .filter(Boolean)
    .join(", ");
}

const pathLabel = (path, selected) =>
  `Pathway from ${path.source} to ${path.target}, ${path.known ? "" : "never tested, "}density ${densityText(path.density)}${selected ? ", selected" : ""}`;

/** What a cell of the matrix says: found, unsure, absent, open (no word on it), closed or inside. */
function cellState(scene, target, source) {
  if (target === source) return "inside";
  const key = pathKey({ source, target });
  const path = scene.paths.get(key);
  if (path?.known) return "found";
  if (scene.absent.has(key)) return "absent";
  if (path && !scene.absent.size) return "untested";
  return scene.absent.size ? "unsettled" : "closed";
}

const CELL_WORDS = {
  found: "pathway",
  untested: "never tested: closed",
  absent: "tested, none found: closed",
  unsettled: "not settled: closed",
  closed: "no pathway: closed",
  inside: "inside a region",
};

const HELP = [
  [
    "With the keyboard, in the drawing",
    [
      ["Arrows", "Next region or cell in that direction"],
      ["N", "New region"],
      ["P, arrows, Enter", "Pathway from here"],
      ["M, arrows, Enter", "Move by 8, with Shift by 1"],
      ["E, D", "Edit the name; the density"],
      ["I, O", "Input; output"],
      ["U", "Known or never tested"],
      ["R", "Turn a pathway round"],
      ["+ −", "Density by 0.05, size by 8"],
      ["] [", "Next, previous pathway of a region"],
      ["Delete", "Remove"],
      ["F", "Keep a region in view"],
      ["V", "Map or matrix"],
      ["0", "Fit the drawing"],
      ["Space", "Matrix: open or close a cell"],
      ["Enter", "Edit in the panel"],
      ["Esc", "One step back, and out of the drawing"],
      ["Ctrl Z, Ctrl Shift Z", "Undo, redo"],
    ],
  ],
  [
    "With the pointer",
    [
      ["Double-click on free ground", "New region"],
      ["Drag the blue handle", "New pathway, or new region with one"],
      ["Drag a region", "Move; Ctrl leaves the grid"],
      ["Drag a density", "Up or down by 0.01"],
      ["Double-click a pathway", "Known or never tested"],
      ["Ctrl click, or drag a frame", "Select several"],
      ["Ctrl wheel", "Zoom"],
      ["Drag with the middle button", "Move the drawing"],
    ],
  ],
];
