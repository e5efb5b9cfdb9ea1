"""Labels: whether two networks take them, which ones a batch has, and which ones to draw samples of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import nn

from odegan.games.batch import Batch
from odegan.utils.ambient import transforms_around
from odegan.utils.checks import ArgumentError, argument_error
from odegan.utils.warn import warn

Label = int | Sequence[int] | torch.Tensor | None
Forward = Callable[..., torch.Tensor]


class LabeledForward(Protocol):
    """A function of samples (n, ...) and their labels (n,); networks that are not conditional ignore the labels."""

    def __call__(self, x: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor: ...


def needed_inputs(module: nn.Module) -> int:
    """The number of positional arguments without defaults in the signature of a module's forward pass.

    Examples:
        >>> needed_inputs(nn.Linear(2, 3)), needed_inputs(nn.Bilinear(2, 2, 3)), needed_inputs(nn.LSTM(2, 3))
        (1, 2, 1)
    """
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    return sum(one.kind in positional and one.default is one.empty for one in parameters)


def conditioned(conditional: bool | None, generator: nn.Module, discriminator: nn.Module) -> bool:
    """Whether the networks are called with labels: as ``conditional`` says, or, if it is None, whether both need two inputs.

    Raises:
        ArgumentError: one of them cannot be called that way, or one needs two inputs and the other does not.
    """
    if conditional not in (True, False, None):
        argument_error("conditional", conditional, "True, False, or None: inferred from the networks' signatures")
    roles = {"generator": generator, "discriminator": discriminator}
    # Exactly two: a forward pass that needs more cannot be called with (x, label).
    needs = {role: needed_inputs(module) == 2 for role, module in roles.items()}
    if conditional is None and len(set(needs.values())) > 1:
        one, other = sorted(roles, key=lambda role: not needs[role])
        remedy = "give conditional=True" if may_take_labels(roles[other]) else f"wrap the {other} in odegan.with_labels"
        raise ArgumentError(
            f"conditional: got a {one} that needs two inputs and a {other} that does not; both must take (x, label): {remedy}"
        )
    chosen = all(needs.values()) if conditional is None else conditional
    for role, module in roles.items() if chosen else ():
        try:
            # Only the signature: a trial call needs samples, which are not known yet.
            inspect.signature(module.forward).bind(None, None)
        except TypeError:
            raise ArgumentError(
                f"conditional: got True with a {role} that does not take two inputs; it must take (x, label): wrap it in "
                "odegan.with_labels"
            ) from None
    return chosen


def may_take_labels(*modules: nn.Module) -> bool:
    """Whether each forward pass can be given a second input, which is None by default.

    Examples:
        >>> may_take_labels(nn.MultiheadAttention(4, 1)), may_take_labels(nn.Linear(2, 3))
        (False, False)
    """
    return all(_second_default(module) is None for module in modules)


def _second_default(module: nn.Module) -> object:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    taken = [one for one in inspect.signature(module.forward).parameters.values() if one.kind in positional]
    return taken[1].default if len(taken) > 1 else inspect.Parameter.empty


def note_unused(game: object, labeled: bool) -> None:
    """Warn if samples have labels that the game's networks could take, but are not given."""
    if labeled and getattr(game, "could_take_labels", False):
        warn(
            "conditional: got None with networks whose second input is optional, and samples with labels; it must be True to "
            "use the labels, or False to do without"
        )


def labels_of(batch: Batch | None) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The labels of the real and of the generated samples of a batch, whole numbers as int64; None if it has no labels."""
    if batch is None or (batch.label is None and batch.fake_label is None):
        return None, None
    label = _as_indices(batch.label)
    return label, label if batch.fake_label is None else _as_indices(batch.fake_label)


def _as_indices(label: torch.Tensor | None) -> torch.Tensor | None:
    # Embeddings take no labels of 8 or 16 bits, one-hot rows none but those of 64.
    return label.long() if isinstance(label, torch.Tensor) and _are_whole(label) else label


def _are_whole(x: torch.Tensor) -> bool:
    return not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool)


def check_labels(batch: Batch, classes: int | None = None) -> None:
    """Refuse a batch that does not have a class as the label of each sample: a whole number from 0 to classes - 1.

    Numbers are looked at where they are there to be seen: not under ``torch.vmap`` or a compiler, nor on an accelerator.
    """
    label, fake_label = labels_of(batch)
    if label is None:
        raise ArgumentError(
            "batch.label: got None; a class-conditional game needs the samples' classes: odegan.Batch(real, latent, "
            "label=...), or data as pairs (sample, label)"
        )
    for name, part, samples in (("label", label, batch.real), ("fake_label", fake_label, batch.latent)):
        found = check_label(f"batch.{name}", part, len(samples))
        seen = found.device.type == "cpu" and not torch.compiler.is_compiling() and not transforms_around()
        if seen:
            check_classes(f"batch.{name}", found, classes)


def check_label(name: str, label: object, n: int) -> torch.Tensor:
    """Return ``label`` if it is a tensor of n whole numbers."""
    if not isinstance(label, torch.Tensor) or not _are_whole(label) or label.shape != (n,):
        argument_error(name, label, f"a tensor of whole numbers, of shape ({n},)")
    return label


def check_classes(name: str, label: torch.Tensor, classes: int | None = None) -> None:
    """Refuse labels below 0, which count from the end of a table of parameters, or above the last class, if that is known."""
    if not label.numel():
        return
    low, high = (int(one) for one in label.aminmax())
    if low < 0:
        argument_error(name, low, "whole numbers from 0, one class for each sample")
    if classes is not None and high >= classes:
        argument_error(name, high, f"classes from 0 to {classes - 1}, which the networks take")


def labels_to_draw(label: Label, n: int, classes: int | None, like: torch.Tensor) -> torch.Tensor:
    """The labels (n,) of samples to draw: one class for all, or one for each; None: all classes in turn.

    Raises:
        ArgumentError: ``label`` is None and the number of classes is unknown, or it contains something that is not a class.
    """
    if label is None:
        if classes is None:
            argument_error(
                "label",
                None,
                "a class, or a tensor with one class per sample: the number of classes cannot be inferred",
            )
        # In turn, not at random: every class appears equally often, whatever the seed.
        return torch.arange(n, device=like.device) % classes
    labels = check_label("label", _one_each(label, n), n)
    if classes is None:
        check_classes("label", labels)
    elif not bool(((labels >= 0) & (labels < classes)).all()):
        argument_error("label", sorted(set(labels.tolist())), f"classes from 0 to {classes - 1}")
    return labels.to(like.device, torch.int64)


def _one_each(label: Label, n: int) -> object:
    """The labels of n samples: those given, or one class n times. What is no array of numbers is left for ``check_label``."""
    try:
        found = torch.as_tensor(label)
    except (TypeError, ValueError, RuntimeError):
        return label
    return label if found.dtype == torch.bool else found.expand(n) if found.ndim == 0 else found


def on_labels(forward: Forward, role: str, conditional: bool) -> LabeledForward:
    """A network's forward pass as a function of (x, label); if the game is not conditional, the label is ignored.

    Raises:
        ArgumentError: on a call without a label in a conditional game.
    """
    if not conditional:
        return lambda x, label=None: forward(x)

    def call(x: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        if label is None:
            raise ArgumentError(
                f"label: got None; the {role} of a class-conditional game takes the labels of its samples"
            )
        return forward(x, label)

    return call
