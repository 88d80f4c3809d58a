"""Scopes, names, tokens, and what holds for somebody without one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepaas_core.domain.access import (
    ALL_NAMES,
    ANY_RIGHT,
    Asking,
    Limits,
    Names,
    Policy,
    Principal,
    Records,
    Right,
    Rule,
    Scope,
    TokenState,
    hint_of,
    make_token,
    new_text,
    without_token,
)
from deepaas_core.errors import InvalidInput

NOW = datetime(2024, 5, 1, tzinfo=UTC)
NAMES = st.builds(Names, st.frozensets(st.sampled_from("abcd")), st.booleans())
SCOPES = st.builds(Scope, st.frozensets(st.sampled_from(list(Right)), min_size=1), NAMES)


def a_token(*rights, **more):
    return make_token("tests", rights or [Right.PREDICT], NOW, **more)


def test_a_token_has_at_least_192_random_bits_and_is_kept_as_a_hash():
    texts = {new_text() for _ in range(100)}
    assert len(texts) == 100
    assert all(len(text) - len(hint_of(text)) >= 192 / 5.95 for text in texts)  # 5.95 bits in one of 62 characters
    token, text = a_token()
    assert text not in repr(token)
    assert token.matches(text)
    assert not token.matches(text[:-1] + "~")


@pytest.mark.parametrize(
    "text", ["", "dc_", "dc_" + 47 * "a", "dc_" + 49 * "a", "xx_" + 48 * "a", "dc_" + 47 * "a" + "ä"]
)
def test_what_does_not_look_like_a_token_is_none(text):
    assert hint_of(text) is None


def test_a_token_is_good_until_it_expires_or_is_revoked():
    token, _ = a_token(expires_at=NOW + timedelta(seconds=1))
    assert token.state(NOW) is TokenState.VALID
    assert token.state(NOW + timedelta(seconds=1)) is TokenState.EXPIRED


@given(st.lists(SCOPES, max_size=3), st.sampled_from(list(Right)), st.sampled_from("abcdx"))
def test_the_names_that_somebody_has_a_right_over_are_those_over_which_they_may(scopes, right, name):
    principal = Principal("tests", scopes=tuple(scopes))
    assert (name in principal.names(right)) == principal.may(right, name)
    assert not principal.may_everywhere(frozenset({right})) or principal.may(right, name)
    assert principal.may_somewhere(frozenset({right})) or not principal.may(right, name)
    assert principal.sees(name) or not principal.may(right, name)


@pytest.mark.parametrize(
    "right, included",
    [
        (Right.PREDICT, {Right.PREDICT}),
        (Right.READ, {Right.READ}),
        (Right.TRAIN, {Right.TRAIN, Right.READ}),
        (Right.PUBLISH, {Right.PUBLISH, Right.READ}),
        (Right.ADMIN, set(Right)),
    ],
)
def test_a_right_includes_what_makes_no_sense_without(right, included):
    scope = Scope(frozenset({right}))
    assert {each for each in Right if scope.gives(frozenset({each}))} == included


def test_an_administrators_token_is_for_everything():
    with pytest.raises(InvalidInput):
        a_token(Right.ADMIN, names=["digits"])


NOTHING, CLOSED = Records(), Records(rules={"digits": Rule(Policy.TOKENS)})
MADE = Records(tokens=(a_token()[0],))


@pytest.mark.parametrize(
    "asking, default, records, loopback, rights, public",
    [
        (Asking.AUTO, Policy.TOKENS, NOTHING, True, set(Right), True),
        (Asking.AUTO, Policy.TOKENS, NOTHING, False, {Right.PREDICT, Right.READ}, True),
        (Asking.AUTO, Policy.TOKENS, MADE, True, set(), False),
        (Asking.AUTO, Policy.PUBLIC, MADE, True, {Right.PREDICT}, True),
        (Asking.AUTO, Policy.PUBLIC, CLOSED, False, {Right.PREDICT}, True),
        (Asking.ON, Policy.TOKENS, NOTHING, True, set(), False),
        (Asking.OFF, Policy.TOKENS, MADE, False, set(Right), True),
    ],
)
def test_what_is_open_without_a_token(asking, default, records, loopback, rights, public):
    anybody = without_token(asking, default, records, loopback)
    assert {right for right in Right if anybody.may_somewhere(frozenset({right}))} == rights
    assert anybody.sees("other") is public


def test_others_may_train_where_the_operator_says_so_until_there_is_a_token():
    def open_to_others(records):
        anybody = without_token(Asking.AUTO, Policy.TOKENS, records, False, Right.TRAIN)
        return {right for right in Right if anybody.may_somewhere(frozenset({right}))}

    assert open_to_others(NOTHING) == {Right.PREDICT, Right.READ, Right.TRAIN}
    assert open_to_others(MADE) == set()


@pytest.mark.parametrize("default", Policy)
@pytest.mark.parametrize("policy", Policy)
def test_what_is_said_of_a_name_goes_before_the_default(default, policy):
    anybody = without_token(Asking.ON, default, Records(rules={"digits": Rule(policy)}), True)
    assert anybody.may(Right.PREDICT, "digits") is (policy is Policy.PUBLIC)
    assert anybody.may(Right.PREDICT, "other") is (default is Policy.PUBLIC)
    assert not anybody.may_any(ANY_RIGHT - {Right.PREDICT}, "digits")


def test_limits_of_ones_own_go_before_those_of_all():
    assert Limits(5).over(Limits(1, 2, 3.0)) == Limits(5, None, 3.0)
    assert Limits(burst=7).over(Limits(1, 2)) == Limits(1, 7)
    assert Limits().over(Limits(1, 2)) == Limits(1, 2)


def test_all_names_are_everything():
    assert ALL_NAMES.everything
    assert Names().nothing
