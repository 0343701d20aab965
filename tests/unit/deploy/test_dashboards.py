"""The dashboards that are committed are those that the code makes, and ask for what there is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.observability.dashboards import DASHBOARDS
from deploy.observability.kit import TAG, Board, as_json
from tests.unit.deploy import boards, metrics

register_default_plugins()  # the readers of each kind of panel
BOARDS = boards.boards()
GRAFANA = boards.ROOT / "deploy" / "grafana"
UIDS = {"overview", "pipeline", "graph-api", "model", "business"}
"""Bookmarks and links of others rely on them: a dashboard may change its title, never this."""

each_board = pytest.mark.parametrize("made", DASHBOARDS, ids=lambda each: each.name)
each_name = pytest.mark.parametrize("name", BOARDS)


@each_board
def test_the_committed_dashboard_is_current(made: Board) -> None:
    committed = (boards.FOLDER / f"{made.name}.json").read_text(encoding="utf-8")
    assert committed == as_json(made), "run `make dashboards`"


def test_there_are_no_others_and_their_names_stay() -> None:
    assert set(BOARDS) == UIDS
    assert {board["uid"] for board in BOARDS.values()} == {f"{TAG}-{name}" for name in UIDS}
    assert len({board["title"] for board in BOARDS.values()}) == len(UIDS)


@each_name
def test_the_kits_own_reader_takes_it_as_it_is(name: str) -> None:
    """What it loses or stumbles over, Grafana might as well."""
    read = Dashboard.from_json(BOARDS[name])
    again = json.loads(json.dumps(read, cls=JSONEncoder))
    for kept, read_again in zip(BOARDS[name]["panels"], again["panels"], strict=True):
        assert read_again == kept
    assert {**again, "annotations": None} == {**BOARDS[name], "annotations": None}


@each_name
def test_a_query_asks_only_for_what_is_counted(name: str) -> None:
    shown = [each for each in boards.queries() if each.board == name]
    assert not [each for each in shown if "$" in each.expr]
    faults = {each.panel: metrics.complaints(each.expr) for each in shown}
    assert {panel: found for panel, found in faults.items() if found} == {}


@each_name
def test_what_a_dashboard_chooses_from_and_marks_is_there(name: str) -> None:
    board = BOARDS[name]
    asked = [each["expr"] for each in board["annotations"]["list"]]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert found is not None
            asked.append(f"group by ({found[2]}) ({boards.asked(found[1])})")
    assert [metrics.complaints(each) for each in asked] == [[]] * len(asked)


@each_name
def test_every_variable_that_is_used_can_be_chosen(name: str) -> None:
    board = BOARDS[name]
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([board["panels"], board["templating"]])))
    known = {variable["name"] for variable in board["templating"]["list"]}
    assert {each for each in used if not each.startswith("__")} <= known


@each_name
def test_a_panel_says_what_it_shows_and_in_which_unit(name: str) -> None:
    for panel in boards.panels(BOARDS[name]):
        about = panel["description"].split("\n\n")[0]
        assert len(about) >= 40, panel["title"]
        assert about.endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "prometheus"}
        assert panel["targets"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@each_name
def test_a_legend_names_labels_that_the_query_leaves(name: str) -> None:
    for panel in boards.panels(BOARDS[name]):
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert named <= metrics.left_over(boards.asked(target["expr"])), panel["title"]


@each_name
def test_a_run_book_entry_belongs_to_an_alert(name: str) -> None:
    alerts = {alert.lower() for alert in alert_names()}
    for panel in boards.panels(BOARDS[name]):
        leads = re.findall(r"runbook\.md#(\w+)", panel["description"])
        links = [re.sub(r".*#", "", link["url"]) for link in panel.get("links", [])]
        assert leads == links
        assert set(links) - alerts == set(), panel["title"]


@each_name
def test_a_number_with_limits_takes_its_colour_from_them(name: str) -> None:
    for panel in boards.panels(BOARDS[name]):
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        if panel["type"] == "stat" and len(steps) > 1:
            assert panel["fieldConfig"]["overrides"] == [], panel["title"]


@each_name
def test_panels_fill_the_grid_without_lying_upon_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[name]["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in BOARDS[name]["panels"]]
    assert len(set(ids)) == len(ids)


def test_every_alert_can_be_seen_on_some_panel() -> None:
    """Whoever is called opens a dashboard: there has to be one that shows what the alert saw."""
    shown = {
        lead
        for board in BOARDS.values()
        for panel in boards.panels(board)
        for lead in re.findall(r"runbook\.md#(\w+)", panel["description"])
    }
    pages = {alert.lower() for alert, rule in alert_names().items() if is_page(rule)}
    assert pages - shown == set()


def test_grafana_is_told_of_the_folder_and_of_the_source_that_panels_ask() -> None:
    provisioned = GRAFANA / "provisioning"
    (source,) = _yaml(provisioned / "datasources" / "prometheus.yaml")["datasources"]
    (provider,) = _yaml(provisioned / "dashboards" / "messenger-assistant.yaml")["providers"]
    assert (source["type"], source["uid"]) == ("prometheus", "prometheus")
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    assert provider["allowUiUpdates"] is False


def test_grafana_knows_how_often_prometheus_looks() -> None:
    """Or a rate over `$__rate_interval` would have too few values."""
    (source,) = _yaml(GRAFANA / "provisioning" / "datasources" / "prometheus.yaml")["datasources"]
    config = _yaml(boards.ROOT / "deploy" / "prometheus" / "prometheus.yml")
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


def alert_names() -> dict[str, dict[str, Any]]:
    return {
        rule["alert"]: rule
        for path in sorted(metrics.RULES.glob("*.yml"))
        for group in _yaml(path)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def is_page(rule: dict[str, Any]) -> bool:
    return bool(rule["labels"]["severity"] == "page")


def _yaml(path: Path) -> Any:  # noqa: ANN401
    return yaml.safe_load(path.read_text(encoding="utf-8"))
