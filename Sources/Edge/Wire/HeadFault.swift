// What can be wrong with a head or a body's framing. One row per fault: the error code and what the client is told.
// After any of them the connection is closed: where the next message would begin can no longer be known.

/// A violation of RFC 9112, or of Edge's stricter reading of it.
enum HeadFault: UInt8, CaseIterable, Error {
  case bareLineFeed, badRequestLine, badMethod, badTarget, badVersion, unknownVersion, badFieldName, badFieldValue
  case folded, tooLarge, tooManyFields, hostMissing, hostTwice, badHost, hostMismatch, badContentLength
  case contentLengthTwice, lengthAndChunked, badTransferEncoding, unknownTransferEncoding, codingInOldVersion
  case bodyInOldVersion, badConnection, badExpectation, badStatusLine, badChunkSize, badChunkExtension, badChunkEnd
  case badTrailer, upgradeWithBody, badMaxForwards, notSecure, plainText

  var row: HeadFaultRow { HeadFaultRow.table[Int(rawValue)] }
}

/// A row of the table of faults.
struct HeadFaultRow: Sendable {
  let fault: HeadFault
  let code: ErrorCode
  let message: StaticString

  private init(_ fault: HeadFault, _ code: ErrorCode, _ message: StaticString) {
    self.fault = fault
    self.code = code
    self.message = message
  }

  /// In the order of `HeadFault`.
  static let table: [HeadFaultRow] = [
    HeadFaultRow(.bareLineFeed, .invalidRequest, "A line ends with LF alone; end lines with CRLF."),
    HeadFaultRow(.badRequestLine, .invalidRequest, "The request line is malformed; send METHOD SP target SP HTTP/1.1."),
    HeadFaultRow(.badMethod, .invalidRequest, "The method is not a token."),
    HeadFaultRow(.badTarget, .invalidRequest, "The request target is not a valid path or URL; encode it."),
    HeadFaultRow(.badVersion, .invalidRequest, "The HTTP version is malformed; send HTTP/1.1."),
    HeadFaultRow(.unknownVersion, .versionNotSupported, "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
    HeadFaultRow(
      .badFieldName, .invalidRequest, "A header name is empty, holds a forbidden byte or is followed by a space."),
    HeadFaultRow(.badFieldValue, .invalidRequest, "A header value holds a control byte."),
    HeadFaultRow(.folded, .invalidRequest, "A header value is folded over several lines; send it on one."),
    HeadFaultRow(.tooLarge, .headersTooLarge, "The request line and headers are too long; send fewer or shorter ones."),
    HeadFaultRow(.tooManyFields, .headersTooLarge, "There are too many header fields; send fewer."),
    HeadFaultRow(.hostMissing, .invalidRequest, "The Host header is missing."),
    HeadFaultRow(.hostTwice, .invalidRequest, "There is more than one Host header."),
    HeadFaultRow(.badHost, .invalidRequest, "The Host header is not a host with an optional port."),
    HeadFaultRow(.hostMismatch, .invalidRequest, "The host of the request target and the Host header differ."),
    HeadFaultRow(.badContentLength, .invalidRequest, "Content-Length is not a plain decimal number."),
    HeadFaultRow(.contentLengthTwice, .invalidRequest, "There is more than one Content-Length."),
    HeadFaultRow(.lengthAndChunked, .invalidRequest, "Both Content-Length and Transfer-Encoding are given; send one."),
    HeadFaultRow(
      .badTransferEncoding, .invalidRequest, "Transfer-Encoding is malformed or given twice; send chunked alone."),
    HeadFaultRow(.unknownTransferEncoding, .notImplemented, "Only the transfer coding chunked is known here."),
    HeadFaultRow(.codingInOldVersion, .invalidRequest, "Transfer-Encoding is not defined for HTTP/1.0."),
    HeadFaultRow(.bodyInOldVersion, .invalidRequest, "This HTTP/1.0 method does not carry a body."),
    HeadFaultRow(.badConnection, .invalidRequest, "The Connection header is malformed or names too many fields."),
    HeadFaultRow(.badExpectation, .expectationFailed, "Only the expectation 100-continue is known here."),
    HeadFaultRow(.badStatusLine, .providerError, "The service's status line is malformed."),
    HeadFaultRow(
      .badChunkSize, .invalidRequest, "A chunk size is not a plain hexadecimal number of at most 13 digits."),
    HeadFaultRow(.badChunkExtension, .invalidRequest, "A chunk extension is malformed or too long."),
    HeadFaultRow(.badChunkEnd, .invalidRequest, "A chunk does not end with CRLF."),
    HeadFaultRow(.badTrailer, .invalidRequest, "The trailers are malformed or too long."),
    HeadFaultRow(.upgradeWithBody, .invalidRequest, "An upgrade request must not carry a body."),
    HeadFaultRow(.badMaxForwards, .invalidRequest, "Max-Forwards is not one plain decimal number."),
    HeadFaultRow(
      .notSecure, .misdirectedRequest, "A URL of https is asked for on a connection that is not secure."),
    HeadFaultRow(.plainText, .invalidRequest, "This port speaks TLS; ask it by https."),
  ]
}
