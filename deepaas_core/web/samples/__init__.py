"""Sample code: a request as a program of a few lines, in each of the languages that people ask in.

A sample runs as it is pasted, once the reader has put a token in place of ``TOKEN`` where one is asked for. It is a
template that reads like the program it makes; what goes into it are literals of the language, whatever characters the
names of features may have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepaas_core.web.samples import literals

if TYPE_CHECKING:
    from jinja2 import Environment

#: What stands for a token.
TOKEN = "YOUR_TOKEN"
_PIECE_CHARS = 160  # of a text in Visual Basic, whose lines may not be long


@dataclass(frozen=True)
class Language:
    """A language that samples are written in.

    Attributes:
        id: By which it is asked for.
        title: What people call it.
        file: What a sample in it may be saved as.
        run: How that is run; empty where it is not on the command line.
    """

    id: str
    title: str
    file: str
    run: str = ""


LANGUAGES: Mapping[str, Language] = {
    language.id: language
    for language in (
        Language("curl", "curl", "sample.sh", "sh sample.sh"),
        Language("python", "Python", "sample.py", "python sample.py"),
        Language("r", "R", "sample.R", "Rscript sample.R"),
        Language("javascript", "JavaScript", "sample.js", "node sample.js"),
        Language("java", "Java", "Sample.java", "java Sample.java"),
        Language("vba", "VBA", "Sample.bas"),
    )
}


@dataclass(frozen=True)
class Asked:
    """A request of which samples are made: a POST of a JSON object.

    Attributes:
        url: Where it goes, percent-encoded.
        body: What it sends.
        answer: The member of the answer that the asker wants; empty is all of it.
        token: Whether it must show one.
        value: The name of something in the answer, for those who have to cut it out of the text.
    """

    url: str
    body: Mapping[str, Any]
    answer: str = ""
    token: bool = False
    value: str = ""


def write(language: str, asked: Asked) -> str:
    """A program that makes a request and prints what is answered."""
    body = dict(asked.body)
    return (
        _templates()
        .get_template(f"{language}.jinja")
        .render(
            asked=asked,
            body=body,
            body_fits_r=literals.fits_r(body),
            body_fits_javascript=literals.fits_javascript(body),
            compact=literals.in_one_line(body),
            token=TOKEN,
        )
    )


def write_all(asked: Asked) -> dict[str, str]:
    """The programs in all languages, by the language's id."""
    return {language: write(language, asked) for language in LANGUAGES}


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE_CHARS] for start in range(0, len(text), _PIECE_CHARS)]


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # as for the pages, no start should wait for it

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,  # these are programs, not pages
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {
        "shell": literals.in_shell,
        "in_python": literals.in_python,
        "in_json": literals.in_json,
        "in_r": literals.in_r,
        "in_java": literals.in_java,
        "in_visual_basic": literals.in_visual_basic,
        "json": literals.JSON.write,
        "plain_json": literals.plain_json,
        "python": literals.PYTHON.write,
        "javascript": literals.JAVASCRIPT.write,
        "r": literals.R.write,
        "pieces": _pieces,
    }
    return templates
