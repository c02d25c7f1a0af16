"""Texts and sequences from files, whatever is in them, and what all readers of files share."""

import codecs
import gzip
import re
import string
import zlib
from pathlib import Path

LIMIT = 2**30
"""Bytes that a file may unpack to, unless a reader is told otherwise."""


def read_text(path: Path | str, limit: int = LIMIT) -> str:
    """A text in UTF-8, compressed if it ends in `.gz`; line ends stay as they are.

    A byte order mark at the beginning is left out: it is no part of the text.

    Args:
      path: of the file.
      limit: bytes that a compressed text may unpack to.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it is not UTF-8, with the offset in bytes, not gzip, or unpacks to more.
    """
    content = read_content(path, limit)
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if content.startswith(mark):
            raise ValueError(
                f"{path}: expected UTF-8, got the byte order mark of UTF-16; convert it, e.g. with "
                "`iconv -f UTF-16 -t UTF-8`"
            )
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected UTF-8, got byte {content[error.start]:#04x} at offset "
            f"{error.start}; convert it, e.g. with iconv"
        ) from error


def read_fasta(path: Path | str, symbols: str = "*-", limit: int = LIMIT) -> list[tuple[str, str]]:
    """Headers and sequences of a FASTA file, compressed if it ends in `.gz`.

    Lines that begin with `;` are comments; white space around a line and inside a sequence has no
    meaning.

    Args:
      path: of the file; a header may hold `>` itself.
      symbols: what a sequence may hold beside the letters A to Z and a to z: by default `*`, a
        stop, and `-`, a gap.
      limit: bytes that a compressed file may unpack to.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it does not begin with `>`, a sequence is empty or holds something else, or
        lines end with a carriage return alone.
    """
    text = read_text(path, limit)
    if alone := re.search("\r(?!\n)", text):
        line = text.count("\n", 0, alone.start()) + 1
        raise ValueError(
            f"{path}, line {line}: expected a line end of \\n or \\r\\n, got \\r alone; "
            "convert it, e.g. with mac2unix"
        )
    allowed = set(string.ascii_letters + symbols)
    headers: list[tuple[int, str]] = []
    sequences: list[list[str]] = []
    for number, written in enumerate(text.split("\n"), 1):
        line = written.strip()
        if line.startswith(">"):
            headers.append((number, line[1:].strip()))
            sequences.append([])
        elif line and not line.startswith(";"):
            if not headers:
                raise ValueError(
                    f"{path}, line {number}: expected FASTA, which begins with '>', got "
                    f"{line[:20]!r}"
                )
            letters = "".join(line.split())
            if strange := set(letters) - allowed:
                first = min(strange, key=letters.index)
                raise ValueError(
                    f"{path}, line {number}: expected a sequence of letters"
                    f"{' or ' if symbols else ''}{' '.join(symbols)}, got {first!r}; "
                    "remove it, or allow it by `symbols`"
                )
            sequences[-1].append(letters)
    if not headers:
        raise ValueError(f"{path}: expected FASTA, which begins with '>', got {text[:20]!r}")
    for index, ((number, _), lines) in enumerate(zip(headers, sequences, strict=True)):
        if not lines:
            raise ValueError(
                f"{path}, line {number}: expected a sequence after the header, got an empty one at "
                f"index {index}; remove it"
            )
    return [(header, "".join(lines)) for (_, header), lines in zip(headers, sequences, strict=True)]


def read_content(path: Path | str, limit: int = LIMIT) -> bytes:
    """The bytes of a file, unpacked if it ends in `.gz`.

    Args:
      path: of the file.
      limit: bytes that it may unpack to; a file that is larger itself may be as large as it is.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it is not gzip, or unpacks to more.
    """
    path = existing_file(path)
    limit = max(limit, path.stat().st_size)
    pieces, left = [], limit + 1
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            while left and (piece := file.read(min(left, 2**20))):
                pieces.append(piece)
                left -= len(piece)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected gzip, got {one_line(error)}") from error
    if not left:
        raise ValueError(
            f"{path}: expected at most {limit:,} bytes, got more; if they are wanted, read it with "
            "a greater `limit`"
        )
    return b"".join(pieces)


def existing(path: Path | str) -> Path:
    """The path, if there is something there.

    Raises:
      FileNotFoundError: when there is nothing.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a file or folder, got none of that name")
    return path


def existing_file(path: Path | str) -> Path:
    """The path, if there is a file.

    Raises:
      FileNotFoundError: when there is nothing.
      ValueError: when there is a folder.
    """
    path = existing(path)
    if path.is_dir():
        raise ValueError(f"{path}: expected a file, got a folder")
    return path


def visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without what systems hide: `.*`, `__MACOSX`."""
    return sorted(
        path for path in folder.iterdir() if path.name[0] != "." and path.name != "__MACOSX"
    )


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
