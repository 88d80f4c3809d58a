"""The one dictionary that hooks of older DEEPaaS models are given, with the payload among the arguments.

Three kinds of models want one. Those for DEEPaaS 0.5 find the upload under ``files``, as an open file with a ``save``
method, and reach arguments as attributes, too. Those before it were given nothing but a list with the payload, and ask
the dictionary for item 0. And later ones have functions ``predict_data(args)`` and ``predict_url(args)`` that their own
``predict`` calls with the arguments it got, the upload being a file on disk.
"""

import io
import os
from collections.abc import Mapping
from typing import Any, Optional

from . import compat, frames


class Configuration(dict[str, Any]):
    """Arguments by name, as items and as attributes; item 0 is the payload itself."""

    payload: Any = None

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __missing__(self, key: Any) -> Any:
        if key == 0 and self.payload is not None:
            return self.payload
        raise KeyError(key)


class Payload:
    """What a call predicts from, in the shapes that older models know.

    Args:
        hook: Which function is called.
        sent: What the server says of the payload.
        body: Its bytes, unless they are a file already or a URL.
        data: For ``predict_data``: the value they stand for.
    """

    def __init__(self, hook: str, sent: Mapping[str, Any], body: frames.Buffer, data: Any = None):
        self._hook = hook
        self._sent = sent
        self._body = body
        self._data = data
        self._made: Optional[str] = None

    def put_into(self, values: dict[str, Any], name: Optional[str]) -> Configuration:
        """The arguments with the payload beside them.

        Args:
            values: The arguments by name.
            name: Where the model's own fields have the payload; None for models that declare no fields.
        """
        configuration = Configuration(values)
        if name is not None:
            mine = self._sent["url"] if self._hook == "predict_url" else self._file_on_disk(name)
            configuration[name] = mine
            configuration["urls" if self._hook == "predict_url" else "files"] = [mine]
        elif self._hook == "predict_url":
            configuration.update(urls=self._sent.get("urls") or [self._sent["url"]], url=self._sent["url"])
            configuration.payload = self._sent["url"]
        else:
            self._put_storage(configuration)
        return configuration

    def forget(self) -> None:
        """Remove the file that was made, if the model has not done so."""
        if self._made is not None and os.path.exists(self._made):
            os.remove(self._made)

    def _put_storage(self, configuration: Configuration) -> None:
        content = self._content()
        configuration["files"] = [
            compat.FileStorage(io.BytesIO(content), self._sent.get("filename") or "data", "data", self._content_type)
        ]
        if self._hook == "predict_data":
            configuration["data"] = self._data
        configuration.payload = content

    def _content(self) -> bytes:
        if "path" not in self._sent:
            return bytes(self._body)
        with open(self._sent["path"], "rb") as file:
            return file.read()

    def _file_on_disk(self, name: str) -> Any:
        original = self._sent.get("filename") or "data"
        path = self._sent.get("path")
        if path is None:
            import tempfile

            descriptor, path = tempfile.mkstemp(suffix=os.path.splitext(original)[1])
            self._made = path
            with open(descriptor, "wb") as file:
                file.write(self._body)
        make = compat.uploaded_file()
        return make(name=name, filename=path, content_type=self._content_type, original_filename=original)

    @property
    def _content_type(self) -> str:
        return self._sent.get("content_type") or "application/octet-stream"
