"""The chart, rendered by Helm: every file of values against the schemas of several Kubernetes versions, and what must hold of pods."""

import pathlib
import subprocess

import kubernetes_validate
import pytest
import yaml

import reference

ROOT = pathlib.Path(__file__).parents[2]
CHART = ROOT / "helm" / "bursar"
HELM = ROOT / "target" / "tools" / "bin" / "helm"
VERSIONS = ["1.29", "1.33", "1.36", "1.37"]
CASES = sorted(path.name for path in (CHART / "ci").glob("*.yaml"))
# Needs a version that has the policy.
FROM_1_36 = {"inject.yaml"}
# Of the Prometheus operator, and no schema of Kubernetes.
FOREIGN = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}


def helm(*arguments, fails=False):
    done = subprocess.run([HELM, *arguments], capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


def render(*arguments, version="1.36", fails=False):
    said = helm("template", "rel", CHART, "--namespace", "agents", "--kube-version", f"{version}.0", *arguments, fails=fails)
    return said if fails else [found for found in yaml.safe_load_all(said) if found]


def case(name, version="1.36"):
    return render("--values", CHART / "ci" / name, version=version)


def named(objects, kind, end=""):
    [found] = [found for found in objects if found["kind"] == kind and found["metadata"]["name"].endswith(end)]
    return found


def pods(objects):
    """(name, spec) of everything that makes pods."""
    for found in objects:
        if found["kind"] == "Pod":
            yield found["metadata"]["name"], found["spec"]
        elif "template" in found.get("spec", {}):
            yield found["metadata"]["name"], found["spec"]["template"]["spec"]


def containers(spec):
    return spec["containers"] + spec.get("initContainers", [])


def env(container):
    return {each["name"]: each.get("value") for each in container.get("env", [])}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_as_kubernetes_wants_them(name, version):
    if name in FROM_1_36 and version < "1.36":
        assert "needs Kubernetes 1.36" in render("--values", CHART / "ci" / name, version=version, fails=True)
        return
    objects = case(name, version)
    assert objects
    for found in objects:
        if found["kind"] not in FOREIGN:
            kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("name", CASES)
def test_it_lints(name):
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, "--values", CHART / "ci" / name, "--kube-version", "1.36.0")


@pytest.mark.parametrize("name", CASES)
def test_pods_are_restricted(name):
    """The restricted profile of the Pod Security Standards."""
    for pod, spec in pods(case(name)):
        for host in ("hostNetwork", "hostPID", "hostIPC"):
            assert not spec.get(host), pod
        assert all(set(volume) <= {"name", "emptyDir", "secret", "configMap", "persistentVolumeClaim"} for volume in spec["volumes"]) if "volumes" in spec else True
        assert spec["automountServiceAccountToken"] is False, pod
        assert spec["enableServiceLinks"] is False, pod
        for container in containers(spec):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, pod
            assert security["capabilities"] == {"drop": ["ALL"]}, pod
            assert security["runAsNonRoot"] is True, pod
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}, pod
            assert security["readOnlyRootFilesystem"] is True, pod
            assert all("hostPort" not in port for port in container.get("ports", [])), pod
            assert "limits" in container["resources"] or "requests" in container["resources"], pod
            mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounts <= {volume["name"] for volume in spec.get("volumes", [])}, pod


@pytest.mark.parametrize("name", CASES)
def test_selectors_find_their_pods(name):
    objects = case(name)
    labels = [found["spec"]["template"]["metadata"]["labels"] for found in objects if "template" in found.get("spec", {})]
    for service in (found for found in objects if found["kind"] == "Service"):
        assert any(service["spec"]["selector"].items() <= found.items() for found in labels), service["metadata"]["name"]
    for found in objects:
        if found["kind"] in ("Deployment", "DaemonSet"):
            assert found["spec"]["selector"]["matchLabels"].items() <= found["spec"]["template"]["metadata"]["labels"].items()


def test_a_first_run_needs_nothing_that_is_not_there():
    objects = case("usual.yaml")
    assert not any("secret" in str(found).lower() for _, spec in pods(objects) for found in spec.get("volumes", []))
    assert "secretKeyRef" not in str(objects)
    ledger = named(objects, "Deployment", "-ledger")
    assert ledger["spec"]["strategy"] == {"type": "Recreate"}
    assert named(objects, "PersistentVolumeClaim")["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert not any(found["kind"] == "Job" for found in objects)


def test_several_ledgers_share_a_database():
    assert "existingSecret" in render("--set", "ledger.replicas=2", fails=True)
    objects = case("database.yaml")
    ledger = named(objects, "Deployment", "-ledger")
    assert ledger["spec"]["replicas"] == 3
    assert ledger["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    [container] = ledger["spec"]["template"]["spec"]["containers"]
    database = next(each for each in container["env"] if each["name"] == "BURSAR_DATABASE")
    assert database["valueFrom"]["secretKeyRef"] == {"name": "bursar-database", "key": "url"}
    assert env(container)["BURSAR_DATABASE_CA"] == "/etc/bursar/database/ca.crt"
    assert env(container)["BURSAR_CALLS_MAX"] == "8192"
    migration = named(objects, "Job", "-migrate")
    assert migration["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    # Nothing of the chart's own is there before an install.
    assert "serviceAccountName" not in migration["spec"]["template"]["spec"]
    assert named(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert named(objects, "ServiceMonitor")["metadata"]["labels"]["release"] == "prometheus"


def test_the_number_follows_the_load_or_what_is_said():
    objects = case("scaled.yaml")
    assert "replicas" not in named(objects, "Deployment", "-ledger")["spec"]
    assert named(objects, "HorizontalPodAutoscaler")["spec"]["minReplicas"] == 2
    assert named(objects, "Deployment")["metadata"]["labels"]["team"] == "billing"
    [container] = named(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.example/bursar@sha256:")
    assert named(objects, "ConfigMap")["metadata"]["name"] == "rel-more"


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("ledger.replicas=0", lambda objects: named(objects, "Deployment", "-ledger")["spec"]["replicas"] == 0),
        (
            "ledger.config.calls_max=0",
            lambda objects: env(named(objects, "Deployment", "-ledger")["spec"]["template"]["spec"]["containers"][0])["BURSAR_CALLS_MAX"] == "0",
        ),
        (
            "ledger.config.allow=false",
            lambda objects: env(named(objects, "Deployment", "-ledger")["spec"]["template"]["spec"]["containers"][0])["BURSAR_ALLOW"] == "false",
        ),
    ],
)
def test_zero_and_no_are_said_as_they_are(value, at):
    assert at(render("--set", value))


def test_only_the_startup_probe_holds_the_pod_back():
    objects = case("node.yaml")
    test = named(objects, "Pod", "-answers")["spec"]
    [sidecar] = test["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["startupProbe"]["httpGet"] == sidecar["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert env(sidecar)["BURSAR_ACCOUNTS"] == "acme-*"
    assert env(sidecar)["BURSAR_RETAIN_BYTES_MAX"] == "0B"
    node = named(objects, "Service", "-node")["spec"]
    assert node["internalTrafficPolicy"] == "Local"


def test_sidecars_alone_call_the_ledger_they_are_told():
    objects = case("elsewhere.yaml")
    assert {found["kind"] for found in objects} == {"DaemonSet", "Service", "PodMonitor", "PrometheusRule", "ServiceAccount"}
    [container] = named(objects, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    assert env(container)["BURSAR_LEDGER"] == "http://bursar-ledger.billing:7400"
    assert "sidecar.ledger" in render("--set", "ledger.enabled=false", "--set", "node.enabled=true", fails=True)


def test_a_pod_gets_its_sidecar_once():
    objects = case("inject.yaml")
    policy = named(objects, "MutatingAdmissionPolicy")
    spec = policy["spec"]
    assert "namespace" not in policy["metadata"]
    assert spec["failurePolicy"] == "Fail"
    [excluded] = spec["matchConstraints"]["namespaceSelector"]["matchExpressions"]
    assert excluded["values"] == ["kube-system", "agents", "monitoring"]
    assert '"bursar"' in spec["matchConditions"][0]["expression"]
    patch = spec["mutations"][0]["jsonPatch"]["expression"]
    # What a pod gets by the template, it gets by the policy.
    [sidecar] = named(objects, "Pod", "-answers")["spec"]["initContainers"]
    for name, value in env(sidecar).items():
        assert f'name: "{name}", value: "{value}"' in patch
    for opened, closed in ("()", "[]", "{}"):
        for mutation in spec["mutations"]:
            expression = str(mutation)
            assert expression.count(opened) == expression.count(closed)
    assert named(objects, "MutatingAdmissionPolicyBinding")["spec"]["policyName"] == policy["metadata"]["name"]


@pytest.mark.parametrize(
    ("values", "named_in_error"),
    [
        ("ledger.replica=2", "replica"),
        ("ledger.replicas=many", "replicas"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("sidecar.inject.enabled=perhaps", "enabled"),
    ],
)
def test_typing_errors_are_refused(values, named_in_error):
    assert named_in_error in render("--set", values, fails=True)


def test_options_are_those_of_the_processes():
    """What the chart sets, the binary of this tree reads: it would complain of a variable that it does not know."""
    binary = ROOT / "target" / "debug" / "bursar"
    for kind, name, process in [("Deployment", "-ledger", "ledger"), ("DaemonSet", "-node", "sidecar")]:
        [container] = named(case("node.yaml"), kind, name)["spec"]["template"]["spec"]["containers"]
        shown = subprocess.run(
            [binary, "config", "show", process, "--json"],
            env={name: value for name, value in env(container).items() if value is not None},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "nothing reads it" not in shown.stderr, shown.stderr


def test_readme_and_schema_are_made_of_the_values():
    assert (CHART / "README.md").read_text() == reference.readme(), "python tests/helm/reference.py"
    assert (CHART / "values.schema.json").read_text() == reference.schema(), "python tests/helm/reference.py"
