"""Functions of scripts that nobody prepared, in Python: loaded by path, called by name, one by one or all at once."""

import asyncio
import json
import textwrap

import pytest

from deepaas_core import errors
from deepaas_core.domain.model import Capability, Source
from deepaas_core.executors.base import Call, ExecutorState
from deepaas_core.executors.inline import Inline
from deepaas_core.executors.pool import Limits, Pool
from deepaas_core.executors.process import Launch
from deepaas_core.plugins.inspection import inspect
from deepaas_core.testing.executors import answer, records, up


@pytest.fixture
async def served(tmp_path):
    """Writes a script down and serves a function of it."""
    pools = []

    async def serve(script, function="predict", endpoint=None, file="score.py", **files):
        folder = tmp_path / f"folder {len(pools)}"
        folder.mkdir()
        for name, text in {file: script, **{f"{name}.py": text for name, text in files.items()}}.items():
            (folder / name).write_text(textwrap.dedent(text))
        launch = Launch("score", f"{folder / file}:{function}", endpoint=endpoint or {}, max_result_bytes=100_000)
        pools.append(Pool(launch, Limits()))
        return await up(pools[-1])

    yield serve
    await asyncio.gather(*(pool.close(drain_s=1.0) for pool in pools))


def call(**values):
    return Call(Capability.PREDICT, values, timeout_s=20.0)


def arguments(pool):
    source = Source("score", "service", "", "score", "v1")
    return inspect(source, pool.description).arguments[Capability.PREDICT]


def refusals(result):
    return {place: str(error) for place, error in result.refused.items()}


# Loading.


async def test_a_script_runs_once_in_its_own_folder_but_not_its_main_part(served):
    pool = await served(
        """
        import os, sys
        import beside

        loads = beside.count()

        def predict(x, y=2):
            return [x * y, loads, os.path.basename(os.getcwd()), sys.argv[0] == __file__, __name__]

        if __name__ == "__main__":
            raise SystemExit("the main part ran")
        """,
        beside="calls = []\ndef count():\n    calls.append(1)\n    return len(calls)\n",
    )
    assert answer(await pool.call(call(x=3))) == [6, 1, "folder 0", True, "score"]
    assert answer(await pool.call(call(x=1, y=1)))[:2] == [1, 1]


async def test_what_was_pickled_when_the_script_was_run_by_hand_is_found_again(served):
    pool = await served(
        """
        import pickle

        class Model:
            def predict(self, x):
                return x + 1

        # as written by pickle.dump(Model(), …) in a script that is run
        model = pickle.loads(b"\\x80\\x03c__main__\\nModel\\nq\\x00)\\x81q\\x01.")
        """,
        "model.predict",
    )
    assert answer(await pool.call(call(x=1))) == 2


async def test_what_a_function_takes_by_position_only_is_given_by_name_all_the_same(served):
    pool = await served("def predict(a: int, b: int = 3, /, c: int = 4, *, d=5):\n    return [a, b, c, d]\n")
    assert answer(await pool.call(call(a=1))) == [1, 3, 4, 5]
    assert answer(await pool.call(call(a=1, b=2, d=6))) == [1, 2, 4, 6]
    pool = await served("from math import pow as predict\n")
    assert answer(await pool.call(call(x=2, y=3))) == 8.0


async def test_a_script_may_be_called_like_a_module_that_python_has(served):
    pool = await served("import json\ndef predict(x):\n    return json.dumps(x)\n", file="json score-2.py")
    assert answer(await pool.call(call(x=[1]))) == "[1]"
    pool = await served("def predict(x):\n    return __name__\n", file="types.py")
    assert answer(await pool.call(call(x=1))) == "script_types"


@pytest.mark.parametrize(
    "script, told",
    [
        ("import json\n\nimport not_there\n", "ModuleNotFoundError: No module named 'not_there' (score.py, line 3)"),
        ("def predict(:\n", "SyntaxError: invalid syntax (score.py, line 1)"),
        ("x = 1\nx / 0\n", "ZeroDivisionError: division by zero (score.py, line 2)"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 (score.py, line 2)"),
        (
            "def predct(x): ...\nimport os\n",
            "NoSuchFunction: score.py has no function 'predict'; it has predct; did you",
        ),
        ("x = 1\n", "NoSuchFunction: score.py has no function 'predict', and no other"),
        ("predict = 5\n", "NoSuchFunction: predict of score.py is no function but int"),
    ],
)
async def test_a_script_that_does_not_load_says_where_and_why(served, script, told):
    pool = await served(script)
    assert pool.state is ExecutorState.FAILED
    assert told in pool.reason


async def test_a_script_never_runs_inside_the_server(tmp_path):
    (tmp_path / "score.py").write_text("def predict(): ...\n")
    inline = await up(Inline(Launch("score", f"{tmp_path}/score.py:predict"), Limits()))
    assert inline.state is ExecutorState.FAILED
    assert "a process of its own" in inline.reason
    await inline.close(drain_s=1.0)


# Arguments.


async def test_hints_defaults_and_docstring_become_arguments(served):
    pool = await served(
        '''
        import datetime, enum

        class Sex(enum.Enum):
            male = "m"
            female = "f"

        def predict(age: int, since: datetime.date, sex: Sex = Sex.male, *, notes=None):
            """Score somebody.

            Args:
                age: In years.
            """
            return [age, since.year, sex.name, notes]
        '''
    )
    declared = arguments(pool)
    assert declared["age"].help == "In years."
    values = declared.load_exact({"age": [41], "since": "2020-02-02", "sex": "f", "notes": "5"})
    assert answer(await pool.call(call(**values))) == [41, 2020, "female", "5"]
    with pytest.raises(errors.InvalidInput) as caught:
        declared.load_exact({"age": "old", "sx": "f"})
    assert {issue.pointer for issue in caught.value.issues} == {"/age", "/since", "/sx"}


async def test_a_function_without_hints_takes_anything(served):
    pool = await served("def predict(x, config=None):\n    return x\n")
    for value in (None, "5", "[1]", [5], {"a": [1, None]}, 2.5, True):
        assert answer(await pool.call(call(**arguments(pool).load_exact({"x": value})))) == value


async def test_keywords_of_any_name_are_passed_on_where_the_function_takes_them(served):
    pool = await served("def predict(a=1, **others):\n    return [a, others]\n")
    values = arguments(pool).load_exact({"a": 2, "petal length": 3, "b": None})
    assert answer(await pool.call(call(**values))) == [2, {"petal length": 3, "b": None}]


async def test_arrays_and_frames_are_made_where_the_hints_ask_for_them(served):
    pool = await served(
        """
        import numpy as np
        import pandas as pd

        def predict(image: np.ndarray, table: pd.DataFrame):
            return {"shape": image.shape, "sums": table.sum()}
        """
    )
    table = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert answer(await pool.call(call(image=[[1, 2, 3]], table=table))) == {"shape": [1, 3], "sums": {"a": 4, "b": 6}}
    assert answer(await pool.call(call(image=[1], table={"a": [1, 2]})))["sums"] == {"a": 3}
    with pytest.raises(errors.InvalidInput, match="/image: Must be"):
        await pool.call(call(image=[[1], "a"], table=table))


# Responses.


@pytest.mark.parametrize(
    "made",
    [
        "deepaas_core.Response('a,b', 201, 'text/csv', [('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2')])",
        "deepaas_core.Response(b'a,b', 201, 'text/csv', {'Set-Cookie': ['a=1', 'b=2']})",
        "aiohttp_response()",
    ],
)
async def test_a_function_sets_status_media_type_and_headers(served, made):
    pool = await served(
        f"""
        import deepaas_core

        def aiohttp_response():
            from aiohttp import web
            response = web.Response(body=b"a,b", status=201, content_type="text/csv")
            response.headers.add("Set-Cookie", "a=1")
            response.headers.add("Set-Cookie", "b=2")
            return response

        def predict():
            return {made}
        """
    )
    result = await pool.call(call())
    assert (result.body, result.status, result.media_type) == (b"a,b", 201, "text/csv")
    assert result.headers == (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))


async def test_a_response_without_a_media_type_is_json_whatever_its_status(served):
    pool = await served("from deepaas_core import Response\ndef predict():\n    return Response({'a': {1}}, 404)\n")
    result = await pool.call(call())
    assert (answer(result), result.status, result.media_type) == ({"a": [1]}, 404, None)


@pytest.mark.parametrize(
    "made, told",
    [
        ("Response(1, 700)", "status must be a whole number from 200 to 599"),
        ("Response(1, headers={'Content-Length': '9'})", "the header Content-Length is the server's to set"),
        ("Response(1, headers={'X-A': 'b\\r\\nSet-Cookie: c'})", "the header X-A must be a single line"),
        ("Response(1, headers=['X-A'])", "pairs of name and text"),
        ("Response('x', content_type='text/plain\\r\\nX-A: b')", "is no media type"),
        ("Response([1], content_type='text/plain')", "must be text or bytes, not list"),
    ],
)
async def test_a_response_that_cannot_be_sent_is_the_functions_fault(served, made, told):
    pool = await served(f"from deepaas_core import Response\ndef predict():\n    return {made}\n")
    with pytest.raises(errors.UnencodableResult, match=told):
        await pool.call(call())


async def test_an_exception_can_carry_a_status(served):
    pool = await served(
        """
        class Refused(Exception):
            http_status_code = 409

        def predict():
            raise Refused("not now")
        """
    )
    with pytest.raises(errors.ModelRefusal) as caught:
        await pool.call(call())
    assert (caught.value.code, caught.value.text) == (409, "not now")


# Records.


async def test_each_record_is_a_call_by_name_with_what_all_have_in_common(served):
    pool = await served("def predict(a: int, b=2, times=1):\n    return a * b * times\n")
    each = records({"a": 1}, {"a": 2, "b": 5}, {"b": 1}, {"a": 3, "c": 1})
    each.values = {"times": 10}
    result = await pool.call(each)
    assert answer(result) == [20, 100, None, None]
    assert refusals(result) == {2: "/a: This argument is required.", 3: "/c: Unknown argument."}


async def test_features_that_are_no_names_in_python_find_their_parameters(served):
    pool = await served("def predict(petal_length, Image_Input):\n    return petal_length + Image_Input\n")
    assert answer(await pool.call(records({"petal length": 1, "Image.Input": 2}))) == [3]


@pytest.mark.parametrize("parameter", ["record: dict", "row", "data"])
async def test_a_function_of_one_record_gets_it_whole(served, parameter):
    pool = await served(f"def predict({parameter}, n=1):\n    return list({parameter.partition(':')[0]}.items())\n")
    assert answer(await pool.call(records({"a b": 1, "c": 2}))) == [[["a b", 1], ["c", 2]]]


@pytest.mark.parametrize(
    "parameter",
    [
        "df",
        "features_df",
        "anything: pd.DataFrame",
        "X",
        "X: np.ndarray",
        "anything: np.ndarray",
        "rows",
        "records: list[dict]",
        "anything: list",
        "rows: list[list[float]]",
    ],
)
async def test_a_function_of_many_records_gets_them_at_once(served, parameter):
    name = parameter.partition(":")[0]
    pool = await served(
        f"""
        import numpy as np
        import pandas as pd

        calls = 0

        def predict({parameter}, times=1):
            global calls
            calls += 1
            if type({name}) is list:
                numbers = [sum(one.values() if isinstance(one, dict) else one) for one in {name}]
            else:
                numbers = {name}.sum(axis=1)
            return [{{"sum": float(number) * times, "calls": calls}} for number in numbers]
        """,
        endpoint={"inputs": [{"name": "b"}, {"name": "a"}]},
    )
    each = records({"a": 1, "b": 2}, {"a": 3, "b": 4})
    each.values = {"times": 2}
    assert answer(await pool.call(each)) == [{"sum": 6, "calls": 1}, {"sum": 14, "calls": 1}]


async def test_a_record_by_the_name_of_the_parameter_is_no_list_of_records(served):
    pool = await served("def predict(rows):\n    return len(rows)\n")
    assert answer(await pool.call(records({"rows": [1, 2, 3]}, {"rows": []}))) == [3, 0]


async def test_of_records_taken_at_once_only_the_one_to_blame_fails(served):
    pool = await served("def predict(rows):\n    return [1 / row['x'] for row in rows]\n")
    result = await pool.call(records(*({"x": number} for number in (1, 2, 0, 4, 5))))
    assert answer(result) == [1, 0.5, None, 0.25, 0.2]
    assert isinstance(result.refused[2], errors.ModelFailure)


async def test_a_function_that_always_fails_is_not_called_for_ever(served):
    pool = await served(
        "calls = 0\ndef predict(rows):\n    global calls\n    calls += 1\n    raise ValueError(calls)\n"
    )
    result = await pool.call(records(*({"x": number} for number in range(2000))))
    assert len(result.refused) == 2000
    assert max(int(error.message) for error in result.refused.values()) < 500


async def test_a_wrong_number_of_results_is_the_functions_fault(served):
    pool = await served("def predict(rows):\n    return [1]\n")
    result = await pool.call(records({"x": 1}, {"x": 2}))
    assert [error.message for error in result.refused.values()] == ["it returned 1 results for 2 records"] * 2


async def test_an_asynchronous_function_answers_records(served):
    pool = await served("import asyncio\nasync def predict(x):\n    await asyncio.sleep(0)\n    return x\n")
    assert answer(await pool.call(records({"x": 1}, {"x": 2}))) == [1, 2]


async def test_arrays_in_records_are_arrays(served):
    pool = await served("def predict(image, n=0):\n    return [str(image.dtype), image.shape, int(image.sum())]\n")
    image = {"$array": {"dtype": "uint8", "shape": [2, 2, 1], "data": "AQIDBA=="}}
    broken = {"$array": {"dtype": "uint8", "shape": [3, 2, 1], "data": "AQIDBA=="}}
    result = await pool.call(records({"image": image}, {"image": broken}))
    assert answer(result) == [["uint8", [2, 2, 1], 10], None]
    assert "/image: This array has another size" in str(result.refused[1])


RISK = {"outputs": [{"name": "risk", "type": "categorical", "classes": ["good", "bad"]}]}


async def test_predictions_become_rows_of_the_declared_outputs(served):
    pool = await served(
        """
        import numpy as np

        def predict(X: np.ndarray):
            p = X[:, 0] / 10
            return np.column_stack([p, 1 - p])
        """,
        endpoint=RISK,
    )
    result = await pool.call(records({"x": 2}, {"x": 10}))
    assert answer(result) == [
        {"risk": "bad", "probabilities": {"risk": {"good": 0.2, "bad": 0.8}}},
        {"risk": "good", "probabilities": {"risk": {"good": 1.0, "bad": 0.0}}},
    ]


async def test_a_prediction_that_does_not_fit_the_outputs_fails_alone(served):
    pool = await served("def predict(x):\n    return x\n", endpoint=RISK)
    result = await pool.call(records({"x": "good"}, {"x": "ugly"}, {"x": 1}))
    assert answer(result) == [{"risk": "good"}, None, {"risk": "bad"}]
    assert result.refused[1].message == "'ugly' is none of the classes of 'risk': good, bad"


async def test_a_response_to_a_record_is_its_body_or_its_refusal(served):
    pool = await served("from deepaas_core import Response\ndef predict(x):\n    return Response({'x': x}, x)\n")
    result = await pool.call(records({"x": 200}, {"x": 404}))
    assert answer(result) == [{"x": 200}, None]
    assert result.refused[1].code == 404


async def test_answers_that_are_too_large_together_are_refused_together(served):
    pool = await served("def predict(x):\n    return 'x' * 60_000\n")
    assert len(answer(await pool.call(records({"x": 1})))) == 1
    with pytest.raises(errors.UnencodableResult, match="larger than 100000 bytes"):
        await pool.call(records({"x": 1}, {"x": 2}))


async def test_an_installed_models_batch_answers_records(tmp_path, monkeypatch):
    (tmp_path / "batch_of_records.py").write_text(
        "def predict_batch(rows, times: int = 1):\n    return [10 // row['x'] * times for row in rows]\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pool = await up(Pool(Launch("batches", "batch_of_records"), Limits()))
    each = records({"x": 1}, {"x": 0}, {"x": 5})
    each.values = {"times": 2}
    result = await pool.call(each)
    assert answer(result) == [20, None, 4]
    assert json.loads(json.dumps(refusals(result))) == {"1": "Model 'batches' raised ZeroDivisionError."}
    await pool.close(drain_s=1.0)
