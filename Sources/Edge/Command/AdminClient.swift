// A small HTTP/1.1 client for the admin socket of a running Edge: blocking, one request at a time, on a connection
// that is kept for the next one. Unix socket or TCP; heads and bodies are read by Edge's own strict parser.
//
// Called by: the verbs that talk to a running Edge. Never: waits beyond a deadline, dies of SIGPIPE, follows a
// redirect, or sends a request twice that may have acted.

import CLinux
import Glibc

/// Why there is no answer.
struct AdminFault: Error, Equatable {
  /// The ways it fails.
  enum Kind {
    /// No socket file, or nobody behind it: no Edge runs there.
    case absent
    case denied, unreachable, timeout, cut, notHTTP
    /// It is HTTP and not what this client understands.
    case otherVersion
    /// Edge answered with an error.
    case refused
    /// Whoever waits here wants to end.
    case interrupted
  }

  let kind: Kind
  let reason: String

  init(_ kind: Kind, _ reason: String) {
    self.kind = kind
    self.reason = reason
  }
}

/// An answer, read to its end.
struct AdminAnswer: Equatable {
  let status: Int
  let body: [UInt8]
}

/// Something that may end a wait before its time.
struct AdminInterruption {
  /// Readable when `ends` is to be asked.
  let descriptor: Int32
  /// Takes what has come; whether the wait is over.
  let ends: () -> Bool
}

/// The client of one place.
final class AdminClient {
  let place: AdminPlace
  /// Watched during every wait.
  var interruption: AdminInterruption?

  private let arena = Arena()
  private var parser: HTTP1Parser
  private var descriptor: Int32 = -1
  /// What was read and belongs to no answer yet.
  private var unread: [UInt8] = []
  private let scratch: BytePointer

  private static let scratchBytes = 64 << 10
  /// The longest answer that is read.
  static let answerBytesMax = 8 << 20
  /// How long a full queue of connections is waited for before it is tried again.
  private static let retryMilliseconds: Int32 = 5

  init(_ place: AdminPlace) {
    self.place = place
    parser = HTTP1Parser(arena: arena)
    scratch = .allocate(capacity: AdminClient.scratchBytes)
  }

  deinit {
    disconnect()
    scratch.deallocate()
  }

  /// Asks and reads the whole answer within `milliseconds`. A question that only asks is asked again on a new
  /// connection when the kept one turns out to be dead.
  func ask(_ method: StaticString, _ path: StaticString, milliseconds: Int) throws(AdminFault) -> AdminAnswer {
    let deadline = Clock.monotonicNow() + UInt64(milliseconds) * 1_000_000
    let asksOnly = method.description == "GET"
    // An order cannot be repeated, and a kept connection may be dead.
    if !asksOnly { disconnect() }
    let wasKept = descriptor >= 0
    do throws(AdminFault) {
      return try exchange(method, path, deadline, milliseconds)
    } catch {
      disconnect()
      guard error.kind == .cut, wasKept else { throw error }
    }
    do throws(AdminFault) {
      return try exchange(method, path, deadline, milliseconds)
    } catch {
      disconnect()
      throw error
    }
  }

  /// The next request opens a new connection.
  func disconnect() {
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
    unread = []
  }

  private func exchange(
    _ method: StaticString, _ path: StaticString, _ deadline: UInt64, _ milliseconds: Int
  ) throws(AdminFault) -> AdminAnswer {
    let late = AdminFault(.timeout, "no answer within \(QuantityUnit.duration.text(milliseconds))")
    // What came behind the last answer belongs to no question.
    if !unread.isEmpty { disconnect() }
    if descriptor < 0 {
      descriptor = try AdminDial.connect(place) { (socket, events) throws(AdminFault) in
        try wait(for: socket, events: events, deadline, late)
      }
    }
    let isPost = method.description == "POST"
    let request =
      "\(method) \(path) HTTP/1.1\r\nhost: \(place.host)\r\n\(isPost ? "content-length: 0\r\n" : "")\r\n"
    try send(Array(request.utf8), deadline, late)
    var head = ResponseHead()
    repeat { head = try readHead(deadline, late) } while head.status < 200
    let body = try readBody(head.framing, deadline, late)
    if !head.keepAlive || head.framing == .untilClose { disconnect() }
    return AdminAnswer(status: Int(head.status), body: body)
  }

  // MARK: Bytes

  private func send(_ bytes: [UInt8], _ deadline: UInt64, _ late: AdminFault) throws(AdminFault) {
    var sent = 0
    while sent < bytes.count {
      let result = bytes[sent...].withUnsafeBufferPointer { rest in
        Syscall.write(descriptor, rest.baseAddress ?? UnsafePointer(scratch), rest.count)
      }
      switch result {
      case .bytes(let count): sent += count
      case .wouldBlock: try wait(for: descriptor, events: Int16(POLLOUT), deadline, late)
      case .ended: throw AdminFault(.cut, "the connection ended before the request was sent")
      case .failed(let error): throw AdminFault(.cut, "the connection broke: \(Syscall.describe(error))")
      }
    }
  }

  /// Reads more into `unread`; false when the other side has ended the connection.
  private func readMore(_ deadline: UInt64, _ late: AdminFault) throws(AdminFault) -> Bool {
    while true {
      switch Syscall.read(descriptor, scratch, AdminClient.scratchBytes) {
      case .bytes(let count):
        unread.append(contentsOf: UnsafeBufferPointer(start: scratch, count: count))
        return true
      case .wouldBlock: try wait(for: descriptor, events: Int16(POLLIN), deadline, late)
      case .ended: return false
      case .failed(let error): throw AdminFault(.cut, "the connection broke: \(Syscall.describe(error))")
      }
    }
  }

  private func readHead(_ deadline: UInt64, _ late: AdminFault) throws(AdminFault) -> ResponseHead {
    let other = AdminFault(.notHTTP, "what answers there does not speak HTTP")
    while true {
      var head = ResponseHead()
      let progress = unread.withUnsafeBufferPointer { bytes -> HeadProgress in
        guard let base = bytes.baseAddress else { return .incomplete }
        return parser.readResponse(base, bytes.count, limits: HeadLimits(), toHead: false, into: &head)
      }
      switch progress {
      case .complete:
        unread.removeFirst(head.count)
        return head
      case .refused: throw other
      case .incomplete: break
      }
      // A greeting without an end of line need not be waited for.
      if !zip(unread, "HTTP/1.".utf8).allSatisfy({ $0 == $1 }) { throw other }
      if try readMore(deadline, late) { continue }
      throw AdminFault(
        .cut, unread.isEmpty ? "the connection ended without an answer" : "the answer was cut in its head")
    }
  }

  private func readBody(
    _ framing: BodyFraming, _ deadline: UInt64, _ late: AdminFault
  ) throws(AdminFault) -> [UInt8] {
    var reader = BodyReader(framing)
    var body: [UInt8] = []
    while !reader.isEnded {
      if unread.isEmpty, try !readMore(deadline, late) {
        if reader.endsWithConnection { break }
        throw AdminFault(.cut, "the answer was cut after \(body.count) bytes of its body")
      }
      let step = unread.withUnsafeMutableBufferPointer { bytes -> BodyStep in
        guard let base = bytes.baseAddress else { return BodyStep() }
        return reader.read(base, bytes.count, parser.classes)
      }
      if step.fault != nil { throw AdminFault(.notHTTP, "the framing of the answer is broken") }
      body += unread[..<step.payload]
      unread.removeFirst(step.consumed)
      if body.count > AdminClient.answerBytesMax { throw AdminFault(.otherVersion, "the answer is too long") }
    }
    return body
  }

  // MARK: Waiting

  private func wait(
    for descriptor: Int32, events: Int16, _ deadline: UInt64, _ late: AdminFault
  ) throws(AdminFault) {
    while true {
      let now = Clock.monotonicNow()
      if now >= deadline { throw late }
      // Rounded up: a poll that returns early would turn in circles.
      let left = Int32(clamping: (deadline - now + 999_999) / 1_000_000)
      var waiting = [pollfd(fd: descriptor, events: events, revents: 0)]
      if let interruption { waiting.append(pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0)) }
      // No events: only time is to pass.
      let milliseconds = events == 0 ? min(left, AdminClient.retryMilliseconds) : left
      let count = poll(&waiting, nfds_t(waiting.count), milliseconds)
      if let interruption, waiting[1].revents != 0, interruption.ends() {
        throw AdminFault(.interrupted, "ended before the answer")
      }
      if events == 0 || count > 0 && waiting[0].revents != 0 { return }
    }
  }
}

/// Opens the sockets.
enum AdminDial {
  /// Waits until a descriptor has one of the events (or, with none, for a moment), or throws at the deadline.
  typealias Wait = (_ descriptor: Int32, _ events: Int16) throws(AdminFault) -> Void

  /// A connected socket that does not block.
  static func connect(_ place: AdminPlace, wait: Wait) throws(AdminFault) -> Int32 {
    switch place {
    case .socket(let path): try connect(path: path, wait)
    case .address(let address): try connect(address, wait)
    }
  }

  private static func open(_ family: Int32) throws(AdminFault) -> Int32 {
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = socket(family, kind, 0)
    if descriptor < 0 { throw AdminFault(.unreachable, Syscall.describe(errno)) }
    return descriptor
  }

  // MARK: TCP

  private static func connect(_ address: SocketAddress, _ wait: Wait) throws(AdminFault) -> Int32 {
    let descriptor = try open(address.isIPv6 ? AF_INET6 : AF_INET)
    do throws(AdminFault) {
      var error: Int32 = 0
      if address.withKernelForm({ Glibc.connect(descriptor, $0, $1) }) != 0 { error = errno }
      if error == EINPROGRESS {
        try wait(descriptor, Int16(POLLOUT))
        error = Syscall.socketError(descriptor)
      }
      if error != 0 {
        throw AdminFault(
          error == ECONNREFUSED ? .absent : .unreachable,
          error == ECONNREFUSED ? "nobody listens there" : Syscall.describe(error))
      }
      Syscall.setNoDelay(descriptor)
      return descriptor
    } catch {
      close(descriptor)
      throw error
    }
  }

  // MARK: Unix sockets

  private static func connect(path: String, _ wait: Wait) throws(AdminFault) -> Int32 {
    var status = stat()
    if path.utf8.contains(0) { throw AdminFault(.absent, "there is no such file") }
    if stat(path, &status) != 0 { throw fault(errno, path) }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw AdminFault(.absent, "that is no socket") }
    let (short, folder) = try shortened(path)
    defer { if folder >= 0 { close(folder) } }
    let descriptor = try open(AF_UNIX)
    do throws(AdminFault) {
      while true {
        let error = connectOnce(descriptor, short)
        if error == 0 { return descriptor }
        // The queue of connections is full: Edge is there and busy.
        guard error == EAGAIN || error == EINTR else { throw fault(error, path) }
        try wait(descriptor, 0)
      }
    } catch {
      close(descriptor)
      throw error
    }
  }

  private static func fault(_ error: Int32, _ path: String) -> AdminFault {
    switch error {
    case ENOENT, ENOTDIR: AdminFault(.absent, "there is no such socket")
    case ECONNREFUSED: AdminFault(.absent, "nobody listens on this socket; an Edge that was killed left it behind")
    case EACCES, EPERM: AdminFault(.denied, "permission denied: only the user that Edge runs as may ask it")
    default: AdminFault(.unreachable, Syscall.describe(error))
    }
  }

  /// The bytes of a path that a socket's address has room for, its end included.
  static let pathBytes = MemoryLayout.size(ofValue: sockaddr_un().sun_path)

  /// A longer path by way of its open folder, whose descriptor is to be closed afterwards; -1: there is none.
  private static func shortened(_ path: String) throws(AdminFault) -> (path: String, folder: Int32) {
    if path.utf8.count < pathBytes { return (path, -1) }
    let folder = ConfigFile.folder(of: path)
    let descriptor = Glibc.open(folder.isEmpty ? "." : folder, __O_PATH | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0 { throw fault(errno, path) }
    let name = path.split(separator: "/").last ?? ""
    let short = "/proc/self/fd/\(descriptor)/\(name)"
    if short.utf8.count < pathBytes { return (short, descriptor) }
    close(descriptor)
    throw AdminFault(.unreachable, "the name of the socket is too long")
  }

  /// 0, or what went wrong.
  private static func connectOnce(_ descriptor: Int32, _ path: String) -> Int32 {
    guard let address = SocketPath(path) else { return ENAMETOOLONG }
    return address.withKernelForm { Glibc.connect(descriptor, $0, $1) } == 0 ? 0 : errno
  }
}
