"""Other inputs like those of a batch, to probe a network with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

Noise = Callable[[torch.Tensor], torch.Tensor]  # a tensor -> normal noise like it
Tensors = Sequence[torch.Tensor]


def two_batches(inputs: Tensors, noise: Noise, classes: int | None = None) -> tuple[Tensors, Tensors]:
    """Two batches of other inputs.

    Args:
        inputs: (B, ...), and in a class-conditional network the labels (B,).
        noise: where they come from.
        classes: classes of the labels, each of which then comes as often as the others; None: draw the labels too.
    """
    one, two = ([_other(x, noise) for x in inputs] for _ in range(2))
    if classes is not None:
        order = noise(torch.zeros(classes)).argsort()
        one[1], two[1] = order[torch.arange(2 * len(inputs[1])) % classes].to(inputs[1]).chunk(2)
    return one, two


def _other(x: torch.Tensor, noise: Noise) -> torch.Tensor:
    """Other inputs with x's mean and spread; integers from x's smallest, or 0, to its largest, as classes are numbered."""
    if x.is_floating_point():
        return x + (x.std(correction=0) + 0.1) * noise(x)
    least = min(int(x.min()), 0)
    most = int(x.max())
    return ((1e6 * noise(x.double())).long() % (most + 1 - least) + least).to(x)
