"""Who may do what: principals, the tokens that prove them, and the rights that a token's scope gives.

A token is a text that is shown once, when it is made: ``dc_``, a public hint by which it is found and recognised, and a
secret. Only the hint and a hash are kept. Models and services share one set of names, and a scope is about names.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import string
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from deepaas_core.errors import InvalidInput, Issue

PREFIX = "dc_"
HINT_CHARS = 8
#: Of 62 letters and digits: 238 random bits.
SECRET_CHARS = 40
_ALPHABET = string.ascii_letters + string.digits
_TOKEN = re.compile(rf"{PREFIX}([A-Za-z0-9]{{{HINT_CHARS}}})[A-Za-z0-9]{{{SECRET_CHARS}}}")


class Right(StrEnum):
    """What somebody may do with a model or a service; each lets them see that it is there and how it is called.

    ``PREDICT`` calls it. ``READ`` sees its training runs, their logs and figures. ``TRAIN`` starts, cancels, retries
    and deletes runs, and chooses which run's model is served; it includes ``READ``. ``PUBLISH`` publishes, deploys,
    splits and withdraws generations of a service; it includes ``READ``. ``ADMIN`` may do everything, and alone makes
    tokens; it is never limited to some names.
    """

    PREDICT = "predict"
    READ = "read"
    TRAIN = "train"
    PUBLISH = "publish"
    ADMIN = "admin"


#: What is needed to see that something is there and how it is called.
ANY_RIGHT = frozenset(Right)
_ALONE = {right: frozenset({right}) for right in Right}
_INCLUDED = {
    Right.TRAIN: frozenset({Right.READ}),
    Right.PUBLISH: frozenset({Right.READ}),
    Right.ADMIN: ANY_RIGHT,
}


@dataclass(frozen=True)
class Names:
    """Some names: those that are listed, or all but those.

    Attributes:
        listed: The names.
        all_but: Whether they are the ones that are left out.
    """

    listed: frozenset[str] = frozenset()
    all_but: bool = False

    def __contains__(self, name: str) -> bool:
        return (name in self.listed) != self.all_but

    @property
    def everything(self) -> bool:
        """Whether no name is left out."""
        return self.all_but and not self.listed

    @property
    def nothing(self) -> bool:
        """Whether there is no name among them."""
        return not self.all_but and not self.listed


ALL_NAMES = Names(all_but=True)


@dataclass(frozen=True)
class Scope:
    """Rights over some names.

    Attributes:
        rights: What was given, without what that includes.
        names: Of which models and services.
    """

    rights: frozenset[Right]
    names: Names = ALL_NAMES

    @cached_property
    def with_included(self) -> frozenset[Right]:
        """The rights, and what they include."""
        return self.rights | {also for each in self.rights for also in _INCLUDED.get(each, ())}

    def gives(self, any_of: frozenset[Right]) -> bool:
        """Whether it gives one of these rights, over whatever names it is about."""
        return not self.names.nothing and not any_of.isdisjoint(self.with_included)


@dataclass(frozen=True)
class Limits:
    """How much somebody may ask of the server; None where nothing is said.

    Attributes:
        requests_per_s: On average.
        burst: So many at once, when there were none before; None is what two seconds allow, and at least one.
        max_body_mb: Largest body of a request, in MiB.
    """

    requests_per_s: float | None = None
    burst: int | None = None
    max_body_mb: float | None = None

    def over(self, others: Limits) -> Limits:
        """These, and where they say nothing the others."""
        rate = others if self.requests_per_s is None else self
        burst = rate.burst if self.burst is None else self.burst
        body = others.max_body_mb if self.max_body_mb is None else self.max_body_mb
        return Limits(rate.requests_per_s, burst, body)


NO_LIMITS = Limits()


class TokenState(StrEnum):
    """What became of a token."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Token:
    """What is kept of a token.

    Attributes:
        id: By which it is named and withdrawn; says nothing of the secret.
        hint: The first letters of its text, by which people recognise it.
        digest: SHA-256 of its text, in hexadecimal. A secret of so many random bits needs no slower hash.
        label: Whose it is or what it is for, in people's words.
        scope: What it gives.
        created_at: When it was made.
        expires_at: When it stops by itself; None is never.
        revoked_at: When somebody withdrew it.
        limits: Its own.
    """

    id: str
    hint: str
    digest: str
    label: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    limits: Limits = NO_LIMITS

    def state(self, now: datetime) -> TokenState:
        """Whether it is good at this time, and why not."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return TokenState.EXPIRED
        return TokenState.VALID

    def matches(self, text: str) -> bool:
        """Whether this is its text; takes as long for any text."""
        return hmac.compare_digest(self.digest, digest_of(text))


def new_text() -> str:
    """A new token's text, which is to be shown once and not kept."""
    return PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(HINT_CHARS + SECRET_CHARS))


def hint_of(text: str) -> str | None:
    """The public part of a token's text; None for what was never a token."""
    found = _TOKEN.fullmatch(text)
    return PREFIX + found[1] if found else None


def digest_of(text: str) -> str:
    """What is kept of a token's text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Policy(StrEnum):
    """Who may call a model or a service: everybody, or who has a token."""

    PUBLIC = "public"
    TOKENS = "tokens"


@dataclass(frozen=True)
class Rule:
    """What was said of one name.

    Attributes:
        policy: Who may call it; None leaves that to the settings.
        limits: For all callers together.
    """

    policy: Policy | None = None
    limits: Limits = NO_LIMITS


@dataclass(frozen=True)
class Principal:
    """Who calls.

    Attributes:
        label: In people's words, for the log.
        token: The id of the token that proved it; empty for somebody without.
        scopes: What they may do.
        limits: How much.
    """

    label: str
    token: str = ""
    scopes: tuple[Scope, ...] = ()
    limits: Limits = NO_LIMITS

    def may(self, right: Right, name: str) -> bool:
        """Whether they have this right over a model or a service."""
        return self.may_any(_ALONE[right], name)

    def sees(self, name: str) -> bool:
        """Whether they may know that a model or a service is there."""
        return self.may_any(ANY_RIGHT, name)

    def may_any(self, any_of: frozenset[Right], name: str) -> bool:
        """Whether they have one of these rights over a model or a service."""
        for scope in self.scopes:  # noqa: SIM110  # every prediction asks; any() would cost twice as much
            if name in scope.names and scope.gives(any_of):
                return True
        return False

    def names(self, *any_of: Right) -> Names:
        """Over which names they have one of these rights."""
        names = Names()
        for scope in self.scopes:
            if scope.gives(frozenset(any_of)):
                names = _together(names, scope.names)
        return names

    def may_everywhere(self, any_of: frozenset[Right]) -> bool:
        """Whether they have one of these rights over whatever there is."""
        return self.names(*any_of).everything

    def may_somewhere(self, any_of: frozenset[Right]) -> bool:
        """Whether they have one of these rights over anything."""
        return any(scope.gives(any_of) for scope in self.scopes)


def _together(one: Names, other: Names) -> Names:
    if one.all_but and other.all_but:
        return Names(one.listed & other.listed, all_but=True)
    if one.all_but or other.all_but:
        but, also = (one, other) if one.all_but else (other, one)
        return Names(but.listed - also.listed, all_but=True)
    return Names(one.listed | other.listed)


#: Whoever comes where nothing is closed.
EVERYBODY = Principal("everybody", scopes=(Scope(frozenset({Right.ADMIN})),))


class Asking(StrEnum):
    """Whether tokens are asked for."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True)
class Records:
    """All that is recorded of access, at one moment.

    Attributes:
        revision: Changes with every change.
        tokens: In the order in which they were made; those that are no longer good, too.
        rules: By name.
    """

    revision: int = 0
    tokens: tuple[Token, ...] = ()
    rules: Mapping[str, Rule] = field(default_factory=lambda: MappingProxyType({}))


def asks(asking: Asking, records: Records) -> bool:
    """Whether tokens are asked for.

    By themselves they are as soon as the first one was made or the first name was closed. That stays so when the token
    expires or is withdrawn: nothing opens because time has passed.
    """
    if asking is Asking.AUTO:
        return bool(records.tokens) or any(rule.policy is Policy.TOKENS for rule in records.rules.values())
    return asking is Asking.ON


def without_token(
    asking: Asking, default: Policy, records: Records, loopback: bool, beyond: Right = Right.PREDICT
) -> Principal:
    """What somebody may do who shows no token.

    Args:
        asking: Whether tokens are asked for.
        default: Who may call a name of which nothing was said.
        records: What was said of names, and which tokens there are.
        loopback: Whether only this machine can reach the server.
        beyond: What others may do besides reading, if not, and nothing was said.
    """
    if asking is Asking.OFF:
        return EVERYBODY
    if not asks(asking, records):
        if loopback:
            return EVERYBODY
        return Principal("anybody", scopes=(Scope(frozenset({Right.PREDICT, Right.READ, beyond})),))
    said = {name: rule.policy for name, rule in records.rules.items() if rule.policy is not None}
    differing = frozenset(name for name, policy in said.items() if policy is not default)
    names = Names(differing, all_but=default is Policy.PUBLIC)
    return Principal("anybody", scopes=() if names.nothing else (Scope(frozenset({Right.PREDICT}), names),))


MAX_LABEL, MAX_NAMES = 200, 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def make_token(
    label: str,
    rights: Iterable[str],
    now: datetime,
    *,
    names: Iterable[str] | None = None,
    expires_at: datetime | None = None,
    limits: Limits = NO_LIMITS,
) -> tuple[Token, str]:
    """A new token, and its text, which nobody can find out later.

    Args:
        label: Whose it is or what it is for.
        rights: By their names.
        now: The time.
        names: Of which models and services, whether there are any of these names yet or not; None is all.
        expires_at: When it is to stop by itself.
        limits: Its own.

    Raises:
        InvalidInput: Something of it cannot be; all that is wrong is told.
    """
    given, listed = tuple(rights), None if names is None else tuple(names)
    issues = [*_label_issues(label), *_rights_issues(given), *_names_issues(listed, given), *limits_issues(limits)]
    if expires_at is not None and expires_at <= now:
        issues.append(Issue("/expires_at", "Must be a time to come."))
    if issues:
        raise InvalidInput(issues)
    text = new_text()
    among = ALL_NAMES if listed is None else Names(frozenset(listed))
    scope = Scope(frozenset(map(Right, given)), among)
    hint = hint_of(text)
    assert hint is not None
    return Token(uuid.uuid4().hex, hint, digest_of(text), label.strip(), scope, now, expires_at, None, limits), text


def name_issues(name: str, pointer: str) -> list[Issue]:
    """What is wrong with something that is to be the name of a model or a service."""
    if 0 < len(name) <= MAX_LABEL and not _CONTROL.search(name):
        return []
    return [Issue(pointer, f"Must be the name of a model or a service: 1 to {MAX_LABEL} characters on one line.")]


def limits_issues(limits: Limits) -> list[Issue]:
    """What is wrong with limits."""
    issues = []
    for name in ("requests_per_s", "max_body_mb"):
        value = getattr(limits, name)
        if value is not None and not 0 < value < math.inf:
            issues.append(Issue(f"/{name}", "Must be a number above 0."))
    if limits.burst is not None and limits.burst < 1:
        issues.append(Issue("/burst", "Must be a whole number of at least 1."))
    return issues


def _label_issues(label: str) -> list[Issue]:
    if 0 < len(label.strip()) <= MAX_LABEL and not _CONTROL.search(label):
        return []
    return [Issue("/label", f"Must say whose the token is or what it is for, in 1 to {MAX_LABEL} characters.")]


def _rights_issues(rights: tuple[str, ...]) -> list[Issue]:
    known = ", ".join(Right)
    if not rights:
        return [Issue("/rights", f"At least one of these is needed: {known}.")]
    return [
        Issue(f"/rights/{place}", f"Must be one of: {known}.")
        for place, right in enumerate(rights)
        if right not in set(Right)
    ]


def _names_issues(names: tuple[str, ...] | None, rights: tuple[str, ...]) -> list[Issue]:
    if names is None:
        return []
    if Right.ADMIN in rights:
        return [Issue("/names", "A token with the right admin is for everything.")]
    if not 1 <= len(names) <= MAX_NAMES:
        return [Issue("/names", f"From 1 to {MAX_NAMES} names can be given; leave them out for all.")]
    return [issue for place, name in enumerate(names) for issue in name_issues(name, f"/names/{place}")]
