"""The command ``deepaas-core``: arguments in, exit code out.

What a command needs is imported when it is run, so that ``--help`` and the completion of a shell are instant.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, cast

from deepaas_core import __version__
from deepaas_core.cli.exits import Exit
from deepaas_core.errors import DeepaasError, NotFound, PluginError, SettingsError, did_you_mean
from deepaas_core.settings import Settings, add_arguments, parser_flags

DEFAULT_SERVER = "http://127.0.0.1:5000"
_COMMANDS = ("serve", "models", "check", "predict", "train", "runs", "log", "samples", "environment", "token", "access")
#: What can be done with services.
_SERVICE_COMMANDS = (
    *("publish", "deploy", "services", "generations", "split", "rollback", "enable", "disable"),
    *("test", "diff", "download", "delete", "copy", "infrastructures"),
    *("automations", "automate"),
)
#: What can be done with a run: ``deepaas-core runs log ID``.
_RUN_COMMANDS = ("log", "cancel", "retry", "compare", "files", "serve", "delete")
#: What can be done with environments.
_ENVIRONMENT_COMMANDS = ("create", "list", "remove")
#: What can be done with tokens.
_TOKEN_COMMANDS = ("create", "list", "revoke")
#: What can be done with the prediction log besides reading it.
_LOG_COMMANDS = ("statistics", "label")
_SUBCOMMANDS = {
    "log": _LOG_COMMANDS,
    "runs": _RUN_COMMANDS,
    "environment": _ENVIRONMENT_COMMANDS,
    "token": _TOKEN_COMMANDS,
    "test": ("add", "list", "remove"),
    "generations": ("log",),
    "new": ("service",),
}
_EXIT_CODES = """
exit codes:
  0  done
  1  the model or the operation failed
  2  the command or a setting cannot be used
  3  the server cannot be reached
  4  there is no such model or run
"""


def _open_standard_streams() -> None:
    """Put something where the standard streams were closed: what is opened next would be taken for one of them."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  # as long as the process


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code; see ``deepaas-core --help``.
    """
    _open_standard_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments.insert(0, "serve")
    if arguments[1:2] and arguments[1] in _SUBCOMMANDS.get(arguments[0], ()):
        arguments[:2] = [f"{arguments[0]} {arguments[1]}"]
    elif arguments[0] == "new":
        if arguments[1:] not in (["-h"], ["--help"]):
            return _complain("Say what is to be made: deepaas-core new service FOLDER", Exit.USAGE)
        arguments[0] = "new service"
    try:
        try:
            return _main(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Who reads our output has had enough; the interpreter must not complain when it flushes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK


def _main(arguments: Sequence[str]) -> int:
    given, unknown = _parser(arguments[0]).parse_known_args(arguments)
    if unknown:
        return _complain(_misunderstood(given, unknown[0]), Exit.USAGE)
    try:
        return int(given.run(given))
    except SettingsError as error:
        return _complain(str(error), Exit.USAGE)
    except (PluginError, NotFound) as error:
        return _complain(str(error), Exit.NOT_FOUND)
    except DeepaasError as error:
        return _complain(str(error), Exit.FAILED)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        if given.debug:
            raise
        return _complain(f"{type(error).__name__}: {error} (--debug shows where)", Exit.FAILED)


def _complain(text: str, code: Exit) -> int:
    print(f"deepaas-core: {text}", file=sys.stderr)
    return code


def _misunderstood(given: argparse.Namespace, argument: str) -> str:
    if argument in (*_COMMANDS, *_SERVICE_COMMANDS):
        return f"the command stands first: deepaas-core {argument} …"
    suggestion = did_you_mean(argument.partition("=")[0], parser_flags(given.parser))
    return f"{given.parser.prog} has no argument {argument!r}.{suggestion}"


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=28)


class _Untyped:
    """In the place of a command's parser that nobody asked for: whatever is added to it is forgotten."""

    def __getattr__(self, _: str) -> Callable[..., Any]:
        return lambda *_, **__: self


class _OnlyOne:
    """A parser's commands, of which only the typed one is made: to make them all takes longer than most of them do."""

    def __init__(self, commands: argparse._SubParsersAction[argparse.ArgumentParser], typed: str):
        self._commands = commands
        self._typed = typed

    def add_parser(self, name: str, **given: Any) -> Any:
        return self._commands.add_parser(name, **given) if name == self._typed else _Untyped()


def _parser(typed: str) -> argparse.ArgumentParser:
    """The parser of a command; of all of them if what was typed is none."""
    parser = argparse.ArgumentParser(
        prog="deepaas-core",
        description="Turn pip-installed Python models into a service.",
        epilog=_EXIT_CODES,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"deepaas-core {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    if typed in {
        *_COMMANDS,
        *_SERVICE_COMMANDS,
        *(f"{of} {name}" for of, names in _SUBCOMMANDS.items() for name in names),
    }:
        commands = cast("argparse._SubParsersAction[argparse.ArgumentParser]", _OnlyOne(commands, typed))
    serve = _command(commands, "serve", "serve the installed models (the default command)", _serve)
    add_arguments(serve)
    models = _command(commands, "models", "list the installed models", _models)
    _add_local(models)
    check = _command(
        commands, "check", "say what a client will see of a model, and what is wrong with it", _check, "[NAME] "
    )
    check.add_argument("name", nargs="?", help="the model; without it, every installed one")
    _add_local(check)
    _add_clients(commands)
    _add_environments(commands)
    _add_access(commands)
    _add_services(commands)
    _add_automations(commands)
    _add_new(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
    operands: str = "",
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        usage=f"deepaas-core {name} {operands}[OPTION …]",
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=_EXIT_CODES,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show where an unforeseen error comes from")
    parser.set_defaults(run=run, parser=parser)
    return parser


def _add_local(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_arguments(parser)


def _add_clients(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    predict = _command(commands, "predict", "ask a model of a running server", _predict, "NAME ")
    predict.add_argument("name", help="the model")
    what = predict.add_mutually_exclusive_group()
    what.add_argument("--data", metavar="JSON", help="data; text that is not JSON is sent as text")
    what.add_argument("--file", metavar="PATH", help="a file to upload")
    what.add_argument("--url", help="an address the model shall fetch")
    _add_call(predict)
    train = _command(commands, "train", "start a training run on a running server", _train, "NAME ")
    train.add_argument("name", help="the model")
    _add_starting(train)
    _add_samples(commands)
    _add_runs(commands)
    _add_log(commands)


def _add_samples(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "print a program that calls a service or a model of a running server"
    samples = _command(commands, "samples", text, _later("samples", "samples"), "NAME ")
    samples.add_argument("name", help="the service or model")
    samples.add_argument("endpoint", nargs="?", help="an endpoint, or a function of a model (default: the first)")
    samples.add_argument(
        *("--language", "-l"),
        choices=("curl", "python", "r", "javascript", "java", "vba"),
        default="curl",
        help="the program's (default: %(default)s)",
    )
    _add_server(samples)


def _add_runs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "list the training runs of a running server, live on a terminal, or look at one"
    runs = _command(commands, "runs", text, _later("runs", "show"), "[ID] ")
    runs.epilog = (
        f"A run's id may be cut short. More: deepaas-core runs {{{','.join(_RUN_COMMANDS)}}} --help\n{runs.epilog}"
    )
    runs.add_argument("id", nargs="?", help="one run")
    runs.add_argument("--model", help="list only runs of this model")
    runs.add_argument("--state", help="list only runs in this state")
    runs.add_argument("--limit", help="list at most so many, the newest ones")
    runs.add_argument("--once", action="store_true", help="do not stay to show how they go on")
    _add_server(runs)
    log = _add_run_command(commands, "log", "print what a run has printed")
    log.add_argument("--follow", action="store_true", help="go on until it is over, with its progress on a terminal")
    _add_run_command(commands, "cancel", "cancel runs", several=True)
    retry = _add_run_command(commands, "retry", "start a run like an earlier one", server=False)
    retry.add_argument("--resume", action="store_true", help="let it go on from the model files that the run left")
    _add_starting(retry)
    compare = _add_run_command(commands, "compare", "put arguments and metrics of runs side by side", several=True)
    compare.add_argument("--csv", action="store_true", help="print CSV")
    files = _add_run_command(commands, "files", "list the files that a run keeps, or save one")
    files.add_argument("name", nargs="?", help="the file to save")
    files.add_argument("--to", metavar="PATH", help="where to save it (default: here, under its own name)")
    _add_run_command(commands, "serve", "serve the model of an earlier run")
    _add_run_command(commands, "delete", "delete runs that are over, with everything they left", several=True)


def _add_run_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    several: bool = False,
    server: bool = True,
) -> argparse.ArgumentParser:
    parser = _command(commands, f"runs {name}", text, _later("runs", name), "ID … " if several else "ID ")
    if several:
        parser.add_argument("ids", nargs="+", metavar="ID", help="the runs; an id may be cut short")
    else:
        parser.add_argument("id", metavar="ID", help="the run; its id may be cut short")
    if server:
        _add_server(parser)
    return parser


def _add_log(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    log = _command(commands, "log", "read what a running server has predicted", _later("log", "show"), "[NAME] ")
    log.epilog = f"More: deepaas-core log {{{','.join(_LOG_COMMANDS)}}} --help\n{log.epilog}"
    log.add_argument("name", nargs="?", help="only of this model or service")
    log.add_argument("--request", metavar="ID", help="only of this request")
    log.add_argument("--limit", help="at most so many, the newest")
    log.add_argument("--follow", action="store_true", help="go on with what comes")
    for form in ("csv", "parquet"):
        log.add_argument(f"--{form}", metavar="FILE", help=f"save all of them as {form.upper()}")
    run = _later("log", "statistics")
    text = "say what the predictions of a model or service come down to"
    statistics = _command(commands, "log statistics", text, run, "NAME ")
    statistics.add_argument("name", help="the model or service")
    for parser in (log, statistics):
        parser.add_argument("--endpoint", help="only of this endpoint; of a model, the function")
        parser.add_argument("--generation", metavar="VERSION", help="only of this generation or version")
        parser.add_argument("--status", help="only answers of this status, or 4xx for all that begin so")
        parser.add_argument("--since", metavar="TIME", help="only from this time on, like 2026-05-01T12:30Z")
        parser.add_argument("--until", metavar="TIME", help="only from before this time")
    label = _command(commands, "log label", "say what would have been right", _later("log", "label"), "FILE ")
    label.add_argument("file", metavar="FILE", help="CSV with the columns request, label and, if need be, row")
    for parser in (log, statistics, label):
        _add_server(parser)


def _add_environments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "list the environments made here, for models that need libraries of their own"
    lists = [
        _command(commands, name, text, _later("environments", "show")) for name in ("environment", "environment list")
    ]
    lists[0].epilog = f"More: deepaas-core environment {{{','.join(_ENVIRONMENT_COMMANDS)}}} --help\n{lists[0].epilog}"
    create = _command(
        commands,
        "environment create",
        "make an environment, with uv",
        _later("environments", "create"),
        "NAME PACKAGE … ",
    )
    create.add_argument("name", metavar="NAME", help="what to call it")
    create.add_argument("packages", nargs="*", metavar="PACKAGE", help="packages to install, as pip takes them")
    create.add_argument(
        *("--requirements", "-r"), action="append", default=[], metavar="FILE", help="a requirements file; repeatable"
    )
    create.add_argument("--python", metavar="VERSION", help="its Python: 3.9 or newer, or the path of one")
    remove = _command(
        commands, "environment remove", "remove environments", _later("environments", "remove"), "NAME … "
    )
    remove.add_argument("names", nargs="+", metavar="NAME", help="the environments")
    for parser in (*lists, create, remove):
        parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
        parser.add_argument("--data-dir", dest="store.data_dir", metavar="DIR", help="the data folder of the server")
    for parser in (*lists, create):
        parser.add_argument("--json", action="store_true", help="print JSON")


def _add_access(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "list the tokens by which callers prove who they are"
    lists = [_command(commands, name, text, _later("tokens", "show")) for name in ("token", "token list")]
    lists[0].epilog = f"More: deepaas-core token {{{','.join(_TOKEN_COMMANDS)}}} --help\n{lists[0].epilog}"
    create = _command(commands, "token create", "make a token, and print it once", _later("tokens", "create"), "LABEL ")
    create.add_argument("label", metavar="LABEL", help="whose it is, or what it is for")
    create.add_argument(
        *("--right", "-r"),
        action="append",
        default=[],
        metavar="RIGHT",
        help="predict (the default), read, train, publish or admin; repeatable",
    )
    create.add_argument(
        "--for", action="append", dest="names", metavar="NAME", help="only this model or service; repeatable"
    )
    create.add_argument("--expires", metavar="WHEN", help="when it ends: 90m, 12h, 30d, or a date like 2030-12-31")
    revoke = _command(commands, "token revoke", "withdraw tokens, for good", _later("tokens", "revoke"), "TOKEN … ")
    revoke.add_argument("tokens", nargs="+", metavar="TOKEN", help="its id, how it begins, or its label")
    text = "show or say who may call which model or service"
    access = _command(commands, "access", text, _later("tokens", "access"), "[NAME [POLICY]] ")
    access.add_argument("name", nargs="?", metavar="NAME", help="the model or service")
    access.add_argument(
        "policy",
        nargs="?",
        choices=("public", "tokens", "default"),
        metavar="POLICY",
        help="public: everybody; tokens: who has a token; default: as access.default says",
    )
    for parser in (create, access):
        parser.add_argument("--requests-per-s", metavar="NUMBER", help="so many requests a second; none: no limit here")
        parser.add_argument("--burst", metavar="NUMBER", help="so many at once (default: what two seconds allow)")
        parser.add_argument("--max-body-mb", metavar="NUMBER", help="largest body of a request, in MiB")
    for parser in (*lists, create, revoke, access):
        parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
        parser.add_argument("--data-dir", dest="store.data_dir", metavar="DIR", help="the data folder of the server")
        parser.add_argument("--store-url", dest="store.url", metavar="URL", help="its database, if it is not there")
        parser.add_argument("--json", action="store_true", help="print JSON")


def _add_services(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Publish, deploy and withdraw services of a running server."""

    def command(name: str, text: str, operands: str = "", *named: tuple[str, str]) -> argparse.ArgumentParser:
        parser = _command(commands, name, text, _later("services", name.replace(" ", "_")), operands)
        for operand, help_text in named:
            optional = operand.endswith("?")
            many = operand.endswith("+")
            nargs = operand[-1] if optional or many else None
            name = operand.rstrip("?+")
            parser.add_argument(name, metavar=name.upper(), help=help_text, nargs=nargs)
        _add_server(parser)
        return parser

    service, version = ("service", "the service"), ("version", "the generation")
    publish = command("publish", "publish a folder as a generation", "[FOLDER] ", ("folder?", "with a service.toml"))
    publish.add_argument("--version", metavar="VERSION", default="", help="what to call it (default: the next vN)")
    publish.add_argument("--notes", metavar="TEXT", default="", help="what is to be said of it")
    publish.add_argument("--name", metavar="SERVICE", help="the service (default: as service.toml says)")
    publish.add_argument("--unique", action="store_true", help="put a number behind a version that is taken")
    publish.add_argument("--build", action="store_true", help="build what it needs now, and not when it is deployed")
    deploy = command(
        "deploy",
        "make a generation live, or publish and deploy a folder or a function",
        "SERVICE [VERSION] | FOLDER | SCRIPT:FUNCTION ",
        ("what", "a service; a folder with a service.toml; or a function, such as ./score.py:predict"),
        ("version?", "the generation (default: the newest)"),
    )
    deploy.add_argument("--name", metavar="SERVICE", help="what to call the service")
    deploy.add_argument("--workers", type=int, metavar="NUMBER", help="processes of a function")
    deploy.add_argument("--timeout", type=float, metavar="SECONDS", help="how long a call of a function may take")
    deploy.add_argument("--notes", metavar="TEXT", default="", help="what is to be said of the new generation")
    deploy.add_argument(
        "--dry-run", action="store_true", help="only start it here, ask it once, and say how long both take"
    )
    deploy.add_argument(
        "--arg", "-a", action="append", default=[], metavar="NAME=VALUE", help="with --dry-run: an argument; repeatable"
    )
    deploy.add_argument("--no-wait", action="store_true", help="do not wait until it is live")
    for parser in (publish, deploy):
        parser.add_argument(
            "--allow-apt", action="store_true", help="install packages of the system that it needs, if the server may"
        )
    command("services", "list the services, or look at one", "[SERVICE] ", ("service?", "one of them"))
    command("generations", "list the generations of a service", "SERVICE ", service)
    command("generations log", "print how a generation was built", "SERVICE VERSION ", service, version)
    split = command(
        *("split", "share the traffic between generations", "SERVICE VERSION=SHARE … "),
        *(service, ("shares+", "the part of each generation, e.g. v1=0.3 v2=0.7; they sum to one")),
    )
    rollback = command("rollback", "go back to what was live before", "SERVICE ", service)
    for parser in (split, rollback):
        parser.add_argument("--no-wait", action="store_true", help="do not wait until it is live")
    command("enable", "let a service answer", "SERVICE ", service)
    command("disable", "let a service answer no more", "SERVICE ", service)
    command(
        *(
            "test",
            "ask the test queries of a folder, of a generation, or of the live one",
            "FOLDER | SERVICE [VERSION] ",
        ),
        *(
            ("what", "a folder with a service.toml, or a service"),
            ("version?", "the generation (default: the live one)"),
        ),
    )
    add = command(
        *("test add", "store test queries with a service", "SERVICE ENDPOINT "),
        *(service, ("endpoint", "the endpoint to ask")),
    )
    add.add_argument("--from", dest="file", metavar="FILE", help="a CSV file, or JSON lines, with rows")
    add.add_argument("--rows", type=int, default=3, metavar="NUMBER", help="so many rows of it (default: 3)")
    add.add_argument("--data", metavar="JSON", help="rows (a list) or arguments (an object), instead of a file")
    add.add_argument("--title", metavar="NAME", default="", help="what to call the query")
    add.add_argument("--expect", action="store_true", help="expect from now on what is answered now")
    add.add_argument("--tolerance", type=float, metavar="NUMBER", help="how far a number may be off (default: 1e-6)")
    command("test list", "list the test queries that are stored with a service", "SERVICE ", service)
    number = ("numbers+", "as test list numbers them")
    command("test remove", "forget test queries that are stored with a service", "SERVICE NUMBER … ", service, number)
    other = ("other?", "the one to compare it with (default: the one before)")
    command("diff", "compare the files of generations", "SERVICE VERSION [OTHER] ", service, version, other)
    download = command("download", "save the archive of a generation", "SERVICE VERSION ", service, version)
    download.add_argument("--to", metavar="PATH", help="where (default: here, as SERVICE-VERSION.zip)")
    deletes = ("version?", "the generation; without, the whole service, which must be disabled")
    command("delete", "delete a generation, or a service", "SERVICE [VERSION] ", service, deletes)
    copies = (("infrastructure", "where to"), ("version?", "the generation (default: the live one)"))
    command(
        "copy",
        "publish and deploy a generation on another server",
        "SERVICE INFRASTRUCTURE [VERSION] ",
        service,
        *copies,
    )
    command("infrastructures", "list the servers to which generations can be copied")


def _add_automations(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What services of a running server do by themselves."""
    listed = _command(
        commands, "automations", "list what a service does by itself", _later("automations", "automations"), "SERVICE "
    )
    asked = _command(
        commands, "automate", "do an automation of a service now", _later("automations", "automate"), "SERVICE NAME "
    )
    for parser in (listed, asked):
        parser.add_argument("service", metavar="SERVICE", help="the service")
    asked.add_argument("automation", metavar="NAME", help="the automation")
    asked.add_argument("--no-wait", action="store_true", help="do not wait until it is done")
    for parser in (listed, asked):
        _add_server(parser)


def _add_new(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "write a service that passes its own test queries, to begin with"
    new = _command(commands, "new service", text, _later("new", "new_service"), "FOLDER ")
    new.add_argument("folder", help="where; new, or empty")
    new.add_argument("--name", help="what to call the service (default: like the folder)")
    _add_server(new)


def _add_starting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", action="store_true", help="show its log, and its progress, until it is over")
    parser.add_argument("--promote-if", metavar="CONDITION", help="serve its model only if so, e.g. 'accuracy >= 0.9'")
    _add_call(parser)


def _add_call(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--arg", "-a", action="append", default=[], metavar="NAME=VALUE", help="an argument of the model; repeatable"
    )
    _add_server(parser)


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server",
        default=os.environ.get("DEEPAAS_CORE_SERVER", DEFAULT_SERVER),
        metavar="URL",
        help="the server (default: %(default)s, or DEEPAAS_CORE_SERVER)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _settings(given: argparse.Namespace) -> Settings:
    return Settings.from_arguments(given, os.environ)


def _serve(given: argparse.Namespace) -> int:
    gc.disable()  # all that is imported stays; to look through it over and over would take a tenth of the start
    from deepaas_core.cli.serve import serve

    gc.freeze()
    gc.enable()
    return serve(_settings(given))


def _models(given: argparse.Namespace) -> int:
    from deepaas_core.cli.inspect import models

    return models(_settings(given), as_json=given.json)


def _check(given: argparse.Namespace) -> int:
    from deepaas_core.cli.inspect import check

    return check(_settings(given), given.name, as_json=given.json)


def _predict(given: argparse.Namespace) -> int:
    from deepaas_core.cli.client import predict

    return predict(given)


def _train(given: argparse.Namespace) -> int:
    from deepaas_core.cli.client import train

    return train(given)


def _later(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """A function of one of the modules beside this one, imported when it is called."""

    def run(given: argparse.Namespace) -> int:
        command: Callable[[argparse.Namespace], int] = getattr(import_module(f"deepaas_core.cli.{module}"), name)
        return command(given)

    return run
