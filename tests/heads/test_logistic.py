import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import exp, log, mp, mpf

from ar_jax.heads import DiscretizedLogisticMixture


def reference(level: int, levels: int, mean: float, log_scale: float) -> float:
    """The log-mass of a bin of one logistic, with 60 digits, on the side where it is small."""
    mp.dps = 60
    half = mpf(1) / (levels - 1)
    centred = 2 * half * level - 1 - mpf(mean)
    low = -mp.inf if level == 0 else centred - half
    high = mp.inf if level == levels - 1 else centred + half
    if centred > 0:
        low, high = -high, -low

    def cdf(x):
        return 1 / (1 + exp(-x / exp(mpf(log_scale))))

    return float(log(cdf(high) - cdf(low)))


ADVERSARIAL = [
    (mean, log_scale) for mean in (-30.0, -1.0, 0.003, 1.0, 30.0) for log_scale in (-7.0, 0.0, 5.0)
]


@pytest.mark.parametrize(("mean", "log_scale"), ADVERSARIAL)
def test_float32_is_right_in_the_tails_and_the_middle(mean, log_scale):
    head = DiscretizedLogisticMixture(levels=256, components=1)
    levels = np.array([0, 1, 127, 128, 254, 255])
    features = jnp.tile(jnp.array([0.0, mean, log_scale]), (len(levels), 1))
    got = head.apply({}, features, levels[:, None], method="log_prob")
    expected = [reference(int(level), 256, mean, log_scale) for level in levels]
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("log_scale", [-16.0, -12.0, -9.0])
@pytest.mark.parametrize("mean", [-30.0, -1.0, 0.003, 1.0, 30.0])
def test_float32_is_right_at_scales_down_to_1e_7(mean, log_scale):
    """An edge and a mean next to it are rounded once each, which counts in units of the scale."""
    head = DiscretizedLogisticMixture(levels=256, components=1)
    levels = np.array([0, 1, 127, 128, 254, 255])
    features = np.tile(np.float32([0.0, mean, log_scale]), (len(levels), 1))
    got = head.apply({}, features, levels[:, None], method="log_prob")
    mean = float(np.float32(mean))
    expected = np.array([reference(int(level), 256, mean, log_scale) for level in levels])
    rounding = np.finfo(np.float32).eps * np.exp(-log_scale) * (expected < -1e-6)
    assert np.all(np.abs(got - expected) <= 2e-6 * (1 + np.abs(expected)) + rounding)


@pytest.mark.parametrize(("mean", "log_scale"), [*ADVERSARIAL, (0.0, -1e4), (0.0, 1e4)])
def test_gradients_are_finite_everywhere(mean, log_scale):
    head = DiscretizedLogisticMixture(levels=256, components=2, channels=3)
    features = jnp.array([0, 50] + 2 * [mean] * 3 + 2 * [log_scale] * 3 + [0.3] * 6)
    features = features.reshape(1, 2, 10, order="F").reshape(1, -1)
    for level in (0, 1, 100, 254, 255):
        value = jnp.full((1, 3), level)
        gradient = jax.grad(lambda f, v=value: head.apply({}, f, v, method="log_prob").sum())(
            features
        )
        assert jnp.isfinite(gradient).all()


def test_a_channel_does_not_depend_on_those_after_it():
    head = DiscretizedLogisticMixture(levels=8, components=3, channels=3)
    features = jax.random.normal(jax.random.key(0), (head.num_params(3),))
    value = jnp.array([1, 5, 2])
    before = head.apply({}, features, value, method="log_pmf")
    for channel in range(3):
        after = head.apply({}, features, value.at[channel].set(7), method="log_pmf")
        changed = (after != before).any(axis=-1)
        np.testing.assert_array_equal(changed, np.arange(3) > channel)


def test_the_conditionals_of_the_channels_multiply_to_the_joint():
    head = DiscretizedLogisticMixture(levels=8, components=3, channels=3)
    features = jax.random.normal(jax.random.key(0), (5, head.num_params(6)))
    value = jax.random.randint(jax.random.key(1), (5, 6), 0, 8)
    log_pmf = head.apply({}, features, value, method="log_pmf")
    chained = jnp.take_along_axis(log_pmf, value[..., None], axis=-1).sum(axis=(1, 2))
    joint = head.apply({}, features, value, method="log_prob")
    np.testing.assert_allclose(chained, joint, rtol=1e-5)
