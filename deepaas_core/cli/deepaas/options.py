"""The options of DEEPaaS's commands, and the places where each is looked for.

An environment variable ``OS_DEFAULT__LISTEN_PORT`` wins over the command line, that over configuration files, those
over the default. Files have sections; only ``[DEFAULT]`` is ours.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from deepaas_core import __version__
from deepaas_core.cli.deepaas.substituting import Text, Values
from deepaas_core.errors import SettingsError

PREFIX = "OS_DEFAULT__"
_TRUTH = {
    **dict.fromkeys(("true", "1", "on", "yes"), True),
    **dict.fromkeys(("false", "0", "off", "no"), False),
}


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: With dashes, or with underscores where DEEPaaS has them.
        help: What it does; empty hides it, as an option that only older versions had.
        kind: What its value is.
        default: None if it may be left out.
        also: Other spellings of it on the command line.
        least: Of a number.
        most: Of a number.
        variable: Of the environment; has a value for it that everything else beats.
    """

    name: str
    help: str
    kind: Literal["text", "number", "switch"] = "text"
    default: Any = None
    also: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    variable: str = ""

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")

    def read(self, text: str, where: str) -> Any:
        """The value that a text stands for.

        Raises:
            SettingsError: It stands for none; the error says where it is written.
        """
        if self.kind == "switch":
            if text.strip().lower() not in _TRUTH:
                raise SettingsError(f"{where} must be true or false, not {text!r}.")
            return _TRUTH[text.strip().lower()]
        return self._number(text, where) if self.kind == "number" else text

    def _number(self, text: str, where: str) -> int:
        number = int(text) if re.fullmatch(r"\s*[+-]?\d{1,18}\s*", text) else None
        if number is None or not (self.least or 0) <= number <= (number if self.most is None else self.most):
            most = "" if self.most is None else f" to {self.most}"
            raise SettingsError(f"{where} must be a whole number from {self.least or 0}{most}, not {text!r}.")
        return number


@dataclass(frozen=True)
class Said:
    """What the operator has said.

    Attributes:
        values: Of each option that was given anywhere, by its key.
        rest: What stands after the options on the command line.
        unknown: Names in configuration files that are none of the command's.
    """

    values: Mapping[str, Any]
    rest: Sequence[str] = ()
    unknown: Sequence[str] = field(default=())


SERVING = (
    Option("client-max-size", "largest body of a request, in bytes; 0 leaves it to the settings of the server",
           "number", 0),
    Option("debug-endpoint", "show at /v2/debug/ what the server and the models print", "switch", False),
    Option("doc-endpoint", "show Swagger UI at /api", "switch", True),
    Option("model-name", "the model to use (default: DEEPAAS_V2_MODEL, else all that are installed)",
           variable="DEEPAAS_V2_MODEL"),
    Option("predict-endpoint", "let clients predict", "switch", True),
    Option("train-endpoint", "let clients train", "switch", True),
    Option("warm", "call warm() of the models before they are used", "switch", True),
    Option("workers", "processes for each model, and how many of its trainings go on at once", "number", 1, ("-p",),
           least=1),
    Option("enable-v1", "", "switch", False),
    Option("openwhisk-detect", "", "switch", False, ("-w",)),
    Option("predict-workers", "", "number", least=1),
    Option("train-workers", "", "number", least=1),
)  # fmt: skip
LISTENING = (
    Option("base-path", "path below which everything is served; begins with a slash", default=""),
    Option("listen-ip", "address to listen on", default="127.0.0.1"),
    Option("listen-port", "port to listen on", "number", 5000, most=65535),
)
LOGGING = (
    Option("debug", "log more, and tell clients the text of a model's exception", "switch", False, ("-d",)),
    Option("log-config-append", "configuration file of Python's logging; nothing else of logging counts then",
           also=("--log-config", "--log_config")),
    Option("log-date-format", "how the log writes a time, for strftime"),
    Option("log-dir", "folder of the log file", also=("--logdir",)),
    Option("log-file", "file to write the log to (default: standard error)", also=("--logfile",)),
    Option("syslog-log-facility", "facility of syslog", default="LOG_USER"),
    Option("use-journal", "log to the journal of systemd; needs systemd-python", "switch", False),
    Option("use-json", "log JSON", "switch", False),
    Option("use-syslog", "log to syslog as well", "switch", False),
    Option("watch-log-file", "begin a new log file when it is moved away; always so", "switch", False),
)  # fmt: skip


class Parser:
    """The command line of one of DEEPaaS's commands.

    Args:
        program: The command's name.
        description: What it does.
        options: What it takes.
        methods: Words of which one may follow the options; all that comes after it is the word's own.
    """

    def __init__(
        self, program: str, description: str, options: Sequence[Option], methods: Mapping[str, str] | None = None
    ):
        self._program = program
        self._options = {option.key: option for option in options}
        self._methods = methods or {}
        self._parser = _ArgumentParser(prog=program, description=description, epilog=self._epilog())
        self._older = _ArgumentParser(prog=program, add_help=False, allow_abbrev=False)
        self._parser.add_argument("--version", action="version", version=__version__)
        self._parser.add_argument(
            "--config-file", metavar="PATH", action="append", help="configuration file; repeatable"
        )
        self._parser.add_argument(
            "--config-dir", metavar="DIR", action="append", help="folder of files *.conf; repeatable"
        )
        for option in options:
            _add(self._parser if option.help else self._older, option)

    def parse(self, argv: Sequence[str], environ: Mapping[str, str]) -> Said:
        """What the operator has said, wherever that was.

        Raises:
            SettingsError: Something of it cannot be used.
            SystemExit: It cannot be understood, with the code 2; or help was asked for, with 0.
        """
        mine, rest = self._split(argv)
        older, mine = self._older.parse_known_args(mine)
        given = self._parser.parse_args(mine)
        files = _files(self._program, given.config_file, given.config_dir, environ)
        texts: dict[str, Text | bool] = {}
        unknown: list[str] = []
        for option in self._options.values():
            if option.variable in environ:
                texts[option.key] = Text(environ[option.variable], option.variable)
        for path in files:
            for name, text in _read(path):
                key = name.replace("-", "_")
                if key in self._options:
                    texts[key] = Text(text, f"{path}: {name}")
                else:
                    unknown.append(f"{name} ({path})")
        typed = set()
        for option in self._options.values():
            sent = getattr(older if not option.help else given, option.key)
            variable = PREFIX + option.key.upper()
            if variable in environ:
                texts[option.key] = Text(environ[variable], variable)
            elif sent is not None:
                texts[option.key] = sent if isinstance(sent, bool) else Text(sent, f"--{option.name}")
                typed.add(option.key)
        values = Values(self._options, texts)
        return Said({key: self._value(values, key, key in typed) for key in texts}, rest, unknown)

    def _value(self, values: Values, key: str, typed: bool) -> Any:
        try:
            return values.read(key)
        except SettingsError as error:
            if not typed:
                raise
            self.misunderstood(str(error))

    def misunderstood(self, text: str) -> NoReturn:
        """End the command, as one that was used wrongly."""
        self._parser.error(text)

    def _split(self, argv: Sequence[str]) -> tuple[list[str], list[str]]:
        """The options, and a method with what is its own; what follows one is none of the command's options."""
        takes_value = {flag for option in self._options.values() if option.kind != "switch" for flag in _flags(option)}
        takes_value |= {"--config-file", "--config-dir"}
        place = 0
        while place < len(argv) and self._methods:
            word = argv[place]
            if not word.startswith("-"):
                if word not in self._methods:
                    self.misunderstood(f"{word!r} is none of its methods: {', '.join(self._methods)}")
                return list(argv[:place]), list(argv[place:])
            whole = [flag for flag in takes_value if flag.startswith(word)] if word.startswith("--") else []
            place += 2 if word in takes_value or whole else 1
        return list(argv), []

    def _epilog(self) -> str:
        if not self._methods:
            return ""
        width = max(map(len, self._methods)) + 2
        lines = "\n".join(f"  {name:<{width}}{text}" for name, text in self._methods.items())
        return f"methods:\n{lines}\n\n{self._program} METHOD --help shows what a method takes."


class _ArgumentParser(argparse.ArgumentParser):
    def __init__(self, **options: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)


def _flags(option: Option) -> list[str]:
    short = [flag for flag in option.also if not flag.startswith("--")]
    return [f"--{option.name}", *(flag for flag in option.also if flag not in short), *short]


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    shown: dict[str, Any] = {"dest": option.key, "default": None, "help": option.help}
    if option.kind == "switch":
        parser.add_argument(*_flags(option), action="store_true", **shown)
        parser.add_argument(
            f"--no{option.name}",
            dest=option.key,
            default=None,
            action="store_false",
            help=f"the inverse of --{option.name}",
        )
    else:
        parser.add_argument(*_flags(option), metavar=option.key.rsplit("_", 1)[-1].upper(), **shown)


def _files(
    program: str, named: Sequence[str] | None, folders: Sequence[str] | None, environ: Mapping[str, str]
) -> Iterator[Path]:
    """The configuration files, in the order in which later ones win."""
    for name in named or ():
        path = Path(name).expanduser()
        if not path.is_file():
            raise SettingsError(f"There is no configuration file {name}.")
        yield path
    if named is None:
        home = Path(environ.get("HOME", "/nonexistent"))
        places = (home / ".deepaas", home, Path("/etc/deepaas"), Path("/etc"))
        for stem in ("deepaas", program):
            yield from [path for place in places if (path := place / f"{stem}.conf").is_file()][:1]
    for name in folders or ():
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise SettingsError(f"There is no configuration folder {name}.")
        yield from sorted(folder.glob("*.conf"))


def _read(path: Path) -> Iterator[tuple[str, str]]:
    """The names and texts of the section ``[DEFAULT]``."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The configuration file {path} cannot be read: {error}.") from error
    section: str | None = None
    found: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip()[0] in "#;":
            continue
        if line[0].isspace() and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        elif line.startswith("["):
            section = line.strip().strip("[]")
        elif section is None or not re.search("[=:]", line):
            raise SettingsError(
                f"{path}, line {number}: expected [DEFAULT], and below it lines such as listen_port = 5000."
            )
        else:
            name, _, text = re.split("([=:])", line, maxsplit=1)
            if section == "DEFAULT":
                found.append((name.strip(), _unquoted(text.strip())))
            else:
                found.append(("", ""))
    yield from ((name, text) for name, text in found if name)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
