import errno
import os
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.training import AdamW, Checkpoints, init_state

OPTIMIZER = AdamW().transformation(10)
BATCH = {"x": np.zeros((2, 2, 2, 1), np.int32)}


def make_state(hidden=(4,), seed=0):
    model = ar.AutoregressiveModel(
        ordering=ar.orderings.Raster((2, 2, 1)),
        conditional=ar.conditionals.MADE(hidden=hidden),
        head=ar.heads.Bernoulli(),
    )
    return init_state(model, OPTIMIZER, seed, BATCH)


def at_step(state, step):
    return state.replace(step=jnp.int32(step))


def test_a_restored_state_is_the_saved_one_average_and_key_included(tmp_path):
    state = at_step(make_state(), 3)
    state = state.replace(ema=jax.tree.map(lambda p: p + 7, state.params))
    with Checkpoints(tmp_path / "runs" / "new") as checkpoints:
        checkpoints.save(state, 1.0)
    with Checkpoints(tmp_path / "runs" / "new") as checkpoints:
        restored = checkpoints.restore(make_state(seed=1))
    assert jnp.issubdtype(restored.key.dtype, jax.dtypes.prng_key)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for saved, read in zip(jax.tree.leaves(state), jax.tree.leaves(restored), strict=True):
        assert saved.dtype == read.dtype
        assert jnp.array_equal(saved, read)


def test_the_best_on_validation_is_kept_beside_the_latest(tmp_path):
    state = make_state()
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest is checkpoints.best is None
        for step, validation in enumerate([5.0, 3.0, 4.0, 6.0, 7.0], start=1):
            checkpoints.save(at_step(state, step), validation)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest == 5
        assert checkpoints.best == 2
        assert [int(checkpoints.restore(state, step).step) for step in (None, 2, 4)] == [5, 2, 4]
        with pytest.raises(FileNotFoundError, match=r"step 3, got those of steps \[2, 4, 5\]"):
            checkpoints.restore(state, 3)


def test_without_a_validation_the_latest_is_the_best(tmp_path):
    state = make_state()
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        for step in (1, 2):
            checkpoints.save(at_step(state, step))
            assert checkpoints.best == step
        checkpoints.save(at_step(state, 3), 9.0)
        checkpoints.save(at_step(state, 4))
        assert (checkpoints.best, checkpoints.latest) == (3, 4)
    assert {path.name for path in tmp_path.glob("[0-9]*")} == {"3", "4"}


def test_an_empty_folder_has_nothing_to_restore(tmp_path):
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(FileNotFoundError, match="a checkpoint"),
    ):
        checkpoints.restore(make_state())


def test_a_checkpoint_of_another_model_is_refused_by_the_name_of_an_array(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(at_step(make_state(), 1), 1.0)
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match=r"ema\..*: expected shape \[.*, got shape \["):
            checkpoints.restore(make_state(hidden=(5,)))
        with pytest.raises(ValueError, match=r"ema\..*no such array"):
            checkpoints.restore(make_state(hidden=(4, 4)))


def test_a_checkpoint_of_another_precision_is_refused(tmp_path):
    state = make_state()
    narrow = state.replace(ema=jax.tree.map(lambda p: p.astype(jnp.bfloat16), state.ema))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(at_step(state, 1), 1.0)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(
            ValueError, match=r"ema\..*: expected .* of bfloat16, .*, got .* of float32$"
        ),
    ):
        checkpoints.restore(narrow)


@pytest.fixture(scope="module")
def state():
    return make_state()


@pytest.fixture(scope="module")
def _saved(tmp_path_factory, state):
    folder = tmp_path_factory.mktemp("saved")
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(at_step(state, 100), 1.0, seconds={"wall_seconds": 2.5})
        checkpoints.save(at_step(state, 200), 2.0, unread=[{"loss": 0.5}, {"loss": 0.25}])
    return folder


@pytest.fixture
def saved(_saved, tmp_path):
    """Checkpoints of steps 100, the best, and 200, the latest."""
    return shutil.copytree(_saved, tmp_path / "saved")


def content(folder):
    """All that is in a folder, by its path."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    if path.is_file():
        path.write_bytes(b"")
    else:
        shutil.rmtree(path)
        path.mkdir()


def make_link(path):
    outside = path.parents[len(path.parts) - path.parts.index("saved")] / path.name
    path.rename(outside)
    path.symlink_to(outside)


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_file(path):
    shutil.rmtree(path)
    path.touch()


def make_folder(path):
    path.unlink()
    path.mkdir()


def put_100_in_its_place(path):
    if path.is_dir():
        shutil.rmtree(path)
        shutil.copytree(path.parent / "100", path)
    else:
        shutil.copy(path.parents[1] / "100" / path.name, path)


FOLDER, ARRAYS, CONTENTS = "200", "200/arrays", "200/checkpoint.json"
KERNEL = "arrays/params.conditional.hidden_0_kernel"
CHUNK, ZARRAY, METADATA = f"200/{KERNEL}/0.0", f"200/{KERNEL}/.zarray", "200/arrays/_METADATA"
DAMAGES = [
    *((CHUNK, harm) for harm in (truncate, empty, os.remove, make_link, make_pipe, make_folder)),
    (CHUNK, lambda path: flip(path, 123)),
    (CHUNK, lambda path: path.write_bytes(path.read_bytes() + b"0")),
    *((path, harm) for path in (ZARRAY, METADATA) for harm in (truncate, os.remove, make_link)),
    *((ARRAYS, harm) for harm in (empty, make_file, make_link)),
    (ARRAYS, lambda path: (path / "manifest.ocdbt").touch()),
    *((CONTENTS, harm) for harm in (truncate, empty, os.remove, make_link, put_100_in_its_place)),
    (CONTENTS, lambda path: path.write_bytes(b"\0" * 4096)),
    (
        CONTENTS,
        lambda path: path.write_bytes(path.read_bytes().replace(b"2.0", b"0.5")),
    ),  # validation
    *((FOLDER, harm) for harm in (empty, make_file, make_link, put_100_in_its_place)),
]


def newest_is_100():
    return pytest.warns(
        UserWarning,
        match=r"^checkpoint of step 200 is damaged: \S+/200\b.*: .+; "
        "it stays where it is; the last good one is that of step 100, the best that of step 100$",
    )


@pytest.mark.parametrize(("path", "harm"), DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(saved, state, path, harm):
    harm(saved / path)
    before, damaged = content(saved), content(saved / "200")
    with newest_is_100(), Checkpoints(saved) as checkpoints:
        assert int(checkpoints.restore(state).step) == 100
        assert checkpoints.latest == checkpoints.best == 100
        assert checkpoints.unread(100) == []
        assert checkpoints.seconds(100) == {"wall_seconds": 2.5}
    assert content(saved) == before
    with newest_is_100(), Checkpoints(saved, keep=1) as checkpoints:
        checkpoints.restore(state)
        checkpoints.save(at_step(state, 150), 0.5)
        checkpoints.save(at_step(state, 200), 0.4)
    assert {path.name for path in saved.iterdir()} == {"200", "200.replaced"}
    assert content(saved / "200.replaced") == damaged
    with Checkpoints(saved) as checkpoints:
        assert int(checkpoints.restore(state).step) == 200


def test_names_that_are_no_step_are_left_alone_and_an_empty_folder_300_is_named(saved, state):
    for name in ("007", "200.replaced", "-1", "1e3", "²", "200.0123456789abcdef.tmp.d"):
        (saved / name).mkdir()
    for name in (".DS_Store", "+5", "notes.txt"):
        (saved / name).write_bytes(b"7")
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.latest == 200
    (saved / "300").mkdir()
    before = content(saved)
    named = pytest.warns(UserWarning, match=r"step 300 is .*; the last .* 200, the best .* 100$")
    with named, Checkpoints(saved, keep=3) as checkpoints:
        assert int(checkpoints.restore(state).step) == 200
        with pytest.raises(ValueError, match=r"300/checkpoint.json: No such file .* use step 100"):
            checkpoints.restore(state, 300)
        checkpoints.save(at_step(state, 250), 2.0)
    assert before.items() <= content(saved).items()


def test_a_good_checkpoint_is_replaced_by_another_of_its_step(saved, state):
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.validated(200)
        checkpoints.save(at_step(state, 300))
        assert not checkpoints.validated(300)
        checkpoints.save(at_step(state, 300), 0.5)
        assert checkpoints.validated(300)
        checkpoints.wait()
        assert {path.name for path in saved.iterdir()} == {"200", "300"}
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.best == 300


def test_what_is_moved_aside_again_gets_a_name_of_its_own(saved, state):
    for _ in range(2):
        empty(saved / "200")
        with newest_is_100(), Checkpoints(saved) as checkpoints:
            checkpoints.save(at_step(state, 200))
    names = {path.name for path in saved.iterdir()}
    assert names == {"100", "200", "200.replaced", "200.replaced-2"}


def test_what_a_kill_left_unfinished_is_deleted_by_the_next_save(saved, state):
    left = saved / "200.0123456789abcdef.tmp"
    left.mkdir()
    with Checkpoints(saved) as checkpoints:
        assert left.exists()  # another process may be writing it
        checkpoints.save(at_step(state, 300))
    assert not left.exists()


def test_one_line_names_all_checkpoints_when_none_is_good(saved, state):
    flip(saved / "100" / KERNEL / "0.0", 40)
    (saved / CHUNK).unlink()
    message = (
        r"^\S+/saved: expected .*, got none; \S+/200/\S+/0.0: No such file or directory; "
        r"\S+/100/arrays/params\.\S+: expected .*; repair them, or move them away to start anew$"
    )
    with (
        newest_is_100(),
        Checkpoints(saved) as checkpoints,
        pytest.raises(ValueError, match=message),
    ):
        checkpoints.restore(state)
    truncate(saved / "100/checkpoint.json")
    with pytest.raises(ValueError, match=r"^\S+/saved: .*/100/checkpoint.json: .*/200/arrays/"):
        Checkpoints(saved)


def test_a_damaged_best_is_an_error_that_names_the_next_best(saved, state):
    flip(saved / "100" / KERNEL / "0.0", 40)
    message = (
        r"^checkpoint of step 100 is damaged: .*/arrays/params\.\S+: expected what was saved, "
        r".*; move \S+/100 away to use step 200, the next best$"
    )
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.best == 100
        with pytest.raises(ValueError, match=message):
            checkpoints.restore(state, checkpoints.best)
    shutil.move(saved / "100", saved.parent)
    with Checkpoints(saved) as checkpoints:
        assert int(checkpoints.restore(state, checkpoints.best).step) == 200


@pytest.mark.parametrize("part", ["params", "ema"])
def test_parameters_that_are_not_finite_are_refused_by_name(tmp_path, state, part):
    broken = jax.tree.map(lambda leaf: leaf.at[0].set(jnp.nan), getattr(state, part))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(at_step(state, 1), 1.0)
        checkpoints.save(at_step(state, 2).replace(**{part: broken}), 0.5)
        message = rf"step 2 is damaged: \S+/2, {part}\.\S+: expected finite numbers, got NaN in \d"
        with pytest.warns(UserWarning, match=message):
            assert int(checkpoints.restore(state).step) == 1
        with pytest.raises(ValueError, match=message):
            checkpoints.restore(state, 2)


def test_numbers_that_are_not_finite_are_not_saved(tmp_path, state):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match="validation: expected a finite number"):
            checkpoints.save(state, float("nan"))
        with pytest.raises(ValueError, match="unread: expected finite numbers"):
            checkpoints.save(state, unread=[{"loss": 1.0}, {"loss": np.float32("inf")}])
        assert checkpoints.latest is None


def test_arrays_of_one_name_are_not_saved(tmp_path, state):
    params = {"a.b": jnp.zeros(1), "a": {"b": jnp.ones(1)}}
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(ValueError, match="got two arrays of one name"),
    ):
        checkpoints.save(state.replace(params=params))


def test_a_state_is_saved_as_it_was_though_training_goes_on(tmp_path, state):
    """The next step writes into the arrays, which are donated to it, while they are being saved."""
    step = jax.jit(lambda params: params + 1, donate_argnums=0)
    state = at_step(state, 1).replace(params=jnp.zeros(2**22))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state)
        params = state.params
        for _ in range(20):
            params = step(params)
        assert not np.any(checkpoints.restore(state.replace(params=params)).params)


def test_a_disk_that_is_full_is_named_and_the_step_is_not_counted_as_saved(saved, state):
    """A limit on the size of files fails the same writes as a full disk does."""
    before = content(saved)
    reason = rf"\[Errno {errno.EFBIG}\] File too large: '\S+/saved/300'"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoints = Checkpoints(saved)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        checkpoints.save(at_step(state, 300), 0.1)
        with pytest.raises(OSError, match=reason):
            checkpoints.save(at_step(state, 400), 0.1)
        assert (checkpoints.latest, checkpoints.best) == (200, 100)
        checkpoints.save(at_step(state, 200), 0.1)
        with pytest.raises(OSError, match=reason.replace("300", "200")):
            checkpoints.wait()
        assert (checkpoints.latest, checkpoints.best) == (200, 100)
        with pytest.raises(OSError, match=reason), checkpoints:
            checkpoints.save(at_step(state, 300), 0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (checkpoints.latest, checkpoints.best) == (200, 100)
    assert content(saved) == before
    with Checkpoints(saved) as checkpoints:
        checkpoints.save(at_step(state, 300), 0.1)
    with Checkpoints(saved) as checkpoints:
        assert int(checkpoints.restore(state).step) == 300


def test_a_folder_that_cannot_be_read_is_named_with_the_cause(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"Not a directory: '\S+/file'"):
        Checkpoints(tmp_path / "file")


def test_reading_makes_no_folder(tmp_path):
    with Checkpoints(tmp_path / "new") as checkpoints:
        assert checkpoints.latest is None
    assert not (tmp_path / "new").exists()
