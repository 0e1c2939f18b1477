"""How a study writes its page and data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.paths import PUBLISHED
from bench.system.environment import describe_environment
from results.store import write_atomically


def card(weights: Path) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    return dict(json.loads(weights.with_suffix(".json").read_text()))


def published(name: str) -> dict[str, Any]:
    """Printed numbers: ``rows`` (row to task to value) and their ``source``."""
    return dict(json.loads((PUBLISHED / f"{name}.json").read_text()))


def write(out: Path, name: str, text: str, told: Mapping[str, Any]) -> None:
    """A table as Markdown, and what it shows with where it was measured as JSON."""
    full = {**told, "environment": describe_environment()}
    write_atomically(out / f"{name}.json", (json.dumps(full, indent=2, ensure_ascii=False) + "\n").encode())
    write_atomically(out / f"{name}.md", text.encode())
