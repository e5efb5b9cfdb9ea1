"""Make descriptions small enough for a checkpoint, and say where two of them differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from odegan.utils.fingerprint.arrays import Plain, digest

LONGEST = 4000  # characters of one argument's description; short ones stay readable
_SHOWN = 160  # characters of a value in a message
_TITLES = ("function", "class", "object", "method", "partial")


def compact(found: Plain, limit: int = LONGEST) -> Plain:
    """The description, with long entries replaced by their digests until it fits."""
    text = json.dumps(found, sort_keys=True)
    if len(text) <= limit:
        return found
    if not isinstance(found, dict | list) or limit < 200 or len(found) > limit // 40:
        return f"{_title(found)} {digest(text.encode())}"
    # Two thirds, since the keys and the punctuation between the entries need room too.
    each = max(100, 2 * limit // (3 * len(found)))
    if isinstance(found, dict):
        return {name: compact(entry, each) for name, entry in found.items()}
    return [compact(entry, each) for entry in found]


def _title(found: Plain) -> str:
    if isinstance(found, dict):
        title = next((found[key] for key in _TITLES if key in found), None)
        return title if isinstance(title, str) else _title(title) if title else f"{len(found)} entries"
    return f"list of {len(found)}" if isinstance(found, list) else "text"


class Difference(NamedTuple):
    """The first place where two descriptions differ."""

    path: str
    given: str
    stored: str


def difference(given: Plain, stored: Plain, path: str = "") -> Difference | None:
    """The innermost place where they first differ, or None."""
    if _same(given, stored):
        return None
    pairs: list[tuple[str, Plain, Plain]] = []
    if isinstance(given, dict) and isinstance(stored, dict) and given.keys() == stored.keys():
        pairs = [(f"{path}.{name}" if path else name, given[name], stored[name]) for name in given]
    elif isinstance(given, list) and isinstance(stored, list) and len(given) == len(stored) and not _short(given):
        pairs = [(f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip(given, stored, strict=True))]
    inner = next((found for p, a, b in pairs if (found := difference(a, b, p))), None)
    return inner or Difference(path, shown(given), shown(stored))


def _same(given: Plain, stored: Plain) -> bool:
    """Whether they are equal in types too: 1, 1.0 and True are not."""
    return json.dumps(given, sort_keys=True) == json.dumps(stored, sort_keys=True)


def _short(found: Plain) -> bool:
    return all(not isinstance(entry, dict | list) for entry in found) and len(repr(found)) <= _SHOWN


def differing(given: Mapping[str, Plain], stored: Mapping[str, Plain]) -> list[str]:
    """The names whose descriptions differ or are missing on one side."""
    names = [*given, *(name for name in stored if name not in given)]
    return [name for name in names if not _same(given.get(name), stored.get(name))]


def shown(found: object) -> str:
    """A description on one line of a message."""
    if isinstance(found, dict):
        found = _title(found)
        return found if len(found) <= _SHOWN else f"{found[:_SHOWN]}..."
    text = " ".join(repr(found).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
