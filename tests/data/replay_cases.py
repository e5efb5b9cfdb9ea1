"""A small run with replay buffers."""

import odegan
from odegan import penalties
from odegan.games.batch import Batch
from tests.peers import draw, networks

B = 4
CAPACITY = 3
POOL = draw(64)[0]
PENALTY = penalties.closed_loop(0.5, buffer=CAPACITY)
RUN = {"data": POOL, "latent": 3, "batch_size": B, "solver": "euler", "step_size": 0.1, "penalties": [PENALTY]}


def game():
    return odegan.gan(*networks())


def batches(n):
    """Every real sample and latent is another."""
    return [Batch(*draw(B, seed=100 + i)) for i in range(n)]
