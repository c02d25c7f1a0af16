import errno
import os
import stat

import pytest

from ar_jax.durable import write


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_holds_its_text_in_utf_8_or_its_bytes(tmp_path):
    write(tmp_path / "text", "é\n")
    write(tmp_path / "bytes", b"\0\r\n")
    assert (tmp_path / "text").read_bytes() == b"\xc3\xa9\n"
    assert (tmp_path / "bytes").read_bytes() == b"\0\r\n"
    assert names(tmp_path) == ["bytes", "text"]


def test_no_file_of_another_name_is_touched(tmp_path):
    neighbours = ("a.new", "a.tmp", ".a.tmp", "a~", ".a.swp")
    for name in neighbours:
        (tmp_path / name).write_text(name, encoding="utf-8")
    write(tmp_path / "a", "new")
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        "a": "new",
        **{name: name for name in neighbours},
    }


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path):
    write(tmp_path / ("n" * 255), b"content")
    assert names(tmp_path) == ["n" * 255]


def test_a_failed_write_names_the_file_and_leaves_the_old_one_alone(tmp_path, monkeypatch):
    write(tmp_path / "a", "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*a'$"):
        write(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("name", "kind"), [("none/a", FileNotFoundError), ("n" * 256, OSError), ("file/a", OSError)]
)
def test_a_place_where_nothing_can_be_written_is_named(tmp_path, name, kind):
    (tmp_path / "file").touch()
    with pytest.raises(kind) as raised:
        write(tmp_path / name, "")
    assert raised.value.filename == str(tmp_path / name)


def test_permissions_are_the_old_file_s_or_those_of_any_new_file(tmp_path):
    (tmp_path / "ordinary").touch()
    write(tmp_path / "new", "")
    (tmp_path / "private").touch(mode=0o600)
    write(tmp_path / "private", "")
    mode = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert mode["new"] == mode["ordinary"]
    assert mode["private"] == 0o600


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text(encoding="utf-8") == "new"
