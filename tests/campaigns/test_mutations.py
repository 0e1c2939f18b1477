"""A small mutation campaign, and that it finds what it looks for."""

from __future__ import annotations

from tests.campaigns.mutations import FAULTS, campaign, table


def test_no_input_of_any_kind_ends_in_a_fault() -> None:
    results = campaign(40, seed=7)
    assert len({result.kind for result in results}) == 20
    assert {result.outcome for result in results} == {"refused", "accepted"}, table(results)
    assert not any(f"\n{fault}: input" in table(results) for fault in FAULTS)
