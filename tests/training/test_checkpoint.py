import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.training import AdamW, Checkpoints, init_state

OPTIMIZER = AdamW().transformation(10)
BATCH = {"x": np.zeros((2, 2, 2, 1), np.int32)}


def make_state(hidden=(4,), seed=0):
    model = ar.AutoregressiveModel(
        ordering=ar.orderings.Raster((2, 2, 1)),
        conditional=ar.conditionals.MADE(hidden=hidden),
        head=ar.heads.Bernoulli(),
    )
    return init_state(model, OPTIMIZER, seed, BATCH)


def at_step(state, step):
    return state.replace(step=jnp.int32(step))


def test_a_restored_state_is_the_saved_one_average_and_key_included(tmp_path):
    state = at_step(make_state(), 3)
    state = state.replace(ema=jax.tree.map(lambda p: p + 7, state.params))
    with Checkpoints(tmp_path / "runs" / "new") as checkpoints:
        checkpoints.save(state, 1.0)
    with Checkpoints(tmp_path / "runs" / "new") as checkpoints:
        restored = checkpoints.restore(make_state(seed=1))
    assert jnp.issubdtype(restored.key.dtype, jax.dtypes.prng_key)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for saved, read in zip(jax.tree.leaves(state), jax.tree.leaves(restored), strict=True):
        assert saved.dtype == read.dtype
        assert jnp.array_equal(saved, read)


def test_the_best_on_validation_is_kept_beside_the_latest(tmp_path):
    state = make_state()
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest is checkpoints.best is None
        for step, validation in enumerate([5.0, 3.0, 4.0, 6.0, 7.0], start=1):
            checkpoints.save(at_step(state, step), validation)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest == 5
        assert checkpoints.best == 2
        assert [int(checkpoints.restore(state, step).step) for step in (None, 2, 4)] == [5, 2, 4]
        with pytest.raises(FileNotFoundError, match=r"step 3, got those of steps \[2, 4, 5\]"):
            checkpoints.restore(state, 3)


def test_without_a_validation_the_latest_is_the_best(tmp_path):
    state = make_state()
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        for step in (1, 2):
            checkpoints.save(at_step(state, step))
            assert checkpoints.best == step
        checkpoints.save(at_step(state, 3), 9.0)
        checkpoints.save(at_step(state, 4))
        assert (checkpoints.best, checkpoints.latest) == (3, 4)
    assert {path.name for path in tmp_path.glob("[0-9]*")} == {"3", "4"}


def test_an_empty_folder_has_nothing_to_restore(tmp_path):
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(FileNotFoundError, match="a checkpoint"),
    ):
        checkpoints.restore(make_state())


def test_a_checkpoint_of_another_model_is_refused_by_the_name_of_an_array(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(at_step(make_state(), 1), 1.0)
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match=r"ema\..*: expected shape \[.*, got shape \["):
            checkpoints.restore(make_state(hidden=(5,)))
        with pytest.raises(ValueError, match=r"ema\..*no such array"):
            checkpoints.restore(make_state(hidden=(4, 4)))


def test_a_checkpoint_of_another_precision_is_refused(tmp_path):
    state = make_state()
    narrow = state.replace(ema=jax.tree.map(lambda p: p.astype(jnp.bfloat16), state.ema))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(at_step(state, 1), 1.0)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(
            ValueError, match=r"ema\..*: expected .* of bfloat16, .*, got .* of float32$"
        ),
    ):
        checkpoints.restore(narrow)
