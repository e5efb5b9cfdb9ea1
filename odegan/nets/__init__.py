"""Networks that the experiments share, as plain ``nn.Module`` classes that need only torch.

A module whose initialisation is not torch's default defines ``reset_parameters()`` on its top class, which
draws every parameter and buffer afresh. Calling ``reset_parameters()`` of the children first and of the
parents last therefore initialises any of them.
"""

from odegan.nets import dcgan, digits
from odegan.nets.init import truncated_normal_
from odegan.nets.mlp import MLP, mog16

__all__ = ["MLP", "dcgan", "digits", "mog16", "truncated_normal_"]
