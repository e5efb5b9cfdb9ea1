"""``Batch``: the input of the field besides the time and the parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.utils._pytree as pytree

from odegan.utils.checks import argument_error
from odegan.utils.written import brief


@dataclass(eq=False, repr=False)
class Batch:
    """One minibatch of B samples. Absent fields are None.

    Attributes:
        real: data (B, ...).
        latent: the generator's inputs (B, ...).
        label: classes of the real samples (B,), for conditional networks.
        fake_label: classes of the generated samples (B,); None: those of the real ones.
        noise: uniform numbers (B,) in [0, 1) for penalties that interpolate between real and generated samples.
        augment: random numbers (B, 2, K) of an augmented game, for real and for generated samples; see
            ``odegan.games.augmentation.Augmentation``.
        replay: samples from replay buffers: name -> (real (B, ...), fake (B, ...)), in class-conditional games (real, fake,
            label (B,), fake_label (B,)).
        buffers: module buffers that change between steps, such as spectral norm's u and v: name -> tensor.

    In an ensemble every tensor has the member dimension in front; in a segment it has the steps in front of that. The class is
    registered as a pytree without absent fields, so that ``torch.vmap(f, in_dims=0)`` maps over the fields that are present. A
    batch unpacks as ``real, latent = batch``, and public functions also accept such a pair.

    Examples:
        >>> batch = Batch(torch.zeros(8, 2), torch.zeros(8, 5))
        >>> real, latent = batch
        >>> len(pytree.tree_leaves(batch))
        2
        >>> batch
        Batch(real=float32 (8, 2), latent=float32 (8, 5))
    """

    # Not typed as optional, because every game of networks reads both.
    real: torch.Tensor = None  # type: ignore[assignment]
    latent: torch.Tensor = None  # type: ignore[assignment]
    label: torch.Tensor | None = None
    fake_label: torch.Tensor | None = None
    noise: torch.Tensor | None = None
    augment: torch.Tensor | None = None
    replay: Mapping[str, tuple[torch.Tensor, ...]] | None = None
    buffers: dict[str, torch.Tensor] | None = None

    def __repr__(self) -> str:
        """The fields that are present, by their types and shapes."""
        present = {field.name: getattr(self, field.name) for field in fields(self)}
        return f"Batch({', '.join(f'{n}={brief(x)}' for n, x in present.items() if x is not None)})"

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Unpack as the pair (real, latent)."""
        return iter((self.real, self.latent))

    def __getitem__(self, i: int) -> torch.Tensor:
        """Part 0 (real) or 1 (latent) of the pair."""
        return (self.real, self.latent)[i]


BatchLike = Batch | tuple[torch.Tensor, torch.Tensor] | None  # what public functions accept as a batch

_NAMES = tuple(field.name for field in fields(Batch))


def _flatten(batch: Batch) -> tuple[list[object], tuple[str, ...]]:
    # None would be a leaf of its own, for which torch.vmap needs an in_dims of None.
    present = tuple(name for name in _NAMES if getattr(batch, name) is not None)
    return [getattr(batch, name) for name in present], present


def _flatten_with_keys(batch: Batch) -> tuple[list[tuple[pytree.KeyEntry, object]], tuple[str, ...]]:
    values, present = _flatten(batch)
    return [(pytree.GetAttrKey(name), value) for name, value in zip(present, values, strict=True)], present


def _unflatten(values: Iterable[Any], present: tuple[str, ...]) -> Batch:
    return Batch(**dict(zip(present, values, strict=True)))


pytree.register_pytree_node(
    Batch, _flatten, _unflatten, serialized_type_name="odegan.Batch", flatten_with_keys_fn=_flatten_with_keys
)


def as_batch(batch: object) -> Batch | None:
    """The batch as a ``Batch``; a pair (real, latent) is converted, None stays None.

    Raises:
        ArgumentError: for anything else.
    """
    if batch is None or isinstance(batch, Batch):
        return batch
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return Batch(batch[0], batch[1])
    got = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, tuple | list) else type(batch).__name__
    argument_error("batch", got, "an odegan.Batch, with label=... for classes, a pair (real, latent), or None")
