"""Damage to a checkpoint, as functions of its content and a random source."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import torch


def truncated(content: bytes, source: random.Random) -> bytes:
    """The bytes up to a random length."""
    return content[: source.randrange(len(content))]


def flipped(content: bytes, source: random.Random) -> bytes:
    """The bytes with one bit flipped."""
    place = source.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << source.randrange(8))]) + content[place + 1 :]


def overwritten(content: bytes, source: random.Random) -> bytes:
    """The bytes with a stretch of them replaced by random ones."""
    place = source.randrange(len(content))
    length = source.randrange(1, 64)
    return content[:place] + source.randbytes(length) + content[place + length :]


def lengthened(content: bytes, source: random.Random) -> bytes:
    """The bytes with random ones after them."""
    return content + source.randbytes(source.randrange(1, 200))


DAMAGE = {
    "cut off": truncated,
    "one bit flipped": flipped,
    "a stretch overwritten": overwritten,
    "bytes behind": lengthened,
}


def mangled(payload: dict[str, Any], source: random.Random) -> dict[str, Any]:
    """A checkpoint of which one part, wherever it lies, is missing or of another kind."""
    found = copy.deepcopy(payload)
    holder, key = source.choice(list(_places(found)))
    if isinstance(holder, dict) and source.random() < 0.3:
        del holder[key]
    else:
        holder[key] = source.choice([None, "x", [], {}, torch.zeros(2, 3), torch.tensor(True)])
    return found


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key) of a tree of dicts and lists, but the version."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        if key != "odegan_checkpoint":
            yield tree, key
            if isinstance(tree[key], dict | list):
                yield from _places(tree[key])
