"""Modes, defaults and generators that a program may have around a run: name -> context manager."""

import contextlib
import decimal
import gc
import locale
import os
import random
import sys
import warnings

import numpy as np
import torch
from torch._subclasses import FakeTensorMode
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


class OwnFunctionMode(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class OwnDispatchMode(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def setting(change, value, back):
    """``change(value)``, and ``change(back)`` at the end."""
    change(value)
    try:
        yield
    finally:
        change(back)


def cudnn(**flags):
    """cuDNN's flags for a while; torch's own testing code forbids to set them otherwise."""
    return torch.backends.cudnn.flags(**{"enabled": None, "benchmark": None, "deterministic": None} | flags)


@contextlib.contextmanager
def environment(name, value):
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})


@contextlib.contextmanager
def seeded(seed):
    torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)
    yield


@contextlib.contextmanager
def warnings_as(action):
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        yield


def together(*contexts):
    @contextlib.contextmanager
    def all_of_them():
        with contextlib.ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context())
            yield

    return all_of_them


def default_dtype(dtype):
    return lambda: setting(torch.set_default_dtype, dtype, torch.float32)


def autocast(dtype, **more):
    return lambda: torch.autocast("cpu", dtype, **more)


AMBIENT = {
    "inference_mode": torch.inference_mode,
    "inference_mode off": lambda: torch.inference_mode(False),
    "no_grad": torch.no_grad,
    "enable_grad": torch.enable_grad,
    "grad off in grad on": together(torch.enable_grad, torch.no_grad),
    "grad on in inference": together(torch.inference_mode, torch.enable_grad),
    "inference in no_grad": together(torch.no_grad, torch.inference_mode),
    **{f"default dtype {d}": default_dtype(d) for d in (torch.float64, torch.bfloat16, torch.float16)},
    "default device meta": lambda: setting(torch.set_default_device, "meta", None),
    "default device cpu": lambda: setting(torch.set_default_device, "cpu", None),
    "within torch.device(meta)": lambda: torch.device("meta"),
    "within torch.device(cpu)": lambda: torch.device("cpu"),
    **{f"threads {n}": lambda n=n: setting(torch.set_num_threads, n, 1) for n in (1, 2, 3)},
    "deterministic": lambda: setting(torch.use_deterministic_algorithms, True, False),
    "deterministic, cudnn": lambda: cudnn(deterministic=True),
    "cudnn benchmark": lambda: cudnn(benchmark=True),
    "cudnn off": lambda: torch.backends.cudnn.flags(enabled=False),
    "mkldnn off": lambda: torch.backends.mkldnn.flags(enabled=False),
    "matmul precision": lambda: setting(torch.set_float32_matmul_precision, "high", "highest"),
    "flush denormals": lambda: setting(torch.set_flush_denormal, True, False),
    "autocast bfloat16": autocast(torch.bfloat16),
    "autocast float16": autocast(torch.float16),
    "autocast without cache": autocast(torch.bfloat16, cache_enabled=False),
    "autocast off": autocast(torch.bfloat16, enabled=False),
    "autocast in inference": together(torch.inference_mode, autocast(torch.bfloat16)),
    "autocast in float64": together(default_dtype(torch.float64), autocast(torch.bfloat16)),
    "anomalies": torch.autograd.detect_anomaly,
    "anomalies, no check": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "one backward thread": lambda: torch.autograd.set_multithreading_enabled(False),
    "saved tensors on the CPU": torch.autograd.graph.save_on_cpu,
    "saved tensors packed": lambda: torch.autograd.graph.saved_tensors_hooks(lambda x: x.clone(), lambda x: x),
    "saved tensors in halves": lambda: torch.autograd.graph.saved_tensors_hooks(
        lambda x: x.half(), lambda x: x.float()
    ),
    "cached parametrizations": parametrize.cached,
    "forward-mode level": torch.autograd.forward_ad.dual_level,
    "profiler": lambda: torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]),
    "function mode": OwnFunctionMode,
    "dispatch mode": OwnDispatchMode,
    "fake tensors": FakeTensorMode,
    "sdpa math": lambda: torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    "compiler stance": lambda: torch.compiler.set_stance("force_eager"),
    "fork_rng": torch.random.fork_rng,
    **{f"seeds {s}": lambda s=s: seeded(s) for s in (1, 2, 12345)},
    "numpy raises": lambda: np.errstate(all="raise"),
    "numpy ignores": lambda: np.errstate(all="ignore"),
    "numpy prints 1 digit": lambda: np.printoptions(precision=1, threshold=1),
    "torch prints 1 digit": lambda: setting(lambda n: torch.set_printoptions(precision=n, threshold=5), 1, 4),
    **{f"warnings {a}": lambda a=a: warnings_as(a) for a in ("error", "ignore", "always")},
    "locale C": lambda: setting(lambda name: locale.setlocale(locale.LC_ALL, name), "C", ""),
    "decimal context": lambda: decimal.localcontext(decimal.Context(prec=3)),
    "no garbage collection": lambda: setting(lambda on: gc.enable() if on else gc.disable(), False, True),
    "recursion limit": lambda: setting(sys.setrecursionlimit, 600, sys.getrecursionlimit()),
    "switch interval": lambda: setting(sys.setswitchinterval, 1e-4, sys.getswitchinterval()),
    "tracing": lambda: setting(sys.settrace, lambda *_: None, None),
    "profiling": lambda: setting(sys.setprofile, lambda *_: None, None),
    "umask": lambda: setting(os.umask, 0o077, 0o022),
    "time zone": lambda: environment("TZ", "Asia/Kathmandu"),
    "hash seed": lambda: environment("PYTHONHASHSEED", "7"),
    "omp threads": lambda: environment("OMP_NUM_THREADS", "2"),
    "everything": together(
        torch.inference_mode,
        default_dtype(torch.float64),
        autocast(torch.bfloat16),
        lambda: torch.device("meta"),
        lambda: seeded(5),
    ),
}
REFUSED = {"fake tensors"}
