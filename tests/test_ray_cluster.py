"""The cluster file, as Ray's own checker and a reader of its promises see it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def cluster() -> dict[str, Any]:
    """The file as it stands in the repository."""
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())


def test_rays_own_checker_accepts_it(cluster: dict[str, Any]) -> None:
    """`ray up` finds nothing wrong with the file."""
    validate_config(prepare_config(cluster))


def test_rays_own_checker_refuses_a_misspelt_key(cluster: dict[str, Any]) -> None:
    """The checker looks inside the node types, so that its silence means something."""
    cluster["available_node_types"]["gpu_worker"]["max_worker"] = 1
    with pytest.raises(ValidationError, match="max_worker"):
        validate_config(prepare_config(cluster))


def test_only_the_head_is_on_demand_and_it_takes_no_actors(cluster: dict[str, Any]) -> None:
    """The head has no CPU to give and is no spot machine; every worker is one."""
    nodes = cluster["available_node_types"]
    head = nodes.pop(cluster["head_node_type"])
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert [node["node_config"]["InstanceMarketOptions"] for node in nodes.values()] == [
        {"MarketType": "spot"}
    ] * len(nodes)
    assert any(node["resources"].get("GPU") for node in nodes.values())


def test_a_node_installs_from_the_locks(cluster: dict[str, Any]) -> None:
    """Every lock of the repository and the Makefile that reads them travel to each node."""
    mounts = cluster["file_mounts"]
    wanted = {"Makefile"} | {lock.name for lock in ROOT.glob("requirements*.lock")}
    assert {f"~/bucketsight/{name}" for name in wanted} <= mounts.keys()
    assert all(mounts[f"~/bucketsight/{name}"] == name for name in wanted)
    assert "make -C ~/bucketsight install" in cluster["setup_commands"]
