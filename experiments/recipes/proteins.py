"""Proteins of UniProt, split by similarity.

The two FASTA files of MMseqs2's examples (https://github.com/soedinglab/MMseqs2, examples/DB.fasta
and QUERY.fasta, here train and test) hold 19,188 distinct sequences, of which 17,475 are 30 to
1,000 of the 20 amino acids long. MMseqs2 14 put these into clusters of 30 % identity (`easy-cluster
--min-seq-id 0.3 -c 0.5 --cov-mode 1`), and whole clusters were dealt out, by the CRC of their
representative: protein_parts.tsv names the 244 representatives that test, the 216 that validate,
and the 1,320 others of their clusters, which are in no part. All else trains.
"""

import dataclasses
from functools import partial
from typing import Any, ClassVar

import jax
import numpy as np

import ar_jax as ar
from ar_jax.data import Arrays, EvaluationBatches
from ar_jax.datasets.proteins import LONGEST, stream
from ar_jax.evaluation import Scores
from experiments.proteins import Proteins


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusteredProteins(Proteins):
    """Proteins of which none that is scored resembles one that is trained."""

    by_clusters: ClassVar[bool] = True

    @property
    def tested_on(self) -> str:
        return super().tested_on if self.debug else f"{super().tested_on}, each scored whole"

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
