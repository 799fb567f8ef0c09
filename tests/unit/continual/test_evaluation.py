from collections import Counter

import numpy as np
import pytest
from PIL import Image

from eagleray.banks import ClassBank
from eagleray.continual import (
    Arrival,
    EvaluationConfig,
    Evaluator,
    LocalPool,
    Model,
    Removal,
    image_figures,
    routing_accuracy,
)
from eagleray.data import Category, Sample
from eagleray.experts import BankExpert, ScoringConfig, image_score
from eagleray.features import load_image, resize
from eagleray.metrics import auroc, p_value, threshold

PLAIN = ScoringConfig()
RECIPES = {
    "plain rows": {},
    "whitened": {"whitening_directions": 4},
}


class CountingPool(LocalPool):
    """Notes every pair of picture and class bank that it is asked for."""

    def __init__(self, extractor, store):
        super().__init__(extractor, store)
        self.asked = Counter()

    def score(self, items, *rest):
        self.asked.update((item.path, digest) for item in items for digest in item.digests)
        return super().score(items, *rest)


class Bench:
    """A learner of some products with an evaluator and their test images."""

    def __init__(self, workshop, names=("nut", "bolt", "disc"), *, bank=None, rate=0.2, **mecad):
        self.workshop, self.store = workshop, workshop.store()
        self.pool = CountingPool(workshop.extractor, self.store)
        self.learner = workshop.learner(pool=self.pool, config=workshop.config(bank=bank, **mecad))
        self.tests = {}
        for name in names:
            product = workshop.product(name)
            self.tests[name] = product.test
            self.learner.take(Arrival(product))
        self.evaluator = Evaluator(self.pool, PLAIN, EvaluationConfig(false_alarm_rate=rate))

    @property
    def model(self):
        return self.learner.model

    def verdicts(self, **options):
        return self.evaluator.verdicts(self.model, self.tests, **options)

    def bank(self, name):
        return ClassBank.from_bytes(self.store.get_blob(self.model.banks[name].digest), name)

    def patches(self, sample):
        return self.workshop.extractor.embedder.embed(resize(load_image(sample.path), 32))


def all_of(judged):
    return [verdict for verdicts in judged.values() for verdict in verdicts]


def test_each_picture_meets_each_bank_once_whatever_is_asked(workshop):
    bench = Bench(workshop)
    for _ in range(2):
        bench.verdicts()
        bench.verdicts(oracle=True)
        everything = tuple(stored.digest for stored in bench.model.banks.values())
        bench.evaluator.image_aurocs(bench.tests, dict.fromkeys(bench.tests, everything))
    assert len(bench.pool.asked) == 3 * 8 * 3
    assert set(bench.pool.asked.values()) == {1}


def test_a_version_that_leaves_a_bank_alone_asks_for_nothing_new(workshop):
    bench = Bench(workshop, similarity_threshold=1.0)
    bench.verdicts(oracle=True)
    before = Counter(bench.pool.asked)
    bench.learner.take(Removal("disc"))
    bench.verdicts(oracle=True)
    assert bench.pool.asked == before


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_verdict_is_what_its_class_bank_says(recipe, workshop):
    bench = Bench(workshop, bank=RECIPES[recipe])
    for verdict in all_of(bench.verdicts()):
        bank = bench.bank(verdict.routed_class)
        patches_HWD = bench.patches(verdict.sample)
        grid_HW = BankExpert(bank.rows_MD, bank.whitening).patch_scores(patches_HWD)
        np.testing.assert_allclose(verdict.patch_scores_HW, grid_HW, atol=1e-6)
        assert verdict.score == pytest.approx(image_score(grid_HW, PLAIN), abs=1e-6)
        assert verdict.p_value == p_value(verdict.score, bank.calibration_N)
        assert verdict.routed_expert == bench.model.experts[verdict.routed_class]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_flags_thresholds_and_p_values_say_the_same(recipe, rate, workshop):
    bench = Bench(workshop, bank=RECIPES[recipe], rate=rate)
    for verdict in all_of(bench.verdicts()):
        limit = threshold(bench.bank(verdict.routed_class).calibration_N, rate)
        assert verdict.flagged == (verdict.score > limit.value)
        assert verdict.flagged == (verdict.p_value <= limit.attained_rate)


def test_a_score_as_high_as_the_threshold_is_not_flagged(workshop):
    samples = []
    for side in range(32, 44):  # black pictures of different sizes: other files, the same patches
        path = workshop.root / f"black{side}.png"
        Image.new("RGB", (side, side)).save(path)
        samples.append(Sample(str(path), "coal", "train", 0, "good", None))
    bench = Bench(workshop, ())
    bench.learner.take(Arrival(Category("coal", tuple(samples[:10]), ())))
    for verdict in bench.evaluator.verdicts(bench.model, {"coal": samples[10:]})["coal"]:
        assert verdict.score == threshold(bench.bank("coal").calibration_N, 0.2).value == 0
        assert not verdict.flagged
        assert verdict.p_value == 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_planted_defect_scores_above_every_good_picture(recipe, workshop):
    judged = Bench(workshop, bank=RECIPES[recipe]).verdicts()
    for verdicts in judged.values():
        assert image_figures(verdicts)["image_auroc"] == 1.0
        assert image_figures(verdicts)["missed"] == 0


def test_every_test_image_finds_its_class_without_being_told(workshop):
    judged = Bench(workshop).verdicts()
    assert {v.routed_class == v.sample.category for v in all_of(judged)} == {True}
    assert routing_accuracy(judged) == 1.0
    assert routing_accuracy({}) is None


def test_the_oracle_is_told_what_routing_must_find(workshop):
    bench = Bench(workshop)
    stray = workshop.sample("bolt", 700, "test")  # a picture of a bolt among the nuts
    bench.tests["nut"] = (*bench.tests["nut"], Sample(stray.path, "nut", "test", 0, "good", None))
    routed, told = bench.verdicts()["nut"][-1], bench.verdicts(oracle=True)["nut"][-1]
    assert (routed.routed_class, told.routed_class) == ("bolt", "nut")
    assert routed.routed_expert == bench.model.experts["bolt"]
    assert told.score > routed.score
    assert routing_accuracy(bench.verdicts()) == 24 / 25
    assert routing_accuracy(bench.verdicts(oracle=True)) == 1.0


def test_with_replay_a_picture_meets_the_nearest_row_of_its_whole_expert(workshop):
    bench = Bench(workshop, ("nut", "bolt"), memory="replay", similarity_threshold=-1.0)
    assert set(bench.model.experts.values()) == {0}
    rows_MD = np.concatenate([bench.bank(name).rows_MD for name in ("bolt", "nut")])
    for verdict in all_of(bench.verdicts(oracle=True)):
        grid_HW = BankExpert(rows_MD).patch_scores(bench.patches(verdict.sample))
        np.testing.assert_allclose(verdict.patch_scores_HW, grid_HW, atol=1e-6)


def test_several_banks_together_are_one_bank_of_all_their_rows(workshop):
    bench = Bench(workshop)
    rows_MD = np.concatenate([bench.bank(name).rows_MD for name in bench.tests])
    everything = tuple(stored.digest for stored in bench.model.banks.values())
    found = bench.evaluator.image_aurocs(bench.tests, dict.fromkeys(bench.tests, everything))
    for name, samples in bench.tests.items():
        grids = [BankExpert(rows_MD).patch_scores(bench.patches(sample)) for sample in samples]
        scores = [image_score(grid_HW, PLAIN) for grid_HW in grids]
        assert found[name] == auroc(scores, [sample.label for sample in samples])


def test_an_unreadable_test_image_is_left_out_and_told(workshop):
    bench = Bench(workshop)
    workshop.spoil(bench.tests["nut"][2])
    judged = bench.verdicts()
    assert [len(verdicts) for verdicts in judged.values()] == [7, 8, 8]
    assert [skipped.path for skipped in bench.evaluator.unreadable] == [bench.tests["nut"][2].path]
    banks = {name: bench.model.scored_against(name) for name in bench.tests}
    assert bench.evaluator.image_aurocs(bench.tests, banks)["nut"] == 1.0
    before = Counter(bench.pool.asked)
    bench.verdicts()
    assert bench.pool.asked == before  # not even the broken one is tried again


def test_progress_counts_every_test_image_whether_computed_or_remembered(workshop):
    bench = Bench(workshop)
    for _ in range(2):
        done = []
        bench.evaluator.verdicts(bench.model, bench.tests, done.append)
        assert sum(done) == 24


def test_classes_without_test_images_have_no_figures(workshop):
    bench = Bench(workshop, ("nut",))
    judged = bench.evaluator.verdicts(bench.model, {"nut": ()})
    assert judged == {"nut": []}
    assert image_figures(judged["nut"]) == {
        "image_auroc": None,
        "num_test_good": 0,
        "num_test_defective": 0,
        "false_alarms": 0,
        "missed": 0,
    }
    banks = {"nut": bench.model.scored_against("nut")}
    assert bench.evaluator.image_aurocs({"nut": ()}, banks) == {"nut": None}


def test_test_images_of_classes_that_the_model_does_not_know_are_not_judged(workshop):
    bench = Bench(workshop, ("nut",))
    bench.tests["disc"] = workshop.product("disc").test
    assert set(bench.verdicts()) == {"nut"}


def test_a_model_without_any_class_judges_nothing(workshop):
    bench = Bench(workshop, ("nut",))
    bench.learner.take(Removal("nut"))
    assert bench.verdicts() == {}


def test_a_model_from_the_store_gives_the_verdicts_of_the_live_one(workshop):
    bench = Bench(workshop, bank=RECIPES["whitened"], similarity_threshold=-1.0)
    read = Model.load(bench.store, bench.store.current())
    fresh = Evaluator(bench.pool, PLAIN, EvaluationConfig(false_alarm_rate=0.2))
    live, stored = all_of(bench.verdicts()), all_of(fresh.verdicts(read, bench.tests))
    for ours, theirs in zip(live, stored, strict=True):
        assert (ours.sample, ours.score, ours.p_value, ours.flagged, ours.routed_class) == (
            (theirs.sample, theirs.score, theirs.p_value, theirs.flagged, theirs.routed_class)
        )
        np.testing.assert_array_equal(ours.patch_scores_HW, theirs.patch_scores_HW)


def test_pictures_of_any_size_and_kind_are_judged(workshop):
    bench = Bench(workshop, ("nut",))
    samples = []
    for number, (mode, size) in enumerate([("L", (90, 40)), ("RGBA", (16, 64)), ("P", (33, 31))]):
        path = workshop.root / f"odd{number}.png"
        Image.fromarray(workshop.pixels("nut", 800 + number)).convert(mode).resize(size).save(path)
        samples.append(Sample(str(path), "nut", "test", 0, "good", None))
    judged = bench.evaluator.verdicts(bench.model, {"nut": samples})
    assert [verdict.patch_scores_HW.shape for verdict in judged["nut"]] == [(8, 8)] * 3


def test_good_pictures_are_flagged_about_as_often_as_promised(workshop):
    names = [f"product{number}" for number in range(3)]
    bench = Bench(workshop, [], rate=0.25)
    tests = {}
    for name in names:
        product = workshop.product(name, train=range(40), good=range(500, 520), defective=())
        bench.learner.take(Arrival(Category(name, product.train, ())))
        tests[name] = product.test
    judged = bench.evaluator.verdicts(bench.model, tests)
    share = np.mean([verdict.flagged for verdict in all_of(judged)])
    assert 0.05 <= share <= 0.45  # 0.25 on average; 60 pictures and small calibration sets scatter
