"""The language model: how long, how much, how often in vain."""

from deploy.observability.asking import RATE, per_minute, quantiles
from deploy.observability.kit import Board, Entry, Panel, Query, Row

MILLION = 1_000_000
CALLS = "assistant_model_calls_total"

PRICES = (
    Entry("price_in", "Price of 1M tokens in", "0", "as the provider's price list has it"),
    Entry("price_out", "Price of 1M tokens out", "0", "as the provider's price list has it"),
)


def _cost(metric: str, how: str, by: str = "") -> str:
    """In the currency of the prices. `how` is what is asked of each counter, as `rate({}[5m])`."""
    grouped = f" by ({by})" if by else ""
    parts = []
    for direction, price in (("input", "price_in"), ("output", "price_out")):
        tokens = how.format(f'{metric}{{direction="{direction}"}}')
        parts.append(f"sum{grouped} ({tokens}) * ${price} / {MILLION}")
    return " + ".join(parts)


SO_FAR = "increase({}[$__range])"
AN_HOUR = f"3600 * rate({{}}[{RATE}])"

_CALLS = Row(
    "Calls",
    (
        Panel(
            "By what became of them",
            "cpm",
            "Normal: ok. assistant_unavailable: overloaded, slow or away, and asked again. "
            "assistant_refused: key, model or credit; asking again is no use. cancelled: the "
            "person wrote more, so the answer began anew.",
            (Query(per_minute("assistant_model_calls_total", by="outcome"), "{{outcome}}"),),
            kind="stack",
            alerts=("ModelFailing",),
        ),
        Panel(
            "Calls in vain",
            "percentunit",
            "Share of calls without an answer, those that the person's next message ended not "
            "counted. Normal: near 0. What people see of it are fallbacks, below.",
            (
                Query(
                    f'sum(rate({CALLS}{{outcome!~"ok|cancelled"}}[{RATE}]))'
                    f' / (sum(rate({CALLS}{{outcome!="cancelled"}}[{RATE}])) > 0)',
                    "failed",
                ),
            ),
            limits=((None, "transparent"), (0.1, "red")),
            highest=1,
            alerts=("ModelFailing",),
        ),
        Panel(
            "How long an answer takes",
            "s",
            "The model's own time, answers only. It is most of what people wait. Above the "
            "deadline (docs/configuration.md) the fallback text goes out.",
            quantiles("assistant_model_seconds"),
            alerts=("ModelFailing", "FallbackAnswers"),
        ),
        Panel(
            "In flight",
            "short",
            "Calls that wait for the model now. About calls a second times seconds a call: if it "
            "grows with the same messages, the model has become slow.",
            (Query("sum(assistant_model_calls_in_flight)", "calls"),),
        ),
        Panel(
            "Turns without an answer",
            "cpm",
            "By reason. deadline and assistant_unavailable: the model. key_…, out_of_credit, "
            "model_unknown: the assistant's settings in the console. daily_limit: the Page's own "
            "limit.",
            (Query(per_minute("assistant_turn_failures_total", by="reason"), "{{reason}}"),),
            kind="stack",
            alerts=("FallbackAnswers", "SpendLimitReached"),
        ),
        Panel(
            "Fallbacks",
            "percentunit",
            "Share of turns in which people got the fixed text instead of an answer. Normal: near "
            "0.",
            (
                Query(
                    f'sum(rate(assistant_turns_total{{kind="fallback"}}[{RATE}]))'
                    f" / (sum(rate(assistant_turns_total[{RATE}])) > 0)",
                    "failed",
                ),
            ),
            limits=((None, "transparent"), (0.05, "red")),
            highest=1,
            alerts=("FallbackAnswers",),
        ),
        Panel(
            "A turn, model included",
            "s",
            "From the first event in hand to the command on the log: the pause for more words, "
            "the model and its retries, the database.",
            quantiles("assistant_turn_seconds"),
        ),
        Panel(
            "Limits of the day",
            "cpm",
            "Turns that a Page's limit of calls or tokens stopped. Until midnight UTC people are "
            "told that a human comes; raise it in the Page's settings, or leave it.",
            (
                Query(
                    per_minute("assistant_human_requests_total", 'reason="limit_reached"'),
                    "stopped",
                ),
            ),
            alerts=("SpendLimitReached",),
        ),
        Panel(
            "Machines that write",
            "cpm",
            "Conversations that were taken for two machines talking, and left alone for a while.",
            (
                Query(
                    per_minute("assistant_human_requests_total", 'reason="loop_suspected"'), "loops"
                ),
            ),
            alerts=("LoopSuspected",),
        ),
    ),
)

_COST = Row(
    "Tokens and cost",
    (
        Panel(
            "Tokens",
            "cpm",
            "As the provider counts them: read (input) and written (output).",
            (Query(per_minute("assistant_model_tokens_total", by="direction"), "{{direction}}"),),
            kind="stack",
        ),
        Panel(
            "Tokens an answer",
            "short",
            "Input grows with the system prompt, the knowledge text and the history. A jump after "
            "somebody changed an assistant is that change.",
            (
                Query(
                    f"sum by (direction) (rate(assistant_model_tokens_total[{RATE}])) / on() "
                    f'group_left() (sum(rate({CALLS}{{outcome="ok"}}[{RATE}])) > 0)',
                    "{{direction}}",
                ),
            ),
        ),
        Panel(
            "Cost of an hour",
            "short",
            "At the prices that are entered above, in their currency; 0 as long as they are. A "
            "call of which the provider tells no tokens is not in it.",
            (Query(_cost("assistant_model_tokens_total", AN_HOUR), "cost"),),
            decimals=2,
        ),
        Panel(
            "Cost of the time that is shown",
            "short",
            "The same, summed up over the dashboard's time.",
            (Query(_cost("assistant_model_tokens_total", SO_FAR), "cost"),),
            kind="stat",
            decimals=2,
        ),
        Panel(
            "The ten dearest Pages",
            "short",
            "Cost within the time that is shown, calls that gave no answer included. workspace:… "
            "is trying assistants in the console. From the 501st on, Pages are in other.",
            (
                Query(
                    f"topk(10, {_cost('assistant_page_model_tokens_total', SO_FAR, 'page')})",
                    "cost",
                ),
            ),
            kind="table",
            decimals=2,
        ),
        Panel(
            "The ten Pages with most calls",
            "short",
            "Calls of the model within the time that is shown.",
            (
                Query(
                    "topk(10, sum by (page) "
                    "(increase(assistant_page_model_calls_total[$__range])))",
                    "calls",
                ),
            ),
            kind="table",
            decimals=0,
        ),
    ),
)

MODEL = Board(
    "model",
    "Messenger assistant: Model",
    "The language model: how long, how much, how often in vain.",
    (_CALLS, _COST),
    PRICES,
)
