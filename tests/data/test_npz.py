import struct
import zipfile

import numpy as np
import pytest

from ar_jax.data import read_npy, read_npz
from tests.mutations import check_damaged


def one_line(error):
    return "\n" not in str(error.value)


def test_the_arrays_of_an_npz_come_back_by_their_names(tmp_path):
    x, name = np.arange(6.0).reshape(2, 3), np.array(["a", "b"])
    np.savez_compressed(tmp_path / "a.npz", x=x, name=name)
    arrays = read_npz(tmp_path / "a.npz")
    assert set(arrays) == {"x", "name"}
    np.testing.assert_array_equal(arrays["x"], x)
    np.testing.assert_array_equal(arrays["name"], name)


def test_pickled_objects_in_an_npz_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"code": "may run"}], object))
    with pytest.raises(ValueError, match=r"expected an .npz of arrays, got Object") as error:
        read_npz(tmp_path / "a.npz")
    assert one_line(error)


@pytest.mark.parametrize("cut", [0, 10, 200, 500])
def test_a_file_that_is_no_whole_npz_is_refused(cut, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(100))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[:cut])
    with pytest.raises(ValueError, match=r"a.npz: expected an .npz of arrays, got") as error:
        read_npz(tmp_path / "a.npz")
    assert one_line(error)


def test_an_array_damaged_within_an_npz_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(100))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[500] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.npz: expected an .npz of arrays, got Bad CRC-32"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "<f8", ">i4", "<U3", "?", "<c8", "S2", "M8[s]"])
def test_an_array_of_any_kind_comes_back(dtype, order, tmp_path):
    x = np.asarray(np.arange(12).reshape(3, 4).astype(dtype), order=order)
    for values in (x, x[:0], x[0, 0]):
        np.save(tmp_path / "a.npy", values)
        np.savez_compressed(tmp_path / "a.npz", values=values)
        for back in (read_npy(tmp_path / "a.npy"), read_npz(tmp_path / "a.npz")["values"]):
            assert back.dtype == values.dtype
            np.testing.assert_array_equal(back, values)


def npy(shape, descr="<i8", content=b"", version=(1, 0)):
    """An `.npy` file whose header claims what it likes."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + length + header + content


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy("(4294967296,)"), r"0 bytes of int64 where shape \[4294967296\] takes 34,359,738,368"),
        (npy("(1000000, 125000)"), "takes 1,000,000,000,000"),
        (npy("(2,)", content=bytes(8)), "8 bytes of int64 .* takes 16"),
        (npy("(2,)", content=bytes(24)), "24 bytes of int64 .* takes 16"),
        (npy("(-1, -2)", content=bytes(16)), r"shape \[-1, -2\] of int64"),
        (npy("(1,)", "<U100000000", bytes(4)), "takes 400,000,000"),
        (npy("(1,)", "<U1", b"\xff" * 4), "characters that Unicode does not have"),
        (npy("(10000000000000000,)", "<U0"), "of <U0"),
        (npy("(2,)", "|O", bytes(16)), "Object arrays cannot be loaded"),
        (npy("(2,)", content=bytes(16), version=(3, 0)), r"version \(3, 0\) of the format"),
        (npy("(" * 3000 + ")" * 3000), ""),
        (npy("-" * 9000 + "1"), ""),
        (b"text in a file", "magic string is not correct"),
        (b"", ""),
    ],
)
def test_an_array_that_is_not_what_its_header_says_is_refused(content, message, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.npy: expected an array, got .*{message}") as error:
        read_npy(tmp_path / "a.npy")
    assert one_line(error)
    archive(tmp_path / "a.npz", [("x.npy", content)])
    message = f"a.npz: expected an .npz of arrays, got .*{message}.* in 'x.npy'"
    with pytest.raises(ValueError, match=message) as error:
        read_npz(tmp_path / "a.npz")
    assert one_line(error)


def test_arrays_that_unpack_to_more_than_the_limit_are_refused_unread(tmp_path):
    zeros = np.zeros(2**20)
    np.savez_compressed(tmp_path / "a.npz", x=zeros, y=zeros)
    assert (tmp_path / "a.npz").stat().st_size < 2**17
    with pytest.raises(ValueError, match=r"got 16,777,472 bytes where 10,000,000 are allowed; if"):
        read_npz(tmp_path / "a.npz", limit=10**7)
    assert len(read_npz(tmp_path / "a.npz", limit=2**27)["y"]) == 2**20
    np.savez(tmp_path / "b.npz", x=np.zeros(2**10))
    assert len(read_npz(tmp_path / "b.npz", limit=1)["x"]) == 2**10  # no more than the file holds


def test_a_member_that_claims_gigabytes_is_refused_at_once(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 0xFFFFFFFE)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="got 4,294,967,294 bytes where 1,073,741,824 are allowed"):
        read_npz(tmp_path / "a.npz")


ONE = npy("(1,)", content=bytes(8))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("notes.txt", b"text")], "a member 'notes.txt', which is none"),
        ([("__MACOSX/._x.npy", ONE), ("x", ONE)], "a member 'x', which is none"),
        ([("\x1b[31m.npy", ONE)], "a member .*x1b.*, which is none"),
        ([(f"{i}.npy", b"") for i in range(10_001)], "10,001 members, more than 10,000"),
    ],
)
def test_members_that_are_no_arrays_are_refused(members, message, tmp_path):
    archive(tmp_path / "a.npz", members)
    with pytest.raises(ValueError, match=message):
        read_npz(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused(tmp_path):
    archive(tmp_path / "a.npz", [("x.npy", ONE), ("x.npy", ONE)])
    with pytest.raises(ValueError, match=r"2 members 'x.npy'"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_zipfile_unpacks_without_bound_are_refused(method, tmp_path):
    archive(tmp_path / "a.npz", [("x.npy", ONE)], method)
    with pytest.raises(ValueError, match=r"'x.npy' that is neither stored nor deflated"):
        read_npz(tmp_path / "a.npz")


def test_a_damaged_file_gives_arrays_or_a_value_error(tmp_path):
    arrays = {"x": np.arange(6.0), "name": np.array(["a", "bc"]), "n": np.int8(3)}
    np.savez(tmp_path / "stored.npz", **arrays)
    np.savez_compressed(tmp_path / "deflated.npz", **arrays)
    (tmp_path / "a.npy").write_bytes(npy("(3,)", content=bytes(24)))
    for name in ("stored.npz", "deflated.npz"):
        check_damaged(read_npz, tmp_path / name, lambda got: all(map(is_array, got.values())))
    check_damaged(read_npy, tmp_path / "a.npy", is_array)


def is_array(value):
    return isinstance(value, np.ndarray) and value.tolist() is not None
