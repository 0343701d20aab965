"""What Meta says to our calls: outcomes, error codes, its allowance, and what waits for it."""

from deploy.observability.asking import RATE, per_minute, quantile, quantiles
from deploy.observability.kit import Board, Panel, Query, Row

SEND = 'endpoint="messages"'

_CALLS = Row(
    "Calls",
    (
        Panel(
            "By what became of them",
            "cpm",
            "Normal: ok. limited: too fast, see the allowance below. token: a Page has to be "
            "reconnected. unsure and unknown: nobody can tell, so evidence is looked for. "
            "not_sent: Meta was not reached.",
            (Query(per_minute("assistant_graph_calls_total", by="outcome"), "{{outcome}}"),),
            kind="stack",
            alerts=("GraphApiFailing",),
        ),
        Panel(
            "By endpoint",
            "cpm",
            "messages: what people read. actions: typing and seen. conversations and message: "
            "reading a thread back for evidence, normally few. profile: names and pictures.",
            (Query(per_minute("assistant_graph_calls_total", by="endpoint"), "{{endpoint}}"),),
            kind="stack",
        ),
        Panel(
            "Sends that Meta did not take",
            "percentunit",
            "Share of calls to send a message whose outcome is not ok. A few in a hundred are "
            "normal: people block Pages. Suddenly half: look at the error codes.",
            (
                Query(
                    f'sum(rate(assistant_graph_calls_total{{{SEND}, outcome!="ok"}}[{RATE}]))'
                    f" / (sum(rate(assistant_graph_calls_total{{{SEND}}}[{RATE}])) > 0)",
                    "failed",
                ),
            ),
            limits=((None, "transparent"), (0.2, "red")),
            highest=1,
            alerts=("GraphApiFailing", "MessagesRefused"),
        ),
        Panel(
            "Errors by Meta's code",
            "cpm",
            "4, 17, 32, 613, 80006: limits. 190: the token. 10, 200, 230: permissions. 368: the "
            "Page is barred. 551: the person can't be reached. 1, 2: Meta's own trouble; see "
            "metastatus.com.",
            (Query(per_minute("assistant_graph_errors_total", by="code") + " > 0", "{{code}}"),),
            kind="stack",
            alerts=("GraphApiFailing", "PageTokenRejected"),
        ),
        Panel(
            "How long a send takes",
            "s",
            "Meta's own time for a message. Normal: half within 0.5 s. At 10 s we stop waiting, "
            "and look for evidence whether it went out.",
            quantiles("assistant_graph_call_seconds", SEND),
            limits=((None, "transparent"), (10, "red")),
        ),
        Panel(
            "How long others take",
            "s",
            "95 of 100 calls, by endpoint. If all rise together, it is the network or Meta.",
            (Query(quantile(0.95, "assistant_graph_call_seconds", by="endpoint"), "{{endpoint}}"),),
        ),
    ),
)

_ALLOWANCE = Row(
    "Meta's allowance",
    (
        Panel(
            "Allowance used",
            "percentunit",
            "Of the Page that is nearest to its limit, by Meta's own headers. From 80 % on we "
            "slow down, at 100 % the Page stops until Meta says.",
            (Query("max(assistant_page_usage_ratio)", "the most used"),),
            limits=((None, "transparent"), (0.8, "orange"), (1, "red")),
            alerts=("PagesRateLimited",),
        ),
        Panel(
            "Pace of the slowest Page",
            "percentunit",
            "Share of its full rate at which the slowest Page sends. Normal: 100 %. It recovers "
            "by itself, a little every second without a limit.",
            (Query("min(assistant_page_pace_ratio)", "the slowest"),),
            highest=1,
            alerts=("PagesRateLimited",),
        ),
        Panel(
            "Pages that are stopped",
            "short",
            "Not called for now. limit: Meta wants a pause. token: refused, one call a minute "
            "finds out whether it is good again; press Reconnect.",
            (Query("sum by (cause) (assistant_pages_stopped)", "{{cause}}"),),
            alerts=("PagesRateLimited", "PageTokenRejected"),
        ),
        Panel(
            "Pauses",
            "cpm",
            "Times a Page's sending was stopped, by cause. app_limit stops all Pages of the app.",
            (Query(per_minute("assistant_page_pauses_total", by="cause"), "{{cause}}"),),
            alerts=("PagesRateLimited",),
        ),
        Panel(
            "Parts in line",
            "short",
            "Parts that wait for leave to call, over all Pages. Normal: near 0; a few after many "
            "wrote at once.",
            (Query("sum(assistant_page_waiting_parts)", "in line"),),
        ),
        Panel(
            "How long they stand in line",
            "s",
            "95 of 100 parts. Humans go before the assistant. More than a second: the Page sends "
            "as fast as Meta lets it.",
            (Query(quantile(0.95, "assistant_page_turn_seconds", by="origin"), "{{origin}}"),),
        ),
    ),
)

_WAITING = Row(
    "Put away, held, in doubt",
    (
        Panel(
            "Commands put away",
            "cpm",
            "What can't go out for long, by why. They go out by themselves, in order, when they "
            "can, or fail when the messaging window closes. token, channel: reconnect the Page.",
            (Query(per_minute("assistant_commands_kept_total", by="why"), "{{why}}"),),
            kind="stack",
        ),
        Panel(
            "Pages with something put away",
            "short",
            "Normal: 0. They have to be reconnected, or Meta's limit is still on.",
            (Query("sum(assistant_kept_pages)", "Pages"),),
            alerts=("PagesWithoutToken",),
        ),
        Panel(
            "Taken up again",
            "cpm",
            "People for whom something that was put away is sent now. A wave after Reconnect is "
            "normal.",
            (Query(per_minute("assistant_kept_wakes_total"), "people"),),
        ),
        Panel(
            "Doubts",
            "cpm",
            "Sends without a clear answer, by what evidence says. found: it was sent. absent: it "
            "was not, and is sent again. unclear: it is held. Many: Meta or the network is in "
            "trouble.",
            (Query(per_minute("assistant_part_doubts_total", by="outcome"), "{{outcome}}"),),
            kind="stack",
            alerts=("HeldPartTooOld",),
        ),
        Panel(
            "Decisions of people, and late evidence",
            "cpm",
            "What people decided about parts, and held ones whose echo came after all.",
            (
                Query(per_minute("assistant_part_decisions_total", by="decision"), "{{decision}}"),
                Query(per_minute("assistant_late_evidence_total"), "echo came late"),
            ),
        ),
        Panel(
            "Signs",
            "cpm",
            "Seen and typing. stale and busy ones are left out, as they are worth nothing later.",
            (Query(per_minute("assistant_sender_actions_total", by="outcome"), "{{outcome}}"),),
            kind="stack",
        ),
    ),
)

GRAPH_API = Board(
    "graph-api",
    "Messenger assistant: Graph API",
    "What Meta says to our calls: outcomes, error codes, its allowance, and what waits for it.",
    (_CALLS, _ALLOWANCE, _WAITING),
)
