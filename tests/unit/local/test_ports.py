import socket

import pytest

from deploy.local import ports
from deploy.local.errors import StackError


def test_no_two_components_share_a_port() -> None:
    assert len(set(ports.DEFAULTS.values())) == len(ports.DEFAULTS)


@pytest.mark.parametrize(("text", "offset"), [("", 0), ("0", 0), ("1000", 1000), (" -50 ", -50)])
def test_port_offset_shifts_every_port(text: str, offset: int) -> None:
    shifted = ports.shifted(ports.offset_from({"PORT_OFFSET": text}))
    assert shifted == {name: port + offset for name, port in ports.DEFAULTS.items()}


@pytest.mark.parametrize("text", ["x", "1.5", "40000", "-9000"])
def test_port_offset_that_makes_no_ports_is_refused_by_name(text: str) -> None:
    with pytest.raises(StackError, match="PORT_OFFSET is wrong"):
        ports.offset_from({"PORT_OFFSET": text})


def test_busy_port_is_named_with_its_component_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} \(gateway\) is busy.*PORT_OFFSET"):
            ports.require_free({"gateway": port}, ["gateway"])


def test_port_of_a_server_that_has_just_gone_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0] as other:
            other.close()  # closed from this side first: its end lingers in TIME_WAIT
            assert client.recv(1) == b""
    ports.require_free({"gateway": port}, ["gateway"])
