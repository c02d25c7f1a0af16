import numpy as np
import pytest

from ar_jax.training.metrics import MetricsFile, finite_means, read_metrics


def test_a_restart_cuts_back_to_the_restored_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path, 0)
    for step in (1, 2, 3):
        metrics.write(step, loss=step / 2)
    MetricsFile(path, 2).write(3, loss=9.0)
    assert read_metrics(path) == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": 9.0},
    ]


def test_a_line_torn_by_a_crash_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    assert read_metrics(path) == [{"step": 1}]


def test_means_are_over_steps():
    rows = [
        {"loss": np.float32(1), "norm": np.float32(3)},
        {"loss": np.float32(2), "norm": np.float32(5)},
    ]
    assert finite_means(rows, 7) == {"loss": 1.5, "norm": 4.0}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused_with_its_step(value):
    rows = [{"loss": 1.0}, {"loss": value}, {"loss": 1.0}]
    with pytest.raises(FloatingPointError, match=r"loss: expected a finite number.*step 9"):
        finite_means(rows, 10)
