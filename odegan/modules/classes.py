"""How many classes a class-conditional module takes: read off the embeddings that get its labels, or tried out."""

from __future__ import annotations

import math
import warnings
from contextlib import ExitStack, suppress
from typing import NamedTuple

import torch
from torch import nn

from odegan.modules.observed import Attributes, forked
from odegan.modules.pure_module import PureModule
from odegan.modules.validate import RAISED

FEW = 8  # samples with which labels are tried
MOST = 1024  # the largest number of classes that is looked for
ENDLESS = 16  # classes of a module that takes any number, as one that computes with the label itself


Call = tuple[str, int]  # the path of an embedding, and the number of its call in a forward pass


class Followed(NamedTuple):
    """The number of classes that embeddings of the labels tell, None if there are none; and the output, None if it failed."""

    classes: int | None
    output: torch.Tensor | None


@torch.no_grad()
def followed(module: PureModule, theta: torch.Tensor, x: torch.Tensor) -> Followed:
    """Follow the labels through a forward pass to the ``nn.Embedding``s that look them up, of which the shortest one counts.

    Which embeddings these are is seen from passes with one label each, in which their input is label + c, where c is what the
    module adds to its labels: with labels 0 and 1, and with the first one that is out of range, which a module may also clamp
    or reduce to another. Other embeddings, as of positions, get the same whatever the label. A pass that fails shows those that
    come before its failure.

    Args:
        module: takes (x, label).
        theta: (n,), its parameters.
        x: (B, ...), its input.
    """
    # On the CPU: on an accelerator a label out of range would abort the process.
    theta = theta.detach().cpu()
    x = x.detach().cpu()
    lookups, output = _lookups(module, theta, x, 0)
    after, _ = _lookups(module, theta, x, 1)
    tables = {path: part for path, part in module.skeleton.named_modules() if isinstance(part, nn.Embedding)}
    found = [
        (tables[call[0]].num_embeddings - c, call, c)
        for call, c in lookups.items()
        if c is not None and after.get(call) == c + 1
    ]
    # The shortest first: a label that one embedding knows and another does not is out of range there.
    for classes, call, c in sorted(found):
        beyond, _ = _lookups(module, theta, x, classes)
        if beyond.get(call) == classes + c:
            return Followed(classes, output)
    return Followed(None, output)


def _constant(x: torch.Tensor) -> int | None:
    """The whole number that all entries of a tensor are; None if they differ."""
    whole = x.numel() > 0 and not x.is_floating_point() and not x.is_complex()
    return int(x.min()) if whole and x.min() == x.max() else None


def _lookups(
    module: PureModule, theta: torch.Tensor, x: torch.Tensor, label: int
) -> tuple[dict[Call, int | None], torch.Tensor | None]:
    """The number that each call of an embedding looks up in a pass with one label for all samples, None if there are several;
    and the output, None if the pass failed.
    """
    network = module.plain_network(theta)
    state = {name: tensor.clone() for name, tensor in module.state(theta).items()}
    own = Attributes(network.module)
    seen: dict[Call, int | None] = {}

    def note(path: str, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]) -> None:
        number = sum(one == path for one, _ in seen)
        seen[path, number] = _constant(args[0] if args else kwargs["input"])

    output: torch.Tensor | None = None
    with ExitStack() as stack:
        for path, part in network.module.named_modules():
            if isinstance(part, nn.Embedding):
                hook = part.register_forward_pre_hook(
                    lambda part, args, kwargs, path=path: note(path, args, kwargs), prepend=True, with_kwargs=True
                )
                stack.callback(hook.remove)
        stack.callback(own.put_back)
        stack.enter_context(forked(x))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        # Whatever a module raises for an input that may not be its own; one that fails on its own is refused elsewhere.
        with suppress(Exception):
            output = network(state, x.clone(), torch.full((len(x),), label))
    return seen, output


@torch.no_grad()
def largest_number_taken(module: PureModule, theta: torch.Tensor, x: torch.Tensor, label: torch.Tensor) -> float | None:
    """The number K such that the module takes the labels 0..K-1, at least those of the batch; None if that cannot be tried.

    Infinity for a module that computes with the label itself.

    Args:
        module: takes (x, label).
        theta: (n,), its parameters.
        x: (B, ...), its input.
        label: (B,), of which any may be missing.
    """
    # On the CPU, as above.
    theta = theta.detach().cpu()
    x = x[:FEW].detach().cpu()
    given = label[:FEW].cpu().long()

    def takes(classes: int) -> bool:
        tried = given.clone()
        tried[0] = classes - 1
        try:
            module.plain_network(theta)(module.state(theta), x, tried)
        except RAISED:
            return False
        return True

    seen = int(label.max()) + 1
    if not takes(seen):
        return None
    rows = followed(module, theta, x).classes
    if rows is not None and rows >= seen and takes(rows) and not takes(rows + 1):
        return rows
    if takes(max(seen, MOST)):
        return math.inf
    least = seen
    beyond = max(seen, MOST)
    while beyond - least > 1:
        middle = (least + beyond) // 2
        least, beyond = (middle, beyond) if takes(middle) else (least, middle)
    return least


def classes_taken(module: PureModule, theta: torch.Tensor, x: torch.Tensor, label: torch.Tensor) -> int | None:
    """``largest_number_taken`` as a number of classes to try, which is small where any number is taken."""
    found = largest_number_taken(module, theta, x, label)
    if found is None:
        return None
    return max(int(label.max()) + 1, ENDLESS) if found == math.inf else int(found)
