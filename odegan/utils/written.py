"""Calls as text, for representations of objects that a call made."""

from __future__ import annotations

import torch
from torch.utils._pytree import tree_leaves


def call(name: str, *given: object, **keywords: object) -> str:
    """The call of this name, in one line.

    Examples:
        >>> call("run", "adam", step_size=torch.tensor(0.25), options={"betas": (0.5, 0.9)})
        "run('adam', step_size=0.25, options={'betas': (0.5, 0.9)})"
    """
    words = [*map(written, given), *(f"{key}={written(value)}" for key, value in keywords.items())]
    return f"{name}({', '.join(words)})"


def written(value: object) -> str:
    """A value as a call shows it: a tensor of one entry as its number, a function by its name.

    Examples:
        >>> written([torch.zeros(3), torch.sin, None])
        '[tensor of shape (3,), sin, None]'
    """
    if isinstance(value, torch.Tensor):
        return repr(value.item()) if value.numel() == 1 else f"tensor of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {written(part)}' for key, part in value.items())}}}"
    if isinstance(value, list | tuple):
        inside = ", ".join(map(written, value))
        form = "[{}]" if isinstance(value, list) else "({},)" if len(value) == 1 else "({})"
        return form.format(inside)
    return getattr(value, "__name__", None) or " ".join(repr(value).split())


def brief(value: object) -> str:
    """A value that holds tensors, by their types and shapes; of a dictionary by their number alone.

    Examples:
        >>> brief(torch.zeros(8, 2)), brief({"u": torch.zeros(3), "v": torch.zeros(2)}), brief(0.5)
        ('float32 (8, 2)', '{2 tensors}', '0.5')
    """
    if isinstance(value, torch.Tensor):
        device = "" if value.device.type == "cpu" else f" on {value.device}"
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}{device}"
    if isinstance(value, dict):
        count = len(tree_leaves(value))
        return f"{{{count} tensor{'' if count == 1 else 's'}}}"
    return repr(value)
