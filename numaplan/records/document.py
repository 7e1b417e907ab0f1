"""JSON text to a validated form: bounds, syntax, schema id, and the path of every mistake."""

import json
from collections.abc import Hashable, Iterable, Iterator
from typing import Final, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from numaplan.errors import InputError, Problem
from numaplan.records.fields import Known
from numaplan.records.places import KEY_ITSELF, Location, steps, where_again, where_named, wheres

# 8192 CPUs, 10,000 PCI functions, 20,000 interrupts and 500 guests make a document of about 11 MiB.
LIMIT_CHARACTERS: Final = 16 * 1024 * 1024
LIMIT_PROBLEMS: Final = 20
_CLIP: Final = 80
_MISSING: Final = "is missing"


class Form(BaseModel):
    """The shape of one JSON object: types are strict, keys that it does not know are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, defer_build=True)


FormT = TypeVar("FormT", bound=Form)


def load(text: str, file: str, *, form: type[FormT], schema: str) -> FormT:
    """The document in `text`; raises InputError with up to 20 mistakes, each with its place and its path."""
    document = _decode(text, file)
    _require_schema(document, text, file, schema=schema)
    try:
        return form.model_validate(document, context=Known())
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_context=True)
        raise _refusal([(mistake["loc"], _sentence(mistake)) for mistake in mistakes], text, file) from error


def refusal(mistakes: list[tuple[str, str]], text: str, file: str) -> InputError:
    """One InputError for (JSON path, sentence) pairs; there must be one at least, and no more than 20 are told."""
    return _refusal([(steps(path), sentence) for path, sentence in mistakes], text, file)


def _refusal(mistakes: list[tuple[Location, str]], text: str, file: str) -> InputError:
    told = mistakes[:LIMIT_PROBLEMS]
    # All of a text need not be walked for what is known not to be there.
    meant = [location[:-1] if sentence == _MISSING else location for location, sentence in told]
    places = wheres(text, file, meant)
    problems = [
        Problem(f"{_path(location)}: {sentence}", where)
        for (location, sentence), where in zip(told, places, strict=True)
    ]
    if more := len(mistakes) - len(problems):
        problems.append(Problem(f"and {more} more mistakes", file))
    error = InputError.of(tuple(problems))
    if not isinstance(error, InputError):
        raise TypeError("InputError.of makes an InputError")
    return error


def doubles(path: str, key: str, values: Iterable[Hashable]) -> Iterator[tuple[str, str]]:
    """(JSON path, sentence) for each entry of the list at `path` whose value (that of its `key`) stood there before."""
    seen: set[Hashable] = set()
    for i, value in enumerate(values):
        if value is not None and value in seen:
            shown = _found(value) if isinstance(value, str) else value
            yield f"{path}[{i}]{key and '.'}{key}", f"{shown} stands there twice"
        seen.add(value)


def _decode(text: str, file: str) -> dict[str, object]:
    if len(text) > LIMIT_CHARACTERS:
        raise InputError(f"the document has {len(text)} characters; at most {LIMIT_CHARACTERS} are read", file)
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        raise InputError(f"not JSON: {reason}", f"{file}:{error.lineno}:{error.colno}") from error
    except RecursionError as error:
        raise InputError("JSON not accepted: it is nested too deeply", file) from error
    except _TwiceError as error:
        key, where = where_again(text, file)
        raise InputError(f"JSON not accepted: the key {_found(key)} stands twice in one object", where) from error
    except _NamedError as error:
        raise InputError(f"JSON not accepted: {error} is not a JSON number", where_named(text, file)) from error
    except ValueError as error:
        raise InputError("JSON not accepted: a number has thousands of digits", file) from error
    if not isinstance(document, dict):
        raise InputError(f"expected a JSON object, found {_found(document)}", *wheres(text, file, [()]))
    return document


class _TwiceError(ValueError):
    """A key that stands twice in an object: the grammar of JSON allows it, and we do not."""


class _NamedError(ValueError):
    """A number that has a name in Python's JSON alone."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _TwiceError
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise _NamedError(name)


def _require_schema(document: dict[str, object], text: str, file: str, *, schema: str) -> None:
    found = document.get("schema")
    if found == schema:
        return
    (where,) = wheres(text, file, [("schema",) if "schema" in document else ()])
    if "schema" not in document:
        raise InputError(f'schema: is missing; expected "{schema}"', where, "is this a document of numaplan's?")
    kind = schema.rpartition("/")[0]
    newer = isinstance(found, str) and found.startswith(f"{kind}/")
    hint = "it is of another version of numaplan" if newer else "it is a document of another kind"
    raise InputError(f'schema: expected "{schema}", found {_found(found)}', where, hint)


def _path(location: Location) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier() and part.isascii():
            path += f".{part}" if path else part
        elif part != KEY_ITSELF:
            path += f"[{part[:_CLIP]!a}]"
    return path or "document"


def _sentence(mistake: ErrorDetails) -> str:
    context = mistake.get("ctx", {})
    match mistake["type"]:
        case "missing":
            return _MISSING
        case "is_instance_of":
            expected = "expected a string"
        case "int_type":
            expected = "expected a whole number"
        case "bool_type":
            expected = "expected true or false"
        case "list_type":
            expected = "expected a list"
        case "dict_type" | "model_type":
            expected = "expected an object"
        case "greater_than_equal":
            expected = f"expected a number of {context['ge']} or more"
        case "less_than_equal":
            expected = f"expected a number of {context['le']} or less"
        case "too_long":
            return f"has more than {context['max_length']} entries"
        case "string_unicode":
            expected = "expected text"
        case "enum" | "literal_error":
            expected = f"expected {context['expected']}"
        case _:
            expected = mistake["msg"]
    return f"{expected}, found {_found(mistake['input'])}"


def _found(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            clipped = value if len(value) <= _CLIP else value[:_CLIP] + "..."
            return ascii(clipped)
        case _:
            return str(value)[:_CLIP]
