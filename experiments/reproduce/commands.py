"""The commands behind the pages of results."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import NamedTuple


class Command(NamedTuple):
    """An experiment with the options that choose what it does, and the further options of the published run.

    minutes: of a processor, a rough estimate, by which the time that is left is told.
    """

    experiment: str
    published: str = ""
    minutes: float = 2.0

    def line(self, quick: bool = False) -> str:
        """The command: as published, or its quick form.

        >>> Command("mog16 --compare", "--evaluations 24000").line(quick=True)
        'python -m experiments.mog16 --compare --quick'
        """
        further = "--quick" if quick else self.published
        return shlex.join(shlex.split(f"python -m experiments.{self.experiment} {further}"))


DIGITS = "--solvers euler@0.4 euler@0.2 heun2 rk4_classic alternating adam --seeds 3"
LONG = "--solvers euler@0.2 heun2 rk4_classic alternating adam --seeds 2 --evaluations 60000"
MOG16 = "rk4_classic euler heun2 alternating adam 'no penalty'"
DRIFT = "euler rk4 'rk4 + drift' 'rk4 + own drift' 'rk4 + interaction' 'euler - drift'"

STEPS = "--solvers euler heun2 rk4_classic alternating extragradient adam --step-sizes 0.05 0.1 0.2 0.4 0.8 1.6"
AT_LENGTH = "--seeds 3 --evaluations 6000 --metrics fid --decay 0.99 --trained-below 15 --threads 1"
FASHION = "--seeds 2 --evaluations 10000 --times 25 65 185 --samples 5000 --threads 1"

# docs/results/NAME -> what makes it, within two hours on two cores. The long ones come first, so that both are busy to the end.
COMMANDS: Mapping[str, Command] = {
    "edge": Command("edge", minutes=50),
    "ring8_weights_jare": Command("ring8 --rings jare --weights 0.1 1 10 100 1000", "--compile", 40),
    "mog16": Command(
        "mog16 --compare",
        "--compile --evaluations 24000 --settings rk4_classic euler 'rk4_classic h=0.4' heun2 adam 'no penalty' "
        "'heun2 h=0.2' alternating 'placement field' 'players frozen' 'refresh never' 'placement first_stage' 'refresh stage'",
        30,
    ),
    "ring8": Command("ring8", minutes=20),
    "vanishing_step": Command("vanishing_step", minutes=20),
    "gmm_tv_three": Command("gmm_tv --components 3", "--grid 6 --per-cell 20", 15),
    "images_digits_compared": Command("images compare --preset digits", DIGITS, 10),
    "gmm_tv": Command("gmm_tv", "--full", 8),
    "step_size": Command("step_size", minutes=6),
    "drift": Command("drift", f"--time 240 --every 20 --settings {DRIFT}", 6),
    "dual_flow": Command("dual_flow", minutes=4),
    "gaussian": Command("gaussian", "--full --limit 4000", 4),
    "ring8_question": Command("ring8 --question"),
    "digits": Command("digits", minutes=1),
    "dirac": Command("dirac", "--full", 1),
    "dual_flow_scheme": Command("dual_flow_scheme", minutes=1),
    "rotational": Command("rotational", minutes=1),
}

# The same pages at the authors' own lengths, the long trainings of images, and further rings.
FULL: Mapping[str, Command] = {
    # Some 35 hours of a core, so that it has no page yet.
    "ring8_full": Command("ring8 --full", "--compile", 2100),
    "edge": Command("edge", "--seeds 8 --steps 1600 --moments 8 --batch-size 512", 290),
    "images_digits_steps_generator_gradient": Command(
        "images compare --preset digits", f"{STEPS} --penalties generator_gradient:0.05 {AT_LENGTH}", 200
    ),
    "images_digits_compared_60000": Command("images compare --preset digits", f"{LONG} --compile --threads 1", 180),
    "images_digits_steps_r1": Command("images compare --preset digits", f"{STEPS} --penalties r1:0.1 {AT_LENGTH}", 170),
    "images_digits_steps_none": Command("images compare --preset digits", f"{STEPS} --penalties none {AT_LENGTH}", 130),
    "images_odegan-fashion-small_compared_generator_gradient": Command(
        "images compare --preset odegan-fashion-small",
        f"--solvers euler@0.04 heun2@0.04 rk4_classic@0.04 --penalties generator_gradient:0.02 {FASHION}",
        130,
    ),
    "images_odegan-fashion-small_compared_none": Command(
        "images compare --preset odegan-fashion-small",
        f"--solvers rk4_classic@0.04 alternating@0.04 adam --penalties none {FASHION}",
        105,
    ),
    "mog16_evaluations": Command("mog16 --compare --full --equal evaluations", f"--compile --settings {MOG16}", 100),
    "drift_full": Command("drift", "--compile --time 3000 --every 300 --batch-size 512", 90),
    "images_cgan-fashion-small": Command(
        "images train --preset cgan-fashion-small", "--threads 1 --truncations 0.5 1", 90
    ),
    "ring8_full_jare": Command(
        "ring8 --full --rings jare",
        "--shrink 4 --compile --methods none consensus reg-D1 reg-D2 JARE consensus@10 reg-D1@0.1 reg-D2@0.1 JARE@1",
        90,
    ),
    "images_odegan-fashion-small": Command(
        "images train --preset odegan-fashion-small", "--samples 5000 --threads 1", 30
    ),
    "mog16_time": Command("mog16 --compare --full", "--compile --settings rk4_classic euler heun2 alternating", 30),
    "ring8_jare_narrow_jare_wide": Command(
        "ring8 --rings jare_narrow jare_wide",
        "--compile --methods none consensus@10 reg-D1@0.1 reg-D2@0.1 JARE@1 JARE",
        13,
    ),
    "ring8_clc_grid": Command("ring8 --rings clc_grid", "--compile", 9),
}
