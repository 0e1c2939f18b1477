"""Checkpoints: what was written is read, and what does not fit a run is refused in one line."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from bench.checkpoints import checkpoint
from bench.config.loading import load_run
from bench.config.run import RunOptions
from bench.errors import UserError
from decoders.network.errors import NetworkError
from decoders.network.network import Network, build_network
from tasks.formats.vocabulary import Vocabulary

NETWORK = ["--network.backbone", "test_resnet", "--network.width", "32", "--network.ffn", "64"]


@pytest.fixture(scope="module")
def options() -> RunOptions:
    return load_run(["--decoder", "mad", "--preset", "embedded", *NETWORK])


@pytest.fixture(scope="module")
def vocabulary(options: RunOptions) -> Vocabulary:
    return Vocabulary(options.sizes)


@pytest.fixture(scope="module")
def network(options: RunOptions, vocabulary: Vocabulary) -> Network:
    torch.manual_seed(0)
    return build_network(options.network, vocabulary).eval()


@pytest.fixture
def root(options: RunOptions, vocabulary: Vocabulary, network: Network, tmp_path: Path) -> Path:
    card = checkpoint.fit_card(options.sizes, options.network, vocabulary, "abc")
    encoder = checkpoint.checkpoint_path("embedded", "encoder", tmp_path)
    checkpoint.write_checkpoint(encoder, checkpoint.encoder_tensors(network), card)
    _, told = checkpoint.read_checkpoint(encoder, train="")
    decoder = checkpoint.checkpoint_path("embedded", "mad", tmp_path)
    own = {"encoder": told["hash"], "image": dataclasses.asdict(options.image)}
    checkpoint.write_checkpoint(decoder, checkpoint.decoder_tensors(network), {**card, **own})
    return tmp_path


def at(root: Path, options: RunOptions) -> RunOptions:
    return dataclasses.replace(options, checkpoints=root)


def hidden(network: Network) -> torch.Tensor:
    pixels = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        memory = network.project_memory(network.encode(network.backbone_features(pixels)))
        return network.decode(memory, torch.arange(10)[None, None])


def test_a_run_gets_the_network_that_was_saved(
    options: RunOptions, vocabulary: Vocabulary, network: Network, root: Path
) -> None:
    loaded = checkpoint.load_network("mad", at(root, options), vocabulary, tokenizer="abc")
    assert not loaded.training
    torch.testing.assert_close(hidden(loaded), hidden(network), atol=0.02, rtol=0.02)  # kept as float16
    kept = dict(loaded.named_buffers())
    for name, value in network.named_buffers():
        torch.testing.assert_close(kept[name], value)  # running statistics are kept exactly


def test_a_whole_network_needs_no_other_file(
    options: RunOptions, vocabulary: Vocabulary, network: Network, root: Path
) -> None:
    card = checkpoint.fit_card(options.sizes, options.network, vocabulary, None)
    path = checkpoint.checkpoint_path("embedded", "parallel", root)
    checkpoint.write_checkpoint(path, network.state_dict(), card)
    checkpoint.checkpoint_path("embedded", "encoder", root).unlink()
    loaded = checkpoint.load_network("parallel", at(root, options), vocabulary)
    torch.testing.assert_close(hidden(loaded), hidden(network), atol=0.02, rtol=0.02)


def test_weights_are_copied_with_their_card_and_curve(root: Path, tmp_path: Path) -> None:
    source, target = checkpoint.checkpoint_path("embedded", "mad", root), tmp_path / "new" / "mad.safetensors"
    checkpoint.copy_checkpoint(source, target)
    assert sorted(path.name for path in target.parent.iterdir()) == ["mad.json", "mad.safetensors"]
    source.with_suffix(".jsonl").write_text("{}\n")
    checkpoint.copy_checkpoint(source, target)
    for suffix in (".safetensors", ".json", ".jsonl"):
        assert target.with_suffix(suffix).read_bytes() == source.with_suffix(suffix).read_bytes()
    source.with_suffix(".json").unlink()
    with pytest.raises(UserError, match=r"mad\.json: cannot copy it .*give weights with their card"):
        checkpoint.copy_checkpoint(source, target)


def test_what_does_not_fit_is_said(options: RunOptions, vocabulary: Vocabulary, root: Path) -> None:
    def refused(message: str, changed: RunOptions = options, name: str = "mad", tokenizer: str = "abc") -> None:
        with pytest.raises(UserError, match=message) as caught:
            checkpoint.load_network(name, at(root, changed), vocabulary, tokenizer=tokenizer)
        assert "\n" not in str(caught.value)

    refused("nox -s train -- --decoder parallel --preset embedded --publish", name="parallel")
    refused("trained with tokenizer abc, this run has xyz", tokenizer="xyz")
    sizes = dataclasses.replace(options.sizes, bins=64)
    refused("trained with sizes.bins 128, this run has 64", dataclasses.replace(options, sizes=sizes))
    smaller = dataclasses.replace(options.image, side=64)
    refused("trained with image.side 128, this run has 64", dataclasses.replace(options, image=smaller))
    wider = dataclasses.replace(options.network, width=64)
    refused("trained with network.width 32, this run has 64", dataclasses.replace(options, network=wider))


def test_broken_and_mixed_up_files_are_refused(
    options: RunOptions, vocabulary: Vocabulary, network: Network, root: Path
) -> None:
    path = checkpoint.checkpoint_path("embedded", "mad", root)
    encoder = checkpoint.checkpoint_path("embedded", "encoder", root)
    shutil.copyfile(encoder.with_suffix(".json"), path.with_suffix(".json"))
    with pytest.raises(UserError, match="its card is another file's"):
        checkpoint.load_network("mad", at(root, options), vocabulary)
    card = checkpoint.fit_card(options.sizes, options.network, vocabulary, None)
    checkpoint.write_checkpoint(path, checkpoint.decoder_tensors(network), {**card, "encoder": "other"})
    with pytest.raises(UserError, match="another encoder"):
        checkpoint.load_network("mad", at(root, options), vocabulary)
    checkpoint.write_checkpoint(path, {"embedding.scale": torch.ones(())}, card)
    with pytest.raises(UserError, match="another encoder"):
        checkpoint.load_network("mad", at(root, options), vocabulary)
    own = {**card, "decoder": "parallel", "encoder": json.loads(encoder.with_suffix(".json").read_text())["hash"]}
    checkpoint.write_checkpoint(path, checkpoint.decoder_tensors(network), own)
    with pytest.raises(UserError, match="its card names decoder parallel; give weights of mad"):
        checkpoint.load_network("mad", at(root, options), vocabulary)
    for content, said in ((b"[]", "not a card of weights"), (b"\xff", "broken")):
        path.with_suffix(".json").write_bytes(content)
        with pytest.raises(UserError, match=said):
            checkpoint.load_network("mad", at(root, options), vocabulary)
    path.with_suffix(".json").unlink()
    with pytest.raises(UserError, match=r"mad\.json: no such card of weights.*copy them with their card into"):
        checkpoint.load_network("mad", at(root, options), vocabulary)
    checkpoint.write_checkpoint(path, checkpoint.decoder_tensors(network), card)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="broken"):
        checkpoint.load_network("mad", at(root, options), vocabulary)


def test_weights_that_are_not_finite_are_refused(
    options: RunOptions, vocabulary: Vocabulary, network: Network, root: Path
) -> None:
    path = checkpoint.checkpoint_path("embedded", "mad", root)
    name = "decoder.layers.0.cross.output.weight"
    tensors = checkpoint.decoder_tensors(network)
    card = json.loads(path.with_suffix(".json").read_text())
    tensors[name] = tensors[name].clone()
    tensors[name][0, 0] = 1e6  # more than float16 holds
    checkpoint.write_checkpoint(path, tensors, card)
    assert checkpoint.read_checkpoint(path, train="")[0][name][0, 0] == 1e6
    tensors[name][0, 0] = float("nan")
    with pytest.raises(NetworkError, match=rf"mad\.safetensors: {name} holds NaN"):
        checkpoint.write_checkpoint(path, tensors, card)
    content = save(tensors)
    path.write_bytes(content)
    path.with_suffix(".json").write_text(json.dumps(card | {"hash": checkpoint.content_hash(content)}))
    with pytest.raises(NetworkError, match=rf"mad\.safetensors: {name} holds NaN"):
        checkpoint.load_network("mad", at(root, options), vocabulary)


def test_incomplete_parts_are_refused(options: RunOptions, vocabulary: Vocabulary) -> None:
    with pytest.raises(UserError, match="lacks"):
        checkpoint.network_with({"embedding.scale": torch.ones(())}, options.network, vocabulary, "file")
    with pytest.raises(UserError, match="1 too many"):
        checkpoint.network_with({"wings": torch.ones(())}, options.network, vocabulary, "file")
    with pytest.raises(UserError, match="does not fit"):
        checkpoint.network_with({"embedding.scale": torch.ones(3)}, options.network, vocabulary, "file")
