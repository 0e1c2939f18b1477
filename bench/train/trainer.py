"""The training loop: steps, learning curve, checkpoints and exact resume, in one process or several.

No random state is carried from step to step: the images of a step and every draw made for them follow from seed, step
and part. So a killed training continues with the numbers it would have had, and two processes compute what one process
computes that cuts its steps into two parts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from bench.checkpoints.training_state import read_state, write_state
from bench.config.parts import IntervalOptions, JobOptions
from bench.config.training import Schedule
from bench.console import progress
from bench.distributed import ProcessGroup
from bench.errors import UserError
from bench.train.batch_stream import Batches, BatchStream
from bench.train.optimizer import DTYPES, MovingAverage, fastest_precision, make_optimizer, set_rate
from results.files import append_line, reserve, write_atomically
from results.store import setting_differences

CURVE = "curve.jsonl"
STATE = "state.pt"
INTERVALS = {field.name for field in fields(IntervalOptions)}
"""Options that decide no weight."""


@runtime_checkable
class NeedsStepWeights(Protocol):
    """A loss that must see all parts of a step before it computes the loss of the first."""

    def weigh_step(self, batches: Sequence[Any], seeds: Sequence[int]) -> None:
        """See this process's parts of a step, and the seed that torch gets before each."""
        ...


class Trainer:
    """Trains one model.

    Args:
        objective: a module that computes a scalar loss and its named parts from a batch.
        batches: training data.
        schedule: optimizer and learning rate.
        intervals: steps between curve points, evaluations and checkpoints, and threads that read ahead.
        folder: of the training; a state with the same ``signature`` in it is continued.
        signature: everything that decides the numbers, as plain JSON data.
        seed: of every random choice.
        accumulate: parts that a process cuts its share of a step into.
        fresh: discard a training in the folder instead of continuing it.
        evaluate: returns scores of the objective with averaged weights, or None.
        group: the processes that share the work.

    Attributes:
        step: optimizer steps done.
        ema: moving average of the weights.
        precision: chosen type of matrix products.
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
        intervals: IntervalOptions,
        folder: Path,
        signature: Mapping[str, Any],
        seed: int,
        accumulate: int = 1,
        fresh: bool = False,
        evaluate: Callable[[], dict[str, float]] | None = None,
        group: ProcessGroup | None = None,
    ) -> None:
        self.group = group or ProcessGroup()
        self.parts = self.group.world_size * accumulate
        if schedule.batch % self.parts:
            raise UserError(f"a batch of {schedule.batch} images cannot be cut into {self.parts} equal parts")
        self.device = self.group.device
        self.objective = objective.to(self.device)
        self.schedule = schedule
        self.intervals = intervals
        self.folder = folder
        self.signature = {**json.loads(json.dumps(signature)), "parts": self.parts}  # draws depend on the part
        self.evaluate = evaluate
        self.optimizer = make_optimizer(self.objective, schedule)
        self.ema = MovingAverage(self.objective.named_parameters(), schedule.average)
        self.step = 0
        self.precision: str = schedule.precision
        self.seconds = self.cpu_seconds = 0.0
        self._sums: dict[str, Tensor] = {}  # of losses since the last point of the curve
        scaler = self._clear() if fresh else self._resume()
        if self.precision == "auto":
            self.precision = self.group.all_gather(fastest_precision(self.device))[0]
        first = self.group.rank * accumulate
        self._own_parts = range(first, first + accumulate)
        self._stream = BatchStream(
            batches,
            seed=seed,
            size=schedule.batch // self.parts,
            parts=self.parts,
            own_parts=self._own_parts,
            workers=intervals.readers,
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
                started, cpu_started = time.perf_counter(), time.process_time()
                losses, norm, rate = self._one_step()
                self.seconds += time.perf_counter() - started
                self.cpu_seconds += time.process_time() - cpu_started
                self.step += 1
                self._after_step(losses, norm, rate)
                report(self.step, self.schedule.steps)
        self._stream.close()

    def last_evaluation(self) -> dict[str, float]:
        """Return the newest scores on the learning curve; empty if it has none."""
        lines = (self.folder / CURVE).read_text().splitlines() if (self.folder / CURVE).exists() else []
        scores = [point["evaluation"] for point in map(json.loads, lines) if "evaluation" in point]
        return dict(scores[-1]) if scores else {}

    def _one_step(self) -> tuple[dict[str, Tensor], Tensor, float]:
        """Change the weights once; return mean losses by name, the gradient's norm and the learning rate."""
        rate = set_rate(self.optimizer, self.step, self.schedule)
        parts = [self._stream.get(self.step, part) for part in self._own_parts]
        if len(parts) > 1 and isinstance(self.objective, NeedsStepWeights):
            with self._autocast():
                self.objective.weigh_step(*zip(*parts, strict=True))
        losses = [self._backward(*part, last=part is parts[-1]) for part in parts]
        self._scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), self.schedule.clip, foreach=True)
        self._check_finite(torch.stack([part["loss"] for part in losses]).mean(), norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.schedule.average:
            self.ema.update(self.step)
        return {name: torch.stack([part[name] for part in losses]).mean() for name in losses[0]}, norm, rate

    def _check_finite(self, loss: Tensor, norm: Tensor) -> None:
        """Stop before the weights are changed. A gradient scaler skips steps without a finite gradient by itself."""
        checked = {"loss": loss} if self._scaler.is_enabled() else {"loss": loss, "gradient's norm": norm}
        for name, value in zip(checked, torch.stack([*checked.values()]).tolist(), strict=True):
            if not np.isfinite(value):
                raise UserError(
                    f"{self.folder}: the {name} is {value} at step {self.step + 1}; give a lower rate in the schedule, "
                    "and --fresh"
                )

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision], enabled=self.precision != "float32")

    def _backward(self, batch: Any, seed: int, *, last: bool) -> dict[str, Tensor]:
        """Add the gradients of one part of a step; processes exchange them with the last part only."""
        torch.manual_seed(seed)  # dropout draws from the global stream
        model = self._wrapped
        unsynced = isinstance(model, nn.parallel.DistributedDataParallel) and not last
        with model.no_sync() if unsynced else nullcontext():  # type: ignore[operator]
            with self._autocast():
                loss, details = model(batch)
            self._scaler.scale(loss / len(self._own_parts)).backward()
        return {name: value.detach() for name, value in {"loss": loss, **details}.items()}

    def _after_step(self, losses: Mapping[str, Tensor], norm: Tensor, rate: float) -> None:
        ends = self.step == self.schedule.steps
        for name, value in {**losses, "steps": torch.ones(())}.items():
            self._sums[name] = self._sums.get(name, 0) + value.float()
        if self.step % self.intervals.log_every == 0 or ends or self.step == 1:
            self._log_step(norm, rate)
        due = ends or (self.intervals.evaluate_every > 0 and self.step % self.intervals.evaluate_every == 0)
        if due and self.evaluate is not None and self.group.is_main:
            with self.averaged():
                self._log({"step": self.step, "evaluation": self.evaluate()})
        if ends or self.step % self.intervals.save_every == 0:
            self._share_sums()
            if self.group.is_main:
                self._save()

    def _share_sums(self) -> None:
        """Replace the sums of losses by their mean over all processes, as one process saves them for all."""
        if self._sums and self.group.world_size > 1:
            values = self.group.mean(torch.stack([value.to(self.device) for value in self._sums.values()]))
            self._sums = dict(zip(self._sums, values.unbind(), strict=True))

    def _log_step(self, norm: Tensor, rate: float) -> None:
        """Add a point to the curve: mean losses of the steps since the last point."""
        steps = self._sums.pop("steps")
        values = self.group.mean(torch.stack([*self._sums.values()]) / steps.to(self.device))
        losses = dict(zip(self._sums, values.tolist(), strict=True))
        self._sums = {}
        cost = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        self._log({"step": self.step, **losses, "norm": float(norm), "rate": rate, **cost})

    def _log(self, point: Mapping[str, Any]) -> None:
        if self.group.is_main:
            append_line(self.folder / CURVE, json.dumps(_rounded(point)).encode())

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the model its averaged weights, if there is an average, and put it in evaluation mode."""
        trained = {}
        parameters = dict(self.objective.named_parameters())
        if self.schedule.average:
            for name, value in self.ema.values.items():
                trained[name], parameters[name].data = parameters[name].data, value.to(parameters[name].device)
        self.objective.eval()
        try:
            yield
        finally:
            self.objective.train()
            for name, value in trained.items():
                parameters[name].data = value

    def _save(self) -> None:
        state = {
            "signature": self.signature,
            "step": self.step,
            "precision": self.precision,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "sums": self._sums,
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.ema.values,
            "scaler": self._scaler.state_dict(),
        }
        write_state(self.folder / STATE, state)

    def _clear(self) -> dict[str, Any]:
        """Remove state and curve; return the empty state of a gradient scaler."""
        if self.group.is_main:
            for name in (STATE, CURVE):
                (self.folder / name).unlink(missing_ok=True)
        return {}

    def _resume(self) -> dict[str, Any]:
        """Load the state in the folder, if there is one; return the state of its gradient scaler."""
        path = self.folder / STATE
        if not path.exists():
            return self._clear()  # the curve is of a training that was killed before its first checkpoint
        state = read_state(path, self.device)
        if changed := setting_differences(state["signature"], self.signature):
            raise UserError(
                f"{self.folder}: holds a training with other settings ({', '.join(changed)}); "
                "choose another --out, or discard it with --fresh"
            )
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.load(state["average"])
        self.step, self.precision = state["step"], state["precision"]
        self.seconds, self.cpu_seconds = state["seconds"], state["cpu_seconds"]
        self._sums = state["sums"]
        if self.group.is_main:
            _cut_curve(self.folder / CURVE, self.step)
        return dict(state["scaler"])

    def _distributed(self) -> nn.Module:
        if self.group.world_size == 1:
            return self.objective
        return nn.parallel.DistributedDataParallel(self.objective, broadcast_buffers=False)


def prepare(options: JobOptions, name: str) -> Path:
    """Set torch's threads; return the folder of a training, which can be written.

    Raises:
        StoreError: if it cannot be written.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = options.out or Path("results/runs") / f"train-{options.preset}" / f"{name}-{options.seed}"
    reserve(folder / ".writable")
    return folder


@contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Treat numbers next to zero as zero: on a CPU they are a hundred times slower than others."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _cut_curve(path: Path, step: int) -> None:
    """Remove points behind ``step``, and a line that a kill left unfinished."""
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with suppress(json.JSONDecodeError, TypeError, KeyError):
            if json.loads(line)["step"] <= step:
                lines.append(line + "\n")
    write_atomically(path, "".join(lines).encode())


def _rounded(value: Any) -> Any:
    """Return JSON data with floats of six digits."""
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value
