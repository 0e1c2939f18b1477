"""Places that tests read: the repository and its golden files."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
GOLDEN = REPOSITORY / "tests" / "golden"
