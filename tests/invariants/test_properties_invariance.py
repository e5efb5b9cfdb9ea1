"""Runs: what must not depend on ensembles, interruptions, report times or the clock."""

import math
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import odegan
from tests.invariants.run_cases import LOOSE, ORDER, given_data, run, sizes, still
from tests.peers import ADAPTIVE, BASELINES, FIXED
from tests.strategies import (
    assert_close,
    closed_form,
    double,
    examples,
    fixed_solvers,
    networks,
    normal,
    penalty_lists,
    report_times,
    seeds,
    steps,
)


# What must not matter.
@given(
    st.one_of(closed_form(), networks(norms=("none", "layer", "spectral", "batch"))),
    st.sampled_from([*FIXED, *BASELINES]),
    steps,
    st.integers(1, 3),
    seeds,
)
def test_a_member_of_an_ensemble_is_a_single_run(example, solver, h, members, seed):
    """With its own start and seed: member e's minibatches are those of seed + e."""
    y0 = example.y + 0.1 * normal(members, len(example.y), seed=seed, dtype=example.dtype)
    data = {"data": example.batch[0], "latent": example.batch[1].shape[1], "batch_size": 3} if example.batch else {}
    known = {"solver": solver, "step_size": h} | data
    together = run(example, [0.0, 2.5 * h, 3 * h], y0, seed=seed, **known)
    for e in range(members):
        alone = run(example, [0.0, 2.5 * h, 3 * h], y0[e], seed=seed + e, **known)
        scale = 1e3 if solver in ("adam", "rmsprop") else 1.0  # a gradient of rounding size is scaled up to h
        assert_close(together.ys[:, e], alone.ys, 1e5, scale)
        torch.testing.assert_close(together.stats["losses"][:, e], alone.stats["losses"], rtol=1e-2, atol=1e-2)


@given(examples(double), st.sampled_from(ADAPTIVE), st.integers(2, 3), seeds)
def test_members_of_adaptive_ensembles_agree_to_tolerance(example, solver, members, seed):
    y0 = example.y + 0.1 * normal(members, len(example.y), seed=seed)
    tolerance = 1e-4 if solver in LOOSE else 1e-7
    known = {"solver": solver, "rtol": tolerance, "atol": tolerance, "refresh": 0.1} | given_data(example)
    together = run(example, [0.0, 0.05, 0.2], y0, **known)
    for e in range(members):
        alone = run(example, [0.0, 0.05, 0.2], y0[e], **known)
        torch.testing.assert_close(
            together.ys[:, e], alone.ys, rtol=0, atol=100 * tolerance * (1 + alone.ys.abs().max().item())
        )


WAYS = [
    *({"solver": name} for name in [*FIXED, *BASELINES]),
    {"solver": "rk4", "refresh": "stage"},
    {"solver": "heun2", "players": "frozen", "clip": 0.5, "rates": (2.0, 1.0)},
    {"solver": "adam", "options": {"alternating": True, "disc_steps": 2}},
    *({"solver": name, "refresh": 0.15} for name in ADAPTIVE),
]


class Stop:
    """Ends a run after so many intervals."""

    def __init__(self, after):
        self.left = after

    def __call__(self, state, info):
        self.left -= 1
        return self.left == 0


@given(
    networks(norms=("none", "spectral")),
    st.sampled_from(WAYS),
    st.lists(st.integers(1, 6), max_size=3),
    seeds,
    st.data(),
)
def test_a_resumed_run_is_the_uninterrupted_one(example, way, cuts, seed, data):
    """Bit for bit, wherever it was cut and however often."""
    chosen = data.draw(penalty_lists(example)) + data.draw(
        st.sampled_from([[], [odegan.penalties.closed_loop(0.1, buffer=2)]])
    )
    known = way | {"data": example.batch[0], "batch_size": 3, "latent": example.batch[1].shape[1], "penalties": chosen}
    chunked = any("chunks" in repr(p) and p.settings.get("chunks") for p in chosen)
    known |= {"seed": seed, "batch_size": 4 if chunked else 3} | sizes(way["solver"], 0.07, "refresh" in way)
    known |= {"refresh": way["refresh"]} if "refresh" in way else {}
    t = [0.0, 0.1, 0.33, 0.5]
    whole = run(example, t, **known)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.pt"
        for after in cuts:
            run(example, t, **known, callback=Stop(after), checkpoint=path)
        resumed = run(example, t, **known, checkpoint=path)
    assert resumed.status == whole.status
    assert torch.equal(resumed.ys.nan_to_num(), whole.ys.nan_to_num())
    assert torch.equal(resumed.y, whole.y)
    assert torch.equal(resumed.stats["losses"].nan_to_num(), whole.stats["losses"].nan_to_num())
    assert [resumed.stats[k] for k in ("nfe", "steps", "rejected")] == [
        whole.stats[k] for k in ("nfe", "steps", "rejected")
    ]


@given(examples(), st.sampled_from(WAYS), report_times(), st.booleans())
def test_reports_do_not_change_the_trajectory(example, way, t, held):
    known = dict(way) if example.batch else {k: v for k, v in way.items() if v != "stage"}
    known |= sizes(way["solver"], 0.13) | given_data(example)
    if held and way["solver"] not in BASELINES and "players" not in way:
        known |= {"refresh": math.inf}
    many = run(example, t, **known)
    few = run(example, [t[0], t[-1]], **known)
    assert torch.equal(many.y, few.y)
    assert torch.equal(many.stats["losses"], few.stats["losses"])
    assert many.ts.tolist() == t
    assert (many.ys.dtype, many.ts.dtype) == (example.dtype, torch.float64)


@given(examples(double), st.sampled_from(WAYS), st.integers(-1000, 1000), report_times())
def test_the_clock_may_start_anywhere(example, way, shift, t):
    """A field that does not see the time; the shift is a multiple of 1/8, so that only the times' sums round."""
    known = dict(way) if example.batch else {k: v for k, v in way.items() if v != "stage"}
    known |= sizes(way["solver"], 0.13) | given_data(example)
    here = run(example, t, **known)
    there = run(example, [x + shift / 8 for x in t], **known)
    scale = 1e3 if way["solver"] in ("adam", "rmsprop", *ADAPTIVE) else 1.0
    assert_close(there.ys, here.ys, 1e6, scale)
    assert here.stats["steps"] == there.stats["steps"]


@given(still(), fixed_solvers, steps, st.data())
def test_one_minibatch_held_is_one_minibatch_drawn_again(example, solver, h, data):
    """One call of torchdiffeq, steps, stages and intervals of three steps are four ways to the same states."""
    chosen = [p for p in data.draw(penalty_lists(example)) if not p.noise]
    known = {"solver": solver, "step_size": h, "penalties": chosen} | given_data(example)
    t = [0.0, 2.5 * h, 6 * h]
    whole = run(example, t, **known, refresh=math.inf)
    others = [None, 3 * h, *(["stage"] if example.batch else [])]
    for refresh in others if example.batch else [3 * h]:
        assert_close(run(example, t, **known, refresh=refresh).ys, whole.ys, 1e5)


@given(networks(), st.sampled_from(WAYS), seeds, st.data())
def test_a_loop_of_steps_is_a_run_and_leaves_its_states_alone(example, way, seed, data):
    known = way | sizes(way["solver"], 0.07, "refresh" in way) | {"penalties": data.draw(penalty_lists(example))}
    known |= {"refresh": way["refresh"]} if "refresh" in way else {}
    whole = run(example, [0.0, 0.3], **known, **given_data(example), seed=seed)
    stepper = odegan.Stepper(example.game, **known)
    state = stepper.init(example.y, seed=seed)
    steps = 0
    batch = odegan.Batch(*example.batch)
    batch = [batch] * stepper.options.stages if way.get("refresh") == "stage" else batch
    while state.t < 0.3:
        kept = state.y.clone(), {k: v.clone() for k, v in state.aux["memory"].items()}
        after, info = stepper.step(state, batch, until=0.3)
        again, _ = stepper.step(state, batch, until=0.3)
        assert torch.equal(again.y, after.y)
        assert torch.equal(state.y, kept[0])
        assert all(torch.equal(state.aux["memory"][k], v) for k, v in kept[1].items())
        state = after
        steps = steps + info.accepted
    assert torch.equal(state.y, whole.y)
    assert steps == whole.stats["steps"]


@given(examples(), st.sampled_from([*FIXED, *BASELINES]), steps, st.floats(0.1, 6.9))
def test_counts_and_records(example, solver, h, count):
    """ceil(T / h) steps, the last one cut; stages times as many evaluations; the first record is the field at y0."""
    t = [0.0, count * h]
    sol = run(example, t, solver=solver, step_size=h, **given_data(example))
    steps = math.ceil(count - 1e-9)
    each = {"extragradient": 2, **ORDER, "rk4": 4}.get(solver, 1)
    assert (sol.stats["steps"], sol.stats["nfe"]) == (steps, each * steps)
    assert sol.stats["step_size"].sum().item() == pytest.approx(t[1])
    assert sol.t == t[1]
    losses = torch.stack(example.game.losses(example.y, example.batch)).double()
    if solver != "alternating":  # its second number is G's loss against the new D
        torch.testing.assert_close(sol.stats["losses"][0], losses, rtol=1e-4, atol=1e-5)


@given(networks(double), fixed_solvers, st.sampled_from([None, "stage", 0.2]), seeds)
def test_a_runs_minibatches_are_a_function_of_the_seed(example, solver, refresh, seed):
    def drawn(n, generator):
        return torch.randn(n, example.batch[0].shape[1], generator=generator, dtype=torch.float64)

    known = {"data": drawn, "batch_size": 4, "solver": solver, "step_size": 0.1, "refresh": refresh}
    torch.manual_seed(seed)
    before = torch.get_rng_state()
    first = run(example, **known, seed=seed)
    again = run(example, **known, seed=seed)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.ys, again.ys)
    assert not torch.equal(first.y, run(example, **known, seed=seed + 1).y)
