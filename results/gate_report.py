"""What the gate answers: one line for each thing it looked at, and what all lines together mean."""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA = "decoder-bench/gate/1"

Verdict = Literal["pass", "fail", "cannot tell"]
EXIT_CODES: dict[Verdict, int] = {"pass": 0, "fail": 1, "cannot tell": 3}  # 2 is bad input, as for every command


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the gate looked at. Losses and slowdowns are positive where the run is worse.

    Args:
        decoder: strategy, with mode and batch where they are told apart (``mad.graphed``).
        name: ``detection AP``, ``decode time / parallel``, ...
        kind: ``accuracy`` or ``speed``.
        verdict: answer.
        reason: why, in words.
        before: baseline's value; for speed, its ratio.
        now: this run's.
        loss: how much worse: difference of metrics, or relative slowdown.
        low: lower end of the 95 % interval of the loss.
        high: upper end.
        p: one-sided, of a loss beyond the tolerance, after Holm's correction.
        detectable: smallest loss that would be found with probability 0.8.
    """

    decoder: str
    name: str
    kind: Literal["accuracy", "speed"]
    verdict: Verdict
    reason: str
    before: float | None = None
    now: float | None = None
    loss: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    detectable: float | None = None


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the gate looked at.

    Args:
        schema: name and version of this format.
        preset: preset of the runs.
        commit: git commit of the runs.
        machine: name and fingerprint of the machine.
        lines: answers.
        remarks: what a reader must know of all of them.
    """

    schema: str = SCHEMA
    preset: str
    commit: str | None
    machine: str
    lines: list[Line]
    remarks: list[str]

    @property
    def verdict(self) -> Verdict:
        """``fail`` if a line fails, else ``cannot tell`` if one does not pass or there is none, else ``pass``."""
        found = {line.verdict for line in self.lines}
        if "fail" in found:
            return "fail"
        return "pass" if found == {"pass"} else "cannot tell"

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 cannot tell."""
        return EXIT_CODES[self.verdict]
