"""What can be found out about modules by running them once, before a run starts."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from odegan.modules.pure_module import PureModule
from odegan.utils.checks import ArgumentError, fail, one_line, whole

PROBED = 4  # samples of a batch that are looked at


def latent_shape(generator: nn.Module, latent: int | tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The shape of one latent: the given one, or what the generator's first layer takes; None where that does not tell."""
    if latent is not None:
        return tuple(whole("latent", n, low=1) for n in (latent if isinstance(latent, tuple | list) else (latent,)))
    for part in generator.modules():
        if isinstance(part, nn.Linear):
            return (part.in_features,)
        if isinstance(part, nn.ConvTranspose2d):
            return (part.in_channels, 1, 1)
        if next(iter(part.parameters(recurse=False)), None) is not None:
            return None
    return None


@torch.no_grad()
def run_purely(module: PureModule, theta: torch.Tensor, x: torch.Tensor, name: str) -> torch.Tensor:
    """module(theta, x), refused when it cannot take x (the argument ``name``), draws random numbers or writes to a buffer."""
    constants = module.constants(theta.device, theta.dtype)
    before = {n: t.clone() for n, t in constants.items()}
    with torch.random.fork_rng([x.device] if x.is_cuda else []):
        random_state = _random_state(x)
        try:
            out, again = module(theta, x), module(theta, x)
        except ArgumentError:
            raise
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            fail(name, x, f"what the {module.role} takes ({one_line(error)})")
        drawn = not torch.equal(random_state, _random_state(x))
    if not isinstance(out, torch.Tensor):
        fail(module.role, f"a {type(out).__name__} from its forward pass", "a module that returns one tensor")
    if drawn:
        raise ArgumentError(f"{module.role}: its forward pass draws random numbers; it must be a function of its input")
    for name, value in before.items():
        if not torch.equal(value, constants[name]):
            constants[name].copy_(value)
            raise ArgumentError(f"{module.role}: its forward pass writes to the buffer {name!r}; it must not")
    if not torch.equal(torch.nan_to_num(out), torch.nan_to_num(again)):
        raise ArgumentError(
            f"{module.role}: two forward passes of one input differ; it must be a function of its input"
        )
    return out


def a_few(batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The first real samples and latents of a batch; refused where it is not a pair of as many of both."""
    if batch is None:
        raise ArgumentError("data: got None; a game of networks needs data and latents")
    real, latent = batch[0], batch[1]
    if not (isinstance(real, torch.Tensor) and isinstance(latent, torch.Tensor)):
        fail("batch", f"({type(real).__name__}, {type(latent).__name__})", "a pair of tensors (real, latent)")
    if real.shape[:1] != latent.shape[:1]:
        raise ArgumentError(
            f"batch: got {len(real)} real samples and {len(latent)} latents; it must have as many of both"
        )
    return real[:PROBED], latent[:PROBED]


def samples_like(real: torch.Tensor, generator: PureModule, theta: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
    """The generator's samples, refused where they have not the shape of the real ones."""
    fake = run_purely(generator, theta, latent, "latent")
    if fake.shape != real.shape:
        raise ArgumentError(
            f"data: got samples of shape {tuple(real.shape[1:])}; they must have the generator's {tuple(fake.shape[1:])}"
            if fake.shape[:1] == real.shape[:1]
            else f"generator: got {tuple(fake.shape)} from {tuple(latent.shape)}; its first dimension must be the batch's"
        )
    return fake


def _random_state(like: torch.Tensor) -> torch.Tensor:
    """The states of the global generators that a forward pass on this device may draw from."""
    cpu = torch.get_rng_state()
    return torch.cat([cpu, torch.cuda.get_rng_state(like.device)]) if like.is_cuda else cpu


@torch.no_grad()
def couples(module: PureModule, theta: torch.Tensor, x: torch.Tensor) -> bool:
    """Whether a sample's output depends on the others of its batch: the module of a concatenation differs from the
    concatenation of the module's values, or fails on a part.
    """
    x = x[:PROBED]
    whole_batch = module(theta, x)
    if len(x) < 2 or not torch.isfinite(whole_batch).all():
        return False
    try:
        parts = torch.cat([module(theta, x[:1]), module(theta, x[1:])])
    except (RuntimeError, IndexError, ValueError, TypeError):
        return True
    tolerance = 100 * torch.finfo(x.dtype).eps * (1 + whole_batch.abs().max().item())
    return parts.shape != whole_batch.shape or not torch.allclose(parts, whole_batch, rtol=1e-3, atol=tolerance)
