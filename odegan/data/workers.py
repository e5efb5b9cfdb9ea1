"""Batches made ahead of time by worker processes, in order and to the bit as they would be made here."""

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
    """``prefetched(index) -> make(index)``, with the indices after it already under way in worker processes.

    Asked for one index after the other it only hands on what the workers have; any other index starts them anew from there,
    so that resuming replays nothing. Use it as a context manager, or call ``close``: the workers end there.

    Args:
        make: pure function of the index to a tensor on the CPU, or a dict of them. Where processes are not forked it must be
            picklable.
        workers: how many processes; 0: none, ``make`` is called here.
        pin: put batches into pinned memory, from which a device copies without waiting.

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
        """What ``make(index)`` gives, or raises."""
        if not self._workers:
            return self._make(index)
        last, made = self._last
        if index != last:
            try:
                made = self._next(index, restart=last is None or index != last + 1)
            except BaseException as error:
                self.close()
                traceback.clear_frames(error.__traceback__)  # they hold the workers
                raise
            self._last = index, made
        return made

    def _next(self, index: int, restart: bool) -> Made:
        if restart:
            self.close()
        try:
            if self._ahead is None:
                self._ahead = _tells_when_asked(iter(self._loader(index)))
            made = next(self._ahead)
        except (RuntimeError, OSError, EOFError) as error:
            raise ChildProcessError(f"workers: a process that loads data was lost ({one_line(error)})") from error
        if isinstance(made, _Failure):
            made.raise_again()
        return made

    def _loader(self, start: int) -> DataLoader[Made]:
        return DataLoader(
            _View(self._make),
            batch_size=None,
            sampler=itertools.count(start),
            num_workers=self._workers,
            pin_memory=self._pin,
            worker_init_fn=_leave_ctrl_c,
            generator=torch.Generator(),  # the loader's own seed must not move the global generator
        )

    def close(self) -> None:
        """End the workers."""
        self._ahead = None
        self._last = (None, None)

    def __enter__(self) -> Prefetched:
        """Itself."""
        return self

    def __exit__(self, *_: Any) -> None:
        """End the workers."""
        self.close()


def _tells_when_asked(ahead: Any) -> Any:
    """The loader's iterator, which tells of a lost worker where the next batch is asked for, within five seconds.

    Torch's handler of SIGCHLD would raise as soon as the worker ends, wherever the run is: in a callback, or in the middle of
    saving a checkpoint. The loader looks after its workers itself while it waits for them.
    """
    if ahead._worker_pids_set:
        signal_handling._remove_worker_pids(id(ahead))
        ahead._worker_pids_set = False
    return ahead


class _View(Dataset[Any]):
    """The function as a data set; what it raises travels as a value."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __getitem__(self, index: int) -> Any:
        try:
            return self.make(index)
        except Exception as error:
            return _Failure(error)


class _Failure:
    """An exception on its way out of a worker: it is raised here as it was there, with its traceback as the cause."""

    def __init__(self, error: Exception) -> None:
        self.trace = "".join(traceback.format_exception(error))
        try:
            pickle.loads(pickle.dumps(error))
            self.error = error
        except Exception:
            self.error = RuntimeError(f"{type(error).__name__}: {error}")

    def raise_again(self) -> None:
        raise self.error from RuntimeError(f"in a worker process:\n{self.trace}")


def _leave_ctrl_c(worker: int) -> None:
    """Ctrl-C goes to all processes of a terminal; the run itself ends in good order, and then its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
