"""The manifests as `kubectl apply -k` would send them, and whether an API server would take them.

Kubernetes' own kinds are held against the schemas that kubernetes-validate bundles, those of
operators against the ones in `crds/`. Both strictly: a field that nobody knows is an error, which
an API server would only drop.
"""

import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import kubernetes_validate.utils
import yaml
from jsonschema import Draft202012Validator

Manifest = dict[str, Any]

ROOT = Path(__file__).parents[3]
K8S = ROOT / "deploy" / "k8s"
CRDS = Path(__file__).parent / "crds"
OVERLAYS = ("local", "production")
COMPONENTS = tuple(sorted(path.parent.name for path in K8S.glob("components/*/kustomization.yaml")))
SERVICES = ("gateway", "conversation", "sender", "takeover", "analytics", "console")
WITHIN_S = 60
LOADS = frozenset({"Deployment", "StatefulSet", "Job"})

MADE_UP = {
    "ENCRYPTION_KEYS": "k1:" + base64.b64encode(bytes(32)).decode(),
    "MONGODB_URI": "mongodb://mongodb:27017",
}

MISSING = (
    "to render deploy/k8s, kubectl with kustomize 5 or kustomize itself is needed, and neither is "
    "on the path: install kubectl, or run "
    "`go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1` with $(go env GOPATH)/bin on the path"
)

# the bundle is read anew for each resource, otherwise
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)


class ToolMissingError(Exception):
    """Nothing here can render."""


@cache
def renderer() -> tuple[str, ...]:
    """The command that a folder is added to.

    Raises:
        ToolMissingError: with what to install.
    """
    if shutil.which("kubectl"):
        answer = _run(("kubectl", "version", "--client", "--output", "json"))
        version = json.loads(answer).get("kustomizeVersion", "v0")
        if int(version.lstrip("v").partition(".")[0]) >= 5:
            return ("kubectl", "kustomize")
    if shutil.which("kustomize"):
        return ("kustomize", "build")
    raise ToolMissingError(MISSING)


@cache
def rendered(overlay: str, components: tuple[str, ...] = ()) -> tuple[Manifest, ...]:
    """An overlay, with components as somebody takes them in: by uncommenting their lines in it."""
    if not components:
        return _built(K8S / "overlays" / overlay)
    with tempfile.TemporaryDirectory() as place:
        own = Path(place).resolve() / "deploy"
        for name in ("k8s", "grafana"):
            shutil.copytree(K8S.parent / name, own / name)
        folder = own / "k8s" / "overlays" / overlay
        file = folder / "kustomization.yaml"
        file.write_text(_with(components, file.read_text(encoding="utf-8")), encoding="utf-8")
        return _built(folder)


def _with(components: Sequence[str], text: str) -> str:
    for line in ("components:", *(f"  - ../../components/{name} " for name in components)):
        assert f"\n# {line}" in text, f"not to be uncommented: {line}"
        text = text.replace(f"\n# {line}", f"\n{line}")
    return text


def _built(folder: Path) -> tuple[Manifest, ...]:
    text = _run((*renderer(), str(folder)))
    return tuple(each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each)


def _run(command: Sequence[str]) -> str:
    """Raises AssertionError with what the command complains about."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def every_set() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Overlays, production with all components, and with some that change what others do, too."""
    for overlay in OVERLAYS:
        yield overlay, ()
    for some in (("keda",), ("gateway-api",), ("strimzi", "mongodb-operator"), COMPONENTS):
        yield "production", some


def one(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    found = [each for each in manifests if each["kind"] == kind and name_of(each) == name]
    assert len(found) == 1, f"{len(found)} of {kind}/{name}"
    return found[0]


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in kinds]


def name_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def pod_of(manifest: Manifest) -> Manifest:
    """The pod of a Deployment, StatefulSet or Job: metadata and spec."""
    pod: Manifest = manifest["spec"]["template"]
    return pod


def container_of(manifest: Manifest) -> Manifest:
    (container,) = pod_of(manifest)["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def fits(selector: Manifest, pod: Manifest) -> bool:
    """Whether a label selector finds a pod."""
    labels = pod["metadata"]["labels"]
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def settings_of(manifests: Sequence[Manifest], load: Manifest) -> dict[str, str]:
    """What a pod's environment holds that is no secret."""
    values: dict[str, str] = {}
    container = container_of(load)
    for source in container.get("envFrom", []):
        values |= one(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for each in container.get("env", []):
        given = each.get("value") or each["valueFrom"]["fieldRef"]["fieldPath"]
        values[each["name"]] = str(given)
    return values


def secrets_of(load: Manifest, *, optional: bool) -> set[str]:
    """The files below /run/secrets that a pod gets; those that need not be there, or the others."""
    return {
        item["path"]
        for volume in pod_of(load)["spec"].get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
        if source["secret"].get("optional", False) is optional
        for item in source["secret"]["items"]
    }


def environment_of(manifests: Sequence[Manifest], load: Manifest) -> dict[str, str]:
    """All that a pod's process reads, with something made up in the place of each secret."""
    required = {
        name: MADE_UP.get(name, "made-up-" * 4) for name in secrets_of(load, optional=False)
    }
    given = {name: value for name, value in settings_of(manifests, load).items() if value}
    return required | {"FACEBOOK_APP_ID": "1234"} | given


def problem_of(manifest: Manifest) -> str | None:
    """Why an API server would refuse it, or drop a part of it."""
    own = _own_schemas().get((manifest["apiVersion"], manifest["kind"]))
    if own is not None:
        error = next(iter(own.iter_errors(manifest)), None)
        return None if error is None else f"{error.json_path}: {error.message}"
    try:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return None


@cache
def _own_schemas() -> dict[tuple[str, str], Draft202012Validator]:
    schemas = {}
    for path in sorted(CRDS.glob("*.json")):
        taken = json.loads(path.read_text(encoding="utf-8"))
        schema = _strict(taken["schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        schemas[taken["apiVersion"], taken["kind"]] = Draft202012Validator(schema)
    return schemas


def _strict(node: Any) -> Any:  # noqa: ANN401 - JSON
    """A structural schema as JSON schema: what it doesn't name is refused, as by strict kubectl."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: _strict(value) for key, value in node.items()}
    if made.get("x-kubernetes-int-or-string") is True:
        made.pop("type", None)
        made["type"] = ["integer", "string"]
    is_open = made.get("x-kubernetes-preserve-unknown-fields") is True
    names_fields = isinstance(made.get("properties"), dict) and "type" in made
    if names_fields and not is_open:
        made.setdefault("additionalProperties", False)
    return made
