"""What a grammar answers, against a sum over the list of all words and known answers."""

import copy
import json
import math
import pickle
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from enumeration import Enumerated, Language, frequencies, random_language, too_far
from torch import Tensor
from torch.nn import functional as F

import shapekeeper as sk
from shapekeeper.constraints import Constraint, ConstraintError
from shapekeeper.constraints.words import sweeps
from shapekeeper.constraints.words.tables import tables

DOUBLE = torch.float64
DRAWS = 4000
SCALES = [1.0, 1e4]
RICH = 55  # a language of 108 padded words
SOME = range(0, 200, 7)  # of all kinds, as 7 and 5 share no factor

seeds = pytest.mark.parametrize("seed", range(200))
some_seeds = pytest.mark.parametrize("seed", SOME)
scales = pytest.mark.parametrize("scale", SCALES)


@cache
def language(seed: int) -> Language:
    return random_language(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def case(seed: int, scale: float = 1.0, events: int = 6) -> tuple[sk.Grammar, Enumerated, Tensor]:
    """A grammar, what it should answer, and scores."""
    found = language(seed)
    scores = scale * normal(events, *found.grammar.shape, seed=seed)
    return found.grammar, Enumerated(found.tensors), scores


def near(found: Tensor, wanted: Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=atol)


def answers(grammar: sk.Grammar, *names: str) -> list[Any]:
    return [getattr(grammar, name) for name in names]


def pulled(f, scores: Tensor, along: Tensor) -> Tensor:
    """The product of a vector with the Jacobian of f."""
    x = scores.detach().requires_grad_()
    return torch.autograd.grad((f(x) * along).sum(), x)[0]


# Against the list of all words


@seeds
def test_words_are_counted_listed_and_told_from_others(seed):
    grammar, wanted, scores = case(seed, events=200)
    words = language(seed).words
    assert grammar.count == len(words)
    assert grammar.bits == math.log2(len(words))
    assert grammar.examples(len(words)) == sorted(grammar.examples(len(words)), key=order(grammar))
    assert set(grammar.examples(len(words))) == words
    assert grammar.allows(wanted.words).all()
    near(grammar.violation(scores), wanted.changes(scores).double(), atol=0)
    assert torch.equal(grammar.allows(scores), wanted.changes(scores) == 0)
    assert torch.equal(grammar.encode(sorted(words)).double(), wanted.words)
    assert grammar.decode(wanted.words) == sorted(words)


def order(grammar: sk.Grammar):
    """The order of the alphabet, padding last."""
    where = {symbol: i for i, symbol in enumerate(grammar.symbols)}
    return lambda word: [where[v] for v in word] + [len(where)] * (grammar.length - len(word))


@scales
@seeds
def test_values_are_sums_over_all_words(seed, scale):
    grammar, wanted, scores = case(seed, scale)
    best = wanted.best(scores)
    assert torch.equal(grammar.project(scores), best)
    assert torch.equal(grammar.from_free(scores), best)
    near(grammar.log_probability(scores), wanted.log_probability(scores).clamp(max=0))
    near(grammar.penalty(scores), -wanted.log_probability(scores).clamp(max=0))
    near(grammar.marginals(scores), wanted.marginals(scores))


@scales
@seeds
def test_gradients_are_those_of_sums_over_all_words(seed, scale):
    grammar, wanted, scores = case(seed, scale)
    along = normal(*scores.shape, seed=seed + 1000)
    near(
        pulled(lambda x: grammar.log_probability(x)[:, None, None], scores, along),
        pulled(lambda x: wanted.log_probability(x)[:, None, None], scores, along),
    )
    shares = pulled(wanted.marginals, scores, along)
    near(pulled(grammar.marginals, scores, along), shares)
    near(pulled(grammar.from_free, scores, along), shares)
    near(pulled(lambda x: grammar.draw(x, torch.Generator()), scores, along), shares)
    blind = pulled(lambda x: torch.softmax(x, -1), scores, along)
    near(pulled(grammar.project, scores, along), blind)


@some_seeds
def test_gradients_are_finite_differences(seed):
    grammar, _, scores = case(seed, events=2)
    x = scores.requires_grad_()
    assert torch.autograd.gradcheck(grammar.log_probability, x)
    assert torch.autograd.gradcheck(grammar.marginals, x)


@seeds
def test_words_are_drawn_as_often_as_they_are_probable(seed):
    grammar, wanted, scores = case(seed, events=1)
    draw = torch.Generator().manual_seed(seed)
    drawn = grammar.draw(scores.expand(DRAWS, -1, -1), draw)
    chances = wanted.chances(scores)[0]
    far = 0.5 * (frequencies(drawn, wanted.words) - chances).abs().sum()
    assert far <= too_far(chances, DRAWS)


@seeds
def test_sampled_words_are_all_as_frequent(seed):
    grammar, wanted, _ = case(seed)
    drawn = grammar.sample((DRAWS, *grammar.shape), torch.Generator().manual_seed(seed))
    chances = torch.full((len(wanted.words),), 1 / len(wanted.words), dtype=DOUBLE)
    far = 0.5 * (frequencies(drawn, wanted.words) - chances).abs().sum()
    assert far <= too_far(chances, DRAWS)


def test_the_languages_lead_through_all_of_the_sweep():
    read = [table for seed in range(200) for table in tables(language(seed).grammar.lattice, ONE)]
    ways = {(table.dense, table.closed is None, table.size[0] > 1) for table in read}
    assert {(True, True, True), (False, True, True), (False, False, True)} <= ways
    kinds = {(language(seed).kind, language(seed).grammar.up_to) for seed in range(200)}
    assert len(kinds) == 10


ONE = torch.ones(1)


def test_a_bound_on_frequencies_is_crossed_by_wrong_ones():
    chances = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE)
    assert too_far(chances, DRAWS) < 0.1
    assert too_far(chances, 4 * DRAWS) == pytest.approx(too_far(chances, DRAWS) / 2)


# Known answers


def test_a_word_of_two_equal_coins_is_legal_half_of_the_time():
    grammar = sk.Grammar.from_words(["00", "11"])
    assert grammar.penalty(torch.zeros(2, 2)).item() == pytest.approx(math.log(2), rel=1e-7)
    # of the nine mixtures of two slots, by hand: P = p q + (1 - p)(1 - q)
    p, q = 0.8, 0.3
    scores = torch.tensor([[p, 1 - p], [q, 1 - q]], dtype=DOUBLE).log()
    legal = p * q + (1 - p) * (1 - q)
    assert grammar.log_probability(scores).item() == pytest.approx(math.log(legal), rel=1e-12)
    share = p * q / legal
    wanted = torch.tensor([[share, 1 - share]] * 2, dtype=DOUBLE)
    near(grammar.marginals(scores), wanted, atol=1e-12)


@some_seeds
def test_cross_entropy_is_that_among_legal_words_and_the_penalty(seed):
    grammar, wanted, scores = case(seed, events=len(language(seed).words))
    plain = -(torch.log_softmax(scores, -1) * wanted.words).sum((-2, -1))
    among = -wanted.chances(scores).diagonal().log()
    near(plain, among + grammar.penalty(scores))


def test_where_all_words_are_legal_nothing_is_left_to_do():
    grammar = sk.Grammar(".{4}", length=4, alphabet="abc")
    scores = 1e4 * normal(50, 4, 3)
    assert grammar.penalty(scores).abs().max() == 0
    near(grammar.marginals(scores), torch.softmax(scores, -1))
    assert torch.equal(grammar.project(scores), F.one_hot(scores.argmax(-1), 3).double())


def test_of_one_word_nothing_is_uncertain():
    grammar = sk.Grammar.from_words(["abc"])
    scores = normal(4, 3, 3).requires_grad_()
    word = grammar.encode(["abc"]).double().expand(4, -1, -1)
    assert grammar.bits == 0
    near(grammar.marginals(scores), word, atol=0)
    grammar.from_free(scores).square().sum().backward()
    assert scores.grad is not None
    assert scores.grad.abs().max() == 0


def test_a_projection_is_no_farther_than_any_word():
    grammar, wanted, scores = case(RICH, events=50)
    distance = (scores[:, None] - wanted.words).flatten(2).norm(dim=-1)
    found = (scores - grammar.project(scores)).flatten(1).norm(dim=-1)
    near(found, distance.amin(-1), atol=1e-12)


def test_a_violation_is_the_smallest_number_of_symbols_to_change():
    grammar = sk.Grammar("(ab)*c", length=9, up_to=True)
    said = ["abc", "abaac", "ccc", "bacba", "ababababc"]
    assert grammar.violation(grammar.encode(said)).tolist() == [0, 1, 2, 4, 0]
    assert grammar.allows(grammar.encode(said)).tolist() == [True, False, False, False, True]
    assert grammar.unit == "symbols"
    assert grammar.tolerance(torch.float32) == 0


def test_a_slot_of_nan_is_to_be_changed():
    grammar = sk.Grammar.from_words(["ab", "ba"])
    x = grammar.encode(["ab", "ab"])
    x[0, 1] = torch.nan
    x[1] = torch.nan
    assert grammar.violation(x).tolist() == [1, 2]
    assert not grammar.allows(x).any()


# Numbers


@pytest.mark.parametrize("offset", [1e4, 1e6])
def test_what_all_symbols_of_a_slot_have_in_common_takes_no_digits(offset):
    grammar = sk.Grammar("(ab|ba|c)*", length=12)
    plain = normal(20, 12, 3, dtype=torch.float32)
    scores = plain + offset * normal(20, 12, 1, seed=1, dtype=torch.float32)
    exact = scores.double()
    near(grammar.marginals(scores).double(), grammar.marginals(exact), atol=2e-6)
    near(grammar.penalty(scores).double(), grammar.penalty(exact), atol=2e-5)
    assert torch.equal(grammar.project(scores).double(), grammar.project(exact))
    along = normal(20, 12, 3, seed=2)
    near(
        pulled(grammar.from_free, scores, along.float()).double(),
        pulled(grammar.from_free, exact, along),
        atol=1e-5,
    )


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e4, 1e10, 1e20, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE, torch.bfloat16])
def test_finite_scores_have_finite_gradients(dtype, scale):
    grammar = sk.Grammar("((ab)*c|b{3})*", length=9, up_to=True)
    scores = (scale * normal(64, *grammar.shape)).to(dtype)
    along = normal(64, *grammar.shape).to(dtype)
    for f in (grammar.project, grammar.from_free, grammar.marginals, grammar.draw):
        assert f(scores).isfinite().all(), f
        assert pulled(f, scores, along).isfinite().all(), f
    assert grammar.penalty(scores).isfinite().all()
    each = along[..., :1, :1]
    price = pulled(lambda x: grammar.penalty(x)[:, None, None], scores, each)
    assert price.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_summed_in_float32(dtype):
    grammar, _, scores = case(0, scale=3.0)
    half = scores.to(dtype)
    for f in (grammar.log_probability, grammar.marginals):
        assert f(half).dtype == torch.float32
        assert torch.equal(f(half), f(half.float()))
    for f in (grammar.project, grammar.from_free):
        assert f(half).dtype == dtype
        assert torch.equal(f(half).float(), f(half.float()))
        assert pulled(f, half, torch.ones_like(half)).dtype == dtype


@pytest.mark.parametrize("shape", [(), (7,), (2, 3), (0,), (2, 0)])
def test_batches_of_all_shapes_are_events_side_by_side(shape):
    grammar, wanted, _ = case(RICH)
    scores = normal(*shape, *grammar.shape)
    assert torch.equal(grammar.project(scores), wanted.best(scores))
    near(grammar.marginals(scores), wanted.marginals(scores))
    near(grammar.penalty(scores), -wanted.log_probability(scores))
    assert grammar.violation(scores).shape == shape
    assert grammar.draw(scores).shape == scores.shape
    assert pulled(grammar.from_free, scores, scores).shape == scores.shape
    assert len(grammar.decode(scores)) == math.prod(shape)


def test_many_events_in_parts_are_as_all_at_once(monkeypatch):
    grammar, _, scores = case(RICH, events=23)
    answers = [
        lambda: grammar.project(scores),
        lambda: grammar.penalty(scores),
        lambda: grammar.marginals(scores),
        lambda: pulled(grammar.from_free, scores, scores),
        lambda: grammar.draw(scores, torch.Generator().manual_seed(0)),
    ]
    whole = [answer() for answer in answers]
    monkeypatch.setattr(sweeps, "ROOM", 5 * grammar.lattice.steps)
    for answer, wanted in zip(answers, whole, strict=True):
        near(answer(), wanted, atol=1e-12)


def test_scores_need_not_lie_in_order_in_memory():
    grammar, wanted, scores = case(RICH)
    turned = scores.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not turned.is_contiguous()
    near(grammar.marginals(turned), wanted.marginals(scores))
    before = turned.clone()
    pulled(grammar.from_free, turned, scores)
    assert torch.equal(turned, before)


@some_seeds
def test_vmap_and_jacobians_are_those_of_each_event(seed):
    grammar, wanted, scores = case(seed)
    batched = scores.reshape(2, 3, *grammar.shape)
    for f in answers(grammar, "project", "from_free", "marginals", "log_probability"):
        assert torch.equal(torch.vmap(f)(batched).flatten(0, 1), f(scores)), f
        moved = torch.vmap(f, in_dims=1)(scores.movedim(0, 1))
        near(moved, f(scores), atol=1e-12)
    jacobian = torch.func.jacrev(grammar.marginals)(scores[0])
    near(torch.func.jacrev(grammar.from_free)(scores[0]), jacobian)
    near(jacobian, torch.func.jacrev(wanted.marginals)(scores[0]))
    each = torch.vmap(torch.func.grad(grammar.penalty))(scores)
    near(each, pulled(lambda x: grammar.penalty(x)[:, None, None], scores, torch.ones(6, 1, 1)))


def test_drawing_under_vmap_gives_legal_words_which_differ():
    grammar, wanted, _ = case(RICH)
    scores = torch.zeros(50, 3, *grammar.shape, dtype=DOUBLE)
    drawn = torch.vmap(grammar.draw, randomness="different")(scores)
    assert drawn.shape == scores.shape
    frequencies(drawn.flatten(0, 1), wanted.words)
    assert len(drawn.flatten(0, 1).unique(dim=0)) > 3
    same = torch.vmap(grammar.draw, randomness="same")(scores)
    assert torch.equal(same, same[:1].expand_as(same))


def test_marginals_have_one_derivative():
    grammar = sk.Grammar.from_words(["ab", "ba"])
    scores = normal(2, 2).requires_grad_()
    (slope,) = torch.autograd.grad(grammar.marginals(scores)[0, 0], scores, create_graph=True)
    with pytest.raises(NotImplementedError, match="one derivative, not two"):
        slope.sum().backward()


def test_draws_follow_the_generator():
    grammar, _, scores = case(RICH, events=100)
    drawn = [grammar.draw(scores, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    torch.manual_seed(3)
    first = grammar.draw(scores)
    torch.manual_seed(3)
    assert torch.equal(grammar.draw(scores), first)


# Errors


def test_infinite_scores_are_refused_with_how_many():
    grammar = sk.Grammar("a|b", length=1)
    scores = torch.zeros(2, 3, 1, 2)
    scores[0, 1] = torch.inf
    scores[1, 1, 0, 1] = torch.inf
    for f in (grammar.project, grammar.from_free, grammar.penalty, grammar.marginals, grammar.draw):
        with pytest.raises(ConstraintError, match=r"finite scores, got inf in 2 of 6 events"):
            f(scores)
    scores[0, 0] = torch.nan
    with pytest.raises(ConstraintError, match=r"got nan in 3 of 6 events.*smaller learning rate"):
        grammar.project(scores)
    with pytest.raises(ConstraintError, match=r"got -inf in 1 of 1 events"):
        grammar.penalty(torch.tensor([[0.0, -torch.inf]]))


@pytest.mark.parametrize("shape", [(4, 2, 3), (3,), (2, 4, 3), (4, 4)])
def test_wrong_shapes_are_refused(shape):
    grammar = sk.Grammar.from_words(["abcd"], alphabet="abcde")
    words = re.escape(f"last axes are (4, 5), the slots and symbols of the grammar, got {shape}")
    for call in (grammar.check, grammar.sample):
        with pytest.raises(ConstraintError, match=words):
            call(shape)
    with pytest.raises(ConstraintError, match=words):
        grammar.decode(torch.zeros(shape))


@pytest.mark.parametrize("name", [
    "project", "from_free", "penalty", "log_probability", "marginals", "draw", "violation",
])  # fmt: skip
def test_scores_of_a_wrong_shape_are_refused_by_all(name):
    grammar = sk.Grammar.from_words(["abcd"], alphabet="abcde")
    with pytest.raises(ConstraintError, match=r"last axes are \(4, 5\).*got \(2, 4, 3\)"):
        getattr(grammar, name)(torch.zeros(2, 4, 3))


def test_words_that_do_not_fit_are_refused():
    exact, short = sk.Grammar("ab|ba", length=2), sk.Grammar("(ab)*", length=4, up_to=True)
    with pytest.raises(ConstraintError, match=r"Wanted words of 2 symbols, got 'a b a'"):
        exact.encode(["ab", "aba"])
    with pytest.raises(ConstraintError, match=r"Wanted words of 2 symbols, got 'a'"):
        exact.encode(["a"])
    with pytest.raises(ConstraintError, match=r"at most 4 symbols, got 'a b a b a'"):
        short.encode(["ababa"])
    with pytest.raises(ConstraintError, match=r"alphabet \['a', 'b'\], got 'c' and 1 more; add it"):
        exact.encode(["cd"])
    assert exact.encode([]).shape == (0, 2, 2)


@pytest.mark.parametrize("length", [0, -1, 2.0, None, True])
def test_lengths_are_whole_numbers_of_slots(length):
    with pytest.raises(ConstraintError, match=f"at least 1 slot, got {length}"):
        sk.Grammar("a", length=length)


MAKERS = {
    "pattern": lambda **more: sk.Grammar("ab", length=2, **more),
    "table": lambda **more: sk.Grammar.from_table(
        {(0, "a"): 1, (1, "b"): 2}, start=0, ends=2, length=2, **more
    ),
    "words": lambda words=("ab",), **more: sk.Grammar.from_words(words, **more),
    "rules": lambda **more: sk.Grammar.from_rules({"S": ["a b"]}, length=2, **more),
}
makers = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@makers
def test_alphabets_name_each_symbol_once_and_all_that_occur(make):
    with pytest.raises(ConstraintError, match=r"each symbol once in the alphabet, got 'a' twice"):
        make(alphabet=["a", "b", "a"])
    with pytest.raises(ConstraintError, match=r"symbols of the alphabet \['a'\], got 'b'.*add it"):
        make(alphabet=["a"])
    with pytest.raises(ConstraintError, match="words without blanks, got ''"):
        make(alphabet=["a", "b", ""])
    more = make(alphabet=["b", "c", "a"])
    assert more.symbols == ("b", "c", "a")
    assert more.count == 1


@pytest.mark.parametrize("alphabet", [["a", "b", "·"]])
@makers
def test_the_sign_for_padding_is_no_symbol_of_padded_words(make, alphabet):
    assert make(alphabet=alphabet).symbols == ("a", "b", "·")
    padded = {"words": ["ab", "a"]} if make is MAKERS["words"] else {"up_to": True}
    with pytest.raises(ConstraintError, match="“·” stands for padding; wanted another symbol"):
        make(alphabet=alphabet, **padded)


# Words of whole words


def test_symbols_may_be_whole_words():
    grammar = sk.Grammar("(the|a) dog+", length=4, up_to=True)
    assert grammar.symbols == ("a", "dog", "the", "·")
    said = ["the dog", "a dog dog"]
    assert grammar.decode(grammar.encode(said)) == [tuple(word.split()) for word in said]
    assert grammar.violation(grammar.encode(["dog", "dog the dog"])).tolist() == [2, 2]


def test_texts_of_one_list_are_all_read_alike():
    grammar = sk.Grammar.from_words(["the dog", "dogs"])
    assert set(grammar.examples(9)) == {("the", "dog"), ("dogs",)}
    assert grammar.decode(grammar.encode(["dogs"])) == [("dogs",)]
    assert sk.Grammar.from_words(["ab", "a"]).examples(9) == [("a", "b"), ("a",)]
    assert sk.Grammar.from_words([("child", "pl"), "ab"]).count == 2


def test_examples_are_different_words_of_the_language():
    grammar = sk.Grammar("(a|b){6}", length=6)
    draw = torch.Generator().manual_seed(0)
    words = grammar.examples(40, draw)
    assert len(set(words)) == 40
    assert all(re.fullmatch("[ab]{6}", "".join(word)) for word in words)
    assert grammar.examples(40, torch.Generator().manual_seed(0)) == words
    assert len(grammar.examples(64)) == len(grammar.examples(1000)) == 64


# As a value

VALUES = {
    "pattern": sk.Grammar("(ab)*c", length=5, up_to=True),
    "pattern with an alphabet": sk.Grammar("(ab)*c", length=5, alphabet="cba"),
    "pattern of words": sk.Grammar("(the|a) dog+", length=3),
    "pattern of words by its alphabet": sk.Grammar("dog", length=1, alphabet=["dog", "cat"]),
    "table": sk.Grammar.from_table(
        {("in", "a"): "out", ("out", "b"): "in"}, start="in", ends=["in", "out"], length=3
    ),
    "table with an alphabet": sk.Grammar.from_table(
        [(0, "a", 0), (0, "b", 1), (1, "a", 1)], start=0, ends=1, length=4, up_to=True,
        alphabet="bca",
    ),
    "words": sk.Grammar.from_words(["ab", "ba", "a"]),
    "words of words": sk.Grammar.from_words([("child", "pl"), ("dog", "sg")], alphabet=[
        "sg", "pl", "dog", "child",
    ]),
    "rules": sk.Grammar.from_rules({"S": ["( S )", "S S", "( )"]}, length=6),
    "rules from another start": sk.Grammar.from_rules(
        {"A": ["x"], "S": ["A S", "y", ""]}, length=4, start="S", up_to=True, alphabet="yx"
    ),
}  # fmt: skip
values = pytest.mark.parametrize("grammar", VALUES.values(), ids=VALUES)


@values
def test_copies_are_equal_and_say_the_same_words(grammar):
    plain = json.loads(json.dumps(grammar.to_json()))
    called = eval(repr(grammar), {"Grammar": sk.Grammar})
    read: Any = Constraint.from_json(plain)
    for same in (
        read,
        pickle.loads(pickle.dumps(grammar)),
        copy.copy(grammar),
        copy.deepcopy(grammar),
        called,
    ):
        assert same == grammar
        assert hash(same) == hash(grammar)
        assert repr(same) == repr(grammar)
        assert same.symbols == grammar.symbols
        assert same.shape == grammar.shape
        assert same.examples(100) == grammar.examples(100)


def test_what_differs_is_not_equal():
    others = [
        sk.Grammar("(ab)*c", length=5),
        sk.Grammar("(ab)*c", length=7, up_to=True),
        sk.Grammar("(ab)+c", length=5, up_to=True),
        sk.Grammar("(ab)*c", length=5, up_to=True, alphabet="bac"),
    ]
    assert len({VALUES["pattern"], *others}) == 5
    assert VALUES["pattern"] == sk.Grammar("(ab)*c", length=5, up_to=True, alphabet="abc")
    assert sk.Grammar.from_words(["b", "a", "a"]) == sk.Grammar.from_words(["a", "b"])


def test_nothing_of_a_value_can_be_changed():
    with pytest.raises(AttributeError, match="cannot assign"):
        VALUES["pattern"].length = 4  # type: ignore[misc]


def test_a_long_call_is_shown_as_a_digest():
    words = ["".join(word) for word in np.random.default_rng(0).choice(list("abc"), (200, 8))]
    shown = repr(sk.Grammar.from_words(words))
    assert shown == f"Grammar.from_words(‹{len(set(words))} words, 8×3›)"


def test_copies_leave_what_was_worked_out_behind():
    grammar = sk.Grammar(".{20}", length=20, alphabet="abcdefgh")
    grammar.project(torch.zeros(grammar.shape))
    assert len(pickle.dumps(grammar)) < 1000


def test_it_answers_as_every_constraint():
    grammar = VALUES["words"]
    x = grammar.encode(["ab", "bb"])
    equal, at_most = grammar.residual(x)
    assert equal.tolist() == [[0], [1]]
    assert at_most.shape == (2, 0)
    assert not grammar.graded
    assert not grammar.separable
    assert grammar.event_dims == 2
    assert torch.equal(grammar.to_free(x), x)
    assert torch.equal(grammar.project(grammar.to_free(x[:1])), x[:1])
