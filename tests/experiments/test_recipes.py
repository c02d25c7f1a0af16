"""The recipes at full size: the networks of their papers, counted and never run."""

import itertools
import math

import jax
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.conditionals import Mamba
from ar_jax.flows import MAF
from ar_jax.training import Adam
from experiments.likelihood import COMMITTED
from experiments.recipes import BENCHMARKS, RECIPES, sizes

RECORDED = sizes.read(COMMITTED / "sizes.json")


def count(name):
    """As recorded, which the first test compares with the models."""
    return RECORDED[name].parameters


def dense(*widths):
    """The parameters of dense layers between so many units."""
    return sum(a * b + b for a, b in itertools.pairwise(widths))


def test_every_recipe_has_the_size_that_the_page_tells():
    assert list(RECORDED) == list(RECIPES)
    counted = {}  # once each: several recipes share a model
    for name, recipe in RECIPES.items():
        model = recipe.experiment.model
        if model not in counted:
            counted[model] = sizes.parameters(model)
        assert counted[model] == count(name), name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cifar10/pixelcnn_plus_plus", 53_618_660),
        ("cifar10/pixelsnail", 45_951_540),
        ("cifar10/sparse_transformer", 59_164_672),
        ("imagenet64/sparse_transformer", 151_564_032),
    ],
)
def test_the_networks_have_the_papers_sizes(name, expected):
    """59 and 152 million parameters: arXiv 1904.10509."""
    assert count(name) == expected


def test_nanogpt_has_its_size():
    """10.65 million, without our contexts."""
    assert count("shakespeare/nanogpt_gpu") == pytest.approx(10.65e6, rel=0.025)


def test_mamba_has_the_size_of_the_smallest_published_model():
    """130 million: two maps and a convolution, the step sizes' two, decays and skips; embedding."""
    width, inside, state, rank, vocabulary = 768, 1536, 16, 48, 50_280
    layer = width * 2 * inside + inside * 5 + inside * (rank + 2 * state) + (rank + 1) * inside
    layer += inside * (state + 1) + inside * width + width
    model = ar.AutoregressiveModel(
        ar.orderings.Raster((4,)), Mamba(), ar.heads.Categorical(vocabulary, embedding=8)
    )
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 4), np.int32))
    network = shapes["params"]["conditional"]
    ours = {name: network.pop(name) for name in ("embed", "start", "readout")}
    assert len(ours) == 3
    found = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(network))
    assert found == 24 * layer + width
    assert found + vocabulary * width == 129_135_360


def test_the_networks_of_pytorch_generative_have_its_sizes():
    """Counted from its layers; of masked kernels the weights that the masks let through."""
    pixels, units = 784, 8000
    assert count("dynamic_mnist/made") == dense(pixels, units, pixels)
    assert count("dynamic_mnist/nade") == 500 * pixels + 500 + pixels * 500 + pixels
    first = 24 * 32 + 32
    block = (32 * 16 + 16) + (5 * 16 * 16 + 16) + (16 * 32 + 32)
    head = (32 * 32 + 32) + (32 + 1)
    assert count("dynamic_mnist/pixelcnn") == first + 15 * block + head
    # We keep the square of FVSBN's weights, of which those before a pixel count.
    assert count("dynamic_mnist/fvsbn") == pixels * pixels + pixels
    for name in ("made", "nade", "pixelcnn", "fvsbn"):
        published = RECIPES[f"dynamic_mnist/{name}"].published
        assert published is not None
        assert published.source == "pytorch-generative"


@pytest.mark.parametrize("name", ["gated_pixelcnn", "pixelsnail", "image_gpt"])
def test_no_figure_of_another_network_stands_beside_one_of_a_paper(name):
    assert RECIPES[f"dynamic_mnist/{name}"].published is None


@pytest.mark.parametrize(
    ("name", "epochs", "batch_size", "rate", "decay"),
    [
        ("fvsbn", 50, 512, 1e-3, 1.0),
        ("nade", 50, 512, 1e-3, 1.0),
        ("made", 85, 64, 1e-3, 1.0),
        ("pixelcnn", 457, 256, 1e-3, 0.999977),
        ("gated_pixelcnn", 457, 128, 1e-3, 0.9999),
        ("pixelsnail", 457, 128, 1e-3, 0.999977),
        ("image_gpt", 457, 64, 5e-3, 0.999977),
    ],
)
def test_networks_of_pixels_are_trained_as_pytorch_generative_does(
    name, epochs, batch_size, rate, decay
):
    """Its functions `reproduce`: Adam, epochs, batches and rates that shrink at each update."""
    experiment = RECIPES[f"dynamic_mnist/{name}"].experiment
    training, images = experiment.training, 55_000
    assert experiment.batch_size == batch_size
    assert training.steps == epochs * math.ceil(images / batch_size)
    assert isinstance(training.optimizer, Adam)
    rates = training.optimizer.rate(training.steps)
    assert [rates(0), rates(1)] == pytest.approx([rate, rate * decay], rel=1e-6)


@pytest.mark.parametrize(
    ("columns", "hidden", "components"), [(6, (100,), 10), (8, (100, 100), 10), (63, (1024,), 10)]
)
def test_made_of_a_table_has_the_size_of_the_paper_s_code(columns, hidden, components):
    """Of arXiv 1705.07057: three numbers for each component of each column, nothing direct."""
    name = {6: "power/made_mog_1x100", 8: "gas/made_mog_2x100", 63: "bsds300/made_mog_1x1024"}
    assert count(name[columns]) == dense(columns, *hidden, 3 * components * columns)


def test_flows_of_tables_have_the_size_of_the_paper_s_but_for_batch_normalisation():
    assert count("hepmass/maf_1x512") == 5 * dense(21, 512, 2 * 21)


@pytest.mark.parametrize(
    ("table", "rows"),
    [("power", 2_049_280), ("gas", 1_052_065), ("miniboone", 36_488)],
)
def test_tables_are_trained_over_the_paper_s_grid_until_30_epochs_bring_nothing(table, rows):
    rest = rows - rows // 10
    epoch = math.ceil((rest - rest // 10) / 100)
    recipes = BENCHMARKS[table].recipes
    assert len(recipes) == 6
    for recipe in recipes.values():
        training = recipe.experiment.training
        assert (training.validate_every, training.patience) == (epoch, 30 * epoch)
        if not isinstance(model := recipe.experiment.model, MAF):
            assert model.conditional.activation == ("tanh" if table == "gas" else "relu")
            assert not model.conditional.direct


def test_the_last_table_has_two_widths():
    recipes = BENCHMARKS["bsds300"].recipes
    shapes = {
        recipe.experiment.model.conditional.hidden
        for recipe in recipes.values()
        if not isinstance(recipe.experiment.model, MAF)
    }
    assert shapes == {(512,), (1024,), (512, 512), (1024, 1024)}
    assert len(recipes) == 12


def test_the_memory_of_a_step_is_what_its_arrays_take():
    """FVSBN on 784 pixels: four arrays of the parameters, two counters, a step and a key."""
    experiment = RECIPES["dynamic_mnist/fvsbn"].experiment
    found = sizes.size(experiment)
    parameters = 784 * 785
    assert found.parameters == parameters
    small = found.state - 5 * 4 * parameters  # parameters, average, two means, gradient
    assert 0 < small < 100
    logits = 4 * experiment.batch_size * 784
    assert logits <= found.kept <= 40 * logits + 3 * 4 * parameters


def test_an_example_has_what_its_model_reads():
    for name in ("power/maf_1x100", "fashion_mnist/transformer", "shakespeare/nanogpt_gpu"):
        model = RECIPES[name].experiment.model
        batch = sizes.example(model, 2)
        model.check(batch["x"], batch.get("y"))
        assert all(len(value) == 2 for value in batch.values())
        assert np.asarray(batch["x"]).shape[1:] == tuple(model.ordering.event)
    assert jax.eval_shape(lambda: sizes.example(model)["x"]).shape[0] == 1
