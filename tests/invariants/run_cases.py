"""Short runs for properties of whole tables."""

import math

from hypothesis import strategies as st

import odegan
from tests.peers import ADAPTIVE, always
from tests.strategies import (
    closed_form,
    dtypes,
    networks,
)

ORDER = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4, "rk4_classic": 4, "ralston": 2}
LOOSE = ("adaptive_heun", "fehlberg2", "bosh3")


def still(dtype=dtypes):
    """Games without buffers that move between steps, for what is done again by hand."""
    return st.one_of(closed_form(dtype), networks(dtype, norms=("none", "layer")))


def sizes(solver, h, intervals=False):
    """The step size of a fixed-step solver, or the refresh interval of an adaptive one."""
    return {"step_size": h} if solver not in ADAPTIVE else {"refresh": h} if intervals else {}


def given_data(example, intervals=True):
    """The arguments of a run in which every minibatch is the example's."""
    return always(tuple(example.batch)) | ({} if intervals else {"refresh": math.inf}) if example.batch else {}


def run(example, t=(0.0, 0.5), y0=None, **arguments):
    start = example.y if y0 is None else y0
    return odegan.odeint_gan(example.game, start, t, **({"on_nonfinite": "stop"} | arguments))
