"""A preset small enough for tests, with random weights on disk: runs that score need some."""

from __future__ import annotations

from pathlib import Path

from bench import registry
from bench.builders.open_suite import build_suite
from bench.builders.placeholders import random_network
from bench.checkpoints.checkpoint import checkpoint_path, fit_card, write_checkpoint
from bench.config.loading import load_run
from tests.bench.tiny_presets import CONFIG


def small(folder: Path) -> Path:
    """The options of ``tests.bench.tiny_presets`` for ``run --config``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(CONFIG[: CONFIG.index("train:")])
    return path


def words(scenes: Path, folder: Path, *more: str) -> list[str]:
    """Arguments of ``run`` with the weights of ``write_weights``."""
    data = ["--preset", "embedded", "--config", str(small(folder)), "--coco", str(scenes), "--nyu", str(scenes)]
    return [*data, "--caption-tokenizer", "python", "--checkpoints", str(folder / "checkpoints"), *more]


def write_weights(scenes: Path, folder: Path, *decoders: str) -> Path:
    """Random weights of some decoders; gives ``folder``."""
    options = load_run(words(scenes, folder, "--decoder", ",".join(decoders)))
    suite = build_suite(options)
    network = random_network(options.network, suite.vocabulary, seed=options.seed)
    card = fit_card(options.sizes, options.network, suite.vocabulary, suite.data["tokenizer"]["hash"])
    for name in decoders:
        path = checkpoint_path("embedded", registry.decoder(name).weights, folder / "checkpoints")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(path, network.state_dict(), card)
    return folder
