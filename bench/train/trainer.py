"""The training loop: steps, learning curve, checkpoints and their exact continuation, alone or in several processes.

Nothing random is carried from step to step. Which images a step sees and every draw made for them follow from seed,
step and part alone, so that a training that was killed continues with the very numbers it would have had, and two
processes do what one process does that cuts its steps into two parts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from bench.config.training import Schedule
from bench.console import progress
from bench.distributed import Processes
from bench.errors import UserError
from bench.train.batch_stream import Batches, BatchStream
from bench.train.optimizer import MovingAverage, make_optimizer, set_rate
from results.store import write_atomically

CURVE = "curve.jsonl"
STATE = "state.pt"
KEPT = {"signature", "step", "objective", "optimizer"}  # among what a state holds
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Pace:
    """How often what is done, in steps.

    Args:
        log: points of the learning curve.
        evaluate: evaluations; 0 only at the end.
        save: checkpoints.
        accumulate: parts that a process cuts its share of a step into.
        readers: threads that prepare batches ahead.
    """

    log: int = 50
    evaluate: int = 0
    save: int = 1000
    accumulate: int = 1
    readers: int = 0


@runtime_checkable
class Measured(Protocol):
    """An objective whose parts of a step are known to each other before any of them is learned from."""

    def measure(self, batches: Sequence[Any], seeds: Sequence[int]) -> None:
        """See all parts of a step of this process, and what torch is seeded with before each."""
        ...


class Trainer:
    """Trains one model.

    Args:
        objective: a module that makes a scalar loss and its named parts from a batch.
        batches: training data.
        schedule: optimizer and learning rate.
        pace: how often to log, evaluate and save.
        folder: of the training; a state with the same ``signature`` in it is continued.
        signature: everything that decides the numbers, as plain JSON data.
        seed: of every random choice.
        fresh: discard a training in the folder instead of continuing it.
        evaluate: measures the objective with averaged weights, or None.
        team: the processes that share the work.

    Attributes:
        step: optimizer steps done.
        average: moving average of the weights.
        precision: the type of matrix products that was chosen.
        seconds: wall-clock time of all steps so far.
        cpu_seconds: processor time of this process for them.

    Raises:
        UserError: if the batch cannot be shared equally, or the folder holds a training with another signature.
    """

    def __init__(
        self,
        *,
        objective: nn.Module,
        batches: Batches,
        schedule: Schedule,
        pace: Pace,
        folder: Path,
        signature: Mapping[str, Any],
        seed: int,
        fresh: bool = False,
        evaluate: Callable[[], dict[str, float]] | None = None,
        team: Processes | None = None,
    ) -> None:
        self.team = team or Processes()
        self.parts = self.team.world * pace.accumulate
        if schedule.batch % self.parts:
            raise UserError(f"a batch of {schedule.batch} images cannot be cut into {self.parts} equal parts")
        self.device = self.team.device
        self.objective = objective.to(self.device)
        self.schedule = schedule
        self.pace = pace
        self.folder = folder
        self.signature = {**json.loads(json.dumps(signature)), "parts": self.parts}  # draws depend on the part
        self.evaluate = evaluate
        self.optimizer = make_optimizer(self.objective, schedule)
        self.average = MovingAverage(self.objective.named_parameters(), schedule.average)
        self.step = 0
        self.precision: str = schedule.precision
        self.seconds = self.cpu_seconds = 0.0
        self._sums: dict[str, Tensor] = {}  # of losses since the last point of the curve
        scaler = self._begin() if fresh else self._resume()
        if self.precision == "auto":
            self.precision = self.team.everyone(fastest_precision(self.device))[0]
        first = self.team.rank * pace.accumulate
        self._stream = BatchStream(
            batches,
            seed=seed,
            size=schedule.batch // self.parts,
            parts=self.parts,
            own=range(first, first + pace.accumulate),
            readers=pace.readers,
            steps=schedule.steps,
        )
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "float16")
        if scaler:
            self._scaler.load_state_dict(scaler)
        self._wrapped = self._distributed()

    def run(self) -> None:
        """Train to the last step, then evaluate and save."""
        self.objective.train()
        with _flushed_denormals(), progress(f"training {self.folder.name}") as report:
            while self.step < self.schedule.steps:
                started, busy = time.perf_counter(), time.process_time()
                loss, parts, norm, rate = self._one_step()
                self.seconds += time.perf_counter() - started
                self.cpu_seconds += time.process_time() - busy
                self.step += 1
                self._after_step(loss, parts, norm, rate)
                report(self.step, self.schedule.steps)
        self._stream.close()

    def last_evaluation(self) -> dict[str, float]:
        """The newest scores on the learning curve; empty if it has none."""
        lines = (self.folder / CURVE).read_text().splitlines() if (self.folder / CURVE).exists() else []
        found = [point["evaluation"] for point in map(json.loads, lines) if "evaluation" in point]
        return dict(found[-1]) if found else {}

    def _one_step(self) -> tuple[Tensor, dict[str, Tensor], Tensor, float]:
        rate = set_rate(self.optimizer, self.step, self.schedule)
        losses, details = [], []
        first = self.team.rank * self.pace.accumulate
        given = [self._stream.get(self.step, first + own) for own in range(self.pace.accumulate)]
        if len(given) > 1 and isinstance(self.objective, Measured):
            with self._autocast():
                self.objective.measure(*zip(*given, strict=True))
        for own, (batch, seed) in enumerate(given):
            loss, found = self._backward(batch, seed, last=own == len(given) - 1)
            losses.append(loss)
            details.append(found)
        self._scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), self.schedule.clip, foreach=True)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.schedule.average:
            self.average.update(self.step)
        mean = {name: torch.stack([found[name] for found in details]).mean() for name in details[0]}
        return torch.stack(losses).mean(), mean, norm, rate

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision], enabled=self.precision != "float32")

    def _backward(self, batch: Any, seed: int, *, last: bool) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(seed)  # dropout draws from the global stream
        shared = self._wrapped
        waits = shared.no_sync() if isinstance(shared, nn.parallel.DistributedDataParallel) and not last else None
        with waits or nullcontext():
            with self._autocast():
                loss, parts = self._wrapped(batch)
            self._scaler.scale(loss / self.pace.accumulate).backward()
        return loss.detach(), {name: value.detach() for name, value in parts.items()}

    def _after_step(self, loss: Tensor, parts: Mapping[str, Tensor], norm: Tensor, rate: float) -> None:
        ends = self.step == self.schedule.steps
        for name, value in {"loss": loss, **parts, "steps": torch.ones(())}.items():
            self._sums[name] = self._sums.get(name, 0) + value.float()
        if self.step % self.pace.log == 0 or ends or self.step == 1:
            self._log_step(norm, rate)
        due = ends or (self.pace.evaluate > 0 and self.step % self.pace.evaluate == 0)
        if due and self.evaluate is not None and self.team.first:
            with self.averaged():
                self._log({"step": self.step, "evaluation": self.evaluate()})
        if ends or self.step % self.pace.save == 0:
            self._share_sums()
            if self.team.first:
                self._save()

    def _share_sums(self) -> None:
        """Give all processes the same sums of losses, so that one of them can save those of all."""
        if self._sums and self.team.world > 1:
            values = self.team.mean(torch.stack([value.to(self.device) for value in self._sums.values()]))
            self._sums = dict(zip(self._sums, values.unbind(), strict=True))

    def _log_step(self, norm: Tensor, rate: float) -> None:
        """A point of the curve: mean losses of the steps since the last one."""
        steps = self._sums.pop("steps")
        values = self.team.mean(torch.stack([*self._sums.values()]) / steps.to(self.device))
        numbers = dict(zip(self._sums, values.tolist(), strict=True))
        self._sums = {}
        if not np.isfinite(numbers["loss"]):
            raise UserError(f"{self.folder}: the loss is {numbers['loss']} at step {self.step}; lower the rate")
        self._log({"step": self.step, **numbers, "norm": float(norm), "rate": rate, **self._cost()})

    def _cost(self) -> dict[str, float]:
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}

    def _log(self, point: Mapping[str, Any]) -> None:
        if self.team.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / CURVE).open("a") as stream:
                stream.write(json.dumps(_rounded(point)) + "\n")

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model has its averaged weights (its own where there is no average) and is in evaluation mode."""
        own = {}
        named = dict(self.objective.named_parameters())
        if self.schedule.average:
            for name, value in self.average.values.items():
                own[name], named[name].data = named[name].data, value.to(named[name].device)
        self.objective.eval()
        try:
            yield
        finally:
            self.objective.train()
            for name, value in own.items():
                named[name].data = value

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "signature": self.signature,
            "step": self.step,
            "precision": self.precision,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "sums": self._sums,
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.values,
            "scaler": self._scaler.state_dict(),
        }
        part = self.folder / f".{STATE}.part"
        torch.save(state, part)
        part.replace(self.folder / STATE)

    def _begin(self) -> dict[str, Any]:
        """Clear the folder."""
        if self.team.first:
            for name in (STATE, CURVE):
                (self.folder / name).unlink(missing_ok=True)
        return {}

    def _resume(self) -> dict[str, Any]:
        """Take over the state in the folder, if there is one, and give the state of its gradient scaler."""
        path = self.folder / STATE
        if not path.exists():
            return self._begin()  # a curve is of a training that was killed before its first checkpoint
        state = _read_state(path, self.device)
        if state["signature"] != self.signature:
            raise UserError(
                f"{self.folder}: holds a training with other settings "
                f"({_changed(state['signature'], self.signature)}); "
                "choose another --out, or discard it with --fresh"
            )
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"])
        self.step, self.precision = state["step"], state["precision"]
        self.seconds, self.cpu_seconds = state["seconds"], state["cpu_seconds"]
        self._sums = state["sums"]
        if self.team.first:
            _cut_curve(self.folder / CURVE, self.step)
        return dict(state["scaler"])

    def _distributed(self) -> nn.Module:
        if self.team.world == 1:
            return self.objective
        return nn.parallel.DistributedDataParallel(self.objective, broadcast_buffers=False)


@contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Inside, numbers next to zero are zero: on a CPU they are a hundred times slower than others."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def fastest_precision(device: torch.device, side: int = 768) -> str:
    """``bfloat16`` where its matrix products are at least half as fast again as float32's, else ``float32``.

    On an accelerator without units for bfloat16 the answer is ``float16``.
    """
    if device.type != "cpu":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    seconds = {}
    for name in ("float32", "bfloat16"):
        matrix = torch.ones(side, side, dtype=DTYPES[name])
        best = float("inf")
        for _ in range(6):
            started = time.perf_counter()
            matrix @ matrix
            best = min(best, time.perf_counter() - started)
        seconds[name] = best
    return "bfloat16" if seconds["bfloat16"] * 1.5 < seconds["float32"] else "float32"


def _read_state(path: Path, device: torch.device) -> dict[str, Any]:
    """What ``Trainer._save`` wrote. Raises UserError if the file is damaged."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        told = "" if isinstance(state, dict) and state.keys() >= KEPT else "not a training's state"
    except (torch.OutOfMemoryError, MemoryError, OSError):
        raise  # says nothing against the file
    except Exception as error:  # torch raises whatever its reader comes upon
        told = " ".join(str(error).split())[:100] or type(error).__name__
    if told:
        raise UserError(f"{path}: broken ({told}); discard it with --fresh, or choose another --out")
    return dict(state)


def _cut_curve(path: Path, step: int) -> None:
    """Leave the points up to a step; a line that a kill left half is none."""
    kept = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with suppress(json.JSONDecodeError, TypeError, KeyError):
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
    write_atomically(path, "".join(kept).encode())


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return ", ".join(sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k)))


def _rounded(value: Any) -> Any:
    """JSON data with floats of six digits."""
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value
