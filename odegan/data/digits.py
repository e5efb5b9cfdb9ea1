"""``load_digits``: scikit-learn's handwritten digits."""

import torch
from einops import rearrange
from torch import Tensor


def load_digits() -> tuple[Tensor, Tensor]:
    """Images (1797, 1, 8, 8) float32 in [-1, 1] and labels (1797,) int64, from scikit-learn's own files.

    The 17 gray levels g = 0..16 become g/8 - 1. These are the test digits of the UCI set "Optical Recognition
    of Handwritten Digits" (Alpaydin and Kaynak 1998).

    Examples:
        >>> images, labels = load_digits()
        >>> images.shape, labels[:3]
        (torch.Size([1797, 1, 8, 8]), tensor([0, 1, 2]))
    """
    from sklearn.datasets import load_digits as sklearn_digits

    data = sklearn_digits()
    levels = torch.as_tensor(data.images, dtype=torch.float32)
    return rearrange(levels, "n h w -> n 1 h w") / 8 - 1, torch.as_tensor(data.target, dtype=torch.int64)
