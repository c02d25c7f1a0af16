"""Recordings of speech at 8 kHz."""

import dataclasses
from typing import Literal

import numpy as np

from ar_jax.data import Chunks, Splits, mu_law, read_recordings
from ar_jax.datasets.base import Dataset, Origin, place
from ar_jax.datasets.windows import deal_pieces, windows, windows_of_pieces

RATE = 8000
"""Samples per second."""

BASE = 256
"""Of the digits of a sample."""


@dataclasses.dataclass(frozen=True)
class Speech(Dataset):
    """Recordings at 8 kHz in windows: a tenth of them validates, a tenth tests.

    The data is any folder of recordings, e.g. the prompts of Asterisk, an hour of one voice.

    Attributes:
      path: a folder of WAV files of one channel, 16 bits and 8 kHz, or an `.npz` of `samples`
        (int16, all recordings one after the other), `lengths` and `name`.
      window: samples of an event.
      code: of a sample. "mu_law": one of 256 levels (as in arXiv 1609.03499), events int32
        `[window]`. "digits": the sample as it is stored, in two digits, the coarse one first,
        events int32 `[window, 2]`.
    """

    path: str = place()
    window: int = 2048
    code: Literal["mu_law", "digits"] = "mu_law"

    @property
    def origin(self) -> Origin:
        address = (
            "https://downloads.asterisk.org/pub/telephony/sounds/"
            "asterisk-core-sounds-en-wav-current.tar.gz"
        )
        get = f"--data.path FOLDER, e.g. of {address}, unpacked"
        return Origin(address, get, "CC BY-SA 3.0")

    def load(self) -> Splits[Chunks]:
        if not self.path:
            raise self.missing("path", "a folder of recordings or an .npz file")
        recordings = read_recordings(self.path, RATE).values()
        coded = [self._coded(each) for each in recordings]
        return windows_of_pieces(self.path, deal_pieces(self.path, coded), self.window)

    def fake(self) -> Splits[Chunks]:
        noise = 3000 * np.random.default_rng(0).standard_normal((3, 20 * self.window))
        return windows(Splits(*map(self._coded, noise.astype(np.int16))), self.window)

    def _coded(self, recording: np.ndarray) -> np.ndarray:
        return mu_law(recording).astype(np.int32) if self.code == "mu_law" else to_digits(recording)


def to_digits(recording: np.ndarray) -> np.ndarray:
    """int16 `[n]` -> int32 `[n, 2]`: levels from 0 on, in two digits."""
    return np.stack(np.divmod(recording.astype(np.int32) + BASE**2 // 2, BASE), axis=-1)


def to_samples(digits: np.ndarray) -> np.ndarray:
    """The inverse of `to_digits`."""
    return (digits @ np.array([BASE, 1]) - BASE**2 // 2).astype(np.int16)
