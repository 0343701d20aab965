"""Manifests that repeat what stands elsewhere: Strimzi's topics, and the rules for its operator.

`python -m deploy.k8s.generated` writes them; a test says when they are stale.
"""

from pathlib import Path
from typing import Any

import yaml

from libs.common.topics import TOPICS

ROOT = Path(__file__).parents[2]
COMPONENTS = Path(__file__).parent / "components"
RULES = ROOT / "deploy" / "prometheus" / "rules"
HEAD = "# Written by `make docs` from {}.\n"


def documents() -> dict[Path, str]:
    """What each file should hold."""
    return {
        COMPONENTS / "strimzi" / "topics.yaml": _written("libs/common/topics.py", _topics()),
        COMPONENTS / "prometheus" / "rules.yaml": _written("deploy/prometheus/rules", [_rules()]),
    }


def _topics() -> list[dict[str, Any]]:
    """For Strimzi's Topic Operator."""
    return [
        {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaTopic",
            "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": "assistant"}},
            "spec": {
                "partitions": topic.partitions,
                "replicas": 3,
                "config": {name: int(value) for name, value in topic.config.items()},
            },
        }
        for topic in TOPICS
    ]


def _rules() -> dict[str, Any]:
    """All recording rules and alerts, in the wrapping that Prometheus' operator takes."""
    groups = [
        group
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "messenger-assistant"},
        "spec": {"groups": groups},
    }


def _written(source: str, documents: list[dict[str, Any]]) -> str:
    text = "---\n".join(yaml.safe_dump(each, sort_keys=False, width=100) for each in documents)
    return HEAD.format(source) + text


def main() -> None:
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
