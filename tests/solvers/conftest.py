"""Fixtures of the solvers' tests."""

import pytest

from odegan.solvers import table, torchdiffeq_backend


@pytest.fixture(scope="module")
def own_table():
    """What a test module registers is gone after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchdiffeq_backend, "OURS", dict(torchdiffeq_backend.OURS))
        patch.setattr(table, "_registered", dict(table._registered))
        yield
