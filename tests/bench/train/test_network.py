"""Training: schedules, groups, dense targets; a killed training and two processes give the numbers of a single run."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bench.builders.open_suite import build_suite
from bench.config.training import Schedule, TrainOptions
from bench.data.packed import Packed, as_tensors, mirrored, packed
from bench.errors import UserError
from bench.train.batch_stream import epoch_order
from bench.train.encoder_targets import dense_targets
from bench.train.network import pack, train
from bench.train.optimizer import MovingAverage, factor, fastest_precision, parameter_groups
from bench.train.publish import whole_curve
from bench.train.warm_start import load as load_start
from decoders.causal.options import AutoregressiveOptions
from decoders.network.network import build_network
from decoders.network.options import NetworkOptions
from tasks.formats.vocabulary import Sizes, Vocabulary
from tests.bench import tiny_presets as tiny

STRIDE = 8


def test_one_cycle_climbs_to_the_peak_and_falls_to_nothing() -> None:
    schedule = Schedule(steps=100, kind="one_cycle", warm_up=0.1)
    shares = [factor(step, schedule) for step in range(100)]
    assert shares[0] == pytest.approx(1 / 25)
    assert max(shares) == shares[10] == 1
    assert shares[-1] == pytest.approx(1 / 250_000)
    assert shares[:11] == sorted(shares[:11])


def test_drops_cut_to_a_tenth() -> None:
    schedule = Schedule(steps=100, drops=(0.5, 0.9), warm_up=0.02)
    assert [factor(step, schedule) for step in (0, 1, 49, 50, 90)] == pytest.approx([0.5, 1, 1, 0.1, 0.01])


def test_linear_climbs_and_falls_to_a_hundredth() -> None:
    schedule = Schedule(steps=101, kind="linear", warm_up=0.1)
    shares = [factor(step, schedule) for step in range(101)]
    assert shares[0] == pytest.approx(1 / 10.1) and max(shares) <= 1
    assert shares[55] == pytest.approx(0.505, abs=0.01)
    assert shares[-1] == pytest.approx(0.01)
    assert shares[11:] == sorted(shares[11:], reverse=True)


def test_early_layers_of_a_backbone_learn_slowly_and_vectors_keep_their_size() -> None:
    options = NetworkOptions(family="ait", backbone="swinv2_tiny_window8_256", image_side=64, width=32, heads=2, ffn=32)
    network = build_network(options, Vocabulary(Sizes(layout="ait", classes=2, bins=4)))
    schedule = Schedule(layer_decay=0.5, undecayed="vectors", backbone_scale=1.0, weight_decay=0.1)
    names = {id(p): name for name, p in network.named_parameters()}
    found = {
        names[id(p)]: (group["scale"], group["weight_decay"])
        for group in parameter_groups(network, schedule)
        for p in group["params"]  # type: ignore[attr-defined]
    }
    assert len(found) == len(names)
    model = "backbone.body.model"
    assert found[f"{model}.layers.3.blocks.1.attn.qkv.weight"] == (0.5, 0.1)
    assert found[f"{model}.layers.3.blocks.0.attn.qkv.weight"] == (0.25, 0.1)
    assert found[f"{model}.patch_embed.proj.weight"] == (pytest.approx(0.5**13), 0.1)
    assert found[f"{model}.layers.3.blocks.1.attn.logit_scale"] == (0.5, 0.0)
    assert found["encoder.projection.weight"] == (1.0, 0.1)
    still = ("encoder.projection.bias", "embedding.table.weight", "decoder.positions.tables", "embedding.bias")
    assert all(found[name] == (1.0, 0.0) for name in still)


def test_groups_follow_the_paper() -> None:
    model = nn.ModuleDict({"backbone": nn.Linear(2, 2), "decoder": nn.Linear(2, 2), "norm": nn.LayerNorm(2)})
    model["still"] = nn.Linear(2, 2).requires_grad_(False)
    model["norm"].register_parameter("pos_embed", nn.Parameter(torch.zeros(2)))
    model["decoder"].register_parameter("pos_embed", nn.Parameter(torch.zeros(1, 2, 2)))
    found = {(g["scale"], g["weight_decay"]): len(g["params"]) for g in parameter_groups(model, Schedule())}  # type: ignore[arg-type]
    assert found == {(0.1, 1e-4): 2, (1.0, 1e-4): 2, (1.0, 0.0): 4}


def test_average_of_the_first_steps_forgets_the_start() -> None:
    weight = nn.Parameter(torch.zeros(1))
    average = MovingAverage([("weight", weight)], 0.999)
    weight.data += 1
    for step in range(1, 50):
        average.update(step)
    assert float(average.values["weight"]) > 0.99
    weight.data += 1
    before = float(average.values["weight"].clone())
    average.update(10**6)
    assert float(average.values["weight"]) - before == pytest.approx(0.001 * (2 - before), rel=1e-3)


def test_every_epoch_is_another_order_of_all_images() -> None:
    first, second = epoch_order(0, 0, 20), epoch_order(0, 1, 20)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first.tolist() != second.tolist()
    assert epoch_order(0, 0, 20).tolist() == first.tolist()


def test_dense_targets_say_what_is_in_the_cell_and_mirror_with_the_image(root: Path, tmp_path: Path) -> None:
    chosen = tiny.options(tmp_path / "run", root, "encoder")
    arrays = as_tensors(pack(build_suite(dataclasses.replace(chosen, split="val2017")), 64), np.arange(4))
    targets = dense_targets(arrays, stride=STRIDE, classes=8, bins=32)
    assert targets.classes.shape == (4, 64)
    assert bool((targets.semantics != 8).any(-1).eq(targets.classes != 8).all())
    everything = torch.ones(4, dtype=torch.bool)
    other = dense_targets(mirrored(arrays, everything), stride=STRIDE, classes=8, bins=32)
    turned = other.classes.view(4, 8, 8).flip(2).flatten(1)
    assert float((turned == targets.classes).float().mean()) > 0.95  # ties of owners may fall the other way
    same = (turned == targets.classes) & (targets.classes != 8) & (targets.own.amax(-1) > 0)
    widths = [d.distances[..., 0] + d.distances[..., 2] for d in (targets, other)]
    agree = torch.isclose(widths[1].view(4, 8, 8).flip(2).flatten(1), widths[0])
    assert float(agree[same].float().mean()) > 0.9
    back = mirrored(mirrored(arrays, everything), everything)
    assert all(torch.allclose(back[name].float(), arrays[name].float()) for name in arrays)


def test_who_packs_second_keeps_what_the_first_one_left(root: Path, tmp_path: Path) -> None:
    dataset = build_suite(dataclasses.replace(tiny.options(tmp_path / "run", root, "encoder"), split="val2017")).dataset
    folder, faster = tmp_path / "packed", []

    def pack_now(progress: Callable[[int, int], None]) -> Packed:
        return packed(dataset, folder, side=64, words=None, pieces="wordless", progress=progress)

    def interrupted(done: int, total: int) -> None:
        if done == total:
            faster.append(pack_now(lambda done, total: None))

    again = pack_now(interrupted)
    assert len(list(folder.iterdir())) == 1
    assert np.array_equal(again.images, faster[0].images)
    (only,) = folder.iterdir()
    (only / "packed.json").unlink()
    (only / "images.npy").write_bytes(b"half")
    assert np.array_equal(pack_now(lambda done, total: None).boxes, again.boxes)


def test_who_packs_without_captions_leaves_none_to_others(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECODER_BENCH_CACHE", str(tmp_path / "cache"))
    words = []
    for tasks in (["--tasks", "detection"], []):
        chosen = tiny.options(tmp_path / "run", root, "encoder", *tasks)
        words.append(int(pack(build_suite(dataclasses.replace(chosen, split="val2017")), 64).words.sum()))
    assert words[0] == 0 < words[1]


def test_pretraining_learns_coordinates_where_asked(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(tiny.options(folder, root, "encoder", "--train.places", "true"))
    points = tiny.curve(folder)
    assert {"corners", "joints"} <= set(points[0])
    assert points[-1]["corners"] < points[0]["corners"]


def test_pretraining_learns(encoder: Path) -> None:
    points = tiny.curve(encoder.parent)
    losses = [point["loss"] for point in points if "loss" in point]
    assert losses[-1] < 0.9 * losses[0]
    assert points[-1]["evaluation"]["box overlap"] > 0


@pytest.mark.parametrize("name", ["autoregressive", "parallel"])
def test_decoders_learn_on_cached_memory(name: str, root: Path, encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    written = train(tiny.options(folder, root, name, "--encoder", str(encoder)))
    points = tiny.curve(folder)
    assert points[7]["loss"] < points[0]["loss"]
    assert [path.name for path in written] == [f"{name}.safetensors", "curve.jsonl"]


def test_mad_learns_on_cached_memory(whole: Path) -> None:
    points = tiny.curve(whole)
    assert points[7]["loss"] < points[0]["loss"]


def _train(options: TrainOptions) -> None:
    torch.set_num_threads(1)  # threads of the process that this one was forked from do not exist here
    train(options)


def test_a_killed_training_continues_with_the_numbers_it_would_have_had(
    root: Path, encoder: Path, whole: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    options = tiny.options(cut, root, "mad", "--encoder", str(encoder))
    context: Any = multiprocessing.get_context(tiny.START_METHOD)
    process = context.Process(target=_train, args=(options,))
    process.start()
    give_up = time.monotonic() + 1800
    while len(tiny.curve(cut) if (cut / "curve.jsonl").exists() else []) < 5:
        assert process.is_alive() and time.monotonic() < give_up
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    train(options)
    assert tiny.curve(cut) == tiny.curve(whole)
    assert (cut / "mad.safetensors").read_bytes() == (whole / "mad.safetensors").read_bytes()


def test_end_to_end_from_images(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    more = ["--train.frozen", "false", "--image.transform", "shortest_side", "--image.short", "64"]
    augment = ["--train.crop", "0.5", "--train.short", "[56, 64]", "--train.decoder.steps", "4"]
    more += ["--image.longest", "96", *augment]
    train(tiny.options(folder, root, "parallel", *more))
    losses = [point["loss"] for point in tiny.curve(folder)]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    train(tiny.options(tmp_path / "ahead", root, "parallel", *more, "--train.readers", "2"))
    assert tiny.curve(tmp_path / "ahead") == tiny.curve(folder)


def test_training_starts_from_given_weights(root: Path, encoder: Path, tmp_path: Path) -> None:
    first = train(tiny.options(tmp_path / "first", root, "parallel", "--encoder", str(encoder)))[0]
    more = ["--encoder", str(encoder), "--start", str(first), "--train.decoder.steps", "1"]
    second = train(tiny.options(tmp_path / "second", root, "parallel", *more))[0]
    assert tiny.curve(second.parent)[0]["loss"] < 0.95 * tiny.curve(first.parent)[0]["loss"]
    assert (
        json.loads(second.with_suffix(".json").read_text())["start"]
        == (json.loads(first.with_suffix(".json").read_text())["hash"])
    )
    both = [json.loads(line) for line in whole_curve(second.with_name("curve.jsonl"), first).splitlines()]
    steps = [point["step"] for point in both if "loss" in point]
    assert steps == [*range(1, 9), 9]
    with pytest.raises(UserError, match=r"sizes\.bins"):
        train(tiny.options(tmp_path / "other", root, "parallel", *more, "--sizes.bins", "16"))
    card = json.loads(first.with_suffix(".json").read_text())
    network = build_network(tiny.options(tmp_path / "any", root, "parallel").network, Vocabulary(Sizes()))
    for key, value in {"encoder": "another", "formats": {"depth": "codes"}, "codecs": {"depth": {"hash": "b"}}}.items():
        given = {"encoder": "own", "formats": {"depth": "bins"}, "codecs": {"depth": {"hash": "a"}}}
        own = {**card, **given, key: value}
        first.with_suffix(".json").write_text(json.dumps(own))
        with pytest.raises(UserError, match=f"another {key[:-1] if key != 'encoder' else key}"):
            load_start(first, network, {**card, **given})
    first.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=r"expected a \.safetensors file"):
        train(tiny.options(tmp_path / "pickle", root, "parallel", "--encoder", str(encoder), "--start", "a.pth"))


def test_parts_of_given_weights_start_a_training_of_something_else(root: Path, encoder: Path, tmp_path: Path) -> None:
    more = ["--train.frozen", "false", "--train.decoder.steps", "1", "--tasks", "detection", "--sizes.bins", "16"]
    more += ["--start", str(encoder), "--train.decoder.rate", "1e-12"]
    with pytest.raises(UserError, match=r"unknown part of encoder\.safetensors 'decoder'"):
        train(tiny.options(tmp_path / "run", root, "parallel", *more, "--start_parts", "backbone,decoder"))
    (path, _) = train(tiny.options(tmp_path / "run", root, "parallel", *more, "--start_parts", "backbone"))
    before, after = load_file(encoder), load_file(path)
    for part, same in {"backbone": True, "projection": False}.items():
        name = next(name for name, value in before.items() if name.startswith(part) and value.dim() > 1)
        assert torch.allclose(before[name].float(), after[name].float(), atol=1e-3) == same


def test_evaluations_go_through_the_pipeline_of_a_run(root: Path, encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    few = ["--train.evaluate_images", "2", "--train.evaluate_every", "2", "--train.decoder.steps", "4"]
    tasks = ["--tasks", "detection,depth"]
    train(tiny.options(folder, root, "mad", "--encoder", str(encoder), *few, *tasks))
    found = [point["evaluation"] for point in tiny.curve(folder) if "evaluation" in point]
    assert len(found) == 2
    assert {"detection AP", "depth rmse"} <= set(found[-1])


def test_another_setting_is_not_continued(root: Path, encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    chosen = tiny.options(folder, root, "parallel", "--encoder", str(encoder))
    train(chosen)
    with pytest.raises(UserError, match="other settings \\(seed\\)"):
        train(dataclasses.replace(chosen, seed=1))
    parts = dataclasses.replace(chosen, train=dataclasses.replace(chosen.train, accumulate=2))
    with pytest.raises(UserError, match="other settings \\(parts\\)"):
        train(parts)
    with pytest.raises(UserError, match="other settings \\(temperatures\\)"):
        train(dataclasses.replace(chosen, temperatures={"depth": 0.3}))


def test_a_card_tells_all_options_of_the_strategy(root: Path, encoder: Path, tmp_path: Path) -> None:
    more = ["--encoder", str(encoder), "--train.decoder.steps", "1"]
    path = train(tiny.options(tmp_path / "run", root, "autoregressive", *more))[0]
    told = json.loads(path.with_suffix(".json").read_text())
    assert told["strategy"] == {"autoregressive": dataclasses.asdict(AutoregressiveOptions())} and told["parts"] == 1
    other = ["--strategy", json.dumps({"autoregressive": {"order": "random"}})]
    with pytest.raises(UserError, match="other settings \\(strategy\\)"):
        train(tiny.options(tmp_path / "run", root, "autoregressive", *more, *other))


def test_memory_is_that_of_the_images_as_they_are_trained_on(root: Path, encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"encoder\.safetensors: was trained with image\.side 64"):
        train(tiny.options(tmp_path / "run", root, "parallel", "--encoder", str(encoder), "--image.side", "32"))


def test_a_learning_curve_that_was_lost_stops_nothing(root: Path, encoder: Path, tmp_path: Path) -> None:
    chosen = tiny.options(tmp_path / "run", root, "parallel", "--encoder", str(encoder))
    train(chosen)
    (tmp_path / "run" / "curve.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    train(chosen)
    assert [point["step"] for point in tiny.curve(tmp_path / "run") if "loss" in point] == [1]
    (tmp_path / "run" / "curve.jsonl").unlink()
    train(chosen)


def test_precision_is_measured() -> None:
    assert fastest_precision(torch.device("cpu"), side=64) in {"float32", "bfloat16"}
