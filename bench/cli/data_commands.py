"""Commands about data: `verify-data`, `scenes`, `vocabulary`."""

from __future__ import annotations

from bench.config.tools import (
    ScenesOptions,
    VerifyOptions,
    VocabularyOptions,
)
from bench.console import progress
from bench.data.scenes.scene import COUNTS
from bench.errors import UserError


def verify_data(options: VerifyOptions) -> int:
    """Print every finding; 1 if any is an error."""
    from bench.data.verify import Reading, verify

    if options.coco is None and options.nyu is None:
        raise UserError("verify-data: give --coco DIR, --nyu DIR or both")
    lists = {"val2017": "test", "train2017": "train"}  # NYUv2's names for the same two
    splits = None if options.split == "all" else (options.split, lists[options.split])
    with progress("checking") as report:
        findings = verify(
            options.coco,
            options.nyu,
            splits=splits,
            workers=options.workers,
            reading=Reading(not options.headers_only, options.exif, options.nyu_depths, options.nyu_scale),
            progress=report,
        )
    for finding in findings:
        print(finding)
    errors = sum(finding.level == "error" for finding in findings)
    print(f"{errors} errors, {sum(f.level == 'warning' for f in findings)} warnings")
    return 1 if errors else 0


def scenes(options: ScenesOptions) -> int:
    """Render the embedded data set."""
    from bench.data.scenes import dataset as embedded

    splits = tuple(COUNTS) if options.split == "all" else (options.split,)
    counts = None if options.count is None else dict.fromkeys(splits, options.count)
    with progress("rendering") as report:
        digest = embedded.write(
            options.out, splits=splits, counts=counts, seed=options.seed, world=options.scenes, progress=report
        )
    print(f"{options.out}: {', '.join(splits)}, content {digest}")
    print(f"use it with --preset embedded --coco {options.out} --nyu {options.out}")
    return 0


def vocabulary(options: VocabularyOptions) -> int:
    """Train or abbreviate a caption tokenizer."""
    from bench.data.coco.captions import caption_texts
    from tasks.formats import tokenizer as text

    captions = caption_texts(options.captions)
    if options.abbreviate is None:
        text.train(captions, options.out, size=options.size)
    else:
        text.abbreviate(options.abbreviate, captions, options.out)
    print(f"{options.out}: {len(text.SentencePieceTokenizer(options.out))} pieces from {len(captions)} captions")
    return 0
