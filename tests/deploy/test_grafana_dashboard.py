"""The dashboard's queries, held against the metrics that there are."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from ray.dashboard.consts import GPU_TAG_KEYS
from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

from workers.cluster.metrics import COUNTERS, GAUGES

FILE = Path(__file__).resolve().parents[2] / "deploy" / "grafana_dashboard.json"
SCRAPED = "instance"
"""A label that Prometheus adds to each series."""
OURS = {f"ray_{name}_total": set(tags) for name, (_, tags) in COUNTERS.items()} | {
    f"ray_{name}": set(tags) for name, (_, tags) in GAUGES.items()
}
RAYS = {f"ray_{name}": {*GPU_TAG_KEYS, SCRAPED} for name in METRICS_GAUGES if "gpu" in name}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    return json.loads(FILE.read_text())


@pytest.fixture(scope="module")
def queries(dashboard: dict[str, Any]) -> list[str]:
    """Each with Grafana's own variables filled in."""
    filled = [
        re.sub(r"\$__(range|rate_interval)", "1h", target["expr"])
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]
    assert filled and "$__" not in "".join(filled)
    return filled


def parts(expression: object) -> list[Any]:
    """A parsed query and all expressions inside it."""
    below = [getattr(expression, name, None) for name in ("expr", "lhs", "rhs", "vector_selector")]
    inside = [*below, *getattr(expression, "args", [])]
    return [expression, *(part for one in inside if one is not None for part in parts(one))]


def test_every_query_names_metrics_and_labels_that_there_are(queries: list[str]) -> None:
    """Each parses as PromQL, and what it selects, filters and groups by is ours or Ray's own."""
    drawn = set()
    for query in queries:
        whole = parts(promql_parser.parse(query))
        selected = [part for part in whole if isinstance(part, promql_parser.VectorSelector)]
        assert selected, query
        for selector in selected:
            labels = (OURS | RAYS)[selector.name]
            grouping = [getattr(part, "modifier", None) for part in whole]
            named = {name for one in grouping for name in getattr(one, "labels", None) or ()}
            filtered = {one.name for one in selector.matchers.matchers}
            assert named | filtered <= labels, query
            drawn.add(selector.name)
    assert drawn >= OURS.keys()


def test_prometheus_and_output_are_chosen_on_the_page(dashboard: dict[str, Any]) -> None:
    """No panel names a data source of somebody's; OUTPUTs come from a label that there is."""
    source, output = dashboard["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", output["definition"]).groups()
    assert output["name"] == label and label in OURS[metric]
    asked = [dashboard["templating"]["list"][1], *dashboard["panels"]]
    asked += [target for panel in dashboard["panels"] for target in panel["targets"]]
    assert {one["datasource"]["uid"] for one in asked} == {f"${{{source['name']}}}"}


def test_panels_lie_beside_each_other(dashboard: dict[str, Any]) -> None:
    """Each has a number and a place of its own, 24 columns wide at most."""
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        apart = [
            one[edge] + one[size] <= other[edge] or other[edge] + other[size] <= one[edge]
            for edge, size in (("x", "w"), ("y", "h"))
        ]
        assert any(apart), (one, other)
