"""The chart: Helm lints and renders it, Kubernetes' schemas accept it, and it gives each process what compose gives it.

No cluster ever ran it: none is within reach of these tests.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import parts
from tests.cluster.machines import ROOT as REPOSITORY
from tests.deploy.test_containers import compose
from tests.prepare import HELM

CHART = REPOSITORY / "deploy" / "helm"
RENDER = Path(__file__).with_name("render_chart.py")
DATA = "/var/lib/weightgate"
SECRET = "/run/secrets/weightgate"  # a folder
PROCESSES = {"web": "web-1", "worker": "worker-1", "migrate": "migrate"}  # components, and the services of compose
OUR_OWN = {"POD_IP", "WEIGHTGATE_METRICS_LISTEN"}  # compose serves no metrics


def render(**values: Any) -> "subprocess.CompletedProcess[str]":
    if not (HELM / ".installed").exists():
        parts.missing("helm")
    command = [str(HELM / "bin" / "python"), str(RENDER), str(CHART)]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, encoding="utf-8", check=False)


def rendered(**values: Any) -> dict[str, Any]:
    done = render(**values)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def chart() -> dict[str, Any]:
    return rendered()


def of_kind(chart: dict[str, Any], kind: str) -> dict[str, Any]:
    """The objects of a kind, by their component."""
    return {
        one["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""): one
        for one in chart["objects"]
        if one["kind"] == kind
    }


def pods(chart: dict[str, Any]) -> dict[str, Any]:
    """The specs of the pods, by component."""
    found = of_kind(chart, "Deployment") | of_kind(chart, "Job")
    return {component: one["spec"]["template"]["spec"] for component, one in found.items()}


EVERYTHING = {
    "image": {"repository": "registry.example.org/weightgate", "tag": "0.1.0", "digest": f"sha256:{'a' * 64}"},
    "imagePullSecrets": [{"name": "pull"}],
    "redisUrl": "", "secretName": "lab", "extraFiles": {"web": ["sts.json"], "worker": ["smtp-password"]},
    "metrics": {"enabled": False}, "migrate": {"enabled": False}, "service": {"type": "LoadBalancer", "port": 443},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/signer"}},
    "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "gpu", "operator": "Exists"}],
}  # fmt: skip


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["as it is", "every value another"])
def test_helm_and_kubernetes_have_nothing_to_say(values: dict[str, Any]) -> None:
    """Linted, rendered, and strictly valid: no field that Kubernetes does not know."""
    told = rendered(**values)
    assert (told["lint"], told["invalid"]) == ([], [])
    assert len(told["objects"]) == (6 if values else 8)


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"repository": "weightgate", "tag": "latest"}}, {"secretName": ""}, {"web": {"replicas": 0}},
        {"replicas": 3}, {"redisUrl": "redis://user:password@redis"}, {"extraFiles": {"web": ["../etc/passwd"]}},
        {"extraFiles": {"web": ["x; rm -rf /"]}}, {"image": {"repository": "x", "tag": "1", "digest": "sha256:1"}},
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    """By the chart's schema, before anything reaches a cluster."""
    done = render(**values)
    assert done.returncode == 1
    assert "at '" in done.stderr  # which value, and what it should be


def test_each_process_gets_the_settings_of_compose(chart: dict[str, Any]) -> None:
    """The same commands, variables and key files at the same places, and no other key of the Secret."""
    services = compose()["services"]
    for component, name in PROCESSES.items():
        service, pod = services[name], pods(chart)[component]
        (container,) = (one for one in pod["containers"] if one["name"] == component)
        environment = {one["name"]: one.get("value") for one in container["env"] if one["name"] not in OUR_OWN}
        assert environment == service["environment"]
        if "command" in service:
            assert container["command"] == service["command"]
        wanted = {one["target"] for one in service["secrets"]}
        script = pod["initContainers"][0]["command"][2]
        copied = [line.split() for line in script.splitlines() if line.startswith("install -m")]
        assert {target for *_, target in copied} == wanted
        assert {mode for _, _, mode, *_ in copied} == {"0600"}
        (secret,) = (volume["secret"] for volume in pod["volumes"] if "secret" in volume)
        items = {one["key"] for one in secret["items"]}
        assert {f"{SECRET}/{item}" for item in items} == {source for _, _, _, source, _ in copied}
        assert {Path(target).name for target in wanted} == items


def test_the_web_s_command_is_the_image_s(chart: dict[str, Any]) -> None:
    """Compose leaves it to the image."""
    dockerfile = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    (container,) = (one for one in pods(chart)["web"]["containers"] if one["name"] == "web")
    assert f"CMD {json.dumps(container['command'])}" in dockerfile
    uid = int(compose()["services"]["web-1"]["user"].partition(":")[0])
    assert pods(chart)["web"]["securityContext"]["runAsUser"] == uid


def test_every_container_is_without_privileges_and_state(chart: dict[str, Any]) -> None:
    """As in compose; and what is written lies in memory that ends with the pod."""
    for pod in pods(chart).values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        for container in (*pod["initContainers"], *pod["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert container["resources"]["limits"]["memory"]
        kinds = [next(kind for kind in volume if kind != "name") for volume in pod["volumes"]]
        assert sorted(kinds) == ["emptyDir", "emptyDir", "secret"]
        assert all(volume["emptyDir"]["medium"] == "Memory" for volume in pod["volumes"] if "emptyDir" in volume)


def test_pods_come_and_go_one_at_a_time(chart: dict[str, Any]) -> None:
    """Probes of the web's own addresses, a budget for each deployment, and no traffic to a pod that cannot issue."""
    (web,) = (one for one in pods(chart)["web"]["containers"] if one["name"] == "web")
    probes = {kind: web[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    deployments, budgets = of_kind(chart, "Deployment"), of_kind(chart, "PodDisruptionBudget")
    assert set(deployments) == set(budgets) == {"web", "worker"}
    for component, one in deployments.items():
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"] == labels
        assert budgets[component]["spec"]["selector"]["matchLabels"] == labels
        assert budgets[component]["spec"]["maxUnavailable"] == 1
    assert of_kind(chart, "Service")["web"]["spec"]["selector"] == labels | {"app.kubernetes.io/component": "web"}
    assert deployments["web"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_metrics_are_served_beside_each_process(chart: dict[str, Any]) -> None:
    """On the pod's own address, from what the other container of the pod writes."""
    for component in ("web", "worker"):
        (container,) = (one for one in pods(chart)[component]["containers"] if one["name"] == "metrics")
        assert container["command"][-1] == "metrics"
        environment = {one["name"]: one for one in container["env"]}
        assert environment["WEIGHTGATE_METRICS_LISTEN"]["value"] == "$(POD_IP):9464"
        assert environment["POD_IP"]["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
        assert {"name": "data", "mountPath": DATA} in container["volumeMounts"]


def test_the_schema_is_migrated_before_the_pods(chart: dict[str, Any]) -> None:
    """A hook of Helm, after the account that it runs as."""
    (job,) = of_kind(chart, "Job").values()
    accounts = [one for one in chart["objects"] if one["kind"] == "ServiceAccount"]
    account, its_own = sorted(accounts, key=lambda one: str(one["metadata"]["name"]))
    hooks = [one["metadata"]["annotations"] for one in (its_own, job)]
    assert [one["helm.sh/hook"] for one in hooks] == ["pre-install,pre-upgrade"] * 2
    assert int(hooks[0]["helm.sh/hook-weight"]) < int(hooks[1]["helm.sh/hook-weight"])
    runs_as = {name: pod["serviceAccountName"] for name, pod in pods(chart).items()}
    assert runs_as.pop("migrate") == its_own["metadata"]["name"]
    assert set(runs_as.values()) == {account["metadata"]["name"]}
    # Made once: a new one would end what the pods have of it.
    assert not [name for name in account["metadata"].get("annotations", {}) if name.startswith("helm.sh/hook")]


def test_the_copying_makes_files_that_the_server_takes(chart: dict[str, Any], tmp_path: Path) -> None:
    """The script is run here, on files that a group may read: each key then is its owner's alone."""
    script = pods(chart)["worker"]["initContainers"][0]["command"][2]
    secret, data = tmp_path / "secret", tmp_path / "data"
    for folder in (secret, data):
        folder.mkdir()
    (secrets,) = (volume["secret"] for volume in pods(chart)["worker"]["volumes"] if "secret" in volume)
    for item in secrets["items"]:
        (secret / item["path"]).write_text(item["key"])
        (secret / item["path"]).chmod(secrets["defaultMode"])
    here = script.replace(SECRET, str(secret)).replace(DATA, str(data))
    subprocess.run(["/bin/sh", "-ec", here], check=True)
    made = {path.relative_to(data): path.stat().st_mode & 0o777 for path in data.rglob("*") if path.is_file()}
    assert set(made.values()) == {0o600}
    assert len(made) == len(secrets["items"])
