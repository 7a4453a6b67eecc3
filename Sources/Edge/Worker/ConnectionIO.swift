// What the driver does with single connections: sending with a buffer for what the peer does not take, pausing and
// resuming, keeping what belongs to the next request, closing in order, deadlines.

import CLinux
import Glibc

extension Worker {
  // MARK: Writing

  /// Sends at once what the socket takes and keeps the rest; false when the connection is broken.
  @inline(__always)
  func send(_ index: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    if count == 0 { return true }
    let connection = connections.slots + Int(index)
    var sent = 0
    if connection.pointee.output.isEmpty, connection.pointee.isWritable {
      switch write(index, bytes, count) {
      case .bytes(let written):
        if written == count { return true }
        sent = written
        connection.pointee.isWritable = false
      case .wouldBlock: connection.pointee.isWritable = false
      case .ended, .failed: return false
      }
    }
    return buffers.append(&connection.pointee.output, bytes + sent, count - sent)
  }

  @inline(__always)
  private func write(_ index: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> IOResult {
    let connection = connections.slots + Int(index)
    if let tls = connection.pointee.tls { return tls.write(bytes, count) }
    return Syscall.write(connection.pointee.fd, bytes, count)
  }

  /// Writes what waits; false when the connection is broken.
  func flush(_ index: Int32) -> Bool {
    let connection = connections.slots + Int(index)
    guard let block = connection.pointee.output.block else { return drainPipe(index) }
    let start = Int(connection.pointee.output.start)
    let count = connection.pointee.output.count
    switch write(index, block + start, count) {
    case .bytes(let written):
      connection.pointee.output.start += Int32(written)
      if written < count {
        connection.pointee.isWritable = false
      } else {
        buffers.giveBack(&connection.pointee.output)
      }
      return drainPipe(index)
    case .wouldBlock:
      connection.pointee.isWritable = false
      return true
    case .ended, .failed: return false
    }
  }

  /// The client has taken enough: the service is read again.
  func resume(_ client: Int32) {
    if client < 0 { return }
    let connection = connections.slots + Int(client)
    // While a policy judges what came last, nothing more is read.
    if !connection.pointee.isPaused || exchanges.slots[Int(connection.pointee.exchange)].isJudging { return }
    connection.pointee.isPaused = false
    let service = rows(of: connection.pointee.exchange).services.services[
      Int(exchanges.slots[Int(connection.pointee.exchange)].service)]
    wheel.arm(client, clock.milliseconds + service.idleMilliseconds)
    // Its readiness may be older than the pause.
    connection.pointee.isReadable = true
    markReady(client)
  }

  /// The service has taken enough of the request: the client is read again.
  func resumeUpload(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.content.base != nil {
      pumpContent(exchange)
      return
    }
    if slot.pointee.request.isEnded || slot.pointee.stoppedUpload { return }
    armUpload(exchange)
    if connections.slots[Int(slot.pointee.server)].isReadable { markReady(slot.pointee.server) }
  }

  /// The service's connection takes nothing more. What it already answered still counts: it may have refused the rest
  /// of the request.
  func stopUpload(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let connection = connections.slots + Int(slot.pointee.client)
    slot.pointee.stoppedUpload = true
    buffers.giveBack(&connection.pointee.output)
    pipes.giveBack(&connection.pointee.pipe)
    if slot.pointee.origin == .client, connections.slots[Int(slot.pointee.server)].unsent == 0 {
      wheel.arm(slot.pointee.server, TimerWheel.never)
    }
    if slot.pointee.machine.state == .requesting { armHead(exchange) }
    connection.pointee.isReadable = true
    markReady(slot.pointee.client)
  }

  // MARK: Reading

  /// Reads into the scratch area, and notes whether there may be more: a read that leaves room has taken everything,
  /// but for the end of the connection, which only another read shows. `kept` bytes stand in the area already.
  @inline(__always)
  func read(_ index: Int32, behind kept: Int = 0) -> IOResult { read(index, scratch + kept, Limits.readBytes) }

  /// The same into any place.
  @inline(__always)
  func read(_ index: Int32, _ target: BytePointer, _ room: Int) -> IOResult {
    let connection = connections.slots + Int(index)
    if let tls = connection.pointee.tls { return readSecure(index, tls, target, room) }
    let result = Syscall.read(connection.pointee.fd, target, room)
    switch result {
    case .bytes(let count):
      if count < room, !connection.pointee.peerEnded { connection.pointee.isReadable = false }
    case .wouldBlock: connection.pointee.isReadable = false
    case .ended, .failed: break
    }
    return result
  }

  private func readSecure(_ index: Int32, _ tls: TLSStream, _ target: BytePointer, _ room: Int) -> IOResult {
    let connection = connections.slots + Int(index)
    let result = tls.read(target, room)
    switch result {
    case .bytes(let count):
      if count < room, !connection.pointee.peerEnded, !tls.hasPending {
        connection.pointee.isReadable = false
      }
    case .wouldBlock: connection.pointee.isReadable = false
    case .ended, .failed: break
    }
    return result
  }

  /// Whether an idle connection to a service can still be used: the service did not close it and said nothing that
  /// nobody asked for. Inside TLS it may say what is between it and Edge, such as a new session ticket; behind a body
  /// that was not read to the socket's last byte there may be nothing.
  func isUsable(_ index: Int32) -> Bool {
    let connection = connections.slots + Int(index)
    if connection.pointee.peerEnded { return false }
    if !connection.pointee.isReadable { return true }
    guard case .wouldBlock = read(index) else { return false }
    return true
  }

  /// Keeps `bytes[used..<count]` for the connection's next request. `bytes` is the scratch area or the input itself.
  func keepRest(_ index: Int32, _ bytes: BytePointer, _ used: Int, _ count: Int) {
    let connection = connections.slots + Int(index)
    if connection.pointee.input.block == nil {
      if used < count, !buffers.append(&connection.pointee.input, bytes + used, count - used) { dropInput(index) }
      return
    }
    connection.pointee.input.start += Int32(used)
    if connection.pointee.input.isEmpty { buffers.giveBack(&connection.pointee.input) }
  }

  /// Forgets what came: after a framing fault nothing that follows can be trusted to be a request.
  func dropInput(_ index: Int32) {
    let connection = connections.slots + Int(index)
    buffers.giveBack(&connection.pointee.input)
  }

  /// Keeps a partial head of a response. `bytes` is the scratch area or inside the input.
  func stash(_ index: Int32, _ bytes: BytePointer, _ count: Int) -> Bool {
    let connection = connections.slots + Int(index)
    if connection.pointee.input.block == nil { return buffers.append(&connection.pointee.input, bytes, count) }
    connection.pointee.input.start = connection.pointee.input.end - Int32(count)
    return true
  }

  // MARK: Closing

  /// Ends the sending side and reads on for a while: a connection closed with unread bytes is reset by the kernel,
  /// and the reset may overtake the answer (RFC 9112 section 9.6). Within TLS the end is said there first; what still
  /// comes is dropped without being decrypted.
  func startLinger(_ index: Int32) {
    let connection = connections.slots + Int(index)
    dropInput(index)
    connection.pointee.tls?.close()
    connection.pointee.tls = nil
    connection.pointee.role = connection.pointee.role.isServer ? .serverLingering : .clientLingering
    connection.pointee.lingered = 0
    _ = shutdown(connection.pointee.fd, Int32(SHUT_WR))
    wheel.arm(index, clock.milliseconds + UInt64(Limits.lingerMilliseconds))
    linger(index)
  }

  /// Drops what still comes until the client closes, sends too much or takes too long.
  func linger(_ index: Int32) {
    let connection = connections.slots + Int(index)
    while Int(connection.pointee.lingered) < Limits.lingerBytes {
      switch Syscall.read(connection.pointee.fd, scratch, Limits.readBytes) {
      case .bytes(let count): connection.pointee.lingered += Int32(count)
      case .wouldBlock:
        connection.pointee.isReadable = false
        return
      case .ended, .failed:
        closeConnection(index)
        return
      }
    }
    closeConnection(index)
  }

  // MARK: Deadlines

  /// The request is whole with the service: it has to answer in time.
  func armHead(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    // It has answered.
    if slot.pointee.isJudging { return }
    let service = rows(of: exchange).services.services[Int(slot.pointee.service)]
    wheel.arm(slot.pointee.client, clock.milliseconds + (answerMilliseconds(exchange) ?? service.headMilliseconds))
  }

  /// The request's body is on its way: whoever is waited for has a deadline.
  func armUpload(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.isJudging { return }
    let isServiceSlow = connections.slots[Int(slot.pointee.client)].unsent > 0
    if slot.pointee.machine.state == .requesting {
      let service = rows(of: exchange).services.services[Int(slot.pointee.service)]
      wheel.arm(
        slot.pointee.client, isServiceSlow ? clock.milliseconds + service.headMilliseconds : TimerWheel.never)
    }
    if connections.slots[Int(slot.pointee.server)].unsent == 0 {
      wheel.arm(
        slot.pointee.server, isServiceSlow ? TimerWheel.never : clock.milliseconds + rows(of: exchange).bodyMilliseconds
      )
    }
  }

  /// The last byte of the request was handed over.
  func requestWasSent(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if connections.slots[Int(slot.pointee.server)].unsent == 0 { wheel.arm(slot.pointee.server, TimerWheel.never) }
    if slot.pointee.machine.state == .awaiting { armHead(exchange) }
  }

  /// The response is on its way: a client that does not take it has a deadline.
  func armDownload(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    switch slot.pointee.origin {
    case .client: break
    case .message:
      if slot.pointee.machine.state == .settling {
        wheel.arm(slot.pointee.server, max(work(of: exchange).pointee.settleDeadline, clock.milliseconds + 1))
      }
      return
    case .child, .background: return
    }
    let waits = connections.slots[Int(slot.pointee.server)].unsent > 0
    if slot.pointee.machine.state == .settling, !waits {
      wheel.arm(slot.pointee.server, max(work(of: exchange).pointee.settleDeadline, clock.milliseconds + 1))
    } else if waits {
      wheel.arm(slot.pointee.server, clock.milliseconds + rows(of: exchange).sendMilliseconds)
    } else if slot.pointee.request.isEnded || slot.pointee.stoppedUpload || slot.pointee.isJudging {
      wheel.arm(slot.pointee.server, TimerWheel.never)
    } else {
      armUpload(exchange)
    }
  }

  /// A deadline has passed.
  func timerExpired(_ index: Int32) {
    let connection = connections.slots + Int(index)
    let exchange = connection.pointee.exchange
    switch connection.pointee.role {
    case .serverIdle, .serverLingering, .clientIdle, .clientLingering: closeConnection(index)
    case .serverHandshaking: clientHandshakeTimedOut(index)
    case .serverHead: headTimedOut(index)
    case .serverExchange, .messageDeadline: serverTimedOut(index, exchange)
    case .serverSession: sessionTimerExpired(index)
    case .serverPair, .clientPair: pairTimerExpired(index)
    case .clientConnecting: connectFailed(exchange)
    case .clientHandshaking: handshakeFailed(index, reason: "it took longer than timeouts.connect")
    case .clientExchange:
      let slot = exchanges.slots + Int(exchange)
      if slot.pointee.isMetered, work(of: exchange).pointee.stream.sawEnd {
        // It has said that it is over; that the connection does not say so too is its own affair.
        slot.pointee.keepsClient = false
        meteredEnded(exchange)
        return
      }
      let hasBegun = slot.pointee.machine.state == .duplex || slot.pointee.machine.state == .responding
      if slot.pointee.isMetered, !hasBegun {
        attemptFailed(exchange, .timeout, .upstreamTimeout, "it did not answer in time")
        return
      }
      if slot.pointee.origin == .message {
        breakOff(exchange, .timeout, .upstreamTimeout)
        return
      }
      perform(exchange, slot.pointee.machine.timedOut(hasBegun ? .idle : .head))
    case .fetchDeadline: perform(exchange, exchanges.slots[Int(exchange)].machine.stopped(.upstreamTimeout))
    case .free: break
    }
  }

  /// The client, or somebody that its answer waits for, takes too long.
  private func serverTimedOut(_ index: Int32, _ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let isStuck = connections.slots[Int(index)].unsent > 0
    if slot.pointee.machine.state == .settling, !isStuck {
      settlementFailed(exchange)
    } else if slot.pointee.awaitsRoom, slot.pointee.machine.state == .suspended {
      retryRoom(exchange)
    } else {
      if slot.pointee.collects { dropInput(index) }
      perform(exchange, slot.pointee.machine.timedOut(isStuck ? .send : .body))
    }
  }

  /// Part of a head came and the rest did not: the client is told, and the connection ends.
  private func headTimedOut(_ index: Int32) {
    let exchange = startWithoutHead(index)
    if exchange >= 0 { refuse(exchange, .requestTimeout, .clientTimeout) }
  }

  /// An exchange whose head was not read, to be refused, and the connection's last one; -1, and the connection is
  /// closed, when there is no slot for it.
  func startWithoutHead(_ index: Int32) -> Int32 {
    let exchange = exchanges.take()
    guard exchange >= 0 else {
      closeConnection(index)
      return -1
    }
    connections.slots[Int(index)].role = .serverExchange
    connections.slots[Int(index)].exchange = exchange
    dropInput(index)
    wheel.arm(index, TimerWheel.never)
    prepare(exchange, index, RequestHead())
    counters.add(1, to: .runningExchanges, worker: self.index)
    exchanges.slots[Int(exchange)].keepsServer = false
    return exchange
  }
}
