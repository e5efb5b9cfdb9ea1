"""``checkpoint_steps``: the gradients of the plain run, from a graph that is made again in pieces."""

import math

import pytest
import torch
from torch import nn

import odegan
from odegan.utils.recompute import recomputed

CASES = {
    "heun2": {"solver": "heun2"},
    "adam": {"solver": "adam"},
    "every stage": {"solver": "rk4", "refresh": "stage"},
    "after the step": {"solver": "heun2", "placement": "after_step"},
    "several steps an interval": {"solver": "euler", "refresh": 0.3},
    "one minibatch": {"solver": "midpoint", "refresh": math.inf},
    "an ensemble": {"solver": "euler", "seed": (3, 4)},
    "replay": {"solver": "euler", "replay": True},
}


def nodes(tensor):
    """How many nodes a tensor's graph has."""
    seen = set()
    waiting = [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting.extend(behind for behind, _ in node.next_functions)
    return len(seen)


def through(checkpoint_steps, replay=False, times=(0.0, 1.03, 2.05), **arguments):
    """(the solution, gradients in everything that may have one) of a short run."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    game = odegan.gan(generator, nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1)).double())
    leaves = {
        "y0": game.init() if "seed" not in arguments else game.init(seed=arguments["seed"]),
        "data": torch.randn(40, 2, dtype=torch.float64),
        "weight": torch.tensor(0.1, dtype=torch.float64),
        "rate": torch.tensor(1.5, dtype=torch.float64),
        "step_size": torch.tensor(0.1, dtype=torch.float64),
    }
    leaves = {name: leaf.clone().requires_grad_() for name, leaf in leaves.items()}
    weight = leaves["weight"]
    penalties = odegan.penalties
    sol = odegan.odeint_gan(
        game,
        leaves["y0"],
        list(times),
        data=leaves["data"],
        batch_size=16,
        step_size=leaves["step_size"],
        rates=(leaves["rate"], 1.0),
        penalties=[penalties.closed_loop(weight, buffer=10) if replay else penalties.generator_gradient(weight)],
        checkpoint_steps=checkpoint_steps,
        **arguments,
    )
    return sol, dict(zip(leaves, torch.autograd.grad(sol.ys.sin().sum(), list(leaves.values())), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_states_and_gradients_are_those_of_the_plain_run(case):
    plain, expected = through(None, **CASES[case])
    again, found = through(4, **CASES[case])
    torch.testing.assert_close(again.ys, plain.ys, rtol=1e-13, atol=1e-14)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")
        assert gradient.abs().max() > 1e-8, name


def compiled_equals_plain(backend, rtol, **arguments):
    """States and gradients of a run in compiled steps, made again four at a time, are those of a plain one."""
    plain, expected = through(None, **arguments)
    compiled, found = through(4, compile=backend, **arguments)
    assert compiled.stats["compiled"]
    torch.testing.assert_close(compiled.ys, plain.ys, rtol=1e-3 * rtol, atol=1e-4 * rtol)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=rtol, atol=rtol / 100, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["heun2", "adam", "an ensemble"])
def test_compiled_steps_have_the_same_states_and_gradients(case):
    compiled_equals_plain(True, 1e-9, **CASES[case])


def test_compiled_steps_are_made_again_in_pieces():
    compiled_equals_plain("eager", 1e-10, solver="euler", times=(0.0, 0.53))


def test_the_graph_that_is_kept_grows_with_the_pieces_alone():
    arguments = {"solver": "euler", "times": (0.0, 4.05)}
    plain, pieces = (nodes(through(steps, **arguments)[0].y) for steps in (None, 10))
    assert plain > 40 * 30  # each of 41 steps has at least some thirty nodes
    assert pieces < 41 * 8  # only the times of the steps, which depend on the step size


def test_two_tensors_of_which_one_makes_the_other_are_refused():
    a = torch.tensor(1.0, requires_grad=True)
    game = odegan.games.bilinear()
    with pytest.raises(
        odegan.ArgumentError, match="checkpoint_steps: got a run that depends on a tensor and on another"
    ):
        odegan.odeint_gan(game, game.init(), steps=3, step_size=0.1, rates=(a, 2 * a), checkpoint_steps=2)


@pytest.mark.parametrize("solver", ["dopri5", "explicit_adams"])
def test_solvers_without_fixed_steps_are_refused(solver):
    game = odegan.games.bilinear()
    step = {} if solver == "dopri5" else {"step_size": 0.1}
    with pytest.raises(odegan.ArgumentError, match=f"checkpoint_steps: got it with {solver}"):
        odegan.odeint_gan(game, game.init(), [0.0, 1.0], solver=solver, checkpoint_steps=2, **step)


def test_second_derivatives_are_refused():
    x = torch.tensor(2.0, requires_grad=True)
    cube = recomputed(lambda x: x**3, (x,), held=[])
    with pytest.raises(odegan.ArgumentError, match="create_graph=True"):
        torch.autograd.grad(cube, x, create_graph=True)
    assert float(torch.autograd.grad(recomputed(lambda x: x**3, (x,), held=[]), x)[0]) == 12
