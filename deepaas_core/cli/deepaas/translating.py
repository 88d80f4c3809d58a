"""From what was said to one of DEEPaaS's commands to our own settings.

What DEEPaaS has no word for is read as always: from ``DEEPAAS_CORE_…`` and from the file that ``DEEPAAS_CORE_CONFIG``
names. Where our own defaults would refuse what DEEPaaS let pass, other defaults hold.
"""

from __future__ import annotations

import argparse
import logging
import logging.config
from collections.abc import Mapping
from importlib.util import find_spec
from logging.handlers import SysLogHandler
from pathlib import Path
from typing import Any

from deepaas_core.cli.deepaas.options import Said
from deepaas_core.cli.serve import open_log
from deepaas_core.errors import SettingsError
from deepaas_core.settings import Settings

log = logging.getLogger(__name__)

#: DEEPaaS had no limits of time; a day is one that no prediction of anybody's needs.
PATIENCE_S = 24 * 3600.0
MIB = 2**20


def settings_of(said: Said, environ: Mapping[str, str]) -> Settings:
    """The settings of the server.

    Raises:
        SettingsError: What was said does not fit together.
    """
    values = said.values
    base_path = values.get("base_path", "")
    if base_path and not base_path.startswith("/"):
        raise SettingsError("Base path should start with a '/'.")
    if values.get("openwhisk_detect") and "__OW_ACTION_NAME" in environ:
        raise SettingsError("OpenWhisk actions cannot be served; leave out --openwhisk-detect.")
    workers = values.get("predict_workers", values.get("workers"))
    trainings = values.get("train_workers", values.get("workers"))
    size = values.get("client_max_size") or None
    given: dict[str, Any] = {
        "web.host": values.get("listen_ip"),
        "web.port": values.get("listen_port"),
        "web.base_path": values.get("base_path"),
        "web.max_body_mb": size and size / MIB,
        "web.max_upload_mb": size and size / MIB,
        "web.show_model_errors": values.get("debug"),
        "models.only": (values["model_name"],) if values.get("model_name") else None,
        "workers.count": workers,
        "workers.warm": values.get("warm"),
        "training.max_concurrent_runs_per_model": trainings,
        "log.level": "debug" if values.get("debug") else None,
        "log.format": "json" if values.get("use_json") else None,
        "log.file": _log_file(values),
        "deepaas.v1": "1.x" if values.get("enable_v1") else None,
        "deepaas.doc_endpoint": values.get("doc_endpoint"),
        "deepaas.predict_endpoint": values.get("predict_endpoint"),
        "deepaas.train_endpoint": values.get("train_endpoint"),
        "deepaas.debug_endpoint": values.get("debug_endpoint"),
    }
    return Settings.from_arguments(argparse.Namespace(**given), environ, defaults=_defaults(values, trainings, environ))


def _defaults(values: Mapping[str, Any], trainings: int | None, environ: Mapping[str, str]) -> Mapping[str, Any]:
    port = values.get("listen_port", 5000)
    return {
        "workers.timeout_s": PATIENCE_S,
        "workers.startup_timeout_s": PATIENCE_S,
        "training.max_concurrent_runs": max(trainings or 1, 2),
        "training.max_concurrent_runs_per_model": 1,
        "access.beyond_loopback": "train",  # nobody of DEEPaaS's clients has a token
        # Several of them run on one machine, told apart by their ports.
        "store.data_dir": Settings.load((), environ).store.data_dir / "deepaas-run" / str(port),
    }


def _log_file(values: Mapping[str, Any]) -> str | None:
    name = values.get("log_file")
    return str(Path(values.get("log_dir") or "") / name) if name else None


def begin_log(said: Said, settings: Settings) -> None:
    """Write the log as it was asked for.

    Raises:
        SettingsError: That cannot be done.
    """
    values = said.values
    open_log(settings.log)
    if values.get("log_config_append"):
        _configure(values["log_config_append"])
    else:
        root = logging.getLogger()
        shape = root.handlers[0].formatter or logging.Formatter()
        shape.datefmt = values.get("log_date_format")
        root.handlers += _others(values)
        for handler in root.handlers:
            handler.setFormatter(shape)
    for name in said.unknown:
        log.warning("not an option of this command", extra={"option": name})


def _configure(path: str) -> None:
    try:
        logging.config.fileConfig(path, disable_existing_loggers=False)
    except Exception as error:  # a configuration may name anything, which fails in its own way
        raise SettingsError(f"log-config-append: {path} cannot be used: {error}") from error


def _others(values: Mapping[str, Any]) -> list[logging.Handler]:
    """Where the log goes besides."""
    found: list[logging.Handler] = []
    if values.get("use_syslog"):
        facility = values.get("syslog_log_facility", "LOG_USER").lower().removeprefix("log_")
        if facility not in SysLogHandler.facility_names:
            raise SettingsError(f"syslog-log-facility must be one that syslog knows, e.g. LOG_USER, not {facility!r}.")
        try:
            found.append(SysLogHandler("/dev/log", SysLogHandler.facility_names[facility]))
        except OSError as error:
            raise SettingsError(f"use-syslog: there is no syslog at /dev/log: {error.strerror}.") from error
    if values.get("use_journal"):
        if find_spec("systemd") is None:
            raise SettingsError("use-journal needs systemd-python. Under systemd the log is in the journal anyway.")
        from systemd.journal import JournalHandler  # type: ignore[import-not-found]  # only where it is asked for

        found.append(JournalHandler(SYSLOG_IDENTIFIER="deepaas"))
    return found
