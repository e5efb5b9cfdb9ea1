"""ODE-GAN's mixture of 16 Gaussians, in the authors' setting, with every switch on the command line.

An ensemble of seeds is trained at once for a given number of field evaluations of each member, so that solvers are
compared at equal work; penalties are not counted. With --compare a table of settings is trained in turn. Scores: modes
covered (a mode that holds at least 1 % of the samples within 5 sigma), quality (the share of samples within 5 sigma of a
mode), and the divergence of the mode histogram from uniform in nats.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from tyro.conf import UseAppendAction

from experiments.framework import mixture, runner, solver_options
from experiments.framework.mixture import Trained
from experiments.framework.runner import Folder, Options, SolverOptions
from experiments.framework.solver_options import NONE
from experiments.mog16.figures import comparison_figures, single_figures
from odegan import Game, gan, losses, nets, solvers
from odegan.utils.checks import choose, fail, whole

FULL_STEPS = 30_000


# What each setting of the comparison changes in the options of the command line.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "rk4_classic": {},
    "euler": {"solver": "euler"},
    "heun2": {"solver": "heun2"},
    # As many evaluations a unit of time as Euler's method takes at h = 0.1.
    "rk4_classic h=0.4": {"step_size": 0.4},
    "heun2 h=0.2": {"solver": "heun2", "step_size": 0.2},
    "adam": {"solver": "adam", "step_size": 1e-3, "option": ("betas=0.5,0.999",), "penalty": (NONE,)},
    "alternating": {"solver": "alternating"},
    "no penalty": {"penalty": (NONE,)},
    "optimistic": {"solver": "optimistic"},
    "extragradient": {"solver": "extragradient"},
    "dopri5": {"solver": "dopri5"},
    "players frozen": {"players": "frozen"},
    "placement field": {"placement": "field"},
    "placement first_stage": {"placement": "first_stage"},
    "rk4": {"solver": "rk4"},
    "refresh stage": {"refresh": "stage"},
    "refresh never": {"refresh": "never"},
}


@dataclass
class Mog16(SolverOptions, Options):
    """The mixture of 16 Gaussians, the networks and the length of training."""

    penalty: UseAppendAction[tuple[str, ...]] = ()
    """NAME:WEIGHT[,KEY=VALUE...]; may be repeated. none: no penalty. Left out: the authors' generator_gradient:0.07."""
    seeds: int = 8
    """Members of the ensemble, with seeds --seed, --seed + 1, and so on; each has its own start, data and latents."""
    evaluations: int = 24_000
    """Field evaluations of each member: 6,000 steps of rk4_classic, some minutes on one CPU core with 8 seeds."""
    full: bool = False
    """The authors' 30,000 steps of the chosen solver (120,000 field evaluations of rk4_classic) in place of --evaluations."""
    batch_size: int = 512
    """Samples a minibatch, a multiple of 16: every mode has the same number of them."""
    loss: str = "non_saturating"
    """A name of odegan.losses.names()."""
    reports: int = 20
    """Moments at which the ensemble is scored, evenly spread over the training."""
    samples: int = 5120
    """Samples of each member for a score."""
    compare: bool = False
    """Train a table of settings, each with the same number of field evaluations, and compare them."""
    settings: tuple[str, ...] = tuple(SETTINGS)
    """The settings to compare, with their names in quotation marks; more may be added when a comparison resumes."""
    compile: bool = False
    """Compile a step with torch.compile: slow to start, then faster."""

    free: ClassVar[frozenset[str]] = Options.free | {"settings"}
    own_penalty: ClassVar[tuple[str, ...]] = ("generator_gradient:0.07",)

    def quick_form(self) -> Mog16:
        """Two seeds, a few steps, small minibatches."""
        return replace(self, seeds=2, evaluations=64, full=False, batch_size=32, reports=4, samples=256)

    def check(self) -> None:
        """Refuse wrong switches and lengths."""
        super().check()
        losses.get(self.loss)
        facts = solvers.get(self.solver)
        if facts.adaptive and not facts.one_step:
            fail(
                "solver",
                self.solver,
                "one that a budget of field evaluations can end; this one calls back only at its end",
            )
        for name in ("seeds", "evaluations", "reports", "samples"):
            whole(name, getattr(self, name), low=1)
        for name in self.settings:
            choose("settings", name, SETTINGS)
        if self.batch_size < 16 or self.batch_size % 16:
            fail("batch_size", self.batch_size, "a multiple of 16, one sample or more for every mode")


def run(options: Mog16, folder: Folder) -> list[dict[str, Any]]:
    """One setting, or all of them."""
    game = gan(*nets.mog16(), loss=options.loss)
    if options.compare:
        changed = {name: replace(options, **SETTINGS[name]) for name in options.settings}
        trained = {name: train(one, game, folder, name) for name, one in changed.items()}
        figures = comparison_figures(game, trained)
        folder.facts.update(at_equal_time(trained))
    else:
        trained = {options.solver: train(options, game, folder, options.solver)}
        figures = single_figures(game, trained[options.solver])
    for name, figure in figures.items():
        folder.save(figure, name)
    return [row(name, one) for name, one in trained.items()]


def train(options: Mog16, game: Game, folder: Folder, name: str) -> Trained:
    """Train one setting, or take it from its checkpoint, and log its scores."""
    keywords = options.keywords()
    full = FULL_STEPS * solver_options.evaluations_per_step(keywords)
    start = torch.stack([game.init(seed=options.seed + e) for e in range(options.seeds)]).to(options.device)
    trained = mixture.train(
        game,
        start,
        keywords,
        evaluations=full if options.full else options.evaluations,
        reports=options.reports,
        samples=options.samples,
        checkpoint=folder.checkpoint(re.sub(r"\W+", "_", name)),
        batch_size=options.batch_size,
        seed=options.seed,
        compile=options.compile,
        progress=name if options.progress else False,
    )
    for step, (evaluations, *scores) in enumerate(zip(trained.evaluations, *trained.scores, strict=True)):
        named = dict(zip(trained.scores._fields, scores, strict=True))
        folder.log({"run": name, "step": step, "evaluations": int(evaluations), **named})
    runner.finished(trained.solution)
    return trained


def at_equal_time(trained: Mapping[str, Trained]) -> dict[str, Any]:
    """Scores of the settings that go beyond the time of the first one, when they reach it, beside its own."""
    first = next(iter(trained.values())).solution
    found: dict[str, Any] = {}
    for name, one in trained.items():
        at = int((one.solution.ts - first.t).abs().argmin())
        if abs(float(one.solution.ts[at]) - first.t) < 1e-6 and (one.solution is first or one.solution.t > first.t):
            found[f"modes covered at t = {first.t:g}, {name}"] = mixture.spread(one.scores.modes_covered[at])
            found[f"quality at t = {first.t:g}, {name}"] = mixture.spread(one.scores.quality[at])
    return found


def row(name: str, trained: Trained) -> dict[str, Any]:
    """Means and standard deviations over the members at the end; one that diverged counts with nothing covered."""
    covered, quality, kl = (mixture.spread(part[-1]) for part in trained.scores)
    return {
        "setting": name,
        "modes covered": covered,
        "quality": quality,
        "histogram KL": kl,
        "diverged": f"{int(trained.diverged.sum())} of {len(trained.diverged)}",
        "evaluations": int(trained.evaluations[-1]),
        "time t": trained.solution.t,
        "seconds": round(trained.seconds, 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(Mog16, run, argv)


if __name__ == "__main__":
    sys.exit(main())
