"""Feature extractors: Inception, or any network or function."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from odegan.metrics.inception import RESIZE, inception
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_int
from odegan.utils.fingerprint import describe

Features = Tensor | tuple[Tensor, Tensor]  # (n, d), or with logits (n, classes)
FeatureMap = Callable[[Tensor], Features]


@dataclass(frozen=True)
class Extractor:
    """``extractor(images) -> (features (n, d), logits (n, classes) or None)``. Made by ``find_extractor``."""

    name: str
    resize: str
    network: FeatureMap
    device: torch.device

    @unaffected
    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features of images (n, C, H, W) in [-1, 1], by the network in evaluation mode."""
        with _evaluation_mode(self.network):
            found = self.network(images.to(self.device))
        features, logits = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
        for name, rows in {"features": features, "logits": logits}.items():
            if rows is None and name == "logits":
                continue
            if not isinstance(rows, Tensor) or rows.dim() != 2 or len(rows) != len(images):
                argument_error("extractor", rows, f"a function to {name} (n, d), one row for each image")
        return features, logits

    def fingerprint(self) -> list[object]:
        """Name, resize, and the function, or the network with all parameters and buffers, for caches."""
        state = describe(self.network.state_dict()) if isinstance(self.network, nn.Module) else None
        return [self.name, self.resize, describe(self.network), state]


Spec = str | os.PathLike[str] | FeatureMap | Extractor


@unaffected
def find_extractor(spec: Spec, device: torch.device | str | None = None) -> Extractor:
    """The extractor for the ``extractor`` argument of ``scores``.

    Args:
        spec: "inception", which downloads the weights; a path to these weights; a network or function from images (n, C, H, W)
            in [-1, 1] to features (n, d), or to a pair (features, logits (n, classes)); or an ``Extractor``, to give a name and
            a resize.
        device: where it runs; None: the device of a network's parameters, and the CPU for functions and Inception.

    Raises:
        ArgumentError: anything else; or torch-fidelity or Inception's weights are not available.
    """
    # A string is "inception" or a path: a network's name alone would not say which weights.
    if isinstance(spec, str | os.PathLike):
        network = inception(None if spec == "inception" else spec)
        where = _device("cpu" if device is None else device)
        return Extractor("Inception 2015-12-05", RESIZE, network.to(where), where)
    if isinstance(spec, Extractor):
        return spec
    if not callable(spec):
        argument_error("extractor", spec, "'inception', a path to its weights, or a function from images to features")
    if device is None:
        parameter = next(spec.parameters(), None) if isinstance(spec, nn.Module) else None
        device = "cpu" if parameter is None else parameter.device
    name = getattr(spec, "__qualname__", type(spec).__name__)
    return Extractor(name, "none", spec, _device(device))


def _device(name: torch.device | str) -> torch.device:
    try:
        return torch.device(name)
    except (RuntimeError, TypeError):
        argument_error("device", name, "a device of torch, such as cpu")


@unaffected
@torch.no_grad()
def extract_features(features: nn.Module, images: Tensor, batch_size: int = 512) -> Tensor:
    """The ``features`` (n, d) of images (n, ...), by a module in evaluation mode, ``batch_size`` images at a time, as float64.

    The module runs in its own dtype, and the mode of every submodule is restored.

    Examples:
        >>> extract_features(nn.Flatten(), torch.ones(5, 1, 2, 2)).shape
        torch.Size([5, 4])
    """
    if not isinstance(images, Tensor) or len(images) == 0:
        argument_error("images", images, "a tensor of at least one image")
    check_int("batch_size", batch_size, low=1)
    with _evaluation_mode(features):
        out = torch.cat([features(batch).double() for batch in images.split(batch_size)])
    if out.dim() != 2:
        argument_error("features", out, "a module that returns (n, d), one row for each image")
    return out


@contextlib.contextmanager
def _evaluation_mode(network: FeatureMap) -> Iterator[None]:
    """Put a module in evaluation mode, and restore the mode of every submodule on exit."""
    # The mode of each part: a user may have frozen a norm in evaluation mode on purpose.
    modes = {part: part.training for part in network.modules()} if isinstance(network, nn.Module) else {}
    for part in modes:
        part.training = False
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
