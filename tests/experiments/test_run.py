"""What experiments share."""

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from ar_jax.conditionals import MADE, LinearPrediction, SparseTransformer, WaveNet
from ar_jax.configuration import describe
from ar_jax.durable import write
from ar_jax.experiment.command_line import asked, dispatch, parse
from ar_jax.experiment.debug import shrunk
from ar_jax.experiment.folder import (
    arguments_of,
    begin,
    check_folder,
    check_writable,
    folder_for_files,
)
from ar_jax.training import init_state
from experiments import images
from experiments.digits import Digits
from experiments.images import SampleImages
from experiments.mnist_made import MnistMade
from experiments.run import carry_out
from tests.faults import small_disk


def configure(experiment, *arguments):
    return parse(experiment.preset(arguments), arguments, "")


@pytest.mark.parametrize(
    ("arguments", "on"),
    [
        ([], False),
        (["--class-conditional"], True),
        (["--class_conditional"], True),
        (["--class-conditional", "--no-class-conditional"], False),
        (["--no-class-conditional", "--seed", "1", "--class-conditional"], True),
        (["--classes"], False),
    ],
)
def test_the_last_word_on_a_switch_counts(arguments, on):
    assert asked("class-conditional", arguments) is on


def test_what_is_asked_for_wins_over_debug():
    config = configure(Digits(), "--debug", "--training.steps", "3", "--folder", "here")
    assert (config.training.steps, config.training.log_every) == (3, 5)
    assert config.model.conditional == shrunk(Digits().model.conditional)
    assert str(config.folder) == "here"


def test_debug_shrinks_every_size_and_nothing_else():
    conditional = SparseTransformer(layers=48, width=512, heads=16, dropout=0.1, stride=128)
    expected = conditional.clone(layers=2, width=16, heads=2, hidden=16, query_width=8)
    assert shrunk(conditional) == expected  # as many layers as there are patterns
    around = LinearPrediction(WaveNet(), order=24)
    small = shrunk(around)
    assert small.order == 4
    assert small.conditional == shrunk(WaveNet()) != WaveNet()
    assert shrunk(MADE(hidden=(8000, 10))).hidden == (16, 10)
    assert shrunk(small) == small


def test_the_switch_of_classes_switches_the_context():
    config = configure(MnistMade(), "--class_conditional", "--model.context.dropout", "0.3")
    assert config.class_conditional
    assert (config.model.context.classes, config.model.context.dropout) == (10, 0.3)
    assert config.folder != MnistMade().folder


def test_where_things_lie_is_no_part_of_the_configuration():
    config = MnistMade()
    moved = dataclasses.replace(
        config, folder="elsewhere", data=dataclasses.replace(config.data, dir="there")
    )
    assert describe(moved) == describe(config)
    assert describe(dataclasses.replace(config, batch_size=1)) != describe(config)


@pytest.mark.parametrize("kept", ["checkpoints/10", "metrics.jsonl", "results.json"])
def test_what_is_left_of_another_run_is_not_touched(tmp_path, kept):
    begin(tmp_path, Digits(), [])
    begin(tmp_path, Digits(batch_size=2), ["--batch-size", "2"])  # no more than a failed start
    path = tmp_path / kept
    path.parent.mkdir(exist_ok=True)
    path.write_text("1", encoding="utf-8")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    message = r"which holds a run of another \(see its config.json: batch_size is 2, not 64\)"
    with pytest.raises(FileExistsError, match=message):
        begin(tmp_path, Digits(), [])
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_a_damaged_configuration_is_kept_and_written_anew_where_the_run_tells_itself(tmp_path):
    begin(tmp_path, Digits(), [])
    (tmp_path / "metrics.jsonl").write_text("1", encoding="utf-8")
    config = (tmp_path / "config.json").read_bytes()
    (tmp_path / "config.json").write_bytes(config[:100])
    with pytest.raises(FileExistsError, match=r"whose config\.json is damaged; name another"):
        begin(tmp_path, Digits(), [])
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"config\.json: damaged, kept as config\.json\.damaged"):
        begin(tmp_path, Digits(), [])
    assert (tmp_path / "config.json").read_bytes() == config
    assert (tmp_path / "config.json.damaged").read_bytes() == config[:100]


def test_a_configuration_of_an_earlier_version_may_lack_fields(tmp_path):
    begin(tmp_path, Digits(), [])
    (tmp_path / "metrics.jsonl").write_text("1", encoding="utf-8")
    path = tmp_path / "config.json"
    recorded = json.loads(path.read_bytes())
    del recorded["training"]["max_skipped"]
    path.write_text(json.dumps(recorded), encoding="utf-8")
    check_folder(tmp_path, Digits())


@pytest.mark.parametrize("content", [b"", b'["--debug"', b"{}", b"[1]", b"\0\0", b"\xff"])
def test_damaged_arguments_are_named_with_what_to_do(tmp_path, content):
    (tmp_path / "arguments.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"arguments\.json: expected a list .* the command that"):
        arguments_of(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two steps."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert carry_out(Digits(), [*TWO_STEPS, "--folder", str(folder)], "p")
    return folder


TWO_STEPS = ["--debug", "--training.steps", "2"]


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def again(folder):
    return carry_out(Digits(), [*TWO_STEPS, "--folder", str(folder)], "p")


@pytest.mark.parametrize("content", [b'{"likelihood": {"na', b"[]", b"\0"])
def test_damaged_results_are_kept_and_written_anew(copied, content):
    results = copied / "results.json"
    before = json.loads(results.read_bytes())
    results.write_bytes(content)
    with pytest.warns(UserWarning, match=r"results\.json: damaged, kept as results\.json\.dam"):
        assert again(copied)
    after = json.loads(results.read_bytes())
    assert {**after, "command": ""} == {**before, "command": ""}
    assert (copied / "results.json.damaged").read_bytes() == content


def test_pictures_that_cannot_be_drawn_cost_no_results(copied, monkeypatch):
    (copied / "results.json").unlink()
    monkeypatch.setattr(Digits, "draw", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="samples: ZeroDivisionError: .*; goes on without"):
        assert again(copied)
    assert (copied / "results.json").exists()


def test_a_run_on_a_full_disk_ends_in_one_line(tmp_path):
    """With room for the configuration, but for no checkpoint."""
    with small_disk(tmp_path / "run", "size=32k"), pytest.raises(SystemExit) as ended:
        dispatch("p", {"train": lambda _: again(tmp_path / "run") and None}, "train", "", [])
    assert re.fullmatch(rf"p: {tmp_path}/run/.*: No space left on device.*", str(ended.value))


def test_a_read_only_disk_ends_a_run_in_one_line(tmp_path):
    with small_disk(tmp_path / "disk", "ro"), pytest.raises(SystemExit) as ended:
        dispatch("p", {"train": lambda _: again(tmp_path / "disk/run") and None}, "train", "", [])
    assert str(ended.value) == f"p: {tmp_path}/disk/run: Read-only file system"


def test_results_without_their_checkpoints_are_not_overwritten(tmp_path):
    begin(tmp_path, Digits(), [])
    (tmp_path / "results.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FileExistsError, match="which holds results without them"):
        check_folder(tmp_path, Digits())


def test_a_bug_is_shown_with_its_traceback(monkeypatch):
    with pytest.raises(TypeError, match="broadcast"):
        dispatch(
            "", {"train": lambda _: jax.numpy.zeros(3) + np.zeros(4)}, "train", "", sys.argv[1:]
        )
    with pytest.raises(ValueError, match="invalid literal"):
        dispatch("", {"train": lambda _: [int(word) for word in ("x",)]}, "train", "", [])
    with pytest.raises(SystemExit, match="p: batch_size: expected at least 1, got 0"):
        dispatch("p", {"train": lambda _: Digits(batch_size=0) and None}, "train", "", [])
    with pytest.raises(SystemExit, match=r"^p: none/file: No such file or directory$"):
        dispatch("p", {"train": lambda _: write(Path("none/file"), "")}, "train", "", [])


def test_a_folder_that_cannot_be_written_to_is_told_and_one_that_can_is_left_as_it_was(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    (tmp_path / "file").touch()
    for place, why in (("file", "File exists"), ("file/in", "Not a dir"), ("n" * 256, "File name")):
        message = rf"^folder: expected one that can be written to, got .*{place}: {why}"
        with pytest.raises(OSError, match=message):
            check_writable(tmp_path / place)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert names == {"file", "new", "new/folder"}


def test_a_folder_for_files_stays_only_if_it_has_some(tmp_path):
    with suppress(ValueError), folder_for_files(tmp_path / "a" / "b"):
        raise ValueError
    assert not list(tmp_path.iterdir())
    with folder_for_files(tmp_path / "a" / "b"):
        write(tmp_path / "a" / "b" / "c", "")
    assert (tmp_path / "a" / "b" / "c").exists()


def test_an_interrupted_run_is_saved_and_its_figures_are_not_results(tmp_path):
    command = [sys.executable, "-m", "experiments.digits", "--debug", "--folder", "run"]
    command += ["--training.steps", "99999"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, encoding="utf-8")
    metrics = tmp_path / "run" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Stopped, with all saved; the same command goes on from there." in printed
    command[3:] = ["evaluate", "--folder", "run"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert "bits/dim" in result.stdout, result.stderr
    assert not (tmp_path / "run" / "results.json").exists()
    assert json.loads((tmp_path / "run" / "config.json").read_bytes())["debug"]


@pytest.mark.parametrize("given", ["", "image.png"])
def test_images_are_completed_from_what_is_known(tmp_path, monkeypatch, given):
    experiment = configure(Digits(), "--debug")
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(picture).save(tmp_path / "image.png")
    example = experiment.splits.validation.batch(np.arange(1))
    optimizer = experiment.training.optimizer.transformation(1)
    variables = init_state(experiment.model, optimizer, 0, example).variables
    drawn = {}
    monkeypatch.setattr(images, "draw_images", lambda path, panels, *_: drawn.update(panels))
    image = str(tmp_path / given) if given else ""
    options = SampleImages(columns=2, known=0.25, image=image)
    experiment.draw(variables, options, tmp_path / "samples")
    expected = drawn["data"].reshape(20, 64)
    if given:
        np.testing.assert_array_equal(expected, np.tile(picture.ravel() // (256 / 17), (20, 1)))
    np.testing.assert_array_equal(drawn["completed"].reshape(20, 64)[:, :16], expected[:, :16])
    np.testing.assert_array_equal(drawn["given"].reshape(20, 64)[:, :16], expected[:, :16])
    assert not np.array_equal(drawn["completed"].reshape(20, 64), expected)
