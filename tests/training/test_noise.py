"""The uniform numbers of a batch, which penalties read: a pure function of seed and index."""

import math
from dataclasses import replace

import pytest
import torch

import odegan
from odegan import penalties
from tests.data.replay_cases import RUN, B, batches, game

D = torch.float64


# Noise, which takes the same way.
def test_noise_is_pure_in_seed_and_index():
    stepper = odegan.Stepper(game(), solver="heun2", step_size=0.1, refresh="stage", penalties=[penalties.wgan_gp(1.0)])
    state = stepper.init(game().init(), seed=2)
    given = batches(2)

    def noise(index, seeds=2):
        moved = state._replace(aux=state.aux | {"index": index, "seeds": seeds})
        return [
            stepper.events.completed(batch, moved.y, moved.aux, 0.0, stage).noise for stage, batch in enumerate(given)
        ]

    drawn = torch.cat([torch.cat(noise(i)) for i in range(50)])
    assert drawn.shape == (400,)
    assert drawn.dtype == D
    assert len(set(drawn.tolist())) == 400
    assert 0 <= drawn.min() < drawn.max() < 1
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(noise(7)[1], noise(7)[1])
    assert not torch.equal(noise(7)[1], noise(7, 3)[1])
    own = replace(given[0], noise=torch.ones(B, dtype=D))
    assert stepper.events.completed(own, state.y, state.aux, 0.0) is own


def test_a_fixed_minibatch_keeps_its_noise():
    """refresh=inf: one smooth field, so that one call of torchdiffeq integrates it."""
    arguments = RUN | {"penalties": [penalties.wgan_gp(1.0)], "refresh": math.inf, "solver": "rk4"}
    fine = [
        odegan.odeint_gan(game(), game().init(), [0.0, 0.8], **arguments | {"step_size": h}).y for h in (0.05, 0.025)
    ]
    torch.testing.assert_close(*fine, rtol=1e-5, atol=1e-5)
    after = odegan.odeint_gan(
        game(), game().init(), [0.0, 0.8], **arguments | {"placement": "after_step", "step_size": 0.004}
    ).y
    torch.testing.assert_close(after, fine[1], rtol=1e-2, atol=1e-3)
