"""Settings: one frozen object, read once, handed out in groups.

Every setting has three spellings that follow from one another (``web.port``, ``DEEPAAS_CORE_WEB_PORT``, ``--web-port``)
and four sources: command line over environment over TOML file over default. A server needs none of them.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import re
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from deepaas_core.errors import SettingsError, did_you_mean

PREFIX = "DEEPAAS_CORE_"
#: Settings that everybody types have a short name as well.
SHORT = {
    "host": "web.host",
    "port": "web.port",
    "model": "models.only",
    "data-dir": "store.data_dir",
    "workers": "workers.count",
    "http-workers": "web.http_workers",
    "environment": "models.environments",
    "reload": "models.reload",
    "log-level": "log.level",
}
_SHORT_OF = {name: short for short, name in SHORT.items()}

_hints = functools.cache(get_type_hints)


def setting(default: Any, doc: str, *, least: float | None = None, most: float | None = None) -> Any:
    """A field of a group: its default, its reason, and the bounds of a number."""
    metadata = {"doc": doc, "least": least, "most": most}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Web:
    """The HTTP server."""

    host: str = setting("127.0.0.1", "Address to listen on; anything but loopback opens the server to others.")
    port: int = setting(5000, "Port to listen on; 0 takes a free one.", least=0, most=65535)
    http_workers: int = setting(
        1, "Processes that share the port and the models' workers; one is enough for most.", least=1, most=64
    )
    public_url: str = setting("", "Where people and other servers reach this one; empty: `http://`, host and port.")
    base_path: str = setting("", "Path below which everything is served, for a proxy that keeps it.")
    max_body_mb: float = setting(64, "Largest body held in memory, in MiB; more answers 413.", least=2**-20)
    max_upload_mb: float = setting(4096, "Largest upload, in MiB; uploads go to disk as they arrive.", least=2**-20)
    body_timeout_s: float = setting(60.0, "Seconds a body may take; for uploads, seconds without progress.", least=0.1)
    keepalive_timeout_s: float = setting(75.0, "Seconds an idle connection is kept.", least=0)
    show_model_errors: bool = setting(False, "Tell clients the text of a model's exception, not only its type.")
    access_log: bool = setting(True, "Log a line for every request.")

    @property
    def max_body_bytes(self) -> int:
        return round(self.max_body_mb * 2**20)

    @property
    def max_upload_bytes(self) -> int:
        return round(self.max_upload_mb * 2**20)


@dataclass(frozen=True)
class Models:
    """Which models are served."""

    only: tuple[str, ...] = setting((), "Names of the models to serve; empty serves all that are installed.")
    environments: tuple[str, ...] = setting(
        (),
        "Environments whose models are served as well, each in its own Python: folders of virtual environments or "
        "conda prefixes, or names given to `deepaas-core environment create`.",
    )
    reload: bool = setting(False, "Replace a model's workers when its source is edited, for development.")


@dataclass(frozen=True)
class Workers:
    """The processes that run a model; each may be set for one model alone, under ``model.NAME.workers``."""

    count: int = setting(1, "Processes for each model.", least=1, most=1024)
    executor: Literal["process", "inline"] = setting(
        "process", "Where hooks run: in processes of their own, or on threads of the server (for models you trust)."
    )
    timeout_s: float = setting(30.0, "Seconds a prediction may take before it answers 504.", least=0.01)
    startup_timeout_s: float = setting(120.0, "Seconds a model may take to load and warm up.", least=0.1)
    warm: bool = setting(True, "Call the model's `warm` in each process before that counts as ready.")
    max_queue: int = setting(100, "Calls that may wait for a model; more answer 503 at once.", least=0)
    max_result_mb: int = setting(64, "Largest encoded result, in MiB.", least=1)
    restart_backoff_max_s: float = setting(30.0, "Longest pause, in seconds, before a model is tried again.", least=0.1)
    max_batch_size: int = setting(64, "Calls that `predict_batch` gets at once, at most.", least=1)
    max_batch_delay_ms: float | None = setting(
        None,
        "Milliseconds to wait for more calls before each batch; left out, a rule that tunes itself decides.",
        least=0,
    )
    max_calls: int | None = setting(None, "Calls after which a process is replaced by a new one.", least=1)
    memory_limit_mb: int | None = setting(
        None, "Memory, in MiB, above which a process is replaced by a new one.", least=1
    )


@dataclass(frozen=True)
class Training:
    """Training runs."""

    max_concurrent_runs: int = setting(2, "Runs at the same time; more wait in the queue.", least=1)
    max_concurrent_runs_per_model: int = setting(
        0, "Runs of one model at the same time; 0 sets no limit but the one for all.", least=0
    )
    cancel_grace_s: float = setting(3.0, "Seconds a cancelled run has to stop before it is killed.", least=0, most=4.5)
    lease_s: float = setting(
        20.0,
        "Seconds without a sign of life after which other servers on the database call a server's runs interrupted.",
        least=5,
    )


@dataclass(frozen=True)
class Retention:
    """What is deleted of runs that are over. Nothing, unless it is asked for; never the model that is served."""

    runs_days: float | None = setting(None, "Days after its end when a run is deleted with all its files.", least=0)
    runs_count: int | None = setting(None, "Ended runs of each model that are kept; older ones are deleted.", least=0)
    logs_days: float | None = setting(None, "Days after its end when a run's log is deleted.", least=0)
    logs_count: int | None = setting(None, "Ended runs of each model that keep their log.", least=0)
    artifacts_days: float | None = setting(None, "Days after its end when a run's artifacts are deleted.", least=0)
    artifacts_count: int | None = setting(None, "Ended runs of each model that keep their artifacts.", least=0)


def _default_data_dir() -> Path:
    try:
        return Path("~/.local/share/deepaas_core").expanduser()
    except RuntimeError as error:
        raise SettingsError("store.data_dir must be given: this user has no home folder.") from error


@dataclass(frozen=True)
class Store:
    """What is kept, and where."""

    data_dir: Path = field(
        default_factory=_default_data_dir,
        metadata={
            "doc": "Folder of runs, trained models and the embedded database; `XDG_DATA_HOME` moves its default."
        },
    )
    url: str = setting("", "Database of the records; empty uses SQLite in the data folder.")
    runs_dir: Path | None = field(
        default=None,
        metadata={"doc": "Folder of the runs, if not in the data folder; servers on one database may share one."},
    )


@dataclass(frozen=True)
class Access:
    """Who may call what, and how often."""

    tokens: Literal["auto", "on", "off"] = setting(
        "auto",
        "Whether tokens are asked for; auto: as soon as one was made, or a name closed by `deepaas-core access`.",
    )
    default: Literal["tokens", "public"] = setting(
        "tokens", "Who may call a model or service of which nothing else was said, where tokens are asked for."
    )
    beyond_loopback: Literal["predict", "train"] = setting(
        "predict",
        "What others may do where they can reach the server and no token was made: predict and read, or train as well;"
        " `deepaas-run` lets them train.",
    )
    cookie: str = setting("deepaas_core_token", "Name of a cookie that may carry the token; empty takes none.")
    token_requests_per_s: float | None = setting(
        None, "Requests a second that a token may make which has no limit of its own.", least=0.001
    )
    token_burst: int | None = setting(None, "So many of them at once; left out, what two seconds allow.", least=1)
    model_requests_per_s: float | None = setting(
        None,
        "Predictions a second of each model or service that has no limit of its own, for all callers together.",
        least=0.001,
    )
    model_burst: int | None = setting(None, "So many of them at once; left out, what two seconds allow.", least=1)
    wrong_tokens_per_minute: int = setting(
        30, "Wrong tokens from one address, after which more of them answer 429.", least=1
    )
    max_stale_s: float = setting(
        4.0,
        "Seconds that tokens are believed while the database is away; then what needs one answers 503.",
        least=1,
    )


@dataclass(frozen=True)
class PredictionLog:
    """What is kept of predictions. A service may say otherwise in its `service.toml`."""

    log: Literal["off", "full", "sampled", "never"] = setting(
        "off", "How many predictions are kept; off: only those of services that say so; never: none at all."
    )
    only: tuple[str, ...] = setting((), "Names of the models and services of which that holds; empty: of all.")
    sample: float = setting(0.1, "The part of the predictions that sampled keeps.", least=0, most=1)
    redact: tuple[str, ...] = setting(
        (), "Names whose values are not kept, at any depth of inputs, output and context, in whatever letters."
    )
    inputs: bool = setting(True, "Keep what was asked.")
    outputs: bool = setting(True, "Keep what was answered.")
    max_entry_kb: int = setting(
        64, "Inputs, output and context are each kept up to this, in KiB; of longer ones, the length.", least=1
    )
    durable: bool = setting(False, "Answer only when the entry is on disk; otherwise it is a moment later.")
    write_every_ms: int = setting(100, "Milliseconds in which entries are gathered and written together.", least=1)
    max_waiting: int = setting(
        20_000, "Entries that may wait in memory while the log cannot be written; more are dropped.", least=1
    )
    max_waiting_mb: int = setting(64, "The same for their size, in MiB.", least=1)
    days: float | None = setting(None, "Days after which entries are deleted.", least=0)
    count: int | None = setting(None, "Entries of each model or service that are kept, the newest.", least=0)


@dataclass(frozen=True)
class Fetch:
    """The guard over ``predict/url``."""

    guard: bool = setting(True, "Let through only public addresses on ports 80 and 443.")
    allow: tuple[str, ...] = setting(
        (), "What the guard lets through besides: host, host:port, network, network:port, or *:port."
    )


@dataclass(frozen=True)
class Services:
    """Published services."""

    publish: bool = setting(True, "Take generations over the network, from whoever has the right to publish.")
    archives_dir: Path | None = field(
        default=None,
        metadata={
            "doc": "Folder of the archives, if not in the data folder; servers on one database share one, or each "
            "serves only what was published to it."
        },
    )
    max_unpacked_mb: int = setting(8192, "Largest content of an archive, in MiB.", least=1)
    idle_s: float = setting(
        900.0, "Seconds after its last call when a generation is stopped that is not live.", least=0.1
    )
    allow_apt: bool = setting(
        False,
        "Let those who publish have the packages of the system installed that `requirements-apt.txt` lists, if they "
        "ask for it (`publish --allow-apt`).",
    )
    cran: str = setting("https://cloud.r-project.org", "Where R packages come from.")
    copy_timeout_s: float = setting(600.0, "Seconds that another server may take to bring up a copy.", least=1)


@dataclass(frozen=True)
class Infrastructure:
    """Another server, to which generations can be copied: ``[infrastructure.NAME]``."""

    url: str = setting("", "Its address, e.g. `https://models.example.org`.")
    stage: str = setting("", "What it is for, e.g. `production`.")
    token_file: Path | None = field(default=None, metadata={"doc": "File with a token that may publish there."})
    token: str = field(
        default="",
        repr=False,
        metadata={"doc": "The token itself; only by `DEEPAAS_CORE_INFRASTRUCTURE_NAME_TOKEN` in the environment."},
    )


@dataclass(frozen=True)
class Connection:
    """A database that services refer to by this name: ``[connection.NAME]``."""

    url: str = field(
        default="",
        repr=False,
        metadata={
            "doc": "SQLAlchemy URL with an asynchronous driver, e.g. `postgresql+asyncpg://user@host/name`; "
            "`DEEPAAS_CORE_CONNECTION_NAME_URL` in the environment wins over the file, so that no password is in it."
        },
    )
    pool_size: int = setting(5, "Connections that each HTTP process opens at most.", least=1, most=1000)
    connect_timeout_s: float = setting(5.0, "Seconds until a database that does not answer counts as away.", least=0.1)
    timeout_s: float = setting(15.0, "Seconds that any query may take, whatever its service says.", least=0.1)
    writable: bool = setting(False, "Let services' queries that say so change the database.")


@dataclass(frozen=True)
class Shutdown:
    """How the server ends."""

    drain_s: float = setting(30.0, "Seconds that requests in flight may take to finish after SIGTERM.", least=0)


@dataclass(frozen=True)
class Log:
    """What the server writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "The least serious records to write.")
    format: Literal["auto", "text", "json"] = setting("auto", "Text for people, JSON lines for machines; auto: text.")
    file: str = setting("", "File to write to instead; when it is moved away, a new one is begun.")


@dataclass(frozen=True)
class Deepaas:
    """The APIs of DEEPaaS, for clients that were written for it."""

    v2: bool = setting(True, "Speak version 2, under `/v2`.")
    v1: Literal["off", "0.x", "1.x"] = setting(
        "off", "Speak version 1 as well: as DEEPaaS 0.x did at `/models`, or as DEEPaaS 1.x did at `/v1/models`."
    )
    doc_endpoint: bool = setting(True, "Show Swagger UI at `/api`; its document is at `/swagger.json` either way.")
    predict_endpoint: bool = setting(True, "Let clients of DEEPaaS predict; otherwise that answers 402.")
    train_endpoint: bool = setting(True, "Let clients of DEEPaaS train; otherwise that answers 402.")
    debug_endpoint: bool = setting(
        False, "Show at `/v2/debug/` what the server and the models print, to everybody who may call it."
    )


@dataclass(frozen=True)
class Setting:
    """One setting as the reference describes it."""

    name: str
    type: str
    default: Any
    doc: str
    short: str = ""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace(".", "-").replace("_", "-")

    @property
    def shown_flag(self) -> str:
        """What people are most likely to have typed."""
        return f"--{self.short}" if self.short else self.flag

    @property
    def variable(self) -> str:
        return PREFIX + self.name.replace(".", "_").upper()


@dataclass(frozen=True)
class Settings:
    """All settings of one server."""

    web: Web = field(default_factory=Web)
    models: Models = field(default_factory=Models)
    workers: Workers = field(default_factory=Workers)
    training: Training = field(default_factory=Training)
    retention: Retention = field(default_factory=Retention)
    store: Store = field(default_factory=Store)
    access: Access = field(default_factory=Access)
    prediction_log: PredictionLog = field(default_factory=PredictionLog)
    fetch: Fetch = field(default_factory=Fetch)
    services: Services = field(default_factory=Services)
    shutdown: Shutdown = field(default_factory=Shutdown)
    log: Log = field(default_factory=Log)
    deepaas: Deepaas = field(default_factory=Deepaas)
    per_model: Mapping[str, Workers] = field(default_factory=dict)
    infrastructures: Mapping[str, Infrastructure] = field(default_factory=dict)
    connections: Mapping[str, Connection] = field(default_factory=dict)

    def workers_for(self, model: str, over: Mapping[str, Any] = types.MappingProxyType({})) -> Workers:
        """The workers group of one model: its own where it has one, else everybody's.

        Args:
            model: Its name.
            over: Settings of the group that hold for it whatever the others say.
        """
        workers = self.per_model.get(model, self.workers)
        return replace(workers, **over) if over else workers

    @classmethod
    def load(
        cls, argv: Sequence[str] = (), environ: Mapping[str, str] | None = None, file: Path | None = None
    ) -> Settings:
        """Read the settings from a command line, an environment and a TOML file.

        Args:
            argv: Arguments, without the program's name.
            environ: Environment variables; None means none.
            file: The TOML file; None takes ``--config`` or ``DEEPAAS_CORE_CONFIG`` if one of them is given.

        Raises:
            SettingsError: One of them cannot be used; the text names it, where it stands, and what was expected.
        """
        parser = _parser()
        try:
            given, unknown = parser.parse_known_args(list(argv))
        except argparse.ArgumentError as error:
            raise SettingsError(str(error)) from error
        if unknown:
            raise SettingsError(f"Unknown argument {unknown[0]!r}.{did_you_mean(unknown[0], parser_flags(parser))}")
        return cls.from_arguments(given, environ or {}, file)

    @classmethod
    def from_arguments(
        cls,
        given: argparse.Namespace,
        environ: Mapping[str, str],
        file: Path | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Read the settings when the command line has been parsed by a parser that ``add_arguments`` filled.

        Args:
            given: What was on the command line, by the names of the settings.
            environ: Environment variables.
            file: See ``load``.
            defaults: What a command has in place of our own defaults, by the names of the settings.

        Raises:
            SettingsError: See ``load``.
        """
        named = getattr(given, "config", None) or environ.get(PREFIX + "CONFIG")
        path = file or (Path(named) if named else None)
        tables = _read_file(path) if path else {}
        per_model_tables, infrastructures = tables.pop("model", {}), tables.pop("infrastructure", {})
        connections = _load_connections(tables.pop("connection", {}), environ, str(path))
        groups = {}
        for group in _groups():
            table = tables.pop(group.name, {})
            groups[group.name] = _load_group(group, table, environ, given, str(path), defaults or {})
        if tables:
            known = [group.name for group in _groups()] + ["model", "infrastructure", "connection"]
            raise SettingsError(
                f"{path}: unknown table [{next(iter(tables))}].{did_you_mean(next(iter(tables)), known)}"
            )
        per_model = _load_per_model(per_model_tables, groups["workers"], str(path))
        return cls(
            **groups,
            per_model=per_model,
            infrastructures=_load_infrastructures(infrastructures, environ, str(path)),
            connections=connections,
        )

    def to_plain(self) -> dict[str, Any]:
        """The settings as plain data, for another process of the server."""
        return cast(dict[str, Any], json.loads(json.dumps(asdict(self), default=str)))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Settings:
        """The settings that ``to_plain`` was given."""
        groups = {group.name: _group_from_plain(group.type, plain[group.name]) for group in _groups()}
        per_model = {name: _group_from_plain(Workers, workers) for name, workers in plain["per_model"].items()}
        others = {name: _group_from_plain(Infrastructure, one) for name, one in plain["infrastructures"].items()}
        connections = {name: _group_from_plain(Connection, one) for name, one in plain["connections"].items()}
        return cls(**groups, per_model=per_model, infrastructures=others, connections=connections)


@functools.cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deepaas-core", add_help=False, exit_on_error=False, allow_abbrev=False)
    add_arguments(parser)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every setting to a parser, the short names first."""
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    by_name = {described.name: described for described in describe()}
    for short, name in SHORT.items():
        _add_flag(parser, f"--{short}", by_name[name], shown=True)
    for described in by_name.values():
        if f"--{described.short}" != described.flag:
            _add_flag(parser, described.flag, described, shown=not described.short)


def parser_flags(parser: argparse.ArgumentParser) -> list[str]:
    """Every flag a parser knows."""
    return [flag for action in parser._actions for flag in action.option_strings]


@functools.cache
def describe() -> Sequence[Setting]:
    """Every setting, group by group, for the reference and the command line."""
    found = []
    for group in _groups():
        hints = _hints(group.type)
        for item in fields(group.type):
            name = f"{group.name}.{item.name}"
            default = item.default if item.default_factory is _MISSING else "~/.local/share/deepaas_core"
            short = _SHORT_OF.get(name, "")
            found.append(Setting(name, _type_name(hints[item.name]), default, item.metadata["doc"], short))
    return found


def reference() -> str:
    """The reference page of all settings, in Markdown."""
    lines = [
        "# Settings",
        "",
        "Every setting has three spellings: `web.port` in a TOML file, `DEEPAAS_CORE_WEB_PORT` in the environment,",
        "`--web-port` on the command line. The command line wins over the environment, the environment over the file",
        "(`--config FILE` or `DEEPAAS_CORE_CONFIG`), the file over the default. None is needed. Lists are separated by",
        "commas in the environment and repeated on the command line. The settings of `workers` can be given for one",
        "model alone: `[model.NAME.workers]` in the file.",
        "",
        "This page is made by `python -m deepaas_core.settings`.",
    ]
    table = ""
    for described in describe():
        group, name = described.name.split(".")
        if group != table:
            table = group
            title = next(item.type.__doc__ for item in _groups() if item.name == group)
            lines += [
                "",
                f"## {group}",
                "",
                str(title),
                "",
                "| setting | type | default | meaning |",
                "|---|---|---|---|",
            ]
        short = f" (`--{described.short}`)" if described.short else ""
        default = "" if described.default in _NOTHING else f"`{_toml(described.default)}`"
        lines.append(f"| `{group}.{name}`{short} | {described.type} | {default} | {described.doc} |")
    lines += [
        "",
        "## infrastructure.NAME",
        "",
        "Other servers, to which generations can be copied; only in the file, one table for each.",
        "",
        "| setting | type | meaning |",
        "|---|---|---|",
    ]
    hints = _hints(Infrastructure)
    for item in fields(Infrastructure):
        lines.append(f"| `infrastructure.NAME.{item.name}` | {_type_name(hints[item.name])} | {item.metadata['doc']} |")
    lines += [
        "",
        "## connection.NAME",
        "",
        "Databases that services refer to, for lookups and queries; one table for each.",
        "",
        "| setting | type | default | meaning |",
        "|---|---|---|---|",
    ]
    hints = _hints(Connection)
    for item in fields(Connection):
        default = "" if item.default in _NOTHING else f"`{_toml(item.default)}`"
        kind = _type_name(hints[item.name])
        lines.append(f"| `connection.NAME.{item.name}` | {kind} | {default} | {item.metadata['doc']} |")
    return "\n".join(lines) + "\n"


_MISSING = fields(Settings)[0].default
#: Defaults that need not be shown.
_NOTHING: tuple[Any, ...] = ("", (), None)


@dataclass(frozen=True)
class _Group:
    name: str
    type: Any


def _groups() -> list[_Group]:
    hints = _hints(Settings)
    return [_Group(item.name, hints[item.name]) for item in fields(Settings) if is_dataclass(hints[item.name])]


def _add_flag(parser: argparse.ArgumentParser, flag: str, described: Setting, shown: bool) -> None:
    options: dict[str, Any] = {
        "dest": described.name,
        "default": None,
        "help": _help(described) if shown else argparse.SUPPRESS,
    }
    if described.type == "true or false":
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **options)
    elif described.type == "list of texts":
        parser.add_argument(flag, action="append", metavar="TEXT", **options)
    else:
        parser.add_argument(flag, metavar=described.name.rsplit("_", 1)[-1].rsplit(".", 1)[-1].upper(), **options)


def _help(described: Setting) -> str:
    default = "" if described.default in _NOTHING else f" (default: {_toml(described.default)})"
    return (described.doc.rstrip(".") + default).replace("%", "%%")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.expanduser().open("rb") as file:
            return tomllib.load(file)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"The settings file {path} cannot be read: {reason}.") from error
    except ValueError as error:
        raise SettingsError(f"The settings file {path} is not valid TOML: {error}.") from error


def _load_group(
    group: _Group,
    table: Any,
    environ: Mapping[str, str],
    given: argparse.Namespace,
    path: str,
    defaults: Mapping[str, Any],
) -> Any:
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: [{group.name}] must be a table.")
    hints = _hints(group.type)
    values = _defaults(group, environ)
    values |= {
        item.name: defaults[name] for item in fields(group.type) if (name := f"{group.name}.{item.name}") in defaults
    }
    values |= _from_table(group.type, hints, table, f"{path}: {group.name}")
    for item in fields(group.type):
        name = f"{group.name}.{item.name}"
        described = Setting(name, "", None, "", _SHORT_OF.get(name, ""))
        text = environ.get(described.variable)
        if text is not None:
            values[item.name] = _convert(item, hints[item.name], text, described.variable)
        flag = getattr(given, described.name, None)
        if flag is not None:
            values[item.name] = _convert(item, hints[item.name], flag, described.shown_flag)
    return group.type(**values)


def _defaults(group: _Group, environ: Mapping[str, str]) -> dict[str, Any]:
    """Defaults that hang on where the server runs."""
    base = Path(environ.get("XDG_DATA_HOME", ""))
    return {"data_dir": base / "deepaas_core"} if group.type is Store and base.is_absolute() else {}


def _load_per_model(tables: Any, default: Workers, path: str) -> dict[str, Workers]:
    if not isinstance(tables, dict):
        raise SettingsError(f"{path}: [model] must be a table.")
    hints = _hints(Workers)
    per_model = {}
    for name, table in tables.items():
        if not isinstance(table, dict) or set(table) - {"workers"} or not isinstance(table.get("workers", {}), dict):
            raise SettingsError(f"{path}: [model.{name}] may only have a table [model.{name}.workers].")
        own = _from_table(Workers, hints, table.get("workers", {}), f"{path}: model.{name}.workers")
        per_model[name] = replace(default, **own)
    return per_model


def _load_infrastructures(tables: Any, environ: Mapping[str, str], path: str) -> dict[str, Infrastructure]:
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise SettingsError(f"{path}: [infrastructure] may only have tables [infrastructure.NAME].")
    hints = _hints(Infrastructure)
    found = {}
    for name, table in tables.items():
        where = f"{path}: infrastructure.{name}"
        if "token" in table:
            raise SettingsError(f"{where}.token must not stand in a file that has other settings; use token_file.")
        values = _from_table(Infrastructure, hints, table, where)
        if not values.get("url", "").startswith(("http://", "https://")):
            raise SettingsError(f"{where}.url must be an address that begins with http:// or https://.")
        variable = re.sub(r"[^A-Z0-9]", "_", name.upper())
        values["token"] = environ.get(f"{PREFIX}INFRASTRUCTURE_{variable}_TOKEN", "")
        found[name] = Infrastructure(**values)
    return found


_CONNECTION_URL = re.compile(rf"{PREFIX}CONNECTION_([A-Z0-9_]+)_URL")


def _load_connections(tables: Any, environ: Mapping[str, str], path: str) -> dict[str, Connection]:
    """The connections of the file, and those of which only the environment knows."""
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise SettingsError(f"{path}: [connection] may only have tables [connection.NAME].")
    urls = {found[1]: url for variable, url in environ.items() if (found := _CONNECTION_URL.fullmatch(variable))}
    hints, connections = _hints(Connection), {}
    for name, table in tables.items():
        where = f"{path}: connection.{name}"
        values = _from_table(Connection, hints, table, where)
        url = urls.pop(re.sub(r"[^A-Z0-9]", "_", name.upper()), values.get("url", ""))
        if not url:
            raise SettingsError(f"{where} has no url.")
        connections[name] = Connection(**{**values, "url": url})
    return connections | {name.lower(): Connection(url) for name, url in urls.items()}


def _group_from_plain(kind: Any, plain: Mapping[str, Any]) -> Any:
    hints = _hints(kind)
    return kind(**{name: _typed(hints[name], value) for name, value in plain.items()})


def _from_table(kind: Any, hints: Mapping[str, Any], table: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = {item.name: item for item in fields(kind)}
    values = {}
    for name, value in table.items():
        if name not in known:
            raise SettingsError(f"{where} has no setting {name!r}.{did_you_mean(name, known)}")
        values[name] = _convert(known[name], hints[name], value, f"{where}.{name}")
    return values


def _convert(item: Field[Any], kind: Any, value: Any, where: str) -> Any:
    """A value from any source as the setting's type, within its bounds."""
    try:
        converted = _typed(kind, value)
    except (OverflowError, TypeError, ValueError):
        raise SettingsError(f"{where} must be {_expected(item, kind)}, not {value!r}.") from None
    least, most = item.metadata.get("least"), item.metadata.get("most")
    if converted is None:
        return None
    if (least is not None and converted < least) or (most is not None and converted > most):
        raise SettingsError(f"{where} must be {_expected(item, kind)}, not {value!r}.")
    return converted


def _typed(kind: Any, value: Any) -> Any:
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError
        return value
    if get_origin(kind) is tuple:
        pieces = value.split(",") if isinstance(value, str) else value
        if not isinstance(pieces, (list, tuple)) or not all(isinstance(piece, str) for piece in pieces):
            raise ValueError
        return tuple(piece.strip() for piece in pieces if piece.strip())
    if get_origin(kind) in (Union, types.UnionType):
        inner = next(option for option in get_args(kind) if option is not type(None))
        return None if value in (None, "") else _typed(inner, value)
    if kind is bool:
        return _truth(value)
    if kind in (str, Path):
        return _text(kind, value)
    return _number(kind, value)


def _text(kind: Any, value: Any) -> Any:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    if kind is str:
        return value
    if not value:
        raise ValueError
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # ~ of somebody who has no home
        raise ValueError from error


def _number(kind: Any, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int) if kind is int else (str, int, float)):
        raise ValueError
    number = kind(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if not isinstance(value, str) or value.lower() not in words:
        raise ValueError
    return words[value.lower()]


def _expected(item: Field[Any], kind: Any) -> str:
    name, comma, nothing = _type_name(kind).partition(", or nothing")
    if name in ("whole number", "number", "list of texts", "folder"):
        name = f"a {name}"
    least, most = item.metadata.get("least"), item.metadata.get("most")
    if least is not None and most is not None:
        name += f" from {least:g} to {most:g}"
    elif least is not None:
        name += f" of at least {least:g}"
    return name + comma + nothing


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "list of texts"
    if get_origin(kind) in (Union, types.UnionType):
        return _type_name(get_args(kind)[0]) + ", or nothing"
    names = {str: "text", Path: "folder", int: "whole number", float: "number", bool: "true or false"}
    return names[cast(type, kind)]


def _toml(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(reference(), end="")
