"""Calls as text, for representations of objects that a call made."""

from __future__ import annotations

import torch


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
