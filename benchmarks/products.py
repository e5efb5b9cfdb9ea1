"""The matrix products of a computation, by themselves: what is left of its time if everything else were free."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
INTO = {aten.mm.default: torch.mm, aten.addmm.default: torch.addmm, aten.bmm.default: torch.bmm}


class Seen(TorchDispatchMode):
    """Every matrix product that is made: the function, and the arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, torch.Size]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in INTO:
            self.calls.append((INTO[func], args, result.shape))
        return result


def products_of(function: Callable[[], Any]) -> list[Callable[[], torch.Tensor]]:
    """The matrix products that an eager call of a function makes, as functions of nothing: the same arguments, with results
    into memory that is there already.
    """
    with Seen() as seen:
        function()
    return [partial(product, *args, out=torch.empty(shape)) for product, args, shape in seen.calls]
