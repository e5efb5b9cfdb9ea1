"""One run a checkpoint: a lock that a run holds as long as it lives."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from filelock import FileLock, Timeout

from odegan.utils.checks import ArgumentError, one_line


class OneWriter:
    """The right to write a checkpoint, from ``OneWriter(path)`` to ``close()`` or the end of the process, however that comes.

    The lock is on a file of its own beside the checkpoint, which goes with it. What a killed run left half written goes, too:
    no other run is writing now.

    Raises:
        ArgumentError: another run holds it.
        OSError: nothing can be written there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        target = Path(path).resolve()
        self._path = target.with_name(f".{target.name}.lock")
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
        """Let others write. The file goes while it is still locked: whoever opened it meanwhile sees that it is gone."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._lock.release()


def _clear(target: Path) -> None:
    """Remove unfinished files of this checkpoint, by the name that ``checkpoint.save`` gives them."""
    unfinished = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.part")
    for entry in os.scandir(target.parent):
        if unfinished.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
