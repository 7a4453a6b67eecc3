// A connection that is on its way from one worker to another while the listener that it came by changes sides.

import CLinux
import Foundation
import Glibc
import Testing

@testable import Edge

struct HandOverTests {
  private static func text(_ listeners: String) -> String {
    """
    version: 1
    auth: {secret: "0123456789012345678901234567890123456789"}
    log: {access: false}
    listeners: {main: {bind: "127.0.0.1:0"}, watch: {bind: "127.0.0.2:0", only_named: true}}
    policies: {own: {script: own.lua}}
    routes:
      ready: {path: /ready, builtin: ready, listeners: watch}
      own: {path: /own, builtin: health, policies: own, listeners: \(listeners)}

    """
  }

  private static func load(_ folder: Fixture.Folder, _ listeners: String) throws -> (Snapshot, SectionFields) {
    try folder.write("routes.yaml", text(listeners))
    let outcome = folder.load()
    return (try #require(outcome.snapshot, "\(folder.rendered(outcome))"), try #require(outcome.resolved))
  }

  /// The control worker has no policies: what reaches it late, by a listener that has them now, is served as it would
  /// have been before, and then ends.
  @Test func aListenerThatHasGoneBack() throws {
    let folder = try Fixture.Folder()
    try folder.write("policies/own.lua", "return {on_request = function() edge.reply{status = 204} end}")
    let resolver = Resolver(deliver: { _, _ in }, report: { _, _ in })
    defer { resolver.end() }
    let addresses = AddressBook(workers: 2)
    let log = try #require(Log(workers: 2, level: .error, descriptor: 2))
    let builder = GenerationBuilder(
      workers: 2, addresses: addresses, resolver: resolver, keyValues: try #require(KeyValueStore()),
      ledger: try memoryLedger(), metrics: try #require(Metrics(workers: 3)), log: log)
    let (before, beforeTree) = try HandOverTests.load(folder, "main")
    let first = try builder.build(before, resolved: beforeTree, number: 1, place: 0)
    _ = builder.published(first)
    let (after, afterTree) = try HandOverTests.load(folder, "[main, watch]")
    let second = try builder.build(after, resolved: afterTree, number: 2, place: 1)
    _ = builder.published(second)
    let watch = try #require(first.plan.listeners.last)
    #expect(watch.serves == .builtins && second.plan.listeners.last?.serves == .routes)
    let shared = WorkerShared(
      generations: GenerationBoard(workers: 2, first: first.rows), addresses: addresses,
      builtins: AdminTable.builtins, counters: Counters(workers: 2), metrics: try #require(Metrics(workers: 2)),
      log: log, ledger: try memoryLedger(), bodies: BodyBudget(bytes: 1 << 20),
      inboxes: [try #require(Inbox()), try #require(Inbox())], control: try #require(Wake()),
      connectionsPerWorker: 256)
    var pair: [Int32] = [-1, -1]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &pair) == 0)
    defer { close(pair[0]) }
    let request = raw("GET /own HTTP/1.1\r\nhost: a\r\n\r\n")
    #expect(write(pair[0], request, request.count) == request.count)
    shared.generations.beginHandOff(first.place)
    shared.generations.publish(second.rows)
    let message = InboxMessage.adopt(
      fd: pair[1], listener: watch.place, generation: UnsafeRawPointer(first.rows), address: SocketAddress())
    #expect(shared.controlInbox.post(message))
    // The worker leaves this thread for good.
    nonisolated(unsafe) let worker = try #require(Worker(index: 1, shared: shared))
    let thread = try RunningThread.start { worker.run() }
    var wait = pollfd(fd: pair[0], events: Int16(POLLIN), revents: 0)
    #expect(poll(&wait, 1, 10_000) == 1)
    var answer = [UInt8](repeating: 0, count: 1_024)
    let count = read(pair[0], &answer, answer.count)
    #expect(String(decoding: answer[..<max(0, count)], as: UTF8.self).hasPrefix("HTTP/1.1 404 "))
    #expect(shared.controlInbox.post(.stop))
    thread.join()
    for listener in second.plan.listeners { close(listener.socket.fd) }
  }
}
