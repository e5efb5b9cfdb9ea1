"""``Run``: the loop of ``odeint_gan`` over refresh intervals, with its state and reports."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from odegan.data.minibatches import Minibatches
from odegan.games.batch import Batch
from odegan.training.gradients import depends
from odegan.training.hooks import Ending, Hook, around
from odegan.training.saved_state import plain_aux
from odegan.training.segment import Batches
from odegan.training.solution import NonFiniteError, Solution
from odegan.training.state import Info, IntervalResult, KeepsState, State
from odegan.training.statistics import Statistics
from odegan.training.stepper import Stepper
from odegan.training.time_grid import StepCounter
from odegan.training.trial import try_out
from odegan.utils import checkpoint
from odegan.utils.checks import ArgumentError
from odegan.utils.purity import generator_states
from odegan.utils.warn import warn

# Entries of a checkpoint whose form a new run does not determine.
_OPEN = frozenset({"reported", "table", "replay", "proposed", "callbacks"})
_ENDINGS = ("", "stopped", "interrupted")  # the later one wins if hooks or ranks differ
LONGEST = 64  # most refresh intervals per segment
SHORTEST_TIME = 0.05  # seconds that a segment should take at least
LONGEST_TIME = 0.2  # seconds that it should take at most: Ctrl-C acts between segments


class Run:
    """The state, reports and statistics of a run; ``solve`` runs it to the end."""

    def __init__(
        self,
        stepper: Stepper,
        y0: torch.Tensor,
        times: list[float],
        minibatches: Minibatches | None,
        hooks: Sequence[Hook],
        on_nonfinite: str,
        fingerprint: Mapping[str, object],
    ) -> None:
        self.stepper = stepper
        self.times = times
        self.minibatches = minibatches
        self.hooks = hooks
        self._impatient = [hook for hook in hooks if type(hook).due is not Hook.due]
        self.on_nonfinite = on_nonfinite
        self.fingerprint = fingerprint
        # The seeds of penalties' draws are those of the minibatches: a member is a single run in both.
        self.state = stepper.init(y0, times[0], minibatches.seeds if minibatches else 0)
        self.statistics = Statistics()
        self.reported = [y0]
        self.status = "running"
        self.message = ""
        self.stopped_at = torch.full(y0.shape[:-1], math.nan, dtype=torch.float64)
        self._length = 1  # refresh intervals in the next segment
        self._segments = 0  # completed in this call
        self._ahead: tuple[int, list[Batches]] | None = None  # drawn for a trial, with the interval's number
        self._asked: Ending | None = None

    def solve(self) -> Solution:
        """Step from segment to segment until the last time, or until something ends the run."""
        with around(self, self.hooks):
            while self.status == "running":
                # Checked first: a resumed run may be over already.
                if self.state.t >= self.times[-1]:
                    self.status = "finished"
                    self._compare_steps()
                    break
                if self._segments == 0:
                    self.try_out()
                started = time.monotonic()
                reports = (self.times, len(self.reported))
                before = generator_states() if self._checks_draws() else None
                result = self.stepper.through(
                    self.state, self.batches, self._intervals_ahead(), self.times[-1], reports
                )
                self.state = result.state
                if before is not None and generator_states() != before:
                    self.try_out()  # another thread may have drawn, which is no fault of the field
                self._segments += 1
                self.reported.extend(result.reported)
                ending = self._read(result) or self.asked(result.info)
                self._adapt(time.monotonic() - started)
                if self.stepper.options.ranks is not None:
                    ending = self.agreed(ending)
                if ending is not None:
                    self.status, self.message = ending
        return self.solution()

    def _compare_steps(self) -> None:
        """Warn where the run took another number of steps than it was asked for: its end was computed at its start."""
        wanted = self.stepper.options.steps
        taken = self.state.aux["index"]
        if wanted is not None and taken != wanted:
            warn(
                f"steps: got {wanted}, but the run took {taken}, because step_size no longer has the values that it had at the "
                "start; pass t, or use odegan.Stepper, if it depends on anything but time"
            )

    def try_out(self) -> None:
        """Refuse, in one line, a loss or a penalty that does not work at the present state."""
        try_out(self.stepper.game, self.stepper.options, *self._point())

    def depends(self) -> bool:
        """Whether its field depends on a tensor that requires a gradient, wherever it is read."""
        return depends(self.stepper.game, self.stepper.options, *self._point())

    def _point(self) -> tuple[float, torch.Tensor, Batch | None, int]:
        """The present time and state, the next minibatch, and its interval's number."""
        state = self.state
        drawn = self.batches(state.aux["index"], 1)
        self._ahead = (state.aux["index"], drawn)
        (batch, *_), _ = self.stepper.events.begin(drawn[0], state.y.detach(), state.aux, state.t)
        return state.t, state.y, batch, state.aux["index"]

    def _checks_draws(self) -> bool:
        """Whether to check the next segment for draws from global generators: segments 1, 2, 4, 8, ..."""
        return (self._segments + 1).bit_count() == 1

    def _intervals_ahead(self) -> int:
        """The number of refresh intervals in the next segment, which is 1 for adaptive solvers and for several ranks.

        Segment lengths are based on measured time, which differs between ranks, but ranks must agree on them.
        """
        if self.stepper.options.solver.adaptive or self.stepper.options.ranks is not None:
            return 1
        length = self.stepper.options.checkpoint_steps or self._length
        for hook in self._impatient:
            length = min(length, hook.due(self))
        return length

    def _adapt(self, seconds: float) -> None:
        # Longer segments save Python's overhead; too long ones delay Ctrl-C and the progress.
        if seconds < SHORTEST_TIME:
            self._length = min(2 * self._length, LONGEST)
        elif seconds > LONGEST_TIME:
            self._length = max(self._length // 2, 1)

    def asked(self, info: Info) -> Ending | None:
        """The ending that the hooks ask for after a segment, if any; Ctrl-C takes precedence over a callback."""
        asked: Ending | None = None
        for hook in self.hooks:
            ending = hook.after(self, info)
            if ending and (asked is None or _ENDINGS.index(ending[0]) > _ENDINGS.index(asked[0])):
                asked = ending
        return asked

    def agreed(self, ending: Ending | None) -> Ending | None:
        """The ending on which all ranks agree: if one asks to end, as on Ctrl-C, all end after the same interval."""
        ranks = self.stepper.options.ranks
        if ranks is None:
            return ending
        self._asked = self._asked or ending
        if not self._time_to_agree():
            return None
        # The largest code wins, so that an interruption on one rank is one on all.
        code = ranks.largest(_ENDINGS.index(self._asked[0]) if self._asked else 0, self.state.y.device)
        return self._asked or ((_ENDINGS[code], f"{_ENDINGS[code]} by another rank") if code else None)

    def _time_to_agree(self) -> bool:
        # On an accelerator a collective would wait for the device, so ranks agree only now and then.
        free = self.state.y.device.type == "cpu"
        return free or self.state.aux["index"] % LONGEST == 0 or self.state.t >= self.times[-1]

    def batches(self, index: int, n: int) -> list[Batches]:
        """The minibatches of n refresh intervals from the index-th on, made in one block."""
        ahead = self._ahead
        self._ahead = None
        if ahead is not None and ahead[0] == index and n == 1:
            return ahead[1]
        if self.minibatches is None:
            return [(None,)] * n
        options = self.stepper.options
        if options.refresh == math.inf:
            return [(self.minibatches(0),)] * n
        stages = options.stages
        fields = self.minibatches.fields(index * stages, n * stages)
        every = []
        # Contiguous, so that a compiled step sees one layout whatever the length of a segment.
        contiguous = map(torch.Tensor.contiguous, fields.values())
        for one in zip(*map(torch.Tensor.unbind, contiguous), strict=True):
            every.append(Batch(**dict(zip(fields, one, strict=True))))
        return list(zip(*[iter(every)] * stages, strict=True))

    def _read(self, result: IntervalResult) -> Ending | None:
        """Read the finiteness flags of a segment and count its steps, up to the one that ended the run if any did."""
        steps = result.statistics
        # One synchronization a segment; only where it fails is each step looked at.
        if not bool(steps.finite.all()):
            for i, (t, finite) in enumerate(zip(steps.t, steps.finite, strict=True)):
                if self.note_finite(t, finite):
                    each = result.info.nfe // len(steps.t)
                    nfe = each * (i + 1) if not self.stepper.options.solver.adaptive else result.info.nfe
                    self.statistics.add(steps.first(i + 1), nfe, result.info.rejected)
                    return "stopped", self.nonfinite_message()
        self.statistics.add(steps, result.info.nfe, result.info.rejected)
        return None

    def note_finite(self, t: float, finite: torch.Tensor) -> bool:
        """Record which members turned non-finite in the step from t; return whether this ends the run."""
        if bool(finite.all()):
            return False
        self.stopped_at = torch.where(~finite.cpu() & self.stopped_at.isnan(), t, self.stopped_at)
        return self.ended_by_nonfinite()

    def ended_by_nonfinite(self) -> bool:
        """Whether non-finite members end the run: all of them, or any if it must raise or if members share an adaptive step."""
        gone = ~self.stopped_at.isnan()
        shared = self.on_nonfinite == "raise" or self.stepper.options.solver.adaptive
        return bool(gone.any() if shared else gone.all())

    def nonfinite_message(self) -> str:
        """The message that says when the run, or which member, turned non-finite."""
        gone = (~self.stopped_at.isnan()).nonzero().flatten().tolist()
        when = f"the field turned non-finite in the step from t = {self.stopped_at[~self.stopped_at.isnan()].min():g}"
        return when + (f" (members {gone})" if self.stopped_at.ndim else "") + self.statistics.nonfinite_losses()

    def solution(self) -> Solution:
        """The result so far as a ``Solution``; raises ``NonFiniteError`` if ``on_nonfinite`` says so."""
        ended = self.ended_by_nonfinite()
        last = float(self.stopped_at[~self.stopped_at.isnan()].max()) if ended else self.state.t
        reached = [i for i, t in enumerate(self.times[: len(self.reported)]) if t <= last or not ended]
        ts = torch.tensor(self.times, dtype=torch.float64)[: len(reached)]
        ys = torch.stack(self.reported[: len(reached)])
        if ys.ndim == 3 and not self.stopped_at.isnan().all():
            gone = (ts[:, None] > self.stopped_at).to(ys.device)
            # A member that stopped holds its last finite state in y, which is not its state at later times.
            ys = torch.where(gone[..., None], math.nan, ys)
        stats = self.statistics.as_dict() | {"stopped_at": self._stopped_at(), "compiled": self.stepper.compiler.works}
        result = Solution(ts, ys, self.state.y, last, self.status, stats, self.message)
        if ended and self.on_nonfinite == "raise":
            raise NonFiniteError(
                f"{self.message}; {len(ts)} of {len(self.times)} reported states are in the error's .solution", result
            )
        return result

    def _stopped_at(self) -> float | torch.Tensor | None:
        if self.stopped_at.isnan().all():
            return None
        return float(self.stopped_at) if self.stopped_at.ndim == 0 else self.stopped_at

    def payload(self) -> dict[str, Any]:
        """The run as plain data, for a checkpoint."""
        statistics = self.statistics
        return {
            "t": self.state.t,
            "y": self.state.y.detach(),
            "aux": plain_aux(self.state.aux),
            "reported": torch.stack(self.reported).detach(),
            "statistics": {"nfe": statistics.nfe, "rejected": statistics.rejected, "table": statistics.table()},
            "status": self.status,
            "message": self.message,
            "stopped_at": self.stopped_at,
            "callbacks": [hook.state_dict() for hook in self._users()],
        }

    def restore(self, payload: dict[str, Any]) -> None:
        """Continue from ``payload``.

        A run that was finished or had turned non-finite stays ended. One that a callback or Ctrl-C stopped continues, or starts
        again if it is a single call of torchdiffeq.
        """
        # Compared with a fresh payload: damage is found here, not as a wrong number an hour later.
        checkpoint.check_form("it", payload, self.payload(), _OPEN)
        checkpoint.check_form("reported", payload["reported"][:0], torch.stack(self.reported)[:0])
        if payload["statistics"]["table"].shape[-1:] != self.statistics.table().shape[-1:]:
            raise ValueError("the statistics' table is of another form")
        self.stopped_at = payload["stopped_at"].cpu()
        ended = payload["status"] == "finished" or self.ended_by_nonfinite()
        if not ended and self.stepper.options.one_call(self.minibatches is not None):
            self.stopped_at.fill_(math.nan)
            return
        self.status, self.message = (payload["status"], payload["message"]) if ended else ("running", "")
        aux = payload["aux"] | {"counter": StepCounter(*payload["aux"]["counter"])}
        self.state = State(float(payload["t"]), payload["y"], aux)
        self.reported = list(payload["reported"])
        self.statistics.restore(**payload["statistics"])
        users = self._users()
        states = payload["callbacks"]
        if len(users) != len(states):
            raise ArgumentError(
                f"callback: got {len(users)} with a state_dict, but the checkpoint was made with {len(states)}; they must be "
                "the same to resume"
            )
        for hook, kept in zip(users, states, strict=True):
            hook.load_state_dict(kept)

    def _users(self) -> list[KeepsState]:
        """The user's callbacks that have a state to save."""
        users: list[Any] = [getattr(hook, "callback", None) for hook in self.hooks]
        return [user for user in users if hasattr(user, "state_dict")]
