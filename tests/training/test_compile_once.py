"""``compile=``: one compilation for each shape, kept for other processes."""

import json
import math
import os
import subprocess
import sys

import pytest
import torch

import odegan
from tests.peers import ADAPTIVE, compiles
from tests.training.compile_cases import MADE, POOL, H, counted, simple, starts

pytestmark = compiles


@pytest.fixture(autouse=True)
def forget_compiled_code():
    yield
    torch.compiler.reset()


ONCE = {
    "one": (starts(simple(), 0), {"step_size": H, "t": [0.0, 0.05, 1.03]}),
    "ensemble": (starts(simple(), 1), {"step_size": H, "t": [0.0, 1.03]}),
    "changing step size": (starts(simple(), 0), {"step_size": lambda t: 0.1 / (1 + t)}),
    "copies of one start": (starts(simple(), 0).expand(3, -1), {"step_size": H}),
    "transposed": (starts(simple(), 1).T, {"step_size": H, "solver": "adam"}),
    "adaptive": (starts(simple(), 0), {"solver": "dopri5", "refresh": 0.1}),
    "adaptive, one call": (starts(simple(), 1), {"solver": "bosh3", "refresh": math.inf, "rtol": 1e-9}),
}


@pytest.mark.parametrize("case", ONCE)
def test_compiled_once(case):
    y0, given = ONCE[case]
    solution = counted(simple(), y0, **given)
    assert solution.stats["steps"] > 3
    assert solution.stats["compiled"]
    # Of an adaptive solver the field, for the start, and an attempted step.
    assert len(MADE) == (2 if given.get("solver") in ADAPTIVE else 1)


def test_once_for_each_of_more_shapes_than_torch_recompiles():
    MADE.clear()
    stepper = odegan.Stepper(simple(), solver="euler", step_size=H, compile="odegan_counts")
    state = stepper.init(starts(stepper.game, 0))
    for size in [*range(1, 11), *range(1, 11)]:  # torch gives a code object 8
        state, _ = stepper.step(state, (POOL[:size], POOL[:size]))
    assert len(MADE) == 10
    assert stepper.compiler.works


def test_more_steppers_than_torch_recompiles():
    for i in range(10):
        stepper = odegan.Stepper(
            odegan.games.bilinear(), solver="euler", step_size=0.5, rates=(1.0, 1.0 + i), compile="eager", refresh=0.5
        )
        state, _ = stepper.step(stepper.init(torch.tensor([1.0, 0.0])))
        assert state.y[1] == pytest.approx(0.5 * (1 + i))
        assert stepper.compiler.works


# What another process finds.
PROCESS = """
import json, torch, odegan
from torch._dynamo.utils import counters
solution = odegan.odeint_gan(
    odegan.games.bilinear(), torch.tensor([1.0, 0.5]), [0.0, 1.0], solver="heun2", step_size=0.1, refresh=0.5, compile=True
)
found = counters["inductor"]
print(json.dumps([found["fxgraph_cache_hit"], found["fxgraph_cache_miss"], solution.stats["compiled"], solution.y.tolist()]))
"""


@pytest.mark.slow
def test_kept_for_other_processes(tmp_path):
    surroundings = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    command = [sys.executable, "-c", PROCESS]
    runs = [json.loads(subprocess.check_output(command, env=surroundings, text=True)) for _ in range(2)]
    assert [run[:3] for run in runs] == [[0, 1, True], [1, 0, True]]
    assert runs[0][3] == runs[1][3]
