"""Networks whose spectra are computed."""

import torch

import odegan
from tests.peers import networks

D = torch.float64


# Matrix-free.
GENERATOR, DISCRIMINATOR = networks(width=16)
NETWORK = odegan.gan(GENERATOR, DISCRIMINATOR)
