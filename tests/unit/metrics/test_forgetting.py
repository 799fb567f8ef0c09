import numpy as np
import pytest

from eagleray.metrics import forgetting_report

nan = np.nan
STREAM = [
    # bottle cable screw
    [0.90, nan, nan],
    [0.94, 0.80, nan],
    [0.70, 0.85, 0.60],
]


def test_a_stream_of_three_classes_by_hand():
    report = forgetting_report(STREAM, [0, 1, 2])
    assert report.forgetting == (pytest.approx(-0.20), pytest.approx(0.05), None)
    assert report.mean_forgetting == report.backward_transfer == pytest.approx(-0.075)
    assert report.mean_forgetting_by_step == (None, pytest.approx(0.04), pytest.approx(-0.075))
    assert report.forgetting_measure == pytest.approx((0.94 - 0.70 + 0.80 - 0.85) / 2)
    assert report.final_average == pytest.approx((0.70 + 0.85 + 0.60) / 3)
    assert report.step_average == pytest.approx((0.90 + (0.94 + 0.80) / 2 + (0.70 + 0.85 + 0.60) / 3) / 3)


def test_an_isolated_expert_forgets_nothing():
    report = forgetting_report([[0.9, nan], [0.9, 0.7], [0.9, 0.7]], [0, 1])
    assert report.forgetting == (0.0, 0.0)
    assert (report.mean_forgetting, report.forgetting_measure) == (0.0, 0.0)


def test_a_removed_class_is_left_out_of_the_final_figures():
    matrix = [[0.9, nan, nan], [0.8, 0.7, nan], [nan, 0.6, nan], [nan, 0.5, 0.4]]
    report = forgetting_report(matrix, [0, 1, 3])
    assert report.forgetting == (None, pytest.approx(-0.2), None)
    assert report.mean_forgetting_by_step == (None, *map(pytest.approx, (-0.1, -0.1, -0.2)))
    assert report.forgetting_measure == pytest.approx(0.2)
    assert report.final_average == pytest.approx(0.45)
    assert report.step_average == pytest.approx((0.9 + 0.75 + 0.6 + 0.45) / 4)


def test_a_class_without_defective_test_images_has_no_figure_and_harms_none():
    with_it = forgetting_report([[0.9, nan], [0.8, nan]], [0, 1])
    assert with_it.forgetting == (pytest.approx(-0.1), None)
    assert with_it.final_average == pytest.approx(0.8)


def test_values_before_a_class_was_learned_do_not_count():
    early = np.where(np.isnan(STREAM), 0.99, STREAM)
    assert forgetting_report(early, [0, 1, 2]) == forgetting_report(STREAM, [0, 1, 2])


def test_classes_may_stand_in_another_order_than_they_were_learned():
    swapped = np.array(STREAM)[:, [2, 0, 1]]
    report = forgetting_report(swapped, [2, 0, 1])
    assert report.forgetting == (None, pytest.approx(-0.20), pytest.approx(0.05))


def test_one_step_has_averages_but_no_forgetting():
    report = forgetting_report([[0.9, 0.7]], [0, 0])
    assert report.forgetting == (None, None)
    assert (report.mean_forgetting, report.forgetting_measure, report.mean_forgetting_by_step) == (None, None, (None,))
    assert report.final_average == report.step_average == pytest.approx(0.8)


def test_a_matrix_without_any_figure_gives_none_everywhere():
    report = forgetting_report([[nan], [nan]], [0])
    assert report == type(report)((None,), None, (None, None), None, None, None)


def test_a_stream_that_only_gains_has_a_negative_forgetting_measure():
    report = forgetting_report([[0.5, nan], [0.6, 0.7]], [0, 1])
    assert report.forgetting_measure == pytest.approx(-0.1)
    assert report.mean_forgetting == pytest.approx(0.1)


@pytest.mark.parametrize("learned_at", [[0], [0, 1, 3], [0, -1, 2]])
def test_learning_steps_that_do_not_fit_the_matrix_are_refused(learned_at):
    with pytest.raises(ValueError, match="learning steps"):
        forgetting_report(STREAM, learned_at)
