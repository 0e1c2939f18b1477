"""Trainings and runs that a study consists of, in the order in which they can be done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench import registry
from bench.builders.decoder import build_decoder, options_of
from bench.checkpoints.checkpoint import ENCODER, checkpoint_path, weights_hashes
from bench.checkpoints.codec import codec_name
from bench.config.loading import load_codec, load_run, load_train
from bench.errors import UserError, unknown
from bench.paths import CHECKPOINTS
from bench.studies.definition import TRAINED, Arm, Definition, Options, merged, safe
from results.store import PARTIAL, RECORD

MACHINE = "machine.json"  # beside a finished job: where it ran, and what its pace is called

PLACES = ("out", "checkpoints", "fresh", "report", "start", "publish", "threads")  # decide no number
STAGE_SEEDS = 10  # between the seeds of two stages of a training
DATA = ("preset", "split", "evaluate_on", "coco", "nyu", "limit")  # of a training, for the codecs before it
LOADERS: dict[str, Callable[[Options], Any]] = {"train": load_train, "codec": load_codec, "run": load_run}


@dataclass(frozen=True)
class Job:
    """One training or run.

    Args:
        kind: of options: ``train``, ``codec`` or ``run``.
        folder: where it works.
        given: its options beside those of the preset.
        needs: name of weights to the training that makes them; they are put among its checkpoints.
        start: training whose weights it starts from.
        settings: everything that decides its numbers, as plain JSON data.
        arms: arms that it is done for.
    """

    kind: Literal["train", "codec", "run"]
    folder: Path
    given: Options
    needs: Mapping[str, Job]
    start: Job | None
    settings: Mapping[str, Any]
    arms: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Its decoders, or its codec as weights are named."""
        return [codec_name(self.given["codec"])] if self.kind == "codec" else str(self.given["decoder"]).split(",")

    @property
    def title(self) -> str:
        """What it is, for messages."""
        verb = "run" if self.kind == "run" else "train"
        return f"{verb} {', '.join(self.names)} (seed {self.given['seed']}; {', '.join(self.arms)})"

    @property
    def weights(self) -> Path:
        """The file that a training writes."""
        return self.folder / f"{self.names[0]}.safetensors"

    @property
    def before(self) -> list[Job]:
        """Jobs that must be done first."""
        return [*self.needs.values(), *([self.start] if self.start else [])]

    @property
    def pace(self) -> str:
        """What jobs have in common that take the same time a step: their settings but seed and weights."""
        return digest({name: value for name, value in self.settings.items() if name not in ("seed", "needs", "start")})

    def options(self) -> Any:
        """Return the typed options, one thread, with the places of weights."""
        places: Options = {"out": str(self.folder), "threads": 1}
        if self.needs:
            places["checkpoints"] = str(self.folder / "checkpoints")
        if self.start:
            places["start"] = str(self.start.weights)
        return LOADERS[self.kind]({**self.given, **places})

    def is_done(self) -> bool:
        """Whether it is finished."""
        if self.kind != "run":
            return self.weights.exists() and self.weights.with_suffix(".json").exists()
        folders = [self.folder / name for name in self.names]
        return all((folder / RECORD).exists() and not (folder / PARTIAL).exists() for folder in folders)


@dataclass(frozen=True)
class Plan:
    """A study's jobs.

    Args:
        jobs: each behind those that it needs.
        results: arm to its last job for each seed: the run, or the training of a codec.
        failed: arm to why nothing of it can be done.
    """

    jobs: list[Job]
    results: dict[str, list[Job]]
    failed: dict[str, str]


def plan(name: str, definition: Definition, *, work: Path, given: Mapping[str, Any], only: Sequence[str] = ()) -> Plan:
    """Return the jobs of a study.

    Args:
        name: of the study.
        definition: what it consists of.
        work: folder of all trainings and runs.
        given: options of the command line, for all trainings and runs.
        only: arms to do; default: all.

    Raises:
        UserError: if options cannot be used.
    """
    for arm in only:
        if arm not in definition.arms:
            raise UserError(f"--only: {unknown('arm', arm, list(definition.arms))}")
    for folder in definition.data:
        if folder not in given:
            raise UserError(f"study {name}: is of real data; give --{folder} DIR")
    return _Planner(name, definition, work, given).plan(only or list(definition.arms))


class _Planner:
    def __init__(self, name: str, definition: Definition, work: Path, given: Mapping[str, Any]) -> None:
        self.name, self.definition, self.work, self.given = name, definition, work, given
        self.jobs: dict[Path, Job] = {}
        self._typed: dict[str, Any] = {}

    def plan(self, arms: Sequence[str]) -> Plan:
        results: dict[str, list[Job]] = {name: [] for name in arms}
        failed = {name: fault for name in arms if (fault := self._missing_weights(name))}
        for seed in self.definition.seeds:
            groups: dict[str, list[str]] = {}
            for name in arms:
                arm = self.definition.arm(name)
                if arm.codec:
                    results[name].append(self._codec(name, arm.codec, self._options(arm, "train"), seed))
                elif name not in failed:
                    groups.setdefault(arm.group or name, []).append(name)
            for group, members in groups.items():
                run = self._run(group, members, seed)
                for name in members:
                    results[name].append(run)
        return Plan(list(self.jobs.values()), results, failed)

    def _options(self, arm: Arm, part: Literal["train", "run"]) -> Options:
        shared = (self.definition.options, getattr(self.definition, part), arm.options, getattr(arm, part))
        splits = self.definition.splits
        split = {"split": splits.train, "evaluate_on": splits.validate} if part == "train" else {"split": splits.test}
        return merged({"preset": self.definition.preset}, split, *shared, self.given)

    def _missing_weights(self, name: str) -> str:
        """Which shipped weights an arm lacks; empty if none."""
        arm = self.definition.arm(name)
        if arm.codec:
            return ""
        entry = registry.decoder(arm.decoder)
        if not entry.needs_network or (arm.weights != "shipped" and not arm.shipped_seeds):
            return ""
        root = Path(self._options(arm, "run").get("checkpoints") or CHECKPOINTS)
        path = checkpoint_path(self.definition.preset, entry.weights, root)
        return "" if path.exists() else f"{path}: no such weights"

    def _add(self, kind: Any, given: Options, folder: Path | None, needs: Mapping[str, Job], **more: Any) -> Job:
        start = more.get("start")
        settings = _settings(self._parsed(kind, given), kind, given, needs, start)
        folder = folder or self.work / "trainings" / f"{_title(given)}-{given['seed']}-{digest(settings)}"
        job = self.jobs.setdefault(folder, Job(kind, folder, given, needs, start, settings))
        job.arms.extend(name for name in more["arms"] if name not in job.arms)
        return job

    def _parsed(self, kind: str, given: Options) -> Any:
        """The typed options of a job; parsing takes long, and jobs of several seeds differ in the seed alone."""
        seedless = {key: value for key, value in given.items() if key != "seed"}
        key = json.dumps([kind, seedless], sort_keys=True, default=str)
        if key not in self._typed:
            self._typed[key] = LOADERS[kind](seedless)
        return dataclasses.replace(self._typed[key], seed=given["seed"])

    def _codec(self, name: str, codec: str, options: Options, seed: int) -> Job:
        return self._add("codec", {"codec": codec, **options, "seed": seed}, None, {}, arms=[name])

    def _parts(self, name: str, seed: int) -> dict[str, Job]:
        """Codecs and encoder that an arm has of its own."""
        arm = self.definition.arm(name)
        base = self._options(Arm(), "train")
        data: Options = {
            key: base[key] for key in ("preset", "split", "evaluate_on", "coco", "nyu", "limit") if key in base
        }
        parts = {codec_name(c): self._codec(name, c, merged(data, own), seed) for c, own in arm.codecs.items()}
        if arm.encoder is not None:
            given = {"decoder": ENCODER, **merged(base, arm.encoder), "seed": seed}
            parts[ENCODER] = self._add("train", given, None, {}, arms=[name])
        return parts

    def _training(self, name: str, seed: int) -> Job:
        """The last stage of an arm's training."""
        arm = self.definition.arm(name)
        job: Job | None = None
        needs, options = self._parts(name, seed), self._options(arm, "train")
        for number, stage in enumerate(arm.stages):
            given = merged({"decoder": arm.decoder}, options, stage, {"seed": seed + number * STAGE_SEEDS})
            job = self._add("train", given, None, needs, arms=[name], start=job)
        assert job is not None  # noqa: S101  # read_definition refuses an arm without stages
        return job

    def _run(self, group: str, members: Sequence[str], seed: int) -> Job:
        """The run of arms that are interleaved."""
        given: Options = {}
        needs: dict[str, Job] = {}
        for name in members:
            arm = self.definition.arm(name)
            options = {"decoder": arm.decoder, **self._options(arm, "run"), "seed": seed}
            alone = {key: value for key, value in options.items() if key not in ("decoder", "strategy")}
            shared = {key: value for key, value in given.items() if key not in ("decoder", "strategy")}
            if given and (alone != shared or arm.decoder in given["decoder"].split(",")):
                raise UserError(f"group {group!r}: {name!r} must differ from the others in decoder and strategy alone")
            parts = self._parts(name, seed)
            entry = registry.decoder(arm.decoder)
            if entry.needs_network and arm.weights != "shipped" and seed not in arm.shipped_seeds:
                source = name if arm.weights == TRAINED else arm.weights
                parts |= {entry.weights: self._training(source, seed), **self._parts(source, seed)}
            for part, job in parts.items():
                if needs.setdefault(part, job) is not job:
                    raise UserError(f"group {group!r}: {name!r} has another {part} than the others")
            given = merged(given, options, {"decoder": ",".join(filter(None, [given.get("decoder"), arm.decoder]))})
        folder = self.work / self.name / f"{safe(group)}-{seed}"
        return self._add("run", given, folder, needs, arms=list(members))


def _title(given: Options) -> str:
    return codec_name(given["codec"]) if "codec" in given else str(given["decoder"])


def _settings(options: Any, kind: str, given: Options, needs: Mapping[str, Job], start: Job | None) -> dict[str, Any]:
    """Resolved options, with the strategies' defaults and what the weights are that are used."""
    plain = {name: value for name, value in dataclasses.asdict(options).items() if name not in PLACES}
    named = [] if kind == "codec" or given["decoder"] == ENCODER else str(given["decoder"]).split(",")
    entries = [registry.decoder(name) for name in named]
    if named:
        plain["strategy"] = {name: options_of(build_decoder(name, options.strategy)) for name in named}
    weights: dict[str, Any] = {name: digest(job.settings) for name, job in needs.items()}
    if kind == "run":
        for entry in entries:
            name = entry.weights
            if entry.needs_network and name not in needs:
                with suppress(OSError):  # the run says which weights are missing
                    weights |= weights_hashes(name, options)
    settings = {**plain, "needs": weights, "start": start and digest(start.settings)}
    return dict(json.loads(json.dumps(settings, default=str)))


def digest(settings: Mapping[str, Any]) -> str:
    """Return eight hexadecimal digits that stand for settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
