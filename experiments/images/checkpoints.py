"""The checkpoints of ``train``: parameters, averages, and the preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch

from experiments.images.ingredients import make_game
from experiments.images.preset import RAW, Preset
from odegan import ArgumentError
from odegan.games.network import NetworkGame
from odegan.training.state import State, check_state
from odegan.utils import checkpoint
from odegan.utils.checks import argument_error, choose, one_line


class TrainingCheckpoint(NamedTuple):
    """A checkpoint of ``train``: the preset as it was run, its game, time, steps done, and parameters by name ("raw", or an
    average).
    """

    preset: Preset
    game: NetworkGame
    t: float
    step: int
    states: dict[str, torch.Tensor]

    def weights(self, name: str | None) -> str:
        """The name of the parameters to use; None: of those that the run itself scored at this step."""
        if name is None:
            return self.preset.scored if self.preset.scored in self.states else RAW
        choose("average", name, [RAW, *self.preset.averages])
        if name not in self.states:
            argument_error("average", name, f"one of {', '.join(self.states)}: it had not begun at step {self.step}")
        return name

    def state(self, name: str | None) -> torch.Tensor:
        """The parameters of that name."""
        return self.states[self.weights(name)]


class Stateful(Protocol):
    """A callback whose state a checkpoint holds."""

    def state_dict(self) -> Mapping[str, object]: ...


def keep_best(path: Path, state: State, callbacks: Sequence[Stateful]) -> None:
    """Write the parts of a run that ``load`` reads; a run cannot be resumed from them."""
    checkpoint.save(path, {"y": state.y, "t": state.t, "callbacks": [one.state_dict() for one in callbacks]})


def load(path: Path, device: str) -> TrainingCheckpoint:
    """Read a checkpoint of ``train``.

    Raises ``ArgumentError`` for a file that is missing, damaged, or of another program.
    """
    try:
        payload = checkpoint.load(path, device)
    except FileNotFoundError:
        argument_error("checkpoint", str(path), "an existing file")
    try:
        # In the order in which ``train`` passes its callbacks: averages first, the monitor last.
        *averages, monitor = payload["callbacks"]
        # The preset as it was run, not the table's: options and later versions may have changed that.
        preset = Preset(**monitor["preset"])
        preset.check()
        states = {RAW: payload["y"]} | {
            name: kept["y"] for name, kept in zip(preset.averages, averages, strict=True) if kept["y"] is not None
        }
        found = TrainingCheckpoint(preset, make_game(preset), payload["t"], monitor["step"], states)
        for y in states.values():
            check_state(found.game, y)
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # whatever a file may hold
        reason = one_line(error) or type(error).__name__
        raise ArgumentError(
            f"checkpoint: got {str(path)!r}, which is none of `experiments.images train` ({reason})"
        ) from error
    return found
