"""Stages of a bound layer: what a rate of 0 leaves alone, and what is passed on meanwhile."""

import torch
from torch import Tensor, nn

import shapekeeper as sk
from shapekeeper.compare import Run
from shapekeeper.networks import StraightThrough

GRAMMAR = sk.Grammar.from_words(["ab", "ba"])


class Speaking(nn.Module):
    """A layer of scores with statistics of its own, and a reader of its word."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Unflatten(1, (2, 2)))
        self.speaker = StraightThrough()
        self.reader = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.reader(self.speaker(self.encoder(x)).flatten(1))


def speaking() -> sk.Task:
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    return sk.Task(
        "speaking",
        model=lambda seed: Speaking(),
        data=sk.Data((x[:40], y[:40]), (x[40:], y[40:])),
        loss=nn.functional.cross_entropy,
        metric=sk.tasks.accuracy,
        constraints={"encoder": GRAMMAR},
        batch_size=10,
    )


def test_a_stage_of_rate_0_leaves_the_layer_and_its_statistics_alone_and_speaks_words():
    task = speaking()
    still = sk.Staged(
        sk.Stage(0.5, sk.Reparametrization()), sk.Stage(0.5, sk.Reparametrization(), rate=0.0)
    )
    training = Run(task, [still], seeds=2, steps=12)
    kept = None
    for progress in training.train():
        part = training.parts[0]
        if progress.step == 6:
            kept = part.tensors()
    after = training.parts[0].tensors()
    assert kept is not None
    moved = {name for name in after if not torch.equal(after[name], kept[name])}
    assert moved == {"reader.weight", "reader.bias"}
    frame = training.comparison().frame
    assert (frame["allowed"] == 1).all()


def test_freezing_leaves_the_statistics_alone_and_passes_scores_on():
    task = speaking()
    frozen = sk.compare(task, [sk.Freeze()], seeds=2, steps=6)
    for seed, model in zip((0, 1), frozen.models("Freeze"), strict=True):
        start = task.start_model(seed).state_dict()
        same = {n for n, t in model.state_dict().items() if torch.equal(t, start[n])}
        assert same == {name for name in start if name.startswith("encoder")}
