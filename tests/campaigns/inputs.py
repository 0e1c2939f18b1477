"""Intact inputs of every kind, the mutation that suits each, and the reader that uses it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.cli.main import main
from bench.data.coco.reader import Coco
from bench.data.dataset import Dataset
from bench.data.file_checks import check_files
from bench.data.nyu.reader import Nyu
from bench.data.verify import verify
from tasks.base import MetricParts
from tasks.metrics.coco import CocoMetric
from tasks.pasting import crop, decode_mask
from tests.campaigns.mutate import ODD_VALUES, mutate_bytes, mutate_json

Mutation = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Input:
    """A kind of input.

    Args:
        file: the file that is mutated, below the sandbox.
        write: writes everything intact into the sandbox.
        use: uses the mutated file; raises what its reader raises.
        mutate: of the bytes of the file.
    """

    file: str
    write: Callable[[Path], Any]
    use: Callable[[Path], Any]
    mutate: Mutation = mutate_bytes


def inputs() -> dict[str, Input]:
    """Kind to input."""
    from tests.bench.data.folders import tiny_coco, tiny_nyu
    from tests.bench.data.nyu.test_reader import labeled
    from tests.bench.tiny_codecs import write_codec

    kinds = {
        f"annotations {kind}": Input(f"annotations/{kind}_val2017.json", tiny_coco, use_coco, mutate_json)
        for kind in ("instances", "person_keypoints", "captions")
    }
    codec = "checkpoints/embedded/codec-depth"
    return kinds | {
        "image": Input("val2017/000000000003.jpg", tiny_coco, use_coco),
        "depth image": Input("kitchen/sync_depth_00001.png", tiny_nyu, use_nyu),
        "list": Input("test_files_with_gt.txt", tiny_nyu, use_nyu),
        "labeled file": Input("nyu_depth_v2_labeled.mat", labeled, use_nyu),
        "options": Input("run.yaml", write_options, use_options, mutate_yaml),
        "study": Input("study.yaml", write_study, use_study, mutate_yaml),
        "record": Input("run/record.json", write_run, use_run, mutate_json),
        "samples": Input("run/samples.jsonl", write_run, use_run, mutate_json),
        "samples with their checksum": Input("run/samples.jsonl", write_run, use_samples, mutate_json),
        "partial samples": Input("run/samples.partial.jsonl", write_run, use_partial, mutate_json),
        "checkpoint": Input("weights.safetensors", write_checkpoint, use_checkpoint),
        "card of a checkpoint": Input("weights.json", write_checkpoint, use_checkpoint, mutate_json),
        "pickle": Input("released.pth", write_pickle, use_import),
        "codec": Input(f"{codec}.safetensors", lambda root: write_codec(root / "checkpoints", "depth"), use_codec),
        "card of a codec": Input(
            f"{codec}.json", lambda root: write_codec(root / "checkpoints", "depth"), use_codec, mutate_json
        ),
        "golden file": Input("golden.npz", write_golden, use_golden),
        "names": Input("words.txt", lambda root: (root / "words.txt").write_text("mad"), use_names, mutate_name),
    }


def use_coco(root: Path) -> None:
    """Read the folder as a run does, check it, make every mask and score perfect boxes."""
    verify(root, None, workers=1)
    coco = Coco(root)
    data = Dataset(coco=coco, nyu=None)
    check_files(data)
    _ = data.content_hash
    for sample in data.samples:
        data.image(sample)
        targets = data.targets(sample)
        for outline, box in (
            zip(targets.instances.segmentations, targets.instances.boxes, strict=True) if (targets.instances) else ()
        ):
            if outline:
                decode_mask(outline, targets.size)
                crop(outline, box, 16)
    for kind, file in (("bbox", "instances"), ("keypoints", "person_keypoints")):
        if file in coco.kinds:
            truth = coco.ground_truth(file)
            metric = CocoMetric(kind=kind, parts=MetricParts(ground_truth=truth))  # type: ignore[arg-type]
            metric.summarize({image["id"]: [] for image in truth["images"]})


def use_nyu(root: Path) -> None:
    """Read the pairs as a run does and check them."""
    verify(None, root, workers=1)
    data = Dataset(coco=None, nyu=Nyu(root))
    check_files(data)
    for sample in data.samples:
        data.image(sample)
        data.targets(sample)


def write_options(root: Path) -> None:
    """A file of options for ``run --config``."""
    from tests.bench.tiny_presets import CONFIG

    (root / "run.yaml").write_text(CONFIG[: CONFIG.index("train:")])


def use_options(root: Path) -> None:
    """Read the options and build the network's sizes from them."""
    from bench.config.loading import load_run

    load_run(["--decoder", "mad", "--config", str(root / "run.yaml")])


def write_study(root: Path) -> None:
    """The first of the shipped studies."""
    from bench import paths

    (root / "study.yaml").write_bytes(min(paths.STUDIES.glob("*.yaml")).read_bytes())


def use_study(root: Path) -> None:
    """Read the definition."""
    from bench.studies.definition import read_definition

    read_definition(str(root / "study.yaml"))


def write_run(root: Path) -> None:
    """A finished run of two images, and its partial file."""
    import msgspec

    from results.record import Sample
    from results.run_files import checksum
    from tests.results.test_store import record

    samples = [
        Sample(image_id=n, file="a", predictions={"depth": {"pixels": 1}}, milliseconds={"total": 1.0}, work={})
        for n in (1, 2)
    ]
    lines = b"".join(msgspec.json.encode(sample) + b"\n" for sample in samples)
    content = msgspec.to_builtins(record(2)) | {"metrics": {"depth": {"rmse": None}}}
    folder = root / "run"
    folder.mkdir()
    (folder / "record.json").write_text(json.dumps({**content, "checksum": checksum(samples)}))
    (folder / "samples.jsonl").write_bytes(lines)
    header = {"schema": "decoder-bench/record/2", "signature": {"a": 1}, "started": "2026-01-01"}
    (folder / "samples.partial.jsonl").write_bytes(json.dumps(header).encode() + b"\n" + lines)


def use_run(root: Path) -> None:
    """Read the run and describe it in the terminal, as ``report`` and ``compare`` begin."""
    from reports.terminal.record_tables import remarks
    from results.run_files import read_run

    remarks([read_run(root / "run").record])


def use_samples(root: Path) -> None:
    """Read samples whose checksum is right, whatever they hold."""
    from bench.compare.score_tables import make_tables
    from results.run_files import checksum, read_run
    from results.store import read_samples
    from tasks.metrics.depth import DepthMetric

    path = root / "run" / "record.json"
    record = json.loads(path.read_bytes())
    record["checksum"] = checksum(read_samples(root / "run"))
    path.write_text(json.dumps(record))
    run = read_run(root / "run")
    make_tables(run.record, run.samples, {"depth": DepthMetric(parts=MetricParts())})


def use_partial(root: Path) -> None:
    """Continue the run."""
    from results.store import open_run

    with open_run(root / "run", signature={"a": 1}, started="2026-01-01"):
        pass


def write_checkpoint(root: Path) -> None:
    """Weights and their card."""
    import torch

    from bench.checkpoints import checkpoint

    tensors = {"a.weight": torch.ones(4, 4), "b.bias": torch.zeros(3)}
    checkpoint.write_checkpoint(root / "weights.safetensors", tensors, {"step": 1, "shape": {"width": 4}})


def use_checkpoint(root: Path) -> None:
    """Read weights and card."""
    from bench.checkpoints.checkpoint import check_fit, read_checkpoint

    _, card = read_checkpoint(root / "weights.safetensors", train="train it")
    check_fit(root / "weights.safetensors", card, {"shape": {"width": 4}})


def write_pickle(root: Path) -> None:
    """A PyTorch file that is no released checkpoint."""
    import torch

    torch.save({"model": {"a.weight": torch.ones(4, 4)}}, root / "released.pth")


def use_import(root: Path) -> None:
    """Import it."""
    from bench.checkpoints.convert import import_checkpoint

    import_checkpoint("mad", root / "released.pth", root / "out.safetensors")


def use_codec(root: Path) -> None:
    """Load the codec."""
    from bench.checkpoints.codec import load_codec

    load_codec("depth", "embedded", root / "checkpoints")


def write_golden(root: Path) -> None:
    """A golden file that lacks most arrays."""
    np.savez(root / "golden.npz", **{"in.images": np.zeros((1, 3, 8, 8), np.float32), "meta": np.array([1, 2])})


def use_golden(root: Path) -> None:
    """Check it against this program."""
    main(["parity", str(root / "golden.npz")])


def use_names(root: Path) -> None:
    """Give a name to every command that takes one and returns at once."""
    name = (root / "words.txt").read_text(encoding="utf-8", errors="surrogateescape")
    commands = (["describe", name], ["study", name], ["measure", name], ["run", "--preset", name, "--decoder", name])
    for words in commands:
        try:
            main(words)
        except SystemExit as error:  # jsonargparse prints help
            if error.code not in (0, 2):
                raise


def mutate_name(content: bytes, dice: random.Random) -> bytes:
    """Another name."""
    value = str(dice.choice(ODD_VALUES))
    return (value if dice.random() < 0.5 else mutate_bytes(content, dice).decode("latin-1")).encode("utf-8", "replace")


def mutate_yaml(content: bytes, dice: random.Random) -> bytes:
    """A YAML file with one value changed, nested without end, or other bytes."""
    chance = dice.random()
    if chance < 0.05:
        return content + b"\ndeep: " + b"[" * 3000
    if chance < 0.1:
        return content + b"\nloop: &a [*a]\n"
    if chance < 0.3:
        return mutate_bytes(content, dice)
    document = json.loads(mutate_json(json.dumps(yaml.safe_load(content)).encode(), random.Random(dice.random())))
    return yaml.safe_dump(document, allow_unicode=False).encode("utf-8", "replace")
