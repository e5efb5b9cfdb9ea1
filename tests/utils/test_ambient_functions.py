"""Every public function of a game and a state gives the same numbers in whatever modes and defaults it is called."""

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import odegan
from odegan import flows, metrics
from odegan.games import sampling
from odegan.metrics.features import find_extractor
from tests.utils.ambient_settings import AMBIENT

UNDER = [
    "inference_mode",
    "no_grad",
    "default dtype torch.float64",
    "default dtype torch.bfloat16",
    "autocast bfloat16",
    "within torch.device(meta)",
    "default device meta",
    "deterministic",
    "everything",
]


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


X = drawn(6, 2)
Z = drawn(6, 3)
ROWS = drawn(40, 4)
VALUES = torch.tensor([-1.0 + 1j, -2.0])
C = torch.tensor([0.3, 0.2])
MEAN = torch.ones(2)
LANDMARKS = drawn(5, 2)


def networks():
    torch.manual_seed(0)
    gen = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    return gen, nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))


NETWORKS = networks()
GAME = odegan.gan(*NETWORKS)
Y = GAME.init()
OTHER = GAME.init(seed=1)
D, G = GAME.split(Y)
PAIR = (X, Z)
BATCH = odegan.Batch(X, Z)
CLOUD = flows.particle_game(X, flows.fourier_features(2, 8, 1.0), 4)


def stepped():
    stepper = odegan.Stepper(GAME, solver="rk4", step_size=0.1, clip=0.9, rates=(1.0, 2.0))
    return stepper.step(stepper.init(Y), PAIR)[0].y


def closed_form(game, y):
    return odegan.vector_field(game)(0.0, y), game.losses(y)


def cloud():
    game = flows.particle_game(X, flows.energy_features(LANDMARKS), 4)
    y = game.init(seed=2)
    return y, game.mmd(y), game.pairing(y + 1), odegan.vector_field(game)(0.0, y)


FUNCTIONS = {
    "gan": lambda: odegan.gan(*NETWORKS).init(seed=2),
    "init": lambda: GAME.init(seed=5),
    "losses": lambda: GAME.losses(Y, PAIR),
    "disc_loss": lambda: GAME.disc_loss(D, G, BATCH),
    "gen_loss": lambda: GAME.gen_loss(D, G, BATCH),
    "gradients": lambda: GAME.gradients(D, G, BATCH),
    "player_gradient": lambda: GAME.player_gradient("disc", D, G, BATCH),
    "logits": lambda: GAME.logits(D, X),
    "critic": lambda: GAME.critic(D, X),
    "fake": lambda: GAME.fake(G, BATCH),
    "sample": lambda: GAME.sample(Y, 4),
    "GameSampler": lambda: sampling.GameSampler(GAME, Y)(4, 0),
    "modules": lambda: [list(module.parameters()) for module in GAME.modules(Y, [PAIR])],
    "Stepper": stepped,
    "vector_field": lambda: odegan.vector_field(GAME, [odegan.penalties.r1(0.1)])(0.0, Y, PAIR),
    "unrolled": lambda: odegan.vector_field(odegan.unrolled(GAME, steps=2, step_size=0.1))(0.0, Y, PAIR),
    "spectrum": lambda: odegan.spectrum(GAME, Y, PAIR).eigenvalues,
    "spectrum, k": lambda: odegan.spectrum(GAME, Y, PAIR, k=2).eigenvalues,
    "advise": lambda: [row.step for row in odegan.advise(GAME, Y, PAIR, solvers=["euler", "rk4"]).rows],
    "max_stable_step": lambda: odegan.max_stable_step(VALUES, solver="rk4"),
    "path_angle": lambda: list(odegan.path_angle(GAME, Y, OTHER, 5, PAIR)),
    "dirac": lambda: closed_form(odegan.games.dirac("minimax", 0.0), C),
    "gaussian": lambda: closed_form(odegan.games.gaussian(MEAN, 1.0, "minimax"), torch.cat([MEAN, 2 * MEAN])),
    "particle_game": cloud,
    "particles": lambda: closed_form(CLOUD, CLOUD.init(seed=1)),
    "mmd": lambda: metrics.mmd(X, Z[:, :2], flows.gaussian_kernel(1.0)),
    "frechet_distance": lambda: metrics.frechet_distance(metrics.moments(ROWS), metrics.moments(ROWS + 1)),
    "kid": lambda: metrics.kid(ROWS, ROWS + 1, subset_size=20).value,
    "precision_recall": lambda: tuple(metrics.precision_recall(ROWS, ROWS * 2)),
    "an extractor": lambda: find_extractor(NETWORKS[1])(X)[0],
}
EXPECTED = {name: function() for name, function in FUNCTIONS.items()}


@pytest.mark.parametrize("ambient", UNDER)
def test_a_function_gives_the_same(ambient):
    wrong = {}
    for name, function in FUNCTIONS.items():
        with AMBIENT[ambient]():
            try:
                found = function()
            except (RuntimeError, NotImplementedError, odegan.ArgumentError) as error:
                wrong[name] = str(error)[:200]
                continue
        for a, b in zip(tree_leaves(found), tree_leaves(EXPECTED[name]), strict=True):
            if not isinstance(a, torch.Tensor):
                assert a == pytest.approx(b, rel=1e-4), name
                continue
            if a.dtype != b.dtype or a.device != b.device or not torch.allclose(a, b, rtol=1e-4, atol=1e-5):
                wrong[name] = f"got {a}, not {b}"
    assert not wrong
