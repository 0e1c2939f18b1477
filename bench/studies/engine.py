"""An ablation: settings of one thing, each trained where it must be, run, and compared; finished work is kept.

The definitions are ``bench/ablations/<name>.yaml``, or any YAML file of that form; the outcome is one small JSON file.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.errors import UserError
from bench.studies.definition import Definition, Options, _safe, read_definition
from results.ablation import FOLDER, Outcome, Point
from results.store import RECORD, write_atomically

SETTINGS = "settings.json"


def commands(name: str, definition: Definition, work: Path) -> list[list[str]]:
    """Everything that an ablation does, as words of our command line; what is finished is skipped when it is run."""
    found = []
    for point in definition.points:
        for seed in definition.seeds:
            place = _place(work, name, point, seed)
            found += [["train", *words] for _, _, words in _own_codecs(definition, point, seed, place)]
            if definition.trained or definition.codec:
                found.append(["train", *_train_words(definition, point, seed, place)])
            if not definition.codec:
                found.append(["run", *_run_words(definition, point, seed, place)])
    return found


def run_ablation(given: str, *, work: Path, out: Path | None = None, resamples: int = 1000) -> Path:
    """Do what is missing of an ablation, compare its settings, and write its outcome.

    Args:
        given: name of an ablation or its YAML file.
        work: folder for trainings and runs.
        out: folder for the outcome; default: ``results/ablations``.
        resamples: of the bootstrap.

    Returns:
        The file.
    """
    name, definition = read_definition(given)
    for point in definition.points:
        for seed in definition.seeds:
            place = _place(work, name, point, seed)
            keep_settings(definition, point, seed, place)
            if definition.trained or definition.codec:
                _train(definition, point, seed, place)
            if not definition.codec and not (place / definition.decoder / RECORD).exists():
                from bench.config.loading import parse_run
                from bench.run import runner

                runner.run(parse_run(_run_words(definition, point, seed, place)))
    made = _codec_outcome(name, definition, work) if definition.codec else _outcome(name, definition, work, resamples)
    path = (out or FOLDER) / f"{name}.json"
    write_atomically(path, msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    return path


def keep_settings(definition: Definition, point: str, seed: int, place: Path) -> None:
    """Keep the options of a setting, or hold them against those that its folder was filled with.

    Args:
        definition: of the ablation.
        point: name of the setting.
        seed: of the training or run.
        place: folder of what is made.

    Raises:
        UserError: if they differ, or an older version filled the folder and kept none.
    """
    from bench.studies.settings import settings

    wanted = settings(
        train=_train_words(definition, point, seed, place) if definition.trained or definition.codec else None,
        run=None if definition.codec else _run_words(definition, point, seed, place),
        codecs=[words for _, _, words in _own_codecs(definition, point, seed, place)],
    )
    path = place / SETTINGS
    filled = (place / "training").exists() or (place / definition.decoder / RECORD).exists()
    if not path.exists() and not filled:
        write_atomically(path, (json.dumps(wanted, indent=1, sort_keys=True) + "\n").encode())
        return
    known = json.loads(path.read_text()) if path.exists() else {}
    if known != wanted:
        other = sorted(name for name in known.keys() | wanted.keys() if known.get(name) != wanted.get(name))
        raise UserError(
            f"{place}: was filled with other settings ({', '.join(other)}); remove it, or give another --work"
        )


def _place(work: Path, name: str, point: str, seed: int) -> Path:
    return work / name / f"{_safe(point)}-{seed}"


def _train_words(definition: Definition, point: str, seed: int, place: Path) -> list[str]:
    what = {"codec": definition.codec} if definition.codec else {"decoder": definition.decoder}
    chosen = _merged(
        definition.options, definition.train, definition.points[point].options, definition.points[point].train
    )
    own = {"checkpoints": str(place / "checkpoints")} if definition.points[point].codecs else {}
    return _words({**what, **own, "preset": definition.preset, "seed": seed, "out": str(place / "training"), **chosen})


def _own_codecs(definition: Definition, point: str, seed: int, place: Path) -> list[tuple[str, Path, list[str]]]:
    """Codec, its folder and the words that train it, for each that a setting has of its own."""
    found = []
    for codec, options in definition.points[point].codecs.items():
        out = place / f"codec-{codec}"
        words = {"codec": codec, "preset": definition.preset, "seed": seed, "out": str(out), **options}
        found.append((codec, out, _words(words)))
    return found


def _run_words(definition: Definition, point: str, seed: int, place: Path) -> list[str]:
    chosen = _merged(definition.options, definition.run, definition.points[point].options, definition.points[point].run)
    own = {"checkpoints": str(place / "checkpoints")} if definition.trained else {}
    return _words(
        {"decoder": definition.decoder, "preset": definition.preset, "seed": seed, "out": str(place), **own, **chosen}
    )


def _merged(*options: Options) -> Options:
    """Later options over earlier ones, member by member."""
    found: Options = {}
    for each in options:
        for name, value in each.items():
            both = isinstance(value, Mapping) and isinstance(found.get(name), Mapping)
            found[name] = _merged(found[name], dict(value)) if both else value
    return found


def _words(options: Options) -> list[str]:
    return [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in options.items()]


def _train(definition: Definition, point: str, seed: int, place: Path) -> None:
    """Train a setting if that is not done, and put its weights where a run finds them, the shared encoder too."""
    from bench.checkpoints.checkpoint import ENCODER
    from bench.cli import run_commands as program
    from bench.cli.parser import parse
    from bench.paths import CHECKPOINTS

    target = place / "checkpoints" / definition.preset
    if definition.codec:
        if not any((place / "training").glob("*.safetensors")):
            program.train(parse("train", _train_words(definition, point, seed, place)))
        return
    if (target / f"{definition.decoder}.safetensors").exists():
        return
    files = {
        path.name: path
        for path in (CHECKPOINTS / definition.preset).glob("*")
        if path.stem == ENCODER or path.stem.startswith("codec")
    }
    for codec, out, words in _own_codecs(definition, point, seed, place):
        if not (out / f"codec-{codec}.safetensors").exists():
            program.train(parse("train", words))
        files |= {path.name: path for path in out.glob(f"codec-{codec}.*")}
    _copied(files.values(), target)
    program.train(parse("train", _train_words(definition, point, seed, place)))
    _copied((place / "training").glob(f"{definition.decoder}.*"), target)


def _copied(files: Iterable[Path], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in files:
        shutil.copyfile(path, target / path.name)


def _outcome(name: str, definition: Definition, work: Path, resamples: int) -> Outcome:
    from functools import cache

    from bench.compare.score_tables import DataPlace, open_suite, run_tables
    from bench.compare.setting_differences import differences, point
    from results.run_files import read_run

    runs = {
        label: [read_run(_place(work, name, label, seed) / definition.decoder) for seed in definition.seeds]
        for label in definition.points
    }
    first = next(iter(runs.values()))[0].record
    for label, seeds in runs.items():
        if any(one.record.data["hash"] != first.data["hash"] for one in seeds):
            raise UserError(
                f"ablation {name}: {label} is of other data than the rest; remove its folder and run it again"
            )
    given = _merged(definition.options, definition.run, definition.points[next(iter(runs))].options)
    place = DataPlace(**{name: Path(given[name]) for name in ("coco", "nyu", "nyu_list", "tokenizer") if name in given})
    suite = cache(lambda: open_suite(first, place))
    tables = {label: [run_tables(one, lambda: suite().metrics) for one in seeds] for label, seeds in runs.items()}
    made = {label: point(runs[label], tables[label], resamples=resamples) for label in runs}
    for label, one in list(made.items()):
        words = _run_words(definition, label, definition.seeds[0], Path("results/runs/ablations") / name / label)
        told = " ".join(shlex.quote(word) for word in words if not word.startswith(("--out", "--checkpoints")))
        own = f"python -m bench ablate {name}" if definition.trained else f"python -m bench run {told}"
        made[label] = msgspec.structs.replace(one, command=own)
    pairs = [
        difference
        for a, b in combinations(runs, 2)
        for difference in differences(a, b, runs, tables, resamples=resamples)
    ]
    training = "settings were trained with one seed each" if definition.trained and len(definition.seeds) == 1 else ""
    return Outcome(
        name=name,
        title=definition.title,
        decoder=definition.decoder,
        budget=definition.budget,
        trained=definition.trained,
        data=_data(first.data, first.images),
        environment={key: first.environment.get(key) for key in ("cpu", "gpu", "threads", "git_commit", "git_dirty")},
        points=made,
        differences=pairs,
        method="; ".join(
            filter(None, [f"paired bootstrap over {first.images} images, {resamples} resamples", training])
        ),
    )


def _data(data: Mapping[str, Any], images: int) -> dict[str, Any]:
    roots = {name: data[name]["root"] for name in ("coco", "nyu") if data.get(name)}
    return {**roots, "images": images, "hash": data.get("hash")}


def _codec_outcome(name: str, definition: Definition, work: Path) -> Outcome:
    """What codecs score when they reconstruct, from their cards; intervals are those of the mean over seeds."""
    from bench.compare.setting_differences import seed_differences

    task = {"depth": "depth", "masks": "segmentation"}[definition.codec]
    cards: dict[str, list[dict[str, Any]]] = {}
    for label in definition.points:
        files = [next(iter(_weights(work, name, label, seed)), None) for seed in definition.seeds]
        cards[label] = [json.loads(file.with_suffix(".json").read_text()) for file in files if file is not None]
    points = {}
    for label, own in cards.items():
        keys = [key for key in own[0].get("metrics", {}) if all(key in card["metrics"] for card in own)]
        each = {f"{task}.{key}": [float(card["metrics"][key]) for card in own] for key in keys}
        points[label] = Point(
            values={key: float(np.mean(values)) for key, values in each.items()},
            seeds=len(own),
            seed_values=each if len(own) > 1 else {},
        )
    pairs = [difference for a, b in combinations(points, 2) for difference in seed_differences(a, b, points)]
    first = next(iter(cards.values()))[0]
    return Outcome(
        name=name,
        title=definition.title,
        decoder=f"codec of {definition.codec}",
        trained=True,
        data={"hash": first.get("data")},
        environment={key: first.get(key) for key in ("git_commit", "git_dirty")},
        points=points,
        differences=pairs,
        method=f"mean over {len(definition.seeds)} trainings, interval by Student's t"
        if len(definition.seeds) > 2
        else "",
    )


def _weights(work: Path, name: str, point: str, seed: int) -> Sequence[Path]:
    return sorted((_place(work, name, point, seed) / "training").glob("*.safetensors"))
