"""Which proteins are in which part."""

import hashlib

import numpy as np
import pytest

from ar_jax.datasets import Proteins, proteins
from ar_jax.datasets.proteins import parts_by_digest

RNG = np.random.default_rng(0)
KNOWN = ["".join(RNG.choice(list("ACDEFGHIKLMNPQRSTVWY"), 40)) for _ in range(45)]


def fasta(path, sequences):
    path.write_text("".join(f">{i}\n{s}\n" for i, s in enumerate(sequences)), encoding="utf-8")
    return str(path)


def test_no_sequence_is_in_two_parts_whatever_its_case_and_end(tmp_path):
    train = fasta(tmp_path / "train.fa", [*KNOWN[:40], KNOWN[0], KNOWN[39].lower(), KNOWN[2] + "*"])
    test = fasta(tmp_path / "test.fa", [KNOWN[3].lower(), KNOWN[4] + "*", *KNOWN[39:42]])
    parts = Proteins(train, test, by_clusters=False).sequences
    assert (parts.train, parts.validation, parts.test) == (
        KNOWN[:38], KNOWN[38:40], KNOWN[40:42],
    )  # fmt: skip


def test_too_few_sequences_are_told_with_the_file_and_how_many_are_needed(tmp_path):
    few, many = fasta(tmp_path / "few.fa", KNOWN[:19]), fasta(tmp_path / "many.fa", KNOWN)
    with pytest.raises(ValueError, match=r"few.fa: expected at least 20 sequences, .* got 19"):
        _ = Proteins(few, many, by_clusters=False).sequences
    with pytest.raises(ValueError, match=r"few.fa: expected a sequence that is not in .*many.fa"):
        _ = Proteins(many, few, by_clusters=False).sequences


def test_the_shipped_parts_are_those_of_the_clusters():
    counts = np.unique(list(parts_by_digest().values()), return_counts=True)
    assert dict(zip(*counts, strict=True)) == {"neither": 1320, "test": 244, "validation": 216}


def test_sequences_are_dealt_out_by_their_digests(tmp_path, monkeypatch):
    """Whichever file they are in; those of no part and those that are no plain proteins go."""
    parts = {KNOWN[0]: "test", KNOWN[1]: "validation", KNOWN[2]: "neither"}
    digests = {hashlib.sha256(s.encode()).hexdigest()[:16]: part for s, part in parts.items()}
    monkeypatch.setattr(proteins, "parts_by_digest", lambda: digests)
    sizes = {"train": 3, "test": 1, "neither": 1, "validation": 1}
    monkeypatch.setattr(proteins, "SIZES", sizes)
    first = fasta(tmp_path / "1.fa", [*KNOWN[:4], "MX" * 20, "MK", "M" * 1001])
    second = fasta(tmp_path / "2.fa", [KNOWN[3].lower(), *KNOWN[4:6]])
    found = Proteins(first, second).sequences
    assert (found.train, found.validation, found.test) == (KNOWN[3:6], [KNOWN[1]], [KNOWN[0]])
    monkeypatch.setattr(proteins, "SIZES", sizes | {"train": 4})
    with pytest.raises(ValueError, match=r"expected MMseqs2's DB\.fasta and QUERY\.fasta"):
        _ = Proteins(first, second).sequences
