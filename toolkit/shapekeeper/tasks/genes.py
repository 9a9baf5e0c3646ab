"""Planted regulators: expression data in which it is known who decides the outcome."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from shapekeeper.randomness import generator

from .regulators import RegulatoryNetwork, regulator_penalty
from .task import Data, Pair, Task, TaskError
from .writing import written

__all__ = [
    "ExpressionNetwork",
    "PlantedRegulators",
    "best_cutoff",
    "gene_set_scores",
    "genes",
    "planted_regulators",
    "regulator_scores",
    "scaled_by_training",
    "share_right",
]

TEST = 2000  # people, in the first cohort and in the second
BATCHES = 3  # in the first cohort
NETWORKS = ("true", "shuffled", "none")
EXPRESSIONS = ("regulated", "independent")
GAIN = 0.3  # standard deviation of the logarithm of each gene's scale in the second cohort


@dataclass(frozen=True, eq=False, repr=False)
class PlantedRegulators:
    """The truth behind the data of `genes`.

    Attributes:
        network: Who regulates whom.
        weights: How strongly, `(regulators, genes)`, zero where there is no edge.
        outcome: What each regulator adds to the log odds of the outcome, `(regulators,)`, zero for
            all but the deciding ones.

    Example:
        >>> planted_regulators(0).deciding
        ('regulator 5', 'regulator 7', 'regulator 8')
    """

    network: RegulatoryNetwork
    weights: Tensor
    outcome: Tensor

    def __repr__(self) -> str:
        """Who decides."""
        return f"PlantedRegulators({self.network}, deciding={self.deciding})"

    @property
    def deciding(self) -> tuple[str, ...]:
        """Names of the regulators that decide the outcome."""
        names = self.network.regulators
        return tuple(names[i] for i in self.outcome.nonzero().flatten().tolist())

    def average_precision(self, scores: Tensor) -> float:
        """Area under the precision-recall curve of a ranking, 1 if the deciding ones lead it.

        Args:
            scores: One for each regulator, `(regulators,)`, larger for those that matter more.

        Returns:
            A share from 0 to 1, scikit-learn's `average_precision_score`.

        Example:
            >>> truth = planted_regulators(0)
            >>> truth.average_precision(truth.outcome.abs())
            1.0
        """
        return float(average_precision_score((self.outcome != 0).numpy(), scores.detach().numpy()))


def planted_regulators(
    seed: int = 0,
    network: RegulatoryNetwork | None = None,
    *,
    deciding: int = 3,
    strength: float = 3.0,
) -> PlantedRegulators:
    """Draw a truth: weights of all edges from N(0, 1), and which regulators decide.

    Args:
        seed: Which draw; it has nothing to do with the seeds of runs.
        network: Who regulates whom; None: `RegulatoryNetwork.random(seed=seed)`, 60 genes and 8
            regulators with 8 genes each. Known signs are those of the weights.
        deciding: How many regulators decide the outcome.
        strength: What each of them adds to the log odds per unit of its activity; half of the
            time, at random, it is taken away instead.

    Returns:
        The truth that `genes` makes data of.

    Raises:
        TaskError: If there are not as many regulators.

    Example:
        >>> planted_regulators(1, deciding=2).outcome.abs().sum().item()
        6.0
    """
    network = RegulatoryNetwork.random(seed=seed) if network is None else network
    mask, signs = network.connections().mask, network.signs()
    if not 1 <= deciding <= len(mask):
        problem = (
            f"Wanted deciding from 1 to {len(mask)}, the number of regulators, got {deciding}."
        )
        raise TaskError("planted regulators", [problem])
    rng = generator(seed, "genes/truth")
    weights = torch.randn(mask.shape, generator=rng) * mask
    chosen = torch.randperm(len(mask), generator=rng)[:deciding]
    outcome = torch.zeros(len(mask))
    outcome[chosen] = strength * (2.0 * torch.randint(2, (deciding,), generator=rng) - 1)
    return PlantedRegulators(
        network, torch.where(signs == 0, weights, weights.abs() * signs), outcome
    )


class ExpressionNetwork(nn.Module):
    """Genes -> regulators, tanh -> the log odds of the outcome.

    Args:
        genes: Genes measured.
        regulators: Regulators, the hidden units.

    Example:
        >>> ExpressionNetwork(60, 8)(torch.zeros(5, 60)).shape
        torch.Size([5, 1])
    """

    def __init__(self, genes: int, regulators: int) -> None:
        super().__init__()
        self.regulators = nn.Linear(genes, regulators)
        self.outcome = nn.Linear(regulators, 1)

    def activity(self, expression: Tensor) -> Tensor:
        """What the regulators seem to do, `(people, regulators)`."""
        return torch.tanh(self.regulators(expression))

    def forward(self, expression: Tensor) -> Tensor:
        """One logit for each person, `(people, 1)`."""
        return self.outcome(self.activity(expression))


@written
def genes(
    network: Literal["true", "shuffled", "none"] | RegulatoryNetwork = "true",
    *,
    truth: PlantedRegulators | None = None,
    examples: int = 80,
    expression: Literal["regulated", "independent"] = "regulated",
    noise: float = 1.0,
    batch_effect: float = 0.5,
    penalty: float = 0.0,
) -> Task:
    """Tell an outcome from gene expression, with a list of who regulates whom, or without.

    Regulators' activities are hidden. Where expression is `"regulated"`, activities are N(0, 1) and
    each gene is the weighted sum of its regulators' activities. Where it is `"independent"`, every
    gene is N(0, 1), and a regulator's activity is the tanh of its genes' weighted sum. Either way
    the log odds of the outcome are a sum over the deciding regulators' activities. What is measured
    is expression + the offset of the person's batch + noise.

    The second cohort, `data.shifted["second_cohort"]`, is one batch of its own, and each of its
    genes is measured on another scale, by a factor exp(0.3 · N(0, 1)). All parts are scaled by mean
    and standard deviation of the training part alone. Offsets and people are drawn per seed, the
    truth is the same for all seeds: its network is the structure.

    Args:
        network: The list that binds the layer genes -> regulators: the `"true"` one, the
            `"shuffled"` control (`RegulatoryNetwork.shuffled`), `"none"`, or one that somebody
            believes in, with the truth's genes in their order.
        truth: What is planted; None: `planted_regulators(0)`.
        examples: People to learn from; half as many are for validation, 2000 for the test.
        expression: Who drives whom in making the data.
        noise: Standard deviation of the measurement of each gene.
        batch_effect: Standard deviation of the offset of each gene in each batch.
        penalty: Strength of `regulator_penalty`, part of the training loss.

    Returns:
        A task whose model has a layer `regulators` of tanh units and a layer `outcome` of one
        logit; the metric is the share of right answers of a cut-off at 0.

    Raises:
        TaskError: If a setting can't be, or the network's genes are not the truth's; all problems
            at once.

    Example:
        >>> task = genes("true", examples=100)
        >>> list(task.constraints), task.constraints["regulators.weight"].mask.sum(1).tolist()
        (['regulators.weight'], [8, 8, 8, 8, 8, 8, 8, 8])
        >>> task.data_for(0).shifted["second_cohort"][0].shape
        torch.Size([2000, 60])
    """
    truth = planted_regulators(0) if truth is None else truth
    problems = _network_problems(network, truth)
    if expression not in EXPRESSIONS:
        problems.append(f"expression must be one of {EXPRESSIONS}, got {expression!r}.")
    if examples < 2:
        problems.append(f"examples must be at least 2, got {examples}.")
    numbers = {"noise": noise, "batch_effect": batch_effect, "penalty": penalty}
    problems += [f"{k} must be from 0 up, got {v}." for k, v in numbers.items() if not v >= 0]
    if problems:
        raise TaskError("genes", problems)
    believed = _believed(network, truth)
    units, inputs = truth.weights.shape if believed is None else believed.connections().mask.shape
    sizes = (inputs,) * units if believed is None else believed.counts
    return Task(
        "genes",
        model=partial(_model, genes=inputs, regulators=units),
        data=partial(_data, truth, examples, expression, noise, batch_effect),
        loss=_log_loss,
        metric=share_right,
        constraints={} if believed is None else {"regulators.weight": believed.connections()},
        batch_size=min(32, examples),
        optimizer=partial(torch.optim.Adam, lr=1e-2, weight_decay=1e-2),
        regularizer=partial(_price, sizes=sizes, strength=penalty) if penalty else None,
    )


def _network_problems(network: object, truth: PlantedRegulators) -> list[str]:
    if not isinstance(network, RegulatoryNetwork):
        wanted = f"network must be one of {NETWORKS} or a RegulatoryNetwork"
        return [] if network in NETWORKS else [f"{wanted}, got {network!r}."]
    got, wanted = network.genes, truth.network.genes
    if got == wanted:
        return []
    if sorted(got) == sorted(wanted):
        return ["The network has the truth's genes in another order; take truth.network.genes."]
    odd = [name for name in got if name not in wanted] or [n for n in wanted if n not in got]
    return [
        f"Wanted a network of the truth's {len(wanted)} genes, got {len(got)}; {odd[0]!r} is in "
        "one of them only. Take truth.network.genes."
    ]


def _believed(
    network: str | RegulatoryNetwork, truth: PlantedRegulators
) -> RegulatoryNetwork | None:
    """The list that binds the layer, or None."""
    if isinstance(network, RegulatoryNetwork) or network == "none":
        return None if network == "none" else network
    return truth.network.shuffled() if network == "shuffled" else truth.network


def _model(seed: int, *, genes: int, regulators: int) -> ExpressionNetwork:
    return ExpressionNetwork(genes, regulators)


def _price(tensors: dict[str, Tensor], *, sizes: tuple[int, ...], strength: float) -> Tensor:
    weights = tensors["regulators.weight"], tensors["outcome.weight"]
    return regulator_penalty(*weights, sizes, strength)


def _log_loss(prediction: Tensor, target: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(prediction.squeeze(-1), target)


def _data(
    truth: PlantedRegulators,
    examples: int,
    expression: str,
    noise: float,
    batch_effect: float,
    seed: int,
) -> Data:
    sizes = [examples, examples // 2, TEST]
    rng, other = generator(seed, "data", 0), generator(seed, "data", 1)
    x, y = _people(truth, sum(sizes), expression, rng)
    x = _measured(x, BATCHES, noise, batch_effect, rng)
    parts = zip(("train", "validation", "test"), x.split(sizes), y.split(sizes), strict=True)
    x, y = _people(truth, TEST, expression, other)
    x = x * (GAIN * torch.randn(x.shape[1], generator=other)).exp()
    second = _measured(x, 1, noise, batch_effect, other), y
    return scaled_by_training(Data(**{n: (a, b) for n, a, b in parts}, second_cohort=second))


def _people(truth: PlantedRegulators, count: int, expression: str, rng: torch.Generator) -> Pair:
    """True expression `(count, genes)`, and outcomes 0 or 1."""
    if expression == "regulated":
        activity = torch.randn(count, len(truth.weights), generator=rng)
        values = activity @ truth.weights
    else:
        values = torch.randn(count, truth.weights.shape[1], generator=rng)
        activity = torch.tanh(values @ truth.weights.T)
    chance = (activity @ truth.outcome).sigmoid()
    return values, (torch.rand(count, generator=rng) < chance).float()


def _measured(
    values: Tensor, batches: int, noise: float, batch_effect: float, rng: torch.Generator
) -> Tensor:
    """Expression with the offset of each person's batch, and noise."""
    offsets = batch_effect * torch.randn(batches, values.shape[1], generator=rng)
    batch = torch.randint(batches, (len(values),), generator=rng)
    return values + offsets[batch] + noise * torch.randn(values.shape, generator=rng)


def scaled_by_training(data: Data) -> Data:
    """All parts with each feature shifted and scaled alike, so that it is standard in training.

    Mean and standard deviation are those of the training part: nothing that is judged on has a say
    in how it is shown, as it has where several parts are standardized together.

    Args:
        data: Parts with inputs `(examples, features)`.

    Returns:
        New data; a feature that is constant in training is shifted only.

    Example:
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> scaled_by_training(Data((x, x), (x + 2, x))).test[0].tolist()
        [[1.0], [3.0]]
    """
    inputs = data.train[0]
    mean, spread = inputs.mean(0), inputs.std(0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)
    return Data(**{name: ((x - mean) / spread, y) for name, (x, y) in data.parts.items()})


def share_right(prediction: Tensor, target: Tensor, cutoff: float = 0.0) -> Tensor:
    """Share of people whose logit is above the cut-off exactly where their outcome is 1.

    Args:
        prediction: Logits `(..., people, 1)`.
        target: Outcomes 0 or 1, `(..., people)`.
        cutoff: Where yes begins; choose it on validation data (`best_cutoff`) or not at all.

    Returns:
        A share from 0 to 1, a scalar tensor.

    Example:
        >>> share_right(torch.tensor([[-1.0], [2.0]]), torch.tensor([0.0, 0.0])).item()
        0.5
    """
    yes = prediction.squeeze(-1) > cutoff
    return (yes == (target > 0.5)).to(prediction.dtype).mean()


def best_cutoff(prediction: Tensor, target: Tensor) -> float:
    """The cut-off with the largest share of right answers, for validation data.

    A cut-off chosen on the data that a network is judged by makes any network look better.

    Args:
        prediction: Logits `(people, 1)`.
        target: Outcomes 0 or 1, `(people,)`.

    Returns:
        A number halfway between two logits; of several equally good ones the nearest to 0.

    Example:
        >>> best_cutoff(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0.0, 0.0, 1.0]))
        3.0
    """
    logits = prediction.detach().flatten().sort().values
    middles = (logits[1:] + logits[:-1]) / 2
    cuts = torch.cat([middles, logits[:1] - 1, logits[-1:] + 1, logits.new_zeros(1)])
    right = torch.stack([share_right(prediction, target, float(cut)) for cut in cuts])
    best = cuts[right == right.max()]
    return best[best.abs().argmin()].item()


@torch.no_grad()
def regulator_scores(model: ExpressionNetwork, inputs: Tensor) -> Tensor:
    """How much each unit of the layer `regulators` matters: the spread of its part of the logit.

    The outgoing weight alone would not do: a tanh unit can be made to say the same with a larger
    weight out and smaller weights in. Outgoing weight times the standard deviation of the unit's
    activity stays what it is then, and is in units of the log odds.

    Args:
        model: A network of `genes`.
        inputs: Inputs `(people, genes)`, those of the training part.

    Returns:
        One score for each unit, `(regulators,)`.

    Example:
        >>> task = genes()
        >>> regulator_scores(task.start_model(0), task.data_for(0).train[0]).shape
        torch.Size([8])
    """
    return model.outcome.weight.abs().sum(0) * model.activity(inputs).std(0)


def gene_set_scores(model: nn.Module, inputs: Tensor, network: RegulatoryNetwork) -> Tensor:
    """How much the genes of each regulator matter together: a list that is read afterwards.

    The units of a network without a list belong to no regulator. What can be asked of any network
    is how the logit depends on the genes; a regulator's score is the spread of what its genes add
    to the logit, each with its mean slope: sd over people of Σ over genes of slope · input. It is
    the same number as `regulator_scores` where units are bound to the list and hardly curved, and
    no two regulators share a gene.

    Args:
        model: A network with one logit for each person.
        inputs: Inputs `(people, genes)`, those of the training part.
        network: The list to read the network with.

    Returns:
        One score for each regulator, `(regulators,)`.

    Example:
        >>> truth = planted_regulators(0)
        >>> task = genes("none", truth=truth)
        >>> x = task.data_for(0).train[0]
        >>> gene_set_scores(task.start_model(0), x, truth.network).shape
        torch.Size([8])
    """
    followed = inputs.detach().requires_grad_()
    (slopes,) = torch.autograd.grad(model(followed).sum(), followed)
    parts = inputs * slopes.mean(0)
    return (parts @ network.connections().mask.to(parts.dtype).T).std(0)
