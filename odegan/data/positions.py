"""Which rows of a data set each minibatch takes."""

from __future__ import annotations

import torch
from einops import rearrange

from odegan.utils.random_streams import PERMUTATION, Seeds, Stream


class Positions:
    """Rows of n consecutive minibatches in the endless sequence of the epochs' permutations, which follow one another, so that
    every row is used whatever the batch size.

    Args:
        rows: how many there are.
        size: of a whole minibatch.
        part: which of its samples are asked for here.
        seeds: one seed, or a list of the members'.
        name: of the stream that the permutations are drawn from.
        device: where they are made and kept; E x rows numbers for the present epochs.

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
        """(n, B), or (n, E, B)."""
        first = start * self._size // self._rows
        last = ((start + n) * self._size - 1) // self._rows
        sequence = rearrange(self._epochs.block(first, last + 1 - first), "epoch ... row -> ... (epoch row)")
        begin = start * self._size - first * self._rows
        chosen = sequence[..., begin : begin + n * self._size]
        return rearrange(chosen, "... (n sample) -> n ... sample", n=n)[..., self._part]
