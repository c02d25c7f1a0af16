import struct
import time

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from ar_jax.training.metrics import Metrics, Stopwatch, finite_means, read_metrics


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
    with Metrics(tmp_path, 0) as metrics:
        for step in (1, 2, 3):
            metrics.write(step, loss=step / 2)
    with Metrics(tmp_path, 2) as metrics:
        metrics.write(3, loss=9.0)
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": 9.0},
    ]


def test_tensorboard_shows_the_same_and_what_a_kill_cut_short_only_once(tmp_path):
    killed = Metrics(tmp_path, 0)  # never closed
    for step in (1, 2, 3, 4):
        killed.write(step, loss=step / 2, norm=7.0)
    waited = time.monotonic()
    while len(scalars(tmp_path, "norm")) < 4 and time.monotonic() - waited < 60:
        time.sleep(0.01)  # a thread of its own writes them
    with Metrics(tmp_path, 2) as metrics:
        metrics.write(3, loss=9.0)
    assert scalars(tmp_path, "loss") == {1: 0.5, 2: 1.0, 3: 9.0}
    assert scalars(tmp_path, "norm") == {1: 7.0, 2: 7.0}
    killed.__exit__(None, None, None)


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
