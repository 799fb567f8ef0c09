"""Pictures embedded once serve many runs, which come out as those that embed for themselves."""

import pytest

from eagleray.continual import LocalPool, PreparedPictures, PreparedPool, open_stream, prepared_pool

NAMES = ("nut", "bolt", "disc")
FEW, MANY = {"num_experts": 1, "expert_capacity": 3}, {"num_experts": 3, "expert_capacity": 3}


def itself(patches):
    return patches


@pytest.fixture
def products(workshop):
    found = [workshop.product(name, train=range(21)) for name in NAMES]
    workshop.spoil(found[0].train[3])
    workshop.spoil(found[1].test[2])
    return found


@pytest.fixture
def pictures(workshop, products):
    pool = workshop.pool("embedded")
    good = [sample.path for product in products for sample in product.train]
    tests = [sample.path for product in products for sample in product.test]
    return PreparedPictures(pool.embed(good), pool.embed(tests, half=False), itself)


def taken(workshop, products, out, pool_of, **mecad):
    run = workshop.run(out, pool=pool_of(workshop.store(out)), **mecad)
    with pytest.warns(match=r"'nut': 1 of 21 images"):
        run.take(open_stream(products))
    return run


@pytest.mark.parametrize("memory", ["nested", "replay"])
@pytest.mark.parametrize("mecad", [FEW, MANY])
def test_a_run_over_prepared_pictures_equals_one_that_embeds_them(workshop, products, pictures, mecad, memory):
    settings = {**mecad, "memory": memory}
    own = taken(workshop, products, "own", lambda store: LocalPool(workshop.extractor, store), **settings)
    prepared = taken(workshop, products, "prepared", lambda store: PreparedPool(pictures, store), **settings)
    assert prepared.steps() == own.steps()
    assert workshop.store("prepared").current() == workshop.store("own").current()
    assert prepared.unreadable == own.unreadable != ()


def test_what_one_run_computed_serves_the_next(workshop, products, pictures, monkeypatch):
    fitted, scored = [], []
    fit, expert = prepared_pool.fit_class, prepared_pool.BankExpert

    class CountingExpert(expert):
        def patch_scores(self, patches_HWD):
            scored.append(1)
            return super().patch_scores(patches_HWD)

    monkeypatch.setattr(prepared_pool, "fit_class", lambda update, *more: fitted.append(update) or fit(update, *more))
    monkeypatch.setattr(prepared_pool, "BankExpert", CountingExpert)
    roomy = MANY | {"rows_per_expert": 180}  # no class ever makes room for another
    workshop.extractor.embedder.calls = 0
    taken(workshop, products, "first", lambda store: PreparedPool(pictures, store), **roomy)
    once = len(fitted), len(scored)
    assert once[0] == len(NAMES)
    taken(workshop, products, "again", lambda store: PreparedPool(pictures, store), **roomy)
    taken(workshop, list(reversed(products)), "reversed", lambda store: PreparedPool(pictures, store), **roomy)
    assert (len(fitted), len(scored)) == once
    assert workshop.extractor.embedder.calls == 0


def test_another_seed_or_budget_is_fitted_anew(workshop, products, pictures):
    banks = []
    for number, changes in enumerate(({}, {"rows_per_class": 30}, {"seed": 1})):
        run = taken(workshop, products, str(number), lambda store: PreparedPool(pictures, store), **MANY, **changes)
        banks.append(run.model.banks["nut"].digest)
    assert len(set(banks)) == 3


def test_only_as_many_scores_are_remembered_as_there_is_room_for(workshop, products, pictures, monkeypatch):
    monkeypatch.setattr(prepared_pool, "_MOST_GRIDS", 5)
    own = taken(workshop, products, "own", lambda store: LocalPool(workshop.extractor, store), **FEW)
    prepared = taken(workshop, products, "prepared", lambda store: PreparedPool(pictures, store), **FEW)
    assert prepared.steps() == own.steps()
    assert len(pictures._grids) == 5


def test_single_precision_is_kept_of_test_pictures_alone(workshop, products, pictures):
    with pytest.raises(ValueError, match="half precision"):
        PreparedPool(pictures, workshop.store()).embed([products[0].train[0].path], half=False)
