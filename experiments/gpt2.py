"""Text from a GPT-2 or a Llama, token by token as it is drawn.

python -m experiments.gpt2 sample --checkpoint gpt2/ --prompt "Once upon a time"
python -m experiments.gpt2 sample --checkpoint gpt2/ --prompt "Q:" --length 50 --sampler.top-p 0.9
python -m experiments.gpt2 sample --checkpoint gpt2/ --prompt "One, two," --sampler.temperature 0
python -m experiments.gpt2 sample --checkpoint gpt2/ --prompt "Q: Why? A:" --stop "Q:" "A:"
python -m experiments.gpt2 sample --checkpoint gpt2/ --prompt "Born on" --pattern " [0-9]{4}"

The checkpoint is a folder as Hugging Face's transformers writes it: config.json, tokenizer.json and
model.safetensors, of one file or sharded. The text ends after so many tokens, where the model ends
it, before a stop, where a pattern allows nothing more, or at Ctrl-C. Needs the extra:
pip install 'ar_jax[interop]'.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

import ar_jax as ar
from ar_jax import interop
from ar_jax.decoding import Processor
from ar_jax.experiment.command_line import dispatch, parse
from ar_jax.inference.regular_expressions import regular_expression
from ar_jax.interop.checkpoint import read_config
from experiments.sequences import until

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
      stop: texts before which it ends.
      repetition_penalty: above 1, tokens that came before come again less often.
      pattern: a regular expression that what is drawn matches as a whole.
      alternatives: print so many of the most likely tokens at each place, and their probabilities.
    """

    checkpoint: Path = Path()
    prompt: str = "\n"
    length: int = 200
    sampler: ar.Sampler = ar.Sampler()
    seed: int = 0
    stop: tuple[str, ...] = ()
    repetition_penalty: float = 1.0
    pattern: str = ""
    alternatives: int = 0


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
    ends = read_config(options.checkpoint).entries.get("eos_token_id")  # none, one or several
    ends = ends if isinstance(ends, list) else [ends]
    processors: list[Processor] = []
    if options.repetition_penalty != 1:
        processors.append(ar.RepetitionPenalty(options.repetition_penalty, np.array(prompt[:1])))
    if options.pattern:
        symbols = spellings(tokenizer, prompt[-1], model.head.values)
        processors.append(regular_expression(options.pattern, symbols, ends[0]))
    tokens, drawn = np.array(prompt)[None], []

    def of_length(length: int) -> ar.AutoregressiveModel:
        return model.clone(ordering=ar.orderings.Raster((length,)))

    steps = ar.stream(
        of_length(len(prompt) - 1 + options.length), variables, jax.random.key(options.seed),
        condition=tokens[:, :1], prefix=tokens[:, 1:, None], sampler=options.sampler,
        processors=processors,
    )  # fmt: skip

    def pieces() -> Iterator[str]:
        text = DecodeStream(ids=prompt, skip_special_tokens=True)
        for token in (step.item() for step in steps):
            if token in ends:
                return
            drawn.append(token)
            yield text.step(tokenizer, token) or ""

    print(options.prompt, end="", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        for piece in until(pieces(), options.stop):
            print(piece, end="", flush=True)
    print()
    if options.alternatives and drawn:
        event = np.array([[*prompt[1:], *drawn]])
        values, log_probs = ar.top_k_alternatives(
            of_length(event.shape[1]), variables, event, options.alternatives, tokens[:, :1]
        )
        first = len(prompt) - 1
        for token, likely, log_prob in zip(
            drawn, np.asarray(values)[0, first:], np.asarray(log_probs)[0, first:], strict=True
        ):
            shares = zip(likely.tolist(), np.exp(log_prob), strict=True)
            others = "  ".join(f"{tokenizer.decode([t])!r} {share:.3f}" for t, share in shares)
            print(f"{tokenizer.decode([token])!r}: {others}")


def spellings(tokenizer: Tokenizer, before: int, values: int) -> list[str | None]:
    """What each token adds to a text after another; None for special ones and parts of letters."""
    start = tokenizer.decode([before])
    texts = tokenizer.decode_batch([[before, token] for token in range(values)])
    added = [text.removeprefix(start) for text in texts]
    return [None if not text or "\N{REPLACEMENT CHARACTER}" in text else text for text in added]


def main(arguments: list[str]) -> None:
    """Runs the command line."""

    def sample_verb(arguments: list[str]) -> None:
        sample(parse(SampleText(), arguments, f"{PROGRAM} sample"))

    dispatch(PROGRAM, {"sample": sample_verb}, "sample", __doc__ or "", arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
