"""Commands of the documents that are longer than a name, run with a stand-in for the cluster."""

import json
import os
import subprocess
from pathlib import Path

from tests.unit.deploy.manifests import container_of, one, rendered

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
STAND_IN = """kubectl() {
  if [ "$3 $4 $5" = "get deploy sender" ]; then cat "$DEPLOYMENT"; else cat; fi
}
"""


def test_a_job_out_of_a_deployment_gets_the_options_that_it_is_given(tmp_path: Path) -> None:
    """jq takes what begins with a dash for an option of its own, unless it is told."""
    deployment = tmp_path / "deployment.json"
    deployment.write_text(json.dumps(one(rendered("production"), "Deployment", "sender")))
    text = OPERATIONS.read_text(encoding="utf-8")
    function = text[text.index("once() {") :]
    function = function[: function.index("; }\n") + 3]
    script = (
        f"{STAND_IN}{function}\nonce sender services.sender.restored --since 2026-03-01T01:55:00Z"
    )
    made = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": os.environ["PATH"], "DEPLOYMENT": str(deployment)},
        capture_output=True,
        check=True,
        timeout=30,
    )
    container = container_of(json.loads(made.stdout))
    assert container["args"] == ["services.sender.restored", "--since", "2026-03-01T01:55:00Z"]
    assert "livenessProbe" not in container
