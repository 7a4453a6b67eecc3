// TLS towards clients: between accepting at a listener with a certificate and the first request. A connection that says
// nothing costs its slot only; OpenSSL gets it with its first byte. Whatever goes wrong here is the client's affair or
// the network's: it is counted, and told now and then.

import Glibc

extension Worker {
  /// Something happened on a connection that has not agreed on TLS yet.
  func serveHandshake(_ index: Int32) {
    let connection = connections.slots + Int(index)
    if connection.pointee.tls == nil, !beginHandshake(index) { return }
    guard let tls = connection.pointee.tls else { return }
    switch tls.handshake() {
    case .done: finishHandshake(index)
    case .wantsRead: connection.pointee.isReadable = false
    case .wantsWrite: connection.pointee.isWritable = false
    case .failed:
      clientHandshakeFailed(index, .failed) { tls.failureReason() }
    }
  }

  /// Looks at the first byte; false when there is none, or it is that of something else.
  private func beginHandshake(_ index: Int32) -> Bool {
    let connection = connections.slots + Int(index)
    // That a new connection can be written to is the first that the kernel tells of it.
    if !connection.pointee.isReadable { return false }
    var first: UInt8 = 0
    switch Syscall.peek(connection.pointee.fd, &first) {
    case .bytes: break
    case .wouldBlock:
      connection.pointee.isReadable = false
      if connection.pointee.isBroken { closeConnection(index) }
      return false
    case .ended, .failed:
      // Whoever only looks whether the port is open.
      closeConnection(index)
      return false
    }
    // A method; no record of TLS begins with a letter.
    if (0x41...0x5a).contains(first) {
      refusePlainText(index)
      return false
    }
    let listener = connection.pointee.listener
    let certificate = listener == ListenerBoard.none ? -1 : rows.listeners[Int(listener)].certificate
    // A reload may have taken TLS from the listener, or the listener itself.
    guard certificate >= 0,
      let tls = rows.serverContext(certificate, worker: self.index).open(fd: connection.pointee.fd)
    else {
      closeConnection(index)
      return false
    }
    connection.pointee.tls = tls
    return true
  }

  /// The connection is like any other from now on, with the time of a new one for its first request.
  private func finishHandshake(_ index: Int32) {
    let connection = connections.slots + Int(index)
    metrics.noteHandshake(.done, worker: self.index)
    connection.pointee.role = .serverIdle
    // What came together with the handshake's end has no event of its own.
    connection.pointee.isReadable = true
    let wait = isLeaving(index) ? UInt64(Limits.firstRequestMilliseconds) : rows.headMilliseconds
    wheel.arm(index, clock.milliseconds + wait)
    serve(index)
  }

  /// A request without TLS: its client is told in its own language.
  private func refusePlainText(_ index: Int32) {
    metrics.noteHandshake(.plain, worker: self.index)
    let exchange = startWithoutHead(index)
    if exchange >= 0 { refuse(exchange, .plainText) }
  }

  /// The deadline of a handshake has passed.
  func clientHandshakeTimedOut(_ index: Int32) {
    clientHandshakeFailed(index, .timeout) { "it took longer than timeouts.handshake" }
  }

  /// The log is told of one in ten seconds, and how many there were besides: whoever is on the internet can make them.
  private func clientHandshakeFailed(_ index: Int32, _ result: HandshakeResult, reason: () -> String) {
    metrics.noteHandshake(result, worker: self.index)
    if clock.milliseconds < handshakeReportAgain {
      untoldHandshakes += 1
      closeConnection(index)
      return
    }
    let connection = connections.slots[Int(index)]
    let isNamed = connection.listener != ListenerBoard.none
    var client = ByteWriter(base: addressText, capacity: Limits.addressTextBytes)
    client.append(host: connection.address)
    shared.log.line(
      .info, "tls_handshake_failed",
      [
        ("listener", isNamed ? .bytes(rows.listeners[Int(connection.listener)].name) : .text("")),
        ("client", .bytes(StaticBytes(start: UnsafePointer(addressText), count: client.count))),
        ("reason", .text(reason())), ("others", .number(untoldHandshakes)),
      ])
    handshakeReportAgain = clock.milliseconds + Limits.handshakeReportMilliseconds
    untoldHandshakes = 0
    closeConnection(index)
  }
}
