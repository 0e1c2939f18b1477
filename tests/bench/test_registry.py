"""Names resolve to classes of every installed package; unknown ones answer with the known."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from pathlib import Path

import pytest

from bench import registry
from bench.cli.main import main
from bench.errors import UserError


def test_our_own_names() -> None:
    assert "oracle" in registry.names(registry.DECODERS)
    assert {"detection", "segmentation", "keypoints", "captioning", "depth"} <= set(registry.names(registry.TASKS))
    assert registry.load(registry.DECODERS, "oracle").name == "oracle"


def test_unknown_names_answer_with_the_nearest_and_all() -> None:
    with pytest.raises(UserError, match=r"unknown decoder 'orcle' \(did you mean 'oracle'\?\); known: .*oracle"):
        registry.load(registry.DECODERS, "orcle")


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that registers a decoder, and one that cannot be loaded."""
    info = tmp_path / "guess-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guess\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[decoder_bench.decoders]\nguess = guess:Guess\nbroken = absent_module:X\n")
    (tmp_path / "guess.py").write_text("class Guess:\n    name = 'guess'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return tmp_path


@pytest.mark.usefixtures("third_party")
def test_third_parties_register_by_entry_point() -> None:
    names = registry.names(registry.DECODERS)
    assert names[0] != "broken"
    assert {"guess", "broken"} <= set(names)
    assert registry.load(registry.DECODERS, "guess").name == "guess"
    sys.modules.pop("guess")
    with pytest.raises(UserError, match=r"broken.*absent_module:X.*reinstall"):
        registry.load(registry.DECODERS, "broken")


def test_describe_explains_every_option_of_a_decoder(capsys: pytest.CaptureFixture[str]) -> None:
    for name in registry.names(registry.DECODERS):
        cls = registry.load(registry.DECODERS, name)
        assert main(["describe", name]) == 0
        shown = capsys.readouterr().out
        for option in dataclasses.fields(cls.Options) if hasattr(cls, "Options") else ():
            assert f"\n    {option.name}: " in shown, f"{name} {option.name}"
        assert "--reading edge --score_unseen true" in shown or name != "mad-released"
