"""A lock that keeps two runs from writing the same checkpoint."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from filelock import FileLock, Timeout

from odegan.utils.checks import ArgumentError, one_line


class OneWriter:
    """The exclusive right to write a checkpoint, from ``OneWriter(path)`` until ``close()`` or the end of the process.

    The lock is on a separate file beside the checkpoint, which ``close`` removes. Unfinished files that a killed run left are
    removed as well: no other run can be writing them.

    Raises:
        ArgumentError: another run holds the lock.
        OSError: the folder is not writable.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Resolved, so that two names of one file, as through a link, meet at one lock.
        target = Path(path).resolve()
        self._path = target.with_name(f".{target.name}.lock")
        # No timeout: a second run should say so at once. Not per thread: it may be released by another one.
        self._lock = FileLock(self._path, timeout=0, thread_local=False)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            raise ArgumentError(
                f"checkpoint: got {str(path)!r}, which another run is using; it must be a path of this run's own, or that run "
                "must end first"
            ) from error
        except OSError as error:
            raise OSError(f"checkpoint: {str(path)!r} could not be written ({one_line(error)})") from error
        _clear(target)

    def close(self) -> None:
        """Release the lock. The file is removed while still locked, so that a process that has just opened it sees that it is
        gone.
        """
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._lock.release()


def _clear(target: Path) -> None:
    """Remove this checkpoint's unfinished files, which ``checkpoint.save`` names after it."""
    # Only names with this checkpoint's own pattern: other files in the folder are none of our business.
    unfinished = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.part")
    for entry in os.scandir(target.parent):
        if unfinished.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
