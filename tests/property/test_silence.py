"""Nobody who lives is taken for gone, whatever the clocks do and however often the observer looks away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deepaas_core.domain.silence import Silence

LEASE_S, MAX_GAP_S = 10.0, 5.0
steps = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 2)), max_size=60)


@given(steps)
def test_only_a_sign_that_stays_the_same_for_the_whole_lease_under_steady_looks_is_silence(history):
    silence, now, unchanged_since, before = Silence(LEASE_S, MAX_GAP_S), 0.0, None, None
    for pause_s, sign in history:
        now += pause_s
        if pause_s > MAX_GAP_S or sign != before or unchanged_since is None:
            unchanged_since = now
        before = sign
        assert silence.look(now, {"other": sign}) == ({"other"} if now - unchanged_since > LEASE_S else set())


@given(st.lists(st.floats(0, LEASE_S / 2), max_size=60))
def test_who_says_something_new_before_each_look_is_never_silent(pauses):
    silence, now = Silence(LEASE_S, MAX_GAP_S), 0.0
    for number, pause_s in enumerate(pauses):
        now += pause_s
        assert not silence.look(now, {"other": -number})


def test_who_comes_back_is_counted_anew():
    silence = Silence(LEASE_S, MAX_GAP_S)
    for now in range(9):
        assert not silence.look(now, {"other": 1})
    silence.look(9, {})
    for now in range(10, 21):
        assert not silence.look(now, {"other": 1})
    assert silence.look(21, {"other": 1}) == {"other"}
