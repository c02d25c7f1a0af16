"""The progress bar of training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress
from rich.text import Text

from ar_jax.training.parallel import first_process


class Rate(progress.ProgressColumn):
    """Steps per second, or seconds per step."""

    def render(self, task: progress.Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f} steps/s" if speed >= 1 else f"{1 / speed:.1f} s/step")


@contextmanager
def progress_bar(start: int, steps: int) -> Iterator[Callable[[int, str], None]]:
    """Shows the steps done, the loss, the rate over the last hour and the time left.

    Args:
      start: steps that are done already.
      steps: that there are.

    Returns:
      Takes the steps done by now and the loss as it is shown.
    """
    bar = progress.Progress(
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[loss]}"),
        Rate(),
        progress.TimeRemainingColumn(),
        speed_estimate_period=3600,  # of slow models records come minutes apart
        disable=not first_process(),
    )
    task = bar.add_task("", total=steps, completed=start, loss="")
    with bar:
        yield lambda step, loss: bar.update(task, completed=step, loss=loss)
