"""Page by Page: what came, who answered, what failed. Figures for people are in the console."""

from deploy.observability.asking import per_minute
from deploy.observability.kit import Board, Choice, Panel, Query, Row

PAGE = Choice("page", "Page", "label_values(assistant_page_messages_total, page)")
HERE = 'page=~"$page"'
SENT = 'what=~"assistant|human|human_facebook"'


def _increase(metric: str, matching: str = "", by: str = "page") -> str:
    further = f", {matching}" if matching else ""
    return f"sum by ({by}) (increase({metric}{{{HERE}{further}}}[$__range]))"


def _share(of: str, all_of: str, window: str) -> str:
    counted = "sum(increase({}[{}]))"
    return f"{counted.format(of, window)} / ({counted.format(all_of, window)} > 0)"


_MESSAGES = Row(
    "Messages",
    (
        Panel(
            "Received",
            "cpm",
            "What people wrote, Page by Page. None for long on a Page that is busy otherwise: "
            "look at its line under Health in the console.",
            (
                Query(
                    per_minute(
                        "assistant_page_messages_total", f'{HERE}, what="received"', by="page"
                    ),
                    "{{page}}",
                ),
            ),
            kind="stack",
            alerts=("WebhooksStopped", "PageSubscriptionLost"),
        ),
        Panel(
            "Sent, by who wrote it",
            "cpm",
            "assistant; human: in the console; human_facebook: in Meta's own inbox, or another "
            "app.",
            (
                Query(
                    per_minute("assistant_page_messages_total", f"{HERE}, {SENT}", by="what"),
                    "{{what}}",
                ),
            ),
            kind="stack",
        ),
        Panel(
            "Share of humans, of an hour",
            "percentunit",
            "Of people who wrote and were answered, how many were answered by a human. What is "
            "normal is the team's to say; a jump means that the assistant knows less than it is "
            "asked.",
            (
                Query(
                    _share(
                        f'assistant_page_answered_total{{{HERE}, origin!="assistant"}}',
                        f"assistant_page_answered_total{{{HERE}}}",
                        "1h",
                    ),
                    "human",
                ),
            ),
            highest=1,
        ),
        Panel(
            "Delivered and read, of an hour",
            "percentunit",
            "Of what was sent. Read far below what it was: messages end up where people do not "
            "look, or receipts do not come. It may pass 100 % for a moment.",
            (
                Query(
                    _share(
                        f'assistant_page_messages_total{{{HERE}, what="delivered"}}',
                        f"assistant_page_messages_total{{{HERE}, {SENT}}}",
                        "1h",
                    ),
                    "delivered",
                ),
                Query(
                    _share(
                        f'assistant_page_messages_total{{{HERE}, what="read"}}',
                        f"assistant_page_messages_total{{{HERE}, {SENT}}}",
                        "1h",
                    ),
                    "read",
                ),
            ),
        ),
        Panel(
            "Failed, by cause",
            "cpm",
            "Parts that people did not get. window_closed: too late by Meta's rules. "
            "person_unavailable: blocked or gone. permission_missing, app_not_live: the app's "
            "review. The console has words and advice for each.",
            (Query(per_minute("assistant_page_failures_total", HERE, by="reason"), "{{reason}}"),),
            kind="stack",
            alerts=("MessagesRefused",),
        ),
        Panel(
            "Model calls",
            "cpm",
            "Page by Page. Several for each message: the model fails and is asked again.",
            (Query(per_minute("assistant_page_model_calls_total", HERE, by="page"), "{{page}}"),),
            kind="stack",
        ),
    ),
)

_HUMANS = Row(
    "Humans",
    (
        Panel(
            "Waiting for a human",
            "short",
            "Page by Page, now. They stand in the console's inbox under Needs a human.",
            (Query(f"max by (page) (assistant_page_waiting_conversations{{{HERE}}})", "{{page}}"),),
            alerts=("PeopleWaitTooLong",),
        ),
        Panel(
            "Calls for a human, by reason",
            "cpm",
            "asked, angry: people. cannot_answer, policy: the assistant itself. model_failed, "
            "limit_reached, loop_suspected: it could not go on.",
            (
                Query(
                    per_minute("assistant_page_human_requests_total", HERE, by="reason"),
                    "{{reason}}",
                ),
            ),
            kind="stack",
            alerts=("SpendLimitReached", "LoopSuspected"),
        ),
        Panel(
            "Takeovers, by how they began",
            "cpm",
            "taken: in the console. facebook_reply: somebody answered in Meta's own inbox.",
            (Query(per_minute("assistant_page_takeovers_total", HERE, by="reason"), "{{reason}}"),),
            kind="stack",
        ),
    ),
)

_TABLE = Row(
    "Within the time that is shown",
    (
        Panel(
            "Pages",
            "short",
            "One line for each Page that had messages. For figures that add up to the last one, "
            "by day and in any time zone, take the console's Analytics: these are counted since "
            "each process began.",
            (
                Query(_increase("assistant_page_messages_total", 'what="received"'), "Received"),
                Query(
                    _increase("assistant_page_answered_total", 'origin="assistant"'),
                    "Answered by the assistant",
                ),
                Query(
                    _increase("assistant_page_answered_total", 'origin!="assistant"'),
                    "Answered by humans",
                ),
                Query(_increase("assistant_page_failures_total"), "Failed"),
                Query(_increase("assistant_page_takeovers_total"), "Takeovers"),
                Query(_increase("assistant_page_model_calls_total"), "Model calls"),
            ),
            kind="table",
            width=24,
            height=10,
            decimals=0,
        ),
    ),
)

BUSINESS = Board(
    "business",
    "Messenger assistant: Business per page",
    "Page by Page: what came, who answered, what failed. A Page's id stands in the console under "
    "Pages.",
    (_MESSAGES, _HUMANS, _TABLE),
    (PAGE,),
    since="now-24h",
)
