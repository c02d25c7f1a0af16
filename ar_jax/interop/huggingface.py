"""Language models in the folders that Hugging Face's `transformers` reads and writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ar_jax.interop.architecture import Architecture, Variables
from ar_jax.interop.checkpoint import Config, read_config
from ar_jax.interop.gpt2 import GPT2
from ar_jax.interop.llama import Llama
from ar_jax.models.autoregressive import AutoregressiveModel
from ar_jax.nn import Rotary


def load(
    folder: Path | str, dtype: DTypeLike = jnp.float32
) -> tuple[AutoregressiveModel, Variables]:
    """Reads a GPT-2 or a Llama, of one file or sharded.

    The model is p(x_1 ... x_n | x_0): the first token x_0 stands in the start's place, is not
    scored, and is the condition `[batch, 1]`; the event is the tokens after it. Tokens are the ids
    of the checkpoint's own tokeniser. So the log-probability of texts `[batch, n + 1]` is

        model.apply(variables, tokens[:, 1:], tokens[:, :1])

    and prompts `[batch, n]` go on by

        sample(model, variables, key, condition=prompts[:, :1], prefix=prompts[:, 1:, None])

    with `prefix_lengths` one less than the lengths of the prompts, where these differ. The event is
    as long as the checkpoint has positions; the same variables serve a shorter one, which decodes
    faster: `model.clone(ordering=Raster((100,)))`. Dropout is no part of a checkpoint; it is 0.

    Args:
      folder: with `config.json` and `model.safetensors` (or `model.safetensors.index.json` and the
        files that it names).
      dtype: of the parameters, and so of what the network computes in.

    Returns:
      The model and its variables.

    Raises:
      FileNotFoundError: when a file is missing.
      ValueError: when the checkpoint is of another architecture, has an option or a tensor that the
        model has not, or weights that are not finite; or when a file is damaged, too large or
        outside of the folder. Sizes are those of tensors in the files before anything is of that
        size: the time and the memory are bounded by the files, of which JSON may have 16 MiB, and
        by 1,024 layers.
    """
    folder = Path(folder)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"dtype: expected floating point, got {jnp.dtype(dtype)}")
    dtype = jax.dtypes.canonicalize_dtype(dtype)  # 64 bits are 32 unless JAX is told otherwise
    config = read_config(folder)
    return _architecture_of(config).load(folder, config, dtype)


def save(
    folder: Path | str,
    model: AutoregressiveModel,
    variables: Variables,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Writes a model as `load` makes them so that `transformers` loads it, in a new folder.

    The folder appears when all is written. The tokeniser is not a part: copy its files.

    Args:
      folder: where; must not exist.
      model: of the parts that `load` returns; learned positions make a GPT-2, rotary ones a Llama.
        A Llama is given as many positions as the event has.
      variables: its own.
      config: more entries of `config.json`, such as `eos_token_id`, or all those of the checkpoint
        that the model came from; what describes the network is written from the model.

    Raises:
      FileExistsError: when the folder exists.
      ValueError: when the model has something that the architecture has not.
    """
    rotary = isinstance(getattr(model.conditional, "positions", None), Rotary)
    (Llama() if rotary else GPT2()).save(Path(folder), model, variables, config or {})


def _architecture_of(config: Config) -> Architecture:
    match config.choice("model_type", ("gpt2", "llama")):
        case "gpt2":
            return GPT2()
        case _:
            return Llama()
