"""Captions as plain text, for training a caption tokenizer: of one file, or of all caption files of a folder."""

from __future__ import annotations

from pathlib import Path

from bench.data.coco.annotations import read_json
from bench.data.problems import refuse
from bench.errors import DataError


def caption_texts(path: Path) -> list[str]:
    """Captions of a COCO caption file (``.json``), or of a text file with one a line, in file order.

    Raises:
        DataError: if the file cannot be read or holds no caption.
    """
    if path.suffix.lower() == ".json":
        content, _ = read_json(path, refuse) or ({}, "")
        records = content.get("annotations", []) if isinstance(content, dict) else []
        texts = [str(r["caption"]).strip() for r in records if isinstance(r, dict) and "caption" in r]
    else:
        try:
            texts = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read ({error}); give a caption file") from None
    texts = [" ".join(text.split()) for text in texts if text.strip()]
    if not texts:
        raise DataError(f"{path}: holds no caption; give a COCO caption file or a text file with one caption a line")
    return texts


def folder_captions(root: Path) -> tuple[list[str], list[str]]:
    """Captions of all caption files of a COCO folder, and the names of these files."""
    files = sorted((root / "annotations").glob("captions_*.json"))
    return [caption for file in files for caption in caption_texts(file)], [file.name for file in files]
