import math

import pytest

from ar_jax.training import Training


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"micro_batches": 0}, "micro_batches: expected at least 1, got 0"),
        ({"log_every": 0}, "log_every: expected at least 1, got 0"),
        ({"validate_every": -1}, "validate_every: expected at least 1, got -1"),
        ({"keep": 0}, "keep: expected at least 1, got 0"),
        ({"ema_decay": 1.0}, "ema_decay: expected at least 0 and less than 1, got 1.0"),
        ({"ema_decay": -0.1}, "ema_decay: expected at least 0 and less than 1, got -0.1"),
        ({"ema_decay": math.nan}, "ema_decay: expected at least 0 and less than 1, got nan"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"patience": -1}, "patience: expected at least 0 steps, got -1"),
        ({"max_skipped": -1}, "max_skipped: expected at least 0 steps, got -1"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(wrong, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Training(**wrong)


@pytest.mark.parametrize(
    ("patience", "step", "best", "finished"),
    [
        (0, 0, 0, False),
        (0, 99, 5, False),
        (0, 100, 5, True),
        (20, 0, 0, False),
        (20, 20, 5, False),
        (20, 25, 5, True),
        (18, 20, 5, False),
        (18, 24, 5, False),  # not validated since step 20
        (18, 25, 5, True),
        (20, 100, 100, True),
    ],
)
def test_training_ends_at_its_last_step_or_when_patience_is_over(patience, step, best, finished):
    training = Training(steps=100, validate_every=5, patience=patience)
    assert training.finished(step, best) is finished
