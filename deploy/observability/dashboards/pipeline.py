"""Where do records wait, and why? Kafka, the services' processes, the database."""

from deploy.observability.asking import HERE, RATE, per_minute, quantiles
from deploy.observability.kit import INSTANCE, JOB, Board, Panel, Query, Row

_CONSUMERS = Row(
    "Reading from Kafka",
    (
        Panel(
            "Lag",
            "short",
            "Records on the log that are not finished, by consumer group. Normal: near 0, more "
            "for seconds after a deployment. conversation and sender delay people; analytics and "
            "history only what is shown. If it grows: the next panels say whether it is slow, "
            "stuck or retrying.",
            (Query("assistant:consumer_lag:sum", "{{group}} ({{topic}})"),),
            limits=((None, "transparent"), (1000, "red")),
            alerts=("ConsumerLagGrowing", "BackgroundLagGrowing"),
        ),
        Panel(
            "The longest at work",
            "s",
            "How long the oldest batch has been handled. A model may take its time; minutes mean "
            "that something does not answer. Only that person waits: others go on.",
            (Query("assistant:consumer_oldest_seconds:max", "{{group}} ({{topic}})"),),
            limits=((None, "transparent"), (300, "red")),
            alerts=("HandlerTakesTooLong", "ConsumerStuck"),
        ),
        Panel(
            "People at once",
            "short",
            "Conversations that are handled at this moment. At its limit (docs/configuration.md) "
            "with a growing lag: add processes.",
            (Query(f"sum by (group) (assistant_consumer_keys_in_flight{{{HERE}}})", "{{group}}"),),
        ),
        Panel(
            "Records handled",
            "cpm",
            "By group. In step with what is put on the log. skipped ones, which are not for that "
            "group, are not counted here.",
            (
                Query(
                    per_minute(
                        "assistant_consumer_records_total", f'{HERE}, outcome="ok"', by="group"
                    ),
                    "{{group}}",
                ),
            ),
        ),
        Panel(
            "Retries",
            "cpm",
            "Batches that are handed out once more. transient: the database or Kafka is away; "
            "nothing is lost meanwhile. failed: a record breaks a handler, and a dead letter "
            "follows.",
            (
                Query(
                    per_minute("assistant_consumer_retries_total", HERE, by="group, reason"),
                    "{{group}}: {{reason}}",
                ),
            ),
            alerts=("TransientRetries",),
        ),
        Panel(
            "Dead letters",
            "cpm",
            "Records that a service could not handle. Normal: 0. They are kept for 30 days: "
            "Health, Dead letters in the console, or make replay ARGS=--list. 20 in a row stop "
            "the service.",
            (
                Query(
                    per_minute(
                        "assistant_consumer_records_total",
                        f'{HERE}, outcome="dead_letter"',
                        by="group",
                    ),
                    "{{group}}",
                ),
                Query(
                    per_minute("assistant_dead_letters_total", by="outcome"), "people: {{outcome}}"
                ),
            ),
            alerts=("DeadLetters", "DeadLetterBurst"),
        ),
        Panel(
            "Partitions read",
            "short",
            "How many partitions of its topic each group reads, over all its processes. Normal: "
            "all, 12 of events and commands. Fewer: records wait that nobody reads.",
            (
                Query(
                    "sum by (group, topic) (assistant_consumer_assigned_partitions)",
                    "{{group}} ({{topic}})",
                ),
            ),
            alerts=("ConsumerStuck",),
        ),
        Panel(
            "Partitions given out, clients made",
            "cpm",
            "Each process that comes or goes has partitions given out anew. Without deployments: "
            "0. Again and again: processes die, or their event loop is late (below).",
            (
                Query(
                    per_minute("assistant_consumer_assignments_total", HERE, by="group"),
                    "{{group}}",
                ),
                Query(
                    per_minute("assistant_consumer_clients_total", HERE, by="group"),
                    "client of {{group}}",
                ),
            ),
        ),
        Panel(
            "Room for records",
            "bytes",
            "Memory of records that wait in a process. Where it is full, partitions are paused "
            "until there is room: that is as it should be after an outage.",
            (Query(f"sum by (group) (assistant_consumer_buffered_bytes{{{HERE}}})", "{{group}}"),),
        ),
        Panel(
            "Paused partitions",
            "short",
            "Not read for lack of room. Normal: 0, and some while a backlog is worked off.",
            (
                Query(
                    f"sum by (group) (assistant_consumer_paused_partitions{{{HERE}}})", "{{group}}"
                ),
            ),
        ),
        Panel(
            "Commits that failed",
            "cpm",
            "Offsets that Kafka did not take. not_owner: the partition had gone to somebody else, "
            "who handles its last records once more. failed: Kafka is away.",
            (
                Query(
                    per_minute(
                        "assistant_consumer_commits_total",
                        f'{HERE}, outcome!="ok"',
                        by="group, outcome",
                    ),
                    "{{group}}: {{outcome}}",
                ),
            ),
        ),
        Panel(
            "Timers of takeovers that are late",
            "short",
            "Conversations that should have gone back to the assistant more than two seconds ago. "
            "Normal: 0. Else the database is away, or no takeover service runs.",
            (Query("max(assistant_takeover_timers_overdue)", "late"),),
            limits=((None, "transparent"), (1, "red")),
            alerts=("TakeoverTimersOverdue",),
        ),
    ),
)

_PRODUCERS = Row(
    "Writing to Kafka",
    (
        Panel(
            "Records written",
            "cpm",
            "By topic. messenger.events has about five for each message: received, answered, "
            "sent, echoed, delivered.",
            (
                Query(
                    per_minute(
                        "assistant_kafka_records_produced_total",
                        f'{HERE}, outcome="acknowledged"',
                        by="topic",
                    ),
                    "{{topic}}",
                ),
            ),
            kind="stack",
        ),
        Panel(
            "Records that were not written",
            "cpm",
            "failed: not acknowledged in time, and tried again by whoever wrote it. dropped: "
            "signs such as typing, which are worth nothing later. Normal: 0.",
            (
                Query(
                    per_minute(
                        "assistant_kafka_records_produced_total",
                        f'{HERE}, outcome!="acknowledged"',
                        by="job, outcome",
                    ),
                    "{{job}}: {{outcome}}",
                ),
            ),
            alerts=("KafkaWritesFailing",),
        ),
        Panel(
            "Producers made",
            "cpm",
            "Each one after a process's first replaced one that had failed. Without deployments: "
            "0.",
            (Query(per_minute("assistant_kafka_producers_total", HERE, by="job"), "{{job}}"),),
        ),
    ),
)

_PROCESSES = Row(
    "Processes",
    (
        Panel(
            "Ready",
            "short",
            "The checks of /readyz, the worst of each process. 0: it does not get requests, or "
            "reads nothing. Normal: 1, but for seconds after a start.",
            (Query(f"assistant:ready:min{{{HERE}}}", "{{job}} {{instance}}"),),
            highest=1,
            alerts=("ServiceNotReady", "ReplicaNotReady"),
        ),
        Panel(
            "Event loop late by",
            "s",
            "How late a process is to do what is due. Above 1 s it is overloaded: give it more "
            "CPU, or add processes. Near 10 s, Kafka takes its partitions away.",
            (
                Query(
                    f"max by (job, instance) (assistant_event_loop_lag_seconds{{{HERE}}})",
                    "{{job}} {{instance}}",
                ),
            ),
            limits=((None, "transparent"), (0.5, "red")),
            alerts=("EventLoopLate",),
        ),
        Panel(
            "CPU",
            "percentunit",
            "Of one core. A process can use one core and no more: near 100 %, add processes.",
            (
                Query(
                    f"sum by (job, instance) (rate(process_cpu_seconds_total{{{HERE}}}[{RATE}]))",
                    "{{job}} {{instance}}",
                ),
            ),
            limits=((None, "transparent"), (0.9, "orange")),
        ),
        Panel(
            "Memory",
            "bytes",
            "Of the process. It grows to a level and stays there; at the container's limit it is "
            "killed.",
            (
                Query(
                    f"sum by (job, instance) (process_resident_memory_bytes{{{HERE}}})",
                    "{{job}} {{instance}}",
                ),
            ),
        ),
        Panel(
            "Restarts",
            "short",
            "How often each process began anew within the time that is shown. Exit status 78: its "
            "configuration is wrong, its log names the variable.",
            (
                Query(
                    f"sum by (job) (changes(process_start_time_seconds{{{HERE}}}[$__range]))",
                    "{{job}}",
                ),
            ),
            alerts=("RestartLoop",),
            kind="stat",
            limits=((None, "green"), (3, "red")),
        ),
        Panel(
            "Connections",
            "short",
            "Open ones, of gateway and console. At 1000 idle ones are closed first.",
            (
                Query(
                    f"sum by (job, instance) (assistant_http_connections{{{HERE}}})",
                    "{{job}} {{instance}}",
                ),
            ),
        ),
        Panel(
            "Connections cut off",
            "cpm",
            "By reason: too slow, or too many. idle is normal; receiving and reading in numbers: "
            "somebody holds connections open on purpose.",
            (
                Query(
                    per_minute("assistant_http_connections_cut_off_total", HERE, by="job, reason"),
                    "{{job}}: {{reason}}",
                ),
            ),
        ),
        Panel(
            "Service tokens refused",
            "cpm",
            "Requests between services that had another token, by who refused them. Normal: 0. "
            "Else SERVICE_TOKEN differs somewhere, or somebody tries.",
            (
                Query(
                    per_minute("assistant_service_token_refusals_total", HERE, by="job"), "{{job}}"
                ),
            ),
            alerts=("ServiceTokenRefused",),
        ),
        Panel(
            "Commands to the database",
            "cps",
            "By collection, the ten that are asked most. The cost that scales: about eight for "
            "each message. A jump without more messages is worth a look at what was deployed.",
            (
                Query(
                    "topk(10, sum by (collection) "
                    f"(rate(assistant_mongo_round_trips_total{{{HERE}}}[{RATE}])))",
                    "{{collection}}",
                ),
            ),
        ),
        Panel(
            "Writing figures",
            "s",
            "How long analytics takes to write a batch. If it rises with the lag of the group "
            "analytics, figures are behind; nothing else is.",
            quantiles("assistant_analytics_flush_seconds"),
        ),
    ),
)

PIPELINE = Board(
    "pipeline",
    "Messenger assistant: Pipeline",
    "Where do records wait, and why? Kafka, the services' processes, the database.",
    (_CONSUMERS, _PRODUCERS, _PROCESSES),
    (JOB, INSTANCE),
)
