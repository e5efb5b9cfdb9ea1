"""The same properties on many more examples; the commands in ``campaign`` count them for the documentation."""

import pytest

from campaign import divergence
from campaign.counted import examine
from campaign.properties import MODULES, properties

TESTS = {
    f"{area}: {test.__name__}": test
    for area, module in (MODULES | divergence.MODULES).items()
    for test in properties(module)
}
# Fewer examples where one takes seconds: near a pole an adaptive solver goes through thousands of rejected steps.
FEWER = {
    "analysis: test_the_spectrum_is_that_of_the_dense_jacobian": 40,
    "divergence: test_a_field_that_breaks_under_scipy": 40,
    "divergence: test_a_solution_that_blows_up_under_adaptive_steps": 30,
}


def test_there_are_many():
    assert len(TESTS) > 35
    assert FEWER.keys() <= TESTS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTS)
def test_many_examples(name):
    outcome = examine(TESTS[name], FEWER.get(name, 100))
    assert outcome.failure == ""
    assert outcome.held >= 25  # where fewer examples exist, all of them
