"""Devices that tests of this folder run on: the CPU, and a CUDA device where there is one."""

import os

import pytest
import torch

# cuBLAS reads it when it starts; without it deterministic products are refused.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

NEEDS_CUDA = pytest.mark.cuda


def pytest_collection_modifyitems(items):
    """Tests of a CUDA device are skipped where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def device(request):
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def whole_float32():
    """Convolutions in float32 rather than TF32, so that results can be compared."""
    # The context manager, since torch's own testing code forbids to set the flag.
    with torch.backends.cudnn.flags(enabled=None, benchmark=None, deterministic=None, allow_tf32=False):
        yield


@pytest.fixture
def deterministic():
    """Deterministic kernels, without which a device does not give the same bits twice."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
