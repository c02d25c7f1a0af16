"""Damaged files: small changes of valid ones, by a seed."""

import numpy as np


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: a byte replaced, a bit flipped, a part cut out, doubled or zeroed."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.integers(len(changed) + 1))
        end = place + int(rng.choice([1, 2, 4, 16, len(content)]))
        part = changed[place:end]
        match rng.integers(5):
            case 0:
                changed[place:end] = rng.bytes(len(part))
            case 1 if part:
                changed[place] ^= 1 << int(rng.integers(8))
            case 2:
                del changed[place:end]
            case 3:
                changed[place:place] = part
            case 4:
                changed[place:end] = bytes(len(part)) if rng.random() < 0.5 else b"\xff" * len(part)
    return bytes(changed)
