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


def test_there_are_many():
    assert len(TESTS) > 35


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTS)
def test_many_examples(name):
    outcome = examine(TESTS[name], 100)
    assert outcome.failure == ""
    assert outcome.held >= 25  # where fewer examples exist, all of them
