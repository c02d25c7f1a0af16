"""Flows: their laws, what they refuse, and that they learn a density."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ar_jax as ar
import ar_jax.testing
from ar_jax.conditionals import GRU, MADE, NADE, Transformer
from ar_jax.contexts import ClassLabel, FirstToken, Nothing, Tokens, Vector
from ar_jax.data import Arrays, EvaluationBatches, training_batches
from ar_jax.evaluation import evaluate
from ar_jax.flows import IAF, MAF, Affine, Layer, Spline
from ar_jax.heads import Bernoulli, GaussianMixture, LogisticMixture
from ar_jax.nn import Learned
from ar_jax.orderings import ColumnMajor, Permutation, Raster, Reversed
from ar_jax.testing import close, random_variables, to_float32
from ar_jax.testing.work import multiply_adds
from ar_jax.training import AdamW, Training, fit

made, small = MADE((12,)), MADE((8,), activation="tanh")
transformer = Transformer(layers=1, width=8, heads=2, positions=Learned())
normal = GaussianMixture(1)
two = Raster((2,)), Reversed((2,))
permuted = (Permutation((4,), (1,), (2, 0, 3, 1)),)
image = ColumnMajor((2, 3, 1)), Reversed((2, 3, 1), (1, 3, 1)), Raster((2, 3, 1))
vectors = np.random.default_rng(0).normal(size=(3, 2))
tokens = np.array([[3, 1, 4], [1, -1, -1], [2, 0, -1]])

FLOWS = [  # direction, transform, conditional, orderings, head of the noise, context, conditions
    (MAF, Affine(), small, two, LogisticMixture(1), Nothing(), None),
    (MAF, Spline(bins=4), small, two, normal, Vector(2, width=4), vectors),
    (IAF, Affine(), small, two, normal, ClassLabel(3, width=4), np.arange(3)),
    (IAF, Spline(bins=4), small, two, normal, Nothing(), None),
    (MAF, Spline(bins=3, bound=2.0), transformer, image[:2], normal, Tokens(5, 3, width=4), tokens),
    (MAF, Affine(), NADE(hidden=5), image, normal, Vector(2, width=4), vectors),
    (IAF, Affine(), GRU(layers=1, width=4), permuted, normal, Nothing(), None),
]


def name(value):
    return value.__name__ if isinstance(value, type) else type(value).__name__


@pytest.mark.parametrize("transform", [Affine(), Spline(), Spline(bins=1, bound=2.0)], ids=str)
def test_a_transform_is_invertible(transform):
    ar.testing.check_transform(transform)


@pytest.mark.parametrize("parts", FLOWS, ids=lambda row: "-".join(map(name, row[:3])))
def test_a_flow_is_a_density(parts):
    flow, transform, net, orderings, head, context, conditions = parts
    layers = tuple(Layer(ordering, net, transform) for ordering in orderings)
    ar.testing.check_flow(flow(layers, head, context), conditions)


def maf(transform=Affine(), orderings=two, **fields):
    return MAF(tuple(Layer(ordering, small, transform) for ordering in orderings), **fields)


def test_an_affine_layer_is_an_autoregressive_model_of_gaussians():
    flow, x = maf(orderings=two[:1]), np.random.default_rng(0).normal(size=(20, 2))
    with jax.enable_x64(True):
        variables = random_variables(flow, x)
        nothing = np.zeros((20, 0, 1)), np.zeros((20, 0), bool)
        net = {"params": variables["params"]["stack_0"]["conditional"]}
        features = jax.jit(lambda net: small.apply(net, x[..., None], two[0], nothing, 2))(net)
        features, got = np.asarray(features), jax.jit(flow.apply)(variables, x)
    b, a = features[..., 0], features[..., 1]
    scale = np.exp(-a / (1 + np.abs(a) / math.log(1000)))
    close(got, stats.norm(-b * scale, scale).logpdf(x).sum(axis=1), "log-density")


def test_the_slow_direction_has_the_arithmetic_of_one_pass():
    layer = Layer(Raster((30,)), MADE((100, 70)), Spline())
    flow, x = MAF((layer,)), jnp.zeros((1, 30))
    variables = jax.eval_shape(flow.init, jax.random.key(0), x)
    nothing = jnp.zeros((1, 0, 1)), jnp.zeros((1, 0), bool)

    def begin(flow):
        return flow.stack[0].conditional.init_cache(x[:, :1], layer.ordering, nothing)

    def undo(flow, cache, t):
        return flow.stack[0].undo(cache, x[:, :1], x[:, :1], t)

    cache, slow = jax.eval_shape(lambda v: flow.apply(v, method=begin), variables), 0
    for t in range(30):
        step = jax.make_jaxpr(lambda v, cache, t=t: flow.apply(v, cache, t, method=undo))
        slow += multiply_adds(step(variables, cache).jaxpr)
    fast = jax.make_jaxpr(lambda v: flow.apply(v, x, method="to_noise"))(variables)
    assert 0 < slow <= 1.25 * multiply_adds(fast.jaxpr)


def test_the_layers_do_not_share_what_they_hold_one_instance_of():
    layers = tuple(Layer(ordering, transformer, Affine()) for ordering in two)
    params = random_variables(MAF(layers), np.zeros((1, 2)))["params"]
    first, second = (jax.tree.map(jnp.shape, params.pop(f"stack_{i}")) for i in (0, 1))
    assert first == second
    assert not params


@pytest.mark.parametrize("flow", [MAF, IAF])
def test_half_precision_is_of_the_network_alone(flow):
    model, x = flow((Layer(two[0], small, Spline()),)), np.zeros((3, 2), np.float32)
    variables = random_variables(model, x)
    half = jax.tree.map(lambda p: p.astype(jnp.bfloat16), variables)
    program = jax.make_jaxpr(model.apply)(half, x)
    assert program.out_avals[0].dtype == jnp.float32
    assert set(re.findall(r"(\w+)\[[^\]]*\] = dot_general", str(program))) == {"bf16"}


@pytest.mark.parametrize("flow", [MAF, IAF])
@pytest.mark.parametrize("transform", [Affine(), Spline(bins=4)], ids=name)
def test_gradients_are_finite_in_the_tails(flow, transform):
    model = flow(tuple(Layer(ordering, small, transform) for ordering in two))
    x = np.float32([[0, 0], [5, -5], [4.999999, 1e3], [-1e6, 0], [0, 1e6]])
    variables = to_float32(random_variables(model, x))
    gradients = jax.jit(jax.grad(lambda v, x: model.apply(v, x).sum(), (0, 1)))(variables, x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("flow", [MAF, IAF])
def test_dropout_is_on_where_a_key_is_given(flow):
    model = flow((Layer(Raster((3,)), GRU(layers=2, width=4, dropout=0.5), Affine()),))
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    variables = to_float32(random_variables(model, x))
    score = jax.jit(lambda key: model.apply(variables, x, rngs={"dropout": key}))
    one, same, other = (score(jax.random.key(key)) for key in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_an_example_is_drawn_alike_in_a_batch_of_any_size():
    flow = maf()
    variables = to_float32(random_variables(flow, X))
    few, many = (ar.sample(flow, variables, jax.random.key(1), batch_size=n) for n in (3, 8))
    np.testing.assert_allclose(few, many[:3], rtol=1e-5, atol=1e-5)


X = np.zeros((3, 2), np.float32)


@pytest.mark.parametrize(
    ("flow", "x", "condition", "message"),
    [
        (maf(), X[:, :1], None, r"x: expected shape \[batch, 2\], got \[3, 1\]"),
        (maf(), X[:0], None, "examples: expected at least 1, got 0"),
        (maf(), X.astype(int), None, "x: expected floating-point numbers, got dtype int"),
        (maf(), X + np.nan, None, "x: expected finite numbers, got NaN or infinity"),
        (maf(), X, X, r"condition: expected None, since the model's context is Nothing\(\)"),
        (maf(context=Vector(2)), X, None, "condition: expected one for every example"),
        (MAF(()), X, None, "layers: expected at least 1, got none"),
        (maf(orderings=(Raster((2,)), Raster((1, 2)))), X, None, "layers: expected one event, got"),
        (maf(Affine(min_slope=1.0)), X, None, "min_slope: expected above 0 and below 1, got 1.0"),
        (maf(Spline(bins=0)), X, None, "bins: expected at least 1, got 0"),
        (maf(Spline(bound=0.0)), X, None, "bound: expected above 0 and finite, got 0.0"),
        (maf(Spline(min_slope=0.0)), X, None, "min_slope: expected above 0 and below 1, got 0.0"),
        (maf(head=Bernoulli()), X, None, "head: expected one over all real numbers, got Bernoulli"),
        (MAF((Layer(two[0], MADE(()), Affine()),)), X, None, "hidden: expected at least 1 unit"),
        (
            maf(context=FirstToken(3)),
            X,
            np.ones((1, 1), int),
            "context: expected one that reads no",
        ),
    ],
)
def test_what_does_not_fit_is_refused(flow, x, condition, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        flow.check(x, condition)


def test_a_flow_has_no_prefix_and_no_list_of_values():
    flow = maf()
    variables = to_float32(random_variables(flow, X))
    with pytest.raises(ValueError, match=r"^prefix: expected None, since a flow draws all steps"):
        ar.sample(flow, variables, jax.random.key(0), prefix=np.zeros((2, 1, 1), np.float32))
    with pytest.raises(ValueError, match=r"^sampler: expected a temperature only"):
        ar.sample(flow, variables, jax.random.key(0), batch_size=2, sampler=ar.Sampler(top_k=2))


def test_a_flow_learns_a_density(tmp_path):
    """x_1 lies about a parabola of x_0, which has two modes: at most 0.05 nats are lost."""

    def log_density(x):
        modes = stats.norm([-1.5, 1.5], 0.5).pdf(x[:, :1]).mean(axis=1)
        return np.log(modes) + stats.norm(x[:, 0] ** 2 / 2, 0.5).logpdf(x[:, 1])

    def draw(count, seed):
        rng = np.random.default_rng(seed)
        first = rng.choice([-1.5, 1.5], count) + 0.5 * rng.normal(size=count)
        return np.stack([first, first**2 / 2 + 0.5 * rng.normal(size=count)], axis=1)

    train, test = draw(8192, 0), draw(4096, 1)
    mean, scale = train.mean(axis=0), train.std(axis=0)

    def standardised(x):
        return Arrays(((x - mean) / scale).astype(np.float32))

    flow = MAF(tuple(Layer(ordering, MADE((32,)), Spline()) for ordering in two))
    batches = EvaluationBatches(standardised(test), 512)
    state = fit(
        flow,
        training_batches(standardised(train), 256, seed=0),
        lambda variables: evaluate(flow, variables, batches, "test").bits_per_dim,
        tmp_path,
        Training(steps=400, validate_every=400, optimizer=AdamW(learning_rate=5e-3), ema_decay=0.9),
    )
    nats = evaluate(flow, state.variables, batches, "test").nats + np.log(scale).sum()
    assert nats < -log_density(test).mean() + 0.05
