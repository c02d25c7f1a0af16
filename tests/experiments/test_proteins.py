"""How each protein is scored."""

import jax
import numpy as np
import pytest

from ar_jax.data import Splits
from experiments.recipes.proteins import ClusteredProteins

RNG = np.random.default_rng(0)
KNOWN = ["".join(RNG.choice(list("ACDEFGHIKLMNPQRSTVWY"), 40)) for _ in range(45)]


def test_each_protein_is_scored_whole_after_a_line_end():
    """By conditionals of the protein alone, its line end included."""
    tested = [KNOWN[40], KNOWN[41] * 9]
    config = ClusteredProteins().preset(["--debug"])
    vars(config)["sequences"] = Splits(KNOWN[:38], KNOWN[38:40], tested)
    model = config.model
    variables = model.init(jax.random.key(0), np.zeros((1, 512), np.int32))
    scores = config.test_scores(variables)
    assert scores.sizes is not None
    np.testing.assert_array_equal(scores.sizes, [41, 361])
    for nats, protein in zip(scores.nats, tested, strict=True):
        text = np.frombuffer(f"\n{protein}\n".encode(), np.uint8).astype(np.int32)
        alone = model.clone(ordering=type(model.ordering)((len(text),)))
        steps = alone.apply(variables, text[None], method="step_log_probs")
        assert nats == pytest.approx(-float(np.sum(steps[0, 1:])), rel=1e-5)
    found = config.likelihood(scores)
    assert found.nats == pytest.approx(scores.nats.sum() / 402)
    assert (found.variables, found.count) == (1, 2)
