"""How many classes a class-conditional module takes: read off its embeddings, or tried out."""

from __future__ import annotations

import torch
from torch import nn

from odegan.modules.pure_module import PureModule
from odegan.modules.validate import RAISED

FEW = 8  # samples with which labels are tried
MOST = 1024  # the largest number of classes that is looked for
ENDLESS = 16  # classes of a module that takes any number, as one that computes with the label itself


def number_of_classes(*modules: nn.Module) -> int | None:
    """The number of rows of the smallest ``nn.Embedding`` in the modules; None if there is none."""
    tables = (part for module in modules for part in module.modules() if isinstance(part, nn.Embedding))
    # The shortest: a label that one network knows and the other does not would be out of range there.
    return min((table.num_embeddings for table in tables), default=None)


@torch.no_grad()
def classes_taken(module: PureModule, theta: torch.Tensor, x: torch.Tensor, label: torch.Tensor) -> int | None:
    """The number K such that the module takes the labels 0..K-1, at least those of the batch; None if that cannot be tried.

    Args:
        module: takes (x, label).
        theta: (n,), its parameters.
        x: (B, ...), its input.
        label: (B,), of which any may be missing.
    """
    # On the CPU: on an accelerator a label out of range would abort the process.
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
    rows = number_of_classes(module.skeleton)
    if rows is not None and rows >= seen and takes(rows) and not takes(rows + 1):
        return rows
    if takes(MOST):
        return max(seen, ENDLESS)
    least = seen
    beyond = MOST
    while beyond - least > 1:
        middle = (least + beyond) // 2
        least, beyond = (middle, beyond) if takes(middle) else (least, middle)
    return least
