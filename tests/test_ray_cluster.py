"""The cluster files, as Ray's own checker and a reader of their promises see them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[1]
SPOT = {
    "aws": ("InstanceMarketOptions", {"MarketType": "spot"}),
    "gcp": (
        "scheduling",
        [
            {
                "provisioningModel": "SPOT",
                "instanceTerminationAction": "DELETE",
                "onHostMaintenance": "TERMINATE",
            }
        ],
    ),
}


@pytest.fixture(params=["ray_cluster.yaml", "ray_cluster.gcp.yaml"])
def cluster(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A file as it stands in the repository."""
    return yaml.safe_load((ROOT / request.param).read_text())


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
    key, spot = SPOT[cluster["provider"]["type"]]
    nodes = cluster["available_node_types"]
    head = nodes.pop(cluster["head_node_type"])
    assert head["resources"] == {"CPU": 0}
    assert key not in head["node_config"]
    assert [node["node_config"][key] for node in nodes.values()] == [spot] * len(nodes)
    assert [node["resources"].get("GPU", 0) for node in nodes.values()] == [0, 1]


def test_a_node_installs_from_the_locks(cluster: dict[str, Any]) -> None:
    """Every lock of the repository and the Makefile that reads them travel to each node."""
    mounts = cluster["file_mounts"]
    wanted = {"Makefile"} | {lock.name for lock in ROOT.glob("requirements*.lock")}
    assert {f"~/bucketsight/{name}" for name in wanted} <= mounts.keys()
    assert all(mounts[f"~/bucketsight/{name}"] == name for name in wanted)
    assert "make -C ~/bucketsight install" in cluster["setup_commands"]
    assert cluster["head_setup_commands"] == []


def test_all_clouds_start_the_same_ray() -> None:
    """Whatever the machines, nodes are prepared and started alike: by the same lines."""
    files = [
        yaml.safe_load((ROOT / name).read_text())
        for name in ("ray_cluster.yaml", "ray_cluster.gcp.yaml")
    ]
    for key in files[0].keys() - {"provider", "available_node_types"}:
        assert files[0][key] == files[1][key], key
    shapes = [
        {
            name: {key: value for key, value in node.items() if key != "node_config"}
            for name, node in file["available_node_types"].items()
        }
        for file in files
    ]
    assert shapes[0] == shapes[1]
