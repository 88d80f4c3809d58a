"""Which generation answers: shares are kept, keys stay where they are."""

from collections import Counter

import pytest

from deepaas_core.domain.deployment import dispatch, percent


def test_callers_without_a_key_are_spread_by_the_shares() -> None:
    drawn = Counter(dispatch({"v1": 0.3, "v2": 0.7}) for _ in range(20_000))

    assert drawn["v2"] / 20_000 == pytest.approx(0.7, abs=0.03)


def test_keys_are_spread_by_the_shares_and_stay() -> None:
    keys = [f"customer-{number}" for number in range(20_000)]
    first = {key: dispatch({"v1": 0.3, "v2": 0.7}, key) for key in keys}

    assert Counter(first.values())["v2"] / len(keys) == pytest.approx(0.7, abs=0.02)
    assert first == {key: dispatch({"v2": 7, "v1": 3}, key) for key in keys}


def test_a_shifted_share_moves_no_more_keys_than_it_must() -> None:
    keys = [f"customer-{number}" for number in range(20_000)]
    moved = [key for key in keys if dispatch({"v1": 0.3, "v2": 0.7}, key) != dispatch({"v1": 0.2, "v2": 0.8}, key)]

    assert len(moved) / len(keys) == pytest.approx(0.1, abs=0.02)
    assert {dispatch({"v1": 0.2, "v2": 0.8}, key) for key in moved} == {"v2"}


def test_a_version_without_a_share_gets_nothing() -> None:
    assert {dispatch({"v1": 0, "v2": 1}, str(key)) for key in range(100)} == {"v2"}
    with pytest.raises(ValueError, match="no share"):
        dispatch({"v1": 0})


@pytest.mark.parametrize(
    ("share", "shown"), [(0.7, "70 %"), (1.0, "100 %"), (0.0025, "0.25 %"), (0.99999, "99.999 %"), (1 / 3, "33.3333 %")]
)
def test_shares_are_shown_as_people_read_them(share: float, shown: str) -> None:
    assert percent(share) == shown
