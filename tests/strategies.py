"""Random games, states, batches and settings for the tests of properties, and how many examples of them are tried."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import odegan
from odegan import games, losses, penalties
from tests.peers import FIXED, smooth_game

# Few examples, and the same ones every time; ``campaign.properties`` tries many.
PROFILE = settings(
    max_examples=4,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile("odegan", PROFILE)
settings.load_profile("odegan")

EPS = {torch.float32: 6e-8, torch.float64: 1.1e-16}
ACTIVATIONS = (nn.Tanh, nn.Softplus, nn.SiLU)


class Example(NamedTuple):
    """A game, a state y (P,), a batch (None in closed form); of a game of networks its modules (G, D) and its loss."""

    game: odegan.Game
    y: torch.Tensor
    batch: Any
    modules: tuple[nn.Module, nn.Module] | None = None
    loss: str | None = None

    @property
    def dtype(self) -> torch.dtype:
        return self.y.dtype

    def parts(self, direction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The players' parts of a vector like y."""
        return direction[..., : self.game.n_disc], direction[..., self.game.n_disc :]


def assert_close(a: torch.Tensor, b: torch.Tensor, ulps: float = 1e4, scale: float = 1.0) -> None:
    """Equal to rounding: to so many units of the dtype's, of ``scale`` + the largest entry."""
    assert a.dtype == b.dtype
    bound = ulps * EPS[a.dtype] * (scale + b.abs().max().item() if b.numel() else 1.0)
    torch.testing.assert_close(a, b, rtol=0, atol=bound)


def map_batch(function: Callable[[torch.Tensor], torch.Tensor], batch: Any) -> Any:
    """The batch of the function's values on its parts, or None."""
    return None if batch is None else torch.utils._pytree.tree_map(function, batch)


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Standard normal numbers, the same in every dtype."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


seeds = st.integers(0, 10_000)
dtypes = st.sampled_from([torch.float32, torch.float64])
double = st.just(torch.float64)
fixed_solvers = st.sampled_from(FIXED)
steps = st.floats(0.01, 0.1)
rates = st.tuples(st.floats(0.25, 3), st.floats(0.25, 3))
loss_names = st.sampled_from(losses.names())


@st.composite
def closed_form(draw: Any, dtype: Any = dtypes) -> Example:
    """A game without data: linear, smooth, Dirac, or isotropic Gaussian."""
    kind = draw(st.sampled_from(_CLOSED))
    given = draw(dtype)
    seed = draw(seeds)
    game = kind(draw, given, seed)
    return Example(game, 0.5 * normal(game.n_params, seed=seed + 1, dtype=given), None)


def _quadratic(draw: Any, dtype: torch.dtype, seed: int) -> odegan.Game:
    size = draw(st.integers(2, 6))
    return games.quadratic(normal(size, size, seed=seed, dtype=dtype), draw(st.integers(1, size - 1)))


def _dirac(draw: Any, dtype: torch.dtype, seed: int) -> odegan.Game:
    return games.dirac(draw(_smooth_losses), draw(st.floats(-2, 2)), draw(st.floats(0, 1)))


def _gaussian(draw: Any, dtype: torch.dtype, seed: int) -> odegan.Game:
    size = draw(st.integers(1, 3))
    return games.gaussian(normal(size, seed=seed, dtype=dtype), draw(st.floats(0.3, 1.5)), draw(_smooth_losses))


_smooth_losses = st.sampled_from([name for name in losses.names() if name != "hinge"])
_CLOSED: list[Callable[..., odegan.Game]] = [
    _quadratic,
    _dirac,
    _gaussian,
    lambda draw, dtype, seed: smooth_game(),
    lambda draw, dtype, seed: games.bilinear(),
]


def _no_norm(layer: nn.Module, width: int) -> list[nn.Module]:
    return [layer]


_NORMS: dict[str, Callable[[nn.Module, int], list[nn.Module]]] = {
    "none": _no_norm,
    "layer": lambda layer, width: [layer, nn.LayerNorm(width, eps=0.1)],  # of two features 1e-5 makes a jump
    "spectral": lambda layer, width: [spectral_norm(layer)],
    "batch": lambda layer, width: [layer, nn.BatchNorm1d(width, eps=0.1)],
}


@st.composite
def networks(draw: Any, dtype: Any = dtypes, norms: tuple[str, ...] = ("none", "layer", "spectral")) -> Example:
    """A game of two small smooth networks, and a batch of 4 or 6."""
    given = draw(dtype)
    seed = draw(seeds)
    norm = _NORMS[draw(st.sampled_from(norms))]
    latent = draw(st.integers(1, 3))
    width = draw(st.integers(2, 5))
    out = draw(st.integers(1, 3))
    hidden = draw(st.integers(1, 2))
    activation = draw(st.sampled_from(ACTIVATIONS))
    name = draw(loss_names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = _mlp([latent, *[width] * hidden, out], activation, _no_norm).to(given)
        discriminator = _mlp([out, *[width] * hidden, 1], activation, norm).to(given)
        game = odegan.gan(generator, discriminator, loss=name)
    size = draw(st.sampled_from([4, 6]))
    real, z = (normal(size, n, seed=seed + i, dtype=given) for i, n in enumerate((out, latent)))
    noise = torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(given)
    return Example(game, game.init(), odegan.Batch(real, z, noise=noise), (generator, discriminator), name)


def _mlp(sizes: list[int], activation: Any, norm: Any) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes[:-1]):
        layers += [*norm(nn.Linear(before, after), after), activation()]
    return nn.Sequential(*layers, nn.Linear(*sizes[-2:]))


def examples(dtype: Any = dtypes) -> st.SearchStrategy[Example]:
    """Any of them."""
    return st.one_of(closed_form(dtype), networks(dtype))


# Penalties by a function of their weight. Those of the first kind work on every game, those of the second on networks.
ON_GAMES: dict[str, Callable[[Any], Any]] = {
    "generator_gradient": penalties.generator_gradient,
    "jare": penalties.jare,
    "consensus": penalties.consensus,
    "reg-D1": lambda w: penalties.reg(w, player="disc"),
    "reg-G1": lambda w: penalties.reg(w, player="gen"),
    "reg-G2": lambda w: penalties.reg(w, player="gen", norm="opponent"),
    "truncation_error": lambda w: penalties.truncation_error(w, step_size=0.1),
}
ON_NETWORKS: dict[str, Callable[[Any], Any]] = {
    "r1": penalties.r1,
    "r2": penalties.r2,
    "wgan_gp": penalties.wgan_gp,
    "wgan_gp at 0": lambda w: penalties.wgan_gp(w, center=0.0),
    "closed_loop": lambda w: penalties.closed_loop(w, buffer=0),
    "closed_loop, loss": lambda w: penalties.closed_loop(w, kind="loss", buffer=0),
    "jare, chunks": lambda w: penalties.jare(w, chunks=2),
}
weights = st.floats(0.01, 1.0)


def penalty_names(example: Example) -> st.SearchStrategy[str]:
    """A penalty that works on this game: some need networks that see one sample at a time."""
    return st.sampled_from([*ON_GAMES, *(ON_NETWORKS if example.modules and not example.game.couples_batch else ())])


def penalty(name: str, weight: Any) -> Any:
    """That penalty."""
    return (ON_GAMES | ON_NETWORKS)[name](weight)


def penalty_lists(example: Example, most: int = 2) -> st.SearchStrategy[list[Any]]:
    """Up to so many penalties that work on this game."""
    one = st.tuples(penalty_names(example), weights).map(lambda pair: penalty(*pair))
    return st.lists(one, max_size=most)


@st.composite
def linear_games(draw: Any, dtype: Any = double) -> tuple[odegan.Game, torch.Tensor, torch.Tensor]:
    """(the game v(y) = A y, A, y)."""
    size = draw(st.integers(2, 6))
    seed = draw(seeds)
    given = draw(dtype)
    A = normal(size, size, seed=seed, dtype=given)
    return games.quadratic(A, draw(st.integers(1, size - 1))), A, normal(size, seed=seed + 1, dtype=given)


@st.composite
def report_times(draw: Any, start: float = 0.0, length: float = 1.0, most: int = 4) -> list[float]:
    """Increasing times from ``start`` to ``start + length``, none nearer than 1/1000 of it."""
    inner = draw(st.lists(st.integers(1, 999), max_size=most, unique=True))
    return [start, *(start + length * i / 1000 for i in sorted(inner)), start + length]
