"""Pods: what they may, what they are told, how they are asked and how they end."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Final

import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_settings import BaseSettings

from chart.render import (
    ADVANCED,
    EXAMPLES,
    KINDS,
    PHASES,
    POOL,
    PREMIUM,
    ROOT,
    TIERS,
    Object,
    changed,
    environment,
    example,
    named,
    of_kind,
    pods,
    render,
    rendered,
    values,
)
from consumer.settings import Settings as ConsumerSettings
from producer.settings import Settings as ProducerSettings
from tenantry.settings import grace_seconds

SETTINGS: Final[dict[str, type[BaseSettings]]] = {
    "producer": ProducerSettings,
    "consumer": ConsumerSettings,
}
#: Variables of AWS's and OpenTelemetry's SDKs that a pod may be told.
#: The volume of Pod Identity's token, by EKS's own name, and how variables of it begin.
TOKEN: Final = "eks-pod-identity-token"
CREDENTIALS: Final = "AWS_CONTAINER_"
OTHERS: Final = {
    f"{CREDENTIALS}AUTHORIZATION_TOKEN_FILE",
    f"{CREDENTIALS}CREDENTIALS_FULL_URI",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_RESOURCE_ATTRIBUTES",
}
DOCUMENTED: Final = (ROOT / "docs" / "settings.md").read_text("utf-8")


def documented(service: str) -> dict[str, bool]:
    """Variables of a service in docs/settings.md, and whether each is required."""
    parts = re.split(r"^## ", DOCUMENTED, flags=re.MULTILINE)
    found: dict[str, bool] = {}
    for part in parts:
        if part.lower().startswith(("both services", service)):
            rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", part, re.MULTILINE)
            found |= {name: default == "required" for name, default in rows}
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_pod_is_restricted(name: str) -> None:
    """No root, no writable image, no capability, no token of the API server, its own nodes."""
    for spec in pods(rendered(name)).values():
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert {"type": "RuntimeDefault"} == spec["securityContext"]["seccompProfile"]
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(spec)
        kinds = {each["name"]: set(each) - {"name"} for each in spec["volumes"]}
        assert {"emptyDir"} == kinds.pop("tmp")
        assert kinds in ({}, {TOKEN: {"projected"}})
        [node] = spec["nodeSelector"].values()
        assert [node] == [each["value"] for each in spec["tolerations"]]
        [container] = spec["containers"]
        assert {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        } == container["securityContext"]
        assert {"tmp", *kinds} == {each["name"] for each in container["volumeMounts"]}
        assert {"cpu", "memory", "ephemeral-storage"} == container["resources"]["requests"].keys()
        # A limit of CPU would throttle what nobody else needs.
        assert {"memory", "ephemeral-storage"} == container["resources"]["limits"].keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_pod_that_calls_aws_asks_for_its_identity_itself(name: str) -> None:
    """EKS gives it to no pod that is there before its association, as an instance's first are."""
    for found, spec in pods(rendered(name)).items():
        [container] = spec["containers"]
        told = {each["name"]: each.get("value") for each in container["env"]}
        if "AWS_DEFAULT_REGION" not in told:  # it calls nobody but the services
            assert TOKEN not in {each["name"] for each in spec["volumes"]}, found
            continue
        [volume] = [each for each in spec["volumes"] if each["name"] == TOKEN]
        [source] = volume["projected"]["sources"]
        token = source["serviceAccountToken"]
        assert "pods.eks.amazonaws.com" == token["audience"]
        [mount] = [each for each in container["volumeMounts"] if each["name"] == TOKEN]
        assert mount["readOnly"]
        file = f"{mount['mountPath']}/{token['path']}"
        assert file == told[f"{CREDENTIALS}AUTHORIZATION_TOKEN_FILE"]
        assert "http://169.254.170.23/v1/credentials" == told[f"{CREDENTIALS}CREDENTIALS_FULL_URI"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_pods_nodes_are_those_of_its_namespace(name: str) -> None:
    """The namespace's label is what admission holds pods to."""
    objects = rendered(name)
    for space in of_kind(objects, "Namespace"):
        for spec in pods(objects).values():
            key = "tenantry.dev/node-pool"
            assert space["metadata"]["labels"][key] == spec["nodeSelector"][key]
        assert "restricted" == space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_service_accounts_bring_no_token(name: str) -> None:
    """Pod Identity projects a token of its own, which this does not turn off."""
    for account in of_kind(rendered(name), "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
        assert "annotations" not in account["metadata"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_probes_ask_the_private_port(name: str) -> None:
    """And no Service and no route leads to it."""
    objects = rendered(name)
    for deployment in of_kind(objects, "Deployment"):
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        assert {"http": 8080, "private": 9090} == {
            each["name"]: each["containerPort"] for each in container["ports"]
        }
        paths = {
            probe: container[probe]["httpGet"]["path"]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        }
        assert {
            "startupProbe": "/readyz",
            "readinessProbe": "/readyz",
            "livenessProbe": "/livez",
        } == paths
        for probe in paths:
            assert "private" == container[probe]["httpGet"]["port"]
    for service in of_kind(objects, "Service"):
        assert [("http", "http")] == [
            (each["name"], each["targetPort"]) for each in service["spec"]["ports"]
        ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rollout_never_drops_below_capacity(name: str) -> None:
    """A new pod is ready before an old one ends, and the autoscaler's count is left alone."""
    for deployment in of_kind(rendered(name), "Deployment"):
        spec = deployment["spec"]
        assert "replicas" not in spec
        assert {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"},
        } == spec["strategy"]
        spread = spec["template"]["spec"]["topologySpreadConstraints"]
        assert ["topology.kubernetes.io/zone", "kubernetes.io/hostname"] == [
            each["topologyKey"] for each in spread
        ]
        for each in spread:
            assert spec["selector"] == each["labelSelector"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_pods_do_not_restart_with_every_release_of_the_chart(name: str) -> None:
    """Their labels hold no version, no ring and no phase."""
    for deployment in of_kind(rendered(name), "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/component",
            "app.kubernetes.io/part-of",
            "tenantry.dev/tier",
            "tenantry.dev/tenant",
            "tenantry.dev/pool",
        } >= labels.keys()


# Settings


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("service", SETTINGS)
def test_a_pod_is_told_documented_settings_only(name: str, service: str) -> None:
    """Every name stands in docs/settings.md, each once, and what is required is among them."""
    for deployment in of_kind(rendered(name), "Deployment"):
        if deployment["metadata"]["name"] != service:
            continue
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        told = [each["name"] for each in container["env"]]
        known = documented(service)
        assert len(told) == len(set(told))
        assert set(told) <= known.keys() | OTHERS
        assert {each for each, required in known.items() if required} <= set(told)


def test_the_page_of_settings_is_read() -> None:
    """The test above looks at something."""
    assert documented("producer")["TENANTRY_REGISTRY_TABLE"] is True
    assert documented("producer")["TENANTRY_LINGER_SECONDS"] is False
    assert "TENANTRY_LINGER_SECONDS" not in documented("consumer")
    assert documented("consumer")["TENANTRY_QUEUE_URL"] is True


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_service_starts_with_what_its_pod_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own settings take the pod's environment, and mean what the values mean."""
    given_values = example(name)
    for deployment in of_kind(rendered(name), "Deployment"):
        service = deployment["metadata"]["name"]
        found = started(deployment, monkeypatch)
        assert given_values["instance"]["id"] == found.instance
        assert (given_values["instance"].get("kind") == "pool") == found.is_pool
        wanted = given_values["instance"].get("overrides", {}).get(service, {}).get("settings", {})
        for key, value in wanted.items():
            assert value == getattr(found, snake(key)), key
        if service == "consumer":
            assert found.is_pool == (found.reader_role_arn is not None)


@pytest.mark.parametrize("service", SETTINGS)
def test_the_sdk_finds_region_and_endpoint(
    service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In what the pod is told, as botocore reads it: it knows AWS_DEFAULT_REGION alone."""
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name, value in environment(rendered("on-one-machine"), service).items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    session = botocore.session.get_session()

    assert "eu-central-1" == session.get_config_variable("region")
    client = session.create_client("sqs", aws_access_key_id="a", aws_secret_access_key="b")
    assert "http://10.1.2.3:4566" == client.meta.endpoint_url


def test_every_setting_can_be_overridden() -> None:
    """But for those that say who an instance is: these are made from values and facts."""
    made = set(environment(render(values(POOL)), "consumer")) - {
        f"TENANTRY_{snake(each)}".upper() for each in TIERS["settings"]["consumer"]
    }
    fixed = made | {"TENANTRY_HOST"}
    overrides = example("everything")["instance"]["overrides"]
    for service in SETTINGS:
        settable = {f"TENANTRY_{snake(each)}".upper() for each in overrides[service]["settings"]}
        assert documented(service).keys() - fixed == settable


def started(deployment: Object, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings that a Deployment's service reads at its start."""
    service = deployment["metadata"]["name"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    with monkeypatch.context() as patched:
        for known in documented(service):
            patched.delenv(known, raising=False)
        for each in container["env"]:
            patched.setenv(each["name"], each["value"])
        return SETTINGS[service]()


def snake(name: str) -> str:
    """`wait_seconds` of `waitSeconds`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def test_what_is_always_said_is_the_services_default() -> None:
    """A tier changes none of the timings by itself, and the bounds of buffers are known."""
    for service, said in TIERS["settings"].items():
        for key, value in said.items():
            assert value == SETTINGS[service].model_fields[snake(key)].default, key
    for key, value in TIERS["defaults"].items():
        owner = SETTINGS["consumer" if key == "handBytes" else "producer"]
        assert value == owner.model_fields[snake(key)].default, key


# The end


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(
    delay=st.integers(0, 120),
    request=st.integers(1, 60),
    wait=st.integers(1, 20),
    drain=st.integers(1, 300),
)
def test_the_grace_period_is_the_services_own(
    delay: int, request: int, wait: int, drain: int
) -> None:
    """Whatever the timings: what `tenantry.settings.grace_seconds` computes of them."""
    shared = {"shutdownDelaySeconds": delay, "requestSeconds": request}
    objects = render(
        values(
            {
                **PREMIUM,
                "overrides": {
                    "producer": {"settings": shared},
                    "consumer": {
                        "settings": {**shared, "waitSeconds": wait, "drainSeconds": drain}
                    },
                },
            }
        )
    )

    assert grace_seconds(shutdown_delay_seconds=delay, request_seconds=request) == grace(
        objects, "producer"
    )
    assert grace_seconds(
        shutdown_delay_seconds=delay,
        request_seconds=request,
        wait_seconds=wait,
        drain_seconds=drain,
    ) == grace(objects, "consumer")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_grace_period_covers_what_the_service_was_told(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told and waited for are the same numbers; a load balancer's target ends no earlier."""
    objects = rendered(name)
    for deployment in of_kind(objects, "Deployment"):
        service = deployment["metadata"]["name"]
        found = started(deployment, monkeypatch)
        work = {
            key: getattr(found, key)
            for key in ("wait_seconds", "drain_seconds")
            if service == "consumer"
        }
        wanted = grace_seconds(
            shutdown_delay_seconds=found.shutdown_delay_seconds,
            request_seconds=found.request_seconds,
            **work,
        )
        assert wanted == grace(objects, service)
        annotations = named(objects, "Service", service)["metadata"].get("annotations", {})
        for key, value in annotations.items():
            if key.endswith("target-group-attributes"):
                assert f"deregistration_delay.timeout_seconds={wanted}," in value


def grace(objects: list[Object], name: str) -> int:
    """The grace period of a Deployment, in seconds."""
    spec = named(objects, "Deployment", name)["spec"]["template"]["spec"]
    found: int = spec["terminationGracePeriodSeconds"]
    return found


# Size


def test_images_are_by_digest_once_there_is_one() -> None:
    """The package's digest, or the instance's own; a tag of the chart's version until then."""
    digest = f"sha256:{'a' * 64}"
    own = f"sha256:{'b' * 64}"
    registry = "000000000000.dkr.ecr.eu-central-1.amazonaws.com"
    packaged = {
        "producer": {"repository": "tenantry/producer", "digest": digest},
        "consumer": {"repository": "tenantry/consumer", "digest": digest},
        "runner": {"repository": "tenantry/tf-runner", "digest": digest},
    }
    tree = render(values(PREMIUM))
    package = render({**values(PREMIUM), "images": packaged})
    fixed = render(
        {
            **values({**PREMIUM, "overrides": {"consumer": {"digest": own}}}),
            "images": packaged,
        }
    )

    assert f"{registry}/tenantry/producer:0.1.0" == image(tree, "producer")
    assert f"{registry}/tenantry/producer@{digest}" == image(package, "producer")
    assert f"{registry}/tenantry/producer@{digest}" == image(fixed, "producer")
    assert f"{registry}/tenantry/consumer@{own}" == image(fixed, "consumer")
    runner = named(package, "Terraform", "acme")["spec"]["runnerPodTemplate"]["spec"]
    assert f"{registry}/tenantry/tf-runner@{digest}" == runner["image"]
    # What is tested is what runs.
    for test in of_kind(fixed, "Pod"):
        assert image(fixed, "consumer") == test["spec"]["containers"][0]["image"]


def image(objects: list[Object], name: str) -> str:
    """The image of a Deployment."""
    spec = named(objects, "Deployment", name)["spec"]["template"]["spec"]
    found: str = spec["containers"][0]["image"]
    return found


@pytest.mark.parametrize(
    ("kind", "tier"), [("premium", "premium"), ("advanced", "advanced"), ("pool", "basic")]
)
def test_a_tier_means_what_its_table_says(kind: str, tier: str) -> None:
    """Requests, limits, bounds of replicas and priority stand once."""
    objects = render(values(KINDS[kind]))
    for deployment in of_kind(objects, "Deployment"):
        name = deployment["metadata"]["name"]
        size = TIERS["tiers"][tier][name]
        spec = deployment["spec"]["template"]["spec"]
        assert TIERS["tiers"][tier]["priorityClass"] == spec["priorityClassName"]
        resources = spec["containers"][0]["resources"]
        assert f"{size['cpu']}m" == resources["requests"]["cpu"]
        assert f"{size['memory']}Mi" == resources["requests"]["memory"]
        assert f"{size['memoryLimit']}Mi" == resources["limits"]["memory"]
        assert (size["minReplicas"], size["maxReplicas"]) == bounds(objects, name)
        budgets = [each["metadata"]["name"] for each in of_kind(objects, "PodDisruptionBudget")]
        assert (size["minReplicas"] > 1) == (name in budgets)


def test_tiers_keep_what_the_design_says_of_them() -> None:
    """At least one replica, two in pools, and more memory than a process was seen to need."""
    for tier, table in TIERS["tiers"].items():
        for name in table.keys() & {"producer", "consumer"}:
            size = table[name]
            assert size["minReplicas"] >= (2 if tier == "basic" else 1)
            assert size["maxReplicas"] >= size["minReplicas"]
            assert size["memoryLimit"] >= size["memory"]
            # tests/integration/test_footprint.py: 250 MiB with large messages.
            assert size["memoryLimit"] > 250
            if name == "consumer":
                hand = ConsumerSettings.model_fields["hand_messages"].default
                assert size["queueLength"] > hand
    assert {"producer", "consumer"} <= TIERS["tiers"]["basic"].keys()
    assert "producer" not in TIERS["tiers"]["advanced"]


def bounds(objects: list[Object], name: str) -> tuple[int, int]:
    """The least and the most replicas of a workload, whoever scales it."""
    for found in objects:
        if found["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}:
            spec = found["spec"]
            if spec["scaleTargetRef"]["name"] == name:
                key = "Replicas" if "minReplicas" in spec else "ReplicaCount"
                return spec[f"min{key}"], spec[f"max{key}"]
    raise AssertionError(name)


def test_an_override_is_of_one_service_alone() -> None:
    """Replicas, CPU and memory of the consumer; the producer stays as its tier says."""
    objects = render(
        values(
            {
                **PREMIUM,
                "overrides": {
                    "consumer": {
                        "minReplicas": 5,
                        "maxReplicas": 40,
                        "cpu": 900,
                        "memoryLimit": 1024,
                        "queueLength": 12000,
                    }
                },
            }
        )
    )
    container = pods([named(objects, "Deployment", "consumer")])["Deployment acme/consumer"][
        "containers"
    ][0]

    assert (5, 40) == bounds(objects, "consumer")
    assert {"cpu": "900m", "memory": "1024Mi", "ephemeral-storage": "64Mi"} == container[
        "resources"
    ]["requests"]
    assert "1024Mi" == container["resources"]["limits"]["memory"]
    trigger = named(objects, "ScaledObject", "consumer")["spec"]["triggers"][0]
    assert "12000" == trigger["metadata"]["queueLength"]
    assert bounds(render(values(PREMIUM)), "producer") == bounds(objects, "producer")


def test_consumers_scale_with_the_queue_and_producers_with_cpu() -> None:
    """By KEDA where it is there; by CPU alone where it is not, and never by both."""
    on = render(values(PREMIUM))
    off = render(values(PREMIUM, addons={"keda": False}))
    scaled = named(on, "ScaledObject", "consumer")["spec"]

    # SQS is asked once a minute: without the cache each sync of the autoscaler would ask it.
    assert 60 == scaled["pollingInterval"]
    assert scaled["triggers"][0]["useCachedMetrics"] is True
    assert ["aws-sqs-queue", "cpu"] == [each["type"] for each in scaled["triggers"]]
    queue = scaled["triggers"][0]["metadata"]
    assert environment(on, "consumer")["TENANTRY_QUEUE_URL"] == queue["queueURL"]
    assert ("true", "false") == (queue["scaleOnInFlight"], queue["scaleOnDelayed"])
    assert ["producer"] == scalers(on)
    assert ["consumer", "producer"] == scalers(off)
    assert not of_kind(off, "ScaledObject") + of_kind(off, "TriggerAuthentication")
    assert bounds(on, "consumer") == bounds(off, "consumer")


def scalers(objects: list[Object]) -> list[str]:
    """Names of the autoscalers that are Kubernetes' own."""
    return sorted(each["metadata"]["name"] for each in of_kind(objects, "HorizontalPodAutoscaler"))


@pytest.mark.parametrize("instance", [PREMIUM, ADVANCED, POOL], ids=lambda each: each["id"])
def test_the_quota_lets_a_rollout_at_full_size_through(instance: dict[str, Any]) -> None:
    """All replicas twice, for pods that end still count; two tests beside them; and no more."""
    objects = render(values(instance))
    hard = named(objects, "ResourceQuota", "tenant")["spec"]["hard"]
    pod_count, cpu, memory, limit = 2, 200, 256, 256
    for deployment in of_kind(objects, "Deployment"):
        most = 2 * bounds(objects, deployment["metadata"]["name"])[1]
        resources = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]
        pod_count += most
        cpu += most * int(resources["requests"]["cpu"].removesuffix("m"))
        memory += most * int(resources["requests"]["memory"].removesuffix("Mi"))
        limit += most * int(resources["limits"]["memory"].removesuffix("Mi"))

    assert (str(pod_count), f"{cpu}m", f"{memory}Mi", f"{limit}Mi") == (
        hard["pods"],
        hard["requests.cpu"],
        hard["requests.memory"],
        hard["limits.memory"],
    )
    assert str(len(of_kind(objects, "Deployment"))) == hard["count/deployments.apps"]
    for key in ("services.loadbalancers", "services.nodeports", "persistentvolumeclaims"):
        assert "0" == hard[key]
    largest = named(objects, "LimitRange", "tenant")["spec"]["limits"][0]["max"]["memory"]
    for spec in pods(objects).values():
        limits = spec["containers"][0]["resources"]["limits"]
        assert int(limits["memory"].removesuffix("Mi")) <= int(largest.removesuffix("Mi"))


def test_tracing_is_off_until_there_is_somewhere_to_send_it() -> None:
    """With an endpoint come sampling and who it is; without one, no variable at all."""
    off = environment(render(values(PREMIUM)), "producer")
    on = environment(
        render(
            values(
                PREMIUM, telemetry={"endpoint": "http://otel.monitoring:4318", "sampleRatio": 1}
            )
        ),
        "producer",
    )

    assert not [each for each in off if each.startswith("OTEL_")]
    assert "http://otel.monitoring:4318" == on["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert ("parentbased_traceidratio", "1") == (
        on["OTEL_TRACES_SAMPLER"],
        on["OTEL_TRACES_SAMPLER_ARG"],
    )
    assert "k8s.namespace.name=acme,tenantry.tier=premium" == on["OTEL_RESOURCE_ATTRIBUTES"]


def test_behind_a_mesh_no_token_is_verified() -> None:
    """And none of what a token would be held against is said."""
    told = environment(render(example("behind-a-mesh")), "producer")

    assert "header" == told["TENANTRY_IDENTITY"]
    assert not [each for each in told if "JWT" in each or "JWKS" in each]


def test_large_numbers_are_told_in_digits() -> None:
    """Helm reads every number as a float; 6.7108864e+07 would be no whole number."""
    changed_values = changed(
        values(PREMIUM), "instance.overrides.consumer.settings", {"handBytes": 67108864}
    )
    told = environment(render(changed_values), "consumer")

    assert "67108864" == told["TENANTRY_HAND_BYTES"]
    assert "67108864" in json.dumps(told)
