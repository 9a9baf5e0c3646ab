// Automata in the browser: edits (a drawing in, a new drawing out) and what a view reads off one.

const CANVAS = { width: 588, height: 264 };
const RADIUS = 24;
const MONO = 7.9; // width of a character on a chip
const PAD = "·";
const LONGEST = 200; // symbols
const TOO_MANY = 40; // states; above that only the table is readable
const FAR_TOO_MANY = 120; // and above that not even the table

const stateKey = (name) => `s:${name}`;
const stepKey = ({ source, target }) => `p:${source}>${target}`;

// Edits: a drawing in, a new drawing out

function withState(drawn, name, changes) {
  const states = drawn.states.map((s) => (s.name === name ? { ...s, ...changes } : s));
  return { ...drawn, states };
}

function addState(drawn, name, { x, y }) {
  return { ...drawn, states: [...drawn.states, { name, position: [x, y], end: false }] };
}

/** A step with each of the symbols; new ones join the alphabet. */
function addSteps(drawn, source, target, symbols) {
  const steps = symbols.map((symbol) => [source, symbol, target]);
  const known = new Set(drawn.steps.map(String));
  return {
    ...drawn,
    symbols: [...new Set([...drawn.symbols, ...symbols])],
    steps: [...drawn.steps, ...steps.filter((step) => !known.has(String(step)))],
  };
}

/** The arrow from one state to another with these symbols and no others. */
function withSymbols(drawn, source, target, symbols) {
  const others = drawn.steps.filter(([from, , to]) => from !== source || to !== target);
  return addSteps({ ...drawn, steps: others }, source, target, symbols);
}

/** The step that a symbol makes from a state, led elsewhere; null: not allowed. */
function withTarget(drawn, source, symbol, target) {
  const steps = drawn.steps.filter(([from, s]) => from !== source || s !== symbol);
  return { ...drawn, steps: target === null ? steps : [...steps, [source, symbol, target]] };
}

/** Without these states, their steps, and these arrows. A state stays, where words begin. */
function without(drawn, keys) {
  const gone = new Set(keys);
  const stays = (name) => !gone.has(stateKey(name));
  const states = drawn.states.filter((s) => stays(s.name));
  return {
    ...drawn,
    states: states.length ? states : [{ ...drawn.states[0], name: "0", end: false }],
    steps: drawn.steps.filter(
      ([source, , target]) =>
        stays(source) && stays(target) && !gone.has(stepKey({ source, target })),
    ),
    start: states.length ? (stays(drawn.start) ? drawn.start : null) : "0",
  };
}

function renameSymbol(drawn, symbol, name) {
  const called = (s) => (s === symbol ? name : s);
  return {
    ...drawn,
    symbols: drawn.symbols.map(called),
    steps: drawn.steps.map(([source, s, target]) => [source, called(s), target]),
  };
}

function removeSymbol(drawn, symbol) {
  return {
    ...drawn,
    symbols: drawn.symbols.filter((s) => s !== symbol),
    steps: drawn.steps.filter(([, s]) => s !== symbol),
  };
}

/** What was typed for a step: several symbols stand between commas or blanks. */
const symbolsIn = (text) => [...new Set(text.split(/[\s,]+/).filter(Boolean))];

/** Whether a drawing can be drawn at all. What is wrong with it is for Python to say. */
function isWellFormed({ states, steps, start, symbols, length }) {
  const names = new Set(states.map((s) => s.name));
  const certain = new Map(steps.map(([source, symbol, target]) => [`${source} ${symbol}`, target]));
  return (
    names.size === states.length &&
    names.size > 0 &&
    (start === null || names.has(start)) &&
    new Set(symbols).size === symbols.length &&
    symbols.every((s) => s && s !== PAD && !/\s/.test(s)) &&
    Number.isInteger(length) &&
    length > 0 &&
    length <= LONGEST &&
    steps.every(
      ([source, symbol, target]) =>
        names.has(source) &&
        names.has(target) &&
        symbols.includes(symbol) &&
        certain.get(`${source} ${symbol}`) === target,
    )
  );
}

function freeName({ states }) {
  const taken = new Set(states.map((s) => s.name));
  let number = 0;
  while (taken.has(String(number))) number++;
  return String(number);
}

// Reading

/** A drawing with its arrows: all symbols from one state to another are one line. */
function readScene(drawn) {
  const states = new Map(drawn.states.map((state) => [state.name, state]));
  const arrows = new Map();
  for (const [source, symbol, target] of drawn.steps) {
    const key = stepKey({ source, target });
    if (!arrows.has(key)) arrows.set(key, { source, target, symbols: [] });
    arrows.get(key).symbols.push(symbol);
  }
  const order = new Map(drawn.symbols.map((symbol, i) => [symbol, i]));
  for (const { symbols } of arrows.values()) symbols.sort((p, q) => order.get(p) - order.get(q));
  const targets = new Map(drawn.steps.map(([s, symbol, t]) => [JSON.stringify([s, symbol]), t]));
  const target = (state, symbol) => targets.get(JSON.stringify([state, symbol])) ?? null;
  const back = (arrow) => arrows.get(stepKey({ source: arrow.target, target: arrow.source }));
  const out = (name) => [...arrows.values()].filter((a) => a.source === name);
  const into = (name) => [...arrows.values()].filter((a) => a.target === name);
  return { drawn, states, arrows, target, back, out, into };
}

/** The states a word goes through, the start first; it may break off. */
function walkOf(scene, word) {
  const path = [scene.drawn.start];
  for (const symbol of word) {
    const next = scene.target(path.at(-1), symbol);
    if (next === null) break;
    path.push(next);
  }
  return path;
}

/** A word as it is read: letters together, longer symbols apart. */
const wordText = (word) => word.join(word.every((symbol) => symbol.length === 1) ? "" : " ");

const chipText = (symbols) =>
  symbols.length > 3 ? `${symbols.length} symbols` : symbols.join(", ");

function stateLabel(scene, state, selected) {
  const [into, out] = [scene.into(state.name).length, scene.out(state.name).length];
  return [
    `State ${state.name}`,
    scene.drawn.start === state.name && "start",
    state.end && "may end",
    selected && "selected",
    `${plural(into, "step")} in`,
    `${out} out`,
  ]
    .filter(Boolean)
    .join(", ");
}

const stepLabel = ({ source, target, symbols }, selected) =>
  `Step from ${source} to ${target === source ? "itself" : target} with ${symbols.join(", ")}${selected ? ", selected" : ""}`;

const HELP = [
  [
    "With the keyboard, in the drawing",
    [
      ["Arrows", "Next state in that direction"],
      ["N", "New state"],
      ["P, arrows, symbol, Enter", "Step from here; without arrows, to itself"],
      ["Space", "May end, yes or no"],
      ["S", "Make this the start"],
      ["E", "Edit the symbols of a step"],
      ["M, arrows, Enter", "Move by 8, with Shift by 1"],
      ["] [", "Next, previous step of a state"],
      ["Delete", "Remove"],
      ["W, then → ←", "Walk a word, symbol by symbol"],
      ["R", "Other samples"],
      ["T", "Try a word"],
      ["V", "Drawing or table"],
      ["0", "Fit the drawing"],
      ["Enter", "Edit in the panel"],
      ["Esc", "One step back, and out of the drawing"],
      ["Ctrl Z, Ctrl Shift Z", "Undo, redo"],
    ],
  ],
  [
    "With the pointer",
    [
      ["Double-click on free ground", "New state"],
      ["Drag the blue handle to a state", "New step; onto free ground: with a new state"],
      ["Double-click a state", "May end, yes or no"],
      ["Drag the start arrow", "Make another state the start"],
      ["Click a chip", "Edit its symbols"],
      ["Drag a state", "Move; Ctrl leaves the grid"],
      ["Click a word", "Walk it"],
      ["Click a bar", "Take that length"],
      ["Ctrl wheel", "Zoom"],
      ["Drag with the middle button", "Move the drawing"],
    ],
  ],
  [
    "In the slots of a word to try",
    [
      ["A symbol", "Fill this slot and go on"],
      ["Up, down", "Next symbol for this slot"],
      ["Left, right", "Another slot"],
      ["Backspace, Delete", "Empty this slot"],
    ],
  ],
];
