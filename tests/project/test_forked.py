"""Programs of the tests that run in forked processes end as they would in an interpreter of their own."""

import signal

import pytest

from tests import forked

ENDS = {
    "a return": ("print('printed')", 0, "printed\n", ""),
    "an exception": ("print('printed'); raise ValueError('wrong')", 1, "printed\n", "ValueError: wrong"),
    "a failed assertion": ("assert 1 == 2", 1, "", "AssertionError"),
    "an exit code": ("import sys; print('printed'); sys.exit(3)", 3, "printed\n", ""),
    "an exit with a text": ("import sys; sys.exit('wrong')", 1, "", "wrong"),
    "an import that is not there": ("import not_there", 1, "", "No module named 'not_there'"),
    "a syntax error": ("def", 1, "", "SyntaxError"),
    "a signal": ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, "", ""),
}


@pytest.mark.parametrize("code, returncode, printed, said", ENDS.values(), ids=ENDS)
def test_every_end_shows(code, returncode, printed, said):
    done = forked.run("-c", code)
    assert (done.returncode, done.stdout) == (returncode, printed)
    assert said in done.stderr
    assert bool(said) == bool(done.stderr)


def test_a_program_that_takes_too_long_is_killed():
    process = forked.Python("-c", "import time; print('started', flush=True); time.sleep(600)")
    assert process.rest(timeout=0.5).strip() in ("", "started")
    assert process.wait() == -signal.SIGKILL


def test_a_script_and_a_module(tmp_path):
    (tmp_path / "own.py").write_text("import sys; print(__name__, sys.argv[1:]); sys.exit(4)")
    for words in ([tmp_path / "own.py"], ["-m", "own"]):
        done = forked.run(*words, "a word", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (4, "__main__ ['a word']\n"), done.stderr
