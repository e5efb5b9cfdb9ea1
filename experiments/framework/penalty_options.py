"""The penalties on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tyro.conf import UseAppendAction

from odegan import penalties
from odegan.penalties import Penalty

NONE = "none"


@dataclass
class PenaltyOptions:
    """The option ``penalty``, which every experiment has."""

    penalty: UseAppendAction[tuple[str, ...]] = ()
    """NAME:WEIGHT[,KEY=VALUE...], as jare:10 or closed_loop:0.01,kind=abs; may be repeated. none: no penalty. Left out: the
    experiment's own."""

    # The default of ``penalty``.
    own_penalty: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Fill in the experiment's default penalty."""
        self.penalty = tuple(self.penalty) or self.own_penalty

    def chosen_penalties(self) -> list[Penalty]:
        """The penalties.

        >>> PenaltyOptions(penalty=("jare:10", "r1:1")).chosen_penalties()
        [jare(10.0, chunks=None, unbiased=False), r1(1.0)]
        """
        return [penalties.parse(text) for text in self.penalty if text != NONE]
