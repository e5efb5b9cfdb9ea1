"""``ModuleStepper``: a stepper's trajectory in the user's own modules, with the statistics that a plain script would have."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import odegan
from odegan import penalties

D = torch.float64
B = 6
CASES: dict[str, dict[str, Any]] = {
    "heun2": {"solver": "heun2", "step_size": 0.1},
    "penalized": {"solver": "heun2", "step_size": 0.1, "penalties": [penalties.generator_gradient(0.1)]},
    "replay": {"solver": "euler", "step_size": 0.1, "penalties": [penalties.closed_loop(0.2, buffer=2)]},
    "adam": {"solver": "adam", "step_size": 0.01},
    "adaptive": {"solver": "dopri5", "refresh": 0.1},
}


def pair(norm: bool = False, spectral: bool = False) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    wrapped = spectral_norm if spectral else lambda layer: layer
    middle = [nn.BatchNorm1d(5)] if norm else []
    generator = nn.Sequential(nn.Linear(3, 5), *middle, nn.Tanh(), wrapped(nn.Linear(5, 2)))
    discriminator = nn.Sequential(wrapped(nn.Linear(2, 5)), *copy.deepcopy(middle), nn.Tanh(), wrapped(nn.Linear(5, 1)))
    return generator.double(), discriminator.double()


def batches(n: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    source = torch.Generator().manual_seed(3)
    draw = [torch.randn(B, width, generator=source, dtype=D) for _ in range(n) for width in (2, 3)]
    return list(zip(draw[::2], draw[1::2], strict=True))


def flat(generator: nn.Module, discriminator: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for module in (discriminator, generator) for p in module.parameters()])


@pytest.mark.parametrize("norm, spectral", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("name", CASES)
def test_the_modules_take_a_steppers_steps(name, norm, spectral):
    modules = pair(norm, spectral)
    kept = [parameter for module in modules for parameter in module.parameters()]
    ours = odegan.ModuleStepper(*modules, **CASES[name])
    stepper = odegan.Stepper(odegan.gan(*pair(norm, spectral)), **CASES[name])
    state = stepper.init(stepper.game.init())
    for real, latent in batches(4):
        modules[0].eval()
        modules[1].requires_grad_(False)
        info = ours.step(real, latent)
        state, expected = stepper.step(state, (real, latent))
        assert torch.equal(flat(*modules), state.y)
        assert torch.equal(info.losses, expected.losses)
        assert not modules[0].training  # as the script left it
        modules[0].train()
        modules[0](latent)  # a script's own passes, which move spectral norm's vectors, change no step
    assert all(a is b for a, b in zip(kept, [p for m in modules for p in m.parameters()], strict=True))
    for key, value in state.aux["buffers"].items():
        role, _, path = key.partition("/")
        if role == "discriminator":
            assert torch.equal(dict(modules[1].named_buffers())[path], value)


@pytest.mark.parametrize("spectral", [False, True])
def test_running_statistics_are_those_of_a_scripts_passes(spectral):
    generator, discriminator = pair(norm=True, spectral=spectral)
    ours = odegan.ModuleStepper(generator, discriminator, solver="heun2", step_size=0.1)
    mean = torch.zeros(5, dtype=D)
    var = torch.ones(5, dtype=D)
    count = 0
    of_d = (mean, var)
    for real, latent in batches(3):
        ours.step(real, latent)
        with torch.no_grad():
            hidden = generator[0](latent)
            mean = 0.9 * mean + 0.1 * hidden.mean(0)
            var = 0.9 * var + 0.1 * hidden.var(0)
            fake = generator[3].eval()(
                torch.tanh(nn.functional.batch_norm(hidden, None, None, *generator[1].parameters(), True))
            )
            for x in (real, fake):
                weight = discriminator[0].eval().weight  # no power iteration
                hidden = x @ weight.T + discriminator[0].bias
                of_d = (0.9 * of_d[0] + 0.1 * hidden.mean(0), 0.9 * of_d[1] + 0.1 * hidden.var(0))
        count += 1
    for norm, (m, v), n in ((generator[1], (mean, var), count), (discriminator[1], of_d, 2 * count)):
        torch.testing.assert_close(norm.running_mean, m)
        torch.testing.assert_close(norm.running_var, v)
        assert norm.num_batches_tracked == n


def test_a_norm_in_eval_mode_keeps_its_statistics():
    generator, discriminator = pair(norm=True)
    generator[1].eval()
    discriminator[1].eval()
    before = copy.deepcopy(dict(generator.named_buffers()))
    odegan.ModuleStepper(generator, discriminator, solver="euler", step_size=0.1).step(*batches(1)[0])
    assert all(torch.equal(value, before[name]) for name, value in generator.named_buffers())


def clipped(modules) -> None:
    for parameter in modules[1].parameters():
        parameter.data.clamp_(-0.2, 0.2)


def loaded(modules) -> None:
    torch.manual_seed(5)
    for module in modules:
        module.load_state_dict({k: v + 0.1 * torch.randn_like(v) for k, v in module.state_dict().items()})


@pytest.mark.parametrize("change", [clipped, loaded])
@pytest.mark.parametrize("name", ["heun2", "adam"])
def test_changes_from_outside_are_taken_in(name, change):
    modules = pair(spectral=change is loaded)
    ours = odegan.ModuleStepper(*modules, **CASES[name])
    stepper = odegan.Stepper(odegan.gan(*pair(spectral=change is loaded)), **CASES[name])
    state = stepper.init(stepper.game.init())
    first, second = batches(2)
    ours.step(*first)
    state, _ = stepper.step(state, first)
    change(modules)
    buffers = {
        key: dict(modules[key[0] == "d"].named_buffers())[key.partition("/")[2]].clone() for key in state.aux["buffers"]
    }
    state = state._replace(y=flat(*modules), aux=state.aux | {"buffers": buffers})
    ours.step(*second)
    assert torch.equal(flat(*modules), stepper.step(state, second)[0].y)
    assert ours.state.t == pytest.approx(2 * CASES[name]["step_size"])


@pytest.mark.parametrize("modules_first", [True, False])
def test_a_resumed_script_goes_on_to_the_bit(tmp_path, modules_first):
    modules = pair(norm=True, spectral=True)
    ours = odegan.ModuleStepper(*modules, **CASES["replay"])
    for batch in batches(2):
        ours.step(*batch)
    ours.save(tmp_path / "stepper.pt")
    torch.save([module.state_dict() for module in modules], tmp_path / "modules.pt")
    fresh = pair(norm=True, spectral=True)
    again = None if modules_first else odegan.ModuleStepper(*fresh, **CASES["replay"])
    for module, kept in zip(fresh, torch.load(tmp_path / "modules.pt"), strict=True):
        module.load_state_dict(kept)
    again = again or odegan.ModuleStepper(*fresh, **CASES["replay"])
    again.load(tmp_path / "stepper.pt")
    for batch in batches(4)[2:]:
        ours.step(*batch)
        again.step(*batch)
    assert torch.equal(flat(*fresh), flat(*modules))
    for one, other in zip(modules, fresh, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))


class Labeled(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, n_in)
        self.linear = nn.Linear(n_in, n_out)
        self.norm = nn.BatchNorm1d(n_out)

    def forward(self, x, label):
        return self.norm(self.linear(x * self.embedding(label)))


def test_labels_batches_and_a_list_for_the_stages():
    torch.manual_seed(0)
    modules = Labeled(3, 2).double(), Labeled(2, 1).double()
    label = torch.arange(B) % 3
    ours = odegan.ModuleStepper(*modules, solver="heun2", step_size=0.1, refresh="stage")
    first, second = (odegan.Batch(real, latent, label, label.flip(0)) for real, latent in batches(2))
    ours.step([first, second])
    assert modules[0].norm.num_batches_tracked == 1
    plain = odegan.ModuleStepper(*modules, solver="heun2", step_size=0.1)
    plain.step(*batches(1)[0], label)
    assert modules[1].norm.num_batches_tracked == 4


def test_a_transform_of_the_game():
    modules = pair()
    ours = odegan.ModuleStepper(
        *modules, transform=lambda game: odegan.unrolled(game, 2, 0.1), solver="euler", step_size=0.1
    )
    assert torch.isfinite(ours.step(*batches(1)[0]).losses).all()
    assert ours.game.steps == 2


def test_running_statistics_under_augmentation_are_of_samples_as_they_are():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 16), nn.Unflatten(1, (1, 4, 4)))
    discriminator = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(16, 1))
    ours = odegan.ModuleStepper(generator, discriminator, transform=odegan.augmented, solver="euler", step_size=0.1)
    real = torch.rand(B, 1, 4, 4)
    latent = torch.randn(B, 3)
    ours.step(real, latent)
    with torch.no_grad():
        mean = 0.9 * 0.1 * real.mean() + 0.1 * generator(latent).mean()
    torch.testing.assert_close(discriminator[0].running_mean, mean[None])


def test_no_graph_grows_where_a_loss_reads_what_requires_a_gradient():
    margin = torch.tensor(0.5, dtype=D, requires_grad=True)
    losses = (lambda real, fake: (fake - margin * real).mean(), lambda real, fake: -fake.mean())
    ours = odegan.ModuleStepper(*pair(), losses, solver="euler", step_size=0.1)
    info = ours.step(*batches(1)[0])
    assert not ours.state.y.requires_grad
    assert not info.losses.requires_grad


def test_a_step_that_is_not_finite_leaves_the_modules():
    modules = pair()
    ours = odegan.ModuleStepper(*modules, **CASES["heun2"])
    real, latent = batches(1)[0]
    ours.step(real, latent)
    before = flat(*modules)
    info = ours.step(real * float("inf"), latent)
    assert not info.finite
    assert torch.equal(flat(*modules), before)


def moved():
    modules = pair()
    ours = odegan.ModuleStepper(*modules, **CASES["heun2"])
    ours.step(*batches(1)[0])
    for module in modules:
        module.float()
    ours.step(*batches(1)[0])


def rebuilt():
    modules = pair()
    ours = odegan.ModuleStepper(*modules, **CASES["heun2"])
    modules[0][0] = nn.Linear(3, 6).double()
    ours.step(*batches(1)[0])


def not_finite():
    modules = pair()
    ours = odegan.ModuleStepper(*modules, **CASES["heun2"])
    ours.step(*batches(1)[0])
    modules[0][0].weight.data[0, 0] = float("nan")
    ours.step(*batches(1)[0])


WRONG = {
    "generator, discriminator: got parameters in torch.float32 on cpu; they must stay in torch.float64": moved,
    "generator: got (6, 3) for its parameter '0.weight'; it must be (5, 3)": rebuilt,
    "generator, discriminator: got 'a parameter that is not finite'": not_finite,
    "ModuleStepper: got 'stepsize'": lambda: odegan.ModuleStepper(*pair(), solver="euler", stepsize=0.1),
    "transform: got 'bilinear'": lambda: odegan.ModuleStepper(
        *pair(), transform=lambda game: odegan.games.bilinear(), solver="euler", step_size=0.1
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments_are_told_in_one_line(message):
    with pytest.raises(odegan.ArgumentError) as told:
        WRONG[message]()
    assert str(told.value).startswith(message)
    assert "\n" not in str(told.value)
