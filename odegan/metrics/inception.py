"""Inception's features by torch-fidelity: TensorFlow's network of 2015-12-05, with TensorFlow 1's input resize.

torch-fidelity (``pip install 'odegan[fidelity]'``) is imported only when a network is made. The FID, KID and Inception Score of
the literature use this network.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn

from odegan.utils.ambient import unaffected
from odegan.utils.checks import ArgumentError, argument_error, one_line

# TensorFlow's weights as torch-fidelity converted them; the hexadecimal digits begin the file's SHA-256.
WEIGHTS = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
SIZE = 299
RESIZE = f"8-bit levels, TensorFlow 1 bilinear to {SIZE} x {SIZE} (corners not aligned, not antialiased)"
FEATURES = ["2048", "logits_unbiased"]  # torch-fidelity's names of the two outputs


class Inception(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] -> pool features (B, 2048), and logits (B, 1008) without the last bias.

    Images are first rounded to 8-bit levels, since those of the literature come from files. The logits leave out the bias, as
    for the Inception Score of the literature. Both outputs are nan for an image with a nan.

    Args:
        network: torch-fidelity's extractor, which maps 8-bit levels (B, 3, H, W) to both outputs.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision"; the frozen graph of 2015-12-05.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, 2048), (B, 1008)."""
        if images.dim() != 4 or images.shape[1] != 3:
            argument_error("images", images, "of shape (n, 3, height, width) for Inception")
        # The conversion to 8 bits would hide nan.
        lost = rearrange(images.isnan(), "image channel row column -> image (channel row column)").any(1, keepdim=True)
        # round, then clamp: -1 and 1 become 0 and 255, and a generator's values beyond them do too.
        levels = ((images.float() + 1) * 127.5).nan_to_num(nan=0.0).round().clamp(0, 255)
        features, logits = self.network(levels.to(torch.uint8))
        return features.masked_fill(lost, torch.nan), logits.masked_fill(lost, torch.nan)


@unaffected
def inception(weights: str | os.PathLike[str] | None = None) -> Inception:
    """The network in evaluation mode.

    Args:
        weights: a local copy of the file ``WEIGHTS``; None: download it to torch.hub's folder unless it is there.

    Raises:
        ArgumentError: torch-fidelity cannot be imported; the weights cannot be downloaded (the message says what to fetch); or
            the file is damaged or does not hold these weights.

    Examples:
        >>> try:
        ...     inception("no such file")
        ... except ArgumentError as error:
        ...     "no such file" in str(error)
        True
    """
    if weights is not None:
        _check_file(weights)
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, OSError, RuntimeError) as error:  # the last two arise if torchvision does not match torch
        raise ArgumentError(
            "extractor: Inception needs torch-fidelity, which does not import here "
            f"({one_line(error)}); pip install 'odegan[fidelity]'"
        ) from error
    if weights is None:
        _fetch()
    path = None if weights is None else os.fspath(weights)
    try:
        network = FeatureExtractorInceptionV3("inception", FEATURES, feature_extractor_weights_path=path)
    except (RuntimeError, TypeError, AttributeError) as error:  # as load_state_dict raises them
        argument_error("extractor", str(weights), f"the weights of {Path(WEIGHTS).name} ({one_line(error)})")
    return Inception(network).eval().requires_grad_(False)


def _check_file(path: str | os.PathLike[str]) -> None:
    """Refuse a file that ``weights_only`` cannot load, since torch-fidelity would unpickle anything in it."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else one_line(error)
        raise ArgumentError(f"extractor: got {os.fspath(path)!r}, which cannot be read ({reason})") from error


def _fetch() -> None:
    """Download the weights to where torch-fidelity looks for them, and check their hash, which torch-fidelity does not."""
    try:
        torch.hub.load_state_dict_from_url(WEIGHTS, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise ArgumentError(
            f"extractor: got 'inception', whose weights could not be fetched ({one_line(error)}); fetch {WEIGHTS} "
            "where there is a network, and give the file's path as extractor"
        ) from error
