"""BLEU, METEOR, ROUGE-L and CIDEr by pycocoevalcap, and what ran where: which tokenizer, and why a metric is absent."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import METEOR_JAR, Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import STANFORD_CORENLP_3_4_1_JAR

from tasks.base import Json, MetricParts
from tasks.errors import TaskError
from tasks.metrics import ptb
from tasks.metrics.caption_table import CaptionTable, bleu_counts
from tasks.targets import Targets

NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr")
TOKENIZERS = ("auto", "ptb", "python")
SECONDS_TO_START, SECONDS_TO_RUN = 30, 1800  # a Java program that takes longer hangs
# The programs print decimals as the locale has them; a comma would not be read back as a number.
JAVA_FLAGS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8", "-XX:+UseSerialGC")
"""One locale everywhere; one thread that collects garbage takes less processor time than several."""


@dataclass(frozen=True)
class CaptionScores:
    """Values of a set of captions.

    Args:
        values: by metric name; None where the metric is absent.
        per_image: image id to values by metric name, absent metrics left out.
        absent: metric name to the reason why it is absent.
        table: counts and values of each image, from which every resample can be scored; None without captions.
    """

    values: dict[str, float | None]
    per_image: dict[int, dict[str, float]]
    absent: dict[str, str] = field(default_factory=dict)
    table: CaptionTable | None = None


class CaptionMetric:
    """Caption metrics of one caption an image against its references.

    CIDEr weighs words by how many of the evaluated images have them in their references, as pycocoevalcap does: the
    CIDEr of a subset cannot be compared with that of the full set.

    Args:
        parts: ``references`` and ``caption_tokenizer``: ``ptb`` (needs Java), ``python``, or ``auto`` for ptb where
            Java works. Values of two tokenizers must not share a table; ``notes`` says which one ran.

    Raises:
        TaskError: if references are missing, the tokenizer is unknown, or ``ptb`` is asked for without Java.
    """

    def __init__(self, *, parts: MetricParts) -> None:
        if parts.references is None:
            raise TaskError("caption metrics need reference captions; this data set gives none")
        if parts.caption_tokenizer not in TOKENIZERS:
            raise TaskError(f"no caption tokenizer {parts.caption_tokenizer!r}; choose one of {', '.join(TOKENIZERS)}")
        if parts.caption_tokenizer == "ptb" and java_version() is None:
            raise TaskError("the ptb tokenizer needs Java on the PATH; install a Java runtime, or choose 'python'")
        if parts.caption_tokenizer != "python" and java_version() is not None and (fault := java_fault(tuple(_java()))):
            raise TaskError(fault)  # now, not after all images were decoded
        self._references = parts.references
        self._choice = parts.caption_tokenizer
        self._known: tuple[Mapping[int, str], CaptionScores] | None = None

    def observe(self, image_id: int, prediction: str, targets: Targets) -> dict[str, Json]:
        """The caption itself."""
        return {"caption": str(prediction)}

    def summarize(self, records: Mapping[int, dict[str, Any]]) -> dict[str, float | None]:
        """Values over all images in ``records``; METEOR is None without Java.

        Raises:
            TaskError: if an image has no references.
        """
        return dict(self._scores(records).values)

    def per_image(self, records: Mapping[int, dict[str, Any]]) -> dict[int, dict[str, float]]:
        """Values of each image as pycocoevalcap gives them, for paired statistics. An absent metric is left out."""
        return {image_id: dict(values) for image_id, values in self._scores(records).per_image.items()}

    def tables(self, records: Mapping[int, dict[str, Any]]) -> CaptionTable:
        """Counts and values of each image, from which every resample of the images can be scored.

        Raises:
            TaskError: if there is no image, or one has no references.
        """
        table = self._scores(records).table
        if table is None:
            raise TaskError("there is no caption to compare; give the records of at least one image")
        return table

    def notes(self) -> dict[str, str]:
        """The tokenizer, and the reason for each metric that is absent from the last values."""
        java = java_version() if self._choice != "python" else None
        tokenizer = "python" if java is None else f"ptb (Java {java})"
        absent = self._known[1].absent if self._known else _absent_from_the_start()
        return {"tokenizer": tokenizer, **absent}

    def _scores(self, records: Mapping[int, dict[str, Any]]) -> CaptionScores:
        captions = {image_id: str(records[image_id]["caption"]) for image_id in sorted(records)}
        if self._known is None or self._known[0] != captions:  # METEOR takes seconds: once for both readers
            self._known = (captions, self._scored(captions))
        return self._known[1]

    def _scored(self, captions: Mapping[int, str]) -> CaptionScores:
        if not captions:
            return CaptionScores(dict.fromkeys(NAMES), {}, _absent_from_the_start())
        without = [image_id for image_id in captions if not self._references.get(image_id)]
        if without:
            raise TaskError(f"image {without[0]} ({len(without)} such) has no reference captions; leave it out")
        tokenize = ptb.tokenize if self._choice == "python" or java_version() is None else tokenize_with_java
        flat = [(image_id, text) for image_id in captions for text in self._references[image_id]]
        references: dict[int, list[str]] = {image_id: [] for image_id in captions}
        for (image_id, _), text in zip(flat, tokenize([text for _, text in flat]), strict=True):
            references[image_id].append(text)
        return score(references, dict(zip(captions, tokenize(list(captions.values())), strict=True)))


def score(references: Mapping[int, Sequence[str]], hypotheses: Mapping[int, str]) -> CaptionScores:
    """Scores of texts that are tokens joined by single spaces already.

    Args:
        references: image id to at least one text.
        hypotheses: image id to a text, which may be empty; the same ids.

    Raises:
        TaskError: if the ids differ, or all references are empty.
    """
    if not hypotheses or set(references) != set(hypotheses):
        raise TaskError(f"{len(references)} images have references, {len(hypotheses)} captions; give the same ids")
    if not any(text for texts in references.values() for text in texts):
        raise TaskError("all reference captions are empty; there is nothing to compare with")
    ids = sorted(hypotheses)
    truth = {image_id: list(references[image_id]) for image_id in ids}
    captions = {image_id: [hypotheses[image_id]] for image_id in ids}
    columns: dict[str, tuple[float, Sequence[float]]] = {}
    bleu, bleus = Bleu(4).compute_score(truth, captions, verbose=0)
    for n in range(4):
        columns[f"BLEU-{n + 1}"] = (bleu[n], bleus[n])
    columns["ROUGE-L"] = Rouge().compute_score(truth, captions)
    columns["CIDEr"] = Cider().compute_score(truth, captions)
    absent = _absent_from_the_start()
    counted: list[list[float]] = []  # what METEOR adds up
    for name, compute in (("METEOR", lambda *texts: _meteor(*texts, counted=counted)), ("SPICE", _spice)):
        if name not in absent:
            try:
                columns[name] = compute(truth, captions)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                absent[name] = f"not computed: {error}"
    values: dict[str, float | None] = {
        name: float(columns[name][0]) if name in columns else None
        for name in (*NAMES, *(["SPICE"] if _spice_jars() else []))
    }
    per_image = {
        image_id: {name: float(columns[name][1][row]) for name in values if name in columns}
        for row, image_id in enumerate(ids)
    }
    table = CaptionTable(
        ids,
        [bleu_counts(truth[image_id], captions[image_id][0]) for image_id in ids],
        {name: columns[name][1] for name in ("ROUGE-L", "CIDEr", "SPICE") if name in columns},
        counted if "METEOR" in columns else None,
        [*NAMES, "SPICE"],
    )
    return CaptionScores(values, per_image, absent, table)


@lru_cache(maxsize=1)
def java_version() -> str | None:
    """Version of the Java runtime on the PATH, e.g. ``17.0.15``; None without one that works. Asked once."""
    java = shutil.which("java")
    if java is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  (the user's own Java)
            [java, "-version"], capture_output=True, text=True, timeout=SECONDS_TO_START, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    named = re.search(r'version "([^"]+)"', done.stderr)  # other lines tell of options from the environment
    return named[1] if named else "of unknown version"


@lru_cache(maxsize=1)
def java_fault(command: tuple[str, ...]) -> str | None:
    """Return why this Java cannot tokenize captions, tried on one; None if it can. Asked once."""
    try:
        tokenize_with_java(["a ring"])
    except TaskError as error:
        return str(error)
    return None


def tokenize_with_java(captions: Sequence[str]) -> list[str]:
    """What ``ptb.tokenize`` does, by Stanford's own program, run as pycocoevalcap runs it.

    pycocoevalcap writes its input into its own folder, which may be read-only; here it goes to a temporary one. Blank
    captions are kept back because the program drops empty lines at the end.

    Raises:
        TaskError: if the program fails.
    """
    lines = [ptb.one_line(caption) for caption in captions]
    rows = [row for row, line in enumerate(lines) if line.strip()]
    jar = _package() / "tokenizer" / STANFORD_CORENLP_3_4_1_JAR
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "captions.txt"
        text.write_text("\n".join(lines[row] for row in rows), encoding="utf-8")
        command = [*_java(), "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
        try:
            done = subprocess.run(  # noqa: S603  (no shell, our own arguments)
                [*command, str(text)], capture_output=True, timeout=SECONDS_TO_RUN, check=True, env=_environment()
            )
        except (OSError, subprocess.SubprocessError) as error:
            reason = _reason(getattr(error, "stderr", None) or b"") or error
            raise TaskError(f"the ptb tokenizer failed ({reason}); choose caption_tokenizer 'python'") from error
    answers = done.stdout.decode("utf-8").split("\n")[: len(rows)]
    if len(answers) != len(rows):
        raise TaskError(
            f"the ptb tokenizer gave {len(answers)} lines for {len(rows)}; choose caption_tokenizer 'python'"
        )
    tokens = [""] * len(lines)
    for row, answer in zip(rows, answers, strict=True):
        tokens[row] = " ".join(token for token in answer.rstrip().split(" ") if token not in ptb.PUNCTUATION)
    return tokens


def _reason(output: bytes) -> str:
    """Return the first line of what a Java program complained: neither its stack nor the options it picked up."""
    lines = output.decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in lines if line.strip() and not line.startswith(("\t", "Picked up"))), "")


class _MeteorProcess(Meteor):  # type: ignore[misc]  # untyped base
    """pycocoevalcap's METEOR in a fixed locale, ended by ``close``.

    In a locale with decimal commas the original cannot read its numbers back, and its destructor waits for a lock that
    a failed call holds.
    """

    def __init__(self, errors: IO[bytes], counted: list[list[float]]) -> None:
        self.counted = counted
        self.meteor_p = subprocess.Popen(  # noqa: S603  (no shell, our own arguments)
            [*_java(), "-Xmx2G", "-jar", METEOR_JAR, "-", "-", "-stdio", "-l", "en", "-norm"],
            cwd=_package() / "meteor",
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        self.lock = threading.Lock()

    def _stat(self, hypothesis_str: str, reference_list: list[str]) -> str:
        """The counts of one caption as the program prints them; they are kept."""
        line = str(super()._stat(hypothesis_str, reference_list))
        self.counted.append([float(number) for number in line.split()])
        return line

    def close(self) -> None:
        """End the Java process and wait for it."""
        self.meteor_p.kill()
        self.meteor_p.communicate()

    def __del__(self) -> None:
        """Do nothing: ``close`` has ended the process."""


def _meteor(
    truth: dict[int, list[str]], captions: dict[int, list[str]], *, counted: list[list[float]]
) -> tuple[float, Sequence[float]]:
    """METEOR and its value for each image; what it adds up for each goes into ``counted``.

    Raises OSError or ValueError with the reason when Java fails.
    """
    with tempfile.TemporaryFile() as errors:
        process = _MeteorProcess(errors, counted)
        alarm = threading.Timer(SECONDS_TO_RUN, process.meteor_p.kill)  # a killed process answers with nothing
        alarm.start()
        try:
            value, values = process.compute_score(truth, captions)
        except (OSError, ValueError) as error:
            errors.seek(0)
            raise ValueError(f"METEOR's Java program failed ({_reason(errors.read()) or error})") from error
        finally:
            alarm.cancel()
            process.close()
    return value, values


def _spice(truth: dict[int, list[str]], captions: dict[int, list[str]]) -> tuple[float, Sequence[float]]:
    """SPICE and its value for each image, in order of id. Only for when its files are there: it would download them."""
    from pycocoevalcap.spice.spice import Spice

    value, values = Spice().compute_score(truth, captions)
    return value, [each["All"]["f"] for each in values]


def _spice_jars() -> bool:
    """Whether the CoreNLP files that SPICE would otherwise download are in place."""
    folder = _package() / "spice" / "lib"
    return all((folder / f"stanford-corenlp-3.6.0{part}.jar").exists() for part in ("", "-models"))


def _absent_from_the_start() -> dict[str, str]:
    """Metrics that this machine cannot compute, with the reason."""
    absent = {}
    if java_version() is None:
        absent["METEOR"] = "not computed: it needs Java, and there is none that works on the PATH"
    if not _spice_jars():
        absent["SPICE"] = "not computed: its CoreNLP 3.6.0 files are not installed"
    elif java_version() is None:
        absent["SPICE"] = "not computed: it needs Java, and there is none that works on the PATH"
    return absent


def _java() -> list[str]:
    return [shutil.which("java") or "java", *JAVA_FLAGS]


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def _package() -> Path:
    """Folder of pycocoevalcap, where the Java programs are."""
    spec = importlib.util.find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise TaskError("pycocoevalcap is not installed; caption metrics need it")
    return Path(next(iter(spec.submodule_search_locations)))
