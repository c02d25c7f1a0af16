"""The laws for every part, and for a pairwise cover of whole models (all of them with `--full`).

A new part is covered by one line in a list below.
"""

from collections.abc import Callable
from functools import partial
from itertools import combinations, cycle, product
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
import ar_jax.testing
from ar_jax.conditionals import (
    FVSBN,
    GRU,
    LRU,
    LSTM,
    MADE,
    NADE,
    S5,
    TCN,
    DiagonalBiLSTM,
    GatedPixelCNN,
    ImageGPT,
    ImageTransformer,
    Mamba,
    MaskedTransformer,
    PixelCNN,
    PixelCNNPlusPlus,
    PixelSNAIL,
    RowLSTM,
    SparseTransformer,
    Transformer,
    WaveNet,
)
from ar_jax.conditionals.base import Conditional, check_follows
from ar_jax.contexts import (
    ClassLabel,
    Context,
    Image,
    Nothing,
    Series,
    Set,
    Several,
    Tokens,
    Vector,
)
from ar_jax.heads import (
    Bernoulli,
    Categorical,
    CoarseFineLogistic,
    DiscretizedLogisticMixture,
    EndOfSequence,
    GaussianMixture,
    Head,
    LogisticMixture,
    Mixed,
    MuLaw,
    MultivariateGaussianMixture,
    NegativeBinomial,
    Nested,
    NeuralSpline,
    Poisson,
    Reals,
    StudentTMixture,
    VonMisesMixture,
)
from ar_jax.nn import Axial, FromTo, Learned, Rotary, Sinusoidal
from ar_jax.orderings import (
    ChannelFirst,
    ColumnMajor,
    Graph,
    Hilbert,
    MultiScale,
    Ordering,
    Permutation,
    Raster,
    Reversed,
    Snake,
    Spiral,
)

Event = tuple[int, ...]


def permuted(event: Event, block: Event) -> Permutation:
    return Permutation.random(event, block, seed=1)


def graph(event: Event, block: Event) -> Graph:
    """About a third of all edges, along an order that is not the raster's."""
    rng = np.random.default_rng(1)
    order = rng.permutation(Raster(event, block).count)
    rank = np.argsort(order)
    edges = (rank[:, None] < rank) & (rng.random((len(order),) * 2) < 0.35)
    return Graph.from_adjacency(event, edges, block)


GRIDS: list[Callable[[Event, Event], Ordering]] = [Raster, Reversed, ColumnMajor]

WALKS: list[Callable[[Event, Event], Ordering]] = [  # none has a grid: all are permutations
    Snake, permuted, Spiral, Hilbert, MultiScale, ChannelFirst,
]  # fmt: skip

ORDERINGS = [*GRIDS, *WALKS, graph]

AXIAL = Transformer(
    layers=2,
    width=16,
    heads=4,
    key_value_heads=2,
    positions=Axial(),
    qk_norm=True,
    activation="swiglu",
    norm="rms",
    scan_layers=True,
)

ROTARY = Transformer(
    layers=1,
    width=16,
    heads=2,
    positions=Rotary(),
    cross_attention=True,
    bias=False,
    experts=3,
    hidden=16,
)

SEQUENCE_CONDITIONALS: list[Conditional] = [  # that follow any ordering
    FVSBN(),
    NADE(hidden=7, chunk=5),
    MADE(hidden=(7,)),
    MADE(hidden=(40, 25), activation="tanh", connectivity=1),
    MADE(hidden=(13, 13), activation="tanh", residual=True),
    MADE(hidden=(9, 5), activation="tanh", direct=False),
    Transformer(layers=1, width=16, heads=2, positions=Learned()),
    AXIAL,
    Transformer(
        layers=2,
        width=16,
        heads=2,
        key_value_heads=1,
        positions=Sinusoidal(),
        window=3,
        post_norm=True,
        remat=True,
    ),
    ROTARY,
    Transformer(layers=1, width=16, heads=2, positions=FromTo()),
    MaskedTransformer(layers=1, width=16, heads=2),
    ImageGPT(layers=1, width=16, heads=2),
    ImageTransformer(layers=1, width=16, heads=2, query=(3,), memory=(2,)),
    SparseTransformer(layers=2, width=16, heads=2, hidden=16, query_width=8),
    SparseTransformer(
        layers=2,
        width=16,
        heads=2,
        hidden=16,
        query_width=8,
        scan_layers=True,
        pattern="fixed",
        stride=3,
        summaries=1,
    ),
    GRU(layers=2, width=5),
    LSTM(layers=2, width=5),
    WaveNet(layers=2, stacks=1, channels=4, skip_channels=8),
    WaveNet(layers=2, stacks=1, channels=4, skip_channels=8, kernel=3, local=True),
    TCN(layers=2, channels=8, kernel=2),
    LRU(layers=1, width=6, state=4),
    S5(layers=1, width=6, state=8, blocks=2),
    Mamba(layers=1, width=4, state=3),
]

IMAGE_CONDITIONALS: list[Conditional] = [  # that follow an ordering with a grid
    ImageTransformer(layers=1, width=16, heads=2, query=(2, 2), memory=(1, 1)),
    PixelCNN(blocks=0, channels=6, head_channels=12, first_kernel=5),
    PixelCNN(blocks=1, channels=6, head_channels=12, first_kernel=3),
    GatedPixelCNN(layers=1, channels=6, head_channels=12, first_kernel=3),
    RowLSTM(layers=2, channels=6, head_channels=12, first_kernel=3),
    DiagonalBiLSTM(layers=1, channels=3, head_channels=12, first_kernel=3),
    PixelCNNPlusPlus(blocks=1, channels=4, scales=2),
    PixelSNAIL(stages=1, blocks=1, channels=5, key=2, value=3),
]

COLOUR_CONDITIONALS = [  # of those, the ones that mask the colours of a pixel
    net
    for net in IMAGE_CONDITIONALS
    if isinstance(net, PixelCNN | GatedPixelCNN | RowLSTM | DiagonalBiLSTM)
]

CONDITIONALS = SEQUENCE_CONDITIONALS + IMAGE_CONDITIONALS

ONE_OF_EACH = list({type(net): net for net in CONDITIONALS}.values())

HEADS: list[tuple[Head, Event, Event]] = [  # with event and block
    (Bernoulli(), (3, 2, 1), (1, 1, 1)),
    (Bernoulli(), (4, 2, 1), (2, 1, 1)),
    (Categorical(3), (3, 2, 1), (1, 1, 1)),
    (MuLaw(levels=3), (3, 2, 1), (1, 1, 1)),
    (DiscretizedLogisticMixture(levels=4, components=3), (2, 2, 1), (1, 1, 1)),
    (DiscretizedLogisticMixture(levels=2, components=3, channels=3), (2, 1, 3), (1, 1, 3)),
    (GaussianMixture(3), (3, 2, 1), (1, 1, 1)),
    (GaussianMixture(3, group=2), (3, 2), (1, 2)),
    (MultivariateGaussianMixture(2, group=2), (3, 2), (1, 2)),
    (CoarseFineLogistic(base=3, components=2), (3, 2), (1, 2)),
    (LogisticMixture(3), (3, 2, 1), (1, 1, 1)),
    (StudentTMixture(3), (3, 2, 1), (1, 1, 1)),
    (VonMisesMixture(3), (3, 2, 1), (1, 1, 1)),
    (Poisson(), (3, 2, 1), (1, 1, 1)),
    (NegativeBinomial(), (3, 2, 1), (1, 1, 1)),
    (NeuralSpline(bins=4), (3, 2, 1), (1, 1, 1)),
    (Mixed((Bernoulli(), Categorical(3)), width=5), (3, 2, 1), (1, 2, 1)),
    (Mixed((Categorical(3), Poisson(), GaussianMixture(2)), width=5), (3, 3), (1, 3)),
    (EndOfSequence(Categorical(2)), (4, 2), (1, 2)),
    (EndOfSequence(DiscretizedLogisticMixture(2, 3, channels=2)), (3, 3), (1, 3)),
    (
        Nested(
            ar.AutoregressiveModel(
                ordering=Snake((2, 2, 1)),
                conditional=MADE(hidden=(9,)),
                head=Categorical(2, embedding=3),
                context=Vector(7),
            )
        ),
        (4, 2, 1),
        (2, 2, 1),
    ),
]

SERIES = np.random.default_rng(0).normal(size=(16, 4, 3))
SERIES[::2, 3], SERIES[::3, 1, 2] = np.nan, np.nan  # rows that are not there, an unknown number

CONTEXTS: list[tuple[Context, Any]] = [  # with conditions
    (Nothing(), None),
    (ClassLabel(10, width=6), np.arange(10)),
    (ClassLabel(10, dropout=0.5), np.arange(10)),
    (Vector(3, dropout=0.5), np.random.default_rng(0).normal(size=(16, 3))),
    (Tokens(5, 4, dropout=0.5), np.random.default_rng(0).integers(0, 5, (16, 4))),
    (Tokens(5, 6, width=8), np.array([[3, 1, 4, -1, -1]])),
    (Image((4, 6, 3), (2, 3), dropout=0.5), np.random.default_rng(0).normal(size=(16, 4, 6, 3))),
    (Series(3, 5, dropout=0.5), SERIES),
    (Set(3, 5, dropout=0.5), SERIES),
    (
        Several((ClassLabel(10, dropout=0.5), Series(3, 5, dropout=0.5))),
        (np.arange(16) % 10, SERIES),
    ),
]


def follows(conditional: Conditional, ordering: Ordering) -> bool:
    """Whether the conditional is one that can."""
    if isinstance(ordering, Graph):
        return conditional.follows_graphs
    return conditional in SEQUENCE_CONDITIONALS or ordering.grid is not None


def name(part: Any) -> str:
    return part.__name__ if callable(part) and not hasattr(part, "apply") else type(part).__name__


@pytest.mark.parametrize("ordering", ORDERINGS, ids=name)
@pytest.mark.parametrize("block", [(1, 1, 1), (1, 1, 2), (2, 1, 2), (1, 3, 2), (4, 3, 2)], ids=str)
def test_an_ordering_is_a_bijection(ordering: Any, block: Event) -> None:
    event = (4, 3, 1) if block == (1, 1, 1) else (4, 3, 2)
    ar.testing.check_ordering(ordering(event, block))


@pytest.mark.parametrize("block", [(1,), (2,)], ids=str)
def test_an_ordering_of_a_sequence_is_a_bijection(block: Event) -> None:
    for ordering in (Raster, Reversed, ChannelFirst, permuted, graph):
        ar.testing.check_ordering(ordering((6,), block))


@pytest.mark.parametrize(
    ("conditional", "ordering"),
    [
        (conditional, ordering)
        for conditional in CONDITIONALS
        for ordering in ORDERINGS
        # What conditionals read of a walk are tables: a few meet each.
        if ordering not in WALKS[2:] or conditional in (MADE(hidden=(7,)), AXIAL)
    ],
    ids=name,
)
def test_a_conditional_keeps_to_its_past(conditional: Conditional, ordering: Any) -> None:
    ordering = ordering((4, 3, 1), (1, 1, 1))
    if not follows(conditional, ordering):
        with pytest.raises(ValueError, match=f"ordering: {name(conditional)}"):
            check_follows(conditional, ordering)
    else:
        ar.testing.check_conditional(conditional, ordering, context_length=3)


@pytest.mark.parametrize("conditional", CONDITIONALS, ids=name)
def test_a_conditional_decodes_in_float32(conditional: Conditional) -> None:
    ar.testing.check_rounding(conditional, Raster((4, 3, 1)))


@pytest.mark.parametrize("conditional", CONDITIONALS, ids=name)
def test_a_conditional_of_half_precision_computes_in_it(conditional: Conditional) -> None:
    half, ordering = jnp.bfloat16, Raster((4, 3, 1))
    wide = jnp.zeros((2, 12, 3)), jnp.zeros((2, 3)), jnp.zeros((2, 2, 4))
    steps, blank, vectors = (x.astype(half) for x in wide)
    mask = jnp.ones((2, 2), bool)

    def run(*args: Any, **kwargs: Any) -> Any:
        return ar.testing.apply(conditional, *args, **kwargs)

    def decode(key: jax.Array, t: jax.Array) -> Any:
        variables = conditional.init(key, wide[0], ordering, (wide[2], mask), 5)
        context = vectors, mask
        variables = jax.tree.map(lambda x: x.astype(half), variables)
        cache = run(variables, blank, ordering, context, method="init_cache")
        after, out = run(variables, cache, blank, t, ordering, 5, method="step")
        return cache, after, out, run(variables, steps, ordering, context, 5)

    cache, after, *outs = jax.eval_shape(decode, jax.random.key(0), jnp.zeros((), jnp.int32))
    assert [out.dtype for out in outs] == [half, half]
    assert cache == after  # in shapes and dtypes: a scan can carry it


@pytest.mark.parametrize("conditional", IMAGE_CONDITIONALS, ids=name)
@pytest.mark.parametrize("ordering", [Raster, Reversed])
def test_a_conditional_keeps_to_its_past_among_colours(
    conditional: Conditional, ordering: Any
) -> None:
    ordering = ordering((3, 2, 3))
    if conditional in COLOUR_CONDITIONALS:
        ar.testing.check_conditional(conditional, ordering, context_length=1)
    else:
        with pytest.raises(ValueError, match=f"ordering: {name(conditional)}"):
            check_follows(conditional, ordering)


@pytest.mark.parametrize("conditional", ONE_OF_EACH, ids=name)
def test_a_conditional_follows_sequences_and_single_steps(conditional: Conditional) -> None:
    if conditional in SEQUENCE_CONDITIONALS:
        ar.testing.check_conditional(conditional, Raster((5,)), context_length=1)
    ar.testing.check_conditional(conditional, Raster((2, 2, 1), (2, 2, 1)), context_length=0)


@pytest.mark.parametrize(("head", "event", "block"), HEADS, ids=name)
def test_a_head_is_a_distribution(head: Head, event: Event, block: Event) -> None:
    ar.testing.check_head(head, int(np.prod(block)))


@pytest.mark.parametrize(("head", "event", "block"), HEADS, ids=name)
def test_a_head_bears_extremes(head: Head, event: Event, block: Event) -> None:
    ar.testing.check_extremes(head, int(np.prod(block)))


@pytest.mark.parametrize(("context", "condition"), CONTEXTS, ids=name)
def test_a_context_tells_presence_from_absence(context: Context, condition: Any) -> None:
    ar.testing.check_context(context, condition)


Row = tuple[Any, ...]


def models(full: bool) -> list[Row]:
    """All combinations that fit, or as few as it takes for every pair of parts to meet.

    In these, one instance stands for a class of conditionals. Parts see little of each other, and
    meet what they see: an ordering's kind (conditionals meet each in a law of their own), what a
    head's variables are (integers, or some real), whether a context has vectors. A head reads the
    features whatever made them, and a context reads the condition alone: these come once.
    """
    conditionals = CONDITIONALS if full else ONE_OF_EACH
    rows = [
        row
        for row in product(conditionals, ORDERINGS, HEADS, CONTEXTS)
        if follows(row[0], row[1]((2, 2, 1), (1, 1, 1)))
        and not (row[1] is graph and row[2][0].depends_on_previous)
    ]
    if full:
        return rows

    def pairs_of(row: Row) -> frozenset[Any]:
        conditional, ordering, head, context = map(id, row)
        kind = "grid" if row[1] in GRIDS else "walk" if row[1] in WALKS else "graph"
        values = any(isinstance(x, Reals) for x in row[2][0].support(int(np.prod(row[2][2]))))
        vectors = not isinstance(row[3][0], Nothing)
        classes = combinations((conditional, kind, values, vectors), 2)
        return frozenset({*classes, (ordering, values), (ordering, vectors), head, context})

    rows_by_pairs = {pairs_of(row): row for row in rows}
    missing, cover = set[Any]().union(*rows_by_pairs), []
    while missing:
        best = max(rows_by_pairs, key=lambda pairs: len(pairs & missing))
        cover.append(rows_by_pairs[best])
        missing -= best
    return cover


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "parts" in metafunc.fixturenames:
        rows = models(metafunc.config.getoption("--full"))
        metafunc.parametrize("parts", rows, ids=lambda row: "-".join(map(part_name, row)))


def part_name(part: Any) -> str:
    return name(part[0]) if isinstance(part, tuple) else name(part)


def test_a_model_sums_to_one_and_samples_what_it_scores(parts: Any) -> None:
    conditional, ordering, (head, event, block), (context, conditions) = parts
    model = ar.AutoregressiveModel(ordering(event, block), conditional, head, context)
    condition = jax.tree.map(lambda y: y[:1], conditions)
    ar.testing.check_model(model, condition)


LARGER = [
    (FVSBN(), Reversed((8, 8, 1)), Categorical(4)),
    (NADE(hidden=30, chunk=1), Snake((8, 8, 1)), Categorical(4)),  # a chunk's product does more
    (MADE(hidden=(50,)), Raster((8, 8, 1)), Bernoulli()),
    (MADE(hidden=(100, 70)), Snake((8, 8, 1)), Categorical(4)),
    (MADE(hidden=(100, 70)), graph((6, 6, 1), ()), Categorical(4)),
    (MADE(hidden=(1000,)), Reversed((8, 8, 1)), Bernoulli()),
    (MADE(hidden=(70, 70), residual=True, connectivity=1), Raster((8, 8, 1)), Bernoulli()),
    (PixelCNN(blocks=1, channels=8), Raster((6, 6, 1)), DiscretizedLogisticMixture(17, 5)),
    (PixelCNN(blocks=1), ColumnMajor((6, 6, 3), (1, 1, 3)), DiscretizedLogisticMixture(17, 5, 3)),
    (PixelCNN(blocks=1, channels=15, head_channels=30), Raster((4, 4, 3)), Categorical(17)),
    (GatedPixelCNN(layers=1, channels=16), ColumnMajor((6, 6, 1)), Bernoulli()),
    (GatedPixelCNN(layers=1, channels=15, head_channels=30), Reversed((4, 4, 3)), Categorical(17)),
    (WaveNet(layers=4, stacks=1, channels=8, local=True), Raster((32,)), Categorical(17)),
    (TCN(layers=2), Snake((6, 6, 1)), Bernoulli()),
    (LRU(layers=1, width=16, state=8), Raster((20,)), GaussianMixture(5)),
    (S5(layers=1, width=16, state=8), Reversed((20,)), GaussianMixture(5)),
    (Mamba(layers=1, width=16), Raster((20,)), Categorical(17)),
    (Transformer(layers=2, width=32), Raster((6, 4, 1)), Categorical(17)),
    (MaskedTransformer(layers=1, width=16), Snake((4, 4, 1)), Categorical(4)),
    (Transformer(layers=2, width=32, positions=Rotary()), Raster((24,)), GaussianMixture(5)),
    (
        Transformer(
            layers=2,
            width=32,
            key_value_heads=2,
            activation="swiglu",
            experts=4,
            remat=True,
            scan_layers=True,
        ),
        Raster((5, 4, 1)),
        Bernoulli(),
    ),
    (Transformer(layers=2, width=32, window=4), Snake((5, 4, 1)), Bernoulli()),
    (ImageGPT(layers=2, width=32, heads=2), Raster((5, 4, 1)), Bernoulli()),
    (
        ImageTransformer(layers=2, width=32, heads=2, query=(5,), memory=(5,)),
        Raster((5, 4, 1)),
        Bernoulli(),
    ),
    (
        ImageTransformer(layers=2, width=32, heads=2, query=(2, 2), memory=(1, 1)),
        Reversed((6, 4, 1)),
        Bernoulli(),
    ),
    (
        SparseTransformer(layers=2, width=32, hidden=64, query_width=16),
        Raster((5, 4, 1)),
        Bernoulli(),
    ),
    (
        Transformer(layers=2, width=32, cross_attention=True),
        Raster((16, 16, 1), (4, 4, 1)),
        Nested(
            ar.AutoregressiveModel(Raster((4, 4, 1)), MADE(hidden=(60,)), Bernoulli(), Vector(32))
        ),
    ),
    (GRU(layers=2, width=16), Snake((4, 4, 1)), Categorical(1000, embedding=16)),
    (GRU(layers=2, width=16), Raster((9, 3), (1, 3)), Mixed((MuLaw(17), Poisson(), Bernoulli()))),
    (GRU(layers=2, width=16), Raster((9, 2), (1, 2)), EndOfSequence(Categorical(17))),
    (LSTM(layers=2, width=16), Raster((9,)), Bernoulli()),
    (RowLSTM(layers=2, channels=8, head_channels=16), Raster((4, 5, 1)), Bernoulli()),
    (DiagonalBiLSTM(layers=2, channels=8), ColumnMajor((5, 4, 1)), Bernoulli()),
    (PixelCNNPlusPlus(blocks=1, channels=6, scales=2), Reversed((3, 4, 1)), Bernoulli()),
    (
        PixelSNAIL(stages=1, blocks=1, channels=6),
        ColumnMajor((3, 4, 3), (1, 1, 3)),
        DiscretizedLogisticMixture(17, 5, 3),
    ),
]


@pytest.mark.parametrize(
    ("context", "condition", "conditional", "ordering", "head"),
    [(*context, *parts) for context, parts in zip(cycle(CONTEXTS[::2]), LARGER, strict=False)],
    ids=name,
)
def test_drawing_costs_what_scoring_costs(
    context: Context, condition: Any, conditional: Conditional, ordering: Ordering, head: Head
) -> None:
    condition = jax.tree.map(lambda y: y[:1], condition)
    ar.testing.check_work(ar.AutoregressiveModel(ordering, conditional, head, context), condition)


def test_the_work_of_each_conditional_is_counted() -> None:
    assert {type(row[0]) for row in LARGER} == {type(net) for net in CONDITIONALS}


BOUNDED_MEMORY: list[Conditional] = [  # whose cache does not grow with the steps
    Transformer(layers=2, width=8, heads=2, window=4),
    NADE(hidden=8),
    PixelCNN(blocks=1, channels=4),
    GatedPixelCNN(layers=1, channels=4),
    PixelCNNPlusPlus(blocks=1, channels=4),
    GRU(layers=2, width=4),
    LSTM(layers=2, width=4),
    WaveNet(layers=2, stacks=1),
    TCN(layers=2),
    LRU(layers=1, width=4),
    S5(layers=1, width=4),
    Mamba(layers=1, width=4),
    RowLSTM(layers=1, channels=4),
    DiagonalBiLSTM(layers=1, channels=4),
]


@pytest.mark.parametrize("conditional", BOUNDED_MEMORY, ids=name)
def test_drawing_more_takes_no_more_memory(conditional: Conditional) -> None:
    few, more = (ar.testing.cache_bytes(conditional, Raster((rows, 4, 1))) for rows in (8, 64))
    assert few == more


class CumulativeSum(ar.conditionals.Conditional):
    """A sum of the steps so far, whose `step` takes whatever stands before the first for a step."""

    ignores_first: bool = True

    @nn.compact
    def __call__(self, steps, ordering, context, features):
        return self.readout(ar.nn.shift(jnp.cumsum(steps, axis=1)), features)

    def init_cache(self, blank, ordering, context):
        return jnp.zeros_like(blank)

    @nn.compact
    def step(self, cache, previous, t, ordering, features):
        cache += jnp.where(t == 0, 0, previous) if self.ignores_first else previous
        return cache, self.readout(cache, features)


class DoublingSum(CumulativeSum):
    """Wrong in another way."""

    @nn.compact
    def step(self, cache, previous, t, ordering, features):
        return cache, self.readout(2 * previous, features)


def test_the_law_of_decoding_names_a_step_that_reads_what_stands_before_the_first():
    check = partial(ar.testing.check_conditional, ordering=Raster((3,)), context_length=0)
    with pytest.raises(AssertionError, match="step reads `previous` at t = 0"):
        check(CumulativeSum(ignores_first=False))
    with pytest.raises(AssertionError, match="step in a scan gives the features of __call__"):
        check(DoublingSum())
    check(CumulativeSum())
