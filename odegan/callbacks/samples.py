"""``Samples``: a callback that writes samples along a run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from odegan.callbacks.periodic import Periodic
from odegan.games.game import Game, check_game
from odegan.training.state import Info, State
from odegan.utils.checks import check_int
from odegan.utils.keywords import keywords


class Samples(Periodic):
    """Writes samples of the generator to files after every ``every``-th refresh interval, always from the same latents.

    samples_00000100.npy holds the samples after 100 intervals, (n, ...) or in an ensemble (E, n, ...); ``numpy.load`` reads it.
    If matplotlib is installed, images (n, 1 or 3, H, W) are drawn as samples_00000100.png too.

    Args:
        game: the game whose generator draws; BatchNorm uses the statistics of each drawn batch.
        folder: for the files; created if missing. Existing files with the same name are replaced, for example on resuming.
        every: number of refresh intervals between writes.
        n: number of samples.
        seed: seed of their latents.

    Examples:
        >>> import tempfile, torch, odegan
        >>> game = odegan.gan(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
        >>> folder = tempfile.mkdtemp()
        >>> samples = Samples(game, folder, every=2, n=5)
        >>> run = {"data": torch.randn(9, 2), "solver": "heun2", "step_size": 0.1}
        >>> solution = odegan.odeint_gan(game, game.init(), steps=4, callback=samples, **run)
        >>> sorted(os.listdir(folder))
        ['samples_00000002.npy', 'samples_00000004.npy']
    """

    @keywords()
    def __init__(
        self, game: Game, folder: str | os.PathLike[str], every: int = 100, n: int = 64, seed: int = 0
    ) -> None:
        super().__init__(every)
        check_game(game)
        self.game = game
        self.folder = Path(folder)
        self.n = check_int("n", n, low=1)
        self.seed = check_int("seed", seed)

    def __call__(self, state: State, info: Info) -> None:
        """Draw samples at the state and write them."""
        # To float32 first, since numpy has no bfloat16.
        found = self.game.sample(state.y.detach(), self.n, self.seed).detach().float().cpu().numpy()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"samples_{state.aux['index']:08d}.npy"
        # As float32 numbers, not only as a picture: points in the plane are not images.
        np.save(path, found)
        if found.ndim == 4 and state.y.ndim == 1 and found.shape[1] in (1, 3):
            _draw(found, path.with_suffix(".png"))


def _draw(images: np.ndarray, path: Path) -> None:
    try:
        from odegan.plots.images import image_grid
    # The numbers are there; a picture is an extra, as matplotlib is.
    except ImportError:
        return
    image_grid(images).savefig(path)
