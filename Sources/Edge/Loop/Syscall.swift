// System calls of the data plane with errors as values. Would-block is an ordinary answer, not an error; EINTR is
// retried here and nowhere else.

import CLinux
import Glibc

/// What reading or writing brought.
enum IOResult: BitwiseCopyable {
  case bytes(Int)
  case wouldBlock
  /// Reading: the peer sent all it will send.
  case ended
  case failed(Int32)
}

/// Thin wrappers. Those of the C library are asked for errno directly after the call.
enum Syscall {
  @inline(__always)
  static func read(_ fd: Int32, _ target: BytePointer, _ room: Int) -> IOResult {
    while true {
      let count = edge_recv(fd, target, room)
      if count > 0 { return .bytes(count) }
      if count == 0 { return .ended }
      let error = Int32(truncatingIfNeeded: -count)
      if error == EAGAIN { return .wouldBlock }
      if error != EINTR { return .failed(error) }
    }
  }

  /// The first byte that would be read; it stays where it is.
  static func peek(_ fd: Int32, _ byte: inout UInt8) -> IOResult {
    while true {
      let count = recv(fd, &byte, 1, Int32(MSG_PEEK))
      if count > 0 { return .bytes(count) }
      if count == 0 { return .ended }
      let error = errno
      if error == EAGAIN { return .wouldBlock }
      if error != EINTR { return .failed(error) }
    }
  }

  @inline(__always)
  static func write(_ fd: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> IOResult {
    while true {
      let sent = edge_send(fd, bytes, count)
      if sent >= 0 { return .bytes(sent) }
      let error = Int32(truncatingIfNeeded: -sent)
      if error == EAGAIN { return .wouldBlock }
      if error != EINTR { return .failed(error) }
    }
  }

  /// Moves bytes between a socket and a pipe, without copying them.
  @inline(__always)
  static func splice(_ source: Int32, _ target: Int32, _ count: Int) -> IOResult {
    while true {
      let moved = edge_splice(source, target, count)
      if moved > 0 { return .bytes(moved) }
      if moved == 0 { return .ended }
      let error = Int32(truncatingIfNeeded: -moved)
      if error == EAGAIN { return .wouldBlock }
      if error != EINTR { return .failed(error) }
    }
  }

  /// The pending error of a socket, 0 when there is none.
  static func socketError(_ fd: Int32) -> Int32 {
    var error: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    if getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 { return errno }
    return error
  }

  static func setOption(_ fd: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
    var copy = value
    _ = setsockopt(fd, level, name, &copy, socklen_t(MemoryLayout<Int32>.size))
  }

  /// Small writes leave at once: an event of a stream must not wait for the next one.
  static func setNoDelay(_ fd: Int32) { setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }

  /// Closing will reset the connection instead of ending it in order, so that a cut cannot be read as an end.
  static func setResetOnClose(_ fd: Int32) {
    var option = linger(l_onoff: 1, l_linger: 0)
    _ = setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
  }

  /// The message for an error number, for logs.
  static func describe(_ error: Int32) -> String {
    guard let text = strerror(error) else { return "error \(error)" }
    return String(cString: text)
  }
}
