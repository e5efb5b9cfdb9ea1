"""Detect the side effects of a forward pass: attributes that it writes, random numbers that it draws."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from odegan.modules.structure import attributes
from odegan.utils.random_streams import GLOBAL_GENERATORS

Key = tuple[str, str]  # the path of a submodule, and the name of an attribute


class _Kept(NamedTuple):
    value: object  # containers are copied, so that later insertions show
    versions: tuple[int, ...]  # in-place writes increase a tensor's version
    content: object  # clones of the tensors


class Attributes:
    """A snapshot of the attributes of a module and its submodules that are not parameters, buffers or submodules."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._kept = {(path, name): _kept(value) for path, _, name, value in attributes(module)}

    def changed(self) -> list[Key]:
        """The attributes that are new, were replaced, or were written in place."""
        now = {(path, name): value for path, _, name, value in attributes(self._module)}
        return [key for key, value in now.items() if key not in self._kept or not _untouched(self._kept[key], value)]

    def past(self, key: Key) -> object:
        """The old value of an attribute; None if there was none."""
        return self._kept[key].content if key in self._kept else None

    def put_back(self) -> None:
        """Restore the attributes of the snapshot."""
        for path, name in self.changed():
            part = self._module.get_submodule(path)
            if (path, name) in self._kept:
                setattr(part, name, self._kept[path, name].content)
            else:
                delattr(part, name)


def _kept(value: object) -> _Kept:
    content = tree_map_only(torch.Tensor, lambda t: t if t.is_meta else t.detach().clone(), value)
    return _Kept(tree_map(lambda leaf: leaf, value), _versions(value), content)


def _versions(value: object) -> tuple[int, ...]:
    return tuple(leaf._version for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor))


def _untouched(kept: _Kept, value: object) -> bool:
    old = tree_leaves(kept.value)
    new = tree_leaves(value)
    return len(old) == len(new) and kept.versions == _versions(value) and all(map(_identical, old, new))


def _identical(a: object, b: object) -> bool:
    # Tensors by identity: their content is compared by version, and == would give a tensor.
    if a is b or isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return a is b
    try:
        return type(a) is type(b) and bool(a == b)
    except (TypeError, ValueError, RuntimeError):  # raised by arrays, for example
        return False


class DrawsRandomNumbers(Exception):
    """A forward pass drew from a global generator."""


class RunningSubmodule:
    """Track which submodule runs: within ``with``, ``place`` names the innermost one that runs or failed.

    Raises:
        DrawsRandomNumbers: a submodule drew random numbers; the innermost one raises it.
    """

    def __init__(self, module: nn.Module, like: torch.Tensor) -> None:
        self._module = module
        self._like = like
        self._running: list[tuple[str, nn.Module, tuple[object, ...]]] = []

    @property
    def place(self) -> str:
        """Class and path of that submodule."""
        if not self._running:
            return ""
        path, part, _ = self._running[-1]
        return f"{type(part).__name__} at {path or 'the top'!r}"

    def __enter__(self) -> RunningSubmodule:
        """Register hooks on every submodule."""
        self._handles = []
        for path, part in self._module.named_modules():
            self._handles.append(part.register_forward_pre_hook(self._enter(path), prepend=True))
            self._handles.append(part.register_forward_hook(self._leave))
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the hooks from the submodules."""
        for handle in self._handles:
            handle.remove()

    def _enter(self, path: str):  # type: ignore[no-untyped-def]
        return lambda part, inputs: self._running.append((path, part, random_states(self._like)))

    def _leave(self, part: nn.Module, inputs: object, output: object) -> None:
        before = self._running[-1][2]
        # Without popping: ``place`` then names the innermost submodule, which is the one that draws.
        if not all(map(_same_state, before, random_states(self._like))):
            raise DrawsRandomNumbers
        self._running.pop()


def random_states(like: torch.Tensor) -> tuple[object, ...]:
    """The states of all global generators that a forward pass on this device may use."""
    numpy = np.random.get_state(legacy=False)["state"]
    with torch._C._DisableFuncTorch():  # whose tensors have no storage to compare
        device = (torch.cuda.get_rng_state(like.device),) if like.is_cuda else ()
        key = torch.as_tensor(numpy["key"].astype(np.int64))
        return torch.get_rng_state(), *device, random.getstate(), key, numpy["pos"]


def _same_state(a: object, b: object) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b


@contextmanager
def forked(like: torch.Tensor) -> Iterator[None]:
    """Restore all global generators on exit."""
    # All threads share the generators: another one must not draw between a save and its restoration.
    with GLOBAL_GENERATORS:
        python = random.getstate()
        numpy = np.random.get_state()
        with torch.random.fork_rng([like.device] if like.is_cuda else []):
            try:
                yield
            finally:
                random.setstate(python)
                np.random.set_state(numpy)
