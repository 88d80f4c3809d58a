"""Databases that services refer to by a name of the server's settings.

Where a database is, and what opens it, is the server's business and in no package. Each process has a pool of
connections to each; a connection that died is replaced when it is next needed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidRequestError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from deepaas_core import sqlite
from deepaas_core.errors import (
    ConnectionUnavailable,
    DeepaasError,
    InvalidInput,
    Issue,
    QueryConflict,
    QueryFailed,
    QueryTimeout,
    SettingsError,
)

log = logging.getLogger(__name__)


class Told(Protocol):
    """What the settings say of a connection; see ``settings.Connection``."""

    @property
    def url(self) -> str: ...
    @property
    def pool_size(self) -> int: ...
    @property
    def connect_timeout_s(self) -> float: ...
    @property
    def timeout_s(self) -> float: ...
    @property
    def writable(self) -> bool: ...


class Connections:
    """The databases of the settings, by name. Connects when one is needed.

    Raises:
        SettingsError: The URL of one cannot be used.
    """

    def __init__(self, told: Mapping[str, Told]):
        self._told = told
        self._sqlite = sqlite.Connections()
        self._engines = {(name, True): make_engine(name, each, True, self._sqlite) for name, each in told.items()}

    def timeout_s(self, name: str) -> float:
        """How long the operator lets a query take.

        Raises:
            ConnectionUnavailable: There is no such connection.
        """
        return self._get(name).timeout_s

    @asynccontextmanager
    async def connect(self, name: str, timeout_s: float, read_only: bool = True) -> AsyncIterator[AsyncConnection]:
        """A connection, for so long at most.

        Args:
            name: As services call it.
            timeout_s: For everything that is done with it, getting it included. What runs then is stopped.
            read_only: The database refuses any change.

        Raises:
            DeepaasError: What goes wrong meanwhile, in our own words; the database's are in the log.
        """
        engine = self._engine(name, read_only)
        interruption = None
        try:
            async with asyncio.timeout(timeout_s) as limit, engine.connect() as connection:
                interruption = _Interruption(connection, limit)
                await interruption.start()
                yield connection
        except TimeoutError as error:
            raise QueryTimeout(name, timeout_s) from error
        except failures() as error:
            if interruption is not None and interruption.happened:
                raise QueryTimeout(name, timeout_s) from error
            raise translated(name, error) from error
        finally:
            if interruption is not None:
                interruption.stop()

    async def close(self) -> None:
        """Let go of all connections."""
        for engine in self._engines.values():
            await engine.dispose()
        self._engines.clear()
        await self._sqlite.end()

    def _get(self, name: str) -> Told:
        try:
            return self._told[name]
        except KeyError:
            raise ConnectionUnavailable(name, "This server's settings have no connection of this name.") from None

    def _engine(self, name: str, read_only: bool) -> AsyncEngine:
        told = self._get(name)
        if not read_only and not told.writable:
            raise QueryFailed(name, "This server's settings allow no changes by this connection.")
        if (name, read_only) not in self._engines:
            self._engines[name, read_only] = make_engine(name, told, read_only, self._sqlite)
        return self._engines[name, read_only]


def make_engine(name: str, told: Told, read_only: bool, connections: sqlite.Connections) -> AsyncEngine:
    """The pool of connections to a database.

    Raises:
        SettingsError: Its URL cannot be used.
    """
    where = f"connection.{name}.url"
    try:
        driver = sa.make_url(told.url).get_driver_name()
        engine = create_async_engine(
            told.url,
            pool_size=told.pool_size,
            max_overflow=0,
            pool_timeout=told.connect_timeout_s,
            pool_pre_ping=not read_only,  # what only reads is simply asked again if its connection had died
            connect_args=_options(driver, told, read_only, connections),
        )
    except ModuleNotFoundError as error:
        raise SettingsError(f"{where} needs the driver {error.name!r}, which is not installed.") from error
    except (ArgumentError, InvalidRequestError) as error:
        text = f"{where} is no database URL with an asynchronous driver, like postgresql+asyncpg://user@host/name."
        raise SettingsError(text) from error
    if engine.dialect.name in _READ_ONLY and read_only:
        statement = _READ_ONLY[engine.dialect.name]

        @sa.event.listens_for(engine.sync_engine, "connect")
        def restrict(connection: Any, _: Any) -> None:
            cursor = connection.cursor()
            cursor.execute(statement)
            cursor.close()

    return engine


#: What makes a connection refuse changes, where that is not an option of connecting.
_READ_ONLY = {"sqlite": "PRAGMA query_only=ON", "mysql": "SET SESSION TRANSACTION READ ONLY"}


def _options(driver: str, told: Told, read_only: bool, connections: sqlite.Connections) -> dict[str, Any]:
    if driver == "asyncpg":
        restricted = {"default_transaction_read_only": "on"} if read_only else {}
        server = {"application_name": "deepaas-core", **restricted}
        return {"timeout": told.connect_timeout_s, "server_settings": server}
    return {**connections.connect_args, "timeout": told.connect_timeout_s} if driver == "aiosqlite" else {}


class _Interruption:
    """Stops what a connection does at a time limit, where that is not a matter of cancelling.

    A driver that works on a thread does not hear of a cancellation, and whoever cancels would wait for the thread.
    """

    def __init__(self, connection: AsyncConnection, limit: asyncio.Timeout):
        self._connection, self._limit = connection, limit
        self._timer: asyncio.TimerHandle | None = None
        self.happened = False

    async def start(self) -> None:
        raw = (await self._connection.get_raw_connection()).driver_connection
        at = self._limit.when()
        if at is not None and hasattr(raw, "interrupt"):
            self._limit.reschedule(None)
            self._timer = asyncio.get_running_loop().call_at(at, self._interrupt, raw)

    def _interrupt(self, raw: Any) -> None:
        self.happened = True
        self._task = asyncio.ensure_future(raw.interrupt())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def failures() -> tuple[type[Exception], ...]:
    """What says that a database cannot or will not do something; asyncpg is not loaded where nobody uses it."""
    driver = sys.modules.get("asyncpg")
    return (SQLAlchemyError, OSError) if driver is None else (SQLAlchemyError, OSError, driver.PostgresError)


def was_lost(error: ConnectionUnavailable) -> bool:
    """Whether all that is wrong is that a connection of the pool had died."""
    return _is_lost(error.__cause__)


def _is_lost(error: BaseException | None) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def translated(name: str, error: Exception) -> DeepaasError:
    """What a failure means to whoever asked; the database's own words may tell more than they should know."""
    code, text = sql_state(error), _text(error)
    log.warning("database refused", extra={"connection": name, "sqlstate": code, "text": text})
    if isinstance(error, PoolTimeout):
        return ConnectionUnavailable(name, "All connections are busy.")
    if _is_lost(error):
        return ConnectionUnavailable(name, "The database cannot be reached.")
    if code:
        return _by_code(name, code)
    if isinstance(error, sa.exc.IntegrityError):
        return QueryConflict()
    if isinstance(error, sa.exc.DataError) or "Python int too large" in text:
        return _unfit("")
    if isinstance(error, OSError) or _is_unreachable(error):
        return ConnectionUnavailable(name, "The database cannot be reached.")
    if "readonly" in text or "read only" in text:
        return QueryFailed(name, "It changes something, and may only read.")
    return QueryFailed(name, "The database refuses it.")


def _by_code(name: str, code: str) -> DeepaasError:
    """What an SQLSTATE means: its first two characters are a class of their own (SQL:1999, PostgreSQL appendix A)."""
    if code[:2] == "22":
        return _unfit(code)
    if code[:2] == "23":
        return QueryConflict(code)
    if code == "25006":
        return QueryFailed(name, "It changes something, and may only read.")
    if code[:2] == "40":
        return ConnectionUnavailable(name, f"Others changed the same rows at the same time (SQLSTATE {code}).")
    if code[:2] in ("08", "28", "53", "57", "58", "3D"):
        return ConnectionUnavailable(name, f"The database cannot be reached (SQLSTATE {code}).")
    return QueryFailed(name, f"The database refuses it (SQLSTATE {code}).")


def _unfit(code: str) -> InvalidInput:
    said = f" (SQLSTATE {code})" if code else ""
    return InvalidInput([Issue("", f"The database cannot use these values in the query{said}.")])


def sql_state(error: BaseException) -> str:
    """The SQLSTATE of a failure; empty if it has none."""
    seen: BaseException | None = error
    while seen is not None:
        code = getattr(seen, "sqlstate", None)
        if isinstance(code, str):
            return code
        seen = getattr(seen, "orig", None) or seen.__cause__
    return ""


def _is_unreachable(error: Exception) -> bool:
    return isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError) and (
        "unable to open" in _text(error) or "connect" in _text(error) or "locked" in _text(error)
    )


def _text(error: Exception) -> str:
    return str(error.orig if isinstance(error, DBAPIError) else error)
