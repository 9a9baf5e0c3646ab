# %% [markdown]
# # 02 · Regions: a brain of regions and channels
#
# In the [tour](00_tour.ipynb) you held a drawing while the network learned. Now the regions have
# jobs, and you take them out one by one. Plan about forty minutes; the longest cell trains for
# about half a minute on two cores.

# %%
import copy
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import HTML
from matplotlib.animation import FuncAnimation
from matplotlib.patches import Circle, Rectangle

import shapekeeper as sk
from shapekeeper import course, plots, widgets

budget = course.budget()

# %% [markdown]
# ## Same accuracy, same size, same lesion
#
# Two handwritten digits stand side by side, and two answers are wanted. Two networks of 64 units
# learn it. In one, everybody talks to everybody. The other consists of two regions without any
# pathway between them: a region whose name begins with `left` reads the left image and gives the
# left answer, and `right` alike.

# %%
ends = {"input": True, "output": True}
whole = sk.RegionGraph([sk.Region("whole", 64, position=(296, 240), **ends)])
left = sk.Region("left", 32, position=(192, 240), **ends)
right = sk.Region("right", 32, position=(400, 240), **ends)
halves = sk.RegionGraph([left, right])

# %%
task, held = sk.tasks.two_digits(halves), [sk.Projection()]
amount = {"seeds": budget.seeds, "steps": budget.steps(600)}
dense = sk.compare(sk.tasks.two_digits(whole), held, **amount).models("Projection")
regional = sk.compare(task, held, **amount).models("Projection")

# %% [markdown]
# Now silence the units one after the other, the first 32 of 64, in both networks. A silenced unit
# still hears, and nobody hears it.


# %%
def skills(net, lesion=slice(0)):
    """Accuracy of the left and of the right answer, with some units silenced."""
    net, (pairs, digits) = copy.deepcopy(net), task.data_for(0).test
    with torch.no_grad():
        net.weight[:, lesion] = 0
        net.output_weight[:, lesion] = 0
        answer = net(pairs)
    return [f(answer, digits).item() for f in (sk.tasks.left_accuracy, sk.tasks.right_accuracy)]


# %%
def patch(ax, graph, silent):
    """Lay gray over the share of each region that is silent."""
    circles = [artist for artist in ax.patches if isinstance(artist, Circle)]
    for circle, part in zip(circles, graph.slices.values(), strict=True):
        (x, y), r, size = circle.center, circle.radius, part.stop - part.start
        share = min(max(silent - part.start, 0), size) / size
        gray = Rectangle((x - r, y - r), 2 * r * share, 2 * r, color="gray", alpha=0.85, zorder=9)
        ax.add_patch(gray).set_clip_path(circle)


# %%
figure, axes = plt.subplots(2, 2, figsize=(7.5, 5), height_ratios=(2, 3))
plt.close(figure)  # it will be shown as a film


def show(silent):
    for (drawn, score), nets in zip(axes.T, (dense, regional), strict=True):
        drawn.clear(), score.clear()
        patch(plots.wiring(nets[0].graph, ax=drawn), nets[0].graph, silent)
        both = np.transpose([skills(net, slice(silent)) for net in nets])
        plots.bars({"left answer": both[0], "right answer": both[1]}, ax=score, y="accuracy")
        score.set(ylim=(0, 1.1), title=f"{silent} of 64 units silenced")


# %%
frames = range(0, 33, budget.pick(smoke=32, quick=4, full=4))
film = FuncAnimation(figure, show, frames, lambda: None)
HTML(film.to_jshtml(fps=3, default_mode="once"))

# %% [markdown]
# *A film; the buttons below it play it again, or go frame by frame. The gray patch grows over the
# drawing. Left, one network of 64 units: both answers sink together. Right, two regions: one answer
# goes, and the other does not move. Bars are means, dots are seeds; guessing gets 0.1.*
#
# Same accuracy, same size, same lesion.

# %% [markdown]
# ## The question
#
# **What does a network gain and lose when most of it may not talk to most of it?**
#
# Five words: a **region** is a group of units. A **pathway** leads from one region to another, and
# its **wires** are the open weights in it. A **lesion** silences a region. A **drawing** is one
# choice, by chance, of which wires a thin pathway has.

# %% [markdown]
# ## Draw
#
# The two regions, for you to join. Press *Pathway*, click `left`, then `right`. (By keyboard: Tab
# into the drawing, arrow keys to choose a region, P, choose the other one, Enter.) Then give the
# pathway a density: 1 is all 1024 wires, 0.0625 is 64.

# %%
editor = widgets.RegionGraphEditor(halves)
editor


# %% [markdown]
# The same from code, so that the notebook runs without a browser. To go on with your own drawing,
# put `joined = editor.value` at the end of the cell.


# %%
def with_channel(wires):
    return halves.with_pathway(sk.Pathway("left", "right", density=wires / 1024))


joined = with_channel(1024)
ax = plots.wiring(joined)

# %% [markdown]
# Nobody needs this channel: the right region sees all of its own image, and the left one knows
# nothing about it. **Predict.** Train with all 1024 wires open, then silence the left region. The
# right region has lost half of what it hears. **What accuracy is left of the right answer?**

# %%
guess_channel = None  # a number between 0 and 1
course.predict("02.A", guess_channel)

# %% [markdown]
# **E1 · Lesions.** First the two networks of the film, with every lesion. The last one is a
# control: it silences as many units, every second one.

# %%
lesions = {"intact": slice(0), "left half": slice(32), "right half": slice(32, 64)}
lesions["every second"] = slice(0, 64, 2)
_, row = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
for ax, nets, name in zip(row, (dense, regional), ("dense", "two regions"), strict=True):
    found = {k: np.transpose([skills(net, part) for net in nets]) for k, part in lesions.items()}
    groups = {k: {"left answer": a, "right answer": b} for k, (a, b) in found.items()}
    plots.bars(groups, ax=ax, y="accuracy on test data").set_title(name, pad=24)

# %% [markdown]
# *Look for the cross: left half, right half, at the right only. A lesion here takes one skill, and
# the other lesion takes the other skill: a **double dissociation**. The last pair is as large a
# lesion, and takes both skills from both networks: it is not the number of silenced units that
# counts.*
#
# No wonder: **we built it in.** No wire leads from the left region to the right answer, so no
# lesion can find one. That is worth saying, because in a brain the same picture is a discovery. And
# the two networks are equal only roughly:

# %%
a, b = ([np.mean(skills(net)) for net in nets] for nets in (dense, regional))
gap = 100 * (pd.Series(b) - pd.Series(a))
print(f"Intact, two regions minus dense: {gap.mean():.1f} points, sd {gap.std():.1f} over seeds")

# %% [markdown]
# A small lead of the regions, before any lesion: who cannot look at the wrong image need not learn
# to ignore it. Now the channel.

# %%
channels = {"no wires": regional}
for wires, graph in {"64 wires": with_channel(64), "joined": joined}.items():
    run = sk.compare(sk.tasks.two_digits(graph), held, **amount)
    channels[wires] = run.models("Projection")

# %%
cases = {"intact": slice(0), "left silenced": slice(32)}
right_answer = {
    name: {case: [skills(net, part)[1] for net in nets] for case, part in cases.items()}
    for name, nets in channels.items()
}
ax = plots.bars(right_answer, y="accuracy of the right answer")
if guess_channel is not None:
    _ = ax.plot(2.2, guess_channel, "D", ms=12, mfc="none", mec="black")

# %%
course.reveal("02.A", right_answer["joined"]["left silenced"])

# %% [markdown]
# *Hollow diamond: your guess. The right answer, before and after the lesion of the left region, for
# more and more wires between them. Dots are seeds.*
#
# With 64 wires the lesion takes nothing beyond the spread. With all 1024 it takes something, and
# little: the right region has learned to do without. **A wire that is open is not yet a wire that
# is needed.** But only the closed one comes with a promise.

# %% [markdown]
# ### Exercise 02.4 · Whose lesion?
#
# (The exercises are numbered by topic, not by order.) Four made-up networks, and what is left of
# two skills after two lesions. Write one number that says how modular a network is: high only if
# *each* lesion hurts its own skill and spares the other one.

# %%
pd.concat(course.example("02.4"))


# %%
def dissociation(table):
    ### BEGIN SOLUTION
    lost = table.loc["intact"] - table
    left = lost.loc["lesion left", "left"] - lost.loc["lesion left", "right"]
    right = lost.loc["lesion right", "right"] - lost.loc["lesion right", "left"]
    return min(left, right)
    ### END SOLUTION


course.check("02.4", dissociation)

# %% [markdown] tags=["hint"]
# Double means two.
#
# One number for each lesion: what its own skill lost, minus what the other one lost.
#
# The weaker of the two decides: `min`.

# %% [markdown]
# ## Soft regions
#
# Must the wires between regions be closed? One may also ask for few of them: an **L1 penalty**
# pulls each closed wire toward 0 by the same small amount in every step (strength × learning rate).
# Here the closed wires are those that cross over: from the right image to the left region, from the
# left region to the right answer, and so on. The **violation** is the largest of them.
#
# **Predict** a point: violation and accuracy of `L1 0.1`, before anything is cut.

# %%
guess_soft = None  # for example (0.1, 0.9)
course.predict("02.B", guess_soft)

# %% [markdown]
# **E2 · From free to held.** Free training twice: from an ordinary start, where all wires are there
# from the beginning, and from the start that all the others get, where the closed ones begin at 0.

# %%
soft = {"free, dense start": sk.Unconstrained(start="task"), "free": sk.Unconstrained()}
soft |= {f"L1 {s:g}": sk.Penalty(s, norm="absolute") for s in (0.01, 0.03, 0.1, 0.3)}
soft |= {"held": sk.Projection()}
asked = sk.compare(task, soft, seeds=budget.seeds, steps=budget.steps(400))
ax = plots.tradeoff(asked, guess={"L1 0.1": guess_soft})

# %% [markdown]
# *Before the cut, all are much alike. Follow the arrows: the free ones fall, those that were asked
# firmly do not.* As always:
#
# > **Right is freedom. Left is obedience. The arrow is the bill.**
#
# The plane does not know about lesions. So once more, with another height: what does the lesion of
# one region take from the *other* skill?

# %%
sides = list(halves.slices.values())


def bystander(net):
    """What a lesion takes from the skill of the other region, mean of both lesions."""
    (_, right_lost), (left_lost, _) = [np.subtract(skills(net), skills(net, s)) for s in sides]
    return (left_lost + right_lost) / 2


hurt = {label: [bystander(net) for net in asked.models(label)] for label in soft}

# %%
_, ax = plt.subplots(figsize=(7.4, 4), layout="constrained")
for label, strategy in soft.items():
    leak, style = asked.final().loc[label, "violation"], plots.look(strategy, ax)
    ax.plot(leak, hurt[label], "o", ms=4, alpha=0.5, color=style["color"])
    ax.plot(leak.mean(), np.mean(hurt[label]), ls="none", ms=9, label=label, **style)
    side = {"xytext": (-8, 7), "ha": "right"} if "L1" in label else {"xytext": (8, 7)}
    ax.annotate(label, (leak.mean(), np.mean(hurt[label])), textcoords="offset points", **side)
ax.set_xscale("symlog", linthresh=0.01)
_ = ax.set(xlabel="violation: largest closed weight (0 at the left edge)", xlim=(-0.002, 6))
_ = ax.set(ylabel="accuracy lost by the other skill")

# %%
points = asked.final().loc["L1 0.1", ["violation", "metric"]].to_numpy(float)
course.reveal("02.B", points)

# %%
means = {label: 100 * np.mean(values) for label, values in hurt.items()}
spreads = {label: 100 * pd.Series(values).std() for label, values in hurt.items()}
pd.DataFrame({"points lost by the other skill": means, "sd": spreads}).round(1)

# %% [markdown]
# *Read from right to left. The two free networks reach much the same accuracy, and a lesion in one
# of them does several times the damage: where training starts decides where the skills end up.*
#
# At a strength of 0.1 and above, the other skill is spared as well as in the held network, within
# the spread, although the wires are not closed. So **soft is enough, here, for the lesion**; what
# it lacks is the word *always*. The strength that suffices is known only after the lesion.

# %% [markdown]
# ## How many wires does a pathway need?
#
# Back to one digit and a chain: eye (32 units), middle (32), hand (16). Each pathway gets the same
# number of wires, from 4 to all 512 that middle and hand can have between them; chance says which.
# Inside the regions there is a single wire, the least a region can have.
#
# **Predict** the curve: accuracy at five widths. Take the `#` away and change the numbers.

# %%
guess_curve = None
# guess_curve = {8: 0.5, 16: 0.6, 32: 0.7, 64: 0.8, 512: 0.9}
course.predict("02.C", guess_curve)

# %% [markdown]
# **E3 · Width.** Every dot will be a drawing of its own. Besides the accuracy we note two suspects:
# how many of the 16 hand units are **reached**, by some chain of open wires from the eye; and how
# many stay **silent** for every test image (a unit that never fires cannot learn either).


# %%
def chain(wires, inside=0.001):
    graph = sk.regions.sense_and_act(wires)
    return replace(graph, regions=[replace(r, density=inside) for r in graph.regions])


def reached(graph, drawing):
    at, wires = graph.slices, (graph.mask(drawing) | torch.eye(graph.units, dtype=bool)).float()
    middle = wires[at["middle"], at["middle"]] @ wires[at["middle"], at["eye"]]
    hand = wires[at["hand"], at["hand"]] @ wires[at["hand"], at["middle"]] @ middle
    return int(hand.any(1).sum())


# %%
images = sk.tasks.digits().data_for(0).test[0]
as_it_is = {"output_weight": torch.eye(16), "output_bias": torch.zeros(16)}  # shows the hand


def trained(wires, drawing, inside=0.001):
    graph, amount = chain(wires, inside), {"seeds": [drawing], "steps": budget.steps(400)}
    run = sk.compare(sk.tasks.digits(graph, drawing=drawing), held, **amount, batched=False)
    hand = torch.func.functional_call(run.models("Projection")[0], as_it_is, images)
    found = {"accuracy": run.final()["metric"].item(), "silent": int((hand <= 0).all(0).sum())}
    return {"wires": wires, "drawing": drawing, "reached": reached(graph, drawing), **found}


# %%
widths, drawings = [4, 8, 16, 32, 64, 128, 512], range(budget.seeds)
lottery = pd.DataFrame([trained(wires, d) for wires in widths for d in drawings])

# %%
_, row = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
style = {"c": np.log2(lottery["wires"]), "cmap": "Greys", "edgecolors": "gray"}
for ax, name in zip(row, ("wires", "reached", "silent"), strict=True):
    ax.scatter(lottery[name], lottery["accuracy"], **style)
    _ = ax.set(xlabel=f"hand units {name}, of 16", xticks=range(0, 17, 4), ylim=(0, 1))
row[0].set_xscale("log", base=2)
row[0].set_xticks(widths, widths)
_ = row[0].set(xlabel="wires in each pathway", ylabel="accuracy on test data")
if guess_curve:
    row[0].plot(*zip(*guess_curve.items(), strict=True), "D:", ms=10, mfc="none", c="black")

# %% [markdown]
# *Each dot is one drawing, trained once; darker has more wires. Hollow diamonds: your curve. Left:
# a cliff, not a slope. Look how far apart the dots of one width are, on the cliff and above it.
# Middle and right: the same dots, sorted by the two suspects.*

# %%
course.reveal("02.C", lottery.groupby("wires")["accuracy"].apply(list).to_dict())

# %%
columns = {"accuracy": ("accuracy", "mean"), "sd": ("accuracy", "std")}
columns |= {"worst": ("accuracy", "min"), "best": ("accuracy", "max")}
columns |= {"reached": ("reached", "mean"), "silent": ("silent", "mean")}
lottery.groupby("wires").agg(**columns).round(2)

# %% [markdown]
# From 64 wires up it is flat: eight times as many buy about nothing. From 32 down it is a lottery;
# the columns `worst` and `best` say how large the prizes are. Where few hand units are reached, few
# can help; and where many stay silent, those that are reached do not help either. Both suspects
# were there at the same time, so this picture **cannot tell** them apart.
#
# **Who throws the dice?** Every dot had a fresh drawing *and* fresh starting weights. To take them
# apart, train each of a few drawings with 16 wires from several starts.

# %%
steps, dice = budget.steps(400), {}
for drawing in range(budget.pick(smoke=2, quick=5, full=10)):
    graph = chain(16)
    run = sk.compare(sk.tasks.digits(graph, drawing=drawing), held, seeds=budget.seeds, steps=steps)
    name = f"drawing {drawing}\nreaches {reached(graph, drawing)}"
    dice[name] = run.final()["metric"].reset_index(drop=True)
ax = plots.bars(dice, y="accuracy, 16 wires")

# %%
throws = pd.DataFrame(dice)
between, within = throws.mean().std(), throws.var().mean() ** 0.5
print(f"sd of the means of drawings: {between:.2f}; sd over starts in one drawing: {within:.2f}")

# %% [markdown]
# *A bar is one drawing, a dot is one start.* Drawings differ, and starts within a drawing differ as
# much: **two dice**. Nor does the number of hand units reached decide alone; compare two drawings
# that reach the same number.
#
# Had we drawn the wires once, as one easily does, we would have reported one of these bars as "the"
# accuracy of 16 wires, with the spread of its dots, and nobody would have seen the other bars.

# %% [markdown]
# **A control.** If missing chains were all there is to it, regions that are full inside should
# repair it: one wire into a region, and its units tell each other. So: the same pathways, the same
# widths, all wires inside open.

# %%
some = range(min(3, budget.seeds))
full = pd.DataFrame([trained(w, d, inside=1.0) for w in (8, 32, 64, 512) for d in some])
pairs = {"one wire inside": lottery[lottery["drawing"] < 3], "full inside": full}
pairs = {name: rows.set_index("wires")["accuracy"] for name, rows in pairs.items()}
groups = {f"{w} wires": {name: pairs[name].loc[[w]] for name in pairs} for w in (8, 32, 64, 512)}
ax = plots.bars(groups, y="accuracy on test data")

# %%
full.groupby("wires").agg(**columns).round(2)

# %% [markdown]
# *Look at the first pair, and then at the third. In the table, look at `reached`.*
#
# With 8 wires, everyone in the hand is now reached, and the accuracy rises a lot: chains do matter.
# And it stays far below the plateau: **they are not all**. Eight wires carry at most eight numbers,
# whoever hears them. With 64 wires the full regions are even *behind* the thin ones, although they
# have many more open weights; with 32 and 512 that is inside the spread. The tour saw the same, and
# has no tested explanation either.

# %% [markdown]
# ### Counting chains
#
# Take *k* wires from eye to middle and *k* from middle to hand. A wire that ends at one of the 32
# middle units meets, on average, *k*/32 wires that go on. So the expected number of chains is
#
# $$k \cdot \frac{k}{32} = \frac{k^2}{32}.$$
#
# Read aloud: half the wires are a quarter of the chains. For each drawing the number is the sum of
# all entries of a product of two masks:


# %%
def chains(graph, drawing):
    mask, at = graph.mask(drawing).int(), graph.slices
    return int((mask[at["hand"], at["middle"]] @ mask[at["middle"], at["eye"]]).sum())


counted = {w: np.mean([chains(chain(w), drawing) for drawing in range(100)]) for w in widths}
formula = {w: w * w / 32 for w in widths}
pd.DataFrame({"k²/32": formula, "counted, mean of 100 drawings": counted}).rename_axis("k")

# %% [markdown]
# ### Exercise 02.2 · Smallest channel
#
# Take chance out where it hurts. Draw a channel with an exact number of wires in which **every
# listener hears someone**; the rest is left to the generator. Return a mask of bools,
# `[target, source]`; if it cannot be done, raise a `ValueError`. (24 wires between two regions are
# one of the cases that the check tries.)


# %%
def channel(n_from, n_to, wires, generator):
    ### BEGIN SOLUTION
    if not n_to <= wires <= n_to * n_from:
        raise ValueError(f"Wanted {n_to} to {n_to * n_from} wires, got {wires}.")
    mask = torch.zeros(n_to, n_from, dtype=torch.bool)
    mask[torch.arange(n_to), torch.randint(n_from, (n_to,), generator=generator)] = True
    closed = (~mask).flatten().nonzero().squeeze(1)
    chosen = torch.randperm(len(closed), generator=generator)[: wires - n_to]
    mask.view(-1)[closed[chosen]] = True
    return mask
    ### END SOLUTION


course.check("02.2", channel)

# %% [markdown] tags=["hint"]
# Guarantee first, chance second.
#
# One wire to each listener, from a sender drawn with `torch.randint(..., generator=generator)`. How
# many wires are left after that?
#
# `torch.randperm(..., generator=generator)` over what is still closed; open the first few of them.

# %% [markdown]
# ## A drawing that somebody measured
#
# So far all drawings were made up. Here is one that is not: twelve visual areas of the macaque, and
# the pathways that tract tracing found among them. Areas and levels are those of Felleman and Van
# Essen (1991).

# %%
preset = sk.regions.macaque_visual()
brain = widgets.RegionGraphEditor(preset)
brain

# %% [markdown]
# **E4 · Three kinds of knowledge.** There is a pathway; somebody looked and found none; or it is
# not settled. Keep the last two apart: absence of evidence is dashed, evidence of absence is a dot.

# %%
_, (a, b) = plt.subplots(1, 2, figsize=(12, 5.6), layout="constrained")
_ = plots.wiring(preset, ax=a), plots.matrix(preset, ax=b)

# %%
known, level = preset.settled(), preset.levels
rise = [level[p.target] - level[p.source] for p in known.pathways]
counts = {"forward (to a higher level)": sum(r > 0 for r in rise)}
counts |= {"lateral (same level)": rise.count(0), "feedback": sum(r < 0 for r in rise)}
counts |= {"known, together": len(rise), "tested and absent": len(preset.tested_absent)}
counts |= {"not settled": sum(not p.known for p in preset.pathways)}
pd.Series(counts | {"ordered pairs of 12 areas": 12 * 11}, name="pairs").to_frame()

# %% [markdown]
# *Left: solid is known, thicker with more entries in the database; dashed is not settled. Right:
# the same as a matrix, sorted by level; below the diagonal signals rise. Dots were looked for and
# not found.*
#
# A pathway counts as known if it is in the published matrix *and* has at least one confirming entry
# in the tracing database CoCoMac (Bakker, Wachtler and Diesmann 2012). For 31 of the unsettled
# pairs the two disagree, or the database is silent; three more (FEF → V3, FEF → V3A, FEF → PITd)
# are in neither list. The number of units in an area is not measured: here it is 16.
#
# In the editor above, click a dashed pathway to open it, or close a solid one. From code:

# %%
mine = preset.with_pathway(sk.Pathway("V2", "7a"))  # or: mine = brain.value
print(preset.pathway("V2", "7a"), "became", mine.pathway("V2", "7a"))

# %% [markdown]
# ### Exercise 02.3 · Make it feed-forward
#
# A network without loops needs one pass instead of several steps. Start from `known`, the preset
# with the unsettled pathways closed. Drop as few pathways as you can until no cycle is left, and V1
# still reaches all others; at most 36 may go.

# %%
### BEGIN SOLUTION
rank = {name: (level[name], name) for name in known.names}
rising = [p for p in known.pathways if rank[p.source] < rank[p.target]]
feedforward = replace(known, pathways=rising)
### END SOLUTION
course.check("02.3", feedforward)

# %% [markdown] tags=["hint"]
# Two kinds of pathways make cycles: those that lead down, and pairs within one level.
#
# A tie needs a rule. Within a level, let one direction of each pair stay.
#
# Break ties by name: keep a pathway if `(level, name)` of its source is smaller than that of its
# target; `replace(known, pathways=[...])` makes the graph.

# %% [markdown]
# ## Does the drawing matter for the task?
#
# V1 reads a digit, FEF answers. Four networks: the 77 known pathways, all 111 with the unsettled
# ones open, and the 36 that rise, twice: once as a network that computes area after area in one
# pass, once in steps, like the first two. **Predict** the order of their accuracy, best first.

# %%
guess_order = None  # for example ["with 34 open", "77 known", "36 forward, steps", "36 forward"]
course.predict("02.D", guess_order)

# %% [markdown]
# **E5 · Closed, open, forward.**

# %%
rising = [p for p in known.pathways if level[p.source] < level[p.target]]
forward = replace(known, pathways=rising)
structures = {"77 known": (known, 4), "with 34 open": (preset.settled("open"), 4)}
structures |= {"36 forward": (forward, None), "36 forward, steps": (forward, 4)}
amount = {"seeds": budget.seeds, "steps": budget.steps(400)}
brains = {
    name: sk.compare(sk.tasks.digits(graph, steps=steps), held, **amount)
    for name, (graph, steps) in structures.items()
}


# %%
def milliseconds(net):
    """One forward and backward pass of 256 examples, the fastest of ten."""
    x, best = torch.rand(256, net.in_features), float("inf")
    for _ in range(10):
        start = time.perf_counter()
        net(x).sum().backward()
        best = min(best, time.perf_counter() - start)
    return 1000 * best


# %%
_, ax = plt.subplots(figsize=(7.4, 4), layout="constrained")
for i, (name, (graph, steps)) in enumerate(structures.items()):
    found, at = brains[name].final()["metric"], []
    for layout, mark in (("dense", "ws"), ("blocked", "ks")):
        net = sk.compile_network(graph, 64, 10, layout=layout, steps=steps)
        at.append(milliseconds(net))
        ax.errorbar(at[-1], found.mean(), found.std(), fmt=mark, mec="black", ecolor="gray")
    ax.plot(at, [found.mean()] * 2, c="gray", lw=0.8, zorder=0)
    high = (8, -10 if i % 2 else 4)
    ax.annotate(name, (max(at), found.mean()), high, textcoords="offset points")
_ = ax.set(xlim=(0, 1.4 * ax.get_xlim()[1]))
_ = ax.set(xlabel="time of one pass (ms)", ylabel="accuracy on test data")

# %%
scores = pd.DataFrame({name: run.final()["metric"].to_numpy() for name, run in brains.items()})
course.reveal("02.D", list(scores.mean().sort_values(ascending=False).index))

# %%
apart = 100 * scores.sub(scores["77 known"], axis=0)
sizes = [graph.open_weights() for graph, _ in structures.values()]
table = {"open weights": sizes, "accuracy": scores.mean(), "sd": scores.std()}
table |= {"points from 77 known": apart.mean(), "sd of that": apart.std()}
pd.DataFrame(table, index=list(structures)).round(3)

# %% [markdown]
# *Heights: mean accuracy; whiskers: the standard deviation over seeds. White squares are the dense
# layout, which stores and multiplies all weights; black ones the blocked layout, with the open
# blocks alone. Both compute the same numbers, so they share a height.*
#
# Compare "points from 77 known" with the sd beside it: the points are paired by seed. The other
# three are ahead on average, and **no difference is beyond the spread**: with these seeds we cannot
# tell a brain with its unsettled pathways open from one where they are closed, nor either from one
# without any feedback. Somebody who had run one seed could have reported an order.

# %% [markdown]
# ### How fast can a signal be?
#
# Write the pathways as a mask *M*, `[target, source]`. The entry (FEF, V1) of *M* · *M* counts the
# ways from V1 to FEF with two pathways; of *M* to the power *n*, the ways with *n*. The first
# *n* with an entry that is not 0 is the fewest pathways a signal needs. In a network that runs in
# steps, one step takes the input in, and each further one is a pathway.
#
# ### Exercise 02.1 · Shortest way
#
# Write a function for the fewest pathways from one region to another, numbers of regions given;
# `None` if there is no way. Regions may hear themselves.

# %%
course.example("02.1").int()


# %%
def steps_needed(mask, source, target):
    ### BEGIN SOLUTION
    heard = torch.zeros(len(mask), dtype=torch.bool)
    heard[source] = True
    for steps in range(len(mask)):
        if heard[target]:
            return steps
        heard = heard | (mask & heard).any(1)
    return None
    ### END SOLUTION


verdict = course.check("02.1", steps_needed)
if verdict:
    areas = torch.as_tensor(mine.settled().to_matrix() > 0)
    number = mine.names.index
    print("V1 to 7a, with V2 → 7a open:", steps_needed(areas, number("V1"), number("7a")))
verdict

# %% [markdown] tags=["hint"]
# Who is reached after one step? A row of the mask says whom that region hears.
#
# Multiply by the mask again, and remember only yes or no: counts overflow.
#
# `heard = heard | (mask & heard).any(1)`; stop after as many steps as there are regions.

# %% [markdown]
# **E6 · Feedback in steps.** The network with its 77 pathways, unrolled for 1 to 6 steps. The
# answer is read from FEF; or from 7a; or from 7a after the pathway V2 → 7a was opened. **Predict**:
# with how many steps does the answer from FEF leave chance?

# %%
guess_steps = None  # a whole number from 1 to 6
course.predict("02.E", guess_steps)

# %%
late = sk.regions.macaque_visual(outputs=["7a"])
readers = {"FEF": preset, "7a": late, "7a, V2 → 7a open": late.with_pathway(sk.Pathway("V2", "7a"))}
amount = {"seeds": min(3, budget.seeds), "steps": budget.steps(200)}
waiting = {
    name: [sk.compare(sk.tasks.digits(g, steps=n), held, **amount).final() for n in range(1, 7)]
    for name, g in readers.items()
}

# %%
_, ax = plt.subplots(figsize=(7.4, 4), layout="constrained")
for (name, runs), mark in zip(waiting.items(), ("o-", "s--", "^:"), strict=True):
    found = np.array([run["metric"] for run in runs])
    line = ax.plot(range(1, 7), found.mean(1), mark, label=f"answer from {name}")
    ax.plot(range(1, 7), found, ".", c=line[0].get_color(), alpha=0.6)
if guess_steps is not None:
    _ = ax.axvline(guess_steps, c="gray", ls=":", label="your guess")
_ = ax.set(xlabel="steps", ylabel="accuracy on test data", ylim=(0, 1))
_ = ax.legend(loc="lower right")

# %%
above = np.array([run["metric"].mean() > 0.2 for run in waiting["FEF"]])
course.reveal("02.E", [1 + int(above.argmax())])

# %% [markdown]
# *Small dots are seeds. Look for the step at which each line leaves the floor, and whether it goes
# on rising after that.*
#
# Exactly when the signal can arrive, and not one step before: two pathways and one step for FEF,
# one more for 7a, and one less again after V2 → 7a was opened. Here too the drawing is a promise:
# before that step, the answer *cannot* depend on the image. What further steps bring, feedback
# included, is not visible here. No line gains by them; if anything they sink, and with so few seeds
# and updates we cannot tell whether that is real.

# %% [markdown]
# ## The answer
#
# **What does a network gain and lose when most of it may not talk to most of it?** It gains a
# promise: a lesion here cannot take a skill there, and a signal cannot come before its time. It
# does not gain accuracy by that. It loses little, as long as the pathways are wide enough; where
# they are not, it loses nearly everything, and which drawing chance has dealt decides.
#
# Modularity is a promise about damage and interference, not about accuracy.
#
# ### What it costs
#
# First time, for one pass forward and backward. Both layouts compute the same.

# %%
size = budget.pick(smoke=8, quick=64, full=64)
large = sk.regions.macaque_visual(size)
graphs = {"macaque, 16 units": (known, 4), "36 forward, 16 units": (forward, None)}
graphs |= {f"macaque, {size} units": (large, 4)}
graphs |= {f"24 regions, {size} units": (sk.regions.small_world(size=size), 4)}
bill = {}
for name, (graph, steps) in graphs.items():
    nets = [sk.compile_network(graph, 64, 10, steps=steps, layout=k) for k in ("dense", "blocked")]
    ms, plan = [milliseconds(net) for net in nets], nets[1].plan
    bill[name] = {"open": plan.share_open, "multiply-adds": plan.multiply_adds, "dense, ms": ms[0]}
    bill[name] |= {"blocked, ms": ms[1], "dense : blocked": ms[0] / ms[1]}
pd.DataFrame(bill).T.round(2)

# %%
thin = lottery.groupby("wires")["accuracy"].agg(["mean", "std"])
for wires in (16, 64, 512):
    mean, sd = 100 * thin.loc[wires]
    print(f"{wires:3} wires: accuracy {mean:.1f} ± {sd:.1f} % over {len(drawings)} drawings")
print("seconds of training in E2:", asked.summary()["seconds"].round(1).to_dict())

# %% [markdown]
# *Time: read `dense : blocked`; above 1 the blocked layout wins. For areas of 16 units it does not:
# moving many small blocks costs more than it saves. It pays where areas are large and most pairs
# are closed, as in the last row, a small world. `multiply-adds` are those of the blocked layout.
# Compare the first row with the second: feedback makes a network run in steps, and each step is a
# pass of its own.*
#
# *Accuracy: nothing visible from 64 wires up; at 16 it depends on the drawing, look at the
# spread. Training: holding a drawing takes about as long as not holding it. The four strengths of
# L1 are four trainings.*
#
# ### What this does not show
#
# - **Anything about brains.** Areas of 16 rate units that read digits are a drawing exercise.
#   Lesions in a real brain are not clean, and the double dissociation here was built in.
# - That the 77 pathways are right. They were not checked by eye against the table of the paper;
#   least sure are those of PITd and MSTd, which other maps cut differently. Entries of the database
#   are not independent experiments. V1 → V4 is real but weak, and a yes or no cannot say so.
# - What is forward and what is feedback. Levels alone don't tell; `36 forward` is a rule that we
#   made up in one line.
# - That feedback is useless. One still image, a few steps and a few hundred updates do not ask for
#   it. Why few wires fail was not settled either: chains, silent units and width came together.
#
# ### Further reading
#
# - D. Felleman and D. Van Essen (1991), [Distributed Hierarchical Processing in the Primate
#   Cerebral Cortex](https://doi.org/10.1093/cercor/1.1.1). The drawing that started it.
# - R. Bakker, T. Wachtler and M. Diesmann (2012), [CoCoMac 2.0 and the future of tract-tracing
#   databases](https://doi.org/10.3389/fninf.2012.00030). Where the entries come from.
# - N. Markov et al. (2014), [A Weighted and Directed Interareal Connectivity Matrix for Macaque
#   Cerebral Cortex](https://doi.org/10.1093/cercor/bhs270). With numbers instead of yes and no.
# - R. Gămănuț et al. (2018), [The Mouse Cortical Connectome, Characterized by an Ultra-Dense
#   Cortical Graph, Maintains Specificity by Distinct Connectivity
#   Profiles](https://doi.org/10.1016/j.neuron.2017.12.037). 97 % of the pairs are connected: in the
#   mouse a mask of yes and no says nothing.
# - J. Achterberg et al. (2023), [Spatially embedded recurrent neural networks reveal widespread
#   links between structural and functional neuroscience
#   findings](https://doi.org/10.1038/s42256-023-00748-9). Soft all the way: long wires cost more,
#   none is closed.
#
# Next: [03 · Filters](03_filters.ipynb), where the drawing is a curve.
