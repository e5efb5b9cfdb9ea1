"""Losses and penalties that draw random numbers, or have lost their graph, are refused at the start."""

import multiprocessing
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

import odegan
from odegan import ArgumentError
from odegan.data.global_generators import reseeded_generators
from odegan.utils.fingerprint import fingerprint
from odegan.utils.purity import check_pure
from odegan.utils.random_streams import GLOBAL_GENERATORS

DRAWS = {
    "torch": lambda: torch.rand(()),
    "numpy": lambda: torch.tensor(np.random.rand()),
    "random": lambda: torch.tensor(random.random()),
}
X = torch.randn(24, 2, generator=torch.Generator().manual_seed(0))


def game(loss="non_saturating"):
    torch.manual_seed(0)
    return odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1), loss=loss)


def refused(game, y0=None, **given):
    """The line with which a run is refused before its first step."""
    y0 = game.init() if y0 is None else y0
    called = []
    with pytest.raises(ArgumentError) as error:
        odegan.odeint_gan(
            game, y0, [0.0, 1.0], solver="heun2", step_size=0.1, callback=lambda *_: called.append(1), **given
        )
    assert called == []
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_random_loss_is_refused(draw):
    own = odegan.Game(lambda d, g, batch: (d * g).sum() * draw(), lambda d, g, batch: -(d * g).sum(), 1, 1)
    assert refused(own, torch.ones(2)).startswith("loss: got one ")
    pair = (lambda real, fake: fake.mean() - real.mean() * draw(), lambda real, fake: -fake.mean())
    y0 = game().init()
    with pytest.raises(ArgumentError, match=r"^loss: "):  # where the game is made, or where its run starts
        odegan.odeint_gan(game(pair), y0, [0.0, 1.0], data=X, batch_size=6, solver="heun2", step_size=0.1)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("placement", ["field", "after_step"])
def test_a_random_penalty_is_refused(draw, placement):
    def penalty(game):
        return lambda d, g, batch, t: (d**2).sum() * draw(), None

    said = refused(game(), data=X, batch_size=6, penalties=[penalty], placement=placement)
    assert said.startswith("penalties: got one ")


OWN = torch.Generator().manual_seed(0)
OF_NUMPY = np.random.default_rng(0)
OF_PYTHON = random.Random(0)
COUNT = {"calls": 0}


def counted():
    COUNT["calls"] += 1
    return COUNT["calls"]


HIDDEN = {
    "torch's": lambda: torch.rand((), generator=OWN),
    "numpy's": lambda: torch.tensor(OF_NUMPY.random()),
    "python's": lambda: torch.tensor(OF_PYTHON.random()),
    "a counter": lambda: torch.tensor(float(counted())),
}


@pytest.mark.parametrize("draw", HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("refresh", [None, float("inf")])
def test_a_state_of_its_own_is_refused(draw, refresh):
    """A generator of one's own, or a counter, leaves no trace in the global generators."""

    def penalty(game):
        return lambda d, g, batch, t: (d**2).sum() * draw(), None

    def weight(t):
        return 1 + draw()

    known = {"data": X, "batch_size": 6, "refresh": refresh}
    for given in (penalty, odegan.penalties.r1(weight)):
        assert refused(game(), penalties=[given], **known).startswith("penalties: got one with two values")
    own = odegan.Game(lambda d, g, batch: (d * g).sum() * draw(), lambda d, g, batch: -(d * g).sum(), 1, 1)
    assert refused(own, torch.ones(2)).startswith("loss: got one with two values")


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_randomness_that_begins_later_is_refused(draw):
    """Global generators are looked at again along the run."""

    def penalty(game):
        return lambda d, g, batch, t: (d**2).sum() * (draw() if t > 0.5 else 1), None

    game_ = game()
    with pytest.raises(ArgumentError, match=r"^penalties: got one that draws"):
        odegan.odeint_gan(
            game_, game_.init(), [0.0, 30.0], data=X, batch_size=6, solver="euler", step_size=0.1, penalties=[penalty]
        )


def test_a_callback_may_draw():
    own = odegan.games.bilinear()
    sol = odegan.odeint_gan(
        own, torch.ones(2), [0.0, 1.0], solver="rk4", step_size=0.1, callback=lambda *_: bool(torch.rand(()) > 2)
    )
    assert sol.status == "finished"


class Blind(torch.autograd.Function):
    """Without a backward pass, and without a rule for vmap."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()


def test_a_penalty_without_a_derivative_is_refused_in_one_line():
    def penalty(game):
        return lambda d, g, batch, t: Blind.apply(d).sum(), None

    for members in (1, 2):
        y0 = game().init() if members == 1 else game().init(seed=range(2))
        said = refused(game(), y0, data=X, batch_size=6, penalties=[penalty])
        assert said.startswith("penalties: ")


def without_graph(function):
    @torch.no_grad()
    def blind(*args):
        return function(*args)

    return blind


LOSSES = {
    "under no_grad": without_graph(lambda real, fake: fake.mean() - real.mean()),
    "detached": lambda real, fake: fake.detach().mean() - real.detach().mean(),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_loss_without_its_graph_is_refused(loss):
    disc = game((loss, lambda real, fake: -fake.mean()))
    gen = game((lambda real, fake: fake.mean() - real.mean(), loss))
    assert refused(disc, data=X, batch_size=6).startswith("loss: got one for the discriminator that changes")
    assert refused(gen, data=X, batch_size=6).startswith("loss: got one for the generator that changes")


def test_a_constant_loss_is_a_loss():
    """A player who has nothing to gain stays where he is."""
    own = game((lambda real, fake: fake.mean() - real.mean(), lambda real, fake: torch.zeros(())))
    y0 = own.init()
    sol = odegan.odeint_gan(own, y0, [0.0, 0.3], data=X, batch_size=6, solver="euler", step_size=0.1)
    assert torch.equal(own.split(sol.y)[1], own.split(y0)[1])
    assert not torch.equal(own.split(sol.y)[0], own.split(y0)[0])


def test_the_value_comes_back():
    assert torch.equal(check_pure("f", torch.square, torch.tensor(3.0)), torch.tensor(9.0))
    assert torch.isnan(check_pure("f", torch.sqrt, torch.tensor(-1.0)))


def test_what_another_thread_seeds_is_not_the_functions_draw():
    inside = threading.Event()
    over = threading.Event()

    def seed_elsewhere():
        with reseeded_generators() as seed:
            seed(1)
            inside.set()
            over.wait()

    other = threading.Thread(target=seed_elsewhere)

    def function():
        if not inside.is_set():
            other.start()
            inside.wait()
            threading.Timer(0.05, over.set).start()
        return torch.ones(())

    assert check_pure("loss", function) == 1.0
    other.join()


def test_no_other_thread_seeds_while_a_data_set_is_read():
    free = []

    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            attempt = threading.Thread(target=lambda: free.append(GLOBAL_GENERATORS.acquire(blocking=False)))
            attempt.start()
            attempt.join()
            return torch.rand(2)

    fingerprint({"data": Data()})
    assert free == [False, False]


def draws_seeded(expected):
    with reseeded_generators() as seed:
        seed(1)
        assert random.random() == expected


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_worker_forked_while_another_thread_seeds_can_seed_too():
    inside = threading.Event()
    over = threading.Event()

    def seed_elsewhere():
        with GLOBAL_GENERATORS:
            inside.set()
            over.wait()

    with reseeded_generators() as seed:
        seed(1)
        expected = random.random()
    other = threading.Thread(target=seed_elsewhere)
    other.start()
    inside.wait()
    worker = multiprocessing.get_context("fork").Process(target=draws_seeded, args=(expected,))
    worker.start()
    worker.join(60)
    over.set()
    other.join()
    worker.kill()
    worker.join()
    assert worker.exitcode == 0


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_worker_forked_within_the_lock_keeps_it_to_its_end():
    expected = random.Random()
    with reseeded_generators() as seed:
        seed(1)
        expected.setstate(random.getstate())
        worker = multiprocessing.get_context("fork").Process(target=draws_seeded, args=(expected.random(),))
        worker.start()
        worker.join(60)
    worker.kill()
    worker.join()
    assert worker.exitcode == 0


@torch.no_grad()
def clamped(x):
    return x.clamp_(-0.5, 0.5)


WRITES = {
    "its player's parameters": lambda d, g, batch: clamped(d),
    "the opponent's": lambda d, g, batch: clamped(g),
    "the data behind them": lambda d, g, batch: d.data.clamp_(-0.5, 0.5),
    "the batch": lambda d, g, batch: clamped(batch.real),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_loss_or_a_penalty_that_writes_to_what_it_is_given_is_refused(write):
    def loss(d, g, batch):
        write(d, g, batch)
        return (d * g).sum()

    def zero_sum(disc_loss):
        return odegan.Game(disc_loss, lambda d, g, batch: -(d * g).sum(), 1, 1)

    y0 = torch.tensor([1.0, 0.8])
    data = 3 * X
    given = {"data": data, "latent": 1, "batch_size": 6}
    said = refused(zero_sum(loss), y0, **given)
    assert said.startswith("loss: got one that writes to the parameters or the batch")
    plain = zero_sum(lambda d, g, batch: (d * g).sum())
    penalty = [lambda game: (lambda d, g, batch, t: loss(d, g, batch), None)]
    assert refused(plain, y0, penalties=penalty, **given).startswith("penalties: got one that writes to")
    assert torch.equal(y0, torch.tensor([1.0, 0.8]))
    assert torch.equal(data, 3 * X)
