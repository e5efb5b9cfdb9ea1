"""Replace torch functions that a network calls but that lack the derivatives or the vmap support that the field needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from odegan.modules import normalization, recurrent
from odegan.utils.autodiff import depth, needs_transforms
from odegan.utils.distributed import sharing_ranks

Function = Callable[..., Any]
EVERY_ORDER = 1_000  # more derivatives than anything here takes


class Replacement(NamedTuple):
    """function: called instead from the ``order``-th derivative on, and under any transform."""

    function: Function
    order: int
    widened: bool = False  # under autocast the result is float32


def _plain_attention(function: Function) -> Function:
    """Attention by matrix products and a softmax: the flash and memory-efficient kernels have no second derivative."""

    def call(*args: object, **kwargs: object) -> Any:
        with sdpa_kernel(SDPBackend.MATH):
            return function(*args, **kwargs)

    return call


def _cdist(x1: torch.Tensor, x2: torch.Tensor, p: float = 2.0, compute_mode: object = None) -> torch.Tensor:
    """|x_i - y_j|_p in elementary operations, since torch's kernel has no second derivative."""
    return _norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p)


def _pdist(input: torch.Tensor, p: float = 2.0) -> torch.Tensor:
    """|x_i - x_j|_p for i < j, in elementary operations for the same reason."""
    first, second = torch.triu_indices(len(input), len(input), 1, device=input.device)
    return _norm(input[first] - input[second], p)


def _norm(x: torch.Tensor, p: float) -> torch.Tensor:
    """|x|_p over the last dimension, whose derivatives at x = 0 are zero, as the first ones of torch's kernels are."""
    at_zero = (x == 0).all(-1, keepdim=True)
    # Of a constant in its place: a derivative of the norm at 0 is NaN from the second order on, also times zero.
    safe = torch.where(at_zero, torch.ones_like(x), x)
    return torch.where(at_zero.squeeze(-1), 0.0, torch.linalg.vector_norm(safe, ord=p, dim=-1))


def _torch_batch_norm(x, weight, bias, mean, var, training, momentum, eps, cudnn):  # type: ignore[no-untyped-def]
    return normalization.batch_norm(x, mean, var, weight, bias, training, momentum, eps)


def _torch_instance_norm(x, weight, bias, mean, var, use_input, momentum, eps, cudnn):  # type: ignore[no-untyped-def]
    return normalization.instance_norm(x, mean, var, weight, bias, use_input, momentum, eps)


# The first name of each row is also torch's own operator's, with the arguments in the same order.
_OPERATORS: dict[str, Replacement] = {
    "layer_norm": Replacement(normalization.layer_norm, 3, widened=True),
    "native_layer_norm": Replacement(normalization.native_layer_norm, 3, widened=True),
    "group_norm": Replacement(normalization.group_norm, 3, widened=True),
    "native_group_norm": Replacement(normalization.native_group_norm, 3, widened=True),
    "rms_norm": Replacement(normalization.rms_norm, 3),
    "batch_norm": Replacement(_torch_batch_norm, 3),
    "native_batch_norm": Replacement(normalization.native_batch_norm, 3),
    "instance_norm": Replacement(_torch_instance_norm, 3),
    "_weight_norm": Replacement(normalization.weight_norm, 2),
    "cdist": Replacement(_cdist, 2),
    "pdist": Replacement(_pdist, 2),
    "lstm_cell": Replacement(recurrent.lstm_cell, 2),
    "gru_cell": Replacement(recurrent.gru_cell, 2),
    "rnn_tanh_cell": Replacement(recurrent.rnn_tanh_cell, 2),
    "rnn_relu_cell": Replacement(recurrent.rnn_relu_cell, 2),
}
_ATEN = torch.ops.aten
REPLACED: dict[Function, Replacement] = {
    **{getattr(torch, name): replacement for name, replacement in _OPERATORS.items()},
    **{getattr(_ATEN, name): replacement for name, replacement in _OPERATORS.items()},
    **{getattr(_ATEN, name).default: replacement for name, replacement in _OPERATORS.items()},
    F.layer_norm: _OPERATORS["layer_norm"],
    F.group_norm: _OPERATORS["group_norm"],
    F.rms_norm: _OPERATORS["rms_norm"],
    F.batch_norm: Replacement(normalization.batch_norm, 3),
    F.instance_norm: Replacement(normalization.instance_norm, 3),
    F.multi_head_attention_forward: Replacement(_plain_attention(F.multi_head_attention_forward), 2),
    **{
        attention: Replacement(_plain_attention(attention), 2)
        for attention in (
            F.scaled_dot_product_attention,
            _ATEN.scaled_dot_product_attention,
            _ATEN.scaled_dot_product_attention.default,
        )
    },
    torch.lstm: Replacement(recurrent.lstm, 2),
    torch.gru: Replacement(recurrent.gru, 2),
    torch.rnn_tanh: Replacement(recurrent.rnn_tanh, 2),
    torch.rnn_relu: Replacement(recurrent.rnn_relu, 2),
}
# Functions that torch.compile does not pass on to modes, so that within compiled steps none would be replaced.
UNSEEN = frozenset({torch._weight_norm})
SIGMOIDS = (torch.sigmoid, torch.Tensor.sigmoid, torch.Tensor.sigmoid_, torch.special.expit, F.sigmoid)
# Functions that reshape or average a tensor, for which it is still a probability.
_SHAPERS = ("reshape", "flatten", "squeeze", "unsqueeze", "mean")
RESHAPES = {getattr(torch, name) for name in _SHAPERS} | {
    getattr(torch.Tensor, name) for name in (*_SHAPERS, "view", "__getitem__")
}
# Functions that may normalize with batch statistics; the sixth argument of each says whether they do.
BATCH_NORMS = frozenset(
    {F.batch_norm}
    | {
        function
        for name in ("batch_norm", "native_batch_norm")
        for function in (getattr(torch, name), getattr(_ATEN, name), getattr(_ATEN, name).default)
    }
)


def order_of_derivatives() -> int:
    """How many derivatives may be taken of the present computation; ``EVERY_ORDER`` if that cannot be known here."""
    return EVERY_ORDER if needs_transforms() else depth()


class Exact(TorchFunctionMode):
    """A context in which functions of ``REPLACED`` are called in a form that can be differentiated ``order`` times, and batch
    norms take their statistics over the ranks that share the batch.
    """

    def __init__(self, order: int, autocast: bool) -> None:
        super().__init__()
        self.order = order
        self.autocast = autocast

    def __torch_function__(
        self, func: Function, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call ``func`` or its replacement."""
        replacement = REPLACED.get(func)
        # torch's kernel knows only the batch that it is given, so it is replaced whatever the order.
        over_ranks = func in BATCH_NORMS and sharing_ranks() is not None
        if replacement is None or (self.order < replacement.order and not over_ranks):
            # torch.compile cannot trace the method within a mode, as it calls super().
            own = torch.unflatten if func is torch.Tensor.unflatten else func
            return own(*args, **(kwargs or {}))
        if not (self.autocast and replacement.widened):
            return replacement.function(*args, **(kwargs or {}))
        # Autocast widens torch's own norms to float32; the replacements, elementary operations, would run in half precision.
        given = dict(kwargs or {})
        x = args[0] if args else given.pop("input")
        return replacement.function(x.float(), *args[1:], **given)


class Recorder(TorchFunctionMode):
    """A context that records which functions of ``REPLACED`` a network calls, whether one uses batch statistics, and which
    tensors come from a sigmoid.
    """

    def __init__(self) -> None:
        super().__init__()
        self.replaced: set[Function] = set()
        self.batch_statistics = False
        self._probabilities: list[torch.Tensor] = []  # kept alive, so that each id stays unique

    def is_sigmoid(self, x: object) -> bool:
        """Whether x comes from a sigmoid and has only been reshaped, or averaged, since."""
        return any(x is one for one in self._probabilities)

    def __torch_function__(
        self, func: Function, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> Any:
        """Record the call of ``func`` and make it."""
        kwargs = kwargs or {}
        if func in REPLACED:
            self.replaced.add(func)
        if func in BATCH_NORMS:
            training = kwargs.get("training", args[5] if len(args) > 5 else False)
            self.batch_statistics = self.batch_statistics or bool(training)
        out = func(*args, **kwargs)
        if func in SIGMOIDS or (func in RESHAPES and self.is_sigmoid(args[0] if args else kwargs["input"])):
            self._probabilities.append(out)
        return out


class Narrowings(TorchFunctionMode):
    """A context that records the precisions to which functions reduce that of their inputs, as ``x.float()`` does."""

    def __init__(self) -> None:
        super().__init__()
        self._found: set[torch.dtype] = set()

    def lowest(self, own: torch.dtype) -> torch.dtype:
        """The lowest precision of a computation that starts from this one."""
        return max({own, *self._found}, key=lambda dtype: torch.finfo(dtype).eps)

    def __torch_function__(
        self, func: Function, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> Any:
        """Make the call of ``func`` and compare its output's precision with that of its first input."""
        out = func(*args, **(kwargs or {}))
        given = (x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor) and x.is_floating_point())
        own = next(given, None)
        floating = isinstance(out, torch.Tensor) and out.is_floating_point()
        if floating and own is not None and torch.finfo(out.dtype).eps > torch.finfo(own.dtype).eps:
            self._found.add(out.dtype)
        return out
