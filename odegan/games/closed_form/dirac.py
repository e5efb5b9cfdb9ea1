"""The Dirac GAN: a point mass learns the position of another point mass."""

from __future__ import annotations

import torch

from odegan.games import losses
from odegan.games.batch import Batch
from odegan.games.closed_form.linear import flow, start
from odegan.games.game import Game
from odegan.utils.ambient import unaffected
from odegan.utils.checks import check_constant


@unaffected
def dirac(loss: str | tuple[losses.LogitLoss, losses.LogitLoss] | losses.Loss, c: float, feedback: float = 0.0) -> Game:
    """Data at the point c, the generator at theta, the discriminator D(x) = phi x; y = (phi, theta), batch=None.

        disc_loss = loss.disc(phi c, phi theta) + feedback phi^2 / 2,    gen_loss = loss.gen(phi theta).

    Linearized at (phi, theta) = (0, c), the field has the characteristic polynomial s^2 + (d + feedback) s + w^2, with

    | loss                    | d       | w     |
    | ----------------------- | ------- | ----- |
    | minimax, non_saturating | c^2 / 2 | 1 / 2 |
    | wasserstein, hinge      | 0       | 1     |
    | relativistic            | 0       | 1 / 2 |

    Wasserstein is linear: phi' = c - theta - feedback phi, theta' = phi, stable for every feedback > 0 and critically
    damped at 2; ``game.solution(t, y0)`` is its flow. Hinge equals it while |phi c|, |phi theta| < 1. Least squares with
    the labels 1 and 0 has no equilibrium unless c = 0, since D has no bias. The feedback is not the penalty
    lambda (D(c)^2 + D(theta)^2) of closed-loop GANs, which near the equilibrium acts as a feedback of 4 lambda c^2, and so has
    no effect at c = 0.

    Args:
        loss: a name of ``odegan.losses.names()``, or a pair (disc, gen) of functions of (real, fake) logits, each (1,).
        c: the position of the data.
        feedback: strength of the negative feedback on phi, >= 0.

    Source: Mescheder et al. 2018, section 2; the feedback: Xu et al. 2020 (CLC-GAN), section 3.

    Examples:
        >>> game = dirac("wasserstein", c=1.0, feedback=2.0)
        >>> game.gradients(torch.tensor([0.5]), torch.tensor([3.0]))
        (tensor([3.]), tensor([-0.5000]))
    """
    pair = losses.get(loss)
    c = check_constant("c", c)
    feedback = check_constant("feedback", feedback, low=0.0)

    def disc_loss(phi: torch.Tensor, theta: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        value = pair.disc(phi * c, phi * theta)
        return value + feedback / 2 * (phi**2).sum() if feedback else value

    def gen_loss(phi: torch.Tensor, theta: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        fake = phi * theta
        return pair.gen(phi * c if pair.gen_sees_real else fake, fake)

    def solution(t: float | torch.Tensor, y0: torch.Tensor) -> torch.Tensor:
        matrix = torch.tensor([[-feedback, -1.0], [1.0, 0.0]], dtype=torch.float64, device=y0.device)
        rest = torch.tensor([0.0, c], dtype=torch.float64, device=y0.device)
        return (rest + flow(matrix, t, y0.double() - rest)).to(y0)

    game = Game(
        disc_loss,
        gen_loss,
        1,
        1,
        # One logit a sample, as a network's critic gives.
        critic=lambda phi, x: (phi * x.to(phi)).reshape(len(x)),
        real=lambda batch: torch.full((1, 1), c, dtype=torch.float64),
        fake=lambda theta, batch: theta[:, None],
        sample=lambda y, n, seed: y[1:].expand(n, 1).clone(),
        init=lambda seed: start(2, seed),
        # Only with the Wasserstein loss is the field linear, and its flow a matrix exponential.
        solution=solution if pair == losses.get("wasserstein") else None,
        loss=pair,
        name="dirac",
    )
    return game
