"""Networks that the experiments share, as ``nn.Module`` classes that need only torch.

A network whose initialization is not torch's default has ``reset_parameters()``, which draws every parameter and buffer again.
To initialize a network, call ``reset_parameters()`` of the children before that of their parents.
"""

from odegan.nets import clc_resnet, conditional, conv4, dcgan, dcgan4, digits, odegan_resnet, resnet, sngan
from odegan.nets.init import glorot_uniform_, truncated_normal_
from odegan.nets.mlp import MLP, mog16
from odegan.nets.network import Network
from odegan.nets.table import Pair, get, names

__all__ = [
    "MLP",
    "Network",
    "Pair",
    "clc_resnet",
    "conditional",
    "conv4",
    "dcgan",
    "dcgan4",
    "digits",
    "get",
    "glorot_uniform_",
    "mog16",
    "names",
    "odegan_resnet",
    "resnet",
    "sngan",
    "truncated_normal_",
]


def __dir__() -> list[str]:
    return __all__
