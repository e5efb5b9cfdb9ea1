"""What every test may count on."""

import gc
import signal

import pytest

from odegan.solvers import table, torchdiffeq_backend
from odegan.training import run, single_call, stepper


def pytest_configure() -> None:
    """Ctrl-C as in a terminal: a shell that runs the tests in the background has them ignore it, and their children too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Garbage collections need not look through what the imports made: millions of objects, which stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def no_trial(monkeypatch):
    """Runs without the evaluations by which they try losses and penalties out, for tests that count evaluations."""
    for module in (run, single_call, stepper):
        monkeypatch.setattr(module, "try_out", lambda *arguments: None)
    for module in (run, stepper):
        monkeypatch.setattr(module, "depends", lambda *arguments: False)


@pytest.fixture(scope="module")
def library_solvers():
    """The solvers of the library alone, whatever was registered before; what the module's tests register is gone after them."""
    with pytest.MonkeyPatch.context() as patch:
        ours = {name: cls for name, cls in torchdiffeq_backend.OURS.items() if table.registered_tableau(name) is None}
        patch.setattr(torchdiffeq_backend, "OURS", ours)
        patch.setattr(table, "_registered", {})
        yield
