"""What every test may count on."""

import signal


def pytest_configure() -> None:
    """Ctrl-C as in a terminal: a shell that runs the tests in the background has them ignore it, and their children too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
