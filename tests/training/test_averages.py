"""Parameter averages against their closed forms."""

import pytest
import torch

import odegan
from odegan import ExponentialAverage, UniformAverage, games

torch.set_num_threads(1)
Y0 = torch.tensor([1.0, 2.0], dtype=torch.float64)


def run(average, y0=Y0, **given):
    """Ten Euler steps of 0.1 on the bilinear game; returns the states after each."""
    states = []
    given = {"solver": "euler", "step_size": 0.1} | given
    callback = [average, lambda state, info: states.append(state.y.clone())]
    solution = odegan.odeint_gan(games.bilinear(), y0, torch.tensor([0.0, 1.0]), callback=callback, **given)
    assert torch.equal(solution.y, states[-1])
    return torch.stack(states)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 1.0])
def test_exponential_average(decay):
    average = ExponentialAverage(decay)
    states = run(average)
    n = len(states)
    weights = torch.tensor([(1 - decay) * decay ** (n - 1 - k) for k in range(n)], dtype=torch.float64)
    weights[0] = decay ** (n - 1)  # it starts from the first state
    assert weights.sum() == pytest.approx(1.0)
    torch.testing.assert_close(average.y, weights @ states)


@pytest.mark.parametrize("start, first", [(0.0, 0), (0.35, 3), (0.3, 3), (-1.0, 0), (0.95, 9)])
def test_uniform_average(start, first):
    average = UniformAverage(start)
    states = run(average)
    if start == 0.3:  # 3 * 0.1 > 0.3 in floating point: the third state is at the boundary
        first = 2 if 3 * 0.1 > 0.3 else 3
    assert average.count == len(states) - first
    torch.testing.assert_close(average.y, states[first:].mean(0))


def test_uniform_average_of_nothing():
    average = UniformAverage(5.0)
    run(average)
    assert (average.y, average.count) == (None, 0)


@pytest.mark.parametrize("make", [lambda: ExponentialAverage(0.8), UniformAverage])
def test_ensembles_are_averaged_member_by_member(make):
    whole = make()
    y0 = torch.stack([Y0, -2 * Y0])
    run(whole, y0)
    for member, y in zip(whole.y, y0, strict=True):
        single = make()
        run(single, y)
        torch.testing.assert_close(single.y, member)


@pytest.mark.parametrize("make", [lambda: ExponentialAverage(0.8), UniformAverage])
def test_a_state_dict_carries_an_average_over(make):
    whole = make()
    first = make()
    second = make()
    states = run(whole)
    times = [0.1 * (k + 1) for k in range(len(states))]
    for average, part in [(first, slice(0, 4)), (second, slice(4, None))]:
        if average is second:
            second.load_state_dict(first.state_dict())
        for t, y in zip(times[part], states[part], strict=True):
            average(odegan.State(t, y, {}), None)
    assert torch.equal(second.y, whole.y)


@pytest.mark.parametrize("average", [ExponentialAverage(0.5), UniformAverage()])
def test_averages_carry_no_graph_and_are_no_views(average):
    y0 = Y0.clone().requires_grad_()
    run(average, y0)
    kept = average.y.clone()
    assert not average.y.requires_grad
    states = [torch.ones(2, dtype=torch.float64)]
    fresh = type(average)()
    fresh(odegan.State(1.0, states[0], {}), None)
    states[0].add_(1.0)
    assert torch.equal(fresh.y, torch.ones(2, dtype=torch.float64))
    assert torch.equal(average.y, kept)


@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
def test_one_call_runs_are_averaged_too(solver):
    """One turn of the rotation averages to almost nothing."""
    average = UniformAverage()
    adaptive = solver == "dopri5"
    given = {"step_size": None, "options": {"max_step": 0.05}} if adaptive else {"step_size": 0.01}
    turn = torch.tensor([0.0, 2 * torch.pi], dtype=torch.float64)
    odegan.odeint_gan(games.bilinear(), Y0, turn, solver=solver, callback=average, **given)
    assert average.count > 100
    assert average.y.norm() < 0.05


@pytest.mark.parametrize("players", ["joint", "frozen"])
@pytest.mark.parametrize("end, steps", [(0.2, 2), (0.3, 3), (0.7, 7), (1.1, 11)])
def test_times_in_float32_make_no_tiny_step_at_the_end(players, end, steps):
    """0.2 in float32 is 0.200000003; a step of 3e-9 would count as much as the others in an average."""
    average = UniformAverage()
    t = torch.tensor([0.0, end])
    given = {"solver": "euler", "step_size": 0.1, "players": players, "callback": average}
    solution = odegan.odeint_gan(games.bilinear(), Y0, t, **given)
    assert average.count == solution.stats["steps"] == steps
    assert torch.equal(solution.ts.float(), t)
