"""The real images that scores are computed from, read in batches and identified by a digest of all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import Dataset

from odegan.data import ImageDataset
from odegan.data.global_generators import reseeded_generators
from odegan.data.workers import Prefetched
from odegan.utils.checks import ArgumentError, argument_error, check_int
from odegan.utils.fingerprint import describe
from odegan.utils.random_streams import generator

Images = Tensor | Dataset[Tensor | tuple[Tensor, int] | tuple[Tensor, ...]]


class RealData:
    """The images in use, always the same ones in the same order.

    Args:
        dataset: a tensor (N, C, H, W), or a map-style Dataset of images or (image, label). The random transforms of an
            ``odegan.data.images`` are left out.
        n_real: number of images used, drawn without replacement; None: all.
        batch_size: images read at once.
        workers: processes that read them.
        stated: the user's own name of the data; None: use a digest of every image in use.
    """

    def __init__(
        self,
        dataset: Images,
        n_real: int | None = None,
        batch_size: int = 128,
        workers: int = 0,
        stated: str | None = None,
    ) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or len(dataset) < 2:
            argument_error("dataset", dataset, "a tensor (N, C, H, W) or a map-style data set, of at least 2 images")
        # Scores must not depend on flips that training draws.
        self._images = dataset.still() if isinstance(dataset, ImageDataset) else dataset
        total = len(dataset)
        self.n = total if n_real is None else check_int("n_real", n_real, low=2)
        if self.n > total:
            argument_error("n_real", n_real, f"at most {total}, the images there are")
        # A random subset, since data sets are often sorted by class, but always the same one.
        order = torch.arange(total) if self.n == total else torch.randperm(total, generator=generator(0, "real", 0))
        self._rows = order[: self.n].split(batch_size)
        self._workers = workers
        self._identity = None if stated is None else ["stated", stated, total]
        self.shape = tuple(read_batch(self._images, order[:1].split(1), 0).shape[1:])

    def batches(self) -> Iterator[Tensor]:
        """Images (B, C, H, W)."""
        # The digest comes from the pass that scores need anyway; its cost is small compared with an extractor's.
        digest = hashlib.sha256()
        read = partial(read_batch, self._images, self._rows)
        with Prefetched(read, self._workers, pin=False) as ahead:
            for k in range(len(self._rows)):
                images = ahead(k)
                # The type and shape too: equal bytes can be other images.
                if k == 0:
                    digest.update(f"{images.dtype} {tuple(images.shape[1:])}".encode())
                digest.update(images.detach().cpu().contiguous().view(torch.uint8).numpy().data)
                yield images
        self._identity = self._identity or ["read", self.n, digest.hexdigest()]

    def identity(self) -> list[object]:
        """The identity of these images: as stated by the user or the data set, else a digest of every image in use.

        For the digest the images are read once, unless they have been read already.
        """
        if self._identity is None and hasattr(self._images, "__odegan_fingerprint__"):
            self._identity = [describe(self._images.__odegan_fingerprint__()), len(self._images)]
        if self._identity is None:
            for _ in self.batches():
                pass
        assert self._identity is not None
        return self._identity


def read_batch(images: Images, rows: Sequence[Tensor], k: int) -> Tensor:
    """The k-th batch. Random transforms of a user's data set are seeded by k."""
    if isinstance(images, Tensor):
        return images[rows[k]]
    with reseeded_generators() as reseed:
        reseed(k)
        items = [images[int(i)] for i in rows[k]]
    tensors = [torch.as_tensor(item[0] if isinstance(item, tuple | list) else item) for item in items]
    if len({tensor.shape for tensor in tensors}) > 1:
        raise ArgumentError("dataset: got images of several shapes; they must have one")
    return torch.stack(tensors)
