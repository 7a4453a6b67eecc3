// TLS towards services: between the TCP connection and the request. A handshake that fails is a connection that failed:
// nothing of the request has left.

import Glibc

extension Worker {
  /// TCP is connected.
  func startHandshake(_ index: Int32) {
    let connection = connections.slots + Int(index)
    let rows = rows(of: connection.pointee.exchange)
    let endpoint = rows.services.endpoints[Int(exchanges.slots[Int(connection.pointee.exchange)].endpoint)]
    connection.pointee.role = .clientHandshaking
    guard endpoint.trust >= 0,
      let tls = rows.tlsContext(trust: endpoint.trust, worker: self.index).open(
        fd: connection.pointee.fd, name: endpoint.peerName, isAddress: endpoint.isPeerAddress)
    else {
      handshakeFailed(index, reason: "no memory for a TLS connection")
      return
    }
    connection.pointee.tls = tls
    shakeHands(index)
  }

  /// The socket is ready for more.
  func shakeHands(_ index: Int32) {
    let connection = connections.slots + Int(index)
    guard let tls = connection.pointee.tls else { return }
    switch tls.handshake() {
    case .done:
      // What came together with the handshake's end has no event of its own.
      connection.pointee.isReadable = true
      if tls.hasBuffered { markReady(index) }
      useConnection(index)
    case .wantsRead: connection.pointee.isReadable = false
    case .wantsWrite: connection.pointee.isWritable = false
    case .failed: handshakeFailed(index, reason: tls.failureReason())
    }
  }

  /// The log says why, at most every ten seconds for each endpoint and reason.
  func handshakeFailed(_ index: Int32, reason: String) {
    let connection = connections.slots[Int(index)]
    let slot = exchanges.slots + Int(connection.exchange)
    if endpoints.mayReport(connection.endpoint, reason: ContentHash.of(Array(reason.utf8)), now: clock.milliseconds) {
      shared.log.line(
        .warn, "upstream_tls_failed",
        [
          ("service", .bytes(slot.pointee.record.service)),
          ("endpoint", .bytes(slot.pointee.record.endpoint)), ("reason", .text(reason)),
        ])
    }
    connectFailed(connection.exchange)
  }
}
