"""A file of golden arrays, and the table of how far our own numbers are from them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError

TOLERANCE = 1e-4  # for floats; integers and truth values must be equal
META, AIT = "meta_json", "tr/cfg"  # what describes the model in a file of MAD's and of AiT's arrays
INPUTS = ("param/", "gt/", "given/", "in/")  # what numbers are computed from


class GoldenFile:
    """Arrays of a model's released classes, with everything that is needed to build the model.

    Attributes:
        meta: what a file of MAD's arrays says of the model; empty for AiT's, which has several ``config`` arrays.
        unread: names of arrays that nothing asked for yet.

    Raises:
        UserError: if the file is missing, no ``.npz``, or does not describe a model.
    """

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; give an .npz of golden arrays") from None
        except Exception as error:  # damaged archives raise whatever zip, zlib, NumPy and its parser come upon
            told = " ".join(str(error).split())[:100] or type(error).__name__
            raise UserError(f"{path}: not an .npz of plain arrays ({told})") from None
        if META not in arrays and AIT not in arrays:
            raise UserError(f"{path}: has no {META} or {AIT} array that describes a model; is it a golden file?")
        self._path, self._arrays = path, arrays
        self.unread = set(arrays)
        self.meta = self.config(META) if META in arrays else {}

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    @property
    def names(self) -> list[str]:
        """Names of all arrays."""
        return list(self._arrays)

    def config(self, name: str) -> dict[str, Any]:
        """A JSON array by name.

        Raises:
            KeyError: if the file has none of it.
            UserError: if it is no JSON object.
        """
        self.unread.discard(name)
        try:
            found = json.loads(str(self._arrays[name]))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UserError(f"{self._path}: its {name} is no JSON object; is it a golden file?")
        return found

    def tensor(self, name: str) -> Tensor:
        """An array by name. Raises KeyError if the file has none of it."""
        self.unread.discard(name)
        return torch.from_numpy(np.array(self._arrays[name]))  # 0-d arrays stay arrays

    def beginning(self, prefix: str) -> dict[str, Tensor]:
        """Arrays whose name begins with ``prefix``, by the rest of their name."""
        return {name.removeprefix(prefix): self.tensor(name) for name in self._arrays if name.startswith(prefix)}


@dataclass
class Family:
    """What was found for arrays of one kind.

    Args:
        compared: arrays compared.
        absent: arrays that the file does not have.
        difference: largest difference of floats.
        unequal: integers and truth values that differ.
        problems: arrays that are off or could not be computed, and why.
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
    """Our numbers beside those of a golden file, family by family.

    Args:
        golden: the file.
        relative: whether floats are held against their own size, or the array's usual one where that is larger, instead
            of against 1.
    """

    def __init__(self, golden: GoldenFile, *, relative: bool = False) -> None:
        self._golden = golden
        self.relative = relative
        self.families: dict[str, Family] = {}

    def compare(self, family: str, name: str, actual: Tensor, *, pick: Any = None) -> None:
        """Compare one array.

        Args:
            family: row of the table.
            name: name of the array in the file.
            actual: ours.
            pick: index of the part of the file's array that ours is.
        """
        row = self.families.setdefault(family, Family())
        if name not in self._golden:
            row.absent += 1
            return
        wanted = self._golden.tensor(name)
        if pick is not None:
            wanted = wanted[pick]
        actual = actual.detach().cpu()
        row.compared += 1
        if wanted.shape != actual.shape:
            row.problems.append(f"{name}: shape {list(actual.shape)}, expected {list(wanted.shape)}")
        elif actual.is_floating_point():
            self._floats(row, name, actual, wanted)
        else:
            unequal = int((actual != wanted).sum())
            row.unequal = (row.unequal or 0) + unequal
            if unequal:
                row.problems.append(f"{name}: {unequal} of {wanted.numel()} differ")

    def note(self, family: str, equal: bool, problem: str) -> None:
        """Count one value that is not an array of the file."""
        row = self.families.setdefault(family, Family(unequal=0))
        row.compared += 1
        if not equal:
            row.unequal = (row.unequal or 0) + 1
            row.problems.append(problem)

    def failed(self, family: str, problem: str) -> None:
        """Note that something could not be computed."""
        self.families.setdefault(family, Family()).problems.append(problem)

    @property
    def good(self) -> bool:
        """Whether something was compared and nothing is off."""
        rows = self.families.values()
        return any(row.compared for row in rows) and not any(row.problems for row in rows)

    def _floats(self, row: Family, name: str, actual: Tensor, wanted: Tensor) -> None:
        wanted = wanted.double()
        off = (actual.double() - wanted).abs()
        if self.relative:
            off = off / _size(wanted)
        off[actual == wanted] = 0.0  # equal infinities
        difference = float(off.max()) if off.numel() else 0.0
        row.difference = max(row.difference or 0.0, math.inf if math.isnan(difference) else difference)
        if not difference <= TOLERANCE:
            row.problems.append(f"{name}: off by {difference:.2g}")


def _size(wanted: Tensor) -> Tensor:
    """Of every number, but no less than the median of those that are not 0; 1 where all are."""
    sizes = wanted.abs()
    known = sizes[(sizes > 0) & sizes.isfinite()]
    return sizes.clamp(min=float(known.median()) if known.numel() else 1.0)


def as_table(table: ParityTable) -> str:
    """The families as text: arrays compared, largest difference, unequal integers, verdict, first problem."""
    lines = [f"{'family':<30}{'arrays':>8}{'largest difference':>20}{'unequal':>9}  verdict"]
    for name, row in table.families.items():
        arrays = f"{row.compared}/{row.compared + row.absent}" if row.absent else str(row.compared)
        difference = "–" if row.difference is None else f"{row.difference:.1e}"
        unequal = "–" if row.unequal is None else str(row.unequal)
        lines.append(f"{name:<30}{arrays:>8}{difference:>20}{unequal:>9}  {row.verdict}")
        lines += [f"    {problem}" for problem in row.problems[:3]]
    absent = sum(not row.compared and not row.problems for row in table.families.values())
    agreed = f"the families agree, but for {absent} that the file lacks" if absent else "all families agree"
    verdict = agreed if table.good else "PARITY FAILED"
    kind = "relative" if table.relative else "absolute"
    lines.append(f"{verdict} (floats to {TOLERANCE:g} {kind}, integers exactly)")
    return "\n".join(lines)
