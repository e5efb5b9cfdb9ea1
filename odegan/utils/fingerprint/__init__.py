"""Fingerprints of arguments as plain values, so that a checkpoint is not resumed with other arguments.

Everything is compared by content: tensors, arrays and tables by a digest of their bytes; functions by code, defaults, closure
and the globals they read; networks by class, mode, values and attributes; other objects by class and state; data sets by
their state if it holds the data, else by every item, up to 10,000 items and 256 MiB. What Python, odegan and installed
packages define is compared by name. An object can define ``__odegan_fingerprint__()``, which returns plain values.

Examples:
    >>> describe({"scale": 2.0, "by": [1, None]})
    {'scale': 2.0, 'by': [1, None]}
    >>> describe(torch.arange(100)) == describe(torch.arange(100))
    True
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from odegan.utils.fingerprint.arrays import Plain
from odegan.utils.fingerprint.compare import compact
from odegan.utils.fingerprint.reader import Reader

__all__ = ["Fingerprint", "describe", "fingerprint"]


class Fingerprint(NamedTuple):
    """entries: each argument's description; unread: the name and class of everything that could not be read."""

    entries: dict[str, Plain]
    unread: list[str]


def describe(value: object) -> Plain:
    """A plain value that depends only on the content, in every process and under every version of Python."""
    return compact(Reader()("value", value))


def fingerprint(arguments: Mapping[str, object]) -> Fingerprint:
    """The descriptions of all arguments, which must be equal for a run to resume."""
    reader = Reader()
    with torch.no_grad():
        entries = {name: compact(reader(name, value)) for name, value in arguments.items()}
    return Fingerprint(entries, list(dict.fromkeys(reader.unread)))
