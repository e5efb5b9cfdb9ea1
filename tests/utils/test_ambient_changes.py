"""User code that changes torch's modes and defaults for good in mid-run changes nothing of the run's numbers."""

import pytest
import torch

import odegan
from tests.utils.ambient_settings import AMBIENT
from tests.utils.test_ambient import GAME, Y0, X

CHANGES = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "grad mode": lambda: torch.set_grad_enabled(False),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16).__enter__(),
    "seeds": lambda: torch.manual_seed(torch.seed()),
}


@pytest.fixture(autouse=True)
def modes_put_back():
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_autocast_enabled("cpu", False)


def solve(**given):
    # Many steps of one sample: random numbers are drawn anew in mid-run.
    known = {"data": X, "latent": 3, "batch_size": 1, "solver": "euler", "step_size": 0.1, "seed": 3} | given
    return odegan.odeint_gan(GAME, Y0, [0.0, 3.0], **known).ys


def drawn(n, generator):
    return torch.randn(n, 2, generator=generator)


def within(change, function):
    def changed(*given):
        change()
        return function(*given)

    return changed


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_user_code_leaves_behind_changes_nothing(change):
    assert torch.equal(solve(callback=within(change, lambda state, info: None)), solve())
    late = within(change, lambda x: x)
    assert torch.equal(solve(data=lambda n, g: late(drawn(n, g))), solve(data=drawn))
    assert torch.equal(solve(data=torch.utils.data.Subset([*X], range(24))), solve())


def test_a_step_size_may_change_the_default_dtype():
    length = within(CHANGES["default dtype"], lambda t: 0.1)
    torch.testing.assert_close(solve(step_size=length), solve(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "ambient", ["default dtype torch.float64", "default dtype torch.float16", "within torch.device(meta)"]
)
def test_a_double_run_draws_the_same_numbers(ambient):
    y0 = Y0.double()

    def found():
        run = odegan.odeint_gan(GAME, y0, [0.0, 0.4], data=X, latent=3, batch_size=6, solver="euler", step_size=0.1).ys
        return [run, GAME.sample(y0, 4), GAME.sample(y0, 4, seed=2**40)]

    expected = found()
    with AMBIENT[ambient]():
        for one, other in zip(found(), expected, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("write", [lambda y: y.zero_(), lambda y: y.mul_(2.0), lambda y: y[:3].add_(1.0)])
@pytest.mark.parametrize("refresh", [None, float("inf")])
def test_a_callback_that_writes_to_the_state_is_refused(write, refresh):
    with pytest.raises(odegan.ArgumentError, match=r"^callback: got one that writes to state.y; .*clone") as error:
        solve(callback=lambda state, info: write(state.y) is None, refresh=refresh)
    assert "\n" not in str(error.value)
