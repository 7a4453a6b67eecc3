// Pipes for large bodies that nobody looks at: the kernel moves their bytes from one socket into a pipe and from there
// into the other, without copying them. A connection borrows a pipe while there are bytes in it for its peer, and
// gives it back when there are none, as with the buffers of Base.

import CLinux
import Glibc

/// A pipe and what it holds. `none`: no pipe.
struct Pipe: BitwiseCopyable {
  /// Where bytes come out and go in; -1: there is none.
  var readEnd: Int32
  var writeEnd: Int32
  /// Bytes in it.
  var count: Int32

  static let none = Pipe(readEnd: -1, writeEnd: -1, count: 0)
}

/// The pipes of one worker. Not shared between threads.
struct PipePool {
  /// The most pipes at a time, so that large bodies leave descriptors to connections.
  private let capacity: Int32
  private var open: Int32 = 0
  private var free: InlineArray<32, Pipe> = .init(repeating: .none)
  private(set) var kept = 0

  init(capacity: Int) { self.capacity = Int32(clamping: capacity) }

  /// An empty pipe; nil when there may be no more of them, or the system has none.
  mutating func borrow() -> Pipe? {
    if kept > 0 {
      kept -= 1
      return free[kept]
    }
    guard open < capacity else { return nil }
    var ends: (Int32, Int32) = (-1, -1)
    let flags = Int32(O_CLOEXEC) | Int32(O_NONBLOCK)
    let result = withUnsafeMutableBytes(of: &ends) { pipe2($0.assumingMemoryBound(to: Int32.self).baseAddress, flags) }
    guard result == 0 else { return nil }
    open += 1
    let pipe = Pipe(readEnd: ends.0, writeEnd: ends.1, count: 0)
    // The system lets a user have only so much of wide pipes, and then of any.
    if edge_widen_pipe(pipe.writeEnd, Int32(Limits.pipeBytes)) < 0,
      edge_pipe_size(pipe.writeEnd) < Int32(Limits.pipeBytesMin)
    {
      close(pipe)
      return nil
    }
    return pipe
  }

  /// Takes the pipe back. One that still holds bytes is of no use to anybody else.
  mutating func giveBack(_ pipe: inout Pipe) {
    if pipe.readEnd < 0 { return }
    if pipe.count == 0, kept < free.count {
      free[kept] = pipe
      kept += 1
    } else {
      close(pipe)
    }
    pipe = .none
  }

  /// Closes what is kept.
  mutating func removeAll() {
    for place in 0..<kept { close(free[place]) }
    kept = 0
  }

  private mutating func close(_ pipe: Pipe) {
    _ = Glibc.close(pipe.readEnd)
    _ = Glibc.close(pipe.writeEnd)
    open -= 1
  }
}
