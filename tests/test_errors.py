"""Bad input gets an error that names the field, what was expected and what came."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.conditionals import LRU, LSTM, MADE, PixelCNN, Transformer
from ar_jax.contexts import ClassLabel, Nothing, Tokens, Vector
from ar_jax.evaluation import posterior
from ar_jax.heads import (
    Bernoulli,
    Categorical,
    DiscretizedLogisticMixture,
    EndOfSequence,
    GaussianMixture,
    Nested,
    NeuralSpline,
)
from ar_jax.nn import FromTo, Learned, Rotary
from ar_jax.orderings import ColumnMajor, Permutation, Raster, Snake

X = np.zeros((2, 2, 2, 1), np.int32)
KEY = jax.random.key(0)


class Unencoded(Bernoulli):
    def encode(self, value):
        return value


def model(**parts):
    defaults = {
        "ordering": Raster((2, 2, 1)),
        "conditional": MADE(hidden=(8,)),
        "head": Bernoulli(),
        "context": Nothing(),
    }
    return ar.AutoregressiveModel(**(defaults | parts))


@pytest.mark.parametrize(
    ("parts", "x", "y", "message"),
    [
        ({}, X[:, 0], None, r"x: expected shape \[batch, 2, 2, 1\], got \[2, 2, 1\]"),
        ({}, X.astype(float), None, "x: expected integers 0 ... 1, got dtype float"),
        ({}, X + 2, None, r"x: expected integers 0 ... 1, got values 2 ... 2"),
        ({"head": Categorical(3)}, X - 1, None, r"x: expected integers 0 ... 2, got values -1"),
        ({"head": GaussianMixture()}, X, None, "x: expected floating-point numbers, got dtype int"),
        ({"head": GaussianMixture()}, X + np.nan, None, "x: expected finite numbers, got NaN"),
        ({}, X, np.arange(2), r"condition: expected None, since .* Nothing\(\), got ndarray"),
        ({"context": ClassLabel(3)}, X, None, "condition: expected"),
        ({"context": ClassLabel(3)}, X, np.array([0, -1]), "condition: expected integers 0 ... 2"),
        ({"context": ClassLabel(3)}, X, np.array([0, 3]), "expected integers 0 ... 2, got values"),
        ({"context": ClassLabel(3, dropout=0.1)}, X, np.array([0, -2]), "integers -1 ... 2"),
        (
            {"context": ClassLabel(3)},
            X,
            np.arange(3),
            r"condition: expected shape \[2\], got \[3\]",
        ),
        ({"context": Vector(3)}, X, np.zeros((2, 4)), r"condition: expected shape \[2, 3\]"),
        ({"context": Vector(3)}, X, np.full((2, 3), np.nan), r"condition: .* Vector\(dropout=0\)"),
        ({"context": Vector(3)}, X, np.array([[0, 0, np.nan]] * 2), "condition: expected finite"),
        ({"context": Tokens(5, 3)}, X, np.zeros((2, 4), int), "condition: expected 1 to 3 symbols"),
        ({"context": Tokens(5, 3)}, X, np.full((2, 3), 5), "condition: expected integers -1 ... 4"),
        ({"conditional": PixelCNN(), "ordering": Snake((2, 2, 1))}, X, None, "ordering: PixelCNN"),
        (
            {"head": DiscretizedLogisticMixture(2, channels=3)},
            X,
            None,
            "block: expected a multiple",
        ),
        (
            {"head": Nested(model(context=Vector(4)))},
            X,
            None,
            r"block: expected the variables of the nested event \(2, 2, 1\), got 1",
        ),
        ({"conditional": PixelCNN(kernel=2)}, X, None, "kernel: expected an odd number, got 2"),
        ({"conditional": MADE(hidden=(0,))}, X, None, "hidden: expected at least 1 unit"),
        ({"head": Unencoded()}, X, None, "head.encode: expected floating point, got int32"),
        ({"head": DiscretizedLogisticMixture(1)}, X, None, "levels: expected at least 2"),
        ({"context": ClassLabel(3, dropout=1.0)}, X, np.arange(2), "dropout: expected at least 0"),
        ({"head": Nested(model())}, X, None, "model: expected a nested model with the context"),
        ({}, X[:0], None, "examples: expected at least 1, got 0"),
        ({"conditional": Transformer(width=12, heads=4)}, X, None, "heads: expected"),
    ],
)
def test_scoring_names_what_does_not_fit(parts, x, y, message):
    with pytest.raises(ValueError, match=message):
        model(**parts).init(KEY, x, y)


@pytest.mark.parametrize(
    ("ordering", "message"),
    [
        (lambda: Raster((4, 4), (3, 1)), r"block: expected one divisor .* \(4, 4\), got \(3, 1\)"),
        (lambda: Raster((4, 4), (2,)), "block: expected one divisor"),
        (lambda: Permutation((3,), (), (0, 1, 1)), "permutation: expected each of 0 ... 2 once"),
        (lambda: ColumnMajor((4, 4, 3)), "ColumnMajor: expected an event"),
    ],
)
def test_an_ordering_names_what_does_not_fit(ordering, message):
    with pytest.raises(ValueError, match=message):
        ordering()


@pytest.mark.parametrize(
    ("parts", "options", "message"),
    [
        ({}, {}, "batch_size: expected it, a condition or a prefix"),
        ({}, {"batch_size": 0}, "batch_size: .* at least 1"),
        ({}, {"batch_size": 2, "condition": np.arange(2)}, "condition: expected None"),
        ({"context": ClassLabel(3)}, {"batch_size": 2}, "condition: expected one for every"),
        (
            {"context": ClassLabel(3)},
            {"batch_size": 3, "condition": np.arange(2)},
            "batch_size: .* all to agree",
        ),
        ({}, {"prefix": np.zeros((2, 5, 1), int)}, "prefix: expected at most the event's 4 steps"),
        (
            {},
            {"prefix": np.zeros((2, 3), int)},
            r"prefix: expected shape \[batch, n, 1\], got \[2, 3\]",
        ),
        ({}, {"prefix": np.full((2, 3, 1), 2)}, "prefix: expected integers 0 ... 1"),
        ({}, {"prefix": np.zeros(3, int)}, r"prefix: expected shape \[batch, n, 1\], got \[3\]"),
        (
            {},
            {"prefix": np.zeros((2, 3, 1), int), "prefix_lengths": np.array([4, 0])},
            "prefix_lengths: expected integers 0 ... 3",
        ),
        ({}, {"batch_size": 2, "prefix_lengths": np.zeros(2, int)}, "prefix_lengths: expected a"),
        ({}, {"batch_size": 2.5}, "batch_size: expected an integer, got 2.5"),
        ({}, {"prefix": np.zeros((2, 3, 1), int), "prefix_lengths": [1.0, 1]}, "prefix_lengths: "),
        ({}, {"prefix": np.zeros((2, 3, 1), int), "prefix_lengths": [-1, 1]}, "prefix_lengths: "),
        ({}, {"prefix": np.full((2, 3, 1), 2**32)}, "prefix: expected integers 0 ... 1, got val"),
        (
            {"head": GaussianMixture()},
            {"prefix": np.full((2, 3, 1), 1e39)},
            r"prefix: expected numbers up to 1.8e\+19 in size",
        ),
        ({}, {"batch_size": 2, "sampler": ar.Sampler(temperature=-1.0)}, "temperature: expected"),
        ({}, {"batch_size": 2, "sampler": ar.Sampler(top_p=0.0)}, "top_p: expected above 0"),
        ({}, {"batch_size": 2, "sampler": ar.Sampler(top_k=-1)}, "top_k: expected at least 0"),
        ({}, {"batch_size": 2, "sampler": ar.Sampler(min_p=2.0)}, "min_p: expected 0 to 1"),
        (
            {"head": GaussianMixture()},
            {"batch_size": 2, "sampler": ar.Sampler(top_p=0.9)},
            r"sampler: expected a temperature only, .* GaussianMixture .* top_p=0.9",
        ),
    ],
)
def test_sampling_names_what_does_not_fit(parts, options, message):
    net = model(**parts)
    context = parts.get("context", Nothing())
    y = None if isinstance(context, Nothing) else np.zeros(2, np.int32)
    variables = net.init(KEY, X.astype(net.head.dtype), y)
    with pytest.raises(ValueError, match=message):
        ar.sample(net, variables, KEY, **options)


def test_inside_jit_the_impossible_has_probability_zero():
    net = model(head=Categorical(3))
    variables = net.init(KEY, X)
    log_prob = jax.jit(net.apply)(variables, jnp.asarray(X).at[0, 0, 0, 0].set(7))
    assert log_prob[0] == -jnp.inf
    assert jnp.isfinite(log_prob[1])


def test_inside_jit_a_condition_that_was_never_trained_gives_nan():
    net = model(context=ClassLabel(3))
    variables = net.init(KEY, X, np.arange(2))
    log_prob = jax.jit(net.apply)(variables, X, np.array([-1, 2]))
    assert jnp.isnan(log_prob[0])
    assert jnp.isfinite(log_prob[1])


def test_init_asks_for_an_example_of_the_condition():
    with pytest.raises(ValueError, match="condition: expected an example of it for init"):
        model(context=ClassLabel(3, dropout=0.1)).init(KEY, X)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, bool])
def test_values_of_any_integer_type_are_the_same(dtype):
    net = model()
    variables = net.init(KEY, X)
    x = np.random.default_rng(0).integers(0, 2, X.shape)
    expected = net.apply(variables, x)
    np.testing.assert_array_equal(net.apply(variables, x.astype(dtype)), expected)
    prefix = net.ordering.to_steps(x)[:, :2]
    draws = [ar.sample(net, variables, KEY, prefix=p) for p in (prefix, prefix.astype(dtype))]
    np.testing.assert_array_equal(*draws)


def test_a_prefix_of_no_steps_is_no_prefix():
    net = model()
    variables = net.init(KEY, X)
    empty = ar.sample(net, variables, KEY, prefix=np.zeros((2, 0, 1), int))
    np.testing.assert_array_equal(empty, ar.sample(net, variables, KEY, batch_size=2))


def test_a_part_that_lacks_a_method_cannot_be_built():
    class Forgetful(ar.conditionals.Conditional):
        pass

    with pytest.raises(TypeError, match="__call__"):
        Forgetful()


def test_more_classes_than_the_model_has_are_refused():
    net = model(context=ClassLabel(3))
    variables = net.init(KEY, X, np.arange(2))
    with pytest.raises(ValueError, match=r"condition: expected integers .* got values 0 ... 4"):
        posterior(net, variables, X, np.arange(5))


def test_the_commonest_slips_have_messages_of_their_own():
    net = model()
    variables = net.init(KEY, X)
    with pytest.raises(
        ValueError, match=r"^key: expected what jax.random.key\(seed\) mak.*, got 0"
    ):
        ar.sample(net, variables, 0, batch_size=1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^variables: expected all .* with conditional; give"):
        ar.sample(net, variables["params"], KEY, batch_size=1)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([5, 0], "lengths: expected integers 0 ... 4, got values 0 ... 5"),
        ([-1, 0], "lengths: expected integers 0 ... 4, got values -1 ... 0"),
        ([1.5, 0], "lengths: expected integers 0 ... 4, got dtype float64"),
        ([2**32 + 1, 0], "lengths: expected integers 0 ... 4, got values 0 ... 4294967297"),
        ([1], r"lengths: expected shape \[2\], got \[1\]"),
    ],
)
def test_lengths_are_integers_up_to_the_event_s(lengths, message):
    net = model()
    with pytest.raises(ValueError, match=f"^{message}"):
        net.apply(net.init(KEY, X), X, lengths=np.array(lengths))


@pytest.mark.parametrize("lengths", [[4], [-1], [1.5], [1, 2]])
def test_padding_asks_for_lengths_that_the_values_have(lengths):
    with pytest.raises(ValueError, match=r"^lengths: expected"):
        EndOfSequence.pad(jnp.zeros((1, 3, 1)), jnp.array(lengths))


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([[0, 1, 2, 2**32 + 3]], "order: expected integers 0 ... 3, got values 0 ... 4294967299"),
        ([[0.0, 1, 2, 3]], "order: expected integers 0 ... 3, got dtype float64"),
        ([[0, 1, 2, 2]], "order: expected each of 0 ... 3 once"),
    ],
)
def test_an_order_of_any_order_is_one(order, message):
    net = ar.AnyOrderModel(Raster((2, 2, 1)), Transformer(1, 4, 1, positions=FromTo()), Bernoulli())
    with pytest.raises(ValueError, match=f"^{message}"):
        net.apply(net.init(KEY, X[:1]), X[:1], order=np.array(order))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"conditional": Transformer(window=1.5)}, "window: expected whole numbers, got 1.5"),
        ({"conditional": Transformer(dropout=np.nan)}, "dropout: expected a number, got nan"),
        ({"conditional": Transformer(norm_epsilon=np.inf)}, "norm_epsilon: expected above 0 and"),
        ({"conditional": Transformer(norm_epsilon=0.0)}, "norm_epsilon: expected above 0 and"),
        ({"conditional": Transformer(layers=-1)}, "layers: expected at least 0, got -1"),
        ({"conditional": Transformer(positions=Rotary(base=np.inf))}, "base: expected above 0"),
        ({"conditional": Transformer(positions=Rotary(base=-1.0))}, "base: expected above 0"),
        ({"conditional": Transformer(positions=Learned(scale=np.inf))}, "scale: expected at leas"),
        ({"conditional": LSTM(forget_bias=np.inf)}, "forget_bias: expected a finite number"),
        ({"conditional": LRU(max_phase=np.inf)}, "max_phase: expected above 0 and finite"),
        ({"conditional": MADE(hidden=(2.5,))}, r"hidden: expected whole numbers, got \(2.5,\)"),
        ({"head": Categorical(0)}, "values: expected at least 1, got 0"),
        ({"head": Categorical(2.0)}, "values: expected whole numbers, got 2.0"),
        ({"head": DiscretizedLogisticMixture(2, components=0)}, "components: expected at least 1"),
        ({"head": NeuralSpline(bound=np.nan)}, "bound: expected a number, got nan"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:30],
)
def test_parts_whose_numbers_cannot_be_are_refused(parts, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        model(**parts).check_parts()
