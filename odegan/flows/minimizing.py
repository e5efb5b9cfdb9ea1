"""Minimizing movements: each player takes proximal steps on its own loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch

from odegan.field.penalty_terms import Term, WithConstants
from odegan.field.training_field import Penalty, penalty_terms
from odegan.flows.proximal import ROUNDING, Proximal, proximal
from odegan.games.batch import Batch, as_batch
from odegan.games.game import Game
from odegan.games.players import PlayerLoss
from odegan.training.solution import Solution
from odegan.training.state import check_state
from odegan.utils.ambient import unaffected
from odegan.utils.autodiff import gradient_and_value
from odegan.utils.checks import argument_error, check_int, check_number, choose
from odegan.utils.progress import display

PLAYERS = ("discriminator", "generator")
# The order of the players, and whether the second sees the new state of the first.
_ORDERS: dict[str, tuple[tuple[int, int], bool]] = {
    "simultaneous": ((0, 1), False),
    "discriminator_first": ((0, 1), True),
    "generator_first": ((1, 0), True),
}

Loss = Callable[[torch.Tensor, torch.Tensor, Any, float], torch.Tensor]
Losses = tuple[Loss, Loss]


class InnerProblemError(RuntimeError):
    """The inner problem of a step was not solved to the tolerance.

    Args:
        message: one line with the step and the remaining gradient.
        solution: the earlier steps; also an attribute.

    Examples:
        >>> from odegan import games
        >>> game = games.quadratic(torch.tensor([[-1.0, 0.0], [0.0, 3.0]]).double())  # the generator's loss has no minimum
        >>> try:
        ...     minimizing_movement(game, torch.ones(2).double(), tau=1.0, steps=2)
        ... except InnerProblemError as error:
        ...     error.solution.ys.shape
        torch.Size([1, 2])
    """

    def __init__(self, message: str, solution: Solution) -> None:
        super().__init__(message)
        self.solution = solution


@unaffected
def minimizing_movement(
    game: Game,
    y0: torch.Tensor,
    tau: float,
    steps: int,
    *,
    order: str = "simultaneous",
    metric: torch.Tensor | Sequence[float] | None = None,
    penalties: Sequence[Penalty] = (),
    batch: Batch | None = None,
    tolerance: float = 1e-10,
    progress: bool | str = False,
) -> Solution:
    """The minimizing-movement scheme with step size tau: each player moves to

        argmin_u d(u, u_k)^2 / (2 tau) + loss_p(u; opponent),    d(u, v)^2 = sum_i w_i (u_i - v_i)^2,

    in its own parameters u. The opponent is fixed at its old state or, for the second player of an alternating order, at its
    new one, so that this is not joint implicit Euler. As tau -> 0 the scheme converges, with order 1, to the flow w_i y_i' =
    v(y)_i of the training field v; weights 1 / r_D and 1 / r_G correspond to ``odeint_gan``'s rates (r_D, r_G).

    scipy solves the inner problem, see ``odegan.flows.proximal``. If it has several minima, because tau is too large for the
    negative curvature of the loss, the one downhill from u_k is taken.

    Args:
        game: from ``gan``, ``odegan.games`` or ``Game``.
        y0: (P,) float64.
        tau: the step size, > 0.
        steps: number of steps.
        order: "simultaneous", "discriminator_first" or "generator_first".
        metric: (P,) weights w > 0; None: Euclidean, all ones.
        penalties: from ``odegan.penalties``; their extra losses, with weights at the time of the step's start, are added to the
            losses.
        batch: None, one (real, latent) for all steps, or a function of the step's number k = 0, 1, ..., such as
            ``odegan.data.minibatches.Minibatches``. Both players use the same batch.
        tolerance: the gradient of each inner problem, in the metric's dual norm, ends below this fraction of its norm at u_k,
            or below the gradient that would move the state by rounding.
        progress: a progress bar; a string is its label.

    Returns:
        ``Solution``: ts (steps + 1,) = k tau, ys (steps + 1, P). ``stats`` has steps; nfe, the sum over steps of the larger of
            the two players' gradient counts; evaluations and residual (steps, 2), each player's gradient count and final
            relative gradient norm.

    Raises:
        ArgumentError: a wrong argument, a game whose gradients are not those of its losses, or a penalty that is not a plain
            extra loss (because parts of it are constant, or because it needs replay buffers).
        InnerProblemError: a step was not solved to the tolerance; its ``solution`` has the earlier steps.

    Source: Ambrosio, Gigli and Savaré 2005, "Gradient Flows", chapter 2, for the scheme; the two-player form is our own.

    Examples:
        >>> from odegan.games import bilinear
        >>> sol = minimizing_movement(bilinear(), torch.tensor([1.0, 0.0]).double(), tau=0.5, steps=3)
        >>> (sol.ys**2).sum(1)  # explicit Euler: (1 + tau^2)^k
        tensor([1.0000, 1.2500, 1.5625, 1.9531], dtype=torch.float64)
    """
    check_state(game, y0)
    if y0.ndim != 1 or y0.dtype != torch.float64:
        argument_error("y0", y0, f"a float64 tensor of shape ({game.n_params},)")
    tau = check_number("tau", tau, low=0.0, strict=True)
    steps = check_int("steps", steps, low=1)
    tolerance = check_number("tolerance", tolerance, low=0.0, strict=True)
    choose("order", order, _ORDERS)
    # tau and the metric act only together: the inner problem sees one scale per parameter.
    scale = (tau / _checked_metric(metric, y0)).sqrt()
    draw = _checked_batch(batch)
    losses = _penalized(game, penalties)
    states = [y0.detach().clone()]
    solved: list[list[Proximal]] = []
    label = progress if isinstance(progress, str) else "odegan"
    with torch.no_grad(), closing(display(steps, label, unit="step", shown=bool(progress))) as bar:
        game.check(states[0], draw(0))
        _check_potential(game, states[0], draw(0))
        buffers = game.initial_buffers(states[0])
        for k in range(steps):
            seen = draw(k)
            if buffers and seen is not None:
                seen = replace(seen, buffers=buffers)
            state, pair = _step(game, losses, states[-1], scale, order, seen, k * tau, tolerance)
            if not all(inner.solved for inner in pair):
                raise InnerProblemError(_unsolved(k, tau, pair, tolerance), _solution(states, solved, tau, "stopped"))
            states.append(state)
            solved.append(pair)
            buffers = game.update_buffers(buffers, state)
            bar.update(1)
    return _solution(states, solved, tau, "finished")


def _step(
    game: Game,
    losses: Losses,
    y: torch.Tensor,
    scale: torch.Tensor,
    order: str,
    batch: Batch | None,
    t: float,
    tolerance: float,
) -> tuple[torch.Tensor, list[Proximal]]:
    """One step from y, and both players' inner problems."""
    sequence, alternating = _ORDERS[order]
    scales = game.split(scale)
    old = game.split(y)
    seen = list(old)
    new = list(old)
    solved = {}
    rest = ROUNDING * float((y / scale).norm())  # a gradient that would move y by rounding
    for p in sequence:
        # p is bound now: the loop changes it while the function lives on.
        def of_own(u: torch.Tensor, p: int = p) -> torch.Tensor:
            return losses[p](u, seen[1], batch, t) if p == 0 else losses[p](seen[0], u, batch, t)

        solved[p] = proximal(of_own, old[p], scales[p], tolerance, rest)
        new[p] = solved[p].u
        if alternating:
            seen[p] = new[p]
    return torch.cat(new), [solved[0], solved[1]]


def _penalized(game: Game, penalties: Sequence[Penalty]) -> Losses:
    """Both players' penalized losses as functions of (theta_d, theta_g, batch, t)."""
    for penalty in penalties if isinstance(penalties, tuple | list) else ():
        if getattr(penalty, "replay", None) is not None:
            argument_error("penalties", penalty, "without replay buffers here; use buffer=0")
    extras = penalty_terms(game, penalties)
    if any(isinstance(extra, WithConstants) for extra in [*extras["disc"], *extras["gen"]]):
        argument_error(
            "penalties",
            list(penalties),
            "extra losses: one of these holds a part constant, so there is nothing to minimize",
        )

    def with_extras(loss: PlayerLoss, extras: Sequence[Term]) -> Loss:
        return lambda d, g, batch, t: loss(d, g, batch) + sum(extra(d, g, batch, t) for extra in extras)

    return with_extras(game.disc_loss, extras["disc"]), with_extras(game.gen_loss, extras["gen"])


def _check_potential(game: Game, y: torch.Tensor, batch: Batch | None) -> None:
    """Refuse a game whose field is not that of its losses, or whose states are constrained: proximal steps see only losses."""
    if game.project is not None:
        argument_error("game", game, "one without a projection: a proximal step is free to go anywhere")
    # Not at y itself, where gradients may happen to vanish.
    theta_d, theta_g = game.split(y + 0.1 * torch.arange(len(y)).to(y).cos())
    given = torch.cat(game.gradients(theta_d, theta_g, batch))
    of_losses = torch.cat(
        [
            gradient_and_value(lambda d: game.disc_loss(d, theta_g, batch), theta_d)[0],
            gradient_and_value(lambda g: game.gen_loss(theta_d, g, batch), theta_g)[0],
        ]
    )
    if not torch.allclose(given, of_losses, rtol=1e-6, atol=1e-9 * float(1 + given.abs().max())):
        argument_error(
            "game",
            game,
            "one whose gradients are those of its losses, because these are what a minimizing movement minimizes",
        )


def _checked_metric(metric: torch.Tensor | Sequence[float] | None, y0: torch.Tensor) -> torch.Tensor:
    """The weights (P,) > 0 on y0's device."""
    if metric is None:
        return torch.ones_like(y0)
    allowed = f"None, or finite weights > 0 of shape {tuple(y0.shape)}"
    try:
        weights = torch.as_tensor(metric, dtype=y0.dtype, device=y0.device).detach()
    except (TypeError, ValueError, RuntimeError):
        argument_error("metric", metric, allowed)
    if weights.shape != y0.shape or not bool((torch.isfinite(weights) & (weights > 0)).all()):
        argument_error("metric", metric, allowed)
    return weights


def _checked_batch(batch: Batch | None) -> Callable[[int], Batch | None]:
    """The batch as a function of the step's number."""
    if callable(batch):
        return lambda k: as_batch(batch(k))
    if not (batch is None or isinstance(batch, Batch) or (isinstance(batch, tuple | list) and len(batch) == 2)):
        argument_error("batch", type(batch).__name__, "None, a (real, latent), or a function of the step's number")
    fixed = as_batch(batch)
    return lambda k: fixed


def _unsolved(k: int, tau: float, pair: Sequence[Proximal], tolerance: float) -> str:
    p = 0 if not pair[0].solved else 1
    return (
        f"tau: got a step whose inner problem was not solved to the tolerance {tolerance:.1e}: after {pair[p].evaluations} "
        f"evaluations the {PLAYERS[p]} is at {pair[p].residual:.1e} (step {k}, t = {k * tau:g}); take a smaller tau, or a "
        "larger tolerance"
    )


def _solution(states: list[torch.Tensor], solved: list[list[Proximal]], tau: float, status: str) -> Solution:
    times = tau * torch.arange(len(states), dtype=torch.float64, device=states[0].device)
    evaluations = torch.tensor([[inner.evaluations for inner in pair] for pair in solved]).reshape(-1, 2)
    residual = torch.tensor([[inner.residual for inner in pair] for pair in solved], dtype=torch.float64).reshape(-1, 2)
    stats = {
        "steps": len(solved),
        "nfe": int(evaluations.amax(1).sum()),
        "evaluations": evaluations,
        "residual": residual,
    }
    return Solution(times, torch.stack(states), states[-1], float(times[-1]), status, stats)
