"""Numbers at the edge, and what a run silently depends on."""

import warnings

import pytest
import torch

import odegan
from odegan.penalties import consensus
from tests.peers import START, smooth_game

NAN = float("nan")
TOLERANCES = {
    "both zero": ({"rtol": 0.0, "atol": 0.0}, "rtol, atol: got (0, 0)"),
    "both zero for one parameter": (
        {"rtol": 0.0, "atol": torch.tensor([1e-3, 0.0, 1e-3, 1e-3])},
        "rtol, atol: got (0, 0)",
    ),
    "NaN": ({"rtol": NAN}, "rtol: got nan"),
    "negative": ({"atol": -1e-3}, "atol: got -0.001"),
    "a NaN among them": (
        {"atol": torch.tensor([1e-3, NAN, 1e-3, 1e-3])},
        "atol: got 'a negative or non-finite number in it'",
    ),
    "a negative one": (
        {"rtol": torch.tensor([1e-3, -1.0, 1e-3, 1e-3])},
        "rtol: got 'a negative or non-finite number in it'",
    ),
}


@pytest.mark.parametrize("given, message", TOLERANCES.values(), ids=TOLERANCES.keys())
def test_tolerances(given, message):
    with pytest.raises(odegan.ArgumentError) as error:
        odegan.odeint_gan(smooth_game(), START, [0.0, 1.0], solver="dopri5", **given)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("solver", ["euler", "heun2"])
def test_gradient_in_the_step_of_an_unrolled_game(solver):
    """On the bilinear game x y one lookahead step of h is x - h y, so that y' = x - h y, x' = -y: d y / d h by differences."""

    def end(h):
        game = odegan.unrolled(odegan.games.bilinear(), 1, h)
        y0 = torch.tensor([1.0, 1.0], dtype=torch.float64)
        return odegan.odeint_gan(game, y0, [0.0, 1.0], solver=solver, step_size=0.25).y

    h = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(end(h)[1], h)[0]
    difference = (end(0.3 + 1e-5)[1] - end(0.3 - 1e-5)[1]) / 2e-5
    torch.testing.assert_close(found, difference, rtol=1e-6, atol=0)


def test_gradient_in_a_tensor_that_a_loss_closes_over():
    """x' = -a x for one step of 0.5: x1 = (1 - 0.5 a) x0."""
    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    game = odegan.Game(lambda d, g, batch: a * (d**2).sum() / 2, lambda d, g, batch: (g**2).sum() / 2, 1, 1)
    y0 = torch.tensor([3.0, 1.0], dtype=torch.float64)
    for players in ("joint", "frozen"):
        sol = odegan.odeint_gan(game, y0, [0.0, 0.5], solver="euler", step_size=0.5, players=players)
        torch.testing.assert_close(torch.autograd.grad(sol.y[0], a)[0], torch.tensor(-1.5, dtype=torch.float64))


@pytest.mark.parametrize(
    "given", [{}, {"players": "frozen"}, {"solver": "adam"}], ids=["one call", "intervals", "adam"]
)
def test_a_graph_behind_y0_is_left_alone_without_gradients(given):
    y0 = START.clone().requires_grad_() * 2
    with torch.no_grad():
        sol = odegan.odeint_gan(smooth_game(), y0, [0.0, 0.3], **{"solver": "euler", "step_size": 0.1} | given)
    assert sol.y.grad_fn is None
    assert sol.ys.grad_fn is None


def test_a_weight_that_a_callback_changes_is_read_at_every_step_when_compiled():
    def run(compile):
        now = {"weight": 0.1}
        penalty = consensus(lambda t: now["weight"])

        def callback(state, info):
            now["weight"] = 0.1 + state.t

        given = {"solver": "euler", "step_size": 0.1, "players": "frozen", "callback": callback, "compile": compile}
        return odegan.odeint_gan(smooth_game(), START, steps=12, penalties=[penalty], **given)

    expected = run(False)
    few = torch._dynamo.config.patch(recompile_limit=2)  # by default eight
    with few, pytest.warns(RuntimeWarning, match="reads a Python value that keeps changing"):
        found = run("eager")
    torch.testing.assert_close(found.y, expected.y, rtol=0, atol=1e-12)


def test_a_batch_beyond_the_data_is_warned_of_once():
    game = odegan.gan(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        odegan.odeint_gan(
            game, game.init(), [0.0, 0.2], data=torch.randn(5, 2), batch_size=7, solver="euler", step_size=0.1
        )
    assert ["batch_size: got 7" in str(one.message) for one in said] == [True]


def trained(**given):
    game = odegan.gan(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    known = {"data": torch.ones(8, 2), "batch_size": 4, "solver": "euler", "step_size": 0.1}
    return odegan.odeint_gan(game, game.init(), [0.0, 0.2], **known | given)


REFUSED = {
    "a rate that is no number": ({"rates": (lambda t: None, 1.0)}, "rates: got None"),
    "sparse data": ({"data": torch.eye(2).to_sparse()}, "data: got a float32 tensor"),
    "data without numbers": ({"data": torch.ones(8, 2, device="meta")}, "data: got a float32 tensor"),
}


@pytest.mark.parametrize("given, message", REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(given, message):
    with pytest.raises(odegan.ArgumentError, match=f"^{message}") as error:
        trained(**given)
    assert "\n" not in str(error.value)


def test_a_micro_batch_beyond_the_batch_is_the_batch():
    torch.manual_seed(0)
    whole = trained()
    torch.manual_seed(0)
    torch.testing.assert_close(trained(micro_batch=10).y, whole.y)


@pytest.mark.parametrize(
    "given", [{"refresh": float("inf")}, {}, {"solver": "adam"}, {"solver": "dopri5", "refresh": 0.2}]
)
def test_a_loss_that_is_not_finite_is_named(given):
    """G's alone from t = 0 on, through a division 0 / 0."""
    loss = (lambda real, fake: fake.mean() - real.mean(), lambda real, fake: fake.mean() + (fake - fake).sum() / 0.0)
    game = odegan.gan(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1), loss=loss)
    known = {"data": torch.ones(8, 2), "batch_size": 4, "solver": "euler", "step_size": 0.1} | given
    if known["solver"] == "dopri5":
        del known["step_size"]
    with pytest.raises(odegan.NonFiniteError, match="t = 0, where the loss of the generator was not finite"):
        odegan.odeint_gan(game, game.init(), [0.0, 0.2], **known)


@pytest.mark.parametrize("second", [(torch.ones(4, 2), torch.ones(4)), (torch.ones(4, 2), torch.ones(4, 3).double())])
def test_a_later_batch_of_another_kind_is_refused_in_one_line(second):
    """As the pair (images, labels) of a loader in the place of (images, latents)."""
    stepper = odegan.Stepper(odegan.gan(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)), solver="euler", step_size=0.1)
    state, _ = stepper.step(stepper.init(stepper.game.init()), (torch.ones(4, 2), torch.ones(4, 3)))
    with pytest.raises(odegan.ArgumentError, match=r"^latent: got \(4.*its Linear .*$"):
        stepper.step(state, second)
