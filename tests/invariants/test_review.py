"""Ways to be silently wrong that a reviewer found, each held shut."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

import odegan
from odegan import ArgumentError, gan, odeint_gan

T = [0.0, 0.1, 0.2]
FIXED = {"solver": "rk4", "step_size": 0.1}


def pair(activation=nn.Tanh):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 4), activation(), nn.Linear(4, 2))
    return generator, nn.Sequential(nn.Linear(2, 4), activation(), nn.Linear(4, 1))


class Items(Dataset):
    def __init__(self, shift, noise=0.0):
        self.x = torch.arange(20.0).reshape(10, 2) / 10 + shift
        self.noise = noise

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i] + self.noise * torch.randn(2)


def network_run(path, *, loss="minimax", activation=nn.Tanh, data=None, **changes):
    game = gan(*pair(activation), loss)
    data = torch.ones(8, 2) if data is None else data
    arguments = FIXED | {"data": data, "latent": 3, "batch_size": 4} | changes
    return odeint_gan(game, game.init(seed=1), T, checkpoint=path, **arguments)


def weight(value):
    return [odegan.penalties.generator_gradient(lambda t: value)]


DIFFERENT = {
    "a loss that shares the other's discriminator": ({"loss": "minimax"}, {"loss": "non_saturating"}),
    "losses made of lambdas": (
        {"loss": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean())},
        {"loss": (lambda r, f: f.mean() - r.mean(), lambda r, f: -2 * f.mean())},
    ),
    "activations": ({"activation": nn.Tanh}, {"activation": nn.Sigmoid}),
    "step-size functions": ({"step_size": lambda t: 0.1}, {"step_size": lambda t: 0.05}),
    "weights closed over": ({"penalties": weight(0.1)}, {"penalties": weight(0.2)}),
    "data sets of one class": ({"data": Items(0.0)}, {"data": Items(1.0)}),
    "compilation": ({}, {"compile": "eager"}),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_checkpoint_of_another_game_or_function_is_refused(tmp_path, case):
    one, other = DIFFERENT[case]
    network_run(tmp_path / "run.pt", **one)
    network_run(tmp_path / "run.pt", **one)
    with pytest.raises(ArgumentError, match="must be the same"):
        network_run(tmp_path / "run.pt", **other)


def test_a_checkpoint_of_another_linear_field_is_refused(tmp_path):
    odeint_gan(odegan.games.quadratic(-torch.eye(2)), torch.ones(2), T, checkpoint=tmp_path / "run.pt", **FIXED)
    with pytest.raises(ArgumentError, match="game"):
        odeint_gan(odegan.games.quadratic(5 * torch.eye(2)), torch.ones(2), T, checkpoint=tmp_path / "run.pt", **FIXED)


def test_scipy_does_not_finish_with_numbers_that_are_not_finite():
    game = odegan.games.quadratic(60 * torch.eye(2))
    with pytest.raises(odegan.NonFiniteError) as caught:
        odeint_gan(game, torch.full((2,), 1e30), torch.linspace(0, 3, 7), solver="scipy_solver")
    assert torch.isfinite(caught.value.solution.ys).all()
    assert len(caught.value.solution.ys) < 7


def test_scipy_says_what_it_cannot_do():
    game = odegan.games.bilinear()
    y0 = torch.tensor([1.0, 0.0])
    with pytest.raises(ArgumentError, match="callback"):
        odeint_gan(game, y0, T, solver="scipy_solver", callback=lambda state, info: None)
    with pytest.raises(ArgumentError, match="gradient"):
        odeint_gan(game, y0.requires_grad_(), T, solver="scipy_solver")


def test_an_adaptive_stepper_wants_an_interval():
    with pytest.raises(ArgumentError, match="refresh"):
        odegan.Stepper(odegan.games.bilinear(), solver="dopri5", refresh=math.inf)


@pytest.mark.parametrize("solver", ["adaptive_heun", "bosh3", "dopri5", "dopri8", "fehlberg2"])
def test_nothing_is_evaluated_beyond_a_short_interval(solver):
    seen = []

    def note(t):
        seen.append(float(t))
        return 0.1

    game = gan(*pair())
    odeint_gan(
        game,
        game.init(seed=0).double(),
        [0.0, 0.004],
        data=torch.ones(8, 2),
        latent=3,
        batch_size=4,
        solver=solver,
        refresh=0.001,
        penalties=[odegan.penalties.generator_gradient(note)],
    )
    assert max(seen) <= 0.004
    assert len(seen) > 8


def test_a_forward_that_is_no_function_is_refused():
    class Numpy(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, z):
            return self.linear(z) + float(np.random.rand())

    class Counting(Numpy):
        calls = 0

        def forward(self, z):
            self.calls += 1
            return self.linear(z) * self.calls

    for generator in (Numpy(), Counting()):
        with pytest.raises(ArgumentError, match="generator"):
            gan(generator, nn.Linear(2, 1), latent=3)


def test_a_stepper_checks_what_construction_could_not():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 2))

        def forward(self, z):
            return nn.functional.dropout(z @ self.weight, training=True)

    stepper = odegan.Stepper(gan(Hidden(), nn.Linear(2, 1)), solver="euler", step_size=0.1)
    state = stepper.init(stepper.game.init())
    with pytest.raises(ArgumentError, match="random"):
        stepper.step(state, (torch.ones(4, 2), torch.ones(4, 3)))


def test_random_transforms_of_a_data_set_are_a_function_of_seed_and_index():
    game = gan(*pair())
    data = Items(0.0, noise=1.0)
    before = torch.get_rng_state()
    runs = [
        odeint_gan(game, game.init(seed=0), T, data=data, latent=3, batch_size=4, seed=seed, **FIXED).y
        for seed in (0, 0, 1)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_an_ensemble_given_to_the_field_is_refused():
    with pytest.raises(ArgumentError, match="vmap"):
        odegan.vector_field(odegan.games.bilinear())(0.0, torch.ones(3, 2))


def test_samples_come_from_the_latents_trained_with():
    game = gan(nn.Linear(1, 1, bias=False), nn.Linear(1, 1), latent=lambda n, g: 5 + torch.rand(n, 1, generator=g))
    y = torch.cat([torch.zeros(2), torch.ones(1)])
    samples = game.sample(y, 100)
    assert samples.min() >= 5
    assert samples.max() <= 6


def test_layers_that_couple_pairs_are_found():
    class Pairs(nn.Module):
        """Minibatch statistics over groups of two."""

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 1)

        def forward(self, x):
            deviation = x.reshape(-1, 2, 2).std(1, keepdim=True).expand(-1, 2, 2).reshape_as(x)
            return self.linear(x * deviation)

    assert gan(nn.Linear(3, 2), Pairs()).couples_batch is True


def test_an_initialization_of_ones_own_is_redrawn():
    def large(part):
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=5.0)

    game = gan(*pair(), init=large)
    assert game.init(seed=3).std() > 2
    assert torch.equal(game.init(seed=3), game.init(seed=3))
