"""The papers' initializations: ODE-GAN's truncated normal, as in Sonnet, and Glorot's uniform, as in slim and Chainer."""

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrize

from odegan.utils.checks import argument_error, check_number


def _fan_in(layer: nn.Linear | _ConvNd, weight: Tensor) -> int:
    """The number of inputs per output; for a transposed convolution input channels x kernel area, whatever the stride."""
    if isinstance(layer, _ConvTransposeNd):
        # torch stores a transposed convolution's weight as (in, out / groups, kernel), with the input channels first.
        return weight.shape[0] // layer.groups * math.prod(weight.shape[2:])
    return weight[0].numel()


@torch.no_grad()
def truncated_normal_(module: nn.Module) -> nn.Module:
    """Draw every weight in ``module`` from N(0, s^2) truncated at +-2 s with s = 1/sqrt(fan_in); biases become 0.

    s is the standard deviation *before* the truncation, so that of the weights is 0.8796 s.
    The fan-in is that of Sonnet: in_features for a linear layer, input channels x kernel area for a
    convolution and also for a transposed one (whose outputs see fewer inputs when the stride exceeds 1).
    Batch normalization gets scale 1, shift 0 and fresh running statistics. Draws come from torch's global
    generator, in ``module.modules()`` order.

    Args:
        module: of linear, convolutional, transposed convolutional and batch normalization layers, and any
            layers without parameters. Others (also reparametrized ones, as with spectral norm) are refused.

    Returns:
        ``module`` itself, changed in place.

    Source: Qin et al. 2020 (ODE-GAN), the authors' public programs; Sonnet's default initializers.

    Examples:
        >>> layer = truncated_normal_(nn.Linear(4, 2))
        >>> bool(layer.weight.abs().max() <= 1), float(layer.bias.detach().abs().max())
        (True, 0.0)
    """
    _check_module(module)
    for name, layer in module.named_modules():
        own = dict(layer.named_parameters(recurse=False))
        # A reparametrized layer fails this: its weight is computed at each use, and drawing it would have no effect.
        if isinstance(layer, nn.Linear | _ConvNd) and set(own) <= {"weight", "bias"} and "weight" in own:
            # Cut at two deviations without correcting the deviation for it, as Sonnet does.
            std = _fan_in(layer, own["weight"]) ** -0.5
            nn.init.trunc_normal_(own["weight"], std=std, a=-2 * std, b=2 * std)
            if "bias" in own:
                own["bias"].zero_()
        elif isinstance(layer, _BatchNorm):
            layer.reset_parameters()
        elif own:
            got = f"layer {name!r}, {type(layer).__name__}, with {', '.join(sorted(own))}"
            argument_error(
                "module", got, "made of Linear, Conv, ConvTranspose and BatchNorm with plain weight and bias"
            )
    return module


@torch.no_grad()
def glorot_uniform_(module: nn.Module, gain: float = 1.0) -> nn.Module:
    """Draw every weight in ``module`` from U(-a, a) with a = gain sqrt(6 / (fan_in + fan_out)); biases become 0.

    fan_in and fan_out are input and output channels times the kernel's area, at any stride, so that a transposed
    convolution has the same a as its adjoint. Batch normalization gets scale 1, shift 0 and fresh running statistics. Draws
    come from torch's global generator, in ``module.modules()`` order.

    Args:
        module: of linear, convolutional, transposed convolutional and batch normalization layers, embeddings (linear maps of
            one-hot vectors), and any layers without parameters. For a spectrally normalized weight, the unnormalized weight is
            drawn.
        gain: 1; sqrt(2) in SN-GAN's residual branches.

    Returns:
        ``module`` itself, changed in place.

    Source: Glorot and Bengio 2010, "Understanding the Difficulty of Training Deep Feedforward Neural Networks".

    Examples:
        >>> layer = glorot_uniform_(nn.Linear(3, 3))
        >>> bool(layer.weight.abs().max() <= 1), float(layer.bias.detach().abs().max())
        (True, 0.0)
    """
    _check_module(module)
    check_number("gain", gain, low=0.0)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | _ConvNd | nn.Embedding):
            # Writing the normalized weight would have no effect: it is computed from the original at each use.
            normalized = parametrize.is_parametrized(layer, "weight")
            weight = layer.parametrizations.weight.original if normalized else layer.weight  # type: ignore[union-attr]
            nn.init.xavier_uniform_(weight, gain)  # type: ignore[arg-type]
            if getattr(layer, "bias", None) is not None:
                layer.bias.zero_()  # type: ignore[union-attr, operator]
        elif isinstance(layer, _BatchNorm):
            layer.reset_parameters()
    return module


def _check_module(module: nn.Module) -> None:
    if not isinstance(module, nn.Module):
        argument_error("module", module, "a torch.nn.Module")
