// One TLS connection over a non-blocking socket, of either side. OpenSSL reads and writes the descriptor itself; a
// worker calls it when the socket is ready and closes the descriptor itself. Nothing here waits or allocates memory of
// its own, but for the text of a reason. SIGPIPE must be ignored: OpenSSL writes without MSG_NOSIGNAL.

import COpenSSL
import Glibc

/// How far a handshake is.
enum TLSHandshake: Equatable {
  case done
  /// To be called again when the socket is readable.
  case wantsRead
  /// To be called again when the socket is writable.
  case wantsWrite
  /// `failureReason` says why, if asked before the next call of any stream on this thread.
  case failed
}

/// A stream, by its pointer: plain bytes for a slot, `TLSStream?` when there may be none. Whoever opened it closes it
/// once.
struct TLSStream: BitwiseCopyable {
  private let stream: OpaquePointer

  /// The one protocol that Edge offers and takes.
  static let protocolName = Array("http/1.1".utf8)

  /// Largest number of bytes that one call of OpenSSL is asked for.
  private static let callBytesMax = 1 << 30

  /// OpenSSL's read buffer holds a record of this much content at least.
  private static let bufferBytes = 16 << 10

  init(_ stream: OpaquePointer) { self.stream = stream }

  // MARK: Handshake

  /// Goes on with the handshake as far as the socket allows. A peer that chose another protocol than HTTP/1.1 has
  /// failed; one that chose none has not.
  func handshake() -> TLSHandshake {
    prepare()
    let result = SSL_do_handshake(stream)
    if result == 1 { return isProtocolRight ? .done : .failed }
    let error = SSL_get_error(stream, result)
    if error == SSL_ERROR_WANT_READ { return .wantsRead }
    if error == SSL_ERROR_WANT_WRITE { return .wantsWrite }
    if error == SSL_ERROR_SYSCALL, errno != 0 { edge_ERR_raise_system(errno) }
    return .failed
  }

  private var isProtocolRight: Bool { chosenProtocol.isEmpty || chosenProtocol.elementsEqual(TLSStream.protocolName) }

  /// What the peer chose; empty for none.
  private var chosenProtocol: UnsafeBufferPointer<UInt8> {
    var bytes: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    SSL_get0_alpn_selected(stream, &bytes, &count)
    return UnsafeBufferPointer(start: bytes, count: Int(count))
  }

  // MARK: Bytes

  /// Reads until `room` is full or nothing more has come, so that fewer bytes than `room` mean what they mean for a
  /// plain socket: the kernel has no more, and an edge-triggered event will tell of the next. The exception, an end
  /// or a fault that has come together with the bytes, shows in `hasPending`.
  ///
  /// `.ended` is the peer's close_notify. A TCP connection that ends without one is `.failed(ECONNRESET)`, for then
  /// nobody knows whether all bytes came: OpenSSL 3.0 reports it as SSL_ERROR_SSL with the reason
  /// SSL_R_UNEXPECTED_EOF_WHILE_READING (1.1.1 did as SSL_ERROR_SYSCALL with errno 0). Records that are damaged or
  /// not TLS are `.failed(EPROTO)`, and so are alerts.
  func read(_ target: BytePointer, _ room: Int) -> IOResult {
    if isMarkedBroken { return .failed(ECONNRESET) }
    var filled = 0
    while filled < room {
      prepare()
      let (isAtRecord, before) = (isAtRecord, receivedBytes)
      let result = SSL_read(stream, target + filled, Int32(min(room - filled, TLSStream.callBytesMax)))
      if result > 0 {
        filled += Int(result)
        if isAtRecord, isDrained(receivedBytes &- before) { break }
        continue
      }
      let error = SSL_get_error(stream, result)
      let isOpen = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE
      if !isOpen, error != SSL_ERROR_ZERO_RETURN { markBroken() }
      if filled > 0 { break }
      if isOpen { return .wouldBlock }
      return error == SSL_ERROR_ZERO_RETURN ? .ended : .failed(failure(error))
    }
    return .bytes(filled)
  }

  /// OpenSSL holds nothing, not even the head of a record: the next read of the socket asks for all that its buffer
  /// has room for.
  @inline(__always)
  private var isAtRecord: Bool { !hasBuffered && SSL_rstate_string(stream)[1] == 0x48 }

  /// Whether the socket has no more, without asking it, when a call that was at a record took so many bytes from it:
  /// the first read was shorter than it asked for, and whatever came since has an event. Within a record OpenSSL asks
  /// for the rest of that only, which says nothing.
  @inline(__always)
  private func isDrained(_ received: UInt64) -> Bool {
    (1..<UInt64(TLSStream.bufferBytes)).contains(received) && !hasBuffered
  }

  /// Writes until all is taken or the socket is full; fewer bytes than `count` mean that it is. Then the next write
  /// must begin with the very bytes that were not taken and offer at least as many of them: OpenSSL has encrypted
  /// some already. They may lie elsewhere.
  func write(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> IOResult {
    if isMarkedBroken { return .failed(EPIPE) }
    var sent = 0
    while sent < count {
      prepare()
      let result = SSL_write(stream, bytes + sent, Int32(min(count - sent, TLSStream.callBytesMax)))
      if result > 0 {
        sent += Int(result)
        continue
      }
      let error = SSL_get_error(stream, result)
      if error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE {
        return sent > 0 ? .bytes(sent) : .wouldBlock
      }
      let failure = failure(error)
      // A socket that takes nothing more may still hold the answer of a peer that has stopped reading.
      if error != SSL_ERROR_SYSCALL { markBroken() }
      return sent > 0 ? .bytes(sent) : .failed(failure)
    }
    return .bytes(sent)
  }

  /// How much the peer has sent so far, records and all.
  var receivedBytes: UInt64 { BIO_number_read(SSL_get_rbio(stream)) }

  /// Bytes have come that no read has returned yet, be it only a part of a record.
  var hasBuffered: Bool { SSL_has_pending(stream) == 1 }

  /// A read would bring something without a further event of the socket: bytes, the end, or a fault.
  var hasPending: Bool { SSL_pending(stream) > 0 || SSL_get_shutdown(stream) != 0 }

  // MARK: End

  /// Frees the stream, which must not be used any more. A peer is told with close_notify, if the handshake is done,
  /// nothing failed, and the socket takes it at once. The descriptor stays open.
  func close() {
    prepare()
    if SSL_is_init_finished(stream) == 1, !isMarkedBroken {
      _ = SSL_shutdown(stream)
      ERR_clear_error()
    }
    SSL_free(stream)
  }

  /// From now on the peer is told nothing, for this is no end but a cut: `close` sends no close_notify.
  func breakOff() { markBroken() }

  /// Why the last call failed, for the log; to be asked before the next call of any stream on this thread.
  func failureReason() -> String {
    if SSL_is_init_finished(stream) == 1, !isProtocolRight {
      return "the server chose the protocol '\(TLSReason.printable(chosenProtocol))' instead of http/1.1"
    }
    let verified = SSL_get_verify_result(stream)
    if verified != Int(X509_V_OK), let text = X509_verify_cert_error_string(verified) {
      return "certificate verify failed: \(String(cString: text))"
    }
    return TLSReason.text(ERR_peek_error(), isServer: SSL_is_server(stream) == 1)
      ?? "connection closed during the handshake"
  }

  // MARK: Inside

  /// OpenSSL reads errors of earlier calls from the thread's queue and from errno.
  @inline(__always)
  private func prepare() {
    ERR_clear_error()
    errno = 0
  }

  /// The error number for a failed read or write.
  private func failure(_ error: Int32) -> Int32 {
    let system = errno
    if error == SSL_ERROR_SYSCALL { return system != 0 ? system : ECONNRESET }
    return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? ECONNRESET : EPROTO
  }

  /// After a failure OpenSSL must not be asked again. That it "sent" its end is a mark of its own which nothing else
  /// sets before `close`.
  private var isMarkedBroken: Bool { SSL_get_shutdown(stream) & SSL_SENT_SHUTDOWN != 0 }

  private func markBroken() { SSL_set_shutdown(stream, SSL_get_shutdown(stream) | SSL_SENT_SHUTDOWN) }
}

/// OpenSSL's errors in words that an operator can use.
enum TLSReason {
  /// The reason of an error of the queue, without the names of functions and files; nil for no error. `isServer`: it
  /// is the other side of a listener's connection that has done wrong.
  static func text(_ error: UInt, isServer: Bool = false) -> String? {
    if error == 0 { return nil }
    let reason = ERR_GET_REASON(error)
    if edge_ERR_is_system(error) != 0 { return Syscall.describe(reason) }
    if ERR_GET_LIB(error) == ERR_LIB_SSL {
      switch reason {
      case SSL_R_UNEXPECTED_EOF_WHILE_READING: return "connection closed during the handshake"
      // The first bytes are no TLS record.
      case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST:
        return isServer ? "the client does not speak TLS" : "the server does not speak TLS"
      default: break
      }
    }
    return ERR_reason_error_string(error).map { String(cString: $0) } ?? "error \(reason)"
  }

  /// What a peer sent, safe for a line of the log.
  static func printable(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
    String(decoding: bytes.map { (0x20...0x7E).contains($0) ? $0 : 0x3F }, as: UTF8.self)
  }
}
