"""Reads a COCO annotation file: bytes to checked top-level lists, with a message that says where the file breaks."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.data.problems import Fault, Problem, Reporter

KINDS = ("instances", "person_keypoints", "captions")
"""The three kinds of annotation file."""


@dataclass(frozen=True)
class AnnotationFile:
    """One annotation file.

    Args:
        path: where it was read.
        content: its JSON; ``images`` and ``annotations`` are lists, and so is ``categories`` unless it holds captions.
        digest: SHA-256 of its bytes, hexadecimal.
    """

    path: Path
    content: dict[str, Any]
    digest: str


def annotation_path(root: Path, kind: str, split: str) -> Path:
    """Where COCO's layout keeps a kind of annotation."""
    return root / "annotations" / f"{kind}_{split}.json"


def read_annotations(root: Path, split: str, report: Reporter) -> dict[str, AnnotationFile]:
    """Annotation files of a split by kind. An absent file is left out; having none at all is reported."""
    paths = {kind: annotation_path(root, kind, split) for kind in KINDS}
    present = {kind: path for kind, path in paths.items() if path.is_file()}
    if not present:
        names = ", ".join(path.name for path in paths.values())
        fault = Fault("no annotations", f"holds none of {names}", "put at least one there, or choose another split")
        report(Problem(root / "annotations", "", fault))
    files = {}
    for kind, path in present.items():
        content = read_json(path, report)
        if content is not None and _lists_present(path, kind, content[0], report):
            files[kind] = AnnotationFile(path, *content)
    return files


def read_json(path: Path, report: Reporter) -> tuple[Any, str] | None:
    """Content and SHA-256 of a JSON file; None if a problem was reported."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        report(Problem(path, "", Fault("unreadable file", f"cannot be read ({error.strerror})", "check the file")))
        return None
    try:
        return _decode(raw), hashlib.sha256(raw).hexdigest()
    except (ValueError, RecursionError) as error:
        report(Problem(path, "", _damage(raw, error)))
        return None


def _decode(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        # The standard library reads NaN, which msgspec refuses by byte number: so the record it stands in can be named.
        return json.loads(raw)


def _damage(raw: bytes, error: Exception) -> Fault:
    if isinstance(error, json.JSONDecodeError):
        # The parser names the beginning of the string or number that is cut, so the length of the file is said too.
        cut = "is cut" if error.msg != "Extra data" and _looks_cut(raw) else "is not JSON"
        where = f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}, of {len(raw)} bytes"
    else:
        cut, where = "is not JSON", " ".join(str(error).split())
    return Fault("broken JSON", f"{cut} ({where})", "download or write the file again")


def _looks_cut(raw: bytes) -> bool:
    return raw.lstrip()[:1] in (b"{", b"", b"[") and raw.rstrip()[-1:] not in (b"}", b"]")


def _lists_present(path: Path, kind: str, content: Any, report: Reporter) -> bool:
    if not isinstance(content, dict):
        fault = Fault("wrong fields", f"holds a {type(content).__name__}, not an object", "give a COCO annotation file")
        report(Problem(path, "", fault))
        return False
    needed = ("images", "annotations") if kind == "captions" else ("images", "annotations", "categories")
    for name in needed:
        if not isinstance(content.get(name), list):
            problem = f"is a {type(content[name]).__name__}" if name in content else "is missing"
            fault = Fault("wrong fields", f"{problem}, expected a list", "give a COCO annotation file")
            report(Problem(path, f"field {name!r}", fault))
            return False
    return True
