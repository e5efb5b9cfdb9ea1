"""Unmodified modules as players: normalization, parametrizations, ties, constants, initialization, export."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import odegan
from odegan.games.batch import Batch
from tests.modules.pairs import LATENT, REAL, critic, half_eval, lived_in, normed, plain

torch.set_num_threads(1)


class Tied(nn.Module):
    """W^T tanh(W x), with W one parameter under two names, as in a tied auto-encoder."""

    def __init__(self):
        super().__init__()
        self.down = nn.Linear(2, 2, bias=False)
        self.up = nn.Linear(2, 1)
        self.again = nn.Linear(2, 2, bias=False)
        self.again.weight = self.down.weight

    def forward(self, x):
        return self.up(self.again(torch.tanh(self.down(x))))


class Frozen(nn.Module):
    """A constant layer and a constant buffer beside what is trained."""

    def __init__(self):
        super().__init__()
        self.fixed = nn.Linear(2, 4).requires_grad_(False)
        self.free = nn.Linear(4, 1)
        self.register_buffer("shift", torch.tensor([0.5, -0.5]))

    def forward(self, x):
        return self.free(torch.tanh(self.fixed(x + self.shift)))


class BatchSpread(nn.Linear):
    """Appends the batch's standard deviation, as Progressive GAN's discriminator does."""

    def forward(self, x):
        return super().forward(x) + x.std(0).mean()


class Squeezed(nn.Linear):
    def forward(self, x):
        return super().forward(x).squeeze(-1)


def instance_normed():
    norm = nn.InstanceNorm1d(2, affine=True, track_running_stats=True)
    return nn.Sequential(nn.Linear(2, 6), nn.Unflatten(1, (2, 3)), norm, nn.Flatten(), nn.Linear(6, 1))


PAIRS = {
    "mlp": (plain, critic),
    "batch-norm": (normed, lambda: nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))),
    "batch-norm-eval": (lambda: lived_in(normed()).eval(), critic),
    "mixed-modes": (lambda: normed(), lambda: half_eval()),
    "instance-norm-eval": (plain, lambda: lived_in(instance_normed()).eval()),
    "spectral": (plain, lambda: critic(parametrizations.spectral_norm)),
    "weight-norm": (plain, lambda: critic(parametrizations.weight_norm)),
    "tied": (plain, Tied),
    "frozen": (plain, Frozen),
    "spread": (plain, lambda: BatchSpread(2, 1)),
    "squeezed": (plain, lambda: Squeezed(2, 1)),
    "group-norm": (plain, lambda: nn.Sequential(nn.Linear(2, 4), nn.GroupNorm(2, 4), nn.Linear(4, 1))),
    "double": (lambda: plain().double(), lambda: critic().double()),
}


@pytest.fixture(params=PAIRS.keys())
def pair(request):
    torch.manual_seed(3)
    generator, discriminator = (make() for make in PAIRS[request.param])
    return generator, discriminator, odegan.gan(generator, discriminator)


def batch_for(game):
    y = game.init()
    return Batch(REAL.to(y), LATENT.to(y), buffers=game.initial_buffers(y) or None)


def by_hand(generator, discriminator, real, latent):
    """The non-saturating field of the modules themselves, by plain autograd on copies in the modes that they have."""
    generator = copy.deepcopy(generator)
    discriminator = copy.deepcopy(discriminator)
    for part in discriminator.modules():
        part.training = part.training and not type(part).__name__.startswith("_Spectral")
    softplus = nn.functional.softplus
    fake = generator(latent)
    loss_d = softplus(-discriminator(real)).mean() + softplus(discriminator(fake)).mean()
    loss_g = softplus(-discriminator(fake)).mean()
    parts = []
    for loss, module in [(loss_d, discriminator), (loss_g, generator)]:
        wanted = [p for p in module.parameters() if p.requires_grad]
        parts += [-g.flatten() for g in torch.autograd.grad(loss, wanted, retain_graph=True)]
    return torch.cat(parts), torch.stack([loss_d, loss_g])


def test_the_field_is_plain_autograds(pair):
    generator, _, game = pair
    y = game.init()
    batch = batch_for(game)
    exported = game.modules(y)[1]  # the same parameters, with spectral norm's u and v as the field sees them
    field, losses = by_hand(generator, exported, batch.real, batch.latent)
    torch.testing.assert_close(odegan.vector_field(game)(0.0, y, batch), field, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.stack(game.losses(y, batch)), losses)


def test_y_is_the_trainable_parameters_in_order(pair):
    generator, discriminator, game = pair
    trained = [p for m in (discriminator, generator) for _, p in m.named_parameters() if p.requires_grad]
    assert torch.equal(game.init(), torch.cat([p.flatten() for p in trained]))
    assert (game.n_disc, game.n_gen) == tuple(
        sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (discriminator, generator)
    )


def test_nothing_outside_changes(pair):
    generator, discriminator, game = pair
    before = copy.deepcopy([generator.state_dict(), discriminator.state_dict()])
    modes = [part.training for m in (generator, discriminator) for part in m.modules()]
    random_state = torch.get_rng_state()
    y = game.init()
    batch = batch_for(game)
    kept = y.clone()
    t = torch.tensor([0.0, 0.3])
    given = {"data": batch.real, "latent": 3, "solver": "heun2", "step_size": 0.1}
    odegan.odeint_gan(game, y, t, penalties=[odegan.penalties.generator_gradient(0.1)], **given)
    game.modules(y, batches=[batch])
    game.sample(y, 3)
    game.init(seed=4)
    for old, new in zip(before, [generator.state_dict(), discriminator.state_dict()], strict=True):
        assert all(torch.equal(old[key], new[key]) for key in old)
    assert modes == [part.training for m in (generator, discriminator) for part in m.modules()]
    assert torch.equal(y, kept)
    assert torch.equal(random_state, torch.get_rng_state())


def test_exported_modules_are_the_games_view(pair):
    generator, discriminator, game = pair
    y = game.init(seed=5)
    batch = batch_for(game)
    made_g, made_d = game.modules(y)
    theta_d, theta_g = game.split(y)
    seen = game.initial_buffers(y)
    for module, pure, theta, x in [
        (made_g, game.generator, theta_g, batch.latent),
        (made_d, game.discriminator, theta_d, batch.real),
    ]:
        torch.testing.assert_close(module.eval()(x), pure(theta, x, seen))
    for made, given in [(made_g, generator), (made_d, discriminator)]:
        assert type(made) is type(given)
        assert [n for n, _ in made.named_parameters()] == [n for n, _ in given.named_parameters()]
        assert not {p.data_ptr() for p in made.parameters()} & {p.data_ptr() for p in given.parameters()}
    odegan.gan(made_g, made_d)  # they can train again


def test_a_fresh_initialization_is_of_its_seed(pair):
    game = pair[2]
    draws = [game.init(seed=seed) for seed in (7, 7, 8)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert draws[0].dtype == game.init().dtype
    assert torch.isfinite(draws[0]).all()
    changed = draws[0] != draws[2]
    norms = (nn.BatchNorm1d, nn.GroupNorm, nn.InstanceNorm1d)
    parts = [part for m in pair[2].modules(draws[0]) for part in m.modules() if isinstance(part, norms)]
    constant = sum(p.numel() for part in parts for p in part.parameters())
    assert (~changed).sum() <= constant  # only a normalization's scale and shift start the same


@pytest.mark.parametrize(
    "name", ["mlp", *(pytest.param(n, marks=pytest.mark.slow) for n in ("weight-norm", "tied", "squeezed"))]
)
def test_a_fresh_initialization_has_the_constructors_moments(name):
    torch.manual_seed(0)
    game = odegan.gan(*(make() for make in PAIRS[name]))
    ours = torch.stack([game.init(seed=s) for s in range(100)])
    theirs = torch.stack([odegan.gan(*(make() for make in PAIRS[name])).init() for _ in range(100)])
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * theirs.std(0) * (2 / 100) ** 0.5 + 1e-6).all()
    torch.testing.assert_close(ours.std(0), theirs.std(0), rtol=0.4, atol=1e-6)


def test_a_fresh_initialization_is_the_constructors_numbers():
    game = odegan.gan(plain(), critic())
    y = game.init(seed=11)
    torch.manual_seed(11)
    discriminator = critic()
    generator = plain()
    assert torch.equal(y, odegan.gan(generator, discriminator).init())


def test_tied_weights_appear_once_and_stay_tied():
    game = odegan.gan(plain(), Tied())
    assert game.n_disc == 4 + 3
    exported = game.modules(game.init())[1]
    assert exported.again.weight is exported.down.weight


def test_constants_are_exported():
    module = Frozen()
    game = odegan.gan(plain(), module)
    assert game.n_disc == 5
    exported = game.modules(game.init(seed=3))[1]
    assert torch.equal(exported.fixed.weight, module.fixed.weight)
    assert torch.equal(exported.shift, module.shift)
    assert not exported.fixed.weight.requires_grad


@pytest.mark.parametrize(
    "name, couples",
    [
        *[("mlp", False), ("batch-norm", True), ("spread", True), ("group-norm", False), ("spectral", False)],
        *[("batch-norm-eval", False), ("mixed-modes", True), ("instance-norm-eval", False), ("squeezed", False)],
    ],
)
def test_what_couples_the_batch(name, couples):
    assert odegan.gan(*(make() for make in PAIRS[name])).couples_batch is couples


def test_structures_take_no_memory():
    game = odegan.gan(normed(), critic(parametrizations.spectral_norm))
    for pure in (game.generator, game.discriminator):
        for module in (pure.template, pure.skeleton):
            assert {t.device.type for t in [*module.parameters(), *module.buffers()]} <= {"meta"}


def test_samples_depend_on_the_seed_alone():
    game = odegan.gan(plain(), critic())
    y = torch.stack([game.init(seed=s) for s in (1, 2)])
    assert game.sample(y, 5).shape == (2, 5, 2)
    assert torch.equal(game.sample(y, 5, seed=3)[1], game.sample(y[1], 5, seed=3))
    assert not torch.equal(game.sample(y[0], 5, seed=3), game.sample(y[0], 5, seed=4))
    assert not torch.equal(game.sample(y, 5)[0], game.sample(y, 5)[1])
    assert not game.sample(y.requires_grad_(), 5).requires_grad


def test_float32_modules_run_in_float64():
    game = odegan.gan(normed(), Frozen())
    y = game.init().double()
    batch = (REAL.double(), LATENT.double())
    dy = odegan.vector_field(game)(0.0, y, batch)
    assert dy.dtype == torch.float64
    assert {t.dtype for t in game.modules(y)[1].state_dict().values()} == {torch.float64}
    torch.testing.assert_close(
        dy.float(), odegan.vector_field(game)(0.0, y.float(), (REAL, LATENT)), rtol=1e-4, atol=1e-6
    )
