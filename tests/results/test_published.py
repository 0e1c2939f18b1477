"""The papers' tables are whole, and claims rest on them."""

from __future__ import annotations

import re

import pytest

from results.claims import claims, paper_effect
from results.published import paper_tables, systems

ROWS = {"mad": (10, 4, 3, 4, 4, 4, 4, 4), "ait": (2, 3, 3, 3, 3, 4, 3, 3, 5, 5, 4, 18, 2)}


def test_every_row_of_every_table_is_held() -> None:
    tables = paper_tables()
    assert [*tables] == [f"{paper}-{number}" for paper, counts in ROWS.items() for number in range(1, len(counts) + 1)]
    for paper, counts in ROWS.items():
        assert tuple(len(tables[f"{paper}-{number}"].rows) for number in range(1, len(counts) + 1)) == counts
    for table in tables.values():
        assert all(len(cells) == len(table.columns) for cells in table.rows.values()), table.id
        for link in table.links.values():
            assert set(link.arms.values()) <= set(table.rows), table.id


@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [
        ("mad-1", "Pix2SeqV2", "time.total", 40860),
        ("mad-2", "parallel", "segmentation.AP", 0.298),
        ("mad-4", "0.8", "keypoints.AP", 0.549),
        ("mad-8", "separate, with MM", "captioning.BLEU-4", 0.304),
        ("ait-1", "hard", "depth.distance", 4.78),
        ("ait-7", "32", "reconstruction.segmentation.AP", 0.7091),
        ("ait-9", "detokenizer", "segmentation.AP", None),
        ("ait-11", "0.5", "depth.rmse", 0.308),
        ("ait-12", "AiT-P-L", "depth.log10", 0.033),
        ("ait-13", "joint", "detection.AP", 0.422),
    ],
)
def test_values(table: str, row: str, column: str, value: float | None) -> None:
    assert paper_tables()[table].printed(row, column) == value


def test_systems_agree_with_the_tables() -> None:
    tables = paper_tables()
    names = {"AiT SwinV2-B": "AiT-B", "AiT SwinV2-L": "AiT-L", "AiT-P SwinV2-B": "AiT-P-B", "AiT-P SwinV2-L": "AiT-P-L"}
    compared = 0
    for system in systems():
        rows = [(t, row) for t in tables.values() for row in (system.name, names.get(system.name)) if row in t.rows]
        for table, row in rows:
            values = {column: table.printed(row, column) for column in table.columns}
            expected = {**system.metrics, **({} if system.seconds is None else {"time.total": system.seconds * 1000})}
            both = {column for column, value in values.items() if value is not None} & expected.keys()
            assert {c: values[c] for c in both} == pytest.approx({c: expected[c] for c in both}), system.name
            compared += len(both)
    assert compared > 15


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.id)
def test_every_claim_has_a_source_and_a_direction(claim: claims) -> None:  # type: ignore[valid-type]
    assert re.fullmatch(r"(MAD|AiT) (Table|Tables|Figure) \d+( and \d+)?", claim.where)
    assert claim.contrasts or claim.printed
    for contrast in claim.contrasts:
        assert contrast.within is None or contrast.at_most is None
        for key in contrast.metrics:
            effect = paper_effect(contrast, key)
            margin = contrast.within is not None or contrast.at_most is not None
            assert margin or bool(contrast.way) != (effect is not None), "one source of the direction"
            assert margin or effect not in (0, 1)


def test_effects_of_the_papers() -> None:
    by_id = {claim.id: claim for claim in claims()}

    def effects(name: str) -> list[float | None]:
        return [paper_effect(contrast, key) for contrast in by_id[name].contrasts for key in contrast.metrics]

    assert len(by_id) == 31
    assert effects("ar-slowest")[:2] == pytest.approx([28.9, 22.8], abs=0.06)
    assert effects("faster-than-pix2seq") == pytest.approx([157], abs=0.5)
    assert effects("parallel-vision") == pytest.approx([0.08, 0.175, 0.181])
    assert effects("joint-needs-masking") == pytest.approx([0.029, 0.016, 0.026, 0.016])
    assert effects("joint-cost") == pytest.approx([0.025, 0.014, 0.036, 0.024])
    assert effects("coarse-depth") == pytest.approx([-0.027, -0.0181, -0.0434, -0.0224])
    assert effects("augmentation") == pytest.approx([0.0062, 0.0073, 0.023, -0.0025, -0.0013, -0.0145])
    assert effects("fine-masks") == pytest.approx([0.1843, 0.029])
