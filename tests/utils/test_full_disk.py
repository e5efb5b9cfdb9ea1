"""A disk that is full while a checkpoint is written: one clear line, and what was saved before is as it was."""

import subprocess
import textwrap

import pytest
import torch

from odegan.utils import checkpoint
from tests import forked

SAVE = """
    import resource, signal, sys
    import torch
    from odegan.utils import checkpoint

    path, limit = sys.argv[1], int(sys.argv[2])
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    checkpoint.save(path, {"x": torch.zeros(100)})
    try:
        checkpoint.save(path, {"x": torch.ones(100_000)})
    except OSError as error:
        print(error)
"""


@pytest.fixture(params=["largest file", "tmpfs"])
def small(request, tmp_path):
    """A folder in which little can be written, and the limit on a file's size that does it, if that is how."""
    if request.param == "largest file":
        yield tmp_path, 64 * 1024
        return
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs takes rights that are not given here")
    yield tmp_path, 0
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_nothing_saved_is_harmed(small):
    folder, limit = small
    path = folder / "run.pt"
    done = forked.run("-c", textwrap.dedent(SAVE), path, limit)
    assert done.returncode == 0, done.stderr
    said = done.stdout.strip()
    assert said.startswith(f"checkpoint: {str(path)!r} could not be written (")
    assert ("No space left" if limit == 0 else "File too large") in said
    assert "\n" not in said
    assert torch.equal(checkpoint.load(path)["x"], torch.zeros(100))
    assert [p.name for p in folder.iterdir()] == ["run.pt"]
