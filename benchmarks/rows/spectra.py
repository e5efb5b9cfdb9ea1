"""``spectrum`` from 1e3 to 1e6 parameters: time in field evaluations, products, accuracy, memory in parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings, Times, compare, compared, measured, same_outcome, verdict
from benchmarks.worker import Worker
from experiments.framework.power_laws import fit_power_law

WIDTHS = (17, 65, 218, 701)  # 1,000 to 1,000,000 parameters
BATCH = 64
NUMBER = 4  # bytes of a parameter in float32
FEW = "10 of largest modulus"
FIELD = "field"
# What is asked: its arguments, and the field evaluations that it may take.
QUESTIONS: dict[str, tuple[dict[str, Any], float | None]] = {
    FEW: ({}, 300),
    "10 of largest modulus, residuals below 1e-3": ({"accuracy": 1e-3}, None),
    "the largest modulus to 1 %": ({"k": 1, "accuracy": 1e-2}, 150),
}


def measure(settings: Settings) -> Result:
    """Fully connected pairs, one thread."""
    lines: list[dict[str, Any]] = []
    verdicts: list[dict[str, Any]] = []
    sizes: list[int] = []
    peaks: list[float] = []
    for width in WIDTHS[:2] if settings.quick else WIDTHS:
        common = {"width": width, "batch": BATCH}
        with Worker(1) as worker:
            peers = {q: worker.add("peer_odegan:spectrum", **common, **given) for q, (given, _) in QUESTIONS.items()}
            peers[FIELD] = worker.add("peer_odegan:connected_field", **common)
            if width == WIDTHS[0]:
                same_outcome({name: peers[name] for name in (FEW, FIELD)}, rtol=1e-2)  # against the dense Jacobian
            times = compare(peers, settings, f"spectrum, width {width}")
            facts = {question: peers[question].facts() for question in QUESTIONS}
        sizes.append(facts[FEW]["parameters"])
        peaks.append(facts[FEW]["bytes"] / NUMBER)
        case = f"{sizes[-1]:,} parameters"
        lines += [
            measured("spectrum", case, q, times[q], "spectra") | {"MB": facts[q]["bytes"] / 1e6} for q in QUESTIONS
        ]
        lines.append(measured("spectrum", case, FIELD, times[FIELD], "evaluations"))
        verdicts += _verdicts(case, times, facts)
        verdicts.append(verdict("spectrum", case, "memory in states of float32", peaks[-1] / sizes[-1], None))
    power = fit_power_law(sizes, peaks).slope
    what = "power of the number of parameters that memory grows with"
    return Result(lines, [*verdicts, verdict("spectrum", "all sizes", what, power, 1.1)])


def _verdicts(case: str, times: Mapping[str, Times], facts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each question took, and how good its answer is."""
    found = []
    for question, (_, goal) in QUESTIONS.items():
        what = "time in field evaluations" if question == FEW else f"{question}: time in field evaluations"
        note = f"{facts[question]['products']} products, largest residual {facts[question]['residual']:.1e}"
        found.append(compared("spectrum", case, what, times[question], times[FIELD], goal, note=note))
    return found
