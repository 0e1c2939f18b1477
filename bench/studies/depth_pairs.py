"""``depth-pairs``: a small AiT overfitted on a few real pairs, and the whole depth pipeline run on them again.

Codec and network learn from windows of the pairs; then every pair is cut into two windows and their mirror images,
decoded as codes and soft tokens, merged and scored. The oracle beside it decodes the true codes of the same windows,
so that its error is the codec's own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.checkpoints.checkpoint import checkpoint_path
from bench.checkpoints.codec import codec_name
from bench.config.codecs import CodecTrainOptions
from bench.config.run import RunOptions
from bench.config.studies import PairsOptions
from bench.config.training import TrainOptions
from bench.run.runner import run
from bench.train.codec import train_codec
from bench.train.network import train
from results.record import Record
from results.store import read_samples, write_atomically

SHOWN = ("rmse", "delta1")


def measure_depth_pairs(options: PairsOptions) -> str:
    """Train codec and network, run both decoders and write ``depth_nyu.md`` and ``.json`` into ``options.out``.

    Returns:
        The Markdown table.
    """
    from bench.cli.parser import parse
    from bench.config.loading import parse_run, parse_train

    base = ["--preset", options.preset, "--nyu", str(options.nyu), "--split", "val2017"]
    base += ["--threads", str(options.threads), "--seed", str(options.seed)]
    own = options.runs / f"seed-{options.seed}"
    checkpoints = own / "checkpoints"
    coded: CodecTrainOptions = parse("train", ["--codec", "depth", *base])
    codec = train_codec(replace(coded, out=own / "codec"))[0]
    _keep(codec, options.preset, codec_name("depth"), checkpoints)
    learned: TrainOptions = parse_train(["--decoder", options.decoder, *base])
    weights = train(replace(learned, out=own / options.decoder, checkpoints=checkpoints))[0]
    _keep(weights, options.preset, options.decoder, checkpoints)
    chosen: RunOptions = parse_run(["--decoder", f"oracle,{options.decoder}", *base])
    records = run(replace(chosen, out=own / "run", checkpoints=checkpoints, fresh=True))
    data = _data(records, {"codec": codec, options.decoder: weights}, options.decoder)
    text = _markdown(options, data)
    write_atomically(options.out / "depth_nyu.json", (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())
    write_atomically(options.out / "depth_nyu.md", text.encode())
    return text


def _keep(path: Path, preset: str, name: str, checkpoints: Path) -> None:
    """Weights and card among the checkpoints that trainings and runs read."""
    target = checkpoint_path(preset, name, checkpoints)
    target.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".safetensors", ".json"):
        shutil.copyfile(path.with_suffix(suffix), target.with_suffix(suffix))


def _data(records: Mapping[Path, Record], weights: Mapping[str, Path], decoder: str) -> dict[str, Any]:
    """Scores of every pair and their means, times of the decoder, and what the trainings took."""
    made = {record.decoder: record for record in records.values()}
    rows: list[dict[str, Any]] = []
    for folder, record in records.items():
        for number, sample in enumerate(read_samples(folder)):
            if number == len(rows):
                rows.append({"pair": sample.file})
            rows[number] |= {f"{record.decoder} {name}": sample.predictions["depth"][name] for name in SHOWN}
    latency = made[decoder].latency
    cards = {name: json.loads(path.with_suffix(".json").read_text()) for name, path in weights.items()}
    return {
        "rows": rows,
        "mean": {f"{d} {name}": made[d].metrics["depth"][name] for d in made for name in SHOWN},
        "milliseconds": {name: phase.mean_ms for name, phase in {**latency.phases, "total": latency.total}.items()},
        "cost": {d: {"evaluations": made[d].cost["depth"].evaluations} for d in made},
        "training": {
            n: {key: card[key] for key in ("steps", "cpu_seconds", "parameters")} for n, card in cards.items()
        },
        "data": made[decoder].data,
    }


def _markdown(options: PairsOptions, data: Mapping[str, Any]) -> str:
    rows, trained = data["rows"], data["training"]
    codec, network = trained["codec"], trained[options.decoder]
    lines = [
        "# Depth of real pairs, end to end",
        "",
        f"A small network (`{options.decoder}`, preset `{options.preset}`) trained and scored on the same {len(rows)}",
        "pairs of NYUv2, so this shows that the pipeline works on real images, not what it makes of other rooms:",
        "480×640 images as two windows of 480×480, each also mirrored, 15×15 codes, soft tokens, merged; Eigen's crop,",
        "meters. The oracle has the true codes of the same windows. CPU seconds of training:",
        f"{codec['cpu_seconds']} (codec, {codec['steps']} steps) and {network['cpu_seconds']} (network,",
        f"{network['steps']} steps).",
        "Written by `python -m bench depth-pairs --nyu DIR`.",
        "",
        "| pair | RMSE | δ1 × 100 | RMSE of the oracle |",
        "| --- | ---: | ---: | ---: |",
    ]
    for row in [*rows, {"pair": "mean", **data["mean"]}]:
        rmse, delta1 = (row[f"{options.decoder} {name}"] for name in SHOWN)
        numbers = f"{rmse:.3f} | {delta1 * 100:.1f} | {row['oracle rmse']:.3f}"
        lines.append(f"| {row['pair']} | {numbers} |")
    nyu = data["data"]["nyu"]["root"]
    return "\n".join([*lines, "", f"Data: {nyu} ({data['data']['hash']})."]) + "\n"
