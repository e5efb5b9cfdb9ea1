"""Numbers that a game is made from, or draws by, as Python's numbers, in arrays and in tensors."""

import numpy as np
import pytest
import torch

import odegan
from odegan import games
from tests.games.conditional_cases import pair

D = torch.float64
# How to make a game, numbers that float32 does not have, the number of parameters.
OF_NUMBERS = {
    "gaussian": (lambda a: games.gaussian(a[0], 0.7, "hinge"), [[0.4, -1.1]], 4),
    "gmm_tv": (lambda a: games.gmm_tv(a[0]), [[-0.3, 0.7]], 6),
    "quadratic": (games.quadratic, [[-0.1, 2.3], [-2.3, -0.1]], 2),
}


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_numbers_of_a_game_keep_their_precision(name):
    make, numbers, size = OF_NUMBERS[name]
    given = {"python": numbers, "array": np.array(numbers), "tensor": torch.tensor(numbers, dtype=D)}
    y = torch.linspace(-1.3, 1.1, size, dtype=D)
    fields = {form: odegan.vector_field(make(value))(0.0, y) for form, value in given.items()}
    assert torch.equal(fields["python"], fields["tensor"])
    assert torch.equal(fields["array"], fields["tensor"])
    assert [make(value).init().dtype for value in given.values()] == [torch.float32, D, D]


LIVE = torch.tensor(1.0, requires_grad=True)
# Through these no gradient would flow.
LIVE_NUMBERS = {
    "c": lambda: games.dirac("hinge", c=LIVE),
    "feedback": lambda: games.dirac("hinge", c=1.0, feedback=LIVE),
    "v": lambda: games.gaussian(LIVE.reshape(1), 1.0),
    "sigma": lambda: games.gaussian([1.0], LIVE),
    "mu_star": lambda: games.gmm_tv([LIVE, 2.0]),
    "A": lambda: games.quadratic([[LIVE, 0.0], [0.0, 1.0]]),
    "boundaries": lambda: odegan.schedules.piecewise([0.1, 0.2], [LIVE]),
}


@pytest.mark.parametrize("name", LIVE_NUMBERS)
def test_tensors_through_which_no_gradient_flows_are_refused(name):
    with pytest.raises(odegan.ArgumentError, match=f"^{name}: got '.* that require.? a gradient'; it must be"):
        LIVE_NUMBERS[name]()


def test_a_gradient_flows_through_a_matrix():
    live = torch.tensor([[-0.1, 2.3], [-2.3, -0.1]], dtype=D, requires_grad=True)
    start = torch.tensor([1.0, 2.0], dtype=D)
    field = odegan.vector_field(games.quadratic(live))(0.0, start)
    assert torch.equal(torch.autograd.grad(field.sum(), live)[0], start.expand(2, 2))


@pytest.mark.parametrize("label", [1, np.int64(1), torch.tensor(1), [1, 1, 1], np.array([1, 1, 1])], ids=repr)
def test_classes_to_draw(label):
    made = odegan.gan(*pair(), latent=3)
    y = made.init()
    assert torch.equal(made.sample(y, 3, label=label), made.sample(y, 3, label=torch.tensor([1, 1, 1])))


@pytest.mark.parametrize("seeds", [[4, 1], range(2), np.array([4, 1]), torch.tensor([4, 1])], ids=repr)
def test_seeds_of_members(seeds):
    game = games.bilinear()
    assert torch.equal(game.init(seed=seeds), torch.stack([game.init(seed=int(s)) for s in seeds]))
