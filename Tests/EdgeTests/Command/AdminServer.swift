// A server for one test on a Unix socket: it takes connections one after the other, and does on each what a script
// says, step by step. Reads have no clock of their own; a connection that the client leaves ends them.

import CLinux
import Foundation
import Testing

@testable import Edge

/// What it does with a connection.
enum AdminStep: Sendable {
  /// Reads a request up to its empty line.
  case read
  case send(String)
  /// The same, one byte at a time.
  case trickle(String)
  /// Waits until the client has gone.
  case hold
}

/// A server, its folder, and what it was asked.
final class AdminServer: @unchecked Sendable {  // what is shared stands under the lock
  let path: String
  private let folder: Fixture.Folder
  private let descriptor: Int32
  private let lock = NSLock()
  private var heard: [String] = []
  private var served = 0
  private let done = DispatchSemaphore(value: 0)

  /// The first lines of the requests.
  var requests: [String] { lock.withLock { heard } }
  var connections: Int { lock.withLock { served } }

  /// Serves one connection for each of the scripts. `name`: the path of the socket in a folder of its own.
  init(_ scripts: [[AdminStep]], name: String = "admin.sock") throws {
    folder = try Fixture.Folder()
    path = "\(folder.path)/\(name)"
    try folder.write("\(name).folder", "")
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    try AdminServer.bind(descriptor, path)
    listen(descriptor, 8)
    Thread.detachNewThread { [self] in
      for script in scripts {
        let connection = accept(descriptor, nil, nil)
        if connection < 0 { break }
        lock.withLock { served += 1 }
        for step in script { perform(step, connection) }
        close(connection)
      }
      done.signal()
    }
  }

  /// Ends the server, which must have nothing left to wait for but connections.
  func end() {
    shutdown(descriptor, Int32(SHUT_RDWR))
    done.wait()
    close(descriptor)
  }

  /// By way of the folder: the path may be longer than an address.
  static func bind(_ descriptor: Int32, _ path: String) throws {
    let folder = open((path as NSString).deletingLastPathComponent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    defer { close(folder) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let short = "/proc/self/fd/\(folder)/\((path as NSString).lastPathComponent)"
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: short.utf8) }
    let outcome = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(outcome == 0, "\(Syscall.describe(errno))")
  }

  private func perform(_ step: AdminStep, _ connection: Int32) {
    switch step {
    case .read:
      var text: [UInt8] = []
      var byte: UInt8 = 0
      while !text.suffix(4).elementsEqual(raw("\r\n\r\n")), recv(connection, &byte, 1, 0) == 1 { text.append(byte) }
      let line = latin(text).components(separatedBy: "\r\n").first ?? ""
      lock.withLock { heard.append(line) }
    case .send(let text): send(raw(text), connection)
    case .trickle(let text): for byte in raw(text) { send([byte], connection) }
    case .hold:
      var byte: UInt8 = 0
      while recv(connection, &byte, 1, 0) > 0 {}
    }
  }

  private func send(_ bytes: [UInt8], _ connection: Int32) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes {
        Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { return }
      sent += count
    }
  }
}
