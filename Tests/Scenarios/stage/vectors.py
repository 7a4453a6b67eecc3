"""Requests, good and bad, and what must become of each (RFC 9110, RFC 9112, RFC 3986).

A row names its bytes, the statuses that are right, whether the connection must close behind the answer (None: either),
and what the origin must see when the request passes. A row whose statuses hold 200 and others leaves Edge the choice
that the RFC leaves to a recipient; the counts must be right all the same."""

from dataclasses import dataclass, field

from .client import chunked, head


@dataclass
class Row:
  name: str
  data: bytes
  statuses: tuple
  closes: bool | None = True
  target: str | None = None
  body: bytes = b""
  has: dict = field(default_factory=dict)
  lacks: tuple = ()

  @property
  def passes(self):
    return self.statuses == (200,)


def good(name, data, target="/v", body=b"", has=None, lacks=(), closes=False):
  return Row(name, data, (200,), closes, target, body, has or {}, lacks)


def refused(name, data, *statuses):
  return Row(name, data, statuses or (400,))


def either(name, data, *statuses, target="/v", body=b"", closes=None):
  return Row(name, data, (200,) + (statuses or (400,)), closes, target, body)


def answered(name, data, *statuses):
  """Refused without any doubt about where the request ends, so the connection may stay."""
  return Row(name, data, statuses, None)


def line(text, host=b"Host: edge.test\r\n"):
  """A request of one request line and a Host field."""
  return text + b"\r\n" + host + b"\r\n"


def with_fields(*lines, method=b"GET", version=b"1.1", body=b"", host=b"Host: edge.test\r\n"):
  return method + b" /v HTTP/" + version + b"\r\n" + host + b"".join(text + b"\r\n" for text in lines) + b"\r\n" + body


def post(*lines, body=b"", version=b"1.1"):
  return with_fields(*lines, method=b"POST", version=version, body=body)


def coded(body, *lines):
  """A chunked request with these raw bytes as its body."""
  return post(b"Transfer-Encoding: chunked", *lines, body=body)


REQUEST_LINES = [
  good("origin-form", line(b"GET /v HTTP/1.1")),
  good("absolute-form", line(b"GET http://edge.test/v HTTP/1.1"), has={"host": "edge.test"}),
  good("absolute-form, scheme and host in capitals", line(b"GET HTTP://EDGE.TEST/v HTTP/1.1")),
  good("absolute-form with port in both", line(b"GET http://edge.test:81/v HTTP/1.1", b"Host: edge.test:81\r\n")),
  good("absolute-form without a path", line(b"GET http://edge.test HTTP/1.1"), "/"),
  good("absolute-form with a query and no path", line(b"GET http://edge.test?a=b HTTP/1.1"), "/?a=b"),
  good("absolute-form with the default port on one side", line(b"GET http://edge.test:80/v HTTP/1.1")),
  good("absolute-form with the default port on the other", line(b"GET http://edge.test/v HTTP/1.1",
                                                                b"Host: edge.test:80\r\n")),
  good("absolute-form with an empty port", line(b"GET http://edge.test:/v HTTP/1.1")),
  refused("absolute-form of https", line(b"GET https://edge.test/v HTTP/1.1"), 421),
  good("a query", line(b"GET /v?a=b&c=%2F../x?y HTTP/1.1"), "/v?a=b&c=%2F../x?y"),
  good("an empty query", line(b"GET /v? HTTP/1.1"), "/v?"),
  good("a long target", line(b"GET /v?" + b"a" * 8000 + b" HTTP/1.1"), "/v?" + "a" * 8000),
  good("PUT", line(b"PUT /v HTTP/1.1")),
  good("PATCH", line(b"PATCH /v HTTP/1.1")),
  good("DELETE", line(b"DELETE /v HTTP/1.1")),
  good("OPTIONS with a path", line(b"OPTIONS /v HTTP/1.1")),
  good("a method of another RFC", line(b"PROPFIND /v HTTP/1.1")),
  either("a method of every token letter", line(b"A!#$%&'*+-.^_`|~9 /v HTTP/1.1"), 400, 405, 501),
  either("a method in small letters", line(b"get /v HTTP/1.1"), 400, 405, 501),
  either("a method of 300 letters", line(b"M" * 300 + b" /v HTTP/1.1"), 400, 405, 431, 501),
  good("HTTP/1.0 without Host", line(b"GET /v HTTP/1.0", b""), closes=True, has={"via": "1.0 edge"}),
  either("HTTP/1.2", line(b"GET /v HTTP/1.2"), 400, 505),
  good("one empty line before the request line", b"\r\n" + line(b"GET /v HTTP/1.1")),
  either("two empty lines before the request line", b"\r\n\r\n" + line(b"GET /v HTTP/1.1")),
  refused("an LF before the request line", b"\n" + line(b"GET /v HTTP/1.1")),
  answered("CONNECT", line(b"CONNECT edge.test:443 HTTP/1.1", b"Host: edge.test:443\r\n"), 405),
  answered("TRACE", line(b"TRACE /v HTTP/1.1"), 405),
  answered("OPTIONS with an asterisk", line(b"OPTIONS * HTTP/1.1"), 200, 204, 400, 404, 405, 501),
  refused("GET with an asterisk", line(b"GET * HTTP/1.1")),
  refused("two spaces before the target", line(b"GET  /v HTTP/1.1")),
  refused("two spaces before the version", line(b"GET /v  HTTP/1.1")),
  refused("a space at the start", line(b" GET /v HTTP/1.1")),
  refused("a space at the end", line(b"GET /v HTTP/1.1 ")),
  refused("tabs between the parts", line(b"GET\t/v\tHTTP/1.1")),
  refused("a space in the target", line(b"GET /v w HTTP/1.1")),
  refused("no target", line(b"GET HTTP/1.1")),
  refused("an empty target", line(b"GET  HTTP/1.1")),
  refused("no method", line(b" /v HTTP/1.1")),
  refused("no version", line(b"GET /v")),
  refused("no version and a space", line(b"GET /v ")),
  refused("HTTP/0.9", line(b"GET /v HTTP/0.9"), 400, 505),
  refused("HTTP/2.0", line(b"GET /v HTTP/2.0"), 400, 505),
  refused("HTTP/3.0", line(b"GET /v HTTP/3.0"), 400, 505),
  refused("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505),
  refused("a version in small letters", line(b"GET /v http/1.1")),
  refused("a version of one number", line(b"GET /v HTTP/1")),
  refused("a version with a leading zero", line(b"GET /v HTTP/01.1")),
  refused("a version with two digits", line(b"GET /v HTTP/1.10")),
  refused("a version with a comma", line(b"GET /v HTTP/1,1")),
  refused("a version with a space", line(b"GET /v HTTP/ 1.1")),
  refused("a version with a tail", line(b"GET /v HTTP/1.1x")),
  refused("another protocol", line(b"GET /v ICAP/1.0")),
  refused("a method with a forbidden letter", line(b"G@T /v HTTP/1.1")),
  refused("a method with a parenthesis", line(b"GET( /v HTTP/1.1")),
  refused("a method with a NUL", line(b"G\0T /v HTTP/1.1")),
  refused("a method with a byte above 127", line(b"G\xc3\xa4T /v HTTP/1.1")),
  refused("a bare LF behind the request line", b"GET /v HTTP/1.1\nHost: edge.test\r\n\r\n"),
  refused("a bare CR in the request line", line(b"GET /v\rHTTP/1.1")),
  refused("a CR before the end of the request line", line(b"GET /v HTTP/1.1\r")),
  refused("a NUL in the target", line(b"GET /v\0w HTTP/1.1")),
  refused("a control byte in the target", line(b"GET /v\x01 HTTP/1.1")),
  refused("DEL in the target", line(b"GET /v\x7f HTTP/1.1")),
  refused("a byte above 127 in the target", line(b"GET /v\xc3\xa4 HTTP/1.1")),
  refused("a byte above 127 in the query", line(b"GET /v?\xff HTTP/1.1")),
  refused("a fragment", line(b"GET /v#a HTTP/1.1")),
  refused("a target without a slash", line(b"GET v HTTP/1.1")),
  refused("another scheme", line(b"GET ftp://edge.test/v HTTP/1.1")),
  refused("a scheme and one slash", line(b"GET http:/edge.test/v HTTP/1.1")),
  refused("a scheme and no host", line(b"GET http:///v HTTP/1.1")),
  refused("a scheme alone", line(b"GET http:// HTTP/1.1")),
  refused("user information in the target", line(b"GET http://me@edge.test/v HTTP/1.1")),
  refused("another host in the target", line(b"GET http://other.test/v HTTP/1.1")),
  refused("another port in the target", line(b"GET http://edge.test:81/v HTTP/1.1", b"Host: edge.test:82\r\n")),
  refused("a comma in the host of the target", line(b"GET http://edge.test,a/v HTTP/1.1", b"Host: edge.test,a\r\n")),
  refused("authority-form for GET", line(b"GET edge.test:80 HTTP/1.1")),
  refused("something else", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
  refused("a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
  refused("a TLS handshake behind an empty line", b"\r\n\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
  refused("a byte above 127 alone", b"\xff"),
  refused("a space alone", b" "),
  refused("a NUL alone", b"\0"),
  refused("a CR and no LF", b"\rGET /v"),
  refused("two CR", b"\r\r"),
  refused("a line without end, with a bare CR", b"GET /v\rw"),
  refused("a line without end, with a NUL", b"GET /v\0"),
  refused("a field without end, with a bare CR", b"GET /v HTTP/1.1\r\nHost: a\rb"),
  refused("a field without end, with a NUL", b"GET /v HTTP/1.1\r\nHost: edge.test\r\nA: \0"),
]

HOSTS = [
  good("Host with a port", line(b"GET /v HTTP/1.1", b"Host: edge.test:8080\r\n"), has={"host": "edge.test:8080"}),
  good("Host in capitals", line(b"GET /v HTTP/1.1", b"HOST: Edge.Test\r\n"), has={"host": "Edge.Test"}),
  good("Host as IPv4 address", line(b"GET /v HTTP/1.1", b"Host: 127.0.0.1:80\r\n"), has={"host": "127.0.0.1:80"}),
  good("Host as IPv6 address", line(b"GET /v HTTP/1.1", b"Host: [::1]:80\r\n"), has={"host": "[::1]:80"}),
  good("Host as the last field", line(b"GET /v HTTP/1.1", b"A: b\r\nHost: edge.test\r\n"), has={"a": "b"}),
  either("an empty Host", line(b"GET /v HTTP/1.1", b"Host:\r\n")),
  either("Host with an empty port", line(b"GET /v HTTP/1.1", b"Host: edge.test:\r\n")),
  refused("no Host", line(b"GET /v HTTP/1.1", b"")),
  refused("Host twice, alike", line(b"GET /v HTTP/1.1", b"Host: edge.test\r\nHost: edge.test\r\n")),
  refused("Host twice", line(b"GET /v HTTP/1.1", b"Host: edge.test\r\nHost: other.test\r\n")),
  refused("Host twice in HTTP/1.0", line(b"GET /v HTTP/1.0", b"Host: edge.test\r\nHost: other.test\r\n")),
  refused("two hosts in one field", line(b"GET /v HTTP/1.1", b"Host: edge.test, other.test\r\n")),
  refused("a comma in Host", line(b"GET /v HTTP/1.1", b"Host: edge.test,other.test\r\n")),
  refused("a space in Host", line(b"GET /v HTTP/1.1", b"Host: edge.test other.test\r\n")),
  refused("a path in Host", line(b"GET /v HTTP/1.1", b"Host: edge.test/v\r\n")),
  refused("a query in Host", line(b"GET /v HTTP/1.1", b"Host: edge.test?v\r\n")),
  refused("user information in Host", line(b"GET /v HTTP/1.1", b"Host: me@edge.test\r\n")),
  refused("a scheme in Host", line(b"GET /v HTTP/1.1", b"Host: http://edge.test\r\n")),
  refused("letters as port", line(b"GET /v HTTP/1.1", b"Host: edge.test:http\r\n")),
  refused("a port above 65535", line(b"GET /v HTTP/1.1", b"Host: edge.test:65536\r\n")),
  refused("two ports", line(b"GET /v HTTP/1.1", b"Host: edge.test:80:80\r\n")),
  refused("an open bracket in Host", line(b"GET /v HTTP/1.1", b"Host: [::1\r\n")),
  refused("letters in an IPv6 address", line(b"GET /v HTTP/1.1", b"Host: [::zz]\r\n")),
  refused("a byte above 127 in Host", line(b"GET /v HTTP/1.1", b"Host: \xc3\xa4.test\r\n")),
  refused("a backslash in Host", line(b"GET /v HTTP/1.1", b"Host: edge.test\\a\r\n")),
]

FIELDS = [
  good("Max-Forwards of OPTIONS", with_fields(b"Max-Forwards: 10", method=b"OPTIONS"), has={"max-forwards": "9"}),
  good("the last Max-Forwards", with_fields(b"Max-Forwards: 1", method=b"OPTIONS"), has={"max-forwards": "0"}),
  good("Max-Forwards of another method", with_fields(b"Max-Forwards: 0"), has={"max-forwards": "0"}),
  good("any Max-Forwards of another method", with_fields(b"Max-Forwards: x"), has={"max-forwards": "x"}),
  answered("no Max-Forwards left", with_fields(b"Max-Forwards: 0", method=b"OPTIONS"), 204),
  refused("Max-Forwards that is no number", with_fields(b"Max-Forwards: x", method=b"OPTIONS")),
  refused("an empty Max-Forwards", with_fields(b"Max-Forwards:", method=b"OPTIONS")),
  refused("Max-Forwards with a sign", with_fields(b"Max-Forwards: -1", method=b"OPTIONS")),
  refused("two Max-Forwards", with_fields(b"Max-Forwards: 1", b"Max-Forwards: 2", method=b"OPTIONS")),
  good("no white space around a value", with_fields(b"A:b"), has={"a": "b"}),
  good("white space around a value", with_fields(b"A: \t b c \t "), has={"a": "b c"}),
  good("an empty value", with_fields(b"A:"), has={"a": ""}),
  good("a value of white space", with_fields(b"A: \t "), has={"a": ""}),
  good("a tab within a value", with_fields(b"A: b\tc"), has={"a": "b\tc"}),
  good("every visible byte in a value", with_fields(b"A: " + bytes(range(0x21, 0x7f))),
       has={"a": bytes(range(0x21, 0x7f)).decode()}),
  good("bytes above 127 in a value", with_fields(b"A: \xc3\xa4\xff"), has={"a": "\xc3\xa4\xff"}),
  good("every token letter in a name", with_fields(b"A!#$%&'*+-.^`|~9: b"), has={"a!#$%&'*+-.^`|~9": "b"}),
  good("a long value", with_fields(b"A: " + b"b" * 12000), has={"a": "b" * 12000}),
  good("the same field twice", with_fields(b"A: b", b"A: c")),
  good("100 fields", with_fields(*[b"A%d: b" % number for number in range(99)]), has={"a98": "b"}),
  refused("101 fields", with_fields(*[b"A%d: b" % number for number in range(100)]), 431),
  refused("a head above the limit", with_fields(b"A: " + b"b" * 17000), 431),
  refused("a request line above the limit", line(b"GET /v?" + b"a" * 17000 + b" HTTP/1.1"), 414, 431),
  refused("a space before the colon", with_fields(b"A : b")),
  refused("a tab before the colon", with_fields(b"A\t: b")),
  refused("a space within a name", with_fields(b"A b: c")),
  refused("an empty name", with_fields(b": b")),
  refused("no colon", with_fields(b"Ab")),
  refused("a folded value", with_fields(b"A: b", b" c")),
  refused("a value folded with a tab", with_fields(b"A: b", b"\tc")),
  refused("a folded line of white space", with_fields(b"A: b", b"  ")),
  refused("white space before the first field", b"GET /v HTTP/1.1\r\n Host: edge.test\r\nHost: edge.test\r\n\r\n"),
  refused("a parenthesis in a name", with_fields(b"A(: b")),
  refused("a quote in a name", with_fields(b'A": b')),
  refused("a slash in a name", with_fields(b"A/b: c")),
  refused("a bracket in a name", with_fields(b"A[: c")),
  refused("a NUL in a name", with_fields(b"A\0: b")),
  refused("a byte above 127 in a name", with_fields(b"A\xc3\xa4: b")),
  refused("a NUL in a value", with_fields(b"A: b\0c")),
  refused("a control byte in a value", with_fields(b"A: b\x01c")),
  refused("an escape byte in a value", with_fields(b"A: b\x1b[0m")),
  refused("a vertical tab before a value", with_fields(b"A:\x0bb")),
  refused("DEL in a value", with_fields(b"A: b\x7f")),
  refused("a bare CR in a value", with_fields(b"A: b\rB: c")),
  refused("a bare CR at the end of a value", with_fields(b"A: b\r")),
  refused("a bare LF behind a field", b"GET /v HTTP/1.1\r\nHost: edge.test\r\nA: b\nB: c\r\n\r\n"),
  refused("a bare LF as the empty line", b"GET /v HTTP/1.1\r\nHost: edge.test\r\n\n"),
  refused("bare LFs throughout", b"GET /v HTTP/1.1\nHost: edge.test\n\n"),
  refused("another expectation", post(b"Expect: 200-ok", b"Content-Length: 0"), 417),
  refused("two expectations", post(b"Expect: 100-continue, later", b"Content-Length: 0"), 417),
  good("an upgrade to h2c",
       with_fields(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAAA"),
       lacks=("upgrade", "http2-settings")),
  refused("an upgrade with a body",
          post(b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 1", body=b"a")),
  either("a Connection option that is no token", with_fields(b"Connection: a b")),
  good("an empty element in Connection", with_fields(b"Connection: , close,"), closes=True),
]

LENGTHS = [
  good("a counted body", post(b"Content-Length: 5", body=b"hello"), body=b"hello"),
  good("a counted body of GET", with_fields(b"Content-Length: 5", body=b"hello"), body=b"hello"),
  good("a count of 0", post(b"Content-Length: 0")),
  good("white space around the count", post(b"Content-Length: \t5 ", body=b"hello"), body=b"hello"),
  good("a body that looks like a request", post(b"Content-Length: 25", body=b"GET /evil HTTP/1.1\r\nA: b\r"),
       body=b"GET /evil HTTP/1.1\r\nA: b\r"),
  good("POST without a body", post()),
  good("a counted body in HTTP/1.0", post(b"Content-Length: 5", body=b"hello", version=b"1.0"), body=b"hello",
       closes=True),
  either("leading zeros in the count", post(b"Content-Length: 005", body=b"hello"), body=b"hello"),
  refused("an empty count", post(b"Content-Length:", body=b"hello")),
  refused("a count of white space", post(b"Content-Length: \t", body=b"hello")),
  refused("a plus sign", post(b"Content-Length: +5", body=b"hello")),
  refused("a minus sign", post(b"Content-Length: -5", body=b"hello")),
  refused("minus zero", post(b"Content-Length: -0")),
  refused("hexadecimal", post(b"Content-Length: 0x5", body=b"hello")),
  refused("octal with a letter", post(b"Content-Length: 0o5", body=b"hello")),
  refused("a letter behind", post(b"Content-Length: 5a", body=b"hello")),
  refused("a space within", post(b"Content-Length: 5 5", body=b"hello")),
  refused("a decimal point", post(b"Content-Length: 5.0", body=b"hello")),
  refused("an exponent", post(b"Content-Length: 1e1", body=b"hello")),
  refused("an underscore", post(b"Content-Length: 1_0", body=b"hello")),
  refused("quotes", post(b'Content-Length: "5"', body=b"hello")),
  refused("a parameter", post(b"Content-Length: 5;a", body=b"hello")),
  refused("a list of the same", post(b"Content-Length: 5, 5", body=b"hello")),
  refused("a list of two", post(b"Content-Length: 5,6", body=b"hello")),
  refused("a comma behind", post(b"Content-Length: 5,", body=b"hello")),
  refused("two alike", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello")),
  refused("two that differ", post(b"Content-Length: 0", b"Content-Length: 5", body=b"hello")),
  refused("two, one empty", post(b"Content-Length: 5", b"Content-Length:", body=b"hello")),
  refused("2^64", post(b"Content-Length: 18446744073709551616", body=b"hello"), 400, 413),
  refused("2^64 and 5", post(b"Content-Length: 18446744073709551621", body=b"hello"), 400, 413),
  refused("2^63", post(b"Content-Length: 9223372036854775808", body=b"hello"), 400, 413),
  refused("a count of 40 digits", post(b"Content-Length: " + b"9" * 40, body=b"hello"), 400, 413),
  refused("digits of another script", post("Content-Length: ５".encode(), body=b"hello")),
  refused("a space before the colon", post(b"Content-Length : 5", body=b"hello")),
  refused("a body of GET in HTTP/1.0", with_fields(b"Content-Length: 5", body=b"hello", version=b"1.0")),
  refused("a body of DELETE in HTTP/1.0",
          with_fields(b"Content-Length: 5", body=b"hello", version=b"1.0", method=b"DELETE")),
  refused("a body of HEAD in HTTP/1.0",
          with_fields(b"Content-Length: 5", body=b"hello", version=b"1.0", method=b"HEAD")),
  good("a count with an underscore in its name", post(b"Content_Length: 5"), lacks=("content_length",)),
]

CODINGS = [
  good("chunked", coded(chunked(b"hello")), body=b"hello"),
  good("chunked of GET", with_fields(b"Transfer-Encoding: chunked", body=chunked(b"hello")), body=b"hello"),
  good("Chunked in mixed case", post(b"transfer-encoding: ChunKed", body=chunked(b"hello")), body=b"hello"),
  good("white space around chunked", post(b"Transfer-Encoding: \tchunked \t", body=chunked(b"hello")), body=b"hello"),
  good("an empty chunked body", coded(chunked())),
  good("an underscore in the name", post(b"Transfer_Encoding: chunked", b"Content-Length: 5", body=b"hello"),
       body=b"hello", lacks=("transfer_encoding",)),
  good("TE", with_fields(b"TE: trailers", b"Connection: TE"), lacks=("te",)),
  refused("chunked and a count", post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=chunked(b"hello"))),
  refused("a count and chunked", post(b"Content-Length: 15", b"Transfer-Encoding: chunked", body=chunked(b"hello"))),
  refused("a count of 0 and chunked",
          post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=chunked(b"hello"))),
  refused("chunked and a bad count", post(b"Transfer-Encoding: chunked", b"Content-Length: x", body=chunked(b"hello"))),
  refused("another coding and a count",
          post(b"Transfer-Encoding: gzip", b"Content-Length: 5", body=b"hello"), 400, 501),
  refused("chunked in HTTP/1.0", post(b"Transfer-Encoding: chunked", body=chunked(b"hello"), version=b"1.0")),
  refused("chunked twice in a list", post(b"Transfer-Encoding: chunked, chunked", body=chunked(b"hello")), 400, 501),
  refused("chunked twice in two fields",
          post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=chunked(b"hello"))),
  refused("chunked and identity in two fields",
          post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=chunked(b"hello")), 400, 501),
  refused("identity and chunked in two fields",
          post(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", body=chunked(b"hello")), 400, 501),
  refused("chunked and nothing in two fields",
          post(b"Transfer-Encoding: chunked", b"Transfer-Encoding:", body=chunked(b"hello")), 400, 501),
  refused("chunked before gzip", post(b"Transfer-Encoding: chunked, gzip", body=chunked(b"hello")), 400, 501),
  refused("gzip before chunked", post(b"Transfer-Encoding: gzip, chunked", body=chunked(b"hello")), 400, 501),
  refused("gzip", post(b"Transfer-Encoding: gzip", body=chunked(b"hello")), 501),
  refused("identity", post(b"Transfer-Encoding: identity", body=b"hello"), 400, 501),
  refused("an empty coding", post(b"Transfer-Encoding:", body=chunked(b"hello")), 400, 501),
  refused("xchunked", post(b"Transfer-Encoding: xchunked", body=chunked(b"hello")), 400, 501),
  refused("chunkedx", post(b"Transfer-Encoding: chunkedx", body=chunked(b"hello")), 400, 501),
  refused("chunked with a parameter", post(b"Transfer-Encoding: chunked;a=b", body=chunked(b"hello")), 400, 501),
  refused("chunked with a word behind", post(b"Transfer-Encoding: chunked x", body=chunked(b"hello")), 400, 501),
  refused("chunked in quotes", post(b'Transfer-Encoding: "chunked"', body=chunked(b"hello")), 400, 501),
  refused("a comma before chunked", post(b"Transfer-Encoding: , chunked", body=chunked(b"hello")), 400, 501),
  refused("a comma behind chunked", post(b"Transfer-Encoding: chunked,", body=chunked(b"hello")), 400, 501),
  refused("a vertical tab before chunked", post(b"Transfer-Encoding: \x0bchunked", body=chunked(b"hello"))),
  refused("a NUL behind chunked", post(b"Transfer-Encoding: chunked\0", body=chunked(b"hello"))),
  refused("a space before the colon", post(b"Transfer-Encoding : chunked", body=chunked(b"hello"))),
  refused("a folded coding", post(b"Transfer-Encoding:", b" chunked", body=chunked(b"hello"))),
  refused("chunked hidden behind a CR", post(b"A: b\rTransfer-Encoding: chunked", body=chunked(b"hello"))),
]

_DATA = b"hello\r\n0\r\n\r\n"

CHUNKS = [
  good("several chunks", coded(chunked(b"a", b"bc", b"d" * 300)), body=b"abc" + b"d" * 300),
  good("a size in capitals", coded(b"A\r\n0123456789\r\n0\r\n\r\n"), body=b"0123456789"),
  good("a size in small letters", coded(b"a\r\n0123456789\r\n0\r\n\r\n"), body=b"0123456789"),
  good("leading zeros", coded(b"0005\r\nhello\r\n000\r\n\r\n"), body=b"hello"),
  good("line ends as data", coded(b"4\r\n\r\n\r\n\r\n0\r\n\r\n"), body=b"\r\n\r\n"),
  good("an extension", coded(b"5;a\r\n" + _DATA), body=b"hello"),
  good("an extension with a value", coded(b"5;a=b\r\n" + _DATA), body=b"hello"),
  good("an extension in quotes", coded(b'5;a="b c"\r\n' + _DATA), body=b"hello"),
  good("an escaped quote in an extension", coded(b'5;a="b\\"c\\\\"\r\n' + _DATA), body=b"hello"),
  refused("white space around an extension", coded(b"5;a = b\r\n" + _DATA)),
  refused("an escaped line end in an extension", coded(b'5;a="b\\\r\n"\r\n' + _DATA)),
  good("two extensions", coded(b"5;a=b;c\r\n" + _DATA), body=b"hello"),
  good("an extension of the last chunk", coded(b"5\r\nhello\r\n0;a=b\r\n\r\n"), body=b"hello"),
  good("trailers", coded(b"5\r\nhello\r\n0\r\nA: b\r\nC:\r\n\r\n"), body=b"hello", lacks=("a", "c")),
  good("trailers that would frame or route",
       coded(b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nHost: other.test\r\nAuthorization: a\r\n\r\n"),
       body=b"hello", has={"host": "edge.test"}, lacks=("authorization",)),
  either("many leading zeros", coded(b"00000000000000000005\r\n" + _DATA), body=b"hello"),
  either("white space before an extension", coded(b"5 ;a=b\r\n" + _DATA), body=b"hello"),
  refused("an empty size", coded(b"\r\n" + _DATA)),
  refused("an extension without a size", coded(b";a=b\r\n" + _DATA)),
  refused("a size that is no number", coded(b"g\r\n" + _DATA)),
  refused("a size with 0x", coded(b"0x5\r\n" + _DATA)),
  refused("a plus sign", coded(b"+5\r\n" + _DATA)),
  refused("a minus sign", coded(b"-5\r\n" + _DATA)),
  refused("a space before the size", coded(b" 5\r\n" + _DATA)),
  refused("a space behind the size", coded(b"5 \r\n" + _DATA)),
  refused("a tab behind the size", coded(b"5\t\r\n" + _DATA)),
  refused("an underscore in the size", coded(b"0_5\r\n" + _DATA)),
  refused("a comma behind the size", coded(b"5,5\r\n" + _DATA)),
  refused("2^52 - 1, above the limit of a body", coded(b"fffffffffffff\r\n" + _DATA), 413),
  refused("2^52", coded(b"10000000000000\r\n" + _DATA), 400, 413),
  refused("2^64 - 1", coded(b"ffffffffffffffff\r\n" + _DATA), 400, 413),
  refused("2^64 and 5", coded(b"10000000000000005\r\n" + _DATA), 400, 413),
  refused("2^68", coded(b"100000000000000000\r\n" + _DATA), 400, 413),
  refused("a bare LF behind the size", coded(b"5\n" + _DATA)),
  refused("a bare CR behind the size", coded(b"5\rx" + _DATA)),
  refused("a CR too many behind the size", coded(b"5\r\r\n" + _DATA)),
  refused("a bare LF behind the data", coded(b"5\r\nhello\n0\r\n\r\n")),
  refused("a bare CR behind the data", coded(b"5\r\nhello\r0\r\n\r\n")),
  refused("no line end behind the data", coded(b"5\r\nhello0\r\n\r\n")),
  refused("more data than said", coded(b"5\r\nhello!\r\n0\r\n\r\n")),
  refused("less data than said", coded(b"6\r\nhello\r\n0\r\n\r\n")),
  refused("a bad size in the second chunk", coded(b"5\r\nhello\r\nx\r\nhello\r\n0\r\n\r\n")),
  refused("a bare LF behind the last chunk", coded(b"5\r\nhello\r\n0\n\r\n")),
  refused("a bare LF as the end", coded(b"5\r\nhello\r\n0\r\n\n")),
  refused("something behind the last chunk", coded(b"5\r\nhello\r\n0\r\nx\r\n\r\n")),
  refused("a bare LF in an extension", coded(b"5;a\nb\r\n" + _DATA)),
  refused("a bare CR in an extension", coded(b"5;a\rb\r\n" + _DATA)),
  refused("a NUL in an extension", coded(b"5;a\0\r\n" + _DATA)),
  refused("a control byte in an extension", coded(b"5;a=\x01\r\n" + _DATA)),
  refused("an open quote in an extension", coded(b'5;a="b\r\n' + _DATA)),
  refused("an extension without a name", coded(b"5;=b\r\n" + _DATA)),
  refused("an extension of nothing", coded(b"5;\r\n" + _DATA)),
  refused("an extension of 200 bytes", coded(b"5;" + b"a" * 200 + b"\r\n" + _DATA)),
  refused("an extension of 20 KB", coded(b"5;" + b"a" * 20000 + b"\r\n" + _DATA)),
  refused("a trailer without a colon", coded(b"5\r\nhello\r\n0\r\nA\r\n\r\n")),
  refused("a space before the colon of a trailer", coded(b"5\r\nhello\r\n0\r\nA : b\r\n\r\n")),
  refused("a folded trailer", coded(b"5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n")),
  refused("a bare LF behind a trailer", coded(b"5\r\nhello\r\n0\r\nA: b\n\r\n")),
  refused("a NUL in a trailer", coded(b"5\r\nhello\r\n0\r\nA: \0\r\n\r\n")),
  refused("trailers without end", coded(b"5\r\nhello\r\n0\r\n" + b"A: b\r\n" * 20000 + b"\r\n"), 400, 431),
]


def path(text, *statuses, to=None):
  data = line(b"GET " + text + b" HTTP/1.1")
  if to is None:
    return answered(text.decode("latin-1"), data, *(statuses or (400,)))
  name = f"{text.decode('latin-1')} becomes {to}"
  return either(name, data, *statuses, target=to) if statuses else good(name, data, to)


PATHS = [
  path(b"/", to="/"),
  path(b"/a/b/", to="/a/b/"),
  path(b"/%7euser", to="/~user"),
  path(b"/%41%5a%61%7a%30%2d%5f", to="/AZaz0-_"),
  path(b"/a%c3%a4", to="/a%C3%A4"),
  path(b"/a%20b", to="/a%20b"),
  path(b"/a%3b%3f%23%26", to="/a%3B%3F%23%26"),
  path(b"/a:b@c!$&'()*+,;=", to="/a:b@c!$&'()*+,;="),
  path(b"/a;x=1/b", to="/a;x=1/b"),
  path(b"/a/./b", to="/a/b"),
  path(b"/a/.", to="/a/"),
  path(b"/a/../b", to="/b"),
  path(b"/a/b/..", to="/a/"),
  path(b"/a/...", to="/a/..."),
  path(b"/.a/..b/c..", to="/.a/..b/c.."),
  path(b"/a/..;/b", to="/a/..;/b"),
  path(b"//a//b", to="/a/b"),
  path(b"/a///", to="/a/"),
  path(b"//other.test/a", to="/other.test/a"),
  path(b"/a%252fb", to="/a%252fb"),
  path(b"/%252e%252e/a", to="/%252e%252e/a"),
  path(b"/a?x=../%2f//%7e", to="/a?x=../%2f//%7e"),
  path(b"/a%25", to="/a%25"),
  path(b"/a%c0%af", 400, to="/a%C0%AF"),
  path(b"/a%0d%0ab", 400, to="/a%0D%0Ab"),
  path(b"/..", 400, to="/"),
  path(b"/a/../../b", 400, to="/b"),
  path(b"/a/%2e/b", 400, to="/a/b"),
  path(b"/a/%2e%2e/b"),
  path(b"/a/.%2e/b"),
  path(b"/a/%2E./b"),
  path(b"/a/..%2fb"),
  path(b"/a%2fb"),
  path(b"/a%2Fb"),
  path(b"/a%5cb"),
  path(b"/a%5Cb"),
  path(b"/a\\b"),
  path(b"/a%00b"),
  path(b"/a%"),
  path(b"/a%2"),
  path(b"/a%zz"),
  path(b"/a%u002f"),
  path(b"/a<b>"),
  path(b"/a\"b"),
  path(b"/a|b", 200, 400),
  path(b"/a^b`{}", 200, 400),
]

# By topic, in the order of performance.
TABLE = {
  "request lines": REQUEST_LINES,
  "hosts": HOSTS,
  "fields": FIELDS,
  "counted bodies": LENGTHS,
  "transfer codings": CODINGS,
  "chunks": CHUNKS,
  "paths": PATHS,
}

AFTER = head("GET", "/after")
