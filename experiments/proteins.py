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

import ar_jax as ar
from ar_jax import datasets
from ar_jax.data import Splits
from ar_jax.training import Training
from experiments.run import Sample, main
from experiments.shakespeare_transformer import SampleText
from experiments.text import WINDOW, ByteExperiment, byte_training, byte_transformer


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

    by_clusters: ClassVar[bool] = False

    @cached_property
    def dataset(self) -> datasets.Proteins:
        for name, path in vars(self.data).items():
            if not path and not self.debug:
                raise ValueError(
                    f"data.{name}: expected a FASTA file, got none: --data.train DB.fasta "
                    "--data.test QUERY.fasta, of https://github.com/soedinglab/MMseqs2, examples"
                )
        return datasets.Proteins(
            self.data.train, self.data.test, WINDOW, by_clusters=self.by_clusters
        )

    @cached_property
    def sequences(self) -> Splits[list[str]]:
        """Those of each part, each of them once, and in one part only."""
        return self.dataset.fake_sequences() if self.debug else self.dataset.sequences


if __name__ == "__main__":
    main(Proteins(), __doc__ or "")
