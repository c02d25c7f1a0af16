"""Orderings whose steps are the levels of a directed acyclic graph."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from ar_jax.checks import as_integers
from ar_jax.orderings.base import Ordering
from ar_jax.orderings.grids import Raster


@dataclass(frozen=True)
class Graph(Ordering):
    """A Bayesian network: p(x) = prod_i p(x_i | x_parents(i)), a level of the graph at a time.

    Each cell depends on its parents, and on nothing else directly. The level of a cell is the
    length of the longest path that leads to it; the cells of one level are one step, and depth many
    steps draw an event. The graph 0 -> 2, 1 -> 2, 1 -> 3, 2 -> 4 has the steps

        0 1      no parents
        2 3
        4 .      filled up to the widest level; what fills it is not scored

    `Graph.from_edges`, `from_adjacency` and `from_networkx` make one. Conditionals that follow it
    are those of masked dense layers: `FVSBN` and `MADE`.

    Attributes:
      parents: for each cell, in raster order, the raster numbers of those that it depends on.

    Raises:
      ValueError: when a parent is not a cell, or the graph has a cycle, which is named.
    """

    parents: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        parents = tuple(tuple(sorted(set(as_integers("parents", cells)))) for cells in self.parents)
        object.__setattr__(self, "parents", parents)
        if len(parents) != self.count or any(
            not 0 <= cell < self.count for cells in parents for cell in cells
        ):
            raise ValueError(
                f"parents: expected for each of {self.count} cells those of 0 ... "
                f"{self.count - 1} that it depends on, got {len(parents)} tuples {parents[:4]} ..."
            )
        _topological(parents, range(self.count))

    @classmethod
    def from_edges(
        cls,
        event: tuple[int, ...],
        edges: Iterable[tuple[int, int]],
        block: tuple[int, ...] = (),
    ) -> "Graph":
        """The graph of edges (parent, child) between raster numbers of cells."""
        parents: list[set[int]] = [set() for _ in range(Raster(event, block).count)]
        for parent, child in edges:
            as_integers("edges", (parent, child))
            if not 0 <= child < len(parents):
                raise ValueError(f"edges: expected cells 0 ... {len(parents) - 1}, got {child}")
            parents[child].add(parent)
        return cls(event, block, tuple(map(tuple, parents)))

    @classmethod
    def from_adjacency(
        cls, event: tuple[int, ...], adjacency: Any, block: tuple[int, ...] = ()
    ) -> "Graph":
        """The graph of a matrix `[count, count]`, not zero where the row is the column's parent."""
        count = Raster(event, block).count
        if np.shape(adjacency) != (count, count):
            raise ValueError(
                f"adjacency: expected shape [{count}, {count}], got {list(np.shape(adjacency))}"
            )
        if np.any(adjacency != np.asarray(adjacency)):
            raise ValueError("adjacency: expected numbers, got NaN")
        return cls(
            event, block, tuple(tuple(np.flatnonzero(x).tolist()) for x in np.transpose(adjacency))
        )

    @classmethod
    def from_networkx(
        cls, graph: Any, event: tuple[int, ...] = (), block: tuple[int, ...] = ()
    ) -> "Graph":
        """The graph of a `networkx.DiGraph`, whose nodes in their own order are the cells.

        Args:
          graph: whose edges lead from parents to children.
          event: left out, one variable for each node.
          block: shape of a cell.
        """
        if not graph.is_directed():
            raise ValueError("graph: expected a directed one, got edges without direction")
        nodes = list(graph.nodes)
        number = {node: i for i, node in enumerate(nodes)}
        parents = tuple(tuple(number[p] for p in graph.predecessors(node)) for node in nodes)
        _topological(parents, nodes)  # with the names of the nodes
        return cls(event or (len(nodes),), block, parents)

    @cached_property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The cells of each step, by the longest path that leads to them."""
        level: dict[int, int] = {}
        for cell in _topological(self.parents, range(self.count)):
            level[cell] = 1 + max((level[parent] for parent in self.parents[cell]), default=-1)
        return tuple(
            tuple(cell for cell in range(self.count) if level[cell] == depth)
            for depth in range(1 + max(level.values()))
        )

    @property
    def order(self) -> np.ndarray:
        return np.concatenate(self.levels)

    @property
    def cell_indices(self) -> np.ndarray:
        filled = [level + level[-1:] * (self.cells_per_step - len(level)) for level in self.levels]
        return np.array(filled)

    @property
    def valid(self) -> np.ndarray:
        return np.arange(self.cells_per_step) < np.array([[len(level)] for level in self.levels])

    @property
    def causal_mask(self) -> np.ndarray:
        depends = np.zeros((self.count, self.count), bool)
        for cell, parents in enumerate(self.parents):
            depends[cell, list(parents)] = True
        return depends[np.ix_(self.order, self.order)]

    @property
    def is_sequential(self) -> bool:
        return False

    @cached_property
    def includes(self) -> np.ndarray:
        """`[2 count, 2 count]`: whether one set of cells (row) includes another (column).

        The sets are the parents of each cell, in the order of visits, and after these the cells
        themselves, one by one.
        """
        sets = np.concatenate([self.causal_mask, np.eye(self.count, dtype=bool)])
        missing = (~sets).astype(np.float32) @ sets.T.astype(np.float32)  # how many cells
        return missing == 0

    @property
    def length(self) -> int:
        """The number of levels: the graph's depth."""
        return len(self.levels)

    @property
    def cells_per_step(self) -> int:
        return max(map(len, self.levels))


def _topological(parents: tuple[tuple[int, ...], ...], names: Any) -> list[int]:
    """The cells, each after its parents; raises ValueError with the names along a cycle."""
    try:
        return list(TopologicalSorter(dict(enumerate(parents))).static_order())
    except CycleError as error:
        cycle = " -> ".join(str(names[cell]) for cell in error.args[1])
        raise ValueError(f"parents: expected a graph without cycles, got {cycle}") from None
