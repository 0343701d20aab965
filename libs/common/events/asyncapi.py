"""Writes the AsyncAPI document of everything on the log, from the models and the topics.

`python -m libs.common.events.asyncapi docs/asyncapi.yaml`; `make docs` does it.
"""

import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from libs.common.events import channels, commands, inbound, outcomes
from libs.common.events.base import ConversationRecord, Record
from libs.common.events.codec import ALL_RECORDS
from libs.common.topics import CHANNELS, COMMANDS, DEAD_LETTERS, EVENTS, TOPICS

Json = dict[str, Any]

HEAD = "# Written by `make docs` from libs/common/events: change the models, not this file.\n"
API_VERSION = "1.0"  # of the records' shapes: the newest `version` a record may have

DESCRIPTION = """\
Two kinds of record travel between the services: an event has happened, a command asks for a send.

Every record may come more than once: `event_id` is the same for every copy. A minor version only
adds optional fields; a reader skips types and major versions that it does not know, by header."""

# topic -> (name of the channel, key, what it is)
_TOPICS: Mapping[str, tuple[str, str, str]] = {
    EVENTS: (
        "events",
        "`page_id:psid`, so that one conversation's events stay in order; `page_id` for what names "
        "no person",
        "Every fact of every conversation.",
    ),
    COMMANDS: (
        "commands",
        "`page_id`, so that one sender owns a page's rate limit; order is kept per `conversation`",
        "What the sender shall send.",
    ),
    CHANNELS: (
        "channels",
        "`page_id`",
        "What happened to a connected Page: services drop what they cached about it.",
    ),
    DEAD_LETTERS: (
        "deadLetters",
        "as on the topic it comes from",
        "Records that a service could not handle, untouched, until they are put back.",
    ),
}

_SENDS: Mapping[str, tuple[type[Record], ...]] = {
    "gateway": (
        *(model for model in ALL_RECORDS[EVENTS] if model.__module__ == inbound.__name__),
        channels.PageDeauthorized,
        channels.PersonDeletionRequested,
    ),
    "conversation": (
        outcomes.TurnCompleted,
        outcomes.TurnFailed,
        outcomes.TakeoverRequested,
        commands.SendText,
        commands.SendAction,
    ),
    "sender": (
        outcomes.MessageSent,
        outcomes.MessageFailed,
        outcomes.MessageHeld,
        channels.ChannelTokenRejected,
        commands.SendKept,
    ),
    "takeover": (
        outcomes.TakeoverStarted,
        outcomes.TakeoverExtended,
        outcomes.TakeoverEnded,
        commands.SendText,
    ),
    "console": (
        channels.ChannelConnected,
        channels.ChannelUpdated,
        channels.ChannelDisconnected,
    ),
}
_DEAD_LETTER_HEADERS = {
    "topic": "where it comes from",
    "partition": "of that topic",
    "offset": "in that partition",
    "service": "that could not handle it",
    "error": "the error's type and stable code",
    "attempts": "how often it was tried",
}


class _Schemas(GenerateJsonSchema):
    """Without titles: they only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401
        return False


class _Dumper(yaml.SafeDumper):
    """Paragraphs as a block, repeated parts written out instead of `&id001`."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _represent_text)


def document() -> Json:
    """The whole AsyncAPI 3.0 document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Messenger assistant: records on the log",
            "version": API_VERSION,
            "description": _unwrapped(DESCRIPTION),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_TOPICS[topic.name][0]: _channel(topic.name) for topic in TOPICS},
        "operations": _operations(),
        "components": {
            "messages": {
                **{_type_of(model): _message(model) for model in _models()},
                "dead.letter": _dead_letter(),
            },
            "schemas": _schemas(),
        },
    }


def text() -> str:
    """The document as it stands in the file."""
    body = yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return HEAD + body


def _models() -> list[type[Record]]:
    return [model for models in ALL_RECORDS.values() for model in models]


def _type_of(model: type[Record]) -> str:
    return str(model.model_fields["type"].default)


def _topic_of(model: type[Record]) -> str:
    return next(topic for topic, models in ALL_RECORDS.items() if model in models)


def _channel(topic: str) -> Json:
    name, key, description = _TOPICS[topic]
    spec = next(spec for spec in TOPICS if spec.name == topic)
    types = [_type_of(model) for model in ALL_RECORDS.get(topic, ())] or ["dead.letter"]
    return {
        "address": topic,
        "title": name,
        "description": f"{description} Key: {key}.",
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in types},
        "bindings": {
            "kafka": {
                "topic": topic,
                "partitions": spec.partitions,
                "topicConfiguration": {
                    setting: int(value) if value.isdecimal() else value
                    for setting, value in spec.config.items()
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operations() -> Json:
    """Who says what. Who listens is each service's own affair: any reader may come along."""
    operations: Json = {}
    for service, models in _SENDS.items():
        for topic in ALL_RECORDS:
            types = [_type_of(model) for model in models if _topic_of(model) == topic]
            if types:
                what = f"What the {service} service publishes on {topic}."
                operations[f"{service}.{_TOPICS[topic][0]}"] = _sending(what, topic, types)
    what = f"What any service that consumes may put on {DEAD_LETTERS}."
    operations["anyConsumer.deadLetters"] = _sending(what, DEAD_LETTERS, ["dead.letter"])
    return operations


def _sending(summary: str, topic: str, types: Iterable[str]) -> Json:
    channel = f"#/channels/{_TOPICS[topic][0]}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "summary": summary,
        "messages": [{"$ref": f"{channel}/messages/{each}"} for each in types],
    }


def _message(model: type[Record]) -> Json:
    summary, _, more = inspect.cleandoc(model.__doc__ or "").partition("\n\n")
    message: Json = {
        "name": _type_of(model),
        "title": model.__name__,
        "summary": _unwrapped(summary),
    }
    if more:
        message["description"] = _unwrapped(more)
    return {
        **message,
        "contentType": "application/json",
        "headers": _headers(model),
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }


def _unwrapped(text: str) -> str:
    """Paragraphs, each on one line."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text)


def _headers(model: type[Record]) -> Json:
    properties: Json = {
        "type": {"type": "string", "const": _type_of(model)},
        "version": {"type": "string", "pattern": r"^\d+\.\d+$"},
        "event_id": {"type": "string", "description": "as in the record"},
    }
    if issubclass(model, ConversationRecord):
        properties["conversation"] = {"type": "string", "description": "page_id:psid"}
    required = [*properties]
    properties["traceparent"] = {"type": "string", "description": "W3C trace context"}
    return {"type": "object", "required": required, "properties": properties}


def _dead_letter() -> Json:
    properties = {
        f"dead-letter-{name}": {"type": "string", "description": description}
        for name, description in _DEAD_LETTER_HEADERS.items()
    }
    return {
        "name": "dead.letter",
        "title": "DeadLetter",
        "summary": "A record of another topic, byte for byte, with its own headers and these.",
        "headers": {"type": "object", "required": [*properties], "properties": properties},
        "payload": {"description": "whatever it was, readable or not"},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }


def _schemas() -> Json:
    _, definitions = models_json_schema(
        [(model, "validation") for model in _models()],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Schemas,
    )
    schemas: Json = {}
    for name, schema in sorted(definitions["$defs"].items()):
        tidy = {key: value for key, value in schema.items() if key != "title"}
        if "description" in tidy:
            tidy["description"] = _unwrapped(tidy["description"])
        if "type" in schema.get("properties", {}) and "version" in schema["properties"]:
            tidy["required"] = ["type", "version", *schema.get("required", [])]
        schemas[name] = _without_null(tidy)
    return schemas


def _without_null(schema: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """What is None is left out on the wire: such a field is optional, not nullable."""
    if isinstance(schema, list):
        return [_without_null(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {key: _without_null(value) for key, value in schema.items()}
    options = tidy.get("anyOf", [])
    if {"type": "null"} in options:
        (option,) = [each for each in options if each != {"type": "null"}]
        rest = {key: value for key, value in tidy.items() if key != "anyOf"}
        if rest.get("default", ...) is None:
            del rest["default"]
        return {**option, **rest}
    return tidy


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
