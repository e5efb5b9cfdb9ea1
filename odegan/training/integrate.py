"""``odeint_gan``: integrate a game's training field over given times."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from odegan.data.given import Data, Latent
from odegan.field.training_field import Penalty
from odegan.games.game import Game
from odegan.solvers.rates import Rates
from odegan.training import hooks, single_call
from odegan.training.arguments import parse
from odegan.training.combinations import check_combination
from odegan.training.gradients import named_by_run, needs_graph, start_of
from odegan.training.identity import check_same, identify
from odegan.training.options import Options, StepSize, Tolerance, check_length
from odegan.training.report_times import report_times
from odegan.training.run import Run
from odegan.training.run_data import RunData
from odegan.training.saved_state import RESUME
from odegan.training.solution import Solution
from odegan.training.state import Callbacks, check_state
from odegan.training.stepper import Stepper
from odegan.training.time_grid import to_float
from odegan.utils.ambient import refuse_derivatives, unaffected_run
from odegan.utils.checkpoint import FilePath
from odegan.utils.checks import ArgumentError, argument_error, check_arity, check_int, check_number, choose
from odegan.utils.fingerprint import Fingerprint
from odegan.utils.keywords import keywords
from odegan.utils.random_streams import member_seeds
from odegan.utils.recompute import HIDDEN

ON_NONFINITE = ("raise", "stop")


@keywords()
@unaffected_run
def odeint_gan(
    game: Game,
    y0: torch.Tensor,
    t: torch.Tensor | Sequence[float] | None = None,
    *,
    steps: int | None = None,
    report_every: int | None = None,
    data: Data | None = None,
    latent: Latent = None,
    batch_size: int | None = None,
    solver: str = "rk4",
    step_size: StepSize | None = None,
    refresh: float | str | None = None,
    rates: Rates = (1.0, 1.0),
    penalties: Sequence[Penalty] = (),
    placement: str = "field",
    players: str = "joint",
    rtol: Tolerance = 1e-4,
    atol: Tolerance = 1e-6,
    options: dict[str, Any] | None = None,
    clip: float | None = None,
    seed: int | Sequence[int] = 0,
    compile: bool | str = False,
    micro_batch: int | None = None,
    distributed: bool = False,
    workers: int = 0,
    fake_labels: str = "independent",
    progress: bool | str = False,
    callback: Callbacks = None,
    checkpoint: FilePath | None = None,
    checkpoint_every: float = 30.0,
    checkpoint_steps: int | None = None,
    fingerprint: object = None,
    resume: str = "same",
    on_nonfinite: str = "raise",
) -> Solution:
    """Integrate y' = f(t, y), the training field of ``game``, from y0 and report the states at the times t.

    If the players are joint, the penalties act in the field, and there are no data or refresh=math.inf, this is a single call
    of torchdiffeq's solver over all of t, and the result is torchdiffeq's own. Otherwise the run advances by refresh intervals,
    with the solver's own steps and a fixed minibatch in each interval (adaptive solvers carry their step size over to the next
    interval and evaluate nothing outside the present one).

    Args:
        game: from ``gan``, ``odegan.games`` or ``Game``.
        y0: (P,) floating point; (E, P) for an ensemble of E members, each with its own minibatches. Everything runs on its
            device, in its dtype.
        t: (T,) increasing; the times to report. Reporting never changes a trajectory: states between steps are
            interpolated as torchdiffeq does (options={"interp": "cubic"} for better than linear).
        steps: instead of t, the number of refresh intervals from t = 0. A refresh interval is one solver step, unless
            refresh is a finite number; ``sol.stats["steps"]`` always counts solver steps.
        report_every: with steps, the number of them between reports; the end is always reported. Default: only the end.
        data: a tensor or array (N, ...), also of 8-bit levels; a map-style Dataset; a DataLoader; or a function (n, generator)
            -> (n, ...). Class-conditional games take a tuple (samples, labels (N,)), a Dataset of (sample, label), or a
            function that returns (samples, labels).
        latent: dimension or shape of N(0, I), or such a function; default: the input size of the generator's first layer.
        batch_size: B; default: all of the data.
        solver: a name of ``odegan.solvers.names()``.
        step_size: step size of a fixed-step solver: a number, a tensor (differentiable), a function of time, or one of
            ``odegan.schedules``, in time or in steps. Rates and penalty weights may be such schedules too.
        refresh: time between fresh minibatches. None: every step; "stage": every stage; math.inf: never.
        rates: time scales (r_D, r_G) of the discriminator and the generator, numbers, tensors (differentiable) or functions of
            time. Each multiplies its player's part of the field. With adam and rmsprop it multiplies the player's step
            instead, which gives two learning rates, h r_D and h r_G (TTUR, Heusel et al. 2017).
        penalties: from ``odegan.penalties``.
        placement: where the penalties act: "field", at every stage; "after_step", theta <- theta - h grad, with the gradient at
            the step's start; "first_stage", in stage 1 with weight 1 / b_1.
        players: "joint", or "frozen": each player alone, against the opponent at the start of the step (with an adaptive
            solver, of the refresh interval).
        rtol: relative tolerance of adaptive solvers.
        atol: absolute tolerance of adaptive solvers.
        options: the solver's own options: torchdiffeq's, or those of an optimizer such as Adam (betas, eps, alpha,
            disc_steps, alternating).
        clip: largest norm c of each player's gradient, g <- g min(1, c / |g|). The gradient includes penalties in the field;
            other penalties are not clipped. Rates are applied after clipping.
        seed: seed of data and latents; member e of an ensemble runs as a single run with seed + e, or seed[e].
        compile: True, or the name of a torch.compile backend: compile a fixed step, or the attempted step of an adaptive
            solver, at its first call, which ``progress`` reports. If the compiler fails, the run continues
            uncompiled, with one warning. A solver without compilable steps, and batch normalization with distributed=True,
            raise ``ArgumentError``.
        micro_batch: number of samples evaluated at once, which must divide the batch. The field is the same, to rounding, but
            needs memory for this many samples only.
        distributed: share each minibatch among the processes of torch.distributed's default group (started by torchrun, for
            example). All get the trajectory of one process on the whole batch, to rounding. All must pass the same arguments;
            the first one writes checkpoints, from which any number of processes that divides the batch can resume.
        workers: processes that load the items of a Dataset ahead of time, without any effect on the results.
        fake_labels: the labels of generated samples in a class-conditional game: "independent", drawn from the labels of the
            data, or "same", those of the real samples.
        progress: show progress: a bar on a terminal or in a notebook, elsewhere a line after every tenth of the run; a string
            is its label.
        callback: one or several functions (state, info), called after every refresh interval, or after every n-th if the
            function has an attribute ``every`` = n; one that returns True ends the run.
        checkpoint: a path, to which the run is saved regularly and at the end. If the file exists, the run resumes from it,
            even if a callback had stopped it, unless that callback's attribute ``over`` is true. Later times extend the run. A
            single call of torchdiffeq resumes by starting again. No other run can use the path at the same time.
        checkpoint_every: a float is the number of seconds between saves, an int the number of refresh intervals: 30.0 and 30
            differ.
        checkpoint_steps: gradient checkpointing, unrelated to ``checkpoint``: keep only the state after every
            ``checkpoint_steps`` refresh intervals, and recompute those in between in the backward pass. The memory is then that
            of steps / checkpoint_steps states and of checkpoint_steps graphs, for twice the evaluations. Only for fixed steps
            and first derivatives.
        fingerprint: a name, or any plain value, that identifies what odegan cannot read of the arguments, such as a data set
            that is too large; it must be equal to resume. A message at the start of the first run lists what cannot be read.
        resume: "same": refuse to resume if something cannot be read; "force": assume that it is unchanged.
        on_nonfinite: "raise" ``NonFiniteError``, whose ``solution`` holds the earlier results, or "stop" and return that
            solution. With a fixed-step solver the members of an ensemble stop separately.

    Returns:
        ``Solution``: ts (T,), ys (T, P) or (T, E, P), y, status, stats.

    Raises:
        ArgumentError: a wrong argument, or an invalid combination of arguments.
        NonFiniteError: the field turned non-finite, with on_nonfinite="raise".
        ChildProcessError: a worker process died.
        LostRankError: another process of a distributed run died.

    Gradients of functions of ``sol.ys`` flow to y0, rates, penalty weights, a fixed step size, a data tensor, and tensors that
    the losses or functions of time read, except with ``scipy_solver``. If one of these requires a gradient, the run is recorded
    and needs memory for each step. Parameters of modules within a loss do not count. An adaptive
    solver's steps count as constants. If the graph of y0 leads only to parameters of modules, y0 is detached, with a warning.

    Source: Qin et al. 2020 (ODE-GAN), Algorithm 1, with the solver, the placement of the penalty and the refresh of minibatches
    as options.

    Examples:
        >>> import odegan
        >>> game = odegan.games.bilinear()
        >>> sol = odeint_gan(game, torch.tensor([1.0, 0.0]), torch.linspace(0, 1, 3), solver="rk4", step_size=0.1)
        >>> sol.status, sol.stats["nfe"], torch.allclose(sol.ys, game.solution(sol.ts, sol.ys[0]), atol=1e-5)
        ('finished', 40, True)
    """
    check_state(game, y0)
    y0 = start_of(y0)
    known = parse(
        projects=game.project is not None,
        solver=solver,
        step_size=step_size,
        refresh=refresh,
        rates=rates,
        penalties=penalties,
        placement=placement,
        players=players,
        rtol=rtol,
        atol=atol,
        options=options,
        clip=clip,
        compile=compile,
        micro_batch=micro_batch,
        distributed=distributed,
    )
    if checkpoint_steps is not None:
        known = replace(known, checkpoint_steps=check_int("checkpoint_steps", checkpoint_steps, low=1))
    times = report_times(known, t, steps, report_every)
    # The length of the run bounds a step size that is a function of time; with steps=..., no end has to be reached.
    known = replace(known, steps=steps, horizon=times[-1] - times[0] if steps is None else 0.0)
    check_length(known.step_size, times[-1] - times[0])
    if steps is None:
        _check_spacing(known, times)
    members = len(y0) if y0.ndim == 2 else None
    _check_tolerances(known, y0)
    _check_around(callback, progress, on_nonfinite)
    _check_saving(checkpoint, checkpoint_every, resume)
    check_combination(known, data is not None, members)
    if known.solver.adaptive:
        refuse_derivatives(known.solver.name)
    if known.solver.opaque and callback is not None:
        argument_error(
            "callback", callback, f"None with {known.solver.name}, which calls nothing back between its steps"
        )
    seeds = member_seeds(seed, members)
    # From here on ``game`` is the run's own copy: what its first batch reveals must not change the user's game.
    source = RunData(data, latent, batch_size, seeds, workers, fake_labels)
    game, minibatches = source.prepared(game, y0, known)
    stepper = Stepper.from_options(game, known)
    stepper.check_divisible(game)
    identity = Fingerprint({}, [])
    if checkpoint is not None or distributed:
        identity = identify(game, y0, known, source, callback, fingerprint)
    # Different arguments on two ranks would otherwise deadlock in a collective, or mix two runs.
    if known.ranks is not None:
        check_same(known.ranks, identity.entries | {"t": times})
    saves = None
    if checkpoint is not None:
        saves = hooks.Checkpoint(checkpoint, checkpoint_every, known.ranks, identity.unread, resume == "force")
    around = hooks.hooks(callback, progress, saves, not known.solver.opaque, known.ranks)
    run = Run(stepper, y0, times, minibatches, around, on_nonfinite, identity.entries)
    with minibatches or contextlib.nullcontext():
        graph = _recorded(run, known, needs_graph(named_by_run(known, game), y0, data))
        with torch.set_grad_enabled(graph):
            return single_call.solve(run) if known.one_call(data is not None) else run.solve()


def _check_spacing(options: Options, times: Sequence[float]) -> None:
    """Refuse steps that the times' own rounding would change."""
    spacing = max(math.ulp(times[0]), math.ulp(times[-1]))
    h = options.step_size
    if h is not None and not callable(h) and to_float(h) < min(4 * spacing, times[-1] - times[0]):
        argument_error(
            "step_size", h, f"at least {4 * spacing:g}, because numbers near t = {times[-1]:g} are {spacing:g} apart"
        )


def _check_around(callback: Callbacks, progress: bool | str, on_nonfinite: str) -> None:
    """Refuse what cannot be called, shown or done around the steps of a run."""
    choose("on_nonfinite", on_nonfinite, ON_NONFINITE)
    for one in callback if isinstance(callback, Sequence) and not isinstance(callback, str) else [callback]:
        if one is None:
            continue
        if not callable(one):
            argument_error("callback", one, "a function (state, info), or a list of them")
        check_arity("callback", one, 2, "a function (state, info), or a list of them")
    if not isinstance(progress, bool | str):
        argument_error("progress", progress, "True, False, or the bar's label")


def _check_saving(checkpoint: FilePath | None, checkpoint_every: float, resume: str) -> None:
    check_number("checkpoint_every", checkpoint_every, low=0.0, strict=True)
    is_path = isinstance(checkpoint, str | os.PathLike) and str(checkpoint) and "\0" not in str(checkpoint)
    if checkpoint is not None and not is_path:
        argument_error("checkpoint", checkpoint, "a path")
    choose("resume", resume, RESUME)


def _recorded(run: Run, options: Options, named: bool) -> bool:
    """Whether gradients flow through the run: to its arguments (``named``), or to tensors that functions read.

    Refused across processes, for a solver that computes in numpy, such as scipy's, and, to tensors that only functions read, in
    pieces that are computed again.
    """
    if not torch.is_grad_enabled() or not (named or run.depends()):
        return False
    if options.checkpoint_steps is not None and not named:
        raise ArgumentError(HIDDEN)
    if options.ranks is not None:
        argument_error("distributed", True, "False if something requires a gradient")
    if options.solver.opaque:
        name = options.solver.name
        raise ArgumentError(f"solver: got {name!r} with something that requires a gradient; it must be another solver")
    return True


def _check_tolerances(options: Options, y0: torch.Tensor) -> None:
    # Errors are divided by the tolerance and squared, which must not overflow.
    least = torch.finfo(y0.dtype).tiny ** 0.5
    largest = max(float(torch.as_tensor(tolerance).max()) for tolerance in (options.rtol, options.atol))
    if options.solver.adaptive and largest < least:
        argument_error(
            "rtol, atol",
            (options.rtol, options.atol),
            f"such that one is at least {least:.0e}, because y0 is {y0.dtype}",
        )
    for name, tolerance in {"rtol": options.rtol, "atol": options.atol}.items():
        if isinstance(tolerance, torch.Tensor) and tolerance.numel() > 1 and tolerance.shape != y0.shape[-1:]:
            argument_error(name, tolerance, f"a number, or a tensor of shape {tuple(y0.shape[-1:])}")
