"""Networks that the experiments share, as plain ``nn.Module`` classes that need only torch.

A module whose initialization is not torch's default defines ``reset_parameters()`` on its top class, which
draws every parameter and buffer afresh. Calling ``reset_parameters()`` of the children first and of the
parents last therefore initializes any of them.
"""

from odegan.nets import clc_resnet, conv4, dcgan, dcgan4, digits, odegan_resnet, resnet, sngan
from odegan.nets.init import glorot_uniform_, truncated_normal_
from odegan.nets.mlp import MLP, mog16
from odegan.nets.table import Pair, get, names

__all__ = [
    "MLP",
    "Pair",
    "clc_resnet",
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
