"""Modules whose structure tells that samples are not coupled: a probe finds no coupling either, and others are left to it."""

import pytest
import torch
from torch import nn

from odegan import nets
from odegan.modules.coupling import _couplings, _probed
from odegan.modules.forward import Execution
from odegan.modules.per_sample import _RULES, is_per_sample
from odegan.modules.pure_module import PureModule
from tests.modules.test_features_first import LEFT as CHANGED
from tests.modules.test_features_first import TAKEN as CHAINS

SIGNAL, IMAGE, VOLUME = (5, 2, 8), (5, 2, 8, 8), (5, 2, 4, 4, 4)
APART = {
    **{f"linear, {name}": (module, (5, next(module.parameters()).shape[1])) for name, module in CHAINS.items()},
    "a linear layer alone": (nn.Linear(3, 2), (5, 3)),
    "a linear layer over the last of several dimensions": (nn.Linear(8, 2), IMAGE),
    "in place": (nn.Sequential(nn.Linear(3, 2), nn.LeakyReLU(0.2, inplace=True)), (5, 3)),
    "one layer twice": (nn.Sequential(*[nn.Linear(3, 3)] * 2), (5, 3)),
    "ODE-GAN's critic": (nets.get("dcgan_gray_small").discriminator(), (5, 1, 32, 32)),
    "the digits' generator": (nets.get("digits").generator(16), (5, 16)),
    "the digits' critic": (nets.get("digits").discriminator(), (5, 1, 8, 8)),
    "sequences in sequence": (
        nn.Sequential(nn.Sequential(nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(2, 3, 5, 2)), nn.Tanh()),
        IMAGE,
    ),
    "padding": (
        nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(2, 3, 3), nn.ReplicationPad2d(1), nn.Conv2d(3, 1, 3)),
        IMAGE,
    ),
    "pooling": (
        nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(2, 3, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3, 1)),
        IMAGE,
    ),
    "norms of a sample": (nn.Sequential(nn.GroupNorm(2, 2), nn.LayerNorm((2, 8, 8)), nn.LayerNorm(8)), IMAGE),
    "shapes": (
        nn.Sequential(
            nn.Flatten(2), nn.Unflatten(-1, (4, 16)), nn.Flatten(1, 2), nn.Unflatten(1, (2, 4)), nn.Conv2d(2, 1, 3)
        ),
        IMAGE,
    ),
    "larger images": (nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 4, 3), nn.PixelShuffle(2)), IMAGE),
    "signals": (
        nn.Sequential(nn.ZeroPad1d(1), nn.Conv1d(2, 3, 3), nn.MaxPool1d(2), nn.ConvTranspose1d(3, 1, 2)),
        SIGNAL,
    ),
    "means of signals": (nn.Sequential(nn.AvgPool1d(2), nn.Conv1d(2, 1, 1), nn.AdaptiveAvgPool1d(2)), SIGNAL),
    "means of images": (nn.Sequential(nn.ConvTranspose2d(2, 3, 2), nn.AdaptiveAvgPool2d(2)), IMAGE),
    "volumes": (
        nn.Sequential(nn.ZeroPad3d(1), nn.Conv3d(2, 3, 3), nn.MaxPool3d(2), nn.ConvTranspose3d(3, 1, 2)),
        VOLUME,
    ),
    "means of volumes": (nn.Sequential(nn.AvgPool3d(2), nn.Conv3d(2, 1, 1), nn.AdaptiveAvgPool3d(1)), VOLUME),
}


@pytest.mark.parametrize("module, shape", APART.values(), ids=APART)
def test_a_probe_finds_no_coupling_where_structure_tells_of_none(module, shape):
    assert is_per_sample(module, len(shape))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    pure = PureModule(module, "discriminator", Execution())
    assert _probed(pure, pure.values, (x,), pure.plain_network, _couplings) is False


def test_every_layer_is_tried():
    tried = {type(part) for module, _ in APART.values() for part in module.modules()}
    assert _RULES.keys() <= tried


OWN_CALLS = (
    "a subclass",
    "a parametrization",
    "a hook",
    "a backward hook",
    "a call of its own",
    "layers of its own",
    "a layer with a call of its own",
)


def patched(layer, name, value):
    """The layer with an attribute that only a careful reader of instances sees."""
    object.__setattr__(layer, name, value) if isinstance(value, torch.Tensor) else setattr(layer, name, value)
    return nn.Sequential(layer, nn.Tanh())


def with_bias(bias):
    layer = nn.Linear(3, 2)
    layer.bias = bias
    return layer


class Watching(torch.Tensor):
    """A tensor whose products may mean anything."""


# Each of these mixes samples, or could.
UNKNOWN = {
    "the features of one vector": (nn.Linear(3, 2), 1),
    "one image": (nn.Conv2d(5, 3, 3), 3),
    "one image among layers": (nn.Sequential(nn.Tanh(), nn.MaxPool2d(2)), 3),
    "samples flattened": (nn.Sequential(nn.Flatten(0), nn.Linear(4, 1)), 2),
    "samples flattened with features": (nn.Flatten(0, 1), 3),
    "samples unflattened": (nn.Unflatten(0, (2, 2)), 2),
    "samples unflattened from behind": (nn.Unflatten(-2, (2, 2)), 2),
    "a norm of all dimensions": (nn.LayerNorm((5, 3)), 2),
    "batch norm": (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), 4),
    "a recurrence": (nn.RNN(4, 4), 2),
    "one image after a flattening": (nn.Sequential(nn.Flatten(1), nn.Unflatten(1, (2, 8)), nn.Conv2d(5, 1, 1)), 4),
    "nothing known": (nn.Sequential(nn.Linear(3, 3), nn.Softmax(0)), 2),
    "a patched inner method": (patched(nn.Conv2d(1, 2, 3), "_conv_forward", lambda x, w, b: x - x.mean(0)), 4),
    "padding over the batch": (nn.ZeroPad2d((0, 0, 0, 0, 0, 0, 1, -1)), 4),
    "padding of signals over the batch": (nn.ZeroPad1d((0, 0, 0, 0, 1, -1)), 3),
    "a bias per sample": (with_bias(nn.Parameter(torch.ones(5, 1))), 2),
    "a tensor beside the parameters": (patched(nn.Linear(3, 2), "weight", torch.ones(2, 3)), 2),
    "a weight of another class": (with_bias(nn.Parameter(torch.ones(2).as_subclass(Watching))), 2),
    **{name: (CHANGED[name], 2) for name in OWN_CALLS},
}


@pytest.mark.parametrize("module, dimensions", UNKNOWN.values(), ids=UNKNOWN)
def test_the_rest_is_left_to_the_probe(module, dimensions):
    assert not is_per_sample(module, dimensions)


@pytest.mark.parametrize(
    "kind, name", [(nn.Linear, "forward"), (nn.Conv2d, "_conv_forward"), (nn.LeakyReLU, "forward")]
)
def test_a_class_with_a_replaced_method_is_left_to_the_probe(kind, name, monkeypatch):
    layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.LeakyReLU(), nn.Linear(3, 3))
    assert is_per_sample(layers, 4)
    monkeypatch.setattr(kind, name, lambda self, *inputs: inputs[0] - inputs[0].mean(0))
    assert not is_per_sample(layers, 4)


def test_a_hook_on_all_modules_is_left_to_the_probe():
    handle = nn.modules.module.register_module_forward_hook(lambda module, inputs, output: output - output.mean(0))
    try:
        assert not is_per_sample(nn.Linear(3, 2), 2)
    finally:
        handle.remove()
