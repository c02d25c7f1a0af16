"""Longer events of the same model: what a window sees does not depend on where it lies."""

import jax
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.conditionals import (
    FVSBN,
    GRU,
    LRU,
    LSTM,
    MADE,
    NADE,
    S5,
    TCN,
    ImageGPT,
    LinearPrediction,
    Mamba,
    MaskedTransformer,
    SparseTransformer,
    Transformer,
    WaveNet,
)
from ar_jax.contexts import FirstToken
from ar_jax.heads import Categorical, CoarseFineLogistic
from ar_jax.nn import Learned, Rotary
from ar_jax.orderings import ColumnMajor, Raster
from ar_jax.testing import random_variables

SLIDING = Transformer(layers=2, width=8, heads=2, window=3, positions=Rotary())
RINGS = TCN(layers=1, channels=6, kernel=3)


def built(net, ordering=Raster((9,))):
    model = ar.AutoregressiveModel(ordering, net, Categorical(3, embedding=8))
    return model, random_variables(model, np.zeros((1, *ordering.event), int))


@pytest.mark.parametrize(
    "net", [SLIDING, TCN(layers=1, channels=6, kernel=3)], ids=["window", "rings"]
)
def test_far_out_a_step_has_the_probability_that_its_window_gives_it(net):
    """Both see less than 9 steps back."""
    with jax.enable_x64(True):
        model, variables = built(net)
        longer = ar.with_length(model, variables, 40)
        x = np.random.default_rng(0).integers(0, 3, (1, 40))
        each = longer.apply(variables, x, method="step_log_probs")
        score = jax.jit(lambda x: model.apply(variables, x, method="step_log_probs")[:, -1])
        windows = np.concatenate([x[:, t - 8 : t + 1] for t in range(8, 40)])
        np.testing.assert_allclose(each[0, 8:], score(windows), 1e-9)


@pytest.mark.parametrize("net", [SLIDING, GRU(layers=1, width=5)], ids=["window", "states"])
def test_a_stream_goes_on_beyond_the_event_in_constant_memory(net):
    model, variables = built(net)
    longer = ar.with_length(model, variables, 100_000)
    prefix = np.random.default_rng(0).integers(0, 3, (2, 20, 1))
    stream = ar.stream(longer, variables, jax.random.key(0), prefix=prefix)
    drawn = np.concatenate([next(stream) for _ in range(10)], axis=1)
    shorter = ar.with_length(model, variables, 30)
    expected = ar.sample(shorter, variables, jax.random.key(0), prefix=prefix)
    np.testing.assert_array_equal(drawn, expected[:, 20:])
    cache = jax.eval_shape(lambda: longer.apply(variables, 1, method="init_cache"))
    assert sum(leaf.size for leaf in jax.tree.leaves(cache)) < 200


BOUNDED = [
    SLIDING, SLIDING.clone(window=256), RINGS, GRU(layers=1, width=5), LSTM(layers=1, width=5),
    LRU(layers=1, width=5), S5(layers=1, width=5), Mamba(layers=1, width=5),
    WaveNet(layers=9, stacks=1, channels=4, skip_channels=4),
    LinearPrediction(WaveNet(layers=2, stacks=1, channels=4, skip_channels=4)),
]  # fmt: skip


@pytest.mark.parametrize("net", BOUNDED, ids=lambda net: type(net).__name__)
def test_any_length_will_do_shorter_than_a_window_too(net):
    digits = isinstance(net, LinearPrediction)
    head = CoarseFineLogistic(base=4) if digits else Categorical(3, embedding=8)
    event = (300, 2)[: 1 + digits]
    model = ar.AutoregressiveModel(Raster(event, (1, 2)[: 1 + digits]), net, head)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, *event), int))
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    for length in (1, 2, 255, 256, 300, 512):
        assert ar.with_length(model, variables, length).ordering.length == length


@pytest.mark.parametrize(
    "net",
    [
        SLIDING.clone(window=0),
        SparseTransformer(layers=2, width=8, heads=2),
        ImageGPT(layers=1, width=8, heads=2),
        MaskedTransformer(layers=1, width=8, heads=2),
        MADE((5,)),
        NADE(5),
        FVSBN(),
    ],
    ids=lambda net: type(net).__name__,
)
def test_no_length_will_do_where_all_steps_are_kept_or_have_a_place(net):
    model, variables = built(net)
    for length in (1, 2, 8, 10, 512):
        with pytest.raises(ValueError, match=r"^(conditional: expected|model: expected param)"):
            ar.with_length(model, variables, length)


@pytest.mark.parametrize(
    ("net", "ordering", "message"),
    [
        (SLIDING.clone(positions=Learned()), Raster((9,)), "model: expected parameters that serve"),
        (MADE((5,)), Raster((9,)), "model: expected parameters that serve"),
        (
            SLIDING.clone(window=0), Raster((9,)),
            "conditional: expected one whose memory is bounded .* got Transformer that keeps all",
        ),
        (GRU(width=4), ColumnMajor((3, 3)), "ordering: expected a Raster whose steps follow"),
        (GRU(width=4), Raster((3, 3)), "ordering: expected a Raster whose steps follow"),
    ],
)  # fmt: skip
def test_models_that_cannot_go_on_say_why(net, ordering, message):
    model, variables = built(net, ordering)
    with pytest.raises(ValueError, match=f"^{message}"):
        ar.with_length(model, variables, 100)


def test_a_language_model_is_lengthened_with_an_example_of_its_condition():
    net = SLIDING.clone(projections=False, context_start=True)
    head = Categorical(3, embedding=8, unembedding="tied")
    model = ar.AutoregressiveModel(Raster((4,)), net, head, FirstToken(3))
    y = np.array([[1]])
    variables = random_variables(model, np.zeros((1, 4), int), y)
    longer = ar.with_length(model, variables, 50, y)
    assert longer.ordering == Raster((50,))
