"""Commands that answer a question once: `study` trains and runs, `measure` needs neither."""

from __future__ import annotations

import sys

from bench.config.studies import MeasureOptions, StudyOptions
from bench.errors import UserError, unknown

MEASUREMENTS = {
    "ceilings": "what perfect tokens score: the loss of every step of tokenization (--coco, --nyu)",
    "caption-ceilings": "what captions of the embedded scenes can score: speakers who see everything",
    "coverage": "how often intervals over training seeds and images hold the truth, in simulated studies",
    "cpu-time": "CPU seconds of a paper-size network with random weights, beside the released code's (--preset)",
    "paper-speed": "CPU seconds of autoregressive, parallel and mad at the paper's size in one run (--preset)",
    "soft-distance": "distance of soft and hard tokens to the true embeddings, and depth errors (AiT Table 1)",
    "start-time": "seconds until commands answer, beside those of importing torch",
    "claims": "verdicts of the committed studies on the papers' claims: docs/claims.md and the README's blocks",
}


def study(options: StudyOptions) -> int:
    """Do what is missing of a study and write its page; 2 if arms failed. Without a name, list the studies."""
    from bench.studies.definition import names, read_definition

    if options.name is None:
        for name in names():
            print(f"{name}: {read_definition(name)[1].title}")
        return 0
    from bench.studies.engine import run_study, show

    if options.show:
        print("\n".join(show(options)))
        return 0
    result = run_study(options, log=lambda text: print(text, file=sys.stderr))
    for arm, error in result.failed.items():
        print(f"failed: {arm}: {error}", file=sys.stderr)
    if result.page is not None:
        print(result.page.read_text())
        print(f"page: {result.page}")
    return 2 if result.failed else 0


def measure(options: MeasureOptions) -> int:
    """Measure something and write its table. Without a name, list the measurements."""
    if options.name is None:
        for name, summary in MEASUREMENTS.items():
            print(f"{name}: {summary}")
        return 0
    match options.name:
        case "ceilings":
            from bench.measurements.oracle_ceilings import measure_ceilings

            print(measure_ceilings(coco=options.coco, nyu=options.nyu, split=options.split, out=options.out))
        case "caption-ceilings":
            from bench.measurements.caption_ceilings import measure_captions

            print(measure_captions(options))
        case "start-time":
            from bench.measurements.start_time import measure_start_time

            print(measure_start_time())
        case "coverage":
            from bench.measurements.coverage import measure_coverage

            print(measure_coverage(options))
        case "cpu-time" | "paper-speed":
            _cpu_time(options)
        case "soft-distance":
            from bench.studies.soft_distance import measure_soft_distance

            print(measure_soft_distance(preset="embedded", out=options.out / "studies"))
        case "claims":
            _claims()
        case _:
            raise UserError(unknown("measurement", options.name, list(MEASUREMENTS)))
    return 0


def _cpu_time(options: MeasureOptions) -> None:
    from bench.config.loading import load_run
    from bench.measurements.cpu_time_ait import measure_ait_time
    from bench.measurements.cpu_time_mad import measure_mad_time
    from bench.measurements.paper_speed import measure_paper_speed

    run = load_run({"decoder": "mad-released", "preset": options.preset, "seed": options.seed})
    if options.name == "cpu-time":
        measure_time = measure_ait_time if run.network.family == "ait" else measure_mad_time
        print(measure_time(run, out=options.out))
        return
    if run.network.family != "mad":
        raise UserError(f"--preset {options.preset} is not of MAD's family; give mad-r50, mad-swinb or mad-vitb")
    print(measure_paper_speed(run, out=options.out, log=lambda text: print(text, file=sys.stderr)))


def _claims() -> None:
    from bench.paths import REPOSITORY
    from reports.page.readme import write_claims
    from results.study import FOLDER, read_outcomes

    for path in write_claims(read_outcomes(), REPOSITORY / "README.md", docs=REPOSITORY / "docs", studies=FOLDER):
        print(path.relative_to(REPOSITORY))
