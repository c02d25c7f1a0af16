"""Rejection of inputs that a model finds unlikely."""

import io

import numpy as np
from PIL import Image

from ar_jax.checks import check_at_least, check_floats, check_shape


def auroc(foreign: np.ndarray, own: np.ndarray) -> tuple[float, float]:
    """The probability that a foreign input has a higher score than one of the model's own.

    It is the area under the curve of foreign inputs rejected over own inputs rejected: 1 for a
    score that tells all apart, 0.5 for one that knows nothing, 0 for one that has it backwards.
    Of equal scores half count.

    Args:
      foreign: `[count]`, scores of inputs to reject; higher is stranger, as -log p(x).
      own: `[other count]`, scores of inputs of the kind that the model learned.

    Returns:
      The area and its standard error (DeLong et al., 1988).

    Raises:
      ValueError: when there are fewer than two scores of a kind, or one is not finite.
    """
    for name, scores in (("foreign", foreign), ("own", own)):
        check_shape(name, scores, ("count",))
        check_floats(name, scores)
        check_at_least(2, **{name: len(scores)})  # of one there is no spread
    above, below = _share_below(foreign, own), 1 - _share_below(own, foreign)
    variance = above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)
    return float(above.mean()), float(np.sqrt(variance))


def _share_below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of others below each score; equal ones count half."""
    ordered = np.sort(others)
    left, right = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    return (left + right) / (2 * len(others))


def complexity(images: np.ndarray) -> np.ndarray:
    """Bits of each image as an optimised PNG: `[batch]`.

    A model's -log2 p(x) is high for whatever is intricate, of its kind or not. Serrà et al. (arXiv
    1909.11480) subtract the bits that a general compressor needs: -log2 p(x) - complexity(x) is a
    log-likelihood ratio of the compressor's to the model's.

    Args:
      images: `[batch, height, width, 1 or 3]`, uint8.
    """
    check_shape("images", images, ("batch", "height", "width", "channels"))
    if images.dtype != np.uint8:
        raise ValueError(f"images: expected bytes (uint8), got dtype {images.dtype}")
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"images: expected 1 or 3 channels, got {images.shape[-1]}")

    def bits(image: np.ndarray) -> int:
        file = io.BytesIO()
        squeezed = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(squeezed).save(file, "PNG", optimize=True)
        return 8 * file.tell()

    return np.array([bits(image) for image in images], float)
