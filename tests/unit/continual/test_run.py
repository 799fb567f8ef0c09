import errno
import json
from pathlib import Path

import pytest

from eagleray.continual import Arrival, LocalPool, Removal, open_stream, silent
from eagleray.data import Category
from eagleray.errors import EagleRayWarning, TooFewImages

NAMES = ("nut", "bolt", "disc")  # not in order of name
MECAD = {"similarity_threshold": -1.0}


def stream(workshop, names=NAMES):
    return list(open_stream([workshop.product(name) for name in names]))


def verdicts_of(run):
    return [
        (v.sample, v.score, v.p_value, v.flagged, v.routed_class, v.routed_expert)
        for verdicts in run.verdicts(oracle=False).values()
        for v in verdicts
    ]


class Crash(Exception):
    """The process dies."""


class DyingPool(LocalPool):
    """Does so many pieces of work, then dies; before the work, or after it and before anybody hears of it."""

    def __init__(self, extractor, store, alive, when):
        super().__init__(extractor, store)
        self.alive, self.when = alive, when

    def _work(self, work, *arguments):
        self.alive -= 1
        if self.alive < 0 and self.when == "before":
            raise Crash
        result = work(*arguments)
        if self.alive < 0:
            raise Crash
        return result

    def embed(self, *arguments):
        return self._work(super().embed, *arguments)

    def update_expert(self, *arguments):
        return self._work(super().update_expert, *arguments)

    def score(self, *arguments):
        return self._work(super().score, *arguments)


def test_a_stream_gives_removals_first_then_arrivals_in_order(workshop):
    products = [workshop.product(name) for name in NAMES]
    events = list(open_stream(products, remove=["pin"]))
    assert events == [Removal("pin"), *(Arrival(product) for product in products)]


def test_each_step_is_written_down_after_it_was_learned(workshop):
    run = workshop.run(**MECAD)
    run.take(stream(workshop))
    steps = run.steps()
    assert [(step["step"], step["op"], step["class"], step["expert"]) for step in steps] == [
        (1, "learn", "nut", 0),
        (2, "learn", "bolt", 0),
        (3, "learn", "disc", 1),
    ]
    assert steps[0]["image_auroc"] == {"nut": 1.0}
    assert set(steps[2]["image_auroc"]) == set(NAMES)
    assert steps[2]["classes_per_expert"] == {"0": ["bolt", "nut"], "1": ["disc"]}
    assert {expert: rows <= 120 for expert, rows in steps[2]["rows_per_expert"].items()} == {"0": True, "1": True}
    assert steps[2]["num_images"] == 12
    assert set(steps[2]["similarities"]) == {"0"}
    assert steps[2]["routing_accuracy"] == 1.0


def test_the_same_stream_again_takes_no_step(workshop):
    workshop.run(**MECAD).take(stream(workshop))
    files, progress = workshop.files(), workshop.progress()
    workshop.run(**MECAD).take(stream(workshop))
    assert workshop.files() == files
    assert workshop.progress() == progress


@pytest.mark.parametrize("lost", [("0002.json",), ("0003.json",), ("0001.json", "0002.json", "0003.json")])
def test_a_step_whose_file_was_not_written_is_judged_again_to_the_same_bytes(workshop, lost):
    first = workshop.run(**MECAD)
    first.take(stream(workshop))
    expected, files = workshop.progress(), workshop.files()
    for name in lost:
        (workshop.root / "run" / "progress" / name).unlink()
    again = workshop.run(**MECAD)
    again.take(stream(workshop))
    assert workshop.progress() == expected
    assert workshop.files() == files
    assert verdicts_of(again) == verdicts_of(first)


@pytest.mark.parametrize("memory", ["nested", "replay"])
def test_killed_anywhere_and_resumed_a_run_ends_as_if_undisturbed(workshop, memory):
    config = workshop.config(bank={"whitening_directions": 3}, memory=memory, **MECAD)
    undisturbed = workshop.run("calm", config=config)
    undisturbed.take(stream(workshop))
    for alive in range(0, 14, 2 if memory == "nested" else 5):
        out, when = f"killed{alive}", ("before", "after")[alive // 2 % 2]
        pool = DyingPool(workshop.extractor, workshop.store(out), alive, when)
        with pytest.raises(Crash):
            workshop.run(out, pool=pool, config=config).take(stream(workshop))
        resumed = workshop.run(out, config=config)
        resumed.take(stream(workshop))
        assert workshop.files(out) == workshop.files("calm")
        assert workshop.progress(out) == workshop.progress("calm")
        assert verdicts_of(resumed) == verdicts_of(undisturbed)
        assert list(resumed.model.banks) == list(undisturbed.model.banks)


def test_a_run_killed_before_it_judged_what_took_a_rolled_back_step_has_the_figures_of_the_new_model(workshop):
    workshop.run(**MECAD).take(stream(workshop))
    workshop.store().rollback(2)
    (pin,) = stream(workshop, ["pin"])
    workshop.learner(**MECAD).take(pin)  # killed after the commit
    resumed = workshop.run(**MECAD)
    resumed.take([pin])
    assert [step["class"] for step in resumed.steps()] == ["nut", "bolt", "pin"]
    assert set(workshop.step(3)["image_auroc"]) == {"nut", "bolt", "pin"}


def test_a_version_rolled_forward_to_is_judged_again_where_another_took_its_step_meanwhile(workshop):
    workshop.run(**MECAD).take(stream(workshop))
    expected = workshop.step(3)
    workshop.store().rollback(2)
    workshop.run(**MECAD).take(stream(workshop, ["pin"]))
    workshop.store().rollback(3)
    workshop.run(**MECAD).take(stream(workshop))
    assert workshop.step(3) == expected


@pytest.mark.parametrize("damage", ["", "{half", "[1]", "{}", '{"step": 2}'])
def test_a_damaged_step_file_is_written_again(workshop, damage):
    workshop.run(**MECAD).take(stream(workshop))
    expected = workshop.progress()
    (workshop.root / "run" / "progress" / "0002.json").write_text(damage)
    workshop.run(**MECAD).take(stream(workshop))
    assert workshop.progress() == expected


@pytest.mark.parametrize("damage", ["", "{half", "[1]", '{"nut": [[1]]}'])
def test_a_damaged_list_of_test_images_is_told_and_begun_anew(workshop, damage):
    workshop.run(**MECAD).take(stream(workshop))
    expected = workshop.progress()
    (workshop.root / "run" / "progress" / "tests.json").write_text(damage)
    with pytest.warns(EagleRayWarning, match=r"tests.json: damaged"):
        again = workshop.run(**MECAD)
    again.take(stream(workshop))
    assert workshop.progress() == expected


def test_a_full_disk_names_the_progress_file_and_leaves_nothing_beside_it(workshop, monkeypatch):
    run = workshop.run(**MECAD)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space")))
    with pytest.raises(OSError, match="No space") as caught:
        run.take([Removal("nut")])
    assert caught.value.filename == str(workshop.root / "run" / "progress" / "tests.json")
    assert list((workshop.root / "run" / "progress").iterdir()) == []


def test_a_removal_is_not_called_learning(workshop):
    labels = []

    def progress(label, total):
        labels.append(label)
        return silent(label, total)

    workshop.run(**MECAD).take(stream(workshop))
    run = workshop.run(progress=progress, **MECAD)
    run.take([Removal("nut")])
    assert labels == ["remove nut", "test after nut"]


def test_a_half_written_progress_file_is_never_seen(workshop, monkeypatch):
    run = workshop.run(**MECAD)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(Crash))
    with pytest.raises(Crash):
        run.take(stream(workshop))
    assert workshop.progress() == {}


def test_a_product_added_tomorrow_is_judged_with_those_of_yesterday(workshop):
    workshop.run(**MECAD).take(stream(workshop, NAMES[:2]))
    later = workshop.run(**MECAD)
    later.take(stream(workshop, NAMES[2:]))  # a folder with the new product only
    assert set(workshop.step(3)["image_auroc"]) == set(NAMES)
    assert len(verdicts_of(later)) == 24


def test_an_update_without_test_images_keeps_those_that_are_known(workshop):
    run = workshop.run(**MECAD)
    run.take(stream(workshop, ["nut"]))
    more = Category("nut", workshop.product("nut", train=range(12, 20)).train, ())
    run.take([Arrival(more)])
    assert workshop.step(2)["op"] == "update"
    assert workshop.step(2)["image_auroc"] == {"nut": 1.0}
    resumed = workshop.run(**MECAD)
    resumed.take([Arrival(more)])
    assert len(verdicts_of(resumed)) == 8


def test_test_images_that_are_gone_tomorrow_are_no_longer_judged(workshop):
    workshop.run(**MECAD).take(stream(workshop, ["nut"]))
    for sample in workshop.product("nut").test[:4]:
        Path(sample.path).unlink()
    later = workshop.run(**MECAD)
    later.take(stream(workshop, ["bolt"]))
    assert len(later.verdicts(oracle=False)["nut"]) == 4


def test_a_removed_class_is_no_longer_judged_and_its_neighbours_are(workshop):
    run = workshop.run(**MECAD)
    run.take(stream(workshop))
    run.take([Removal("nut")])
    assert workshop.step(4)["op"] == "remove"
    assert set(workshop.step(4)["image_auroc"]) == {"bolt", "disc"}
    assert workshop.step(4)["num_images"] == 0
    assert set(run.verdicts(oracle=False)) == {"bolt", "disc"}


def test_even_the_last_class_can_be_removed(workshop):
    run = workshop.run(**MECAD)
    run.take(stream(workshop, ["nut"]))
    run.take([Removal("nut")])
    assert workshop.step(2)["image_auroc"] == {}
    assert workshop.step(2)["routing_accuracy"] is None
    assert run.verdicts(oracle=False) == {}
    assert {name: control.image_auroc for name, control in run.controls(seed=0).items()} == {
        "oracle_expert": {},
        "shared_bank": {},
        "bank_per_class": {},
        "random_assignment": {},
    }


@pytest.mark.parametrize("options", [{"good": (), "defective": ()}, {"defective": ()}, {"good": ()}])
def test_a_class_without_a_kind_of_test_image_has_no_auroc_and_stops_nothing(workshop, options):
    run = workshop.run(**MECAD)
    run.take([workshop.arrival("nut", **options), workshop.arrival("bolt")])
    assert workshop.step(2)["image_auroc"] == {"nut": None, "bolt": 1.0}
    for control in run.controls(seed=0).values():
        assert control.image_auroc["nut"] is None


def test_a_class_that_fails_leaves_the_steps_before_it(workshop):
    run = workshop.run(**MECAD)
    with pytest.raises(TooFewImages):
        run.take([workshop.arrival("nut"), workshop.arrival("bolt", train=range(2))])
    assert [step["class"] for step in run.steps()] == ["nut"]


def test_an_unreadable_test_image_is_told_at_the_end(workshop):
    product = workshop.product("nut")
    workshop.spoil(product.test[0])
    run = workshop.run(**MECAD)
    run.take([Arrival(product)])
    run.verdicts(oracle=False)
    assert [skipped.path for skipped in run.unreadable] == [product.test[0].path]


def test_controls_agree_with_the_run_where_they_must(workshop):
    run = workshop.run(similarity_threshold=1.0)  # an expert each: all choices of a bank are the same
    run.take(stream(workshop))
    controls = run.controls(seed=0)
    assert controls["oracle_expert"].image_auroc == controls["bank_per_class"].image_auroc
    assert controls["oracle_expert"].image_auroc == workshop.step(3)["image_auroc"]
    assert controls["shared_bank"].rows == sum(run.model.rows_held().values())


def test_a_control_may_use_other_rows_than_the_model_and_says_how_many(workshop):
    run = workshop.run(num_experts=1, expert_capacity=3)
    run.take(stream(workshop))
    controls = run.controls(seed=0)
    assert controls["oracle_expert"].rows == sum(run.model.rows_held().values()) <= 120
    assert controls["bank_per_class"].rows > controls["oracle_expert"].rows


def test_seconds_are_counted_for_each_stage(workshop):
    run = workshop.run(**MECAD)
    run.take(stream(workshop, ["nut"]))
    run.controls(seed=0)
    assert set(run.seconds) == {"learn", "score", "controls"}
    assert min(run.seconds.values()) > 0


def test_progress_files_are_strict_json_with_a_final_newline(workshop):
    workshop.run(**MECAD).take([workshop.arrival("nut", good=())])  # a figure that cannot exist is null, not NaN
    assert set(workshop.progress()) == {"0001.json", "tests.json"}
    for text in workshop.progress().values():
        assert text.endswith("\n")
        json.loads(text, parse_constant=pytest.fail)
    assert workshop.step(1)["image_auroc"] == {"nut": None}


def test_with_publishing_services_get_every_version_as_soon_as_it_is_learned_and_before_it_is_judged(workshop):
    published = []

    def seen(what, total):
        published.append((what, workshop.store().published()))
        return silent(what, total)

    run = workshop.run(progress=seen, publish=True)
    run.take([workshop.arrival("apple"), workshop.arrival("pear")])
    assert published[0] == ("learn apple", None)
    assert [version for what, version in published if what.startswith("test after")] == [1, 2]
    assert workshop.store().published() == 2


def test_a_run_that_was_killed_before_it_published_does_so_when_it_goes_on(workshop):
    workshop.run().take([workshop.arrival("apple")])
    assert workshop.store().published() is None
    workshop.run(publish=True).take([workshop.arrival("apple")])
    assert workshop.store().published() == 1
