# %% [markdown]
# # 07 · Interlingua: a layer that speaks a grammar
#
# Until now we held weights. Now we hold what a layer *says*: each of its values has to be a word of
# a language, for every input. Plan about forty minutes. The longest cell trains two networks, for
# about forty seconds on two quiet cores.

# %%
from html import escape

import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd
import torch

import shapekeeper as sk
from shapekeeper import course, plots, widgets
from shapekeeper.compare import Run

budget = course.budget()
torch.set_num_threads(1)  # all networks here are small: a second thread would only get in the way

# %% [markdown]
# ## Perfect grammar
#
# A network translates English-like sentences into German-like ones. In its middle sits one layer of
# 7 slots, each of which says one of 16 symbols, such as `child` or `pl`: a word of an
# **interlingua**, a language between the two. The second half of the network sees that word and
# nothing else. We train it twice. Once the layer may say anything; once it is held to a grammar.

# %%
task = sk.tasks.translation("medium")
grammar = task.constraints["encoder"]
steps = budget.pick(smoke=3, quick=650, full=650)
amount = {"seeds": budget.pick(smoke=1, quick=1, full=5), "steps": steps}
ways = {"free": sk.Unconstrained(), "held": sk.Reparametrization()}
found = sk.compare(task, ways, **amount)
nets = {name: found.models(name)[0] for name in ways}


# %%
def answers(sentence):
    """The word in the middle of each network, and the sentence that it writes."""
    for name, net in nets.items():
        word, german = sk.tasks.translate(net, sentence)
        legal = bool(grammar.allows(grammar.encode([word.split()])))
        yield f"{name}: {word}   ({'legal' if legal else 'not legal'})\n   -> {german}"


# %%
def shown(sentence):
    try:
        return f"<pre>{escape(chr(10).join(answers(sentence)))}</pre>"
    except ValueError as error:  # a word that is not in the lexicon
        return escape(str(error))


# %%
english = ipywidgets.Text("the kid -s are quickly chase -ed by the dog", continuous_update=False)
german = ipywidgets.HTML()
link = ipywidgets.dlink((english, "value"), (german, "value"), shown)
ipywidgets.VBox([english, german])

# %% [markdown]
# Type a sentence and press Enter: endings are words of their own, and a word that is not in the
# lexicon is answered by a list of those that are. The same without a browser, and some nonsense:

# %%
print(*answers("the kid -s are quickly chase -ed by the dog"), sep="\n")
print(*answers("quickly the the -ed eat by bread -s"), sep="\n")

# %% [markdown]
# Look at the brackets. Whatever you type, the held network says a legal word. Now read these words.
# Did the first sentence give you anything with a child, a dog and a chase in it?


# %%
def said(net, x, layer="speaker"):
    """What a layer passes on for some inputs."""
    heard = []
    hook = net.get_submodule(layer).register_forward_hook(lambda *call: heard.append(call[2]))
    with torch.no_grad():
        net.eval()(x)
    hook.remove()
    return heard[0]


# %%
x, y = task.data_for(0).test
some, slots = slice(0, 48, 8), "agent number verb agreement patient number manner".split()
words = [grammar.decode(w)[some] for w in (said(nets["held"], x), sk.tasks.true_meaning(y))]
ax = plots.words(*words, [course.sentence(line) for line in x[some]], slots=slots)
print(f"true words, of all {len(x)}: {sk.tasks.true_words(said(nets['held'], x), y):.1%}")

# %% [markdown]
# *Six sentences that it never heard in training. Large, the word in the middle; small, the word
# that tells its meaning. Look for green.*
#
# It speaks perfect grammar and says nothing you would recognise.

# %% [markdown]
# ## The question
#
# **Can the values inside a network be forced to be words of a language, and do the words then mean
# something?**
#
# Some words first; leaf back to them when one turns up.
#
# - a **slot** is one place of a word, a **symbol** what may stand there. The layer gives each
#   symbol in each slot a **score**; a **word** is one symbol per slot. **Legal**: in the language;
# - a **grammar** says which words are legal; it may be written as an **automaton**: states, and
#   arrows that carry symbols;
# - the **violation** of a word: how many of its symbols have to change until it is legal;
# - **free**: the layer says the largest symbol of each slot. **Projection**: it says the legal word
#   with the highest sum of scores, and the gradient knows nothing of the grammar. **Conditioned**
#   (in the library: `Reparametrization`): the same word, but the gradient is that of probabilities
#   *given* that the word is legal. **Penalty**: the loss has −log P(legal) added, times a strength;
# - the **slack** of a language: log₂ of its number of words, minus log₂ of the number of things to
#   be said.

# %% [markdown]
# ## Draw
#
# Words of three symbols out of `a`, `b` and `c`. The counter at the top follows what you draw. (By
# keyboard: Tab into the drawing, arrow keys to choose a state. Or type a pattern: `|` is "or".)

# %%
editor = widgets.GrammarEditor("aab|abc|bca|cab|cbc", length=3)
editor

# %% [markdown]
# The same from code, so that the notebook runs without a browser. To go on with your own drawing,
# put `tiny = editor.value` at the end of the cell (and keep three slots and three symbols).

# %%
tiny = sk.Grammar("aab|abc|bca|cab|cbc", length=3)
print(tiny.count, "words of", 3**3, "strings")

# %% [markdown]
# ## The best legal word
#
# **E1.** Scores by hand. In each slot some symbol is largest; do the three largest make a word?

# %%
scores = torch.tensor([[1.2, 2.0, 0.3], [0.4, 0.1, 1.5], [1.1, 0.2, 1.9]])
ax = plots.lattice(tiny, scores)

# %% [markdown]
# *Each way from left to right is a word. The thick one has the highest sum. Look at what is written
# above the slots: where did the grammar overrule a slot?*
#
# There are only five words here, so we can try them all. A language of 10⁴⁷ words is no harder: one
# sweep through the layers from the right keeps, for each state, the best sum from there on.

# %%
sums = {word: (tiny.encode([word])[0] * scores).sum().item() for word in tiny.examples(99)}
for word, total in sorted(sums.items(), key=lambda pair: -pair[1]):
    print("".join(word), round(total, 2))
print("by one sweep:", "".join(tiny.decode(tiny.project(scores[None]))[0]))

# %% [markdown]
# ### Exercise 07.1 · Best legal word
#
# `scores` is (slots, symbols); `machine` has `symbols` (such as `"abc"`), `arrows` (state, symbol,
# next state), `start` and `ends`. Return the legal word of so many slots with the highest sum, as a
# string. Some arrows lead to where no word can be finished.

# %%
scores, machine = course.example("07.1")
print(tuple(scores.shape), machine)


# %%
def best(scores, machine):
    ### BEGIN SOLUTION
    onward = dict.fromkeys(machine.ends, (0.0, ""))
    for row in reversed(scores.tolist()):
        score, here = dict(zip(machine.symbols, row, strict=True)), {}
        for state, symbol, target in machine.arrows:
            if target in onward:
                rest, word = onward[target]
                here[state] = max(
                    here.get(state, (-1e9, "")), (score[symbol] + rest, symbol + word)
                )
        onward = here
    return onward[machine.start][1]
    ### END SOLUTION


course.check("07.1", best)

# %% [markdown] tags=["hint"]
# Start at the end.
#
# For each state: the best sum from here on, and the word that has it. States from which no word can
# be finished have none.
#
# After the last sweep, look up the start. (Or keep only the sums, and walk forward.)

# %% [markdown]
# ### Exercise 07.2 · Chance of being legal
#
# Each slot draws its symbol by itself, with the probabilities `logits[slot].softmax(-1)`. What is
# the chance that the word is legal? The penalty is −log of it. Now one thing matters that did not
# matter before: two arrows with the same symbol may leave one state.
# `machine.after(states, symbol)` is the set of states that a symbol leads to from a set of states.


# %%
def chance(logits, machine):
    ### BEGIN SOLUTION
    chances = {frozenset({machine.start}): 1.0}
    for row in logits.softmax(-1).tolist():
        onward = {}
        for states, p in chances.items():
            for symbol, q in zip(machine.symbols, row, strict=True):
                after = machine.after(states, symbol)
                onward[after] = onward.get(after, 0.0) + p * q
        chances = onward
    return sum(p for states, p in chances.items() if states & machine.ends)
    ### END SOLUTION


course.check("07.2", chance)

# %% [markdown] tags=["hint"]
# The same sweep, with a sum in place of the largest.
#
# One path per word.
#
# From the left, keep a dict: set of states → chance to be there. Begin with `{frozenset({start}):
# 1.0}`; the end of the word is legal if its set shares a state with `machine.ends`.

# %% [markdown]
# ## Can it be trained?
#
# **E2.** The smallest task that asks for it: 20 things to say, 20 legal words of 8 slots and 3
# symbols, 6561 strings. Two sentences for each thing, 2372 weights. All 40 sentences are in each
# batch, so we know at each step whether the network obeys. And since it is so small, evolution can
# try as well: networks vary at random, violators are rejected, the best are varied again.
#
# **Predict** on the plane: across, how many symbols of the worst word have to change until it is
# legal; up, the accuracy.

# %%
guess_few = None
# guess_few = {"free": (3, 1.0), "Penalty 1": (0.1, 0.5), "conditioned": (0, 0.8)}
course.predict("07.A", guess_few)

# %%
few = sk.tasks.few_words()
ways = {"free": sk.Unconstrained(), "Penalty": sk.Penalty([0.1, 1.0])}
ways |= {"projection": sk.Projection(), "conditioned": sk.Reparametrization()}
evaluations = budget.pick(smoke=300, quick=5000, full=25_600)
ways["reject"] = sk.RejectionEvolution(evaluations)
small = sk.compare(few, ways, seeds=budget.seeds, steps=budget.steps(1500))

# %%
ax = plots.tradeoff(small, guess=guess_few)
ends = small.final()[["violation", "metric"]]
course.reveal("07.A", {name: ends.loc[name].to_numpy() for name in guess_few or small.strategies})

# %% [markdown]
# > **Right is freedom. Left is obedience. The arrow is the bill.**
#
# Cut, not retrained: the arrow replaces each word by the nearest legal one. *Follow the arrow of
# "free" first: it is right about everything, in a language of its own, and little of that is left
# when it has to speak ours. Then compare the two in the gutter with the penalties.* Guessing gets
# 0.05.
#
# And "reject", the plainest of all ideas: keep what obeys? It should stand in the gutter. Look
# where it is, and read what the library notes about it:

# %%
print(*small.notes, sep="\n")

# %% [markdown]
# Count the networks that obey before any training:

# %%
networks = budget.pick(smoke=50, quick=2000, full=10_000)
print(f"of {networks} random networks, {sk.tasks.share_that_obeys(networks):.2%} obey")

# %% [markdown]
# Rejection has nothing to start from. Begun at a network that says one legal word to
# everything, it stays about there: legal words are islands, and a step that carries all 40
# sentences from island to island at once is rare. The same holds for the gradient whose bad steps
# are undone. We do not run that here; this is the stored table, with more evaluations:

# %%
stored = course.stored_runs("few words")
print(stored.attrs["made"], "|", stored.attrs["command"])
columns = {"test": "accuracy", "allowed": "legal", "nonsense": "legal, random input"}
columns |= {"distinct": "different words", "undone": "steps undone", "evaluations": "evaluations"}
course.told_runs(stored, columns)

# %% [markdown]
# *Mean ± standard deviation over the seeds.* Put the legal words **into** the layer, and both the
# gradient and evolution have something to climb. Where two rows differ by less than their spreads,
# we cannot tell them apart.

# %% [markdown]
# ## Slack
#
# **E3.** Back to the translator, with three grammars. All 464 meanings can be said in each of them.
# "Tight" has exactly 464 words. "Medium" asks that the verb agrees and has a patient if it needs
# one. "Loose" asks only for the right kind of symbol in each slot. "All" asks nothing.

# %%
kinds = ["tight", "medium", "loose", "all"]
languages = {kind: sk.tasks.interlingua(kind) for kind in kinds}
slack = {kind: language.bits - languages["tight"].bits for kind, language in languages.items()}
counts = {kind: f"{language.count:,}" for kind, language in languages.items()}
pd.DataFrame({"words": counts, "slack, bits": slack}).round(1)

# %% [markdown]
# Here is the medium one, drawn; and in the editor, for you to take a rule away. The counter shows
# what a rule is worth.

# %%
ax = plots.lattice(languages["medium"])

# %%
widgets.GrammarEditor(languages["medium"])

# %% [markdown]
# **Predict**: which share of new sentences (meanings never heard in training) is translated without
# a fault, held to tight, medium, loose?

# %%
guess_slack = None
# guess_slack = {"tight": 0.9, "medium": 0.9, "loose": 0.9}
course.predict("07.B", guess_slack)

# %%
held = {"conditioned": sk.Reparametrization()}
spoken = {
    kind: sk.compare(sk.tasks.translation(kind), held, **amount) for kind in ("tight", "loose")
}
ends = {kind: each.final().loc["conditioned"] for kind, each in spoken.items()}
ends |= {"medium": found.final().loc["held"], "all": found.final().loc["free"]}
right = {kind: ends[kind]["metric"].to_numpy() for kind in kinds}

# %%
ladder = course.stored_runs("translation")
row_of = {kind: f"conditioned, {kind}" for kind in kinds} | {"all": "free word"}
many = {k: ladder.loc[ladder["row"] == row, ["bits", "test"]] for k, row in row_of.items()}
live = {kind: [(slack[kind], share) for share in right[kind]] for kind in kinds}
text = {"x": "slack of the language, bits", "y": "right sentences", "joined": kinds}

# %%
_, (one, other) = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained", sharey=True)
_ = plots.scatter(live, one, guess=guess_slack, **text).set_title("your run")
_ = plots.scatter(many, other, **text).set_title("stored")
course.reveal("07.B", {kind: right[kind] for kind in kinds[:3]})

# %% [markdown]
# *Left, your run (one seed in a quick run); right, the stored table. Read from left to right: the
# more words there are to spare, the ...?*
#
# The tight language has exactly the right words, and it is the hardest. **Slack is the dial.** A
# likely reason: the encoder has to find a one-to-one map between meanings and words, and while it
# looks for one, the words that it tries are taken by other meanings. (We did not test that.)
#
# A control: is it the grammar, or whether the gradient sees it? "Projection" says the same words,
# with a gradient that knows nothing of the grammar:

# %%
columns = {"bits": "slack", "train": "heard meanings", "test": "new meanings", "pairs": "new pairs"}
columns |= {"allowed": "legal", "nonsense": "legal, nonsense", "raw": "legal, filter off"}
columns |= {"true": "true words", "distinct": "different words"}
plain = ladder[ladder["labels"].fillna(0) == 0]
course.told_runs(plain, columns)

# %% [markdown]
# *Mean ± standard deviation over the seeds. "New pairs": agent and patient that never met in
# training. "Different words": per meaning; below 1 some meanings share a word.* Read three things.
# Compare "conditioned" with "projection" for each grammar. Look at the row without normalization:
# the scores of this layer need it. And look down the column of **true words**. In the free rows the
# column says how often an unheld layer happens to speak the truth.
#
# ### Exercise 07.3 · Slack
#
# Write a grammar with between 2 and 4 bits of slack, 1 856 to 7 424 words, that keeps the number of
# agent and verb in agreement and in which all 464 meanings can be said. These are the rules of the
# medium one:

# %%
rules = sk.tasks.meaning_rules("medium")
for name in ("word", "transitive", "noun?", "number?"):
    print(name, "->", rules[name])

# %%
### BEGIN SOLUTION
frames = [f"noun {n} verb {n} noun? number? manner" for n in ("sg", "pl")]
symbols = languages["medium"].symbols
my_grammar = sk.Grammar.from_rules(rules | {"word": frames}, length=7, alphabet=symbols)
### END SOLUTION
course.check("07.3", my_grammar)

# %% [markdown] tags=["hint"]
# Which rule costs the most words?
#
# Relax one that the meaning does not need.
#
# Valency: whether a verb has a patient. Change the list `"word"` of the rules, and give them to
# `sk.Grammar.from_rules(rules, length=7, alphabet=languages["medium"].symbols)`.

# %% [markdown]
# ## A price on illegal words
#
# **E4.** Instead of holding, one may ask: add a strength times −log P(legal) to the loss. Five
# strengths, from the stored table, on the medium grammar.
#
# **Predict**: with the strongest, 1, which share of its words is legal, and how many different
# words are left per meaning?

# %%
guess_price = None
# guess_price = {"legal": 1.0, "different words": 1.0}
course.predict("07.C", guess_price)

# %%
names = [f"penalty {strength:g}" for strength in (0.01, 0.03, 0.1, 0.3, 1)]
of = dict.fromkeys(names, sk.Penalty(1)) | {"free word": sk.Unconstrained()}
of |= {"projection, medium": sk.Projection(), "conditioned, medium": sk.Reparametrization()}
rows = {name: ladder[ladder["row"] == name] for name in of}
priced = {name: each[["allowed", "test"]] for name, each in rows.items()}

# %%
sizes = {name: min(1, each["distinct"].mean()) for name, each in rows.items()}
text = {"x": "legal words, share", "y": "right sentences", "size": "different words per meaning"}
ax = plots.scatter(priced, sizes=sizes, joined=names, strategies=of, **text)

# %%
last = rows["penalty 1"]
course.reveal("07.C", {"legal": last["allowed"], "different words": last["distinct"]})

# %% [markdown]
# *Right is obedience here. Follow the line, and read three things at its end: how legal the words
# are, how many sentences are right, and how much of its ring the bubble fills.*
#
# A price buys obedience step by step, and it is paid in right sentences. Compare it with the two
# held layers, which are at the far right by construction. With the strongest price many meanings
# share a word: one way to obey is to say little. **"100 % legal" alone is a bad score.** A layer
# that always says one legal word has it, too.
#
# ### Exercise 07.5 · A bad score
#
# You get what a network said to some sentences, and what they meant: two lists of the same length.
# Return one number that shows a collapse: 1 if each meaning has a word of its own, lower the more
# of them have to share. (There are paraphrases: several sentences have one meaning.)

# %%
words, meanings = course.example("07.5")
print(words[:6], meanings[:6])


# %%
def told_apart(words, meanings):
    return len(set(words)) / len(set(meanings))  # SOLUTION


course.check("07.5", told_apart)

# %% [markdown] tags=["hint"]
# How many different things are there to say?
#
# Count per meaning, not per sentence.

# %% [markdown]
# ## Seventeen labels
#
# **E5.** All grammars gave us form. Meaning needs somebody who says what a word means. We label 5 %
# of the training meanings, 17 of 348, with their true word, and use the tight grammar. Three ways:
# labels and no grammar; labels and grammar together; and **staged**: first the encoder alone learns
# from the labels, then it is frozen until the second half has learned to read it, then everything
# goes on, the encoder slowly.
#
# **Predict**: the share of true words with 17 labels, grammar and labels together.

# %%
guess_labels = None  # a number between 0 and 1
course.predict("07.D", guess_labels)

# %%
labelled = sk.tasks.translation("tight", labels=0.05)
alone = sk.Stage(0.4, sk.Unconstrained(), model=sk.tasks.short_translator)
frozen, slow = (sk.Stage(w, sk.Reparametrization(), rate=r) for w, r in ((0.4, 0.0), (0.2, 0.1)))
ways = {"labels": sk.Unconstrained(), "labels + grammar": sk.Reparametrization()}
taught = sk.compare(labelled, ways | {"staged": sk.Staged(alone, frozen, slow)}, **amount)

# %%
truth = lambda x, y: sk.tasks.true_meaning(y)  # noqa: E731
checked = sk.audit(taught, truth=truth, nonsense=2000).frame.set_index(["strategy", "seed"])
checked["new pairs"] = taught.final()["metric:pairs"]
asked = {"allowed": "legal", "allowed:nonsense": "legal, nonsense", "true_words": "true words"}
asked |= {"metric": "new meanings", "new pairs": "new pairs"}

# %%
bars = {name: {k: checked.loc[k, what] for k in taught.strategies} for what, name in asked.items()}
ax = plots.bars(bars, y="share of test sentences")
course.reveal("07.D", checked.loc["labels + grammar", "true_words"].to_numpy())

# %% [markdown]
# *One seed in a quick run. Compare the third group with the 0 % of the hook.*
#
# Does the grammar help the labels, and if so, does it while training? A control: take the network
# that knows labels alone, and move each of its words to the nearest legal one, without training it
# any further.

# %%
aloud = said(taught.models("labels")[0], x, "encoder")
late = languages["tight"].project(aloud)
for name, words in {"labels": aloud, "labels, filter put on afterwards": late}.items():
    print(f"{name}: true words {sk.tasks.true_words(words, y):.2f}")
first = taught.final().loc["labels"].iloc[0]
print(f"right sentences: {first['metric']:.2f}, afterwards {first['metric_held']:.2f}")

# %% [markdown]
# *First seed.* A word with one wrong symbol is mostly no legal word, and the nearest legal one is
# often the true one: a grammar corrects slips. See how much of what "labels + grammar" has the
# filter alone gives, and what it takes. Then the stored table, with more seeds, and with all
# meanings labelled:

# %%
course.told_runs(ladder[ladder["labels"].fillna(0) > 0], columns)

# %% [markdown]
# A few labels do what no amount of grammar does. Read three things.
#
# - "Free word" and "conditioned, tight", both with 5 % labels: how many words are true, and does
#   being legal cost any right sentences? (We had expected that it costs. A difference below the
#   spreads, we cannot tell.)
# - "Conditioned, tight" with labels here, and without them in the table under "Slack". The grammar
#   is the same. Of the many one-to-one maps, the labels say which one to take.
# - "Staged" with 5 % labels, beside both together from the start: is the careful way the better
#   one?
#
# Staged training also has a trap. When the second half is new, its first gradients are noise, and
# Adam makes steps of full size of small noise; that may damage an encoder that was right, even at a
# tenth of the rate. So it is frozen for a while, statistics included. Whether that mattered here:
# compare "at once" with "frozen, then", in true words.

# %% [markdown]
# ## Take the filter out
#
# **E6.** A held layer is a *filter*: whatever the encoder's scores are, a legal word comes out. Has
# the encoder learned the language? Let each slot say its largest symbol, with the same weights.
#
# **Predict**, for the network of the hook: the share of legal words without the filter.

# %%
guess_raw = None  # a number between 0 and 1
course.predict("07.E", guess_raw)

# %%
off = sk.audit(found, truth=truth, nonsense=2000)
hook = off.frame.set_index(["strategy", "seed"])
both = {"held": hook.loc["held"], "labels + grammar": checked.loc["labels + grammar"]}
pairs = {"legal words": ("allowed", "raw"), "right sentences": ("metric", "metric_filter_off")}

# %%
bars = {
    f"{name}:\n{what}": {"filter on": each[with_it], "filter off": each[without]}
    for name, each in both.items()
    for what, (with_it, without) in pairs.items()
}
ax = plots.bars(bars, y="share of test sentences")
course.reveal("07.E", both["held"]["raw"].to_numpy())

# %% [markdown]
# *Two networks, for each the share of legal words and of right sentences. The second bar is the
# same network without its filter.* The guarantee lives in the filter. Only where labels teach the
# encoder itself does some of it move into the weights. `sk.audit` says what kind of guarantee each
# has:

# %%
off.summary().T

# %% [markdown]
# **Structural**: it holds for all inputs and all weights. **Certified**: proved for the trained
# weights. **Empirical**: seen on what was tried, and nothing more is known.

# %% [markdown]
# ## A range instead of a language
#
# **E7.** The same with the plainest set of values: 8 nodes in the middle of a small network, each
# of which has to stay between 0 and 1. It learns a surface on a square, and then is asked about a
# square four times as wide.
#
# **Predict**: Penalty of strength 1; which share of node values is out of range on the square where
# it learned, and which on the wide one?

# %%
guess_range = None
# guess_range = {"near": 0.01, "far": 0.01}
course.predict("07.F", guess_range)

# %%
nodes = sk.tasks.ranges()
ways = {"free": sk.Unconstrained(), "Penalty": sk.Penalty([1.0, 100.0])}
ways |= {"clamp": sk.Projection(), "sigmoid": sk.Reparametrization()}
boxed = sk.compare(nodes, ways, seeds=budget.seeds, steps=budget.steps(2000))

# %%
wide = sk.audit(boxed, nonsense=1000).frame.set_index("strategy")
outside = {"near": 1 - wide["allowed"], "far": 1 - wide["allowed:far"]}
bars = {n: {k: share.loc[[n]] for k, share in outside.items()} for n in boxed.strategies}
ax = plots.bars(bars, y="share of node values out of range")
course.reveal("07.F", {k: share.loc["Penalty 1"] for k, share in outside.items()})

# %%
_ = plots.tradeoff(boxed).set(yscale="log", ylim=(0.5, 1e-4))

# %%
columns = {"test": "squared error", "allowed": "in range, near", "nonsense": "in range, far"}
course.told_runs(course.stored_runs("range"), columns | {"distinct": "nodes that move"})

# %% [markdown]
# *Top: near is where it learned. Below: the plane; squared error, turned over, so that up is
# better, on a log axis.* The penalty was paid where anybody looked. Beyond that it knows nothing.
# The clamp and the sigmoid hold everywhere; does one of them pay for it?
#
# In the stored table, compare "hard clamp" with "projection", most of all where they are started
# outside of the range. A clamp is flat there, so that nothing comes back to a node that has left;
# the library's projection lets a gradient pass if it leads back in. And see what evolution finds
# here that rejects whoever leaves.
#
# ### Exercise 07.4 · Certify a range
#
# One may also hold a node without any filter, by its weights. A node computes w·h + bias, where h
# comes out of a tanh. Return new weights with which it cannot leave [a, b] for any h; shrink the
# row as little as you must, and leave it as it is if it is safe. The bias lies between a and b.

# %%
w, bias, a, b = course.example("07.4")
print(w, bias, a, b)


# %%
def bounded(w, bias, a, b):
    ### BEGIN SOLUTION
    slack = min(bias - a, b - bias)
    return w * min(1.0, slack / w.abs().sum())
    ### END SOLUTION


course.check("07.4", bounded)

# %% [markdown] tags=["hint"]
# The worst that tanh can give is ±1 each.
#
# The worst sum is Σ|w|.
#
# Shrink the row, not the output.

# %% [markdown]
# ## The mathematics
#
# All one-hot words are equally long, so the nearest word to scores u is the one with the largest
# sum, $\arg\min_w\|u - e_w\| = \arg\max_w \sum_t u_{t,w_t}$: the best path (Viterbi). With
# log-sum-exp in place of the maximum, the same sweep gives log P(legal), the penalty with a minus.
# And for a legal word w
#
# $$-\log p(w) = -\log p(w \mid \mathrm{legal}) - \log P(\mathrm{legal})$$
#
# Ordinary cross-entropy on labelled words already contains the penalty: labels pull the encoder
# toward legal words as well.

# %% [markdown]
# ## The answer
#
# **Can the values inside a network be forced to be words of a language, and do the words then mean
# something?** Forced, yes, for every input and at every step; they mean something to the network,
# and to us only if somebody says what they mean.
#
# Form is not meaning: a relabelling of the words that respects the grammar is as good for the loss
# as the truth.

# %% [markdown]
# ### What it costs


# %%
priced_ways = {"free": sk.Unconstrained(), "penalty": sk.Penalty(0.03)}
priced_ways |= {"projection": sk.Projection(), "conditioned": sk.Reparametrization()}
apiece = {"seeds": 1, "steps": 10_000, "device": "cpu"}
runs = {name: Run(task, {name: s}, **apiece) for name, s in priced_ways.items()}
dear = 1000 * course.seconds_a_step(runs, budget.steps(20))
pd.DataFrame({"ms a step": dear, "of free": dear / dear["free"]}).round(2)

# %% [markdown]
# *64 sentences a step, on this machine.* The sweep costs about batch × slots × states × symbols;
# our languages have few states. Settings: the penalty has a strength, five tried; projection and
# conditioned have none; the stages have their lengths and rates. Right sentences: without labels a
# guarantee costs the more, the tighter the language is (the ladder under "Slack"); with labels,
# compare "free word, 5 % labels" with "conditioned, tight, 5 % labels".
#
# ### What this does not show
#
# - That a legal interlingua helps with new pairs of agent and patient. Look at "new pairs": no held
#   layer without labels beats the one that says numbers instead of words ("free vector").
# - That small differences among the rows without labels mean anything: look at the spreads.
# - The end of training. All networks stop after 650 steps; the tight one may not be done.
# - Real language. The task is small and made up; the meanings are known because we made them.
#
# ### Further reading
#
# - J. Xu, Z. Zhang, T. Friedman, Y. Liang and G. Van den Broeck (2018), [A Semantic Loss Function
#   for Deep Learning with Symbolic Knowledge](https://arxiv.org/abs/1711.11157). The penalty.
# - K. Ahmed, Z. Zeng, M. Niepert and G. Van den Broeck (2023), [SIMPLE: A Gradient Estimator for
#   k-Subset Sampling](https://arxiv.org/abs/2210.01941). The gradient of what is conditioned.
# - P. W. Koh et al. (2020), [Concept Bottleneck Models](https://arxiv.org/abs/2007.04612). Layers
#   whose values were given a meaning by labels.
# - D. Liu and J. Niehues (2022), [Learning an Artificial Language for Knowledge-Sharing in
#   Multilingual Translation](https://arxiv.org/abs/2211.01292). A learned code between languages.
# - D. Lewis (1969), *Convention*. How signals come to mean something to those who use them.
#
# Next: [08 · Your model](08_your_model.ipynb), any of this on a network of your own.
