"""What a script defines, seen without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from deepaas_core.errors import Fault, did_you_mean

_R_FUNCTION = re.compile(r"^\s*`?([A-Za-z.][\w.]*)`?\s*(?:<<?-|=)\s*(function\b|\\\(|\S)", re.MULTILINE)
_R_ELSEWHERE = re.compile(r"\b(?:source|library|require|load|attach|assign)\s*\(")


@dataclass(frozen=True)
class Script:
    """What is known of a script.

    Attributes:
        path: Below the service's folder.
        functions: The names of its functions.
        others: What else its text gives a name, and may be called.
        open: It may have names that do not stand in it.
        reason: Why nothing is known.
        faults: What is wrong with it.
    """

    path: str
    functions: Collection[str] = ()
    others: Collection[str] = ()
    open: bool = False
    reason: str = ""
    faults: tuple[Fault, ...] = ()

    def complaint(self, function: str) -> str:
        """A sentence if it surely has no such function; else nothing."""
        if self.reason:
            return self.reason
        first = function if self.path.endswith((".R", ".r")) else function.partition(".")[0]
        if self.faults or self.open or first in self.functions or first in self.others:
            return ""
        has = ", ".join(sorted(self.functions)) or "none"
        close = did_you_mean(first, self.functions)
        return f"{self.path} has no function {first!r}; its functions: {has}.{close}"


def look_into(folder: Path, path: str) -> Script:
    """Read a script.

    Args:
        folder: The service's.
        path: Below it.
    """
    try:
        source = (folder / path).read_bytes()
    except FileNotFoundError:
        close = did_you_mean(path, (found.name for found in folder.iterdir() if found.suffix in (".py", ".R", ".r")))
        return Script(path, reason=f"There is no file {path}.{close}")
    except OSError as error:
        return Script(path, reason=f"{path} cannot be read: {error.strerror}.")
    return _of_python(path, source) if path.endswith(".py") else _of_r(path, source)


def _of_python(path: str, source: bytes) -> Script:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        fault = Fault(path, error.lineno or 0, "", f"This is not valid Python: {error.msg}.")
        return Script(path, faults=(fault,))
    except (ValueError, RecursionError, MemoryError):
        return Script(path, faults=(Fault(path, 0, "", "This is not valid Python."),))
    bound = list(_bound(tree.body))
    functions = [name for name, is_function in bound if is_function]
    others = [name for name, is_function in bound if not is_function]
    return Script(path, functions, others, open="*" in others)


def _bound(statements: list[ast.stmt]) -> Iterator[tuple[str, bool]]:
    """Every name that the top level of a module gives to something, and whether that is a function or class."""
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name, True
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                yield alias.asname or alias.name.partition(".")[0], False
        elif isinstance(statement, ast.If | ast.For | ast.While | ast.Try | ast.TryStar | ast.With | ast.Match):
            for blocks in ast.iter_fields(statement):
                yield from _in_blocks(blocks[1])
        for node in ast.walk(statement) if isinstance(statement, ast.Assign | ast.AnnAssign | ast.With) else ():
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id, False


def _in_blocks(block: object) -> Iterator[tuple[str, bool]]:
    if not isinstance(block, list):
        return
    yield from _bound([inner for inner in block if isinstance(inner, ast.stmt)])
    for inner in block:
        if isinstance(inner, ast.ExceptHandler | ast.match_case):
            yield from _bound(inner.body)


def _of_r(path: str, source: bytes) -> Script:
    text = source.decode("utf-8", "replace")
    names = [(name, value) for name, value in _R_FUNCTION.findall(text)]
    functions = [name for name, value in names if value.startswith(("function", "\\"))]
    others = [name for name, value in names if name not in functions]
    return Script(path, functions, others, open=bool(_R_ELSEWHERE.search(text)))
