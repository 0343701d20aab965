"""Is all well, and for whom not? The first look."""

from deploy.observability.asking import RATE, per_minute, quantiles
from deploy.observability.kit import SERVICES, Board, Panel, Query, Row

MESSAGES = 'type=~"message.received|postback.received"'
SENT = "assistant|human|human_facebook"


def _of_sent(what: str) -> str:
    """A share of what went out, whoever wrote it."""
    counted = "sum(increase(assistant_page_messages_total{{what{}}}[1h]))"
    some, sent = counted.format(f'="{what}"'), counted.format(f'=~"{SENT}"')
    return f"{some} / ({sent} > 0)"


_NOW = Row(
    "Now",
    (
        Panel(
            "Alerts that fire",
            "short",
            "How many alerts fire now: those that page, and those that make a ticket. Normal: 0. "
            "Each of them names its entry in the run-book.",
            (
                Query('count(ALERTS{alertstate="firing", severity="page"}) or vector(0)', "page"),
                Query(
                    'count(ALERTS{alertstate="firing", severity="ticket"}) or vector(0)', "ticket"
                ),
            ),
            kind="stat",
            width=6,
            height=5,
            limits=((None, "green"), (1, "red")),
        ),
        Panel(
            "Processes up",
            "short",
            "How many processes of each service Prometheus can reach. Normal: as many as were "
            "asked for. 0 of the gateway: Meta repeats webhooks for an hour, then they are lost.",
            (Query(f'sum by (job) (up{{job=~"{SERVICES}"}})', "{{job}}"),),
            kind="stat",
            width=12,
            height=5,
            limits=((None, "red"), (1, "green")),
            alerts=("ServiceDown", "ServiceNotReady"),
        ),
        Panel(
            "Pages by status",
            "short",
            "Connected Pages. Normal: all active. Answers of an expired or revoked one wait until "
            "somebody presses Reconnect in the console.",
            (Query("assistant:channels:max", "{{status}}"),),
            kind="stat",
            width=6,
            height=5,
            alerts=("PageTokenRejected", "PagesWithoutToken"),
        ),
        Panel(
            "Waiting for a human",
            "short",
            "People who were promised a human and have none yet. What is normal depends on the "
            "team; they stand in the console's inbox under Needs a human.",
            (Query("max(assistant_waiting_conversations)", "waiting"),),
            kind="stat",
            width=4,
            height=4,
            limits=((None, "green"), (10, "orange")),
            alerts=("PeopleWaitTooLong",),
        ),
        Panel(
            "The longest wait",
            "s",
            "How long the first of those who wait for a human has waited.",
            (Query("max(assistant_waiting_oldest_seconds)", "waiting"),),
            kind="stat",
            width=4,
            height=4,
            limits=((None, "green"), (900, "orange"), (3600, "red")),
            alerts=("PeopleWaitTooLong",),
        ),
        Panel(
            "With a human",
            "short",
            "Conversations that a human has taken over. Those are not answered by the assistant.",
            (Query("assistant:takeovers_open:max", "taken over"),),
            kind="stat",
            width=4,
            height=4,
            limits=((None, "blue"),),
        ),
        Panel(
            "Held",
            "short",
            "Parts of which nobody knows whether Meta took them. Normal: 0. They wait for a "
            "decision in the console, under Health, Not sent.",
            (Query("assistant:held_parts:max", "held"),),
            kind="stat",
            width=4,
            height=4,
            limits=((None, "green"), (1, "orange")),
            alerts=("HeldPartTooOld",),
        ),
        Panel(
            "The oldest one held",
            "s",
            "How long the first of them has waited for a decision. Normal: nothing is held.",
            (Query("assistant:held_oldest_seconds:max", "held"),),
            kind="stat",
            width=4,
            height=4,
            limits=((None, "green"), (600, "orange"), (900, "red")),
            alerts=("HeldPartTooOld",),
        ),
        Panel(
            "Sent twice",
            "short",
            "Messages that a person got twice within the time that is shown. This must be 0: if "
            "it is not, report it with the send_id from the sender's log (sent_twice).",
            (Query("sum(increase(assistant_duplicate_sends_total[$__range]))", "twice"),),
            kind="stat",
            width=4,
            height=4,
            limits=((None, "green"), (0.5, "red")),
            alerts=("DuplicateSend",),
            decimals=0,
        ),
    ),
)

_ALERTS = Row(
    "Alerts",
    (
        Panel(
            "Which ones, and about what",
            "short",
            "Every alert that fires, with what it is about. Look it up by its name in the "
            "run-book, which says what it means for people and what to do. Empty is normal.",
            (Query('ALERTS{alertstate="firing"}', "fires"),),
            kind="table",
            width=24,
            height=5,
            left_out=("__name__", "alertstate", "Value"),
        ),
    ),
)

_OBJECTIVES = Row(
    "Objectives, over 30 days",
    (
        Panel(
            "Budget left",
            "percentunit",
            "How much of what may go wrong in 30 days is left. Webhooks: 99.9 % answered 200 "
            "within 1 s. Answers: 99 % at Meta within 10 s of our own time. At 0 nothing risky is "
            "deployed.",
            (
                Query("assistant:webhook_budget:left30d", "webhooks"),
                Query("assistant:reply_budget:left30d", "answers"),
            ),
            kind="stat",
            width=6,
            limits=((None, "red"), (0, "orange"), (0.25, "green")),
            highest=1,
            decimals=1,
            alerts=("WebhooksTooSlowOrFailing", "RepliesTooSlow"),
        ),
        Panel(
            "How fast the budget burns",
            "short",
            "1: in 30 days it is just used up. Above 14.4 for an hour somebody is called: then it "
            "is gone in two days. Normal: near 0.",
            (
                Query("assistant:webhook_errors:ratio_rate1h / 0.001", "webhooks"),
                Query("assistant:reply_errors:ratio_rate1h / 0.01", "answers"),
            ),
            width=9,
            limits=((None, "transparent"), (1, "orange"), (14.4, "red")),
            alerts=("WebhooksTooSlowOrFailing", "RepliesTooSlow"),
        ),
        Panel(
            "From a message to its answer",
            "s",
            "What people wait: from their latest message on our log to the answer's first part at "
            "Meta, the pause for more words (0.8 s) and the model included. Answers that wait for "
            "Reconnect are not in it. If only this one rises, and the next does not, it is the "
            "model.",
            quantiles("assistant_reply_seconds"),
            width=9,
            alerts=("RepliesTooSlow",),
        ),
        Panel(
            "The same without the model",
            "s",
            "Our own part of it. Normal: half within 1.5 s. If it rises: look at the pipeline's "
            "lag, then at how long parts wait for leave to call Meta.",
            quantiles("assistant_reply_own_seconds"),
            limits=((None, "transparent"), (10, "red")),
            alerts=("RepliesTooSlow", "RepliesTooSlowSlowly"),
        ),
        Panel(
            "Answering a webhook",
            "s",
            "From the request to our 200, which comes once Kafka has the events. Normal: 99 of "
            "100 within 0.1 s. If it rises, Kafka is slow to acknowledge.",
            quantiles("assistant_webhook_seconds"),
            limits=((None, "transparent"), (1, "red")),
            alerts=("WebhooksTooSlowOrFailing", "WebhooksTooSlowOrFailingSlowly"),
        ),
        Panel(
            "Webhooks by what became of them",
            "cpm",
            "Normal: accepted, and nothing else. bad_signature: forged, or the app secret is "
            "wrong; unavailable: Kafka can't be reached, and Meta repeats for an hour.",
            (
                Query(
                    f"60 * sum by (outcome) (rate(assistant_webhooks_total[{RATE}]))", "{{outcome}}"
                ),
            ),
            kind="stack",
            alerts=("WebhookSignaturesRefused", "WebhooksUnavailable", "WebhooksStopped"),
        ),
    ),
)

_TRAFFIC = Row(
    "Messages",
    (
        Panel(
            "Messages in and out",
            "cpm",
            "What people wrote, what went out, and turns that were answered. Out is more than in "
            "where answers have several parts. In without out: look at the objectives above.",
            (
                Query(per_minute("assistant_webhook_events_total", MESSAGES), "received"),
                Query(per_minute("assistant_turns_total"), "answered"),
                Query(per_minute("assistant_parts_total", 'state="sent"'), "sent"),
            ),
        ),
        Panel(
            "Turns",
            "cpm",
            "How people were answered. fallback: the model gave no answer, and the Page's fixed "
            "text went out. Normal: mostly answer.",
            (Query(per_minute("assistant_turns_total", by="kind"), "{{kind}}"),),
            kind="stack",
            alerts=("FallbackAnswers",),
        ),
        Panel(
            "Delivered and read, of an hour",
            "percentunit",
            "Of what was sent within the last hour, how much Meta has told to be delivered and "
            "read. Delivered near 0 although messages go out: receipts do not come, see Health in "
            "the console. It may pass 100 % for a moment, as receipts come later than what they "
            "are for.",
            (Query(_of_sent("delivered"), "delivered"), Query(_of_sent("read"), "read")),
        ),
        Panel(
            "Parts that did not go out",
            "cpm",
            "failed: Meta refuses them for good, Business per page has the causes. held: nobody "
            "knows, a person decides. Normal: some fail, as people block Pages.",
            (Query(per_minute("assistant_parts_total", 'state!="sent"', by="state"), "{{state}}"),),
            kind="stack",
            alerts=("MessagesRefused", "HeldPartTooOld"),
        ),
        Panel(
            "Calls for a human",
            "cpm",
            "By reason. asked and angry come from people; model_failed and limit_reached are ours "
            "to mend.",
            (Query(per_minute("assistant_human_requests_total", by="reason"), "{{reason}}"),),
            kind="stack",
            alerts=("SpendLimitReached", "LoopSuspected"),
        ),
        Panel(
            "Takeovers",
            "cpm",
            "Conversations that humans took over (taken: in the console, facebook_reply: by "
            "writing in Meta's own inbox), and that the assistant got back.",
            (
                Query(per_minute("assistant_takeovers_total", by="reason"), "began: {{reason}}"),
                Query(
                    per_minute("assistant_takeovers_ended_total", by="reason"), "ended: {{reason}}"
                ),
            ),
            alerts=("TakeoverTimersOverdue",),
        ),
    ),
)

OVERVIEW = Board(
    "overview",
    "Messenger assistant: Overview",
    "Is all well, and for whom not? Objectives, messages in and out, who waits.",
    (_NOW, _ALERTS, _OBJECTIVES, _TRAFFIC),
)
