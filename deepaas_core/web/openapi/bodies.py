"""The arguments of one function, as the bodies and parameters of its route."""

from __future__ import annotations

from collections.abc import Mapping

from deepaas_core.domain.arguments import Argument, Kind
from deepaas_core.web.openapi.examples import example_of
from deepaas_core.web.openapi.parts import FORM, JSON, MULTIPART, Json, code, members

#: Where an argument that is read from one place alone stands in OpenAPI, unless that is the body.
_PLACES = {
    "query": "query",
    "querystring": "query",
    "header": "header",
    "headers": "header",
    "cookie": "cookie",
    "cookies": "cookie",
}


class Declared:
    """What one function can be told.

    Args:
        arguments: What the model declares.
        schemas: The same in OpenAPI.
        payload: The member of the body that carries the input itself; an argument of that name is not listed.
    """

    def __init__(self, arguments: Mapping[str, Argument], schemas: Mapping[str, Json], payload: str = ""):
        self._arguments = {key: argument for key, argument in arguments.items() if key != payload}
        self._schemas = schemas

    @property
    def required(self) -> bool:
        """Whether there is no valid request without a body."""
        return any(one.required and one.location not in _PLACES for one in self._arguments.values())

    def bodies(self) -> Json:
        """JSON and forms; no JSON where a required file could not come with it."""
        files = [argument for argument in self._arguments.values() if _carries_file(argument)]
        if any(argument.required for argument in files):
            return {MULTIPART: self.multipart({})}
        if files:
            return {MULTIPART: self.multipart({}), JSON: self.json({})}
        return {JSON: self.json({}), **self.forms({})}

    def json(self, payload: Json) -> Json:
        """A JSON object, with an example that is a valid request wherever one can be made up."""
        keys = self._keys("json", files=False)
        example = {key: example_of(schema) for key, schema in payload.items()}
        for key in keys:
            if "default" in self._schemas[key] or self._arguments[key].required:
                example[key] = example_of(self._schemas[key])
        return {"schema": self._body(payload, keys), "example": example}

    def forms(self, payload: Json) -> Json:
        """Both kinds of forms."""
        return {FORM: self._form(payload, files=False), MULTIPART: self.multipart(payload)}

    def multipart(self, payload: Json) -> Json:
        """The form that can carry files."""
        return self._form(payload, files=True)

    def parameters(self) -> list[Json]:
        """The arguments that are read from one place alone, outside the body."""
        return [
            self._parameter(key, self._schemas[key], _PLACES[argument.location], argument.required)
            for key, argument in self._arguments.items()
            if argument.location in _PLACES and not _carries_file(argument)
        ]

    def beside_raw_bodies(self) -> list[Json]:
        """The arguments in the query, for bodies that are nothing but data.

        They are neither required nor filled in: the query is sent with a JSON body or a form as well, and would
        quietly outrank what the reader has written there.
        """
        parameters = []
        for key in self._keys(None, files=False):
            schema = dict(self._schemas[key])
            notes = ["For a body that is nothing but data"]
            if self._arguments[key].required:
                notes.append("required there")
            if "default" in schema:
                notes.append(f"by default {code(schema.pop('default'))}")
            words = [schema.get("description", ""), f"{'; '.join(notes)}."]
            schema["description"] = "\n\n".join(filter(None, words))
            parameters.append(self._parameter(key, schema, "query", required=False))
        return parameters

    def _keys(self, place: str | None, files: bool) -> list[str]:
        return [
            key
            for key, argument in self._arguments.items()
            if argument.location in (None, place) and (files or not _carries_file(argument))
        ]

    def _form(self, payload: Json, files: bool) -> Json:
        """A form; each item of an array is a field of its own."""
        keys = self._keys("form", files)
        arrays = [key for key in keys if self._schemas[key].get("type") == "array"]
        form: Json = {"schema": self._body(payload, keys)}
        if arrays:
            form["encoding"] = {key: {"style": "form", "explode": True} for key in arrays}
        return form

    def _body(self, payload: Json, keys: list[str]) -> Json:
        required = [*payload, *(key for key in keys if self._arguments[key].required)]
        properties = {**payload, **{key: self._schemas[key] for key in keys}}
        return {**members(properties, required), "additionalProperties": False}

    def _parameter(self, key: str, schema: Json, place: str, required: bool) -> Json:
        bare = {name: value for name, value in schema.items() if name != "description"}
        is_object = bare.get("type") == "object"  # goes as JSON text, not spread out over many parameters
        return {
            "name": key,
            "in": place,
            "required": required,
            **({"description": schema["description"]} if "description" in schema else {}),
            **({"content": {JSON: {"schema": bare}}} if is_object else {"schema": bare}),
        }


def _carries_file(argument: Argument) -> bool:
    return argument.kind is Kind.FILE or (argument.items is not None and _carries_file(argument.items))
