"""Hooks around a run: the user's callbacks, progress, checkpoints, Ctrl-C.

Each is a ``Hook``, with ``start(run)``, ``after(run, info)`` and ``finish(run)``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from odegan.training.hooks.checkpoint import Checkpoint
from odegan.training.hooks.hook import Ending, Hook, RunInProgress
from odegan.training.hooks.interrupt import Interrupt
from odegan.training.hooks.progress import Progress
from odegan.training.hooks.user import User
from odegan.training.state import Callbacks
from odegan.utils.distributed import Ranks

__all__ = ["Checkpoint", "Ending", "Hook", "Interrupt", "Progress", "RunInProgress", "User", "around", "hooks"]


@contextlib.contextmanager
def around(run: RunInProgress, hooks: Sequence[Hook]) -> Iterator[None]:
    """Start a run's hooks in reverse order; on exit finish all that have started, even if some of them raise."""
    with contextlib.ExitStack() as stack:
        for hook in reversed(hooks):
            # Registered right after its own start: an error in a later hook's start still finishes this one.
            hook.start(run)
            stack.callback(hook.finish, run)
        yield


def hooks(
    callback: Callbacks,
    progress: bool | str,
    checkpoint: Checkpoint | None,
    interruptible: bool,
    ranks: Ranks | None = None,
) -> list[Hook]:
    """The hooks of a run, in the order in which they act.

    The checkpoint comes after the user's callbacks, so that it contains their effects, and Ctrl-C comes last, since it reports
    what was saved. Hooks start in reverse order, so that the others see the resumed state. With several ranks, only the first
    one writes and prints.
    """
    speaks = ranks is None or ranks.rank == 0
    users = list(callback) if isinstance(callback, Sequence) else [callback] if callback is not None else []
    found: list[Hook] = [User(one) for one in users]
    if progress and speaks:
        found.append(Progress(progress if isinstance(progress, str) else "odegan"))
    if checkpoint is not None:
        found.append(checkpoint)
    if interruptible:
        found.append(Interrupt(None if checkpoint is None else checkpoint.path, speaks))
    return found
