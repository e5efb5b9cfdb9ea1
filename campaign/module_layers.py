"""torch.nn's layers, each with inputs of torch's own database, inside a network that takes and gives vectors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.testing._internal.common_modules import module_db
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

WIDTH = 2  # of samples and latents
STEP = 0.05  # by which a layer's input moves with the sample
DTYPE = torch.float64


class Layer(NamedTuple):
    """One construction of a layer: what it is called, the layer, and the arguments of its forward pass."""

    name: str
    description: str
    make: Callable[[], nn.Module]
    arguments: tuple[tuple[Any, ...], dict[str, Any]]


def names() -> list[str]:
    """Every class of the database, in its order."""
    return [info.module_cls.__name__ for info in module_db]


def layers(name: str, training: bool = True) -> Iterator[Layer]:
    """The constructions of one class that come with an input."""
    (info,) = (info for info in module_db if info.module_cls.__name__ == name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        given = info.module_inputs_func(info, device="cpu", dtype=DTYPE, requires_grad=True, training=training)
        for case in given:
            if case.forward_input is None:
                continue
            built = case.constructor_input
            made = info.module_cls(*built.args, **built.kwargs).to(DTYPE).train(training)
            yield Layer(
                name,
                case.desc or "",
                lambda made=made: copy.deepcopy(made),
                (tuple(case.forward_input.args), dict(case.forward_input.kwargs)),
            )


class Around(nn.Module):
    """x (B, 2) -> (B, n): for each sample, the layer on its inputs moved by what is linear in x, then linear again.

    The inputs that are differentiated move; others, such as targets and indices, are constants. Every sample has the whole
    of the layer's input to itself, its batch included, so that no convention on the place of the batch matters.
    """

    def __init__(self, layer: Layer, n: int) -> None:
        super().__init__()
        leaves, self.spec = tree_flatten(layer.arguments)
        self.moves = [isinstance(leaf, torch.Tensor) and leaf.requires_grad for leaf in leaves]
        self.others = [None if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        self.tensors = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        for i in self.tensors:
            self.register_buffer(f"input{i}", leaves[i].detach().clone())
        total = sum(leaf.numel() for leaf, moves in zip(leaves, self.moves, strict=True) if moves)
        self.before = nn.Linear(WIDTH, max(total, 1), dtype=DTYPE)
        self.layer = layer.make()
        with torch.random.fork_rng(devices=[]):
            arguments, keywords = self._arguments(torch.zeros(max(total, 1), dtype=DTYPE))
            sized = _flat(self.layer(*arguments, **keywords)).numel()
        self.after = nn.Linear(sized, n, dtype=DTYPE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One sample after the other."""
        outputs = []
        for moved in torch.tanh(self.before(x)).unbind(0):
            arguments, keywords = self._arguments(moved)
            outputs.append(_flat(self.layer(*arguments, **keywords)))
        return self.after(torch.stack(outputs))

    def _arguments(self, moved: torch.Tensor) -> Any:
        leaves = list(self.others)
        start = 0
        for i in self.tensors:
            base = getattr(self, f"input{i}")
            if self.moves[i]:
                base = base + STEP * moved[start : start + base.numel()].reshape(base.shape)
                start += base.numel()
            leaves[i] = base
        return tree_unflatten(leaves, self.spec)


def _flat(output: Any) -> torch.Tensor:
    """All numbers of an output: of a tuple, those of every tensor in it."""
    numbers = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()]
    return torch.cat([leaf.reshape(-1) for leaf in numbers])
