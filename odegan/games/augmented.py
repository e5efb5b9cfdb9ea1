"""``augmented``: a game whose discriminator sees every sample through random differentiable transforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from odegan.games.augmentation import Given, Probability, augmentation
from odegan.games.batch import Batch, BatchLike
from odegan.games.game import Game, check_game
from odegan.games.network import NetworkGame
from odegan.games.network_gradients import BothPlayers
from odegan.games.network_inputs import read_batch
from odegan.utils.checks import ArgumentError, argument_error
from odegan.utils.keywords import keywords
from odegan.utils.random_streams import UNIFORM, Stream

DIFF_AUGMENT = ("color", "translation", "cutout")


@keywords()
def augmented(
    game: Game, transforms: str | Sequence[Given] = DIFF_AUGMENT, probability: Probability = 1.0
) -> Augmented:
    """The game in which D sees T(x) of real and T(G(z)) of generated images, with gradients through T to G.

        loss_D' = loss_D(D(T(x)), D(T(G(z)))),    loss_G' = loss_G(D(T(x)), D(T(G(z)))).

    Both players see the same T in one evaluation. What T does to a sample depends on uniform numbers in the batch
    (``Batch.augment``), which ``odeint_gan`` and ``Stepper`` draw for every minibatch as a pure function of (seed, index): they
    are the same at all stages of a step, and after a resume. Real and generated samples have separate numbers.

    | name            | T, independently for each image                                         |
    | --------------- | ----------------------------------------------------------------------- |
    | `"flip"`        | mirrored left to right with probability 1/2                             |
    | `"color"`       | brightness, saturation and contrast, in this order                      |
    | `"translation"` | shifted by whole pixels, up to 1/8 of the size either way; zeros move in |
    | `"cutout"`      | zeros in a square of half the size, which may extend beyond the image   |

    Args:
        game: made by ``gan``, for images (B, C, H, W).
        transforms: a list of names or of ``odegan.games.augmentation.Transform``, or one string such as "color,translation",
            applied in this order. Default: DiffAugment's.
        probability: the probability with which each transform is applied to each sample, independently: a number, a function
            of time, or one of ``odegan.schedules``, evaluated at the start of every refresh interval.

    Returns:
        A ``Game`` with the same y. Penalties act on what D sees: ``r1`` takes D's gradient at T(x). ``sample`` and ``modules``
        are those of ``game``.

    Raises:
        ArgumentError: a game without networks, or an augmented one; an unknown transform; a probability outside [0, 1].

    Source: Zhao et al. 2020 (DiffAugment); the probability is that of Karras et al. 2020 (StyleGAN2-ADA).

    Examples:
        >>> from torch import nn
        >>> from odegan.games.network import gan
        >>> G = nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (1, 8, 8)))
        >>> game = augmented(gan(G, nn.Sequential(nn.Flatten(), nn.Linear(64, 1))), "flip,translation", probability=0.5)
        >>> batch = game.with_draws(Batch(torch.ones(5, 1, 8, 8), torch.zeros(5, 4)))
        >>> batch.augment.shape, game.real(batch).shape
        (torch.Size([5, 2, 5]), torch.Size([5, 1, 8, 8]))
    """
    check_game(game)
    if not isinstance(game, NetworkGame) or isinstance(game, Augmented):
        kind = "augmented already" if isinstance(game, Augmented) else game.name
        argument_error("game", kind, "made by odegan.gan, and augmented once: unrolled(augmented(game), ...)")
    made = Augmented.__new__(Augmented)
    vars(made).update(vars(game))  # the same networks, which were examined when they were given
    made.augmentation = augmentation(transforms, probability)
    made.name = f"augmented {game.name}"
    made._bind()
    return made


class Augmented(NetworkGame):
    """An augmented game; made by ``augmented``."""

    def real(self, batch: Batch | None) -> torch.Tensor:
        """T of the real samples (B, C, H, W)."""
        return self._transformed(read_batch(batch, self.conditional).real, batch, 0)

    def _fakes(self, theta_g: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        return self._transformed(super()._fakes(theta_g, batch), batch, 1)

    def _on(self, batch: Batch | None) -> BothPlayers:
        return replace(super()._on(batch), real=self.real(batch))

    def _transformed(self, x: torch.Tensor, batch: Batch | None, side: int) -> torch.Tensor:
        assert self.augmentation is not None
        if x.ndim != 4:
            argument_error("data", f"samples of shape {tuple(x.shape[1:])}", "images (C, H, W), which can be augmented")
        numbers = batch.augment if isinstance(batch, Batch) else None
        wanted = (len(x), 2, self.augmentation.numbers)
        if numbers is None:
            raise ArgumentError(
                "batch.augment: got None; an augmented game reads its random numbers there: use odeint_gan or Stepper, or "
                "give game.with_draws(batch, seed)"
            )
        if numbers.shape != wanted:
            argument_error(
                "batch.augment", tuple(numbers.shape), f"of shape {wanted}, as game.with_draws(batch) makes it"
            )
        return self.augmentation(x, numbers[:, side])

    def with_draws(self, batch: BatchLike, seed: int = 0, t: float = 0.0, members: int | None = None) -> Batch:
        """The batch with the numbers of a run's first minibatch with this seed, at the probability of time t.

        members: E of a batch of an ensemble, with the member dimension first.
        """
        assert self.augmentation is not None
        batch = read_batch(batch, False)
        size = batch.real.shape[members is not None]
        seeds = seed if members is None else [seed + member for member in range(members)]
        shape = (size, 2, self.augmentation.numbers)
        u = Stream(UNIFORM, seeds, "augment", shape, batch.real.device).block(0, 1)[0].to(batch.real.dtype)
        p = self.augmentation.probability
        return replace(batch, augment=self.augmentation.decided(u, p(t) if callable(p) else p))

    def check(self, y: torch.Tensor, batch: BatchLike) -> None:
        """Refuse what cannot work with a batch; a batch without random numbers gets some for the check."""
        if batch is not None and read_batch(batch, False).augment is None:
            batch = self.with_draws(batch, members=len(y) if y.ndim == 2 else None)
        super().check(y, batch)

    def __odegan_fingerprint__(self) -> dict[str, object]:
        """The game's own fingerprint, and the transforms with their probability."""
        return super().__odegan_fingerprint__() | {"augmentation": self.augmentation}
