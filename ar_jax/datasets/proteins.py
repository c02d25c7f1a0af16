"""Proteins from FASTA files, as one stream of amino acids."""

import dataclasses
import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib import resources

import numpy as np

from ar_jax.data import Bytes, Chunks, Splits, read_fasta
from ar_jax.datasets.base import Dataset, Origin, place
from ar_jax.datasets.windows import windows

LONGEST = 1000
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"

SIZES = {"train": 15_695, "neither": 1320, "test": 244, "validation": 216}
"""Sequences of each part of the clustered proteins."""


@dataclasses.dataclass(frozen=True)
class Proteins(Dataset):
    """Proteins in windows int32 `[window]` of bytes: the letters of each, and a line end.

    Each sequence counts once. By clusters, the sequences are those of MMseqs2's examples, DB.fasta
    and QUERY.fasta, of which 17,475 are 30 to 1,000 of the 20 amino acids long. MMseqs2 14 put
    these into clusters of 30 % identity (`easy-cluster --min-seq-id 0.3 -c 0.5 --cov-mode 1`), and
    whole clusters were dealt out, by the CRC of their representative: protein_parts.tsv names the
    244 representatives that test, the 216 that validate, and the 1,320 others of their clusters,
    which are in no part. All else trains. Otherwise the last twentieth of `first` validates, and
    what `second` holds besides tests, relatives of what trains among it.

    Attributes:
      first: a FASTA file, compressed if it ends in `.gz`.
      second: another.
      window: amino acids of an event.
      by_clusters: deal out whole clusters, so that none that is scored resembles one that trains.
    """

    first: str = place()
    second: str = place()
    window: int = 512
    by_clusters: bool = True

    @property
    def origin(self) -> Origin:
        address = "https://github.com/soedinglab/MMseqs2"
        get = "--data.first DB.fasta --data.second QUERY.fasta, from its folder examples"
        return Origin(address, f"{get}: {address}", "CC BY 4.0, as UniProt's")

    @property
    def tokenizer(self) -> Bytes:
        """The stream as integers, and back."""
        return Bytes()

    @property
    def test_label(self) -> str:
        return "test, proteins of other clusters" if self.by_clusters else "test"

    @cached_property
    def sequences(self) -> Splits[list[str]]:
        """The sequences of each part, each of them once, and in one part only."""
        for option in ("first", "second"):
            if not getattr(self, option):
                raise self.missing(option, "a FASTA file")
        first, second = _cleaned(self.first), _cleaned(self.second)
        return (
            dealt_by_cluster([*first, *second]) if self.by_clusters else self._dealt(first, second)
        )

    def load(self) -> Splits[Chunks]:
        return windows(self.sequences.map(stream), self.window)

    def fake_sequences(self) -> Splits[list[str]]:
        """Made-up sequences of 30 to 300 amino acids."""
        rng = np.random.default_rng(0)

        def some(count: int) -> list[str]:
            return ["".join(rng.choice(list(RESIDUES), n)) for n in rng.integers(30, 301, count)]

        enough = 40 + self.window // 5  # for some windows
        return Splits(some(enough), some(enough), some(enough))

    def fake(self) -> Splits[Chunks]:
        return windows(self.fake_sequences().map(stream), self.window)

    def _dealt(self, known: list[str], other: list[str]) -> Splits[list[str]]:
        if len(known) < 20:
            raise ValueError(
                f"{self.first}: expected at least 20 sequences, of which a twentieth validates, "
                f"got {len(known)}"
            )
        held_out, trained = len(known) // 20, set(known)
        unseen = [each for each in other if each not in trained]
        if not unseen:
            raise ValueError(
                f"{self.second}: expected a sequence that is not in {self.first}, got none"
            )
        return Splits(known[:-held_out], known[-held_out:], unseen)


def dealt_by_cluster(sequences: Sequence[str]) -> Splits[list[str]]:
    """The sequences of MMseqs2's examples in their parts, without those that are no plain ones.

    Raises:
      ValueError: when they are others, or not all.
    """
    plain = frozenset(RESIDUES)
    parts = parts_by_digest()
    dealt: dict[str, list[str]] = {name: [] for name in ("train", *set(parts.values()))}
    for sequence in dict.fromkeys(sequences):
        if 30 <= len(sequence) <= LONGEST and plain.issuperset(sequence):
            dealt[parts.get(_digest(sequence), "train")].append(sequence)
    sizes = {name: len(found) for name, found in dealt.items()}
    if sizes != SIZES:
        raise ValueError(
            f"data.first, data.second: expected MMseqs2's DB.fasta and QUERY.fasta, with {SIZES} "
            f"sequences, got {sizes}; without by_clusters they may be any two files"
        )
    return Splits(dealt["train"], dealt["validation"], dealt["test"])


def parts_by_digest() -> dict[str, str]:
    """The part of each sequence that does not train, by its digest."""
    path = resources.files("ar_jax.datasets") / "protein_parts.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))


def stream(sequences: list[str]) -> np.ndarray:
    """Sequences as symbols `[n]`, each with a line end."""
    return Bytes().encode("".join(f"{sequence}\n" for sequence in sequences))


def _digest(sequence: str) -> str:
    """What protein_parts.tsv calls a sequence."""
    return hashlib.sha256(sequence.encode()).hexdigest()[:16]


def _cleaned(path: str) -> list[str]:
    """The sequences of a FASTA file, each once: in upper case, without the `*` of a stop codon."""
    return list(dict.fromkeys(each.upper().removesuffix("*") for _, each in read_fasta(path)))
