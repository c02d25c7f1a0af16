import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ar_jax as ar
from ar_jax.conditionals import GRU, MADE, PixelCNN, Transformer
from ar_jax.contexts import (
    ClassLabel,
    FirstToken,
    Image,
    Series,
    Set,
    Several,
    Tokens,
    Vector,
    map_condition,
)
from ar_jax.data import Arrays, EvaluationBatches, training_batches
from ar_jax.evaluation import evaluate
from ar_jax.heads import Bernoulli, Categorical
from ar_jax.inference.compression import compress, decompress
from ar_jax.nn.context import pool
from ar_jax.orderings import Raster
from ar_jax.testing import compiled_apply, random_variables
from ar_jax.training.state import init_state
from ar_jax.training.step import make_train_step


def draws(*shape):
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize(
    "conditional",
    [
        MADE(hidden=(9,)),
        PixelCNN(blocks=1, channels=4),
        Transformer(layers=1, width=16, heads=2),
        Transformer(layers=1, width=16, heads=2, cross_attention=True),
    ],
    ids=lambda part: type(part).__name__,
)
def test_neither_padding_nor_a_neighbour_in_the_batch_changes_a_prompt(conditional):
    model = ar.AutoregressiveModel(Raster((2, 2, 1)), conditional, Bernoulli(), Tokens(5, 4))
    x, y = np.ones((2, 2, 2, 1), np.int32), np.array([[3, -1, -1, -1], [2, 1, 0, 4]])
    variables = random_variables(model, x, y)
    both = compiled_apply(model, variables, x, y)
    np.testing.assert_allclose(
        both[:1], compiled_apply(model, variables, x[:1], y[:1, :1]), rtol=1e-5
    )
    np.testing.assert_allclose(both[1:], compiled_apply(model, variables, x[1:], y[1:]), rtol=1e-5)


def test_a_context_is_pooled_to_the_mean_of_the_vectors_that_count():
    vectors = jnp.array([[[1.0], [5.0], [9.0]]] * 2)
    mask = jnp.array([[1, 1, 0], [0, 0, 0]], bool)
    np.testing.assert_array_equal(pool((vectors, mask)), [[3.0], [0.0]])


def test_the_same_symbol_differs_by_its_place():
    context, y = Tokens(5, 2), np.array([[1, 1]])
    vectors, _ = context.apply(random_variables(context, y, 1), y, 1)
    assert not np.allclose(vectors[0, 0], vectors[0, 1])


def test_an_integer_image_is_read_as_levels_from_minus_one_to_one():
    context, y = Image((2, 4, 3), (1, 2)), np.arange(72).reshape(3, 2, 4, 3).astype(np.uint8)
    with jax.enable_x64(True):
        variables = random_variables(context, y, 3)
        of_integers, _ = context.apply(variables, y, 3)
        of_floats, mask = context.apply(variables, y / 127.5 - 1, 3)
    np.testing.assert_allclose(of_integers, of_floats, 1e-9)
    assert mask.shape == (3, 4)


def test_a_pixel_is_in_the_vector_of_its_patch_alone():
    context, y = Image((4, 6, 2), (2, 3)), draws(1, 4, 6, 2)
    variables = random_variables(context, y, 1)
    read = jax.jit(lambda y: context.apply(variables, y, len(y))[0])
    changed = y + np.eye(4 * 6 * 2).reshape(-1, 4, 6, 2)
    differs = (np.abs(read(changed) - read(y)) > 1e-6).any(axis=-1)
    row, column = np.indices((4, 6, 2)).reshape(3, -1)[:2]
    np.testing.assert_array_equal(differs, np.arange(4) == (row // 2 * 2 + column // 3)[:, None])


def test_even_the_mean_of_its_vectors_tells_where_a_patch_is():
    context, one = Image((2, 2, 1), (1, 1)), np.eye(4).reshape(4, 2, 2, 1)
    vectors = pool(context.apply(random_variables(context, one, 4), one, 4))
    assert len(np.unique(np.round(vectors, 4), axis=0)) == 4


@pytest.fixture(scope="module")
def sets():
    """Whether a model reads sets by their mean or by attention: log p of x given sets."""
    x = np.array([[0, 1, 1]])

    def scores(conditional):
        model = ar.AutoregressiveModel(Raster((3,)), conditional, Bernoulli(), Set(2, 4))
        with jax.enable_x64(True):
            variables = random_variables(model, x, np.zeros((1, 4, 2)))
        score = jax.jit(lambda y: model.apply(variables, x.repeat(2, axis=0), y))
        return lambda y: score(np.asarray(y, float))

    attention = Transformer(layers=1, width=8, heads=2, cross_attention=True)
    return [scores(MADE(hidden=(9,))), scores(attention)]


NUMBERS = st.sampled_from([-1.5, 0.0, 0.25, 1.0, np.nan])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=4, max_size=4), st.permutations(range(4)))
def test_neither_the_order_of_a_set_nor_its_padding_matters(sets, rows, order):
    rows = np.array([(0.5, 0.5), *rows[1:]])
    with jax.enable_x64(True):
        for score in sets:
            first, second = score([rows, rows[order]])
            np.testing.assert_allclose(first, second, 1e-9)


def test_sets_of_the_same_mean_are_told_apart(sets):
    none = [np.nan] * 2
    with jax.enable_x64(True):
        for score in sets:
            first, second = score([[[1, 1], [-1, -1], none, none], [[0, 0], [0, 0], none, none]])
            assert abs(first - second) > 1e-4


def test_a_series_knows_its_order_and_what_is_unknown_but_not_its_padding():
    context, y = Series(2, 4), draws(1, 3, 2)
    with jax.enable_x64(True):
        variables = random_variables(context, y, 1)
        read = jax.jit(lambda y: pool(context.apply(variables, y, 1)))
        padded = np.concatenate([y, np.full((1, 1, 2), np.nan)], axis=1)
        np.testing.assert_allclose(read(padded), read(y), 1e-9)
        assert not np.allclose(read(y[:, ::-1]), read(y))
        unknown, zero = y.copy(), y.copy()
        unknown[0, 1, 0], zero[0, 1, 0] = np.nan, 0
        assert not np.allclose(read(unknown), read(zero))
        beside = unknown.copy()
        beside[0, 1, 1] += 1  # what stands beside an unknown number is known
        assert not np.allclose(read(beside), read(unknown))
        later = np.concatenate([np.full((1, 1, 2), np.nan), y], axis=1)
        assert not np.allclose(read(later), read(y))  # a gap is no padding


SEVERAL = Several((ClassLabel(3, width=4, dropout=0.1), Series(2, 3, width=4, dropout=0.1)))


def test_what_is_none_in_a_tuple_is_absent_for_the_whole_batch():
    y = np.arange(3).astype(np.uint8), draws(3, 2, 2)
    missing = SEVERAL.missing(tuple(map(jnp.asarray, y)))
    model = ar.AutoregressiveModel(Raster((3,)), GRU(layers=1, width=5), Categorical(3), SEVERAL)
    x = np.array([[0, 1, 2], [2, 2, 0], [1, 0, 1]])
    variables = random_variables(model, x, y)
    score = jax.jit(model.apply)
    for left_out, marked in (
        ((y[0], None), (y[0], missing[1])),
        ((None, y[1]), (missing[0], y[1])),
        ((None, None), missing),
        (None, missing),
    ):
        expected = score(variables, x, marked)
        np.testing.assert_allclose(score(variables, x, left_out), expected, 1e-6)
        assert not np.allclose(score(variables, x, y), expected)


def test_the_same_context_twice_has_weights_of_its_own():
    label = ClassLabel(4, width=3)
    twice, y = Several((label, label)), (np.arange(4), np.arange(4))
    vectors, _ = twice.apply(random_variables(twice, y, 4), y, 4)
    assert not np.isclose(vectors[:, 0], vectors[:, 1]).all(axis=-1).any()


def test_dropout_of_several_takes_all_conditions_at_once():
    """Fails by chance with odds of 1e-9: a binomial count six standard deviations off."""
    count = 10_000
    parts = Image((1, 1, 1), (1, 1), width=4, dropout=1e-9), Vector(1, width=4, dropout=1e-9)
    context = Several(parts, dropout=0.3)
    y = np.zeros((count, 1, 1, 1), np.uint8), np.zeros((count, 1))
    variables = random_variables(context, y, count)
    null, _ = context.apply(variables, None, count)
    vectors, _ = context.apply(variables, y, count, rngs={"dropout": jax.random.key(0)})
    gone = np.asarray(vectors == null).all(axis=-1)
    np.testing.assert_array_equal(gone[:, 0], gone[:, 1])
    assert abs(gone[:, 0].sum() - 0.3 * count) < 6 * np.sqrt(0.3 * 0.7 * count)


@pytest.fixture(scope="module")
def several():
    """A model of several conditions with its variables, events and conditions."""
    model = ar.AutoregressiveModel(Raster((3,)), GRU(layers=1, width=5), Categorical(3), SEVERAL)
    x = np.array([[0, 1, 2], [2, 2, 0], [1, 0, 1], [0, 0, 2]])
    series = draws(4, 3, 2).astype(np.float32)
    series[1, 1:], series[2] = np.nan, np.nan
    y = np.array([0, 2, 1, -1]), series
    return model, random_variables(model, x, y), x, y


def test_guidance_leads_from_some_conditions_to_others(several):
    model, variables, _, y = several
    key, negative = jax.random.key(0), map_condition(lambda y: y[::-1], y)
    for n, other in ((negative, {"condition": negative}), (None, {"batch_size": 4})):
        guidance = ar.Guidance(-1.0, n)  # p(y)^0 p(n)^1
        drawn = ar.sample(model, variables, key, condition=y, guidance=guidance)
        np.testing.assert_array_equal(drawn, ar.sample(model, variables, key, **other))
    shorter = y[0], y[1][:, :2]
    with pytest.raises(ValueError, match=r"^guidance: expected a negative of shape .* pad one"):
        ar.sample(model, variables, key, condition=y, guidance=ar.Guidance(1.0, shorter))


def test_streams_beams_and_files_take_several_conditions(several):
    model, variables, x, y = several
    steps = list(ar.stream(model, variables, jax.random.key(0), condition=y))
    drawn = ar.sample(model, variables, jax.random.key(0), condition=y)
    np.testing.assert_array_equal(np.concatenate(steps, axis=1), drawn)
    events, log_prob = ar.beam_search(model, variables, beams=9, condition=y)
    again = map_condition(lambda y: y.repeat(9, axis=0), y)
    scored = compiled_apply(model, variables, events.reshape(-1, 3), again)
    np.testing.assert_allclose(log_prob.ravel(), scored, 1e-5)
    data = compress(model, variables, x, y, batch_size=3)
    np.testing.assert_array_equal(decompress(model, variables, data, y), x)
    with pytest.raises(ValueError, match=r"^condition: expected one for each of 4 events, got 3"):
        decompress(model, variables, data, map_condition(lambda y: y[:3], y))


def test_training_and_evaluation_take_several_conditions(several):
    model, variables, x, y = several
    examples = Arrays(x, y)
    batch = training_batches(examples, 4)[0]
    rows = [x.tolist().index(event) for event in batch["x"].tolist()]
    np.testing.assert_array_equal(batch["y"][0], y[0][rows])
    np.testing.assert_array_equal(batch["y"][1], y[1][rows])
    optimizer = optax.sgd(0.1)
    state = init_state(model, optimizer, 0, batch)
    step = make_train_step(model, optimizer, 0.9, micro_batches=2)
    parallel = jax.vmap(step, axis_name="data", in_axes=(None, 0), out_axes=None)
    _, scalars = jax.jit(parallel)(state, jax.tree.map(lambda a: a[None], batch))
    assert np.isfinite(scalars["loss"])
    assert np.isfinite(scalars["gradient_norm"])  # the NaN of what is missing does not spread
    scored = evaluate(model, variables, EvaluationBatches(examples, 8), "all")
    np.testing.assert_allclose(scored.nats, -compiled_apply(model, variables, x, y).mean(), 1e-5)
    with pytest.raises(ValueError, match=r"^y: expected 4 rows, as in x, got 3"):
        Arrays(x, (y[0], y[1][:3]))


IMAGE, SERIES = Image((2, 4, 1), (1, 2)), Series(2, 3)
PAIR = Several((ClassLabel(3), Vector(2)))


@pytest.mark.parametrize(
    ("context", "y", "message"),
    [
        (IMAGE, np.zeros((2, 2, 4)), r"condition: expected shape \[2, 2, 4, 1\], got \[2, 2, 4\]"),
        (IMAGE, np.full((2, 2, 4, 1), 256), "condition: expected integers 0 ... 255, got values"),
        (IMAGE, np.array([0, -1] * 8).reshape(2, 2, 4, 1), "expected integers 0 ... 255, got val"),
        (IMAGE, np.full((2, 2, 4, 1), -1), r"condition: expected one .* Image\(dropout=0\)"),
        (IMAGE, np.full((2, 2, 4, 1), np.nan), r"condition: expected one .* Image\(dropout=0\)"),
        (IMAGE, np.array([0, np.nan] * 8).reshape(2, 2, 4, 1), "condition: expected finite"),
        (IMAGE, np.full((2, 2, 4, 1), "a"), "condition: expected floating-point numbers, got dty"),
        (Image((2, 4, 1), (1, 3)), np.zeros((2, 2, 4, 1)), "patch: expected sides that divide"),
        (Image((2, 4, 1), (0, 2)), np.zeros((2, 2, 4, 1)), "patch: expected sides that divide"),
        (Image((2, 4, 1), (1, 2), levels=1), np.zeros((2, 2, 4, 1)), "levels: expected at least 2"),
        (SERIES, np.zeros((2, 2)), r"condition: expected shape \[2, rows, 2\], got \[2, 2\]"),
        (SERIES, np.zeros((2, 3, 1)), r"condition: expected shape \[2, rows, 2\], got \[2, 3, 1\]"),
        (SERIES, np.zeros((2, 4, 2)), "condition: expected 1 to 3 rows, got 4"),
        (SERIES, np.zeros((2, 0, 2)), "condition: expected 1 to 3 rows, got 0"),
        (SERIES, np.zeros((2, 3, 2), int), "condition: expected floating-point numbers, got dtype"),
        (SERIES, np.full((2, 3, 2), np.inf), "condition: expected finite numbers"),
        (SERIES, np.full((2, 3, 2), np.nan), r"condition: expected one .* Series\(dropout=0\)"),
        (SERIES, None, r"condition: expected one for every example, .* Series\(dropout=0\)"),
        (SERIES, (np.zeros((2, 3, 2)),), "condition: expected one for Series, got a tuple of 1"),
        (SERIES, np.full((2, 3, 2), 1e39), r"condition: expected numbers up to 1.8e\+19 in size"),
        (Set(2, 3), np.full((2, 3, 2), -2e19), "condition: expected numbers up to"),
        (Vector(2), np.full((2, 2), 1e39), r"condition: expected numbers up to 1.8e\+19 in size"),
        (IMAGE, np.full((2, 2, 4, 1), 1e39), r"condition: expected numbers up to 1.8e\+19 in size"),
        (ClassLabel(3), np.full(2, 2**32), "condition: .* got values 429"),
        (Tokens(3, 2), np.full((2, 2), 2**32), "condition: .* got values 429"),
        (FirstToken(3), np.full((2, 1), 2**32), "condition: .* got values 429"),
        (Tokens(6, 4), np.array([[1, 2, -1, -1], [-1, -1, 1, 2]]), "condition: .* one in row 1"),
        (Tokens(6, 4), np.array([[1, -1, -1, 2], [1, 2, 3, 4]]), "condition: .* one in row 0"),
        (Vector(2, dropout=np.nan), np.zeros((2, 2)), "dropout: expected a number, got nan"),
        (Vector(2, width=2.5), np.zeros((2, 2)), "width: expected whole numbers, got 2.5"),
        (Vector(2, width=0), np.zeros((2, 2)), "width: expected at least 1, got 0"),
        (ClassLabel(0), np.zeros(2, int), "classes: expected at least 1, got 0"),
        (PAIR, np.zeros(2, int), "condition: expected a tuple of 2, got ndarray"),
        (PAIR, (np.zeros(2, int),), "condition: expected a tuple of 2, got 1"),
        (PAIR, (np.zeros(2, int), np.zeros(2)), r"contexts\[1\]: .* shape \[2, 2\]"),
        (PAIR, (None, np.zeros((2, 2))), r"contexts\[0\]: condition: expected one for"),
        (PAIR, None, r"contexts\[0\]: condition: expected one for"),
        (Several(()), (), "contexts: expected at least 1, got 0"),
        (Several((FirstToken(3),)), (np.zeros((2, 1), int),), "contexts: expected encoders"),
        (Several((ClassLabel(3),), dropout=0.1), (np.zeros(2, int),), r"contexts: .* above 0"),
        (Several((ClassLabel(3),), dropout=1.0), (np.zeros(2, int),), "dropout: expected at le"),
        (Several((SERIES, ClassLabel(3, width=5))), None, r"contexts: .* one width, got \[64"),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused(context, y, message):
    model = ar.AutoregressiveModel(Raster((3,)), MADE((9,)), Bernoulli(), context)
    with pytest.raises(ValueError, match=f"^{message}" if message[0] != "e" else message):
        model.check(np.zeros((2, 3), int), y)


def test_a_gap_in_a_series_is_time_that_passes_and_in_a_set_nothing():
    """A row that is all NaN leaves the places of those after it; a set has none."""
    gap = draws(1, 4, 2)
    gap[0, 1] = np.nan
    closed = np.delete(gap, 1, axis=1)
    for context, same in ((Series(2, 4), False), (Set(2, 4), True)):
        model = ar.AutoregressiveModel(Raster((2,)), MADE((9,)), Bernoulli(), context)
        x = np.zeros((1, 2), int)
        variables = random_variables(model, x, gap)
        one, other = (float(compiled_apply(model, variables, x, y)[0]) for y in (gap, closed))
        assert (abs(one - other) < 1e-5) == same


def test_a_condition_is_checked_before_jax_takes_its_integers_for_others():
    """2^32 + 1 would be class 1."""
    model = ar.AutoregressiveModel(Raster((2,)), MADE((9,)), Bernoulli(), ClassLabel(3))
    with pytest.raises(
        ValueError, match=r"^condition: expected integers 0 \.\.\. 2, got values 429"
    ):
        ar.sample(model, {}, jax.random.key(0), condition=np.array([2**32 + 1]))


@pytest.mark.parametrize(
    ("context", "y"),
    [
        (Tokens(5, 2), np.array([[-1, -1], [1, -1]])),
        (Series(1, 2), np.array([[[np.nan]] * 2, [[1.0], [np.nan]]])),
        (Image((1, 1, 1), (1, 1)), np.array([-1, 3]).reshape(2, 1, 1, 1)),
    ],
    ids=lambda part: type(part).__name__,
)
def test_inside_jit_what_was_never_trained_gives_nan(context, y):
    model = ar.AutoregressiveModel(Raster((2,)), MADE(hidden=(3,)), Bernoulli(), context)
    x = np.ones((2, 2), int)
    log_prob = jax.jit(model.apply)(random_variables(model, x, y[1:].repeat(2, 0)), x, y)
    np.testing.assert_array_equal(np.isnan(log_prob), [True, False])
