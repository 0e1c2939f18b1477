"""Where the package, its data and its caches lie: the only file of ``bench`` that asks for its own place."""

from __future__ import annotations

import os
from pathlib import Path

BENCH = Path(__file__).resolve().parent
REPOSITORY = BENCH.parent
PRESETS = BENCH / "presets"
SWEEPS = BENCH / "sweeps"
STUDIES = BENCH / "studies" / "definitions"
RESULTS = REPOSITORY / "results"
CHECKPOINTS = RESULTS / "checkpoints"
PUBLISHED = RESULTS / "published"


def cache_folder() -> Path:
    """Return the folder of what can be made again, such as scenes and tokenizers; ``DECODER_BENCH_CACHE`` overrides."""
    import platformdirs

    override = os.environ.get("DECODER_BENCH_CACHE")
    return Path(override) if override else platformdirs.user_cache_path("decoder-bench")
