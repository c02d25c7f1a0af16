import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

import ar_jax as ar
from ar_jax.objectives import MaximumLikelihood
from ar_jax.training import data_parallel, init_state, make_eval_step, make_train_step
from ar_jax.training.parallel import shard

# SGD: Adam hides a gradient of the wrong scale.
SGD = optax.sgd(0.5)


def make_model(dropout=0.0):
    return ar.AutoregressiveModel(
        ordering=ar.orderings.Raster((3, 3, 1), (1, 3, 1)),
        conditional=ar.conditionals.MADE(hidden=(16,)),
        head=ar.heads.Bernoulli(),
        context=ar.contexts.ClassLabel(4, dropout=dropout),
    )


def make_batch(rows=16):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (rows, 3, 3, 1), dtype=np.int32)
    return {"x": x, "y": rng.integers(0, 4, rows, dtype=np.int32)}


def on_devices(step, devices):
    """The step on simulated devices. Unlike pmap, vmap refuses results that differ among them."""
    mapped = jax.vmap(step, axis_name="data", in_axes=(None, 0), out_axes=None)
    return jax.jit(lambda carry, batch: mapped(carry, shard(batch, devices)))


def assert_close(actual, expected, rtol=1e-5):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol, atol=rtol / 10), actual, expected
    )


def test_the_average_begins_as_a_copy_and_warms_up():
    model, batch = make_model(), make_batch()
    state = init_state(model, SGD, 0, batch)
    for average, param in zip(*map(jax.tree.leaves, (state.ema, state.params)), strict=True):
        np.testing.assert_array_equal(average, param)
        assert average.unsafe_buffer_pointer() != param.unsafe_buffer_pointer()  # no alias
    step = on_devices(make_train_step(model, SGD, 0.15), 1)
    expected = state.params
    for decay in (1 / 10, 0.15, 0.15):  # 2/11 and 3/12 are above the 0.15 asked for
        state, _ = step(state, batch)
        expected = jax.tree.map(lambda e, p, d=decay: d * e + (1 - d) * p, expected, state.params)
        assert_close(state.ema, expected)


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_any_number_of_devices_makes_the_step_of_the_whole_batch(devices):
    model, batch = make_model(), make_batch()
    state = init_state(model, SGD, 0, batch)

    def loss(params):
        return -jnp.mean(model.apply({"params": params}, batch["x"], batch["y"])) / 9

    value, gradient = jax.jit(jax.value_and_grad(loss))(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, state.params, gradient)

    new, metrics = on_devices(make_train_step(model, SGD, 0.9), devices)(state, batch)
    assert_close(new.params, expected)
    expected = {"loss": value, "nats": 9 * value, "gradient_norm": optax.tree.norm(gradient)}
    assert_close(metrics, expected)


def test_a_forgotten_mean_over_devices_is_caught(monkeypatch):
    monkeypatch.setattr(jax.lax, "pmean", lambda x, axis_name: x)
    model, batch = make_model(), make_batch()
    step = on_devices(make_train_step(model, SGD, 0.9), 2)
    with pytest.raises(ValueError, match="out_axes"):
        step(init_state(model, SGD, 0, batch), batch)


def test_eight_real_devices_make_the_steps_of_one():
    model, batch = make_model(), make_batch()
    step = make_train_step(model, SGD, 0.9)
    parallel = data_parallel(step, donate_argnums=(0,))
    single = on_devices(step, 1)
    here, there = init_state(model, SGD, 0, batch), init_state(model, SGD, 0, batch)
    for _ in range(5):
        here, expected = single(here, batch)
        there, metrics = parallel(there, batch)
        assert_close(metrics, expected)
    assert_close(there.params, here.params)
    assert_close(there.ema, here.ema)
    assert int(there.step) == 5


def test_dropout_is_a_function_of_seed_step_and_device():
    model, batch = make_model(dropout=0.5), make_batch()
    state = init_state(model, SGD, 0, batch)
    step = make_train_step(model, SGD, 0.9)
    one, two = on_devices(step, 1), on_devices(step, 2)
    loss = one(state, batch)[1]["loss"]
    assert loss == one(state, batch)[1]["loss"]
    assert loss != one(state.replace(step=jnp.int32(1)), batch)[1]["loss"]
    other = init_state(model, SGD, 1, batch)
    assert loss != one(state.replace(key=other.key), batch)[1]["loss"]
    twice = jax.tree.map(lambda a: np.concatenate([a, a]), batch)
    assert not np.isclose(loss, two(state, twice)[1]["loss"], rtol=1e-4)


class Fragile(ar.AutoregressiveModel):
    """The loss of a row with label 3 is not a number."""

    def __call__(self, x, condition=None, lengths=None):
        nats = super().__call__(x, condition, lengths)
        return nats * jnp.where(condition == 3, jnp.nan, 1.0)


@pytest.mark.parametrize("devices", [1, 4])
def test_a_skipped_step_changes_nothing_but_the_count_of_steps(devices):
    """The label is in one row: in the share of one device, whose state is that of all."""
    model = Fragile(**{name: getattr(make_model(), name) for name in PARTS})
    batch = make_batch() | {"y": np.arange(16, dtype=np.int32) % 3}
    optimizer = optax.adam(0.1)
    state = init_state(model, optimizer, 0, batch)
    skipping = on_devices(make_train_step(model, optimizer, 0.9, on_nonfinite="skip"), devices)
    raising = on_devices(make_train_step(model, optimizer, 0.9), devices)

    new, scalars = skipping(state, batch)
    expected, expected_metrics = raising(state, batch)
    assert scalars.pop("skipped") == 0
    assert_close(
        (new.params, new.ema, new.opt_state), (expected.params, expected.ema, expected.opt_state)
    )
    assert_close(scalars, expected_metrics)

    spoilt = batch | {"y": np.where(np.arange(16) == 15, 3, batch["y"])}
    again, scalars = skipping(new, spoilt)
    assert scalars == {"loss": 0, "nats": 0, "gradient_norm": 0, "skipped": 1}
    assert int(again.step) == 2
    for field in ("params", "ema", "opt_state"):
        jax.tree.map(np.testing.assert_array_equal, getattr(again, field), getattr(new, field))
    assert np.isnan(raising(new, spoilt)[1]["loss"])


PARTS = ("ordering", "conditional", "head", "context")


@pytest.mark.parametrize("micro_batches", [2, 4])
@pytest.mark.parametrize("devices", [1, 2])
def test_micro_batches_make_the_step_of_the_whole_batch(micro_batches, devices):
    """In double precision, where rounding cannot hide a wrong scale."""
    with jax.enable_x64(True):
        model, batch = make_model(), make_batch()
        state = init_state(model, SGD, 0, batch)
        state = state.replace(
            **jax.tree.map(
                lambda p: p.astype(jnp.float64), {"params": state.params, "ema": state.ema}
            )
        )
        whole = on_devices(make_train_step(model, SGD, 0.9), devices)
        parts = on_devices(make_train_step(model, SGD, 0.9, micro_batches), devices)
        (new, metrics), (expected, expected_metrics) = parts(state, batch), whole(state, batch)
        assert {leaf.dtype for leaf in jax.tree.leaves(new.params)} == {np.dtype("float64")}
        assert_close((new.params, new.ema), (expected.params, expected.ema), rtol=1e-12)
        assert_close(metrics, expected_metrics, rtol=1e-12)


def test_each_micro_batch_of_each_device_has_dropout_of_its_own():
    model, batch, keys = make_model(dropout=0.5), make_batch(), set()

    def noted(model, variables, batch, key):
        data = jax.random.key_data(key)
        jax.debug.callback(lambda key: keys.add(tuple(key.tolist())), data)
        return MaximumLikelihood()(model, variables, batch, key)

    step = make_train_step(model, SGD, 0.9, micro_batches=4, objective=noted)
    on_devices(step, 2)(init_state(model, SGD, 0, batch), batch)
    jax.effects_barrier()
    assert len(keys) == 8


def test_micro_batches_that_do_not_divide_the_rows_are_refused():
    model, batch = make_model(), make_batch(6)
    step = on_devices(make_train_step(model, SGD, 0.9, micro_batches=4), 1)
    with pytest.raises(ValueError, match="micro_batches: expected a divisor of the 6 rows of a"):
        step(init_state(model, SGD, 0, batch), batch)


def test_half_precision_computes_in_bfloat16_and_keeps_float32():
    """A bfloat16 has 8 bits: each rounding is off by at most 2**-9 of the number.

    The network rounds its parameters, inputs, products and sums a few times from the pixels to the
    logits: the loss, of the size of the logits, may be off by a few times that, say 8; a gradient
    too, by a few times its own norm's share.
    """
    model, batch = make_model(), make_batch()
    state = init_state(model, SGD, 0, batch)
    exact = on_devices(make_train_step(model, SGD, 0.9), 2)
    rough = on_devices(make_train_step(model, SGD, 0.9, precision="bfloat16"), 2)
    (new, metrics), (expected, expected_metrics) = rough(state, batch), exact(state, batch)
    assert jax.tree.map(lambda a: a.dtype, new) == jax.tree.map(lambda a: a.dtype, state)
    assert metrics["loss"].dtype == jnp.float32
    assert metrics["loss"] != expected_metrics["loss"]
    assert metrics["loss"] == pytest.approx(expected_metrics["loss"], rel=8 * 2**-9)
    moved = jax.tree.map(jnp.subtract, new.params, state.params)
    error = jax.tree.map(jnp.subtract, new.params, expected.params)
    assert 0 < optax.tree.norm(error) < 8 * 2**-9 * optax.tree.norm(moved)
    products = [
        equation
        for equation in _equations(jax.make_jaxpr(rough)(state, batch).jaxpr)
        if equation.primitive.name == "dot_general"
    ]
    assert products
    for product in products:
        assert {v.aval.dtype for v in product.invars} == {np.dtype(jnp.bfloat16)}


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from _equations(inner)


@pytest.mark.parametrize("devices", [1, 4])
def test_evaluation_gives_each_row_in_its_place(devices):
    model, batch = make_model(dropout=0.5), make_batch()
    variables = init_state(model, SGD, 0, batch).variables
    expected = -np.asarray(model.apply(variables, batch["x"], batch["y"]))
    assert_close(on_devices(make_eval_step(model), devices)(variables, batch), expected)


def test_a_batch_that_does_not_fit_the_model_is_refused():
    with pytest.raises(ValueError, match=r"condition: expected integers 0 \.\.\. 3"):
        init_state(make_model(), SGD, 0, make_batch() | {"y": np.full(16, 4)})
