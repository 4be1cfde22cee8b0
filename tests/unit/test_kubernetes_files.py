"""The Kubernetes example: every object fits its schema, and they fit one another and the worker."""

from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from tests.support.kubernetes_schemas import CUSTOM
from worker.rules_file import load_rules
from worker.settings import Settings
from worker.source import names_of

FOLDER = Path(__file__).parents[2] / "docs" / "kubernetes"
KUBERNETES = ("1.30", "1.33")


def documents() -> list[dict[str, Any]]:
    """Every object of every file."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        yaml = YAML(typ="safe", pure=True)
        yaml.allow_duplicate_keys = False
        found += list(yaml.load_all(path))
    return found


OBJECTS = documents()


def one(kind: str, name: str | None = None) -> dict[str, Any]:
    """The object of a kind."""
    (found,) = [each for each in OBJECTS if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    return found


def containers() -> list[dict[str, Any]]:
    """The containers that run our image."""
    return [
        container
        for each in OBJECTS
        if each["kind"] in {"Job", "Deployment"}
        for container in each["spec"]["template"]["spec"]["containers"]
    ]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings as the worker reads them from its ConfigMap."""
    for name, value in one("ConfigMap", "payment-worker-settings")["data"].items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("place", range(len(OBJECTS)))
def test_each_object_fits_its_schema(place: int, version: str) -> None:
    """Kubernetes' own kinds by its published schemas, strictly; custom ones by their documented fields."""
    found = OBJECTS[place]
    if found["kind"] in CUSTOM:
        jsonschema.validate(found, CUSTOM[found["kind"]])
    else:
        kubernetes_validate.validate(found, version, strict=True)


def test_the_affinity_of_the_nodes_is_one() -> None:
    """The cluster operator hands it to Pods as it is."""
    spec = {
        "affinity": one("RabbitmqCluster")["spec"]["affinity"],
        "containers": [{"name": "c", "image": "i"}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    kubernetes_validate.validate(pod, KUBERNETES[-1], strict=True)


def test_schemas_notice_a_typo() -> None:
    """A field that is none is refused, by either kind of schema."""
    broken = {**one("ScaledObject"), "spec": {**one("ScaledObject")["spec"], "minReplicas": 1}}
    with pytest.raises(jsonschema.ValidationError, match="minReplicas"):
        jsonschema.validate(broken, CUSTOM["ScaledObject"])
    budget = one("PodDisruptionBudget")
    with pytest.raises(kubernetes_validate.ValidationError, match="maxUnavailble"):
        kubernetes_validate.validate({**budget, "spec": {"maxUnavailble": 1}}, KUBERNETES[-1], strict=True)


def test_settings_are_ones_the_worker_reads(settings: Settings) -> None:
    """Each variable is a setting, and the rules are where they are mounted."""
    names = {f"PAYMENT_WORKER_{name.upper()}" for name in Settings.model_fields}
    assert set(one("ConfigMap", "payment-worker-settings")["data"]) <= names
    for container in containers():
        own = {variable["name"] for variable in container["env"]}
        assert {name for name in own if name.startswith("PAYMENT_WORKER_")} <= names
        assert [Path(mount["mountPath"]) for mount in container["volumeMounts"]] == list(settings.rules)


def test_the_rules_load(tmp_path: Path) -> None:
    """The rules of the ConfigMap are sound."""
    path = tmp_path / "rules.yaml"
    path.write_text(one("ConfigMap", "payment-worker-rules")["data"]["rules.yaml"])
    assert set(load_rules([path]).processors) == {"aurora", "borealis"}


def test_workers_have_time_to_drain(settings: Settings) -> None:
    """Kubernetes kills later than the worker gives up by itself."""
    pod = one("Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > settings.drain_timeout + 10


def test_every_shard_is_watched(settings: Settings) -> None:
    """KEDA looks at each queue that new payments come to, and the broker can have them."""
    names = names_of(settings)
    watched = [trigger["metadata"]["queueName"] for trigger in one("ScaledObject")["spec"]["triggers"]]
    assert watched == [names.shard(number) for number in range(settings.shards)]
    plugins = one("RabbitmqCluster")["spec"]["rabbitmq"]["additionalPlugins"]
    assert "rabbitmq_consistent_hash_exchange" in plugins


def test_what_is_referred_to_is_there() -> None:
    """Selectors, targets, secrets, volumes and hosts name what the files or the operator make."""
    deployment = one("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert one("ScaledObject")["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    cluster = one("RabbitmqCluster")["metadata"]
    secrets = {f"{cluster['name']}-default-user", "payments-journal"}
    maps = {each["metadata"]["name"] for each in OBJECTS if each["kind"] == "ConfigMap"}
    for container in containers():
        references = [each["valueFrom"]["secretKeyRef"] for each in container["env"] if "valueFrom" in each]
        assert {reference["name"] for reference in references} == secrets
        assert {each["configMapRef"]["name"] for each in container["envFrom"]} <= maps
        (url,) = [each["value"] for each in container["env"] if each["name"] == "PAYMENT_WORKER_AMQP_URL"]
        assert f"@{cluster['name']}.{cluster['namespace']}.svc:5672/" in url
    for trigger in one("ScaledObject")["spec"]["triggers"]:
        assert f"//{cluster['name']}.{cluster['namespace']}.svc:5672/" in trigger["metadata"]["host"]
        assert trigger["authenticationRef"]["name"] == one("TriggerAuthentication")["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in OBJECTS} == {cluster["namespace"]}


def test_nothing_runs_as_root() -> None:
    """No privileges, and a root file system that cannot be written."""
    for container in containers():
        confined = container["securityContext"]
        assert confined["runAsNonRoot"]
        assert confined["readOnlyRootFilesystem"]
        assert not confined["allowPrivilegeEscalation"]
