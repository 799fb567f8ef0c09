import dataclasses
import pickle

import numpy as np
import pytest
import torch

from eagleray.adnas import Material, ReconstructSpec, SearchSpec, TrainSpec, score_test
from eagleray.adnas.trials import ReconstructRun, SearchRun, TrainRun
from eagleray.data import RgbdCategory, RgbdSample, Sample
from eagleray.errors import TrainingDiverged
from eagleray.fusion.genotype import Cell, Cells, Genotype, Node
from eagleray.fusion.images import RgbdImages
from eagleray.fusion.network import FusionNetwork
from eagleray.fusion.search import CandidateSearch, DartsSearch, candidate_gflop
from eagleray.fusion.taps import TapSet
from eagleray.fusion.training import patch_scores
from eagleray.trials import LocalRunner, Outcome
from tests.unit.adnas.conftest import tiny_material
from tests.unit.fusion.conftest import BOTH, SIDE, TINY, bowls, same_bits, through_a_file, undisturbed_and_resumed

DEPTH = Genotype(Cells(early=Cell(("depth.early.0", "depth.early.1"), (Node("add", (0, 1)),))))
SPECS = {
    "reconstruct": ReconstructSpec(modality="depth", seed=3),
    "darts": SearchSpec(name="ours", method="darts", stages=("early",), alpha_rate=0.01, seed=3),
    "random": SearchSpec(name="random", method="random", stages=("early",), seed=3),
    "evolution": SearchSpec(name="evolution", method="evolution", seed=3),
    "train": TrainSpec(name="best", genotype=BOTH, seed=3),
}


@pytest.fixture(scope="session")
def budgeted(material):
    """A budget of some four candidates of one cell."""
    first = SPECS["random"].space.sample(np.random.default_rng((3, 0)))
    gflop = candidate_gflop(first, material.taps, TINY, material.search)
    return dataclasses.replace(material, budget=4.5 * gflop)


def timeless(state):
    return {name: value for name, value in state.items() if name != "seconds"}


def steps_of(run, count=100):
    told = []
    while not run.done and len(told) < count:
        told.append(run.step())
    return told


@pytest.mark.parametrize("kind", SPECS)
def test_a_trial_that_was_stopped_ends_as_the_local_runner_ends_it(budgeted, kind):
    spec = SPECS[kind]
    (whole, told), (resumed, again) = undisturbed_and_resumed(
        lambda: budgeted.begin(spec), lambda run: run.step(), stop=1
    )
    assert told == again
    assert same_bits(timeless(whole.state()), timeless(resumed.state()))
    (outcome,) = LocalRunner().run("one", [spec], budgeted)
    assert outcome.spec is spec
    assert outcome.stopped is None
    assert same_bits(timeless(outcome.state), timeless(whole.state()))


def test_a_trial_is_what_its_specification_says(material):
    runs = [material.begin(spec) for spec in SPECS.values()]
    assert [type(run) for run in runs] == [ReconstructRun, SearchRun, SearchRun, SearchRun, TrainRun]
    assert [type(run._search) for run in runs[1:4]] == [DartsSearch, CandidateSearch, CandidateSearch]


def test_outcomes_come_in_the_order_of_their_specifications(material):
    specs = [TrainSpec(name=f"{seed}", genotype=DEPTH, seed=seed) for seed in (2, 0, 1)]
    outcomes = LocalRunner().run("three", specs, material)
    assert [outcome.spec for outcome in outcomes] == specs
    weights = [outcome.state["training"]["network"] for outcome in outcomes]
    assert not same_bits(weights[0], weights[1])
    alone = LocalRunner().run("one", specs[1:2], material)[0]
    assert same_bits(timeless(alone.state), timeless(outcomes[1].state))


def test_functions_are_called_on_each_item_in_order_on_one_thread(material):
    found = LocalRunner().map(lambda item, given: (item * 2, given is material), [3, 1, 2], material)
    assert found == [(6, True), (2, True), (4, True)]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert LocalRunner().map(lambda item: (item, torch.get_num_threads()), "ab") == [("a", 1), ("b", 1)]
    finally:
        torch.set_num_threads(before)


def numbered(count):
    """Pictures that tell their number."""
    images = bowls(count)
    height_NYX = np.full_like(images.height_NYX, 0) + np.arange(count, dtype=np.float32)[:, None, None]
    return dataclasses.replace(images, height_NYX=height_NYX)


def drawn(material, shots, seed):
    images = material.learned_from(TrainSpec(name="few", genotype=BOTH, seed=seed, shots=shots))
    return images.height_NYX[:, 0, 0].astype(int).tolist()


def test_few_pictures_are_drawn_of_each_category_by_the_seed_as_the_data_draw_them():
    material = tiny_material(train=numbered(11), train_counts=(7, 4))
    sample = Sample("/a", "a", "train", 0, "good", None)
    samples = tuple(RgbdSample(sample, depth=str(number)) for number in range(7))
    category = RgbdCategory("a", train=samples, validation=(), test=())
    for seed in range(5):
        three, all_of_the_smaller = drawn(material, 3, seed), drawn(material, 4, seed)
        assert [number < 7 for number in three] == 3 * [True] + 3 * [False]
        assert three == sorted(set(three))
        assert three[:3] == [int(one.depth) for one in category.few_shot(3, seed).train]
        assert set(three) < set(all_of_the_smaller)
        assert all_of_the_smaller[4:] == [7, 8, 9, 10]
    assert len({tuple(drawn(material, 3, seed)) for seed in range(5)}) > 1
    assert drawn(material, None, 0) == list(range(11))


def test_a_network_of_few_pictures_sees_no_other(material):
    spec = dataclasses.replace(SPECS["train"], shots=2)
    seen = np.random.default_rng(spec.seed).permutation(5)[:2]
    height_NYX = np.full_like(material.train.height_NYX, np.nan)
    height_NYX[seen] = material.train.height_NYX[seen]
    others_spoilt = dataclasses.replace(material, train=dataclasses.replace(material.train, height_NYX=height_NYX))
    (few,), (same,) = (LocalRunner().run("one", [spec], given) for given in (material, others_spoilt))
    assert same_bits(timeless(few.state), timeless(same.state))
    (whole,) = LocalRunner().run("one", [SPECS["train"]], material)
    assert not same_bits(timeless(few.state), timeless(whole.state))


def test_steps_tell_the_loss_or_the_best_merit_so_far_with_its_cost(budgeted):
    assert all(set(step) == {"merit"} and step["merit"] < 0 for step in steps_of(budgeted.begin(SPECS["train"])))
    run = budgeted.begin(SPECS["random"])
    told = steps_of(run)
    history = run.state()["history"]
    assert [step["merit"] for step in told] == [max(one["merit"] for one in history[: n + 1]) for n in range(len(told))]
    assert [step["gflop"] for step in told] == [one["gflop"] for one in history]
    assert 0 < told[-1]["gflop"] <= budgeted.budget


def test_a_search_keeps_the_time_that_its_steps_took_across_a_stop(monkeypatch, material):
    ticks = iter(range(0, 100, 5))  # each step takes 5 s
    monkeypatch.setattr("eagleray.adnas.trials.time.perf_counter", lambda: next(ticks))
    for kind in ("darts", "train"):
        first, second = material.begin(SPECS[kind]), material.begin(SPECS[kind])
        steps_of(first, 1)
        second.restore(through_a_file(first.state()))
        steps_of(second, 1)
        assert second.state()["seconds"] == 10


def test_the_states_history_reads_as_architectures(material):
    run = material.begin(SPECS["darts"])
    steps_of(run)
    history = through_a_file(run.state())["history"]
    assert [one["step"] for one in history] == [1, 2, 3]
    for one in history:
        for name in ("genotype", "best"):
            SPECS["darts"].space.check(
                Genotype.from_json({"schema": "eagleray.genotype/1", **one[name]}, "history"), "history"
            )


def test_both_modalities_draw_taps_of_the_same_pictures_and_other_ones_to_judge_by(material):
    color, depth = (
        ReconstructRun(ReconstructSpec(modality=modality, seed=5), material).taps() for modality in ("color", "depth")
    )
    for part, count in (("train", 8), ("validation", 10)):
        one, other = getattr(color, part), getattr(depth, part)
        assert len(one) == len(other) == count
        np.testing.assert_array_equal(one.target_NHW, other.target_NHW)
        assert all(name.startswith("color.") for name in one.taps)
    assert not np.array_equal(color.train.target_NHW, color.validation.target_NHW[:8])


def test_anomalies_are_made_for_the_windows_of_the_training_that_sees_them():
    base = tiny_material()
    other = dataclasses.replace(base, reconstruction=dataclasses.replace(base.reconstruction, crop=24))
    run = other.begin(SPECS["reconstruct"])
    assert run._generator._size == 24
    assert run.taps().train.target_NHW.shape == (8, 6, 6)
    assert other.begin(SPECS["train"]).training._generator._size == 16


def test_a_search_sees_the_taps_of_its_own_modalities_and_all_targets(material):
    spec = SearchSpec(name="depth", method="darts", modalities=("depth",), stages=("late",), alpha_rate=0.01, seed=0)
    with_color_spoilt = dataclasses.replace(
        material,
        taps=dataclasses.replace(
            material.taps,
            **{
                part: TapSet(
                    {
                        name: np.full_like(maps, np.nan) if name.startswith("color.") else maps
                        for name, maps in getattr(material.taps, part).taps.items()
                    },
                    getattr(material.taps, part).target_NHW,
                )
                for part in ("train", "validation")
            },
        ),
    )
    outcomes = LocalRunner().run("x", [spec], material) + LocalRunner().run("x", [spec], with_color_spoilt)
    assert same_bits(timeless(outcomes[0].state), timeless(outcomes[1].state))
    best = Genotype.from_json({"schema": "eagleray.genotype/1", **outcomes[0].state["history"][-1]["best"]}, "history")
    assert all(name.startswith("depth.") for name in best.features())


def test_the_architecture_learns_at_the_rate_of_the_specification(material):
    def alphas(rate):
        run = material.begin(dataclasses.replace(SPECS["darts"], alpha_rate=rate))
        run.step()
        return run.state()["history"][0]["alphas"]

    assert alphas(0.3) != alphas(0.01)


def test_a_network_of_one_modality_learns_from_anomalies_that_it_can_see():
    images = bowls(4)
    for modality, color, height in (("color", True, False), ("depth", False, True)):
        base = tiny_material()
        generator = base.generator([modality], base.training)
        for seed in range(30):
            window = images.window(seed % 4, 8, 8, 16)
            given = window.color_NYX3[0], window.height_NYX[0], window.valid_NYX[0]
            made = generator.corrupt(*given, np.random.default_rng(seed))
            assert not made.mask_YX.any() or (
                (made.color_YX3 != given[0]).any(),
                (made.height_YX != given[1]).any() or (made.valid_YX != given[2]).any(),
            ) == (color, height)


def test_windows_larger_than_the_pictures_are_the_pictures():
    base = tiny_material()
    whole = dataclasses.replace(base, training=dataclasses.replace(base.training, crop=64))
    assert whole.generator(["color"], whole.training)._size == SIDE
    assert steps_of(whole.begin(SPECS["train"]), 1)[0]["merit"] < 0


def test_a_trained_network_scores_validation_and_test_pictures(material):
    (outcome,) = LocalRunner().run("one", [SPECS["train"]], material)
    kept = Outcome(spec=outcome.spec, state=through_a_file(outcome.state), stopped=None)
    found = score_test(kept, material)
    network = FusionNetwork(BOTH, TINY)
    network.load_state_dict(outcome.state["training"]["network"])
    assert found.keys() == {"validation", "test"}
    for part, count in (("validation", 3), ("test", 4)):
        assert found[part].shape == (count, 8, 8)
        np.testing.assert_allclose(found[part], patch_scores(network, getattr(material, part)), rtol=1e-4, atol=1e-5)


def test_pictures_that_hold_no_number_stop_a_trial(material):
    height_NYX = np.full_like(material.train.height_NYX, np.nan)
    images = material.train
    spoilt = RgbdImages(images.color_NYX3, height_NYX, images.valid_NYX, images.product_NYX)
    for kind in ("reconstruct", "train"):
        with pytest.raises(TrainingDiverged):
            LocalRunner().run("one", [SPECS[kind]], dataclasses.replace(material, train=spoilt))


def test_specifications_and_states_cross_processes(budgeted):
    for spec in SPECS.values():
        assert pickle.loads(pickle.dumps(spec)) == spec
        assert hash(spec) == hash(pickle.loads(pickle.dumps(spec)))
    crossed: Material = pickle.loads(pickle.dumps(budgeted))
    ours, theirs = budgeted.begin(SPECS["random"]), crossed.begin(SPECS["random"])
    assert ours.step() == theirs.step()


def test_a_trial_leaves_torchs_own_numbers_alone(budgeted):
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    for spec in SPECS.values():
        budgeted.begin(spec).step()
    assert torch.equal(torch.rand(2), expected)
