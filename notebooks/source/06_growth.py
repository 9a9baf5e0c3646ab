# %% [markdown]
# # 06 · Growth: a network that finds its own size
#
# So far you drew how many nodes a network has, and training had to live with it. Now training
# decides: nodes are born and deleted while the network learns. Plan about thirty-five minutes. The
# longest cell trains for half a minute on two quiet cores; what takes longer comes from a stored
# table of twenty seeds.

# %%
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from math import log

import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch.nn.functional import one_hot

import shapekeeper as sk
from shapekeeper import course, plots, widgets
from shapekeeper.growth import GrowthRule, grow

budget = course.budget()
torch.set_num_threads(1)  # all networks here are small: a second thread would only get in the way

# %% [markdown]
# ## One node
#
# A recurrent network reads a text of four letters, `(`, `)`, `a` and `b`, and guesses the next one.
# It begins with **one** node. Half way, the text becomes harder. Watch the left panel; nobody tells
# the network how many nodes to have.

# %%
easy, hard = sk.tasks.sequences(0, units=48), sk.tasks.sequences(4, units=48)
rule = GrowthRule(add=0.05)


def panels(frame):
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 3.6), layout="constrained")
    plots.growth(frame, ax=left)
    plots.growth(frame, "metric", right).set_ylabel("nats per character")
    return figure


# %%
lengths = [budget.steps(1250), budget.steps(1250)]
picture = course.live(panels, every=2)
grown = grow([easy, hard], rule, seeds=budget.seeds, steps=lengths, callback=picture)

# %% [markdown]
# *Left: nodes alive. Right: what a letter costs it, in nats, on a log axis; lower is better. At the
# thin line somebody makes the text harder: look at the right panel first, then at the left.*
#
# Now let it write. It guesses a letter, reads its own guess, and goes on:

# %%
logged = sorted(grown.frame["step"].unique())
for step in [logged[i] for i in (0, 3, 10, len(logged) // 2, -1)]:
    net = grown.models(step)[0]
    print(f"step {step:5}, {net.graph.units:2} nodes   {course.letters_of(net, 64)}")
print(f"{'a hard text':>21}  ", "".join("()ab"[k] for k in sk.tasks.sequence_text(4, 64)[0]))

# %% [markdown]
# *From noise to strings such as `(abab)`. The last line but one is what it has made of the hard
# text by then: groups of four letters, each the one before it backwards with one letter turned.
# Does it get the brackets right? And the letters?*
#
# And here is what the network of the first seed looked like, early, before the text became harder,
# and at the end:

# %%
some = [logged[i] for i in (3, len(logged) // 2, -1)]
ids = [grown.ids(step)[0] for step in some]
_, axes = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
for step, names, ax in zip(some, ids, axes, strict=True):
    net = grown.models(step)[0]
    plots.nodes(net, ax, ids=names, stages=ids, limit=1.0).set_title(f"step {step}")

# %% [markdown]
# *A disc is a node; the more goes out of it, the larger. Each keeps its place and its number, in
# the order of birth. Which nodes hardly say anything?*

# %% [markdown]
# ## The question
#
# **Can gradient descent choose how many nodes there are?**
#
# It can not do so directly: a number of nodes has no gradient. What T. Miconi proposed in 2016 is a
# detour by something that has one. Some words; leaf back to them when one turns up.
#
# - the **worth** of a node: how much goes out of it, the size of its weights to the readout and to
#   all other nodes;
# - the **tax**: after each step, all outgoing weights are moved a little towards 0 (here by 1e-4).
#   A node for which no error speaks fades away;
# - a **spare**: a node whose worth fell to a threshold (0.05). One spare is kept, to be of use one
#   day; each further one is deleted with some probability at each step;
# - a **birth**: while there is no spare, a new node is born with some probability. It knows nobody,
#   hardly says anything, and is a spare at first;
# - the **floor**: what the best guesser in the world pays for a letter. Loss is in **nats per
#   character**; e to the loss is the number of letters one hesitates between;
# - a **seed** is one whole repetition; here lines are **medians** over seeds, and bands go from
#   quartile to quartile.
#
# So the network always has about one node more than it uses. When it has found a use for that one,
# the next is born. The lives of all nodes of the first seed:

# %%
ax = plots.lifetimes(grown)

# %% [markdown]
# *Each bar is a node, from its birth on; pale ones were deleted. Where is the staircase steep?*

# %% [markdown]
# ## Draw
#
# First an easy text, then a hard one, then the easy one again. How many nodes do you expect at the
# end of each part? Draw it with the sliders (arrow keys work, too).


# %%
parts = ("easy", "hard", "again")
sliders = {name: ipywidgets.IntSlider(10, 1, 64, description=name) for name in parts}


def sketch(change):
    figure, ax = plt.subplots(figsize=(7.4, 2.8), layout="constrained")
    heights = [1, *(slider.value for slider in sliders.values())]
    ax.plot([0, 2500, 6000, 9500], heights, "D--", color="gray", mfc="none")
    ax.set(ylim=(0, 70), xlabel="step: easy until 2500, hard until 6000, easy", ylabel="nodes")
    return figure


# %%
picture = course.live(sketch)
picture(None)
for slider in sliders.values():
    slider.observe(picture, "value")
ipywidgets.VBox([*sliders.values()])

# %% [markdown]
# The same from code, so that the notebook runs without a browser.

# %%
guess_size = None
# guess_size = {name: slider.value for name, slider in sliders.items()}  # what you drew
# guess_size = {"easy": 10, "hard": 30, "again": 10}                     # the same, written
course.predict("06.A", guess_size)

# %% [markdown]
# ## The floor
#
# **E1.** Before we ask how well a network does, we ask how well anybody could. In the easy text,
# strings such as `(ab)` and `(ababab)` follow each other. After each `ab` another one follows with
# probability p = 0.6. Everything else is certain.

# %%
text = "".join("()ab"[k] for k in sk.tasks.sequence_text(0, 100_000)[0])
after = pd.Series([b for a, b in pairwise(text) if a == "b"])
print(text[:70])
print(after.value_counts(normalize=True).round(3).to_dict(), "after a b")
print(f"{len(after) / len(text):.3f} of all letters are a b; all others say what comes next")

# %% [markdown]
# In the hard text each group is the last one backwards with one letter turned, `a` to `b` or `b` to
# `a`. Whoever knows that has to guess one thing in a group of n letters: which one was turned. That
# is ln n nats in n + 2 characters.

# %%
levels = {"easy": 0} | {f"groups of {n}": n for n in (3, 4, 5, 6)}
floors = {name: sk.tasks.sequence_floor(level) for name, level in levels.items()}
pd.Series(floors, name="floor, nats per character").round(4).to_frame().T

# %% [markdown]
# ### Exercise 06.1 · Floor
#
# Derive the floor of the easy text, in nats per character, for any p.


# %%
def floor(p):
    ### BEGIN SOLUTION
    decision = -p * log(p) - (1 - p) * log(1 - p)
    decisions = 1 / (1 - p)  # of a string
    return decision * decisions / (2 + 2 * decisions)
    ### END SOLUTION


course.check("06.1", floor)

# %% [markdown] tags=["hint"]
# Where is the reader surprised?
#
# A string has 1/(1 − p) decisions on average, one after each `ab`; the surprise of one is
# −p ln p − (1 − p) ln(1 − p).
#
# Divide by the length of a string, brackets included.

# %% [markdown]
# ## An easy text, and a harder one
#
# **E2, E3.** The same, each text by itself, trained longer and with more seeds, from the stored
# table; "groups of 4" is the hard text.

# %%
stored = course.stored_runs("levels")
print(stored.attrs["made"], "|", stored.attrs["command"])
two = {name: stored[stored["row"] == name] for name in ("easy", "groups of 4")}

# %%
_, (left, right) = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained")
_ = plots.growth(two, ax=left, published={"easy": 14, "groups of 4": 37})
_ = plots.growth(two, "metric", right, floor={name: floors[name] for name in two})

# %% [markdown]
# *Left: look at where each curve bends, and compare the widths of the bands with the distance of
# the lines. Hollow triangles are the medians of Miconi's 20 runs, for groups of six, one text read
# at a time, after 100 000 steps. Right: the dotted lines are the floors, nobody can be below. Which
# of the two texts is learned at once, and which only after a long time of learning nearly nothing?*
#
# A harder text gets more nodes. But look at the left panel again: does either curve level off? The
# easy text, at three times of one training:

# %%
columns = {"nodes": "nodes", "useful": "useful ones", "metric": "nats per character"}
until = {n: two["easy"][two["easy"]["step"] <= n] for n in (1150, 2300, 4500)}
pd.concat({f"step {n}": course.told_quartiles(runs, columns) for n, runs in until.items()})

# %% [markdown]
# Useful means above the threshold, no more. What the text asks for was there early; the nodes that
# came later bought next to nothing. A spare does not have to be *needed* to count as useful: its
# weights only have to be pushed up, by whatever comes with the gradient, faster than the tax takes
# them down. Then the next one is born.
#
# And is it the harder, the more? The longer a group, the more has to be remembered:

# %%
told = course.told_quartiles(stored[stored["row"].isin(levels)], columns)
told.assign(floor=pd.Series(floors).round(4))

# %% [markdown]
# *Median and quartiles at the end.* Compare the step from "easy" to any group with the steps among
# the groups. Where quartiles overlap as much as they do there, we cannot tell.

# %% [markdown]
# ## Easy, hard, easy
#
# **E4.** Now the experiment you drew.

# %%
switch = course.stored_runs("switch")
ax = plots.growth(switch, tasks=["easy", "hard", "easy again"])
ends = switch.groupby(["turn", "seed"])["nodes"].last()
at = switch.groupby("turn")["step"].max()
if guess_size:
    ax.plot(at, [*guess_size.values()], "D", ms=11, mfc="none", mec="gray", zorder=7, clip_on=False)
course.reveal("06.A", {name: ends[k] for k, name in enumerate(("easy", "hard", "again"))})

# %% [markdown]
# *Diamonds are your guess. Look at the third part, where the text is easy again: does the curve
# come down?*

# %%
full = (ends.loc[2] == 64).mean()
print(f"nodes, median: {ends[0].median():.0f}, {ends[1].median():.0f}, {ends[2].median():.0f}")
print(f"seeds that have filled all room there is, 64 nodes: {full:.0%}")

# %% [markdown]
# Growing up is quick, since a missing node hurts. Shrinking has to wait for the tax: a weight of
# 0.5 that nobody needs takes 5000 steps of 1e-4 to fade, if nothing holds it up. And once the easy
# text is spread over many nodes, each of them is of some use. Make the task easy, and the network
# stays large.
#
# ### Exercise 06.3 · Decouple
#
# Where does the tax go? Write what happens to weights `w` after each step of the optimizer, for a
# tax `A`. A weight for which no error speaks has to arrive at 0 in ⌈|w|/A⌉ steps; none may change
# its sign.

# %%
w, A = course.example("06.3")
print(w, A, sep="\n")


# %%
def after_step(w, A):
    return w.sign() * (w.abs() - A).clamp(min=0)  # SOLUTION


course.check("06.3", after_step)

# %% [markdown] tags=["hint"]
# Not in the loss.
#
# Shrink the size, keep the sign.
#
# Never past zero: `clamp(min=0)`.

# %% [markdown]
# ## Turn one knob at a time
#
# **E5.** Is the number of nodes a property of the text? We leave the hard text as it is, and change
# the rule: no tax, three times the tax, or three spares and births four times as likely.
#
# **Predict** how many nodes each ends with.

# %%
guess_knobs = None
# guess_knobs = {"no tax": 40, "tax × 3": 40, "3 spares, births .2": 40}
course.predict("06.B", guess_knobs)

# %%
turned = pd.concat(
    [two["groups of 4"].replace("groups of 4", "as before"), course.stored_runs("knobs")]
)
last = turned.groupby(["row", "seed"], sort=False)[["nodes", "metric"]].last()
dots = {name: last.loc[name] for name in last.index.unique("row")}
ax = plots.scatter(dots, x="nodes at the end", y="nats per character")
_ = ax.axhline(floors["groups of 4"], ls=":", color="gray")
course.reveal("06.B", {name: each["nodes"] for name, each in dots.items() if name != "as before"})

# %% [markdown]
# *Small dots are seeds; dotted, the floor; low is good. Compare how far the marks are apart from
# left to right with how far they are from top to bottom. (At 64 the room is full.)*
#
# **The number of nodes is not learned, it is balanced: births against a tax.** Change the tax, and
# the "right" size changes. Try one of your own, on the easy text:

# %%
yours = GrowthRule(add=0.05, penalty=1e-3)
mine = grow(sk.tasks.sequences(0, units=32), yours, seeds=budget.seeds, steps=budget.steps(800))

# %%
same_time = two["easy"][two["easy"]["step"] <= 800]
pair = {"tax 1e-4, stored": same_time, f"tax {yours.penalty:g}": mine.frame}
_, (left, right) = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained")
_ = plots.growth(pair, ax=left)
_ = plots.growth(pair, "metric", right, floor=floors["easy"])

# %% [markdown]
# *The stored runs as far as step 800, and yours. Left, the size; right, what it is good for.*
#
# Is there a tax under which the size says how hard a text is? Here is three times the usual one,
# for five texts:

# %%
taxed = course.stored_runs("taxed levels")
ax = plots.growth({name: taxed[taxed["row"] == name] for name in taxed["row"].unique()})

# %%
course.told_quartiles(taxed, columns).assign(floor=pd.Series(floors).round(4))

# %% [markdown]
# *Compare these curves with those of the usual tax above: do they level off? Then read the table
# from top to bottom: are the sizes in the order of the texts, and did all of them learn their
# text?* A size that was found is an answer to two questions at once, what the text asks for and
# what a node costs.

# %% [markdown]
# ## Is it better?
#
# **E3, once more.** A network that finds its own size should be compared with networks that were
# given one: smaller, larger, under the same tax. All of them see the hard text for 4500 steps.
#
# **Predict** an order, the best guesser first.

# %%
guess_best = None
# guess_best = ["grown", "fixed 60", "fixed 24", "fixed 8"]
course.predict("06.C", guess_best)

# %%
sizes = pd.concat([two["groups of 4"].replace("groups of 4", "grown"), course.stored_runs("sizes")])
last = sizes.groupby(["row", "seed"], sort=False)[["node_steps", "metric"]].last()
last["node_steps"] /= 1000
last["metric"] -= floors["groups of 4"]
dots = {name: last.loc[name] for name in last.index.unique("row")}

# %%
ax = plots.scatter(dots, x="node-steps, thousands", y="nats per character above the floor")
ax.set_yscale("log")
order = last["metric"].groupby("row").median().sort_values().index
course.reveal("06.C", [name for name in order if name in (guess_best or order)])

# %% [markdown]
# *To the right is what it cost: nodes, summed over the steps. Low is good; the axis is a log one.
# Is there a mark below "grown", and one below and to the left of it?*

# %%
columns = {"nodes": "nodes", "metric": "nats per character", "node_steps": "node-steps"}
course.told_quartiles(sizes, columns)

# %% [markdown]
# This is the result against our interest. A fixed network of fewer nodes does as well as the grown
# one for as many node-steps, and larger ones do better for more. That growing beats all fixed sizes
# has been claimed for other settings; it did not come out here. What growing buys is **not having
# to know the size beforehand**: look at what it costs to have chosen 8 or 16.
#
# ### Exercise 06.4 · Fair rival
#
# Somebody's network grew to 40 nodes, under a tax of 1e-4, in 4500 gradient evaluations, five
# seeds. "Growing helps", they say. Choose the rivals that could prove them wrong.

# %%
course.example("06.4")

# %%
rivals = ["C", "F"]  # SOLUTION
course.check("06.4", rivals)

# %% [markdown] tags=["hint"]
# What else differs besides growing?
#
# A rival must be able to win.
#
# Sizes on both sides: the one that was found, and a larger one. All else the same.

# %% [markdown]
# ## What is a node worth?
#
# **E6.** The rule deletes what is worth little. That is safe only if "worth little" means "not
# missed". We take the networks of the hook and delete three nodes of each: those that are worth
# least; those with the smallest weights to the readout, whatever they say to other nodes; and, as a
# control, three drawn at random.
#
# **Predict** how many nats more a letter costs after that.

# %%
guess_bill = None
# guess_bill = {"worth least": 0.1, "least to the readout": 0.1, "drawn at random": 0.1}
course.predict("06.D", guess_bill)

# %%
text = sk.tasks.sequence_text(4, 1000, streams=8, seed=1)
read, target = one_hot(text, 4).float()[:, :-1], text[:, 1:]


@torch.no_grad()
def cost(net, gone=()):
    net = deepcopy(net)
    net.weight[:, gone] = net.output_weight[:, gone] = 0
    return hard.loss(net(read), target).item()


# %%
def sizes_of(net):
    out, inside = net.output_weight.detach().abs(), net.weight.detach().abs()
    to_readout, worth = out.sum(0), (out.sum(0) + 4 * inside.mean(0)) / 2
    chance = torch.rand(len(worth), generator=torch.Generator().manual_seed(len(worth)))
    return {"worth least": worth, "least to the readout": to_readout, "drawn at random": chance}


# %%
rows = []
for net in grown.models():
    worth = sizes_of(net)["worth least"]
    for way, size in sizes_of(net).items():
        gone = size.argsort()[:3]
        share = float(worth[gone].sum() / worth.sum())
        rows.append((way, share, cost(net), cost(net, gone)))
bill = pd.DataFrame(rows, columns=["way", "share", "before", "after"])

# %%
_, ax = plt.subplots(figsize=(7.4, 4.4), layout="constrained")
for color, (way, each) in zip(("C0", "C1", "C7"), bill.groupby("way", sort=False), strict=True):
    across = [each["share"], 0 * each["share"]]
    ax.plot(across, [each["before"], each["after"]], color=color, alpha=0.5)
    ax.plot(across[0], each["before"], "o", color=color, label=way)
    ax.plot(across[1], each["after"], "<", color=color)
ax.set(xlabel="share of what goes out of all nodes, in these three", ylabel="nats per character")
ax.set_yscale("log")
ax.yaxis.set(major_formatter="{x:g}", minor_formatter="{x:g}")
ax.invert_yaxis()
_ = ax.legend()

# %%
jumps = (bill["after"] - bill["before"]).groupby(bill["way"], sort=False)
course.reveal("06.D", {way: each.to_numpy() for way, each in jumps})

# %% [markdown]
# > **Right is freedom. Left is obedience. The arrow is the bill.**
#
# Cut, not retrained. *A dot is a network, a triangle at the left edge the same one without three of
# its nodes; up is better. Flat: nobody misses them. Compare the first two colors with the third.*
#
# Worth tells who is missed. And here the readout alone tells it about as well: compare the first
# two numbers with their spreads. All these networks were taxed on **all** their ways out, so a node
# that goes quiet does so towards everybody.
#
# What if only the readout is taxed? That is the rule in the text on arXiv: a node has a
# **multiplier** on its way to the readout, the multiplier is taxed, and it is what the node is
# worth. The author's later program, which we use, counts and taxes all that goes out. A third way
# are multipliers on all ways out. From the stored table, on the hard text:

# %%
other = course.stored_runs("worths")
ways = pd.concat([two["groups of 4"].replace("groups of 4", "all that goes out"), other])
columns = {"nodes": "nodes", "metric": "nats per character", "deaths": "deaths"}
columns |= {"mean_death": "mean jump of a death", "largest_death": "largest"}
course.told_quartiles(ways, columns)

# %% [markdown]
# *A jump is how much the loss of the running batch changes in the moment of a death.* Compare the
# last two columns of the first two rows. Where the readout alone is taxed, a node can go quiet
# towards the readout and stay the memory of all others; then it is deleted as worthless. **What is
# taxed is avoided, and stops telling what it told before.** Look also at what the networks can do
# at the end: neither way with multipliers has learned this text.
#
# In the first row no jump above 1e-3 was let through. How often was that needed?

# %%
waited = two["groups of 4"].groupby("seed")["waited"].last()
print(f"births and deaths that had to wait: {waited.sum():.0f} in {len(waited)} runs")

# %% [markdown]
# ### Exercise 06.2 · Surgery
#
# To delete a node is surgery on many tensors. `net` has `Wxh` (nodes, inputs), `Whh` (nodes,
# nodes), `bh` (nodes,), `Why` (outputs, nodes), `by` (outputs,) and the running activities `h`
# (nodes, streams). `opt` is what the optimizer remembers: for each of them but `h`, a dict with its
# `mean` and `square`, of the same shape. Return both, without node `i`. It is one that says nothing
# to anybody, so nothing else may change: neither what the network says, nor how it learns on.

# %%
i, net, opt = course.example("06.2")
print(i, {name: tuple(tensor.shape) for name, tensor in net.items()})
print({name: list(kept) for name, kept in opt.items()})


# %%
def without(i, net, opt):
    ### BEGIN SOLUTION
    axes = {"Wxh": [0], "Whh": [0, 1], "bh": [0], "Why": [1], "by": [], "h": [0]}
    keep = torch.tensor([k for k in range(len(net["bh"])) if k != i])

    def cut(name, tensor):
        for axis in axes[name]:
            tensor = tensor.index_select(axis, keep)
        return tensor

    small = {name: cut(name, tensor) for name, tensor in net.items()}
    return small, {n: {k: cut(n, t) for k, t in kept.items()} for n, kept in opt.items()}
    ### END SOLUTION


course.check("06.2", without)

# %% [markdown] tags=["hint"]
# Which axes of which tensors count nodes?
#
# One index of those that stay, the same everywhere: `tensor.index_select(axis, keep)`.
#
# And the same axes once more for what the optimizer remembers.

# %% [markdown]
# ## Areas
#
# **E7.** A node is a small thing. Can an **area** find its size, too, or turn out not to be needed?
# Two areas read a text each, "left" an easy one and "right" a hard one. A third one, "spare", reads
# nothing, and may help both. Each area follows the rule by itself; for the spare one the tax can be
# dearer. What you draw are rooms: how large an area may become.

# %%
rooms = [sk.Region("left", 40, input=4, output=True), sk.Region("right", 56, input=4, output=True)]
ways = [("left", "spare"), ("right", "spare"), ("spare", "left"), ("spare", "right")]
graph = sk.RegionGraph([*rooms, sk.Region("spare", 24)], [sk.Pathway(*way) for way in ways])
editor = widgets.RegionGraphEditor(graph)
editor

# %% [markdown]
# To go on with your own drawing, put `graph = editor.value` here; two areas have to read and write.
#
# **Predict** the sizes at the end, if the tax on the spare area is ten times as high.

# %%
guess_areas = None
# guess_areas = {"left": 15, "right": 30, "spare": 0}
course.predict("06.E", guess_areas)

# %%
dear = replace(rule, penalty=3e-4)
task = sk.tasks.two_texts(0, 4, graph=graph)
apiece = {"seeds": 1, "steps": budget.steps(1000), "prices": {"spare": 10.0}}
found = grow(task, dear, **apiece)

# %%
_, (left, right) = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained")
_ = plots.wiring(graph, ax=left).set_title("rooms")
_ = plots.wiring(found.graphs()[0], ax=right).set_title("found, one seed")

# %% [markdown]
# *The number in a circle is its size.* One seed, and not trained to the end. The stored table:

# %%
areas = course.stored_runs("areas")
columns = {f"nodes {name}": name for name in graph.names}
columns |= {"nodes": "together", "metric": "nats, both texts"}
course.told_quartiles(areas, columns)

# %%
dearest = areas[areas["row"] == "spare area, price 10"].groupby("seed").last()
course.reveal("06.E", {name: dearest[f"nodes {name}"] for name in graph.names})

# %% [markdown]
# Read two things. Does the area with the harder text become the larger one? And what does the spare
# area do as it becomes dear, and what does that cost? Where it stays, it is not because it is
# needed: compare the loss with that of "two areas".

# %% [markdown]
# ## The mathematics
#
# With N nodes and 4 outputs, the worth of node i is
#
# $$n_i = \tfrac12\Big(\sum_o |W^{out}_{oi}| + \tfrac4N \sum_j |W_{ji}|\Big)$$
#
# all that goes out of it, to the readout and, as a mean, to the others. After each step of the
# optimizer every outgoing weight becomes $\mathrm{sign}(w)\max(|w| - A, 0)$: nearer to zero by A,
# and never past it. Inside of RMSProp or Adam the A would cancel, since they divide by the size of
# what comes. The floor is choices per string, times the entropy of one, per letter.

# %% [markdown]
# ## The answer
#
# **Can gradient descent choose how many nodes there are?** Together with a tax and births, yes: a
# harder text gets a larger network, and nobody has to know the size beforehand. But the number is a
# balance between the two, not a property of the text.

# %% [markdown]
# ### What it costs
#
# Growing has settings: a threshold, spares, two probabilities, a tax. And on a machine that
# computes with whole tensors, a node that does not live yet costs as much as one that does: there
# is room for all from the start. One living node, in rooms of two sizes:

# %%
rooms = {n: sk.tasks.sequences(0, units=n) for n in (16, 200)}
steps = budget.steps(40)
runs = {n: grow(each, rule.fixed(), seeds=1, steps=steps) for n, each in rooms.items()}
took = {f"room for {n}": run.frame["seconds"].iloc[-1] for n, run in runs.items()}
pd.Series(took, name=f"seconds for {steps} steps").round(2).to_frame().T

# %% [markdown]
# *On this machine, tests on test data included.* In node-steps a network that grows is cheap early
# on; you saw them in "Is it better?".
#
# One more setting hides in the loss. Here it is the mean over the letters of a batch, and what the
# optimizer remembers of a newcomer's gradients begins as small as the smallest of the others. Where
# it begins at a fixed number, a loss on another scale can keep newcomers from ever learning.
#
# ### What this does not show
#
# - That a grown network is better than any of fixed size. Others claimed it, for other settings.
# - That the size found is the right one, or the least: look at "Turn one knob at a time".
# - That networks shrink again. They may, after longer, or under other taxes.
# - Other tasks than two texts of four letters, and networks of more than a hundred nodes.
#
# ### Further reading
#
# - T. Miconi (2016), [Neural networks with differentiable
#   structure](https://arxiv.org/abs/1606.06216). There are two methods under this title: the text
#   has multipliers on the readout; the last state of his program, `ThomasMiconi/DiffRNN` on GitHub,
#   has the worth by outgoing weights, which is used here.
# - S. E. Fahlman and C. Lebiere (1990), The cascade-correlation learning architecture. Nodes that
#   are added one by one, and then frozen.
# - U. Evci et al. (2022), [GradMax: Growing Neural Networks using Gradient
#   Information](https://arxiv.org/abs/2201.05125). Newcomers that get the largest gradients.
# - Lillo and Cheney (2026), [arXiv 2605.15435](https://arxiv.org/abs/2605.15435). Why newborn units
#   learn slowly beside those that were there.
#
# Next: [07 · Interlingua](07_interlingua.ipynb), where a layer may say only what a grammar allows.
