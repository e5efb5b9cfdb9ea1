"""Checkpoints are data: malicious, damaged and foreign files, each refused in one line with nothing executed, and counted.

    python -m campaign.checkpoints --files 300 --docs docs
    python -m campaign.checkpoints --fixture tests/utils/checkpoints    # a file of the present format, and what it resumes to

Exit code 1, and a line for each, where a file was not refused, or something in it ran.
"""

from __future__ import annotations

import copy
import gzip
import io
import itertools
import json
import os
import pickle
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import odegan
from campaign.counted import SEED, write
from experiments.framework import programs
from experiments.framework.results import Row
from experiments.framework.tables import aligned
from odegan.utils import checkpoint
from odegan.utils.checks import check_int

REFUSED, SAME, RAN = "refused", "read as it was", "SOMETHING IN IT RAN"


# What would run, if it were unpickled: name -> (canary's path -> object). Each makes the canary.
class Calls:
    """Unpickles to function(*arguments)."""

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


# A run whose every number is a small fraction, so that its checkpoint is the same on every machine.
def run(checkpoint_path: Path | None = None, stop: int | None = None) -> odegan.Solution:
    """Sixteen Adam steps on minibatches of twelve points, or the first ``stop`` of them."""
    generator, discriminator = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    game = odegan.gan(generator.double(), discriminator.double())
    y0 = (torch.arange(game.n_params, dtype=torch.float64) % 7 - 3) / 8
    data = (torch.arange(24, dtype=torch.float64) % 11).reshape(12, 2) / 8
    left = [stop or 0]

    def callback(state: Any, info: Any) -> bool:
        left[0] -= 1
        return left[0] == 0

    t = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    return odegan.odeint_gan(
        game,
        y0,
        t,
        data=data,
        batch_size=5,
        solver="adam",
        step_size=1 / 16,
        penalties=[odegan.penalties.generator_gradient(0.0625)],
        checkpoint=checkpoint_path,
        callback=callback,
    )


def outcome(path: Path, whole: odegan.Solution, canary: Path | None = None) -> str:
    """What came of resuming from a file: ``REFUSED`` in one line, ``SAME`` as the run without it, or a description."""
    found = _resumed(path, whole)
    return RAN if canary is not None and canary.exists() else found


def _resumed(path: Path, whole: odegan.Solution) -> str:
    try:
        solution = run(path)
    except odegan.ArgumentError as error:
        return REFUSED if re.fullmatch(r"[a-z_0-9]+: got .*", str(error)) else f"a bad message: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return SAME if torch.equal(solution.ys, whole.ys) else "another result"


# Damage to a whole file, as functions of (its bytes, random source).
def truncated(content: bytes, source: random.Random) -> bytes:
    """Cut off at a random length."""
    return content[: source.randrange(len(content))]


def flipped(content: bytes, source: random.Random) -> bytes:
    """One bit flipped."""
    place = source.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << source.randrange(8))]) + content[place + 1 :]


def overwritten(content: bytes, source: random.Random) -> bytes:
    """A stretch of it replaced by random bytes."""
    place, length = source.randrange(len(content)), source.randrange(1, 64)
    return content[:place] + source.randbytes(length) + content[place + length :]


def lengthened(content: bytes, source: random.Random) -> bytes:
    """Random bytes behind it."""
    return content + source.randbytes(source.randrange(1, 200))


DAMAGE = {
    "cut off": truncated,
    "one bit flipped": flipped,
    "a stretch overwritten": overwritten,
    "bytes behind": lengthened,
}


def mangled(payload: dict[str, Any], source: random.Random) -> dict[str, Any]:
    """A checkpoint of which one part, wherever it lies, is missing or of another kind."""
    found = copy.deepcopy(payload)
    holder, key = source.choice(list(_places(found)))
    if isinstance(holder, dict) and source.random() < 0.3:
        del holder[key]
    else:
        holder[key] = source.choice([None, "x", [], {}, torch.zeros(2, 3), torch.tensor(True)])
    return found


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key) of a tree of dicts and lists, but the version."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        if key != "odegan_checkpoint":
            yield tree, key
            if isinstance(tree[key], dict | list):
                yield from _places(tree[key])


# The campaign.
def crafted(folder: Path, whole: odegan.Solution) -> Iterator[tuple[str, str]]:
    """(form, outcome) of every evil in every form; each file is fired afterwards, to see that it would have worked."""
    for form_name, form in FORMS.items():
        for evil_name, evil in EVIL.items():
            path, canary = folder / "run.pt", folder / "canary"
            form.write(path, evil(canary))
            found = outcome(path, whole, canary)
            form.fire(path)
            if not canary.exists():
                found = f"{evil_name} does nothing even where it is unpickled"
            canary.unlink(missing_ok=True)
            path.unlink()
            yield f"code in {form_name}", found


def foreign(folder: Path, whole: odegan.Solution) -> Iterator[tuple[str, str]]:
    """("foreign", outcome) of every file that is none of ours."""
    for make in FOREIGN.values():
        make(folder / "run.pt")
        yield "foreign files and versions", outcome(folder / "run.pt", whole)
        (folder / "run.pt").unlink()


def damaged(folder: Path, whole: odegan.Solution, files: int) -> Iterator[tuple[str, str]]:
    """(kind, outcome) of so many random damages of each kind to a checkpoint of a run under way."""
    path, source = folder / "run.pt", random.Random(SEED)
    run(path, stop=6)
    content, payload = path.read_bytes(), torch.load(path, weights_only=True)
    for kind, damage in DAMAGE.items():
        for _ in range(files):
            path.write_bytes(damage(content, source))
            yield kind, outcome(path, whole)
    for _ in range(files):
        torch.save(mangled(payload, source), path)
        yield "a part missing or of another kind", outcome(path, whole)
    path.unlink()


def make_fixture(folder: Path) -> None:
    """A checkpoint of the present version, of the sixth step of ``run``, and the states that it goes on to."""
    name = f"checkpoint_version_{checkpoint.VERSION}"
    path = folder / f"{name}.pt"
    path.unlink(missing_ok=True)
    run(path, stop=6)
    (folder / f"{name}.json").write_text(json.dumps({"ys": run().ys.tolist()}) + "\n")


@dataclass
class Damage:
    """What to do."""

    files: int = 300
    """Of each kind of random damage."""
    docs: Path | None = None
    """The documentation folder to write the table into."""
    fixture: Path | None = None
    """Only write the checkpoint file of this version into this folder."""

    def check(self) -> None:
        """Refuse no files."""
        check_int("files", self.files, low=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Try all of them; write the table."""
    return programs.main(Damage, try_all, "python -m campaign.checkpoints", __doc__, argv)


def try_all(options: Damage) -> int:
    """Count what becomes of every file, by kind; 1 where one was read in part or raised something else."""
    if options.fixture:
        make_fixture(options.fixture)
        return 0
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uninterrupted = run()
        outcomes = itertools.chain(
            crafted(folder, uninterrupted),
            foreign(folder, uninterrupted),
            damaged(folder, uninterrupted, options.files),
        )
        for kind, found in outcomes:
            counts.setdefault(kind, Counter())[found] += 1
    rows = [_row(kind, found) for kind, found in counts.items()]
    rows.append(_row("all", sum(counts.values(), Counter())))
    bad = [f"{kind}: {what}" for kind, found in counts.items() for what in found if what not in (REFUSED, SAME)]
    print(aligned(rows), *bad, sep="\n")
    if options.docs:
        write(options.docs, "checkpoints", f"python -m campaign.checkpoints --files {options.files} --docs docs", rows)
    return 1 if bad else 0


def _row(kind: str, found: Counter[str]) -> Row:
    other = found.total() - found[REFUSED] - found[SAME]
    return {
        "what the file is": kind,
        "files": found.total(),
        REFUSED: found[REFUSED],
        SAME: found[SAME],
        "anything else": other,
    }


if __name__ == "__main__":
    sys.exit(main())
