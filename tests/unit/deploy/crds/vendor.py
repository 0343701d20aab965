"""Takes a CRD's schema over: `python -m tests.unit.deploy.crds.vendor FILE.yaml …`.

Only what is validated stays: no descriptions, no `status`, and no pod templates of operators,
which are nine tenths of some of them and which we do not use.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
DROPPED = frozenset({"description", "example", "externalDocs"})
# of Strimzi's Kafka: not used, and large
LEFT_OUT = frozenset({"cruiseControl", "kafkaExporter", "jmxOptions", "clusterCa", "clientsCa"})


def schema_of(crd: dict[str, Any]) -> dict[str, Any]:
    """The schema of the version that is stored, small."""
    (version,) = [each for each in crd["spec"]["versions"] if each["storage"]]
    schema: dict[str, Any] = _small(version["schema"]["openAPIV3Schema"])
    schema["properties"].pop("status", None)
    for name in LEFT_OUT:
        schema["properties"]["spec"].get("properties", {}).pop(name, None)
    return {
        "apiVersion": f"{crd['spec']['group']}/{version['name']}",
        "kind": crd["spec"]["names"]["kind"],
        "schema": schema,
    }


def _small(node: Any, *, names: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Args: names: the keys of `node` are names of fields, and not words of JSON schema."""
    if isinstance(node, list):
        return [_small(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _small(value, names=key == "properties" and not names)
        for key, value in node.items()
        if names or key not in DROPPED
    }


def main() -> None:
    for path in sys.argv[1:]:
        taken = schema_of(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
        target = HERE / f"{taken['kind'].lower()}.json"
        target.write_text(json.dumps(taken, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
