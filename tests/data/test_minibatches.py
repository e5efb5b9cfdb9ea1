"""Minibatches as a pure function of (seed, index), the Batch that holds them, and runs replayed from any interval."""

import random

import pytest
import torch
import torch.utils._pytree as pytree
from torch import nn
from torch.utils.data import TensorDataset

import odegan
from odegan import Batch
from odegan.data.minibatches import Minibatches
from odegan.games.batch import as_batch
from odegan.utils.random_streams import stream_seed

torch.set_num_threads(1)
LIKE = torch.empty(0)
ROWS = torch.arange(7.0)[:, None] * torch.ones(2)  # row i is (i, i)


class Plain:
    """A map-style data set that is no torch Dataset."""

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, i):
        return ROWS[i].numpy()


def noise(n, generator):
    return torch.rand(n, 2, generator=generator)


SOURCES = {
    "tensor": ROWS,
    "dataset": TensorDataset(ROWS),
    "labeled": TensorDataset(ROWS, torch.arange(7)),
    "plain": Plain(),
    "function": noise,
}


def make(data=ROWS, latent=3, batch_size=3, seeds=5, like=LIKE):
    return Minibatches(data, latent, batch_size, seeds, like)


def equal(one: Batch, other: Batch) -> bool:
    return torch.equal(one.real, other.real) and torch.equal(one.latent, other.latent)


@pytest.mark.parametrize("data", SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize("latent", [3, (2, 1), noise], ids=["size", "shape", "function"])
def test_minibatches_are_pure_in_seed_and_index(data, latent):
    in_order = [make(data, latent)(i) for i in range(40)]
    shuffled = list(range(40))
    random.Random(0).shuffle(shuffled)
    state = torch.get_rng_state()
    one = make(data, latent)
    assert all(equal(one(i), in_order[i]) for i in shuffled)
    assert torch.equal(state, torch.get_rng_state())
    other = make(data, latent, seeds=6)
    assert not any(torch.equal(other(i).latent, in_order[i].latent) for i in range(40))
    assert any(not torch.equal(other(i).real, in_order[i].real) for i in range(40))
    latents = torch.stack([batch.latent for batch in in_order]).flatten(1)
    assert len(latents.unique(dim=0)) == 40


@pytest.mark.parametrize("name", ["tensor", "dataset", "labeled", "plain"])
@pytest.mark.parametrize("batch_size", [1, 3, 7, 10, 25, None])
def test_every_sample_once_an_epoch(name, batch_size):
    batches = make(SOURCES[name], batch_size=batch_size)
    size = batch_size or 7
    assert batches(0).real.shape == (size, 2)
    assert batches(0).latent.shape == (size, 3)
    seen = torch.cat([batches(i).real[:, 0] for i in range(-(-28 // size))])[:28]
    epochs = [epoch.tolist() for epoch in seen.split(7)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 4
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert torch.equal(seen, torch.cat([make(ROWS, batch_size=1)(i).real[:, 0] for i in range(28)]))


def test_latents_are_standard_normal():
    z = torch.cat([make(latent=(4, 5), batch_size=100)(i).latent for i in range(100)]).flatten()
    n = len(z)
    for power, moment, deviation in [(1, 0.0, 1.0), (2, 1.0, 2**0.5), (3, 0.0, 15**0.5), (4, 3.0, 96**0.5)]:
        assert abs(z.pow(power).mean() - moment) < 4.5 * deviation / n**0.5
    rows = z.reshape(-1, 20)
    assert (rows.T @ rows / len(rows) - torch.eye(20)).abs().max() < 0.06


def test_streams_do_not_share_seeds():
    seeds = {stream_seed(s, stream, i) for s in range(20) for stream in ("data", "latent") for i in range(20)}
    assert len(seeds) == 800
    both = make(noise, noise)(0)
    assert not torch.equal(both.real, both.latent)


@pytest.mark.parametrize("data", SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize("seeds", [[5, 6, 7], [9, 2], [4, 4]])
def test_an_ensembles_are_its_members_stacked(data, seeds):
    for i in (0, 17):
        singles = [make(data, seeds=seed)(i) for seed in seeds]
        stacked = Batch(torch.stack([one.real for one in singles]), torch.stack([one.latent for one in singles]))
        assert equal(make(data, seeds=seeds)(i), stacked)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_every_dtype_sees_the_same_numbers(dtype):
    batch = make(noise, like=torch.empty(0, dtype=dtype))(3)
    reference = make(noise)(3)
    assert batch.real.dtype == batch.latent.dtype == dtype
    assert torch.equal(batch.real, reference.real.to(dtype))
    assert torch.equal(batch.latent, reference.latent.to(dtype))


def test_a_float64_run_sees_the_float32_numbers():
    game = network()
    t = torch.tensor([0.0, 0.5])
    given = {"data": ROWS / 7, "latent": 3, "batch_size": 4, "solver": "heun2", "step_size": 0.1}
    single = odegan.odeint_gan(game, game.init(seed=1), t, **given)
    double = odegan.odeint_gan(game, game.init(seed=1).double(), t, **given)
    assert double.ys.dtype == torch.float64
    torch.testing.assert_close(single.ys.double(), double.ys, rtol=1e-4, atol=1e-5)


# Batch.
def test_a_batch_unpacks_as_its_pair():
    batch = Batch("a", "b", label="c", noise="d")
    real, latent = batch
    assert (real, latent) == (batch[0], batch[1]) == ("a", "b")
    assert as_batch(batch) is batch
    assert as_batch(None) is None
    assert as_batch(("a", "b")).latent == "b"


@pytest.mark.parametrize("wrong", [5, ("a",), ("a", "b", "c"), "ab", torch.zeros(2, 2)])
def test_what_is_no_batch_is_refused(wrong):
    with pytest.raises(odegan.ArgumentError, match=r"^batch: got .*; it must be an odegan\.Batch, .*a pair"):
        as_batch(wrong)


@pytest.mark.parametrize(
    "batch", [Batch(ROWS, ROWS + 1), Batch(ROWS, ROWS, replay=ROWS), Batch(latent=ROWS, buffers={"u": ROWS})]
)
def test_absent_parts_are_invisible_to_transforms(batch):
    present = {name for name, part in vars(batch).items() if part is not None}
    assert len(pytree.tree_leaves(batch)) == len(present)
    doubled = pytree.tree_map(lambda x: 2 * x, batch)
    assert isinstance(doubled, Batch)
    assert {name for name, part in vars(doubled).items() if part is not None} == present
    for before, after in zip(pytree.tree_leaves(batch), pytree.tree_leaves(doubled), strict=True):
        assert torch.equal(after, 2 * before)
    seen = torch.vmap(lambda one: sum(leaf.sum() for leaf in pytree.tree_leaves(one)))(batch)
    assert torch.equal(seen, sum(leaf.sum(-1) for leaf in pytree.tree_leaves(batch)))


# Replays.
def network():
    torch.manual_seed(0)
    return odegan.gan(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)))


@pytest.mark.parametrize(
    "arguments",
    [
        {"solver": "heun2", "step_size": 0.1},
        {"solver": "rk4", "step_size": 0.1, "refresh": "stage"},
        {"solver": "euler", "step_size": 0.05, "refresh": 0.2},
        {"solver": "adam", "step_size": 0.1},
        {"solver": "dopri5", "refresh": 0.1},
    ],
    ids=lambda a: f"{a['solver']}-{a.get('refresh')}",
)
@pytest.mark.parametrize("members", [None, 2])
def test_a_run_is_replayed_from_any_interval(arguments, members):
    """A Stepper with the k-th state and the k-th minibatches goes on as the run did."""
    game = network()
    states = []
    y0 = game.init() if members is None else torch.stack([game.init(seed=s) for s in range(members)])
    t = torch.tensor([0.0, 0.8], dtype=torch.float64)
    given = {"data": ROWS / 7, "latent": 3, "batch_size": 4, "seed": 3}
    odegan.odeint_gan(game, y0, t, **given, **arguments, callback=lambda state, info: states.append(state))
    seeds = 3 if members is None else [3 + e for e in range(members)]
    minibatches = make(ROWS / 7, 3, 4, seeds)
    stepper = odegan.Stepper(game, **arguments)
    stages = 4 if arguments.get("refresh") == "stage" else 1
    for k in (1, 3):
        state = states[k - 1]
        for after in states[k:]:
            index = state.aux["index"]
            batches = [minibatches(index * stages + i) for i in range(stages)]
            state, _ = stepper.step(state, batches if stages > 1 else batches[0], until=0.8)
            assert state.t == after.t
            assert torch.equal(state.y, after.y)
    first, _ = stepper.step(stepper.init(y0), [minibatches(i) for i in range(stages)] if stages > 1 else minibatches(0))
    assert torch.equal(first.y, states[0].y)
