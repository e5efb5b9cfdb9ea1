"""Gradients of a function of sol.y through the run, beside central differences in float64."""

import math

import pytest
import torch
from torch import nn

import odegan
from tests.peers import BASELINES, FIXED, START, always, draw, networks, smooth_game

SPAN = [0.0, 0.3, 0.74]  # 0.13 divides neither: the gradient in the step size is two-sided
SOLVERS = [*FIXED, *BASELINES, "explicit_adams", "implicit_adams"]
LEAVES = {
    "y0": START,
    "weight": torch.tensor(0.3, dtype=torch.float64),
    "rate_d": torch.tensor(1.2, dtype=torch.float64),
    "rate_g": torch.tensor(0.8, dtype=torch.float64),
    "step_size": torch.tensor(0.13, dtype=torch.float64),
}


def value(leaves, *, every=False, game=None, **arguments):
    """A nonlinear function of the end, or of all reports, of a run that depends on the leaves."""
    step = {"step_size": leaves["step_size"]} if "step_size" in leaves else {}
    sol = odegan.odeint_gan(
        smooth_game() if game is None else game,
        leaves["y0"],
        SPAN,
        rates=(leaves["rate_d"], leaves["rate_g"]),
        penalties=[odegan.penalties.generator_gradient(leaves["weight"])],
        **step,
        **arguments,
    )
    states = sol.ys if every else sol.y
    return (torch.sin(3 * states) * torch.linspace(1, 2, states.shape[-1], dtype=states.dtype)).sum()


def direction(at):
    """One in which no entry stands for another; 1 for a number."""
    return torch.linspace(1, 2, at.numel(), dtype=at.dtype).cos().view_as(at) if at.dim() else torch.ones_like(at)


def difference(leaves, name, small=1e-5, **arguments):
    """The derivative by a leaf in its direction."""
    at = leaves[name]
    ends = [value(leaves | {name: at + sign * small * direction(at)}, **arguments) for sign in (1, -1)]
    return (ends[0] - ends[1]) / (2 * small)


def check(leaves, tolerance=2e-8, **arguments):
    """All gradients at once; returns them by name."""
    names = list(leaves)
    live = {name: leaf.clone().requires_grad_() for name, leaf in leaves.items()}
    found = torch.autograd.grad(value(live, **arguments), [live[name] for name in names])
    for name, gradient in zip(names, found, strict=True):
        torch.testing.assert_close(
            (gradient * direction(gradient)).sum(),
            difference(leaves, name, **arguments),
            rtol=1e-6,
            atol=tolerance,
            msg=lambda m, n=name: f"{n}: {m}",
        )
        # Neither sees a gradient's scale.
        flat = name.startswith("rate") and arguments["solver"] in ("adam", "rmsprop")
        assert flat or gradient.abs().max() > 1e-4, name
    return found


@pytest.mark.parametrize("solver", SOLVERS)
def test_through_every_fixed_solver(solver):
    options = {"max_order": 5} if "adams" in solver else {}
    check(LEAVES, solver=solver, options=options, rtol=1e-3 if "adams" in solver else 1e-4)


@pytest.mark.parametrize("solver", ["heun2", "rk4", "adam"])
@pytest.mark.parametrize("options", [{}, {"interp": "cubic"}], ids=["linear", "cubic"])
def test_through_all_reports(solver, options):
    """Reports off the grid are differentiable too, in the step size as well: the grid moves under them."""
    if solver == "adam" and options:
        pytest.skip("adam interpolates linearly")
    check(LEAVES, solver=solver, options=options, every=True)


@pytest.mark.parametrize("players", ["joint", "frozen"])
@pytest.mark.parametrize("placement", ["field", "after_step", "first_stage"])
@pytest.mark.parametrize("solver", FIXED)
def test_interval_by_interval(solver, placement, players):
    if (solver, placement) == ("midpoint", "first_stage"):
        with pytest.raises(odegan.ArgumentError, match="b_1 = 0"):
            value(LEAVES, solver=solver, placement=placement)
        return
    check(LEAVES, solver=solver, placement=placement, players=players, every=players == "frozen")


@pytest.mark.parametrize("solver", ["alternating", "extragradient", "optimistic", "rmsprop"])
def test_after_step_with_baselines(solver):
    check(LEAVES, solver=solver, placement="after_step")


@pytest.mark.parametrize("placement", ["field", "after_step"])
@pytest.mark.parametrize("refresh", [None, math.inf])
def test_through_networks_with_data(refresh, placement):
    game = odegan.gan(*networks(width=2))
    data = {"data": draw(32)[0], "batch_size": 4, "refresh": refresh}
    check(LEAVES | {"y0": game.init()}, game=game, solver="euler", placement=placement, **data)


def test_through_an_interval_of_several_steps():
    leaves = {name: leaf for name, leaf in LEAVES.items() if name != "step_size"}
    check(leaves, solver="rk4", step_size=0.13, refresh=0.26, placement="after_step")


def test_through_ensembles():
    leaves = LEAVES | {"y0": torch.stack([START, -START, 2 * START])}
    check(leaves, solver="heun2")
    check(leaves, solver="heun2", placement="after_step", every=True)


def test_through_data():
    """A data tensor that requires a gradient gets one."""
    game = odegan.gan(*networks(width=2))
    real = draw(8)[0]

    def run(data):
        sol = odegan.odeint_gan(game, game.init(), [0.0, 0.3], data=data, latent=3, solver="heun2", step_size=0.1)
        return sol.y.sin().sum()

    live = real.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(run(live), live)
    along = torch.linspace(-1, 1, 16, dtype=real.dtype).view_as(real)
    expected = (run(real + 1e-5 * along) - run(real - 1e-5 * along)) / 2e-5
    assert (gradient * along).sum().item() == pytest.approx(expected.item(), abs=1e-8)
    assert gradient.abs().max() > 1e-3


def test_through_a_stepper():
    def run(leaves):
        penalty = odegan.penalties.generator_gradient(leaves["weight"])
        stepper = odegan.Stepper(
            smooth_game(), solver="heun2", step_size=leaves["step_size"], penalties=[penalty], placement="after_step"
        )
        state = stepper.init(leaves["y0"])
        for _ in range(3):
            state, _ = stepper.step(state)
        return state.y.sin().sum()

    wanted = ["y0", "weight", "step_size"]
    live = {name: LEAVES[name].clone().requires_grad_() for name in wanted}
    for name, gradient in zip(wanted, torch.autograd.grad(run(live), list(live.values())), strict=True):
        shift = 1e-5 * torch.ones_like(LEAVES[name])
        ends = [run(LEAVES | {name: LEAVES[name] + sign * shift}) for sign in (1, -1)]
        assert gradient.sum().item() == pytest.approx(((ends[0] - ends[1]) / 2e-5).item(), abs=1e-8)


@pytest.mark.filterwarnings("error")
def test_a_learned_step_size_without_warnings():
    h = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    sol = odegan.odeint_gan(smooth_game(), START, [0.0, 0.5, 0.8], solver="heun2", step_size=h, refresh=0.1)
    assert torch.autograd.grad(sol.y.sum(), h)[0].abs() > 1e-3


def test_no_graph_unless_asked_for():
    sol = odegan.odeint_gan(smooth_game(), START, SPAN, solver="heun2", step_size=0.13)
    assert not sol.ys.requires_grad
    with torch.no_grad():
        sol = odegan.odeint_gan(smooth_game(), START.clone().requires_grad_(), SPAN, solver="heun2", step_size=0.13)
    assert not sol.ys.requires_grad


def test_a_start_of_modules_parameters_is_not_recorded():
    layers = [torch.nn.Linear(2, 1), torch.nn.Linear(3, 2)]
    game = odegan.gan(layers[1], layers[0])
    y0 = torch.cat([p.reshape(-1) for layer in layers for p in layer.parameters()])
    run = {"t": [0.0, 0.3], "data": torch.randn(8, 2), "batch_size": 4, "solver": "euler", "step_size": 0.1}
    with pytest.warns(UserWarning, match=r"^y0: got a tensor whose graph leads to the parameters of modules"):
        sol = odegan.odeint_gan(game, y0, **run)
    assert not sol.ys.requires_grad
    scale = torch.ones((), requires_grad=True)
    asked = odegan.odeint_gan(game, scale * y0.detach(), **run)
    assert torch.autograd.grad(asked.y.sum(), scale)[0].isfinite()
    torch.testing.assert_close(asked.ys.detach(), sol.ys)


NETWORKS = odegan.gan(*networks())


def with_data(w, solver):
    """The end of a run with minibatches, as a function of a penalty's weight."""
    step = {"refresh": 0.2} if solver == "dopri5" else {"step_size": 0.1}
    sol = odegan.odeint_gan(
        NETWORKS,
        NETWORKS.init(),
        [0.0, 0.3],
        data=draw()[0],
        batch_size=4,
        solver=solver,
        penalties=[odegan.penalties.generator_gradient(w)],
        **step,
    )
    return (sol.y**2).sum()


@pytest.mark.parametrize("solver", ["heun2", "adam"])
def test_transforms_of_torch_func_give_the_same_gradient(solver):
    w = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(with_data(w, solver), w)
    found = torch.func.grad(with_data)(w.detach(), solver)
    _, slope = torch.func.jvp(lambda v: with_data(v, solver), (w.detach(),), (torch.ones_like(w),))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(slope, expected, rtol=1e-9, atol=1e-12)


def test_adaptive_steps_within_them_are_refused_in_one_line():
    with pytest.raises(odegan.ArgumentError, match=r"^solver: got 'dopri5' within a transform of torch.func") as error:
        torch.func.grad(with_data)(torch.tensor(0.3, dtype=torch.float64), "dopri5")
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("error")
def test_through_accepted_adaptive_steps_without_a_warning():
    data = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    game = odegan.gan(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)), nn.Linear(2, 1))
    setting = {"data": data, "batch_size": 10, "solver": "dopri5", "refresh": 0.5, "rtol": 1e-9, "atol": 1e-11}

    def norm(weight):
        y0 = game.init(seed=0).double()
        penalties = [odegan.penalties.r1(weight)]
        return odegan.odeint_gan(game, y0, [0.0, 1.0], penalties=penalties, **setting).y.square().sum()

    weight = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(norm(weight), weight)
    quotient = (norm(weight.detach() + 1e-4) - norm(weight.detach() - 1e-4)) / 2e-4
    assert slope.item() == pytest.approx(quotient.item(), rel=1e-5)


@pytest.mark.parametrize("penalty", ["wgan_gp", "r1", "closed_loop"])
def test_a_critic_that_is_flat_where_it_is_tried_has_a_gradient_through_the_run(penalty):
    generator, critic = networks()
    critic[1] = nn.ReLU()
    nn.init.constant_(critic[0].bias, -100.0)
    game = odegan.gan(generator, critic)
    y0 = game.init().requires_grad_()
    given = always(draw()) | {"solver": "heun2", "step_size": 0.1}
    end = odegan.odeint_gan(game, y0, [0.0, 0.2], penalties=[getattr(odegan.penalties, penalty)(0.5)], **given).y
    assert torch.autograd.grad(end.square().sum(), y0)[0].isfinite().all()
