"""Pairs of torch networks by name with data and one minibatch, and what torch's allocator says of memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import odegan
from odegan import nets
from odegan.nets import MLP, dcgan, digits

PAIRS: dict[str, tuple[Callable[[], tuple[nn.Module, nn.Module]], tuple[int, ...], int]] = {
    "mog16": (nets.mog16, (2,), 32),
    "digits": (lambda: (digits.Generator(), digits.Discriminator()), (1, 8, 8), 16),
    "dcgan32": (lambda: (dcgan.Generator(), dcgan.Discriminator()), (3, 32, 32), 128),
}
STEP_SIZES = {"mog16": 0.1, "digits": 0.05, "dcgan32": 0.01}
BETAS = (0.5, 0.999)
EPS_OF_CHECK = (
    1.0  # Adam's first step is lr sign(g), which rounding turns about where g is nearly 0; not with a large eps
)


def pair(case: str, device: str = "cpu") -> tuple[nn.Module, nn.Module]:
    """(generator, discriminator), the same ones at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator, discriminator = PAIRS[case][0]()
    return generator.to(device), discriminator.to(device)


def samples(case: str, batch: int, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(data, one minibatch of it, its latents)."""
    _, shape, latent = PAIRS[case]
    source = torch.Generator().manual_seed(0)
    data = torch.randn(max(256, 4 * batch), *shape, generator=source).to(device)
    return data, data[:batch].clone(), torch.randn(batch, latent, generator=source).to(device)


def game(
    case: str, batch: int, device: str = "cpu", half: bool = False, channels_last: bool = False
) -> tuple[odegan.Game, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The game of a pair, data, and one minibatch (real, latent); half: products and convolutions in bf16."""
    made = odegan.gan(*pair(case, device), autocast=torch.bfloat16 if half else None, channels_last=channels_last)
    return made, *samples(case, batch, device)


def connected(width: int, batch: int, device: str = "cpu") -> tuple[odegan.Game, torch.Tensor, torch.Tensor]:
    """Networks 16-w-w-2 and 2-w-w-1, and one minibatch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = odegan.gan(MLP((16, width, width, 2)).to(device), MLP((2, width, width, 1)).to(device))
    source = torch.Generator().manual_seed(0)
    real, latent = (torch.randn(batch, n, generator=source).to(device) for n in (2, 16))
    return made, real, latent


def peak_memory(function: Callable[[], Any], arrays: bool = False) -> int:
    """Most bytes that torch's allocator had out at a time in one call, beyond those before; with ``arrays`` also numpy's most,
    which need not have been at the same time.
    """
    if arrays:
        tracemalloc.start()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        kept = function()
        arrays_most = tracemalloc.get_traced_memory()[1] if arrays else 0  # before the profiler's own lists
    most = 0
    now = 0
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    if arrays:
        tracemalloc.stop()
    del kept
    return most + arrays_most


def operations_of_step(case: str, batch: int, penalty: str) -> int:
    """Floating-point operations of the matrix products and convolutions of one RK4 step, by torch's counter."""
    made, _, real, latent = game(case, batch)
    penalties = [odegan.penalties.parse(penalty)] if penalty else []
    stepper = odegan.Stepper(
        made, solver="rk4_classic", step_size=0.01, penalties=penalties, placement="after_step" if penalty else "field"
    )
    # The first step also tries the field out.
    state, _ = stepper.step(stepper.init(made.init()), (real, latent))
    with FlopCounterMode(display=False) as counter:
        stepper.step(state, (real, latent))
    return counter.get_total_flops()
