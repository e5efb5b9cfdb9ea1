"""What is measured on a device, as a table: each row's peers, and the ratios that have goals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Peer(NamedTuple):
    """factory: "module:function" of the package ``benchmarks``, with its keywords."""

    factory: str
    keywords: Mapping[str, Any]


class Ratio(NamedTuple):
    """what: in words; the time of a unit by ``above`` over that by ``below``; goal: of the ratio, at least or at most."""

    what: str
    above: str
    below: str
    goal: float | None
    at_least: bool = True


@dataclass(frozen=True)
class Row:
    """unit: what is counted; alike: peers whose outcomes are compared with the first one's."""

    case: str
    unit: str
    peers: Mapping[str, Peer]
    ratios: tuple[Ratio, ...]
    alike: tuple[str, ...] = ()


EAGER = "odegan eager"
COMPILED = "odegan compiled"
HAND = "by hand, eager"
SCAN = "JAX scan"
VMAP = "JAX vmap"
ADAM = "alternating Adam by hand, eager"
HALVES = "odegan compiled, bf16"
HALVES_LAST = "odegan compiled, bf16 and channels_last"
FEW = "10 of largest modulus"
FIELD = "field, eager"


def rows(device: str, tiny: bool) -> dict[str, Row]:
    """The rows by name; tiny: sizes whose numbers mean nothing, and a backend that compiles in no time."""
    backend = "aot_eager" if tiny else "inductor"
    members = (2, 3) if tiny else (64, 1024)
    table = {"mog16": _mog16(device, backend, (2, 4) if tiny else (16, 512))}
    table |= {f"ensemble of {n}": _ensemble(device, backend, n, 2 if tiny else max(32, 8192 // n)) for n in members}
    images = {"case": "digits" if tiny else "dcgan32", "batch": 4 if tiny else 64, "device": device}
    steps = 2 if tiny else 16
    table |= {
        "heun": _heun(images, backend, steps),
        "evaluation": _evaluation(images, backend, steps),
        "half precision": _half_precision(images, backend, steps),
        "spectrum": _spectrum({"width": 17 if tiny else 701, "batch": 64, "device": device}),
    }
    return table


def _mog16(device: str, backend: str, steps: tuple[int, int]) -> Row:
    """steps: of a call in eager mode, and of one that is compiled."""
    eager = {"steps": steps[0], "device": device}
    peers = {
        COMPILED: Peer("peer_odegan:mog16", eager | {"steps": steps[1], "compile": backend}),
        EAGER: Peer("peer_odegan:mog16", eager),
        HAND: Peer("peer_torch:mog16", eager),
        SCAN: Peer("peer_jax:mog16", {"steps": steps[1]}),
    }
    ratios = (
        Ratio("speed of odegan compiled over JAX scan", SCAN, COMPILED, 1.0),
        Ratio("speed of odegan compiled over by hand", HAND, COMPILED, 30.0),
        Ratio("speed of odegan eager over by hand", HAND, EAGER, None),
    )
    return Row("mixture of 16 Gaussians, batch 512, RK4", "steps", peers, ratios, alike=tuple(peers))


def _ensemble(device: str, backend: str, members: int, steps: int) -> Row:
    here = {"steps": steps, "members": members}
    peers = {
        COMPILED: Peer("peer_odegan:mog16", here | {"compile": backend, "device": device}),
        VMAP: Peer("peer_jax:mog16", here),
    }
    ratios = (Ratio("speed of odegan compiled over JAX vmap", VMAP, COMPILED, 1.25),)
    case = f"mixture of 16 Gaussians, batch 512, RK4, {members} members"
    return Row(case, "member-steps", peers, ratios, alike=tuple(peers))


def _heun(images: Mapping[str, Any], backend: str, steps: int) -> Row:
    penalized = {**images, "steps": steps, "solver": "heun2"}
    ours = penalized | {"penalty": "generator_gradient:0.02"}
    peers = {
        COMPILED: Peer("peer_odegan:training", ours | {"compile": backend}),
        EAGER: Peer("peer_odegan:training", ours),
        HAND: Peer("peer_torch:by_hand", penalized | {"penalty": 0.02}),
    }
    ratios = (
        Ratio("speed of odegan compiled over by hand", HAND, COMPILED, 3.0),
        Ratio("speed of odegan eager over by hand", HAND, EAGER, None),
    )
    # The compiled one's outcome would be compiled once more.
    return Row(_named(images, "Heun with penalty"), "steps", peers, ratios, alike=(EAGER, HAND))


def _evaluation(images: Mapping[str, Any], backend: str, steps: int) -> Row:
    """Euler's method evaluates the field once a step, everything else included."""
    ours = {**images, "steps": steps, "solver": "euler"}
    peers = {
        COMPILED: Peer("peer_odegan:training", ours | {"compile": backend}),
        EAGER: Peer("peer_odegan:training", ours),
        ADAM: Peer("peer_torch:training", {**images, "steps": steps}),
    }
    ratios = (
        Ratio("time of an evaluation, compiled, over a step of both players by Adam", COMPILED, ADAM, 1 / 3, False),
        Ratio("time of an evaluation, eager, over a step of both players by Adam", EAGER, ADAM, None),
    )
    return Row(_named(images, "one field evaluation"), "evaluations", peers, ratios)


def _half_precision(images: Mapping[str, Any], backend: str, steps: int) -> Row:
    ours = {**images, "steps": steps, "solver": "heun2", "compile": backend}
    peers = {
        COMPILED: Peer("peer_odegan:training", ours),
        HALVES: Peer("peer_odegan:training", ours | {"half": True}),
        HALVES_LAST: Peer("peer_odegan:training", ours | {"half": True, "channels_last": True}),
    }
    ratios = (
        Ratio("speed with bf16 over float32", COMPILED, HALVES, 1.0),
        Ratio("speed with bf16 and channels_last over float32", COMPILED, HALVES_LAST, 1.0),
    )
    return Row(_named(images, "Heun"), "steps", peers, ratios)


def _spectrum(connected: Mapping[str, Any]) -> Row:
    peers = {
        FEW: Peer("peer_odegan:spectrum", connected),
        FIELD: Peer("peer_odegan:connected_field", connected),
    }
    ratios = (Ratio("time of 10 eigenvalues in field evaluations", FEW, FIELD, 300.0, False),)
    return Row(f"networks of width {connected['width']}", "spectra or evaluations", peers, ratios)


def _named(images: Mapping[str, Any], what: str) -> str:
    return f"{images['case']} pair, batch {images['batch']}, {what}"
