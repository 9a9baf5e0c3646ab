// The frame of a comparison: its bar, its parts in their places, and what Python says about it.

const MEASURES = ["loss", "metric", "violation"];
const WIDTH = { going: 586, plane: 500, small: 358 }; // until the page says how wide it is

const KEYS = [
  [
    "Anywhere",
    [
      ["R", "run, or resume what was stopped"],
      ["S", "stop; nothing is lost"],
      ["1, 2, 3", "to the plot of loss, metric, violation"],
      ["C", "show or hide the code"],
      ["Esc", "leave the field, then the widget: the notebook has its keys again"],
      ["?", "this list"],
    ],
  ],
  [
    "In the list of strategies",
    [
      ["↑ ↓", "previous, next strategy"],
      ["Space", "tick it, or not"],
      ["Enter", "its settings; Enter there takes them"],
      ["+", "a second copy with other settings"],
      ["Delete", "remove a copy"],
    ],
  ],
  [
    "In a plot",
    [
      ["← →", "move the ruler; the values are read out"],
      ["Page Up, Page Down", "move it by five"],
      ["Home, End", "first, last step"],
      ["↑ ↓", "choose the strategy"],
    ],
  ],
  [
    "In the table and the plane",
    [
      ["arrows", "from row to row, from mark to mark"],
      ["Enter on a mark", "compare with this strategy"],
      ["Enter on a header", "sort up, down, as listed"],
    ],
  ],
];

// state: the button that goes on or ends, and the ones beside it
const RUN = ["run", "Run", "play"];
const STOP = ["stop", "Stop", "stop"];
const CHANGE = ["change", "Change strategies"];
const BAR = {
  setup: [RUN],
  starting: [STOP],
  running: [STOP],
  stopping: [["stopping", "Stopping …", "stop"]],
  stopped: [
    ["resume", "Resume", "play"],
    ["over", "Start over"],
  ],
  failed: [RUN, CHANGE],
  finished: [["again", "Run again", "play"], CHANGE],
};

class ComparisonFrame extends FrameView {
  constructor(model, el, talk) {
    const main = button("run", { label: "Run", icon: "play", kind: "sk-main-button" });
    const beside = h("span", { class: "sk-beside" });
    super(model, el, talk, {
      testid: "comparison-view",
      title: "Comparison",
      keys: KEYS,
      make: [main, beside],
      history: false,
    });
    Object.assign(this, { main, beside });
    this.ui = { focus: null, ruler: null, open: false, more: false };
    this.frame.root.classList.add("sk-comparison");
    setAttributes(this.frame.codeText, { "aria-label": "Python of this comparison" });
    this.build();
    this.listen();
    this.draw();
  }

  build() {
    this.setupPart = new Setup(this);
    this.runList = new RowList(
      this,
      { "aria-label": "Strategies", class: "sk-rows", "data-testid": "runs" },
      (key) => this.setFocus(key.slice(2)),
    );
    this.listMetric = h("span", { class: "sk-caption" });
    this.plots = MEASURES.map((measure, i) => new CurvePlot(this, measure, i + 1));
    this.plotsNode = h(
      "div",
      { class: "sk-plots" },
      this.plots.map(({ node }) => node),
    );
    this.plane = new TradeOffPlane(this);
    this.results = new ResultsTable(this);
    const heading = h(
      "div",
      { class: "sk-row sk-list-head" },
      h("h4", {}, "Strategies"),
      h("span", { class: "sk-room" }),
      this.listMetric,
    );
    const side = h("div", { class: "sk-side" }, heading, this.runList.node, promiseWords());
    this.going = h("div", { class: "sk-sides sk-going" }, side, h("div", { class: "sk-main" }));
    this.done = h(
      "div",
      { class: "sk-sides sk-done" },
      h("div", { class: "sk-main" }, this.plane.node),
      h("div", { class: "sk-side" }),
    );
    this.buildProgress();
    this.fullText = h("pre", {
      class: "sk-more",
      tabindex: 0,
      "aria-label": "Full text",
      hidden: true,
    });
    this.stages = { setup: this.setupPart.node, going: this.going, done: this.done };
    this.frame.canvas.append(this.setupPart.node, this.going, this.done);
    this.frame.canvas.before(this.progressNode);
    this.frame.status.after(this.results.node);
  }

  buildProgress() {
    this.bar = h("div", { class: "sk-done-part" });
    this.track = h(
      "div",
      { class: "sk-track", role: "progressbar", "aria-label": "Training", "aria-valuemin": 0 },
      this.bar,
    );
    this.stepText = h("b", {});
    this.timeText = h("span", { class: "sk-quiet" });
    this.progressNode = h(
      "div",
      { class: "sk-progress" },
      this.track,
      h(
        "div",
        { class: "sk-row" },
        this.stepText,
        this.timeText,
        h("span", { class: "sk-room" }),
        h("span", { class: "sk-quiet sk-fair" }, "Every strategy takes the same batches in turn"),
      ),
    );
  }

  listen() {
    const { model } = this;
    const { on, root } = this.frame;
    on(root, "keydown", (event) => this.frameKey(event));
    for (const type of ["pointerdown", "keydown"])
      on(this.main, type, () => (this.begun = this.main.dataset.cmd), { capture: true });
    on(this.main, "click", (event) => this.checkPress(event), { capture: true });
    const list = this.runList.node;
    on(list, "pointerover", ({ target }) =>
      this.setFocus(target.closest("[data-run]")?.dataset.run ?? null),
    );
    on(list, "pointerleave", () => this.setFocus(null));
    on(list, "focusout", () => this.setFocus(null));
    this.watchFocus();
    this.watchKernel();
    for (const name of ["state", "setup", "runs", "progress", "messages", "result", "code"])
      model.on(`change:${name}`, () => this.later());
    model.on("change:said", () => this.speak());
    this.heard = model.get("said")?.id;
    this.arrived = () => this.later();
    this.talk.watchers.add(this.arrived);
    this.sizes = new ResizeObserver(() => this.resized());
    this.sizes.observe(this.frame.root);
  }

  close() {
    this.sizes.disconnect();
    this.talk.watchers.delete(this.arrived);
    super.close();
  }

  /** Plots are drawn pixel by pixel, so that their letters keep their size. */
  resized() {
    const { clientWidth } = this.frame.root;
    if (clientWidth === this.drawnWidth) return;
    this.drawnWidth = clientWidth;
    this.later();
  }

  // What Python says

  get state() {
    return this.model.get("state");
  }

  get setup() {
    return this.model.get("setup") ?? {};
  }

  get runs() {
    return this.model.get("runs") ?? [];
  }

  get progress() {
    return { step: 0, steps: 1, seeds: 1, ...this.model.get("progress") };
  }

  get result() {
    return this.model.get("result") ?? {};
  }

  get code() {
    return this.model.get("code");
  }

  get layout() {
    if (this.state === "setup" || !this.runs.length) return "setup";
    return this.state === "finished" ? "done" : "going";
  }

  /** Whether settings can't be changed now. */
  get locked() {
    return this.dead || this.state !== "setup";
  }

  /** The rows of the result with the runs they are of. */
  ranked() {
    const byKey = new Map(this.runs.map((run) => [run.key, run]));
    return (this.result.rows ?? [])
      .map((row) => ({ row, run: byKey.get(row.key) }))
      .filter(({ run }) => run);
  }

  /** The curves of one measure, of the runs that have some. */
  curvePoints(measure) {
    return this.runs
      .map((run) => ({ run, curve: this.talk.curves.get(run.key) }))
      .filter(({ curve }) => curve?.step.length)
      .map(({ run, curve }) => ({
        run,
        steps: curve.step,
        values: curve[measure].map((triple) => triple ?? [null, null, null]),
      }));
  }

  /** Reads out what Python says has happened, and what it refused. */
  speak() {
    const said = this.model.get("said");
    if (!said || said.id === this.heard) return;
    this.heard = said.id;
    if ((this.talk.speaker ?? this) !== this) return;
    if (said.refused) this.frame.alert(said.text);
    else this.frame.say(said.text);
  }

  tell(command) {
    if (!this.dead) this.talk.ask(command);
  }

  // Words

  measureName(measure, asTitle = false) {
    const { metric = "metric" } = this.setup;
    const named = metric === "loss" ? "test loss" : metric; // told from the loss of the training
    const name = measure === "metric" ? named : measure;
    return asTitle ? name[0].toUpperCase() + name.slice(1) : name;
  }

  measureNote(measure) {
    if (measure === "violation") return "bottom band: exactly 0";
    return `${measure === "loss" ? "lower" : this.setup.better} is better`;
  }

  metricText(value) {
    const all = this.ranked().flatMap(({ row }) => [row.metric, row.held]);
    return fixed(value, decimals(all));
  }

  valueText(measure, value) {
    if (measure !== "metric") return short(value);
    const all = this.curvePoints("metric").flatMap(({ values }) =>
      values.map(([middle]) => middle),
    );
    return fixed(value, decimals(all, 2));
  }

  textWidth = (text) => {
    this.pen ??= new OffscreenCanvas(1, 1).getContext("2d");
    this.pen.font = `12px ${getComputedStyle(this.frame.root).fontFamily}`;
    return this.pen.measureText(text).width;
  };
}
