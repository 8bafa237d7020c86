"""What INPUT says beside its images: types over all items, values for each row."""

import json
import math
from typing import Any

import pyarrow as pa
import pytest

from schemas.outcome import UsageError
from schemas.passed import MOST_COLUMNS, PassedTypes, passed_values
from schemas.rows import PASSED_TYPES, PassedColumn
from tests.runs import SCHEMAS

UNIFIED: list[tuple[list[Any], str, list[Any]]] = [
    ([1, -5, None], "int64", [1, -5, None]),
    ([2**63 - 1, -(2**63)], "int64", [2**63 - 1, -(2**63)]),
    ([1, 2**63], "string", ["1", str(2**63)]),
    ([1, 0.5], "double", [1.0, 0.5]),
    ([0.5, 2**63], "string", ["0.5", str(2**63)]),
    ([True, None, False], "bool", [True, None, False]),
    ([True, 1], "string", ["true", "1"]),
    ([True, 0.5], "string", ["true", "0.5"]),
    (["a", 1, None], "string", ["a", "1", None]),
    (["a", [1, "é"], {"b": None}], "string", ["a", '[1, "é"]', '{"b": null}']),
    ([None, None], "string", [None, None]),
    ([{}], "string", ["{}"]),
    ([""], "string", [""]),
]


@pytest.mark.parametrize(("said", "kind", "given"), UNIFIED)
@pytest.mark.parametrize("ascii", [True, False])
def test_a_name_has_one_type_and_no_value_is_lost(
    said: list[Any], kind: str, given: list[Any], ascii: bool
) -> None:
    """The type holds every value that any item has, and Arrow takes the values as that type."""
    texts = [json.dumps({"name": value}, ensure_ascii=ascii) for value in said]
    types = PassedTypes()
    for text in ["", "{}", *texts]:
        types.look_at(text)
    assert types.columns() == (PassedColumn("name", kind),)
    values = [passed_values(text, types.columns(), SCHEMAS)["name"] for text in texts]
    assert values == given
    assert [type(value) for value in values] == [type(value) for value in given]
    assert pa.array(values, PASSED_TYPES[kind]).to_pylist() == given


def test_columns_are_sorted_by_name_and_never_by_arrival() -> None:
    """The order of the items does not decide the order of the columns."""
    texts = ['{"b": 1, "a": 2}', '{"c": 3}', '{"a": 0.5}']
    found = []
    for order in (texts, texts[::-1]):
        types = PassedTypes()
        for text in order:
            types.look_at(text)
        found.append(types.columns())
    assert found[0] == found[1]
    assert [one.name for one in found[0]] == ["a", "b", "c"]


def test_rows_have_every_column_under_the_name_that_rows_give_it() -> None:
    """What an item lacks is null, and a name of ours is prefixed."""
    passed = (PassedColumn("text", "string"), PassedColumn("caption", "string"))
    assert passed_values("", passed, SCHEMAS) == {"text": None, "input_caption": None}
    assert passed_values('{"caption": "x"}', passed, SCHEMAS) == {
        "text": None,
        "input_caption": "x",
    }
    assert passed_values('{"text": "x"}', (), SCHEMAS) == {}


def test_numbers_that_json_does_not_know_are_numbers() -> None:
    """NaN and infinity, as other programs write them, are doubles."""
    types = PassedTypes()
    types.look_at('{"a": NaN, "b": Infinity}')
    values = passed_values('{"a": NaN, "b": -Infinity}', types.columns(), SCHEMAS)
    assert math.isnan(values["a"])
    assert values["b"] == -math.inf


def test_half_a_sign_breaks_no_table() -> None:
    """A lone surrogate, which JSON can spell and UTF-8 cannot, becomes a question mark; whole signs
    spelled in halves stay.
    """
    text = r'{"a\ud800": "x\uDFFF", "b": "\ud83c\udf4e"}'
    types = PassedTypes()
    types.look_at(text)
    values = passed_values(text, types.columns(), SCHEMAS)
    assert values == {"a?": "x?", "b": "🍎"}


def test_keys_that_never_end_are_refused() -> None:
    """Where every item has names of its own there is no table of them."""
    types = PassedTypes()
    with pytest.raises(UsageError, match="more than 1,000 names"):
        for number in range(MOST_COLUMNS + 1):
            types.look_at(json.dumps({f"key {number}": 1}))
