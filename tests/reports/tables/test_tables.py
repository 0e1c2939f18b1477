"""Tables of reports against golden files, their LaTeX, and what may not stand in one table."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.checks import refuse_unlike, warnings
from reports.figures.phases import grouped, ordered, phase_table
from reports.page.sections import make_page
from reports.report_data import ReportData, ReportError, ReportRun, Statistics
from reports.tables.claims import claims_table, judge
from reports.tables.comparison_tables import comparison_table, detail_tables
from reports.tables.cost import cost_table
from reports.tables.published import published_table
from reports.tables.table import Table, as_csv, escaped, latex, latex_document, markdown, pipe_table
from results.published import ablations, claims, systems
from tests.paths import GOLDEN
from tests.reports.report_data import report_data, run, statistics

REFERENCE = GOLDEN / "report"
TWINS = {"md": markdown, "csv": as_csv, "tex": latex}


@pytest.mark.parametrize("suffix", TWINS)
@pytest.mark.parametrize("name", ["comparison", "phases", "cost", "detail-detection"])
def test_tables_are_the_golden_ones(name: str, suffix: str) -> None:
    given = report_data()
    cost = cost_table(given)
    assert cost is not None
    phases = phase_table(given)
    assert phases is not None
    tables = {table.name: table for table in (comparison_table(given), phases, cost, *detail_tables(given))}
    assert TWINS[suffix](tables[name]) == (REFERENCE / f"{name}.{suffix}").read_text()


def test_best_is_bold_only_where_it_is_significant() -> None:
    table = comparison_table(report_data())
    bold = {
        (row[0].text, heading)
        for row in table.rows
        for cell, heading in zip(row, table.headings, strict=True)
        if cell.best
    }
    assert ("mad", "box AP") in bold and ("parallel", "ms/image") in bold
    assert not any(name == "oracle" for name, _ in bold), "the ceiling is no strategy"
    close = report_data(statistics=statistics(report_data().runs, spread=0.2))
    assert {
        heading
        for row in comparison_table(close).rows
        for c, heading in zip(row, table.headings, strict=True)
        if c.best
    } == {"ms/image"}
    assert not any(cell.best for row in comparison_table(report_data(statistics=Statistics())).rows for cell in row)


def test_a_table_without_its_page_says_what_makes_its_times_doubtful() -> None:
    given = report_data()
    busy = [replace(one, record={**one.record, "warnings": ["the machine was busy"]}) for one in given.runs]
    assert "The machine was busy." in markdown(comparison_table(replace(given, runs=busy)))
    one = [busy[0], *given.runs[1:]]
    assert f"{busy[0].label}: the machine was busy." in markdown(comparison_table(replace(given, runs=one)))


def all_tables() -> list[Table]:
    page = make_page(report_data())
    judged = [judge(claim, report_data()) for claim in claims()]
    return [*(t for part in page.sections for t in part.tables), published_table(systems()), claims_table(judged)]


def test_latex_compiles(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        for table in all_tables():
            check_latex(latex(table), columns=len(table.headings))
        return
    (tmp_path / "all.tex").write_text(latex_document(all_tables()))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


COMMANDS = {"begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "textbf", "scriptsize"}
COMMANDS |= {"par", "footnotesize", "textbackslash", "textasciitilde", "textasciicircum", "delta", "lambda", "times"}
COMMANDS |= {"small", "setlength", "tabcolsep", "textwidth", "pm", "leq", "geq", "rightarrow", "cdot", "ldots"}


def check_latex(text: str, *, columns: int) -> None:
    """What pdflatex would stop at: braces, environments, cells of a row, unknown commands, bare special characters."""
    assert text.isascii() or all(ord(letter) < 0x250 for letter in text)
    bare = re.sub(r"\\[\\&%$#_{},]", lambda m: "" if m[0] != r"\\" else m[0], text)
    depth = 0
    for letter in bare:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", bare):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    assert set(re.findall(r"\\([a-zA-Z]+)", bare)) <= COMMANDS
    assert not re.search(r"(?<!\\)[#%]", bare)
    assert bare.count("$") % 2 == 0
    rows = re.findall(r"^(.*)\\\\$", bare, re.M)
    assert rows and all(row.count("&") == columns - 1 for row in rows)
    body = bare.split(r"\begin{tabular}")[1].split(r"\end{tabular}")[0]
    assert "_" not in body and "^" not in re.sub(r"\$[^$]*\$", "", body)


def test_the_latex_check_finds_faults() -> None:
    good = latex(comparison_table(report_data()))
    width = len(comparison_table(report_data()).headings)
    check_latex(good, columns=width)
    for bad in (good.replace(r"\bottomrule", r"\bottomrul"), good.replace("{tabular}", "{tabula}", 1), good + "{"):
        with pytest.raises(AssertionError):
            check_latex(bad, columns=width)
    with pytest.raises(AssertionError):
        check_latex(good, columns=width + 1)


def test_latex_escapes_what_a_name_may_hold() -> None:
    assert escaped(r"a_b & 50 % {x} #1 $ ~ ^ \ é δ − 漢") == (
        r"a\_b \& 50 \% \{x\} \#1 \$ \textasciitilde{} \textasciicircum{} \textbackslash{} é $\delta$ $-$ ?"
    )


def test_a_table_refuses_rows_of_another_width() -> None:
    with pytest.raises(ValueError, match="1 cells, expected 2"):
        Table(name="t", title="t", headings=["a", "b"], rows=[comparison_table(report_data()).rows[0][:1]])


def test_a_pipe_table_aligns_columns_and_escapes_pipes() -> None:
    assert pipe_table(["", "why", "ms"], [["a|b", "two\nlines", "1.0"]], left=(0, 1)) == (
        "|  | why | ms |\n| --- | --- | ---: |\n| a\\|b | two lines | 1.0 |"
    )
    with pytest.raises(ValueError, match="1 cells, expected 2"):
        pipe_table(["a", "b"], [["1"]])


def test_missing_metrics_and_tasks_are_dashes_and_words() -> None:
    lacking = run("mad", 60, 0.4)
    metrics = {**lacking.record["metrics"], "keypoints": {"AP": None, "AP50": None}}
    del metrics["depth"]
    lacking = replace(lacking, record={**lacking.record, "metrics": metrics, "off": {"depth": "no NYUv2 data"}})
    given = ReportData(runs=[lacking, run("parallel", 50, 0.3)])
    cells = dict(zip(comparison_table(given).headings, comparison_table(given).rows[0], strict=True))
    assert cells["kpt AP"].text == "–" and cells["kpt AP"].value is None
    assert cells["RMSE m"].text == "off"
    page = make_page(given)
    assert any("depth is off: no NYUv2 data" in warning for warning in page.warnings)


def test_one_strategy_only() -> None:
    given = ReportData(runs=[run("mad", 60, 0.4)])
    page = make_page(given)
    assert page.title.startswith("mad takes 60.0 ms an image")
    assert len(page.sections[0].tables[0].rows) == 1


def test_only_the_ceiling() -> None:
    page = make_page(ReportData(runs=[run("oracle", 3, 0.9)]))
    assert "Nothing was decoded by a network" in page.title
    assert not page.sections[0].figures


def test_runs_that_must_not_share_a_table_are_refused() -> None:
    with pytest.raises(ReportError, match="no run"):
        refuse_unlike([])
    one, other = run("mad", 60, 0.4), run("parallel", 50, 0.3)
    data = {**other.record["data"], "hash": "fedcba"}
    with pytest.raises(ReportError, match=r"different data.*0123456789abcdef: mad; fedcba: parallel"):
        make_page(ReportData(runs=[one, replace(other, record={**other.record, "data": data})]))
    notes = {"captioning": {"tokenizer": "python"}}
    with pytest.raises(ReportError, match="different tokenizers"):
        refuse_unlike([one, replace(other, record={**other.record, "notes": notes})])


def test_mixed_hardware_is_flagged_and_its_times_are_never_best() -> None:
    runs = [run("mad", 60, 0.4), run("parallel", 50, 0.3)]
    other = {**runs[1].record["environment"], "cpu": "another CPU"}
    runs[1] = replace(runs[1], record={**runs[1].record, "environment": other})
    given = ReportData(runs=runs, statistics=statistics(runs))
    assert any(warning.startswith("Mixed hardware") for warning in warnings(runs))
    title = make_page(given).title
    assert title.endswith("times are of different machines") and "faster" not in title
    table = comparison_table(given)
    place = list(table.headings).index("ms/image")
    assert not any(row[place].best for row in table.rows)
    assert any("different machines" in note for note in table.notes)


def test_doubts_about_a_run_are_told_once_with_its_name() -> None:
    busy = run("mad", 60, 0.4)
    environment = {**busy.record["environment"], "load_average": 9.0}
    busy = replace(busy, record={**busy.record, "environment": environment, "warnings": ["clocks were throttled"]})
    told = warnings([busy, run("parallel", 50, 0.3)])
    assert "mad: clocks were throttled." in told
    assert any(one.startswith("mad: the machine was busy") for one in told)


def test_unknown_tasks_are_shown_and_never_judged() -> None:
    runs = [run("mad", 60, 0.4), run("parallel", 50, 0.3)]
    runs = [
        replace(r, record={**r.record, "metrics": {**r.record["metrics"], "counting": {"exact": 0.5}}}) for r in runs
    ]
    table = comparison_table(ReportData(runs=runs))
    assert table.headings[-1] == "exact"
    assert [row[-1].text for row in table.rows] == ["0.500", "0.500"]


def test_published_data_is_whole() -> None:
    assert all(system.source and system.metrics for system in systems())
    assert all("nowhere" not in system.source and "2nd" not in system.source for system in systems())
    assert all(0 < value < 5 for system in systems() for value in system.metrics.values())
    assert all(claim.printed and claim.parts for claim in claims())
    assert len(claims()) >= 16
    ids = [ablation.id for ablation in ablations()]
    assert len(ids) == len(set(ids))


def changed(one: ReportRun, **changes: Any) -> ReportRun:
    return replace(one, record={**one.record, **changes})


def test_runs_for_accuracy_alone_have_no_time() -> None:
    runs = [run("mad", 60, 0.4), run("parallel", 50, 0.3)]
    runs = [changed(one, latency={**one.record["latency"], "scenario": "untimed"}) for one in runs]
    page = make_page(ReportData(runs=runs, statistics=statistics(runs)))
    assert page.title.startswith("mad has the best average accuracy, 27.3") and "faster" not in page.title
    table = page.sections[0].tables[0]
    assert {row[list(table.headings).index("ms/image")].text for row in table.rows} == {"–"}
    assert not page.sections[0].figures


def test_runs_for_speed_alone_have_no_accuracy() -> None:
    runs = [changed(run("mad", 60, 0.4), metrics={}), changed(run("parallel", 50, 0.3), metrics={})]
    page = make_page(ReportData(runs=runs, statistics=statistics(runs)))
    assert page.title == "parallel is 1.2 (1.1–1.3) times faster than mad"
    assert list(page.sections[0].tables[0].headings) == ["strategy", "ms/image"]


def test_what_later_records_measure_is_shown_where_it_is_there() -> None:
    plain = run("mad", 60, 0.4)
    more = changed(
        plain,
        parameters=940_000,
        mode={"name": "graphed", "prepare_ms": 1234.5},
        work={"decode.depth": {"gflops": 0.1234, "megabytes": 3.5, "matmul_share": 0.42}},
        machine={"fingerprint": "abc", "allocated_mib": 512.0, "gpu": {"joules_per_image": 1.5}},
        latency={**plain.record["latency"], "tokens_per_second": {"depth": 1500.0}},
    )
    cost = cost_table(ReportData(runs=[more]))
    assert cost is not None
    row = next(dict(zip(cost.headings, row, strict=True)) for row in cost.rows if row[1].text == "depth")
    assert (row["GFLOP"].text, row["of matmul rate"].value, row["tokens/s"].value) == ("0.12", 0.42, 1500.0)
    assert {"mad: 512 MiB of memory at most.", "mad: 1.50 J an image."} <= set(cost.notes)
    phases = phase_table(ReportData(runs=[more]))
    assert phases is not None and any(
        row[0].text == "not in the total: compiling or capturing, once" for row in phases.rows
    )
    assert (row["of matmul rate"].text, row["tokens/s"].text) == ("42.0 %", "1\u202f500")
    assert any("0.9 M parameters" in note for note in comparison_table(ReportData(runs=[more])).notes)
    twin = replace(more, label="mad-one-pass")
    together = cost_table(ReportData(runs=[more, twin]))
    assert together is not None and "One process ran mad and mad-one-pass: 512 MiB of memory at most." in together.notes


def test_the_rows_of_phases_add_up_to_the_total() -> None:
    given = report_data()
    table = phase_table(given)
    assert table is not None
    names = [row[0].text for row in table.rows]
    upto = names.index("total")
    sums = {run.label: sum(grouped(run).values()) for run in given.runs if run.timed}
    for place, label in enumerate(table.headings[1:], start=1):
        assert sum(row[place].value or 0.0 for row in table.rows[:upto]) == pytest.approx(sums[label])
    assert "not in the total: read" in names[upto:] and "read" not in names[:upto]
    assert ordered(["decode.depth", "interpret.depth", "decode.detection", "backbone"]) == [
        "backbone",
        "decode.detection",
        "decode.depth",
        "interpret.depth",
    ]


def test_a_strategy_s_costs_are_summed_over_its_tasks() -> None:
    one = run("mad", 60, 0.4)
    costs = {task: {"evaluations": 4.0, "positions": 10.0, "sequences": 1.0, "tokens": 100.0} for task in ("a", "b")}
    rates = {**one.record["latency"], "tokens_per_second": {"a": 100.0, "b": 50.0}}
    table = cost_table(ReportData(runs=[changed(one, cost=costs, latency=rates)]))
    assert table is not None
    last = dict(zip(table.headings, table.rows[-1], strict=True))
    assert last["task"].text == "all tasks" and last["evaluations"].value == 8
    assert last["tokens/s"].value == pytest.approx(200 / 3), "200 tokens in 1 + 2 seconds"


def test_further_runs_of_a_strategy_have_a_table_of_their_own() -> None:
    further = replace(run("mad, batch 8", 30, 0.45, decoder="mad"), folder="other")
    given = report_data(variants=[further])
    (table,) = [table for table in make_page(given).sections[0].tables if table.name == "variants"]
    assert [row[0].text for row in table.rows] == ["mad, batch 8"]
