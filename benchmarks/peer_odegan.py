"""odegan's side: whole runs by the code that ``odeint_gan`` runs, prepared so that a step is compiled once and run often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torchdiffeq import odeint

import odegan
from benchmarks import networks, problems
from benchmarks.products import products_of
from benchmarks.worker import Task
from odegan import Batch, nets
from odegan.analysis.spectrum import Spectrum
from odegan.data.minibatches import Minibatches
from odegan.training import single_call
from odegan.training.arguments import parse
from odegan.training.run import Run
from odegan.training.solution import Solution
from odegan.training.stepper import Stepper


def prepared(
    game: odegan.Game, y0: torch.Tensor, times: list[float], source: dict[str, Any], **arguments: Any
) -> tuple[Stepper, Callable[[], Solution]]:
    """A stepper, and ``odeint_gan`` from y0 as a function of nothing: as the original without parsing and checks, and with
    one stepper, hence one compilation, for all calls. source: data, latent, batch_size.
    """
    known = parse(**arguments)
    stepper = Stepper.from_options(game, known)
    members = len(y0) if y0.ndim == 2 else None

    @torch.no_grad()
    def run() -> Solution:
        minibatches = Minibatches(**source, seeds=0 if members is None else list(range(members)), like=y0)
        one = Run(stepper, y0, times, minibatches=minibatches, hooks=[], on_nonfinite="raise", fingerprint={})
        one.try_out = lambda: None  # type: ignore[method-assign]  # a check of some four evaluations, once a run
        return single_call.solve(one) if known.one_call(True) else one.solve()

    return stepper, run


def step_of(stepper: Stepper, y0: torch.Tensor, real: torch.Tensor, latent: torch.Tensor) -> Callable[[], torch.Tensor]:
    """One step from y0 with a given minibatch, as a function of nothing."""

    @torch.no_grad()
    def step() -> torch.Tensor:
        return stepper.step(stepper.init(y0), Batch(real, latent))[0].y

    return step


def mog16(
    steps: int,
    compile: str = "",
    members: int = 0,
    weight: float = problems.WEIGHT,
    device: str = "cpu",
) -> Task:
    """ODE-GAN's RK4 with its penalty after the step; a unit is one step of one member."""
    problem = problems.Mog16(*(torch.from_numpy(a).to(device) for a in problems.mog16(members)))
    source = {"data": problem.data, "latent": problems.LATENT, "batch_size": problems.BATCH}
    stepper, run = prepared(
        odegan.gan(*nets.mog16()),
        problem.y0,
        [0.0, steps * problems.STEP_SIZE],
        source,
        solver="rk4_classic",
        step_size=problems.STEP_SIZE,
        penalties=[odegan.penalties.generator_gradient(weight)] if weight else [],
        placement="after_step",
        compile=compile or False,
    )
    outcome = step_of(stepper, problem.y0, problem.real, problem.latent)
    return Task(run, steps * max(members, 1), outcome, lambda: {"compiled": stepper.compiler.works})


def products(steps: int) -> Task:
    """The matrix products alone of mog16's step; a unit is those of one step. facts: their number."""
    problem = problems.Mog16(*map(torch.from_numpy, problems.mog16()))
    penalties = [odegan.penalties.generator_gradient(problems.WEIGHT)]
    stepper = Stepper(
        odegan.gan(*nets.mog16()),
        solver="rk4_classic",
        step_size=problems.STEP_SIZE,
        penalties=penalties,
        placement="after_step",
    )
    batch = Batch(problem.real, problem.latent)
    with torch.no_grad():
        state = stepper.step(stepper.init(problem.y0), batch)[0]
        calls = products_of(lambda: stepper.step(state, batch))

    @torch.no_grad()
    def work() -> None:
        for _ in range(steps):
            for call in calls:
                call()

    return Task(work, steps, facts=lambda: {"products": len(calls)})


def training(
    case: str,
    steps: int,
    solver: str,
    compile: str = "",
    penalty: str = "",
    batch: int = 64,
    device: str = "cpu",
    half: bool = False,
    channels_last: bool = False,
) -> Task:
    """A run on a pair of networks by name; a unit is one step. outcome: a step of the solver; Adam's alternating
    one, with a large eps.
    """
    game, data, real, latent = networks.game(case, batch, device, half, channels_last)
    source = {"data": data, "latent": latent.shape[1:], "batch_size": batch}
    h = networks.STEP_SIZES[case]
    penalties = [odegan.penalties.parse(penalty)] if penalty else []
    keywords = {
        "solver": solver,
        "step_size": h,
        "penalties": penalties,
        "compile": compile or False,
        "placement": "after_step",
    }
    stepper, run = prepared(game, game.init(), [0.0, steps * h], source, **keywords)
    if solver == "adam":
        keywords |= {"options": {"alternating": True, "eps": networks.EPS_OF_CHECK, "betas": networks.BETAS}}
    # Made when it is asked for: a state more would count as the run's memory.
    return Task(
        run,
        steps,
        lambda: step_of(Stepper(game, **keywords), game.init(), real, latent)(),
        lambda: {"compiled": stepper.compiler.works},
    )


def dopri5(tol: float, end: float, compile: str = "") -> Task:
    """mog16's field with one minibatch throughout, by dopri5 with rtol = tol and atol = tol / 100; a unit is one run."""
    problem = problems.Mog16(*map(torch.from_numpy, problems.mog16()))
    fixed = {
        "data": lambda n, generator: problem.real,
        "latent": lambda n, generator: problem.latent,
        "batch_size": problems.BATCH,
    }
    keywords = {
        "solver": "dopri5",
        "rtol": tol,
        "atol": tol / 100,
        "refresh": float("inf"),
        "compile": compile or False,
    }
    run = prepared(odegan.gan(*nets.mog16()), problem.y0, [0.0, end], fixed, **keywords)[1]
    return Task(run, 1, lambda: run().y, lambda: {"evaluations": run().stats["nfe"]})


def reference(end: float) -> Any:
    """mog16's field with one minibatch, integrated in double precision to a tight tolerance: y(end). Not a tighter one:
    the field jumps wherever a ReLU turns, and solvers creep there.
    ."""
    problem = problems.Mog16(*(torch.from_numpy(a).double() for a in problems.mog16()))
    field = odegan.vector_field(odegan.gan(*nets.mog16()))
    batch = (problem.real, problem.latent)
    with torch.no_grad():
        times = torch.tensor([0.0, end], dtype=torch.float64)
        call = {"method": "dopri5", "rtol": 1e-7, "atol": 1e-9}
        return odeint(lambda t, y: field(t, y, batch), problem.y0, times, **call)[-1].numpy()


def field(case: str, penalties: Sequence[str] = (), compile: str = "", batch: int = 64) -> Task:
    """One evaluation of the training field with these penalties in it; facts: the peak of its memory in bytes."""
    game, _, real, latent = networks.game(case, batch)
    noise = torch.rand(batch, generator=torch.Generator().manual_seed(0))
    function = odegan.vector_field(game, [odegan.penalties.parse(text) for text in penalties])
    function = torch.compile(function, fullgraph=True, dynamic=False, backend=compile) if compile else function
    y = game.init()
    whole = Batch(real, latent, noise=noise)

    @torch.no_grad()
    def evaluate() -> torch.Tensor:
        return function(0.0, y, whole)

    return Task(evaluate, 1, evaluate, lambda: {"bytes": networks.peak_memory(evaluate)})


def spectrum(width: int, batch: int, k: int = 10, accuracy: float | None = None, device: str = "cpu") -> Task:
    """The k eigenvalues of largest modulus of fully connected networks of this width. outcome: their moduli; facts: the
    parameters, the products with the Jacobian, the largest residual, and the peak of the memory in bytes.
    """
    game, real, latent = networks.connected(width, batch, device)
    y = game.init()

    def found() -> Spectrum:
        return odegan.spectrum(game, y, (real, latent), k=k, accuracy=accuracy)

    def facts() -> dict[str, Any]:
        one = found()
        return {
            "parameters": game.n_params,
            "products": one.products,
            "residual": 0.0 if one.residuals is None else one.residuals.max().item(),
            "bytes": networks.peak_memory(found, arrays=True),
        }

    return Task(found, 1, lambda: found().eigenvalues.abs(), facts)


def connected_field(width: int, batch: int, device: str = "cpu") -> Task:
    """One evaluation of the field that ``spectrum`` looks at. outcome: the moduli from the dense Jacobian."""
    game, real, latent = networks.connected(width, batch, device)
    function = odegan.vector_field(game)
    y = game.init()

    @torch.no_grad()
    def evaluate() -> torch.Tensor:
        return function(0.0, y, (real, latent))

    return Task(evaluate, 1, lambda: odegan.spectrum(game, y, (real, latent), k=game.n_params).eigenvalues.abs()[:10])
