"""The manifests, held against Kubernetes, KubeRay, and what the program needs of both."""

import shlex
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from jobs.configuration import read_configuration
from schemas.outcome import ExitCode
from tests.deploy.kuberay import CLUSTER, JOB
from tests.deploy.scripts import SUBMIT, submit
from tests.jobs.commands import ROOT
from workers.request import Options

FOLDER = ROOT / "deploy" / "kubernetes"
KUBERNETES = kubernetes_validate.latest_version()


def read(name: str) -> dict[str, Any]:
    """A manifest, as it stands in the repository."""
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.fixture
def cron() -> dict[str, Any]:
    return read("cronjob.yaml")


@pytest.fixture
def ray_job() -> dict[str, Any]:
    return read("rayjob.yaml")


def groups_of(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def pods(cron: dict[str, Any], ray_job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The pod templates of both."""
    yield cron["spec"]["jobTemplate"]["spec"]["template"]
    for group in groups_of(ray_job["spec"]["rayClusterSpec"]):
        yield group["template"]


def checked(template: dict[str, Any]) -> None:
    """Raises where Kubernetes would not take pods like that."""
    pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}}
    kubernetes_validate.validate(pod | {"template": template}, KUBERNETES, strict=True)


def test_kubernetes_accepts_its_objects(cron: dict[str, Any], ray_job: dict[str, Any]) -> None:
    """The CronJob, and each pod of the RayJob, to the last key; a misspelt one is refused."""
    kubernetes_validate.validate(cron, KUBERNETES, strict=True)
    for template in pods(cron, ray_job):
        checked(template)
        template["spec"]["containers"][0]["resource"] = {}
        with pytest.raises(kubernetes_validate.ValidationError, match="resource"):
            checked(template)


def test_kuberay_documents_all_other_fields(ray_job: dict[str, Any]) -> None:
    """Both manifests have KubeRay's kinds, and no field that it would drop without a word."""
    cluster = read("raycluster.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    assert (ray_job["apiVersion"], ray_job["kind"]) == ("ray.io/v1", "RayJob")
    jsonschema.validate(cluster["spec"], CLUSTER)
    jsonschema.validate(ray_job["spec"], JOB)
    ray_job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 1
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(ray_job["spec"], JOB)


def test_both_clusters_are_one(ray_job: dict[str, Any]) -> None:
    """The RayJob's cluster is the one that stays, and its head has the configuration besides."""
    own, stays = ray_job["spec"]["rayClusterSpec"], read("raycluster.yaml")["spec"]
    head = own["headGroupSpec"]["template"]["spec"]
    assert head.pop("volumes") == [
        {"name": "nightly", "configMap": {"name": "bucketsight-nightly"}}
    ]
    (mount,) = head["containers"][0].pop("volumeMounts")
    assert mount == {"name": "nightly", "mountPath": "/etc/bucketsight", "readOnly": True}
    assert own == stays
    assert own["rayVersion"] == version("ray")


def test_the_head_runs_the_driver_alone(ray_job: dict[str, Any]) -> None:
    """No CPU of the head is Ray's to give; workers come when asked for, with a GPU or without."""
    spec = ray_job["spec"]["rayClusterSpec"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert [group["minReplicas"] for group in spec["workerGroupSpecs"]] == [0, 0]
    limits = [
        group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for group in spec["workerGroupSpecs"]
    ]
    assert [one.get("nvidia.com/gpu") for one in limits] == [None, "1"]


def fate(cron: dict[str, Any], code: int) -> str:
    """What becomes of a night whose pod ended so, as Kubernetes reads the policy: in order."""
    for rule in cron["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes")
        if codes and (code in codes["values"]) == (codes["operator"] == "In"):
            return str(rule["action"])
    return "tried again"


def test_only_what_may_pass_is_tried_again(cron: dict[str, Any]) -> None:
    """75 and what was killed are, so often; bad usage and the like end the night."""
    job = cron["spec"]["jobTemplate"]["spec"]
    assert fate(cron, ExitCode.INTERRUPTED) == fate(cron, 128 + 9) == "tried again"
    for code in (ExitCode.FAILED, ExitCode.USAGE, ExitCode.TOO_MANY_FAILED):
        assert fate(cron, code) == "FailJob"
    assert job["backoffLimit"] > 0
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # the policy asks for it
    container = job["template"]["spec"]["containers"][0]["name"]
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"] == container


def test_nights_do_not_overlap_and_a_late_one_ends_before_the_next(cron: dict[str, Any]) -> None:
    """Forbid; and even the latest start and the longest night are over within a day."""
    spec = cron["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    longest = spec["jobTemplate"]["spec"]["activeDeadlineSeconds"]
    assert spec["startingDeadlineSeconds"] + longest < 24 * 3600


def test_a_pods_end_leaves_the_drain(cron: dict[str, Any], ray_job: dict[str, Any]) -> None:
    """The drain fits into what a stopped job has, and that into what a stopped pod has."""
    stop_seconds = submit().STOP_SECONDS
    variables = yaml.safe_load(ray_job["spec"]["runtimeEnvYAML"])["env_vars"]
    assert Options().drain_seconds < int(variables["RAY_JOB_STOP_WAIT_TIME_S"]) == stop_seconds
    script, head, *_ = pods(cron, ray_job)
    for pod in (script["spec"], head["spec"]):
        assert pod["terminationGracePeriodSeconds"] >= 2 * stop_seconds
    hook = head["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert hook == ["python", f"/opt/bucketsight/{SUBMIT}", "--stop-all"]


def test_the_commands_find_what_they_name(
    cron: dict[str, Any], ray_job: dict[str, Any], tmp_path: Any
) -> None:
    """Script and job are in the image, the address is the cluster's, the token the same, and the
    configuration is where it is looked for.
    """
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["python", f"/opt/bucketsight/{SUBMIT}"]
    *flags, config = container["args"]
    assert flags == [
        "--address",
        f"http://{read('raycluster.yaml')['metadata']['name']}-head-svc:8265",
    ]
    assert config == "/etc/bucketsight/nightly.toml"
    assert container["volumeMounts"][0]["mountPath"] == "/etc/bucketsight"
    secret = ray_job["spec"]["rayClusterSpec"]["authOptions"]["secretName"]
    assert container["env"][1]["valueFrom"]["secretKeyRef"] == {"name": secret, "key": "auth_token"}
    python, job, place = shlex.split(ray_job["spec"]["entrypoint"])
    assert (python, place) == ("python", config)
    assert (ROOT / job).is_file()
    images = {one["spec"]["containers"][0]["image"] for one in pods(cron, ray_job)}
    assert len(images) == 1


def test_the_example_is_a_configuration() -> None:
    """jobs/nightly.py takes deploy/nightly.toml as it stands."""
    (collection,) = read_configuration(str(ROOT / "deploy" / "nightly.toml"))
    assert collection.seconds == 6 * 3600
    assert collection.arguments.options.replicas == 4
