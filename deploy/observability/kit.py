"""What a dashboard is made of here, and how that becomes Grafana's JSON.

A panel says what it shows (`queries`), in which unit, what is normal and what to do (`about`), and
which alerts watch the same (`alerts`). Everything else is the same everywhere, and decided once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Literal

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.observability.colours import colours_of

TAG = "messenger-assistant"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="prometheus")
DOCS_URL = "https://git.example.org/messenger-assistant/docs"
SERVICES = "gateway|conversation|sender|takeover|analytics|console"

Kind = Literal["lines", "stack", "stat", "table"]
Step = tuple[float | None, str]
"""From this value on, this colour; the first one from None."""


@dataclass(frozen=True)
class Query:
    """One expression. `legend` names its series, with labels as `{{label}}`."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """`limits` are drawn as lines in `lines` and `stack`, and colour the number of a `stat`."""

    title: str
    unit: str
    about: str
    queries: tuple[Query, ...]
    kind: Kind = "lines"
    width: int = 8
    height: int = 8
    limits: tuple[Step, ...] = ()
    alerts: tuple[str, ...] = ()
    words: tuple[tuple[str, str, str], ...] = ()
    """For a `stat`: a value, the word that is shown for it, its colour."""
    left_out: tuple[str, ...] = ()
    """For a `table`: labels that say nothing there."""
    highest: float | None = None
    decimals: int | None = None


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Choice:
    """A variable: the values of a label, several at once, all of them at first."""

    name: str
    title: str
    query: str


@dataclass(frozen=True)
class Entry:
    """A variable that is typed in."""

    name: str
    title: str
    default: str
    about: str


@dataclass(frozen=True)
class Board:
    """One dashboard. `name` is its file and, behind the tag, its uid: links and bookmarks rely on
    it, so it never changes."""

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    variables: tuple[Choice | Entry, ...] = ()
    since: str = "now-3h"


JOB = Choice("job", "Service", f'label_values(up{{job=~"{SERVICES}"}}, job)')
INSTANCE = Choice("instance", "Process", 'label_values(up{job=~"$job"}, instance)')


def as_json(board: Board, docs_url: str = DOCS_URL) -> str:
    """The file's text: the same for the same board."""
    made = json.loads(json.dumps(_built(board, docs_url).build(), cls=JSONEncoder))
    for annotation in made["annotations"]["list"]:  # the kit does not know these two
        annotation |= {"titleFormat": "{{alertname}}", "textFormat": "{{job}} {{group}}"}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _built(board: Board, docs_url: str) -> dashboard.Dashboard:
    made = (
        dashboard.Dashboard(board.title)
        .uid(f"{TAG}-{board.name}")
        .description(board.about)
        .tags([TAG])
        .timezone("browser")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time(board.since, "now")
        .link(_to_the_others())
        .annotation(_firing_alerts())
    )
    for variable in (*board.variables, _docs(docs_url)):
        made.with_variable(_variable(variable))
    number = 0
    for row in board.rows:
        number += 1
        made.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made.with_panel(_panel(panel, number))
    return made


def _to_the_others() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Dashboards")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(True)
    )


def _firing_alerts() -> dashboard.AnnotationQuery:
    """What woke somebody stands as a line in every panel."""
    return (
        dashboard.AnnotationQuery()
        .name("Alerts that page")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("red")
        .expr('ALERTS{alertstate="firing", severity="page"}')
    )


def _docs(docs_url: str) -> Entry:
    return Entry("docs", "Documentation", docs_url, "where docs/ of this project can be read")


def _variable(variable: Choice | Entry) -> Any:  # noqa: ANN401 - builders have no common type
    if isinstance(variable, Entry):
        return (
            dashboard.TextBoxVariable(variable.name)
            .label(variable.title)
            .description(variable.about)
            .default_value(variable.default)
            .current(
                models.VariableOption(selected=True, text=variable.default, value=variable.default)
            )
        )
    return (
        dashboard.QueryVariable(variable.name)
        .label(variable.title)
        .query(variable.query)
        .datasource(SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _panel(panel: Panel, number: int) -> Any:  # noqa: ANN401 - builders have no common type
    made: Any = _KINDS[panel.kind](panel)
    made.id(number).title(panel.title).description(_described(panel)).datasource(SOURCE)
    made.unit(panel.unit).span(panel.width).height(panel.height).min(0).no_value("nothing yet")
    made.thresholds(_thresholds(panel))
    if panel.highest is not None:
        made.max(panel.highest)
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    if panel.alerts:
        made.links([_run_book(alert) for alert in panel.alerts])
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        made.with_target(_target(query, letter, panel.kind))
        for name, colour in _colours(panel, query).items():
            made.override_by_name(name, [_coloured(colour)])
    return made


def _colours(panel: Panel, query: Query) -> Mapping[str, str]:
    """A number with limits has the colour that they give it: a service that is down is red."""
    return {} if panel.kind == "stat" and panel.limits else colours_of(query.legend)


def _described(panel: Panel) -> str:
    if not panel.alerts:
        return panel.about
    entries = ", ".join(f"docs/runbook.md#{alert.lower()}" for alert in panel.alerts)
    return f"{panel.about}\n\nRun-book: {entries}"


def _run_book(alert: str) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink(f"Run-book: {alert}")
        .type(models.DashboardLinkType.LINK)
        .url(f"${{docs:raw}}/runbook.md#{alert.lower()}")
        .target_blank(True)
    )


def _target(query: Query, letter: str, kind: Kind) -> prometheus.Dataquery:
    """What is about the whole time that is shown is worked out once, and not for each moment."""
    made = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
    made.datasource(SOURCE)
    if kind == "table":
        return made.instant().format(PromQueryFormat.TABLE)
    return made.instant() if kind == "stat" and "$__range" in query.expr else made.range()


def _coloured(colour: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    steps: Sequence[Step] = panel.limits or ((None, "green" if panel.kind == "stat" else "blue"),)
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=colour) for value, colour in steps])
    )


def _lines(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .line_width(1.5)
        .fill_opacity(8)
        .show_points(shapes.VisibilityMode.NEVER)
        .span_nulls(120_000)  # a scrape that is missing is no gap; two minutes are
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(shapes.LegendDisplayMode.TABLE)
            .placement(shapes.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
            .sort_by("Max")
            .sort_desc(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(shapes.TooltipDisplayMode.MULTI)
            .sort(shapes.SortOrder.DESCENDING)
        )
    )
    if panel.limits:
        style = common.GraphThresholdsStyleConfig().mode(shapes.GraphTresholdsStyleMode.DASHED)
        made.thresholds_style(style)
    return made


def _stack(panel: Panel) -> timeseries.Panel:
    return (
        _lines(panel)
        .fill_opacity(35)
        .stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL))
    )


def _stat(panel: Panel) -> stat.Panel:
    made = (
        stat.Panel()
        .color_mode(shapes.BigValueColorMode.VALUE)
        .graph_mode(shapes.BigValueGraphMode.AREA)
        .text_mode(
            shapes.BigValueTextMode.VALUE_AND_NAME
            if len(panel.queries) > 1 or "{{" in panel.queries[0].legend
            else shapes.BigValueTextMode.VALUE
        )
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if panel.words:
        options = {
            value: models.ValueMappingResult(text=text, color=colour)
            for value, text, colour in panel.words
        }
        made.mappings([models.ValueMap(options=options)])
    return made


def _table(panel: Panel) -> table.Panel:
    """One line for each set of labels, one column a query; the highest of the first come first."""
    letters = zip(ascii_uppercase, panel.queries, strict=False)
    columns = {f"Value #{letter}": query.legend for letter, query in letters}
    if len(panel.queries) == 1:
        columns["Value"] = panel.queries[0].legend  # as Grafana calls the only one
    hidden = dict.fromkeys(("Time", *panel.left_out), True)
    made = (
        table.Panel()
        .show_header(True)
        .transformations(
            [
                models.DataTransformerConfig(id_val="merge", options={}),
                models.DataTransformerConfig(
                    id_val="organize", options={"excludeByName": hidden, "renameByName": columns}
                ),
            ]
        )
    )
    if "Value" not in hidden:
        first = common.TableSortByFieldState().display_name(panel.queries[0].legend)
        made.sort_by([first.desc(True)])
    return made


_KINDS: dict[Kind, Any] = {"lines": _lines, "stack": _stack, "stat": _stat, "table": _table}
