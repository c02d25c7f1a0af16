import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.checks import (
    as_keys,
    check_fields,
    check_floats,
    check_integers,
    check_number,
    check_parameters,
    check_positive,
    check_variables,
)


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


@pytest.mark.parametrize("value", [1e39, -1e39, 2e19, np.float64(1e300), np.float32(3e38)])
def test_a_number_whose_square_float32_has_not_is_refused(value):
    with pytest.raises(ValueError, match=r"^x: expected numbers up to 1.8e\+19 in size"):
        check_floats("x", np.array([0.0, value]))
    check_floats("x", np.array([1e19, -1e19], np.float32))


def test_in_double_precision_larger_numbers_are_allowed():
    with jax.enable_x64(True):
        check_floats("x", np.array([1e39]))
        check_integers("x", np.array([2**40]), 0, 2**41)


def test_numbers_of_half_precision_are_computed_with_in_single_precision():
    check_floats("x", np.array([6e4], np.float16))


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, 1e39, 10**400, "1", None, [1.0], np.ones(2), 1j], ids=repr
)
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError, match=r"^n: expected any number, got"):
        check_number("n", value, "any number", lambda _: True)


@pytest.mark.parametrize(
    "value", [2, 2.0, True, np.float32(2), np.int8(2), jnp.ones(()), np.ones(())]
)
def test_numbers_of_any_kind_are_numbers(value):
    check_number("n", value, "any number", lambda _: True)


@pytest.mark.parametrize("value", [2.5, 2.0, np.nan, np.inf, "2", np.float32(2)])
def test_a_count_is_an_integer(value):
    check_positive(n=np.int64(2), of_booleans=True)
    with pytest.raises(ValueError, match=r"^n: expected an integer, got"):
        check_positive(n=value)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_raw_keys_are_those_of_the_same_seed(shape):
    count = np.prod(shape, dtype=int)
    typed = jax.random.split(jax.random.key(7), count).reshape(shape)
    raw = jax.random.key_data(typed)
    for keys in (typed, raw, np.asarray(raw)):
        got = as_keys("key", keys, shape)
        np.testing.assert_array_equal(jax.random.key_data(got), raw)
    assert jax.jit(lambda raw: as_keys("key", raw, shape))(raw).shape == shape


@pytest.mark.parametrize(
    "keys", [0, None, "0", np.zeros(2), np.zeros(3, np.uint32), np.uint32(0), (1, 2)], ids=repr
)
def test_what_is_no_key_is_refused(keys):
    with pytest.raises(ValueError, match=r"^key: expected what jax.random.key\(seed\) makes, got"):
        as_keys("key", keys)


def test_more_keys_than_one_are_refused_where_one_is_asked_for():
    with pytest.raises(ValueError, match=r"^key: expected shape \[\], got \[3\]"):
        as_keys("key", jax.random.split(jax.random.key(0), 3))


@pytest.mark.parametrize("variables", [{"net": {}, "head": {}}, None, [], 3, np.zeros(3)], ids=repr)
def test_variables_without_params_are_refused_with_advice(variables):
    with pytest.raises(
        ValueError, match=r'^variables: .* give variables, not variables\["params"\]'
    ):
        check_variables(variables)


class Part(nn.Module):
    count: int = 1
    sizes: tuple[int, ...] = ()
    share: float = 0.0
    inner: nn.Module | None = None
    others: tuple[nn.Module, ...] = ()


@pytest.mark.parametrize(
    "part",
    [
        Part(count=1.5),  # pyright: ignore
        Part(count=np.nan),  # pyright: ignore
        Part(sizes=(1, 2.0)),  # pyright: ignore
        Part(share=np.nan),
        Part(inner=Part(share=np.nan)),
        Part(others=(Part(), Part(count=1.5))),  # pyright: ignore
    ],
)
def test_the_numbers_of_a_part_are_as_declared(part):
    check_fields(Part(count=np.int64(2), share=1, others=(Part(share=np.inf),)))
    with pytest.raises(ValueError, match=r"^(count|sizes|share): expected"):
        check_fields(part)
