from eagleray.adnas import StudyConfig

CONFIG = StudyConfig(
    seeds=(3, 4),
    alpha_rates=(0.02, 0.3),
    baselines=("random", "evolution", "single", "pairs", "color", "depth"),
    finalists=1,
    retrainings=1,
    few_shot=(),
)


def test_searches_by_gradient_over_a_part_of_the_space_take_the_first_learning_rate():
    rates = {spec.name: spec.alpha_rate for spec in CONFIG.baseline_specs()}
    parts = ("early", "middle", "late", "early+middle", "early+late", "middle+late", "color", "depth")
    assert rates == {"random-3": None, "evolution-3": None, **{f"{part}-3": 0.02 for part in parts}}
