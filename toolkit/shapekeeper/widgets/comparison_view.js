// The comparison of strategies: set up, trained, read.
//
// What tests and style sheets may hold on to:
//   root          .sk-editor[data-testid="comparison-view"][data-layout="setup|going|done"]
//   bar           [data-cmd="run|stop|resume|again|over|change|code|help"]; the first four are one
//                 button, which keeps the focus: .sk-main-button
//   setup         [data-testid="strategies"] [data-key="s:ID"]; [data-cmd="add|remove"];
//                 [data-field="ID:SETTING|seeds|steps|device"]
//   running list  [data-testid="runs"] [data-key="l:RUN"]
//   plots         svg[data-testid="plot-loss|plot-metric|plot-violation"] [data-run="RUN"]
//   plane         svg[data-testid="plane"] [data-key="m:RUN"]
//   table         [data-testid="results"] tr[data-run="RUN"]; [data-cmd="sort:COLUMN|reference:RUN"]
//   status strip  [data-testid="status"], [data-cmd="more|way:I"]; code [data-testid="code"]
//   live regions  [data-testid="polite"], [data-testid="assertive"]

const HOW_TO_RESUME = `view = ComparisonView(task, checkpoint="a-folder")
# A run with a checkpoint is saved as it goes: run the cell again, and it can be resumed.`;

class ComparisonView extends ComparisonFrame {
  // Drawing

  draw() {
    const { layout } = this;
    this.keepFocus(() => {
      this.place(layout);
      this.drawBar();
      this.drawProgress();
      if (layout === "setup") this.setupPart.draw();
      if (layout === "going") this.drawRuns();
      if (layout !== "setup") this.drawPlots(layout === "done");
      if (layout === "done") this.plane.draw(this.widthOf(this.plane.node, WIDTH.plane));
      this.results.node.hidden = layout === "setup" || !this.result.rows?.length;
      if (!this.results.node.hidden) this.results.draw();
      this.drawStatus();
      this.frame.showCode(this.code ?? "");
    });
    this.setupPart.expected?.();
    this.showFocus();
    const isBusy = ["starting", "stopping"].includes(this.state) && !this.dead;
    this.frame.root.classList.toggle("sk-busy", isBusy);
  }

  /** Brings the parts of this layout to their places; in the order of reading, for Tab. */
  place(layout) {
    const { root, canvas, status } = this.frame;
    const isFirst = layout === "done" || (this.dead && layout !== "setup");
    if (root.dataset.layout !== layout) {
      root.dataset.layout = layout;
      for (const [name, node] of Object.entries(this.stages)) node.hidden = name !== layout;
      const home = { going: ".sk-main", done: ".sk-side" }[layout];
      if (home) this.stages[layout].querySelector(home).append(this.plotsNode);
      Object.assign(this.ui, { ruler: null, focus: null });
    }
    this.progressNode.hidden = layout !== "going";
    if (isFirst && status.nextElementSibling !== canvas) canvas.before(status);
    if (!isFirst && canvas.nextElementSibling !== status) canvas.after(status);
  }

  drawBar() {
    const { frame, main, setup } = this;
    const { seeds, device } = this.progress;
    const here = [
      setup.task,
      this.layout !== "setup" && plural(seeds, "seed"),
      this.layout !== "setup" && device,
    ];
    frame.fact.textContent = here.filter(Boolean).join(" · ");
    const [[cmd, label, sign], ...beside] = BAR[this.state] ?? BAR.setup;
    const isIdle = cmd === "run" || cmd === "resume";
    setAttributes(main, {
      "data-cmd": cmd,
      class: `sk-button sk-main-button${isIdle ? " sk-primary" : ""}`,
      "aria-disabled":
        this.dead || cmd === "stopping" || (cmd === "run" && setup.ready === false) ? "true" : null,
    });
    refresh(main, [icon(sign), h("span", {}, label)]);
    refresh(
      this.beside,
      beside.map(([name, words]) => button(name, { label: words })),
    );
    for (const node of this.beside.children)
      setAttributes(node, { "aria-disabled": this.dead ? "true" : null });
  }

  drawProgress() {
    const { step, steps, seconds, to_go: left } = this.progress;
    this.bar.style.width = `${(100 * step) / steps}%`;
    setAttributes(this.track, { "aria-valuemax": steps, "aria-valuenow": step });
    this.stepText.textContent = `Step ${count(step)} of ${count(steps)}`;
    const since = isNumber(seconds) ? duration(Math.round(seconds)) : "";
    const rest =
      isNumber(left) && this.state === "running" ? `about ${duration(Math.round(left))} to go` : "";
    this.timeText.textContent = [since, rest].filter(Boolean).join(", ").replaceAll(".0 s", " s");
  }

  drawRuns() {
    this.listMetric.textContent = this.measureName("metric");
    const places = decimals(
      this.runs.map(({ value }) => value),
      2,
    );
    this.runList.draw(
      this.runs.map((run) => [`l:${run.key}`, run]),
      () => h("div", { role: "option", class: "sk-entry" }),
      (node, run) => this.drawRunRow(node, run, places),
    );
  }

  drawRunRow(node, run, places) {
    const { diverged } = run;
    const words = diverged ? divergedWords(diverged) : "";
    const value = isNumber(run.value) ? fixed(run.value, places) : "";
    setAttributes(node, {
      "data-run": run.key,
      "aria-selected": this.ui.focus === run.key,
      "aria-label": `${fullName(run)}: ${words || `${this.measureName("metric")} ${value || "not known yet"}`}`,
    });
    refresh(node, [
      lineSample(run.look, run.dash),
      named(run),
      diverged
        ? h("span", { class: "sk-bad-icon" }, icon("bad"))
        : h("span", { class: "sk-value" }, value),
      diverged && h("span", { class: "sk-unfit sk-error" }, words),
    ]);
  }

  drawPlots(isSmall) {
    const width = this.widthOf(this.plotsNode, isSmall ? WIDTH.small : WIDTH.going);
    for (const plot of this.plots) plot.draw(width, isSmall);
  }

  /** Inner width of a part; before it is on the page, what it will most likely be. */
  widthOf(node, otherwise) {
    const styles = getComputedStyle(node);
    const inner =
      node.clientWidth - parseFloat(styles.paddingLeft) - parseFloat(styles.paddingRight);
    return Math.round(inner > 100 ? inner : otherwise);
  }

  // Status strip

  messages() {
    if (!this.dead) return this.model.get("messages") ?? [];
    if (this.layout === "setup")
      return [
        {
          kind: "bad",
          text: "No kernel.",
          detail: "You can look, not change. Run the cell again.",
        },
      ];
    return [
      {
        kind: "bad",
        text: "The kernel is gone, and with it the run.",
        detail: "What was finished is drawn below.",
        more: HOW_TO_RESUME,
        moreLabel: "How to resume",
      },
    ];
  }

  drawStatus() {
    const messages = this.messages().map((message) => ({
      ...message,
      ways: [
        ...(message.ways ?? []),
        ...(message.more
          ? [{ label: message.moreLabel ?? "Show all", do: "show", text: message.more }]
          : []),
      ],
    }));
    this.ways = drawStatus(this.frame.status, messages, this.ui.open);
    const texts = this.ways.filter((way) => way.do === "show").map((way) => way.text);
    if (!texts.includes(this.ui.more)) this.ui.more = null;
    this.fullText.hidden = !this.ui.more;
    this.fullText.textContent = this.ui.more ?? "";
    if (this.fullText.parentNode !== this.frame.status) this.frame.status.append(this.fullText);
    this.ways.forEach((way, i) => {
      if (way.do === "show")
        setAttributes(this.frame.status.querySelector(`[data-cmd="way:${i}"]`), {
          "aria-expanded": way.text === this.ui.more,
        });
    });
  }

  takeWay(way) {
    if (way.do !== "show") return this.tell(way.do);
    this.ui.more = this.ui.more === way.text ? null : way.text;
    return this.drawStatus();
  }

  // Commands

  commands(argument, pressed) {
    const tell = (name) => [name, () => this.tell({ do: name })];
    return {
      ...Object.fromEntries(["run", "stop", "resume", "again", "over", "change"].map(tell)),
      help: () => this.toggleHelp(),
      copy: () => this.copy(pressed),
      code: () => this.toggleCode(this.barButton("code")),
      more: () => ((this.ui.open = !this.ui.open), this.drawStatus()),
      way: () => this.takeWay(this.ways[Number(argument)]),
      add: () => this.setupPart.add(),
      remove: () => this.setupPart.remove(),
      sort: () => this.results.sortBy(argument),
      reference: () => this.tell({ do: "reference", run: argument }),
    };
  }

  /** The button may have changed under the finger, and the second half of a double-click is none. */
  checkPress(event) {
    const isStale = this.begun && this.begun !== this.main.dataset.cmd;
    this.begun = null;
    if (isStale || event.detail > 1) event.stopPropagation();
  }

  // Focus

  get home() {
    return this.main;
  }

  backToDrawing() {
    const list = { setup: this.setupPart.list, going: this.runList }[this.layout];
    const isIn = list?.node.contains(document.activeElement);
    if (this.layout === "setup" && !isIn) list.goTo(list.active);
    else this.main.focus({ preventScroll: true });
  }

  frameKey(event) {
    const { target, key } = event;
    if (target === this.frame.root || event.defaultPrevented) return;
    if (!this.frame.help.hidden) return this.helpKey(event);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isTyping = target.matches("input, select");
    const does = {
      Escape: () => this.frame.root.focus({ preventScroll: true }),
      ...(isTyping ? {} : this.letters()),
    };
    const handle = does[key.length === 1 ? key.toLowerCase() : key];
    if (!handle) return;
    event.preventDefault();
    handle();
  }

  letters() {
    const press = (names) => () => {
      if (names.includes(this.main.dataset.cmd) && this.main.ariaDisabled !== "true")
        this.pressMain();
    };
    const plots = MEASURES.map((_, i) => [
      String(i + 1),
      () => this.layout !== "setup" && this.plots[i].svg.focus(),
    ]);
    return {
      r: press(["run", "resume"]),
      s: press(["stop"]),
      c: () => this.toggleCode(this.barButton("code")),
      "?": () => this.toggleHelp(),
      ...Object.fromEntries(plots),
    };
  }

  /** A letter pressed in a part that goes away leaves the focus on the button it stands for. */
  pressMain() {
    this.run(this.main.dataset.cmd, this.main);
    if (this.layout === "setup") this.main.focus({ preventScroll: true });
  }

  // One run brought forward: its lines stay, the rest fades

  setFocus(key) {
    if (this.ui.focus === key) return;
    this.ui.focus = key;
    this.showFocus();
  }

  showFocus() {
    const key = this.ui.ruler?.key ?? this.ui.focus;
    const shown = this.runs.some((run) => run.key === key) ? key : null;
    for (const node of this.frame.root.querySelectorAll("[data-run]")) {
      node.classList.toggle("sk-back", shown !== null && node.dataset.run !== shown);
      node.classList.toggle("sk-front", node.dataset.run === shown);
    }
  }

  // The ruler of the plots: a step and a run, by pointer or by keys; keys win while a plot has focus

  setRuler(ruler, by) {
    const isOwned = this.ui.ruler?.by === "keys" && by === "pointer";
    if (isOwned || (!ruler && !this.ui.ruler)) return;
    this.ui.ruler = ruler && { ...ruler, by };
    for (const plot of this.plots) plot.drawRuler();
    this.showFocus();
  }

  openRuler() {
    const points = this.curvePoints("loss");
    if (!points.length || this.pressing) return;
    const { key } = this.ruled ?? { key: this.ui.focus };
    const point = points.find(({ run }) => run.key === key) ?? points[0];
    const step = point.steps.includes(this.ruled?.step) ? this.ruled.step : point.steps.at(-1);
    this.setRuler({ step, key: point.run.key }, "keys");
  }

  moveRuler(by) {
    const point = this.curvePoints("loss").find(({ run }) => run.key === this.ui.ruler?.key);
    if (!point) return this.openRuler();
    const { steps } = point;
    const at = clamp(0, steps.indexOf(this.ui.ruler.step) + by, steps.length - 1);
    this.rule({ step: steps[at], key: point.run.key });
  }

  turnRuler(by, plot) {
    const { ruler } = this.ui;
    if (!ruler) return this.openRuler();
    const order = plot.order(ruler.step).map(({ run }) => run.key);
    const key = order[clamp(0, order.indexOf(ruler.key) + by, order.length - 1)];
    const { steps } = plot.points.find(({ run }) => run.key === key);
    const step = steps.reduce((a, b) =>
      Math.abs(b - ruler.step) < Math.abs(a - ruler.step) ? b : a,
    );
    this.rule({ step, key });
  }

  rule(ruler) {
    this.ruled = ruler; // the place is kept from plot to plot
    this.setRuler(ruler, "keys");
  }

  /** What a plot shows at the ruler; nothing if its run has no value there. */
  reading(measure) {
    const { ruler } = this.ui;
    const point = ruler && this.curvePoints(measure).find(({ run }) => run.key === ruler.key);
    const i = point ? point.steps.indexOf(ruler.step) : -1;
    if (i < 0) return null;
    const [value, low, high] = point.values[i];
    const text = (v) => this.valueText(measure, v);
    const range = isNumber(low) && low !== high ? ` (${text(low)} to ${text(high)})` : "";
    const words = `step ${count(ruler.step)} · ${fullName(point.run)} ${isNumber(value) ? text(value) : "no number"}${range}`;
    return { step: ruler.step, point, value, words };
  }

  readOut(measure) {
    const reading = this.reading(measure);
    if (!reading) return;
    const { step, point, value } = reading;
    const [, low, high] = point.values[point.steps.indexOf(step)];
    const text = (v) => this.valueText(measure, v);
    const range = isNumber(low) && low !== high ? `, range ${text(low)} to ${text(high)}` : "";
    const name = this.measureName(measure);
    this.frame.say(
      `step ${count(step)}, ${fullName(point.run)}, ${name} ${isNumber(value) ? text(value) : "not a number"}${range}`,
      500,
    );
  }
}

function divergedWords({ step, seeds, of }) {
  if (seeds.length === of)
    return `diverged at step ${count(step)} in ${of === 1 ? "its seed" : "all seeds"}`;
  const all = seeds.map(String);
  const list = all.length > 1 ? `${all.slice(0, -1).join(", ")} and ${all.at(-1)}` : all[0];
  return `diverged at step ${count(step)} in ${all.length > 1 ? "seeds" : "seed"} ${list}`;
}

// The module: curves and commands belong to the model, so that all views of it agree

/** Curves as they arrive, and commands one after the other: the kernel sees none that comes sooner. */
function comparisonTalk(model) {
  const curves = new Map();
  const watchers = new Set();
  const waiting = [];
  let asked = null;
  const next = () => {
    if (!waiting.length || (asked !== null && model.get("answered") !== asked)) return;
    asked = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
    model.set("command", { ...waiting.shift(), id: asked });
    model.save_changes();
  };
  model.on("change:answered", next);
  model.on("msg:custom", (message) => {
    if (message?.kind !== "points") return;
    if (message.fresh) curves.clear();
    for (const [key, more] of Object.entries(message.runs)) {
      const known = curves.get(key);
      curves.set(key, known ? joined(known, more) : more);
    }
    watchers.forEach((watch) => watch());
  });
  model.send({ do: "points" });
  return { curves, watchers, speaker: null, ask: (command) => (waiting.push(command), next()) };
}

const joined = (known, more) =>
  Object.fromEntries(
    Object.entries(known).map(([name, values]) => [name, [...values, ...(more[name] ?? [])]]),
  );

export default function () {
  let talk;
  return {
    initialize({ model }) {
      talk = comparisonTalk(model);
    },
    render({ model, el }) {
      const view = new ComparisonView(model, el, talk);
      return () => view.close();
    },
  };
}
