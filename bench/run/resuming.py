"""Continue a run only on the images that its first session saw."""

from __future__ import annotations

from bench.data import sources
from bench.data.dataset import Dataset
from bench.errors import UserError
from results.store import RunFolder


def check_images(dataset: Dataset, folder: RunFolder) -> None:
    """Compare the images that earlier sessions decoded with the files of today.

    Raises:
        UserError: if the bytes of one have changed.
    """
    before = {sample.image_id: sample.source for sample in folder.samples.values() if sample.source is not None}
    if changed := sources.changed(dataset, before):
        raise UserError(
            f"{folder.path}: {changed[0].file_name} and in all {len(changed)} images have changed since an earlier "
            "session decoded them; put the old files back, or start over with --fresh"
        )
