"""Keep the caller's torch modes and defaults from changing a run's numbers.

``torch.inference_mode`` would make every gradient zero, ``torch.autocast`` would change the precision, and a default dtype or
device would change what is drawn. ``pinned`` suspends them; ``as_outside`` restores them for the user's own functions.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import NamedTuple, ParamSpec, TypeVar

import torch
from torch.nn.utils import parametrize

from odegan.utils.checks import ArgumentError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_DEVICES = ("cpu", "cuda", "xpu", "mps")


class Ambient(NamedTuple):
    """Torch's modes and defaults. autocast: the device types for which it is on, each with its dtype."""

    inference: bool
    grad: bool
    dtype: torch.dtype
    device: torch.device
    autocast: tuple[tuple[str, torch.dtype], ...]


_outside: ContextVar[Ambient | None] = ContextVar("odegan_outside", default=None)


def current() -> Ambient:
    """The modes and defaults in force now."""
    autocast = tuple((d, torch.get_autocast_dtype(d)) for d in _DEVICES if torch.is_autocast_enabled(d))
    return Ambient(
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        autocast,
    )


@contextlib.contextmanager
def pinned(y: torch.Tensor) -> Iterator[None]:
    """Turn off inference mode and autocast, and fix the default dtype and device.

    The default dtype becomes float32, or stays float64 if y has that dtype too. The default device stays the CPU if it is the
    CPU, and otherwise becomes y's. Grad mode is kept, except that it is off if inference mode was on.
    """
    around = current()
    # Calls may nest, as a stepper within a callback: the outermost modes are the user's.
    token = _outside.set(_outside.get() or around)
    # A float64 default asks for precision, which a float32 state cannot have.
    keeps = around.dtype == y.dtype == torch.float64
    try:
        with (
            _no_cached_weights(),
            _under(
                Ambient(
                    False,
                    around.grad and not around.inference,
                    torch.float64 if keeps else torch.float32,
                    y.device if around.device.type != "cpu" else around.device,
                    (),
                )
            ),
        ):
            yield
    finally:
        _outside.reset(token)


@contextlib.contextmanager
def _no_cached_weights() -> Iterator[None]:
    """Suspend ``parametrize.cached()``, under which a parametrized weight would stay that of the first evaluation."""
    depth = parametrize._cache_enabled
    parametrize._cache_enabled = 0
    try:
        yield
    finally:
        parametrize._cache_enabled = depth


@contextlib.contextmanager
def no_saved_tensor_hooks() -> Iterator[None]:
    """Suspend hooks on saved tensors, which torch.func does not allow; private, and so only where torch has the functions."""
    own = torch._C._autograd
    top = getattr(own, "_top_saved_tensors_default_hooks", lambda _: None)
    hooks = []
    while (pair := top(True)) is not None:
        hooks.append(pair)
        own._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pack, unpack in reversed(hooks):
            own._push_saved_tensors_default_hooks(pack, unpack)


@contextlib.contextmanager
def as_outside() -> Iterator[None]:
    """Within ``pinned``, restore the modes that were in force around it, for callbacks."""
    outside = _outside.get()
    with _under(outside) if outside is not None else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def restoring() -> Iterator[None]:
    """Restore the modes and defaults at the end, if user code within changed them for good."""
    here = current()
    try:
        yield
    finally:
        restore(here)


def restore(ambient: Ambient) -> None:
    """Make these the modes and defaults in force, but for inference mode, which ends with its context."""
    here = current()
    if here == ambient:
        return
    torch.set_default_dtype(ambient.dtype)
    torch.set_grad_enabled(ambient.grad)
    if here.device != ambient.device:
        torch.set_default_device(None if ambient.device.type == "cpu" else ambient.device)
    for kind in _DEVICES:
        torch.set_autocast_enabled(kind, kind in dict(ambient.autocast))


def modes_outside() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """A factory of contexts like ``as_outside()``, which sets grad mode alone if no other mode differs."""
    outside = _outside.get()
    # Entering all contexts for each callback costs more than a small step; mostly grad mode alone differs.
    if outside is None or outside._replace(grad=torch.is_grad_enabled()) != current():
        return as_outside
    return functools.partial(torch.set_grad_enabled, outside.grad)


# Private functions that take a fraction of a microsecond, where the public ones take 20; this is asked at every evaluation.
_modes = getattr(torch._C, "_len_torch_function_stack", lambda: 1)
_casts = getattr(torch._C, "_is_any_autocast_enabled", lambda: True)


def is_plain() -> bool:
    """Whether every mode and default already is torch's own."""
    return (
        not torch.is_inference_mode_enabled()
        and torch.get_default_dtype() == torch.float32
        and not parametrize._cache_enabled
        and not (_casts() and any(torch.is_autocast_enabled(d) for d in _DEVICES))
        # A default device is a mode for torch's functions.
        and (_modes() == 0 or torch.get_default_device().type == "cpu")
    )


def unaffected(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function independent of the caller's modes and defaults. Its first tensor or module is y in ``pinned``."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        # A context manager would break the compiled graph; the modes were already set around the compiled call.
        if torch.compiler.is_compiling() or is_plain():
            return function(*args, **kwargs)
        return _pinned_call(function, *args, **kwargs)

    return guarded


def unaffected_run(function: Callable[P, R]) -> Callable[P, R]:
    """``unaffected`` for a whole run, which also refuses transforms that hide the numbers that step control needs."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        refuse_transforms()
        with no_saved_tensor_hooks():
            return _pinned_call(function, *args, **kwargs)

    return guarded


def _pinned_call(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    with pinned(_first_tensor((args, kwargs))):
        # An inference tensor stays one outside inference mode, and autograd refuses it there.
        args, kwargs = usable((args, kwargs))
        return function(*args, **kwargs)


def _first_tensor(arguments: object) -> torch.Tensor:
    """The first tensor among the arguments, or the first parameter of a module; an empty one on the CPU if there is none."""
    leaves = torch.utils._pytree.tree_leaves(arguments)
    given = (x for x in leaves if isinstance(x, torch.Tensor))
    held = (p for x in leaves if isinstance(x, torch.nn.Module) for p in x.parameters())
    return next(itertools.chain(given, held), torch.empty(0, device="cpu"))


def usable(tree: T) -> T:
    """The tree with every inference tensor cloned: autograd cannot differentiate through the originals."""
    return torch.utils._pytree.tree_map(
        lambda x: x.clone() if isinstance(x, torch.Tensor) and x.is_inference() else x, tree
    )


@contextlib.contextmanager
def _under(ambient: Ambient) -> Iterator[None]:
    here = current()
    with contextlib.ExitStack() as stack:
        # Inference mode first: leaving it switches grad mode back on, which the next line decides.
        if ambient.inference != here.inference:
            stack.enter_context(torch.inference_mode(ambient.inference))
        stack.enter_context(torch.set_grad_enabled(ambient.grad))
        if ambient.device != here.device:
            stack.enter_context(ambient.device)
        # Autocast is a stack per device: what is on must be switched off by a context of its own.
        for kind, dtype in here.autocast:
            if (kind, dtype) not in ambient.autocast:
                stack.enter_context(torch.autocast(kind, enabled=False))
        for kind, dtype in ambient.autocast:
            if (kind, dtype) not in here.autocast:
                stack.enter_context(torch.autocast(kind, dtype))
        # torch has no context manager for the default dtype, so a callback on leaving restores it.
        if ambient.dtype != here.dtype:
            stack.callback(torch.set_default_dtype, here.dtype)
            torch.set_default_dtype(ambient.dtype)
        yield


def refuse_transforms() -> None:
    """Refuse a run within ``torch.vmap`` or fake tensors, since step control reads actual numbers.

    Raises:
        ArgumentError: such a transform or mode is active.
    """
    kinds = transforms_around()
    modes = torch.utils._python_dispatch._get_current_dispatch_mode_stack()
    names = [
        type(mode).__name__ for mode in modes if type(mode).__name__ in ("FakeTensorMode", "ProxyTorchDispatchMode")
    ]
    if torch._C._functorch.TransformType.Vmap in kinds:
        names.append("torch.vmap")
    if torch._C._functorch.TransformType.Functionalize in kinds:
        names.append("torch.func.functionalize")
    if names:
        raise ArgumentError(
            f"odegan: got a run within {names[0]}; it must be outside, for its steps are decided by numbers (an ensemble is a "
            "y0 of shape (E, P); vector_field works under every transform)"
        )


def refuse_derivatives(solver: str) -> None:
    """Refuse an adaptive solver within ``torch.func.grad`` and its like, for which torchdiffeq's adaptive steps have no rule.

    Raises:
        ArgumentError: such a transform is active.
    """
    kinds = torch._C._functorch.TransformType
    if {kinds.Grad, kinds.Jvp} & transforms_around():
        raise ArgumentError(
            f"solver: got {solver!r} within a transform of torch.func; it must be a solver of fixed steps there, or the "
            "gradient be torch.autograd's"
        )


def transforms_around() -> set[object]:
    """The kinds of torch.func's transforms in which this is called."""
    # Private, and absent under some builds: without it nothing is refused here, and torch raises its own error later.
    stack = getattr(torch._C._functorch, "get_interpreter_stack", lambda: None)() or []
    return {level.key() for level in stack}
