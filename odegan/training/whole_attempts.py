"""The attempted steps of an adaptive solver as one compiled function each."""

from __future__ import annotations

import torch

from odegan import solvers
from odegan.field.ensemble import Time
from odegan.field.training_field import Field
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.training.options import Options
from odegan.training.recorder import Measured, RecordingField, measurements, rms_norm
from odegan.training.step import frozen
from odegan.utils.compilation import Compiler


class WholeAttempts:
    """``attempts(recording, batch, start)``: the function of an attempted step on a minibatch, which reports to ``recording``.

    It is None in eager runs, for solvers without a tableau, and with the user's own norm, and returns None if compiling has
    failed; torchdiffeq then evaluates the field stage by stage. start: y at the beginning of the refresh interval, the opponent
    of frozen players.

    Args:
        game: for the number of the discriminator's parameters.
        options: options of the run.
        field: field of one state or of an ensemble.
        compiler: compiles an attempt as one graph.
    """

    def __init__(self, game: Game, options: Options, field: Field, compiler: Compiler) -> None:
        self.game = game
        self.options = options
        self.field = field
        self.compiler = compiler
        solver = options.solver
        own_norm = "norm" in options.solver_options
        self.possible = bool(compiler.backend) and solver.adaptive and not solver.opaque and not own_norm
        if self.possible:
            self._compiled = compiler(solvers.make_attempt(solver.name, self._slopes, rms_norm), "one attempted step")

    def __call__(
        self, recording: RecordingField, batch: Batch | None, start: torch.Tensor
    ) -> solvers.OneAttempt | None:
        """The attempt of a step from ``start``, or None where steps are not attempted as a whole."""
        if not self.possible:
            return None
        # A compiler would make a graph of its own for a call with one tensor in two places, as the first one's y and start.
        opponent = start.clone() if self.options.players == "frozen" else None
        evaluations = self.options.solver.evaluations or 0
        rtol = torch.as_tensor(self.options.rtol, dtype=torch.float64, device=start.device)
        atol = torch.as_tensor(self.options.atol, dtype=torch.float64, device=start.device)

        def attempt(
            t: torch.Tensor, h: torch.Tensor, end: torch.Tensor, y: torch.Tensor, slope: torch.Tensor
        ) -> solvers.AttemptResult | None:
            if self.compiler.failed:
                return None
            found = self._compiled(t, h, end, y, slope, rtol, atol, batch, opponent)
            if self.compiler.failed:  # torchdiffeq's own arithmetic, as in an eager run
                return None
            recording.attempted(evaluations, found.ratio, found.measured)
            return found.y1, found.slope, found.ratio, found.polynomial

        return attempt

    def _slopes(
        self, t: Time, y: torch.Tensor, batch: Batch | None, opponent: torch.Tensor | None
    ) -> tuple[torch.Tensor, Measured]:
        if opponent is None:
            dy, losses = self.field(t, y, batch)
        else:
            dy, losses = frozen(self.field, self.game.n_disc, t, y, batch, opponent)
        return dy, measurements(dy, losses)
