import CLinux
import Foundation
import Testing

@testable import Edge

struct SyscallTests {
  private func pair() throws -> (Int32, Int32) {
    var ends: [Int32] = [0, 0]
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    try #require(socketpair(AF_UNIX, type, 0, &ends) == 0)
    return (ends[0], ends[1])
  }

  @Test func readsAndWrites() throws {
    let (left, right) = try pair()
    defer { close(left) }
    let area = ByteArea([UInt8](repeating: 0, count: 16))
    guard case .wouldBlock = Syscall.read(left, area.base, 16) else { Issue.record("nothing was sent yet"); return }
    let sent = ByteArea(raw("hello"))
    guard case .bytes(5) = Syscall.write(right, sent.base, 5) else { Issue.record("not sent"); return }
    guard case .bytes(5) = Syscall.read(left, area.base, 16) else { Issue.record("not read"); return }
    #expect(area.slice(0..<5) == raw("hello"))
    close(right)
    guard case .ended = Syscall.read(left, area.base, 16) else { Issue.record("not ended"); return }
    guard case .failed(EPIPE) = Syscall.write(left, sent.base, 5) else { Issue.record("no EPIPE"); return }
  }

  @Test func aFullSocketWouldBlock() throws {
    let (left, right) = try pair()
    defer {
      close(left)
      close(right)
    }
    let area = ByteArea([UInt8](repeating: 1, count: 65_536))
    for _ in 0..<1_000 {
      if case .wouldBlock = Syscall.write(left, area.base, area.count) { return }
    }
    Issue.record("64 MB were taken")
  }

  @Test func bytesGoThroughAPipeUncopied() throws {
    let (from, source) = try pair()
    let (target, to) = try pair()
    defer { for fd in [from, target, to] { close(fd) } }
    var pool = PipePool(capacity: 1)
    guard var pipe = pool.borrow() else { Issue.record("no pipe"); return }
    guard case .wouldBlock = Syscall.splice(from, pipe.writeEnd, 16) else { Issue.record("nothing was sent"); return }
    let sent = ByteArea(raw("hello"))
    guard case .bytes(5) = Syscall.write(source, sent.base, 5) else { Issue.record("not sent"); return }
    guard case .bytes(4) = Syscall.splice(from, pipe.writeEnd, 4) else { Issue.record("not four of them"); return }
    guard case .bytes(4) = Syscall.splice(pipe.readEnd, to, 16) else { Issue.record("not written"); return }
    guard case .wouldBlock = Syscall.splice(pipe.readEnd, to, 16) else { Issue.record("not empty"); return }
    let area = ByteArea([UInt8](repeating: 0, count: 16))
    guard case .bytes(4) = Syscall.read(target, area.base, 16) else { Issue.record("not read"); return }
    #expect(area.slice(0..<4) == raw("hell"))
    close(source)
    guard case .bytes(1) = Syscall.splice(from, pipe.writeEnd, 16) else { Issue.record("not the rest"); return }
    guard case .ended = Syscall.splice(from, pipe.writeEnd, 16) else { Issue.record("not ended"); return }
    guard case .failed(EBADF) = Syscall.splice(-1, pipe.writeEnd, 16) else { Issue.record("no EBADF"); return }
    pipe.count = 1
    pool.giveBack(&pipe)
  }

  @Test func errorsHaveTexts() {
    #expect(Syscall.describe(ECONNREFUSED) == "Connection refused")
    let area = ByteArea([0])
    guard case .failed(EBADF) = Syscall.read(-1, area.base, 1) else { Issue.record("no EBADF"); return }
    #expect(Syscall.socketError(-1) == EBADF)
  }

  @Test func eventsCarryTheirTags() throws {
    let poller = try #require(Poller())
    defer { poller.close() }
    let (left, right) = try pair()
    defer { close(left) }
    let tag = Handle(index: 7, serial: 0xffff_fffe).bits
    #expect(poller.addConnection(left, tag: tag))
    #expect(!poller.addConnection(-1, tag: tag))
    try #require(poller.wait(1_000) == 1)
    #expect(poller[0].tag == tag)
    #expect(poller[0].isWritable && !poller[0].isReadable && !poller[0].peerEnded)
    #expect(poller.wait(0) == 0, "edge-triggered: nothing is new")
    close(right)
    try #require(poller.wait(1_000) == 1)
    #expect(poller[0].isReadable && poller[0].peerEnded)
    poller.remove(left)
    #expect(poller.wait(0) == 0)
  }
}
