"""The rules of deploy/prometheus: they are sound, ask for what is counted, and each alert is tried.

promtool checks and plays them; it comes with Prometheus, in Debian as `apt-get install
--no-install-recommends prometheus`.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.ports import DEFAULTS
from tests.unit.deploy.metrics import ROOT, RULES, complaints

FOLDER = RULES.parent
RUNBOOK = ROOT / "docs" / "runbook.md"
GROUPS: list[Mapping[str, Any]] = [
    group
    for path in sorted(RULES.glob("*.yml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
]
EVERY = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in EVERY if "alert" in rule]
TESTS = sorted((FOLDER / "tests").glob("*.yml"))

every_alert = pytest.mark.parametrize("alert", ALERTS, ids=[each["alert"] for each in ALERTS])


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        pytest.fail("promtool is missing: apt-get install --no-install-recommends prometheus")
    return subprocess.run(
        [found, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


def test_promtool_finds_nothing_amiss() -> None:
    done = promtool("check", "config", FOLDER / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    found = [int(each) for each in re.findall(r"(\d+) rules found", done.stdout)]
    assert sum(found) == len(EVERY)


@pytest.fixture(scope="module")
def played() -> Mapping[Path, "subprocess.CompletedProcess[str]"]:
    """All stories, two files at a time: together they take some seconds."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(TESTS, pool.map(partial(promtool, "test", "rules"), TESTS), strict=True))


@pytest.mark.parametrize("path", TESTS, ids=[path.stem for path in TESTS])
def test_each_alert_does_what_its_story_tells(
    played: Mapping[Path, "subprocess.CompletedProcess[str]"], path: Path
) -> None:
    assert played[path].returncode == 0, played[path].stdout + played[path].stderr


@pytest.mark.parametrize("rule", EVERY, ids=[each.get("alert") or each["record"] for each in EVERY])
def test_rules_ask_only_for_what_is_counted(rule: Mapping[str, Any]) -> None:
    assert complaints(str(rule["expr"])) == []


def test_names_are_unique_and_say_what_they_are() -> None:
    names = [rule.get("alert") or rule["record"] for rule in EVERY]
    assert len(names) == len({name.lower() for name in names})
    recorded = [rule["record"] for rule in EVERY if "record" in rule]
    assert [name for name in recorded if not re.fullmatch(r"assistant:\w+:\w+", name)] == []
    assert [each["alert"] for each in ALERTS if not each["alert"].isalpha()] == []


@every_alert
def test_an_alert_tells_whom_it_wakes_and_what_to_read(alert: Mapping[str, Any]) -> None:
    assert alert["labels"] in ({"severity": "page"}, {"severity": "ticket"})
    told = alert["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert told["runbook_url"] == f"docs/runbook.md#{alert['alert'].lower()}"
    assert len(told["summary"]) <= 90
    assert not told["summary"].endswith(".")
    assert told["description"].endswith(".")


def _stories() -> dict[str, tuple[int, int]]:
    """How often each alert has to fire, and how often not to."""
    found: dict[str, tuple[int, int]] = {}
    for path in TESTS:
        for story in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for look in story["promql_expr_test"]:
                if (name := re.search(r'alertname="(\w+)"', look["expr"])) is not None:
                    fires, rests = found.get(name[1], (0, 0))
                    is_firing = bool(look["exp_samples"])
                    found[name[1]] = (fires + is_firing, rests + (not is_firing))
    return found


def test_each_alert_has_a_story_in_which_it_fires_and_in_which_it_rests() -> None:
    stories = _stories()
    assert set(stories) == {each["alert"] for each in ALERTS}
    untried = {name: told for name, told in stories.items() if told[0] < 1 or told[1] < 2}
    assert untried == {}, "fires when it should; rests before, and after"


def test_every_file_of_rules_is_part_of_the_day_on_which_all_is_well() -> None:
    calm = yaml.safe_load((FOLDER / "tests" / "calm.yml").read_text(encoding="utf-8"))
    assert {Path(each).name for each in calm["rule_files"]} == {p.name for p in RULES.glob("*.yml")}


def test_the_run_book_has_an_entry_for_each_alert_and_no_other() -> None:
    titles = re.findall(r"^## (\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(titles) == sorted(each["alert"] for each in ALERTS)


def test_prometheus_asks_every_service_where_it_is() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    services = [path.parent.name for path in (ROOT / "services").glob("*/app.py")]
    ports = {name: f"{name}:{port}" for name, port in DEFAULTS.items()}
    assert targets == {name: [ports[name]] for name in services}
