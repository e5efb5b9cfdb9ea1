"""What one evaluation of the field sees besides the time and the parameters."""

from __future__ import annotations

from typing import Any

import torch
import torch.utils._pytree as pytree


class Batch(tuple):
    """One minibatch: ``Batch(real, latent, noise=None, replay=None, buffers=None)``, indexable in that order.

    real: (B, ...) data; latent: (B, ...) the generator's input; noise: extra randomness a loss may want; replay: stored
    samples of penalties with memory; buffers: module buffers that move between steps (spectral norm's u and v), by name.
    Ensembles put a member dimension first in every tensor. Absent parts are None and are invisible to ``torch.vmap``
    and ``tree_map``, so that ``in_dims=0`` maps over whatever is there.
    """

    __slots__ = ()

    def __new__(
        cls,
        real: torch.Tensor | None = None,
        latent: torch.Tensor | None = None,
        noise: Any = None,
        replay: Any = None,
        buffers: Any = None,
    ) -> Batch:
        """Collect the parts; see the class."""
        return super().__new__(cls, (real, latent, noise, replay, buffers))

    @property
    def real(self) -> torch.Tensor:
        """Data samples (B, ...)."""
        return self[0]

    @property
    def latent(self) -> torch.Tensor:
        """The generator's inputs (B, ...)."""
        return self[1]

    @property
    def noise(self) -> Any:
        """Extra randomness, or None."""
        return self[2]

    @property
    def replay(self) -> Any:
        """Stored samples of penalties with memory, or None."""
        return self[3]

    @property
    def buffers(self) -> Any:
        """Module buffers that move between steps, by name, or None."""
        return self[4]

    def with_buffers(self, buffers: Any) -> Batch:
        """The same batch with these buffers."""
        return Batch(self[0], self[1], self[2], self[3], buffers)

    def with_noise(self, noise: Any) -> Batch:
        """The same batch with this noise."""
        return Batch(self[0], self[1], noise, self[3], self[4])

    def with_replay(self, replay: Any) -> Batch:
        """The same batch with these stored samples."""
        return Batch(self[0], self[1], self[2], replay, self[4])


def _flatten(batch: Batch) -> tuple[list[Any], tuple[int, ...]]:
    present = tuple(i for i, part in enumerate(batch) if part is not None)
    return [batch[i] for i in present], present


def _unflatten(parts: Any, present: tuple[int, ...]) -> Batch:
    whole: list[Any] = [None] * 5
    for i, part in zip(present, parts, strict=True):
        whole[i] = part
    return Batch(*whole)


pytree.register_pytree_node(Batch, _flatten, _unflatten, serialized_type_name="odegan.Batch")
