"""The field as one solver step sees it: which minibatch a stage gets, against whom a player moves, what was measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from odegan import solvers
from odegan.field.microbatch import Divided
from odegan.field.training_field import BOTH
from odegan.field.vector_field import make_field
from odegan.games.game import Game
from odegan.solvers import baselines
from odegan.training.options import Arguments


class Evaluator:
    """The parts of a game's field under the arguments of a run, for one state (P,) or for an ensemble (E, P).

    compiled: applied to the functions of a part, where a batch comes in parts; a whole step is compiled by its caller.
    """

    def __init__(self, game: Game, arguments: Arguments, compiled: Callable[[Any], Any]) -> None:
        self.n_disc, self.arguments = game.n_disc, arguments
        in_field = arguments.placement == "field"
        self.field = make_field(game, arguments.penalties, arguments.rates, arguments.clip, penalise=in_field)
        self.after_step = bool(arguments.penalties) and arguments.placement == "after_step"
        first = bool(arguments.penalties) and arguments.placement == "first_stage"
        self.first_weight = solvers.first_stage_weight(arguments.solver.name) if first else None
        self.charged_apart = self.after_step or first
        micro, ranks = arguments.micro_batch, arguments.ranks
        self._project = game.project
        self.divided = Divided(self.field.pieces, micro, ranks, self._mapped, compiled) if micro or ranks else None

    def _mapped(self, function: Callable[..., Any], t: Any, y: torch.Tensor, batch: Any, *others: Any) -> Any:
        """function(t, y, batch, ...), over the members of an ensemble."""
        if y.ndim == 1:
            return function(t, y, batch, *others)
        in_dims = (None, 0, None if batch is None else 0, *(0 for _ in others))
        return torch.vmap(function, in_dims=in_dims)(t, y, batch, *others)

    def joint(self, t: Any, y: torch.Tensor, batch: Any) -> Any:
        """(dy (..., P), losses (..., 2)), both players at once."""
        if self.divided is not None:
            return self.divided.field(BOTH, t, y, batch)
        return self._mapped(self.field.joint, t, y, batch)

    def alone(self, player: str, t: Any, y: torch.Tensor, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """(dy_p (..., n_p), loss_p (..., 1)) of one player."""
        if self.divided is not None:
            return self.divided.field((player,), t, y, batch)
        dy, loss = self._mapped(getattr(self.field, player), t, y, batch)
        return dy, loss[..., None]

    def penalty(self, t: Any, y: torch.Tensor, batch: Any) -> torch.Tensor:
        """What the penalties add to the field, (..., P)."""
        if self.divided is not None:
            return self.divided.penalty(t, y, batch)
        return self._mapped(self.field.penalty, t, y, batch)  # type: ignore[arg-type]

    def apart(self, t: Any, y: torch.Tensor, batch: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(dy, losses, what the penalties add to dy) at one point; the first-order gradients are taken once for both."""
        if self.divided is not None:
            return *self.joint(t, y, batch), self.penalty(t, y, batch)
        return self._mapped(self.field.apart, t, y, batch)  # type: ignore[arg-type]

    def projected(self, y: torch.Tensor) -> torch.Tensor:
        """y brought back to where the game allows it to be, member by member."""
        if self._project is None:
            return y
        return self._project(y) if y.ndim == 1 else torch.vmap(self._project)(y)

    def frozen(self, t: Any, y: torch.Tensor, batch: Any, start: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(dy, losses) where each player moves against the opponent at ``start``."""
        n = self.n_disc
        disc_sees = torch.cat([y[..., :n], start[..., n:]], dim=-1)
        gen_sees = torch.cat([start[..., :n], y[..., n:]], dim=-1)
        part_d, loss_d = self.alone("disc", t, disc_sees, batch)
        part_g, loss_g = self.alone("gen", t, gen_sees, batch)
        return torch.cat([part_d, part_g], dim=-1), torch.cat([loss_d, loss_g], dim=-1)

    def fixed_map(self) -> Callable[..., Any]:
        """One step of a fixed-step solver as a pure function of tensors, which is what ``compile`` compiles:

        (t, h, y, memory, alive, batches) -> (y1, memory, alive, losses, |f|). A member that has turned non-finite stays
        at its last finite state.
        """
        name, options = self.arguments.solver.name, self.arguments.options
        baseline = baselines.make(name, options) if name in solvers.BASELINES else None
        runge_kutta = None if baseline else solvers.one_step(name, options)

        def step(t: Any, h: Any, y: torch.Tensor, memory: Any, alive: torch.Tensor, batches: Any) -> Any:
            stages = Stages(self, t, y, batches)
            if baseline is not None:
                y1, memory = baseline(stages, t, h, y, memory)
            elif runge_kutta is not None:
                y1 = runge_kutta(stages.joint, t, h, y)
            if self.after_step:
                y1 = y1 + h * (self.penalty(t, y, batches[0]) if stages.push is None else stages.push)
            y1 = self.projected(y1)
            losses, size = stages.measured()
            alive = alive & torch.isfinite(y1).all(-1) & torch.isfinite(losses).all(-1)
            return torch.where(alive[..., None], y1, y), memory, alive, losses.detach(), size.detach()

        return step


class Stages:
    """The evaluations of one fixed step. Each call is the next stage; the first of each player is measured.

    push: what the penalties add to the field at the start of the step, where the first stage found it on its way.
    """

    def __init__(self, evaluator: Evaluator, time: Any, start: torch.Tensor, batches: tuple[Any, ...]) -> None:
        self.evaluator, self.time, self.start, self.batches = evaluator, time, start, batches
        self.push: torch.Tensor | None = None
        self.n_disc = evaluator.n_disc
        self._calls = 0
        # (losses, |f|) of both players, or of D, then of G.
        self._measured: list[tuple[torch.Tensor, torch.Tensor]] = []

    def joint(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """Both players' parts (..., P)."""
        evaluator, batch = self.evaluator, self._next()
        first = self._calls == 1
        if first and evaluator.charged_apart and y is self.start and t is self.time:
            # At the start frozen opponents are where they are, so that this serves both kinds of players.
            dy, losses, self.push = evaluator.apart(t, y, batch)
        elif evaluator.arguments.players == "joint":
            dy, losses = evaluator.joint(t, y, batch)
        else:
            dy, losses = evaluator.frozen(t, y, batch, self.start)
        if first:
            if evaluator.first_weight is not None:
                push = evaluator.penalty(t, y, batch) if self.push is None else self.push
                dy = dy + push / evaluator.first_weight
            self._measure(dy, losses)
        return dy

    def disc(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """The discriminator's part (..., n_disc)."""
        dy, loss = self.evaluator.alone("disc", t, y, self._next())
        if self._calls == 1:
            self._measure(dy, loss)
        return dy

    def gen(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """The generator's part (..., n_gen)."""
        dy, loss = self.evaluator.alone("gen", t, y, self._next())
        self._measure(dy, loss)
        return dy

    def measured(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(losses (..., 2), |f| (...)) at the first evaluation of each player."""
        losses, sizes = zip(*self._measured, strict=True)
        size = sizes[0] if len(sizes) == 1 else torch.hypot(*sizes)
        return torch.cat(losses, dim=-1), size

    def _next(self) -> Any:
        batch = self.batches[min(self._calls, len(self.batches) - 1)]
        self._calls += 1
        return batch

    def _measure(self, dy: torch.Tensor, losses: torch.Tensor) -> None:
        self._measured.append((losses, torch.linalg.vector_norm(dy, dim=-1)))
