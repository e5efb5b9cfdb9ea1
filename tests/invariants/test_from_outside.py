"""A loss, a penalty and a game from a file outside of the library work in everything that a run does."""

from __future__ import annotations

import importlib.util
import math
from types import ModuleType

import pytest
import torch
from torch import nn

import odegan
from odegan.nets import MLP

OUTSIDE = '''
"""What a user's own project may hold."""

import torch

import odegan


def disc_loss(real, fake):
    return ((real - 1).cosh() + fake.cosh()).mean()


def gen_loss(real, fake):
    return (fake - 1).cosh().mean()


def output_penalty(game):
    """Penalize D by the mean of its squared outputs on real samples."""

    def extra(theta_d, theta_g, batch, t):
        return 0.3 * (game.critic_fn(theta_d, batch)(game.real(batch)) ** 2).mean()

    return extra, None


class Saddle(odegan.Game):
    """loss_D = a x y + b x^2 / 2 with a the mean of the data, loss_G = -a x y."""

    def __init__(self, b):
        self.b = b
        super().__init__(self.for_disc, self.for_gen, 1, 1, init=lambda seed: torch.tensor([1.0, 0.5]), name="saddle")

    def for_disc(self, x, y, batch):
        return batch.real.mean() * (x * y).sum() + self.b * (x**2).sum() / 2

    def for_gen(self, x, y, batch):
        return -batch.real.mean() * (x * y).sum()
'''
DATA = torch.randn(32, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64) + 1
RUN = {"data": DATA, "batch_size": 8, "solver": "heun2", "step_size": 0.05}


@pytest.fixture(scope="module")
def outside(tmp_path_factory) -> ModuleType:
    path = tmp_path_factory.mktemp("project") / "mine.py"
    path.write_text(OUTSIDE)
    spec = importlib.util.spec_from_file_location("mine", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(3)
    return MLP((3, 6, 2), activation=nn.Tanh).double(), MLP((2, 6, 1), activation=nn.Tanh).double()


def by_hand(outside, generator, discriminator, real, latent) -> torch.Tensor:
    """The field with the penalty, by plain autograd on the modules."""
    fake = generator(latent)
    on_real = discriminator(real).flatten()
    on_fake = discriminator(fake).flatten()
    loss_d = outside.disc_loss(on_real, on_fake) + 0.3 * (on_real**2).mean()
    grad_d = torch.autograd.grad(loss_d, list(discriminator.parameters()), retain_graph=True)
    grad_g = torch.autograd.grad(outside.gen_loss(on_real, on_fake), list(generator.parameters()))
    return -torch.cat([g.flatten() for g in (*grad_d, *grad_g)])


def test_a_loss_and_a_penalty_give_the_field_of_plain_autograd(outside):
    generator, discriminator = networks()
    game = odegan.gan(generator, discriminator, loss=(outside.disc_loss, outside.gen_loss), latent=3)
    latent = torch.randn(8, 3, dtype=torch.float64)
    found = odegan.vector_field(game, [outside.output_penalty])(0.0, game.init(), (DATA[:8], latent))
    torch.testing.assert_close(
        found, by_hand(outside, generator, discriminator, DATA[:8], latent), rtol=1e-12, atol=1e-14
    )


WAYS = {
    "after the step": {"placement": "after_step"},
    "in the first stage": {"placement": "first_stage"},
    "frozen players": {"players": "frozen"},
    "a minibatch a stage": {"refresh": "stage"},
    "adaptive": {"solver": "dopri5", "step_size": None, "refresh": 0.1},
    "one call": {"refresh": math.inf},
    "adam": {"solver": "adam", "step_size": 1e-3},
    "micro-batches": {"micro_batch": 4},
    "compiled": {"compile": "eager"},
}


@pytest.mark.parametrize("way", WAYS)
def test_runs_of_them_are_those_of_the_same_formulas_within(outside, way):
    """The same loss under the name of a lambda, and the penalty as closed_loop, which the library has."""
    t = [0.0, 0.2]
    pair = (lambda real, fake: outside.disc_loss(real, fake), lambda real, fake: outside.gen_loss(real, fake))
    given = RUN | dict(WAYS[way].items())
    ends = []
    for loss, penalty in (((outside.disc_loss, outside.gen_loss), outside.output_penalty), (pair, squared_outputs)):
        game = odegan.gan(*networks(), loss=loss, latent=3)
        ends.append(odegan.odeint_gan(game, game.init(), t, penalties=[penalty], **given).y)
    tolerance = 1e-7 if way == "adaptive" else 1e-12
    torch.testing.assert_close(*ends, rtol=tolerance, atol=tolerance)


def squared_outputs(game):
    """The same penalty, written another way."""
    return lambda d, g, batch, t: game.critic_fn(d, batch)(game.real(batch)).square().mean() * 0.3, None


def test_an_ensemble_of_them_is_single_runs(outside):
    game = odegan.gan(*networks(), loss=(outside.disc_loss, outside.gen_loss), latent=3)
    starts = torch.stack([game.init(seed=s) for s in range(3)])
    given = RUN | {"penalties": [outside.output_penalty], "placement": "after_step"}
    together = odegan.odeint_gan(game, starts, [0.0, 0.2], seed=4, **given).y
    alone = [odegan.odeint_gan(game, y, [0.0, 0.2], seed=4 + e, **given).y for e, y in enumerate(starts)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("solver", ["rk4_classic", "dopri5"])
def test_a_game_follows_its_closed_form(outside, solver):
    """With one fixed batch of mean a: x' = -b x - a y, y' = a x."""
    game = outside.Saddle(0.5)
    data = torch.full((4, 1), 2.0, dtype=torch.float64)
    y0 = game.init().double()
    way = {"step_size": 0.01} if solver == "rk4_classic" else {"rtol": 1e-10, "atol": 1e-12}
    given = {"data": data, "latent": 1, "batch_size": 4, "refresh": math.inf, "solver": solver}
    found = odegan.odeint_gan(game, y0, [0.0, 1.0], **given, **way).y
    matrix = torch.tensor([[-0.5, -2.0], [2.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(found, torch.linalg.matrix_exp(matrix) @ y0, rtol=1e-8, atol=1e-9)
    eigenvalues = odegan.spectrum(game, y0, odegan.Batch(data, data)).eigenvalues
    torch.testing.assert_close(eigenvalues.imag.abs().max().item(), math.sqrt(4 - 0.25**2), rtol=1e-10, atol=0)


def test_a_checkpoint_of_them_resumes(outside, tmp_path):
    game = outside.Saddle(0.5)
    given = {"data": DATA, "latent": 1, "batch_size": 8, "solver": "euler", "step_size": 0.05, "checkpoint_every": 1}
    whole = odegan.odeint_gan(game, game.init(), [0.0, 0.5], **given)
    cut = given | {"checkpoint": tmp_path / "run.pt"}
    odegan.odeint_gan(game, game.init(), [0.0, 0.5], **cut, callback=lambda state, info: state.t > 0.2)
    assert torch.equal(odegan.odeint_gan(game, game.init(), [0.0, 0.5], **cut).y, whole.y)
