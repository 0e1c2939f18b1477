"""Every command: what it does, its options, its function and its words without an option. A new one is a new row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any


@dataclass(frozen=True)
class Command:
    """A row of the command line.

    Args:
        group: heading that it stands under in ``--help``.
        summary: what it does, for ``--help``.
        options: ``module:class`` of its options.
        function: ``module:function`` below ``bench.cli`` that takes the options and returns the exit code.
        positional: options that words may give without their name, in order.
        preset: preset that lies below the options where real data is given; None: the command has no preset.
    """

    group: str
    summary: str
    options: str
    function: str
    positional: tuple[str, ...] = ()
    preset: str | None = None

    def load_options(self, name: str, words: Sequence[str]) -> Any:
        """Return the typed options of words. Raises UserError for those that cannot be used."""
        from bench.config.loading import choose_preset, load, load_codec

        if name == "train" and any(word.split("=")[0] == "--codec" for word in words):
            return load_codec(words)
        preset = None if self.preset is None else choose_preset(words, with_data=self.preset)
        return load(self.options_class, words, command=name, positional=self.positional, preset=preset)

    @property
    def options_class(self) -> type:
        """The class of the options."""
        return resolve_name(f"bench.config.{self.options}")  # type: ignore[no-any-return]

    @property
    def run(self) -> Callable[[Any], int]:
        """The function, imported when it is asked for."""
        return resolve_name(f"bench.cli.{self.function}")  # type: ignore[no-any-return]


COMMANDS = {
    "run": Command(
        "run and judge",
        "run decoders on a data set: accuracy, time and a record for each",
        "run:RunOptions",
        "run_commands:run",
        preset="paper",
    ),
    "sweep": Command(
        "run and judge",
        "run every combination of options that a file names; what is finished is skipped",
        "tools:SweepOptions",
        "run_commands:sweep",
        ("file",),
    ),
    "report": Command(
        "run and judge",
        "one offline page of runs: figures, tables, gallery, claims; the same as files for papers",
        "analysis:ReportOptions",
        "analysis_commands:report",
        ("runs",),
    ),
    "compare": Command(
        "run and judge",
        "differences between runs with intervals, and a sentence for each pair",
        "analysis:CompareOptions",
        "analysis_commands:compare",
        ("runs",),
    ),
    "gate": Command(
        "run and judge",
        "judge runs against their baselines: pass (0), fail (1) or cannot tell (3)",
        "analysis:GateOptions",
        "analysis_commands:gate",
        ("runs",),
    ),
    "history": Command(
        "run and judge",
        "a metric of past runs as a plot, with the runs at which it changed",
        "analysis:HistoryOptions",
        "analysis_commands:history",
        ("metric",),
    ),
    "train": Command(
        "train",
        "train a decoder, the encoder that decoders share, or a learned codec",
        "training:TrainOptions",
        "run_commands:train",
        preset="mad-r50",
    ),
    "import": Command(
        "train",
        "turn a released checkpoint into ours, with a report of unused and missing names",
        "tools:ImportOptions",
        "run_commands:import_checkpoint",
        ("kind", "checkpoint"),
    ),
    "study": Command(
        "study",
        "train and run the arms of a study, as far as that is not done, and compare them",
        "studies:StudyOptions",
        "study_commands:study",
        ("name",),
    ),
    "measure": Command(
        "study",
        "what perfect tokens and captions score, and CPU seconds at paper size",
        "studies:MeasureOptions",
        "study_commands:measure",
        ("name",),
    ),
    "parity": Command(
        "study",
        "recompute every array of a golden file with our code and show the differences",
        "tools:ParityOptions",
        "run_commands:parity",
        ("file",),
    ),
    "planted-faults": Command(
        "study",
        "prove the gate: a slowed decoder, a garbled one, and twenty times the same",
        "analysis:PlantedOptions",
        "analysis_commands:planted_faults",
    ),
    "list": Command("look up", "decoders, tasks and presets", "tools:ListOptions", "info_commands:list", ("what",)),
    "describe": Command(
        "look up", "one decoder, task or preset in detail", "tools:DescribeOptions", "info_commands:describe", ("name",)
    ),
    "verify-data": Command(
        "look up",
        "check a COCO or NYUv2 folder before hours are spent",
        "tools:VerifyOptions",
        "data_commands:verify_data",
    ),
    "scenes": Command(
        "look up", "render the embedded data set to a folder", "tools:ScenesOptions", "data_commands:scenes"
    ),
    "vocabulary": Command(
        "look up",
        "train a caption tokenizer, or abbreviate one to the pieces that captions use",
        "tools:VocabularyOptions",
        "data_commands:vocabulary",
    ),
    "schema": Command("look up", "print the JSON Schema of record.json", "tools:SchemaOptions", "info_commands:schema"),
}

RENAMED = {
    "ablate": "study",
    "seeds": "study seeds",
    "soft-tokens": "study soft-tokens",
    "parallel-study": "study parallel-study",
    "table2": "study table2",
    "overfit": "study overfit",
    "depth-pairs": "study depth-pairs",
    "codecs": "study codecs-depth, study codecs-masks or study codecs-nyu",
    "ceilings": "measure ceilings",
    "speakers": "measure caption-ceilings",
    "paper-time": "measure cpu-time",
}
"""Words of earlier versions and what took their place."""
