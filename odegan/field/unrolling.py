"""``unrolled``: the generator plays against a discriminator that has taken k further steps of its own flow."""

from __future__ import annotations

import torch

from odegan import solvers
from odegan.games.game import Game, check_game
from odegan.games.unrolled import Unrolled
from odegan.utils.checks import check_bool, check_int, check_number, choose
from odegan.utils.keywords import keywords


@keywords()
def unrolled(
    game: Game,
    steps: int,
    step_size: float | torch.Tensor,
    solver: str = "euler",
    persistent: bool = False,
    through: bool = True,
) -> Game:
    """The game in which the generator sees U_k(theta_D; theta_G): the discriminator after k steps of its own flow.

        U_k: k steps of theta_D' = -d disc_loss / d theta_D with theta_G fixed, by the given solver,
             each followed by the game's projection if it has one;

        disc_loss'(theta_D, theta_G) = disc_loss(theta_D, theta_G),
        gen_loss'(theta_D, theta_G) = gen_loss(U_k(theta_D; theta_G), theta_G).

    By default the run discards the k steps ("lookahead"), and the discriminator follows its own gradient. If ``persistent``,
    the discriminator's part of the field is instead (U_k(theta_D) - theta_D) / step_size, which is not a gradient. Then one
    Euler step of a run with that step_size ends at U_k(theta_D), to rounding, given rates (1, 1), no clipping and no penalty on
    the discriminator. Other solvers and steps integrate the same field, which is about k gradients in size.

    Args:
        game: any game; its modules, samples, critic, buffers and projection are kept.
        steps: k >= 1.
        step_size: step size of the k steps; a number, or a one-element tensor (differentiable).
        solver: a fixed-step Runge-Kutta solver of ``odegan.solvers.names()``.
        persistent: keep the k steps; see above.
        through: whether the generator's gradient flows through the k steps. If not, it is d gen_loss / d theta_G at
            (U_k, theta_G) with U_k constant; derivatives of the field, such as the spectrum's, still see U_k move.

    Returns:
        A ``Game`` with the same y. Penalties apply to the gradients of this game.

    Raises:
        ArgumentError: not a game, no steps, or a solver that is adaptive or multistep.

    Source: Metz, Poole, Pfau and Sohl-Dickstein 2017, "Unrolled Generative Adversarial Networks": lookahead, through.

    Examples:
        >>> from odegan import games, vector_field
        >>> ahead = unrolled(games.bilinear(), steps=2, step_size=0.5)
        >>> vector_field(ahead)(0.0, torch.tensor([1.0, 1.0]))  # U_2(x; y) = x - y, so gen_loss' = -(x - y) y
        tensor([-1., -1.])
    """
    check_game(game)
    check_int("steps", steps, low=1)
    check_number("step_size", step_size, low=0.0, strict=True)
    # An adaptive solver chooses its steps by comparing values, through which U_k has no derivative.
    fixed = [name for name in solvers.names() if solvers.get(name).fixed_one_step]
    for name, value in {"persistent": persistent, "through": through}.items():
        check_bool(name, value)
    one_step = solvers.one_step(choose("solver", solver, fixed))
    return Unrolled(game, steps, step_size, solver, one_step, persistent, through)
