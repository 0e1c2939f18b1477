"""The differences between our numbers and a golden file's, family by family."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from bench.parity.golden_file import GoldenFile

TOLERANCE = 1e-4  # for floats; integers and booleans must be equal
FAILURES = (LookupError, ValueError, RuntimeError, TypeError, ArithmeticError)  # of a computation on a damaged file


@dataclass
class Family:
    """Arrays of one kind.

    Args:
        compared: arrays compared.
        absent: arrays that the file does not have.
        difference: largest difference of floats.
        unequal: integers and booleans that differ.
        problems: arrays that differ or could not be computed, and why.
    """

    compared: int = 0
    absent: int = 0
    difference: float | None = None
    unequal: int | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """``ok``, ``FAILED`` or ``not in file``."""
        if self.problems:
            return "FAILED"
        return "ok" if self.compared else "not in file"


class ParityTable:
    """Our numbers compared with a golden file's.

    Args:
        golden: the file.
        relative: divide float differences by the number's own size, or by the array's median size if that is larger.
    """

    def __init__(self, golden: GoldenFile, *, relative: bool = False) -> None:
        self.golden = golden
        self.relative = relative
        self.families: dict[str, Family] = {}

    def row(self, family: str, prefix: str) -> Callable[..., None]:
        """Return a function that compares arrays of one family by keyword: the name behind ``prefix`` and a slash."""

        def compare(**arrays: Tensor) -> None:
            for name, actual in arrays.items():
                self.compare(family, f"{prefix}/{name}", actual)

        return compare

    def compare(self, family: str, name: str, actual: Tensor, *, pick: Any = None) -> None:
        """Compare one array.

        Args:
            family: row of the table.
            name: name of the array in the file.
            actual: ours.
            pick: index of the part of the file's array that ours corresponds to.
        """
        row = self._family(family)
        if name not in self.golden:
            row.absent += 1
            return
        expected = self.golden.tensor(name)
        if pick is not None:
            expected = expected[pick]
        actual = actual.detach().cpu()
        row.compared += 1
        if expected.shape != actual.shape:
            row.problems.append(f"{name}: shape {list(actual.shape)}, expected {list(expected.shape)}")
        elif actual.is_floating_point():
            self._floats(row, name, actual, expected)
        else:
            unequal = int((actual != expected).sum())
            row.unequal = (row.unequal or 0) + unequal
            if unequal:
                row.problems.append(f"{name}: {unequal} of {expected.numel()} differ")

    def check(self, family: str, equal: bool, problem: str) -> None:
        """Count one value that is not an array of the file."""
        row = self.families.setdefault(family, Family(unequal=0))
        row.compared += 1
        if not equal:
            row.unequal = (row.unequal or 0) + 1
            row.problems.append(problem)

    def absent(self, family: str) -> None:
        """Count an array that the file does not have."""
        self._family(family).absent += 1

    def fail(self, family: str, problem: str) -> None:
        """Note why something could not be computed."""
        self._family(family).problems.append(problem)

    def attempt(self, family: str, step: Callable[[], None]) -> bool:
        """Run a step; an error that a damaged file causes becomes a problem of the family. Return whether it ran."""
        try:
            step()
        except FAILURES as error:
            self.fail(family, f"{type(error).__name__}: {' '.join(str(error).split())[:150]}")
            return False
        return True

    @property
    def good(self) -> bool:
        """Whether something was compared and nothing differs."""
        rows = self.families.values()
        return any(row.compared for row in rows) and not any(row.problems for row in rows)

    def __str__(self) -> str:
        """One line per family: arrays compared, largest difference, unequal integers, verdict; then three problems."""
        lines = [f"{'family':<30}{'arrays':>8}{'largest difference':>20}{'unequal':>9}  verdict"]
        for name, row in self.families.items():
            arrays = f"{row.compared}/{row.compared + row.absent}" if row.absent else str(row.compared)
            difference = "–" if row.difference is None else f"{row.difference:.1e}"
            unequal = "–" if row.unequal is None else str(row.unequal)
            lines.append(f"{name:<30}{arrays:>8}{difference:>20}{unequal:>9}  {row.verdict}")
            lines += [f"    {problem}" for problem in row.problems[:3]]
        absent = sum(not row.compared and not row.problems for row in self.families.values())
        agreed = f"the families agree, but for {absent} that the file lacks" if absent else "all families agree"
        kind = "relative" if self.relative else "absolute"
        verdict = agreed if self.good else "PARITY FAILED"
        return "\n".join([*lines, f"{verdict} (floats to {TOLERANCE:g} {kind}, integers exactly)"])

    def _family(self, name: str) -> Family:
        return self.families.setdefault(name, Family())

    def _floats(self, row: Family, name: str, actual: Tensor, expected: Tensor) -> None:
        expected = expected.double()
        differences = (actual.double() - expected).abs()
        if self.relative:
            differences = differences / _sizes(expected)
        differences[actual == expected] = 0.0  # equal infinities
        difference = float(differences.max()) if differences.numel() else 0.0
        row.difference = max(row.difference or 0.0, math.inf if math.isnan(difference) else difference)
        if not difference <= TOLERANCE:
            row.problems.append(f"{name}: off by {difference:.2g}")


def _sizes(expected: Tensor) -> Tensor:
    """Return every number's size, no less than the median of those that are not 0; 1 where all are."""
    sizes = expected.abs()
    positive = sizes[(sizes > 0) & sizes.isfinite()]
    return sizes.clamp(min=float(positive.median()) if positive.numel() else 1.0)
