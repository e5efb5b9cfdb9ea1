"""dopri5 on mog16's field with one minibatch, against diffrax: at equal tolerance, and at equal error."""

from __future__ import annotations

import numpy as np

from benchmarks.peer_odegan import reference
from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings, compare, compared, measured, verdict
from benchmarks.worker import Worker

TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5)
END = 2.0  # 20 steps of the training's RK4


def measure(settings: Settings) -> Result:
    """One thread; time, error of y(END) against a reference in double precision, and evaluations at each tolerance."""
    end = 0.5 if settings.quick else END
    tolerances = TOLERANCES[:2] if settings.quick else TOLERANCES
    truth = reference(end)
    size = float(np.linalg.norm(truth))
    with Worker(1) as torches, Worker(1) as jaxes:
        peers = {}
        for tol in tolerances:
            peers["odegan", tol] = torches.add("peer_odegan:dopri5", tol=tol, end=end, compile=settings.backend)
            peers["diffrax", tol] = jaxes.add("peer_diffrax:dopri5", tol=tol, end=end)
        errors = {key: float(np.linalg.norm(peer.outcome() - truth)) / size for key, peer in peers.items()}
        times = compare({f"{n} {tol:g}": peer for (n, tol), peer in peers.items()}, settings, "dopri5")
        counts = {key: peer.facts()["evaluations"] for key, peer in peers.items()}
    if max(errors.values()) > 0.1:
        raise RuntimeError(f"a solution is far from the reference: relative errors {errors}")
    lines = []
    verdicts = []
    for name, tol in peers:
        line = measured("adaptive", f"tolerance {tol:g}", name, times[f"{name} {tol:g}"], "runs")
        lines.append(line | {"relative error": errors[name, tol], "evaluations": counts[name, tol]})
    for tol in tolerances:
        pair = times[f"odegan {tol:g}"], times[f"diffrax {tol:g}"]
        note = f"evaluations {counts['odegan', tol]} and {counts['diffrax', tol]}"
        what = "time over diffrax's at equal tolerance"
        verdicts.append(compared("adaptive", f"tolerance {tol:g}", what, *pair, 1.2, note=note))
    for tol in tolerances[1:]:
        # The time that diffrax would take to odegan's error, between the tolerances of its work-precision line.
        error = errors["odegan", tol]
        known = sorted((errors["diffrax", t], times[f"diffrax {t:g}"].median) for t in tolerances)
        theirs = np.exp(np.interp(np.log(error), *np.log(np.array(known)).T))
        value = times[f"odegan {tol:g}"].median / float(theirs)
        beyond = "" if known[0][0] <= error <= known[-1][0] else ", beyond what diffrax reached: its nearest time"
        what = "time over diffrax's at equal error"
        note = f"relative error {error:.2g}{beyond}"
        verdicts.append(verdict("adaptive", f"tolerance {tol:g}", what, value, 1.2, note=note))
    return Result(lines, verdicts)
