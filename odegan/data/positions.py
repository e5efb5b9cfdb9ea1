"""The rows of a data set that each minibatch consists of."""

from __future__ import annotations

import torch
from einops import rearrange

from odegan.utils.random_streams import PERMUTATION, Seeds, Stream


class Positions:
    """Rows of consecutive minibatches, read from the concatenated permutations of all epochs.

    A minibatch may span two epochs, so that every row is used whatever the batch size.

    Args:
        rows: number of rows.
        size: size of a whole minibatch.
        part: the slice of it that is needed here.
        seeds: one seed, or a list with one per member.
        name: name of the random stream of the permutations.
        device: where the current epochs' permutations are made and kept, E x rows integers each.

    Examples:
        >>> Positions(3, 2, slice(2), 0, "data", torch.device("cpu")).block(0, 3).flatten().split(3)[0].sort().values
        tensor([0, 1, 2])
    """

    def __init__(self, rows: int, size: int, part: slice, seeds: Seeds, name: str, device: torch.device) -> None:
        self._rows = rows
        self._size = size
        self._part = part
        self._epochs = Stream(PERMUTATION, seeds, name, (rows,), device)

    def block(self, start: int, n: int) -> torch.Tensor:
        """The rows of minibatches start, ..., start + n - 1: (n, B), or (n, E, B) in an ensemble."""
        # Integers: start * size may exceed what float64 represents exactly in a long run on a large set.
        first = start * self._size // self._rows
        last = ((start + n) * self._size - 1) // self._rows
        sequence = rearrange(self._epochs.block(first, last + 1 - first), "epoch ... row -> ... (epoch row)")
        begin = start * self._size - first * self._rows
        chosen = sequence[..., begin : begin + n * self._size]
        return rearrange(chosen, "... (n sample) -> n ... sample", n=n)[..., self._part]
