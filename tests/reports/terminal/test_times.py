"""Tables of time: percentiles only with enough images, passes below their phase, what cannot be known as a dash."""

from __future__ import annotations

import io

import msgspec
from rich.console import Console

from reports.terminal.times import percentile, print_details, print_speed
from results.record import Cost, Machine, Mode, Passes, Record, Timing, Work
from tests.results.test_store import record


def timed(name: str, **changes: object) -> Record:
    base = record(100)
    phases = {"read": base.latency.total, "decode.depth": Timing(n=100, mean_ms=1.0, min_ms=1.0, max_ms=1.0)}
    latency = msgspec.structs.replace(
        base.latency,
        phases=phases,
        passes={"decode.depth.step": Passes(per_image=63, mean_ms=0.25)},
        images_per_second=666.6,
        process_ms={"total": 1.25},
        harness_share=0.017,
    )
    fields: dict[str, object] = {"decoder": name, "latency": latency, "metrics": {}, "random_weights": True} | changes
    return msgspec.structs.replace(base, **fields)


def printed(*records: Record) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=120)
    print_speed(records, console)
    print_details(records, console)
    return stream.getvalue()


def test_a_percentile_or_what_it_needs() -> None:
    known = Timing(n=50, mean_ms=1, min_ms=1, max_ms=9, p50_ms=1.25, p90_ms=8.75)
    assert [percentile(known, p) for p in (50, 90, 95, 99)] == ["1.2", "8.8", "needs 90", "needs 459"]


def test_a_line_for_each_decoder_and_each_phase_with_its_passes() -> None:
    text = printed(timed("mad", work={"encoder": Work(gflops=1.5, megabytes=1)}), timed("ait"))
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert " ".join(lines["mad"][1:]) == "1 100 1.5 needs 7 needs 44 needs 90 needs 459 667 1.25 1.5"
    assert lines["ait"][-1] == "–", "no work was counted"
    assert lines["decode.depth"][1:] == ["1.00", "1.00"]
    assert lines["step"][1:] == ["63", "×", "0.25", "63", "×", "0.25"]
    assert lines["total"][1:] == ["1.50", "1.50"]
    assert "random weights" in text and "prepare" not in text and "GiB" not in text
    assert text.count("1.7 %") == 2


def test_preparation_and_memory_have_columns_where_there_are_any() -> None:
    graphed = timed(
        "mad",
        mode=Mode(name="graphed", prepared=4, prepare_ms=2500),
        machine=Machine(fingerprint="f", allocated_mib=3072),
        warnings=["other processes were on the GPU: python"],
    )
    text = printed(timed("mad"), graphed)
    assert "mad graphed" in text
    lines = [line.split() for line in text.splitlines() if line.strip().startswith("mad ")]
    assert lines[0][-2:] == ["–", "–"] and lines[1][-2:] == ["2.5", "3"]
    assert "mad graphed: other processes were on the GPU: python" in text


def test_many_decoders_share_several_tables_of_phases() -> None:
    assert printed(*[timed(f"decoder-{number}") for number in range(6)]).count("decode.depth") == 2


def test_what_a_task_costs_and_takes_alone() -> None:
    fields = timed(
        "mad",
        parameters=6_540_000,
        cost={"depth": Cost(evaluations=3, positions=48, sequences=1, tokens=16)},
        work={"decode.depth": Work(gflops=0.5, megabytes=2, matmul_share=0.123)},
    )
    alone = {"depth": Timing(n=100, mean_ms=1.75, min_ms=1.0, max_ms=2.0)}
    latency = msgspec.structs.replace(fields.latency, alone=alone, tokens_per_second={"depth": 160.0})
    text = printed(msgspec.structs.replace(fields, latency=latency))
    (line,) = [line for line in text.splitlines() if "6.5 M" in line]
    assert line.split()[3:] == ["depth", "3", "48", "160", "0.5", "12.3", "%", "–", "1.8"]
