// The client's side of a running exchange: its body is relayed, its answer is flushed, and its leaving is seen.
// Continues Driver.swift.

import Glibc

extension Worker {
  /// Something happened on a client's connection whose exchange runs.
  func serveServer(_ index: Int32) {
    let connection = connections.slots + Int(index)
    let exchange = connection.pointee.exchange
    let slot = exchanges.slots + Int(exchange)
    if connection.pointee.isBroken {
      perform(exchange, slot.pointee.machine.clientLeft())
      return
    }
    if connection.pointee.isWritable, connection.pointee.unsent > 0 {
      guard flushServer(index, exchange) else { return }
    }
    if checkClientLeft(exchange) { return }
    switch slot.pointee.machine.state {
    case .requesting, .duplex:
      if connection.pointee.isReadable, !slot.pointee.stoppedUpload, !slot.pointee.isJudging {
        relayRequest(exchange)
      }
    case .suspended:
      if connection.pointee.isReadable, slot.pointee.collects { collectMore(exchange) }
    case .deciding, .connecting, .awaiting, .responding, .settling, .flushing, .ended: break
    }
  }

  /// Writes what waits for the client; false when that ended the exchange.
  private func flushServer(_ index: Int32, _ exchange: Int32) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    guard flush(index) else {
      perform(exchange, slot.pointee.machine.clientLeft())
      return false
    }
    let connection = connections.slots + Int(index)
    if slot.pointee.machine.state == .flushing, hasMoreAnswer(exchange) {
      armDownload(exchange)
      if connection.pointee.hasRoom { pumpAnswer(exchange) }
      return false
    }
    if connection.pointee.unsent == 0, slot.pointee.machine.state == .flushing {
      perform(exchange, slot.pointee.machine.flushed())
      return false
    }
    armDownload(exchange)
    if connection.pointee.hasRoom { resume(slot.pointee.client) }
    return true
  }

  /// A client that has closed its sending side is gone, unless the route says that it waits; true when that ended the
  /// exchange. The kernel tells of it once: whatever was still unread, nobody is there to get the answer. So it is
  /// asked when the event comes, and when a head has been read for which the event came too early.
  @discardableResult
  func checkClientLeft(_ exchange: Int32) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let server = connections.slots + Int(slot.pointee.server)
    if !server.pointee.peerEnded || slot.pointee.toleratesFin { return false }
    switch slot.pointee.machine.state {
    case .suspended, .connecting, .requesting, .awaiting, .duplex, .responding, .settling:
      perform(exchange, slot.pointee.machine.clientLeft())
      return true
    case .deciding, .flushing, .ended: return false
    }
  }

  /// One read of the request's body goes to the service.
  private func relayRequest(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let (server, client) = (slot.pointee.server, slot.pointee.client)
    if connections.slots[Int(client)].isFull || spliceRequest(exchange) { return }
    var count = 0
    switch read(server) {
    case .bytes(let read): count = read
    case .wouldBlock: return
    case .ended, .failed:
      perform(exchange, slot.pointee.machine.clientLeft())
      return
    }
    let piece = StreamRelay.piece(
      scratch, count, reader: &slot.pointee.request, framing: slot.pointee.requestFraming, classes: parser.classes)
    if let fault = piece.fault {
      replyDetail.message = StaticBytes(fault.row.message)
      perform(exchange, slot.pointee.machine.requestBroken(fault.row.code, .clientError))
      // After a response has begun there is no reply, and the next one is not about this.
      replyDetail = ReplyDetail()
      return
    }
    if !allowBody(exchange, piece.payload) {
      perform(exchange, slot.pointee.machine.requestBroken(.messageTooLarge, .refused))
      return
    }
    keepRest(server, scratch, piece.consumed, count)
    if slot.pointee.held.block != nil { hold(exchange, piece.start, piece.count) }
    guard send(client, piece.start, piece.count) else {
      stopUpload(exchange)
      return
    }
    afterRequestPiece(exchange)
  }

  /// A piece of the request is with the service's connection: is that all, does the client have more?
  func afterRequestPiece(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.request.isEnded {
      perform(exchange, slot.pointee.machine.requestEnded())
      requestWasSent(exchange)
      return
    }
    armUpload(exchange)
    if connections.slots[Int(slot.pointee.server)].isReadable { markReady(slot.pointee.server) }
  }
}
