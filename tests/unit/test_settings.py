"""Settings come from four places by one rule, and what cannot be used is said so that one can find it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deepaas_core.errors import SettingsError
from deepaas_core.settings import Settings, describe


@pytest.fixture
def toml(tmp_path: Path):
    """``toml("text")`` writes a settings file."""

    def write(text: str | bytes) -> Path:
        path = tmp_path / "server.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refused(argv=(), environ=None, file=None) -> str:
    """What is said of settings that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        Settings.load(argv, environ, file)
    return str(caught.value)


def test_nothing_has_to_be_set():
    settings = Settings.load()
    assert (settings.web.host, settings.web.port) == ("127.0.0.1", 5000)
    assert settings.models.only == ()
    assert settings.workers_for("digits") == settings.workers


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_default(toml):
    file = toml("[web]\nport = 1\nhost = 'from-file'\nmax_body_mb = 7\n")
    environ = {"DEEPAAS_CORE_WEB_PORT": "2", "DEEPAAS_CORE_WEB_HOST": "from-environment"}
    web = Settings.load(["--web-port", "3"], environ, file).web
    assert (web.port, web.host, web.max_body_mb, web.max_upload_mb) == (3, "from-environment", 7, 4096)


def test_the_command_line_may_set_back_to_the_default(toml):
    assert Settings.load(
        ["--web-port", "5000", "--web-access-log"], {}, toml("[web]\nport = 1\naccess_log = false")
    ).web == (Settings().web)


@pytest.mark.parametrize("described", list(describe()), ids=lambda described: described.name)
def test_every_setting_has_three_spellings_and_a_meaning(described, toml):
    group, name = described.name.split(".")
    shown = "1" if described.type.startswith(("whole number", "number", "true")) else "/one"
    if described.name == "training.lease_s":  # one second would be no lease
        shown = "5"
    if described.type.startswith("one of "):
        shown = described.type.removeprefix("one of ").split(", ")[-1]
    loaded = [
        Settings.load([], {}, toml(f"[{group}]\n{name} = '{shown}'\n")),
        Settings.load([], {described.variable: shown}),
        Settings.load([described.flag] if described.type == "true or false" else [described.flag, shown]),
    ]
    values = [getattr(getattr(settings, group), name) for settings in loaded]
    assert values[0] == values[1] == values[2]
    assert described.doc.endswith(".")


@pytest.mark.parametrize(
    "argv, environ, text",
    [
        (["--model", "cat", "--model", "dog"], {}, ""),
        ([], {"DEEPAAS_CORE_MODELS_ONLY": "cat, dog"}, ""),
        ([], {}, "models.only = ['cat', 'dog']"),
    ],
    ids=["repeated", "commas", "array"],
)
def test_a_list_is_repeated_or_separated_by_commas_or_an_array(argv, environ, text, toml):
    assert Settings.load(argv, environ, toml(text)).models.only == ("cat", "dog")


def test_short_names_are_the_same_settings():
    argv = ["--host", "::1", "--port", "0", "--workers", "3", "--data-dir", "/data", "--log-level", "debug"]
    settings = Settings.load(argv)
    assert (settings.web.host, settings.web.port, settings.workers.count) == ("::1", 0, 3)
    assert (settings.store.data_dir, settings.log.level) == (Path("/data"), "debug")


@pytest.mark.parametrize("argv", [["--no-fetch-guard"], ["--web-access-log", "--no-fetch-guard"]])
def test_a_switch_is_turned_off_by_no(argv):
    assert not Settings.load(argv).fetch.guard
    assert Settings.load(argv).web.access_log


@pytest.mark.parametrize("word, truth", [("1", True), ("TRUE", True), ("on", True), ("no", False), ("0", False)])
def test_a_switch_is_a_word_in_the_environment(word, truth):
    assert Settings.load([], {"DEEPAAS_CORE_FETCH_GUARD": word}).fetch.guard is truth


def test_a_model_may_have_workers_of_its_own_on_top_of_everybodys(toml):
    file = toml("[workers]\ntimeout_s = 5\n[model.digits.workers]\ncount = 2\n[model.'x.y'.workers]\ntimeout_s = 60\n")
    settings = Settings.load(["--workers", "4"], {}, file)
    assert (settings.workers_for("digits").count, settings.workers_for("digits").timeout_s) == (2, 5)
    assert (settings.workers_for("x.y").count, settings.workers_for("x.y").timeout_s) == (4, 60)
    assert (settings.workers_for("other").count, settings.workers_for("other").timeout_s) == (4, 5)


def test_the_file_is_named_by_the_command_line_or_the_environment(toml, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("web.port = 2")
    file = toml("web.port = 1")
    environ = {"DEEPAAS_CORE_CONFIG": str(file)}
    assert Settings.load([], environ).web.port == 1
    assert Settings.load(["--config", str(other)], environ).web.port == 2


def test_the_data_folder_follows_the_home_and_the_environment_that_is_given(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.load().store.data_dir == tmp_path / ".local/share/deepaas_core"
    assert Settings.load([], {"XDG_DATA_HOME": "/xdg"}).store.data_dir == Path("/xdg/deepaas_core")
    assert Settings.load([], {"XDG_DATA_HOME": "relative"}).store.data_dir == tmp_path / ".local/share/deepaas_core"
    assert Settings.load(["--data-dir", "~/mine"], {"XDG_DATA_HOME": "/xdg"}).store.data_dir == tmp_path / "mine"


@pytest.mark.parametrize(
    "argv, environ, text, told",
    [
        (["--port", "many"], {}, "", "--port must be a whole number from 0 to 65535, not 'many'."),
        ([], {"DEEPAAS_CORE_WEB_PORT": "70000"}, "", "DEEPAAS_CORE_WEB_PORT must be a whole number from 0 to 65535"),
        ([], {}, "[web]\nport = 1.5", "server.toml: web.port must be a whole number from 0 to 65535, not 1.5."),
        ([], {}, "[web]\nport = true", "web.port must be a whole number"),
        ([], {}, "[web]\nhost = 1", "web.host must be text, not 1."),
        ([], {}, "[web]\naccess_log = 'maybe'", "web.access_log must be true or false, not 'maybe'."),
        ([], {}, "[models]\nonly = 1", "models.only must be a list of texts, not 1."),
        ([], {}, "[models]\nonly = {cat = 1}", "models.only must be a list of texts"),
        ([], {}, "[models]\nonly = [1]", "models.only must be a list of texts"),
        (["--workers-timeout-s", "nan"], {}, "", "--workers-timeout-s must be a number of at least 0.01, not 'nan'."),
        (["--workers-timeout-s", "inf"], {}, "", "--workers-timeout-s must be a number"),
        (["--workers-timeout-s", "0"], {}, "", "--workers-timeout-s must be a number of at least 0.01, not '0'."),
        (["--workers", "9" * 400], {}, "", "--workers must be a whole number from 1 to 1024"),
        (["--data-dir", ""], {}, "", "--data-dir must be a folder, not ''."),
        (["--log-format", "xml"], {}, "", "--log-format must be one of auto, text, json, not 'xml'."),
        (["--port"], {}, "", "--port"),
        (["--workers-max-calls", "0"], {}, "", "must be a whole number of at least 1, or nothing, not '0'."),
        (["--prot", "1"], {}, "", "Unknown argument '--prot'. Did you mean '--port'?"),
        ([], {}, "[web]\nprot = 1", "server.toml: web has no setting 'prot'. Did you mean 'port'?"),
        ([], {}, "[wbe]\nport = 1", "server.toml: unknown table [wbe]. Did you mean 'web'?"),
        ([], {}, "web = 1", "server.toml: [web] must be a table."),
        ([], {}, "model = 1", "server.toml: [model] must be a table."),
        ([], {}, "[model.cat]\ncount = 2", "[model.cat] may only have a table [model.cat.workers]."),
        ([], {}, "[model.cat.workers]\ncuont = 2", "model.cat.workers has no setting 'cuont'. Did you mean 'count'?"),
        (
            [],
            {},
            "[model.cat.workers]\ncount = 0",
            "model.cat.workers.count must be a whole number from 1 to 1024, not 0.",
        ),
        ([], {}, "port 5000", "server.toml is not valid TOML"),
        ([], {}, b"host = '\xff'", "server.toml is not valid TOML"),
    ],
)
def test_what_cannot_be_used_is_named_with_where_it_stands_and_what_was_expected(argv, environ, text, told, toml):
    assert told in refused(argv, environ, toml(text))


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_named(name, tmp_path):
    assert f"{tmp_path / name} cannot be read" in refused(["--config", str(tmp_path / name)])


@pytest.mark.parametrize(
    "argv, environ, text",
    [
        (["--workers-memory-limit-mb", ""], {}, ""),
        ([], {"DEEPAAS_CORE_WORKERS_MEMORY_LIMIT_MB": ""}, "workers.memory_limit_mb = 100"),
        ([], {}, "workers.memory_limit_mb = ''"),
    ],
    ids=["command line", "environment", "file"],
)
def test_a_setting_that_may_be_left_out_is_left_out_by_empty_text(argv, environ, text, toml):
    assert Settings.load(argv, environ, toml(text)).workers.memory_limit_mb is None


def test_settings_do_not_change():
    settings = Settings.load()
    with pytest.raises(AttributeError):
        settings.web.port = 1


def test_names_carry_the_unit_of_a_number():
    without_unit = {
        "web.port",
        "workers.count",
        "workers.max_queue",
        "workers.max_calls",
        "workers.max_batch_size",
        "training.max_concurrent_runs",
        "training.max_concurrent_runs_per_model",
        "web.http_workers",
        "retention.runs_count",
        "retention.logs_count",
        "retention.artifacts_count",
        "access.token_burst",
        "access.model_burst",
        "access.wrong_tokens_per_minute",
        "prediction_log.sample",
        "prediction_log.max_waiting",
        "prediction_log.count",
    }
    numbers = {described.name for described in describe() if "number" in described.type}
    assert {name for name in numbers if not re.search(r"[_.](mb|kb|s|ms|days)$", name)} == without_unit


def test_settings_cross_to_another_process_as_they_are(toml):
    file = toml("[model.digits.workers]\ntimeout_s = 3\nmax_batch_delay_ms = 2.5\n[models]\nonly = ['a', 'b']\n")
    settings = Settings.load(["--data-dir", "/data", "--http-workers", "4"], {}, file)
    assert Settings.from_plain(settings.to_plain()) == settings
