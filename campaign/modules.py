"""Every layer of torch.nn as generator and as critic: exact, or refused in one line.

    python -m campaign.modules --docs docs

writes the table of them into docs/modules.md; exit code 1 where one is neither.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import softplus

import odegan
from campaign.module_layers import DTYPE, WIDTH, Around, Layer, layers, names
from experiments.framework import programs
from experiments.framework.tables import of_cells
from odegan.modules.validate import RAISED, reason
from odegan.utils.checks import choose

Tensor = torch.Tensor
BATCH = 3
WEIGHT = 0.3
TOLERANCE = 1e-9  # of the largest entry, for what is computed in two ways
DIFFERENCE = 1e-5  # for derivatives by central differences
PENALTIES = {
    "generator_gradient": odegan.penalties.generator_gradient(WEIGHT),
    "jare": odegan.penalties.jare(WEIGHT),
    "r1": odegan.penalties.r1(WEIGHT),
}


class NotFiniteError(Exception):
    """What is compared with has no finite numbers: an input of the database outside of what its layer is for."""


class Result(NamedTuple):
    """What became of a check: "exact", or why it was refused."""

    check: str
    outcome: str


class Pair(NamedTuple):
    """A generator, a critic, and a minibatch."""

    generator: nn.Module
    critic: nn.Module
    batch: tuple[Tensor, Tensor]


def pair(layer: Layer, role: str) -> Pair:
    """The layer in one role, against a small network in the other."""
    torch.manual_seed(1)
    other = nn.Sequential(nn.Linear(WIDTH, 3), nn.Tanh(), nn.Linear(3, 1 if role == "generator" else WIDTH)).to(DTYPE)
    own = Around(layer, WIDTH if role == "generator" else 1)
    batch = (torch.randn(BATCH, WIDTH, dtype=DTYPE), torch.randn(BATCH, WIDTH, dtype=DTYPE))
    return Pair(own, other, batch) if role == "generator" else Pair(other, own, batch)


@sdpa_kernel(SDPBackend.MATH)  # the only attention of torch's that has a second derivative
def by_hand(networks: Pair, penalty: str | None) -> Tensor:
    """The field by torch.autograd on the plain modules; non-saturating."""
    generator, critic, (real, latent) = networks
    theta_d = list(critic.parameters())
    theta_g = list(generator.parameters())
    real = real.clone().requires_grad_()
    on_real = critic(real).squeeze(-1)
    on_fake = critic(generator(latent)).squeeze(-1)
    loss_d = softplus(-on_real).mean() + softplus(on_fake).mean()
    loss_g = softplus(-on_fake).mean()
    # Only where a penalty needs them: some layers have no second derivative in torch.
    grads_g = [] if penalty in (None, "r1") else _gradients(loss_g, theta_g)
    if penalty == "generator_gradient":
        loss_d = loss_d + WEIGHT * sum((g**2).sum() for g in grads_g)
    if penalty == "jare":
        grads_d = _gradients(loss_d, theta_d)
        loss_d = loss_d + WEIGHT / 2 * sum((g**2).sum() for g in grads_g)
        loss_g = loss_g + WEIGHT / 2 * sum((g**2).sum() for g in grads_d)
    if penalty == "r1":
        slopes = _gradients(on_real.sum(), [real])[0]
        loss_d = loss_d + WEIGHT / 2 * (slopes**2).sum(1).mean()
    parts = [*_gradients(loss_d, theta_d, keep=False), *_gradients(loss_g, theta_g, keep=False)]
    return -torch.cat([part.detach().reshape(-1) for part in parts])


def _gradients(loss: Tensor, wanted: Sequence[Tensor], keep: bool = True) -> list[Tensor]:
    return list(torch.autograd.grad(loss, wanted, create_graph=keep, retain_graph=True, materialize_grads=True))


def checks(layer: Layer, role: str, compiled: bool) -> Iterator[Result]:
    """All checks of one construction in one role.

    Raises:
        AssertionError: a number that is wrong.
    """
    networks = pair(layer, role)
    try:
        game = odegan.gan(networks.generator, networks.critic, latent=WIDTH)
        game = game.prepared(game.init(), networks.batch)
    except odegan.ArgumentError as error:
        yield Result("field", f"refused: {_single(error)}")
        return
    y = game.init()
    batch = networks.batch
    tried: dict[str, Callable[[], None]] = {
        "field": lambda: agree(_field(game, y, batch, None), by_hand(networks, None), TOLERANCE)
    }
    for name in PENALTIES:
        tried[name] = lambda name=name: agree(_field(game, y, batch, name), by_hand(networks, name), TOLERANCE)
    tried["Jacobian"] = lambda: _jacobian(game, y, batch, None)
    tried["penalized Jacobian"] = lambda: _jacobian(game, y, batch, "generator_gradient")
    tried["ensemble"] = lambda: _ensemble(game, y, batch)
    tried["checkpointed"] = lambda: _checkpointed(networks, y, batch)
    if compiled:
        tried["compiled"] = lambda: _compiled(networks, game, y, batch)
    for name, check in tried.items():
        try:
            check()
        except odegan.ArgumentError as error:
            yield Result(name, f"refused: {_single(error)}")
        except NotFiniteError:
            yield Result(name, "not finite by torch.autograd either")
        except RAISED as error:
            if isinstance(error, AssertionError):
                raise AssertionError(f"{layer.name} ({layer.description}) as {role}, {name}: {error}") from error
            yield Result(name, f"torch cannot: {reason(error)}")
        else:
            yield Result(name, "exact")


def agree(a: Tensor, b: Tensor, relative: float, rounding: float = 0.0) -> None:
    """Refuse two results that differ by more than ``rounding`` and that part of the largest entry."""
    if not b.isfinite().all():
        raise NotFiniteError
    error = ((a - b).abs().max() - rounding) / (b.abs().max() + 1e-12)
    assert bool(error <= relative), f"relative error {float(error):.1e}"


def _field(game: odegan.Game, y: Tensor, batch: tuple[Tensor, Tensor], penalty: str | None) -> Tensor:
    with torch.no_grad():
        return odegan.vector_field(game, [PENALTIES[penalty]] if penalty else [])(0.0, y, batch)


def _jacobian(game: odegan.Game, y: Tensor, batch: tuple[Tensor, Tensor], penalty: str | None) -> None:
    """<w, J v> for random w and v: by torch.func, and by differences of the field."""
    field = odegan.vector_field(game, [PENALTIES[penalty]] if penalty else [])
    draw = torch.Generator().manual_seed(2)
    v, w = torch.randn(2, len(y), generator=draw, dtype=DTYPE)
    exact = torch.func.vjp(lambda own: field(0.0, own, batch), y)[1](w)[0] @ v
    step = 1e-5 / v.norm()
    ends = [_field(game, y + sign * step * v, batch, penalty) for sign in (1, -1)]
    # A loss that sums weighs thousands of times as much as its derivative along v.
    rounding = torch.finfo(DTYPE).eps * float(w.norm() * ends[0].norm() / step)
    agree(exact, w @ (ends[0] - ends[1]) / (2 * step), DIFFERENCE, rounding)


def _ensemble(game: odegan.Game, y: Tensor, batch: tuple[Tensor, Tensor]) -> None:
    members = torch.stack([y, 0.9 * y])
    for name in (None, "generator_gradient"):
        field = odegan.vector_field(game, [PENALTIES[name]] if name else [])
        mapped = torch.vmap(lambda own, field=field: field(0.0, own, batch))(members)
        agree(mapped, torch.stack([_field(game, own, batch, name) for own in members]), TOLERANCE)


def _checkpointed(networks: Pair, y: Tensor, batch: tuple[Tensor, Tensor]) -> None:
    game = odegan.gan(networks.generator, networks.critic, latent=WIDTH, checkpointing=True)
    agree(_field(game, y, batch, "jare"), by_hand(networks, "jare"), TOLERANCE)


def _compiled(networks: Pair, game: odegan.Game, y: Tensor, batch: tuple[Tensor, Tensor]) -> None:
    field = odegan.vector_field(game, [PENALTIES["generator_gradient"]])
    with torch.no_grad():
        value = torch.compile(lambda own: field(0.0, own, batch), backend="aot_eager", fullgraph=True, dynamic=False)(y)
    torch._dynamo.reset()
    agree(value, by_hand(networks, "generator_gradient"), TOLERANCE)


def _single(error: Exception) -> str:
    text = str(error)
    assert "\n" not in text, f"more than one line: {text}"
    return text


def results(name: str, role: str, constructions: int | None, compiled: bool = False) -> list[Result]:
    """The checks of one class in one role, of so many constructions at most, spread evenly, or of all."""
    found = list(layers(name))
    every = math.ceil(len(found) / (constructions or len(found)))
    return [result for layer in found[::every] for result in checks(layer, role, compiled)]


def row(name: str, role: str, found: Sequence[Result]) -> list[str]:
    """A line of the page: the class, its role, constructions tried, checks that agreed, and the others with their reasons."""
    exact = sum(result.outcome == "exact" for result in found)
    others: dict[str, list[str]] = {}
    for result in found:
        if result.outcome != "exact" and result.check not in others.setdefault(result.outcome, []):
            others[result.outcome].append(result.check)
    reasons = (f"{', '.join(checks)}: {outcome}" for outcome, checks in others.items())
    tried = len({result.check for result in found})
    return [f"`{name}`", role, f"{exact} of {len(found)}", str(tried), "; ".join(reasons) or "-"]


def merged(rows: Sequence[list[str]]) -> list[list[str]]:
    """The lines of the page, with one line for a class whose two roles agree."""
    lines: list[list[str]] = []
    for one in rows:
        if lines and [lines[-1][0], *lines[-1][2:]] == [one[0], *one[2:]]:
            lines[-1][1] += f", {one[1]}"
        else:
            lines.append(list(one))
    return lines


PAGE = """# Which layers are exact

Every layer of `torch.nn` in torch's own database of modules (`torch.testing._internal.common_modules.module_db`), with the
inputs that come with it, as part of a generator and of a critic, in float64. We check

- the field, alone and with `generator_gradient`, `jare` and `r1`, against `torch.autograd` on the plain modules: to
  {tolerance:g} of its largest entry;
- the Jacobian of the field, alone and with `generator_gradient`, which takes third derivatives, against central differences:
  to {difference:g};
- two members under `torch.vmap` against each alone;
- the field with `gan(checkpointing=True)`{compiled}.

"Checks" is the number of kinds of checks, and "exact" counts those that agreed, over {constructions} of each class. For the
others, the last column gives the reason: "refused" quotes odegan's error; "torch cannot" means that torch lacks a derivative or
cannot map the layer. Written by `python -m campaign.modules --docs docs`.

{rows}
"""


@dataclass
class Modules:
    """Which layers, and where to write."""

    docs: Path | None = None
    """The folder of the pages; by default nothing is written."""
    constructions: int = 2
    """At most so many of each class, spread evenly; 0: all."""
    compile: bool = False
    """Compile the field of every construction too."""
    only: tuple[str, ...] = ()
    """These classes alone; by default all."""

    def check(self) -> None:
        """Refuse unknown classes."""
        for name in self.only:
            choose("only", name, names())


def run(options: Modules) -> int:
    """Check the layers, and write the page; 1 where one is wrong."""
    rows = []
    failed = 0
    for name in options.only or names():
        for role in ("generator", "critic"):
            try:
                rows.append(row(name, role, results(name, role, options.constructions or None, options.compile)))
            except AssertionError as error:
                failed += 1
                rows.append([f"`{name}`", role, "-", "-", f"WRONG: {error}"])
            print(" ".join(rows[-1]), flush=True)
    if options.docs:
        text = PAGE.format(
            tolerance=TOLERANCE,
            difference=DIFFERENCE,
            constructions=f"at most {options.constructions} constructions"
            if options.constructions
            else "all constructions",
            compiled=", and compiled" if options.compile else "",
            rows=of_cells([["layer", "as", "exact", "checks", "otherwise"], *merged(rows)]),
        )
        (options.docs / "modules.md").write_text(text)
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command line's exit code."""
    return programs.main(Modules, run, "python -m campaign.modules", __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
