"""Checkpoints: each is one file of plain data, written atomically."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch

from odegan.utils.checks import ArgumentError, one_line
from odegan.utils.fingerprint.compare import difference, differing, shown

VERSION = 2

FilePath: TypeAlias = str | os.PathLike[str]


def save(path: FilePath, payload: Mapping[str, object]) -> None:
    """Write the ``payload``, tensors and plain values by name, to ``path`` atomically: readers see the old file or the new
    one, never part of one.

    A symbolic link is followed and kept, and an existing file keeps its mode.

    Raises:
        OSError: the file could not be written; the old one is unchanged.

    Examples:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/state.pt"
        >>> save(path, {"y": torch.ones(2), "steps": 3})
        >>> load(path)["steps"]
        3
    """
    target = Path(path).resolve()
    # Beside the target, since ``os.replace`` is atomic only within one file system.
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "xb") as file:  # "x" fails if the name exists, even as a link
                if target.exists():
                    os.chmod(part, stat.S_IMODE(target.stat().st_mode))
                torch.save({"odegan_checkpoint": VERSION, **payload}, file)
                # Without fsync a power loss may leave the new name with the old, or no, content.
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)
    except (OSError, RuntimeError) as error:  # torch's writer hides a full disk in a RuntimeError
        # The OSError behind it says "No space left on device"; the RuntimeError speaks of a failed write of some bytes.
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        raise OSError(
            f"checkpoint: {str(path)!r} could not be written ({one_line(cause)}); what was saved before is as it was"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a new directory entry survive a power loss, on systems that support it."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def load(path: FilePath, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read the checkpoint at ``path`` as data, its tensors onto ``device``: nothing in the file is executed.

    Raises:
        ArgumentError: the file is damaged, foreign, or of another version.
        FileNotFoundError: there is none.

    Examples:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/state.pt"
        >>> save(path, {"y": torch.ones(2)})
        >>> load(path, device="cpu")["y"]
        tensor([1., 1.])
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch compares no checksums
            torn = archive.testzip()
        if torn is not None:
            raise ValueError(f"{torn} in it is damaged")
        payload = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise  # a missing file means a new run, which is for the caller to decide
    except Exception as error:  # zipfile, pickle and torch raise a dozen classes for a damaged file
        raise ArgumentError(
            f"checkpoint: got {str(path)!r}, which cannot be read ({one_line(error)}); it must be an odegan checkpoint"
        ) from error
    version = payload.get("odegan_checkpoint") if isinstance(payload, dict) else None
    # ``type``, not isinstance: True is an int, and compares equal to 1.
    if type(version) is not int or version != VERSION:
        raise ArgumentError(
            f"checkpoint: got {str(path)!r} of version {shown(version)}; it must be an odegan checkpoint of version {VERSION}"
        )
    return payload


def refuse_difference(path: FilePath, stored: Mapping[str, object], given: Mapping[str, object]) -> None:
    """Refuse to resume with other arguments: name the first that differs, with both values, and list the others."""
    different = differing(given, stored)
    if different:
        key = different[0]
        found = difference(given.get(key), stored.get(key))
        assert found is not None
        where = f" (in {found.path})" if found.path else ""
        more = f" (and {', '.join(different[1:])})" if different[1:] else ""
        raise ArgumentError(
            f"{key}: got {found.given}{where}, but {str(path)!r} was made with {found.stored}{more}; it must be the same to "
            "resume, or choose another checkpoint"
        )


def check_form(name: str, stored: Any, fresh: Any, open_parts: frozenset[str] = frozenset()) -> None:
    """Raise a ``ValueError`` if a stored value differs from a fresh one in types, keys, shapes or dtypes.

    ``open_parts`` are keys whose values may differ in form.
    """
    if isinstance(fresh, torch.Tensor):
        same = isinstance(stored, torch.Tensor) and (stored.shape, stored.dtype) == (fresh.shape, fresh.dtype)
    elif isinstance(fresh, dict):
        # Further keys do no harm; a missing one would be a KeyError in the middle of the run.
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
