"""The express lane: the plainest predictions, answered without what most requests need and they do not.

A small JSON body for ``predict/data`` of a model whose arguments all have defaults, sent whole, with nothing in its
head that anybody would have to weigh: there a request object, a task, a router and a parser of arguments cost several
times what the call itself does. Whatever is in the least unusual takes the usual way, and so does every answer but a
plain one: an error, a file or a stream is put into words in one place only.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, RawRequestMessage
from multidict import istr

from deepaas_core.domain.access import Right
from deepaas_core.domain.model import Capability, Model
from deepaas_core.domain.prediction_log import LogRules
from deepaas_core.executors.base import Call
from deepaas_core.serving.predictor import Begun
from deepaas_core.web import auth, observe
from deepaas_core.web.inputs import TIMEOUT_HEADER, data_alone, needs_headers
from deepaas_core.web.keys import CATALOG, COUNTS, GATEKEEPER, PREDICTOR, RECORDER, SETTINGS
from deepaas_core.web.recording import CONTEXT, note_plain
from deepaas_core.web.rest.models import DATA_ROUTE, head_of

MAX_BODY_BYTES = 1 << 16
_CONTENT_TYPE, _ACCEPT, _JSON = istr("Content-Type"), istr("Accept"), "application/json"
#: A request with one of these wants something that the usual way knows about.
_WEIGHTY = tuple(map(istr, ("Origin", "Expect", observe.REQUEST_ID, TIMEOUT_HEADER, CONTEXT, "Content-Encoding")))
_PAYLOAD = {"form": "json", "content_type": _JSON}
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-ID: %b\r\n"
    b"X-Content-Type-Options: nosniff\r\nContent-Length: %d\r\nDate: %b\r\nServer: %b\r\n\r\n%b%b}"
)
_SERVER = SERVER_SOFTWARE.encode()


@dataclass(slots=True)
class _Lane:
    """A model whose predictions can take the express lane.

    Attributes:
        values: Its arguments, all by their defaults.
        rules: What of its predictions is kept; None for nothing.
    """

    model: Model
    values: dict[str, Any]
    rules: LogRules | None


class Express:
    """Begins and answers the calls of the express lane.

    Args:
        app: The application whose usual way it spares.
    """

    def __init__(self, app: web.Application):
        self._catalog = app[CATALOG]
        self._predictor = app[PREDICTOR]
        self._counts = app[COUNTS]
        self._gatekeeper = app[GATEKEEPER]
        self._cookie = app[SETTINGS].access.cookie
        self._recorder = app[RECORDER]
        self._access = app.get(observe.ACCESS_LINES)
        self._route = app[SETTINGS].web.base_path.rstrip("/") + DATA_ROUTE
        self._lanes: dict[str, _Lane] = {}
        self._revision = -1

    def begin(self, message: RawRequestMessage, payload: StreamReader) -> Begun | None:
        """Begin the call that a request asks for; None for a request that is not for this lane.

        Nothing is taken from the payload, so that the request can still go the usual way.
        """
        if self._revision != self._catalog.revision:
            self._refresh()
        lane = self._lanes.get(message.path)
        if lane is None or type(payload) is not StreamReader or not _is_plain(message):  # no body is another class
            return None
        pieces = payload._buffer
        if len(pieces) != 1 or not payload._eof or len(pieces[0]) > MAX_BODY_BYTES:
            return None
        data = data_alone(pieces[0])
        if data is None:
            return None
        token = "" if self._gatekeeper.free else self._let_in(message, lane.model.name)
        if token is None:
            return None
        stream = message.headers.get(_ACCEPT) != _JSON
        call = Call(Capability.PREDICT_DATA, lane.values, _PAYLOAD, data, stream=stream)
        begun = self._predictor.begin(lane.model, call)
        begun.token = token
        return begun

    def _let_in(self, message: RawRequestMessage, name: str) -> str | None:
        """The id of the caller's token, empty for none, if they may surely predict, and that has been counted.

        If not, the usual way sees to it.
        """
        gatekeeper = self._gatekeeper
        if not gatekeeper.fresh:
            return None
        principal = gatekeeper.known(auth.shown(message.headers, self._cookie)) or gatekeeper.anybody
        comes_in = (
            principal.may(Right.PREDICT, name)
            and gatekeeper.max_body_mb(principal, name) is None
            and gatekeeper.charge_now(principal, name)
        )
        return principal.token if comes_in else None

    def answer(self, begun: Begun, path: str, remote: str | None) -> bytes | None:
        """The bytes of the response, counted and logged; None for an outcome that is to go the usual way."""
        if begun.result.exception() is not None:
            return None
        result = begun.result.result()
        if result.media_type is not None or result.path is not None or result.pieces is not None:
            return None
        prediction = self._predictor.answered(begun)
        head, body = head_of(prediction.model, prediction.version), prediction.body
        length, seconds = len(head) + len(body) + 1, time.perf_counter() - begun.started
        request_id = os.urandom(8).hex()
        self._counts.request("POST", self._route, prediction.model, 200, seconds)
        lane = self._lanes.get(path)  # gone, if the model has changed meanwhile
        rules = self._recorder.rules(prediction.model) if lane is None else lane.rules
        if rules is not None and self._recorder.chooses(rules):
            note_plain(self._recorder, rules, begun, prediction, request_id)
        if self._access is not None:
            self._access.append(observe.access_line(remote, "POST", path, 200, length, seconds, request_id))
        return _HEAD % (request_id.encode(), length, rfc822_formatted_time().encode(), _SERVER, head, body)

    def left(self, begun: Begun) -> None:
        """Note a client that has gone before there was an answer."""
        if not begun.result.cancelled():
            begun.result.exception()  # nobody is there to be told
        self._predictor.given_up(begun)
        seconds = time.perf_counter() - begun.started
        self._counts.request("POST", self._route, begun.model.name, observe.CLIENT_GONE, seconds)

    def _refresh(self) -> None:
        self._revision = self._catalog.revision
        self._lanes.clear()
        for entry in self._catalog.entries():
            model = entry.model
            if model is None or not entry.answers or Capability.PREDICT_DATA not in model.capabilities:
                continue
            rules = self._recorder.rules(entry.name)
            if rules is not None and rules.durable:  # its answers wait
                continue
            arguments = model.arguments_of(Capability.PREDICT_DATA)
            if arguments.defaults is not None and not needs_headers(arguments):
                path = self._route.replace("{model}", entry.name)
                self._lanes[path] = _Lane(model, dict(arguments.defaults), rules)


def _is_plain(message: RawRequestMessage) -> bool:
    headers = message.headers
    if (
        message.method != "POST"
        or message.version != HttpVersion11
        or message.should_close
        or message.upgrade
        or message.chunked
        or message.compression
        or headers.get(_CONTENT_TYPE) != _JSON
        or headers.get(_ACCEPT, "*/*") not in ("*/*", _JSON)
    ):
        return False
    for name in _WEIGHTY:  # noqa: SIM110  # any() would cost twice as much
        if name in headers:
            return False
    return True
