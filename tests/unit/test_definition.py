"""Reading a folder's ``service.toml``."""

from pathlib import Path

import pytest

from deepaas_core.domain.service import EndpointKind, FeatureType, Service, Target
from deepaas_core.errors import DefinitionRefused
from deepaas_core.publishing.definition import read

MINIMAL = """
name = "churn"

[endpoints.score]
kind = "function"
script = "score.py:predict"
"""

CREDIT = """
name = "credit"
title = "Credit risk"

[endpoints.risk]
kind = "prediction"
help = "How likely is it that a credit is paid back?"
variants.logistic = "models/score.py:logistic"
variants.forest = "./models/score.py:forest"
variants.installed = { model = "demo_model" }
default = "forest"
workers = { count = 2, timeout_s = 5 }

[endpoints.risk.inputs]
duration = "integer"
amount = { type = "number", minimum = 0, help = "In Deutsche Mark." }
age = { type = "integer", default = 35 }
"purpose.of.credit" = { type = "categorical", classes = ["car", "other"], required = false }
photo = { type = "image", shape = [-1, 224, 3] }

[endpoints.risk.outputs]
risk = { type = "categorical", classes = ["bad", "good"] }

[[tests]]
endpoint = "risk"
name = "one of each"
rows = [{ duration = 6, amount = 1169, since = 2020-01-02 }]
arguments = { model = "logistic" }
expected = [{ risk = "good" }]
tolerance = 0.1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "score.py").write_text("def predict(age: int): ...\nwith open('x') as loaded: pass\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "score.py").write_text(
        "def logistic(row): ...\ntry:\n    import forest\nexcept Exception:\n    forest = None\n"
    )
    return tmp_path


def read_text(folder: Path, text: str) -> Service:
    (folder / "service.toml").write_text(text)
    return read(folder)


def refused(folder: Path, text: str) -> list[tuple[int, str, str]]:
    """Line, member and sentence of everything that is wrong."""
    with pytest.raises(DefinitionRefused) as refusal:
        read_text(folder, text)
    return [(fault.line, fault.member, fault.detail) for fault in refusal.value.faults]


def test_a_script_and_a_name_are_enough(folder: Path):
    service = read_text(folder, MINIMAL)

    assert service.name == "churn"
    assert service.endpoints["score"].kind is EndpointKind.FUNCTION
    assert service.endpoints["score"].targets == {"": Target("score.py", "predict")}


def test_everything_that_can_be_said_is_read(folder: Path):
    service = read_text(folder, CREDIT)

    risk = service.endpoints["risk"]
    assert risk.targets == {
        "logistic": Target("models/score.py", "logistic"),
        "forest": Target("models/score.py", "forest"),
        "installed": Target(model="demo_model"),
    }
    assert risk.default_variant == "forest"
    assert risk.workers == {"count": 2, "timeout_s": 5}
    by_name = {feature.name: feature for feature in risk.inputs}
    assert by_name["duration"].type is FeatureType.INTEGER
    assert by_name["duration"].required
    assert by_name["age"].default == 35
    assert not by_name["age"].required
    assert by_name["purpose.of.credit"].classes == ("car", "other")
    assert by_name["photo"].shape == (None, 224, 3)
    assert risk.outputs[0].classes == ("bad", "good")
    [query] = service.queries
    assert query.rows == [{"duration": 6, "amount": 1169, "since": "2020-01-02"}]
    assert query.tolerance == 0.1


def test_what_was_read_survives_being_kept(folder: Path):
    service = read_text(folder, CREDIT)

    assert Service.from_plain(service.to_plain()) == service


@pytest.mark.parametrize(
    "content, text",
    [(b"# Risk\r\n", "# Risk\n"), (b"\xef\xbb\xbfa\0b\xff", "a\ufffdb\ufffd"), (b"x" * 100_000, "x" * 65_536)],
)
def test_its_readme_is_read(folder: Path, content: bytes, text: str):
    (folder / "service.toml").write_text(MINIMAL)
    (folder / "README.md").write_bytes(content)
    assert read(folder).readme == text


def test_the_first_variant_is_the_default_one(folder: Path):
    service = read_text(folder, CREDIT.replace('default = "forest"', ""))

    assert service.endpoints["risk"].default_variant == "logistic"


def test_a_folder_without_the_file_says_so(tmp_path: Path):
    with pytest.raises(DefinitionRefused, match=r"service.toml: There is no such file"):
        read(tmp_path)


def test_broken_toml_is_told_with_its_line(folder: Path):
    [(line, _, detail)] = refused(folder, 'name = "x"\nendpoints = {\n')

    assert line == 2
    assert detail.startswith("This is not valid TOML: ")


def test_all_that_is_wrong_is_told_at_once_with_its_lines(folder: Path):
    text = """name = "cre dit"
titel = "x"

[endpoints.risk]
kind = "prediction"
script = "score.py:predct"
wrokers = { count = 2 }

[endpoints.risk.inputs]
age = "nummer"
amount = { type = "integer", minimum = 5, maximum = 3 }

[endpoints.risk.workers]
count = 0

[[tests]]
endpoint = "risk"
rows = [{ age = 3 }]
[[tests]]
endpoint = "riks"
rows = [{ age = 3 }]
"""
    assert [(line, member) for line, member, _ in refused(folder, text)] == [
        (1, "name"),
        (2, "titel"),
        (6, "endpoints.risk.script"),
        (7, "endpoints.risk.wrokers"),
        (10, "endpoints.risk.inputs.age"),
        (11, "endpoints.risk.inputs.amount.minimum"),
        (14, "endpoints.risk.workers.count"),
        (20, "tests[1].endpoint"),
    ]


@pytest.mark.parametrize(
    "line, expected",
    [
        ('scrip = "score.py:predict"', "There is no such member. Did you mean 'script'?"),
        ('script = "scor.py:predict"', "There is no file scor.py. Did you mean 'score.py'?"),
        (
            'script = "score.py:predct"',
            "score.py has no function 'predct'; its functions: predict. Did you mean 'predict'?",
        ),
        ('script = "../score.py:predict"', "Must be a script in this folder, or in one below it."),
        ('script = "score.py"', "Must be a script and its function, e.g. `score.py:predict`."),
        ("script = 3", "Must be a script and its function, e.g. `score.py:predict`."),
        ('script = "score.py:predict"\nworkers.count = 0', "Must be a whole number from 1 to 1024."),
        ('script = "score.py:predict"\nworkers.timeout_s = "5"', "Must be a number of at least 0.01."),
        ('script = "score.py:predict"\nbare = "yes"', "Must be true or false."),
        ('variants.a = { model = "x", script = "score.py:predict" }', "Must be only one of script and model."),
        ('variants.a = "score.py:predict"\ndefault = "b"', "Must be one of the variants: a."),
        ('script = "score.py:predict"\ndefault = "b"', "Only an endpoint with `variants` has this."),
        ('script = "score.py:predict"\nmodel = "b"', "Must have exactly one of `script`, `model` and `variants`."),
        (
            'script = "score.py:predict"\ninputs.model = "number"\nvariants.a = "score.py:predict"',
            "Must have exactly one of `script`, `model` and `variants`.",
        ),
        (
            'inputs.model = "number"\nvariants.a = "score.py:predict"',
            "An input is called 'model', as is the parameter that chooses a variant.",
        ),
        ('script = "score.py:predict"\ninputs.a = "categorical"', "A categorical input needs its `classes`."),
        (
            'script = "score.py:predict"\ninputs.a = "image"',
            "An image needs a `shape` of height, width and channels (1, 3 or 4), e.g. [224, 224, 3].",
        ),
        (
            'script = "score.py:predict"\ninputs.features.npy_0 = "number"',
            'There is no such member. A name with a dot is put into quotes: "features.npy_0".',
        ),
        (
            'script = "score.py:predict"\ninputs.a = { type = "text", minimum = 3 }',
            "Only a feature of the type number or integer has this.",
        ),
        (
            'script = "score.py:predict"\ninputs.a = { required = true, default = 3 }',
            "A required input takes no default.",
        ),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_told(folder: Path, line: str, expected: str):
    text = f'name = "credit"\n[endpoints.risk]\nkind = "prediction"\n{line}\n'

    assert expected in [detail for _, _, detail in refused(folder, text)]


def test_a_kind_that_nothing_runs_is_refused(folder: Path):
    text = 'name = "credit"\n[endpoints.customer]\nkind = "stream"\n'

    assert refused(folder, text) == [
        (3, "endpoints.customer.kind", "Must be one of prediction, function, lookup, sql.")
    ]


def test_a_script_that_is_no_python_is_told_with_its_line(folder: Path):
    (folder / "score.py").write_text("x = 1\ndef predict(:\n")

    with pytest.raises(DefinitionRefused, match=r"score.py, line 2: This is not valid Python"):
        read_text(folder, MINIMAL)


@pytest.mark.parametrize(
    "script",
    [
        "from model import predict",
        "from model import *",
        "import model\npredict = model.predict",
        "if True:\n    def predict(): ...",
        "try:\n    import x\nexcept ImportError:\n    def predict(): ...",
        "class predict: ...",
        "async def predict(): ...",
        "a, predict = 1, print",
    ],
)
def test_a_function_may_come_about_in_any_way(folder: Path, script: str):
    (folder / "score.py").write_text(script)

    assert read_text(folder, MINIMAL).endpoints


@pytest.mark.parametrize(
    "script", ["predict <- function(x) x", "predict = \\(x) x", "predict<-memoise(f)", 'source("f.R")']
)
def test_a_function_in_r_is_found(folder: Path, script: str):
    (folder / "score.R").write_text(script)

    assert read_text(folder, MINIMAL.replace("score.py", "score.R")).endpoints


def test_a_function_that_r_does_not_define_is_missed(folder: Path):
    (folder / "score.R").write_text("predictor <- function(x) x")

    [(_, _, detail)] = refused(folder, MINIMAL.replace("score.py", "score.R"))

    assert detail == "score.R has no function 'predict'; its functions: predictor. Did you mean 'predictor'?"


def test_test_rows_and_defaults_must_be_what_the_inputs_say(folder: Path):
    text = """name = "credit"
[endpoints.risk]
kind = "prediction"
script = "score.py:predict"
inputs.age = { type = "integer", minimum = 18 }
inputs.rooms = { type = "integer", default = "three" }

[[tests]]
endpoint = "risk"
rows = [
  { age = 20 },
]
"""
    assert refused(folder, text) == [(6, "endpoints.risk.inputs.rooms.default", "Must be a whole number.")]
    sound = text.replace('"three"', "3").replace("  { age = 20 },", "  { age = 20 },\n  { age = 3 },\n  { ag = 20 },")
    assert refused(folder, sound) == [
        (12, "tests[0].rows[1].age", "age: Must be a whole number of at least 18."),
        (13, "tests[0].rows[2].ag", "ag: Unknown input. Did you mean 'age'?"),
        (13, "tests[0].rows[2]", "age: This input is required."),
    ]


def test_a_number_that_json_cannot_carry_is_refused_where_it_stands(folder: Path):
    text = (
        MINIMAL
        + '\n[[tests]]\nendpoint = "score"\narguments.age = [\n  1,\n  inf,\n  123456789012345678901234567890,\n]\n'
    )

    assert refused(folder, text) == [
        (12, "tests[0].arguments.age[1]", "Must be a finite number."),
        (13, "tests[0].arguments.age[2]", "Must be a number of at most 64 bits."),
    ]


def test_a_line_is_the_one_in_which_a_member_begins(folder: Path):
    text = MINIMAL.replace("\n", "\r\n") + 'help = """\none\ntwo\n"""\n\n# what follows\nbare = [\n 1,\n\n 2]\n'

    assert refused(folder, text) == [(13, "endpoints.score.bare", "Must be true or false.")]
