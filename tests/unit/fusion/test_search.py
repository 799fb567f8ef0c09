import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from eagleray.errors import ConfigError, TrainingDiverged
from eagleray.fusion import search
from eagleray.fusion.genotype import Cell, Cells, Genotype, Node
from eagleray.fusion.network import FusionModule, SearchModule
from eagleray.fusion.reconstruction import tap_channels
from eagleray.fusion.search import (
    CandidateSearch,
    DartsSearch,
    SearchConfig,
    SearchData,
    candidate_gflop,
    derive,
    softmaxed,
    train_candidate,
)
from eagleray.fusion.space import Space
from eagleray.fusion.taps import TapSet
from tests.unit.fusion.conftest import TINY, choose, same_bits, undisturbed_and_resumed

EARLY = Space(stages=("early",), nodes=1)
CONFIG = SearchConfig(epochs=3, batch_size=4, warmup=0, candidate_epochs=2, population=2, weight_rate=0.01)


def taps(feature, count, seed):
    """Noise, but for one feature that shows where half of the pictures have a square anomaly."""
    random = np.random.default_rng(seed)
    target_NHW = np.zeros((count, 4, 4))
    for number in range(0, count, 2):
        row, column = random.integers(0, 3, 2)
        target_NHW[number, row : row + 2, column : column + 2] = 1
    sizes = tap_channels("color", TINY.width) | tap_channels("depth", TINY.width)
    found = {name: random.normal(size=(count, channels, 4, 4)) for name, channels in sizes.items()}
    found[feature] = 0.3 * found[feature] + 3 * target_NHW[:, None]
    return TapSet({name: maps.astype(np.float16) for name, maps in found.items()}, target_NHW.astype(np.float16))


def data(feature="color.early.0", count=8):
    return SearchData(train=taps(feature, count, 1), validation=taps(feature, count, 2))


def darts(space=EARLY, given=None, config=CONFIG, alpha_rate=0.01, seed=0):
    return DartsSearch(space, given or data(), TINY, config, alpha_rate=alpha_rate, seed=seed)


def candidates(method="random", *, gflop=math.inf, given=None, config=CONFIG, space=EARLY, seed=0):
    return CandidateSearch(method, space, given or data(), TINY, config, seed=seed, gflop=gflop)


def finished(run):
    told = []
    while not run.done:
        told.append(run.run_step())
    return told


def one_cost():
    """Of each candidate of one operation; others cost others."""
    return candidate_gflop(EARLY.sample(np.random.default_rng(0)), data(), TINY, CONFIG)


@pytest.fixture
def scripted(monkeypatch):
    """Candidates cost 1 each and have these merits in turn; what mutations start from is kept."""
    parents = []

    def script(*merits):
        left, mutate = list(merits), Space.mutate
        monkeypatch.setattr(search, "train_candidate", lambda *_, **__: left.pop(0))
        monkeypatch.setattr(search, "candidate_gflop", lambda *_: 1.0)
        monkeypatch.setattr(Space, "mutate", lambda *given: parents.append(given[1]) or mutate(*given))
        return parents

    return script


@pytest.mark.parametrize("space", [Space(), Space(stages=("middle", "late"), nodes=3), Space(modalities=("color",))])
def test_weights_without_doubt_derive_their_architecture(space):
    module = SearchModule(space, TINY)
    for seed in range(5):
        genotype = space.sample(np.random.default_rng(seed))
        choose(module, genotype, certainty=3.0)
        assert derive(module) == genotype
        space.check(derive(module), "derived")


def test_two_features_are_the_pair_of_different_ones_with_the_largest_product():
    module, random = SearchModule(EARLY, TINY), np.random.default_rng(0)
    pool, weights = EARLY.pool("early"), module.weights()["early"]["features"]
    taken_twice = 0
    for _ in range(50):
        shares = random.dirichlet(np.full(4, 0.5), size=2)
        with torch.no_grad():
            weights.copy_(torch.from_numpy(np.log(shares)))
        products = {
            (pool[one], pool[other]): shares[0][one] * shares[1][other]
            for one, other in itertools.product(range(4), repeat=2)
            if one != other
        }
        assert derive(module).cells.early.features == max(products, key=products.get)
        taken_twice += shares[0].argmax() == shares[1].argmax()
    assert taken_twice > 5  # where the largest of each row alone would be one feature twice


def test_inputs_are_chosen_like_features_and_operations_by_their_largest_weight():
    module = SearchModule(Space(stages=("early",), nodes=2), TINY)
    weights = module.weights()["early"]
    with torch.no_grad():
        weights["inputs.0"].copy_(torch.tensor([[0.0, 1.0], [0.0, 0.1]]))
        weights["inputs.1"].copy_(torch.tensor([[0.0, 2.0, 0.0], [0.5, 2.5, 1.0]]))
        weights["ops"].copy_(torch.tensor([[0.0, 0.2, 0.1, -1.0], [0.0, 0.2, 0.1, 9.0]]))
    # both of the second node prefer input 1; the products go by e ** (0 + 2.5), e ** (2 + 0.5) and e ** (2 + 1)
    assert derive(module).cells.early.nodes == (Node("concat", (1, 0)), Node("attention", (1, 2)))


def test_shares_are_the_softmax_of_every_group_of_weights():
    module = SearchModule(Space(), TINY)
    choose(module, Space().sample(np.random.default_rng(0)), certainty=2.0)
    found = softmaxed(module)
    groups = ("features", "inputs.0", "inputs.1", "ops")
    assert list(found) == [f"{stage}.{group}" for stage in ("early", "middle", "late") for group in groups]
    for name, rows in found.items():
        stage, group = name.split(".", 1)
        exponents = np.exp(module.weights()[stage][group].detach().numpy().astype(float))
        np.testing.assert_allclose(rows, exponents / exponents.sum(axis=1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("feature", EARLY.pool("early"))
def test_darts_finds_the_one_feature_that_shows_the_anomalies(feature):
    config = SearchConfig(epochs=8, batch_size=8, warmup=0, weight_rate=0.01, patience=10, candidate_epochs=12)
    last = finished(darts(given=data(feature, 24), config=config, alpha_rate=0.2))[-1]
    place = EARLY.pool("early").index(feature)
    for row in last.alphas["early.features"]:
        assert row[place] == max(row)
        assert row[place] > 0.28
    assert feature in last.genotype.cells.early.features
    assert last.best_merit > 0.9


def test_darts_leaves_the_weights_of_the_architecture_to_validation_and_the_others_to_train():
    run = darts()
    module = run._module
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    alphas = {name for name in before if name.startswith("alphas.")}
    learned = {name for name, _ in module.named_parameters()} - alphas
    run._learn_weights(np.random.default_rng(0))
    after = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert all(torch.equal(before[name], after[name]) for name in alphas)
    assert sum(not torch.equal(before[name], after[name]) for name in learned) > len(learned) // 2
    run._learn_architecture(np.random.default_rng(0))
    assert all(torch.equal(after[name], dict(module.named_parameters())[name]) for name in learned)
    assert all(not torch.equal(after[name], module.state_dict()[name]) for name in alphas)


def test_darts_reports_each_epoch_and_ends_after_the_last():
    run = darts(config=dataclasses.replace(CONFIG, patience=100))
    told = finished(run)
    assert [one.step for one in told] == [1, 2, 3]
    assert not run.settled
    assert told[0].changed
    best = max(told, key=lambda one: one.merit)
    assert (told[-1].best, told[-1].best_merit) == (best.genotype, best.merit)
    for one, other in itertools.pairwise(told):
        assert other.changed == (other.genotype != one.genotype)
        assert other.best_merit >= one.best_merit
    assert told[-1].alphas != told[0].alphas


def test_darts_has_settled_when_the_architecture_has_not_changed_for_the_patience(monkeypatch):
    one, other = (EARLY.sample(np.random.default_rng(seed)) for seed in (0, 1))
    assert one != other
    sequence = iter([one, one, other, other, one, one, one])
    monkeypatch.setattr(search, "derive", lambda module: next(sequence))
    run = darts(config=dataclasses.replace(CONFIG, epochs=50, patience=2))
    told = finished(run)
    assert [step.changed for step in told] == [True, False, True, False, True, False, False]
    assert run.settled


def test_darts_that_was_stopped_ends_with_the_same_bits():
    space = Space(stages=("early", "late"))
    (whole, told), (resumed, again) = undisturbed_and_resumed(lambda: darts(space), lambda run: run.run_step(), stop=2)
    assert told == again
    assert same_bits(whole.state(), resumed.state())


@pytest.mark.parametrize("method", ["random", "evolution"])
def test_candidates_that_were_stopped_end_with_the_same_bits(method):
    def make():
        return candidates(method, gflop=5.5 * one_cost())

    (whole, told), (resumed, again) = undisturbed_and_resumed(make, lambda run: run.run_step(), stop=3)
    assert told == again
    assert whole.state() == resumed.state()


def test_darts_is_judged_by_its_derived_architectures_each_trained_once_and_counts_what_that_costs(monkeypatch):
    one, other = (EARLY.sample(np.random.default_rng(seed)) for seed in (0, 1))
    sequence = iter([one, other, one])
    monkeypatch.setattr(search, "derive", lambda module: next(sequence))
    run = darts(config=dataclasses.replace(CONFIG, patience=100))
    told = finished(run)
    expected = [train_candidate(genotype, data(), TINY, CONFIG, seed=0) for genotype in (one, other, one)]
    assert [step.merit for step in told] == expected
    costs = [candidate_gflop(genotype, data(), TINY, CONFIG) for genotype in (one, other)]
    epoch = (2 + 2) * run._gflop_step  # batches of train and of validation
    assert np.diff([0, *(step.gflop for step in told)]) == pytest.approx([epoch + costs[0], epoch + costs[1], epoch])


def test_the_architecture_waits_until_the_weights_are_warm():
    told = finished(darts(config=dataclasses.replace(CONFIG, epochs=5, warmup=3, patience=1)))
    assert told[0].alphas == told[1].alphas == told[2].alphas
    assert told[3].alphas != told[2].alphas
    assert len(told) >= 4  # nothing settles before


def test_operations_are_those_of_training_the_same_on_each_run():
    genotype = EARLY.sample(np.random.default_rng(3))
    gflop = candidate_gflop(genotype, data(), TINY, CONFIG)
    given, target_NHW = data().train.batch(np.arange(4))
    with FlopCounterMode(display=False) as counter:
        (FusionModule(genotype, TINY)(given) - target_NHW).square().sum().backward()
    steps = 2 * 2  # epochs of batches
    assert gflop == steps * counter.get_total_flops() / 1e9 > 0
    assert candidate_gflop(genotype, data(), TINY, CONFIG) == gflop
    assert [one.gflop for one in finished(darts())] == [one.gflop for one in finished(darts())]


@pytest.mark.parametrize("method", ["random", "evolution"])
@pytest.mark.parametrize(("budget", "tried"), [(3.5, 3), (3.0, 3), (0.5, 1)])
def test_candidates_stay_within_their_budget_but_one_is_always_tried(scripted, method, budget, tried):
    scripted(*np.linspace(0.5, 0.9, 10))
    told = finished(candidates(method, gflop=budget))
    assert [one.step for one in told] == list(range(1, tried + 1))
    assert told[-1].gflop == tried


def test_candidates_of_real_cost_stay_within_their_budget():
    run = candidates(gflop=4.5 * one_cost(), space=Space())
    told = finished(run)
    assert told[-1].gflop <= 4.5 * one_cost()
    costs = np.diff([0, *(one.gflop for one in told)])
    assert (costs > 0).all()


def test_random_search_tries_samples_and_keeps_the_best(scripted):
    scripted(0.5, 0.8, 0.6, 0.7)
    told = finished(candidates(gflop=4))
    expected = [EARLY.sample(np.random.default_rng((0, number))) for number in range(4)]
    assert [one.genotype for one in told] == expected
    assert [one.best_merit for one in told] == [0.5, 0.8, 0.8, 0.8]
    assert told[-1].best == expected[1]


def test_evolution_starts_with_samples_then_mutates_the_best_of_the_living(scripted):
    parents = scripted(0.5, 0.9, 0.6, 0.7, 0.1, 0.2)
    told = finished(candidates("evolution", gflop=6))  # a population of two, of which both compete
    tried = [one.genotype for one in told]
    assert tried[:2] == [EARLY.sample(np.random.default_rng((0, number))) for number in range(2)]
    # the living are 0 1, then 1 2, 2 3, 3 4 and 4 5: the best ever, 1, dies of age; the last one drawn is not tried
    assert parents == [tried[1], tried[1], tried[3], tried[3], tried[5]]
    assert told[-1].best == tried[1]


def test_a_third_of_the_living_compete_in_evolution(scripted):
    parents = scripted(*np.linspace(0.9, 0.1, 9))
    run = candidates("evolution", gflop=math.inf, config=dataclasses.replace(CONFIG, population=9), space=Space())
    for _ in range(9):
        tried = run.run_step().genotype
    parents.clear()
    for seed in range(200):
        run._candidate(np.random.default_rng(seed))
    living = [Genotype.from_json(one, "state") for one, _ in run.state()["tried"]]
    assert living[-1] == tried
    times = [parents.count(one) for one in living]
    assert len(parents) == 200
    assert times[-2:] == [0, 0]  # two better ones compete with each
    assert times[0] == pytest.approx(200 / 3, abs=25)  # the best wins whenever it is drawn


def test_a_candidate_that_sees_the_anomalies_has_more_merit_than_one_that_does_not():
    config = SearchConfig(batch_size=8, candidate_epochs=6, weight_rate=0.03)
    given = data("depth.early.0", 32)
    seeing, blind = (
        Genotype(Cells(early=Cell(features, (Node("concat", (0, 1)),))))
        for features in (("depth.early.0", "color.early.0"), ("depth.early.1", "color.early.0"))
    )
    merits = [train_candidate(one, given, TINY, config, seed=0) for one in (seeing, blind)]
    assert merits[0] > 0.9
    assert merits[1] < 0.75


def spoilt(part):
    given = data()
    maps = {name: np.full_like(one, np.nan) for name, one in getattr(given, part).taps.items()}
    return dataclasses.replace(given, **{part: TapSet(maps, getattr(given, part).target_NHW)})


def test_taps_that_hold_no_number_stop_a_search():
    with pytest.raises(TrainingDiverged, match="the loss of the search is not finite at step 1 "):
        darts(given=spoilt("train")).run_step()
    with pytest.raises(TrainingDiverged, match="the loss of the search is not finite at step 2 "):
        darts(given=spoilt("validation")).run_step()
    with pytest.raises(TrainingDiverged, match="the loss of a candidate is not finite at step 1 "):
        candidates(given=spoilt("train")).run_step()


def test_a_rate_beyond_all_measure_stops_a_search():
    with pytest.raises(TrainingDiverged, match="the loss of the search is not finite"):
        darts(config=dataclasses.replace(CONFIG, weight_rate=1e36, batch_size=8)).run_step()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("weight_rate", 0.0),
        ("weight_rate", math.inf),
        ("alpha_decay", -1.0),
        ("patience", 0),
        ("candidate_epochs", 0),
        ("population", 1),
    ],
)
def test_a_wrong_setting_is_named_by_its_flag(field, value):
    with pytest.raises(ConfigError, match=f"--search.{field.replace('_', '-')} must be"):
        SearchConfig(**{field: value})
