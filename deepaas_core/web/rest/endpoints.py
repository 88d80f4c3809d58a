"""Calls of a service's endpoints: a generation is chosen, asked, and named in the answer."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from multidict import MultiDict, istr

from deepaas_core import errors
from deepaas_core.domain.arguments import Arguments, Kind
from deepaas_core.domain.features import pointer
from deepaas_core.domain.model import Capability, Model
from deepaas_core.domain.prediction import Prediction
from deepaas_core.domain.service import Endpoint, EndpointKind
from deepaas_core.executors.base import Call
from deepaas_core.serving.enriching import scorer_of
from deepaas_core.serving.scoring import Portion, Scorer, refuse_whole
from deepaas_core.serving.services import Live
from deepaas_core.telemetry.logs import request_id
from deepaas_core.web import negotiation, problems
from deepaas_core.web.files import safe_type, send_file
from deepaas_core.web.inputs import read_timeout
from deepaas_core.web.keys import ENRICHER, PREDICTOR, SCRATCH, SERVICES, SETTINGS
from deepaas_core.web.observe import GENERATION
from deepaas_core.web.recording import Recording
from deepaas_core.web.records import NOTHING, Sent, read_sent
from deepaas_core.web.rest.data import answer_lookup, answer_query
from deepaas_core.web.rest.rows import Answering, answer_rows, answer_table, wanted_type
from deepaas_core.web.rest.services import GENERATION as GENERATION_PATH
from deepaas_core.web.rest.services import SERVICE
from deepaas_core.web.rest.streaming import send_pieces
from deepaas_core.web.routes import PREDICT, get_alone, post
from deepaas_core.web.scratch import Folder

NAMED, FORCED, KEY = istr("X-Service-Generation"), istr("X-Generation"), istr("X-Dispatch-Key")
#: The parameter that says what becomes of a row that cannot be answered.
ERRORS = "errors"


@dataclass(frozen=True)
class _Asked:
    """A request that is understood so far.

    Attributes:
        values: Arguments that are no inputs: what all rows have in common.
        apart: Whether a row that cannot be answered is told in its place.
        recording: Is told what comes of it.
    """

    live: Live
    endpoint: Endpoint
    model: Model
    sent: Sent
    values: Mapping[str, Any]
    apart: bool
    timeout_s: float | None
    recording: Recording


async def call(request: web.Request) -> web.StreamResponse:
    """Ask an endpoint: a function for what it makes of its arguments, a prediction for what it makes of rows."""
    services, info = request.app[SERVICES], request.match_info
    version = info.get("version") or request.headers.get(FORCED)
    live = services.choose(info["service"], version, request.headers.get(KEY))
    request[GENERATION] = f"{live.service}@{live.version}"
    with services.using(live), Folder(request.app[SCRATCH]) as own:
        try:
            await services.awake(live)
            response = await _answer(request, live, own)
        except errors.DeepaasError as error:
            response = problems.present(error, request_id.get(), request.app[SETTINGS].web.show_model_errors)
    if not response.prepared:
        response.headers[NAMED] = live.version
    return response


async def _answer(request: web.Request, live: Live, own: Folder) -> web.StreamResponse:
    endpoint = live.endpoint(request.match_info["endpoint"])
    first_output = next(iter(endpoint.outputs), None)
    said = live.definition.log
    async with Recording(request, live.service, endpoint.name, live.version, said, first_output) as recording:
        sent = await read_sent(request, own)
        if endpoint.kind in (EndpointKind.LOOKUP, EndpointKind.SQL):
            recording.asks_for_rows(dict(sent.fields) if sent.document is NOTHING else sent.document, single=True)
            is_lookup = endpoint.kind is EndpointKind.LOOKUP
            response = await (_of_keys if is_lookup else answer_query)(request, live, endpoint, sent)
            if isinstance(response, web.Response) and isinstance(response.body, bytes):
                recording.answered(Prediction(live.service, live.version, response.body))
            return response
        return await _answer_to(request, _understood(live, endpoint, sent, read_timeout(request), recording))


async def _answer_to(request: web.Request, asked: _Asked) -> web.StreamResponse:
    if asked.sent.table is not None:
        return await _of_table(request, asked)
    if asked.endpoint.kind is EndpointKind.PREDICTION:
        return await _of_rows(request, asked, *_rows_of(asked))
    if _is_records(asked.sent.document, asked.model.arguments_of(Capability.PREDICT)):
        return await _of_rows(request, asked, asked.sent.document, single=False)
    return await _of_function(request, asked)


# What is asked.


def _understood(live: Live, endpoint: Endpoint, sent: Sent, timeout_s: float | None, recording: Recording) -> _Asked:
    """Take the parameters out of what was sent; what is left are inputs or arguments."""
    members = _members(sent)
    variant = ""
    if "" not in endpoint.targets:
        variant = _taken(endpoint.chosen_by, members, sent.fields) or ""
        if not isinstance(variant, str):
            known = ", ".join(endpoint.targets)
            raise errors.InvalidInput([errors.Issue(pointer(endpoint.chosen_by), f"Must be one of: {known}.")])
    endpoint, model = live.part(endpoint.name, variant)
    arguments = model.arguments_of(Capability.PREDICT)
    own_names = {feature.name for feature in endpoint.inputs} | arguments.keys()
    has_rows = endpoint.kind is EndpointKind.PREDICTION or isinstance(sent.document, list) or sent.table is not None
    apart = False
    if has_rows and ERRORS not in own_names:
        apart = _taken_errors(members, sent)
    values = _common(endpoint, sent, members, arguments) if has_rows else {}
    return _Asked(live, endpoint, model, sent, values, apart, timeout_s, recording)


def _members(sent: Sent) -> dict[str, Any]:
    """The members of a JSON object beside which parameters may stand; changes take effect."""
    document: Any = sent.document
    return document if isinstance(document, dict) else {}


def _taken(name: str, members: dict[str, Any], fields: MultiDict[str]) -> Any:
    if name in members:
        return members.pop(name)
    return fields.popall(name)[-1] if name in fields else None


def _taken_errors(members: dict[str, Any], sent: Sent) -> bool:
    """Whether a row that cannot be answered is told in its place."""
    wish = _taken(ERRORS, members, sent.fields)
    if wish not in (None, "rows", "request"):
        raise errors.InvalidInput([errors.Issue(pointer(ERRORS), "Must be one of: rows, request.")])
    return bool(wish == "rows")


def _is_batch(endpoint: Endpoint, document: Any) -> bool:
    """Whether a JSON object is one of rows, and not a row."""
    if not isinstance(document, dict) or endpoint.kind is not EndpointKind.PREDICTION:
        return False
    return "rows" in document and all(feature.name != "rows" for feature in endpoint.inputs)


def _common(endpoint: Endpoint, sent: Sent, members: dict[str, Any], arguments: Arguments) -> dict[str, Any]:
    """The arguments that all rows have in common: those that are no inputs, and stand beside the rows.

    Raises:
        InvalidInput: There is something that is neither.
    """
    inputs = {feature.name for feature in endpoint.inputs}
    inputs |= endpoint.keys if inputs else set()
    said = {}
    if _is_batch(endpoint, sent.document):
        said = {name: members.pop(name) for name in list(members) if name != "rows"}
    if sent.document is NOTHING and sent.table is None:  # the fields are the row
        beside = {name for name in sent.fields if name not in inputs} if inputs else set()
    else:
        beside = set(sent.fields)
        if sent.files:
            raise errors.InvalidInput([errors.Issue(pointer(name), "No file is expected here.") for name in sent.files])
    said |= {name: sent.fields.popall(name)[-1] for name in beside}
    parameters = {name: argument for name, argument in arguments.items() if name not in inputs}
    unknown = [name for name in said if name not in parameters]
    if unknown and not arguments.any_other:
        known = [*parameters, *inputs]
        raise errors.InvalidInput(
            [errors.Issue(pointer(name), f"Unknown parameter.{errors.did_you_mean(name, known)}") for name in unknown]
        )
    chosen = Arguments({name: parameters[name] for name in said if name in parameters}, arguments.any_other)
    return chosen.load(said) if said else {}


def _rows_of(asked: _Asked) -> tuple[Any, bool]:
    """The rows of a prediction, and whether it is one alone that was not put into a list."""
    document = asked.sent.document
    if document is NOTHING:
        return [_row_of_fields(asked)], True
    if isinstance(document, list):
        return document, False
    if not isinstance(document, dict):
        raise errors.InvalidInput([errors.Issue("", 'Must be `{"rows": [{…}, …]}`, a list of rows, or one row.')])
    if not _is_batch(asked.endpoint, document):
        return [document], True
    if not isinstance(document["rows"], list):
        raise errors.InvalidInput([errors.Issue("/rows", "Must be a list of rows.")])
    return document["rows"], False


class _Text(dict[str, str]):
    """A row whose values came as text."""


def _row_of_fields(asked: _Asked) -> _Text:
    fields, files = asked.sent.fields, asked.sent.files
    twice = [name for name in set(fields) if len(fields.getall(name)) > 1]
    if twice:
        raise errors.InvalidInput([errors.Issue(pointer(name), "Must be given once.") for name in sorted(twice)])
    row = _Text(fields)
    for name, upload in files.items():
        row[name] = base64.b64encode(Path(upload["filename"]).read_bytes()).decode()
    return row


# Rows.


async def _of_rows(request: web.Request, asked: _Asked, rows: Any, single: bool) -> web.StreamResponse:
    scorer = _scorer(request, asked)
    asked.recording.asks_for_rows(rows[0] if single else rows, single=single)
    where = "/rows" if _is_batch(asked.endpoint, asked.sent.document) else ""
    if isinstance(rows[0] if single else None, _Text):
        portion = await _of_text(scorer, rows[0])
    else:
        if not asked.apart:
            _refuse(await scorer.issues(rows), where, single)
        portion = await scorer.score(rows)
    if not asked.apart:
        _refuse_portion(portion, where, single)
    return answer_rows(portion, _answering(request, asked), single)


async def _of_text(scorer: Scorer, row: Mapping[str, str]) -> Portion:
    if scorer.names:
        known = scorer.names
        unknown = [name for name in row if name not in known]
        if unknown:
            raise errors.InvalidInput(
                [errors.Issue(pointer(name), f"Unknown input.{errors.did_you_mean(name, known)}") for name in unknown]
            )
    return await scorer.score_cells({name: [cell] for name, cell in row.items()}, 1, comma=False)


def _refuse(found: Mapping[int, list[errors.Issue]], where: str, single: bool) -> None:
    _refuse_portion(
        Portion(0, refused={at: errors.InvalidInput(issues) for at, issues in found.items()}), where, single
    )


def _refuse_portion(portion: Portion, where: str, single: bool) -> None:
    if single and portion.refused:
        raise portion.refused[0]
    refuse_whole(portion.refused, where)


async def _of_table(request: web.Request, asked: _Asked) -> web.StreamResponse:
    assert asked.sent.table is not None
    return await answer_table(request, asked.sent.table, _scorer(request, asked), _answering(request, asked))


def _scorer(request: web.Request, asked: _Asked) -> Scorer:
    witness = asked.recording.witness
    about = asked.live, asked.endpoint, asked.model, asked.values, asked.timeout_s, witness
    return scorer_of(request.app[PREDICTOR], request.app[ENRICHER], *about)


def _answering(request: web.Request, asked: _Asked) -> Answering:
    return _manner(request, asked.live, asked.endpoint, asked.sent)


def _manner(request: web.Request, live: Live, endpoint: Endpoint, sent: Sent) -> Answering:
    table = sent.table
    return Answering(
        service=live.service,
        version=live.version,
        endpoint=endpoint,
        media_type=wanted_type(request, csv_first=table is not None and not table.is_parquet),
        show_model_errors=request.app[SETTINGS].web.show_model_errors,
    )


# Lookups.


async def _of_keys(request: web.Request, live: Live, endpoint: Endpoint, sent: Sent) -> web.StreamResponse:
    apart = ERRORS not in endpoint.keys and _taken_errors(_members(sent), sent)
    return await answer_lookup(request, live, endpoint, sent, _manner(request, live, endpoint, sent), apart)


# Functions.


async def _of_function(request: web.Request, asked: _Asked) -> web.StreamResponse:
    call = Call(
        Capability.PREDICT,
        _arguments(asked),
        accept=negotiation.array_type(request.headers),
        stream=negotiation.stream_type(request.headers) is not None,
    )
    prediction = await asked.recording.predict(asked.model, call, asked.timeout_s)
    return await _present(prediction, request, asked)


def _arguments(asked: _Asked) -> dict[str, Any]:
    """The arguments of a function: JSON as it is, text from a query or a form as what it is wanted to be."""
    arguments = asked.model.arguments_of(Capability.PREDICT)
    document, sent = asked.sent.document, asked.sent
    members: dict[str, Any]
    if document is NOTHING:
        members = {}
    elif isinstance(document, dict):
        members = document
    elif len(arguments) == 1:
        members = {next(iter(arguments)): document}
    else:
        names = ", ".join(arguments) or "none"
        raise errors.InvalidInput([errors.Issue("", f"Must be an object of arguments by name; there are: {names}.")])
    texts: dict[str, Any] = {name: _several(arguments, name, sent.fields.getall(name)) for name in set(sent.fields)}
    texts |= sent.files
    if not texts:
        return arguments.load_exact(members)
    if not members:
        return arguments.load(texts)
    declared = Arguments({name: arguments[name] for name in texts if name in arguments}, any_other=True)
    return arguments.load_exact({**declared.load(texts), **members})


def _is_records(document: Any, arguments: Arguments) -> bool:
    """Whether a function is asked for each record of a list, rather than for the list.

    A list with something else in it is one of records only where no argument could be the list.
    """
    if not isinstance(document, list):
        return False
    takes_list = len(arguments) == 1 and next(iter(arguments.values())).kind in (Kind.ARRAY, Kind.ANY)
    return all(isinstance(item, dict) for item in document) or (isinstance(document[0], dict) and not takes_list)


def _several(arguments: Arguments, name: str, values: list[str]) -> Any:
    argument = arguments.get(name)
    is_list = argument is not None and argument.kind in (Kind.ARRAY, Kind.ANY)
    return values if len(values) > 1 and is_list else values[-1]


async def _present(prediction: Prediction, request: web.Request, asked: _Asked) -> web.StreamResponse:
    named = {str(NAMED): asked.live.version}
    if prediction.path is not None:
        return await send_file(prediction, request, named)
    if prediction.pieces is not None:
        return await send_pieces(prediction.pieces, request, named)
    body, media_type = prediction.body, "application/json"
    if prediction.media_type is not None:
        media_type = safe_type(prediction.media_type)
    elif not asked.endpoint.bare:
        head = {"service": asked.live.service, "generation": asked.live.version, "endpoint": asked.endpoint.name}
        body = orjson.dumps(head)[:-1] + b',"result":' + body + b"}"
    response = web.Response(body=body, status=prediction.status or 200, headers={"Content-Type": media_type})
    for name, text in prediction.headers:
        response.headers.add(name, text)
    return response


_ENDPOINT = "/endpoints/{endpoint}"
#: All ways lead to the same; the longer ones are the names for predictions, lookups and queries.
ROUTES = [
    make(base + path, call, PREDICT)
    for base in (SERVICE, GENERATION_PATH)
    for path in (*(f"{_ENDPOINT}/{verb}" for verb in ("predict", "lookup", "query")), _ENDPOINT)
    for make in (post, get_alone)
]
