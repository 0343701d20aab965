"""Requests as no browser and no Meta writes them, and what becomes of each.

The signature in them is always right: what stops them is never that.
"""

from collections.abc import Mapping

from tests.unit.gateway.webhooks import META_BODY, META_SIGNATURE

BODY = META_BODY
LINE = b"POST /webhooks/messenger HTTP/1.1"
HOST = b"Host: gateway\r\n"
SIGNATURE = f"X-Hub-Signature-256: {META_SIGNATURE}\r\n".encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


def request(
    *headers: bytes,
    line: bytes = LINE,
    host: bytes = HOST,
    length: bytes = LENGTH,
    body: bytes = BODY,
) -> bytes:
    return b"".join((line, b"\r\n", host, SIGNATURE, length, *headers, b"\r\n", body))


def chunked(body: bytes = CHUNKS, coding: bytes = CHUNKED) -> bytes:
    return request(coding, length=b"", body=body)


GOOD = request()
GET_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"

ACCEPTED: Mapping[str, bytes] = {
    "as Meta sends it": GOOD,
    "in chunks": chunked(),
    "chunks with an extension": chunked(b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "chunks with trailers that sign": chunked(
        CHUNKS[:-2] + b"X-Hub-Signature-256: sha256=0\r\n\r\n"
    ),
    "a coding in capitals": chunked(coding=b"TRANSFER-ENCODING: CHUNKED\r\n"),
    "empty lines before": b"\r\n\r\n" + GOOD,
    "HTTP/1.0": request(line=LINE.replace(b"1.1", b"1.0")),
    "HTTP/1.0 without a host": request(line=LINE.replace(b"1.1", b"1.0"), host=b""),
    "an absolute address": request(
        line=b"POST http://elsewhere.example/webhooks/messenger HTTP/1.1"
    ),
    "an address with a fragment": request(line=LINE.replace(b" HTTP", b"#x HTTP")),
    "an escaped address": request(line=LINE.replace(b"/webhooks", b"/%77ebhooks")),
    "an upgrade to WebSocket": request(b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    "an upgrade to HTTP/2": request(
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
    ),
    "bytes that are no ASCII": request(b"X-A: \xff\xfe\r\n"),
    "a form's type": request(b"Content-Type: multipart/form-data\r\n"),
    "no type at all": request(b'Content-Type: ;;;charset="\r\n'),
    "addresses of proxies": request(b"X-Forwarded-For: ' OR 1=1\r\nForwarded: for=\"\r\n"),
    "ranges and dates": request(b"Range: bytes=-1-,x\r\nIf-Modified-Since: x\r\n"),
    "somebody else's trace": request(b"traceparent: 00-zz\r\ntracestate: \xff\r\n"),
    "fifty headers": request(b"X-A: a\r\n" * 50),
}

REFUSED: Mapping[str, bytes] = {
    # where one request ends and the next begins
    "length and chunks": request(CHUNKED, body=b"0\r\n\r\n" + GOOD),
    "chunks and length": request(CHUNKED, body=CHUNKS),
    "two equal lengths": request(LENGTH),
    "two lengths": request(b"Content-Length: 3\r\n"),
    "a list of lengths": request(length=b"Content-Length: 231, 231\r\n"),
    "a length with a sign": request(length=b"Content-Length: +231\r\n"),
    "a negative length": request(length=b"Content-Length: -1\r\n"),
    "a length in hexadecimal": request(length=b"Content-Length: 0xe7\r\n"),
    "a length with an underscore": request(length=b"Content-Length: 2_31\r\n"),
    "a length in other digits": request(length="Content-Length: ２３１\r\n".encode()),
    "an empty length": request(length=b"Content-Length: \r\n"),
    "a length without end": request(length=b"Content-Length: " + b"9" * 30 + b"\r\n"),
    "neither length nor chunks": request(length=b""),
    "chunked twice": chunked(coding=CHUNKED * 2),
    "not quite chunked": chunked(coding=b"Transfer-Encoding: xchunked\r\n"),
    "chunked, then something": chunked(coding=b"Transfer-Encoding: chunked, identity\r\n"),
    "a blank before the colon": chunked(coding=b"Transfer-Encoding : chunked\r\n"),
    "a vertical tab": chunked(coding=b"Transfer-Encoding: \x0bchunked\r\n"),
    "a negative chunk": chunked(b"-1\r\n\r\n"),
    "a chunk without end": chunked(b"f" * 18 + b"\r\n" + BODY),
    "a chunk with a prefix": chunked(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk with a blank": chunked(b"%x \r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a chunk longer than it says": chunked(b"%x\r\n%sXX0\r\n\r\n" % (len(BODY), BODY)),
    "chunks with bare line feeds": chunked(CHUNKS.replace(b"\r\n", b"\n")),
    # headers
    "bare line feeds": GOOD.replace(b"\r\n", b"\n"),
    "a bare carriage return": request(b"A: b\rC: d\r\n"),
    "NUL in a value": request(b"X-A: a\x00b\r\n"),
    "NUL in a name": request(b"X\x00A: ab\r\n"),
    "a name beyond ASCII": request("X-Ä: ö\r\n".encode()),
    "a folded line": request(b"X-A: a\r\n b\r\n"),
    "an empty name": request(b": a\r\n"),
    "a line without a colon": request(b"nonsense\r\n"),
    "no host": request(host=b""),
    "two hosts": request(HOST),
    "a header of 5 kB": request(b"X: " + b"a" * 5000 + b"\r\n"),
    "a header of 1 MB": request(b"X: " + b"a" * 1_000_000 + b"\r\n"),
    "a hundred headers": request(b"X: a\r\n" * 100),
    "ten thousand headers": request(b"X: a\r\n" * 10_000),
    # the first line
    "an address of 9 kB": request(line=b"GET /" + b"a" * 9000 + b" HTTP/1.1"),
    "a broken host in the address": request(line=b"POST http://[::1/ HTTP/1.1"),
    "a broken port in the address": request(line=b"POST http://a:99999999/ HTTP/1.1"),
    "an address of bytes": request(line=b"POST /\xff\xfe HTTP/1.1"),
    "an address of UTF-8": request(line="POST /ä HTTP/1.1".encode()),
    "a blank in the address": request(line=b"POST /a b HTTP/1.1"),
    "a star that is posted to": request(line=b"POST * HTTP/1.1"),
    "an unknown method": request(line=LINE.replace(b"POST", b"BREW")),
    "a method in small letters": request(line=LINE.replace(b"POST", b"post")),
    "a method with NUL": request(line=LINE.replace(b"POST", b"P\x00ST")),
    "a method of 5 kB": request(line=b"A" * 5000 + b" / HTTP/1.1"),
    "a version of two digits": request(line=LINE.replace(b"1.1", b"11.1")),
    "a protocol in small letters": request(line=LINE.replace(b"HTTP", b"http")),
    # what isn't HTTP/1 at all
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "SSH": b"SSH-2.0-OpenSSH_9\r\n",
    "SOCKS": b"\x05\x01\x00",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "more after saying it was all": request(b"Connection: close\r\n") + GOOD,
}

ELSEWHERE: Mapping[str, tuple[bytes, int]] = {
    "two slashes": (request(line=b"POST //webhooks/messenger HTTP/1.1"), 404),
    "the way up": (request(line=b"POST /x/../webhooks/messenger HTTP/1.1"), 404),
    "an escaped slash": (request(line=b"POST /webhooks%2fmessenger HTTP/1.1"), 404),
    "broken escapes": (request(line=b"POST /%zz%ff%00 HTTP/1.1"), 404),
    "options of everything": (request(line=b"OPTIONS * HTTP/1.1"), 404),
    "another method": (request(line=LINE.replace(b"POST", b"DELETE")), 405),
    "a broken handshake": (
        b"GET /webhooks/messenger?hub.mode=%ff&hub.mode=%ud800&=&&;;%00 HTTP/1.1\r\n"
        + HOST
        + b"\r\n",
        403,
    ),
    "a broken code": (
        b"GET /webhooks/messenger/data-deletion/%ff%00%0d%0aX:1 HTTP/1.1\r\n" + HOST + b"\r\n",
        404,
    ),
    "an unknown expectation": (request(b"Expect: 200-ok\r\n"), 417),
    "two signatures": (request(SIGNATURE), 403),
}
