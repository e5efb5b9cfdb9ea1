"""User code that draws data: the global generators are seeded for it and restored, and its grad mode is kept."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

import odegan
from tests.data.given_cases import ROWS, N, Pairs, langevin, make, same

torch.set_num_threads(1)


class Noisy(Dataset):
    """Items with noise of all three global generators."""

    def __len__(self):
        return N

    def __getitem__(self, i):
        return ROWS[i] + torch.tensor([random.random(), np.random.rand()]) + torch.rand(())


# Code of others.
@pytest.mark.parametrize("members", [None, 2])
def test_all_global_generators_are_seeded_for_each_item_and_put_back(members):
    seeds = 3 if members is None else [3, 4]
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    one = make(Noisy(), seeds=seeds)
    reference = one.fields(0, 6)
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    with make(Noisy(), seeds=seeds, workers=2) as working:
        assert same(working.fields(0, 6), reference)
    assert same(make(Noisy(), seeds=seeds).fields(4, 1), {name: part[4:5] for name, part in reference.items()})
    random.setstate(before[0])
    torch.set_rng_state(before[2])
    np.random.seed(7)
    state = np.random.get_state()[1].tolist()
    one.fields(0, 1)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == state
    assert torch.equal(torch.get_rng_state(), before[2])


def test_functions_may_use_any_global_generator():
    def noise(n, generator):
        return torch.tensor([random.random(), np.random.rand()]) + torch.rand(n, 2, generator=generator)

    assert torch.equal(make(noise)(5).real, make(noise).block(3, 4).real[2])
    assert torch.equal(make(noise, seeds=[5, 6])(5).real[0], make(noise)(5).real)


class Langevin(Pairs):
    def __getitem__(self, i):
        x = ROWS[i].clone().requires_grad_()
        return x - 0.1 * torch.autograd.grad((x**4).sum(), x)[0]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("data", [langevin, Langevin()], ids=["function", "items"])
def test_code_of_others_keeps_its_grad_mode(data, workers):
    if workers and data is langevin:
        pytest.skip("workers load items")
    game = odegan.gan(nn.Linear(2, 2), nn.Linear(2, 1))
    given = {"batch_size": 6, "solver": "euler", "step_size": 0.1, "workers": workers}
    solution = odegan.odeint_gan(game, game.init(), torch.tensor([0.0, 1.0]), data=data, **given)
    assert solution.status == "finished"
    assert not solution.ys.requires_grad
