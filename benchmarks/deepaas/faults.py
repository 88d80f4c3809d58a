"""The faults of DEEPaaS, each as something that a client does, with what it gets here."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp

from benchmarks.deepaas.servers import Server

PREDICT, TRAIN = "/v2/models/m/predict/", "/v2/models/m/train/"
MODEL = """
    import datetime, os, time
    from aiohttp import web
    from webargs import fields, validate

    def get_metadata():
        time.sleep(float(os.environ.get("SLOW_METADATA", 0)))
        return {"author": "somebody"}

    def get_predict_args():
        return {
            "do": fields.Str(missing="echo"),
            "who": fields.Str(missing="nobody"),
            "options": fields.Dict(missing={}),
            "photo": fields.Field(missing=None, type="file", location="form"),
            "photos": fields.List(fields.Field(), missing=[], type="file", location="form"),
        }

    def predict(do, who, options, photo, photos):
        if do == "refuse":
            raise web.HTTPBadRequest(reason="The photo shows no plant.")
        if do == "fail":
            raise ValueError("the photo is empty")
        if do == "not yet":
            raise NotImplementedError
        if do == "exit":
            os._exit(1)
        if do == "sleep":
            time.sleep(1)
        if do == "numpy":
            import numpy
            return numpy.float32(0.5)
        if do == "date":
            return datetime.date(2026, 1, 2)
        if do == "print":
            print("the model was here")
        if photo or photos:
            return len(photos) or 1
        return {"who": who, "options": options}

    def get_train_args():
        return {
            "seconds": fields.Float(missing=0),
            "day": fields.Date(),
            "data": fields.Field(missing=None, type="file", location="form"),
        }

    def train(seconds, data, day=None):
        time.sleep(seconds)
        return open(data.filename).read() if data else "trained"
    """
CHOOSY = """
    from webargs import fields, validate

    def get_predict_args():
        kinds = ["text/plain", "application/json"]
        return {"accept": fields.Str(missing="application/json", location="headers", validate=validate.OneOf(kinds))}

    def predict(accept):
        return {"text/plain": "a rose", "application/json": {"label": "rose"}}[accept]
    """
CLASS = """
    class Model:
        def predict(self):
            return "from an object"
    """
BROKEN = "import a_library_that_is_not_installed"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        number: In the contract's list.
        title: What goes wrong, as a heading.
        shown: What the client does, as text.
        ask: Does it; gives what to show of the answer.
        ours: What ours must match, in full.
        options: Of the command that starts the server.
        models: What is installed, see ``servers.install``.
    """

    number: int
    title: str
    shown: str
    ask: Callable[[Server], Awaitable[str]]
    ours: str
    options: tuple[str, ...] = ("--model-name", "m")
    models: Mapping[str, str] = field(default_factory=lambda: {"m": MODEL})


def _one_line(answer: tuple[int, str]) -> str:
    status, text = answer
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", "TIME", " ".join(text.split()))
    text = re.sub(r'(?<="request_id":")[0-9a-f]{16}', "ID", re.sub(r"[0-9a-f]{32}", "UUID", text))
    shown = text if len(text) < 300 else f"{text[:300]} …"
    return f"{status} {shown}" if status else shown


def once(method: str, path: str, **more: object) -> Callable[[Server], Awaitable[str]]:
    """One request."""

    async def ask(server: Server) -> str:
        return _one_line(await server.ask(method, path, **more))

    return ask


def then(first: str) -> Callable[[Server], Awaitable[str]]:
    """A prediction that something happens in, and another one after it."""

    async def ask(server: Server) -> str:
        answers = [await server.ask("POST", f"{PREDICT}?do={do}") for do in (first, "echo")]
        return "\n".join(map(_one_line, answers))

    return ask


async def leak(server: Server) -> str:
    slow = asyncio.create_task(_slow(server))
    await asyncio.sleep(0.3)
    await server.ask("POST", PREDICT, data={"who": "Bob", "do": "echo"})
    return _one_line(await slow)


async def _slow(server: Server) -> tuple[int, str]:
    async def body() -> object:
        yield b'{"do": "echo", '
        await asyncio.sleep(0.8)
        yield b'"options": {"a": 1}}'

    return await server.ask("POST", PREDICT, data=body(), headers={"Content-Type": "application/json"})


async def cancel(server: Server) -> str:
    _, running = await server.ask("POST", f"{TRAIN}?seconds=60")
    _, queued = await server.ask("POST", f"{TRAIN}?seconds=60")
    await asyncio.sleep(0.5)
    answers = [await server.ask("DELETE", TRAIN + json.loads(text)["uuid"]) for text in (queued, running)]
    return "\n".join(map(_one_line, answers))


async def several_files(server: Server) -> str:
    form = aiohttp.FormData()
    for name in ("a.png", "b.png"):
        form.add_field("photos", io.BytesIO(b"pixels"), filename=name)
    return _one_line(await server.ask("POST", PREDICT, data=form))


async def train_with_a_file(server: Server) -> str:
    form = aiohttp.FormData()
    form.add_field("data", io.BytesIO(b"a,b\n1,2"), filename="data.csv")
    status, text = await server.ask("POST", TRAIN, data=form)
    if status != 200:
        return _one_line((status, text))
    return await _settled(server, json.loads(text)["uuid"])


async def _settled(server: Server, uuid: str) -> str:
    for _ in range(100):
        status, text = await server.ask("GET", TRAIN + uuid)
        if status != 200 or json.loads(text)["status"] != "running":
            break
        await asyncio.sleep(0.1)
    known = json.loads(text)
    return f"{status} {known['status']}: {known.get('message') or known['result']['output']}"


async def files_left(server: Server) -> str:
    form = aiohttp.FormData()
    form.add_field("photo", io.BytesIO(b"pixels"), filename="a.png")
    status, _ = await server.ask("POST", PREDICT, data=form)
    left = [path for path in (server.folder / "tmp").rglob("*") if path.is_file() and path.read_bytes() == b"pixels"]
    return f"{status}, and {len(left)} file{'s' * (len(left) != 1)} left behind"


async def poisoned(server: Server) -> str:
    await server.ask("POST", TRAIN)
    await server.ask("POST", f"{TRAIN}?day=2026-01-02")
    status, text = await server.ask("GET", TRAIN)
    return f"{status} {len(json.loads(text))} trainings" if status == 200 else _one_line((status, text))


async def printed(server: Server) -> str:
    await server.ask("POST", f"{PREDICT}?do=print")
    status, text = await server.ask("GET", "/v2/debug/")
    return f"{status}, {'with' if 'the model was here' in text else 'without'} what the model printed"


async def document(server: Server) -> str:
    _, text = await server.ask("GET", "/swagger.json")
    said = json.loads(text)["paths"][TRAIN]["get"]["responses"]["200"]["schema"]
    return (
        "the document says " + ("a list" if said.get("type") == "array" else f"an object, {said}") + "; a list is sent"
    )


async def blocked(server: Server) -> str:
    slow = asyncio.create_task(server.ask("GET", "/v2/models/"))
    await asyncio.sleep(0.2)
    begun = time.monotonic()
    status, _ = await server.ask("GET", "/v2/")
    waited = time.monotonic() - begun
    await slow
    return f"{status} {'at once' if waited < 0.5 else 'after more than a second'}"


async def ended(server: Server) -> str:
    if server.code is None:
        _, text = await server.ask("GET", "/v2/models/")
        names = [model["name"] for model in json.loads(text)["models"]]
        return f"serves {', '.join(names)}"
    last = [line for line in server.log.splitlines() if line.strip() and "ERROR deepaas" not in line]
    return f"ends with {server.code}: {last[-1] if last else ''}"


OK = r'200 \{"status": ?"OK", ?"predictions": ?%s\}'
FAULTS = (
    Fault(
        1,
        "One client's values in another one's call",
        'POST /v2/models/m/predict/  {"do": "echo", "options": {"a": 1}}   (its body takes a second to arrive)\n'
        "POST /v2/models/m/predict/  who=Bob                                (meanwhile, by somebody else)",
        leak,
        OK % r'\{"who":"nobody","options":\{"a":1\}\}',
    ),
    Fault(
        2,
        "A model says that the input is bad",
        "POST /v2/models/m/predict/?do=refuse   (raises HTTPBadRequest(reason=…))\nPOST /v2/models/m/predict/?do=echo",
        then("refuse"),
        r"400 400: The photo shows no plant\.\n" + OK % ".*",
    ),
    Fault(
        2,
        "A model's process ends",
        "POST /v2/models/m/predict/?do=exit   (as a crash of a library would)\nPOST /v2/models/m/predict/?do=echo",
        then("exit"),
        r"500 500 Internal Server Error .*\n" + OK % ".*",
    ),
    Fault(
        3,
        "Trainings are cancelled",
        "DELETE /v2/models/m/train/UUID   (it waits)\nDELETE /v2/models/m/train/UUID   (it runs)",
        cancel,
        r'200 .*"status":"cancelled".*\n200 .*"status":"cancelled".*',
    ),
    Fault(
        4,
        "A model fails",
        "POST /v2/models/m/predict/?do=fail   (raises ValueError)",
        once("POST", f"{PREDICT}?do=fail"),
        "500 500 Internal Server Error Model 'm' raised ValueError\\.",
    ),
    Fault(
        5,
        "A model has not implemented something",
        "POST /v2/models/m/predict/?do=not yet   (raises NotImplementedError)",
        once("POST", f"{PREDICT}?do=not yet"),
        "501 501: Not implemented by underlying model .*",
    ),
    Fault(6, "Several files", "POST /v2/models/m/predict/   with two parts photos", several_files, OK % "2"),
    Fault(
        6,
        "A training with a file",
        "POST /v2/models/m/train/   with a part data; and when it is over",
        train_with_a_file,
        r"200 done: a,b\n1,2",
    ),
    Fault(
        6,
        "An object in a form",
        'POST /v2/models/m/predict/   options={"a": 1}',
        once("POST", PREDICT, data={"options": '{"a": 1}'}),
        OK % r'\{"who":"nobody","options":\{"a":1\}\}',
    ),
    Fault(
        7,
        "Uploads are cleaned up",
        "POST /v2/models/m/predict/   with a part photo",
        files_left,
        "200, and 0 files left behind",
    ),
    Fault(
        8,
        "Media types with weights",
        "POST /v2/models/m/predict/   Accept: application/json;q=0.9, text/plain;q=0.5",
        once("POST", PREDICT, headers={"Accept": "application/json;q=0.9, text/plain;q=0.5"}),
        OK % r'\{"label":"rose"\}',
        models={"m": CHOOSY},
    ),
    Fault(
        8,
        "The author's own media type",
        "POST /v2/models/m/predict/   Accept: */*   (the default is application/json)",
        once("POST", PREDICT, headers={"Accept": "*/*"}),
        OK % r'\{"label":"rose"\}',
        models={"m": CHOOSY},
    ),
    Fault(
        9,
        "One odd argument in a list of trainings",
        "POST /v2/models/m/train/\nPOST /v2/models/m/train/?day=2026-01-02\nGET /v2/models/m/train/",
        poisoned,
        "200 2 trainings",
    ),
    Fault(
        9,
        "What numpy or a calendar gives",
        "POST /v2/models/m/predict/?do=date",
        once("POST", f"{PREDICT}?do=date"),
        OK % '"2026-01-02"',
    ),
    Fault(
        10,
        "The debug page",
        "POST /v2/models/m/predict/?do=print\nGET /v2/debug/",
        printed,
        "200, with what the model printed",
        ("--model-name", "m", "--debug-endpoint"),
    ),
    Fault(
        11,
        "The old address of the documentation",
        "GET /ui   (started with --nodoc-endpoint)",
        once("GET", "/ui"),
        "404 .*",
        ("--model-name", "m", "--nodoc-endpoint"),
    ),
    Fault(
        11,
        "A base path with its slash",
        "GET /p/   (started with --base-path /p)",
        once("GET", "/p/"),
        r'200 \{"versions":.*',
        ("--model-name", "m", "--base-path", "/p"),
    ),
    Fault(
        12,
        "A model that cannot be loaded",
        "deepaas-run",
        ended,
        "ends with 1: .*No module named 'a_library_that_is_not_installed'.*",
        (),
        {"m": BROKEN},
    ),
    Fault(
        13,
        "The document and the answer",
        "GET /swagger.json   on GET /v2/models/m/train/",
        document,
        "the document says a list; a list is sent",
    ),
    Fault(
        14,
        "An entry point that names a class",
        "POST /v2/models/m/predict/   (m = module:Model)",
        once("POST", PREDICT),
        OK % '"from an object"',
        models={"m:Model": CLASS},
    ),
    Fault(
        15,
        "Slow metadata",
        "GET /v2/models/   (get_metadata takes a second and a half)\nGET /v2/   (meanwhile)",
        blocked,
        "200 at once",
        models={"m": MODEL.replace('"SLOW_METADATA", 0', '"SLOW_METADATA", 1.5')},
    ),
    Fault(17, "Whether it lives", "GET /livez", once("GET", "/livez"), "200 .*"),
)

#: What cannot be shown by a request.
ELSEWHERE = (
    "They take longer than a page, or are no requests: trainings are [there after a restart]"
    "(../reference/run-states.md); bodies, times and queues have [limits]"
    "(../how-to/choose-workers-and-time-limits.md); models may pin what they like in [environments of their own]"
    "(../how-to/serve-models-with-their-own-libraries.md); [tokens](../how-to/let-only-some-call.md); and trainings "
    "that end at a full second, whose status DEEPaaS cannot tell."
)
