"""Translation through an interlingua whose words are known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shapekeeper.constraints import Grammar
from shapekeeper.randomness import generator

from .interlingua import (
    ENGLISH,
    GERMAN,
    LONGEST_ENGLISH,
    LONGEST_GERMAN,
    SLOTS,
    SYMBOLS,
    Meaning,
    english,
    german,
    interlingua,
    meanings,
    text_of,
    tokens,
)
from .task import Data, Task, TaskError
from .translator import ShortTranslator, Translator
from .writing import written

__all__ = [
    "distinct_words",
    "short_translator",
    "slot_information",
    "translate",
    "translation",
    "translation_meanings",
    "true_meaning",
    "true_words",
]

HELD_OUT = (("child", "apple"), ("dog", "cat"), ("cat", "woman"))  # agent and patient: 60 meanings
TEST_MEANINGS = 56
PARAPHRASES = {"train": 24, "validation": 2, "test": 8, "pairs": 8}
_ADAM = partial(torch.optim.Adam, lr=4e-3)


@written
def translation(
    grammar: str | Grammar | None = "medium",
    *,
    labels: float = 0.0,
    words: bool = True,
    batch_size: int = 64,
) -> Task:
    """Translate English-like sentences into German-like ones, by way of one word.

    All that the decoder reads is the encoder's layer of 7 slots by 16 symbols; the constraint says
    which words that may be. There are 464 meanings, each with one German sentence and 4 to 96
    English ones. 348 of them are learned from, 24 sentences each; 56 others are the test set;
    `"pairs"` is a shifted set of 60 meanings whose agent and patient never met in training
    (`"child"` with `"apple"`, `"dog"` with `"cat"`, `"cat"` with `"woman"`), though each was seen
    with others. Half of the sentences that could be passive are. `"validation"` is two more draws
    for each training meaning; where a meaning has few sentences, a draw may be one that training
    sees too (about half of them are), so it tells learning from not learning, not what is new.

    The split is the same for every seed, grammar and share of labels, so that runs differ by
    nothing else; which meanings are labelled is drawn, as seventeen of them may be lucky ones.

    The layer's values mean whatever training makes of them, unless some sentences come with their
    true word (`labels`).

    Args:
        grammar: What the layer may say: `"tight"` (the 464 meanings and nothing else), `"medium"`
            (1764 words), `"loose"` (17 010), `"all"` (16⁷), a grammar of your own of 7 slots and
            the same 16 symbols, or None, which binds nothing.
        labels: Share of the training meanings whose true word is known to training; which, is drawn
            for each seed.
        words: Whether the layer speaks words also where no strategy sees to it; else the decoder
            reads the scores.
        batch_size: Sentences a step.

    Returns:
        A task whose targets hold 6 German words, the 7 symbols of the meaning, and whether it is
        labelled; its metric is the share of sentences that are right in every word.

    Raises:
        TaskError: If there is no such grammar, it has another shape or alphabet, or the share is
            not between 0 and 1; all problems at once.

    Example:
        >>> task = translation("tight", labels=0.05)
        >>> task.constraints["encoder"].count, task.data_for(0)
        (464, Data(train=(8352, 11)->(8352, 14), test=(448, 11)->(448, 14), \
validation=(696, 11)->(696, 14), pairs=(480, 11)->(480, 14)))
        >>> task.data_for(0).train[1][:, -1].sum().item() / 24
        17.0
    """
    problems = []
    if not 0 <= labels <= 1:
        problems.append(f"labels must be a share from 0 to 1, got {labels!r}.")
    held = None
    if isinstance(grammar, str):
        try:
            held = interlingua(grammar)
        except ValueError as error:
            problems.append(str(error))
    elif not isinstance(grammar, Grammar | None):
        problems.append(f"grammar must be a name, a Grammar or None, got {grammar!r}.")
    elif grammar is not None:
        held = grammar
        if held.symbols != SYMBOLS or held.length != len(SLOTS):
            problems.append(
                f"grammar must have {len(SLOTS)} slots and the symbols {list(SYMBOLS)} in this "
                f"order (alphabet=...), got {held.length} and {list(held.symbols)}."
            )
    if problems:
        raise TaskError("translation", problems)
    return Task(
        "translation",
        model=partial(_translator, words=words),
        data=_data(0, labels) if labels in (0, 1) else partial(_data, labels=labels),
        loss=_loss,
        metric=_right_sentences,
        constraints={} if held is None else {"encoder": held},
        batch_size=batch_size,
        optimizer=_ADAM,
        supervision=_supervision if labels else None,
        metric_name="right sentences",
    )


def short_translator(seed: int) -> nn.Module:
    """The encoder alone, to be trained on labelled meanings first: the model of a stage.

    In the translation task its loss is the cross entropy of each slot on the labelled sentences,
    and its metric the share of words that are right in every slot. Without labels the loss is 0,
    and the stage teaches nothing.

    Args:
        seed: Not read; the task seeds torch.

    Returns:
        A fresh network whose parameters have the names of the translator's.

    Example:
        >>> from shapekeeper import Freeze, Stage, Staged, Unconstrained
        >>> first = Stage(0.4, Unconstrained(), model=short_translator)
        >>> Staged(first, Stage(0.6, Freeze())).label
        'Staged Unconstrained → Freeze'
    """
    return ShortTranslator()


def true_meaning(targets: Tensor) -> Tensor:
    """The true words of targets of the translation task, one-hot.

    Args:
        targets: `(sentences, 14)`.

    Returns:
        `(sentences, 7, 16)`.
    """
    return F.one_hot(targets[:, LONGEST_GERMAN:-1], len(SYMBOLS)).to(torch.get_default_dtype())


def true_words(said: Tensor, targets: Tensor) -> float:
    """Share of sentences for which the layer said the true word of their meaning.

    Args:
        said: Words or scores `(sentences, 7, 16)`, read by the largest entry of each slot.
        targets: Of the translation task, `(sentences, 14)`.

    Returns:
        A share from 0 to 1.
    """
    return (said.argmax(-1) == true_meaning(targets).argmax(-1)).all(-1).double().mean().item()


def distinct_words(said: Tensor, targets: Tensor) -> float:
    """Different words per different meaning: below 1 some meanings share a word.

    Each meaning counts by the word that most of its sentences get.

    Args:
        said: Words or scores `(sentences, 7, 16)`.
        targets: Of the translation task, `(sentences, 14)`.

    Returns:
        A share above 0 and at most 1.

    Example:
        >>> task = translation()
        >>> targets = task.data_for(0).test[1]
        >>> distinct_words(true_meaning(targets), targets)
        1.0
    """
    numbers = 16 ** torch.arange(len(SLOTS))
    words = (said.argmax(-1).cpu() * numbers).sum(-1)
    means = (true_meaning(targets).argmax(-1).cpu() * numbers).sum(-1)
    kinds = means.unique()
    return len({int(words[means == kind].mode().values) for kind in kinds}) / len(kinds)


def slot_information(said: Tensor, targets: Tensor) -> float:
    """How well each slot of the word tells some slot of the meaning, from 0 to 1.

    The normalized mutual information of each slot of the meaning with the slot of the word that
    tells most about it, averaged; the order of the slots and the names of the symbols don't matter.

    Args:
        said: Words or scores `(sentences, 7, 16)`.
        targets: Of the translation task, `(sentences, 14)`.

    Returns:
        1 for a word that is the meaning, up to names and order.
    """
    from sklearn.metrics import normalized_mutual_info_score as shared

    words = said.argmax(-1).cpu().numpy()
    means = true_meaning(targets).argmax(-1).cpu().numpy()
    best = [max(shared(mean, word) for word in words.T) for mean in means.T]
    return float(sum(best) / len(best))


def translation_meanings(part: str) -> list[Meaning]:
    """The meanings of one part of the data.

    Args:
        part: `"train"`, `"test"` or `"pairs"`; those of `"validation"` are those of `"train"`.

    Returns:
        In the order of the data.

    Example:
        >>> [len(translation_meanings(part)) for part in ("train", "test", "pairs")]
        [348, 56, 60]
    """
    return list(_split()[part])


def translate(model: nn.Module, sentence: str) -> tuple[str, str]:
    """What a translator says and writes for one sentence.

    Args:
        model: A `Translator`, also one whose encoder is held.
        sentence: English-like; endings are words of their own: "the kid -s eat the bread".

    Returns:
        The word in the middle as it passed, and the German-like sentence.

    Raises:
        ValueError: If words are not in the lexicon, or there are none or too many.

    Example:
        >>> word, text = translate(Translator(), "the kid -s eat the bread")
        >>> len(word.split()), len(text.split()) <= 6
        (7, True)
    """
    heard: list[Tensor] = []
    x = torch.tensor([tokens(sentence, ENGLISH, LONGEST_ENGLISH)])
    x = x.to(next(model.parameters()).device)
    hook = model.get_submodule("speaker").register_forward_hook(lambda *call: heard.append(call[2]))
    training = model.training
    try:
        with torch.no_grad():
            written = model.eval()(x)[0].argmax(-1).tolist()
    finally:
        model.train(training)
        hook.remove()
    said = [SYMBOLS[i] for i in heard[0][0].argmax(-1).tolist()]
    return " ".join(said), text_of(written, GERMAN)


def _translator(seed: int, words: bool) -> nn.Module:
    return Translator(words)


@cache
def _split() -> dict[str, tuple[Meaning, ...]]:
    """One split for all seeds: what is hard about a meaning is then the same for all."""
    everything = meanings()
    held = [m for m in everything if (m[0], m[4]) in HELD_OUT]
    others = [m for m in everything if (m[0], m[4]) not in HELD_OUT]
    order = torch.randperm(len(others), generator=generator(0, "translation/split")).tolist()
    shuffled = [others[i] for i in order]
    return {
        "train": tuple(shuffled[TEST_MEANINGS:]),
        "test": tuple(shuffled[:TEST_MEANINGS]),
        "pairs": tuple(held),
    }


@cache
def _parts() -> dict[str, tuple[Tensor, Tensor]]:
    """Sentences and targets of every part, none labelled."""
    split = _split()
    return {
        name: _sentences(split.get(name, split["train"]), count, name)
        for name, count in PARAPHRASES.items()
    }


def _sentences(part: Sequence[Meaning], count: int, name: str) -> tuple[Tensor, Tensor]:
    rng = generator(0, f"translation/{name}")
    inputs, targets = [], []
    for meaning in part:
        texts = english(meaning)
        word = [SYMBOLS.index(symbol) for symbol in meaning]
        target = [*tokens(german(meaning), GERMAN, LONGEST_GERMAN), *word, 0]
        for i in torch.randint(len(texts), (count,), generator=rng).tolist():
            inputs.append(tokens(texts[i], ENGLISH, LONGEST_ENGLISH))
            targets.append(target)
    return torch.tensor(inputs), torch.tensor(targets)


def _data(seed: int, labels: float) -> Data:
    parts = dict(_parts())
    if labels:
        x, y = parts["train"]
        count = len(_split()["train"])
        order = torch.randperm(count, generator=generator(seed, "translation/labels"))
        known = torch.zeros(count, dtype=torch.bool)
        known[order[: round(labels * count)]] = True
        flags = known.repeat_interleave(PARAPHRASES["train"]).to(y.dtype)
        parts["train"] = x, torch.cat([y[:, :-1], flags[:, None]], 1)
    return Data(**parts)


def _loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of the German words, or of the meaning where the encoder stands alone."""
    if prediction.shape[-1] == len(SYMBOLS):
        return _labelled(prediction, target)
    return F.cross_entropy(prediction.flatten(0, 1), target[:, :LONGEST_GERMAN].flatten())


def _labelled(scores: Tensor, target: Tensor) -> Tensor:
    """Cross entropy per slot of the labelled sentences; 0 if there are none."""
    slots = F.cross_entropy(
        scores.flatten(0, 1), target[:, LONGEST_GERMAN:-1].flatten(), reduction="none"
    )
    flags = target[:, -1].to(scores.dtype)
    per_word = slots.view(len(scores), -1).mean(1)
    return (per_word * flags).sum() / flags.sum().clamp(min=1)


def _supervision(raw: dict[str, Tensor], target: Tensor) -> Tensor:
    return _labelled(raw["encoder"], target)


def _right_sentences(prediction: Tensor, target: Tensor) -> Tensor:
    """Share of sentences right in every word, or of words right in every slot."""
    alone = prediction.shape[-1] == len(SYMBOLS)
    wanted = target[:, LONGEST_GERMAN:-1] if alone else target[:, :LONGEST_GERMAN]
    return (prediction.argmax(-1) == wanted).all(-1).to(prediction.dtype).mean()
