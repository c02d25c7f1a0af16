"""Language models: the first token stands at the start, the vocabulary is the head's alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
import ar_jax.testing
from ar_jax.conditionals import Transformer
from ar_jax.contexts import FirstToken
from ar_jax.heads import Categorical, EndOfSequence
from ar_jax.nn import Learned, Rotary
from ar_jax.orderings import Raster, Reversed
from ar_jax.testing import compiled_apply, random_variables

TIED = Categorical(3, embedding=8, unembedding="tied")
OWN = Categorical(3, embedding=8, unembedding="own")
SMALL = {"layers": 2, "width": 8, "heads": 2, "hidden": 8, "projections": False}
LAST = np.array([[2]])


def language_model(length, head=TIED, **fields):
    net = Transformer(**SMALL, context_start=True, **fields)
    return ar.AutoregressiveModel(Raster((length,)), net, head, FirstToken(head.values))


@pytest.mark.parametrize("head", [TIED, OWN], ids=lambda head: head.unembedding)
def test_a_head_with_an_unembedding_is_a_distribution(head):
    ar.testing.check_head(head, block_size=2)


@pytest.mark.parametrize(
    "model",
    [language_model(5), language_model(5, OWN, positions=Rotary(), window=2)],
    ids=["tied", "own"],
)
def test_a_language_model_satisfies_the_laws(model):
    ar.testing.check_model(model, LAST)


@pytest.mark.parametrize("head", [TIED, OWN], ids=lambda head: head.unembedding)
def test_drawing_from_a_language_model_costs_what_scoring_costs(head):
    head = head.clone(values=5000)  # so many that a second product with them would be noticed
    ar.testing.check_work(language_model(40, head), LAST)


@pytest.mark.parametrize(
    ("net", "context_length"),
    [
        (Transformer(layers=2, width=16, heads=2, context_start=True, window=3), 1),
        (Transformer(layers=1, width=16, heads=2, context_start=True), 3),
        (Transformer(layers=1, width=16, heads=2, context_start=True, cross_attention=True), 3),
    ],
    ids=["window", "prefix", "cross-attention"],
)
def test_the_context_s_first_vector_may_stand_at_the_start(net, context_length):
    ar.testing.check_conditional(net, Reversed((7,)), context_length=context_length)


def test_the_first_token_is_embedded_as_the_others_are():
    """Without positions, a transformer that attends to itself alone tells no slot from another."""
    model = language_model(4, positions=Rotary(), window=1)
    x = np.array([[1, 1, 1, 1]])
    variables = random_variables(model, x, x[:, :1])
    first = np.array([[1], [2]])
    each = compiled_apply(model, variables, x.repeat(2, axis=0), first, method="step_log_probs")
    np.testing.assert_allclose(each[0], each[0, 0], rtol=1e-5)
    np.testing.assert_allclose(each[1, 1:], each[0, 1:], rtol=1e-5)
    assert not np.isclose(each[1, 0], each[0, 0], rtol=1e-3)


def test_one_set_of_parameters_serves_events_of_several_lengths():
    model = language_model(6, positions=Learned(places=9))
    x = np.random.default_rng(0).integers(0, 3, (2, 6))
    variables = random_variables(model, x, x[:, :1])
    each = compiled_apply(model, variables, x, x[:, :1], method="step_log_probs")
    short = model.clone(ordering=Raster((4,)))
    got = compiled_apply(short, variables, x[:, :4], x[:, :1], method="step_log_probs")
    np.testing.assert_allclose(got, each[:, :4], rtol=1e-5, atol=1e-6)
    long, x = model.clone(ordering=Raster((10,))), np.zeros((1, 10), int)
    with pytest.raises(ValueError, match="places: expected at least the event's 10, got 9"):
        long.apply(variables, x, LAST)


@pytest.mark.parametrize(
    ("model", "condition", "message"),
    [
        (language_model(4), None, "condition: expected the first token"),
        (language_model(4), np.array([[3]]), r"condition: expected integers 0 \.\.\. 2"),
        (language_model(4), np.array([1]), r"condition: expected shape \[1, 1\]"),
        (language_model(4, Categorical(3, embedding=8)), LAST, "projections: .* head's features"),
        (
            language_model(4, Categorical(3, embedding=6, unembedding="own")), LAST,
            "projections: .* encoded steps",
        ),
        (
            language_model(4).clone(context=ar.contexts.Nothing()), None,
            "context: expected a vector to stand at the start",
        ),
        (
            language_model(4).clone(ordering=Raster((4,), (2,)), head=EndOfSequence(TIED)), LAST,
            "context: expected steps of one variable",
        ),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(model, condition, message):
    with pytest.raises(ValueError, match=f"^{message}.*, got"):
        model.init(jax.random.key(0), np.zeros((1, 4), int), condition)


@pytest.mark.parametrize("lengths", [None, np.array([1, 4, 2])], ids=["even", "ragged"])
def test_a_stream_gives_the_draws_of_sample_one_after_the_other(lengths):
    model = language_model(12)
    x = np.random.default_rng(0).integers(0, 3, (3, 12))
    variables = random_variables(model, x, x[:, :1])
    options = {
        "condition": x[:, :1], "prefix": x[:, :4, None], "prefix_lengths": lengths,
        "sampler": ar.Sampler(temperature=0.8, top_p=0.9),
    }  # fmt: skip
    sampled = ar.sample(model, variables, jax.random.key(5), **options)
    streamed = list(ar.stream(model, variables, jax.random.key(5), **options))
    start = 4 if lengths is None else 1
    assert [step.shape for step in streamed] == [(3, 1)] * (12 - start)
    np.testing.assert_array_equal(jnp.concatenate(streamed, axis=1), sampled[:, start:])


def test_a_stream_without_a_prefix_begins_at_the_beginning():
    model = ar.AutoregressiveModel(
        Raster((3, 2)), ar.conditionals.MADE(hidden=(9,)), ar.heads.Bernoulli()
    )
    variables = random_variables(model, np.zeros((1, 3, 2), int))
    sampled = ar.sample(model, variables, jax.random.key(0), batch_size=4)
    streamed = list(ar.stream(model, variables, jax.random.key(0), batch_size=4))
    np.testing.assert_array_equal(jnp.concatenate(streamed, axis=1), sampled.reshape(4, 6))


def test_a_stream_compiles_its_step_once():
    model, x = language_model(9), np.zeros((1, 9), int)
    variables = random_variables(model, x, LAST)
    before = ar.inference.sampling._advance._cache_size()
    for n in (1, 2, 5):
        stream = ar.stream(
            model, variables, jax.random.key(0), condition=LAST, prefix=x[:, :n, None]
        )
        assert len(list(stream)) == 9 - n
    assert ar.inference.sampling._advance._cache_size() == before + 1


def test_a_stream_tells_at_once_what_does_not_fit():
    with pytest.raises(ValueError, match="batch_size: expected it"):
        ar.stream(language_model(4), {}, jax.random.key(0))
