// Where the admin socket of a running Edge is, and what is said when nobody is there.
//
// Owns: the options --config and --admin of the verbs that ask a running Edge, and the words of their failures.
// Called by: those verbs. Never: connects.

import Glibc

/// A place that can be asked.
enum AdminPlace: Equatable {
  /// The path of a Unix socket.
  case socket(String)
  case address(SocketAddress)

  /// For messages.
  var text: String {
    switch self {
    case .socket(let path): TerminalText.shown(path)
    case .address(let address): address.text
    }
  }

  /// The Host field. An admin listener serves addresses only: a name may be that of a browser's page.
  var host: String {
    switch self {
    case .socket: "edge"
    case .address(let address): address.text
    }
  }

  /// Reads `--admin`: whatever has a slash or no colon is a path, the rest HOST:PORT.
  static func read(_ text: String) throws(UsageError) -> AdminPlace {
    if text.isEmpty { throw UsageError(message: "--admin needs a socket's path or HOST:PORT") }
    if text.contains("/") || !text.contains(":") { return .socket(text) }
    guard let (host, port) = try? HostPort.split(text), let port, port > 0 else {
      throw UsageError(message: "'\(TerminalText.shown(text))' is no HOST:PORT; a path of a socket has a '/'")
    }
    let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
    // Admin listeners stand on loopback, so no other name is worth a look-up.
    guard let address = SocketAddress(numeric: bare == "localhost" ? "127.0.0.1" : bare, port: port) else {
      throw UsageError(message: "'\(TerminalText.shown(host))' is no address; write it as numbers, or localhost")
    }
    return .address(address)
  }
}

/// The place that a command line means, and how it was found.
struct AdminTarget {
  let place: AdminPlace
  /// Why it may be the wrong one, if something speaks for that.
  let doubt: String?
  /// Found through server.var of a configuration.
  let isFromConfig: Bool

  static let option = CommandOption(
    "--admin", value: "WHERE", "the admin socket's path, or HOST:PORT of an admin listener (default: by --config)")
  static let config = CommandOption(
    "--config", value: "FILE", "whose server.var has the admin socket (default routes.yaml)")

  /// Finds it: `--admin`, else the folder that the configuration names, else `var/` beside it.
  static func find(_ arguments: CommandArguments) throws(UsageError) -> AdminTarget {
    if let text = arguments.value("--admin") {
      return AdminTarget(place: try AdminPlace.read(text), doubt: nil, isFromConfig: false)
    }
    let path = arguments.configPath
    var first: String?
    // Under --dev the variables of `.env` count, too, and may name another folder.
    for isDevelopment in [false, true] {
      let options = LoadOptions(environment: Environment.current(), dev: isDevelopment, placeholders: true)
      // Errors elsewhere are the running Edge's to judge; it may have other variables than this process.
      guard let folder = Loader.load(path: path, options: options).varFolder else { continue }
      let socket = FilePath.join(folder, AdminSocket.name)
      if access(socket, F_OK) == 0 { return AdminTarget(place: .socket(socket), doubt: nil, isFromConfig: true) }
      first = first ?? socket
    }
    if let first { return AdminTarget(place: .socket(first), doubt: nil, isFromConfig: true) }
    let beside = FilePath.join(ConfigFile.folder(of: path), "var/\(AdminSocket.name)")
    return AdminTarget(
      place: .socket(beside),
      doubt: "server.var of \(TerminalText.shown(path)) cannot be read here, so var/ beside it was tried",
      isFromConfig: true)
  }

  /// What a verb says when there was no answer, without its name.
  func message(_ fault: AdminFault) -> String {
    switch fault.kind {
    case .absent:
      var text = "no Edge answers at \(place.text): \(fault.reason); is it running?"
      if let doubt { text += "\n  \(doubt)" }
      if isFromConfig { text += "\n  if it was started with another server.var, name its socket with --admin PATH" }
      return text
    case .otherVersion, .refused: return "the Edge at \(place.text): \(fault.reason)"
    default: return "no Edge answers at \(place.text): \(fault.reason)"
    }
  }

  /// Asks, and says on standard error what went wrong; nil: it did, and the verb has failed.
  func attempt<Answer>(_ verb: String, _ body: () throws(AdminFault) -> Answer) -> Answer? {
    do throws(AdminFault) { return try body() } catch {
      Console.error("edge \(verb): \(message(error))")
      return nil
    }
  }
}
