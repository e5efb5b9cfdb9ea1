"""The particle flow: a cloud of particles under Wasserstein-2 against a discriminator in a kernel's RKHS, as a game."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from odegan.flows.kernels import Features
from odegan.games.game import Game
from odegan.utils.checks import fail, number, whole

Start = Callable[[int, torch.Generator], torch.Tensor]  # (n, generator) -> (n, d)


class ParticleGame(Game):
    """The game that ``particle_game`` makes: y = [w (size,), x_1, ..., x_N (N d,)]. It can be asked for

    ``particles(y)``, the cloud (N, d); ``mmd(y)``, |m_data - m_mu| in the features' kernel; ``norm(y)``, |D| = |w|; and
    ``pairing(y)``, <D, m_data - m_mu> = mean D(data) - mean D(particles). All take y (P,).
    """

    # Runs with minibatches draw a latent beside every sample; particles need none.
    latent = staticmethod(lambda n, generator: torch.zeros(n, 0))

    def __init__(self, data: torch.Tensor, features: Features, n_particles: int, decay: float, start: Start) -> None:
        self.features = features
        shape = (n_particles, features.dim)
        # The data never change: neither does their embedding.
        embedding = features(data).mean(0)

        def gap(theta_g: torch.Tensor, batch: Any) -> torch.Tensor:
            real = embedding.to(theta_g) if batch is None else features(batch[0]).mean(0)
            return real - features(theta_g.view(shape)).mean(0)

        def disc_loss(w: torch.Tensor, theta_g: torch.Tensor, batch: Any) -> torch.Tensor:
            return -(w @ gap(theta_g, batch)) + decay / 2 * (w @ w)

        def gen_loss(w: torch.Tensor, theta_g: torch.Tensor, batch: Any) -> torch.Tensor:
            return -(features(theta_g.view(shape)) @ w).sum()

        def init(seed: int | None) -> torch.Tensor:
            points = start(n_particles, torch.Generator().manual_seed(seed or 0))
            if not isinstance(points, torch.Tensor) or points.shape != shape:
                fail("start", points, f"a function (n, generator) -> points {shape}")
            return torch.cat([torch.zeros(features.size).to(data), points.to(data).reshape(-1)])

        self.shape, self._gap = shape, gap
        super().__init__(
            disc_loss,
            gen_loss,
            features.size,
            n_particles * features.dim,
            critic=lambda w, x: features(x.to(w)) @ w,
            real=lambda batch: data if batch is None else batch[0],
            fake=lambda theta_g, batch: theta_g.view(shape),
            sample=lambda y, n, seed: _drawn(self.particles(y), n, seed),
            init=init,
            name="particles",
        )

    def particles(self, y: torch.Tensor) -> torch.Tensor:
        """The cloud (N, d) at y (P,), or (E, N, d) at y (E, P)."""
        return self.split(y)[1].detach().unflatten(-1, self.shape)

    def mmd(self, y: torch.Tensor, batch: Any = None) -> torch.Tensor:
        """|m_data - m_mu| in the RKHS of the features' own kernel, a scalar."""
        return torch.linalg.vector_norm(self._gap(self.split(y)[1], batch))

    def norm(self, y: torch.Tensor) -> torch.Tensor:
        """|D| in that RKHS, a scalar."""
        return torch.linalg.vector_norm(self.split(y)[0])

    def pairing(self, y: torch.Tensor, batch: Any = None) -> torch.Tensor:
        """<D, m_data - m_mu>, a scalar."""
        w, theta_g = self.split(y)
        return w @ self._gap(theta_g, batch)


def particle_game(
    data: torch.Tensor, features: Features, n_particles: int, decay: float = 1.0, start: Start | None = None
) -> ParticleGame:
    """N particles against a discriminator D = w . phi in a kernel's RKHS: a dual flow in a space of laws, as a game.

    With m the mean embedding (of the features: the mean of phi) and mu the law (1/N) sum_i delta(x_i), the field is

        D' = m_data - m_mu - decay D,        x_i' = grad D(x_i).

    D is the gradient flow, in the RKHS, of disc_loss = -<D, m_data - m_mu> + decay |D|^2 / 2, in which |D| = |w|. The cloud
    is the Wasserstein-2 gradient flow of the energy -E_mu D: between equal weights 1/N the metric carries 1/N and so does the
    energy; multiplied by N both are the Euclidean metric of the positions and the *sum* gen_loss = -sum_i D(x_i) (a mean
    would make the particles N times slower). Hence d/dt |D|^2 / 2 = <D, m_data - m_mu> - decay |D|^2. Around w = 0,
    mu = data, the field's eigenvalues are -decay and the roots of s^2 + decay s + a, a the eigenvalues of J^T J / N with
    J the features' Jacobian (size, N d) at the particles: oscillations damped by the decay alone.

    Args:
        data: (M, d) floating point; all of them are the data law, where no minibatch is given.
        features: from ``fourier_features`` (Gaussian kernel) or ``energy_features`` (energy distance).
        n_particles: N.
        decay: lambda >= 0; 0 leaves the discriminator undamped.
        start: function (n, generator) -> (n, d), where ``init(seed)`` puts the particles (with w = 0; None is seed 0). By
            default the n_particles data points nearest to one that the seed chooses: inside one mode, if they are few enough.

    Raises:
        ArgumentError: data that are not points, features of another dimension, a number out of range.

    Examples:
        >>> from odegan.flows import fourier_features
        >>> data = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        >>> game = particle_game(data, fourier_features(1, 50, 0.5), n_particles=2)
        >>> y = game.init(seed=0)
        >>> game.particles(y).tolist(), float(game.norm(y)), bool(game.mmd(y) < 1e-12)
        ([[-1.0], [1.0]], 0.0, True)
    """
    if not isinstance(data, torch.Tensor) or data.ndim != 2 or not len(data) or not data.is_floating_point():
        fail("data", data, "a floating-point tensor (M, d) of at least one point")
    if not callable(features) or not hasattr(features, "dim"):
        fail("features", features, "from odegan.flows.fourier_features or energy_features")
    if data.shape[1] != features.dim:
        fail("features", features.dim, f"of the data's dimension, {data.shape[1]}")
    n_particles = whole("n_particles", n_particles, low=1)
    if start is None and n_particles > len(data):
        fail("n_particles", n_particles, f"at most the number of data, {len(data)}, without a start of your own")
    if start is not None and not callable(start):
        fail("start", start, "None, or a function (n, generator) -> points")
    decay = number("decay", decay, low=0.0)
    return ParticleGame(data, features, n_particles, decay, start or (lambda n, draw: _neighbors(data, n, draw)))


def _neighbors(data: torch.Tensor, n: int, draw: torch.Generator) -> torch.Tensor:
    """The n data points nearest to a random one."""
    chosen = data[int(torch.randint(len(data), (), generator=draw))]
    nearest = torch.linalg.vector_norm(data - chosen, dim=1).argsort(stable=True)[:n]
    return data[nearest.sort().values]


def _drawn(points: torch.Tensor, n: int, seed: int) -> torch.Tensor:
    """n of the points, each as often as any other up to one."""
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))
    return points[order[torch.arange(n) % len(points)].to(points.device)]
