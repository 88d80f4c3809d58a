"""What a plugin offers: its hooks, what each can be told, and how it is called, settled once after loading.

The author's own objects stay here; the server gets a plain description, and sends plain values back.
"""

import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional

from . import from_dicts, from_fields, from_hints
from .checking import match
from .declared import Declared, Plain, Unfit, pointer_to, text_of
from .dictionary import Configuration
from .scripts import Script

Hook = Callable[..., Any]

PREDICT_HOOKS = ("predict", "predict_data", "predict_file", "predict_url", "predict_batch")
#: Those whose first positional parameter is the payload.
PAYLOAD_HOOKS = ("predict_data", "predict_file", "predict_url", "predict_batch")
TRAIN, GET_TRAIN_ARGS, GET_PREDICT_ARGS = "train", "get_train_args", "get_predict_args"
HOOKS = ("get_metadata", GET_TRAIN_ARGS, GET_PREDICT_ARGS, TRAIN, *PREDICT_HOOKS, "warm", "get_signature")
OLDER_NAMES = {GET_PREDICT_ARGS: "get_test_args"}
KEYWORDS, DICTIONARY = "keywords", "dictionary"
MAX_ISSUES = 100
_CONFIGURATION = re.compile(
    r"(args|arguments|conf|config|configuration|kwargs|params|parameters|options|opts)"
    r"|user_conf|user_config|\w+_(args|arguments|conf|config|kwargs|params|parameters|options|opts)"
)


class Invalid(Exception):
    """Values that the author's own declarations refuse.

    Attributes:
        issues: For each, a JSON pointer and what was expected.
    """

    def __init__(self, issues: Sequence[tuple[str, str]]):
        super().__init__(list(issues))
        self.issues = list(issues)


class Shape(NamedTuple):
    """How a hook can be called, as its signature says.

    Attributes:
        positional: Names of the parameters that can be given by position, in order.
        accepted: Names that can be given by keyword.
        any_keyword: It has ``**kwargs``.
        any_positional: The name of its ``*args``.
        parameters: All of them; None if it has no signature to look at.
    """

    positional: tuple[str, ...]
    accepted: tuple[str, ...]
    any_keyword: bool
    any_positional: Optional[str]
    parameters: Optional[tuple[inspect.Parameter, ...]]


class Description:
    """A plugin, inspected.

    Attributes:
        hooks: The functions it has, by the name of the capability.
        declared: The arguments of each hook, by the key a request uses.
        styles: How each is called: with ``keywords``, or with one ``dictionary``.
        payload_names: Where in its dictionary a hook has the payload, if its model declares fields.
        script: The plugin, if it is the function of a script, which is given what a request says, by name.
        any_keyword: Hooks that take whatever else they are given; only of scripts.
        warnings: What its author should look at.
    """

    def __init__(self, plugin: Any):
        self.warnings: list[str] = []
        self._oldest = not hasattr(plugin, GET_PREDICT_ARGS) and hasattr(plugin, OLDER_NAMES[GET_PREDICT_ARGS])
        self.hooks = self._find_hooks(plugin)
        self.declared: dict[str, dict[str, Declared]] = {}
        self.styles: dict[str, str] = {}
        self.payload_names: dict[str, str] = {}
        self._dropped: dict[str, frozenset[str]] = {}
        self.script = plugin if isinstance(plugin, Script) else None
        self.any_keyword: list[str] = []
        if self.script is not None:
            self._describe_script(self.script)
        else:
            self._describe_family(GET_TRAIN_ARGS, (TRAIN,))
            self._describe_family(GET_PREDICT_ARGS, PREDICT_HOOKS)
        self._response: Optional[list[Plain]] = None
        self._schema: Any = None
        self._inspect_schema(getattr(plugin, "schema", None))

    def plain(self) -> dict[str, Any]:
        """The description as the server gets it."""
        capabilities = [name for name in HOOKS if name in self.hooks]
        arguments = {hook: [one.plain for one in found.values()] for hook, found in self.declared.items()}
        if "predict_batch" in self.hooks:  # it answers single calls of predict/data, too
            arguments["predict_data"] = arguments["predict_batch"]
            capabilities += [] if "predict_data" in self.hooks else ["predict_data"]
        return {
            "capabilities": capabilities,
            "arguments": arguments,
            "styles": self.styles,
            "docs": {hook: inspect.getdoc(function) or "" for hook, function in self.hooks.items()},
            "response": self._response,
            "warnings": self.warnings,
            "any_keyword": self.any_keyword,
        }

    def deserialize(self, hook: str, values: Mapping[str, Any], judging: bool = False) -> dict[str, Any]:
        """Turn what the server sends into what the hook is given.

        Args:
            hook: Its name.
            values: JSON-native values by key, checked against the description and with its defaults filled in.
            judging: They are not checked yet: something may also be missing.

        Returns:
            Values by the names that the hook knows.

        Raises:
            Invalid: The author's own declarations refuse some of them.
        """
        given: dict[str, Any] = {}
        issues: list[tuple[str, str]] = []
        dropped = self._dropped.get(hook, frozenset())
        for key, declared in self.declared.get(hook, {}).items():
            if declared.name in dropped:
                continue
            try:
                if key in values:
                    given[declared.name] = _checked(declared, values[key])
                elif judging and declared.plain.get("required"):
                    issues += _missing(key, declared)
                elif declared.supplies:
                    given[declared.name] = declared.default()
            except Exception as error:  # the author's field, validator or type: whatever it raises, it refuses
                issues += _refusal(key, error)
        if hook in self.any_keyword:
            given.update({key: value for key, value in values.items() if key not in self.declared[hook]})
        if issues:
            raise Invalid(issues[:MAX_ISSUES])
        return Configuration(given) if self._oldest and self.styles.get(hook) == DICTIONARY else given

    def check_response(self, value: Any) -> Optional[str]:
        """Check a result with the model's own response schema; gives what is wrong with it, or None."""
        if self._schema is None:
            return None
        complaint = self._complaint(value)
        return complaint and self._complaint_as_json(value, complaint)

    def _complaint(self, value: Any) -> Optional[str]:
        try:
            self._schema.load(value)
        except Exception as error:
            messages = _refusal("", error)
            return "; ".join(f"{pointer or '(the whole)'}: {text}" for pointer, text in messages[:20])
        return None

    def _complaint_as_json(self, value: Any, complaint: str) -> Optional[str]:
        """A second look: a date or an array fits a schema if what becomes of it in JSON does."""
        from . import encoding

        try:
            plain = json.loads(encoding.encode(value))
        except Exception:  # encoding the answer will tell
            return complaint
        return self._complaint(plain)

    # Looking at the plugin.

    def _find_hooks(self, plugin: Any) -> dict[str, Hook]:
        found: dict[str, Hook] = {}
        for name in HOOKS:
            for spelling in filter(None, (name, OLDER_NAMES.get(name))):
                hook = getattr(plugin, spelling, None)
                if callable(hook):
                    found.setdefault(name, hook)
                elif hook is not None:
                    self.warnings.append(f"{spelling} is not a function but {_kind(hook)}; it is left out.")
        return found

    def _describe_family(self, source: str, hooks: tuple[str, ...]) -> None:
        declaration = self._ask(source)
        for hook in (name for name in hooks if name in self.hooks):
            if declaration is None:
                self._describe_from_hints(hook)
            else:
                self._describe_declared(hook, source, declaration)
        if declaration is not None and not any(name in self.hooks for name in hooks):
            self.styles[hooks[0]] = KEYWORDS
            self.declared[hooks[0]] = _by_key(self._read(source, declaration, text=False))

    def _ask(self, source: str) -> Any:
        """What ``get_…_args`` declares; None if there is no such function, or it says so."""
        if source not in self.hooks:
            return None
        try:
            declaration = self.hooks[source]()
        except NotImplementedError:
            del self.hooks[source]
            return None
        if declaration is None:
            return {}
        if not isinstance(declaration, Mapping) and not from_fields.is_schema(declaration):
            raise TypeError(f"{source}() must return a dict of arguments, not {_kind(declaration)}")
        return declaration

    def _read(self, source: str, declaration: Any, text: bool) -> Iterable[Declared]:
        entries: Mapping[Any, Any] = from_fields.fields_of(declaration)
        fields = from_fields.bound({name: entry for name, entry in entries.items() if from_fields.is_field(entry)})
        for name, entry in entries.items():
            if not isinstance(name, str):
                self._warn(f"{source}() calls an argument {name!r}; names must be strings, so it is left out.")
                continue
            if isinstance(entry, type) and from_fields.is_field_class(entry):
                entry = entry()
            field = fields.get(name, entry)
            declared = from_fields.declare(name, field) if from_fields.is_field(field) else None
            if declared is None and not from_fields.is_field(field):
                declared = from_dicts.declare(name, entry, text)
            if declared is not None:
                yield declared

    def _describe_declared(self, hook: str, source: str, declaration: Any) -> None:
        shape = shape_of(self.hooks[hook])
        names = set(from_fields.fields_of(declaration))
        style = DICTIONARY if self._oldest and _oldest_shape(hook, shape, names) else _style(hook, shape, names, True)
        declared = _by_key(self._read(source, declaration, text=style == DICTIONARY))
        self.styles[hook], self.declared[hook] = style, declared
        explanations = from_hints.explanations(inspect.getdoc(self.hooks[hook]) or "")
        for one in declared.values():
            if one.name in explanations:
                one.plain.setdefault("help", explanations[one.name])
        if style == KEYWORDS:
            self._fit(hook, source, shape, declared)
        elif hook in PAYLOAD_HOOKS and any(one.field is not None for one in declared.values()):
            self._make_room(hook, declared)

    def _make_room(self, hook: str, declared: dict[str, Declared]) -> None:
        """Find out under which of its declared names a hook looks for the payload, and ask nobody else for that."""
        if hook == "predict_url":
            usual, fitting = "urls", [key for key, one in declared.items() if one.name in ("urls", "url")]
        else:
            usual, fitting = "files", [key for key, one in declared.items() if one.plain["kind"] == "file"]
        fitting.sort(key=lambda key: not declared[key].plain.get("required"))
        self.payload_names[hook] = declared.pop(fitting[0]).name if fitting else usual

    def _fit(self, hook: str, source: str, shape: Shape, declared: dict[str, Declared]) -> None:
        """See which declared arguments the hook can take, and which of its parameters nobody can give."""
        payload = _payload_name(hook, shape)
        if payload is not None:  # its place is taken: asking a client for it would be wrong
            for key in [key for key, one in declared.items() if one.name == payload]:
                del declared[key]
        names = {one.name for one in declared.values()}
        refused = set() if shape.any_keyword else names.difference(shape.accepted)
        refused.update(_only_positional(shape) & names)
        self._dropped[hook] = frozenset(refused)
        for name in sorted(refused):
            self._warn(f"{source}() declares {name!r}, but {hook}() takes no such argument; it is not passed on.")
        for parameter in shape.parameters or ():
            needed = parameter.default is parameter.empty and parameter.kind in _NAMED
            if needed and parameter.name not in names and parameter.name != payload:
                self._warn(f"{hook}() needs {parameter.name!r}, but {source}() does not declare it.")

    def _describe_from_hints(self, hook: str) -> None:
        shape = shape_of(self.hooks[hook])
        self.styles[hook] = _style(hook, shape, set(), declares=False)
        self.declared[hook] = {}
        if self.styles[hook] == DICTIONARY:
            if hook in PAYLOAD_HOOKS and "predict" in self.hooks:
                self._make_room(hook, {})
            return
        self._declare_parameters(hook, shape)

    def _describe_script(self, script: Script) -> None:
        self.styles["predict"] = KEYWORDS
        self.declared["predict"] = {}
        any_keyword = script.any_keyword
        if script.declared is not None:
            self.declared["predict"] = script.declared
        else:
            shape = shape_of(script.predict)
            any_keyword = shape.any_keyword
            self._declare_parameters("predict", shape)
        self.any_keyword = ["predict"] if any_keyword else []

    def _declare_parameters(self, hook: str, shape: Shape) -> None:
        function = self.hooks[hook]
        hints = from_hints.annotations(function)
        explanations = from_hints.explanations(inspect.getdoc(function) or "")
        payload = _payload_name(hook, shape)
        for parameter in shape.parameters or ():
            name = parameter.name
            if parameter.kind in _BY_KEYWORD and name != payload:
                hint = hints.get(name, parameter.empty)
                self.declared[hook][name] = from_hints.declare(parameter, hint, explanations.get(name, ""))
        for name in sorted(_only_positional(shape) - {payload}):
            self._warn(f"{hook}() takes {name!r} by position only, so nobody can give it.")

    def _inspect_schema(self, schema: Any) -> None:
        if schema is None or (callable(schema) and not from_fields.is_schema(schema)):
            return
        if not isinstance(schema, Mapping) and not from_fields.is_schema(schema):
            self._warn(
                f"schema is neither a dict of fields nor a marshmallow schema but {_kind(schema)}; it is ignored."
            )
            return
        if isinstance(schema, Mapping) and not (schema and all(map(from_fields.is_field, schema.values()))):
            self._warn("schema is a dict, but not one of marshmallow fields; it is ignored.")
            return
        try:
            self._schema = from_fields.make_schema(schema)
            self._response = from_fields.describe_response(self._schema)
        except Exception as error:
            self._warn(f"schema cannot be used: {text_of(error)}; it is ignored.")

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def describe(plugin: Any) -> Description:
    """Inspect a plugin: a module, or any object whose attributes are the hooks.

    Raises:
        Exception: What ``get_train_args`` or ``get_predict_args`` raises, ``NotImplementedError`` excepted.
    """
    return Description(plugin)


_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def shape_of(hook: Hook) -> Shape:
    """How a function can be called."""
    try:
        parameters = tuple(inspect.signature(hook).parameters.values())
    except (TypeError, ValueError):  # written in C
        return Shape((), (), True, None, None)
    any_positional = [one.name for one in parameters if one.kind is one.VAR_POSITIONAL]
    return Shape(
        positional=tuple(one.name for one in parameters if one.kind in _BY_POSITION),
        accepted=tuple(one.name for one in parameters if one.kind in _BY_KEYWORD),
        any_keyword=any(one.kind is one.VAR_KEYWORD for one in parameters),
        any_positional=any_positional[0] if any_positional else None,
        parameters=parameters,
    )


def _style(hook: str, shape: Shape, names: "set[str]", declares: bool) -> str:
    """Whether the hook takes one dictionary, as the two oldest generations of DEEPaaS models do."""
    if shape.parameters is None or len(shape.parameters) != 1 or shape.any_keyword:
        return KEYWORDS
    sole = shape.parameters[0]
    if sole.kind is sole.VAR_POSITIONAL:
        return DICTIONARY
    if sole.kind not in _BY_POSITION or sole.name in names:
        return KEYWORDS
    if hook in PAYLOAD_HOOKS or not declares:
        return DICTIONARY if _CONFIGURATION.fullmatch(sole.name) else KEYWORDS
    return DICTIONARY


def _oldest_shape(hook: str, shape: Shape, names: "set[str]") -> bool:
    """Whether a hook can be what DEEPaaS 0.5 wanted, which gave everything in one dictionary by position.

    Only that version knew ``get_test_args``.
    """
    if hook not in ("predict_data", "predict_url") or shape.parameters is None or names.intersection(shape.accepted):
        return False
    if shape.any_keyword:
        return shape.any_positional is not None and not shape.positional
    needed = [one for one in shape.parameters if one.default is one.empty and one.kind in _NAMED]
    return len(needed) <= 1 and bool(shape.positional or shape.any_positional)


def _payload_name(hook: str, shape: Shape) -> Optional[str]:
    return shape.positional[0] if hook in PAYLOAD_HOOKS and shape.positional else None


def _only_positional(shape: Shape) -> "set[str]":
    return {one.name for one in shape.parameters or () if one.kind is one.POSITIONAL_ONLY}


def _by_key(declared: Iterable[Declared]) -> dict[str, Declared]:
    return {one.key: one for one in declared}


def _checked(declared: Declared, sent: Any) -> Any:
    if declared.field is None:
        match(declared.plain, sent)
    return declared.value(sent)


def _missing(key: str, declared: Declared) -> list[tuple[str, str]]:
    words = getattr(declared.field, "error_messages", None) or {}
    return from_fields.flatten(words.get("required", "Missing data for required field."), pointer_to(key))


def _refusal(key: str, error: Exception) -> list[tuple[str, str]]:
    pointer = pointer_to(key) if key else ""
    if from_fields.is_refusal(error):
        return from_fields.flatten(getattr(error, "messages", ""), pointer)
    return Unfit.issues_of(error, pointer)


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"
