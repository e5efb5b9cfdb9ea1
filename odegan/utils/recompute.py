"""Evaluate a function without keeping its graph, and evaluate it again in the backward pass.

``torch.utils.checkpoint`` cannot do this here: it works by hooks on saved tensors, which torch.func refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch.autograd.graph import Node
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from odegan.utils.checks import ArgumentError

Result = TypeVar("Result")
Tensors = tuple[torch.Tensor, ...]
HIDDEN = (
    "checkpoint_steps: got a run that depends on a tensor that only a function finds, such as an attribute of a module; give "
    "the tensor itself, freeze it by requires_grad_(False), or leave checkpoint_steps out"
)


def recomputed(function: Callable[..., Result], arguments: tuple[object, ...], held: Sequence[torch.Tensor]) -> Result:
    """function(*arguments), with its graph rebuilt from the arguments in the backward pass.

    Values and first derivatives are those of a plain call.

    Args:
        function: deterministic; it returns a tree of tensors and other values.
        arguments: trees of tensors and other values.
        held: the other tensors that require a gradient and on which the result depends. None may depend on another one.

    Raises:
        ArgumentError: in the backward pass, if the result depends on a tensor that requires a gradient but is neither among
            ``arguments`` nor ``held``, or if a second derivative is requested.

    Examples:
        >>> x, w = torch.tensor(3.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)
        >>> recomputed(lambda x: w * x**2, (x,), held=[w]).backward()
        >>> x.grad, w.grad
        (tensor(12.), tensor(9.))
    """
    # Without a backward pass there is nothing to save.
    if not torch.is_grad_enabled():
        return function(*arguments)
    leaves, spec = tree_flatten(arguments)
    call = _Call(function, leaves, spec, held)
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    found = iter(_Recomputed.apply(call, *tensors, *held))
    results = [next(found) if isinstance(leaf, torch.Tensor) else leaf for leaf in call.results]
    assert call.results_spec is not None
    return tree_unflatten(results, call.results_spec)


class _Call:
    """A function of the tensors among its arguments; its other arguments are fixed, and its other results are kept."""

    def __init__(
        self, function: Callable[..., object], leaves: list[object], spec: TreeSpec, held: Sequence[torch.Tensor]
    ) -> None:
        self.function = function
        self.leaves = [None if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        self.places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        self.spec = spec
        self.held = tuple(held)
        self.results: list[object] = []
        self.results_spec: TreeSpec | None = None

    def __call__(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The tensors among the results, with a graph."""
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor
        with torch.enable_grad():
            results, self.results_spec = tree_flatten(self.function(*tree_unflatten(leaves, self.spec)))
        # Placeholders: the object lives until the backward pass, and the tensors' memory is what recomputing saves.
        self.results = [torch.Tensor() if isinstance(leaf, torch.Tensor) else leaf for leaf in results]
        return [leaf for leaf in results if isinstance(leaf, torch.Tensor)]


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: torch.Tensor) -> Tensors:
        ctx.call = call
        ctx.save_for_backward(*tensors)
        # With a graph, although it is not kept: without one the field shares passes, and rounds differently.
        results = call(_own(tensors[: len(call.places)]))
        ctx.mark_non_differentiable(*(result for result in results if not result.requires_grad))
        return tuple(result.detach() for result in results)

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise ArgumentError(
                "checkpoint_steps: got create_graph=True; second derivatives need a run without checkpoint_steps"
            )
        call: _Call = ctx.call
        own = _own(ctx.saved_tensors[: len(call.places)])
        pairs = [pair for pair in zip(call(own), cotangents, strict=True) if pair[0].requires_grad]
        results = [result for result, _ in pairs]
        sources = [*own, *call.held]
        _refuse_others(results, sources)
        wanted = [source for source in sources if source.requires_grad]
        # autograd.grad needs a cotangent for each result, also for one that the loss does not use.
        along = [torch.zeros_like(result) if given is None else given for result, given in pairs]
        found = iter(torch.autograd.grad(results, wanted, along, allow_unused=True) if results and wanted else [])
        return None, *(next(found, None) if source.requires_grad else None for source in sources)


def _own(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Detached copies that require a gradient where the originals do."""
    return [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in tensors]


def refuse_dependent(held: Sequence[torch.Tensor]) -> None:
    """Refuse tensors of which one is computed from another: its gradient would be counted twice.

    Raises:
        ArgumentError: there is such a pair.
    """
    for one in held:
        others = [other for other in held if other is not one]
        behind = [one.grad_fn] if one.grad_fn is not None else []
        if any(_is_of(node, others) for node in _nodes(behind, stop=())):
            raise ArgumentError(
                "checkpoint_steps: got a run that depends on a tensor and on another one computed from it; it must depend on "
                "one of them alone"
            )


def _refuse_others(results: Sequence[torch.Tensor], sources: Sequence[torch.Tensor]) -> None:
    """Refuse results that depend on a leaf other than the sources: no gradient would reach it."""
    nodes = _nodes([result.grad_fn for result in results if result.grad_fn is not None], stop=sources)
    if any(hasattr(node, "variable") and not _is_of(node, sources) for node in nodes):
        raise ArgumentError(HIDDEN)


def _nodes(start: Sequence[Node], stop: Sequence[torch.Tensor]) -> Iterator[Node]:
    """The nodes of a graph that are reachable from ``start``, these included, up to those of the tensors ``stop``."""
    # A loop, not recursion: the graph of a long run is deeper than Python's stack.
    seen: set[Node] = set()
    waiting = list(start)
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        if not _is_of(node, stop):
            waiting.extend(behind for behind, _ in node.next_functions if behind is not None)


def _is_of(node: Node, tensors: Sequence[torch.Tensor]) -> bool:
    """Whether a node belongs to one of the tensors: it produced the tensor, or accumulates the leaf's gradient."""
    return any(node is tensor.grad_fn or getattr(node, "variable", None) is tensor for tensor in tensors)
