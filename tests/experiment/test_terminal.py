"""Printing neither fails on a terminal of few characters nor on a pipe that is closed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}


def python(*command, **pipes):
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | ASCII,
        stderr=subprocess.PIPE,
        **pipes,
    )


def test_characters_that_a_terminal_lacks_are_question_marks():
    program = """
from rich.console import Console
from ar_jax.experiment.terminal import printing
with printing():
    print("1.0 \\xb1 0.1 \\ufffd")
    Console().print("nats: \\xb1 \\ufffd")
"""
    process = python("-c", program, stdout=subprocess.PIPE)
    printed, errors = process.communicate(timeout=60)
    assert (printed.split(), errors) == (b"1.0 ? 0.1 ? nats: ? ?".split(), b"")


def test_a_closed_pipe_ends_a_program_without_a_traceback():
    reader, writer = os.pipe()
    process = python("-m", "experiments.launch", stdout=writer)
    os.close(reader)
    os.close(writer)
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 1
