"""One rank of the tests of distributed training: python distributed_worker.py TASK RANK SIZE FOLDER."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist

import odegan
from odegan import penalties
from odegan.utils.distributed import Ranks
from tests.field.microbatch_cases import (
    BATCH,
    DIVIDED,
    FEW,
    FOR_FOUR,
    data,
    game,
    normed_game,
    pictures,
    published_run,
    run,
)

LONG = torch.tensor([0.0, 2.0, 5.0], dtype=torch.float64)


def few(folder: Path, rank: int) -> None:
    """Some cases, one of them in micro-batches and compiled too, saved by every rank."""
    found = _runs(FEW)
    found["micro_batch"] = (run("heun2, jare", distributed=True, micro_batch=2).ys, 0)
    compiled = run("heun2, jare", distributed=True, compile="eager")
    found["compiled"] = (compiled.ys, compiled.stats["compiled"])
    torch.save(found, folder / f"few{rank}.pt")


def trajectories(folder: Path, rank: int) -> None:
    """The other cases, or those of four processes, saved by every rank."""
    names = [name for name in DIVIDED if name not in FEW] if dist.get_world_size() == 2 else FOR_FOUR
    torch.save(_runs(names), folder / f"trajectories{rank}.pt")


def _runs(names: Sequence[str]) -> dict[str, tuple[torch.Tensor, int]]:
    solutions = {name: run(name, distributed=True) for name in names}
    return {name: (solution.ys, solution.stats["nfe"]) for name, solution in solutions.items()}


def derivatives(folder: Path, rank: int) -> None:
    """Derivatives of one function of all ranks' numbers through the mean over ranks, saved by every rank."""
    shared = Ranks()
    x = torch.arange(6.0, dtype=torch.float64).reshape(2, 3) / 7 + rank

    def value(own):
        mean = shared.differentiable_mean(own**2)
        return (torch.sin(mean) * own).sum()

    one = x[0].clone().requires_grad_()
    (first,) = torch.autograd.grad(value(one), one, create_graph=True)
    (second,) = torch.autograd.grad((first**3).sum(), one)
    of_func = torch.func.grad(lambda own: (torch.func.grad(value)(own) ** 3).sum())
    found = [first.detach(), second, of_func(x[0]), torch.vmap(of_func)(x)]
    found.append(torch.func.jvp(shared.differentiable_mean, (x[0],), (x[1],))[1])
    torch.save(found, folder / f"derivatives{rank}.pt")


def published(folder: Path, rank: int) -> None:
    """A step of ODE-GAN's pair, saved by every rank."""
    torch.save(published_run(distributed=True).y, folder / f"published{rank}.pt")


def long_run(folder: Path, **more) -> odegan.Solution:
    """50 steps with everything that has a state; ``checkpoint_every`` 5 intervals."""
    kept = [penalties.closed_loop(0.3, buffer=3), penalties.jare(0.1)]
    g = game()
    return odegan.odeint_gan(
        g, g.init(), LONG, data=data(), batch_size=BATCH, solver="heun2", step_size=0.1, penalties=kept,
        checkpoint=folder / "run.pt", checkpoint_every=5, **more,
    )  # fmt: skip


def killed(folder: Path, rank: int) -> None:
    """Rank 1 dies in the 23rd interval."""

    def callback(state, info):
        if rank == 1 and state.aux["index"] == 23:
            os._exit(9)

    try:
        long_run(folder, distributed=True, callback=callback)
    except odegan.LostRankError as error:
        print(error)
        sys.exit(3)


def resumed(folder: Path, rank: int) -> None:
    """The rest of a run."""
    torch.save(long_run(folder, distributed=True).ys, folder / f"resumed{rank}.pt")


def interrupted(folder: Path, rank: int) -> None:
    """Only the last rank is interrupted; all of them end after the same interval."""

    def callback(state, info):
        if rank == dist.get_world_size() - 1 and state.aux["index"] == 12:
            os.kill(os.getpid(), 2)
        time.sleep(0.001)

    solution = long_run(folder, distributed=True, callback=callback)
    torch.save((solution.status, solution.t), folder / f"interrupted{rank}.pt")


def refused(folder: Path, rank: int) -> None:
    """Arguments that only ranks can get wrong, each refused on every rank."""
    g = game()
    normed = normed_game()
    common = {"data": data(), "solver": "euler", "step_size": 0.1, "distributed": True}
    found = []
    for y0, more in [
        (g.init() + rank, {"batch_size": 8}),
        (g.init(), {"batch_size": 7}),
        (g.init().requires_grad_(), {"batch_size": 8}),
        (g.init(), {"batch_size": 8, "penalties": [penalties.jare(1.0, chunks=2)], "micro_batch": 2}),
        (g.init(), {"batch_size": 8, "solver": "scipy_solver", "step_size": None, "refresh": float("inf")}),
        (g.init(), {"batch_size": 8, "checkpoint": folder / "foreign.pt"}),
        (normed.init(), {"batch_size": 8, "micro_batch": 2}),
        (normed.init(), {"batch_size": 8, "compile": True}),
    ]:
        own = {"data": pictures()} if len(y0) == normed.n_params else {}
        try:
            odegan.odeint_gan(normed if own else g, y0, torch.tensor([0.0, 0.2]), **common | more | own)
            found.append("nothing")
        except odegan.ArgumentError as error:
            found.append(str(error))
    torch.save(found, folder / f"refused{rank}.pt")


if __name__ == "__main__":
    task = sys.argv[1]
    rank = int(sys.argv[2])
    size = int(sys.argv[3])
    folder = Path(sys.argv[4])
    torch.set_num_threads(1)
    rendezvous = folder / f"rendezvous_{task}_{size}"
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=size)
    globals()[task](folder, rank)
    dist.barrier()  # without it gloo of torch 2.6 may wait for ever for a rank that has left
    dist.destroy_process_group()
