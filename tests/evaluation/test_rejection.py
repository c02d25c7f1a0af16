"""The area under the curve, against scikit-learn and the pairs themselves; PNG's bits."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from ar_jax.evaluation import auroc, complexity

RNG = np.random.default_rng(0)


def test_the_area_is_the_share_of_pairs_in_order():
    foreign, own = RNG.integers(0, 9, 40) + 2.0, RNG.integers(0, 9, 70) * 1.0  # with ties
    pairs = (foreign[:, None] > own) + 0.5 * (foreign[:, None] == own)
    area, error = auroc(foreign, own)
    assert area == pytest.approx(pairs.mean(), abs=1e-12)
    truth = np.repeat([1, 0], [40, 70])
    assert area == pytest.approx(roc_auc_score(truth, np.append(foreign, own)), abs=1e-12)
    delong = pairs.mean(axis=1).var(ddof=1) / 40 + pairs.mean(axis=0).var(ddof=1) / 70
    assert error == pytest.approx(np.sqrt(delong), abs=1e-12)
    backwards, _ = auroc(-foreign, -own)
    assert backwards == pytest.approx(1 - area, abs=1e-12)


def test_scores_that_tell_all_apart_have_area_one():
    assert auroc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == (1, 0)


def test_the_standard_error_is_the_spread_over_draws():
    areas, errors = np.array(
        [auroc(RNG.normal(size=60) + 1, RNG.normal(size=90)) for _ in range(2000)]
    ).T
    # The deviation of 2000 has a relative error of 1.6 %: five of those, and the bias below 1 %.
    assert errors.mean() == pytest.approx(areas.std(), rel=0.09)


def test_complexity_is_the_size_of_the_file():
    images = RNG.integers(0, 256, (3, 9, 7, 1), np.uint8)
    images[1] = 80
    found = complexity(images)
    for image, bits in zip(images, found, strict=True):
        file = io.BytesIO()
        Image.fromarray(image[..., 0], "L").save(file, format="PNG", optimize=True)
        assert bits == 8 * len(file.getvalue())
    assert found[1] < found[0] / 1.3
    colours = np.repeat(images, 3, axis=-1)
    assert complexity(colours).shape == (3,)


def test_what_has_no_order_or_no_picture_is_refused():
    with pytest.raises(ValueError, match="own: expected at least 2, got 0"):
        auroc(np.zeros(3), np.zeros(0))
    with pytest.raises(ValueError, match="foreign: expected finite numbers"):
        auroc(np.array([np.nan]), np.zeros(2))
    with pytest.raises(ValueError, match=r"images: expected bytes \(uint8\), got dtype int32"):
        complexity(np.zeros((1, 4, 4, 1), np.int32))
    with pytest.raises(ValueError, match="images: expected 1 or 3 channels, got 2"):
        complexity(np.zeros((1, 4, 4, 2), np.uint8))
