"""How many calls within the library one eager interval takes, and how deep the first vector-Jacobian product lies."""

import collections
import math
import sys
from pathlib import Path

import torch

import odegan
from odegan.nets import MLP
from odegan.training import run

LIBRARY = str(Path(odegan.__file__).parent)
MOST_CALLS = 130  # of an interval; it was 228 when games, fields and runs were layers of wrappers
MOST_FRAMES = 9  # from odeint_gan to Game.gradients, both included


def counted(intervals: int):
    """(calls within the library, frames from odeint_gan to Game.gradients at the shallowest) of a run of so many intervals."""
    calls = collections.Counter()
    depths = []

    def note(frame, event, argument):
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(LIBRARY):
            return
        calls[code.co_qualname] += 1
        if code.co_qualname == "Game.gradients":
            depths.append(depth(frame))

    torch.manual_seed(0)
    game = odegan.gan(MLP((8, 32, 2)), MLP((2, 32, 1)))
    run = {"data": torch.randn(512, 2), "batch_size": 64, "solver": "heun2", "step_size": 0.1}
    run |= {"penalties": [odegan.penalties.generator_gradient(0.05)], "placement": "after_step"}
    y0 = game.init(0)
    sys.setprofile(note)
    try:
        odegan.odeint_gan(game, y0, [0.0, 0.1 * intervals], **run)
    finally:
        sys.setprofile(None)
    return sum(calls.values()), min(d for d in depths if d)


def depth(frame) -> int:
    """How many frames of the library lie between a frame and that of odeint_gan, both included; 0 outside of a run's steps."""
    found = 0
    while frame is not None:
        if frame.f_code.co_filename.startswith(LIBRARY):
            found += 1
            if frame.f_code.co_name == "check_pure":
                return 0  # the trial before the run
            if frame.f_code.co_name == "odeint_gan":
                return found
        frame = frame.f_back
    return 0


def test_an_eager_interval_takes_few_calls(monkeypatch):
    monkeypatch.setattr(run, "SHORTEST_TIME", math.inf)  # segments grow on a slow machine too
    counted(2)  # what is made once
    few = counted(20)[0]
    many = counted(84)[0]
    assert (many - few) / 64 <= MOST_CALLS


def test_the_first_gradients_are_near():
    assert counted(20)[1] <= MOST_FRAMES
