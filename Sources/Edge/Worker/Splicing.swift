// Large bodies that nobody looks at go from socket to socket through a pipe, without being copied: those whose length
// was said in front of them, with no TLS on either side. A pipe is filled only when it is empty, so that a source
// without bytes and a full pipe cannot be mistaken for each other; what the target does not take stays in the pipe,
// and the source is not read meanwhile. Where there is no pipe, the body is copied like any other.

extension Worker {
  /// Moves a part of a counted body's rest from the source's socket into the target's pipe. nil: it has to be copied.
  func fillPipe(_ target: Int32, from source: Int32, _ reader: inout BodyReader) -> IOResult? {
    let (from, to) = (connections.slots + Int(source), connections.slots + Int(target))
    guard let left = reader.remainingBytes, left >= UInt64(Limits.splicedBytesMin), from.pointee.tls == nil,
      to.pointee.tls == nil
    else { return nil }
    // Nothing may overtake what is in it.
    if to.pointee.pipe.count > 0 { return .wouldBlock }
    guard var pipe = pipes.borrow() else { return nil }
    let result = Syscall.splice(from.pointee.fd, pipe.writeEnd, Int(min(left, UInt64(Limits.pipeBytes))))
    switch result {
    case .bytes(let count):
      reader.pass(count)
      pipe.count = Int32(count)
      to.pointee.pipe = pipe
      return result
    case .wouldBlock: from.pointee.isReadable = false
    case .ended, .failed: break
    }
    pipes.giveBack(&pipe)
    return result
  }

  /// Writes what the connection's pipe holds; false when the connection is broken.
  func drainPipe(_ index: Int32) -> Bool {
    let connection = connections.slots + Int(index)
    while connection.pointee.pipe.count > 0, connection.pointee.output.isEmpty, connection.pointee.isWritable {
      let pipe = connection.pointee.pipe
      switch Syscall.splice(pipe.readEnd, connection.pointee.fd, Int(pipe.count)) {
      case .bytes(let count): connection.pointee.pipe.count -= Int32(count)
      case .wouldBlock: connection.pointee.isWritable = false
      case .ended, .failed: return false
      }
    }
    if connection.pointee.pipe.count == 0 { pipes.giveBack(&connection.pointee.pipe) }
    return true
  }

  /// Part of a response's body goes to the client unseen; false when it has to be copied.
  func spliceResponse(_ exchange: Int32) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    guard slot.pointee.origin == .client, !slot.pointee.judgesChunks,
      let result = fillPipe(slot.pointee.server, from: slot.pointee.client, &slot.pointee.response)
    else { return false }
    switch result {
    case .bytes(let count):
      slot.pointee.record.responseBytes += UInt64(count)
      if drainPipe(slot.pointee.server) {
        afterPiece(exchange)
      } else {
        perform(exchange, slot.pointee.machine.clientLeft())
      }
    case .wouldBlock: break
    case .ended, .failed: perform(exchange, slot.pointee.machine.upstreamFailed())
    }
    return true
  }

  /// Part of a request's body goes to the service unseen; false when it has to be copied. What may have to be sent
  /// again does.
  func spliceRequest(_ exchange: Int32) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let server = slot.pointee.server
    guard slot.pointee.held.block == nil,
      let result = fillPipe(slot.pointee.client, from: server, &slot.pointee.request)
    else { return false }
    switch result {
    case .bytes(let count):
      // Its length was allowed when its head came.
      slot.pointee.bodyAllowance -= UInt64(count)
      slot.pointee.record.requestBytes += UInt64(count)
      guard drainPipe(slot.pointee.client) else {
        stopUpload(exchange)
        return true
      }
      afterRequestPiece(exchange)
    case .wouldBlock: break
    case .ended, .failed: perform(exchange, slot.pointee.machine.clientLeft())
    }
    return true
  }
}
