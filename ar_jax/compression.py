"""Lossless compression: events are drawn with an entropy coder in the place of chance.

Whoever draws x_t from p(x_t | x_<t, y) with a coder's choices finds the events again, in
-log2 p(x | y) bits. Both sides run the same compiled step at the same batch shape, since scoring
in parallel, or other batches, would round the probabilities differently.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from constriction import stream  # pyright: ignore[reportAttributeAccessIssue]
from jax.experimental import io_callback

from ar_jax.checks import check_positive
from ar_jax.contexts import Condition, count_of, map_condition
from ar_jax.decoding import example_keys
from ar_jax.heads import Integers
from ar_jax.model import Array, AutoregressiveModel, Variables

MAGIC = b"\x89ar_jax\n"
VERSION = 1

FAMILY = stream.model.Categorical(perfect=False)
"""Probabilities, rounded so that every value has one above zero."""

Code = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(places, probabilities `[batch, places, values]`) -> values `[batch, places]`.

Places tell which variables of a step these are.
"""


def compress(
    model: AutoregressiveModel,
    variables: Variables,
    x: Array,
    condition: Condition = None,
    batch_size: int = 256,
) -> bytes:
    """Events as bytes: -log2 p(x | y) bits under the model, and a header of about 400 bytes.

    Args:
      model: whose head has finitely many values.
      variables: its own; `decompress` needs the same.
      x: `[count, *event]`, integers.
      condition: y; `decompress` needs the same.
      batch_size: how many events are coded side by side.

    Raises:
      ValueError: when x or the condition does not fit the model, or its head is over infinitely
        many values.
    """
    check_positive(batch_size=batch_size)
    model.check(x, condition)
    x = np.asarray(x, np.int32)
    batch = min(len(x), batch_size)
    steps, encoder = model.ordering.to_steps(x), stream.queue.RangeEncoder()
    stepper = Stepper(model, variables, condition, batch)
    for first in range(0, len(x), batch):
        known = steps[np.minimum(np.arange(first, first + batch), len(x) - 1)]
        for t, counts in stepper.steps(first, len(x)):

            def encode(places: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
                values, coded = known[:, t, places], counts[:, places]  # noqa: B023
                encoder.encode(values[coded], FAMILY, probabilities[coded])
                return values

            stepper.take(t, encode)
    payload = encoder.get_compressed().astype("<u4").tobytes()
    header = {
        "version": VERSION,
        "count": len(x),
        "batch": batch,
        **stepper.hashes,
        "events": zlib.crc32(x.astype("<i4").tobytes()),
        "size": len(payload),
        "payload": zlib.crc32(payload),
    }
    written = json.dumps(header).encode()
    sizes = [len(written), zlib.crc32(written)]
    return MAGIC + np.array(sizes, "<u4").tobytes() + written + payload


def decompress(
    model: AutoregressiveModel, variables: Variables, data: bytes, condition: Condition = None
) -> np.ndarray:
    """The events that `compress` was given.

    Args:
      model: the same.
      variables: the same.
      data: what `compress` returned.
      condition: the same.

    Returns:
      `[count, *event]`, integers.

    Raises:
      ValueError: when the data is damaged or of something else, or this machine computes other
        probabilities than the one that compressed.
    """
    header, payload = read(data)
    count, batch = header["count"], header["batch"]
    if count_of(condition) not in (None, count):
        raise ValueError(
            f"condition: expected one for each of {count} events, got {count_of(condition)}"
        )
    stepper = Stepper(model, variables, condition, batch)
    for name, what in HASHED.items():
        if header[name] != stepper.hashes[name]:
            raise ValueError(
                f"data: expected {what}, got data of {name} {header[name]}, "
                f"where there is {stepper.hashes[name]}"
            )
    decoder, steps = stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32)), []
    for first in range(0, count, batch):
        chunk = []
        for t, counts in stepper.steps(first, count):

            def decode(places: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
                coded = counts[:, places]  # noqa: B023
                values = np.zeros(coded.shape, np.int32)
                values[coded] = decoder.decode(FAMILY, probabilities[coded])
                return values

            chunk.append(stepper.take(t, decode))
        steps.append(np.stack(chunk, axis=1)[: count - first])
    x = model.ordering.to_event(np.concatenate(steps))
    if zlib.crc32(x.astype("<i4").tobytes()) != header["events"]:
        raise ValueError(
            "data: expected events of the header's checksum, got others: this machine (jax "
            f"{jax.__version__}) computes other probabilities than that one (jax {header['jax']})"
        )
    return x


HASHED = {
    "model": "what this model and these variables compressed",
    "condition": "what was compressed with this condition",
    "probabilities": "what was compressed where the model computes the same probabilities",
}


def read(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the payload.

    Raises:
      ValueError: when these are no compressed events, or damaged ones.
    """
    start = len(MAGIC) + 8
    if data[: len(MAGIC)] != MAGIC or len(data) < start:
        raise ValueError("data: expected compressed events of ar_jax, got something else")
    size, checksum = np.frombuffer(data, "<u4", 2, len(MAGIC)).tolist()
    written, payload = data[start : start + size], data[start + size :]
    if zlib.crc32(written) != checksum or len(written) != size:
        raise ValueError("data: expected a header of its checksum, got a damaged one")
    header = json.loads(written)
    if header["version"] != VERSION:
        raise ValueError(f"data: expected version {VERSION}, got {header['version']}")
    if len(payload) != header["size"] or zlib.crc32(payload) != header["payload"]:
        raise ValueError(
            f"data: expected {header['size']} bytes of their checksum after the header, "
            f"got {len(payload)}, cut short or damaged"
        )
    return header, payload


@dataclass(frozen=True, eq=False)
class Port:
    """Stands in a compiled step where a sampler would, and asks the host for the values."""

    ask: Callable[[np.ndarray], np.ndarray]

    temperature: ClassVar[float] = 1.0
    truncates: ClassVar[bool] = False

    def __call__(self, keys: jax.Array, log_pmf: jax.Array) -> jax.Array:
        """`[batch]` keys, which nobody needs, and `[batch, ..., values]` nats -> `[batch, ...]`."""
        values = jax.ShapeDtypeStruct(log_pmf.shape[:-1], jnp.int32)
        return io_callback(self.ask, values, jnp.exp(log_pmf), ordered=True)


class Program(NamedTuple):
    """The two compiled functions, and who answers the second."""

    begin: Callable[..., Any]
    step: Callable[..., Any]
    answers: list[Callable[[np.ndarray], np.ndarray]]


@lru_cache(maxsize=8)
def _program(model: AutoregressiveModel) -> Program:
    answers: list[Callable[[np.ndarray], np.ndarray]] = []
    port = Port(lambda probabilities: answers[-1](np.asarray(probabilities)))

    def begin(variables: Variables, blank: jax.Array, condition: Any) -> Any:
        return model.apply(variables, len(blank), condition, method="begin")

    def step(variables: Variables, cache: Any, previous: jax.Array, t: jax.Array) -> Any:
        keys = example_keys(jax.random.key(0), len(previous))
        out: Any = model.apply(variables, cache, previous, t, keys, port, method="draw")
        return out[:2]

    return Program(jax.jit(begin), jax.jit(step, donate_argnums=1), answers)


class Stepper:
    """A model's steps, one after the other, each of whose values a coder tells.

    Args:
      model: any with finitely many values.
      variables: its own.
      condition: `[count, ...]` or None.
      batch: how many events at once.
    """

    def __init__(
        self, model: AutoregressiveModel, variables: Variables, condition: Any, batch: int
    ) -> None:
        model.check_parts()
        model.context.check(condition, count_of(condition) or batch)
        support = model.head.support(model.ordering.block_size)
        if not all(isinstance(kind, Integers) and kind != Integers() for kind in support):
            raise ValueError(
                f"head: expected one of finitely many values, to be compressed, got {model.head}"
            )
        self._model, self._variables, self._batch = model, jax.device_put(variables), batch
        self._condition, self._program = condition, _program(cast(Hashable, model))
        self._order = np.arange(model.ordering.step_size)
        self._begin(0)
        asked = self.take(0, lambda places, _: np.broadcast_to(-1 - places, (batch, len(places))))
        self._order = np.argsort(-1 - asked[0])
        digest = hashlib.sha256()

        def watch(places: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
            digest.update(probabilities.tobytes())
            return np.zeros((batch, len(places)), np.int32)

        self._begin(0)
        for t in range(min(2, model.ordering.length)):
            self.take(t, watch)
        self.hashes = {
            "model": _hash(repr(model), variables),
            "condition": _hash("", condition),
            "probabilities": digest.hexdigest()[:16],
            "jax": jax.__version__,
        }

    def _begin(self, first: int) -> None:
        count = count_of(self._condition) or 1
        rows = np.minimum(np.arange(first, first + self._batch), count - 1)
        condition = map_condition(lambda y: np.asarray(y)[rows], self._condition)
        blank = np.zeros(self._batch)
        self._state = self._program.begin(self._variables, blank, condition)

    def steps(self, first: int, count: int) -> Iterator[tuple[int, np.ndarray]]:
        """The steps of a batch from its beginning: t, and which variables count.

        Args:
          first: the number of the batch's first event.
          count: how many events there are.

        Yields:
          t, and `[batch, step_size]` booleans: rows after the last event and cells that only fill
          up a step do not count.
        """
        ordering, rows = self._model.ordering, np.arange(first, first + self._batch) < count
        self._begin(first)
        for t in range(ordering.length):
            yield t, rows[:, None] & ordering.valid[t].repeat(ordering.block_size)

    def take(self, t: int, code: Code) -> np.ndarray:
        """Step t, which must come after t - 1: the values that the coder tells.

        Returns:
          `[batch, step_size]`, integers.
        """
        asked, failures = 0, []

        def answer(probabilities: np.ndarray) -> np.ndarray:
            nonlocal asked
            table = probabilities.reshape(self._batch, -1, probabilities.shape[-1])
            places = self._order[asked : asked + table.shape[1]]
            asked += table.shape[1]
            try:
                values = code(places, table)
            except Exception as error:  # it would come as text only through the compiled step
                failures.append(error)
                values = np.zeros(table.shape[:2])
            return values.reshape(probabilities.shape[:-1]).astype(np.int32)

        self._program.answers.append(answer)
        try:
            self._state = self._program.step(self._variables, *self._state, t)
            values = np.asarray(self._state[1])
        finally:
            self._program.answers.pop()
        if failures:
            raise ValueError(f"data: expected a code of these probabilities, got {failures[0]}")
        return values


def _hash(text: str, tree: Any) -> str:
    digest = hashlib.sha256(text.encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
