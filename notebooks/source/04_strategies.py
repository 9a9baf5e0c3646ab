# %% [markdown]
# # 04 · Strategies: everything side by side
#
# One constraint, seven ways to hold it. We look at each by itself, on a problem with two weights.
# Then all of them work on the same tasks, and we ask what each promises, what it buys and what it
# costs. Plan about forty minutes; the longest cell trains for about half a minute on two cores.

# %%
import inspect
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import display
from scipy import stats

import shapekeeper as sk
from shapekeeper import course, plots, widgets
from shapekeeper.compare import Run

budget = course.budget()
torch.set_num_threads(1)  # all networks here are small: a second thread would only get in the way


# %%
def pencil_loss(a, b):
    return (a + b - 1) ** 2 + (a + 2 * b - 3) ** 2


def overlook(strategies, ax=None, xlim=(-1.6, 4.4), ylim=(-2.2, 2.6)):
    """Every step of every strategy, seen from above; the gray line is the wall b = 0."""
    walks = {k: course.pencil_walk(s, budget.steps(200)) for k, s in strategies.items()}
    paths = {name: walk[["a", "b"]] for name, walk in walks.items()}
    looks = {name: plots.look(s, ax) for name, s in strategies.items()}
    shown = {"xlim": xlim, "ylim": ylim, "x": "a", "y": "b, which should be 0", "looks": looks}
    ax = plots.landscape(pencil_loss, paths, ax, **shown)
    ax.axhline(0, color="gray", linewidth=4, alpha=0.35, zorder=1)
    return walks


# %% [markdown]
# ## Eight walkers, one wall
#
# A landscape: two weights, *a* and *b*, and the loss as lines of equal height. The gray line is a
# wall: *b* should be 0. Eight walkers begin at the blue square, on the wall.

# %%
half = sk.Stage(0.5, sk.Unconstrained()), sk.Stage(0.5, sk.Projection())
walkers = {"Unconstrained": sk.Unconstrained(), "Penalty": sk.Penalty(2.0)}
walkers |= {"AugmentedLagrangian": sk.AugmentedLagrangian(penalty=2.0, dual_step=0.1)}
walkers |= {"the same, in a hurry": sk.AugmentedLagrangian(penalty=0.0, dual_step=3.0)}
walkers |= {"Staged": sk.Staged(*half), "Freeze": sk.Freeze()}
walkers |= {"Reparametrization": sk.Reparametrization(), "Projection": sk.Projection()}

# %%
walks = overlook(walkers, plt.subplots(figsize=(9, 6.6), layout="constrained")[1])

# %% [markdown]
# *A dot for each step, a mark at the end. Gray runs off along the valley. Orange stops between the
# valley and the wall. Some come back to the wall, two never leave it, one does not move at all. And
# one walks in circles, wider and wider, until it leaves the picture.*
#
# All of these follow the gradient, with the same optimizer and from the same place. Which one would
# you trust?

# %% [markdown]
# ## The question
#
# **Seven ways to hold one constraint: which one, when, and what does each promise?**
#
# Some words first:
#
# - a **strategy** is how training holds a constraint; the constraint says what is allowed, here
#   *b* = 0, later a whole drawing;
# - the **violation** is how far a weight is from what is allowed; here |*b*|;
# - the **leak-cut number**, `metric_held`: what is left after the constraint has been enforced
#   exactly, without retraining;
# - a **guarantee**: `"structural"` means at every step, for all inputs and all weights; `"none"`
#   means that nothing is promised, however well it looks.
#
# The problem is the one of the [tour](00_tour.ipynb): L = (a + b − 1)² + (a + 2b − 3)². Free
# training ends at a = −1, b = 2 with L = 0, and if b is then cut, at 20. The best on the wall is
# a = 2 with L = 2.

# %% [markdown]
# ## Seven ways, one at a time
#
# The same picture for each, and beside it how far *b* is from 0, on a log axis with a shelf for
# exactly 0.


# %%
def explain(strategies, **view):
    """Left the paths, right the distance from the wall; what they came to."""
    _, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4), layout="constrained")
    walks = overlook(strategies, left, **view)
    looks = {name: plots.look(s, right) for name, s in strategies.items()}
    away = {name: walk["b"].abs().to_numpy()[1:] for name, walk in walks.items()}
    plots.lines(away, right, y="|b|, distance from the wall", looks=looks)
    return pd.DataFrame({name: walk.iloc[-1] for name, walk in walks.items()}).T.round(3)


# %% [markdown]
# ### 1 · Unconstrained: the yardstick
#
# $$w \leftarrow w - \eta\,\nabla L(w)$$
#
# Nothing holds it. It is what the others are measured against, before and after the cut. It
# *promises* nothing.

# %%
explain({"Unconstrained": sk.Unconstrained()})

# %% [markdown]
# *`loss` is where it came to, `held` what is left of that once b is set to 0, a as it is.* A small
# loss, and the largest bill.
#
# ### 2 · Penalty: ask
#
# $$L(w) + \lambda\,b^2, \qquad\text{at rest}\quad \frac{\partial L}{\partial b} + 2\lambda b = 0
# \;\Rightarrow\; b = \frac{1}{\lambda + \frac12}$$
#
# Training pays λ for each unit of *b*². It rests where the pull of the price equals the pull of the
# loss. The price of the *first* bit is zero, 2λ·0, so the first bit is always bought. It *buys* a
# soft pull that the data can overrule, *costs* one training for each λ that you try, and *promises*
# nothing.

# %%
explain({f"Penalty {s:g}": sk.Penalty(s) for s in (0.5, 2.0, 8.0)}, ylim=(-0.6, 1.6))

# %% [markdown]
# *Three strengths. Each rests at another height above the wall, and none on it; the line of the
# strong one levels off lower than that of the weak one, and does not reach the shelf.*
#
# ### Exercise 04.1 · Bill by hand
#
# Strength λ = 2. What is the loss where training ends, and what is left of it after the cut?
# Pencil, no computer: the best *a* for a given *b* is 2 − 3*b*/2.

# %%
### BEGIN SOLUTION
b = 1 / (2 + 0.5)
a = 2 - 1.5 * b
bill = (pencil_loss(a, b), pencil_loss(a, 0))
### END SOLUTION
course.check("04.1", bill)  # (trained, held)

# %% [markdown] tags=["hint"]
# *b* = 0.4: put λ = 2 into the formula above.
#
# *a* = 2 − 1.5 *b*.
#
# For the second number put b = 0 into the loss and leave *a* where it is.

# %% [markdown]
# ### 3 · AugmentedLagrangian: learn the price
#
# $$L(w) + \mu b + \tfrac{\rho}{2} b^2, \qquad \mu \leftarrow \mu + s\,b$$
#
# The first bit has a price now, μ, and it is *learned*: as long as *b* leaks, leaking becomes
# dearer. At rest *b* = 0, and ∂L/∂b + μ = 0, so μ is what a bit of *b* would be worth. The leak is
# used up to learn the price that ends it. ρ is the penalty, s the dual step. It *buys* the exact
# place, and needs no nearest value, only how far it is away; it *costs* one more number for each
# closed one, and two settings; it *promises* nothing before it has settled.

# %%
calm, hurry = walkers["AugmentedLagrangian"], walkers["the same, in a hurry"]
explain({"s = 0.1, ρ = 2": calm, "s = 3, ρ = 0": hurry})

# %%
prices = {"s = 0.1, ρ = 2": "AugmentedLagrangian", "s = 3, ρ = 0": "the same, in a hurry"}
missing = {name: (walks[k]["price"] - 2).abs().to_numpy()[1:] for name, k in prices.items()}
ax = plots.lines(missing, y="|μ − 2|", looks={name: plots.look(calm) for name in prices})

# %% [markdown]
# *Top right: one line falls in bounces toward 0, the other bounces higher each time. Bottom: how
# far the price is from what a bit of b is worth on the wall, which is 2. One learns it; the other
# swings about it, further each time.* It overshoots, since the price still rises while *b* is
# already on its way back. A comparison in which prices run away carries a note that says so.
#
# ### Exercise 04.3 · Learn the price
#
# (The exercises are numbered by topic, not by order.) Here is the same in rounds: minimize
# L + μb + (ρ/2)b² to the end, look at *b*, and set a new price. Write the new price. In this form
# it is safe, and there is only one number to choose, ρ.


# %%
def update(mu, rho, b):
    return mu + rho * b  # SOLUTION


course.check("04.3", update)

# %% [markdown] tags=["hint"]
# Keep the old price.
#
# Add something to it.
#
# How does the sign of b enter? If b is above 0, a bit more of b should be dearer.

# %% [markdown]
# ### 4 and 5 · Projection and Reparametrization: hold
#
# $$\text{Projection:}\quad w \leftarrow P\bigl(w - \eta\nabla L(w)\bigr), \qquad
# \text{Reparametrization:}\quad w = \varphi(u),\;\; u \leftarrow u - \eta\nabla_u L(\varphi(u))$$
#
# P(w) is the nearest allowed value: a step, then a jump back. φ is a **chart**: free numbers *u* go
# in, allowed values come out, whatever *u* is. Both *promise* the most, structural, with nothing to
# choose; they *cost* that P or φ has to be known.

# %%
explain({k: walkers[k] for k in ("Projection", "Reparametrization")}, ylim=(-0.6, 1.6))

# %% [markdown]
# *Both lie on the shelf from the first step to the last. For a wall like this one, and for every
# drawing of wires, they are the same path: the marks hide each other.* They differ where allowed
# values are curved: a chart bends the way, a projection does not.
#
# ### Exercise 04.2 · Write a strategy
#
# This is what a strategy writes after each step of the optimizer, for all seeds at once. `weights`:
# name → parameter, the first axis counts the seeds. `constraints`: name → constraint, for some of
# these names. Jump back, in place.

# %%
weights, constraints = course.example("04.2")
print({name: tuple(w.shape) for name, w in weights.items()}, constraints)


# %%
def repair(weights, constraints):
    ### BEGIN SOLUTION
    with torch.no_grad():
        for name, constraint in constraints.items():
            weights[name].copy_(constraint.project(weights[name]))
    ### END SOLUTION


course.check("04.2", repair)

# %% [markdown] tags=["hint"]
# For each *constrained* name.
#
# The constraint knows how: `constraint.project(weight)`.
#
# In place, without gradient: `with torch.no_grad():` and `weights[name].copy_(...)`.

# %% [markdown]
# The library's own, as long as it projects after every step (the last three lines are for the other
# case):

# %%
print(inspect.getsource(sk.Projection.repair))

# %% [markdown]
# ### 6 · Freeze: do not touch
#
# $$w \leftarrow w$$
#
# Whatever was allowed at the beginning stays allowed. Here it learns nothing at all, since the
# tensor that is bound, (a, b), is everything there is. In a network all other weights go on. It
# *promises* structural, and *costs* whatever the tensor could have learned.
#
# ### 7 · Staged: one after the other
#
# $$w \leftarrow w - \eta\nabla L(w)\;\;\text{for some steps,}\qquad\text{then}\quad
# w \leftarrow P(w)\;\;\text{and Projection from there}$$
#
# Any strategies, each for its share of the steps. The optimizer starts anew in between, so that no
# momentum crosses. It *promises* what its last stage promises, from then on.

# %%
explain({"Freeze": sk.Freeze(), "Staged": walkers["Staged"]})

# %% [markdown]
# *Left: half of the way with gray of the first picture; then straight down to the wall, and along
# it. Right: at half time, the line drops to the shelf.*
#
# ### And one more, by hand
#
# A simple idea: **reject**. Make a step; if it leaves the wall, undo it.

# %%
task = sk.tasks.pencil(start=(0.0, 0.0))
net, (x, y), tried = task.start_model(0), task.data_for(0).train, torch.Generator().manual_seed(0)
for _ in range(1000):
    before, loss = net.weight.detach().clone(), task.loss(net(x), y).item()
    with torch.no_grad():
        net.weight.add_(0.1 * torch.randn(1, 2, generator=tried))
        if net.weight[0, 1] != 0 or task.loss(net(x), y) > loss:
            net.weight.copy_(before)
print(f"a = {net.weight[0, 0]:g}, b = {net.weight[0, 1]:g} after 1000 proposals")

# %% [markdown]
# It stands where it began. No proposal lies on the wall exactly, so all of them are undone. It
# could only walk if the proposals themselves stayed on the wall, and then there would be nothing to
# reject.
#
# ### Exercise 04.4 · Does rejection have a chance?
#
# Give it some room. Proposals fall evenly into a box, and allowed is a part of it that is `width`
# times as wide, in each of `n` directions. Which share of the proposals is allowed?


# %%
def share(n, width):
    return width**n  # SOLUTION


course.check("04.4", share)

# %% [markdown] tags=["hint"]
# The directions are independent.
#
# Multiply: one factor for each direction.
#
# A line has no area: what is the share at width 0?

# %% [markdown]
# ### What they came to
#
# **E1.** Where everybody ends, beside what pencil and paper say; two of the eight have no formula.
# The free walker and the Lagrangian are still on their way.

# %%
free, leak, wall = (sk.tasks.pencil_answer(strength) for strength in (0.0, 2.0, float("inf")))
known = {"Unconstrained": free, "Penalty": leak}
known |= dict.fromkeys(("AugmentedLagrangian", "Staged", "Projection", "Reparametrization"), wall)
ends = pd.DataFrame({name: walk.iloc[-1] for name, walk in walks.items()}).T
by_hand = pd.DataFrame(known, index=wall._fields).T.add_suffix(" by hand")
ends.drop(columns="price").join(by_hand).round(3)

# %% [markdown]
# ## The price of the first bit
#
# **E4.** Now all strengths at once. A strength given as a list is a **sweep**: 25 strengths, and
# several seeds of each, are rows of one tensor and train as one program.

# %%
strengths = np.geomspace(0.05, 500, 25).tolist()
amount = {"seeds": budget.seeds, "steps": budget.steps(400)}
sweep = sk.compare(sk.tasks.pencil(), [sk.Penalty(strengths), sk.Projection()], **amount)
alone = sk.compare(sk.tasks.pencil(), [sk.Penalty(strengths[0])], **amount)
seconds = [run.final()["seconds"].groupby("strategy").max().sum() for run in (alone, sweep)]
print("one strength {:.1f} s, 25 strengths and Projection {:.1f} s".format(*seconds))

# %%
b, L = sweep.summary().iloc[:-1][["violation", "metric"]].to_numpy(float).T
_, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
for ax, shown in zip((left, right), (b < 2, b < 0.12), strict=True):
    _ = ax.plot(b[shown], L[shown], label="Penalty", **plots.look(sk.Penalty(1.0), ax))
    _ = ax.plot(0, 2, linestyle="none", label="Projection", **plots.look(sk.Projection(), ax))
    end = min(b[shown].max(), 1.1)
    _ = ax.plot([0, end], [2, 2 - 2 * end], "--", color="gray", label="slope −2")
    _ = ax.set(xlabel="b, the leak", ylabel="loss"), ax.legend(frameon=False)

# %%
slope = np.polyfit(b[b < 0.05], L[b < 0.05], 2)[1] if (b < 0.05).sum() > 2 else np.nan
learned = walks["AugmentedLagrangian"]["price"].iloc[-1]
print(f"slope at the wall: {slope:.2f}; the price that was learned: {learned:.2f}")

# %% [markdown]
# *Left: the frontier, a triangle for each strength, weak ones at the right. Right: the last bit of
# it, near the wall. The dashed line touches the frontier at the wall.*
#
# **The multiplier is the slope of the frontier where it touches the wall: the price of the first
# bit of disobedience.** Projection never asks for that price, the Lagrangian learns it, and a
# penalty offers zero for the first bit, so it always sells one.

# %% [markdown]
# ## What the leak was worth
#
# **E3.** A problem with more wires and still a known answer. A linear layer, 40 sources and 24
# targets, imitates another one that uses all its wires; 710 of its own 960 are closed. Convex, so
# all starts lead to the same place, and least squares knows where that is.
#
# **Predict**: a penalty of strength 0.01 is trained to the end. Its loss then, and its loss once
# the leak is cut? For orientation, the best possible with all 710 closed is printed first.

# %%
print(f"best with all 710 closed: {course.imitation_best():.4f}")
guess_cut = None  # (loss as trained, loss once cut)
course.predict("04.A", guess_cut)

# %%
rows = {f"Penalty {s:g}": sk.Penalty(s) for s in (0.01, 0.1, 1.0, 10.0)}
rows |= {"Penalty 0.1, growing": sk.Penalty(0.1, growth=1.01)}
rows |= {f"Penalty {s:g}, absolute": sk.Penalty(s, norm="absolute") for s in (0.1, 1.0)}
rows |= {f"Lagrangian, s = {s:g}": sk.AugmentedLagrangian(dual_step=s) for s in (0.001, 0.1, 1.0)}
rows |= {"Staged": sk.Staged(*half), "Projection": sk.Projection()}
rows = {"Unconstrained": sk.Unconstrained()} | rows
imitating = sk.compare(course.imitation(), rows, seeds=1, steps=budget.steps(2000))
print(*imitating.notes, sep="\n")

# %%
ax = plt.subplots(figsize=(9.5, 4.8), layout="constrained")[1]
for place, (name, run) in enumerate(imitating.summary().iterrows()):
    look, (trained, cut) = plots.look(rows[name], ax), run[["metric", "metric_held"]]
    _ = ax.plot(trained, place, **look | {"markersize": 9})
    arrow = {"arrowstyle": "->", "color": look["color"]}
    _ = ax.annotate("", (cut, place), (trained, place), arrowprops=arrow)
    told = {"transform": ax.get_yaxis_transform(), "va": "center"}
    _ = ax.text(1.02, place, f"{trained:.3f} → {cut:.3f}", **told)
_ = ax.axvline(course.imitation_best(), color="gray", linestyle=":")
_ = ax.set_yticks(range(len(rows)), rows), ax.invert_yaxis()
_ = ax.set(xlim=(-0.03, 0.9), xlabel="loss: mark as trained, arrow head once cut; dotted: the best")

# %%
before_after = imitating.summary().loc["Penalty 0.01", ["metric", "metric_held"]]
course.reveal("04.A", [before_after.astype(float).tolist()])

# %% [markdown]
# *A row for each way. Mark: what training reports. Arrow head, and the second number: what is left.
# The dotted line is the best possible. One row is off the picture; read its numbers.*
#
# Look at the weak penalties: the better the loss as trained, the worse the loss once cut. **A good
# training loss is bought with the leak.** The strong ones come close. The Lagrangian gets there
# with the right dual step; with a slow one it is late, and with a fast one it runs away: the row
# without a mark, and the note above. Projection and the staged one are there exactly, with nothing
# to choose.
#
# > **Right is freedom. Left is obedience. The arrow is the bill.**

# %% [markdown]
# ## A drawing on digits
#
# Now a network of eight regions that reads handwritten digits. Four regions see two rows of the
# image each; what they see is put together in steps. Wires that are not drawn are closed. Nobody
# knows the best answer here.

# %%
task, graph = sk.tasks.digits(), sk.tasks.banded_brain()
ax = plots.wiring(graph, ax=plt.subplots(figsize=(7.5, 5), layout="constrained")[1])
open_wires = graph.open_weights() / task.start_model(0).plan.readable_weights
print(f"{open_wires:.0%} of the weights that the network can read are open.")

# %% [markdown]
# Our choice for a start, all seven kinds; a list makes a sweep.

# %%
seven = {"Unconstrained": sk.Unconstrained(), "Penalty": sk.Penalty([0.01, 0.1, 1.0, 10.0])}
seven |= {"AugmentedLagrangian": sk.AugmentedLagrangian(), "Staged": sk.Staged(*half)}
seven |= {"Freeze": sk.Freeze(), "Projection": sk.Projection()}
seven |= {"Reparametrization": sk.Reparametrization()}
amount = {"seeds": budget.seeds, "steps": budget.steps(600)}

# %% [markdown]
# **Predict**: where do they end on the plane? For each a point before the cut (violation,
# accuracy), and one after it (0, accuracy). And in which order, best first: before the cut, and
# after it?

# %%
guess_plane = None
# guess_plane = {"Unconstrained": [(0.5, 0.9), (0, 0.5)], "Freeze": (0, 0.5)}
course.predict("04.B", guess_plane)

# %%
guess_order = None
# names = ["Unconstrained", "Penalty 0.1", "AugmentedLagrangian", "Freeze", "Projection"]
# guess_order = {"before the cut": names, "after the cut": names}
course.predict("04.C", guess_order)

# %% [markdown]
# Then do it by hand, if you like. Tick strategies, change their settings (commas make a sweep),
# press Run, and watch. It trains in the background: you can stop it and go on, and the notebook
# stays usable. The question mark lists the keys.

# %%
view = widgets.ComparisonView(task, seven, **amount)
view

# %% [markdown]
# What is ticked there is a value as well. This is the Python that does the same without a browser,
# and it follows your clicks:

# %%
print(view.code())

# %% [markdown]
# **E2 · All of them.** The next cell is that code, with the choice we began with. The same seeds,
# starts, batches and steps for each; so every run has a partner in every other strategy.

# %%
found = sk.compare(task, seven, **amount)

# %%
ax = plt.subplots(figsize=(9, 5.4), layout="constrained")[1]
ax = plots.tradeoff(found, guess=guess_plane, ax=ax)


# %%
def only(found, names):
    """Some strategies of a comparison, under new names."""
    frame = found.frame[found.frame["strategy"].isin(names)].replace({"strategy": names})
    kept = {new: found.strategies[old] for old, new in names.items()}
    return replace(found, frame=frame, strategies=kept)


others = {name: name for name in found.strategies if name != "Unconstrained"}
ax = plt.subplots(figsize=(9, 5.4), layout="constrained")[1]
ax = plots.tradeoff(only(found, others), ax=ax)

# %%
final = found.final()
points = final.assign(cut=0.0)[["violation", "metric", "cut", "metric_held"]]
names = ["Unconstrained", "Penalty 0.1", "AugmentedLagrangian", "Freeze", "Projection"]
course.reveal("04.B", {name: points.loc[name].to_numpy().reshape(-1, 2, 2) for name in names})

# %%
means = final.groupby("strategy")[["metric", "metric_held"]].mean().loc[names]
ends = {"before the cut": "metric", "after the cut": "metric_held"}
orders = {k: list(means[c].sort_values(ascending=False).index) for k, c in ends.items()}
course.reveal("04.C", orders)

# %% [markdown]
# *Top: the gray cross is free training, high and far to the right, and its arrow falls to the
# bottom. Bottom: the others once more, closer. The strengths of the penalty are joined by a thin
# line: the whole sweep is one curve, from the right to the left. In the gutter those that hold. The
# order before the cut says little about the order after it.*
#
# Follow the arrows of the penalties. Where one points *up*, the network is better without its leak.
# A likely reason: closed weights are pulled to zero and shaken by every batch, and the shaking is
# noise. We did not test that.
#
# Freeze holds, and it is not far below, though not one of the bound weights has learned anything:
# what comes in and what goes out learned around them.

# %% [markdown]
# ## What the seeds can tell
#
# Which differences are differences? Every run has a partner with the same seed, so we subtract in
# pairs, and ask for an interval: the **95 % interval** of the mean difference.

# %%
ax = plots.table(found, reference="Projection")

# %% [markdown]
# *The column before the violation: the difference in accuracy held, against Projection. Where the
# interval includes zero the numbers are pale: **cannot tell**.* That is no proof that two are
# equal. It says that these seeds can't see a difference, and the next table says how many could.


# %%
def apart(name, reference):
    """What the seeds say about two strategies; half widths of 95 % intervals."""
    pairs, runs = found.differences(name, reference), found.final()["metric_held"]
    low, high = stats.ttest_1samp(pairs, 0).confidence_interval()
    wide = stats.ttest_ind(runs[name], runs[reference]).confidence_interval()
    said = "cannot tell" if low <= 0 <= high else "higher" if low > 0 else "lower"
    told = {"difference": pairs.mean(), "± paired": (high - low) / 2, "said": said}
    return told | {"± unpaired": (wide.high - wide.low) / 2}


# %%
others = ["Penalty 0.1", "Penalty 10", "AugmentedLagrangian", "Staged", "Freeze"]
if budget.seeds > 1:
    told = pd.DataFrame({name: apart(name, "Projection") for name in others}).T
    for size in (0.02, 0.01, 0.005):
        asked = [found.seeds_needed(name, size, "Projection") for name in others]
        told[f"seeds to see {size:g}"] = asked
    display(told.round(4))

# %% [markdown]
# *"paired" uses the partners, "unpaired" throws them away; "seeds to see": how many it would take
# to tell a true difference of that size from zero, four times out of five, guessed from the spread
# of these few.* Read a row to the right: halve the difference, and where many are needed it takes
# about four times as many. Where it says "cannot tell", nobody has won.
#
# Is a paired interval always the narrower one? Compare the two columns. It is where both strategies
# have their good and bad luck in the same seeds; where they don't, partners help nothing, and so
# many pairs know less about the spread than twice as many runs. And one warning: of many intervals
# some miss by chance, one in twenty.

# %% [markdown]
# ## What stages buy
#
# The staged run spends its first half free, then every closed wire is cut at once. Look at what is
# left after the cut while they train:

# %%
names = {"Unconstrained": "free throughout", "Projection": "held throughout"}
names |= {"Staged": "free, then held"}
ax = plots.training(only(found, names), y="metric_held")

# %% [markdown]
# *Accuracy once cut, while they train. Until half time "free, then held" is "free throughout". Then
# the cut, for good; and soon after it the network has learned around it.*
#
# So **cut and go on** is a different thing from **cut and stop**, and much better. Is it better
# than to hold from the start? Read the row "Staged" in the tables: here nothing says so. Stages buy
# the freedom to do something first, in the hope that it helps.

# %% [markdown]
# ## When freezing wins
#
# So far Freeze kept random wires. What if the wires are good already? A network learns the digits
# from 300 images. Then the digits get *new names*, drawn by chance, and a few examples to learn
# them from. The last layer starts anew, everything else is kept, and the drawing has to hold.
#
# Three ways to go on: **freeze** the wires; **project**, let them learn; **thaw**, first the one,
# then the other. **Predict**: freeze minus project, in accuracy, with 20 examples and with 600?

# %%
guess_freeze = None
# guess_freeze = {"20": 0.0, "600": 0.0}
course.predict("04.D", guess_freeze)

# %%
x, y = task.data_for(0).train
first = replace(task, data=sk.Data((x[:300], y[:300]), task.data_for(0).test))
seeds = 2 * budget.seeds  # twice as many as elsewhere, since the differences are small
more = {"seeds": seeds, "steps": budget.steps(600)}
nets = sk.compare(first, [sk.Projection()], **more).models("Projection")

# %%
thaw = sk.Staged(sk.Stage(0.5, sk.Freeze()), sk.Stage(0.5, sk.Projection()))
ways = {"project": sk.Projection(), "freeze": sk.Freeze(), "thaw": thaw}
few = {"seeds": seeds, "steps": budget.steps(200)}
again = {n: sk.compare(course.new_names(nets, n), ways, **few) for n in (20, 100, 600)}

# %%
gains = {
    f"{n} examples": {k: run.differences(k, "project", "metric") for k in ("freeze", "thaw")}
    for n, run in again.items()
}
ax = plots.bars(gains, y="accuracy, minus that of project in the same seed")
_ = ax.axhline(0, color="gray", linewidth=1)
course.reveal("04.D", {str(n): gains[f"{n} examples"]["freeze"].to_numpy() for n in again})

# %%
rows = {}
for n, run in again.items():
    columns = ["metric", "metric_sd", "difference", "low", "high"]
    for name, row in run.summary(reference="project")[columns].iterrows():
        rows[n, name] = row
pd.DataFrame(rows).T.astype(float).round(3).rename_axis(["examples", "way"])

# %% [markdown]
# *Bars: what freezing and thawing gain over projecting, dots are seeds. In the table, low and high
# are the ends of the 95 % interval; where they have different signs, cannot tell.*
#
# **Freezing wins where the weights are good and the examples few**: there is less to spoil. Read
# the rows with 20 examples, then downward: with more of them the lead goes. Where the weights are
# random, as in the comparison before, there is nothing to keep, and Freeze is the lowest of those
# that hold. And see what thawing does: it begins where freezing is good and ends free to learn.

# %% [markdown]
# ## A network with memory
#
# Does any of that carry over? Another kind of task: a recurrent network, one update a moment. An
# eye and an ear each catch a glimpse of a sign; after a delay, the network says whether the two
# agreed. Eye and ear may not talk to each other. The best possible share of right answers is known.

# %%
remember = sk.tasks.senses(delay=3)
ax = plots.wiring(sk.tasks.eye_and_ear())

# %%
some = {"Unconstrained": sk.Unconstrained(), "Penalty": sk.Penalty([0.01, 0.1])}
some |= {k: seven[k] for k in ("AugmentedLagrangian", "Staged", "Freeze", "Projection")}
memory = sk.compare(remember, some, seeds=budget.seeds, steps=budget.steps(450))

# %%
ax = plt.subplots(figsize=(9, 5.6), layout="constrained")[1]
ax = plots.tradeoff(memory, ax=ax)
_ = ax.axhline(sk.tasks.senses_best(), color="gray", linestyle=":")
ax = plots.table(memory, reference="Projection")

# %% [markdown]
# *Dotted: the best possible answer; 0.5 is guessing.*
#
# Nearly all arrive close to where nobody can do better, so nothing is left to tell them apart: the
# task is too easy for that. Two things stand out. Free training falls far when it is cut, as
# before. And **Freeze learned nothing**, where on the digits it did well. A likely reason: to carry
# something over a delay and to multiply two signs is the work of the wires themselves. We did not
# test that.
#
# One task would have told us that freezing costs little. Two tell us that it depends.

# %% [markdown]
# ## Who promises what
#
# **E5 · The guarantee board.** A promise is worth what it survives. The layer of E3, held by each
# strategy, trained; then we attack it:
#
# - 50 more steps with momentum, toward random numbers ten times as large;
# - somebody writes into the weight, as one does: `with torch.no_grad(): layer.weight.add_(1)`;
# - somebody writes past PyTorch's books: `layer.weight.data.add_(1)`; and one step after that.
#
# After each, 1000 random inputs that come through *closed wires only*. Whatever comes out is a
# leak.


# %%
closed = ~course.imitation().constraints["weight"].mask
inputs = torch.randn(1000, closed.shape[1], generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def leak(layer):
    """What 1000 inputs do through closed wires alone, (inputs, targets); sizes."""
    return torch.stack([layer(inputs * row)[:, i].abs() for i, row in enumerate(closed)], 1)


# %%
def write(layer):
    with torch.no_grad():
        layer.weight.add_(1)


def attacked(strategy):
    """Attack -> what leaks."""
    layer, train = course.held_imitation(strategy)
    attacks = {"trained": lambda: train(100), "50 more steps": lambda: train(50, size=10)}
    attacks |= {"written into": lambda: write(layer)}
    attacks |= {"written past the books": lambda: layer.weight.data.add_(1)}
    attacks |= {"one step later": lambda: train(1)}
    return {name: (attack(), leak(layer))[1] for name, attack in attacks.items()}


# %%
board = {"Unconstrained": sk.Unconstrained(), "Penalty 10": sk.Penalty(10.0)}
board |= {"Penalty 1, absolute": sk.Penalty(1.0, norm="absolute")}
board |= {k: walkers[k] for k in ("AugmentedLagrangian", "Staged", "Freeze", "Projection")}
board |= {"Projection, every 7": sk.Projection(every=7)}
board |= {"Reparametrization": sk.Reparametrization()}
leaks = {name: attacked(strategy) for name, strategy in board.items()}
worst = pd.DataFrame({k: {a: x.max().item() for a, x in v.items()} for k, v in leaks.items()}).T

# %%
ax = plt.subplots(figsize=(11, 4.4), layout="constrained")[1]
_ = ax.imshow(worst > 0, cmap="RdYlGn_r", vmin=-0.6, vmax=1.6, alpha=0.55, aspect="auto")
for (i, j), size in np.ndenumerate(worst.to_numpy()):
    _ = ax.text(j, i, "holds" if size == 0 else f"leaks {size:.2g}", ha="center", va="center")
says = [f"{name}: {strategy.guarantee}" for name, strategy in board.items()]
_ = ax.set_yticks(range(len(says)), says), ax.set_xticks(range(5), worst.columns)
_ = ax.xaxis.tick_top(), ax.tick_params(length=0), ax.spines[:].set_visible(False)

# %%
name = "Penalty 10"
number, target = divmod(int(leaks[name]["50 more steps"].argmax()), len(closed))
size = leaks[name]["50 more steps"][number, target]
print(f"{name}, counterexample: input {number} moves target {target} by {size:.2f}, and all")
print("the wires that it comes through are closed.")

# %% [markdown]
# *Left, after the colon, what each says of itself; in the fields the largest leak.*
#
# Those that say *structural* survive the first three attacks, and of the others none does. One is
# worth a second look: the absolute penalty holds while nobody pulls harder, and says *none*; both
# are right. A staged strategy says what its last stage promises.
#
# The last two columns go against us. What is written past the books is noticed by nobody, not even
# by those who promise. One step later the projection has taken it back, and the chart never read
# it; a frozen weight keeps it for good, since to do nothing is all that its step does. There are
# two more words for guarantees, *certified* (proved afterward) and *empirical* (seen to hold where
# one looked): an experiment like this one is empirical.
#
# ### Exercise 04.5 · Choose
#
# Five projects. For each, a strategy, such as `sk.Projection()`.

# %%
for name, need in course.example("04.5").items():
    print(f"{name}: {need}")

# %%
choice = {"pacemaker": ..., "black box": ..., "hunch": ..., "transplant": ..., "late shape": ...}
### BEGIN SOLUTION
choice = {"pacemaker": sk.Projection(), "black box": sk.AugmentedLagrangian()}
choice |= {"hunch": sk.Penalty(0.1), "transplant": sk.Freeze()}
choice |= {"late shape": sk.Staged(*half)}
### END SOLUTION
course.check("04.5", choice)

# %% [markdown] tags=["hint"]
# Must it hold, or should it? And from when on?
#
# What can you compute: the value, the nearest point, a chart?
#
# The board above, column by column.

# %% [markdown]
# ## Equal steps, equal seconds
#
# **E6.** All strategies took the same number of steps. Is that fair? Some steps are dearer. We let
# them step in turns, so that all have the same weather, and take the time of a step when nobody
# disturbs: of forty, all but the fastest fifth take longer.


# %%
apiece = {"seeds": 5, "steps": 10_000, "device": "cpu"}
runs = {k: Run(task, {k: s}, **apiece) for k, s in found.strategies.items()}
dear = course.seconds_a_step(runs, budget.steps(40))
curves = found.frame.groupby(["strategy", "evaluations"], sort=False)["metric_held"].mean()

# %%
_, (left, right) = plt.subplots(1, 2, figsize=(12.5, 4.4), layout="constrained", sharey=True)
for name in ("Unconstrained", "Penalty 1", "AugmentedLagrangian", "Staged", "Freeze", "Projection"):
    style = plots.look(found.strategies[name], left) | {"label": name, "markevery": 4}
    _ = left.plot(curves[name].index, curves[name], **style)
    _ = right.plot(curves[name].index * dear[name], curves[name], **style)
_ = left.set(xlabel="gradient evaluations", ylabel="accuracy held"), left.legend(frameon=False)
_ = right.set(xlabel="seconds, five seeds together")

# %% [markdown]
# *Left against evaluations, right against seconds: each curve is stretched by what its step costs,
# and where it ends says how much that is.* A Lagrangian keeps a price for every closed wire, and
# that shows; the others are near each other, since the network itself is most of the bill. A
# constraint whose nearest point has to be searched for would change that.

# %% [markdown]
# ## On a GPU
#
# **E7.** Nothing changes in the code: `sk.compare(..., device="auto")` takes a GPU where there is
# one. What changes is what a seed costs. All seeds and strategies are rows of the same tensors; a
# GPU has thousands of lanes, and a handful of rows leaves most of them idle. So more seeds are
# nearly free there, until the lanes are full. On a CPU that ends early.
#
# Starts, batches and masks are drawn on the CPU, so they are the same; sums are added up in another
# order, so the last digits differ, and after many steps more than the last. Compare seeds on one
# device.

# %%
devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
counts = budget.pick(smoke=(1, 3), quick=(1, 10, 100), full=(1, 10, 100, 1000))
each = [(device, n) for device in devices for n in counts]
runs = {(d, n): Run(task, [sk.Projection()], seeds=n, steps=10_000, device=d) for d, n in each}
took = course.seconds_a_step(runs, budget.steps(15))
timed = {device: [1000 * took[device, n] / n for n in counts] for device in devices}
print("GPU found." if len(devices) > 1 else "No GPU here: the line of the CPU alone.")

# %%
ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")[1]
for (device, times), mark in zip(timed.items(), ("o-", "s--"), strict=False):
    _ = ax.loglog(counts, times, mark, label=device, color="gray")
free = timed["cpu"][0] / np.array(counts)
_ = ax.loglog(counts, free, ":", color="gray", label="if company were free, cpu")
_ = ax.set(xlabel="seeds at once", ylabel="ms a step, for each seed"), ax.legend(frameon=False)
_ = ax.yaxis.set_major_formatter("{x:g}"), ax.set_xticks(counts, counts), ax.minorticks_off()

# %% [markdown]
# *Down means: in company a seed is cheaper than alone. On a CPU the line soon leaves the dotted one
# and levels off, where the arithmetic itself is the bill.*

# %% [markdown]
# ## The answer
#
# **Seven ways to hold one constraint: which one, when, and what does each promise?** If it must
# hold, hold it: Projection or Reparametrization, exact at every step, with nothing to tune. Freeze
# if the weights are good and the examples few. Stages if something else has to come first. If only
# a value is known, let a Lagrangian learn the price, and watch that it does not run away. A penalty
# where "mostly" is enough; and never believe its score before the cut.
#
# ### What it costs


# %%
cost = pd.DataFrame({"ms a step": 1000 * dear})
cost["numbers kept"] = pd.Series(
    {k: course.numbers_kept(task, s) for k, s in found.strategies.items()}
)
kind = [type(strategy).__name__ for strategy in found.strategies.values()]
bill = cost.assign(trainings=1, held=found.summary()["metric_held"]).groupby(kind, sort=False)
bill = bill.agg({"ms a step": "mean", "numbers kept": "mean", "trainings": "sum", "held": "max"})
bill["settings to choose"] = [0, 1, 2, 1, 0, 0, 0]
bill.round(3)

# %% [markdown]
# *Milliseconds are for five seeds together, on this machine, and they wobble (for the staged run:
# of its first half); "numbers kept" counts weights, what the optimizer remembers and what the
# strategy remembers, in units of the weights; "trainings": how many it took to find the setting;
# "held": the best accuracy once cut. All had the same number of gradient evaluations each.*
#
# The steps differ little, the search does not: a penalty needs one training for each strength, and
# its best was picked here by looking at the test, which flatters it. The Lagrangian
# has two numbers and was given the library's own; in E3 you saw what the wrong ones do. Projection,
# Freeze and Reparametrization have nothing to choose.
#
# ### What this does not show
#
# - A ranking. Two drawings on two small tasks and one convex problem; on yours it may be another.
# - Anything about constraints whose nearest point is hard to find, or whose chart bends: see
#   [03 · Filters](03_filters.ipynb).
# - That penalties or Lagrangians do badly. The strong penalty and the Lagrangian end where
#   Projection ends, within what these seeds can see.
# - What other stages would do: other shares, other orders, a growing penalty first.
# - Speed on a GPU, if there was none here.
#
# ### Further reading
#
# - J. Nocedal and S. Wright (2006), *Numerical Optimization*, second edition, chapter 17:
#   penalties, multipliers, and the augmented Lagrangian.
# - J. Platt and A. Barr (1988), [Constrained Differential
#   Optimization](https://proceedings.neurips.cc/paper/1987/hash/a87ff679a2f3e71d9181a67b7542122c-Abstract.html).
#   Prices that learn while the weights do, and what damps their swinging.
# - J. Gallego-Posada and others (2025), [Cooper: A Library for Constrained Optimization in Deep
#   Learning](https://arxiv.org/abs/2504.01212). Lagrangians for PyTorch, in depth.
# - A. Kumar and others (2022), [Fine-Tuning can Distort Pretrained Features and Underperform
#   Out-of-Distribution](https://arxiv.org/abs/2202.10054). Freeze first, then thaw.
# - J. Cohen (1988), *Statistical Power Analysis for the Behavioral Sciences*, chapter 2: how many
#   repetitions it takes to see a difference.
#
# Next: [05 · Manifolds](05_manifolds.ipynb), where what is allowed is curved.
