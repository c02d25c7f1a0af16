import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.checks import check_floats, check_integers


def test_a_check_moves_nothing_to_a_device():
    with jax.transfer_guard_host_to_device("disallow_explicit"):
        check_integers("x", np.arange(3), 0, 2)
        check_floats("x", np.linspace(0, 1, 3))


@pytest.mark.parametrize("integers", [[0, 1], 1, True, np.uint8(1), jnp.arange(2)], ids=repr)
def test_integers_are_told_from_floats_in_any_container(integers):
    check_integers("x", integers, 0, 1)
    with pytest.raises(ValueError, match=r"^x: expected floating-point numbers, got dtype"):
        check_floats("x", integers)


@pytest.mark.parametrize("floats", [[0.0, 1.0], 1.0, np.float16(1), jnp.ones(2, "bfloat16")])
def test_floats_are_told_from_integers_in_any_container(floats):
    check_floats("x", floats)
    with pytest.raises(ValueError, match=r"^x: expected integers 0 \.\.\. 1, got dtype"):
        check_integers("x", floats, 0, 1)


def test_a_check_sees_the_dtype_of_a_tracer():
    jax.jit(lambda x: check_integers("x", x, 0, 1))(jnp.arange(9))
    with pytest.raises(ValueError, match="got dtype float32"):
        jax.jit(lambda x: check_integers("x", x, 0, 1))(jnp.ones(9))
