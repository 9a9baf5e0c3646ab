"""What loses a constraint in a hand-written loop does not lose it under `hold`, or says so.

In every test the hand-written version is measured too, and must leak: a trap that no longer exists
would fail here. What other libraries do stands in the table of `benchmarks/bench_traps.py`.
"""

import pytest
import torch
import traps
from torch import nn
from traps import KINDS, OURS, SPHERES

import shapekeeper as sk

SMALL = 1e-6  # rounding of a length in single precision
LEAK = 5e-3  # what counts as a leak

ours = pytest.mark.parametrize("way", OURS.values(), ids=list(OURS))
on_spheres = pytest.mark.parametrize(
    "way", [traps.SphereKeeper, traps.SphereChartKeeper], ids=list(OURS)
)
kinds = pytest.mark.parametrize("kind", KINDS)


@ours
@kinds
class TestOnMasks:
    def test_1_zeroed_weights_come_back(self, way, kind):
        assert traps.from_the_start(traps.Way, kind) > LEAK
        assert traps.from_the_start(traps.GradientHook, kind) == 0  # while nothing came before
        assert traps.from_the_start(way, kind) == 0

    def test_2_momentum_outlives_a_gradient_hook(self, way, kind):
        assert traps.late(traps.GradientHook, kind) > LEAK
        assert traps.late(way, kind) == 0

    def test_3_presets_decay(self, way, kind):
        assert traps.presets(traps.GradientHook, kind) > LEAK
        assert traps.presets(way, kind) == 0

    def test_4_a_copy_has_no_gradient_hook(self, way, kind):
        assert traps.deepcopied(traps.GradientHook, kind) > LEAK
        assert traps.deepcopied(way, kind) == 0

    def test_5_a_frozen_weight_goes_on_with_gradients_of_zero(self, way, kind):
        assert traps.frozen(traps.GradientHook, kind) > LEAK
        assert traps.frozen(way, kind) == 0

    def test_5_a_frozen_weight_takes_the_gradient_that_is_left(self, way, kind):
        assert traps.frozen_after_backward(traps.GradientHook, kind) > LEAK
        assert traps.frozen_after_backward(way, kind) == 0

    def test_6_rows_that_ask_for_no_gradient_are_moved(self, way, kind):
        assert traps.rows(traps.RowsOff, kind) > LEAK
        assert traps.rows(way, kind) == 0

    def test_8_a_rebuilt_optimizer_has_no_step_hook(self, way, kind):
        assert traps.from_the_start(traps.StepHook, kind) == 0
        assert traps.rebuilt_optimizer(traps.StepHook, kind) > LEAK
        assert traps.rebuilt_optimizer(way, kind) == 0

    def test_9_init_is_ignored_or_leaks(self, way, kind):
        assert traps.init_leaks(traps.GradientHook, kind) == 0.5
        assert traps.init_moves(traps.Parametrize, kind) == 0
        written = traps.initialized(way, kind).matrix()
        assert torch.equal(written, 0.5 * traps.OPEN)

    def test_10_an_optimizer_from_before_moves_the_weight(self, way, kind):
        assert traps.early_optimizer(traps.WeightNorm, kind) == 0
        assert traps.early_optimizer(way, kind) > LEAK

    def test_reading_the_weight_after_a_step_is_reading_what_is_used(self, way, kind):
        assert traps.stale(traps.Prune, kind) > 1e-4
        assert traps.stale(way, kind) == 0

    def test_resume(self, way, kind):
        assert traps.resumed(way, kind) == 0

    def test_saved_whole(self, way, kind):
        assert traps.pickled(traps.GradientHook, kind) > LEAK
        assert traps.pickled(way, kind) == 0

    def test_autocast(self, way, kind):
        assert traps.autocast(traps.GradientHook, kind) == 0
        assert traps.autocast(way, kind) == 0


@kinds
def test_7_a_frozen_batch_norm_moves_its_running_mean(kind):
    assert traps.running_mean(traps.FrozenNorm, kind) > LEAK
    assert traps.running_mean(traps.FrozenNormKeeper, kind) == 0


def test_7_report_says_that_the_running_mean_moves():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    held = sk.hold(net, {"1.weight": sk.Connections(torch.ones(4))}, sk.Freeze())
    net(torch.randn(8, 4))
    assert net[1].running_mean.any()
    assert "1.weight: running statistics are buffers and move on in training mode" in str(
        held.report()
    )


@pytest.mark.parametrize("kind", ["Adam", "SGD"])
def test_10_momentum_of_other_coordinates_is_refused(kind):
    session = traps.ReparametrizationKeeper(kind)
    session.train(traps.DENSE)
    sk.hold(session.net, {"layer.weight": session.constraint()}, session.strategy)
    with pytest.raises(sk.HoldError, match=r"remembers steps of 'layer.weight' from before"):
        session.step()


@on_spheres
class TestOnSpheres:
    @kinds
    def test_10_an_optimizer_from_before_moves_the_weight(self, way, kind):
        assert traps.early_optimizer(traps.WeightNorm, kind) == 0
        assert traps.early_optimizer(way, kind) > LEAK

    @kinds
    def test_2_momentum_from_before(self, way, kind):
        assert traps.late(traps.NormalizeOnce, kind) > LEAK
        assert traps.late(way, kind) < SMALL

    def test_11_adam_stays_on_the_manifold(self, way):
        assert traps.from_the_start(traps.NormalizeOnce, "torch.optim.Adam") > LEAK
        assert traps.wrong_optimizer(way, "torch.optim.Adam") < SMALL

    def test_11_adam_rests_at_the_best_point(self, way):
        assert traps.excess(traps.Normalize, "no decay") > 0.3  # on the sphere, at the wrong place
        assert abs(traps.excess(way, "no decay")) < 1e-3

    def test_13_default_adamw_leaves_a_matrix(self, way):
        if torch.__version__.startswith("2.13"):  # a bug of its own, which may go
            assert traps.one_step_of_adamw(traps.TallTorchOrthogonal, "Adam") == 0
        tall = type("Tall", (traps.Tall, way), {})
        assert traps.one_step_of_adamw(tall, "Adam") == pytest.approx(1, abs=SMALL)


def test_11_adagrad_is_refused_where_it_would_rest_at_the_wrong_point():
    assert traps.wrong_optimizer(traps.Normalize, "torch.optim.Adagrad") < SMALL  # and is wrong
    with pytest.raises(sk.HoldError, match=r"Adagrad rescales each number by itself, and Sphere"):
        traps.SphereKeeper("torch.optim.Adagrad").hold()
    assert traps.wrong_optimizer(traps.SphereChartKeeper, "torch.optim.Adagrad") < SMALL


def test_11_adagrad_is_refused_at_its_first_step_if_hold_did_not_see_it():
    session = traps.SphereKeeper("no decay").hold()
    session.optimizer = traps.OPTIMIZERS["torch.optim.Adagrad"](session.net.parameters())
    before = session.matrix()
    with pytest.raises(sk.HoldError, match=r"Adagrad rescales each number by itself, and Sphere"):
        session.step()
    assert torch.equal(session.matrix(), before)


def test_12_decay_pulls_a_charted_weight_to_its_start_and_report_says_so():
    assert traps.left_by_decay(traps.TorchOrthogonal, "no decay") < 0.1  # nobody says so there
    assert traps.left_by_decay(traps.SphereChartKeeper, "no decay") < 0.1
    session = traps.SphereChartKeeper("Adam").hold()
    session.step()
    assert session.says().startswith("0.01: pulls")
    assert session.says().endswith("to its starting point")


def test_12_decay_leaves_the_direction_of_a_projected_weight():
    assert traps.left_by_decay(traps.SphereKeeper, "no decay") == pytest.approx(1, abs=1e-3)
    session = traps.SphereKeeper("Adam").hold()
    session.step()
    assert "starting point" not in session.says()


@pytest.mark.parametrize(
    "c", [sk.Connections(traps.OPEN), sk.Box(-1.0, 1.0)], ids=["Connections", "Box"]
)
def test_13_no_chart_dies_of_the_default_decay(c):
    session = traps.ReparametrizationKeeper("Adam")
    session.keep(c, sk.Reparametrization())
    before = session.matrix()
    session.optimizer = torch.optim.AdamW(session.net.parameters())
    session.step()
    assert session.matrix().norm() / before.norm() == pytest.approx(1, abs=0.05)


@ours
def test_state_dict_is_that_of_a_plain_network(way):
    assert traps.loaded_plain(way, "Adam") == 0
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict"):
        traps.loaded_plain(traps.Parametrize, "Adam")


@ours
def test_compiled_as_one_graph(way):
    assert traps.compiled(way, "Adam") == 0


@ours
def test_distributed(way):
    assert traps.distributed(way, "Adam") == 0


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # at import of geoopt
@pytest.mark.parametrize("way", [w for w in SPHERES.values() if w.needs], ids=lambda w: w.__name__)
def test_peers_keep_the_sphere_with_optimizers_of_their_own(way):
    if not traps.installed(way):
        pytest.skip(f"{way.needs} is not installed")
    assert traps.from_the_start(way, "no decay") < SMALL
    assert traps.excess(way, "no decay") < 0.05
