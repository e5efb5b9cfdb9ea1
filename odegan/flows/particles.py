"""The particle flow as a game: a cloud of particles under Wasserstein-2 against a discriminator in a kernel's RKHS."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange

from odegan.flows.kernels import Features
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_function, check_int, check_number
from odegan.utils.fingerprint import describe
from odegan.utils.random_streams import reseed

Start = Callable[[int, torch.Generator], torch.Tensor]  # (n, generator) -> (n, d)


class ParticleGame(Game):
    """The game that ``particle_game`` makes, with y = [w (size,), x_1, ..., x_N (N d,)].

    For a state y (P,), ``particles(y)`` is the cloud (N, d); ``mmd(y)`` is |m_data - m_mu| in the features' kernel; ``norm(y)``
    is |D| = |w|; and ``pairing(y)`` is ``<D, m_data - m_mu>`` = mean D(data) - mean D(particles).

    Args:
        data: (n, d).
        features: phi: R^d -> R^size.
        n_particles: N.
        decay: lambda of w' = m_data - m_mu - lambda w.
        start: (n, generator) -> the particles at the start (n, d).

    Examples:
        >>> from odegan.flows import fourier_features, particle_game
        >>> game = particle_game(torch.randn(20, 2), fourier_features(2, 16, 1.0), n_particles=5)
        >>> isinstance(game, ParticleGame), game.particles(game.init(seed=0)).shape
        (True, torch.Size([5, 2]))
    """

    def __init__(self, data: torch.Tensor, features: Features, n_particles: int, decay: float, start: Start) -> None:
        self.data = data
        self.features = features
        self.n_particles = n_particles
        self.decay = decay
        self._start = start
        # The data never change, so their embedding is computed once.
        self._embedding = features(data).mean(0)
        super().__init__(
            self._disc_loss,
            self._gen_loss,
            features.size,
            n_particles * features.dim,
            critic=lambda w, x: features(x.to(w)) @ w,
            real=lambda batch: data if batch is None else batch.real,
            fake=lambda theta_g, batch: self._cloud(theta_g),
            sample=lambda y, n, seed: _drawn(self.particles(y), n, seed),
            init=self._initial_state,
            name="particles",
        )

    @staticmethod
    def latent(n: int, generator: torch.Generator) -> torch.Tensor:
        """Empty latents (n, 0): a run with minibatches draws a latent per sample, but particles need none."""
        return torch.zeros(n, 0)

    def _cloud(self, theta_g: torch.Tensor) -> torch.Tensor:
        return rearrange(theta_g, "... (particle d) -> ... particle d", d=self.features.dim)

    def _gap(self, theta_g: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        """m_data - m_mu in the features, (size,)."""
        real = self._embedding.to(theta_g) if batch is None else self.features(batch.real).mean(0)
        return real - self.features(self._cloud(theta_g)).mean(0)

    def _disc_loss(self, w: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        return -(w @ self._gap(theta_g, batch)) + self.decay / 2 * (w @ w)

    def _gen_loss(self, w: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        # The sum: each particle follows grad D itself. A mean would divide its velocity by N.
        return -(self.features(self._cloud(theta_g)) @ w).sum()

    def _initial_state(self, seed: int | None) -> torch.Tensor:
        shape = (self.n_particles, self.features.dim)
        points = self._start(self.n_particles, reseed(torch.Generator(), seed or 0))
        if not isinstance(points, torch.Tensor) or points.shape != shape:
            argument_error("start", points, f"a function (n, generator) -> points {shape}")
        positions = rearrange(points.to(self.data), "particle d -> (particle d)")
        # The discriminator starts at zero, where the particles rest until it has seen the data.
        return torch.cat([positions.new_zeros(self.features.size), positions])

    def fingerprint(self) -> list[object]:
        """Everything that the field depends on, for checkpoints."""
        return [self.name, describe(self.data), describe(self.features), self.n_particles, self.decay]

    def particles(self, y: torch.Tensor) -> torch.Tensor:
        """The cloud (N, d) at y (P,), or (E, N, d) at y (E, P)."""
        return self._cloud(self.split(y)[1].detach())

    @unaffected
    def mmd(self, y: torch.Tensor, batch: Batch | None = None) -> torch.Tensor:
        """|m_data - m_mu| in the RKHS of the features' own kernel, a scalar."""
        return torch.linalg.vector_norm(self._gap(self.split(y)[1], batch))

    @unaffected
    def norm(self, y: torch.Tensor) -> torch.Tensor:
        """|D| in that RKHS, a scalar."""
        return torch.linalg.vector_norm(self.split(y)[0])

    @unaffected
    def pairing(self, y: torch.Tensor, batch: Batch | None = None) -> torch.Tensor:
        """``<D, m_data - m_mu>``, a scalar."""
        w, theta_g = self.split(y)
        return w @ self._gap(theta_g, batch)


@unaffected
def particle_game(
    data: torch.Tensor, features: Features, n_particles: int, decay: float = 1.0, start: Start | None = None
) -> ParticleGame:
    """N particles against a discriminator D = w . phi in a kernel's RKHS: a dual flow of distributions as a game.

    With m the mean embedding (the mean of phi) and mu the distribution (1/N) sum_i delta(x_i), the field is

        D' = m_data - m_mu - decay D,        x_i' = grad D(x_i).

    D follows the gradient flow, in the RKHS, of ``disc_loss = -<D, m_data - m_mu> + decay |D|^2 / 2``, where |D| = |w|. Hence
    ``d/dt |D|^2 / 2 = <D, m_data - m_mu> - decay |D|^2``. The cloud follows the Wasserstein-2 gradient flow of the energy
    -E_mu D. For particles of equal weights 1/N both the metric and the energy carry a factor 1/N; without it they are the
    Euclidean metric of the positions and the *sum* gen_loss = -sum_i D(x_i). (A mean would make the particles N times slower.)

    Around w = 0, mu = data, the field's eigenvalues are -decay and the roots of s^2 + decay s + a, with a the eigenvalues of
    J^T J / N and J the features' Jacobian (size, N d) at the particles: the decay alone damps oscillations.

    Args:
        data: (M, d) floating point; without minibatches, all of them are the data distribution.
        features: from ``fourier_features`` (Gaussian kernel) or ``energy_features`` (energy distance).
        n_particles: N.
        decay: lambda >= 0; 0 leaves the discriminator undamped.
        start: function (n, generator) -> (n, d) for the initial particles of ``init(seed)``, with w = 0 (None means seed 0). By
            default they start at the n_particles data points nearest to one that the seed chooses, and so within one mode if
            they are few enough.

    Raises:
        ArgumentError: the data are not points, the features have another dimension, or a number is out of range.

    Examples:
        >>> from odegan.flows import fourier_features
        >>> data = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        >>> game = particle_game(data, fourier_features(1, 50, 0.5), n_particles=2)
        >>> y = game.init(seed=0)
        >>> game.particles(y).tolist(), float(game.norm(y)), bool(game.mmd(y) < 1e-12)
        ([[-1.0], [1.0]], 0.0, True)
    """
    if not isinstance(data, torch.Tensor) or data.ndim != 2 or not len(data) or not data.is_floating_point():
        argument_error("data", data, "a floating-point tensor (M, d) of at least one point")
    if not callable(features) or not hasattr(features, "dim"):
        argument_error("features", features, "from odegan.flows.fourier_features or energy_features")
    if data.shape[1] != features.dim:
        argument_error("features", features.dim, f"of the data's dimension, {data.shape[1]}")
    n_particles = check_int("n_particles", n_particles, low=1)
    if start is None and n_particles > len(data):
        argument_error(
            "n_particles", n_particles, f"at most the number of data, {len(data)}, without a start of your own"
        )
    if start is not None:
        check_function("start", start, 2, "None, or a function (n, generator) -> points")
    decay = check_number("decay", decay, low=0.0)
    return ParticleGame(data, features, n_particles, decay, start or (lambda n, draw: _neighbors(data, n, draw)))


def _neighbors(data: torch.Tensor, n: int, draw: torch.Generator) -> torch.Tensor:
    """The n data points nearest to a random one."""
    chosen = data[int(torch.randint(len(data), (), generator=draw))]
    # Stable sorting: data on a grid have equal distances, and ties must not depend on the device.
    nearest = torch.linalg.vector_norm(data - chosen, dim=1).argsort(stable=True)[:n]
    return data[nearest.sort().values]


def _drawn(points: torch.Tensor, n: int, seed: int) -> torch.Tensor:
    """n of the points, with numbers of repetitions that differ by at most one."""
    # Without replacement as far as possible: draws with it would add noise to every score.
    order = torch.randperm(len(points), generator=reseed(torch.Generator(), seed))
    return points[order[torch.arange(n) % len(points)].to(points.device)]
