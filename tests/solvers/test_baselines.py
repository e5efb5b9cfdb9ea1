"""The optimizers' steps against torch.optim: rates, weight decay, turns; gradients through a step; what a step costs."""

import pytest
import torch

from odegan.solvers import baselines
from odegan.utils.checks import ArgumentError
from tests.peers import START, smooth_game

H = 0.05
STEPS = 5
N_DISC = 2
GAME = smooth_game()
RATES = [(1.0, 1.0), (4.0, 1.0), (0.5, torch.tensor(3.0, dtype=torch.float64))]


class Context:
    """The field of the smooth game, and how often each player's gradient was taken."""

    n_disc = N_DISC

    def __init__(self):
        self.gradients = [0, 0]

    def _part(self, player, y):
        self.gradients[player] += 1
        d = y[..., :N_DISC]
        g = y[..., N_DISC:]
        loss = (GAME.disc_loss, GAME.gen_loss)[player]
        return -torch.func.grad(loss, argnums=player)(d, g, None)

    def joint(self, t, y):
        return torch.cat([self._part(0, y), self._part(1, y)])

    def disc(self, t, y):
        return self._part(0, y)

    def gen(self, t, y):
        return self._part(1, y)


def ours(name, options, rates=(1.0, 1.0), y=START, steps=STEPS):
    step = baselines.make(name, options, rates)
    memory = baselines.initial_memory(name, options, y, N_DISC)
    context = Context()
    for _ in range(steps):
        y, memory = step(context, torch.tensor(0.0), torch.tensor(H, dtype=torch.float64), y, memory)
    return y, context.gradients


def by_torch(kind, options, rates, disc_steps):
    """torch.optim with an optimizer a player; disc_steps None: both move at once."""
    players = [START[:N_DISC].clone().requires_grad_(), START[N_DISC:].clone().requires_grad_()]
    optimizers = [kind([p], lr=H * float(rate), **options) for p, rate in zip(players, rates, strict=True)]

    def gradient(player):
        loss = (GAME.disc_loss, GAME.gen_loss)[player](*players, None)
        players[player].grad = torch.autograd.grad(loss, players[player])[0]

    for _ in range(STEPS):
        if disc_steps is None:
            gradient(0)
            gradient(1)
            for optimizer in optimizers:
                optimizer.step()
            continue
        for player in [0] * disc_steps + [1]:
            gradient(player)
            optimizers[player].step()
    return torch.cat(players).detach()


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("rates", RATES, ids=["one", "disc faster", "gen faster"])
@pytest.mark.parametrize("disc_steps", [None, 1, 3])
@pytest.mark.parametrize("name, kind", [("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop)])
def test_equals_torch_optim(name, kind, disc_steps, rates, decay):
    turns = {} if disc_steps is None else {"alternating": True, "disc_steps": disc_steps}
    found, _ = ours(name, turns | {"weight_decay": decay}, rates)
    torch.testing.assert_close(found, by_torch(kind, {"weight_decay": decay}, rates, disc_steps), rtol=0, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("rates", RATES, ids=["one", "disc faster", "gen faster"])
def test_alternating_is_sgd(rates, decay):
    found, _ = ours("alternating", {"disc_steps": 2, "weight_decay": decay}, rates)
    expected = by_torch(torch.optim.SGD, {"weight_decay": decay}, rates, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rates", RATES, ids=["one", "disc faster", "gen faster"])
@pytest.mark.parametrize("name", ["extragradient", "optimistic"])
def test_rates_and_weight_decay_are_of_the_field(name, rates):
    """These steps are linear in the field v: they are those of rate_p (v_p - weight_decay theta_p)."""
    factors = torch.tensor([float(rates[0])] * N_DISC + [float(rates[1])] * 2, dtype=torch.float64)
    context = Context()

    def v(y):
        return factors * (context.joint(None, y) - 0.3 * y)

    y = START
    before = v(START)
    for _ in range(STEPS):
        now = v(y)
        y = y + H * (v(y + H * now) if name == "extragradient" else 2 * now - before)
        before = now
    found, _ = ours(name, {"weight_decay": 0.3}, rates)
    torch.testing.assert_close(found, y, rtol=0, atol=1e-13)


class Dead(Context):
    """A field in which the first parameter's part, and its derivative, is zero: a unit behind a ReLU that never fires."""

    def joint(self, t, y):
        return super().joint(t, y) * torch.tensor([0.0, 1.0, 1.0, 1.0], dtype=torch.float64)


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_the_gradient_through_steps_with_a_dead_unit(name):
    """It is finite, and that of the other parameters is what finite differences say."""

    def end(y):
        step = baselines.make(name, {"eps": 1e-3})
        memory = baselines.initial_memory(name, {}, y, N_DISC)
        for _ in range(3):
            y, memory = step(Dead(), torch.tensor(0.0), torch.tensor(H, dtype=torch.float64), y, memory)
        return y

    jacobian = torch.autograd.functional.jacobian(end, START)
    assert torch.isfinite(jacobian).all()
    shift = 1e-6 * torch.eye(4, dtype=torch.float64)
    differences = torch.stack([(end(START + e) - end(START - e)) / 2e-6 for e in shift], dim=1)
    torch.testing.assert_close(jacobian, differences, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_the_root_hides_nothing(value):
    """A gradient that is not finite reaches the step."""

    class Constant(Context):
        def joint(self, t, y):
            return torch.full_like(y, value)

    step = baselines.make("rmsprop", {})
    memory = baselines.initial_memory("rmsprop", {}, START, N_DISC)
    y, _ = step(Constant(), torch.tensor(0.0), torch.tensor(H, dtype=torch.float64), START, memory)
    expected = START + H * value / (torch.tensor(0.01 * value**2).sqrt() + 1e-8)
    torch.testing.assert_close(y, expected, equal_nan=True)


TURNS = {"alternating": True, "disc_steps": 2}


@pytest.mark.parametrize(
    "name, options, evaluations, stages",
    [
        ("alternating", {}, 1, 2),
        ("alternating", {"disc_steps": 5}, 5, 6),
        ("extragradient", {}, 2, 2),
        ("optimistic", {}, 1, 1),
        ("adam", {}, 1, 1),
        ("adam", TURNS, 2, 3),
        ("rmsprop", TURNS, 2, 3),
    ],
)
def test_cost(name, options, evaluations, stages):
    """Gradients are counted as they are taken."""
    _, gradients = ours(name, options, steps=1)
    assert tuple(gradients) == baselines.cost(name, options)
    assert baselines.evaluations(name, options) == evaluations == max(gradients)
    assert baselines.stages(name, options) == stages
    if not options:
        assert (baselines.FACTS[name].evaluations, baselines.FACTS[name].stages) == (evaluations, stages)


@pytest.mark.parametrize("name", sorted(baselines.BASELINES))
def test_weight_decay_is_checked(name):
    assert "weight_decay" in baselines.FACTS[name].options
    with pytest.raises(ArgumentError, match="weight_decay: got -1"):
        baselines.make(name, {"weight_decay": -1})
