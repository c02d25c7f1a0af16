import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.checks import check_floats, check_integers, check_parameters


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


def test_parameters_that_are_not_finite_are_counted_and_named():
    kernel = np.zeros((16, 8), np.float32)
    kernel[3, :3] = np.nan
    kernel[4, 0] = np.inf
    variables = {"params": {"a": jnp.ones(3), "count": jnp.int32(1), "dense_0": {"kernel": kernel}}}
    message = r"^params\.dense_0\.kernel: expected finite numbers, got NaN in 4 of 128 values; .+$"
    with pytest.raises(ValueError, match=message):
        check_parameters(variables)
    with pytest.raises(ValueError, match="got infinity in 1 of 2 values"):
        check_parameters({"params": jnp.array([-jnp.inf, 1], jnp.bfloat16)})
    check_parameters({"params": kernel[:3], "key": jax.random.key(0), "float": 1.0})


def test_parameters_inside_a_traced_function_are_passed_over():
    nan = jnp.full(2, jnp.nan)
    jax.jit(lambda traced: check_parameters({"params": traced}))(nan)
