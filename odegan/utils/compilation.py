"""Compile functions once for each shape of their inputs; fall back to eager mode, with one warning, if that fails."""

from __future__ import annotations

import contextlib
import inspect
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from odegan.utils.checks import one_line
from odegan.utils.warn import warn

Function = Callable[..., Any]
Options = dict[str, str | int | bool | Callable[..., Any]]
Key = tuple[object, ...]  # what a graph is specialized to

# Backends that replay CUDA graphs, with the options that make them do so.
_CAPTURING: dict[str, Options | None] = {"inductor": {"triton.cudagraphs": True}, "cudagraphs": None}

# torch.compile's guards, which check that what a graph was traced from has not changed, take longer than a check of the inputs'
# shapes. Since torch 2.7 they can be skipped.
_UNCHECKED: dict[str, Any] = (
    {"skip_guard_eval_unsafe": True}
    if "skip_guard_eval_unsafe" in inspect.signature(torch.compiler.set_stance).parameters
    else {}
)


class Compiler:
    """``compiler(function)`` is the function compiled by ``torch.compile``, as one graph for each shape of its inputs.

    A function is compiled at its first call with a new shape. If one cannot be compiled, all functions of this compiler run
    uncompiled from then on, and one warning says why. Errors that the function itself raises are passed on.

    Args:
        backend: False: do not compile; True: inductor; or the name of a backend.
    """

    def __init__(self, backend: bool | str) -> None:
        self.backend = "inductor" if backend is True else backend
        self.tell: Callable[[str], object] = lambda text: None
        self.interrupted: Callable[[], bool] = lambda: False  # Ctrl-C reaches the C++ compiler too
        self.count = 0  # compilations so far
        self.failed = False
        self._checked: set[Function] | None = None  # the graphs that were checked since ``unchanging`` began

    @property
    def works(self) -> bool:
        """Whether all calls so far ran compiled."""
        return self.count > 0 and not self.failed

    @contextlib.contextmanager
    def unchanging(self) -> Iterator[None]:
        """A context in which nothing that the functions read changes, apart from their inputs.

        Each graph checks its guards at its first call within the context, and not again.
        """
        self._checked = set()
        try:
            yield
        finally:
            self._checked = None

    def __call__(self, function: Function, what: str = "the field") -> Function:
        """The function, compiled at its first call. what: its description in messages."""
        if not self.backend:
            return function
        versions: dict[Key, Function] = {}

        def call(*inputs: object) -> Any:
            if self.failed:
                return function(*inputs)
            key = _shapes(inputs)
            return again(key, inputs) if key in versions else first(key, inputs)

        def again(key: Key, inputs: tuple[object, ...]) -> Any:
            compiled = versions[key]
            # The first call within ``unchanging`` still checks, since something may have changed between two runs.
            if self._checked is not None and compiled in self._checked:
                # Under a stance of the user's, such as "force_eager", there may be no graph yet: then once more, with checks.
                with contextlib.suppress(RuntimeError), torch.compiler.set_stance("default", **_UNCHECKED):
                    return compiled(*inputs)
            if self._checked is not None:
                self._checked.add(compiled)
            try:
                return compiled(*inputs)
            except Exception as error:
                # A user's own error is theirs, as in an eager step.
                if not _recompiles_for_ever(error):
                    raise
                self._give_up(
                    what, "it reads a Python value that keeps changing; make that a function of time or a tensor"
                )
                return function(*inputs)

        def first(key: Key, inputs: tuple[object, ...]) -> Any:
            # Inductor takes seconds to minutes: without a message the run would seem to hang.
            start = time.monotonic()
            self.tell(f"compiling {what} ...")
            reason = ""
            for compiled in _attempts(function, str(self.backend), inputs):
                try:
                    value = compiled(*inputs)
                except Exception as error:  # dynamo's, the backend's, the C++ compiler's: they share no class
                    reason = one_line(error) or type(error).__name__
                else:
                    versions[key] = compiled
                    self.count += 1
                    self.tell(f"compiled {what} in {time.monotonic() - start:.1f} s")
                    return value
            # An error of the function's own is raised again here, as the user's error and not as a failure to compile.
            value = function(*inputs)
            # A C++ compiler that Ctrl-C killed says nothing about the function.
            if not self.interrupted():
                self._give_up(what, reason)
            return value

        return call

    def _give_up(self, what: str, reason: str) -> None:
        self.failed = True
        self.tell(f"{what} runs uncompiled")
        warn(f"compile: {what} cannot be compiled with {self.backend!r} and runs uncompiled ({reason})", RuntimeWarning)


def _recompiles_for_ever(error: Exception) -> bool:
    """Whether torch gave up because a Python value kept changing, each time with a new graph."""
    from torch._dynamo.exc import FailOnRecompileLimitHit  # as long to import as torch itself

    return isinstance(error, FailOnRecompileLimitHit)


def _shapes(inputs: object) -> Key:
    """What a graph is specialized to: shapes and Python values, but not the values of tensors such as the time or the step."""
    # Types of Python values, not the values: torch guards these itself, and recompiles.
    return torch.is_grad_enabled(), *map(_shape, tree_leaves(inputs))


def _shape(x: object) -> object:
    return (x.shape, x.stride(), x.dtype, x.device, x.requires_grad) if isinstance(x, torch.Tensor) else type(x)


def _attempts(function: Function, backend: str, inputs: tuple[object, ...]) -> Iterator[Function]:
    """The function under torch.compile, with the fastest options first."""
    tensors = [x for x in tree_leaves(inputs) if isinstance(x, torch.Tensor)]
    device = next((x.device for x in tensors if x.is_cuda), None)
    # A backward pass reads what the forward pass left in the graph's memory, which the next replay overwrites.
    if device is not None and backend in _CAPTURING and not torch.is_grad_enabled():
        yield _replayed(_compiled(function, backend, _CAPTURING[backend]), device)
        return
    if backend == "inductor" and all(x.device.type == "cpu" for x in tensors):
        # Small kernels cost less than Python's calls of them; not every operation can be called from C++.
        yield _compiled(function, backend, {"cpp_wrapper": True})
    yield _compiled(function, backend, None)


def _compiled(function: Function, backend: str, options: Options | None) -> Function:
    # One static graph: a graph break would return to Python at each step, and dynamic shapes make slower kernels.
    return torch.compile(_own_code(function), fullgraph=True, dynamic=False, backend=backend, options=options)


def _replayed(compiled: Function, device: torch.device) -> Function:
    """A function captured as a CUDA graph, with its inputs moved to the device and its outputs cloned.

    A single CPU input, such as the time, would prevent the capture, and the next replay overwrites the graph's own outputs.
    """

    def call(*inputs: object) -> Any:
        # Tells torch that the outputs of the last replay are no longer in use; they were cloned.
        torch.compiler.cudagraph_mark_step_begin()
        outputs = compiled(*tree_map_only(torch.Tensor, lambda x: x.to(device, non_blocking=True), inputs))
        return tree_map_only(torch.Tensor, torch.clone, outputs)

    return call


def _own_code(function: Function) -> Function:
    """A copy of the function with its own code object.

    torch limits the number of recompilations per code object, but each stepper compiles its own step for each shape.
    """
    if not hasattr(getattr(function, "__func__", function), "__code__"):  # an object that is called
        called = function
        return _own_code(lambda *inputs: called(*inputs))
    bare = getattr(function, "__func__", function)
    code = bare.__code__.replace()
    own = types.FunctionType(code, bare.__globals__, bare.__name__, bare.__defaults__, bare.__closure__)
    return own if bare is function else types.MethodType(own, function.__self__)  # type: ignore[attr-defined]
