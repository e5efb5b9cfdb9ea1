"""The training field of a game: the right-hand side f(t, y, batch) of the ODE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from odegan.checks import fail, number
from odegan.derivative import gradient_and_value
from odegan.game import Game, Players, check_game

FieldFunction = Callable[[Any, torch.Tensor, Any], torch.Tensor]
Rates = tuple[Any, Any]


class Field(NamedTuple):
    """The parts of a training field. Each takes (t, y, batch) and is pure.

    joint: both players, (dy (P,), losses (2,)); disc, gen: one player alone, (dy_p, loss_p); penalty: what the
    penalties alone add to the field, (P,), or None without penalties. Losses are the unpenalised ones.
    """

    joint: Callable[[Any, torch.Tensor, Any], Players]
    disc: Callable[[Any, torch.Tensor, Any], Players]
    gen: Callable[[Any, torch.Tensor, Any], Players]
    penalty: FieldFunction | None


def vector_field(
    game: Game, penalties: Sequence[Any] = (), *, rates: Rates = (1.0, 1.0), clip: float | None = None
) -> Callable[..., torch.Tensor]:
    """The training field as a pure function f(t, y, batch=None) -> dy (P,).

    f = -[r_D d(loss_D + extra_D)/d theta_D, r_G d(loss_G + extra_G)/d theta_G], where the extra losses are the
    penalties' and r the players' rates. Same arguments, same value; works under torch.func, torch.vmap and
    torch.compile, and as the function of ``torchdiffeq.odeint`` (with the batch fixed or not needed).

    Args:
        game: the game.
        penalties: from ``odegan.penalties``, or any function game -> (extra_disc_loss, extra_gen_loss).
        rates: time scales of the discriminator and of the generator; numbers or tensors.
        clip: largest norm of each player's part, g <- g min(1, clip / |g|); None: unlimited.

    Examples:
        >>> from odegan.games import bilinear
        >>> vector_field(bilinear())(0.0, torch.tensor([2.0, 3.0]))
        tensor([-3.,  2.])
    """
    joint = make_field(game, penalties, rates, clip).joint

    def field(t: Any, y: torch.Tensor, batch: Any = None) -> torch.Tensor:
        return joint(t, y, batch)[0]

    return field


def make_field(
    game: Game,
    penalties: Sequence[Any] = (),
    rates: Rates = (1.0, 1.0),
    clip: float | None = None,
    penalise: bool = True,
) -> Field:
    """The field's parts; with ``penalise`` False the penalties are in ``penalty`` alone."""
    check_game(game)
    extra_disc, extra_gen = _extra_losses(game, penalties)
    rate_d, rate_g = checked_rates(rates)
    if clip is not None:
        number("clip", clip, low=0.0, strict=True)

    def push_disc(theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any, t: Any) -> torch.Tensor | None:
        return gradient_of_sum(extra_disc, lambda d: (d, theta_g), theta_d, batch, t)

    def push_gen(theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any, t: Any) -> torch.Tensor | None:
        return gradient_of_sum(extra_gen, lambda g: (theta_d, g), theta_g, batch, t)

    def finish(gradient: torch.Tensor, extra: torch.Tensor | None, rate: Any) -> torch.Tensor:
        return _scaled(_clipped(gradient if extra is None else gradient + extra, clip), rate)

    def joint(t: Any, y: torch.Tensor, batch: Any) -> Players:
        if y.ndim != 1:
            fail("y", y, f"one state of shape ({game.n_params},); map over an ensemble with torch.vmap")
        theta_d, theta_g = game.split(y)
        (grad_d, grad_g), losses = game.gradients_and_losses(theta_d, theta_g, batch)
        extra_d = push_disc(theta_d, theta_g, batch, t) if penalise else None
        extra_g = push_gen(theta_d, theta_g, batch, t) if penalise else None
        dy = torch.cat([finish(grad_d, extra_d, rate_d), finish(grad_g, extra_g, rate_g)])
        return dy, torch.stack(losses)

    def disc(t: Any, y: torch.Tensor, batch: Any) -> Players:
        theta_d, theta_g = game.split(y)
        gradient, loss = game.disc_gradient_and_loss(theta_d, theta_g, batch)
        return finish(gradient, push_disc(theta_d, theta_g, batch, t) if penalise else None, rate_d), loss

    def gen(t: Any, y: torch.Tensor, batch: Any) -> Players:
        theta_d, theta_g = game.split(y)
        gradient, loss = game.gen_gradient_and_loss(theta_d, theta_g, batch)
        return finish(gradient, push_gen(theta_d, theta_g, batch, t) if penalise else None, rate_g), loss

    def penalty(t: Any, y: torch.Tensor, batch: Any) -> torch.Tensor:
        theta_d, theta_g = game.split(y)
        extra_d, extra_g = push_disc(theta_d, theta_g, batch, t), push_gen(theta_d, theta_g, batch, t)
        part_d = torch.zeros_like(theta_d) if extra_d is None else _scaled(extra_d, rate_d)
        part_g = torch.zeros_like(theta_g) if extra_g is None else _scaled(extra_g, rate_g)
        return torch.cat([part_d, part_g])

    return Field(joint, disc, gen, penalty if penalties else None)


def gradient_of_sum(extras: Sequence[Any], place: Any, theta: torch.Tensor, batch: Any, t: Any) -> torch.Tensor | None:
    """Gradient in one player's theta of the sum of its extra losses; None when there is none."""
    if not extras:
        return None
    # What an extra loss holds constant is evaluated here, outside the function that is differentiated.
    fixed = [_with_parts(extra, place(theta), batch, t) for extra in extras]
    return gradient_and_value(lambda own: sum(extra(*place(own), batch, t) for extra in fixed), theta)[0]


def _with_parts(extra: Any, point: Players, batch: Any, t: Any) -> Any:
    """The extra loss with the parts that it holds constant, if any, taken at this point."""
    if not hasattr(extra, "parts"):
        return extra
    parts = extra.parts(*point, batch, t)
    return lambda d, g, batch, t: extra.value(d, g, batch, t, parts)


def checked_rates(rates: Any) -> Rates:
    """The pair of rates, each a finite number or one-element tensor >= 0."""
    if not isinstance(rates, tuple | list) or len(rates) != 2:
        fail("rates", rates, "a pair (discriminator's, generator's)")
    for rate in rates:
        number("rates", rate, low=0.0)
    return rates[0], rates[1]


def _extra_losses(game: Game, penalties: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    if not isinstance(penalties, tuple | list):
        fail("penalties", penalties, "a list of penalties, as odegan.penalties makes them")
    for penalty in penalties:
        if not callable(penalty):
            fail("penalties", penalty, "penalties as odegan.penalties makes them, or functions of a game")
    pairs = [penalty(game) for penalty in penalties]
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            fail("penalties", pair, "functions game -> (extra_disc_loss or None, extra_gen_loss or None)")
    return [d for d, _ in pairs if d is not None], [g for _, g in pairs if g is not None]


def _scaled(gradient: torch.Tensor, rate: Any) -> torch.Tensor:
    """-rate * gradient, without a multiplication for the usual rate 1."""
    if isinstance(rate, torch.Tensor):
        return -rate.to(gradient).reshape(()) * gradient
    return -gradient if rate == 1 else -rate * gradient


def _clipped(gradient: torch.Tensor, clip: float | None) -> torch.Tensor:
    if clip is None:
        return gradient
    norm = torch.linalg.vector_norm(gradient)
    return gradient * (clip / norm.clamp(min=clip))
