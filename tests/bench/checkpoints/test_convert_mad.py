"""The importer: every released name has a place, and what is not used or missing is said."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.checkpoints.convert import import_checkpoint
from bench.config.loading import load_run, load_train
from bench.data.coco.classes import COCO_CLASSES
from bench.data.scenes import dataset as scenes
from bench.errors import UserError
from bench.paths import PRESETS
from bench.run.runner import run
from bench.train.network import train
from decoders.network.mad.released import to_ours, to_released
from decoders.network.network import build_network
from decoders.network.options import NetworkOptions
from tasks.formats.vocabulary import Sizes, Vocabulary
from tests.bench.checkpoints.bad_checkpoints import Trap, check_refused
from tests.tasks.task_examples import shared

OPTIONS = NetworkOptions(width=32, heads=1, ffn=16, encoder_layers=1, decoder_layers=2, positions=30)
SIZES = Sizes(words=40)


@pytest.fixture(scope="module")
def released() -> dict[str, Tensor]:
    """A small checkpoint in the released names."""
    torch.manual_seed(3)
    vocabulary = Vocabulary(SIZES)
    state = build_network(OPTIONS, vocabulary).state_dict()
    found = {to_released(name) or "": value for name, value in state.items()}
    found["vocab_embed.embeddings.weight"] = found["vocab_embed.embeddings.weight"][: vocabulary["word"].stop]
    return found


def test_names_go_both_ways() -> None:
    for name in build_network(OPTIONS, Vocabulary(SIZES)).state_dict():
        released = to_released(name)
        assert released is not None and to_ours(released) == name
    assert to_ours("transformer.decoder.layers.3.attentions.2.attn.in_proj_bias") is None


def test_every_released_name_of_mad_r50_has_a_place() -> None:
    lines = [line.split("\t") for line in shared("facts/mad_state_dict_r50.txt").read_text().splitlines()]
    shapes = {line[0]: json.loads(line[1].replace("(", "[").replace(",)", "]").replace(")", "]")) for line in lines if len(line) == 4}  # fmt: skip # noqa: E501
    own = build_network(NetworkOptions(), Vocabulary(Sizes())).state_dict()
    assert len(shapes) == len(own) == 456
    for name, shape in shapes.items():
        ours = to_ours(name)
        assert ours is not None
        rows = Vocabulary(Sizes())["depth_bin"] if name == "vocab_embed.embeddings.weight" else ()
        assert [len(own[ours]) - len(rows), *own[ours].shape[1:]] == shape if shape else not own[ours].shape


def test_a_checkpoint_is_converted_and_its_card_written(tmp_path: Path, released: dict[str, Tensor]) -> None:
    path, out = tmp_path / "mad.pth", tmp_path / "weights" / "mad.safetensors"
    missing = "transformer.decoder.post_norm_layer.bias"
    state = {f"module.{name}": value for name, value in released.items() if name != missing}
    torch.save({"model": state | {"module.extra.weight": torch.zeros(3)}, "iteration": 7}, path)
    text = import_checkpoint("mad", path, out)
    assert text.startswith("entry: model; left: iteration (--entry NAME takes another)")
    assert "unused: extra.weight" in text
    assert f"missing (left random): {missing} (ours decoder.norm.bias)" in text
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["unused"] == ["extra.weight"] and card["missing"] == ["decoder.norm.bias"]
    assert card["network"]["width"] == 32 and card["sizes"]["words"] == 40
    network = build_network(NetworkOptions(**card["network"]), Vocabulary(Sizes(words=40)))
    network.load_state_dict(load_file(out))
    wanted = released["transformer.decoder.layers.1.attentions.1.attn.in_proj_weight"]
    assert torch.equal(network.state_dict()["decoder.layers.1.cross.projection.weight"], wanted)
    before = out.read_bytes()
    assert import_checkpoint("mad", path, out) == text and out.read_bytes() == before


def test_an_absent_embedding_is_missing(tmp_path: Path, released: dict[str, Tensor]) -> None:
    name = "vocab_embed.embeddings.weight"
    torch.save({own: value for own, value in released.items() if own != name}, tmp_path / "mad.pth")
    text = import_checkpoint("mad", tmp_path / "mad.pth", tmp_path / "out.safetensors")
    assert f"missing (left random): {name} (ours embedding.table.weight)" in text


def test_a_checkpoint_that_lacks_much_is_refused(tmp_path: Path, released: dict[str, Tensor]) -> None:
    rest = {own: value for own, value in released.items() if not own.startswith("backbone.res5.")}
    path, out = tmp_path / "mad.pth", tmp_path / "out.safetensors"
    torch.save(rest, path)
    lost = len(released) - len(rest)
    with pytest.raises(UserError, match=rf"lacks {lost} of \d+ tensors \(backbone\.res5.* 5 % .*--allow-missing"):
        import_checkpoint("mad", path, out)
    assert not out.exists()
    import_checkpoint("mad", path, out, allow_missing=True)
    assert len(json.loads(out.with_suffix(".json").read_text())["missing"]) == lost


def test_an_average_beside_the_weights_is_named_and_can_be_chosen(tmp_path: Path, released: dict[str, Tensor]) -> None:
    average = {name: value + 1 for name, value in released.items()}
    path, out = tmp_path / "mad.pth", tmp_path / "out.safetensors"
    torch.save({"model": released, "ema": {"module": average}, "optimizer": {"state": {}}, "epoch": 3}, path)
    assert import_checkpoint("mad", path, out).startswith("entry: model; left: ema, optimizer, epoch (--entry")
    assert torch.equal(load_file(out)["decoder.norm.bias"], released["transformer.decoder.post_norm_layer.bias"])
    for entry in ("ema", "ema.module"):
        text = import_checkpoint("mad", path, out, entry=entry)
        assert text.startswith("entry: ema.module; left: model, optimizer, epoch")
        assert torch.equal(load_file(out)["decoder.norm.bias"], average["transformer.decoder.post_norm_layer.bias"])
        assert json.loads(out.with_suffix(".json").read_text())["source"]["entry"] == "ema.module"
    with pytest.raises(UserError, match=r"has no entry 'state_dict_ema'; give one of model, ema, optimizer"):
        import_checkpoint("mad", path, out, entry="state_dict_ema")
    torch.save({"state_dict_ema": released, "epoch": 3}, path)
    with pytest.raises(UserError, match=r"holds no tensors; name one of its entries with --entry: state_dict_ema"):
        import_checkpoint("mad", path, out)
    assert import_checkpoint("mad", path, out, entry="state_dict_ema").startswith("entry: state_dict_ema; left: epoch")


def test_files_are_read_by_what_they_hold(tmp_path: Path, released: dict[str, Tensor]) -> None:
    """The name of a file does not say what is in it."""
    path = tmp_path / "mad.pth"
    save_file({name: value.contiguous() for name, value in released.items()}, path)
    assert import_checkpoint("mad", path, tmp_path / "out.safetensors").startswith("entry: the whole file")
    torch.save(released, path := tmp_path / "mad.safetensors")
    assert import_checkpoint("mad", path, tmp_path / "out.safetensors").startswith("entry: the whole file")
    path.write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"mad\.safetensors: not a safetensors file .*; download it again"):
        import_checkpoint("mad", path, tmp_path / "out.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, released: dict[str, Tensor], value: float) -> None:
    name = "transformer.decoder.layers.1.norms.0.weight"
    broken = released[name].clone()
    broken[3] = value
    path, out = tmp_path / "mad.pth", tmp_path / "out.safetensors"
    torch.save(released | {name: broken}, path)
    with pytest.raises(UserError, match=f"mad.pth: {name} holds NaN or infinite numbers"):
        import_checkpoint("mad", path, out)
    assert not out.exists()
    torch.save(released | {"unused.mask": torch.tensor([value])}, path)
    assert "unused: unused.mask" in import_checkpoint("mad", path, out)


CONFIG = """
sizes: {words: 512}
image: {transform: square, side: 64}
network: {width: 32, heads: 1, ffn: 16, encoder_layers: 1, decoder_layers: 2, positions: 506}
train:
  frozen: false
  evaluate_images: 0
  decoder: {steps: 1, batch: 2, precision: float32}
"""


def test_what_was_imported_runs_and_starts_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.metrics.captions.java_version", lambda: None)  # METEOR takes seconds
    data = tmp_path / "data"
    scenes.write(data, splits=("train2017", "val2017"), counts={"train2017": 2, "val2017": 1}, processes=1)
    for path in (data / "annotations").glob("*.json"):
        content = json.loads(path.read_text())
        for category in content.get("categories", []):
            category["name"] = dict(COCO_CLASSES)[category["id"]]
        path.write_text(json.dumps(content))
    words = PRESETS / "embedded.model"
    sizes = Sizes(words=512)
    network = build_network(dataclasses.replace(OPTIONS, positions=506), Vocabulary(sizes))
    state = {to_released(name) or "": value for name, value in network.state_dict().items()}
    table = "vocab_embed.embeddings.weight"
    state[table] = state[table][: Vocabulary(sizes)["word"].stop]
    torch.save(state, tmp_path / "mad.pth")
    out = tmp_path / "weights" / "paper" / "mad.safetensors"
    config = tmp_path / "small.yaml"
    config.write_text(CONFIG)
    common = ["--decoder", "mad", "--preset", "paper", "--config", str(config), "--coco", str(data)]
    common += ["--tasks", "detection,captioning", "--tokenizer", str(words)]
    common += ["--network.backbone", "resnet50.tv_in1k"]  # the tag says where training begins, not what fits
    places = ["--checkpoints", str(out.parent.parent), "--out", str(tmp_path / "run")]
    chosen = load_run([*common, "--caption-tokenizer", "python", *places])
    import_checkpoint("mad", tmp_path / "mad.pth", out)
    with pytest.raises(UserError, match="--tokenizer MODEL"):
        run(chosen)
    import_checkpoint("mad", tmp_path / "mad.pth", out, tokenizer=words)
    (record,) = run(chosen).values()
    assert set(record.metrics) == {"detection", "captioning"} and record.missing == []
    start = ["--start", str(out), "--out", str(tmp_path / "train")]
    (written, _) = train(load_train([*common, *start]))
    hashed = json.loads(out.with_suffix(".json").read_text())["hash"]
    assert json.loads(written.with_suffix(".json").read_text())["start"] == hashed
    with pytest.raises(UserError, match=r"network\.width 32"):
        train(load_train([*common, "--network.width", "64", *start]))


def test_a_tokenizer_that_cannot_be_the_checkpoints_is_refused(tmp_path: Path, released: dict[str, Tensor]) -> None:
    torch.save(released, tmp_path / "mad.pth")
    with pytest.raises(UserError, match="the checkpoint 40 words"):
        import_checkpoint("mad", tmp_path / "mad.pth", tmp_path / "out", tokenizer=PRESETS / "embedded.model")
    with pytest.raises(UserError, match="is not there"):
        import_checkpoint("mad", tmp_path / "mad.pth", tmp_path / "out", tokenizer=tmp_path / "none.model")


def test_what_is_no_checkpoint_is_refused_in_one_line(
    tmp_path: Path, released: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    contents: dict[str, object] = {
        "needs more than tensors": {"model": released, "args": Trap()},
        "is it a MAD checkpoint": {"a": torch.zeros(2)},
        "only MAD's ResNet": {name: value for name, value in released.items() if not name.startswith("backbone.")},
        "has shape": released | {"input_proj.bias": torch.zeros(31)},
        "expected a matrix": released | {"seq_pos_embed": torch.zeros(())},
        "no transformer.decoder.layers": {name: value for name, value in released.items() if "decoder.l" not in name},
        "expected floating-point": released | {"input_proj.bias": torch.zeros(32, dtype=torch.int64)},
    }
    check_refused("mad", contents, tmp_path, capsys)
    with pytest.raises(UserError, match="known: mad"):
        import_checkpoint("detr", tmp_path / "bad.pth", tmp_path / "out.safetensors")
