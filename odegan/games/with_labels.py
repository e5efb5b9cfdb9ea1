"""``with_labels``: adapt networks with other calling conventions to (x, label)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from odegan.utils.checks import argument_error
from odegan.utils.keywords import keywords

Call = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
_ALLOWED = "a keyword of its forward pass, a pair of a dict's keys (x's, the label's), or a function (module, x, label)"


class WithLabels(nn.Module):
    """``forward(x, label)`` for a module with another calling convention; made by ``with_labels``."""

    def __init__(
        self, module: nn.Module, how: str | tuple[str, str] | Call, embedding: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.module = module
        self.embedding = embedding
        self.how = how

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The module's output for x (B, ...) and the label (B,), or embedding(label)."""
        given: torch.Tensor = label if self.embedding is None else self.embedding(label)
        if isinstance(self.how, str):
            out: torch.Tensor = self.module(x, **{self.how: given})
        elif isinstance(self.how, tuple):
            out = self.module(dict(zip(self.how, (x, given), strict=True)))
        else:
            out = self.how(self.module, x, given)
        return out

    def extra_repr(self) -> str:
        return f"how={self.how!r}"


@keywords()
def with_labels(
    module: nn.Module, how: str | tuple[str, str] | Call, *, embedding: nn.Module | None = None
) -> nn.Module:
    """Wrap a module so that it can be called with (x, label), as ``gan(..., conditional=True)`` calls its networks.

    | how          | what is called                 |
    | ------------ | ------------------------------ |
    | `"name"`     | `module(x, name=label)`        |
    | `("a", "b")` | `module({"a": x, "b": label})` |
    | `function`   | `function(module, x, label)`   |

    Args:
        module: generator or discriminator, used as it is and not copied.
        how: see above. A function must not use trained parameters other than those of ``module`` and ``embedding``.
        embedding: a module of (B,) labels, as ``nn.Embedding(classes, width)``, trained with ``module``, whose output then
            takes the label's place.

    Raises:
        ArgumentError: ``module`` or ``embedding`` is not an ``nn.Module``, or ``how`` has another form.

    Examples:
        >>> side_by_side = lambda module, x, label: module(torch.cat([x, label], 1))
        >>> G = with_labels(nn.Linear(4 + 3, 2), side_by_side, embedding=nn.Embedding(10, 3))
        >>> G(torch.zeros(5, 4), torch.arange(5)).shape
        torch.Size([5, 2])
    """
    for name, part in {"module": module, "embedding": embedding}.items():
        if not (isinstance(part, nn.Module) or (name == "embedding" and part is None)):
            argument_error(name, part, "a torch.nn.Module")
    if not _is_known(how):
        argument_error("how", how, _ALLOWED)
    return WithLabels(module, how, embedding)


def _is_known(how: object) -> bool:
    # Any other value would fail only within a run, as an error of torch.
    pair = isinstance(how, tuple) and len(how) == 2 and all(isinstance(key, str) for key in how)
    return pair or callable(how) or (isinstance(how, str) and how.isidentifier())
