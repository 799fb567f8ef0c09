import pytest

from eagleray.banks import BankConfig
from eagleray.continual import CalibrationConfig, EvaluationConfig, LearnerConfig, MecadConfig, StreamConfig
from eagleray.errors import ConfigError


def test_the_defaults_are_the_papers_figures():
    config = MecadConfig()
    assert config.similarity_threshold == 0.9
    assert config.rows_per_class == 400
    assert config.rows_per_expert == 2400
    assert config.replay_ratio == 0.2
    assert config.expert_capacity * config.rows_per_class == config.rows_per_expert


@pytest.mark.parametrize(("classes", "rows"), [(1, 400), (6, 400), (7, 342), (8, 300), (12, 200), (2400, 1)])
def test_the_classes_of_an_expert_share_its_rows_evenly(classes, rows):
    config = MecadConfig(expert_capacity=2400)
    assert config.rows_allowed(classes) == rows
    assert rows * classes <= config.rows_per_expert


@pytest.mark.parametrize(("ratio", "rows"), [(0.2, 80), (0.5, 200), (1.0, 400), (0.001, 1)])
def test_a_replayed_class_keeps_the_ratio_of_its_budget(ratio, rows):
    assert MecadConfig(replay_ratio=ratio).rows_replayed() == rows


@pytest.mark.parametrize(
    ("kind", "values", "flag"),
    [
        (MecadConfig, {"num_experts": 0}, "--mecad.num-experts"),
        (MecadConfig, {"expert_capacity": 0}, "--mecad.expert-capacity"),
        (MecadConfig, {"rows_per_class": 1}, "--mecad.rows-per-class"),
        (MecadConfig, {"rows_per_expert": 399}, "--mecad.rows-per-expert"),
        (MecadConfig, {"expert_capacity": 2401}, "--mecad.rows-per-expert"),
        (MecadConfig, {"replay_ratio": 0}, "--mecad.replay-ratio"),
        (MecadConfig, {"replay_ratio": 1.5}, "--mecad.replay-ratio"),
        (MecadConfig, {"similarity_threshold": 1.1}, "--mecad.similarity-threshold"),
        (MecadConfig, {"similarity_threshold": float("nan")}, "--mecad.similarity-threshold"),
        (CalibrationConfig, {"share": 0}, "--calibration.share"),
        (CalibrationConfig, {"share": 1}, "--calibration.share"),
        (StreamConfig, {"max_bad_share": -0.1}, "--stream.max-bad-share"),
        (StreamConfig, {"max_bad_share": 2}, "--stream.max-bad-share"),
        (EvaluationConfig, {"false_alarm_rate": 0}, "--evaluation.false-alarm-rate"),
        (EvaluationConfig, {"false_alarm_rate": 1}, "--evaluation.false-alarm-rate"),
        (EvaluationConfig, {"heatmap_sigma": -1}, "--evaluation.heatmap-sigma"),
    ],
)
def test_wrong_settings_name_their_flag(kind, values, flag):
    with pytest.raises(ConfigError, match=f"^{flag} must be"):
        kind(**values)


@pytest.mark.parametrize("threshold", [-1, 0, 1])
def test_any_cosine_is_a_threshold(threshold):
    assert MecadConfig(similarity_threshold=threshold).similarity_threshold == threshold


@pytest.mark.parametrize(
    ("mecad", "flag"),
    [
        ({"rows_per_class": 64}, "--mecad.rows-per-class must be at least 65"),
        ({"expert_capacity": 37}, "--mecad.rows-per-expert must be at least 2405"),
    ],
)
def test_directions_take_the_place_of_rows_and_must_leave_room_for_one(mecad, flag):
    bank = BankConfig(whitening_directions=64)
    with pytest.raises(ConfigError, match=flag):
        LearnerConfig(mecad=MecadConfig(**mecad), bank=bank)
    LearnerConfig(mecad=MecadConfig(**mecad), bank=BankConfig(whitening_directions=0))
