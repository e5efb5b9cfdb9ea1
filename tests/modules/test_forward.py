"""Precision, memory layout and recomputation: the same field in each."""

import pytest
import torch
from torch import nn

import odegan
from odegan import penalties
from odegan.modules.forward import Execution, Network

X = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


class Counting(nn.Sequential):
    """A block that counts its forward passes."""

    calls = 0

    def forward(self, x):
        Counting.calls += 1
        return super().forward(x)


def pair(dtype=torch.float64):
    torch.manual_seed(0)
    generator = nn.Sequential(
        nn.Linear(3, 64), nn.Tanh(), nn.Unflatten(1, (4, 4, 4)), nn.ConvTranspose2d(4, 1, 4, 2, padding=1)
    )
    discriminator = nn.Sequential(
        Counting(nn.Conv2d(1, 4, 4, 2, padding=1), nn.Softplus()),
        nn.Flatten(),
        nn.Linear(64, 8),
        nn.Tanh(),
        nn.Linear(8, 1),
    )
    return generator.to(dtype), discriminator.to(dtype)


def moved(members=None, penalty=None, dtype=torch.float64, **switches):
    game = odegan.gan(*pair(dtype), latent=3, **switches)
    y0 = game.init() if members is None else torch.stack([game.init()] * members)
    end = odegan.odeint_gan(
        game, y0, torch.tensor([0.0, 0.2]), data=X.to(dtype), batch_size=4, solver="heun2", step_size=0.1,
        penalties=[penalty] if penalty else [],
    )  # fmt: skip
    return end.y - y0


PENALTIES = [None, penalties.jare(0.3), penalties.r1(0.5), penalties.jare(0.3, chunks=2)]


@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("switch", ["channels_last", "checkpointing"])
def test_the_same_field(switch, penalty, members):
    assert torch.allclose(moved(members, penalty, **{switch: True}), moved(members, penalty), rtol=0, atol=1e-13)


def doubled_input(module):
    module.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    return module


def doubled_output(module):
    module.register_forward_hook(lambda module, inputs, output: 2 * output)
    return module


class DoubledCall(nn.Sequential):
    def __call__(self, x):
        return super().__call__(2 * x)


class DoubledLayers(nn.Sequential):
    def __iter__(self):
        yield lambda x: 2 * x
        yield from super().__iter__()


CHANGED = {
    "a hook before": lambda *layers: doubled_input(nn.Sequential(*layers)),
    "a hook after": lambda *layers: doubled_output(nn.Sequential(*layers)),
    "a call of its own": DoubledCall,
    "layers of its own": DoubledLayers,
}


@pytest.mark.parametrize("make", CHANGED.values(), ids=CHANGED)
def test_checkpointing_keeps_what_a_sequence_does_besides_its_layers(make):
    ends = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        critic = make(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
        game = odegan.gan(nn.Linear(3, 2), critic, checkpointing=checkpointing)
        data = torch.ones(4, 2)
        ends.append(odegan.odeint_gan(game, game.init(), [0.0, 0.1], data=data, solver="euler", step_size=0.1).y)
    torch.testing.assert_close(*ends)


def test_checkpointing_computes_segments_again():
    counts = []
    for checkpointing in (False, True):
        game = odegan.gan(*pair(), latent=3, checkpointing=checkpointing)
        field = odegan.vector_field(game)
        batch = (X[:4], torch.ones(4, 3, dtype=torch.float64))
        Counting.calls = 0
        with torch.no_grad():
            field(0.0, game.init(), batch)
        counts.append(Counting.calls)
    assert counts[1] == 2 * counts[0] > 0


@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("penalty", PENALTIES[:3], ids=str)
def test_autocast_keeps_the_state_in_its_precision(penalty, members):
    exact = moved(members, penalty, torch.float32)
    half = moved(members, penalty, torch.float32, autocast=torch.bfloat16)
    assert half.dtype == torch.float32
    error = (half - exact).norm() / exact.norm()
    assert 1e-5 < error < 0.05  # bfloat16 has 8 bits: something must differ, and little


def test_autocast_casts_the_networks_products_alone():
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            out = super().forward(x)
            seen.append((self.weight.dtype, out.dtype))
            return out

    game = odegan.gan(nn.Linear(2, 2), Spy(2, 1), latent=2, autocast=torch.bfloat16)
    seen.clear()  # of the trials
    loss = game.losses(game.init(), (torch.ones(3, 2), torch.ones(3, 2)))[0]
    assert set(seen) == {(torch.float32, torch.bfloat16)}
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(
    "switch, sentence",
    [
        ({"autocast": torch.float64}, "autocast: got torch.float64; it must be None, torch.bfloat16 or torch.float16"),
        ({"autocast": "bf16"}, "autocast: got 'bf16'"),
        ({"channels_last": 1}, "channels_last: got 1; it must be True or False"),
        ({"checkpointing": "yes"}, "checkpointing: got 'yes'"),
    ],
)
def test_wrong_switches(switch, sentence):
    with pytest.raises(odegan.ArgumentError) as error:
        odegan.gan(*pair(), **switch)
    assert sentence in str(error.value)


NORMS = {
    "batch": lambda: nn.BatchNorm1d(8),
    "layer": lambda: nn.LayerNorm(8),
    "group": lambda: nn.GroupNorm(2, 8),
    "instance": lambda: nn.Sequential(nn.Unflatten(1, (2, 4)), nn.InstanceNorm1d(2), nn.Flatten()),
}


@pytest.mark.parametrize("penalty", PENALTIES[:2], ids=str)
@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS.keys())
def test_checkpointing_goes_with_norms(norm, penalty):
    fields = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        critic = nn.Sequential(nn.Linear(2, 8), norm(), nn.Tanh(), nn.Linear(8, 1)).double()
        game = odegan.gan(nn.Linear(3, 2).double(), critic, checkpointing=checkpointing)
        field = odegan.vector_field(game, [penalty] if penalty else [])
        with torch.no_grad():
            batch = (X.reshape(8, -1)[:, :2], X.reshape(8, -1)[:, :3])
            fields.append(field(0.0, game.init(), batch))
    torch.testing.assert_close(fields[1], fields[0], rtol=1e-12, atol=1e-14)


def test_autocast_casts_a_weight_once_an_evaluation():
    execution = Execution(autocast=torch.bfloat16)
    layers = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    dtypes = []
    layers[0].register_forward_pre_hook(lambda part, inputs: dtypes.append(part.weight.dtype))
    layers[1].register_forward_pre_hook(lambda part, inputs: dtypes.append(part.weight.dtype))
    execution.bind(Network(layers), dict(layers.named_parameters()))(torch.randn(4, 2))
    assert dtypes == [torch.bfloat16, torch.float32]


def test_channels_last_reaches_the_networks():
    layouts = []

    class Spy(nn.Conv2d):
        def forward(self, x):
            layouts.append((x.is_contiguous(memory_format=torch.channels_last), x.is_contiguous()))
            return super().forward(x)

    execution = Execution(channels_last=True)
    conv = Spy(2, 3, 3)
    execution.bind(Network(conv), dict(conv.named_parameters()))(torch.randn(2, 2, 5, 5))
    assert layouts == [(True, False)]


def test_autocast_leaves_double_precision_alone():
    generator = nn.Linear(3, 2)
    discriminator = nn.Linear(2, 1)
    batch = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    plain, halved = (odegan.gan(generator, discriminator, autocast=kind) for kind in (None, torch.bfloat16))
    y = plain.init().double()
    assert torch.equal(odegan.vector_field(halved)(0.0, y, batch), odegan.vector_field(plain)(0.0, y, batch))
