"""Imports of the process that the tests' programs are forked from. Nothing is computed: threads would not survive a fork."""

import importlib
import os

os.environ["MPLBACKEND"] = "Agg"

import torch
import torch._dynamo
import torch.distributed
import torch.fx.experimental.symbolic_shapes  # what the first backward pass would import
import torchdiffeq  # noqa: F401

import odegan

torch.set_num_threads(1)
for name in odegan.__all__:  # each is imported at its first use
    getattr(odegan, name)
for library in ("matplotlib.figure", "tyro"):  # extras
    try:
        importlib.import_module(library)
    except ImportError:
        continue
