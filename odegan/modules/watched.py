"""Notice what a script changes in a module, after it was copied, other than the parameters that training writes."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from odegan.modules.observed import Attributes, Key
from odegan.modules.pure_module import PureModule
from odegan.modules.running_statistics import tracking_norms
from odegan.modules.structure import named_tensors
from odegan.utils.checks import ArgumentError


class Watched:
    """What ``pure`` read of a module when it was made from it: layers, constants, attributes.

    Excepted are trained parameters, u and v of spectral norm, and the running statistics of norms in train mode.

    Args:
        pure: made from ``module``.
        module: the user's own.
    """

    def __init__(self, pure: PureModule, module: nn.Module) -> None:
        self._pure = pure
        self._module = module
        self._layers = dict(module.named_modules())
        self._attributes = Attributes(module)
        tracked = {id(t) for norm in tracking_norms(module) for t in norm.buffers(recurse=False)}
        moving = pure.moving
        self._names = [
            name
            for name, t in named_tensors(module).items()
            if name in pure.all_constants and name not in moving and id(t) not in tracked
        ]
        self._versions: dict[str, tuple[int, int]] = {}

    def refuse_changes(self, written: Collection[Key]) -> None:
        """Raise ``ArgumentError`` for the first change; ``written`` are attributes that forward passes write."""
        changed = self._changed_layer() or self._changed_constant() or self._changed_attribute(written)
        if changed is not None:
            raise ArgumentError(
                f"{self._pure.role}: got a change of its {changed} since the ModuleStepper was made, which reads it only then; "
                "make a new one (save and load carry over time and moments)"
            )

    def _changed_layer(self) -> str | None:
        now = dict(self._module.named_modules())
        different = (name for name in [*now, *self._layers] if now.get(name) is not self._layers.get(name))
        name = next(different, None)
        return None if name is None else f"layer {name!r}"

    def _changed_constant(self) -> str | None:
        now = named_tensors(self._module)
        for name in self._names:
            version = (id(now.get(name)), getattr(now.get(name), "_version", 0))
            if self._versions.get(name) == version:
                continue
            # By value: ``load_state_dict`` writes frozen parameters again, usually the same numbers.
            if not _same(now.get(name), self._pure.all_constants[name]):
                return f"constant {name!r}"
            self._versions[name] = version
        return None

    def _changed_attribute(self, written: Collection[Key]) -> str | None:
        for path, name in self._attributes.changed():
            if (path, name) not in written:
                return f"attribute {f'{path}.{name}'.lstrip('.')!r}"
        return None


def _same(now: torch.Tensor | None, then: torch.Tensor) -> bool:
    return now is not None and now.shape == then.shape and torch.equal(now.detach().to(then), then)
