"""What a request to an endpoint of a service carried: fields, a JSON document, or a table of rows.

Clients are taken as they are: JSON is read whatever the ``Content-Type`` says, and so is a CSV file that was sent
without one. Files go to disk as they arrive.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from aiohttp import web
from multidict import MultiDict
from multipart import MultipartSegment

from deepaas_core import errors
from deepaas_core.domain.arguments import Upload
from deepaas_core.web import uploads
from deepaas_core.web.inputs import FORM, form_fields, loads, read_body, reading
from deepaas_core.web.keys import SETTINGS
from deepaas_core.web.scratch import Folder, shown_name
from deepaas_core.web.tabular import CSV_TYPES, PARQUET_TYPES

NOTHING: Any = object()
_BLANKS = b" \t\r\n\xef\xbb\xbf"


@dataclass(frozen=True)
class Table:
    """A file of rows.

    Attributes:
        path: Where it lies; None if it came in so few bytes that ``content`` has it.
        media_type: What it claims to be; ``text/csv`` if nothing was claimed and it looks so.
        charset: Which it claims to be in.
    """

    media_type: str
    path: Path | None = None
    content: bytes | bytearray = b""
    charset: str | None = None

    @property
    def is_parquet(self) -> bool:
        return self.media_type in PARQUET_TYPES

    def open(self) -> BinaryIO:
        """The bytes."""
        return io.BytesIO(self.content) if self.path is None else self.path.open("rb")


@dataclass
class Sent:
    """What came.

    Attributes:
        fields: Of the query and of a form.
        document: The JSON of the body; ``NOTHING`` without one.
        table: The rows that came as a file.
        files: Other files of a form, by field.
    """

    fields: MultiDict[str]
    document: Any = NOTHING
    table: Table | None = None
    files: dict[str, Upload] = field(default_factory=dict)


async def read_sent(request: web.Request, folder: Folder) -> Sent:
    """Read all that a request carries.

    Raises:
        InvalidRequest: One of its kinds.
    """
    sent = Sent(MultiDict(request.query))
    if not request.can_read_body:
        return sent
    with reading(request):
        media_type = request.content_type
        if media_type.startswith("multipart/"):
            receiver = _Parts(folder, sent, uploads.Budget(request))
            await uploads.read_form(request, receiver, receiver.budget)
        elif media_type in CSV_TYPES or media_type in PARQUET_TYPES:
            path = folder.new_file("table")
            await uploads.save_body(request, path, uploads.Budget(request))
            sent.table = Table(media_type, path, charset=request.charset)
        else:
            _take_body(await read_body(request, request.app[SETTINGS]), media_type, request.charset, sent)
    return sent


def _take_body(body: bytearray, media_type: str, charset: str | None, sent: Sent) -> None:
    """Take a body of which it must be seen what it is."""
    start = bytes(body[:1024]).lstrip(_BLANKS)
    said_json = media_type == "application/json" or media_type.endswith("+json")
    if not start:
        return
    if said_json or start[:1] in b"{[":
        sent.document = loads(body)
    elif body.startswith(b"PAR1"):
        sent.table = Table(PARQUET_TYPES[0], content=body)
    elif media_type == FORM and (b"=" in body.split(b"\n", 1)[0] or b"\n" not in body):
        for name, value in form_fields(body):
            sent.fields.add(name, value)
    elif b"\n" in body and (media_type in (FORM, "application/octet-stream") or media_type.startswith("text/")):
        sent.table = Table("text/csv", content=body, charset=charset)
    else:
        try:
            sent.document = loads(body)
        except errors.MalformedBody:
            raise errors.UnsupportedMedia(
                f"Send JSON, a form, a CSV file as text/csv or a Parquet file as {PARQUET_TYPES[0]}, not {media_type}."
            ) from None


class _Parts:
    """Takes the parts of a multipart body. Implements ``uploads.Receiver``."""

    def __init__(self, folder: Folder, sent: Sent, budget: uploads.Budget):
        self.budget = budget
        self._folder, self._sent = folder, sent

    def begin(self, part: MultipartSegment) -> uploads.Held | uploads.Saved:
        if not part.name:
            raise errors.MalformedBody("Every part of the multipart body must have a name.")
        if part.filename:
            return uploads.Saved(self._folder.new_file(part.filename), self.budget)
        return uploads.Held(self.budget)

    def end(self, part: MultipartSegment, content: uploads.Held | uploads.Saved) -> None:
        name, media_type = part.name or "", (part.content_type or "").lower()
        if isinstance(content, uploads.Saved):
            self._take_file(part, content.path, media_type)
        elif media_type == "application/json" and self._sent.document is NOTHING:
            self._sent.document = loads(content.content)
        else:
            try:
                self._sent.fields.add(name, content.content.decode(part.charset or "utf-8"))
            except (ValueError, LookupError):  # not every codec says what it cannot read by a UnicodeDecodeError
                said = f"The field {name!r} is not in the charset it claims to be in."
                raise errors.MalformedBody(said) from None

    def _take_file(self, part: MultipartSegment, path: Path, media_type: str) -> None:
        name, shown = part.name or "", shown_name(part.filename or "")
        suffix = shown.lower().rpartition(".")[2]
        if suffix in ("parquet", "pq") or media_type in PARQUET_TYPES:
            media_type = PARQUET_TYPES[0]
        elif suffix in ("csv", "tsv") or media_type in CSV_TYPES:
            media_type = "text/tab-separated-values" if suffix == "tsv" else "text/csv"
        else:
            self._sent.files[name] = Upload(
                name=name, filename=str(path), content_type=media_type, original_filename=shown
            )
            return
        if self._sent.table is not None:
            raise errors.InvalidInput([errors.Issue(f"/{name}", "Only one file of rows is taken at a time.")])
        self._sent.table = Table(media_type, path, charset=part.charset)
