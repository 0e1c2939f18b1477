"""Command line over YAML file over preset, and errors in one line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from bench.builders.decoder import build_decoder
from bench.cli.commands import COMMANDS
from bench.config.loading import choose_preset, load_run, load_train, preset_names
from bench.errors import UserError
from bench.paths import PRESETS
from tests.paths import REPOSITORY

PUBLISHED = REPOSITORY / "results" / "published" / "systems.json"


def test_presets_follow_the_data() -> None:
    assert load_run(["--decoder", "oracle"]).preset == "embedded"
    assert load_run(["--decoder", "oracle", "--nyu", "x"]).preset == "paper"
    assert load_run(["--decoder", "oracle", "--coco", "x", "--preset", "embedded"]).sizes.slots == 12


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_parses_and_says_its_command_first(name: str) -> None:
    assert load_run(["--decoder", "oracle", "--preset", name]).preset == name
    assert "# Command:" in (PRESETS / f"{name}.yaml").read_text()


@pytest.mark.parametrize(
    ("preset", "system"), [("mad-r50", "MAD R50"), ("mad-swinb", "MAD Swin-B"), ("mad-vitb", "MAD ViT-B")]
)
def test_presets_of_the_paper_say_what_it_printed(preset: str, system: str) -> None:
    (found,) = [one for one in json.loads(PUBLISHED.read_text()) if one["name"] == system]
    header = (PRESETS / f"{preset}.yaml").read_text().split("sizes:")[0].replace("\n#          ", "")
    expected = [f"{100 * found['metrics'][f'{task}.AP']:.1f} " for task in ("detection", "segmentation", "keypoints")]
    for text in (
        *expected,
        f"BLEU-4 {100 * found['metrics']['captioning.BLEU-4']:.1f}",
        f"{1000 * found['seconds']:.0f} ms",
    ):
        assert text in header


def test_command_line_over_file_over_preset(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("preset: paper\nseed: 5\nsizes:\n  mask_size: 14\n  bins: 250\n")
    options = load_run(["--config", str(file), "--decoder", "oracle", "--sizes.bins", "1000"])
    assert (options.preset, options.seed) == ("paper", 5)
    assert (options.sizes.bins, options.sizes.mask_size, options.sizes.slots) == (1000, 14, 100)


def test_the_last_preset_counts() -> None:
    options = load_run(["--decoder", "oracle", "--preset", "embedded", "--preset", "paper"])
    assert (options.preset, options.sizes.classes) == ("paper", 80)


def test_print_config_shows_the_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load_run(["--decoder", "oracle", "--sizes.mask_size", "20", "--print_config"])
    shown = capsys.readouterr().out
    assert "mask_size: 20" in shown
    assert "slots: 12" in shown


def test_flags_and_dashes() -> None:
    assert load_run(["--fresh", "--decoder", "oracle"]).fresh
    assert load_run(["--decoder=oracle", "--caption-tokenizer", "python"]).caption_tokenizer == "python"
    assert COMMANDS["verify-data"].load_options("verify-data", ["--coco", "x", "--headers-only"]).headers_only


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "0"], "--limit 0: nothing to evaluate"),
        (["--limit", "x"], "--limit x: expected int"),
        (["--batch", "0"], "--batch 0"),
        (["--min-images", "-1"], "--min-images -1: give 0 or more"),
        (["--sizes.bins", "0"], "sizes.bins is 0"),
        (["--sizes.min_depth", "12"], "0 < min < max"),
        (["--split", "test"], "--split test: expected one of val2017, train2017"),
        (["--scenario", "nosuch"], "--scenario nosuch: expected one of latency, throughput, stream"),
        (["--temperatures", "{dpth: 1.0}"], "unknown codec 'dpth' .did you mean 'depth'"),
        (["--temperatures", "{depth: 0.0}"], "temperatures.depth 0.0: give a number above 0"),
        (["--preset", "pape"], "did you mean 'paper'"),
        (["--config", "absent.yaml"], "no such file"),
        (["--wings", "2"], "unknown option --wings"),
    ],
)
def test_wrong_options_are_explained_in_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_run(["--decoder", "oracle", *words])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--train.weights", "{detektion: 3}"], "unknown task 'detektion' .did you mean 'detection'"),
        (["--train.weights", "{detection: -1}"], "detection is -1"),
        (["--train.sequences", "{segmentatoin: 2}"], "did you mean 'segmentation'"),
        (["--train.flip", "7"], "flip 7"),
        (["--train.accumulate", "0"], "accumulate 0: give at least 1"),
        (["--train.jitter", "[2, 1]"], "least scale"),
        (["--train.decoder.average", "1.5"], "average is 1.5"),
        (["--train.decoder.drops", "[3.0]"], "drops is"),
        (["--train.decoder.warm_up", "2"], "warm_up is 2"),
    ],
)
def test_impossible_trainings_are_explained_in_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_train(["--decoder", "mad", *words])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("decoder", "given"),
    [
        ("mad", {"ratios": {"captoining": [0.5]}}),
        ("ait", {"top_p": {"detektion": 0.5}}),
        ("mad-released", {"ratios": {"x": []}}),
        ("mad", {"ratios": {1: [0.5]}}),
    ],
)
def test_strategy_options_of_unknown_tasks_are_refused(decoder: str, given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="unknown task"):
        build_decoder(decoder, {decoder: given})


def test_a_config_that_is_no_yaml_or_no_mapping(tmp_path: Path) -> None:
    for text in ("a: [1", "- 1\n- 2\n"):
        file = tmp_path / "run.yaml"
        file.write_text(text)
        with pytest.raises(UserError, match=r"run\.yaml"):
            choose_preset(["--config", str(file)])


def test_a_mapping_says_the_same_as_words(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("preset: paper\nseed: 5\nsizes:\n  mask_size: 14\n  bins: 250\n")
    words = ["--config", str(file), "--decoder", "mad", "--sizes.bins", "1000", "--strategy", "{mad: {remask: lowest}}"]
    mapping = {"sizes": {"bins": 1000}, "decoder": "mad", "strategy": {"mad": {"remask": "lowest"}}, "config": file}
    assert load_run(mapping) == load_run(words)
    options = load_run({"decoder": "oracle", "out": tmp_path, "sizes.bins": 7, "limit": None})
    assert (options.preset, options.out, options.sizes.bins, options.sizes.slots) == ("embedded", tmp_path, 7, 12)
    assert load_run(dataclasses.asdict(options)) == options


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"task": "depth"}, "unknown option --task; did you mean --tasks"),
        ({"sizes": {"bin": 3}}, "unknown option --sizes.bin; did you mean --sizes.bins"),
        ({"limit": "x"}, "--limit x: expected int"),
        ({"limit": 0}, "--limit 0: nothing to evaluate"),
    ],
)
def test_a_wrong_mapping_is_explained_in_one_line(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_run({"decoder": "oracle", **mapping})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--accuracy-only", "maybe"], "--accuracy-only maybe: expected true, yes, on, false, no, off"),
        (["--task", "depth"], "unknown option --task; did you mean --tasks"),
        (["--min_image", "3"], "unknown option --min_image; did you mean --min_images"),
        (["--min-image", "3"], "unknown option --min-image; did you mean --min-images"),
        (["--min_images", "-1"], "--min_images -1: give 0 or more"),
        (["--min-images", "x"], "--min-images x: expected int"),
        (["fast"], "unexpected fast: expected options as --name value"),
    ],
)
def test_messages_spell_options_as_they_were_typed(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_run(["--decoder", "oracle", *words])


@pytest.mark.parametrize(
    ("word", "value"), [("yes", True), ("ON", True), ("true", True), ("no", False), ("off", False)]
)
def test_flags_take_words_for_true_and_false(word: str, value: bool) -> None:
    assert load_run(["--decoder", "oracle", "--accuracy_only", word]).accuracy_only is value
    assert load_run(["--decoder", "oracle", f"--accuracy-only={word}"]).accuracy_only is value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sizes: 3", "--sizes 3: is a section; give its members, such as --sizes.classes"),
        ("network: [1]", r"--network \[1\]: is a section"),
        ("network: {heads: 0}", "network.heads is 0; give at least 1"),
        ("network: {family: null}", "--network.family null: give a value"),
        ("network: {width: .inf}", "--network.width .*inf"),
        ("sizes: {classes: 10000000000}", "--sizes.classes 10000000000: give a number up to 10,000"),
        ("sizes: {depth_grid: [4, 100000]}", "--sizes.depth_grid 100000: give a number up to 500"),
        ("image: {side: 1000000000}", "--image.side 1000000000: give a number up to"),
        ("threads: 100000", "--threads 100000: give a number up to 1,024"),
        ("seed: 99999999999999999999999", "--seed 9+: give a number up to"),
        ("persons: null", "--persons null: give a value"),
        ("temperatures: {depth: .nan}", "--temperatures.depth nan: give a number"),
        ("min_seconds: .nan", "--min_seconds nan: give a number"),
        ("limit: " + "[" * 3000, "nested more than 50 levels deep"),
        ("strategy: &a {mad: *a}", "alias 'a' stands inside what it names"),
        (
            "strategy: {a: &a [x, x, x, x, x, x, x, x, x, x]"
            + "".join(f", {b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcde", "bcdef", strict=True))
            + "}",
            "more than 100,000 values",
        ),
        ("batch: " + "9" * 5000, "not a YAML file"),
    ],
)
def test_values_that_no_machine_can_take_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_run({"decoder": "oracle", "config": str(file)})
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_not_read_as_options(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is no regular file"):
        load_run(["--decoder", "oracle", "--config", str(tmp_path / "run.yaml")])


def test_values_on_the_command_line_have_the_same_bounds() -> None:
    for words, message in {
        ("--sizes.words", "9" * 12): "--sizes.words 9+: give a number up to",
        ("--strategy", "&a {mad: *a}"): "stands inside",
        ("--strategy", "[" * 3000): "nested",
        ("--sizes", "3"): "--sizes: Unable to load config",
    }.items():
        with pytest.raises(UserError, match=message):
            load_run(["--decoder", "oracle", *words])
