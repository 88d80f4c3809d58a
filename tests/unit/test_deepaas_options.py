"""The options of DEEPaaS's commands: where they are looked for, and which settings of ours they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepaas_core.cli.deepaas.methods import METHODS, OPTIONS
from deepaas_core.cli.deepaas.options import LISTENING, LOGGING, SERVING, Parser, Said
from deepaas_core.cli.deepaas.translating import settings_of
from deepaas_core.errors import SettingsError
from deepaas_core.settings import Settings


def said(*argv: str, **environ: str) -> Said:
    return Parser("deepaas-run", "", (*SERVING, *LISTENING, *LOGGING)).parse(argv, environ)


def settings(*argv: str, **environ: str) -> Settings:
    return settings_of(said(*argv, **environ), environ)


@pytest.fixture
def config(tmp_path: Path) -> Any:
    def write(text: str, name: str = "deepaas.conf") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize(
    ("argv", "group", "name", "value"),
    [
        ("--listen-ip 0.0.0.0", "web", "host", "0.0.0.0"),
        ("--listen-port 5001", "web", "port", 5001),
        ("--listen-p=5001", "web", "port", 5001),
        ("--base-path /a/b", "web", "base_path", "/a/b"),
        ("--client-max-size 1000", "web", "max_body_bytes", 1000),
        ("--client-max-size 1000", "web", "max_upload_bytes", 1000),
        ("--client-max-size 0", "web", "max_body_mb", 64),
        ("--model-name m", "models", "only", ("m",)),
        ("--workers 3", "workers", "count", 3),
        ("-p 3", "workers", "count", 3),
        ("-p 3", "training", "max_concurrent_runs", 3),
        ("-p 3", "training", "max_concurrent_runs_per_model", 3),
        ("", "training", "max_concurrent_runs_per_model", 1),
        ("--predict-workers 2 --train-workers 4", "workers", "count", 2),
        ("--predict-workers 2 --train-workers 4", "training", "max_concurrent_runs_per_model", 4),
        ("", "workers", "warm", True),
        ("--nowarm", "workers", "warm", False),
        ("--nowarm --warm", "workers", "warm", True),
        ("--debug", "log", "level", "debug"),
        ("-d", "web", "show_model_errors", True),
        ("--use-json", "log", "format", "json"),
        ("--log-dir /var/log --log-file d.log", "log", "file", "/var/log/d.log"),
        ("--enable-v1", "deepaas", "v1", "1.x"),
        ("--nodoc-endpoint", "deepaas", "doc_endpoint", False),
        ("--nopredict-endpoint", "deepaas", "predict_endpoint", False),
        ("--notrain-endpoint", "deepaas", "train_endpoint", False),
        ("--debug-endpoint", "deepaas", "debug_endpoint", True),
        ("--train", "deepaas", "train_endpoint", True),
    ],
)
def test_an_option_becomes_a_setting(argv: str, group: str, name: str, value: object) -> None:
    assert getattr(getattr(settings(*argv.split()), group), name) == value


def test_the_environment_beats_the_command_line_and_that_a_file(config: Any) -> None:
    file = ("--config-file", config("[DEFAULT]\nlisten_port = 1\nlisten-ip = 0.0.0.0\nworkers = 2\n"))
    assert settings(*file).web.port == 1
    assert settings(*file, "--listen-port", "2").web.port == 2
    assert settings(*file, "--listen-port", "2", OS_DEFAULT__LISTEN_PORT="3").web.port == 3
    assert settings(*file).web.host == "0.0.0.0"


def test_the_variable_for_a_model_is_a_default_only(config: Any) -> None:
    file = ("--config-file", config("[DEFAULT]\nmodel_name = b\n"))
    assert settings(DEEPAAS_V2_MODEL="a").models.only == ("a",)
    assert settings(*file, DEEPAAS_V2_MODEL="a").models.only == ("b",)
    assert settings(*file, "--model-name", "c", DEEPAAS_V2_MODEL="a").models.only == ("c",)


def test_files_at_the_usual_places_are_read_unless_one_is_named(config: Any, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    config("[DEFAULT]\nlisten_port = 1\nworkers = 7\n", ".deepaas/deepaas.conf")
    config("[DEFAULT]\nworkers = 8\n", "deepaas.conf")
    config("[DEFAULT]\nlisten_port = 2\n", ".deepaas/deepaas-run.conf")
    assert (settings(**home).web.port, settings(**home).workers.count) == (2, 7)
    other = config("[DEFAULT]\nlisten_port = 3\n", "other.conf")
    assert (settings("--config-file", other, **home).web.port, settings("--config-file", other).workers.count) == (3, 1)


def test_of_several_files_the_last_wins(config: Any, tmp_path: Path) -> None:
    first = config("[DEFAULT]\nworkers = 1\nlisten_port = 1\n", "first.conf")
    config("[DEFAULT]\nworkers = 2\n", "more/1.conf")
    config("[DEFAULT]\nworkers = 3\n", "more/2.conf")
    found = settings("--config-file", first, "--config-dir", str(tmp_path / "more"))
    assert (found.workers.count, found.web.port) == (3, 1)


def test_a_file_may_have_comments_other_sections_and_long_values(config: Any) -> None:
    text = "# a\n[other]\nworkers = x\n[DEFAULT]\n; b\n"
    text += "warm = Off\nlog_date_format = %H\n   %M\nnobodys = 1\nbase_path = '/x'\n"
    found = said("--config-file", config(text))
    assert found.values == {"warm": False, "log_date_format": "%H %M", "base_path": "/x"}
    assert [name.partition(" ")[0] for name in found.unknown] == ["nobodys"]


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("a${workers}.log", "a3.log"),
        ("$workers-$$x-\\$y-$1-${a", "3-$x-$y-$1-${a"),
        ("'$workers'", "3"),
        ("$base_path/${warm}.", "/p3x/True."),
        ("${listen_port}$log_dir", "5000"),
        ("$model_name", "photos"),
    ],
)
def test_a_value_may_hold_the_values_of_other_options(config: Any, text: str, file: str) -> None:
    lines = f"[DEFAULT]\nlog_file = {text}\nbase_path = /p${{workers}}x\nworkers = 3\n"
    found = said("--config-file", config(lines), DEEPAAS_V2_MODEL="photos")
    assert found.values["log_file"] == file


def test_it_is_the_value_that_counts_in_the_end_which_is_put_in(config: Any) -> None:
    file = ("--config-file", config("[DEFAULT]\nlisten_port = ${workers}0\nworkers = 1\nlog_file = a\n"))
    assert settings(*file, "--workers", "2").web.port == 20
    assert settings(*file, OS_DEFAULT__WORKERS="3").web.port == 30
    assert settings(*file, "--base-path", "/$workers", OS_DEFAULT__LOG_FILE="b$workers").web.base_path == "/1"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("log_file = $nope\nnope = 1\n", r"deepaas\.conf: log_file refers to \$nope, which is no option"),
        ("log_file = $other.name\n[other]\nname = n\n", r"refers to \$other\.name"),
        ("log_file = $log_dir\nlog_dir = $log_file\n", "refers to itself: log_file -> log_dir -> log_file"),
        ("listen_port = $listen_ip\n", "listen_port must be a whole number from 0 to 65535, not '127.0.0.1'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(config: Any, text: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        said("--config-file", config(f"[DEFAULT]\n{text}"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("listen_port = 1\n", "expected .DEFAULT."),
        ("[DEFAULT]\nlisten_port\n", "line 2"),
        ("[DEFAULT]\nlisten_port = x\n", "listen_port must be a whole number from 0 to 65535, not 'x'"),
        ("[DEFAULT]\nwarm = maybe\n", "warm must be true or false"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(config: Any, text: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        said("--config-file", config(text))
    assert "deepaas.conf" in str(caught.value)


@pytest.mark.parametrize("argv", ["--config-file no.conf", "--config-dir no.d"])
def test_a_file_that_is_named_must_be_there(argv: str) -> None:
    with pytest.raises(SettingsError, match=r"no\."):
        said(*argv.split())


@pytest.mark.parametrize("argv", ["--nope", "--workers 0", "--workers x", "--listen-port 65536", "--no"])
def test_a_command_line_that_cannot_be_understood_ends_with_2(argv: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        said(*argv.split())
    assert caught.value.code == 2
    assert argv.split()[0] in capsys.readouterr().err


def test_base_paths_begin_with_a_slash() -> None:
    with pytest.raises(SettingsError, match="should start with a '/'"):
        settings("--base-path", "x")


def test_our_own_settings_hold_where_deepaas_has_no_word(tmp_path: Path) -> None:
    assert settings().workers.timeout_s > 3600
    assert settings(DEEPAAS_CORE_WORKERS_TIMEOUT_S="5").workers.timeout_s == 5
    assert settings(DEEPAAS_CORE_STORE_DATA_DIR=str(tmp_path)).store.data_dir == tmp_path
    assert settings("--listen-port", "1").store.data_dir != settings("--listen-port", "2").store.data_dir


def test_what_follows_a_method_is_the_methods_own() -> None:
    parser = Parser("deepaas-cli", "", (*SERVING, *LOGGING, *OPTIONS), METHODS)
    found = parser.parse(
        ["--model-n", "predict", "--deepaas_method_output=f", "-d", "train", "--n", "1", "--nowarm"], {}
    )
    assert found.rest == ["train", "--n", "1", "--nowarm"]
    assert found.values == {"model_name": "predict", "deepaas_method_output": "f", "debug": True}


def test_clients_which_have_no_token_may_train_unless_the_operator_says_otherwise() -> None:
    assert settings().access.beyond_loopback == "train"
    assert settings(DEEPAAS_CORE_ACCESS_BEYOND_LOOPBACK="predict").access.beyond_loopback == "predict"
