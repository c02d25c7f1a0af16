"""Text from a GPT-2 or a Llama, token by token as it is drawn.

python -m experiments.gpt2 sample --checkpoint gpt2/ --prompt "Once upon a time"
python -m experiments.gpt2 sample --checkpoint gpt2/ --prompt "Q:" --length 50 --sampler.top-p 0.9
python -m experiments.gpt2 sample --checkpoint gpt2/ --prompt "One, two," --sampler.temperature 0

The checkpoint is a folder as Hugging Face's transformers writes it: config.json, tokenizer.json and
model.safetensors, of one file or sharded. The text ends after so many tokens, where the model ends
it, or at Ctrl-C. Needs the extra: pip install 'ar_jax[interop]'.
"""

import contextlib
import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

import ar_jax as ar
from ar_jax import interop
from ar_jax.interop.checkpoint import read_config
from experiments.run import dispatch, parse

PROGRAM = "python -m experiments.gpt2"


@dataclasses.dataclass(frozen=True)
class SampleText:
    """Draw on from a prompt.

    Attributes:
      checkpoint: folder of the model and its tokeniser.
      prompt: how the text begins: one token at least.
      length: the most tokens to draw.
      sampler: how a token is drawn.
      seed: of the draw.
    """

    checkpoint: Path = Path()
    prompt: str = "\n"
    length: int = 200
    sampler: ar.Sampler = ar.Sampler()
    seed: int = 0


def sample(options: SampleText) -> None:
    """Prints the prompt, and each token as soon as it is drawn."""
    model, variables = interop.load(options.checkpoint)
    path = options.checkpoint / "tokenizer.json"
    if not path.exists():
        raise FileNotFoundError(
            f"checkpoint: expected {path.name} in it, got {path.parent} without"
        )
    tokenizer = Tokenizer.from_file(str(path))
    prompt = tokenizer.encode(options.prompt).ids
    if not prompt:
        raise ValueError(f"prompt: expected a token at least, got {options.prompt!r}")
    room = model.ordering.length + 1 - len(prompt)
    if not 1 <= options.length <= room:
        raise ValueError(
            f"length: expected 1 ... {room}, since the model has {model.ordering.length} positions "
            f"and the prompt {len(prompt)} tokens, got {options.length}"
        )
    ordering = ar.orderings.Raster((len(prompt) - 1 + options.length,))
    ends = read_config(options.checkpoint).entries.get("eos_token_id")  # none, one or several
    ends = ends if isinstance(ends, list) else [ends]
    tokens = np.array(prompt)[None]
    drawn = ar.stream(
        model.clone(ordering=ordering), variables, jax.random.key(options.seed),
        condition=tokens[:, :1], prefix=tokens[:, 1:, None], sampler=options.sampler,
    )  # fmt: skip
    text = DecodeStream(ids=prompt, skip_special_tokens=True)
    print(options.prompt, end="", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        for token in (step.item() for step in drawn):
            if token in ends:
                break
            print(text.step(tokenizer, token) or "", end="", flush=True)
    print()


def main(arguments: list[str]) -> None:
    """Runs the command line."""

    def sample_verb(arguments: list[str]) -> None:
        sample(parse(SampleText(), arguments, f"{PROGRAM} sample"))

    dispatch(PROGRAM, {"sample": sample_verb}, "sample", __doc__ or "", arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
