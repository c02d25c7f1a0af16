import gzip
import shutil
from string import ascii_letters

import pytest

from ar_jax.data import (
    read_fasta,
    read_image,
    read_images,
    read_npy,
    read_npz,
    read_recordings,
    read_text,
    read_wav,
)
from tests.mutations import check_damaged


def one_line(error):
    return "\n" not in str(error.value)


@pytest.mark.parametrize(
    "read",
    [
        read_fasta,
        read_image,
        read_images,
        read_npy,
        read_npz,
        read_text,
        lambda path: read_wav(path, 8000),
        lambda path: read_recordings(path, 8000),
    ],
)
def test_what_is_absent_is_said_to_be(read, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing: expected a file or folder") as error:
        read(tmp_path / "nothing")
    assert one_line(error)


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_text_comes_back_with_its_line_ends(name, tmp_path):
    text = "première ligne\r\nzweite Zeile\n\n"
    write = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(write(text.encode()))
    assert read_text(tmp_path / name) == text
    assert read_text(str(tmp_path / name)) == text


def test_a_byte_that_is_not_utf_8_is_named_by_its_offset(tmp_path):
    (tmp_path / "a.txt").write_bytes("äb".encode() + b"\xe4c")
    with pytest.raises(ValueError, match="expected UTF-8, got byte 0xe4 at offset 3") as error:
        read_text(tmp_path / "a.txt")
    assert one_line(error)


@pytest.mark.parametrize("content", [b"plain", gzip.compress(b"x" * 1000, mtime=0)[:-9]])
def test_a_text_that_is_not_whole_gzip_is_refused(content, tmp_path):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.gz: expected gzip, got") as error:
        read_text(tmp_path / "a.gz")
    assert one_line(error)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_fasta_gives_headers_and_joined_lines(end, tmp_path):
    lines = [">sp|P1 alpha > beta", "MKV", "LAA", ">second", "GG", ""]
    (tmp_path / "a.fasta").write_bytes(end.join(lines).encode())
    expected = [("sp|P1 alpha > beta", "MKVLAA"), ("second", "GG")]
    assert read_fasta(tmp_path / "a.fasta") == expected


def test_fasta_may_be_compressed(tmp_path):
    (tmp_path / "a.fasta.gz").write_bytes(gzip.compress(b">a\nACGT\n>a\nTT", mtime=0))
    assert read_fasta(tmp_path / "a.fasta.gz") == [("a", "ACGT"), ("a", "TT")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ACGT\n", "expected FASTA, which begins with '>', got 'ACGT"),
        ("", "expected FASTA, which begins with '>', got ''"),
        (">a\nAC\n>b\n>c\nGT", "got an empty one at index 1"),
    ],
)
def test_what_is_no_fasta_is_refused(content, message, tmp_path):
    (tmp_path / "a.fasta").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        read_fasta(tmp_path / "a.fasta")
    assert one_line(error)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    shutil.copytree(tmp_path, tmp_path / "folder")
    for read in (
        read_text,
        read_npz,
        read_npy,
        read_image,
        read_fasta,
        lambda path: read_wav(path, 8000),
    ):
        with pytest.raises(ValueError, match="folder: expected a file, got a folder"):
            read(tmp_path / "folder")


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.TXT.GZ"])
def test_a_byte_order_mark_at_the_beginning_is_no_part_of_a_text(name, tmp_path):
    write = gzip.compress if name.lower().endswith(".gz") else bytes
    (tmp_path / name).write_bytes(write("\ufeffab\ufeffc".encode()))
    assert read_text(tmp_path / name) == "ab\ufeffc"


def test_the_offset_of_a_wrong_byte_counts_the_byte_order_mark(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa\xff")
    with pytest.raises(ValueError, match="got byte 0xff at offset 4"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(encoding, tmp_path):
    text = "première" if encoding == "utf-16" else "\ufeffpremière"
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match=r"mark of UTF-16; convert it, e.g. with `iconv -f UTF-16"):
        read_text(tmp_path / "a.txt")


def test_a_text_that_unpacks_to_more_than_the_limit_is_refused_unread(tmp_path):
    bomb = gzip.compress(bytes(2**24), mtime=0)
    assert len(bomb) < 2**15
    (tmp_path / "a.txt.gz").write_bytes(bomb)
    for read in (read_text, read_fasta):
        with pytest.raises(ValueError, match=r"a.txt.gz: expected at most 1,000,000 bytes, got"):
            read(tmp_path / "a.txt.gz", limit=10**6)
    assert len(read_text(tmp_path / "a.txt.gz", limit=2**24)) == 2**24
    (tmp_path / "plain.txt").write_bytes(b"a" * 100)
    assert len(read_text(tmp_path / "plain.txt", limit=10)) == 100  # no more than the file holds


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (";a comment\n>a\n;another\nMK\n", [("a", "MK")]),
        ("\n>a\nMK\n >b\n\tLL \n\n", [("a", "MK"), ("b", "LL")]),
        ("\ufeff>a\nMK", [("a", "MK")]),
        (">a\r\nMKV LLA\r\nG\r\n", [("a", "MKVLLAG")]),
        (">a\nM-K*\n", [("a", "M-K*")]),
        (">\nmk\n", [("", "mk")]),
    ],
)
def test_fasta_is_read_as_it_comes(content, expected, tmp_path):
    (tmp_path / "a.fasta").write_bytes(content.encode())
    assert read_fasta(tmp_path / "a.fasta") == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (">a\nMK\n1 MKV 3\n", "a.fasta, line 3: expected a sequence of letters or .*, got '1'"),
        (">a\nMK\n\n>b\nM.K\n", "line 5: expected a sequence of letters .*, got '.'"),
        (">a\nMÄK\n", "line 2: expected a sequence of letters .*, got 'Ä'"),
        (">a\nMK\n\ufeff>b\nLL\n", r"line 3: expected a sequence .*, got '\\ufeff'"),
        (">a\rMK\r>b\rLL\r", r"line 1: expected a line end of .*, got \\r alone; convert it"),
        (">a\nMK\r\r\n", r"line 2: expected a line end"),
        ("MK\n>a\nMK", "line 1: expected FASTA, which begins with '>', got 'MK'"),
        (";only a comment\n", "expected FASTA, which begins with '>', got ';only"),
        (">a\nMK\n>b\n; nothing\n", "line 3: .* got an empty one at index 1"),
    ],
)
def test_what_is_no_sequence_is_named_by_its_line(content, message, tmp_path):
    (tmp_path / "a.fasta").write_bytes(content.encode())
    with pytest.raises(ValueError, match=message) as error:
        read_fasta(tmp_path / "a.fasta")
    assert one_line(error)


def test_which_symbols_a_sequence_may_hold_can_be_chosen(tmp_path):
    (tmp_path / "a.fasta").write_text(">a\nM*K.\n", encoding="utf-8")
    assert read_fasta(tmp_path / "a.fasta", symbols="*.") == [("a", "M*K.")]
    with pytest.raises(ValueError, match=r"sequence of letters, got '\*'"):
        read_fasta(tmp_path / "a.fasta", symbols="")


@pytest.mark.parametrize("name", ["a.fasta", "a.fasta.gz"])
def test_a_damaged_file_gives_sequences_or_a_value_error(name, tmp_path):
    content = b"\xef\xbb\xbf;by hand\n>one\nMKV\nLLA*\r\n>two \xc3\xa9\nGG GG\n"
    content = gzip.compress(content, mtime=0) if name.endswith(".gz") else content
    (tmp_path / name).write_bytes(content)
    allowed = {*ascii_letters, "*", "-"}
    check_damaged(
        read_fasta,
        tmp_path / name,
        lambda records: all(sequence and set(sequence) <= allowed for _, sequence in records),
    )
