import runpy
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from ar_jax.training import Checkpoints, convert
from ar_jax.training.state import TrainState

PARAMS = {"dense": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
STATE = TrainState(
    step=np.array(7, np.int32),
    params=PARAMS,
    ema=PARAMS,
    opt_state=((), {"mu": PARAMS, "count": np.array(3, np.int32)}),
    key=np.array([3, 11], np.uint32),
)
LIKE = STATE.replace(key=jax.random.key(0))


@pytest.fixture
def old(tmp_path):
    """Checkpoints of steps 7 and 9, the best, as version 0.1 first wrote them."""
    options = ocp.CheckpointManagerOptions(best_fn=lambda metrics: metrics["validation"])
    with ocp.CheckpointManager(
        tmp_path, item_handlers=ocp.StandardCheckpointHandler(), options=options
    ) as manager:
        for step, validation in ((7, float("inf")), (9, 2.5)):
            manager.save(
                step,
                args=ocp.args.StandardSave(STATE.replace(step=np.array(step, np.int32))),
                metrics={"validation": validation, "step": step},
                custom_metadata={"unread": [{"loss": 0.5}], "seconds": {"wall_seconds": step / 2}},
            )
    return tmp_path


def test_old_checkpoints_are_refused_until_they_are_converted(old, monkeypatch, capsys):
    message = r"got none; \S+/7: expected .* see python -m ar_jax\.training\.convert; \S+/9: .*"
    with pytest.raises(ValueError, match=message):
        Checkpoints(old)
    monkeypatch.setattr(sys, "argv", ["convert", str(old)])
    runpy.run_path(convert.__file__, run_name="__main__")
    assert capsys.readouterr().out == "converted step 7\nconverted step 9\n"
    with Checkpoints(old) as checkpoints:
        assert checkpoints.latest == checkpoints.best == 9
        assert checkpoints.unread(7) == [{"loss": 0.5}]
        assert checkpoints.seconds(9) == {"wall_seconds": 4.5}
        restored = checkpoints.restore(LIKE, 7)
        assert int(checkpoints.restore(LIKE).step) == 9
    restored = restored.replace(key=jax.random.key_data(restored.key))
    assert jax.tree.structure(restored) == jax.tree.structure(STATE)
    for read, saved in zip(jax.tree.leaves(restored), jax.tree.leaves(STATE), strict=True):
        assert read.dtype == saved.dtype
        np.testing.assert_array_equal(read, saved)
    assert convert.convert(old) == []
    assert {path.name for path in old.iterdir()} == {"7", "7.replaced", "9", "9.replaced"}


# Orbax's threads may still be reading when it has raised, and find their event loop closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("file", ["default/manifest.ocdbt", "default/_METADATA", "metrics/metrics"])
def test_an_old_checkpoint_that_is_damaged_is_named(old, file):
    (old / "9" / file).unlink()
    with pytest.raises(ValueError, match=r"^\S+/9: expected a whole checkpoint of Orbax, got .*$"):
        convert.convert(old)
    with (
        pytest.warns(UserWarning, match=r"step 9 is damaged: .* ar_jax\.training\.convert; .* 7$"),
        Checkpoints(old) as checkpoints,
    ):
        assert int(checkpoints.restore(LIKE).step) == 7
