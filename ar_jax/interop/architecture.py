"""An architecture of checkpoints: how its configurations and tensors are those of our models."""

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.typing import DTypeLike

from ar_jax.checks import check_variables
from ar_jax.conditionals import Transformer
from ar_jax.contexts import FirstToken
from ar_jax.heads import Categorical
from ar_jax.interop.checkpoint import CONFIG, TENSORS, Config, Tensor, open_tensors, write
from ar_jax.models.autoregressive import AutoregressiveModel
from ar_jax.orderings import Raster

Variables = Any
"""The pytree that `init` returns."""

FLOATING = "F16", "BF16", "F32", "F64"

MOST_LAYERS = 1024
"""Each is traced; the largest Llama has 126."""

EMBEDDING, UNEMBEDDING = "head/embed/embedding", "lm_head.weight"
"""Our path of the one, their name of the other."""


class Part(NamedTuple):
    """One of our arrays, and the tensors that stand in it side by side along its last axis.

    Attributes:
      ours: its path among the parameters.
      theirs: the names of the tensors.
      cuts: where the second and later ones begin.
      transposed: whether theirs are `[outputs, inputs]`.
    """

    ours: str
    theirs: Sequence[str]
    cuts: Sequence[int] = ()
    transposed: bool = False

    def join(self, tensors: Sequence[np.ndarray]) -> np.ndarray:
        """Ours of theirs."""
        if self.transposed:
            tensors = [tensor.T for tensor in tensors]
        return np.concatenate(tensors, axis=-1)

    def split(self, array: np.ndarray) -> list[np.ndarray]:
        """Theirs of ours."""
        tensors = np.split(array, self.cuts, axis=-1)
        return [tensor.T for tensor in tensors] if self.transposed else tensors


class Architecture(ABC):
    """Decoder-only language models of one `model_type`."""

    prefix: ClassVar[str]
    """What may stand before the names of all tensors but the unembedding's."""

    ignored: ClassVar[str]
    """Matches the names of tensors that are constants, or told by others."""

    like: ClassVar[Transformer]
    """A network as theirs."""

    free: ClassVar[tuple[str, ...]] = (
        "layers", "width", "heads", "hidden", "positions", "norm_epsilon", "dropout", "remat",
    )  # fmt: skip
    """The fields in which their networks differ, or which are no part of a checkpoint."""

    @abstractmethod
    def model(self, config: Config) -> AutoregressiveModel:
        """The model that a configuration describes, as long as it has positions."""

    @abstractmethod
    def config(self, model: AutoregressiveModel) -> dict[str, Any]:
        """The configuration of a model that has been checked."""

    @abstractmethod
    def parts(self, conditional: Transformer) -> list[Part]:
        """All parameters but the unembedding's."""

    @abstractmethod
    def outline(self, model: AutoregressiveModel) -> dict[str, tuple[int, ...]]:
        """Some tensors by name, whose shapes hold all sizes of a configuration but the layers."""

    def load(
        self, folder: Path, config: Config, dtype: DTypeLike
    ) -> tuple[AutoregressiveModel, Variables]:
        """The model and its variables."""
        model, arrays = self.model(config), {}
        try:
            model.check_parts()
        except ValueError as error:
            raise ValueError(f"{CONFIG}: {error}") from None
        with open_tensors(folder) as found:
            stored = {name.removeprefix(self.prefix): tensor for name, tensor in found.items()}
            for name in sorted(found.keys() - {tensor.name for tensor in stored.values()}):
                raise ValueError(f"{found[name].file}, {name}: expected it once, got it twice")
            # The files have all tensors, and of the sizes that the configuration claims, before
            # anything is of that size.
            for name in (name for part in self._parts(model) for name in part.theirs):
                if name not in stored:
                    files = ", ".join(sorted({tensor.file for tensor in found.values()}))
                    raise ValueError(f"{files or TENSORS}: expected {name}, got no such tensor")
            for name, shape in self.outline(model).items():
                _check(stored[name], shape)
            shapes = _shapes(model.clone(ordering=Raster((1,))))
            for part in self._parts(model):
                wanted = part.split(np.broadcast_to(np.float32(0), shapes[part.ours]))
                tensors = [stored[name] for name in part.theirs]
                for tensor, like in zip(tensors, wanted, strict=True):
                    _check(tensor, like.shape)
                joined = part.join([_read(tensor, dtype) for tensor in tensors])
                arrays[part.ours] = jnp.asarray(joined)
            names = {part.ours: part.theirs for part in self._parts(model)}
            used = {name for theirs in names.values() for name in theirs}
            (embedding,) = names[EMBEDDING]
            for name in sorted(stored.keys() - used):
                file = stored[name].file
                if not re.fullmatch(self.ignored, name):
                    raise ValueError(f"{file}: expected the model's tensors only, got {name}")
                if name != UNEMBEDDING:
                    continue
                _check(stored[name], stored[embedding].shape)
                if not np.array_equal(stored[name].read(), stored[embedding].read()):
                    raise ValueError(
                        f"{file}, {name}: expected the embedding's values, since "
                        "tie_word_embeddings says so, got others"
                    )
        return model, {"params": unflatten_dict(arrays, sep="/")}

    def save(
        self,
        folder: Path,
        model: AutoregressiveModel,
        variables: Variables,
        config: Mapping[str, Any],
    ) -> None:
        """Writes a new folder."""
        self._check(model)
        model.check_parts()
        check_variables(variables)
        described = self.config(model)
        arrays = _flat(variables)
        shapes, got = _shapes(model), {name: np.shape(array) for name, array in arrays.items()}
        for name in sorted(shapes.keys() | got.keys()):
            if shapes.get(name) != got.get(name):
                wanted, given = (at.get(name, "no such array") for at in (shapes, got))
                raise ValueError(f"variables, {name}: expected shape {wanted}, got {given}")
        tensors = {}
        for part in self._parts(model):
            split = part.split(np.asarray(arrays[part.ours]))
            names = [n if n == UNEMBEDDING else self.prefix + n for n in part.theirs]
            tensors |= dict(zip(names, split, strict=True))
        dtype = jnp.result_type(*tensors.values()).name
        tied = model.head.unembedding == "tied"
        common = {"tie_word_embeddings": tied, "vocab_size": model.head.values, "dtype": dtype}
        nothing = {"bos_token_id": None, "eos_token_id": None}
        write(folder, {**nothing, **config, **common, **described}, tensors)

    def _parts(self, model: AutoregressiveModel) -> list[Part]:
        assert isinstance(model.conditional, Transformer)
        parts = self.parts(model.conditional)
        if model.head.unembedding == "own":
            parts.append(Part("head/unembed/kernel", [UNEMBEDDING], transposed=True))
        return parts

    def _check(self, model: AutoregressiveModel) -> None:
        """Raises ValueError unless the model is one of this architecture."""
        name = type(self).__name__
        for field, kind in (
            ("ordering", Raster), ("conditional", Transformer), ("head", Categorical),
            ("context", FirstToken),
        ):  # fmt: skip
            part = getattr(model, field)
            if type(part) is not kind:
                raise ValueError(f"{field}: expected {kind.__name__} in a {name}, got {part}")
        conditional, head = model.conditional, model.head
        if len(model.ordering.event) != 1 or model.ordering.block_size != 1:
            raise ValueError(f"ordering: expected one axis of tokens, got {model.ordering}")
        if model.context.vocabulary != head.values:
            raise ValueError(
                f"context.vocabulary: expected the head's {head.values}, "
                f"got {model.context.vocabulary}"
            )
        if head.unembedding == "none":
            raise ValueError("head.unembedding: expected 'tied' or 'own', got 'none'")
        of_linen = "parent", "name"
        for field in (field.name for field in dataclasses.fields(Transformer)):
            if field in (*self.free, *of_linen):
                continue
            wanted, got = (getattr(net, field) for net in (self.like, conditional))
            if wanted != got:
                raise ValueError(f"conditional.{field}: expected {wanted} in a {name}, got {got}")
        if type(conditional.positions) is not type(self.like.positions):
            raise ValueError(
                f"conditional.positions: expected {self.like.positions} in a {name}, "
                f"got {conditional.positions}"
            )


def language_model(
    config: Config, net: Transformer, length: int, tied: bool
) -> AutoregressiveModel:
    """Tokens given the first one, by a network."""
    vocabulary = config.size("vocab_size")
    tied = config.choice("tie_word_embeddings", (True, False), tied)
    return AutoregressiveModel(
        Raster((length,)),
        net,
        Categorical(vocabulary, embedding=net.width, unembedding="tied" if tied else "own"),
        FirstToken(vocabulary),
    )


def _shapes(model: AutoregressiveModel) -> dict[str, tuple[int, ...]]:
    """Of the parameters, by their paths."""
    tokens = jnp.zeros((1, model.ordering.length), jnp.int32)
    variables = jax.eval_shape(model.init, jax.random.key(0), tokens, tokens[:, :1])
    return {name: leaf.shape for name, leaf in _flat(variables).items()}


def _flat(variables: Variables) -> dict[str, Any]:
    """Parameters by their paths."""
    flat: Any = flatten_dict(variables["params"], sep="/")
    return flat


def _check(tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless a tensor's header is as the configuration says."""
    if tensor.shape != shape:
        raise ValueError(
            f"{tensor.file}, {tensor.name}: expected shape {list(shape)}, as {CONFIG} says, got "
            f"{list(tensor.shape)}"
        )
    if tensor.dtype not in FLOATING:
        raise ValueError(
            f"{tensor.file}, {tensor.name}: expected one of {', '.join(FLOATING)}, "
            f"got {tensor.dtype}"
        )


def _read(tensor: Tensor, dtype: DTypeLike) -> np.ndarray:
    """The values in a dtype, all finite."""
    with np.errstate(over="ignore"):
        values = tensor.read().astype(dtype)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{tensor.file}, {tensor.name}: expected finite numbers in {values.dtype}, got NaN, "
            "infinity or what is too large"
        )
    return values
