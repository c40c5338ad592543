"""What schemathesis is told besides: the scalars of the schema, and a check of every answer against the schema.

Its own checks look for answers that are no JSON and for status 5xx. This one walks what was answered beside what
was asked: nothing that was not asked for, no null where the schema has none, values of the type that is declared.
"""

import datetime
import hashlib
import json
import os
import re

import graphql
import schemathesis
from hypothesis import strategies as st
from schemathesis import graphql as dialect
from schemathesis.specs.graphql import validation

DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z")
DECIMAL = re.compile(r"-?\d+(\.\d+)?")

with open(os.environ["BESTY_SCHEMA"], encoding="utf-8") as file:
    SCHEMA = graphql.build_schema(file.read())

# What it takes for the client's fault is a list of common codes; a generated cursor is refused with one of ours.
validation.CLIENT_ERROR_MARKERS |= {"CURSOR_INVALID"}


def text(strategy):
    return strategy.map(lambda value: graphql.StringValueNode(value=value))


dialect.scalar("Date", text(st.dates().map(lambda date: date.isoformat())))
dialect.scalar("DateTime", text(st.datetimes(timezones=st.just(datetime.UTC)).map(lambda at: at.isoformat())))
dialect.scalar("Decimal", text(st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str)))


def fail(path, problem):
    raise AssertionError(f"{'.'.join(map(str, path)) or 'data'}: {problem}")


def walk(kind, node, value, fragments, path):
    """Whether a value is what the schema says."""
    if graphql.is_non_null_type(kind):
        if value is None:
            fail(path, f"null for {kind}")
        return walk(kind.of_type, node, value, fragments, path)
    if value is None:
        return None
    if graphql.is_list_type(kind):
        if not isinstance(value, list):
            fail(path, f"{value!r} for {kind}")
        for index, entry in enumerate(value):
            walk(kind.of_type, node, entry, fragments, [*path, index])
        return None
    if graphql.is_leaf_type(kind):
        return leaf(kind, value, path)
    if not isinstance(value, dict):
        fail(path, f"{value!r} for {kind}")
    return fields(kind, node.selection_set, value, fragments, path)


def leaf(kind, value, path):
    def is_(kinds):
        return isinstance(value, kinds) and not isinstance(value, bool)

    whole = {"Date": DATE, "DateTime": INSTANT, "Decimal": DECIMAL}
    if graphql.is_enum_type(kind):
        fits = value in kind.values
    elif kind.name in whole:
        fits = isinstance(value, str) and whole[kind.name].fullmatch(value) is not None
    else:
        fits = {
            "Int": is_(int) and -(2**31) <= value < 2**31 if is_(int) else False,
            "Float": is_((int, float)),
            "Boolean": isinstance(value, bool),
        }.get(kind.name, isinstance(value, str))
    if not fits:
        fail(path, f"{value!r} for {kind}")


def fields(kind, selections, value, fragments, path):
    asked = dict(collect(kind, selections, fragments))
    if set(asked) != set(value):
        fail(path, f"asked for {sorted(asked)}, answered {sorted(value)}")
    for key, node in asked.items():
        name = node.name.value
        if name == "__typename":
            if value[key] != kind.name and not graphql.is_abstract_type(kind):
                fail(path, f"{value[key]!r} for a {kind}")
            continue
        walk(kind.fields[name].type, node, value[key], fragments, [*path, key])


def collect(kind, selections, fragments):
    """The fields that are asked for, by the names they are answered under."""
    for node in selections.selections if selections else []:
        if isinstance(node, graphql.FieldNode):
            yield (node.alias or node.name).value, node
        elif isinstance(node, graphql.InlineFragmentNode):
            yield from collect(kind, node.selection_set, fragments)
        else:
            yield from collect(kind, fragments[node.name.value].selection_set, fragments)


@schemathesis.check
def answers_as_the_schema_says(ctx, response, case):
    payload = response.json()
    if set(payload) - {"data", "errors"}:
        fail([], f"members {sorted(payload)}")
    for error in payload.get("errors", []):
        if not error.get("extensions", {}).get("code"):
            fail([], f"an error without a code: {error}")
    data = payload.get("data")
    if data is None:
        return
    document = graphql.parse(case.body if isinstance(case.body, str) else json.loads(case.body)["query"])
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, graphql.FragmentDefinitionNode)}
    [operation] = [d for d in document.definitions if isinstance(d, graphql.OperationDefinitionNode)]
    root = SCHEMA.get_root_type(operation.operation)
    fields(root, operation.selection_set, data, fragments, [])


@schemathesis.hook
def map_body(context, body):
    """Half of the sound documents ask for pages that can be, or hardly any would have an answer to check."""
    half = hashlib.sha256(graphql.print_ast(body).encode()).digest()[0] % 2
    return graphql.visit(body, Pages()) if half and not graphql.validate(SCHEMA, body) else body


class Pages(graphql.Visitor):
    """Takes the cursors out, and `last`; makes `first` one that is allowed."""

    def enter_argument(self, node, *_):
        name = node.name.value
        if name in ("after", "before", "last"):
            return graphql.REMOVE
        if name == "first":
            asked = int(node.value.value) if isinstance(node.value, graphql.IntValueNode) else 50
            value = graphql.IntValueNode(value=str(abs(asked) % 101))
            return graphql.ArgumentNode(name=node.name, value=value)
        return None


COUNTS = {"asked": 0, "answered": 0, "refused": 0}


@schemathesis.hook
def after_call(context, case, response):
    COUNTS["asked"] += 1
    payload = response.json()
    COUNTS["answered" if payload.get("data") is not None else "refused"] += 1
    with open(os.environ["BESTY_COUNTS"], "w", encoding="utf-8") as file:
        json.dump(COUNTS, file)
