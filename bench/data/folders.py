"""Finds files that a data file names, and only inside the folder they belong to."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path, PurePosixPath

from bench.data.problems import Fault, Problem, Reporter, quote


def existing_folder(path: Path, holds: str, report: Reporter) -> bool:
    """Whether ``path`` is a folder; reports it when it is not. ``holds`` says what the folder should contain."""
    if path.is_dir():
        return True
    message = "is a file, not a folder" if path.exists() else "no such folder"
    report(Problem(path, "", Fault("missing folder", message, f"give the folder that holds {holds}")))
    return False


class Folder:
    """A folder whose files are named by someone else.

    No name may climb out of the folder. Links are the user's own, who may have made a subset of them, and are followed.
    Names in a flat folder are answered from one listing, since COCO has 118,287 of them.

    Args:
        path: the folder, which exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def plain(self) -> frozenset[str]:
        """Names of the files directly in the folder, links left out."""
        try:
            with os.scandir(self.path) as entries:
                return frozenset(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        except OSError:  # a folder that may not be listed: its files are asked for one by one
            return frozenset()

    def fault(self, name: str, sort: str = "image") -> Fault | None:
        """Why a named file cannot be used, or None if it is there and inside the folder."""
        if name in self.plain:
            return None
        parts = PurePosixPath(name).parts
        if not parts or "\0" in name:
            return Fault("unusable name", f"{quote(name)} is not a file name", "correct the name")
        if name.startswith("/") or ".." in parts:
            return Fault(
                "name outside of the folder",
                f"{quote(name)} leads out of {self.path}",
                "give a name inside of the folder, without '..' or a leading '/'",
            )
        try:
            present = (self.path / name).is_file()
        except OSError:  # a name that is too long
            present = False
        if not present:
            return Fault(
                f"missing {sort}",
                f"{quote(name)} is not in {self.path}",
                f"put the {sort} there or remove the record; verify-data lists everything that is missing",
            )
        return None
