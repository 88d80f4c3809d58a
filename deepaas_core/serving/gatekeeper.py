"""Who comes in: recognises tokens, says what their bearers may do, and how often.

All that is recorded of access is kept in memory, and looked after once a second, so that nothing of a request waits for
the database, and a token that is withdrawn anywhere stops everywhere within ``max_stale_s``. A token that is not known
is looked up at once, so that a new one works at once.

Other use cases ask a ``Principal``, which comes with every request: ``principal.may(Right.PREDICT, name)`` says whether
they may call a model or a service of that name, ``principal.sees(name)`` whether they may know of it, which is what
lists are filtered by. Routes say which right they need where they are declared; see ``web.routes``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from deepaas_core import errors
from deepaas_core.domain import access
from deepaas_core.domain.access import (
    EVERYBODY,
    Asking,
    Limits,
    Policy,
    Principal,
    Records,
    Right,
    Rule,
    Token,
    TokenState,
)
from deepaas_core.serving.limiter import Charge, Limiter, Spend
from deepaas_core.settings import Access
from deepaas_core.stores.base import TokenStore

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
LOOK_TIMEOUT_S = 1.5


def _now() -> datetime:
    return datetime.now(UTC)


class Gatekeeper:
    """Knows the tokens and the rules.

    Args:
        store: Where they are kept.
        settings: What holds where nothing was said.
        loopback: Whether only this machine can reach the server.
        spend: Takes requests from the buckets of the whole server, where those are not in this process.
        clock: Gives the time.

    Attributes:
        free: Whether everybody may do everything as often as they like, so that nobody need be looked at.
        anybody: What somebody may do without a token.
        on_change: Called when something has changed, or a token may have expired.
    """

    def __init__(
        self,
        store: TokenStore,
        settings: Access,
        *,
        loopback: bool = True,
        spend: Spend | None = None,
        clock: Callable[[], datetime] = _now,
    ):
        self._store, self._settings, self._loopback, self._clock = store, settings, loopback, clock
        limiter = Limiter()
        self._limiter = limiter if spend is None else None
        self._spend = spend or limiter.spend
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -math.inf
        self._away = False
        self.on_change: Callable[[], None] = lambda: None
        self._take(Records(revision=-1))

    # The records in memory.

    async def look(self) -> None:
        """See what has changed; who asks while somebody else is looking shares the next look.

        Raises:
            StoreUnavailable: That cannot be seen right now.
        """
        if self._looking is not None and not self._looking.done():
            await asyncio.wait({self._looking})  # what it sees may be from before
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(_notice)
        await asyncio.shield(self._looking)

    async def _look_soon(self) -> None:
        """As ``look``, for a request, which must not wait for long."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                await self.look()
        except TimeoutError:
            raise errors.StoreUnavailable("The database does not answer.") from None

    async def _look(self) -> None:
        began = time.monotonic()
        if await self._store.revision() != self.records.revision:
            self._take(await self._store.records())
        self._looked_at = began

    @property
    def fresh(self) -> bool:
        """Whether what is known is recent enough to be believed; if not, it needs another ``look``."""
        return time.monotonic() - self._looked_at <= self._settings.max_stale_s

    async def watch(self) -> None:
        """Look every second, from now on."""
        while True:
            try:
                await self.look()
                self._away = False
            except errors.StoreUnavailable as error:
                if not self._away:
                    log.warning("tokens cannot be looked after", extra={"reason": str(error)})
                self._away = True
            self.on_change()
            await asyncio.sleep(LOOK_EVERY_S)

    def _take(self, records: Records) -> None:
        settings = self._settings
        self.records = records
        self._principals: dict[str, Principal] = {}
        self._by_hint: dict[str, tuple[Token, ...]] = {}
        for token in records.tokens:
            self._by_hint[token.hint] = (*self._by_hint.get(token.hint, ()), token)
        asking, default, beyond = Asking(settings.tokens), Policy(settings.default), Right(settings.beyond_loopback)
        self.anybody = access.without_token(asking, default, records, self._loopback, beyond)
        self._for_tokens = Limits(settings.token_requests_per_s, settings.token_burst)
        self._for_names = Limits(settings.model_requests_per_s, settings.model_burst)
        limited = self._for_names != access.NO_LIMITS or any(
            rule.limits != access.NO_LIMITS for rule in records.rules.values()
        )
        self.free = self.anybody is EVERYBODY and not limited

    @property
    def asks(self) -> bool:
        """Whether there is something for which a token is needed."""
        return self.anybody is not EVERYBODY

    @property
    def asking_by_itself(self) -> bool:
        """Whether it was left to what is recorded if tokens are asked for."""
        return self._settings.tokens == "auto"

    # Who comes.

    def known(self, texts: Iterable[str]) -> Principal | None:
        """Whose token is among these texts; None if no good one is, as far as is known by now."""
        for text in texts:
            token = self._find(text)
            if token is not None and self._is_good(token):
                return self._principal(token)
        return None

    def _principal(self, token: Token) -> Principal:
        known = self._principals.get(token.id)
        if known is None:
            scopes = (token.scope, *self.anybody.scopes)  # a token takes nothing away
            known = Principal(token.label, token.id, scopes, token.limits.over(self._for_tokens))
            self._principals[token.id] = known
        return known

    async def recognise(self, texts: Sequence[str], source: str) -> Principal:
        """Whose token is among these texts, and surely so; wrong ones are counted.

        Args:
            texts: What was shown.
            source: The address it came from.

        Raises:
            Unauthenticated: There is no good token among them.
            TooManyRequests: There have been too many wrong ones from this address; a good one is never refused for it.
            StoreUnavailable: That cannot be seen right now.
        """
        if not texts:
            raise errors.Unauthenticated("A token is needed for this, and there was none.")
        if not self.fresh:
            await self._look_soon()
        found = self.known(texts)
        if found is not None:
            return found
        per_minute = self._settings.wrong_tokens_per_minute
        wait_s = await self._spend([Charge(f"wrong {_network(source)}", per_minute / 60, per_minute)])
        if wait_s > 0:
            raise errors.TooManyRequests("There were too many wrong tokens from this address.", math.ceil(wait_s))
        await self._look_soon()
        found = self.known(texts)
        if found is None:
            raise errors.Unauthenticated(self._what_is_wrong(texts))
        return found

    def is_good(self, token_id: str) -> bool:
        """Whether the token of this id is still good."""
        return any(token.id == token_id and self._is_good(token) for token in self.records.tokens)

    def _find(self, text: str) -> Token | None:
        for token in self._by_hint.get(access.hint_of(text) or "", ()):
            if token.matches(text):
                return token
        return None

    def _is_good(self, token: Token) -> bool:
        return token.state(self._clock()) is TokenState.VALID

    def _what_is_wrong(self, texts: Iterable[str]) -> str:
        found = next(filter(None, map(self._find, texts)), None)
        return "The token is not known." if found is None else f"The token is {found.state(self._clock())}."

    # How often they come.

    async def charge(self, principal: Principal, name: str | None) -> None:
        """Count a request.

        Args:
            principal: Whose.
            name: The model or service that it asks to predict, if it does.

        Raises:
            TooManyRequests: There were more of them than are allowed.
        """
        charges = self._charges(principal, name)
        if charges:
            wait_s = await self._spend(charges)
            if wait_s > 0:
                raise errors.TooManyRequests("There were more requests than are allowed.", math.ceil(wait_s))

    def charge_now(self, principal: Principal, name: str) -> bool:
        """As ``charge``; False if the request is to be charged the other way, in which it may be refused."""
        charges = self._charges(principal, name)
        if not charges:
            return True
        return self._limiter is not None and self._limiter.spend_now(charges) <= 0

    def max_body_mb(self, principal: Principal, name: str | None) -> float | None:
        """The largest body that somebody may send to a model or a service, where there is a limit of that kind."""
        said = (principal.limits.max_body_mb, self.rule(name).limits.max_body_mb if name is not None else None)
        return min((limit for limit in said if limit is not None), default=None)

    def _charges(self, principal: Principal, name: str | None) -> list[Charge]:
        charges = []
        if principal.token and principal.limits.requests_per_s is not None:
            charges.append(_charge(f"token {principal.token}", principal.limits))
        if name is not None:
            limits = self.rule(name).limits.over(self._for_names)
            if limits.requests_per_s is not None:
                charges.append(_charge(f"name {name}", limits))
        return charges

    # What is said of names, and which tokens there are.

    def rule(self, name: str) -> Rule:
        """What was said of a name."""
        return self.records.rules.get(name, _NOTHING_SAID)

    def policy(self, name: str) -> Policy:
        """Who may call a model or a service of this name."""
        return Policy.PUBLIC if self.anybody.may(access.Right.PREDICT, name) else Policy.TOKENS

    async def set_rule(self, name: str, policy: Policy | None, limits: Limits, by: Principal) -> None:
        """Say who may call a model or a service, and how often; it need not be there yet.

        Raises:
            InvalidInput: The name or a limit cannot be.
        """
        issues = [*access.name_issues(name, ""), *access.limits_issues(limits)]
        if issues:
            raise errors.InvalidInput(issues)
        rule = Rule(policy, limits)
        await self._store.set_rule(name, None if rule == _NOTHING_SAID else rule)
        log.info("access changed", extra={"model": name, "policy": policy, "by": by.label})
        await self.look()

    async def create(
        self,
        label: str,
        rights: Iterable[str],
        by: Principal,
        *,
        names: Iterable[str] | None = None,
        expires_at: datetime | None = None,
        limits: Limits = access.NO_LIMITS,
    ) -> tuple[Token, str]:
        """Make a token; see ``domain.access.make_token``.

        Returns:
            What is kept, and the text, which is to be shown once.

        Raises:
            InvalidInput: Something of it cannot be.
        """
        now = self._clock()
        token, text = access.make_token(label, rights, now, names=names, expires_at=expires_at, limits=limits)
        await self._store.add(token)
        log.info("token created", extra={"token": token.id, "hint": token.hint, "by": by.label})
        await self.look()
        return token, text

    async def revoke(self, token_id: str, by: Principal) -> Token:
        """Withdraw a token, for good.

        Raises:
            TokenNotFound: There is none of this id.
        """
        token = await self._store.revoke(token_id, self._clock())
        log.info("token revoked", extra={"token": token.id, "hint": token.hint, "by": by.label})
        await self.look()
        self.on_change()
        return token

    async def tokens(self) -> Sequence[Token]:
        """All that were ever made, oldest first."""
        await self.look()
        return self.records.tokens

    def state(self, token: Token) -> TokenState:
        """Whether a token is good now."""
        return token.state(self._clock())

    async def rules(self) -> Mapping[str, Rule]:
        """What was said, by name."""
        await self.look()
        return MappingProxyType(dict(self.records.rules))


_NOTHING_SAID = Rule()


def _notice(looked: asyncio.Task[None]) -> None:
    """See how it ended, should nobody be waiting for it any more."""
    if not looked.cancelled():
        looked.exception()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _charge(key: str, limits: Limits) -> Charge:
    assert limits.requests_per_s is not None
    return Charge(key, limits.requests_per_s, limits.burst or max(1.0, 2 * limits.requests_per_s))


def _network(source: str) -> str:
    """What one caller is likely to have all of: an address, or a network of version 6."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else source
