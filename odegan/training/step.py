"""One fixed step as a pure function of tensors: the solver's map, the penalties' placement, the projection."""

from __future__ import annotations

from collections.abc import Callable

import torch

from odegan import solvers
from odegan.field.ensemble import Time
from odegan.field.schedules import at_step
from odegan.field.training_field import Field
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.players import Player, Players
from odegan.solvers import baselines
from odegan.solvers.rates import Rates, of_both
from odegan.solvers.update_rules import Memory, Step
from odegan.training.options import Options

# (y1, memory, alive, losses (n, ..., 2), |f| (n, ...), finite (n, ...)) of n steps.
StepsResult = tuple[torch.Tensor, Memory, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
StepsMap = Callable[..., StepsResult]


def make_steps(game: Game, field: Field, options: Options) -> StepsMap:
    """Steps of a fixed-step solver, one after the other, as a pure function of tensors, of which ``compile`` makes one graph:

    (t (n,), h (n,), y, memory, alive, batches, numbers) -> (y1, memory, alive, losses (n, ..., 2), |f| (n, ...), finite
    (n, ...)). ``batches`` has an entry for each step or one for all, of one batch or one per stage; ``numbers`` (n,) are the
    refresh intervals', None without schedules in steps. A member that has turned non-finite stays at its last finite state.
    """
    name = options.solver.name
    baseline = _baseline(options, options.rates)
    runge_kutta = None if baseline else solvers.torchdiffeq_step(name, options.solver_options)
    after_step = options.penalties_act("after_step")
    outside = after_step or options.penalties_act("first_stage")
    first_weight = solvers.first_stage_weight(name) if options.penalties_act("first_stage") else None

    def steps(
        times: torch.Tensor,
        lengths: torch.Tensor,
        y: torch.Tensor,
        memory: Memory,
        alive: torch.Tensor,
        batches: tuple[tuple[Batch | None, ...], ...],
        numbers: torch.Tensor | None = None,
    ) -> StepsResult:
        measured = []
        now = field
        rates = options.rates
        rule = baseline
        for i, (t, h) in enumerate(zip(times.unbind(), lengths.unbind(), strict=True)):
            if numbers is not None:
                now = field.at_step(numbers[i])
                rates = (at_step(options.rates[0], numbers[i]), at_step(options.rates[1], numbers[i]))
                rule = _baseline(options, rates)
            shown = batches[min(i, len(batches) - 1)]
            context = StepContext(now, game.n_disc, options.players, first_weight, outside, t, y, shown)
            if rule is not None:
                y1, memory = rule(context, t, h, y, memory)
            else:
                assert runge_kutta is not None
                y1 = runge_kutta(context.joint, t, h, y)
            if after_step:
                # The field of a baseline has no rates: these multiply the whole step, and so the penalties' part of it.
                extra = context.penalty()
                y1 = y1 + h * (of_both(extra, rates, game.n_disc, t) if rule is not None else extra)
            y1 = projected(game, y1)
            losses, size = context.measured()
            alive = alive & torch.isfinite(y1).all(-1) & torch.isfinite(losses).all(-1)
            # A select and no branch: the step compiles, and members stop one by one without a synchronization.
            y = torch.where(alive[..., None], y1, y)
            measured.append((losses.detach(), size.detach(), alive))
        each_loss, each_size, each_alive = [torch.stack(part) for part in zip(*measured, strict=True)]
        return y, memory, alive, each_loss, each_size, each_alive

    return steps


def _baseline(options: Options, rates: Rates) -> Step | None:
    """The step of a baseline with these rates; None for other solvers."""
    name = options.solver.name
    return baselines.make(name, options.solver_options, rates) if name in solvers.BASELINES else None


class StepContext:
    """The field during one fixed step. Each call is the next stage; each player's first evaluation is measured.

    Args:
        field: field of one state or of an ensemble.
        n_disc: the discriminator's parameters come first.
        players: "joint" or "frozen", each against the opponent at the step's start.
        first_weight: b_1, if the penalties act in the first stage with weight 1 / b_1.
        outside: whether the penalties act outside the field, so that the first stage computes both from one set of gradients.
        time: the step's start.
        start: y there.
        batches: one minibatch, or one per stage.
    """

    def __init__(
        self,
        field: Field,
        n_disc: int,
        players: str,
        first_weight: float | None,
        outside: bool,
        time: Time,
        start: torch.Tensor,
        batches: tuple[Batch | None, ...],
    ) -> None:
        self.field = field
        self.n_disc = n_disc
        self.players = players
        self.first_weight = first_weight
        self.outside = outside
        self.time = time
        self.start = start
        self.batches = batches
        self._calls = 0
        self._penalty: torch.Tensor | None = None  # at the step's start, if the first stage has computed it
        self._losses: list[torch.Tensor] = []  # of both players, or of D, then of G
        self._sizes: list[torch.Tensor] = []

    def joint(self, t: Time, y: torch.Tensor, perturb: object = None) -> torch.Tensor:
        """The whole field (..., P). ``perturb`` is torchdiffeq's argument, unused here."""
        batch = self.batches[min(self._calls, len(self.batches) - 1)]
        self._calls += 1
        first = self._calls == 1
        # By identity: a solver whose first stage is elsewhere takes the other branches.
        if first and self.outside and y is self.start and t is self.time:
            # At the start of a step, frozen and joint players have the same field.
            dy, losses, self._penalty = self.field.field_and_penalty(t, y, batch)
        elif self.players == "joint":
            dy, losses = self.field(t, y, batch)
        else:
            dy, losses = frozen(self.field, self.n_disc, t, y, batch, self.start)
        if first:
            if self.first_weight is not None:
                dy = dy + self.penalty() / self.first_weight
            self._measure(dy, losses)
        return dy

    def disc(self, t: Time, y: torch.Tensor) -> torch.Tensor:
        """The discriminator's part (..., n_disc)."""
        dy, loss = self.field.player("disc", t, y, self._next_batch())
        if self._calls == 1:
            self._measure(dy, loss)
        return dy

    def gen(self, t: Time, y: torch.Tensor) -> torch.Tensor:
        """The generator's part (..., n_gen)."""
        dy, loss = self.field.player("gen", t, y, self._next_batch())
        self._measure(dy, loss)
        return dy

    def penalty(self) -> torch.Tensor:
        """The penalties' contribution to the field at the step's start, (..., P)."""
        if self._penalty is None:
            self._penalty = self.field.penalty(self.time, self.start, self.batches[0])
        return self._penalty

    def measured(self) -> Players:
        """(losses (..., 2), |f| (...)) at the first evaluation of each player."""
        if len(self._sizes) == 1:
            return self._losses[0], self._sizes[0]
        # The players were evaluated one after the other; the norms of the two parts make that of the whole.
        return torch.cat(self._losses, dim=-1), torch.hypot(*self._sizes)

    def _next_batch(self) -> Batch | None:
        batch = self.batches[min(self._calls, len(self.batches) - 1)]
        self._calls += 1
        return batch

    def _measure(self, dy: torch.Tensor, losses: torch.Tensor) -> None:
        self._losses.append(losses)
        self._sizes.append(torch.linalg.vector_norm(dy, dim=-1))


def frozen(field: Field, n_disc: int, t: Time, y: torch.Tensor, batch: Batch | None, start: torch.Tensor) -> Players:
    """(dy (..., P), losses (..., 2)) for players that each move against the opponent at ``start``."""
    disc_sees = torch.cat([y[..., :n_disc], start[..., n_disc:]], dim=-1)
    gen_sees = torch.cat([start[..., :n_disc], y[..., n_disc:]], dim=-1)
    parts: list[tuple[Player, torch.Tensor]] = [("disc", disc_sees), ("gen", gen_sees)]
    dy, losses = zip(*(field.player(player, t, seen, batch) for player, seen in parts), strict=True)
    return torch.cat(dy, dim=-1), torch.cat(losses, dim=-1)


def projected(game: Game, y: torch.Tensor) -> torch.Tensor:
    """y after the game's projection, for each member."""
    if game.project is None:
        return y
    return game.project(y) if y.ndim == 1 else torch.vmap(game.project)(y)
