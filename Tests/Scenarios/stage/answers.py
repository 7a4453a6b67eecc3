"""Answers of a service, good and bad, and what a client must get of each (RFC 9110, RFC 9112)."""

from dataclasses import dataclass

OK = b"HTTP/1.1 200 OK\r\n"


@dataclass
class Row:
  """`outcomes`: "502", "passed" with `body`, or "cut"; `then` is what the service does after its bytes.

  `tail` is what the service sends behind its answer, in one write with the end of it. The client gets no field of
  `lacks`."""
  name: str
  data: bytes
  outcomes: tuple
  then: str | None = "close"
  body: bytes = b""
  method: str = "GET"
  status: int = 200
  reused: bool | None = False
  tail: bytes = b""
  lacks: tuple = ()


def bad(name, data, then="close"):
  return Row(name, data, ("502",), then)


def cut(name, data, then="close"):
  """Wrong behind the head: the client must not take it for a whole answer."""
  return Row(name, data, ("502", "cut"), then)


def good(name, data, body=b"ok", then=None, reused=True, status=200, method="GET", lacks=()):
  return Row(name, data, ("passed",), then, body, method, status, reused, lacks=lacks)


def tailed(name, data, tail, body=b"ok", method="GET", status=200, *others):
  """An answer with something behind it: that reaches nobody, and the connection is not used again."""
  return Row(name, data, ("passed", *others), "hang", body, method, status, False, tail)


def headed(*lines, body=b"ok"):
  return OK + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def status(line, body=b"ok"):
  return line + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def coded(body):
  return headed(b"Transfer-Encoding: chunked", body=body)


_COUNTED = b"Content-Length: 2"

STATUS_LINES = [
  good("a plain answer", headed(_COUNTED)),
  good("an empty reason", status(b"HTTP/1.1 200 ")),
  good("a reason with bytes above 127", status(b"HTTP/1.1 200 \xc3\x96K")),
  good("an unknown status", status(b"HTTP/1.1 299 Odd"), status=299),
  good("no space behind the status", status(b"HTTP/1.1 200")),
  good("a version that is not known yet", status(b"HTTP/1.2 200 OK")),
  bad("a status of 600", status(b"HTTP/1.1 600 Odd"), "hang"),
  bad("a status of 999", status(b"HTTP/1.1 999 Odd"), "hang"),
  bad("nothing", b""),
  bad("nothing and a reset", b"", "reset"),
  bad("half a status line", b"HTTP/1.1 200"),
  bad("half a head", OK + b"Content-Le"),
  bad("half a head and a reset", OK + b"Content-Le", "reset"),
  bad("a greeting of another protocol", b"SSH-2.0-OpenSSH_9.2\r\n", "hang"),
  bad("HTML without a head", b"<html>\r\n<body>hello</body></html>\r\n\r\n", "hang"),
  bad("a misspelt protocol", status(b"HTP/1.1 200 OK"), "hang"),
  bad("a protocol in small letters", status(b"http/1.1 200 OK"), "hang"),
  bad("HTTP/2.0", status(b"HTTP/2.0 200 OK"), "hang"),
  bad("HTTP/1.10", status(b"HTTP/1.10 200 OK"), "hang"),
  bad("two spaces", status(b"HTTP/1.1  200 OK"), "hang"),
  bad("two digits", status(b"HTTP/1.1 20 OK"), "hang"),
  bad("four digits", status(b"HTTP/1.1 2000 OK"), "hang"),
  bad("letters as status", status(b"HTTP/1.1 abc OK"), "hang"),
  bad("a status below 100", status(b"HTTP/1.1 099 OK"), "hang"),
  bad("a negative status", status(b"HTTP/1.1 -20 OK"), "hang"),
  bad("a NUL in the reason", status(b"HTTP/1.1 200 O\0K"), "hang"),
  bad("a control byte in the reason", status(b"HTTP/1.1 200 O\x1bK"), "hang"),
  bad("a bare CR in the reason", status(b"HTTP/1.1 200 O\rK"), "hang"),
  bad("a bare LF behind the status line", b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", "hang"),
  bad("an empty line before the status line", b"\r\n" + headed(_COUNTED), "hang"),
  bad("a switch of protocols that nobody asked for",
      b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "hang"),
  *[good(f"an interim answer {number} before the answer", b"HTTP/1.1 %d Wait\r\nX-Early: 1\r\n\r\n" % number
         + headed(_COUNTED), lacks=("x-early",)) for number in (100, 102, 103, 199)],
  bad("an interim answer with a body",
      b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello" + headed(_COUNTED), "hang"),
  bad("an interim answer and the end", b"HTTP/1.1 100 Continue\r\n\r\n"),
  bad("ten thousand interim answers", b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000 + headed(_COUNTED), "hang"),
]

FIELDS = [
  good("a field without white space", headed(_COUNTED, b"A:b")),
  good("a value of bytes above 127", headed(_COUNTED, b"A: \xc3\xa4")),
  bad("a space before the colon", headed(_COUNTED, b"A : b"), "hang"),
  bad("a space before the colon of a length", headed(b"Content-Length : 2"), "hang"),
  bad("a folded value", headed(_COUNTED, b"A: b", b" c"), "hang"),
  bad("a folded first field", headed(b" A: b", _COUNTED), "hang"),
  bad("no colon", headed(_COUNTED, b"A"), "hang"),
  bad("an empty name", headed(_COUNTED, b": b"), "hang"),
  bad("a forbidden letter in a name", headed(_COUNTED, b"A(: b"), "hang"),
  bad("a NUL in a value", headed(_COUNTED, b"A: \0"), "hang"),
  bad("a control byte in a value", headed(_COUNTED, b"A: \x1b"), "hang"),
  bad("a bare CR in a value", headed(_COUNTED, b"A: b\rc"), "hang"),
  bad("a bare LF behind a field", OK + b"A: b\nContent-Length: 2\r\n\r\nok", "hang"),
  bad("a bare LF as the empty line", OK + b"Content-Length: 2\r\n\nok", "hang"),
  bad("a head of 20 KB", headed(_COUNTED, b"A: " + b"b" * 20_000), "hang"),
  bad("a head of 2 MB", headed(_COUNTED, b"A: " + b"b" * 2_000_000), "hang"),
  bad("101 fields", headed(_COUNTED, *[b"A: b"] * 100), "hang"),
  bad("a head without end", OK + b"A: b\r\n" * 100_000, "hang"),
]

FRAMINGS = [
  good("a length of 0", headed(b"Content-Length: 0", body=b""), b""),
  good("chunked", coded(b"2\r\nok\r\n0\r\n\r\n")),
  good("the end of the connection", headed(), then="close", reused=False),
  good("Connection: close", headed(_COUNTED, b"Connection: close"), then="close", reused=False),
  good("HEAD with a length", headed(b"Content-Length: 99", body=b""), b"", method="HEAD"),
  good("HEAD of a chunked answer", headed(b"Transfer-Encoding: chunked", body=b""), b"", method="HEAD"),
  tailed("bytes behind the answer", headed(_COUNTED), b"POISON"),
  tailed("an answer behind the answer", headed(_COUNTED), headed(b"Content-Length: 6", body=b"POISON")),
  tailed("bytes behind the last chunk", coded(b"2\r\nok\r\n0\r\n\r\n"), b"POISON"),
  tailed("an empty line behind the answer", headed(_COUNTED), b"\r\n"),
  tailed("a body behind HEAD", headed(b"Content-Length: 6", body=b""), b"POISON", b"", "HEAD"),
  tailed("chunks behind HEAD", headed(b"Transfer-Encoding: chunked", body=b""), b"2\r\nok\r\n0\r\n\r\n", b"", "HEAD"),
  tailed("a body behind 204", b"HTTP/1.1 204 No Content\r\n\r\n", b"POISON", b"", "GET", 204),
  tailed("a 204 with a length", b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\n", b"POISON", b"", "GET", 204),
  tailed("a body behind 304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n", b"POISON", b"", "GET", 304),
  good("an extension", coded(b'2;a=b\r\nok\r\n0;c;d="e"\r\n\r\n')),
  good("white space around an extension", coded(b"2 ; a\t= b\r\nok\r\n0\r\n\r\n")),
  good("trailers", coded(b"2\r\nok\r\n0\r\nSet-Cookie: a=b\r\nContent-Length: 9\r\nConnection: close\r\n\r\n"),
       lacks=("set-cookie",)),
  good("a field that Connection names", headed(_COUNTED, b"Connection: X-Hop", b"X-Hop: 1"), lacks=("x-hop",)),
  good("framing that Connection names", headed(_COUNTED, b"Connection: Content-Length")),
  good("fields for one connection", headed(_COUNTED, b"Keep-Alive: timeout=5", b"Upgrade: h2c", b"Trailer: X-A",
                                           b"Proxy-Connection: keep-alive", b"Proxy-Authenticate: Basic"),
       lacks=("keep-alive", "upgrade", "trailer", "proxy-connection", "proxy-authenticate")),
  bad("chunked and a length", headed(b"Transfer-Encoding: chunked", _COUNTED, body=b"2\r\nok\r\n0\r\n\r\n"), "hang"),
  bad("two lengths", headed(_COUNTED, b"Content-Length: 3"), "hang"),
  bad("two lengths alike", headed(_COUNTED, _COUNTED), "hang"),
  bad("a list of lengths", headed(b"Content-Length: 2, 2"), "hang"),
  bad("an empty length", headed(b"Content-Length:"), "hang"),
  bad("a length with a sign", headed(b"Content-Length: +2"), "hang"),
  bad("a negative length", headed(b"Content-Length: -2"), "hang"),
  bad("a hexadecimal length", headed(b"Content-Length: 0x2"), "hang"),
  bad("a length of 2^64 + 2", headed(b"Content-Length: 18446744073709551618"), "hang"),
  bad("a coding that is not chunked", headed(b"Transfer-Encoding: gzip"), "hang"),
  bad("two codings", headed(b"Transfer-Encoding: gzip, chunked", body=b"2\r\nok\r\n0\r\n\r\n"), "hang"),
  bad("chunked twice", headed(*[b"Transfer-Encoding: chunked"] * 2, body=b"2\r\nok\r\n0\r\n\r\n"), "hang"),
  bad("chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "hang"),
  bad("chunked and a length that is none", headed(b"Transfer-Encoding: chunked", b"Content-Length: x"), "hang"),
  bad("chunked and a length of 0", headed(b"Content-Length: 0", b"Transfer-Encoding: chunked"), "hang"),
  bad("chunked twice in a list", headed(b"Transfer-Encoding: chunked, chunked"), "hang"),
  bad("chunked before gzip", headed(b"Transfer-Encoding: chunked, gzip"), "hang"),
  bad("chunked and identity in two fields", headed(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
      "hang"),
  bad("chunked with a parameter", headed(b"Transfer-Encoding: chunked;a=b"), "hang"),
  bad("identity", headed(b"Transfer-Encoding: identity"), "hang"),
  bad("xchunked", headed(b"Transfer-Encoding: xchunked"), "hang"),
  bad("an empty coding", headed(b"Transfer-Encoding:"), "hang"),
  bad("a coding behind a vertical tab", headed(b"Transfer-Encoding: \x0bchunked"), "hang"),
  bad("two lengths in a list", headed(b"Content-Length: 2,3"), "hang"),
  bad("a comma behind a length", headed(b"Content-Length: 2,"), "hang"),
  bad("a length with a point", headed(b"Content-Length: 2.0"), "hang"),
  bad("a length in quotes", headed(b'Content-Length: "2"'), "hang"),
  bad("a length of 2^63", headed(b"Content-Length: 9223372036854775808"), "hang"),
  bad("two lengths to HEAD", headed(_COUNTED, b"Content-Length: 3", body=b""), "hang"),
  cut("a body that is too short", headed(b"Content-Length: 9")),
  cut("a body that is too short, and a reset", headed(b"Content-Length: 9"), "reset"),
  cut("no last chunk", coded(b"2\r\nok\r\n")),
  cut("half a last chunk", coded(b"2\r\nok\r\n0\r\n")),
  cut("half a chunk", coded(b"5\r\nok")),
]

# What may stand where the second chunk's size is expected: none of it is a chunk.
CHUNKS = {
  "no number": b"x\r\nhello\r\n0\r\n\r\n",
  "an empty size": b"\r\nhello\r\n0\r\n\r\n",
  "a sign": b"+5\r\nhello\r\n0\r\n\r\n",
  "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
  "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
  "a space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
  "2^64 + 5": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
  "2^52": b"10000000000000\r\nhello\r\n0\r\n\r\n",
  "a bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
  "a bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
  "more data than said": b"5\r\nhello!\r\n0\r\n\r\n",
  "a bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
  "an extension of 20 KB": b"5;" + b"a" * 20_000 + b"\r\nhello\r\n0\r\n\r\n",
  "a bare LF as the end": b"0\r\n\n",
  "something behind the last chunk": b"0\r\nx\r\n\r\n",
  "a folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
  "trailers without end": b"0\r\n" + b"A: b\r\n" * 100_000,
  "the end of the connection": b"",
  "the end within a size": b"5",
  "the end within the data": b"5\r\nhel",
}

TABLE = {"status lines": STATUS_LINES, "fields": FIELDS, "framings": FRAMINGS}
