import sys
import time
import types
from functools import partial

import pytest
from rich import progress

from ar_jax.training.progress import progress_bar


@pytest.mark.parametrize(
    ("seconds", "rate", "left"),
    [(2, "10.0 steps/s", "0:00:06"), (100, "5.0 s/step", "0:05:00"), (1200, "60.0 s/step", "1:00")],
)
def test_the_bar_tells_rate_and_time_left_however_slow_the_model(
    monkeypatch, capsys, seconds, rate, left
):
    """Records every 20 steps."""
    clock = [0.0]
    monkeypatch.setattr(progress, "Progress", partial(progress.Progress, get_time=lambda: clock[0]))
    with progress_bar(40, 200) as tell:
        for step in (60, 80, 100, 120, 140):
            clock[0] += seconds
            tell(step, "1.250 bits/dim")
    shown = capsys.readouterr().out
    for expected in ("140/200", "1.250 bits/dim", rate, left):
        assert expected in shown


def test_in_a_notebook_a_line_changes_without_further_packages(monkeypatch):
    """As IPython's kernel has it: `display` gives a handle, whose content is updated."""
    shown = []
    handle = types.SimpleNamespace(update=lambda data, raw: shown.append(data["text/plain"]))

    def display(data, raw, display_id):
        shown.append(data["text/plain"])
        return handle

    shell = type("ZMQInteractiveShell", (), {})()
    module = types.ModuleType("IPython")
    module.get_ipython = lambda: shell
    module.display = types.ModuleType("IPython.display")
    module.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", module.display)
    clock = iter([0.0, 30.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with progress_bar(10, 40) as tell:
        tell(20, "1.250 bits/dim")
    assert shown == ["10/40", "20/40  1.250 bits/dim  0:01:00 left"]
