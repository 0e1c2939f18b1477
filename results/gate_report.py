"""The gate's report: one line per metric or time ratio, and the verdict over all lines."""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA = "decoder-bench/gate/1"

Verdict = Literal["pass", "fail", "cannot tell"]
EXIT_CODES: dict[Verdict, int] = {"pass": 0, "fail": 1, "cannot tell": 3}  # 2 is bad input, as for every command


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One metric or time ratio. Losses and slowdowns are positive if the run is worse.

    Args:
        decoder: name of the run (``mad``, ``mad.graphed``).
        name: ``detection AP``, ``decode time / parallel``, ...
        kind: ``accuracy`` or ``speed``.
        verdict: answer.
        reason: why, in words.
        before: baseline's value; for speed, its ratio.
        now: this run's.
        loss: difference of metrics, or relative slowdown.
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
    """All answers of one gate.

    Args:
        schema: name and version of this format.
        preset: preset of the runs.
        commit: git commit of the runs.
        machine: name and fingerprint of the machine.
        lines: answers.
        remarks: conditions that affect all lines.
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
        verdicts = {line.verdict for line in self.lines}
        if "fail" in verdicts:
            return "fail"
        return "pass" if verdicts == {"pass"} else "cannot tell"

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 cannot tell."""
        return EXIT_CODES[self.verdict]
