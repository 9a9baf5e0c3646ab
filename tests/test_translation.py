"""The three languages, the data of the translation task, its network, and what is told of words."""

import re
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.tasks import (
    Translator,
    distinct_words,
    english,
    german,
    interlingua,
    meanings,
    short_translator,
    slot_information,
    translate,
    translation,
    translation_meanings,
    true_meaning,
    true_words,
)
from shapekeeper.tasks.interlingua import ENGLISH, GERMAN, SYMBOLS, text_of, tokens

NOUNS = {"child", "woman", "dog", "cat", "apple", "bread"}
EATEN, LIGHT = {"apple", "bread"}, {"cat", "apple", "bread"}
SYNONYMS = {
    "kid": "child", "lady": "woman", "hound": "dog", "kitty": "cat", "loaf": "bread",
    "notice": "see", "hunt": "chase", "devour": "eat", "lug": "carry", "doze": "sleep",
    "quickly": "fast", "calmly": "calm", "quietly": "calm",
}  # fmt: skip


def fits(word: tuple[str, ...], kind: str) -> bool:
    """Whether a string of seven symbols is a word, written down a second time, as conditions."""
    agent, number, verb, agreement, patient, patients, manner = word
    numbers, manners = {"sg", "pl"}, {"0", "fast", "calm"}
    frame = (
        agent in NOUNS
        and number in numbers | {"0"}
        and verb in {"see", "chase", "eat", "carry", "sleep"}
        and agreement in numbers | {"0"}
        and patient in NOUNS | {"0"}
        and patients in numbers | {"0"}
        and manner in manners
    )
    if kind == "loose" or not frame:
        return frame
    alone = verb == "sleep"
    valency = (patient == "0") == alone and (patients == "0") == alone
    if not (number == agreement != "0" and valency):
        return False
    if kind == "medium":
        return True
    if agent in EATEN or (verb == "carry" and agent not in {"child", "woman"}):
        return False
    reach = {"see": NOUNS, "chase": NOUNS - EATEN, "eat": EATEN, "carry": LIGHT, "sleep": {"0"}}
    acts = verb in {"chase", "eat", "carry"}
    return patient in reach[verb] and (acts or manner == "0")


def understood(sentence: str) -> tuple[str, ...]:
    """The meaning of an English sentence, by a parser that shares nothing with the writer."""
    said = [SYNONYMS.get(word, word) for word in sentence.split()]
    manner = next((word for word in said if word in ("fast", "calm")), "0")
    text = " ".join(word for word in said if word != manner)
    noun = r"the (\w+)( -s)?"
    if found := re.fullmatch(rf"{noun} (is|are) (\w+) -ed by {noun}", text):
        patient, many, be, verb, agent, more = found.groups()
        assert (be == "are") == bool(many)
    else:
        found = re.fullmatch(rf"{noun} (\w+)( -s)?(?: {noun})?", text)
        assert found, sentence
        agent, more, verb, ending, patient, many = found.groups()
        assert bool(ending) != bool(more)
    number = "pl" if more else "sg"
    patients = ("pl" if many else "sg") if patient else "0"
    return agent, number, verb, number, patient or "0", patients, manner


# Languages


@pytest.mark.parametrize(
    ("kind", "count"), [("tight", 464), ("medium", 1764), ("loose", 17_010), ("all", 16**7)]
)
def test_the_interlingua_has_as_many_words_as_conditions_allow(kind, count):
    grammar = interlingua(kind)
    assert grammar.count == count
    assert grammar.symbols == SYMBOLS
    if kind == "all":
        return
    words = set(grammar.lattice.words())
    assert len(words) == count
    assert all(fits(word, kind) for word in words)


def test_every_frame_that_fits_is_a_word_of_each_kind():
    frames = product(
        sorted(NOUNS), ("sg", "pl", "0"), ("see", "chase", "eat", "carry", "sleep"),
        ("sg", "pl", "0"), (*sorted(NOUNS), "0"), ("sg", "pl", "0"), ("0", "fast", "calm"),
    )  # fmt: skip
    every = list(frames)
    for kind in ("tight", "medium", "loose"):
        fitting = {word for word in every if fits(word, kind)}
        assert fitting == set(interlingua(kind).lattice.words())


def test_languages_lie_in_each_other():
    words = [set(interlingua(kind).lattice.words()) for kind in ("tight", "medium", "loose")]
    assert words[0] < words[1] < words[2]


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="Wanted 'tight', 'medium', 'loose' or 'all', got 'big'"):
        interlingua("big")


def test_every_english_sentence_has_one_meaning():
    count = 0
    for meaning in meanings():
        for sentence in english(meaning):
            assert understood(sentence) == meaning
            count += 1
    assert count == 16_992


def test_about_half_of_the_sentences_of_two_are_passive():
    texts = [text for m in meanings() if m[4] != "0" for text in english(m)]
    assert 2 * sum("-ed" in text.split() for text in texts) == len(texts)


def test_every_meaning_has_a_german_sentence_of_its_own():
    texts = [german(meaning) for meaning in meanings()]
    assert len(set(texts)) == 464
    assert {word for text in texts for word in text.split()} == set(GERMAN) - {""}
    assert {word for m in meanings() for t in english(m) for word in t.split()} == set(ENGLISH) - {
        ""
    }


@pytest.mark.parametrize(
    ("meaning", "text"),
    [
        ("child pl chase pl dog pl 0", "die kinder die hunde jagen"),
        ("child sg eat sg apple sg calm", "das kind den apfel ruhig isst"),
        ("cat pl eat pl bread sg 0", "die katzen das brot fressen"),
        ("woman sg carry sg cat pl fast", "die frau die katzen schnell trägt"),
        ("dog sg see sg child sg 0", "der hund das kind sieht"),
        ("dog pl sleep pl 0 0 0", "die hunde schlafen"),
    ],
)
def test_german_has_gender_case_number_and_two_ways_to_eat(meaning, text):
    assert german(tuple(meaning.split())) == text


# Data


def test_the_parts_share_no_meaning_and_held_out_pairs_are_new_though_their_parts_are_not():
    train, test, pairs = (set(translation_meanings(part)) for part in ("train", "test", "pairs"))
    assert train | test | pairs == set(meanings())
    assert (len(train), len(test), len(pairs)) == (348, 56, 60)
    seen = {(m[0], m[4]) for m in train | test}
    assert {(m[0], m[4]) for m in pairs} == {("child", "apple"), ("dog", "cat"), ("cat", "woman")}
    assert not seen & {(m[0], m[4]) for m in pairs}
    assert {m[0] for m in pairs} <= {m[0] for m in train}
    assert {m[4] for m in pairs} <= {m[4] for m in train}


@pytest.mark.parametrize("part", ["train", "validation", "test", "pairs"])
def test_inputs_and_targets_belong_together(part):
    inputs, targets = translation().data_for(0).parts[part]
    known = translation_meanings("train" if part == "validation" else part)
    for x, y in list(zip(inputs.tolist(), targets.tolist(), strict=True))[::7]:
        meaning = understood(" ".join(ENGLISH[i] for i in x if i))
        assert meaning in known
        assert " ".join(GERMAN[i] for i in y[:6] if i) == german(meaning)
        assert tuple(SYMBOLS[i] for i in y[6:13]) == meaning
        assert y[13] == 0


def test_labels_are_drawn_by_the_seed_and_change_nothing_else():
    task = translation(labels=0.05)
    plain = translation().data_for(0)
    labelled = [task.data_for(seed) for seed in (0, 0, 1)]
    flags = [data.train[1][:, -1] for data in labelled]
    assert torch.equal(flags[0], flags[1])
    assert not torch.equal(flags[0], flags[2])
    for data, flag in zip(labelled, flags, strict=True):
        assert flag.sum() == 17 * 24
        whole = true_meaning(data.train[1]).argmax(-1)[flag == 1]
        assert len(whole.unique(dim=0)) == 17
        assert torch.equal(data.train[0], plain.train[0])
        assert torch.equal(data.train[1][:, :-1], plain.train[1][:, :-1])
        assert torch.equal(data.test[1], plain.test[1])
    assert (translation(labels=1.0).data_for(3).train[1][:, -1] == 1).all()


def test_what_can_not_be_is_refused_all_at_once():
    with pytest.raises(sk.TaskError) as refused:
        translation("huge", labels=1.5)
    assert refused.value.problems == [
        "labels must be a share from 0 to 1, got 1.5.",
        "Wanted 'tight', 'medium', 'loose' or 'all', got 'huge'.",
    ]
    with pytest.raises(sk.TaskError, match="grammar must have 7 slots and the symbols"):
        translation(sk.Grammar("ab", length=2))
    for other in (5, sk.Box(0.0, 1.0)):
        with pytest.raises(sk.TaskError, match=r"a name, a Grammar or None, got (5|Box)"):
            translation(other)


@pytest.mark.parametrize("kind", ["tight", "loose", "all"])
def test_what_is_learned_from_does_not_hang_on_the_grammar(kind):
    parts = translation(kind).data_for(4).parts
    for name, (x, y) in translation(None).data_for(0).parts.items():
        assert torch.equal(x, parts[name][0])
        assert torch.equal(y, parts[name][1])


def test_every_meaning_is_a_word_of_every_grammar_that_is_not_the_users_own():
    y = translation().data_for(0).parts
    words = torch.cat([true_meaning(targets) for _, targets in y.values()])
    for kind in ("tight", "medium", "loose", "all"):
        assert interlingua(kind).allows(words).all()


def test_a_grammar_of_ones_own_binds_the_layer():
    own = sk.Grammar.from_words(meanings()[:2], alphabet=SYMBOLS)
    task = translation(own)
    assert task.constraints == {"encoder": own}
    assert translation(None).constraints == {}
    assert eval(task.code, {"sk": sk}).constraints == task.constraints
    assert translation(sk.Grammar.from_words(meanings()[:50], alphabet=SYMBOLS)).code == ""


# Loss, metric, network


def test_the_loss_knows_both_networks():
    y = translation(labels=1.0).data_for(0).test[1][:9].clone()
    y[:, -1] = torch.tensor([1, 0, 0] * 3)
    task = translation(labels=1.0)
    sentence = torch.randn(9, 6, len(GERMAN))
    wanted = F.cross_entropy(sentence.reshape(-1, len(GERMAN)), y[:, :6].reshape(-1))
    torch.testing.assert_close(task.loss(sentence, y), wanted)
    scores = torch.randn(9, 7, 16)
    known = y[:, -1] == 1
    wanted = F.cross_entropy(scores[known].reshape(-1, 16), y[known, 6:13].reshape(-1))
    torch.testing.assert_close(task.loss(scores, y), wanted)
    torch.testing.assert_close(task.supervision({"encoder": scores}, y), wanted)
    y[:, -1] = 0
    assert task.supervision({"encoder": scores}, y) == 0


def test_the_metric_counts_sentences_that_are_right_in_every_word():
    task = translation()
    y = task.data_for(0).test[1][:8]
    right = F.one_hot(y[:, :6], len(GERMAN)).float()
    assert task.metric(right, y) == 1
    wrong = right.clone()
    wrong[:2, 3] = wrong[:2, 3].roll(1, -1)
    assert task.metric(wrong, y) == 0.75
    assert task.metric(true_meaning(y), y) == 1


def test_a_short_network_has_the_names_of_the_long_one():
    short, whole = short_translator(0).state_dict(), Translator().state_dict()
    assert {name: t.shape for name, t in short.items()} == {
        name: t.shape for name, t in whole.items() if name.startswith("encoder.")
    }


def test_the_decoder_reads_nothing_but_the_word():
    model = Translator().eval()
    x = translation().data_for(0).test[0][:20]
    word = model.speaker(model.encoder(x))
    torch.testing.assert_close(model(x), model.decoder(word))
    assert torch.equal(word.sum(-1), torch.ones(20, 7))
    assert torch.equal(word.amax(-1), torch.ones(20, 7))


def test_padding_says_nothing():
    model = Translator().eval()
    x = torch.tensor([[1, 7, 2, 16, 0, 0, 0, 0, 0, 0, 0]])
    torch.testing.assert_close(model(x[:, :4]), model(x))


@pytest.mark.parametrize("grammar", ["tight", "loose"])
def test_runs_side_by_side_are_the_runs_alone(grammar):
    task, strategy = translation(grammar), sk.Reparametrization()
    together = sk.compare(task, [strategy], seeds=2, steps=3)
    alone = sk.compare(task, [strategy], seeds=[1], steps=3)
    one, other = together.models(strategy.label)[1], alone.models(strategy.label)[0]
    assert not together.notes
    for name, weight in other.state_dict().items():
        torch.testing.assert_close(one.state_dict()[name], weight, atol=1e-4, rtol=1e-4)


def test_the_stages_that_pass_scores_on_train_and_end_in_the_language():
    short = sk.Stage(0.4, sk.Unconstrained(), model=short_translator)
    slow = sk.Stage(0.2, sk.Projection(), rate=0.1)
    strategy = sk.Staged(short, sk.Stage(0.4, sk.Freeze()), slow)
    found = sk.compare(translation("tight", labels=1.0), [strategy], seeds=2, steps=5)
    last = found.frame[found.frame["step"] == 5]
    assert (last["allowed"] == 1).all()
    assert not last["diverged"].any()


def test_a_shorter_network_without_labels_has_nothing_to_learn():
    task = translation("tight")
    x, y = (part[:8] for part in task.data_for(0).train)
    model = short_translator(0)
    loss = task.loss(model(x), y)
    loss.backward()
    assert loss == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_it_trains_with_stages_and_labels_and_speaks_meanings_under_both():
    short = sk.Stage(0.4, sk.Unconstrained(), model=short_translator)
    held = sk.Stage(0.3, sk.Reparametrization(), rate=0.0)
    slow = sk.Stage(0.3, sk.Reparametrization(), rate=0.1)
    strategies = [sk.Projection(), sk.Staged(short, held, slow)]
    found = sk.compare(translation("tight", labels=1.0), strategies, seeds=2, steps=5)
    last = found.frame[found.frame["step"] == 5].set_index("strategy")
    assert (last["allowed"] == 1).all()
    assert not last["diverged"].any()
    for model in found.models("Projection"):
        word, text = translate(model, "the kid -s eat the bread")
        assert tuple(word.split()) in set(meanings())
        assert all(part in GERMAN for part in text.split())


def test_labels_teach_the_encoder_alone_what_to_say():
    task = replace(translation("tight", labels=1.0), model=short_translator)
    found = sk.compare(task, [sk.Unconstrained()], seeds=1, steps=80)
    (model,) = found.models("Unconstrained")
    x, y = task.data_for(0).test
    with torch.no_grad():
        said = model.eval().encoder(x)
    # By chance one word in 464 is right.
    assert true_words(said, y) > 0.2
    assert slot_information(said, y) > 0.5
    assert true_words(said, y) == pytest.approx(found.frame["metric"].iloc[-1])


# What is told of words


def test_words_that_are_the_meaning_up_to_names_and_order_tell_all_of_it():
    y = translation().data_for(0).validation[1]
    true = true_meaning(y)
    assert true_words(true, y) == distinct_words(true, y) == 1
    assert slot_information(true, y) == pytest.approx(1)
    renamed = true.flip(1).roll(3, -1)
    assert true_words(renamed, y) == 0
    assert distinct_words(renamed, y) == 1
    assert slot_information(renamed, y) == pytest.approx(1)


def test_one_word_for_everything_tells_nothing():
    y = translation().data_for(0).test[1]
    same = true_meaning(y)[:1].expand(len(y), -1, -1)
    assert distinct_words(same, y) == pytest.approx(1 / 56)
    assert true_words(same, y) == pytest.approx(8 / 448)
    assert slot_information(same, y) == pytest.approx(0, abs=1e-9)


def test_paraphrases_that_share_a_word_are_no_loss():
    y = translation().data_for(0).test[1]
    true = true_meaning(y)
    true[0] = true[-1]  # one slip of eight sentences is outvoted
    assert distinct_words(true, y) == 1


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("the zebra sleep -s", "'zebra' is not in the lexicon. Words are -ed, -s, apple"),
        ("a zebra see -s a dog", "'a', 'zebra' are not in the lexicon."),
        ("gnu " * 12, "Wanted 1 to 11 words, got 12. 'gnu' is not in the lexicon."),
        ("", "Wanted 1 to 11 words, got 0."),
        ("the " * 12, "Wanted 1 to 11 words, got 12."),
    ],
)
def test_sentences_that_can_not_be_read_are_refused(sentence, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        translate(Translator(), sentence)


def test_numbers_and_sentences_go_both_ways():
    for meaning in meanings()[::11]:
        for text in english(meaning):
            assert text_of(tokens(text, ENGLISH, 11), ENGLISH) == text
        assert text_of(tokens(german(meaning), GERMAN, 6), GERMAN) == german(meaning)


def test_translating_leaves_the_network_as_it_was():
    model = Translator()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    translate(model, "the dog sleep -s")
    assert model.training
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert not model.speaker._forward_hooks
