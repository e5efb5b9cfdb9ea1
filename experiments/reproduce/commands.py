"""The commands behind the pages of results."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import NamedTuple


class Command(NamedTuple):
    """An experiment with the options that choose what it does, and the further options of the published run."""

    experiment: str
    published: str = ""

    def line(self, quick: bool = False) -> str:
        """The command: as published, or its quick form.

        >>> Command("mog16 --compare", "--evaluations 24000").line(quick=True)
        'python -m experiments.mog16 --compare --quick'
        """
        further = "--quick" if quick else self.published
        return shlex.join(shlex.split(f"python -m experiments.{self.experiment} {further}"))


# docs/results/NAME -> the command that makes it. The long ones come first, so that both cores are busy to the end.
COMMANDS: Mapping[str, Command] = {
    "images_odegan-fashion-small": Command(
        "images train --preset odegan-fashion-small", "--minutes 78 --threads 1 --save-every 50"
    ),
    "images_cgan-fashion-small": Command(
        "images train --preset cgan-fashion-small", "--minutes 62 --threads 1 --save-every 50"
    ),
    "images_digits_steps": Command(
        "images compare --preset digits",
        "--solvers euler heun2 rk4_classic alternating extragradient adam --step-sizes 0.2 0.4 0.8 1.6 "
        "--penalties none generator_gradient:0.05 r1:0.1 --seeds 1 --evaluations 400 --reports 4 --metrics fid --decay 0.99 "
        "--trained-below 15 --threads 1",
    ),
    "mog16": Command(
        "mog16 --compare",
        "--compile --evaluations 24000 --settings rk4_classic euler 'rk4_classic h=0.4' heun2 adam 'no penalty' "
        "'heun2 h=0.2' alternating 'placement field' 'players frozen' 'refresh never' 'placement first_stage' 'refresh stage'",
    ),
    "images_digits_compared": Command(
        "images compare --preset digits", "--solvers euler@0.4 euler@0.2 heun2 rk4_classic alternating adam --seeds 3"
    ),
    "gmm_tv": Command("gmm_tv", "--full"),
    "ring8": Command("ring8"),
    "dual_flow": Command("dual_flow"),
    "step_size": Command("step_size"),
    "gaussian": Command("gaussian", "--full --limit 4000"),
    "ring8_question": Command("ring8 --question"),
    "vanishing_step": Command("vanishing_step"),
    "digits": Command("digits"),
    "dirac": Command("dirac", "--full"),
    "dual_flow_scheme": Command("dual_flow_scheme"),
    "rotational": Command("rotational"),
}
