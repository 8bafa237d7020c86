"""Which fields KubeRay 1.7 documents, of what these manifests use of it; pods are Kubernetes' own.

Its CRD itself is a megabyte of generated YAML, nearly all of which describes pods.
"""

from typing import Any

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
"""Parameters of `ray start` are texts, numbers too."""
COUNT = {"type": "integer", "minimum": 0}
POD = {"type": "object", "required": ["spec"]}


def _only(required: list[str], **fields: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "properties": fields,
        "additionalProperties": False,
    }


_HEAD = _only(
    ["template"],
    template=POD,
    rayStartParams=TEXTS,
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    resources=TEXTS,
    labels=TEXTS,
)
_WORKERS = _only(
    ["groupName", "template"],
    groupName={"type": "string"},
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    numOfHosts=COUNT,
    idleTimeoutSeconds=COUNT,
    rayStartParams=TEXTS,
    resources=TEXTS,
    labels=TEXTS,
    template=POD,
)
CLUSTER = _only(
    ["headGroupSpec"],
    rayVersion={"type": "string"},
    authOptions=_only([], mode={"enum": ["disabled", "token"]}, secretName={"type": "string"}),
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=_only(
        [],
        idleTimeoutSeconds=COUNT,
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        version={"enum": ["v1", "v2"]},
    ),
    headGroupSpec=_HEAD,
    workerGroupSpecs={"type": "array", "items": _WORKERS},
)
JOB = _only(
    ["entrypoint", "rayClusterSpec"],
    entrypoint={"type": "string"},
    runtimeEnvYAML={"type": "string"},
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    submitterConfig=_only([], backoffLimit=COUNT),
    submitterPodTemplate=POD,
    backoffLimit=COUNT,
    activeDeadlineSeconds={"type": "integer", "minimum": 1},
    shutdownAfterJobFinishes={"type": "boolean"},
    ttlSecondsAfterFinished=COUNT,
    suspend={"type": "boolean"},
    rayClusterSpec=CLUSTER,
)
