"""Per-image scores of a trained codec, cached beside it."""

from __future__ import annotations

import json
from contextlib import suppress

from bench.builders.open_suite import open_dataset
from bench.checkpoints.codec import read_codec
from bench.studies.plan import Job
from bench.train.codec import codec_scores
from results.store import write_atomically
from tasks.metrics.tables import ScoreTable
from tasks.metrics.unpacking import unpack


def codec_table(job: Job, split: str) -> ScoreTable:
    """Return what the reconstructions of a codec score, image by image.

    Args:
        job: a finished training of a codec.
        split: whose images are reconstructed, all of them unless the training is limited to some.
    """
    path = job.folder / f"scores-{split}.json"
    with suppress(OSError, ValueError, KeyError):  # absent, or cut by a full disk: made again
        return unpack(json.loads(path.read_bytes()))
    options = job.options()
    stored = read_codec(options.codec, job.weights, again="python -m bench study")
    table = codec_scores(options, stored.codec, open_dataset(options.data(split))).table
    write_atomically(path, json.dumps(table.pack()).encode())
    return table
