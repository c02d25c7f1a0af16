"""Proteins, amino acid by amino acid, as one stream.

python -m experiments.proteins --data.train train.fasta.gz --data.test query.fasta.gz
python -m experiments.proteins evaluate                        the figures again
python -m experiments.proteins sample --prompt "M"             writes samples.txt
python -m experiments.proteins compress FILES --to X.arj       by the trained model, without loss
python -m experiments.proteins decompress X.arj --to FOLDER    and back

The data is two FASTA files; each sequence counts once, and what the second shares with the first is
left out of it. Relatives are not: a figure is of sequences unlike those trained only where the
files are split so, as by experiments.recipes.proteins. A protein is the letters of its sequence and
a line end, which says that it is over. `compress` takes any file; it knows those of one sequence a
line.
"""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

import ar_jax as ar
from ar_jax.data import Bytes, Splits, read_fasta
from ar_jax.training import Training
from experiments.run import Sample, main
from experiments.shakespeare_transformer import SampleText
from experiments.text import ByteExperiment, byte_training, byte_transformer


@dataclasses.dataclass(frozen=True)
class Fasta:
    """Where the sequences are.

    Attributes:
      train: a FASTA file, compressed if it ends in `.gz`; its last twentieth validates.
      test: another.
    """

    train: str = ""
    test: str = ""

    places: ClassVar[tuple[str, ...]] = ("train", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proteins(ByteExperiment):
    """Train a transformer on proteins, evaluate it and draw.

    Attributes:
      data: where the sequences are.
    """

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: byte_transformer(layers=3, width=96, window=256)
    )
    training: Training = byte_training(steps=1000)
    folder: Path = Path("runs/proteins")
    data: Fasta = Fasta()

    sample: ClassVar[Sample] = SampleText(prompt="M", length=1000)

    @cached_property
    def sequences(self) -> Splits[list[str]]:
        """Those of each part, each of them once, and in one part only."""
        known, test = cleaned("train", self.data.train), cleaned("test", self.data.test)
        if len(known) < 20:
            raise ValueError(
                f"{self.data.train}: expected at least 20 sequences, of which a twentieth "
                f"validates, got {len(known)}"
            )
        held_out = len(known) // 20
        trained = set(known)
        unseen = [each for each in test if each not in trained]
        if not unseen:
            raise ValueError(
                f"{self.data.test}: expected a sequence that is not in {self.data.train}, got none"
            )
        return Splits(known[:-held_out], known[-held_out:], unseen)

    @cached_property
    def splits(self) -> Splits:
        return self.windows(self.sequences.map(stream))


def cleaned(name: str, path: str) -> list[str]:
    """The sequences of a FASTA file, each once: in upper case, without the `*` of a stop codon."""
    if not path:
        raise ValueError(f"data.{name}: expected a FASTA file, got none")
    return list(dict.fromkeys(each.upper().removesuffix("*") for _, each in read_fasta(path)))


def stream(sequences: list[str]) -> np.ndarray:
    """Sequences as symbols `[n]`, each with a line end."""
    return Bytes().encode("".join(f"{sequence}\n" for sequence in sequences))


if __name__ == "__main__":
    main(Proteins(), __doc__ or "")
