# %% [markdown]
# # 03 · Filters: a layer that stays a low-pass filter
#
# Convolutions are filters, and people know a lot about filters. Now the drawing is a curve: what a
# layer may do to each frequency. Plan about forty minutes; the longest cell trains for most of a
# minute on two cores.

# %%
import copy
import time
from dataclasses import replace
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Audio, display
from torch import nn
from torch.nn.functional import conv1d, cross_entropy, mse_loss, pad

import shapekeeper as sk
from shapekeeper import course, plots, widgets
from shapekeeper.constraints.filters import Subspace, drift_bound, response_drift

budget = course.budget()
torch.set_num_threads(1)  # all networks here are small: a second thread would only get in the way

# %% [markdown]
# ## A hiss that was never there
#
# A short signal shows one of ten shapes, and a network says which. Its first layer is a
# convolution, 16 filters of 15 taps. We train it as always. Then we test it twice: on new signals,
# and on the same signals with a hiss on top, high noise at four times their loudness.

# %%
task = sk.tasks.shapes()
drawn = task.constraints["shaped.weight"]
amount = {"seeds": budget.seeds, "steps": budget.steps(600)}
free = sk.compare(task, {"free": sk.Unconstrained(start="task")}, **amount)

# %%
layer, runs = free.models("free")[0].shaped, free.final()
_, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained", width_ratios=(2, 1))
left = plots.response(layer.weight, drawn, ax=left)
scores = {"as in training": runs["metric"], "with the hiss": runs["metric:noise4"]}
right = plots.bars(scores, ax=right, y="accuracy on test data")
parts = task.data_for(0).parts
share = sk.tasks.power_share(parts["train"][0][:, 0], ((0.5, 1.0),)).mean()
print(f"Of the power of a training signal, {share:.1%} lies in the hatched part.")

# %% [markdown]
# *Left: what the first layer lets through, low frequencies at the left, high ones at the right. The
# hiss lies where it is hatched, and there the layer is wide open. Right: the same networks twice;
# bars are means, dots are seeds, guessing gets 0.1.*
#
# Not one weight has changed between the two bars. In training there was little in the hatched part,
# so nothing told the layer to close it. If you can, listen: the test signals, one after the other;
# then with the hiss.

# %%
for name in ("test", "noise4"):
    display(Audio(parts[name][0].flatten().numpy(), rate=8000))

# %% [markdown]
# ## The question
#
# **Can a layer learn and stay the filter I drew?**
#
# Some words first:
#
# - a **tap** is one number of a kernel, the row of numbers that a convolution slides along the
#   signal;
# - the **response** says how loud each frequency comes out. Frequencies are counted in units of
#   **Nyquist**: at 1 the samples go up, down, up, down, and nothing can be faster;
# - **dB**: 20 dB is a factor of 10 in amplitude, so 40 dB down is a hundredth. Levels here are
#   relative to the kernel's own loudness, since the next layer can undo any volume;
# - a **stop band** has to stay below a level; a **pass band** is to come through evenly. A low-pass
#   has its stop band at the top;
# - the **violation** is the worst miss of the drawing, in dB. 0 meets it.

# %% [markdown]
# ## Draw
#
# The drawing of the picture above: silence from 0.5 on, 30 dB down. The dashed curve is the filter
# of the trained layer that misses most; the solid one is the nearest kernel that is allowed. Drag
# the edge or the level; by keyboard, Tab to a handle and use the arrows.

# %%
editor = widgets.FilterShapeEditor(drawn, weight=layer.weight, name="shaped")
editor

# %% [markdown]
# A drawing is a value; without a browser it is typed:

# %%
print("The drawing is the one of the task:", editor.value == drawn)
print(editor.code())

# %% [markdown]
# From here on the text speaks of `drawn`; `sk.tasks.shapes(editor.value)` in the second cell would
# train with a drawing of your own. This is the hiss again, through one kernel that meets it:

# %%
quietest = torch.tensor(drawn.feasibility(15).kernel).float()
Audio(conv1d(parts["noise4"][0], quietest[None, None]).flatten().numpy(), rate=8000)

# %% [markdown]
# Now ask for more than there is. In the editor: 5 taps and 40 dB. From code:

# %%
wish = sk.FilterShape.bandlimited(0.5, attenuation_db=40)
try:
    wish.check((16, 1, 5))  # 16 filters, 1 input, 5 taps
except sk.ConstraintError as error:
    print(error, "\n")
for words, shape, taps in wish.feasibility(5).ways:
    print(f"{words}: {shape}, {taps} taps")

# %% [markdown]
# No training was needed to know that. The message says what five taps can do at best, whatever
# numbers they are; below it are three drawings that work. And a layer that exists can be asked how
# it stands to a drawing:

# %%
print(drawn.measure(layer.weight))

# %% [markdown]
# ## Begin with a low-pass
#
# **E1.** Perhaps the layer only needs a good start. Begin with filters that meet the drawing, train
# freely, and look again and again.

# %%
net, (x, y) = task.start_model(0), parts["train"]
net.shaped.weight.data = drawn.start(net.shaped.weight.data)  # the nearest, as loud as before
optimizer, rng = task.optimizer(net.parameters()), torch.Generator().manual_seed(0)

# %%
seen = [net.shaped.weight.detach().clone()]
for _ in range(budget.steps(600)):
    batch = torch.randint(len(x), (task.batch_size,), generator=rng)
    optimizer.zero_grad()
    cross_entropy(net(x[batch]), y[batch]).backward()
    optimizer.step()
    seen.append(net.shaped.weight.detach().clone())

# %%
every = max(1, len(seen) // 40)
ax = plots.response_over_time(seen[::every], np.arange(len(seen))[::every], drawn)

# %% [markdown]
# *Step to the right, frequency up; darker is louder, and at each step we see the filter that misses
# most. Below the line anything is allowed. Above it, look at the left edge: it is pale there for a
# moment; then it darkens, and the hatching says that the drawing is left. The upright line is the
# first step with a filter outside.*
#
# Nothing pushed it there. Nothing kept it from going, either.

# %% [markdown]
# ### Exercise 03.1 · Response
#
# Write the curve yourself. A kernel `w` has taps n = 0, 1, 2, …, and its response at frequency f is
# H(f) = Σ w[n] e^(−iπfn). Return |H| in dB relative to |H(0)|, for every frequency in `f`.

# %%
course.example("03.1")


# %%
def response_db(w, f):
    ### BEGIN SOLUTION
    n = torch.arange(len(w))
    H = torch.exp(-1j * torch.pi * f[:, None] * n) @ w.to(torch.complex128)
    return 20 * torch.log10(H.abs() / w.sum().abs())
    ### END SOLUTION


course.check("03.1", response_db)

# %% [markdown] tags=["hint"]
# It is a sum of cosines and sines: make a table with one row for each frequency and one column for
# each tap.
#
# Use the frequencies that are given, not those of the kernel's own Fourier transform.
#
# 1 means Nyquist, so there is a π and no 2π. `20 * torch.log10(H.abs() / ...)`: what is H(0)?

# %% [markdown]
# **E2 · The stars lie.** There is a famous shortcut: take the Fourier transform of the kernel, set
# all that is too high to zero, transform back; and that after every step. Is it a low-pass then?

# %%
kernels = torch.randn(1000, 31, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
frequencies = 2 * torch.fft.fftfreq(31).abs()  # those that 31 taps have, 1 = Nyquist
cleared = torch.fft.ifft(torch.fft.fft(kernels) * (frequencies < 0.5)).real
ax = plots.response(cleared[0], wish, bins=True)

# %% [markdown]
# *Stars are the frequencies that the transform knows. In the stop band they all lie on the floor,
# exactly silent. The line is the response at all the others, and a signal may hold any of them.*

# %%
print("bins cleared:", wish.measure(cleared))
print("projected:   ", wish.measure(wish.project(kernels)))

# %% [markdown]
# A thousand random kernels, cleared in this way; then each moved to the nearest kernel that is held
# to the drawing. Read the worst and the median. **Looking at 31 frequencies is a promise about 31
# frequencies.**

# %% [markdown]
# ## Three answers
#
# *A convolution in my network should stay a low-pass filter; after training it may no longer be
# one. How do I keep it, and let it learn?* Three answers circulate: freeze the layer; add to the
# loss how far it is from a low-pass; train a shorter network first, in which it comes last, then
# append the later layers and give it a much smaller rate. We try them one after the other, then two
# ways that are exact, then everything side by side.
#
# **Predict** the order of five of them, best first: without the hiss, and with it.

# %%
guess_order = None
# guess_order = {
#     "clean": ["free", "penalty 1", "freeze", "short first", "projection"],
#     "hiss": ["free", "penalty 1", "freeze", "short first", "projection"],
# }
course.predict("03.A", guess_order)

# %% [markdown]
# And points on the plane with the hiss: violation in dB and accuracy before the cut; then 0, and
# the accuracy after it. The cut moves each filter to the nearest one that is held to the drawing.

# %%
guess_plane = None
# guess_plane = {"free": [(30, 0.2), (0, 0.5)], "penalty 1": [(3, 0.6), (0, 0.6)]}
course.predict("03.B", guess_plane)

# %% [markdown]
# A frame for what follows: train, and a table. ± is the standard deviation over seeds; "worst" is
# the loudest frequency in the stop band of any filter, "met" the share of filters that meet the
# drawing.


# %%
def train(strategies, task=task):
    """Name -> comparison; the same seeds, starts, batches and steps for each."""
    return {name: sk.compare(task, {name: s}, **amount) for name, s in strategies.items()}


def table(runs):
    rows = {}
    for name, run in runs.items():
        reports = [drawn.measure(net.shaped.weight) for net in run.models(name)]
        told = {"clean": run.final()["metric"], "with hiss": run.final()["metric:noise4"]}
        rows[name] = {k: f"{v.mean():.3f} ± {v.std():.3f}" for k, v in told.items()}
        rows[name]["worst, dB"] = f"{np.mean([r.worst_stop_db for r in reports]):.1f}"
        rows[name]["met"] = f"{np.mean([r.share_met for r in reports]):.0%}"
    return pd.DataFrame(rows).T


# %% [markdown]
# ### Answer 1 · Freeze
#
# Take random filters that meet the drawing, and never touch them; the rest of the network learns.
# Above it, the free network of the hook and the one that begins with the same filters.

# %%
runs = {"free": free} | train({"low-pass start": sk.Unconstrained(), "freeze": sk.Freeze()})
table(runs)

# %% [markdown]
# The frozen layer keeps the drawing, learns nothing, and does not mind the hiss. And look at the
# row above it: that layer has left the drawing far behind, and still the hiss hurts it much less
# than it hurts the one with the ordinary start. Keep that in mind: **the start alone does part of
# the work.**
#
# ### Answer 2 · Ask
#
# A penalty: squared dB above the drawing, averaged over the stop band. Three fixed strengths, and
# one that grows by two percent after each step that leaves some filter outside.

# %%
asked = {f"penalty {s:g}": sk.Penalty(s) for s in (0.1, 1.0, 10.0)}
runs |= train(asked | {"growing": sk.Penalty(1.0, growth=1.02)})
table({name: runs[name] for name in [*asked, "growing"]})

# %% [markdown]
# *Read "met" from top to bottom, then "clean".* A stronger price brings more filters home, and
# costs accuracy. With the weakest one hardly any filter meets the drawing, and the hiss does
# nothing all the same: what *works* and what *meets the drawing* are two things. The growing one
# gets nearly all of them there; *nearly* is the word.
#
# ### Answer 3 · First short, then slow
#
# Half of the steps go to a short network in which `shaped` is the last layer before the answer,
# with penalty 1. Then the other layers come in between, and `shaped` learns on at a hundredth of
# the rate.

# %%
short = sk.Stage(0.5, sk.Penalty(1.0), model=sk.tasks.short_model(task))
slow = sk.Stage(0.5, sk.Unconstrained(), rate=0.01)
runs |= train({"short first": sk.Staged(short, slow)})
table({"short first": runs["short first"]})


# %%
def together(runs):
    first, *others = runs
    return runs[first].beside({name: runs[name] for name in others})


shown = ["low-pass start", "penalty 1", "growing", "short first"]
ax = plots.training(together({name: runs[name] for name in shown}), y="violation")

# %% [markdown]
# *Violation while they train. Follow "short first": in the first half it is asked, like "penalty
# 1"; from the middle on nobody asks, and slowly it creeps up. The jagged one is "growing": filters
# go in, and now and then one comes out again.*
#
# How far can a slow layer go? Adam moves a tap by about the rate in each step, and by a few times
# as much at the very most, so no frequency can move by more than the sum of all that. That is a
# bound; lay the measured drift beside it. (The first stage, trained once more by itself, gives the
# filters of the middle.)

# %%
middle = replace(task, model=sk.tasks.short_model(task))
half = {"seeds": budget.seeds, "steps": budget.steps(600) // 2}
first = sk.compare(middle, {"short": sk.Penalty(1.0)}, **half).models("short")

# %%
bound = drift_bound(15, task.optimizer.keywords["lr"], half["steps"], rate=0.01)
drift = []
for start, end in zip(first, runs["short first"].models("short first"), strict=True):
    a, b = (net.shaped.weight.detach() for net in (start, end))
    moved, loudness = response_drift(drawn, a, b).change, drawn.reference(a)
    drift.append({"measured": (moved / loudness).max(), "bound": (bound / loudness).max()})
drift = pd.DataFrame(drift).astype(float).assign(drawing=10 ** (-30 / 20))
drift.rename_axis("seed").round(3)

# %% [markdown]
# *The farthest that any frequency of any filter has moved, in units of the filter's loudness; what
# the rate promises; and what the drawing allows in the stop band.*
#
# The bound holds, and it is weak: it lets a filter go many times as far as the drawing allows.
# And it is about *drift*: the filters it starts from were asked, not held. **A small rate is slow.
# It is no guarantee**, and twice the steps make it half as good. It also learns least: half of the
# steps went to a network that is thrown away.

# %% [markdown]
# ## Can it be exact?
#
# **E3 · The quiet kernels.** The energy of a kernel in the stop band is wᵀQw, with a table Q that
# can be written down. Its eigenvectors are kernels, the quietest first.

# %%
n = np.arange(15)
apart = n[:, None] - n
Q = np.sinc(apart) - 0.5 * np.sinc(0.5 * apart)  # the integral of cos(πf(m − n)) from 0.5 to 1
energy, vectors = np.linalg.eigh(Q)

# %%
_, (a, b) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
_ = a.semilogy(range(1, 16), energy, "o", color="gray"), a.grid(alpha=0.3)
_ = a.set(xlabel="kernel, quietest first", ylabel="share of its energy in the stop band")
b = plots.taps(vectors.T[:6], ax=b)

# %%
ax = plots.response({f"kernel {i}": vectors[:, i - 1] for i in (1, 3, 5)}, drawn)

# %% [markdown]
# *Top left: a slope of ten powers of ten. A few kernels have next to no energy in the stop band,
# some stand on the edge, the others live in it. Top right: the six quietest, tap by tap. Bottom:
# three of them as responses; the first is far below the drawing, the fifth above it.*
#
# Sums of quiet kernels are quiet. So the allowed kernels are all sums of the first few, and the
# only question is how many may join before the loudest sum breaks the drawing:

# %%
guaranteed = Subspace.of(drawn.pieces, (15,)).attenuation_db[:6]
pd.Series(guaranteed.round(1), range(1, 7), name="loudest sum, dB down").rename_axis("kernels")

# %% [markdown]
# We drew 30 dB, so four may join: a filter has 4 free numbers where it has 15 taps. The same count
# for other lengths and levels:

# %%
lengths, levels = (5, 7, 9, 15, 31, 65), (20, 30, 40, 60)
down = [sk.FilterShape.bandlimited(0.5, attenuation_db=level) for level in levels]
counts = [[shape.feasibility(taps).freedom for shape in down] for taps in lengths]
pd.DataFrame(counts, lengths, [f"{d} dB" for d in levels]).rename_axis("taps")

# %% [markdown]
# ### Exercise 03.4 · Feasible?
#
# (The exercises are numbered by topic, not by order.) A filter with one free number can only change
# its volume; you want at least **two**. Stop band from 0.5 on, 40 dB down: what is the smallest odd
# number of taps?

# %%
k = 13  # SOLUTION
course.check("03.4", k)

# %% [markdown] tags=["hint"]
# One direction cannot learn a shape.
#
# Count kernels, best first, until the loudest sum breaks 40 dB. `wish.feasibility(k).freedom` does
# it.
#
# Try odd k upward from 5.

# %% [markdown]
# ### Exercise 03.2 · Subspace projection
#
# The columns of `V` are allowed kernels, orthonormal: each has length 1, and any two are at right
# angles. Write the nearest allowed kernels to `w`, whose last axis is the taps: `(taps,)` or `(out,
# in, taps)`.

# %%
w, V = course.example("03.2")
print("w:", tuple(w.shape), "V:", tuple(V.shape))


# %%
def nearest_bandlimited(w, V):
    return w @ V @ V.T  # SOLUTION


verdict = course.check("03.2", nearest_bandlimited)
if verdict:
    w, V = layer.weight.detach().double(), torch.tensor(vectors[:, :4])
    difference = (nearest_bandlimited(w, V) - drawn.project(w)).abs().max()
    print(f"Yours and the library's, on the free layer: {difference:.0e} apart.")
verdict

# %% [markdown] tags=["hint"]
# Coordinates first, then back: how much of each column is in `w`, then the sum of that much of
# each.
#
# The taps are the last axis; `w @ V` gives the coordinates of any number of filters at once.
#
# Test it by doing it twice: the second time must change nothing. Which matrix leads back?

# %% [markdown]
# So to hold the drawing is one multiplication. There are two ways to use it: **projection**, after
# each step; and **reparametrization**, where the optimizer moves free numbers and the layer reads
# the allowed kernels that they stand for.

# %%
runs |= train({"projection": sk.Projection(), "reparametrization": sk.Reparametrization()})
table({name: runs[name] for name in ("freeze", "projection", "reparametrization")})

# %% [markdown]
# *All filters meet the drawing, always, and they learn.*

# %% [markdown]
# ## Rivals
#
# Look back at the tables. Somebody says: *the constraint made the network robust.* Six more runs
# are on offer:
#
# - `"more seeds"`: the same comparison, twenty times instead of five;
# - `"shaped start only"`: free training that begins where the held one begins;
# - `"augmentation"`: free training, on noisy copies of the signals as well;
# - `"prefilter"`: a fixed filter that meets the drawing, and a free network behind it;
# - `"class in the stop band"`: data whose answer lies where the drawing says silence;
# - `"larger free network"`: free training with twice as many filters.
#
# ### Exercise 03.3 · Which control is missing?
#
# Choose two that could *refute* the sentence.

# %%
controls = {"shaped start only", "prefilter"}  # SOLUTION
course.check("03.3", controls)

# %% [markdown] tags=["hint"]
# What else changed together with the constraint?
#
# The starting kernels did. A run that has them, and no constraint, could prove the sentence wrong.
#
# And could something outside the layer do the same job?

# %% [markdown]
# The shaped start you have seen ("low-pass start"). Now two rivals from outside, both with a free
# layer: training on noisy copies, with noise like that of the test; and a fixed filter of 15 taps
# in front of the network.

# %%
ordinary, fixed = sk.Unconstrained(start="task"), sk.tasks.prefiltered_model(task)
rivals = train({"augmentation": ordinary}, sk.tasks.augmented(task))
rivals |= train({"prefilter": sk.Staged(sk.Stage(1.0, ordinary, model=fixed))})
table(rivals)

# %% [markdown]
# *The last two columns are about the layer that learns; behind the fixed filter, nobody holds it.*
#
# **E4 · Side by side.** Two planes, without and with the hiss. Rivals do not shape the layer, so
# they have no place on the axis of violation: they are dotted lines.


# %%
@torch.no_grad()
def cut_score(net, seed):
    """Accuracy with the hiss after the layer was moved to the nearest allowed one."""
    net, (x, y) = copy.deepcopy(net), task.data_for(seed).parts["noise4"]
    net.shaped.weight.data = drawn.project(net.shaped.weight)
    return sk.tasks.accuracy(net(x), y).item()


def with_hiss(found):
    """The same comparison, judged with the hiss."""
    rows = found.final().reset_index().drop(columns="metric")
    rows = rows.rename(columns={"metric:noise4": "metric"})
    nets = [net for name in found.strategies for net in found.models(name)]
    held = [cut_score(net, seed) for net, seed in zip(nets, rows["seed"], strict=True)]
    frame = rows.assign(metric_held=held)
    return replace(found, frame=frame, metric_name="accuracy with the hiss")


# %%
clean = together(runs)
hissing = with_hiss(clean)
_, row = plt.subplots(1, 2, figsize=(13.5, 6), layout="constrained")
for ax, plane, column in zip(row, (clean, hissing), ("metric", "metric:noise4"), strict=True):
    plots.tradeoff(plane, guess=guess_plane if plane is hissing else None, ax=ax)
    for name, run in rivals.items():
        height = run.final()[column].mean()
        ax.axhline(height, linestyle=":", color="gray")
        ax.text(1, height, f" {name}", transform=ax.get_yaxis_transform(), va="center")

# %% [markdown]
# > **Right is freedom. Left is obedience. The arrow is the bill.**
#
# *Left: follow the arrows from right to left; how far does each fall? Right: the free network is at
# the bottom now. Dotted: the rivals. Hollow diamonds are your guesses.*
#
# The same arrows mean two things. Without the hiss, the accuracy of the free network is real, and
# part of it comes through frequencies that the drawing forbids: take them away, and it falls. With
# the hiss, lies come through them, and the same cut is a rescue: the arrow points up.

# %%
five = ["free", "penalty 1", "freeze", "short first", "projection"]
means = {name: clean.final().loc[name, ["metric", "metric:noise4"]].mean() for name in five}
orders = pd.DataFrame(means).T.set_axis(["clean", "hiss"], axis=1)
course.reveal("03.A", {k: list(orders[k].sort_values(ascending=False).index) for k in orders})

# %%
points = hissing.final().assign(cut=0.0)[["violation", "metric", "cut", "metric_held"]]
names = ["free", "penalty 1"]
course.reveal("03.B", {name: points.loc[name].to_numpy().reshape(-1, 2, 2) for name in names})

# %% [markdown]
# Which differences are differences? Every run has a partner with the same seed, so we subtract in
# pairs.

# %%
everything = together(runs | rivals).final()[["metric", "metric:noise4"]]
pairs = 100 * everything.sub(everything.loc["projection"], level="seed")
apart = pairs.groupby(level="strategy", sort=False).agg(["mean", "std"]).round(1)
apart.set_axis(["clean", "sd", "with hiss", "sd "], axis=1)

# %% [markdown]
# *Points of accuracy from projection, and the spread of that. Where the spread is the larger one,
# say "cannot tell".*
#
# Read it honestly.
#
# - **Without the hiss the constraint costs points.** It is no regularizer that pays for itself: the
#   shapes have something above the edge, and the drawing takes it away.
# - **With the hiss it is worth a lot against the ordinary network, and it is not the best.** The
#   weakest penalty is ahead of it on both sides; so are the noisy copies without the hiss, and with
#   it we cannot tell. Neither comes near the drawing. For accuracy alone, asking softly is enough
#   here, if you know what noise will come, or which strength to take.
# - **Among those that promise**, projection and free numbers are ahead of the frozen layer: to
#   learn inside the drawing pays. Whether they are ahead of the fixed filter in front, the oldest
#   trick of all, we can hardly tell.
# - **"low-pass start" has no constraint, and most of the robustness.** The sentence above is wrong
#   as it stands: a good part of the credit goes to the start.
#
# What the constraint sells is the promise. It needs no noise to practice on, and no strength to
# find; you know before training what the layer will never do.

# %% [markdown]
# ## When the drawing is wrong, and when the data are
#
# **E5 · Three kinds of data.** The layer has 31 taps now, and the stop band begins at 0.5 again, 40
# dB down. Eight classes, and the answer lies
#
# - **below the edge**: one of eight low tones, in noise;
# - **half in the stop band**: each class is a pair of a low tone and a high one;
# - **below, with a false clue above**: low tones again, and a high tone that names the class in 97
#   of 100 training signals, and in the test nothing.
#
# **Predict** the accuracy of the held network on the second one. Guessing gets 1/8.

# %%
guess_half = None  # a number between 0 and 1
course.predict("03.C", guess_half)


# %%
def trio(task):
    """Test accuracies of a free network, one behind a fixed filter, and a held one."""
    model = sk.tasks.prefiltered_model(task)
    three = {"free": ordinary, "projection": sk.Projection()}
    three["prefilter"] = sk.Staged(sk.Stage(1.0, ordinary, model=model))
    return sk.compare(task, three, seeds=budget.seeds, steps=budget.steps(300)).final()


low, both, clue = map(trio, (sk.tasks.tones(), sk.tasks.both_bands(), sk.tasks.shortcut()))

# %%
columns = {"below the edge": low["metric"], "half in the stop band": both["metric"]}
columns |= {"clue, as in training": clue["metric:as_trained"], "clue, test": clue["metric"]}
names = ["free", "projection", "prefilter"]
groups = {k: {name: column.loc[name] for name in names} for k, column in columns.items()}
_, ax = plt.subplots(figsize=(11, 4), layout="constrained")
ax = plots.bars(groups, ax=ax, y="accuracy on test data")
if guess_half is not None:
    at = ax.get_xticks()[1]
    _ = ax.plot(at, guess_half, "D", markersize=12, mfc="none", mec="black")
course.reveal("03.C", both.loc["projection", "metric"].to_numpy())

# %% [markdown]
# *Hollow diamond: your guess. The best that anyone can do who hears nothing from 0.5 on is an
# accuracy of 0.5 in the second group, and 0.85 in the last.*
#
# First group: nothing is lost, beyond the spread. Second: the drawing is wrong, and the constraint
# halves what can be known, however long it trains; it was told to be deaf where the answer is. Last
# two: the free network has learned the clue and nothing else, so it looks splendid as long as the
# clue is right, and then it guesses. The held one never heard the clue. Nor did the network behind
# the fixed filter: where only the deafness counts, it is as good.
#
# > **The constraint is knowledge.** It pays where your training data are silent or lying about
# > the forbidden band, costs nothing where there is nothing there, and hurts where the answer is
# > there.

# %% [markdown]
# ## The right point
#
# **E6.** Not every "project after the step" ends where it should. Here is a problem with an exact
# answer: fit one kernel of 15 taps, held to the drawing, where the taps hear inputs of very unequal
# size. The loss is a square, so the best allowed kernel is the solution of a linear system.

# %%
rng, V = torch.Generator().manual_seed(0), torch.tensor(vectors[:, :4])
x, aim, noise = (torch.randn(*size, generator=rng).double() for size in ((200, 15), (15,), (200,)))
x = x * torch.logspace(0.5, -0.5, 15)[torch.randperm(15, generator=rng)]
y = x @ aim + 0.1 * noise
optimum = V @ torch.linalg.lstsq(x @ V, y[:, None]).solution[:, 0]
lowest = mse_loss(x @ optimum, y).item()


# %%
def descent(make, strategy=None):
    """How far the loss is above the exact optimum after each step, as a share of it."""
    torch.manual_seed(0)
    fit, above = nn.Linear(15, 1, bias=False).double(), []
    optimizer = make(fit.parameters())
    if strategy:
        sk.hold(fit, {"weight": drawn}, strategy, optimizer)
    for _ in range(budget.steps(1500)):
        optimizer.zero_grad()
        mse_loss(fit(x)[:, 0], y).backward()
        optimizer.step()
        if not strategy:
            fit.weight.data = drawn.project(fit.weight.data)
        above.append(max(mse_loss(fit(x)[:, 0], y).item() / lowest - 1, 0))
    return above


# %%
adam, sgd = partial(torch.optim.Adam, lr=0.01), partial(torch.optim.SGD, lr=0.01)
ways = {"Adam, projected by hand": descent(adam), "SGD, projected by hand": descent(sgd)}
for strategy in (sk.Projection(), sk.Reparametrization()):
    ways[f"Adam, hold by {strategy.label}"] = descent(adam, strategy)
ax = plots.lines(ways, y="loss above the exact optimum, as a share of it")

# %% [markdown]
# *Look for the line that does not come down.* It never leaves the drawing, and it rests at the
# wrong kernel. Adam divides the gradient of each tap by a size of its own, so it walks at a slant;
# the projection takes back what leaves the subspace; and the two agree at a point that is no
# minimum. With SGD there is no slant. `sk.hold` gives all taps of a filter one common divisor; and
# who moves the free numbers never leaves the subspace in the first place.
#
# ### The mathematics, none of it new
#
# $$H(f) = \sum_n w_n e^{-i\pi f n}, \qquad \int_{\text{stop}} |H(f)|^2\,df = w^\top Q\,w,
# \qquad Q_{mn} = \int_{\text{stop}} \cos(\pi f(m-n))\,df.$$
#
# The nearest allowed kernel is P(w) = V Vᵀ w, where the columns of V are the first few eigenvectors
# of Q. Read aloud: keep of a kernel what the quiet ones can make, and forget the rest. The set is a
# subspace; so for SGD, to project after each step and to move the free numbers is the same path.

# %% [markdown]
# ## Two meanings of low-pass
#
# "Low-pass" has two meanings, and the drawing has to say which. So far: nothing *above* the edge,
# any shape below; that is **band-limited**, and a filter keeps a few free numbers. The other one
# also wants a **pass band** that comes through evenly. That is a template for *one* filter. Draw
# it, and send six random kernels to the nearest of each kind.

# %%
even = sk.FilterShape.lowpass(0.3, 0.5, ripple_db=1, attenuation_db=30)
random = torch.randn(6, 15, generator=torch.Generator().manual_seed(2)).double()
ax = plots.taps({"band-limited": drawn.project(random), "template": even.project(random)})

# %%
_, row = plt.subplots(1, 2, figsize=(13, 4.6), layout="constrained")
for ax, shape in zip(row, (drawn, even), strict=True):
    plots.response(shape.project(random), shape, ax=ax)

# %% [markdown]
# *Top: six kernels of each kind; those of the template are all symmetric, and much alike. Bottom:
# their responses; at the right there is little room between the two pieces of forbidden ground.* A
# layer of sixteen such filters is one filter, sixteen times, louder and quieter:

# %%
template = sk.compare(
    sk.tasks.shapes(even, noise_band=(0.5, 1)), {"template": sk.Projection()}, **amount
)


# %%
def alike(net):
    """Median |cosine| between two filters of the layer."""
    w = nn.functional.normalize(net.shaped.weight.detach()[:, 0], dim=1)
    return (w @ w.T).abs()[torch.ones(16, 16).triu(1) > 0].median().item()


rows = {}
for name, run in {"band-limited": runs["projection"], "template": template}.items():
    (label,), last = run.strategies, run.final()
    cosines = [alike(net) for net in run.models(label)]
    rows[name] = {"clean": last["metric"].mean(), "sd": last["metric"].std()}
    rows[name] |= {"with hiss": last["metric:noise4"].mean(), "how alike": np.mean(cosines)}
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# *"how alike": 1 means that all filters are one filter with a volume.* So for a layer that should
# learn, draw what must *not* come through; keep the template for a filter that you would have
# designed anyway.

# %% [markdown]
# ## What the promise does not cover
#
# **E7 · Edges.** The promise is about the kernel. A layer also has edges, and something must stand
# beyond them: zeros, a mirror image, the last value again, the other end. A tone from the middle of
# the stop band goes through a kernel that is more than 75 dB down. **Predict**: how loud does it
# come out, in dB, if the signal has 40 samples and the layer pads with zeros?

# %%
guess_edge = None  # a number below 0
course.predict("03.D", guess_edge)

# %%
deep = sk.FilterShape.bandlimited(0.5, attenuation_db=75)
kernel = deep.sample((1, 1, 31), torch.Generator().manual_seed(0)).double()
phases = torch.linspace(0, 2 * torch.pi, 9).double()[:8, None, None]
tones = torch.cos(0.75 * torch.pi * torch.arange(40) + phases)  # (8, 1, 40), in eight phases


# %%
def level(x):
    """Loudness of what comes out, in dB of what goes in."""
    power = conv1d(x, kernel).square().mean() / tones.square().mean()
    return 10 * power.log10().item() - 20 * deep.reference(kernel).log10().item()


padded = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate"}
out = {name: level(pad(tones, (15, 15), mode)) for name, mode in padded.items()}
out |= {"circular": level(pad(tones, (15, 15), "circular")), "none (valid)": level(tones)}

# %%
ax = plots.bars(out, y="stop band tone, dB of what went in")
if guess_edge is not None:
    _ = ax.plot(0, guess_edge, "D", ms=12, mfc="none", mec="black")
course.reveal("03.D", [out["zeros"]])

# %% [markdown]
# *Longer bars are quieter. Two of the five keep the promise: the last one does not look beyond the
# edge, and for the one before it this tone goes around without a seam.* The others cut the tone off
# or bend it, and a tone that is bent has all frequencies. It comes out near the edges, so long
# signals suffer less. Our own layer pads with `reflect`, and the hiss above was kind: it fades
# toward both ends of a signal.
#
# And the numbers of a kernel are rounded when they are stored:

# %%
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    print(f"{dtype!s:15}", deep.measure(kernel.to(dtype)))

# %% [markdown]
# ## The answer
#
# **Can a layer learn and stay the filter I drew?** Yes, exactly, at every step: the allowed kernels
# are a subspace, and to stay in it is one multiplication. It learns there, less than a layer that
# may do all it likes. Freezing keeps the drawing and does not learn; asking learns and nearly keeps
# it; short first, then slow, did neither well here.
#
# ### What it costs


# %%
def stepping(strategy, shape=drawn):
    """A function that takes one step of training with the layer held like this."""
    net, (x, y) = task.start_model(0), (part[:32] for part in parts["train"])
    optimizer = task.optimizer(net.parameters())
    held = sk.hold(net, {"shaped.weight": shape}, strategy, optimizer)

    def step():
        optimizer.zero_grad()
        (cross_entropy(net(x), y) + held.penalty()).backward()
        optimizer.step()

    return step


# %%
ways = {"free": stepping(sk.Unconstrained()), "penalty": stepping(sk.Penalty(1.0))}
ways |= {"projection": stepping(sk.Projection())}
ways |= {"reparametrization": stepping(sk.Reparametrization())}
ways |= {"projection, template": stepping(sk.Projection(), even)}
found = {name: [] for name in ways}
for name, step in [*ways.items()] * budget.steps(60):  # in turns: all have the same weather
    start = time.perf_counter()
    step()
    found[name].append(1000 * (time.perf_counter() - start))
bill = pd.DataFrame({"ms a step": pd.DataFrame(found).quantile(0.2)})
bill["of free"] = bill["ms a step"] / bill["ms a step"]["free"]
bill["settings tried"] = [0, 3, 0, 0, 0]
bill.round(2)

# %% [markdown]
# *Time of one step when nobody disturbs: of sixty, all but the fastest fifth take longer. Times
# wobble, so run twice before you believe a tenth.*
#
# A band-limited drawing is one small multiplication more in each step, by projection or by free
# numbers. On a network this small, where a step is a millisecond or two, the call itself is what
# you see. A penalty measures every filter in each step. A drawn pass band costs the most, since its
# nearest filter has to be searched for; and it costs sameness.
#
# Settings: a penalty is dear in search, one training for each strength, and the best was picked
# here by looking at the test. Short first, then slow, has three numbers to choose (a share, a rate,
# a strength), and we tried one of each. Accuracy is in the tables above.
#
# ### What this does not show
#
# - What happens **behind** the layer. The ReLU makes new high frequencies out of low ones. The
#   promise is about what goes into it.
# - Anything at an edge, or at half precision: see E7.
# - That a constraint makes networks robust. It does so against what was drawn, and here we drew it
#   where we were going to make noise. Another noise would pass.
# - Real sounds or images. The signals were made up, in the manner of a benchmark, and have 40
#   samples. The hiss was loud; half as loud is in the column `metric:noise2` of each comparison.
# - That the three answers are bad. Each has settings that we did not tune; the penalty was swept,
#   the others were not.
#
# ### Further reading
#
# - D. Slepian (1978), [Prolate Spheroidal Wave Functions, Fourier Analysis, and Uncertainty V: The
#   Discrete Case](https://doi.org/10.1002/j.1538-7305.1978.tb02104.x). The quiet kernels, long
#   before they learned.
# - M. Ravanelli and Y. Bengio (2018), [Speaker Recognition from Raw Waveform with
#   SincNet](https://arxiv.org/abs/1808.00158). Two numbers a filter, its edges; no promise about
#   the stop band.
# - R. Zhang (2019), [Making Convolutional Networks Shift-Invariant
#   Again](https://arxiv.org/abs/1904.11486). A fixed low-pass before each subsampling.
# - S. Greydanus and D. Kobak (2020), [Scaling Down Deep Learning with
#   MNIST-1D](https://arxiv.org/abs/2011.14439). The signals that ours are modeled on.
#
# Next: [04 · Strategies](04_strategies.ipynb), all ways to hold a shape side by side.
