"""The default experiment as a user runs it: in processes of its own, in an empty folder."""

import json
import signal
import subprocess
import sys
import time

import pytest


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.digits", *arguments],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    result = run(folder, "--debug")
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_training_ends_in_a_table_and_pictures(trained):
    folder, printed = trained
    for row in ("nats", "bits/dim", "Bayes accuracy", "parameters", "time"):
        assert row in printed
    here = folder / "runs" / "digits-debug"
    for name in ("samples.png", "curves.png"):
        assert (here / name).read_bytes().startswith(b"\x89PNG")
    assert json.loads((here / "config.json").read_text())["training"]["steps"] == 20


def test_evaluating_in_a_new_process_gives_the_same_figures(trained):
    folder, _ = trained
    path = folder / "runs" / "digits-debug" / "results.json"
    before = json.loads(path.read_text())
    path.unlink()
    result = run(folder, "evaluate", "--folder", "runs/digits-debug")
    assert result.returncode == 0, result.stderr
    after = json.loads(path.read_text())
    assert after["likelihood"]["nats"] == pytest.approx(before["likelihood"]["nats"], rel=1e-6)
    assert after["bayes_accuracy"] == before["bayes_accuracy"]


def test_an_interrupted_run_is_saved_and_its_figures_are_not_results(tmp_path):
    command = [sys.executable, "-m", "experiments.digits", "--debug", "--training.steps", "99999"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    here = tmp_path / "runs" / "digits-debug"
    while process.poll() is None and not (here / "metrics.jsonl").exists():
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Stopped, with all saved; the same command goes on from there." in printed
    result = run(tmp_path, "evaluate", "--folder", "runs/digits-debug")
    assert "bits/dim" in result.stdout, result.stderr
    assert not (here / "results.json").exists()


def test_what_is_asked_for_wins_over_debug(tmp_path):
    result = run(tmp_path, "--debug", "--training.steps", "3", "--folder", "here")
    assert result.returncode == 0, result.stderr
    config = json.loads((tmp_path / "here" / "config.json").read_text())
    assert config["training"]["steps"] == 3
    assert config["model"]["conditional"]["blocks"] == 1


def test_sampling_draws_with_the_sampler_that_is_asked_for(trained):
    folder, _ = trained
    picture = folder / "runs" / "digits-debug" / "samples.png"
    before = picture.read_bytes()
    result = run(
        folder, "sample", "--folder", "runs/digits-debug", "--sampler.temperature", "0.5",
        "--columns", "4",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert picture.read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--debug", "--training.seed", "1"], "folder: expected a new one or one with this"),
        (["--trainign.steps", "3"], "training.steps"),
        (["tarin"], "verb: expected one of train, evaluate, sample, got tarin"),
        (["evaluate", "--folder", "nowhere"], "folder: expected that of a run, got nowhere"),
        (
            ["sample", "--folder", "runs/digits-debug", "--sampler.top-p", "0"],
            "top_p: expected above 0",
        ),
        (["--batch-size", "0"], "batch_size: expected at least 1, got 0"),
        (
            ["sample", "--folder", "runs/digits-debug", "--columns", "999"],
            "columns: expected 1 ...",
        ),
    ],
)
def test_a_mistake_ends_in_a_line_that_says_what_to_do(trained, arguments, message):
    folder, _ = trained
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    result = run(folder, *arguments)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
