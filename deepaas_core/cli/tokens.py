"""``deepaas-core token`` and ``access``: who may call what. They work on the records themselves; no server is needed.

A server that runs on the same records heeds a new token at once, and everything else within seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from deepaas_core import app
from deepaas_core.cli.exits import Exit
from deepaas_core.cli.terminal import Terminal, harmless
from deepaas_core.domain.access import Limits, Policy, Principal, Rule, Scope, Token, TokenState
from deepaas_core.errors import InvalidInput, SettingsError, TokenNotFound
from deepaas_core.serving.gatekeeper import Gatekeeper
from deepaas_core.settings import Settings
from deepaas_core.stores.database import Database

_AGE = re.compile(r"(\d{1,6})([mhd])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_NUMBERS = ("requests_per_s", "burst", "max_body_mb")


def create(given: argparse.Namespace) -> int:
    """Make a token; standard output has it and nothing else."""
    rights = [right for text in given.right for right in text.split(",")] or ["predict"]
    expires_at, limits = _moment(given.expires), _limits(given, Limits())

    async def work(gatekeeper: Gatekeeper) -> int:
        first = not (await gatekeeper.tokens())
        token, text = await gatekeeper.create(
            given.label, rights, _me(), names=given.names, expires_at=expires_at, limits=limits
        )
        if given.json:
            print(json.dumps({"token": text, **_document(token)}))
            return Exit.OK
        print(text, flush=True)
        until = f"until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else "until it is revoked"
        print(f"It gives {_scope(token.scope)}, {until}. It is not shown again.", file=sys.stderr)
        if first and gatekeeper.asking_by_itself:
            print("From now on the server asks everybody for a token.", file=sys.stderr)
        return Exit.OK

    return _over_the_records(given, work)


def show(given: argparse.Namespace) -> int:
    """List the tokens."""

    async def work(gatekeeper: Gatekeeper) -> int:
        tokens = await gatekeeper.tokens()
        if given.json:
            print(json.dumps([_document(token) for token in tokens]))
            return Exit.OK
        if not tokens:
            Terminal().print("None has been made yet: deepaas-core token create LABEL", markup=False)
            return Exit.OK
        table = Table("id", "begins", "label", "gives", "ends", "state")
        for token in tokens:
            ends = f"{token.expires_at:%Y-%m-%d %H:%M}" if token.expires_at else "never"
            state = gatekeeper.state(token)
            cells = (token.id[:8], f"{token.hint}…", token.label, _scope(token.scope), ends, str(state))
            style = None if state is TokenState.VALID else "dim"
            table.add_row(*(escape(harmless(cell)) for cell in cells), style=style)
        Terminal().print(table)
        return Exit.OK

    return _over_the_records(given, work)


def revoke(given: argparse.Namespace) -> int:
    """Withdraw tokens."""

    async def work(gatekeeper: Gatekeeper) -> int:
        tokens = [_the_one(text, await gatekeeper.tokens()) for text in given.tokens]
        revoked = [await gatekeeper.revoke(token.id, _me()) for token in tokens]
        if given.json:
            print(json.dumps([_document(token) for token in revoked]))
            return Exit.OK
        for token in revoked:
            Terminal().print(f"Revoked {token.hint}… ({harmless(token.label)})", markup=False, highlight=False)
        return Exit.OK

    return _over_the_records(given, work)


def access(given: argparse.Namespace) -> int:
    """Show or say who may call what."""
    says = given.policy is not None or any(getattr(given, name) is not None for name in _NUMBERS)
    if says and given.name is None:
        raise SettingsError("Of which model or service? deepaas-core access NAME …")

    async def work(gatekeeper: Gatekeeper) -> int:
        rules = await gatekeeper.rules()
        if says:
            rule = rules.get(given.name, Rule())
            policy = rule.policy if given.policy is None else None
            if given.policy in tuple(Policy):
                policy = Policy(given.policy)
            await gatekeeper.set_rule(given.name, policy, _limits(given, rule.limits), _me())
            rules = await gatekeeper.rules()
        shown = {name: rule for name, rule in rules.items() if given.name in (None, name)}
        if given.name is not None:
            shown.setdefault(given.name, Rule())
        if given.json:
            print(json.dumps({name: _rule_document(rule) for name, rule in shown.items()}))
            return Exit.OK
        table = Table("name", "who may call it", "requests per s", "burst", "body, MiB")
        for name, rule in shown.items():
            who = str(rule.policy or f"as access.default says ({gatekeeper.policy(name)})")
            limits = (_number(getattr(rule.limits, each)) for each in _NUMBERS)
            table.add_row(escape(harmless(name)), who, *limits)
        Terminal().print(table if shown else "Nothing was said of any model or service.")
        return Exit.OK

    return _over_the_records(given, work)


def _over_the_records(given: argparse.Namespace, work: Callable[[Gatekeeper], Awaitable[int]]) -> int:
    settings = Settings.from_arguments(given, os.environ)

    async def main() -> int:
        database = await Database.open(settings.store.url, Path(settings.store.data_dir))
        try:
            return await work(app.gatekeeper_of(settings, database))
        finally:
            await database.close()

    try:
        return asyncio.run(main())
    except InvalidInput as error:
        for issue in error.issues:
            print(f"deepaas-core: {issue.pointer.lstrip('/') or 'NAME'}: {issue.detail}", file=sys.stderr)
        return Exit.USAGE


def _me() -> Principal:
    """Who does it, as the log shall have it."""
    with suppress(OSError, KeyError):
        return Principal(f"command line, {getpass.getuser()}")
    return Principal("command line")


def _the_one(text: str, tokens: Sequence[Token]) -> Token:
    """The token that is meant.

    Raises:
        TokenNotFound: None is.
        SettingsError: Several are.
    """
    by_id = [token for token in tokens if token.id == text]
    found = by_id or [
        token
        for token in tokens
        if text in (token.hint, token.label) or token.id.startswith(text) or text.startswith(token.hint)
    ]
    if not found:
        raise TokenNotFound(text)
    if len(found) > 1:
        raise SettingsError(f"{len(found)} tokens are meant by {text!r}; give the id of one.")
    return found[0]


def _moment(text: str | None) -> datetime | None:
    """When a token is to end.

    Raises:
        SettingsError: The text does not say.
    """
    if text is None:
        return None
    try:
        age = _AGE.fullmatch(text)
        if age:
            return datetime.now(UTC) + timedelta(**{_UNITS[age[2]]: int(age[1])})
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.astimezone()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise SettingsError(f"--expires must be like 90m, 12h, 30d or 2030-12-31, not {text!r}.") from None


def _limits(given: argparse.Namespace, known: Limits) -> Limits:
    values: dict[str, Any] = {}
    for name in _NUMBERS:
        text = getattr(given, name)
        try:
            kind = int if name == "burst" else float
            values[name] = getattr(known, name) if text is None else None if text == "none" else kind(text)
        except ValueError:
            flag = f"--{name.replace('_', '-')}"
            raise SettingsError(f"{flag} must be a number above 0, or none, not {text!r}.") from None
    return Limits(**values)


def _scope(scope: Scope) -> str:
    names = "everything" if scope.names.everything else ", ".join(sorted(scope.names.listed))
    return f"{', '.join(sorted(scope.rights))} for {names}"


def _document(token: Token) -> dict[str, Any]:
    names = token.scope.names
    return {
        "id": token.id,
        "hint": token.hint,
        "label": token.label,
        "state": str(token.state(datetime.now(UTC))),
        "rights": sorted(token.scope.rights),
        "names": None if names.everything else sorted(names.listed),
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at and token.expires_at.isoformat(),
        "revoked_at": token.revoked_at and token.revoked_at.isoformat(),
        **{name: getattr(token.limits, name) for name in _NUMBERS},
    }


def _rule_document(rule: Rule) -> dict[str, Any]:
    return {
        "policy": rule.policy and str(rule.policy),
        **{name: getattr(rule.limits, name) for name in _NUMBERS},
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
