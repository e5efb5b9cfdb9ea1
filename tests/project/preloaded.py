"""Imports of the process that scripts are forked from."""

import os

os.environ["MPLBACKEND"] = "Agg"

import torch
import torch._dynamo
import torchdiffeq  # noqa: F401

import odegan

torch.set_num_threads(1)
for name in odegan.__all__:  # each is imported at its first use
    getattr(odegan, name)
