"""Regulatory networks, their tables and controls; planted regulators; the group penalty."""

import itertools
import pickle
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

import shapekeeper as sk
from shapekeeper import tasks
from shapekeeper.tasks import (
    Data,
    RegulatoryNetwork,
    TaskError,
    batch_indices,
    genes,
    planted_regulators,
    read_regulators,
    regulator_penalty,
)

EDGES = [("S", "c", -1), ("R", "b"), ("R", "a", 1), ("S", "b")]
SMALL = RegulatoryNetwork("abc", "RS", EDGES)
CLEAN = {"expression": "independent", "noise": 0.0, "batch_effect": 0.0}


def margins(network):
    """Genes of each regulator and regulators of each gene, counted edge by edge."""
    rows, columns = (Counter(edge[i] for edge in network.edges) for i in (0, 1))
    return rows, columns


# The network


def test_files_say_regulator_to_gene_and_the_layer_reads_gene_to_regulator():
    mask = SMALL.connections().mask
    assert mask.tolist() == [[True, True, False], [False, True, True]]
    assert SMALL.signs().tolist() == [[1, 0, 0], [0, 0, -1]]
    for r, g in itertools.product(range(2), range(3)):
        listed = ("RS"[r], "abc"[g]) in [edge[:2] for edge in SMALL.edges]
        assert mask[r, g].item() == listed
    SMALL.connections().check(nn.Linear(3, 2).weight.shape)
    assert SMALL.counts == (2, 2)


def test_a_network_is_a_value():
    again = RegulatoryNetwork(list("abc"), ("R", "S"), EDGES[::-1], notes=["read twice"])
    assert again == SMALL
    assert hash(again) == hash(SMALL)
    assert pickle.loads(pickle.dumps(SMALL)) == SMALL
    assert RegulatoryNetwork("abc", "RS", [e[:2] for e in EDGES]) != SMALL
    with pytest.raises(AttributeError, match="cannot assign"):
        SMALL.genes = ()


def test_a_network_says_all_problems_at_once():
    with pytest.raises(TaskError, match="regulatory network: ") as error:
        RegulatoryNetwork(
            ["TP53", "MYC", "MYC"],
            ["E2F1", "STAT3"],
            [("E2F1", "TP35"), ("E2F", "MYC"), ("E2F1", "TP53"), ("E2F1", "TP53", 1)],
        )
    assert error.value.problems == [
        "Wanted genes with different names, got twice: 'MYC'.",
        "Unknown regulator 'E2F'; did you mean 'E2F1'?",
        "Unknown gene 'TP35'; did you mean 'TP53'?",
        "Wanted each edge once, got twice: ('E2F1', 'TP53').",
        "Wanted a gene for every regulator, got none for 'STAT3'.",
    ]
    with pytest.raises(TaskError, match=r"sign -1 to 1\), got \('R', 'a', 2\)"):
        RegulatoryNetwork("a", "R", [("R", "a", 2)])
    with pytest.raises(TaskError, match="at least one of the genes, got none"):
        RegulatoryNetwork([], [], [])


def test_a_random_network_has_as_many_genes_for_each_regulator():
    network = RegulatoryNetwork.random(30, 5, 7, seed=2)
    assert network.connections().mask.sum(1).tolist() == [7] * 5
    assert network == RegulatoryNetwork.random(30, 5, 7, seed=2)
    assert network != RegulatoryNetwork.random(30, 5, 7, seed=3)
    with pytest.raises(TaskError, match="got genes=3, regulators=2, each=4"):
        RegulatoryNetwork.random(3, 2, 4)


# Its control


@pytest.mark.parametrize("size", [(60, 8, 8), (12, 3, 5), (40, 20, 2)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_control_keeps_every_count(size, seed):
    network = RegulatoryNetwork.random(*size, seed=seed)
    control = network.shuffled(seed)
    assert margins(control) == margins(network)
    assert control == network.shuffled(seed)
    assert control not in (network, network.shuffled(seed + 1))


def test_the_control_keeps_counts_that_differ_and_the_signs_of_each_gene():
    rng = np.random.default_rng(0)
    open_, signs = rng.random((9, 25)) < np.linspace(0.1, 0.7, 9)[:, None], [-1, 0, 1]
    edges = [(f"R{r}", f"g{g}", signs[rng.integers(3)]) for r, g in np.argwhere(open_)]
    network = RegulatoryNetwork([f"g{i}" for i in range(25)], [f"R{i}" for i in range(9)], edges)
    control = network.shuffled(4)
    assert margins(control) == margins(network)
    assert len(set(network.counts)) > 4
    by_gene = [Counter(edge[1:] for edge in n.edges) for n in (network, control)]
    assert by_gene[0] == by_gene[1]


def test_the_control_takes_every_arrangement_equally_often():
    network = RegulatoryNetwork("abcd", "RST", [(r, g) for r, g in ["Ra", "Rb", "Sa", "Sc", "Td"]])
    rows, columns = network.connections().mask.sum(1), network.connections().mask.sum(0)
    every = (np.array(bits).reshape(3, 4) for bits in itertools.product([0, 1], repeat=12))
    fitting = [
        m.tobytes()
        for m in every
        if (m.sum(1) == rows.numpy()).all() and (m.sum(0) == columns.numpy()).all()
    ]
    draws = [network.shuffled(seed).connections().mask.long().numpy() for seed in range(1500)]
    counts = Counter(draw.tobytes() for draw in draws)
    assert set(counts) == set(fitting)
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_an_easier_control_keeps_the_counts_of_regulators_alone():
    network = RegulatoryNetwork.random()
    control = network.shuffled(keep_genes=False)
    assert control.counts == network.counts
    assert margins(control)[1] != margins(network)[1]
    unused = set(network.genes) - {edge[1] for edge in network.edges}
    assert unused & {edge[1] for edge in control.edges}


def test_a_network_without_another_arrangement_has_no_control():
    nested = RegulatoryNetwork("abc", "RS", [("R", "a"), ("R", "b"), ("S", "a")])
    with pytest.raises(TaskError, match="no other network has these counts"):
        nested.shuffled()
    assert nested.shuffled(keep_genes=False).counts == (2, 1)


# Its table

TABLE = """tf,target,effect,source
E2F1,MYC,increase,x
E2F1,TP53,Decrease,x
STAT3,MYC,other,y
STAT3,NA,increase,y
"""
COLUMNS = {"regulator": "tf", "gene": "target"}
MEASURED = ["TP53", "NA", "MYC"]


@pytest.fixture
def table(tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "table.tsv").write_text(TABLE.replace(",", "\t"))
    return tmp_path / "table.csv"


def test_a_table_is_read_from_regulator_to_gene(table):
    network = read_regulators(table, MEASURED, **COLUMNS, effect="effect")
    assert network.genes == ("TP53", "NA", "MYC")
    assert network.regulators == ("E2F1", "STAT3")
    assert network.connections().mask.tolist() == [[True, False, True], [False, True, True]]
    assert network.signs().tolist() == [[-1, 0, 1], [0, 1, 0]]
    assert network.notes == ()
    assert read_regulators(table.with_suffix(".tsv"), MEASURED, **COLUMNS, effect="effect") == (
        network
    )
    frame = pd.read_csv(table, keep_default_na=False)
    assert read_regulators(frame, MEASURED, **COLUMNS, effect="effect") == network
    plain = read_regulators(str(table), MEASURED, **COLUMNS)
    assert plain.connections() == network.connections()
    assert not plain.signs().any()


def test_effects_filter(table):
    kept = read_regulators(table, MEASURED, **COLUMNS, effect="effect", keep=["increase"])
    assert kept.edges == (("E2F1", "MYC", 1), ("STAT3", "NA", 1))


def test_signs_hold_a_weight():
    table = pd.DataFrame({"regulator": "R", "gene": list("ab"), "effect": ["increase", "decrease"]})
    network = read_regulators(table, list("abc"), effect="effect")
    held = network.connections() & sk.Signs(network.signs())
    assert held.project(torch.ones(1, 3)).tolist() == [[1, 0, 0]]


def test_what_is_left_out_is_said_in_a_warning_and_in_the_value():
    rows = ["R a", "R a", "R b", "S a", "S a", "T x", "T y", "U x"]
    effects = ["increase"] * 3 + ["increase", "decrease"] + ["other"] * 3
    pairs = [row.split() for row in rows]
    table = pd.DataFrame(pairs, columns=["regulator", "gene"]).assign(effect=effects)
    with pytest.warns(UserWarning, match="2 of 4 genes are not measured") as caught:
        network = read_regulators(table, ["a", "b", "z"], effect="effect")
    assert caught[0].filename == __file__
    assert network.notes == (
        "2 of 4 genes are not measured, left out: 'x', 'y'.",
        "2 regulators have no measured gene, left out: 'T', 'U'.",
        "2 rows repeat the pair of another row, counted once.",
        "1 pairs have rows of different effects; their sign is unknown.",
    )
    assert str(caught[0].message) == " ".join(network.notes)
    assert network.edges == (("R", "a", 1), ("R", "b", 1), ("S", "a", 0))


def test_a_table_says_all_problems_at_once():
    table = pd.DataFrame(
        {"regulators": ["R", "R"], "gene": ["a", None], "effect": ["incraese", ""]}
    )
    with pytest.raises(TaskError, match="table of regulators: ") as error:
        read_regulators(table, ["a", "a"], effect="effect", keep=["increas"])
    assert error.value.problems == [
        "Wanted measured genes with different names, got twice: 'a'.",
        "Unknown column 'regulator'; did you mean 'regulators'? Columns are regulators, gene, "
        "effect.",
        "Wanted an entry of 'gene' in every row, got none in 2.",
        "Wanted an entry of 'effect' in every row, got none in 2.",
        "Unknown effect to keep 'increas'; did you mean 'increase'?",
        "Unknown effect 'incraese'; did you mean 'increase'?",
        "Effects are increase, decrease, other.",
    ]
    with pytest.raises(TaskError, match=r"name their column: effect=\.\.\.\."):
        read_regulators(pd.DataFrame({"regulator": ["R"], "gene": ["a"]}), "a", keep=["other"])
    with pytest.raises(TaskError, match="at least one row with an effect to keep, got none"):
        read_regulators(pd.DataFrame({"regulator": [], "gene": []}), "a")


def test_a_reversed_table_is_noticed():
    right = pd.DataFrame({"regulator": ["R", "R", "S"], "gene": ["a", "b", "c"]})
    turned = right.rename(columns={"regulator": "gene", "gene": "regulator"})
    with pytest.raises(TaskError, match=r"looks reversed: none of its genes .* but 3 of its"):
        read_regulators(turned, "abc")
    again = read_regulators(turned, "abc", regulator="gene", gene="regulator")
    assert again == read_regulators(right, "abc")
    # a regulator is a gene too, and may be measured
    with pytest.warns(UserWarning, match="may be reversed: 3 of its regulators .* only 1 of"):
        read_regulators(turned, [*"abc", "R"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_regulators(right, [*"abc", "R", "S"])


def test_names_of_another_kind_are_noticed():
    table = pd.DataFrame({"regulator": ["R"] * 4, "gene": ["a", "b", "c", "d"]})
    with pytest.raises(TaskError, match="it names 'a', 'b', 'c' and 1 more, measured are 'ENSG1'"):
        read_regulators(table, ["ENSG1"])


# The group penalty


def brute_force(incoming, outgoing, sizes, strength, alpha):
    total = 0.0
    for row, out, size in zip(incoming.tolist(), outgoing.T.tolist(), sizes, strict=True):
        total += alpha * size**0.5 * sum(abs(w) for w in out)
        total += (1 - alpha) * sum(w * w for w in row) ** 0.5
    return strength * total


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_penalty_is_the_published_sum(alpha, outputs):
    rng = torch.Generator().manual_seed(0)
    incoming = torch.randn(5, 7, generator=rng, dtype=torch.float64)
    outgoing = torch.randn(outputs, 5, generator=rng, dtype=torch.float64)
    sizes = (1, 2, 3, 4, 5)
    got = regulator_penalty(incoming, outgoing, sizes, 0.7, alpha)
    assert got.item() == pytest.approx(brute_force(incoming, outgoing, sizes, 0.7, alpha))
    torch.autograd.gradcheck(
        lambda *w: regulator_penalty(*w, sizes, 0.7, alpha),
        (incoming.requires_grad_(), outgoing.requires_grad_()),
    )


def test_the_penalty_has_a_gradient_at_rows_of_zeros_also_for_many_runs():
    incoming = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]]).repeat(2, 1, 1)
    gradient = torch.func.grad(regulator_penalty, argnums=(0, 1))
    got = torch.vmap(lambda w, v: gradient(w, v, (4, 9), 2.0))(incoming, torch.zeros(2, 2))
    assert got[0][1].tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    assert not got[1].any()


def test_the_cheapest_weights_are_those_of_soft_thresholding():
    # min over W of |W - T|^2 / 2 + strength / 2 * sum of row norms, by the closed form of the prox
    target, strength = np.array([[3.0, 4.0], [0.2, -0.1], [0.0, 2.0]]), 1.6
    norms = np.linalg.norm(target, axis=1, keepdims=True)
    closed_form = target * np.clip(1 - strength / 2 / norms, 0, None)

    def price(weights):
        weights = torch.tensor(weights, requires_grad=True)
        penalty = regulator_penalty(weights, torch.zeros(3), (1, 1, 1), strength)
        total = (weights - torch.tensor(target)).square().sum() / 2 + penalty
        total.backward()
        return total.item(), weights.grad.numpy()

    value, slope = price(closed_form)
    assert closed_form[1].tolist() == [0, 0]
    np.testing.assert_allclose(slope[[0, 2]], 0, atol=1e-12)
    rng = np.random.default_rng(0)
    for reach in np.repeat([1e-4, 1e-2, 1.0], 100):
        assert price(closed_form + reach * rng.normal(size=(3, 2)))[0] > value


SMALL_TRUTH = planted_regulators(0, RegulatoryNetwork.random(12, 4, 3))


def plain(task, seed, steps):
    """One network after the other: autograd, the optimizer, and the mask after each step."""
    model, (x, y) = task.start_model(seed), task.data_for(seed).train
    connections = task.constraints["regulators.weight"]
    weight = model.regulators.weight
    weight.data = connections.start(weight.data)
    optimizer = task.optimizer(model.parameters())
    per_epoch = len(x) // task.batch_size
    for step in range(steps):
        batch = batch_indices(seed, step // per_epoch, len(x), task.batch_size)[step % per_epoch]
        loss = task.loss(model(x[batch]), y[batch])
        loss = loss + regulator_penalty(
            weight, model.outcome.weight, SMALL_TRUTH.network.counts, 0.1
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        weight.data = weight.data * connections.mask
    return model


@pytest.mark.parametrize("batched", [True, False])
def test_compare_adds_the_regularizer_as_a_plain_loop_does(batched):
    task = genes(truth=SMALL_TRUTH, penalty=0.1)
    found = sk.compare(task, [sk.Projection()], seeds=[3, 5], steps=40, batched=batched)
    assert found.notes == []
    for model, seed in zip(found.models("Projection"), (3, 5), strict=True):
        wanted = plain(task, seed, 40)
        for name, got in model.named_parameters():
            torch.testing.assert_close(got, wanted.get_parameter(name), atol=2e-5, rtol=0)
    free = sk.compare(replace(task, regularizer=None), [sk.Projection()], seeds=[3, 5], steps=40)
    assert not torch.allclose(
        free.tensors["Projection"]["outcome.weight"],
        found.tensors["Projection"]["outcome.weight"],
        atol=1e-2,
    )


def test_the_regularizer_is_in_no_test_score():
    task = genes(truth=SMALL_TRUTH)
    priced = replace(task, regularizer=lambda tensors: tensors["outcome.bias"].sum() * 0 + 7)
    rows = [
        sk.compare(t, [sk.Projection()], seeds=1, steps=10).final().iloc[0] for t in (task, priced)
    ]
    for column in ("loss:test", "metric", "metric:validation", "metric:second_cohort"):
        assert rows[0][column] == pytest.approx(rows[1][column], abs=1e-6)
    assert rows[1]["loss"] - rows[0]["loss"] == pytest.approx(7, abs=1e-5)


def test_a_regularizer_must_be_a_function():
    with pytest.raises(TaskError, match=r"regularizer must be a function, got 0\.1"):
        replace(genes(), regularizer=0.1)


# The data


def test_every_part_is_scaled_by_training_alone():
    data = genes(examples=100).data_for(0)
    x = data.train[0]
    torch.testing.assert_close(x.mean(0), torch.zeros(60), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(60), atol=1e-5, rtol=0)
    for part in ("validation", "test", "second_cohort"):
        assert data.parts[part][0].mean(0).abs().max() > 0.05


def test_what_one_is_judged_by_has_no_say_in_the_scale():
    rng = torch.Generator().manual_seed(0)
    x, y = 3 * torch.randn(20, 4, generator=rng) + 5, torch.zeros(20)
    one = tasks.scaled_by_training(Data((x, y), (x + 1, y), (x - 1, y), other=(x, y)))
    two = tasks.scaled_by_training(Data((x, y), (x * 9, y), (x * 9, y), other=(x * 9, y)))
    assert torch.equal(one.train[0], two.train[0])
    back = x.std(0, correction=0)
    torch.testing.assert_close(two.test[0] * back + x.mean(0), x * 9)
    torch.testing.assert_close(two.shifted["other"][0] * back + x.mean(0), x * 9)
    flat = tasks.scaled_by_training(Data((x * 0 + 2, y), (x, y)))
    torch.testing.assert_close(flat.test[0], x - 2)


def test_regulated_genes_go_together_as_their_regulators_say():
    truth = planted_regulators(3)
    data = genes(truth=truth, batch_effect=0.0, examples=2000).data_for(1)
    covariance = truth.weights.T @ truth.weights + torch.eye(60)
    spread = covariance.diagonal().sqrt()
    wanted = covariance / spread[:, None] / spread
    got = torch.corrcoef(torch.cat([data.train[0], data.test[0]]).T)
    assert (got - wanted).abs().max() < 5 / 4000**0.5
    assert (wanted - torch.eye(60)).abs().max() > 0.7


def test_independent_genes_go_their_own_ways():
    x = torch.cat([x for x, _ in (genes(**CLEAN).data_for(0).test,)])
    apart = torch.corrcoef(x.T) - torch.eye(60)
    assert apart.abs().max() < 5 / 2000**0.5


def test_outcomes_follow_the_deciding_regulators():
    truth = planted_regulators(1)
    x, y = genes(truth=truth, **CLEAN, examples=20_000).data_for(0).train  # scaled by about 1
    odds = torch.tanh(x @ truth.weights.T) @ truth.outcome
    for low, high in itertools.pairwise([-9, -4, -2, -1, 0, 1, 2, 4, 9]):
        some = (odds > low) & (odds < high)
        wanted = odds[some].sigmoid().mean().item()
        assert y[some].mean().item() == pytest.approx(wanted, abs=2 / some.sum().item() ** 0.5)


def test_the_second_cohort_is_shifted_and_scaled_anew():
    shifts, gains = [], []
    for seed in range(8):
        for effect, kept in ((0.0, gains), (0.5, shifts)):
            settings = CLEAN | {"batch_effect": effect}
            data = genes(**settings, examples=2000).data_for(seed)
            test, second = data.test[0], data.shifted["second_cohort"][0]
            if effect:
                kept.append(second.mean(0) - test.mean(0))
            else:
                kept.append((second.std(0) / test.std(0)).log())
                assert (second.mean(0) - test.mean(0)).abs().max() < 0.3
    assert torch.cat(gains).std().item() == pytest.approx(0.3, abs=0.03)
    # three batches of the first cohort and one of the second, each with variance 1/4; the first's
    # own batches widen the unit: variance 1 + 1/4 * 2/3
    expected = (0.25 * (1 + 1 / 3) / (1 + 0.25 * 2 / 3)) ** 0.5
    assert torch.cat(shifts).std().item() == pytest.approx(expected, rel=0.1)


def test_the_truth_is_the_structure_and_people_are_the_seeds():
    task, other = genes(), genes(truth=planted_regulators(1))
    assert task.constraints != other.constraints
    assert task.constraints == genes().constraints
    assert not torch.equal(task.data_for(0).train[0], task.data_for(1).train[0])
    assert torch.equal(task.data_for(1).test[0], genes("none").data_for(1).test[0])
    sizes = {name: len(y) for name, (_, y) in genes(examples=300).data_for(0).parts.items()}
    assert sizes == {"train": 300, "validation": 150, "test": 2000, "second_cohort": 2000}


def test_which_list_binds_the_layer():
    truth = planted_regulators(2)
    network = truth.network
    redrawn = network.shuffled(5, keep_genes=False)
    wanted = {"true": network, "shuffled": network.shuffled(), redrawn: redrawn}
    for given, bound in wanted.items():
        task = genes(given, truth=truth)
        assert task.constraints == {"regulators.weight": bound.connections()}
        assert task.check() == (task.constraints, {})
    assert genes("none", truth=truth).constraints == {}
    more = RegulatoryNetwork(network.genes, ["R"], [("R", "gene 1"), ("R", "gene 9")])
    assert genes(more, truth=truth).start_model(0).regulators.weight.shape == (1, 60)


def test_genes_says_all_problems_at_once():
    with pytest.raises(TaskError, match="genes: ") as error:
        genes("ture", expression="regulate", examples=1, noise=-1.0, penalty=float("nan"))
    assert error.value.problems == [
        "network must be one of ('true', 'shuffled', 'none') or a RegulatoryNetwork, got 'ture'.",
        "expression must be one of ('regulated', 'independent'), got 'regulate'.",
        "examples must be at least 2, got 1.",
        "noise must be from 0 up, got -1.0.",
        "penalty must be from 0 up, got nan.",
    ]
    with pytest.raises(TaskError, match="truth's 60 genes, got 3; 'a' is in one of them only"):
        genes(SMALL)
    names = planted_regulators().network.genes
    with pytest.raises(TaskError, match="genes in another order"):
        genes(RegulatoryNetwork(names[::-1], ["R"], [("R", names[0])]))
    with pytest.raises(TaskError, match="deciding from 1 to 2, the number of regulators, got 3"):
        planted_regulators(0, SMALL)


def test_planted_weights_have_the_known_signs():
    truth = planted_regulators(4, SMALL, deciding=2, strength=5.0)
    assert (truth.weights != 0).tolist() == SMALL.connections().mask.tolist()
    assert truth.weights[0, 0] > 0 > truth.weights[1, 2]
    assert truth.outcome.abs().tolist() == [5, 5]
    assert truth.deciding == ("R", "S")


# Rankings


@pytest.fixture(scope="module")
def learned():
    """A network with the true list and plenty of people, and one with a list drawn anew."""
    truth = planted_regulators(1)
    wrong = truth.network.shuffled(keep_genes=False)
    found = []
    for network in ("true", wrong):
        task = genes(network, truth=truth, **CLEAN, examples=3000)
        comparison = sk.compare(task, [sk.Projection()], seeds=1, steps=800)
        found.append((task, comparison.models("Projection")[0], comparison.final().iloc[0]))
    return truth, found


def test_the_planted_weights_come_back(learned):
    truth, [(task, model, row), _] = learned
    with torch.no_grad():
        ways = model.outcome.weight[0][:, None] * model.regulators.weight
        planted = truth.outcome[:, None] * truth.weights
    deciding = truth.outcome != 0
    likeness = torch.cosine_similarity(ways, planted)[deciding]
    assert likeness.min() > 0.95
    scores = tasks.regulator_scores(model, task.data_for(0).train[0])
    assert scores[deciding].min() > scores[~deciding].max()
    assert truth.average_precision(scores) == 1
    assert row["metric"] > 0.85


def test_a_list_drawn_anew_costs_accuracy(learned):
    _, [(_, _, true), (_, _, wrong)] = learned
    assert true["metric"] - wrong["metric"] > 0.08
    assert true["metric:second_cohort"] - wrong["metric:second_cohort"] > 0.08


def test_scores_are_the_spread_of_what_each_regulator_adds():
    truth = planted_regulators(0)
    model, x = genes(truth=truth).start_model(0), genes(truth=truth).data_for(0).train[0]
    with torch.no_grad():
        logits = []
        for r in range(8):
            silenced = pickle.loads(pickle.dumps(model))
            silenced.outcome.weight[0, r] = 0
            logits.append((model(x) - silenced(x)).std().item())
    got = tasks.regulator_scores(model, x)
    np.testing.assert_allclose(got, logits, rtol=1e-4)


def test_a_list_read_afterwards_finds_what_units_bound_to_it_say():
    network = RegulatoryNetwork("abcdef", "RST", ["Ra", "Rb", "Sc", "Td", "Te", "Tf"])
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = tasks.ExpressionNetwork(6, 3).double()
    with torch.no_grad():
        model.regulators.weight.mul_(network.connections().mask * 1e-4)  # so that tanh is straight
        model.regulators.bias.zero_()
    bound, after = tasks.regulator_scores(model, x), tasks.gene_set_scores(model, x, network)
    torch.testing.assert_close(bound, after, rtol=1e-5, atol=0)
    hidden = tasks.ExpressionNetwork(6, 3).double()
    with torch.no_grad():  # the same function by other units: none belongs to a regulator
        hidden.regulators.bias.zero_()
        mixed = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
        hidden.regulators.weight.copy_(mixed @ model.regulators.weight)
        hidden.outcome.weight.copy_(model.outcome.weight @ mixed.T)
    torch.testing.assert_close(tasks.gene_set_scores(hidden, x, network), after, rtol=1e-5, atol=0)
    assert not torch.allclose(tasks.regulator_scores(hidden, x), bound, rtol=1e-2)


def test_average_precision_by_hand():
    truth = planted_regulators(0)
    scores = torch.arange(8.0)
    ranked = [truth.outcome[i] != 0 for i in range(7, -1, -1)]
    found = [sum(ranked[: i + 1]) / (i + 1) for i in range(8) if ranked[i]]
    assert truth.average_precision(scores) == pytest.approx(float(sum(found) / 3))
    assert len(truth.deciding) == 3


# Cut-offs


def test_the_best_cutoff_is_the_best_of_all():
    rng = torch.Generator().manual_seed(0)
    for people in (1, 2, 15, 40):
        logits = torch.randn(people, 1, generator=rng)
        target = (logits[:, 0] + torch.randn(people, generator=rng) > 0.7).float()
        cutoff = tasks.best_cutoff(logits, target)
        best = max(
            ((logits[:, 0] > c) == (target > 0.5)).float().mean() for c in np.linspace(-5, 5, 3001)
        )
        assert tasks.share_right(logits, target, cutoff) == best


def test_of_equal_cutoffs_the_one_nearest_to_zero():
    assert tasks.best_cutoff(torch.tensor([[-2.0], [3.0]]), torch.tensor([0.0, 1.0])) == 0
    assert tasks.best_cutoff(torch.tensor([[-2.0], [-1.0]]), torch.zeros(2)) == 0
