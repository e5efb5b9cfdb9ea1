"""Micro-batches: the field of the whole batch, to rounding, at the memory of a part."""

import pytest
import torch
from torch import nn

import odegan
from odegan import penalties
from odegan.field.microbatch import MicrobatchedField
from odegan.field.training_field import TrainingField
from odegan.games.batch import Batch
from tests.field.microbatch_cases import BATCH, CASES, data, game, run
from tests.peers import compiles


@pytest.mark.parametrize("name", CASES)
def test_micro_batches_give_the_whole_batchs_trajectory(name):
    whole = run(name)
    divided = run(name, micro_batch=BATCH // 2)
    assert torch.allclose(whole.ys, divided.ys, rtol=0, atol=1e-12)
    assert whole.stats["nfe"] == divided.stats["nfe"]
    # Adaptive steps end where the error estimate says, whose rounding is larger than the state's.
    assert torch.allclose(*(torch.as_tensor(s.stats["losses"]) for s in (whole, divided)), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["heun2, jare", "heun2, jare unbiased"])
def test_a_micro_batch_may_have_fewer_samples_than_there_are_chunks(name):
    whole = run(name)
    divided = run(name, micro_batch=2)
    torch.testing.assert_close(divided.ys, whole.ys, rtol=0, atol=1e-12)


def test_the_parts_own_norms_would_be_wrong():
    """What the test above must be able to see: mean_r ||g_r||^2 is not ||mean_r g_r||^2."""
    g = game()
    y = g.init()
    batch = (data()[:BATCH], torch.randn(BATCH, 2, dtype=torch.float64))
    field = odegan.vector_field(g, [penalties.jare(0.5)])
    halves = [field(0.0, y, tuple(x[part] for x in batch)) for part in (slice(0, 4), slice(4, 8))]
    assert (torch.stack(halves).mean(0) - field(0.0, y, batch)).abs().max() > 1e-4


def test_a_whole_batch_is_one_micro_batch():
    """To rounding: a batch in parts takes what penalties are functions of first, a whole one on its way."""
    assert torch.allclose(run("heun2, jare").y, run("heun2, jare", micro_batch=BATCH).y, rtol=0, atol=1e-13)


@pytest.mark.parametrize("penalized", [False, True])
def test_the_parts_of_the_field_are_the_whole_batchs(penalized):
    g = game()
    y = g.init()
    batch = Batch(data()[:BATCH], torch.randn(BATCH, 2, dtype=torch.float64))
    whole = TrainingField(g, [penalties.jare(0.5)], penalized=penalized)
    divided = MicrobatchedField(whole, BATCH // 2, None, lambda function: function)
    for name in ("__call__", "field_and_penalty"):
        for a, b in zip(getattr(divided, name)(0.0, y, batch), getattr(whole, name)(0.0, y, batch), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@compiles
@pytest.mark.slow
def test_compiled():
    name = "heun2, generator_gradient"
    assert torch.allclose(run(name).y, run(name, micro_batch=4, compile="aot_eager").y, rtol=0, atol=1e-12)


def test_gradients_flow_through_micro_batches():
    """d/dy0 of a trajectory, where the penalties' means are held constant in one derivative but not in the other."""
    g = game()

    def loss(y0, **more):
        kept = y0.clone().requires_grad_()
        penalty = [penalties.jare(0.5)]
        end = odegan.odeint_gan(
            g, kept, torch.tensor([0.0, 0.3]), data=data(), batch_size=8, step_size=0.1, penalties=penalty, **more
        )
        return torch.autograd.grad((end.y**2).sum(), kept)[0]

    assert torch.allclose(loss(g.init()), loss(g.init(), micro_batch=2), rtol=0, atol=1e-11)


def normalized():
    g = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    return odegan.gan(g.double(), nn.Linear(2, 1).double(), latent=2)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"micro_batch": 3}, "micro_batch: got 3; it must be a divisor of the batch that a process has, 8"),
        ({"micro_batch": 0}, "micro_batch: got 0"),
        ({"micro_batch": 4, "penalties": [penalties.truncation_error(1.0, 0.1)]}, "penalty truncation_error"),
        ({"micro_batch": 4, "penalties": [penalties.drift_cancellation(0.1)]}, "penalty drift_cancellation"),
        (
            {"micro_batch": 2, "penalties": [penalties.jare(1.0, chunks=2)]},
            "chunks: got 2; it must be a multiple of the 4",
        ),
        ({"micro_batch": 4, "data": None, "batch_size": None}, "micro_batch"),
        ({"distributed": True}, "distributed: got True without a process group"),
        ({"distributed": 2}, "distributed: got 2; it must be True or False"),
    ],
)
def test_refusals(change, sentence):
    g = game()
    arguments = {"data": data(), "batch_size": 8, "solver": "euler", "step_size": 0.1} | change
    with pytest.raises(odegan.ArgumentError) as error:
        odegan.odeint_gan(g, g.init(), torch.tensor([0.0, 0.1]), **arguments)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_batch_normalization_is_refused():
    g = normalized()
    with pytest.raises(
        odegan.ArgumentError,
        match="micro_batch: got it with the game 'gan', in which the samples of a batch see each other",
    ):
        odegan.odeint_gan(
            g,
            g.init(),
            torch.tensor([0.0, 0.1]),
            data=data(),
            batch_size=8,
            micro_batch=4,
            solver="euler",
            step_size=0.1,
        )


def test_a_stepper_too():
    g = game()
    batch = odegan.Batch(data()[:8], torch.randn(8, 2, dtype=torch.float64))
    ends = []
    for more in ({}, {"micro_batch": 2}):
        stepper = odegan.Stepper(g, solver="rk4", step_size=0.1, penalties=[penalties.generator_gradient(0.3)], **more)
        ends.append(stepper.step(stepper.init(g.init()), batch)[0].y)
    assert torch.allclose(*ends, rtol=0, atol=1e-13)
