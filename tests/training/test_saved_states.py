"""A Stepper's state in a file: what comes back goes on as if nothing had happened, and under other arguments it is refused."""

import pytest
import torch
from torch.nn.utils import parametrizations

import odegan
from odegan.penalties import closed_loop, generator_gradient
from tests.peers import draw, networks

BATCHES = [draw(8, seed=i) for i in range(6)]
KINDS = {
    "rk4": {"solver": "rk4"},
    "adam": {"solver": "adam"},
    "adam in turn": {"solver": "adam", "options": {"alternating": True}},
    "optimistic": {"solver": "optimistic"},
    "replay": {"solver": "heun2", "penalties": [closed_loop(0.1, buffer=2)]},
    "adaptive": {"solver": "dopri5", "step_size": None, "refresh": 0.1},
}


def game(spectral=True):
    generator, discriminator = networks()
    if spectral:
        torch.manual_seed(0)  # of its first vectors
        discriminator[0] = parametrizations.spectral_norm(discriminator[0])
    return odegan.gan(generator, discriminator)


def stepper(spectral=True, **given):
    return odegan.Stepper(game(spectral), **{"step_size": 0.05} | given)


def steps(of, state, batches):
    for batch in batches:
        state, _ = of.step(state, batch)
    return state


@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("given", KINDS.values(), ids=KINDS.keys())
def test_a_loaded_state_goes_on_to_the_bit(tmp_path, given, members):
    y0 = game().init() if members is None else torch.stack([game().init(seed=s) for s in range(members)])
    batches = [b if members is None else tuple(torch.stack([x] * members) for x in b) for b in BATCHES]
    first = stepper(**given)
    half = steps(first, first.init(y0, t0=0.5, seed=3), batches[:3])
    first.save(half, tmp_path / "state.pt")
    second = stepper(**given)
    loaded = second.load(tmp_path / "state.pt")
    assert (loaded.t, loaded.aux["index"]) == (half.t, 3)
    assert torch.equal(steps(second, loaded, batches[3:]).y, steps(first, half, batches[3:]).y)


@pytest.mark.parametrize("from_file", [False, True])
def test_another_step_size_keeps_the_moments(tmp_path, from_file):
    """As torch.optim.Adam with param_group["lr"] changed on the way."""
    adam, slower = (stepper(False, solver="adam", step_size=h) for h in (0.05, 0.01))
    state = steps(adam, adam.init(game(False).init()), BATCHES[:3])
    if from_file:
        adam.save(state, tmp_path / "state.pt")
        state = slower.load(tmp_path / "state.pt", changed=["step_size"])
    found = steps(slower, state, BATCHES[3:]).y
    y = game(False).init().requires_grad_()
    optimizer = torch.optim.Adam([y], lr=0.05)
    field = odegan.vector_field(game(False))
    for i, batch in enumerate(BATCHES):
        optimizer.param_groups[0]["lr"] = 0.05 if i < 3 else 0.01
        y.grad = -field(0.0, y.detach(), batch).detach()
        optimizer.step()
    torch.testing.assert_close(found.detach(), y.detach(), rtol=0, atol=1e-12)


OTHER = {
    "step_size": {"step_size": 0.06},
    "solver": {"solver": "rk4"},
    "options": {"options": {"betas": (0.5, 0.9)}},
    "penalties": {"penalties": [generator_gradient(0.1)]},
    "rates": {"rates": (2.0, 1.0)},
    "clip": {"clip": 1.0},
    "game": {"spectral": False},
}


@pytest.mark.parametrize("name, given", OTHER.items(), ids=OTHER.keys())
def test_other_arguments_are_refused_by_name(tmp_path, name, given):
    first = stepper(solver="adam")
    first.save(first.init(game().init()), tmp_path / "state.pt")
    with pytest.raises(odegan.ArgumentError, match=f"^{name}: got "):
        stepper(**{"solver": "adam"} | given).load(tmp_path / "state.pt")


def test_what_is_no_saved_state_is_refused(tmp_path):
    of = stepper(solver="adam")
    path = tmp_path / "state.pt"
    with pytest.raises(FileNotFoundError):
        of.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(odegan.ArgumentError, match="cannot be read"):
        of.load(path)
    path.unlink()
    odegan.odeint_gan(
        game(),
        game().init(),
        steps=1,
        data=torch.randn(8, 2),
        batch_size=4,
        solver="adam",
        step_size=0.05,
        checkpoint=path,
    )
    with pytest.raises(odegan.ArgumentError, match="a file that a Stepper saved"):
        of.load(path)
    with pytest.raises(odegan.ArgumentError, match="did you mean 'step_size'"):
        of.load(path, changed=["stepsize"])
    with pytest.raises(odegan.ArgumentError, match=r"^state: got"):
        of.save(torch.ones(3), path)
