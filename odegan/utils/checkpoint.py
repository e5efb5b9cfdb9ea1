"""A checkpoint is one file of plain data, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from odegan.utils.checks import ArgumentError, one_line

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

VERSION = 1


def save(path: str | os.PathLike[str], payload: dict[str, Any]) -> None:
    """Write tensors and plain values to ``path`` atomically: readers see the old file or the new one, never a part."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    try:
        with _alone(part) if fcntl else contextlib.nullcontext():
            with open(part, "wb") as file:
                torch.save({"odegan_checkpoint": VERSION} | payload, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
    except (OSError, RuntimeError) as error:  # torch's writer hides a full disk in a RuntimeError
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        raise OSError(
            f"checkpoint: {str(path)!r} could not be written ({one_line(cause)}); what was saved before is as it was"
        ) from error


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Keep others from writing the same file meanwhile, and leave nothing of a failure.

    Raises ``BlockingIOError`` where another is writing it. A process that ends in any way
    loses its lock, and what it left is overwritten.
    """
    with open(part, "ab") as held:
        if not _locked(held, part):
            raise BlockingIOError("another run is writing it")
        try:
            yield
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
            raise


def _locked(held: BinaryIO, part: Path) -> bool:
    """Whether the open file is locked, and still the one of that name: another run may have finished it just now."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    try:
        return os.path.samestat(os.fstat(held.fileno()), part.stat())
    except FileNotFoundError:
        return False


def load(path: str | os.PathLike[str], device: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint as data: nothing in the file is executed.

    Raises ``ArgumentError`` for a file that is damaged, foreign, or of another version.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch compares no checksums
            torn = archive.testzip()
        if torn is not None:
            raise ValueError(f"{torn} in it is damaged")
        payload = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ArgumentError(
            f"checkpoint: got {str(path)!r}, which cannot be read ({one_line(error)}); it must be an odegan checkpoint"
        ) from error
    version = payload.get("odegan_checkpoint") if isinstance(payload, dict) else None
    if type(version) is not int or version != VERSION:
        raise ArgumentError(
            f"checkpoint: got {str(path)!r} of version {_short(version)}; it must be an odegan checkpoint of version {VERSION}"
        )
    return payload


def refuse_difference(path: str | os.PathLike[str], stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse to resume under other arguments, naming the first that differs, with both values, and the others."""
    different = [key for key in [*given, *(k for k in stored if k not in given)] if stored.get(key) != given.get(key)]
    if different:
        key = different[0]
        more = f" (and {', '.join(different[1:])})" if different[1:] else ""
        raise ArgumentError(
            f"{key}: got {_short(given.get(key))}, but {str(path)!r} was made with {_short(stored.get(key))}{more}; it must be "
            "the same to resume, or choose another checkpoint"
        )


def check_form(name: str, stored: Any, fresh: Any, open_parts: frozenset[str] = frozenset()) -> None:
    """Refuse, by a ``ValueError`` that names it, a stored value whose types, keys, shapes or dtypes are not those of a fresh
    one; ``open_parts`` are keys whose values may differ in form.
    """
    if isinstance(fresh, torch.Tensor):
        same = isinstance(stored, torch.Tensor) and (stored.shape, stored.dtype) == (fresh.shape, fresh.dtype)
    elif isinstance(fresh, dict):
        same = isinstance(stored, dict) and stored.keys() >= fresh.keys()
    elif isinstance(fresh, list | tuple):
        same = type(stored) is type(fresh) and len(stored) == len(fresh)
    else:
        same = type(stored) is type(fresh)
    if not same:
        raise ValueError(f"{name} is of another form")
    if isinstance(fresh, dict | list | tuple):
        for key in fresh if isinstance(fresh, dict) else range(len(fresh)):
            if key not in open_parts:
                check_form(f"{name} {key}", stored[key], fresh[key], open_parts)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:200]}..."
