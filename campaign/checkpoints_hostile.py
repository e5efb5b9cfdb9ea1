"""Files that are no checkpoints: with code hidden in them in every form that a reader may unpickle, and foreign ones."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from campaign.checkpoints_run import run
from odegan.utils import checkpoint


# What would run, if it were unpickled: name -> (canary's path -> object). Each makes the canary.
class Calls:
    """An object that runs function(*arguments) when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Awakes:
    """A class of the program's own, which acts when its state is set."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __setstate__(self, state: dict[str, str]) -> None:
        Path(state["canary"]).touch()


EVIL: dict[str, Callable[[Path], Any]] = {
    "os.system": lambda canary: Calls(os.system, f"touch {canary}"),
    "builtins.eval": lambda canary: Calls(eval, f"open({str(canary)!r}, 'w').close()"),
    "builtins.exec": lambda canary: Calls(exec, f"open({str(canary)!r}, 'w').close()"),
    "subprocess.call": lambda canary: Calls(subprocess.call, ["touch", str(canary)]),
    "Path.touch": lambda canary: Calls(Path.touch, Path(canary)),
    "a class with __setstate__": Awakes,
}


# Where it is hidden: name -> (how it is written, how an incautious reader would read it).
class Form(NamedTuple):
    write: Callable[[Path, Any], Any]
    fire: Callable[[Path], Any]


def _torch(path: Path) -> Any:
    return torch.load(path, weights_only=False)


def _payload(evil: Any) -> dict[str, Any]:
    return {"odegan_checkpoint": checkpoint.VERSION, "y": evil}


def _in_a_whole_checkpoint(path: Path, evil: Any) -> None:
    run(checkpoint_path=path, stop=2)
    payload = torch.load(path, weights_only=True)
    payload["aux"]["memory"]["first"] = evil
    torch.save(payload, path)


def _by_hand(path: Path, evil: Any) -> None:
    """A zip with the members that torch writes, whose data.pkl is another's."""
    buffer = io.BytesIO()
    torch.save({}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            new.writestr(member, pickle.dumps(_payload(evil), 2) if member.endswith("data.pkl") else old.read(member))


FORMS: dict[str, Form] = {
    "a pickle of protocol 0": Form(
        lambda p, evil: p.write_bytes(pickle.dumps(_payload(evil), 0)), lambda p: pickle.loads(p.read_bytes())
    ),
    "a pickle of protocol 5": Form(
        lambda p, evil: p.write_bytes(pickle.dumps(_payload(evil), 5)), lambda p: pickle.loads(p.read_bytes())
    ),
    "a compressed pickle": Form(
        lambda p, evil: p.write_bytes(gzip.compress(pickle.dumps(_payload(evil)))),
        lambda p: pickle.loads(gzip.decompress(p.read_bytes())),
    ),
    "torch.save": Form(lambda p, evil: torch.save(_payload(evil), p), _torch),
    "torch.save, old format": Form(
        lambda p, evil: torch.save(_payload(evil), p, _use_new_zipfile_serialization=False), _torch
    ),
    "another's data.pkl in torch's zip": Form(_by_hand, _torch),
    "a part of a whole checkpoint": Form(_in_a_whole_checkpoint, _torch),
    "a NumPy array of objects": Form(lambda p, evil: _numpy(np.save, p, evil), lambda p: np.load(p, allow_pickle=True)),
    "a NumPy archive of objects": Form(
        lambda p, evil: _numpy(np.savez, p, evil), lambda p: np.load(p, allow_pickle=True)["arr_0"]
    ),
}


def _numpy(save: Callable[..., Any], path: Path, evil: Any) -> None:
    held = np.empty(1, dtype=object)
    held[0] = evil
    with open(path, "wb") as file:
        save(file, held)


def _zip_of(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)


# Files that hold no code, and are no checkpoints of this version.
FOREIGN: dict[str, Callable[[Path], Any]] = {
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_text("theta = 1\n"),
    "an empty zip": lambda p: zipfile.ZipFile(p, "w").close(),
    "a document's zip": lambda p: _zip_of(p, "word/document.xml", b"<xml/>"),
    "a zip with a text for data.pkl": lambda p: _zip_of(p, "archive/data.pkl", b"hello"),
    "a state dict": lambda p: torch.save(nn.Linear(2, 2).state_dict(), p),
    "a module": lambda p: torch.save(nn.Linear(2, 2), p),
    "a tensor": lambda p: torch.save(torch.ones(3), p),
    "nested lists": lambda p: torch.save(_nested(200), p),
    **{
        f"version {name}": lambda p, version=version: torch.save({"odegan_checkpoint": version}, p)
        for name, version in {
            "0": 0,
            "1000": 1000,
            "10^30": 10**30,
            "-1": -1,
            "as text": str(checkpoint.VERSION),
            "as a fraction": float(checkpoint.VERSION),
            "True": True,
            "None": None,
            "as a tensor": torch.ones(1),
            "as a table": torch.zeros(3, 3),
            "as a list": [1],
        }.items()
    },
}


def _nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found
