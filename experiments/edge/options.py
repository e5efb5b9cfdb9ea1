"""The command line of the edge-of-stability experiment, and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch

from experiments.edge.problems import DIGITS, FASHION
from experiments.framework.options import Options
from odegan import penalties
from odegan.penalties import Penalty
from odegan.utils.checks import argument_error, check_int, choose

PENALTY = "generator_gradient:0.07"  # the authors', on the mixture


class Setting(NamedTuple):
    """How to train: solver, step or learning rate, penalty (None: without), samples per minibatch (None: as many as it is
    linearized on), whether they are fresh at every step, and the name of the problem.
    """

    solver: str
    step_size: float = 0.2
    penalty: str | None = PENALTY
    batch_size: int | None = None
    fresh: bool = True
    problem: str = "mixture"

    @property
    def penalties(self) -> list[Penalty]:
        """The penalty in a list, or an empty one."""
        return [] if self.penalty is None else [penalties.parse(self.penalty)]


def _digits(solver: str, step_size: float, penalty: str | None = DIGITS.penalty[0]) -> Setting:
    """A setting on the digits, with the batch size and, unless another is given, the penalty of their preset."""
    return Setting(solver, step_size, penalty, DIGITS.batch_size, problem="digits")


def _fashion(solver: str, step_size: float) -> Setting:
    """A setting on Fashion-MNIST, with the batch size of its small preset, and its penalty in the field."""
    return Setting(solver, step_size, FASHION.penalty[0], FASHION.batch_size, problem="fashion")


SETTINGS: Mapping[str, Setting] = {
    "euler": Setting("euler"),
    "heun2": Setting("heun2"),
    "rk4_classic": Setting("rk4_classic"),
    "extragradient": Setting("extragradient"),
    "euler, no penalty": Setting("euler", penalty=None),
    "rk4_classic, no penalty": Setting("rk4_classic", penalty=None),
    # Weights of our own choice.
    "euler, r1": Setting("euler", penalty="r1:0.1"),
    "euler, jare": Setting("euler", penalty="jare:0.1"),
    "euler, batches of 64": Setting("euler", batch_size=64),
    "euler, one batch": Setting("euler", fresh=False),
    "rmsprop, no penalty": Setting("rmsprop", 1e-3, None),
    "adam, no penalty": Setting("adam", 1e-3, None),
    "digits, euler, h = 0.2": _digits("euler", 0.2),
    "digits, euler, h = 0.1": _digits("euler", 0.1),
    "digits, rk4_classic, h = 0.4": _digits("rk4_classic", 0.4),
    "digits, euler, h = 0.1, no penalty": _digits("euler", 0.1, None),
    "digits, adam, no penalty": _digits("adam", 1e-3, None),
    # The preset's step, here from the start (the preset begins with 0.01), and one twice as long.
    "fashion, euler, h = 0.04": _fashion("euler", 0.04),
    "fashion, euler, h = 0.08": _fashion("euler", 0.08),
}
# On Fashion-MNIST, one linearization takes minutes.
DEFAULT = tuple(name for name, setting in SETTINGS.items() if setting.problem != "fashion")


@dataclass
class Edge(Options):
    """The mixture of 16 Gaussians, the digits and Fashion-MNIST, and where their fields are linearized."""

    settings: tuple[str, ...] = DEFAULT
    """Settings to train, with names in quotation marks, by default all but those on Fashion-MNIST, which take hours; you may
    add more when resuming."""
    seeds: int = 3
    """Members of each ensemble, with seeds --seed, --seed + 1, and so on."""
    steps: int = 800
    """Steps of each training: on the mixture t = 160 with steps of 0.2."""
    moments: int = 4
    """Number of equally spaced times after the start at which the field is linearized."""
    batch_size: int = 256
    """Samples of the minibatch that it is linearized on (of digits at most 64, of Fashion-MNIST 16, as many as they are trained
    on), and of those of the training where a setting does not say otherwise; a multiple of 16."""
    k: int = 4
    """Number of eigenvalues to compute of largest modulus, and again of largest imaginary part."""

    free: ClassVar[frozenset[str]] = Options.free | {"settings"}

    def name(self, experiment: str) -> str:
        """Runs on Fashion-MNIST alone have a folder and a page of their own."""
        alone = {SETTINGS[name].problem for name in self.settings} == {"fashion"}
        return f"{experiment}_fashion" if alone else experiment

    @property
    def counts(self) -> torch.Tensor:
        """The moments, in steps."""
        return torch.linspace(0, self.steps, self.moments + 1).round().double()

    def quick_form(self) -> Edge:
        """Two seeds, a few steps, three settings."""
        chosen = ("euler, one batch", "rmsprop, no penalty", "digits, adam, no penalty")
        return replace(self, settings=chosen, seeds=2, steps=2, moments=1, batch_size=32, k=2)

    def check(self) -> None:
        """Refuse lengths and settings that there are not."""
        for name in ("seeds", "steps", "moments", "k"):
            check_int(name, getattr(self, name), low=1)
        if self.moments > self.steps:
            argument_error("moments", self.moments, f"at most the number of steps, {self.steps}")
        for name in self.settings:
            choose("settings", name, SETTINGS)
        if len({SETTINGS[name].problem == "fashion" for name in self.settings}) > 1:
            argument_error("settings", self.settings, "all on Fashion-MNIST or none, as those have a page of their own")
        if self.batch_size < 16 or self.batch_size % 16:
            argument_error("batch_size", self.batch_size, "a multiple of 16, one sample or more for every mode")
