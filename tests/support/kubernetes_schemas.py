"""What the custom resources of docs/kubernetes/ may hold, as far as those files use them.

Written from the documented fields: RabbitMQ's cluster operator, API reference of rabbitmq.com/v1beta1
(docs/api/rabbitmq.com.ref.asciidoc in rabbitmq/cluster-operator); KEDA, custom resource definitions of
keda.sh/v1alpha1 (config/crd/bases in kedacore/keda) and the page of its RabbitMQ scaler.
"""

from typing import Any, Final

_TEXT: Final = {"type": "string", "minLength": 1}
_COUNT: Final = {"type": "integer", "minimum": 0}


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


def _resource(api_version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return _object(
        "apiVersion kind metadata spec",
        apiVersion={"const": api_version},
        kind={"const": kind},
        metadata=_object("name namespace", name=_TEXT, namespace=_TEXT),
        spec=spec,
    )


_QUANTITIES: Final = _object(cpu=_TEXT, memory=_TEXT)

RABBITMQ_CLUSTER: Final = _resource(
    "rabbitmq.com/v1beta1",
    "RabbitmqCluster",
    _object(
        replicas={"enum": [1, 3, 5]},  # those that are tested, by the reference
        image=_TEXT,
        resources=_object(requests=_QUANTITIES, limits=_QUANTITIES),
        persistence=_object(storageClassName=_TEXT, storage={"type": "string", "pattern": "^[0-9]+[KMGT]i$"}),
        rabbitmq=_object(
            additionalPlugins=_list({"type": "string", "pattern": "^rabbitmq_[a-z0-9_]+$"}),
            additionalConfig=_TEXT,
            advancedConfig=_TEXT,
            envConfig=_TEXT,
        ),
        affinity={"type": "object"},  # as in a Pod, which is checked as one
    ),
)

TRIGGER_AUTHENTICATION: Final = _resource(
    "keda.sh/v1alpha1",
    "TriggerAuthentication",
    _object(
        secretTargetRef=_list(
            _object(
                "parameter name key",
                parameter={"enum": ["host", "username", "password", "tls", "ca", "cert", "key"]},
                name=_TEXT,
                key=_TEXT,
            )
        )
    ),
)

_POLICY: Final = _object(
    "periodSeconds type value",
    type={"enum": ["Pods", "Percent"]},
    value={"type": "integer", "minimum": 1},
    periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
)
_SCALING: Final = _object(
    policies=_list(_POLICY),
    selectPolicy={"enum": ["Max", "Min", "Disabled"]},
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
)
_RABBITMQ_TRIGGER: Final = _object(
    "type metadata",
    type={"const": "rabbitmq"},
    metadata=_object(
        "queueName mode value",
        host={"type": "string", "pattern": "^(amqps?|https?)://[^@]+$"},  # no password here
        protocol={"enum": ["amqp", "http", "auto"]},
        mode={"enum": ["QueueLength", "MessageRate"]},
        value={"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
        activationValue={"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
        queueName=_TEXT,
        vhostName=_TEXT,
    ),
    authenticationRef=_object("name", name=_TEXT, kind=_TEXT),
)

SCALED_OBJECT: Final = _resource(
    "keda.sh/v1alpha1",
    "ScaledObject",
    _object(
        "scaleTargetRef triggers",
        scaleTargetRef=_object(
            "name", name=_TEXT, kind=_TEXT, apiVersion=_TEXT, envSourceContainerName=_TEXT
        ),
        minReplicaCount=_COUNT,
        maxReplicaCount=_COUNT,
        idleReplicaCount=_COUNT,
        pollingInterval=_COUNT,
        cooldownPeriod=_COUNT,
        advanced=_object(
            restoreToOriginalReplicaCount={"type": "boolean"},
            horizontalPodAutoscalerConfig=_object(behavior=_object(scaleDown=_SCALING, scaleUp=_SCALING)),
        ),
        fallback=_object("failureThreshold replicas", failureThreshold=_COUNT, replicas=_COUNT),
        triggers=_list(_RABBITMQ_TRIGGER),
    ),
)

CUSTOM: Final = {
    "RabbitmqCluster": RABBITMQ_CLUSTER,
    "TriggerAuthentication": TRIGGER_AUTHENTICATION,
    "ScaledObject": SCALED_OBJECT,
}
