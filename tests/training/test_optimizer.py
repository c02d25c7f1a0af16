import dataclasses
import math
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ar_jax.training import (
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Exponential,
    Linear,
    Lion,
    Muon,
    Training,
)

OPTIMIZERS = [SGD(), Adam(), AdamW(), Lion(), Muon()]
SCHEDULES = [Cosine(), Linear(), Constant(), Exponential(decay=1.0)]


def named(value):
    return type(value).__name__


def rates(schedule, steps, peak=0.5):
    """Those that the steps of a run see."""
    return np.array([float(schedule.rate(peak, steps)(step)) for step in range(steps)])


RISE = 0.5 * np.arange(1, 11) / 10
"""Ten steps along the line from 0, before the first of them, to the peak of 0.5."""


def test_the_learning_rate_rises_to_its_peak_and_falls_as_a_cosine():
    fall = 0.1 + 0.4 * (1 + np.cos(np.pi * np.arange(91) / 90)) / 2
    expected = [*RISE, *fall[1:]]
    np.testing.assert_allclose(rates(Cosine(warmup=0.1, final=0.2), 100), expected, rtol=1e-5)


def test_the_learning_rate_rises_to_its_peak_and_falls_along_a_line():
    expected = [*RISE, *np.linspace(0.5, 0.1, 91)[1:]]
    np.testing.assert_allclose(rates(Linear(warmup=0.1, final=0.2), 100), expected, rtol=1e-5)


def test_the_learning_rate_rises_to_its_peak_and_stays():
    np.testing.assert_allclose(rates(Constant(warmup=0.1), 100), [*RISE, *[0.5] * 90], rtol=1e-6)


def test_the_learning_rate_is_multiplied_at_each_update():
    rate = Exponential(warmup=0.0, decay=0.9).rate(0.5, 100)
    expected = [0.5 * 0.9**step for step in (0, 1, 2, 99)]
    np.testing.assert_allclose([rate(0), rate(1), rate(2), rate(99)], expected, rtol=1e-5)


@pytest.mark.parametrize("wrong", [0.0, 1.1, math.nan])
def test_a_rate_that_vanishes_at_once_or_grows_is_refused(wrong):
    assert Exponential(decay=1.0).decay == 1.0
    with pytest.raises(
        ValueError, match=f"^decay: expected more than 0 and at most 1, got {wrong}"
    ):
        Exponential(decay=wrong)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=named)
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5, 0.99])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
def test_every_run_learns_from_its_first_step_and_ends_at_the_final_rate(schedule, warmup, steps):
    """Even a run of a single step; and without warm-up the first step is at the peak."""
    schedule = dataclasses.replace(schedule, warmup=warmup)
    seen = rates(schedule, steps)
    assert 0 < seen[0] <= seen.max() == 0.5
    assert (seen[:-1] > 0).all()
    if warmup * steps < 1.5:
        assert seen[0] == 0.5
    if steps > 1:
        assert seen[-1] == pytest.approx(0.5 * getattr(schedule, "final", 1.0), abs=1e-8)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=named)
def test_a_rate_is_the_one_that_updates_are_scaled_by(optimizer):
    """Halving the peak halves every update, from the first one on."""
    half = dataclasses.replace(optimizer, learning_rate=optimizer.learning_rate / 2)
    for whole, halved in zip(updates(optimizer, 1), updates(half, 1), strict=True):
        for name in PARAMS:
            assert np.abs(whole[name]).max() > 0
            np.testing.assert_allclose(halved[name], whole[name] / 2, rtol=1e-6)


@pytest.mark.parametrize("wrong", [-0.1, 1.0, math.nan])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((schedule, "warmup") for schedule in (Cosine, Linear, Constant)),
        *((optimizer, "beta1") for optimizer in (Adam, AdamW, Lion, Muon)),
        *((optimizer, "beta2") for optimizer in (Adam, AdamW, Lion, Muon)),
        *((optimizer, "momentum") for optimizer in (SGD, Muon)),
    ],
)
def test_what_must_be_a_fraction_is_refused_otherwise(kind, name, wrong):
    message = f"^{name}: expected at least 0 and less than 1, got {wrong}$"
    with pytest.raises(ValueError, match=message):
        kind(**{name: wrong})


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
@pytest.mark.parametrize("schedule", [Cosine, Linear])
def test_a_rate_that_ends_below_0_or_above_its_peak_is_refused(schedule, wrong):
    assert {schedule(final=final).final for final in (0.0, 1.0)} == {0.0, 1.0}
    with pytest.raises(ValueError, match=f"^final: expected a fraction from 0 to 1, got {wrong}$"):
        schedule(final=wrong)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=named)
@pytest.mark.parametrize(
    ("name", "expected", "wrong"),
    [
        *(("learning_rate", "more than 0", value) for value in (0.0, -1.0, math.nan)),
        *(("clip_norm", "more than 0", value) for value in (0.0, -1.0, math.nan)),
        *(
            ("weight_decay", "a finite number of at least 0", value)
            for value in (-0.1, math.inf, math.nan)
        ),
    ],
)
def test_updates_that_cannot_be_are_refused(optimizer, name, expected, wrong):
    with pytest.raises(ValueError, match=f"^{name}: expected {expected}, got {wrong}$"):
        dataclasses.replace(optimizer, **{name: wrong})


RNG = np.random.default_rng(0)
PARAMS = {
    "kernel": jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32),
    "bias": jnp.asarray(RNG.normal(size=4), jnp.float32),
    "embedding": jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32),
    "readout.kernel": jnp.asarray(RNG.normal(size=(4, 2)), jnp.float32),
}
GRADIENTS = [
    {name: jnp.asarray(RNG.normal(size=p.shape), jnp.float32) for name, p in PARAMS.items()}
    for _ in range(3)
]


def updates(optimizer, steps=3, params=PARAMS, gradients=GRADIENTS):
    """What an optimizer, ours or optax's, makes of the gradients, one after the other."""
    if not isinstance(optimizer, optax.GradientTransformation):
        optimizer = optimizer.transformation(10)
    state, made = optimizer.init(params), []
    for gradient in gradients[:steps]:
        update, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, update)
        made.append(update)
    return made


MATRICES = {"kernel": True, "bias": False, "embedding": True, "readout.kernel": True}
AT_ONCE = {"schedule": Constant(warmup=0.0), "clip_norm": math.inf}


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (SGD(0.1, momentum=0.5, **AT_ONCE), optax.sgd(0.1, momentum=0.5)),
        (SGD(0.1, momentum=0.0, **AT_ONCE), optax.sgd(0.1)),
        (Adam(0.1, beta1=0.8, beta2=0.9, **AT_ONCE), optax.adam(0.1, 0.8, 0.9)),
        (
            AdamW(0.1, beta1=0.8, beta2=0.9, weight_decay=0.3, **AT_ONCE),
            optax.adamw(0.1, 0.8, 0.9, weight_decay=0.3, mask=MATRICES),
        ),
        (
            Lion(0.1, beta1=0.8, beta2=0.9, weight_decay=0.3, **AT_ONCE),
            optax.lion(0.1, 0.8, 0.9, weight_decay=0.3, mask=MATRICES),
        ),
    ],
    ids=["SGD with momentum", "SGD", "Adam", "AdamW", "Lion"],
)
def test_an_optimizer_is_that_of_its_paper_as_optax_has_it(ours, reference):
    for made, expected in zip(updates(ours), updates(reference), strict=True):
        jax.tree.map(np.testing.assert_array_equal, made, expected)


def test_a_penalty_is_the_gradient_of_half_the_squares():
    penalised = updates(Adam(0.1, penalty=0.3, **AT_ONCE))
    plain, params = Adam(0.1, **AT_ONCE).transformation(10), PARAMS
    state = plain.init(params)

    def squares(params):
        return 0.3 / 2 * sum((p**2).sum() for p in jax.tree.leaves(params))

    for ours, gradient in zip(penalised, GRADIENTS, strict=True):
        gradient = jax.tree.map(jnp.add, gradient, jax.grad(squares)(params))
        expected, state = plain.update(gradient, state, params)
        params = optax.apply_updates(params, expected)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), ours, expected)
    with pytest.raises(
        ValueError, match=r"^penalty: expected a finite number of at least 0, got -"
    ):
        Adam(penalty=-1.0)


def test_adam_s_first_updates_follow_its_paper():
    """Kingma and Ba's algorithm 1, in double precision."""
    ours = updates(Adam(0.1, beta1=0.8, beta2=0.9, **AT_ONCE))
    for name in PARAMS:
        mean = square = np.zeros(PARAMS[name].shape)
        for t, (gradient, made) in enumerate(zip(GRADIENTS, ours, strict=True), start=1):
            g = np.asarray(gradient[name], np.float64)
            mean, square = 0.8 * mean + 0.2 * g, 0.9 * square + 0.1 * g**2
            expected = -0.1 * (mean / (1 - 0.8**t)) / (np.sqrt(square / (1 - 0.9**t)) + 1e-8)
            np.testing.assert_allclose(made[name], expected, rtol=1e-5)


def test_muon_s_first_updates_follow_its_paper():
    """Jordan's algorithm with Nesterov momentum, means freed of their bias, in double precision."""
    ours = updates(Muon(0.1, momentum=0.9, weight_decay=0.0, **AT_ONCE))
    mean = np.zeros((3, 4))
    for t, (gradient, made) in enumerate(zip(GRADIENTS, ours, strict=True), start=1):
        g = np.asarray(gradient["kernel"], np.float64)
        mean = 0.9 * mean + 0.1 * g
        x = 0.9 * mean / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
        x = x / np.linalg.norm(x)
        for _ in range(5):  # Newton and Schulz's, towards singular values of 1
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        expected = -0.1 * 0.2 * math.sqrt(4) * x
        np.testing.assert_allclose(made["kernel"], expected, rtol=1e-4, atol=1e-6)
        values = np.linalg.svd(x, compute_uv=False)
        assert ((values > 0.65) & (values < 1.25)).all()


def test_muon_leaves_all_but_hidden_kernels_to_adam():
    ours = updates(Muon(0.1, beta1=0.8, beta2=0.9, weight_decay=0.0, **AT_ONCE))
    for made, expected in zip(ours, updates(optax.nadam(0.1, 0.8, 0.9)), strict=True):
        for name in set(PARAMS) - {"kernel"}:
            np.testing.assert_allclose(made[name], expected[name], rtol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=named)
def test_matrices_decay_and_vectors_do_not(optimizer):
    optimizer = dataclasses.replace(optimizer, learning_rate=0.5, weight_decay=0.3, **AT_ONCE)
    zeros = [jax.tree.map(jnp.zeros_like, PARAMS)]
    (made,) = updates(optimizer, gradients=zeros)
    for name, param in PARAMS.items():
        expected = -0.5 * 0.3 * param if MATRICES[name] else jnp.zeros_like(param)
        np.testing.assert_allclose(made[name], expected, rtol=1e-6, atol=1e-12)


def test_nothing_decays_unless_the_method_has_it():
    assert [optimizer.weight_decay > 0 for optimizer in OPTIMIZERS] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_a_gradient_is_clipped_to_its_norm_if_longer(factor):
    gradient = jax.tree.map(lambda g: g * factor, GRADIENTS[0])
    sgd = SGD(1.0, clip_norm=2.0, schedule=Constant(warmup=0.0))
    (made,) = updates(sgd, gradients=[gradient])
    norm = optax.tree.norm(gradient)
    scale = min(1.0, 2.0 / norm)
    for name in PARAMS:
        np.testing.assert_allclose(made[name], -scale * gradient[name], rtol=1e-5)


def test_an_infinite_norm_clips_nothing():
    sgd = SGD(1.0, clip_norm=math.inf, schedule=Constant(warmup=0.0))
    gradient = jax.tree.map(lambda g: g * 1e15, GRADIENTS[0])
    (made,) = updates(sgd, gradients=[gradient])
    jax.tree.map(lambda m, g: np.testing.assert_array_equal(m, -g), made, gradient)


def test_an_optax_transformation_is_taken_as_it_is():
    optimizer = Training(optimizer=cast(Any, optax.adafactor(1e-2))).optimizer
    params = {"a": jnp.ones((4, 3)), "b": jnp.zeros(3)}
    gradient = jax.tree.map(lambda p: p + 0.5, params)
    ours, theirs = optimizer.transformation(10), optax.adafactor(1e-2)
    updates, _ = ours.update(gradient, ours.init(params), params)
    expected, _ = theirs.update(gradient, theirs.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, updates, expected)
    assert optimizer.rate(10) is None


def test_an_optax_schedule_is_taken_as_it_is():
    schedule = optax.cosine_decay_schedule(3e-3, 7)
    rate = AdamW(learning_rate=1.0, schedule=cast(Any, schedule)).rate(100)
    np.testing.assert_allclose([rate(t) for t in range(9)], [schedule(t) for t in range(9)])


def test_a_schedule_in_the_place_of_a_number_is_told_its_own():
    with pytest.raises(ValueError, match=r"learning_rate: expected a number, .* of optax"):
        AdamW(learning_rate=cast(Any, optax.cosine_decay_schedule(3e-3, 7)))


@pytest.mark.parametrize("wrong", ["adam", AdamW, optax.adam, 1e-3, None])
def test_what_is_no_optimizer_is_named(wrong):
    with pytest.raises(ValueError, match=r"optimizer: expected one of ar_jax\.training, such as"):
        Training(optimizer=wrong)


@pytest.mark.parametrize("wrong", ["cosine", Cosine, 1e-3, None])
def test_what_is_no_schedule_is_named(wrong):
    with pytest.raises(ValueError, match=r"schedule: expected one of ar_jax\.training, such as"):
        AdamW(schedule=wrong)
