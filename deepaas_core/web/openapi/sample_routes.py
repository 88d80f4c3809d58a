"""Sample code in the document."""

from __future__ import annotations

from deepaas_core.web.openapi.parts import API, Json, answer, members, problems
from deepaas_core.web.samples import LANGUAGES

_TEXT: Json = {"type": "string"}


def sample_paths() -> dict[str, Json]:
    """The operations, by path and method."""
    return {
        f"{API}/services/{{service}}/samples": {"get": _samples("service", "endpoint", "Services")},
        f"{API}/models/{{model}}/samples": {"get": _samples("model", "function", "Models")},
    }


def _samples(of: str, part: str, tag: str) -> Json:
    texts = {"type": "object", "additionalProperties": _TEXT, "description": "Programs, by language."}
    ok = answer("They print the answer.", members({of: _TEXT, part: _TEXT, "samples": texts}, ["samples"]))
    ok["content"]["text/plain"] = {"schema": _TEXT}
    language = {"type": "string", "enum": list(LANGUAGES)}
    return {
        "tags": [tag],
        "operationId": f"get_{of}_samples",
        "summary": f"Programs that ask a {of}",
        "parameters": [
            {**_parameter(of, "Its name.", _TEXT, "path"), "required": True},
            _parameter("language", "Only this one, as text.", language),
            _parameter(part, "What of it is asked; without, the first that can be.", _TEXT),
            _parameter("server", "The address of this server that the programs shall use.", _TEXT),
        ],
        "responses": {"200": ok, **problems(404, 422, 503)},
    }


def _parameter(name: str, description: str, schema: Json, where: str = "query") -> Json:
    return {"name": name, "in": where, "schema": schema, "description": description}
