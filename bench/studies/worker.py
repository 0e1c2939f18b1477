"""One training or run of a study, in this process or in one of several worker processes."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

from bench import paths, registry
from bench.checkpoints.checkpoint import ENCODER, checkpoint_path, copy_checkpoint
from bench.studies.plan import MACHINE, Job
from bench.system.environment import describe_environment, fingerprint
from results.store import write_atomically

SETTINGS, LOCK = "settings.json", ".lock"
Log = Callable[[str], None]


def do(job: Job) -> None:
    """Do a job as far as it is not done; a process that finds another one at the same job waits for it."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if job.is_done():
            return
        _write(job.folder / SETTINGS, dict(job.settings))
        machine = fingerprint(describe_environment())
        _write(job.folder / MACHINE, {"machine": machine, "pace": job.pace})
        put_weights(job)
        start(job.kind, job.options())


def start(kind: str, options: Any) -> None:
    """Train or run with typed options."""
    if kind == "run":
        from bench.run.runner import run

        run(options, lambda text: None)
    elif kind == "codec":
        from bench.train.codec import train_codec

        train_codec(options)
    else:
        from bench.train.network import train

        train(options)


def put_weights(job: Job) -> None:
    """Fill a job's folder of checkpoints: the shipped encoder and codecs, and over them what the job needs."""
    if not job.needs:
        return
    preset, target = str(job.given["preset"]), job.folder / "checkpoints"
    shipped = Path(job.given.get("checkpoints") or paths.CHECKPOINTS) / preset
    sources = {path.stem: path for path in [shipped / f"{ENCODER}.safetensors", *shipped.glob("codec-*.safetensors")]}
    sources = {name: path for name, path in sources.items() if path.exists()}
    if job.kind == "run":  # decoders that are not trained in this study run with their shipped weights
        used = {registry.decoder(name).weights for name in job.names}
        sources |= {name: path for name in used if (path := shipped / f"{name}.safetensors").exists()}
    for name, path in (sources | {name: need.weights for name, need in job.needs.items()}).items():
        copy_checkpoint(path, checkpoint_path(preset, name, target))


def _write(path: Path, content: Any) -> None:
    write_atomically(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def do_all(jobs: Sequence[Job], *, processes: int, log: Log) -> dict[Path, str]:
    """Do jobs, each when those that it needs are done; one that fails stops only those that need it.

    Args:
        jobs: each behind those that it needs.
        processes: worker processes; 1 works in this process.
        log: called with a message for each finished or failed job.

    Returns:
        Folder of each job that failed to its error.
    """
    waiting = [job for job in jobs if not job.is_done()]
    failed: dict[Path, str] = {}
    done, total = 0, len(waiting)
    with _workers(min(processes, total)) as workers:
        while waiting or workers.busy:
            for job in list(waiting):
                if any(need.folder in failed for need in job.before):
                    waiting.remove(job)
                    failed[job.folder] = "needs a training that failed"
                elif workers.free and all(need.is_done() for need in job.before):
                    waiting.remove(job)
                    workers.begin(job)
            for job, error in workers.finished():
                done += 1
                log(f"[{done}/{total}] {job.title}: {error or 'done'}")
                if error:
                    failed[job.folder] = error
    return failed


class _Here:
    """Works in this process."""

    def __init__(self) -> None:
        self.busy: dict[Any, Job] = {}

    @property
    def free(self) -> bool:
        return not self.busy

    def begin(self, job: Job) -> None:
        self.busy[0] = job

    def finished(self) -> Iterator[tuple[Job, str]]:
        for job in list(self.busy.values()):
            yield job, _attempt(job)
        self.busy.clear()


class _Workers:
    """Worker processes, each with a pipe; one that dies fails its job and is replaced."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.idle: list[tuple[Any, connection.Connection]] = []
        self.busy: dict[connection.Connection, Job] = {}
        self._processes: dict[connection.Connection, Any] = {}

    @property
    def free(self) -> bool:
        return len(self.busy) < self.number

    def begin(self, job: Job) -> None:
        if not self.idle:
            context = get_context("spawn")
            own, other = context.Pipe()
            process = context.Process(target=_serve, args=(other,), daemon=True)
            process.start()
            other.close()
            self.idle.append((process, own))
        process, pipe = self.idle.pop()
        pipe.send(job)
        self.busy[pipe], self._processes[pipe] = job, process

    def finished(self) -> Iterator[tuple[Job, str]]:
        if not self.busy:
            return  # there is nothing to wait for
        for pipe in [pipe for pipe in connection.wait(list(self.busy)) if isinstance(pipe, connection.Connection)]:
            job, process = self.busy.pop(pipe), self._processes.pop(pipe)
            try:
                error = pipe.recv()
                self.idle.append((process, pipe))
            except EOFError:
                process.join()
                error = f"its process ended with exit code {process.exitcode}"
            yield job, error

    def stop(self) -> None:
        for process, _ in [*self.idle, *((self._processes[pipe], pipe) for pipe in self.busy)]:
            process.terminate()
            process.join()


@contextmanager
def _workers(number: int) -> Iterator[_Here | _Workers]:
    if number <= 1:
        yield _Here()
        return
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # read by torch when a worker imports it
    workers = _Workers(number)
    try:
        yield workers
    finally:
        workers.stop()
        os.environ.pop("OMP_NUM_THREADS")
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads


def _serve(pipe: connection.Connection) -> None:
    """Do one job after another until the parent closes the pipe or dies."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            pipe.send(_attempt(pipe.recv()))


def _die_with_parent() -> None:
    if parent := parent_process():
        connection.wait([parent.sentinel])
    os._exit(1)


def _attempt(job: Job) -> str:
    """Do a job and return its error in one line; empty if there is none."""
    try:
        do(job)
    except Exception as error:  # other arms go on whatever this one comes upon
        return " ".join(f"{error}".split()) or type(error).__name__
    return ""
