"""Networks whose label may be left out: labels that they could take are not dropped in silence."""

import warnings

import pytest
import torch

import odegan
from tests.games.conditional_cases import CLASSES, Optional

SAMPLES = torch.zeros(9, 2)
CLASS = torch.arange(9) % CLASSES
ITEMS = list(zip(SAMPLES, CLASS.tolist(), strict=True))
# Data, ``conditional``, and whether a line says that there are labels.
CASES = {
    "a table": ((SAMPLES, CLASS), None, True),
    "a data set": (ITEMS, None, True),
    "no labels": (SAMPLES, None, False),
    "labels that are not wanted": (ITEMS, False, False),
}


@pytest.mark.parametrize("data, conditional, said", CASES.values(), ids=CASES)
def test_a_run_says_so(data, conditional, said):
    made = odegan.gan(Optional(3, 2), Optional(2, 1), conditional=conditional)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        odegan.odeint_gan(made, made.init(), steps=1, data=data, batch_size=3, solver="euler", step_size=0.1)
    assert [str(one.message).partition(" with ")[0] for one in caught] == ["conditional: got None"] * said


def test_a_stepper_of_modules_says_so_too():
    stepper = odegan.ModuleStepper(Optional(3, 2), Optional(2, 1), solver="euler", step_size=0.1)
    with pytest.warns(UserWarning, match="^conditional: got None"):
        stepper.step(SAMPLES[:3], torch.randn(3, 3), CLASS[:3])
