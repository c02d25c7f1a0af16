"""Lossless compression: events are drawn with an entropy coder in the place of chance.

Whoever draws x_t from p(x_t | x_<t, y) with a coder's choices finds the events again, in
-log2 p(x | y) bits. Both sides run the same compiled step at the same batch shape, since scoring
in parallel, or other batches, would round the probabilities differently.
"""

import dataclasses
import hashlib
import json
import re
import threading
import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from reprlib import repr as short
from typing import Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from constriction import stream  # pyright: ignore[reportAttributeAccessIssue]
from jax.experimental import io_callback

from ar_jax.checks import check_integers, check_positive, check_shape
from ar_jax.contexts import Condition, count_of, map_condition
from ar_jax.decoding import example_keys
from ar_jax.heads import Integers
from ar_jax.models.autoregressive import Array, AutoregressiveModel, Variables
from ar_jax.orderings import Ordering

MAGIC = b"\x89ar_jax\n"
VERSION = 3

WIDEST = 4096
"""The most events that are coded side by side."""

LIMIT = 2**28
"""The most variables that are coded, unless more are asked for."""

STEPS_PER_BYTE = 64
"""The most steps of the model for each byte of a payload, which bounds the time of decoding.

Shorter payloads are filled up with zeros.
"""

ABOUT = 2**24
"""The most bytes of JSON that are stored besides the events."""

RangeEncoder, RangeDecoder = stream.queue.RangeEncoder, stream.queue.RangeDecoder

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
    lengths: Array | None = None,
    *,
    batch_size: int = 256,
    about: Mapping[str, Any] | None = None,
    limit: int = LIMIT,
    progress: Callable[[float], None] = lambda share: None,
) -> bytes:
    """Events as bytes: -log2 p(x | y) bits under the model, and a header of about 400 bytes.

    Args:
      model: whose head has finitely many values.
      variables: its own; `decompress` needs the same.
      x: `[count, *event]`, integers.
      condition: y; `decompress` needs the same.
      lengths: `[count]` integers, how many steps of each event are stored, the others come back as
        zeros; None for all. `decompress` needs the same.
      batch_size: how many events are coded side by side.
      about: what else to store, as JSON of at most `ABOUT` bytes: `read` gives it back before
        anything is decoded.
      limit: refuse more variables; `decompress` needs one as high.
      progress: is told the share that is done.

    Raises:
      ValueError: when x, the condition, the lengths or `about` do not fit, or the model's head is
        over infinitely many values.
    """
    check_positive(batch_size=batch_size)
    model.check(x, condition)
    check_count(model.ordering, len(x), limit)
    about = _stored(dict(about or {}))
    count, batch = len(x), min(len(x), batch_size, WIDEST)
    stepper, encoder = StepwiseCoder(model, variables, condition, lengths, batch), RangeEncoder()
    steps = model.ordering.to_steps(np.asarray(x, np.int32))
    steps = np.where(stepper.stored(np.arange(count))[..., None], steps, 0)
    for first in range(0, count, batch):
        known = steps[np.minimum(np.arange(first, first + batch), count - 1)]
        for t, counts in stepper.steps(first, count):
            stepper.take(t, partial(_encode, encoder, known[:, t], counts))
            progress(_share(first, t, count, batch, len(known[0])))
    words = encoder.get_compressed()
    least = -(-_steps(model.ordering, count, batch) // (4 * STEPS_PER_BYTE))
    payload = np.pad(words, (0, max(0, least - len(words)))).astype("<u4").tobytes()
    header = {
        "version": VERSION,
        "count": count,
        "batch": batch,
        **stepper.hashes,
        "events": _checksum(model.ordering.to_event(steps)),
        "size": len(payload),
        "payload": zlib.crc32(payload),
        "about": about,
    }
    written = json.dumps(header).encode()
    sizes = [len(written), zlib.crc32(written)]
    return MAGIC + np.array(sizes, "<u4").tobytes() + written + payload


def decompress(
    model: AutoregressiveModel,
    variables: Variables,
    data: bytes,
    condition: Condition = None,
    lengths: Array | None = None,
    *,
    limit: int = LIMIT,
    progress: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """The events that `compress` was given.

    The work is bounded before it begins: at most `limit` variables, `STEPS_PER_BYTE` steps of the
    model for each byte of the payload, and `WIDEST` events, which decides the memory, at once.

    Args:
      model: the same.
      variables: the same.
      data: what `compress` returned.
      condition: the same.
      lengths: the same.
      limit: refuse data of more variables.
      progress: is told the share that is done.

    Returns:
      `[count, *event]`, integers.

    Raises:
      ValueError: when the data is damaged or of something else, or this machine computes other
        probabilities than the one that compressed.
    """
    header, payload = read(data)
    count, batch = header["count"], header["batch"]
    for name, given in (("condition", count_of(condition)), ("lengths", count_of(lengths))):
        if given not in (None, count):
            raise ValueError(f"{name}: expected one for each of {count} events, got {given}")
    ordering = model.ordering
    check_count(ordering, count, limit, len(payload), batch)
    stepper = StepwiseCoder(model, variables, condition, lengths, batch)
    versions = f"jax {header['jax']} there, jax {jax.__version__} here"
    for name, what in HASHED.items():
        if header[name] != stepper.hashes[name]:
            raise ValueError(
                f"data: expected {what}, got data of {name} {header[name]}, "
                f"where there is {stepper.hashes[name]} ({versions})"
            )
    decoder, steps = RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32)), []
    for first in range(0, count, batch):
        chunk = []
        for t, counts in stepper.steps(first, count):
            chunk.append(stepper.take(t, partial(_decode, decoder, counts)))
            progress(_share(first, t, count, batch, ordering.length))
        steps.append(np.stack(chunk, axis=1)[: count - first])
    x = ordering.to_event(np.concatenate(steps))
    if _checksum(x) != header["events"]:
        raise ValueError(
            "data: expected events of the header's checksum, got others: the data was tampered "
            f"with, or this machine computes other probabilities than that one ({versions})"
        )
    return x


def check_count(
    ordering: Ordering, count: int, limit: int = LIMIT, size: int | None = None, batch: int = WIDEST
) -> None:
    """Raises ValueError for a number of events that is not coded.

    Args:
      ordering: of the variables.
      count: how many events.
      limit: of all variables.
      size: bytes of the payload, if there is one.
      batch: how many events are coded side by side.
    """
    given = f"got {count} events of {ordering.length * ordering.step_size}"
    if not 1 <= count * ordering.length * ordering.step_size <= limit:
        raise ValueError(f"data: expected 1 ... {limit} variables, {given}; see limit")
    steps = _steps(ordering, count, batch)
    if size is not None and steps > STEPS_PER_BYTE * size:
        raise ValueError(
            f"data: expected at most {STEPS_PER_BYTE} steps a byte, {given}, in {steps} steps and "
            f"{size} bytes: the data was tampered with"
        )


def _steps(ordering: Ordering, count: int, batch: int) -> int:
    """How often the model makes a step."""
    return -(-count // batch) * ordering.length


def _stored(about: dict[str, Any]) -> dict[str, Any]:
    """The same, which JSON gives back."""
    try:
        text = json.dumps(about, allow_nan=False)
        same = json.loads(text) == about
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"about: expected what JSON can hold, got {short(about)}") from error
    if not same or len(text) > ABOUT:
        raise ValueError(
            f"about: expected what JSON gives back, of at most {ABOUT} bytes, got {short(about)}"
        )
    return about


HASHED = {
    "model": "what this model and these variables compressed",
    "condition": "what was compressed with this condition",
    "lengths": "what was compressed with these lengths",
    "probabilities": "what was compressed where the model computes the same probabilities",
}

HEADER = {"version": int, "count": int, "batch": int, "events": int, "size": int, "payload": int}
HEADER |= {"about": dict, "jax": str} | dict.fromkeys(HASHED, str)


def read(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the payload.

    Raises:
      ValueError: when these are no compressed events, or damaged ones.
    """
    start = len(MAGIC) + 8
    if data[: len(MAGIC)] != MAGIC or len(data) < start:
        raise ValueError("data: expected compressed events of ar_jax, got something else")
    size, checksum = np.frombuffer(data, "<u4", 2, len(MAGIC)).tolist()
    if size > ABOUT + 1024:
        raise ValueError(f"data: expected a header of {ABOUT + 1024} bytes at most, got {size}")
    written, payload = data[start : start + size], data[start + size :]
    if zlib.crc32(written) != checksum or len(written) != size:
        raise ValueError("data: expected a header of its checksum, got a damaged one")
    try:
        header = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"data: expected a header in JSON, got {error}") from error
    version = header.get("version") if isinstance(header, dict) else None
    if version != VERSION:
        raise ValueError(
            f"data: expected version {VERSION}, got {short(version)}; the version of ar_jax that "
            "wrote it can decompress it"
        )
    if not _is_header(header):
        raise ValueError(f"data: expected a header that `compress` writes, got {short(header)}")
    if (
        len(payload) != header["size"]
        or len(payload) % 4
        or zlib.crc32(payload) != header["payload"]
    ):
        raise ValueError(
            f"data: expected {header['size']} bytes of their checksum after the header, "
            f"got {len(payload)}, cut short or damaged"
        )
    return header, payload


def _is_header(header: dict[str, Any]) -> bool:
    """Whether its fields are those of `compress`, with values that can be."""
    return (
        {name: type(value) for name, value in header.items()} == HEADER
        and 1 <= header["batch"] <= min(header["count"], WIDEST)
        and all(0 <= header[name] < 2**32 for name in ("events", "size", "payload"))
        and all(re.fullmatch("[0-9a-f]{16}", header[name]) for name in HASHED)
        and re.fullmatch("[0-9a-z.+-]{1,64}", header["jax"]) is not None
    )


@dataclass(frozen=True, eq=False)
class HostSampler:
    """A sampler that gets its values from the host, inside a compiled step."""

    ask: Callable[[np.ndarray], np.ndarray]

    temperature: ClassVar[float] = 1.0
    truncates: ClassVar[bool] = False

    def __call__(self, keys: jax.Array, log_pmf: jax.Array) -> jax.Array:
        """`[batch]` keys, unused, and `[batch, ..., values]` nats -> `[batch, ...]`."""
        values = jax.ShapeDtypeStruct(log_pmf.shape[:-1], jnp.int32)
        return io_callback(self.ask, values, jnp.exp(log_pmf), ordered=True)


class Program(NamedTuple):
    """The two compiled functions, and who answers the second."""

    begin: Callable[..., Any]
    step: Callable[..., Any]
    answers: list[Callable[[np.ndarray], np.ndarray]]
    alone: threading.Lock  # one thread at a time is answered


@lru_cache(maxsize=8)
def _program(model: AutoregressiveModel) -> Program:
    answers: list[Callable[[np.ndarray], np.ndarray]] = []
    port = HostSampler(lambda probabilities: answers[-1](np.asarray(probabilities)))

    def begin(variables: Variables, zero_step: jax.Array, condition: Any) -> Any:
        return model.apply(variables, len(zero_step), condition, method="begin")

    def step(variables: Variables, cache: Any, previous: jax.Array, t: jax.Array) -> Any:
        keys = example_keys(jax.random.key(0), len(previous))
        out: Any = model.apply(variables, cache, previous, t, keys, port, method="draw")
        return out[:2]

    return Program(jax.jit(begin), jax.jit(step, donate_argnums=1), answers, threading.Lock())


class StepwiseCoder:
    """Runs a model step by step; the coder supplies the value of each step.

    Args:
      model: any with finitely many values.
      variables: its own.
      condition: `[count, ...]` or None.
      lengths: `[count]` or None.
      batch: how many events at once.
    """

    def __init__(
        self,
        model: AutoregressiveModel,
        variables: Variables,
        condition: Any,
        lengths: Array | None,
        batch: int,
    ) -> None:
        model.check_parts()
        model.context.check(condition, count_of(condition) or batch)
        if lengths is not None:
            check_shape("lengths", lengths, (count_of(condition) or "count",))
            check_integers("lengths", lengths, 0, model.ordering.length)
        support = model.head.support(model.ordering.block_size)
        if not all(isinstance(kind, Integers) and kind != Integers() for kind in support):
            raise ValueError(
                f"head: expected one of finitely many values, to be compressed, got {model.head}"
            )
        self._model, self._variables, self._batch = model, jax.device_put(variables), batch
        self._condition, self._program = condition, _program(cast(Hashable, model))
        self._lengths = None if lengths is None else np.asarray(lengths)
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
            "model": _hash(_description(model), variables),
            "condition": _hash("", condition),
            "lengths": _hash("", self._lengths),
            "probabilities": digest.hexdigest()[:16],
            "jax": jax.__version__,
        }

    def _begin(self, first: int) -> None:
        count = count_of(self._condition) or 1
        rows = np.minimum(np.arange(first, first + self._batch), count - 1)
        condition = map_condition(lambda y: np.asarray(y)[rows], self._condition)
        zero_step = np.zeros(self._batch)
        self._state = self._program.begin(self._variables, zero_step, condition)

    def steps(self, first: int, count: int) -> Iterator[tuple[int, np.ndarray]]:
        """The steps of a batch from its beginning: t, and which variables count.

        Args:
          first: the number of the batch's first event.
          count: how many events there are.

        Yields:
          t, and `[batch, step_size]` booleans: rows after the last event, steps after its length
          and cells that only fill up a step do not count.
        """
        ordering, rows = self._model.ordering, np.arange(first, first + self._batch)
        stored = self.stored(np.minimum(rows, count - 1)) & (rows < count)[:, None]
        self._begin(first)
        for t in range(ordering.length):
            yield t, stored[:, t, None] & ordering.valid[t].repeat(ordering.block_size)

    def stored(self, rows: np.ndarray) -> np.ndarray:
        """`[rows, length]` booleans: the steps of these events that are stored."""
        length = self._model.ordering.length
        if self._lengths is None:
            return np.ones((len(rows), length), bool)
        return np.arange(length) < self._lengths[rows, None]

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
                if not np.isfinite(table).all():
                    raise ValueError("variables: expected ones of finite probabilities, got NaN")
                values = code(places, table)
            except Exception as error:  # it would come as text only through the compiled step
                failures.append(error)
                values = np.zeros(table.shape[:2])
            return values.reshape(probabilities.shape[:-1]).astype(np.int32)

        with self._program.alone:
            self._program.answers[:] = [answer]
            self._state = self._program.step(self._variables, *self._state, t)
            values = np.asarray(self._state[1])
        if failures:
            raise failures[0]
        return values


def _encode(
    encoder: Any,
    known: np.ndarray,
    counts: np.ndarray,
    places: np.ndarray,
    probabilities: np.ndarray,
) -> np.ndarray:
    values, coded = known[:, places], counts[:, places]
    encoder.encode(values[coded], FAMILY, probabilities[coded])
    return values


def _decode(
    decoder: Any, counts: np.ndarray, places: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    coded = counts[:, places]
    values = np.zeros(coded.shape, np.int32)
    try:
        values[coded] = decoder.decode(FAMILY, probabilities[coded])
    except Exception as error:  # the library raises no narrower one
        raise ValueError(f"data: expected a code, got {error}") from error
    return values


def _share(first: int, t: int, count: int, batch: int, length: int) -> float:
    """How much of all is done after step t of the batch that begins at an event."""
    return (first // batch * length + t + 1) / (-(-count // batch) * length)


def _checksum(x: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(x, "<i4").tobytes())


def _description(part: Any) -> str:
    """A part of a model by its class and the fields that are not at their defaults.

    A later version of the class may have more fields.
    """
    if isinstance(part, tuple):
        return f"({', '.join(map(_description, part))})"
    if not dataclasses.is_dataclass(part):
        return repr(part)
    given = {
        field.name: getattr(part, field.name)
        for field in dataclasses.fields(part)
        if field.init and field.name not in ("parent", "name")
        and getattr(part, field.name) != field.default
    }  # fmt: skip
    fields = ", ".join(f"{name}={_description(value)}" for name, value in given.items())
    return f"{type(part).__name__}({fields})"


def _hash(text: str, tree: Any) -> str:
    digest = hashlib.sha256(text.encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
