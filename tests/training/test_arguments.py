"""The arguments that runs and steppers share."""

import inspect

import odegan
from odegan.training.arguments import DEFAULTS, Arguments


def test_a_run_and_a_stepper_have_the_same_arguments_and_defaults():
    parameters = inspect.signature(odegan.odeint_gan).parameters
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS
    assert set(DEFAULTS) == set(Arguments.__annotations__)
