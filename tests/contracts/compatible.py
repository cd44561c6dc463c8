"""Whether one JSON Schema allows no more than another, as far as it can be told from them.

It may say no where a cleverer look would say yes; it never says yes where the answer is no.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

Schema = Mapping[str, Any]

NOT_ASSERTED = {
    *("$schema", "$id", "$comment", "$defs", "title", "description", "examples"),
    *("default", "deprecated", "format"),
}
"""Keywords that refuse nothing."""
AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
LOOKED_AT = {
    *("type", "const", "enum", "required", "properties", "additionalProperties"),
    *("items", "anyOf", "$ref", *AT_LEAST, *AT_MOST),
}
OF_VALUES = {
    *("type", "const", "enum", "required", "properties", "items", "anyOf", "$ref"),
    *("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "pattern"),
    *("minLength", "maxLength"),
}
"""Keywords by which less may be sent than before, or which are looked into."""
OPEN = {"additionalProperties": True, "unevaluatedProperties": True}
"""What keywords mean where they are absent."""
TYPES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


def breaches(ours: Schema, theirs: Schema, fields_may_be_added: bool) -> list[str]:
    """Where `ours` may allow a document that `theirs` refuses.

    Args:
        ours: what documents are made by.
        theirs: what they are then held against.
        fields_may_be_added: fields that `theirs` does not name do not matter, so long as
            `ours` may leave them out. All that `theirs` names are still named; and `ours`
            refuses no document for its shape that `theirs` allows: whoever holds it
            against documents of later versions would refuse those.
    """
    comparison = _Comparison(ours, theirs, fields_may_be_added)
    found = list(comparison.of(ours, theirs, "$"))
    if fields_may_be_added:
        found.extend(comparison.closed(ours, theirs, "$"))
    return found


class _Comparison:
    def __init__(self, ours: Schema, theirs: Schema, fields_may_be_added: bool) -> None:
        self._ours, self._theirs = ours, theirs
        self._fields_may_be_added = fields_may_be_added

    def of(self, ours: Schema, theirs: Schema, at: str) -> Iterator[str]:
        ours, theirs = _resolved(ours, self._ours), _resolved(theirs, self._theirs)
        if "anyOf" in ours:
            rest = {k: v for k, v in ours.items() if k != "anyOf"}
            for number, branch in enumerate(ours["anyOf"]):
                resolved = _resolved(branch, self._ours)
                yield from self.of({**rest, **resolved}, theirs, f"{at}|{number}")
            return
        if "anyOf" in theirs:
            rest = {k: v for k, v in theirs.items() if k != "anyOf"}
            ways = [list(self.of(ours, branch, at)) for branch in theirs["anyOf"]]
            if all(ways):
                yield f"{at}: fits none of the alternatives: {min(ways, key=len)}"
            theirs = rest
        yield from self._values(ours, theirs, at)
        yield from self._fields(ours, theirs, at)
        if "items" in theirs:
            items, their_items = _schema(ours.get("items", {})), _schema(theirs["items"])
            yield from self.of(items, their_items, f"{at}[]")
        for keyword in theirs.keys() - LOOKED_AT - NOT_ASSERTED:
            if ours.get(keyword) != theirs[keyword] and not (
                keyword == "pattern" and _all_keep(ours, keyword, theirs[keyword])
            ):
                yield f"{at}: {keyword} is another"

    def closed(self, ours: Schema, theirs: Schema, at: str) -> Iterator[str]:
        """Where `ours` is closed to what `theirs` is open to, by other keywords than those
        of values."""
        ours, theirs = _resolved(ours, self._ours), _resolved(theirs, self._theirs)
        for keyword in (ours.keys() | theirs.keys()) - OF_VALUES - NOT_ASSERTED:
            absent = OPEN.get(keyword)
            if ours.get(keyword, absent) != theirs.get(keyword, absent):
                yield f"{at}: {keyword} is another"
        for number, branch in enumerate(ours.get("anyOf", ())):
            ways = [
                list(self.closed(branch, their_branch, f"{at}|{number}"))
                for their_branch in theirs.get("anyOf", [theirs])
            ]
            yield from min(ways, key=len)
        for name, field in ours.get("properties", {}).items():
            # Of a field that is added: it must be open as well.
            their_field = theirs.get("properties", {}).get(name, {})
            yield from self.closed(_schema(field), _schema(their_field), f"{at}.{name}")
        if "items" in ours:
            their_items = _schema(theirs.get("items", {}))
            yield from self.closed(_schema(ours["items"]), their_items, f"{at}[]")

    def _values(self, ours: Schema, theirs: Schema, at: str) -> Iterator[str]:
        if more := _types(ours) - _types(theirs):
            yield f"{at}: may be {sorted(more)} as well"
        allowed = _choices(theirs)
        if allowed is not None:
            chosen = _choices(ours)
            if chosen is None:
                yield f"{at}: may be anything, not only {sorted(allowed)}"
            elif not chosen <= allowed:
                yield f"{at}: may be {sorted(chosen - allowed)} as well"
        for keyword in theirs.keys() & {*AT_LEAST, *AT_MOST}:
            bound = theirs[keyword]
            if _choices(ours) is not None:
                if not _all_keep(ours, keyword, bound):
                    yield f"{at}: a choice is beyond {keyword} {bound}"
            elif keyword in AT_LEAST and ours.get(keyword, float("-inf")) < bound:
                yield f"{at}: {keyword} is less than {bound}"
            elif keyword in AT_MOST and ours.get(keyword, float("inf")) > bound:
                yield f"{at}: {keyword} is more than {bound}"

    def _fields(self, ours: Schema, theirs: Schema, at: str) -> Iterator[str]:
        for name in set(theirs.get("required", ())) - set(ours.get("required", ())):
            yield f"{at}.{name}: may be absent"
        if self._fields_may_be_added:
            for name in set(ours.get("required", ())) - set(theirs.get("required", ())):
                yield f"{at}.{name}: may no longer be absent"
        named = ours.get("properties", {})
        others = ours.get("additionalProperties", True)
        for name, field in theirs.get("properties", {}).items():
            if name in named:
                yield from self.of(_schema(named[name]), _schema(field), f"{at}.{name}")
            elif self._fields_may_be_added:
                yield f"{at}.{name}: is no longer named"
            elif others is not False:
                yield from self.of(_schema(others), field, f"{at}.{name}")
        their_others = theirs.get("additionalProperties", True)
        if self._fields_may_be_added and their_others is False:
            return
        if their_others is False and "object" in _types(ours):
            if others is not False or set(named) - set(theirs.get("properties", {})):
                yield f"{at}: may have further fields"
        elif their_others not in (True, False):
            if others is not False:
                yield from self.of(_schema(others), their_others, f"{at}.*")
            for name in set(named) - set(theirs.get("properties", {})):
                yield from self.of(named[name], their_others, f"{at}.{name}")


def _resolved(schema: Schema, root: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    target: Any = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    rest = {k: v for k, v in schema.items() if k != "$ref"}
    return {**_resolved(target, root), **rest}


def _schema(value: bool | Schema) -> Schema:
    """`true` allows everything, `false` nothing."""
    if isinstance(value, bool):
        return {} if value else {"not": {}}
    return value


def _choices(schema: Schema) -> set[str] | None:
    """The values that it names, as JSON; None if it names none."""
    if "const" in schema:
        return {json.dumps(schema["const"])}
    return {json.dumps(v) for v in schema["enum"]} if "enum" in schema else None


def _types(schema: Schema) -> set[str]:
    if (choices := _choices(schema)) is not None and "type" not in schema:
        named = {TYPES[type(json.loads(choice))] for choice in choices}
    else:
        named_type = schema.get("type", list(TYPES.values()))
        named = {named_type} if isinstance(named_type, str) else set(named_type)
    return named | ({"integer"} if "number" in named else set())


def _all_keep(ours: Schema, keyword: str, value: Any) -> bool:
    """Whether values are named, and `{keyword: value}` allows each of them."""
    choices = _choices(ours)
    validator = Draft202012Validator({keyword: value})
    return choices is not None and all(
        validator.is_valid(json.loads(choice)) for choice in choices
    )
