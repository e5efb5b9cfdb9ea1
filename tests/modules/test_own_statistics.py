"""What a network as the field runs it cannot have of the user's module: running statistics, old graphs, foreign objects."""

import threading

import pytest
import torch
from torch import nn

import odegan
from tests.modules.pairs import Square

X = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
Z = torch.ones(8, 3)


class Around(nn.Module):
    """A small critic with a function of a batch norm and its hidden layer."""

    def __init__(self, function):
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 1)
        self.norm.running_mean += 1
        self.function = function

    def forward(self, x):
        return self.last(self.function(self.norm, self.first(x)))


class Tracking(nn.BatchNorm1d):
    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.running_mean.lerp_(x.mean(0), 0.1)
        return super().forward(x)


READS = {
    "running statistics": lambda norm, x: (x - norm.running_mean) / norm.running_var,
    "whether they are tracked": lambda norm, x: norm(x) if norm.track_running_stats else x,
    "statistics by a function": lambda norm, x: nn.functional.batch_norm(x, norm.running_mean, norm.running_var),
    "both kinds": lambda norm, x: norm(x) + norm.running_mean,
    "a layer that keeps its own": lambda norm, x: Tracking(4)(x),
}


@pytest.mark.parametrize("name", READS)
def test_reading_what_the_field_does_not_track_is_refused(name):
    critic = Around(READS[name])
    if name == "a layer that keeps its own":
        critic.norm = Tracking(4)
        critic.function = lambda norm, x: norm(x)
    with pytest.raises(odegan.ArgumentError, match=r"^discriminator: .* running statistics .* call .eval\(\)") as error:
        odegan.gan(nn.Linear(3, 2), critic)
    assert "\n" not in str(error.value)
    if name != "a layer that keeps its own":
        odegan.gan(nn.Linear(3, 2), critic.eval())


def test_a_tensor_with_the_graph_of_an_earlier_pass_is_refused():
    critic = Around(lambda norm, x: x * norm.kept)
    critic.norm.kept = 2 * critic.first.weight[:, 0]
    with pytest.raises(odegan.ArgumentError, match=r"^discriminator: .* not among its named_parameters"):
        odegan.gan(nn.Linear(3, 2), critic)
    critic.norm.kept = critic.norm.kept.detach()
    odegan.gan(nn.Linear(3, 2), critic)


def test_an_attribute_that_cannot_be_copied_is_named():
    critic = Around(lambda norm, x: x)
    critic.norm.lock = threading.Lock()
    with pytest.raises(odegan.ArgumentError, match=r"^discriminator: .* the attribute 'lock' of 'norm' .*outside"):
        odegan.gan(nn.Linear(3, 2), critic)


PLAIN_ONLY = {
    "field": lambda game, y: odegan.vector_field(game)(0.0, y, (X, Z)),
    "spectrum": lambda game, y: odegan.spectrum(game, y, (X, Z)),
    "advise": lambda game, y: odegan.advise(game, y, (X, Z), solvers=["euler"]),
    "run": lambda game, y: solve(game, y.clone().requires_grad_()),
}


def solve(game, y0, **given):
    known = {"data": X, "batch_size": 4, "solver": "euler", "step_size": 0.1} | given
    return odegan.odeint_gan(game, y0, [0.0, 0.1], **known)


@pytest.mark.parametrize("call", PLAIN_ONLY.values(), ids=PLAIN_ONLY)
def test_what_only_plain_autograd_can_is_one_line_elsewhere(call):
    game = odegan.gan(nn.Linear(3, 2), Around(lambda norm, x: Square.apply(x)))
    assert solve(game, game.init()).status == "finished"
    with pytest.raises(odegan.ArgumentError, match=r"^game: .*setup_context\(\)") as error:
        call(game, game.init())
    assert "\n" not in str(error.value)


def test_members_whose_field_is_another_than_alone_are_refused():
    critic = Around(lambda norm, x: x @ norm.weight.data.diag())
    game = odegan.gan(nn.Linear(3, 2), critic)
    soft = [odegan.penalties.generator_gradient(1.0)]
    both = torch.stack([game.init(seed=0), game.init(seed=1)])
    assert solve(game, both[0], penalties=soft).status == "finished"
    with pytest.raises(
        odegan.ArgumentError,
        match=r"^y0: got an ensemble, but under torch.vmap the penalties give",
    ):
        solve(game, both, penalties=soft)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("loss", ["non_saturating", "hinge"])
def test_at_an_equilibrium_members_may_differ_by_rounding(loss, seed):
    torch.manual_seed(seed)
    critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    generator = nn.Linear(3, 2)
    for zero in (*critic[2].parameters(), generator.weight):
        nn.init.zeros_(zero)
    game = odegan.gan(generator, critic, loss=loss)
    data = generator.bias.detach().expand(64, 2).clone()
    y0 = torch.stack([game.init()] * 3)
    sol = odegan.odeint_gan(game, y0, [0.0, 0.1], data=data, batch_size=33, solver="euler", step_size=0.1)
    torch.testing.assert_close(sol.y, y0, rtol=0, atol=1e-5)
