"""Scikit-learn's digits."""

import torch

from odegan.data import load_digits


def test_digits():
    images, labels = load_digits()
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.float32
    assert (images.min(), images.max()) == (-1, 1)
    assert labels.shape == (1797,)
    assert labels.unique().tolist() == list(range(10))
