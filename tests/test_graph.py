"""A graph ordering: exactly the graph's dependence, a level of it at a time."""

import jax
import networkx
import numpy as np
import pytest

import ar_jax as ar
import ar_jax.testing
from ar_jax.conditionals import FVSBN, GRU, MADE, NADE, PixelCNN, Transformer
from ar_jax.flows import MAF, Affine, Layer
from ar_jax.heads import Bernoulli, Categorical, EndOfSequence
from ar_jax.orderings import Graph, Raster


def random_dag(count: int, edges: float, seed: int = 0) -> np.ndarray:
    """Adjacency `[count, count]`, from row to column, along a random order."""
    rng = np.random.default_rng(seed)
    rank = rng.permutation(count)
    return (rank[:, None] < rank) & (rng.random((count, count)) < edges)


def test_levels_are_the_longest_paths_as_networkx_finds_them():
    adjacency = random_dag(30, 0.1)
    graph = networkx.from_numpy_array(adjacency, create_using=networkx.DiGraph)
    expected = [tuple(sorted(level)) for level in networkx.topological_generations(graph)]
    ordering = Graph.from_networkx(graph)
    assert list(ordering.levels) == expected
    assert ordering.length == 1 + networkx.dag_longest_path_length(graph)
    assert ordering == Graph.from_adjacency((30,), adjacency)
    assert ordering == Graph.from_edges((30,), graph.edges)
    assert hash(ordering) == hash(Graph.from_edges((30,), graph.edges))


def test_steps_are_the_levels_drawn_in_the_docstring():
    ordering = Graph.from_edges((5,), [(0, 2), (1, 2), (1, 3), (2, 4)])
    np.testing.assert_array_equal(ordering.cell_indices, [[0, 1], [2, 3], [4, 4]])
    np.testing.assert_array_equal(ordering.valid, [[True, True], [True, True], [True, False]])


def test_a_cycle_is_named():
    with pytest.raises(ValueError, match=r"parents: .* without cycles, got") as error:
        Graph.from_edges((6,), [(0, 1), (1, 4), (4, 3), (3, 1), (4, 5)])
    assert set(str(error.value).split("got ")[1].split(" -> ")) == {"1", "3", "4"}
    named = networkx.DiGraph([("rain", "wet"), ("wet", "slippery"), ("slippery", "rain")])
    with pytest.raises(ValueError, match="wet -> slippery"):
        Graph.from_networkx(named)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Graph((2,), (), ((), (2,))), "parents: expected for each of 2 cells"),
        (lambda: Graph((2,), (), ((),)), "parents: expected for each of 2 cells"),
        (lambda: Graph.from_edges((2,), [(0, 2)]), "edges: expected cells 0 ... 1, got 2"),
        (lambda: Graph.from_adjacency((2,), np.eye(3)), r"adjacency: expected shape \[2, 2\]"),
        (lambda: Graph.from_networkx(networkx.Graph([(0, 1)])), "graph: expected a directed one"),
        (lambda: Graph((1,), (), ((0,),)), "without cycles, got 0 -> 0"),
        (lambda: Graph((2,), (), ((), (0.7,))), r"parents: expected integers, got \(0.7,\)"),
        (lambda: Graph.from_edges((2,), [(0.7, 1)]), r"edges: expected integers, got \(0.7, 1\)"),
        (lambda: Graph.from_edges((2,), [(0, 1.0)]), r"edges: expected integers, got \(0, 1.0\)"),
        (lambda: Graph.from_edges((2,), [(-1, 1)]), "parents: expected for each of 2 cells"),
        (lambda: Graph.from_adjacency((1,), [[np.nan]]), "adjacency: expected numbers, got NaN"),
    ],
)
def test_what_is_no_graph_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("net", [MADE(hidden=(90,)), MADE(hidden=(60, 60), residual=True)])
def test_the_jacobian_of_a_dag_of_30_has_exactly_its_pattern(net):
    adjacency = random_dag(30, 0.1)
    ordering = Graph.from_adjacency((30,), adjacency)
    model = ar.AutoregressiveModel(ordering, net, Bernoulli())
    with jax.enable_x64(True):
        x = np.random.default_rng(1).normal(size=(4, 30))
        steps = ordering.to_steps(x)
        nothing = np.zeros((1, 0, 1)), np.zeros((1, 0), bool)
        variables = ar.testing.random_variables(
            net, steps[:1], ordering, nothing, ordering.cells_per_step
        )

        def logits(x):
            """Of each variable `[30]`."""
            steps = ordering.to_steps(x[None])
            return ordering.to_event(
                net.apply(variables, steps, ordering, nothing, ordering.cells_per_step)
            )

        jacobian = np.asarray(jax.jit(jax.vmap(jax.jacrev(logits)))(x))[:, 0]
    np.testing.assert_array_equal((jacobian != 0).any(axis=0), adjacency.T)
    assert model.ordering.length < 15  # it draws in that many steps


def test_only_the_hidden_units_make_the_pattern_too():
    """Without the direct connections, a hidden unit for each cell suffices."""
    ordering = Graph.from_adjacency((12,), random_dag(12, 0.3, seed=2))
    net = MADE(hidden=(12, 12), activation="tanh", direct=False)
    steps = np.zeros((1, *ordering.valid.shape))
    nothing = np.zeros((1, 0, 1)), np.zeros((1, 0), bool)
    with jax.enable_x64(True):
        variables = ar.testing.random_variables(
            net, steps, ordering, nothing, ordering.cells_per_step
        )

        def features(steps):
            return net.apply(variables, steps[None], ordering, nothing, ordering.cells_per_step)[0]

        jacobian = np.asarray(jax.jit(jax.jacrev(features))(steps[0]))
    counts = ordering.valid
    np.testing.assert_array_equal(jacobian[counts][:, counts] != 0, ordering.causal_mask)
    np.testing.assert_array_equal(net.dependency_mask(ordering), ordering.causal_mask)


def test_a_model_of_eight_binary_variables_sums_to_one_and_draws_what_it_scores():
    ordering = Graph.from_adjacency((8,), random_dag(8, 0.35))
    assert not ordering.valid.all()
    model = ar.AutoregressiveModel(ordering, MADE(hidden=(20, 15), connectivity=1), Bernoulli())
    ar.testing.check_model(model)
    ar.testing.check_work(model, limit=1.0)


def test_the_density_is_the_product_of_each_variable_given_its_parents():
    """Changing one variable changes its own term and its children's, and no others."""
    adjacency = random_dag(8, 0.35)
    ordering = Graph.from_adjacency((8,), adjacency)
    model = ar.AutoregressiveModel(ordering, MADE(hidden=(20,)), Bernoulli())
    with jax.enable_x64(True):
        x = np.zeros((9, 8), np.int32)
        x[1 + np.arange(8), np.arange(8)] = 1  # a row without, and with each alone
        variables = ar.testing.random_variables(model, x)
        steps = np.asarray(model.apply(variables, x, method="step_log_probs"))
    level = {cell: t for t, cells in enumerate(ordering.levels) for cell in cells}
    for cell in range(8):
        touched = {
            level[cell],
            *(level[child] for child in np.flatnonzero(adjacency[cell]).tolist()),
        }
        changed = np.flatnonzero(np.abs(steps[1 + cell] - steps[0]) > 1e-9)
        assert set(changed) == touched


@pytest.mark.parametrize("net", [NADE(), GRU(), Transformer(), PixelCNN()])
def test_other_conditionals_say_that_they_cannot_follow_a_graph(net):
    ordering = Graph.from_edges((2, 2, 1), [(0, 1)])
    with pytest.raises(ValueError, match=f"ordering: {type(net).__name__}"):
        ar.AutoregressiveModel(ordering, net, Bernoulli()).check_parts()


def test_a_head_that_looks_back_and_a_flow_refuse_a_graph():
    ordering = Graph.from_edges((3, 2), [(0, 1)], block=(1, 2))
    with pytest.raises(ValueError, match="head: EndOfSequence looks back"):
        ar.AutoregressiveModel(ordering, FVSBN(), EndOfSequence(Categorical(2))).check_parts()
    with pytest.raises(ValueError, match="ordering: expected one cell to a step"):
        MAF(
            (Layer(ordering, MADE(), Affine()), Layer(Raster((3, 2)), MADE(), Affine()))
        ).check_parts()
