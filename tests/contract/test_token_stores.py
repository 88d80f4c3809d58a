"""Every place that keeps tokens and the rules of names, by the same suite."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deepaas_core.domain.access import (
    Limits,
    Names,
    Policy,
    Right,
    Rule,
    Scope,
    Token,
    TokenState,
    digest_of,
    hint_of,
    new_text,
)
from deepaas_core.errors import Conflict, TokenNotFound
from deepaas_core.stores.database import Database
from deepaas_core.stores.memory import MemoryTokenStore
from deepaas_core.stores.sql_tokens import SqlTokenStore

NOW = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)


def a_token(*rights: Right, **given) -> Token:
    text = new_text()
    scope = Scope(frozenset(rights or {Right.PREDICT}), given.pop("names", Names(all_but=True)))
    return Token(uuid.uuid4().hex, hint_of(text), digest_of(text), "Ada's laptop", scope, NOW, **given)


class TokenStoreContract:
    """What holds for every place that keeps tokens. Heirs give a fixture ``store``."""

    async def test_a_token_is_kept_as_it_is(self, store):
        token = a_token(
            Right.TRAIN,
            Right.PUBLISH,
            names=Names(frozenset({"digits", "Ω/churn"})),
            expires_at=NOW + timedelta(days=1),
            limits=Limits(0.5, 3, 1.5),
        )
        await store.add(token)
        assert (await store.records()).tokens == (token,)

    async def test_tokens_come_in_the_order_in_which_they_were_made(self, store):
        made = [a_token() for _ in range(5)]
        for token in made:
            await store.add(token)
        assert list((await store.records()).tokens) == made

    async def test_there_is_one_token_of_an_id(self, store):
        token = a_token()
        await store.add(token)
        with pytest.raises(Conflict):
            await store.add(replace(a_token(), id=token.id))
        assert (await store.records()).tokens == (token,)

    async def test_a_revoked_token_stays_revoked_since_the_first_time(self, store):
        token = a_token()
        await store.add(token)
        revoked = await store.revoke(token.id, NOW)
        assert revoked.state(NOW) is TokenState.REVOKED
        assert await store.revoke(token.id, NOW + timedelta(days=1)) == revoked
        assert (await store.records()).tokens == (revoked,)

    async def test_a_token_that_is_not_there_cannot_be_revoked(self, store):
        with pytest.raises(TokenNotFound):
            await store.revoke(uuid.uuid4().hex, NOW)

    async def test_the_last_word_on_a_name_counts(self, store):
        await store.set_rule("churn", Rule(Policy.PUBLIC, Limits(2.5)))
        await store.set_rule("churn", Rule(Policy.TOKENS))
        await store.set_rule("Ω/digits", Rule(None, Limits(burst=3, max_body_mb=0.5)))
        rules = (await store.records()).rules
        assert rules == {"churn": Rule(Policy.TOKENS), "Ω/digits": Rule(None, Limits(burst=3, max_body_mb=0.5))}

    async def test_what_was_said_of_a_name_can_be_forgotten(self, store):
        await store.set_rule("churn", Rule(Policy.PUBLIC))
        await store.set_rule("churn", None)
        await store.set_rule("never said", None)
        assert (await store.records()).rules == {}

    async def test_every_change_is_a_new_revision(self, store):
        token, seen = a_token(), [await store.revision()]

        async def changed():
            seen.append(await store.revision())
            return seen[-1] > seen[-2]

        await store.add(token)
        assert await changed()
        await store.set_rule("churn", Rule(Policy.PUBLIC))
        assert await changed()
        await store.set_rule("churn", None)
        assert await changed()
        await store.revoke(token.id, NOW)
        assert await changed()
        assert (await store.records()).revision == seen[-1]
        assert not await changed()

    async def test_what_did_not_happen_is_no_revision(self, store):
        before = await store.revision()
        with pytest.raises(TokenNotFound):
            await store.revoke("none", NOW)
        assert await store.revision() == before


class TestMemory(TokenStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryTokenStore()


class TestSqlite(TokenStoreContract):
    @pytest.fixture
    async def store(self, tmp_path):
        database = await Database.open("", tmp_path)
        yield SqlTokenStore(database)
        await database.close()


class TestPostgresql(TokenStoreContract):
    @pytest.fixture
    async def store(self, postgres, tmp_path):
        database = await Database.open(postgres.with_tables(), tmp_path)
        yield SqlTokenStore(database)
        await database.close()
