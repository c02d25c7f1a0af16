"""The progress bar of training."""

from rich import progress
from rich.text import Text


class Rate(progress.ProgressColumn):
    """Steps per second."""

    def render(self, task: progress.Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} steps/s")


def progress_bar() -> progress.Progress:
    """Steps done, the text of the field "loss", steps per second and the time left."""
    return progress.Progress(
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[loss]}"),
        Rate(),
        progress.TimeRemainingColumn(),
    )
