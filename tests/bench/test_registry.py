"""Names resolve to classes of every installed package; what classes declare is read here, of ours without torch."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from bench import registry
from bench.cli.main import main
from bench.errors import UserError

DECODER = "class Guess:\n    name, summary = 'guess', 'guesses'\n    needs_truth = needs_network = False\n"
HEAVY = {"torch", "torchvision", "timm"}

Install = Callable[..., None]


def test_our_own_names() -> None:
    assert "oracle" in registry.names(registry.DECODERS)
    assert {"detection", "segmentation", "keypoints", "captioning", "depth"} <= set(registry.names(registry.TASKS))
    assert registry.load(registry.DECODERS, "oracle").name == "oracle"


def test_unknown_names_answer_with_the_nearest_and_all() -> None:
    with pytest.raises(UserError, match=r"unknown decoder 'orcle' \(did you mean 'oracle'\?\); known: .*oracle"):
        registry.load(registry.DECODERS, "orcle")


@pytest.mark.parametrize(
    "read, group", [(registry.decoder, registry.DECODERS), (registry.task, registry.TASKS)], ids=["decoders", "tasks"]
)
def test_what_is_read_from_our_source_is_what_the_class_declares(read: Callable[[str], object], group: str) -> None:
    for name in registry.names(group):
        assert read(name) == registry.entry_of(type(read(name)), registry.load(group, name)), name
        module = sys.modules[registry.load(group, name).__module__]
        assert registry.documentation(group, name) == (module.__doc__ or "").strip(), name


@pytest.mark.parametrize(
    "command", ["list", "describe mad", "describe segmentation", "describe instances", "run --help"]
)
def test_commands_that_explain_import_no_torch(command: str) -> None:
    code = "import sys; from bench.cli.main import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    shown = subprocess.run([sys.executable, "-c", code, *command.split()], capture_output=True, text=True, check=True)
    assert shown.stdout
    assert not HEAVY & set(shown.stderr.split())


def test_entry_points_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    monkeypatch.setattr(
        registry, "entry_points", lambda group: reads.append(group) or metadata.entry_points(group=group)
    )
    registry.refresh()
    for _ in range(3):
        registry.usable(registry.DECODERS)
        registry.load(registry.DECODERS, "oracle")
    assert reads == [registry.DECODERS]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package into this process: ``install(group, name="module:Class", …, module=text)``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = set(sys.modules)

    def install(group: str, files: dict[str, str], **points: str) -> None:
        info = tmp_path / "guess-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guess\nVersion: 1.0\n")
        lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines))
        for file, text in files.items():
            (tmp_path / file).write_text(text)
        importlib.invalidate_caches()
        registry.refresh()

    yield install
    for name in set(sys.modules) - loaded:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    monkeypatch.undo()
    registry.refresh()


def test_third_parties_register_by_entry_point(install: Install) -> None:
    install(registry.DECODERS, {"guess.py": DECODER}, guess="guess:Guess")
    assert registry.names(registry.DECODERS)[-1] == "guess"
    assert registry.load(registry.DECODERS, "guess").name == "guess"
    entry = registry.decoder("guess")
    assert (entry.weights, entry.Options, entry.by_task, entry.formats) == ("guess", None, (), {})


@pytest.mark.parametrize(
    "text, reason",
    [
        ("import absent_module", "ModuleNotFoundError: No module named 'absent_module'"),
        ("raise RuntimeError('no licence\\nfound')", "RuntimeError: no licence found"),
        ("class Guess(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("", "AttributeError"),
        ("class Guess:\n    name = 'guess'\n", "lacks summary, needs_truth, needs_network"),
    ],
)
@pytest.mark.parametrize("group", [registry.DECODERS, registry.TASKS])
def test_a_plug_in_that_fails_is_named_once_and_left_out(
    text: str, reason: str, group: str, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(group, {"guess.py": text}, broken="guess:Guess")
    assert main(["list"]) == 0
    assert main(["describe", "oracle"]) == 0
    assert main(["describe", "detection"]) == 0
    shown = capsys.readouterr()
    assert "  broken" not in shown.out and "  oracle" in shown.out and "  detection" in shown.out
    (note,) = shown.err.splitlines()
    assert note.startswith("note: left out: ") and "guess:Guess" in note
    assert (reason.replace("needs_truth, needs_network", "kind") in note) if group == registry.TASKS else reason in note
    assert main(["describe", "broken"]) == 2
    assert "guess:Guess" in capsys.readouterr().err
