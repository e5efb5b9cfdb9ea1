"""Several processes on parts of a batch: one process's trajectory on the whole batch, and what happens when one is lost."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch

from tests import forked
from tests.field.microbatch_cases import DIVIDED, FEW, FOR_FOUR, published_run, run
from tests.peers import compiles
from tests.training.distributed_worker import long_run

WORKER = Path(__file__).with_name("distributed_worker.py")


def start(task: str, size: int, folder: Path) -> list[tuple[int, str]]:
    """Run all ranks to their end: (exit code, output) of each."""
    ranks = [forked.Python(WORKER, task, r, size, folder, together=True) for r in range(size)]
    try:
        said = [p.rest() for p in ranks]
        return [(p.wait(), text) for p, text in zip(ranks, said, strict=True)]
    finally:
        for p in ranks:
            p.kill()


def succeeded(task: str, size: int, folder: Path) -> list:
    ended = start(task, size, folder)
    assert all(code == 0 for code, _ in ended), "\n".join(text for _, text in ended)
    return [torch.load(folder / f"{task}{r}.pt") for r in range(size)]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """(task, number of ranks) -> what each of them found, run when it is first asked for."""
    return functools.cache(lambda task, size: succeeded(task, size, tmp_path_factory.mktemp("ranks")))


OTHERS = [name for name in DIVIDED if name not in FEW]
SLOW = [*(("trajectories", 2, name) for name in OTHERS), *(("trajectories", 4, name) for name in FOR_FOUR)]


@pytest.mark.parametrize(
    "task, size, name",
    [*(("few", 2, name) for name in FEW), *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
)
def test_ranks_give_one_processs_trajectory(ranks, task, size, name):
    alone = run(name)
    for found in ranks(task, size):
        ys, nfe = found[name]
        assert torch.allclose(ys, alone.ys, rtol=0, atol=1e-10)
        assert nfe == alone.stats["nfe"]
        assert torch.equal(ys, ranks(task, size)[0][name][0])  # the same bits, so the same decisions


@pytest.mark.parametrize("name", ["micro_batch", pytest.param("compiled", marks=compiles)])
def test_ranks_with(ranks, name):
    ys, compiled = ranks("few", 2)[0][name]
    assert torch.allclose(ys, run("heun2, jare").ys, rtol=0, atol=1e-10)
    assert compiled == (name == "compiled")


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
def test_ranks_share_the_published_pairs_batch_normalization(size, tmp_path):
    alone = published_run().y
    for y in succeeded("published", size, tmp_path):
        assert torch.allclose(y, alone, rtol=0, atol=1e-10)


def test_the_mean_over_ranks_has_derivatives_of_every_order(tmp_path):
    """Against autograd on both ranks' numbers in one process, where each rank gets the gradient of the sum of all values."""
    found = succeeded("derivatives", 2, tmp_path)
    rows = torch.stack([torch.arange(6.0, dtype=torch.float64).reshape(2, 3) / 7 + rank for rank in range(2)])

    def summed(both):
        return (torch.sin((both**2).mean(0)) * both).sum()

    def second(both):
        return torch.func.grad(lambda own: (torch.func.grad(summed)(own) ** 3).sum())(both)

    for rank in range(2):
        first, *others, tangent = found[rank]
        torch.testing.assert_close(first, torch.func.grad(summed)(rows[:, 0])[rank])
        of_each = torch.stack([second(rows[:, row])[rank] for row in range(2)])
        for one, expected in zip(others, (of_each[0], of_each[0], of_each), strict=True):
            torch.testing.assert_close(one, expected)
        torch.testing.assert_close(tangent, rows[:, 1].mean(0))


@pytest.mark.slow
def test_a_killed_rank_ends_the_others_and_the_run_resumes_on_another_number(tmp_path):
    ended = start("killed", 2, tmp_path)
    assert ended[1][0] == 9
    code, said = ended[0]
    assert code == 3, said
    assert "distributed: rank 0 of 2 has lost another rank" in said.splitlines()[-1]
    kept = torch.load(tmp_path / "run.pt")
    assert 15 <= kept["aux"]["index"] <= 23  # no more than one interval between checkpoints is lost
    (tmp_path / "whole").mkdir()
    whole = long_run(tmp_path / "whole").ys
    for ys in succeeded("resumed", 4, tmp_path):
        assert torch.allclose(ys, whole, rtol=0, atol=1e-10)
    assert torch.equal(long_run(tmp_path).ys, ys)  # finished: one process gets the four's


def test_an_interruption_of_one_rank_ends_all_after_the_same_interval(tmp_path):
    first, second = succeeded("interrupted", 2, tmp_path)
    assert first == second
    assert first[0] == "interrupted"
    (tmp_path / "whole").mkdir()
    assert torch.allclose(long_run(tmp_path).ys, long_run(tmp_path / "whole").ys, rtol=0, atol=1e-10)


def test_refusals(tmp_path):
    (tmp_path / "foreign.pt").write_bytes(b"not a checkpoint")
    first, second = succeeded("refused", 2, tmp_path)
    assert first == second
    sentences = [
        "y0: got different values on different ranks ('float64 [61] ",
        "batch_size: got 7; it must be a multiple of the 2 processes that share it",
        "distributed: got True; it must be False if something requires a gradient",
        "chunks: got 2; it must be a multiple of the 4 parts",
        "distributed: got True with scipy_solver",
        "foreign.pt', which cannot be read",
        "micro_batch: got it with the game 'gan', in which the samples of a batch see each other (BatchNorm?",
        "compile: got it with distributed and batch normalization",
    ]
    for said, expected in zip(first, sentences, strict=True):
        assert expected in said
