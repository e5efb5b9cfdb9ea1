"""Choose the statistics that a network's normalization uses, and estimate the running ones of an exported network."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

Inputs = tuple[torch.Tensor, ...]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def use_batch_statistics(module: nn.Module) -> nn.Module:
    """Make every norm of ``module`` in train mode use batch statistics and track none; return the module.

    A norm in eval mode keeps using its running statistics.
    """
    for norm in _norms(module):
        if norm.training:
            norm.track_running_stats = False
            for name in STATISTICS:
                # With its buffers in place torch would use them in eval mode, whatever track_running_stats says.
                setattr(norm, name, None)
    return module


def keep_unused(module: nn.Module) -> nn.Module:
    """Keep in ``state_dict()`` the statistics that ``use_batch_statistics`` will drop, and return the module.

    A state dict then loads into a module like the original.
    """
    for norm in _estimated(module):
        unused = {name: getattr(norm, name) for name in STATISTICS}
        norm.register_state_dict_post_hook(functools.partial(_with_unused, unused))
        norm.register_load_state_dict_pre_hook(_without_unused)
    return module


def _with_unused(
    unused: dict[str, torch.Tensor], norm: nn.Module, state: dict[str, torch.Tensor], prefix: str, metadata: object
) -> None:
    """Add the statistics that are not used to a state dict."""
    state.update({f"{prefix}{name}": value for name, value in unused.items()})


def _without_unused(norm: nn.Module, state: dict[str, torch.Tensor], prefix: str, *others: object) -> None:
    """Remove the unused statistics from a state dict that is being loaded."""
    for name in STATISTICS:
        state.pop(f"{prefix}{name}", None)


def tracking_norms(module: nn.Module) -> list[_NormBase]:
    """The norms in train mode that keep running statistics."""
    return [norm for norm in _norms(module) if norm.training and norm.track_running_stats]


def uses_batch_statistics(module: nn.Module) -> bool:
    """Whether a batch norm of ``module`` normalizes with batch statistics."""
    norms = (norm for norm in _norms(module) if isinstance(norm, _BatchNorm))
    return any(norm.training or norm.running_mean is None for norm in norms)


def estimate_both(generator: nn.Module, discriminator: nn.Module, batches: Sequence[tuple[Inputs, Inputs]]) -> None:
    """Set the running statistics of norms in train mode to averages over batches ((real,), (latent,)), or with labels
    ((real, label), (latent, fake_label)).

    The discriminator's are averages over the real and the generated samples.
    """
    modes = {part: part.training for part in chain(generator.modules(), discriminator.modules())}
    # A discriminator without such norms needs no generated samples, and so no second set of outputs in memory.
    uses_running = any(_estimated(discriminator))
    fakes = _estimate(generator, [latent for _, latent in batches], keep=uses_running)
    if uses_running:
        pairs = zip(batches, fakes, strict=True)
        seen = [x for (real, (_, *label)), fake in pairs for x in (real, (fake, *label))]
        _estimate(discriminator, seen)
    for part, mode in modes.items():
        part.training = mode


@torch.no_grad()
def _estimate(module: nn.Module, inputs: Sequence[Inputs], keep: bool = False) -> list[torch.Tensor]:
    """Average the statistics over the inputs with equal weights; return the outputs if ``keep``."""
    norms = list(_estimated(module))
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # equal weights
    outputs = []
    for x in inputs:
        out = module(*x)
        if keep:
            outputs.append(out)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return outputs


def _estimated(module: nn.Module) -> Iterator[_NormBase]:
    return (norm for norm in _norms(module) if norm.training and norm.running_mean is not None)


def _norms(module: nn.Module) -> Iterator[_NormBase]:
    return (part for part in module.modules() if isinstance(part, _NormBase))
