"""Minibatches as a pure function of (seed, index), so that a run can resume anywhere without replaying its past."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import TracebackType

import torch
from torch import Tensor

from odegan.data.given import Data, Labels, Latent, Table, checked_latent, is_data_set, opened
from odegan.data.samplers import Fields, Share, has_label, sampler
from odegan.games.batch import Batch
from odegan.games.labels import check_classes
from odegan.utils.checks import argument_error, check_bool, choose
from odegan.utils.distributed import Ranks
from odegan.utils.random_streams import Seeds

FAKE_LABELS = ("independent", "same")


class Minibatches:
    """``minibatches.block(start, n) -> Batch`` of n consecutive minibatches, and ``minibatches(index) -> Batch`` of one.

    Both give the same numbers: block(start, n) holds minibatches start, ..., start + n - 1, with dimensions n, then E in an
    ensemble, then B. They depend only on (seed, index), so that a member gets the minibatches of the single run with its seed,
    and a resumed run gets those of the uninterrupted one.

    Args:
        data: one of

            - a tensor or numpy array (N, ...), held once on the device and drawn without replacement within an epoch (a
              minibatch may span two epochs, so that every sample is used whatever the batch size). uint8 levels are held as
              such, and become v / 127.5 - 1 in the minibatch. With labels: a tuple of it and of N whole numbers, an array or a
              list;
            - a map-style Dataset, drawn in the same way. An item is a sample, or a tuple (sample, label, ...);
            - a DataLoader, which gives its data set, batch size and number of workers;
            - a function (n, generator) -> (n, ...), called once per minibatch; with labels it returns ((n, ...), (n,)).
        latent: int or shape for N(0, I), or a function (n, generator) -> (n, ...); integer latents stay integers.
        batch_size: B; None: that of the loader, or all of the data.
        seeds: one seed, or one per member of an ensemble.
        like: a tensor with the device and dtype of the minibatches. Draws are made in float32, so that a run in float64 sees
            the same numbers.
        ranks: the processes that share each minibatch; each gets an equal part.
        workers: processes that load a Dataset's items ahead of time, bitwise the same ones; they end with the ``with`` block in
            which the minibatches are used.
        labels: whether to return the classes of the samples in ``Batch.label`` (B,) int64.
        fake_labels: the labels of generated samples: "independent", drawn from the data's labels into ``Batch.fake_label``; or
            "same", those of the real samples, for which ``Batch.fake_label`` is None.

    Datasets and functions are called with the global generators of torch, numpy and ``random`` seeded for the item or the
    minibatch, and in the grad mode in which the ``Minibatches`` object was made.

    Raises:
        ArgumentError: the data or latents cannot be drawn from.

    Examples:
        >>> x = torch.arange(6.0).reshape(6, 1)
        >>> epoch = Minibatches(x, 2, 3, [0], torch.empty(0)).block(0, 2)
        >>> epoch.real.shape, sorted(epoch.real.flatten().tolist())
        (torch.Size([2, 1, 3, 1]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    """

    def __init__(
        self,
        data: Data,
        latent: Latent,
        batch_size: int | None,
        seeds: int | Sequence[int],
        like: Tensor,
        ranks: Ranks | None = None,
        workers: int = 0,
        labels: bool = False,
        fake_labels: str = "independent",
    ) -> None:
        self.seeds: Seeds = seeds if isinstance(seeds, int) else list(seeds)
        self.like = like
        check_bool("labels", labels)
        choose("fake_labels", fake_labels, FAKE_LABELS)
        self._wanted = Labels(labels, labels and fake_labels == "independent")
        self._given = opened(data, batch_size, workers, self._wanted)
        self._latents = checked_latent(latent)
        known = self._given.labels
        # A label out of range ends an accelerator's process, so the trial must meet the extremes.
        self._extremes = known.aminmax() if known is not None and known.numel() else None
        self._classes: int | None = None
        self._open(self.seeds, ranks, self._given.workers)

    def _open(self, seeds: Seeds, ranks: Ranks | None, workers: int) -> None:
        size = self._given.size
        # Grad mode is noted now: the run changes it, and a user's function is called in the user's own.
        share = Share(size, _part(size, ranks), seeds, self.like.device, torch.is_grad_enabled())
        self._real = sampler("data", self._given.source, share, self._wanted, workers)
        self._latent = sampler("latent", self._latents, share, Labels(), 0)

    @property
    def labeled(self) -> bool:
        """Whether the data have labels, whether these are drawn or not; unknown of a function, and taken for no."""
        source = self._given.source
        if isinstance(source, Table):
            return source.labels is not None
        return is_data_set(source) and has_label(source)

    def __call__(self, index: int) -> Batch:
        """The minibatch number ``index``."""
        return Batch(**{name: part[0] for name, part in self.fields(index, 1).items()})  # type: ignore[arg-type]

    def allow(self, classes: int | None) -> None:
        """Refuse labels that are not among 0..classes-1: at once if they are known beforehand, else where one is drawn.

        Raises:
            ArgumentError: such a label is known.
        """
        self._classes = classes
        if self._given.labels is not None:
            check_classes("data labels", self._given.labels, classes)

    @property
    def labels_known(self) -> bool:
        """Whether all labels are known beforehand."""
        return self._given.labels is not None

    def trial(self) -> Batch:
        """The first member's whole first minibatch, with the smallest and the largest label among its labels if all are known.

        A run will draw these labels too.
        """
        # No workers, which would start to load a stream that is never read.
        alone = copy.copy(self)
        alone._open(self.seeds if isinstance(self.seeds, int) else self.seeds[0], None, 0)
        batch = alone(0)
        for labels in (batch.label, batch.fake_label):
            if labels is not None and self._extremes is not None:
                labels[-1], labels[0] = self._extremes
        return batch

    def block(self, start: int, n: int) -> Batch:
        """Minibatches start, ..., start + n - 1: real (n, B, ...) and so on, or (n, E, B, ...) in an ensemble."""
        return Batch(**self.fields(start, n))  # type: ignore[arg-type]

    def fields(self, start: int, n: int) -> Fields:
        """The block as a dict: real, latent, and label and fake_label if requested."""
        # Separate streams: the latents do not depend on how the data are drawn.
        drawn = self._real.block(start, n) | self._latent.block(start, n)
        for name in ("label", "fake_label"):
            # Those of a table were checked beforehand.
            if name in drawn and not isinstance(self._given.source, Table):
                check_classes("data labels", drawn[name], self._classes)
        return {name: self._placed(name, part) for name, part in drawn.items()}

    def __enter__(self) -> Minibatches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the worker processes."""
        self._real.close()

    def _placed(self, name: str, x: Tensor) -> Tensor:
        """Move a part to the device, floating-point numbers to the run's dtype, and scale 8-bit levels v to v / 127.5 - 1."""
        if name == "real" and not x.is_floating_point():
            if x.dtype != torch.uint8:
                argument_error("data", x, "floating point, or levels in uint8")
            # Levels cross to the device as bytes, a quarter of the traffic, and are scaled there.
            x = x.to(self.like.device, non_blocking=self.like.is_cuda).float() / 127.5 - 1
        dtype = self.like.dtype if x.is_floating_point() else x.dtype
        return x.to(self.like.device, dtype, non_blocking=self.like.is_cuda)


def _part(size: int, ranks: Ranks | None) -> slice:
    """The slice of a minibatch that belongs to this process."""
    if ranks is None:
        return slice(size)
    # Unequal shares would weigh samples unequally in the mean over ranks.
    if size % ranks.size:
        argument_error("batch_size", size, f"a multiple of the {ranks.size} processes that share it")
    each = size // ranks.size
    return slice(ranks.rank * each, (ranks.rank + 1) * each)
