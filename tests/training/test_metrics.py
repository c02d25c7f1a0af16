import struct
import time

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from ar_jax.training.metrics import Metrics, Stopwatch, finite_means, read_metrics
from tests.faults import full_disk


def events(folder):
    """What TensorBoard reads: records of a length, its checksum, an event and its checksum."""
    for path in sorted(folder.glob("tensorboard/*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            yield Event.FromString(content[at + 12 : at + 12 + length])
            at += 12 + length + 4


def scalars(folder, name):
    """The curve that TensorBoard draws: a start at a step makes it forget that step and later."""
    curve = {}
    for event in events(folder):
        if event.session_log.status == SessionLog.START:
            curve = {step: value for step, value in curve.items() if step < event.step}
        for value in event.summary.value:
            if value.tag == name:
                curve[event.step] = value.simple_value
    return curve


def test_a_restart_cuts_back_to_the_restored_step(tmp_path):
    metrics = Metrics(tmp_path, 0)
    for step in (1, 2, 3):
        metrics.write(step, loss=step / 2)
    Metrics(tmp_path, 2).write(3, loss=9.0)
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": 9.0},
    ]


def test_tensorboard_shows_the_same_and_what_a_kill_cut_short_only_once(tmp_path):
    killed = Metrics(tmp_path, 0)
    for step in (1, 2, 3, 4):
        killed.write(step, loss=step / 2, norm=7.0)
    Metrics(tmp_path, 2).write(3, loss=9.0)
    assert scalars(tmp_path, "loss") == {1: 0.5, 2: 1.0, 3: 9.0}
    assert scalars(tmp_path, "norm") == {1: 7.0, 2: 7.0}


def test_what_is_measured_again_is_told_once(tmp_path):
    metrics = Metrics(tmp_path, 0)
    for step in (1, 2):
        metrics.write(step, train=0.5)
        metrics.write(step, validation=step / 2)
    Metrics(tmp_path, 2, again=["validation"]).write(2, validation=9.0)
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "train": 0.5},
        {"step": 1, "validation": 0.5},
        {"step": 2, "train": 0.5},
        {"step": 2, "validation": 9.0},
    ]


def test_tensorboard_s_checksums_are_those_of_its_format(tmp_path):
    """CRC-32C, rotated by 15 bits, plus a constant, as TFRecord has it: here bit by bit."""

    def masked(content):
        crc = 0xFFFFFFFF
        for byte in content:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        crc ^= 0xFFFFFFFF
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    Metrics(tmp_path, 0).write(1, loss=0.5)
    (path,) = tmp_path.glob("tensorboard/events.out.tfevents.*")
    content, at, count = path.read_bytes(), 0, 0
    while at < len(content):
        length, check = struct.unpack_from("<QI", content, at)
        event = content[at + 12 : at + 12 + length]
        assert check == masked(content[at : at + 8])
        assert struct.unpack_from("<I", content, at + 12 + length) == (masked(event),)
        at, count = at + 16 + length, count + 1
    assert count == 3  # a header, a start, a scalar


def test_without_room_for_tensorboard_a_run_goes_on_and_tells_so_once(tmp_path):
    """In a file system of one page, which two records fill."""
    warned = pytest.warns(UserWarning, match=r"tensorboard/events.*; training goes on")
    with full_disk(tmp_path / "tensorboard"), warned as warned:
        metrics = Metrics(tmp_path, 0)
        for step in range(1, 200):
            metrics.write(step, loss=0.5)
    assert len(warned) == 1
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 199


def test_tensorboard_s_folder_may_be_a_file(tmp_path):
    (tmp_path / "tensorboard").write_text("mine", encoding="utf-8")
    with pytest.warns(UserWarning, match="training goes on without"):
        Metrics(tmp_path, 0).write(1, loss=0.5)
    assert (tmp_path / "tensorboard").read_text(encoding="utf-8") == "mine"
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 0.5}]


def test_a_full_disk_is_told_with_the_file(tmp_path):
    metrics = Metrics(tmp_path, 0)
    path = tmp_path / "metrics.jsonl"
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as error:
        metrics.write(1, loss=0.5)
    assert error.value.filename == str(path)


GOOD = '{"step": 1, "loss": 0.5}'


@pytest.mark.parametrize(
    "damaged",
    [
        b"\0" * 40,  # after a power cut
        b'{"step": 2, "lo' + GOOD.encode(),  # torn in the middle of the file
        b'{"loss": 0.5}',
        b'{"step": "2"}',
        b'{"step": true}',
        b'{"step": 2, "loss": "low"}',
        b'{"step": 2, "loss": null}',
        b'{"step": 2, "caf\xe9": 1}',
        b"[" * 100_000,
        b"[1]",
        b"",
    ],
    ids=lambda line: repr(line[:20]),
)
def test_a_damaged_line_is_named_and_kept_and_the_others_count(tmp_path, damaged):
    path = tmp_path / "metrics.jsonl"
    content = GOOD.encode() + b"\n" + damaged + b"\n" + b'{"step": 3, "loss": 1}\n'
    path.write_bytes(content)
    expected = [{"step": 1, "loss": 0.5}, {"step": 3, "loss": 1}]
    with pytest.warns(UserWarning, match=r"metrics\.jsonl: .*, line 2$"):
        assert read_metrics(path) == expected
    assert path.read_bytes() == content
    with pytest.warns(UserWarning, match=r"line 2; .* kept as metrics\.jsonl\.damaged$"):
        Metrics(tmp_path, 3)
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == content
    assert read_metrics(path) == expected


def test_a_line_torn_by_a_crash_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo', encoding="utf-8")
    assert read_metrics(path) == [{"step": 1}]


def test_means_are_over_steps():
    rows = [
        {"loss": np.float32(1), "norm": np.float32(3)},
        {"loss": np.float32(2), "norm": np.float32(5)},
    ]
    assert finite_means(rows, 7) == {"loss": 1.5, "norm": 4.0}


def test_skipped_steps_are_counted_and_left_out_of_means():
    rows = [
        {"loss": np.float32(1), "skipped": np.int32(0)},
        {"loss": np.float32(0), "skipped": np.int32(1)},
        {"loss": np.float32(2), "skipped": np.int32(0)},
    ]
    assert finite_means(rows, 7) == {"loss": 1.5, "skipped": 1}
    assert finite_means(rows[1:2], 7) == {"skipped": 1}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused_with_its_step(value):
    rows = [{"loss": 1.0}, {"loss": value}, {"loss": 1.0}]
    with pytest.raises(FloatingPointError, match=r"loss: expected a finite.*step 9; lower lea"):
        finite_means(rows, 10)


def test_a_stopwatch_goes_on_from_what_it_told(monkeypatch):
    clock = {"monotonic": 100.0, "process_time": 10.0}
    for name in clock:
        monkeypatch.setattr(time, name, lambda name=name: clock[name])
    watch = Stopwatch({"step": 3, "wall_seconds": 5.0})
    clock |= {"monotonic": 102.0, "process_time": 13.0}
    with watch.waiting():
        clock |= {"monotonic": 102.5}
    with watch.waiting():
        clock |= {"monotonic": 103.5}
    expected = {"wall_seconds": 5 + 3.5, "cpu_seconds": 3.0, "waiting_seconds": 1.5}
    assert watch.read() == expected
    assert Stopwatch(expected).read() == expected
