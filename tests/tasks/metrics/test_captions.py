"""Caption metrics: published values, the two tokenizers against each other, and machines with no or a broken Java."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.base import MetricParts
from tasks.errors import TaskError
from tasks.metrics import captions, ptb
from tasks.metrics.captions import NAMES, CaptionMetric, java_version, score, tokenize_with_java
from tasks.targets import Targets

SHARED = Path(os.environ.get("DECODER_BENCH_SHARED", "/nonexistent"))
DATA = SHARED / "data"
needs_java = pytest.mark.skipif(java_version() is None, reason="no Java")
needs_shared = pytest.mark.skipif(not DATA.exists(), reason="the reference files are not here (DECODER_BENCH_SHARED)")

REFERENCES = {
    4: ["A brown dog sleeps on the sofa.", "The dog's asleep on a couch."],
    8: ["Two red kites fly over the hill.", "Kites in the sky!"],
}
# Invented captions and what the Java program makes of them.
TOKENS = {
    'A "red-brick" house, isn\'t it?': "a red-brick house is n't it",
    "He can't, she'll, they've; the dogs' and a dog's toys": "he ca n't she 'll they 've the dogs and a dog 's toys",
    "We cannot go, gonna stay": "we can not go gon na stay",
    "A U.S. flag on Elm St. at 5 p.m.": "a u.s. flag on elm st. at 5 p.m.",
    "Mr. Fox sells a T.V. near vitamin c. Then he rests.": "mr. fox sells a t.v. near vitamin c then he rests",
    "the end.Next one... and so on . . .": "the end.next one and so on",
    "a boat/house and/or 3/4 of 1,000 at 10:30am -- 50%": "a boat/house and/or 3/4 of 1,000 at 10:30 am 50 %",
    "[one] (two) {three} & four #5": "-lsb- one -rsb- -lrb- two -rrb- -lcb- three -rcb- & four # 5",
    "costs $5.50 or \u00a310 or \u20ac2": "costs $ 5.50 or # 10 or $ 2",
    "rock 'n' roll of the '90s, hors d'oeuvres": "rock 'n' roll of the '90s hors d'oeuvres",
    "a colourful caf\u00e9 \u2013 \u201cgrey\u201d\u2026 it\u2019s": "a colourful caf\u00e9 grey it 's",
    "wow!!! really?!": "wow !!! really ?!",
    "": "",
    " . ": "",
}


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("PATH", str(tmp_path))
    java_version.cache_clear()
    yield
    monkeypatch.undo()
    java_version.cache_clear()


def metric(tokenizer: str, references: dict[int, list[str]] | None = None) -> CaptionMetric:
    return CaptionMetric(parts=MetricParts(references=references or REFERENCES, caption_tokenizer=tokenizer))


def records(texts: dict[int, str]) -> dict[int, Any]:
    own = metric("python")
    return {image: own.observe(image, text, Targets(size=(1, 1))) for image, text in texts.items()}


def val2017() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for each in json.loads((DATA / "captions_val2017.json").read_text())["annotations"]:
        found.setdefault(each["image_id"], []).append(each["caption"])
    return found


@pytest.mark.parametrize("text", TOKENS)
def test_python_tokens(text: str) -> None:
    assert ptb.tokenize([text]) == [TOKENS[text]]


@needs_java
def test_java_gives_the_same_tokens() -> None:
    assert tokenize_with_java(list(TOKENS)) == list(TOKENS.values())


def test_line_breaks_inside_a_caption_keep_captions_apart() -> None:
    assert ptb.tokenize(["one\ntwo\r\nthree", "", "four"]) == ["one two three", "", "four"]


@needs_java
def test_java_keeps_captions_apart() -> None:
    assert tokenize_with_java(["", "one\ntwo\rthree", " ", "four", ""]) == ["", "one two three", "", "four", ""]
    assert tokenize_with_java([]) == []


def test_a_caption_is_read_with_the_next_one() -> None:
    assert ptb.tokenize(["with vitamin c.", "The end"]) == ["with vitamin c", "the end"]
    assert ptb.tokenize(["with vitamin c.", "Red end"]) == ["with vitamin c.", "red end"]


@needs_java
@needs_shared
def test_tokenizers_agree_on_all_of_val2017() -> None:
    texts = [text for each in val2017().values() for text in each]
    assert len(texts) == 25014
    pairs = zip(ptb.tokenize(texts), tokenize_with_java(texts), strict=True)
    assert sum(ours != theirs for ours, theirs in pairs) == 0


@needs_java
@needs_shared
@pytest.mark.usefixtures("shared_meteor")
def test_published_values_with_tokenizer() -> None:
    references = val2017()
    results = json.loads((DATA / "metric_refs" / "captions_val2014_fakecap_results.json").read_text())
    own = records({each["image_id"]: each["caption"] for each in results if each["image_id"] in references})
    assert len(own) == 126
    scorer = metric("ptb", references)
    published = dict(zip(NAMES, (0.5855, 0.4047, 0.2825, 0.1983, 0.2051, 0.4080, 0.6277), strict=True))
    assert scorer.summarize(own) == pytest.approx(published, rel=0, abs=1e-4)
    assert scorer.notes()["tokenizer"].startswith("ptb (Java ")
    assert scorer.per_image(own)[6818].keys() == set(NAMES)


@needs_java
@needs_shared
@pytest.mark.usefixtures("shared_meteor")
def test_published_values_without_tokenizer_in_a_comma_locale() -> None:
    folder = DATA / "metric_refs" / "nlgeval_examples"
    texts = [(folder / f"{name}.txt").read_text().splitlines() for name in ("hyp", "ref1", "ref2")]
    rows = range(len(texts[0]))
    found = score({row: [texts[1][row], texts[2][row]] for row in rows}, {row: texts[0][row] for row in rows})
    published = dict(zip(NAMES, (0.55, 0.428174, 0.284043, 0.201143, 0.295797, 0.522104, 1.242192), strict=True))
    assert found.values == pytest.approx(published, rel=0, abs=0.5e-6 + 1e-6)


def test_without_java(no_java: None) -> None:
    own = metric("auto")
    values = own.summarize(records({4: "A dog sleeps on the couch.", 8: "Kites over a hill"}))
    assert values["METEOR"] is None
    assert all(value is not None for name, value in values.items() if name != "METEOR")
    assert own.notes()["tokenizer"] == "python"
    assert "needs Java" in own.notes()["METEOR"]
    with pytest.raises(TaskError, match="install a Java runtime, or choose 'python'"):
        metric("ptb")


def test_perfect_and_empty_captions(no_java: None) -> None:
    own = metric("python")
    texts = {4: "a brown dog sleeps on the sofa", 8: ""}
    values = own.per_image(records(texts))
    assert values[4]["BLEU-4"] == pytest.approx(1)
    assert values[4]["ROUGE-L"] == pytest.approx(1)
    assert set(values[8].values()) == {0.0}
    nothing = own.summarize(records({4: "", 8: " . "}))
    assert {value for name, value in nothing.items() if name != "METEOR"} == {0.0}
    assert own.summarize({}) == dict.fromkeys(NAMES)


def test_java_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [sys.executable, "-c", "import sys; sys.stdin.readline(); sys.exit('no memory left')"]
    monkeypatch.setattr(captions, "_java", lambda: broken)
    monkeypatch.setattr(captions, "java_version", lambda: "0")
    own = metric("python")
    values = own.summarize(records({4: "a dog", 8: "a kite"}))
    assert values["METEOR"] is None
    assert values["BLEU-1"] is not None
    assert own.notes()["METEOR"] == "not computed: METEOR's Java program failed (no memory left)"
    with pytest.raises(TaskError, match="choose caption_tokenizer 'python'"):
        metric("ptb").summarize(records({4: "a dog"}))


def fake_java(folder: Path, script: str) -> Path:
    """A program called ``java`` in a folder of its own."""
    folder.mkdir()
    (folder / "java").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "java").chmod(0o755)
    return folder


def test_java_that_starts_but_cannot_run_is_refused_before_anything_is_decoded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = """echo 'Picked up JAVA_TOOL_OPTIONS: -Dname="quoted"' >&2
case "$*" in *-version*) echo 'openjdk version "21.0.2" 2024-01-16' >&2; exit 0;; esac
echo 'Error: no room for the heap' >&2; exit 1"""
    monkeypatch.setenv("PATH", f"{fake_java(tmp_path / 'bin', script)}:/bin:/usr/bin")
    java_version.cache_clear()
    try:
        assert java_version() == "21.0.2"
        for choice in ("ptb", "auto"):
            with pytest.raises(
                TaskError, match=r"failed \(Error: no room for the heap\); choose caption_tokenizer 'python'"
            ):
                metric(choice)
        assert metric("python").notes()["tokenizer"] == "python"
    finally:
        java_version.cache_clear()


def test_spice_is_absent_with_a_reason(no_java: None) -> None:
    if not captions._spice_jars():
        assert "CoreNLP" in metric("python").notes()["SPICE"]


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(TaskError, match="need reference captions"):
        CaptionMetric(parts=MetricParts())
    with pytest.raises(TaskError, match=r"'ptv'.*auto, ptb, python"):
        metric("ptv")
    with pytest.raises(TaskError, match="image 5 "):
        metric("python").summarize(records({4: "a dog", 5: "a cat"}))
    with pytest.raises(TaskError, match="give the same ids"):
        score({1: ["a"]}, {2: "a"})
    with pytest.raises(TaskError, match="are empty"):
        score({1: [""]}, {1: "a"})
