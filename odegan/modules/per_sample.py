"""Recognize modules whose structure alone tells that each sample of a batch is computed from that sample only."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from odegan.modules.linear_chain import ELEMENTWISE
from odegan.modules.sequence import only_calls_layers, runs_as_torch

# Layer, number of dimensions of its input -> that of its output; None if the layer could mix samples, or torch refuses it.
Dimensions = Callable[[nn.Module, int], int | None]


def is_per_sample(module: nn.Module, dimensions: int) -> bool:
    """Whether a module is a sequence of torch's own layers that treat every sample alone, and nothing changes its calls.

    Args:
        module: to look at; it does not run.
        dimensions: number of dimensions of its input, including that of the batch.

    Examples:
        >>> layers = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 1))
        >>> is_per_sample(layers, 4)
        True
        >>> is_per_sample(layers, 3)  # one image without a batch
        False
        >>> is_per_sample(nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)), 4)
        False
    """
    return runs_as_torch(module) and _after(module, dimensions) is not None


def _after(module: nn.Module, dimensions: int) -> int | None:
    """The number of dimensions of the output, None if samples could be mixed."""
    if not only_calls_layers(module):
        # The exact class: a parametrized layer has a class of its own, and so has a user's variant.
        rule = _RULES.get(type(module))
        return None if rule is None else rule(module, dimensions)
    found: int | None = dimensions
    for layer in module._modules.values():
        if found is None or layer is None:
            return None
        found = _after(layer, found)
    return found


def _exactly(dimensions: int) -> Dimensions:
    """The rule of a layer for batches of so many dimensions; with one fewer, it would take the samples for channels."""

    def rule(layer: nn.Module, given: int) -> int | None:
        # A padding may have two numbers for each dimension, that of the batch included.
        padding = getattr(layer, "padding", ())
        fits = not isinstance(padding, tuple) or len(padding) <= 2 * (dimensions - 2)
        return given if given == dimensions and fits and _has_its_bias(layer) else None

    return rule


def _linear(layer: nn.Module, dimensions: int) -> int | None:
    # Of one dimension the batch itself would be the features.
    return dimensions if dimensions > 1 and _has_its_bias(layer) else None


def _has_its_bias(layer: nn.Module) -> bool:
    """Whether its bias has one number per feature, and so none per sample."""
    bias = getattr(layer, "bias", None)
    return not isinstance(bias, Tensor) or bias.ndim == 1


def _elementwise(layer: nn.Module, dimensions: int) -> int | None:
    return dimensions


def _flatten(layer: nn.Module, dimensions: int) -> int | None:
    assert isinstance(layer, nn.Flatten)
    start, end = (d % dimensions for d in (layer.start_dim, layer.end_dim))
    return dimensions - (end - start) if 1 <= start <= end else None


def _unflatten(layer: nn.Module, dimensions: int) -> int | None:
    assert isinstance(layer, nn.Unflatten)
    if not isinstance(layer.dim, int) or layer.dim % dimensions == 0:
        return None
    return dimensions + len(layer.unflattened_size) - 1


def _layer_norm(layer: nn.Module, dimensions: int) -> int | None:
    assert isinstance(layer, nn.LayerNorm)
    return dimensions if len(layer.normalized_shape) < dimensions else None


# By the dimensions of a batch of signals, images and volumes.
_SPATIAL: Mapping[int, tuple[type[nn.Module], ...]] = {
    3: (nn.Conv1d, nn.ConvTranspose1d, nn.AvgPool1d, nn.MaxPool1d, nn.AdaptiveAvgPool1d, nn.ZeroPad1d),
    4: (
        nn.Conv2d,
        nn.ConvTranspose2d,
        nn.AvgPool2d,
        nn.MaxPool2d,
        nn.AdaptiveAvgPool2d,
        nn.ZeroPad2d,
        nn.ReflectionPad2d,
        nn.ReplicationPad2d,
        nn.Upsample,
        nn.PixelShuffle,
        nn.GroupNorm,
    ),
    5: (nn.Conv3d, nn.ConvTranspose3d, nn.AvgPool3d, nn.MaxPool3d, nn.AdaptiveAvgPool3d, nn.ZeroPad3d),
}
_RULES: Mapping[type[nn.Module], Dimensions] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **{kind: _exactly(dimensions) for dimensions, kinds in _SPATIAL.items() for kind in kinds},
    nn.Linear: _linear,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    nn.LayerNorm: _layer_norm,
}
