"""The vanishing step: how training sequences tend to the flow as the step goes to zero, without and with minibatch noise.

Sup distances to a reference flow against the step, for Runge-Kutta methods and minimizing movements, on an exact game and on a
small network GAN with fixed data; mean square deviations of minibatch ensembles from the noiseless sequence and from the flow,
against the step and the batch size; the shift of the field that a penalty on minibatch norms makes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from experiments.framework import runner
from experiments.framework.folder import Folder, Row
from experiments.vanishing_step.deterministic import reference, without_noise
from experiments.vanishing_step.figures import Panel, side_by_side
from experiments.vanishing_step.findings import BATCH, SQUARE, STEP
from experiments.vanishing_step.noise import against_step_and_batch, fixed_refresh, fresh_stages, from_the_flow
from experiments.vanishing_step.options import VanishingStep
from experiments.vanishing_step.problems import gaussian, network
from experiments.vanishing_step.shifts import penalty_shifts


def run(options: VanishingStep, folder: Folder) -> list[Row]:
    """Both games without noise and against h and B; the other parts on the Gaussian alone."""
    first = gaussian(options.device)
    problems = (first, network(options.device, options.seed))
    flows = {problem.name: reference(problem, options) for problem in problems}
    quiet = [without_noise(problem, flows[problem.name], options, folder) for problem in problems]
    noisy = [against_step_and_batch(problem, options, folder) for problem in problems]
    stages = fresh_stages(first, options, folder)
    refresh = fixed_refresh(first, options, folder)
    shifts = penalty_shifts(first, options, folder)
    total = from_the_flow(first, flows[first.name], options, folder)
    over_h, over_b = zip(*(series for series, _ in noisy), strict=True)
    about = f"Euler, {options.members} runs"
    noise = [
        Panel(f"{about}, B = {options.batch_size}", STEP, SQUARE, over_h),
        Panel(f"{about}, h = {options.time / options.noise_steps:.4g}", BATCH, SQUARE, over_b),
    ]
    folder.save(side_by_side([finding.panel for finding in quiet]), "deterministic")
    folder.save(side_by_side(noise), "noise")
    folder.save(side_by_side([stages.panel, refresh.panel]), "refresh")
    folder.save(side_by_side([total.panel, shifts.panel]), "bias")
    return [line for _, rows in [*quiet, *noisy, stages, refresh, shifts, total] for line in rows]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(VanishingStep, run, argv)


if __name__ == "__main__":
    sys.exit(main())
