"""Twenty words for evolution."""

import torch

import shapekeeper as sk
from shapekeeper.tasks import few_words, share_that_obeys


def test_there_are_twenty_words_and_each_sentence_means_one_of_twenty_things():
    task = few_words()
    grammar = task.constraints["encoder"]
    assert (grammar.count, grammar.shape) == (20, (8, 3))
    x, y = task.data_for(0).train
    assert x.abs().eq(1).all()
    assert y.bincount().tolist() == [2] * 20
    assert task.batch_size == len(x)
    assert len(x.unique(dim=0)) == 40
    assert not torch.equal(x, task.data_for(1).train[0])


def test_no_untrained_network_obeys():
    assert share_that_obeys(100) == 0


def test_a_network_that_always_says_one_allowed_word_counts(monkeypatch):
    task = few_words()
    grammar = task.constraints["encoder"]
    word = grammar.encode([grammar.examples(1)[0]])[0]

    def constant(self: sk.Task, seed: int) -> torch.nn.Module:
        model = self.model(seed)
        torch.nn.init.zeros_(model.encoder[2].weight)
        model.encoder[2].bias.data = word.flatten() if seed % 2 else -word.flatten()
        return model

    monkeypatch.setattr(sk.Task, "start_model", constant)
    assert share_that_obeys(4) == 0.5


def test_the_layer_makes_both_gradients_and_evolution_obey():
    strategies = [
        sk.Projection(), sk.Reparametrization(), sk.RejectionEvolution(100, inside=sk.Projection())
    ]  # fmt: skip
    found = sk.compare(few_words(), strategies, seeds=2, steps=5)
    assert (found.frame["allowed"] == 1).all()


def test_rejection_has_nothing_to_start_from():
    found = sk.compare(few_words(), [sk.RejectionEvolution(600)], seeds=1, steps=10)
    assert (found.frame["allowed"] < 1).all()
    assert any("obey" in note for note in found.notes)
