"""Proteins of UniProt, split by similarity.

The two FASTA files of MMseqs2's examples (https://github.com/soedinglab/MMseqs2, examples/DB.fasta
and QUERY.fasta, here train and test) hold 19,188 distinct sequences, of which 17,475 are 30 to
1,000 of the 20 amino acids long. MMseqs2 14 put these into clusters of 30 % identity (`easy-cluster
--min-seq-id 0.3 -c 0.5 --cov-mode 1`), and whole clusters were dealt out, by the CRC of their
representative: protein_parts.tsv names the 244 representatives that test, the 216 that validate,
and the 1,320 others of their clusters, which are in no part. All else trains.
"""

import dataclasses
import hashlib
from functools import cached_property, partial
from importlib import resources
from typing import Any, ClassVar

import jax
import numpy as np

import ar_jax as ar
from ar_jax.data import Arrays, EvaluationBatches, Splits
from ar_jax.evaluation import Scores
from experiments.proteins import Proteins, cleaned, stream

LONGEST = 1000
RESIDUES = frozenset("ACDEFGHIKLMNPQRSTVWY")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusteredProteins(Proteins):
    """Proteins of which none that is scored resembles one that is trained."""

    tested_on: ClassVar[str] = "test, proteins of other clusters, each scored whole"

    @cached_property
    def sequences(self) -> Splits[list[str]]:
        """Those of each part; --debug takes any two files as `Proteins` does."""
        if self.debug:
            return super().sequences
        files = [*cleaned("train", self.data.train), *cleaned("test", self.data.test)]
        found = [
            each
            for each in dict.fromkeys(files)
            if 30 <= len(each) <= LONGEST and RESIDUES.issuperset(each)
        ]
        parts = parts_by_digest()
        dealt: dict[str, list[str]] = {name: [] for name in ("train", *set(parts.values()))}
        for sequence in found:
            dealt[parts.get(digest(sequence), "train")].append(sequence)
        sizes = {name: len(sequences) for name, sequences in dealt.items()}
        if sizes != SIZES:
            raise ValueError(
                f"data.train, data.test: expected MMseqs2's DB.fasta and QUERY.fasta, with {SIZES} "
                f"sequences, got {sizes}; python -m experiments.proteins takes any two files"
            )
        return Splits(dealt["train"], dealt["validation"], dealt["test"])

    def test_scores(self, variables: Any) -> Scores:
        """Of each protein from its own beginning, a line end, to its end, another."""
        proteins = [stream([each]) for each in self.sequences.test]
        length, (end,) = LONGEST + 2, stream([""])
        x = np.full((len(proteins), length), end)
        for row, protein in zip(x, proteins, strict=True):
            row[1 : 1 + len(protein)] = protein
        model = ar.with_length(self.model, variables, length)
        steps = jax.jit(partial(model.apply, method="step_log_probs"))
        log_prob = np.concatenate(
            [
                np.asarray(steps(variables, batch["x"]), float)[batch["mask"]]
                for batch in EvaluationBatches(Arrays(x), self.batch_size)
            ]
        )
        sizes = np.array([len(protein) for protein in proteins])
        counted = (np.arange(length) >= 1) & (np.arange(length) <= sizes[:, None])
        nats = -np.where(counted, log_prob, 0).sum(axis=1)
        return Scores(nats, np.arange(len(x)), variables=1, sizes=sizes)


SIZES = {"train": 15_695, "neither": 1320, "test": 244, "validation": 216}


def digest(sequence: str) -> str:
    """What protein_parts.tsv calls a sequence."""
    return hashlib.sha256(sequence.encode()).hexdigest()[:16]


def parts_by_digest() -> dict[str, str]:
    """The part of each sequence that does not train, by its digest."""
    path = resources.files("experiments.recipes") / "protein_parts.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))
