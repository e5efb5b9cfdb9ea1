"""Load minibatches ahead of time in worker processes, bitwise the same as without them."""

from __future__ import annotations

import itertools
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from odegan.utils.checks import one_line

Made = TypeVar("Made")


class Prefetched(Generic[Made]):
    """``prefetched(index) -> make(index)``, while worker processes already make the following indices.

    Consecutive indices come from the workers; any other index restarts them from there, so that resuming replays nothing. Use
    it as a context manager, or call ``close`` to stop the workers.

    Args:
        make: pure function from the index to a tensor on the CPU, or a dict of them. It must be picklable unless processes are
            forked.
        workers: number of processes; 0: call ``make`` in this process.
        pin: put batches into pinned memory, from which a device can copy asynchronously.

    Examples:
        >>> with Prefetched(torch.arange(8.0).square().split(2).__getitem__, workers=0) as prefetched:
        ...     prefetched(1)
        tensor([4., 9.])
    """

    def __init__(self, make: Callable[[int], Made], workers: int, pin: bool = False) -> None:
        self._make = make
        self._workers = workers
        self._pin = pin
        self._ahead: Iterator[Any] | None = None
        self._last: tuple[int | None, Any] = (None, None)

    def __call__(self, index: int) -> Made:
        """Return, or raise, what ``make(index)`` does."""
        if not self._workers:
            return self._make(index)
        last, made = self._last
        if index != last:
            try:
                made = self._next(index, restart=last is None or index != last + 1)
            except BaseException as error:
                self.close()
                traceback.clear_frames(error.__traceback__)  # the frames keep the workers alive
                raise
            self._last = index, made
        return made

    def _next(self, index: int, restart: bool) -> Made:
        if restart:
            self.close()
        try:
            if self._ahead is None:
                self._ahead = _reports_on_request(iter(self._loader(index)))
            made = next(self._ahead)
        except (RuntimeError, OSError, EOFError) as error:
            raise ChildProcessError(f"workers: a process that loads data was lost ({one_line(error)})") from error
        if isinstance(made, _Failure):
            made.raise_again()
        return made

    def _loader(self, start: int) -> DataLoader[Made]:
        return DataLoader(
            _View(self._make),
            # ``make`` already returns whole minibatches.
            batch_size=None,
            sampler=itertools.count(start),
            num_workers=self._workers,
            pin_memory=self._pin,
            worker_init_fn=_leave_ctrl_c,
            generator=torch.Generator(),  # the loader's own seed must not move the global generator
        )

    def close(self) -> None:
        """Stop the worker processes."""
        self._ahead = None
        self._last = (None, None)

    def __enter__(self) -> Prefetched:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the worker processes."""
        self.close()


def _reports_on_request(ahead: Any) -> Any:
    """The loader's iterator, made to report a lost worker within five seconds after the next batch is requested.

    torch's SIGCHLD handler would instead raise as soon as a worker ends, wherever the run is: in a callback, or while a
    checkpoint is saved. The loader itself checks its workers while it waits for them.
    """
    if ahead._worker_pids_set:
        signal_handling._remove_worker_pids(id(ahead))
        ahead._worker_pids_set = False
    return ahead


class _View(Dataset[Any]):
    """The function as a data set; an exception is returned as a value."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __getitem__(self, index: int) -> Any:
        try:
            return self.make(index)
        except Exception as error:
            return _Failure(error)


class _Failure:
    """An exception passed from a worker to this process, which raises it with the worker's traceback as the cause."""

    def __init__(self, error: Exception) -> None:
        self.trace = "".join(traceback.format_exception(error))
        try:
            # Both ways: an exception with further arguments may be pickled and yet fail to load.
            pickle.loads(pickle.dumps(error))
            self.error = error
        except Exception:
            self.error = RuntimeError(f"{type(error).__name__}: {error}")

    def raise_again(self) -> None:
        raise self.error from RuntimeError(f"in a worker process:\n{self.trace}")


def _leave_ctrl_c(worker: int) -> None:
    """Ignore Ctrl-C, which all processes of a terminal receive: the run ends in an orderly way and then stops its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
