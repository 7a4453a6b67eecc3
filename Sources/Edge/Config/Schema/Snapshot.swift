// The outcome of loading: plain immutable values, checked and with every default in place.
//
// Owns: the typed shape of a configuration.
// Called by: the loader, which makes it, and engines, which compile it to their own tables per generation.
// Never: refers to text, files or the environment; references between named things are indices.
//
// Durations are milliseconds, sizes bytes.

/// One valid configuration.
final class Snapshot: Sendable {
  /// The process and its client side.
  let server: ServerSettings
  /// Sizes of messages.
  let limits: LimitSettings
  /// In the order of the files, at least one.
  let listeners: [Listener]
  /// In the order of the files.
  let services: [Service]
  /// In the order of the files, which does not decide between them.
  let routes: [Route]
  /// What is logged.
  let log: LogSettings
  /// Which tokens are accepted.
  let auth: AuthSettings
  /// The standard ones first, unless a file defines them, then in the order of the files.
  let roles: [Role]
  /// In the order of the files.
  let policies: [PolicySettings]
  /// The scripts of the policies, each file once.
  let scripts: [ScriptFile]
  /// Those that can be used, in the order of the files.
  let providers: [Provider]
  /// In the order of the files.
  let models: [Model]
  /// What accounts begin with.
  let credits: CreditSettings
  /// Where state is kept.
  let stores: StoreSettings
  /// The certificates that https services are verified against, each file once.
  let trustFiles: [TrustFile]
  /// What listeners with TLS prove themselves with, each pair of files once.
  let certificates: [CertificateFile]
  /// Over the bytes of every file, those of `trustFiles` and `scripts` included, every certificate of `certificates`,
  /// every value taken from the environment or a `${file:…}`, and the secret of `--dev`: equal hashes mean an equal
  /// configuration.
  let contentHash: UInt64

  /// A snapshot from its parts.
  init(
    server: ServerSettings, limits: LimitSettings, listeners: [Listener], services: [Service], routes: [Route],
    log: LogSettings, auth: AuthSettings, roles: [Role], policies: [PolicySettings], scripts: [ScriptFile],
    providers: [Provider] = [], models: [Model] = [], credits: CreditSettings = CreditSettings(initial: .zero),
    stores: StoreSettings = StoreSettings(ledger: .memory, durability: .strict), trustFiles: [TrustFile],
    certificates: [CertificateFile] = [], contentHash: UInt64
  ) {
    self.server = server
    self.limits = limits
    self.listeners = listeners
    self.services = services
    self.routes = routes
    self.log = log
    self.auth = auth
    self.roles = roles
    self.policies = policies
    self.scripts = scripts
    self.providers = providers
    self.models = models
    self.credits = credits
    self.stores = stores
    self.trustFiles = trustFiles
    self.certificates = certificates
    self.contentHash = contentHash
  }
}

/// How many workers to start.
enum WorkerCount: Sendable, Equatable {
  /// One per core.
  case auto
  /// This many, 1 to 64.
  case fixed(Int)
}

/// `server`: the process and its client side.
struct ServerSettings: Sendable, Equatable {
  /// Threads with an event loop each.
  let workers: WorkerCount
  /// How long running exchanges may finish after SIGTERM.
  let drainMilliseconds: Int
  /// Peers whose X-Request-Id and forwarding fields are kept.
  let trusted: [AddressBlock]
  /// Folder of state, resolved against the folder of the main file.
  let varFolder: String
  /// Folder of scripts, resolved likewise.
  let policiesFolder: String
  /// From the first byte of a request head to its last.
  let headTimeoutMilliseconds: Int
  /// Keep-alive without a request.
  let idleTimeoutMilliseconds: Int
  /// Between two reads of a request body.
  let bodyTimeoutMilliseconds: Int
  /// Unsent bytes that the client does not take.
  let sendTimeoutMilliseconds: Int
  /// Between two lookups of an endpoint's host name.
  let dnsRefreshMilliseconds: Int
  /// What bodies that must be read as a whole may take of memory together.
  var bodyMemoryBytes = 256 << 20
  /// Whether a route to the statistics may be open to all; checks see to it that others are not.
  var statsArePublic = false
  /// From a connection to the end of the TLS handshake.
  var handshakeTimeoutMilliseconds = 10_000
}

/// `limits`: sizes of messages.
struct LimitSettings: Sendable, Equatable {
  /// Largest head of a request or response.
  let headBytesMax: Int
  /// Most fields in a head.
  let headFieldsMax: Int
  /// Largest request body; a route may override it.
  let bodyBytesMax: Int
}

/// A host and a port.
struct HostPort: Sendable, Hashable {
  /// An IPv4 or IPv6 address in canonical text without brackets, a lower-case DNS name (endpoints only), or `*` for
  /// every address of both families (listeners only).
  let host: String
  /// 0 asks the kernel for a free port (listeners only).
  let port: UInt16

  /// `host:port`, IPv6 in brackets.
  var text: String { host.utf8.contains(0x3A) ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// Where a service is reached.
struct Endpoint: Sendable, Hashable {
  /// How bytes travel.
  enum Scheme: String, Sendable {
    case http, https

    /// The port of a URL that names none.
    var port: UInt16 { self == .http ? 80 : 443 }
  }

  /// `https` is TLS, verified.
  let scheme: Scheme
  /// Where to connect.
  let address: HostPort

  /// `scheme://host:port`.
  var text: String { "\(scheme)://\(address.text)" }

  /// `host`, with the port when it is not the scheme's own (RFC 9110 section 4.2.3).
  var authority: String {
    address.port == scheme.port ? String(address.text.dropLast("\(address.port)".utf8.count + 1)) : address.text
  }
}

/// A file of trusted certificates, read with the configuration and known to be valid.
struct TrustFile: Sendable, Equatable {
  /// The path, resolved against the folder of the main file.
  let path: String
  /// PEM text.
  let bytes: [UInt8]
  /// Over `bytes`, see ContentHash.
  let contentHash: UInt64
}

/// Certificate and key of a listener, read with the configuration and known to belong together.
struct CertificateFile: Sendable {
  /// The path of the certificate, resolved against the folder of the main file.
  let path: String
  /// Over the certificates, see ContentHash: to each belongs one key only.
  let contentHash: UInt64
  /// What was read.
  let identity: TLSIdentity
}

/// One row of `listeners`.
struct Listener: Sendable, Equatable {
  /// Unique among listeners.
  let name: String
  /// Where it listens.
  let address: HostPort
  /// Routes are reached here only if they name it.
  var isOnlyNamed = false
  /// Operators are served here, and no route.
  var isAdmin = false
  /// Clients speak TLS here.
  var isSecure = false
  /// An index into `Snapshot.certificates`; nil without TLS, or when a placeholder stands for a path.
  var certificate: Int?
}

/// One row of `services`.
struct Service: Sendable, Equatable {
  /// Unique among services.
  let name: String
  /// 1 to 64 places that speak HTTP/1, some of them within TLS.
  let endpoints: [Endpoint]
  /// To connect to one endpoint.
  let connectTimeoutMilliseconds: Int
  /// From the end of the request to the response head.
  let headTimeoutMilliseconds: Int
  /// Between two reads of the response body.
  let idleTimeoutMilliseconds: Int
  /// Idle connections kept per worker; 0 keeps none.
  let poolSize: Int
  /// How long an idle connection is kept.
  let poolIdleMilliseconds: Int
  /// Client credentials handed on.
  let pass: [Credential]
  /// An index into `Snapshot.trustFiles`; nil when no endpoint is https.
  let trust: Int?
  /// The name that https endpoints are asked for and verified as, a lower-case DNS name; nil for each one's own host.
  let serverName: String?
}

/// Where a route leads.
enum RouteTarget: Sendable, Equatable {
  /// An index into `Snapshot.services`.
  case service(Int)
  /// An answer of Edge itself.
  case builtin(BuiltinName)
  /// An index into `Snapshot.policies`: the script answers.
  case handler(Int)
  /// A provider of the model that the request names; the client speaks this dialect.
  case models(DialectName)
}

/// One row of `routes`.
struct Route: Sendable, Equatable {
  /// Unique among routes.
  let name: String
  /// Empty: any host.
  let hosts: [HostPattern]
  /// At least one.
  let paths: [PathPattern]
  /// Empty: any method.
  let methods: [Method]
  /// Indices into `Snapshot.listeners`, ascending; when the route names none, all of them that do not want to be named.
  let listeners: [Int]
  /// Where it leads.
  let target: RouteTarget
  /// Largest request body.
  let bodyBytesMax: Int
  /// What an early end of the client means.
  let clientFin: ClientFin
  /// Whether a request of any method is sent again when its idle connection turns out to be dead.
  let replaysOnStale: Bool
  /// Indices into `Snapshot.policies`, in the order in which they run.
  let policies: [Int]
  /// What the caller must be allowed to do, for a policy to judge; only with policies.
  let permission: String?
  /// What each request costs, beside what a model may cost; nil: nothing.
  var price: Amount?
  /// A client that has named its provider gets an answer of another one when that fails.
  var fallsBackFromNamed = false
  /// Of a route whose dialect is spoken on WebSockets.
  var socket: SocketSettings?
  /// Of a route to a service.
  var serviceSocket: ServiceSocketSettings?

  /// Whether who may GET may ask for the head alone; a WebSocket has no other answer than itself.
  var takesHead: Bool { socket == nil }

  /// Nothing of it goes anywhere before its credits are held.
  var costs: Bool {
    if case .models = target { return true }
    return price != nil
  }

  /// It tells of single models: what follows one of its paths is the id of one.
  var namesModels: Bool { target == .builtin(.models) && paths.contains { $0.tail == .below } }
}

/// What a route says about its WebSockets.
struct SocketSettings: Sendable, Equatable {
  /// `query_token`: a token may stand in the URL, as `?token=`.
  var takesQueryToken = false
  /// `origins`: of browsers' pages, such as `https://app.example.com`, in lower case; empty: any.
  var origins: [String] = []
  /// `message_size`: the longest message of a client.
  var messageBytesMax = 1 << 20
  /// `in_flight`: requests that run at once on one of them.
  var requestsMax = 32
  /// `ping`: between two pings.
  var pingMilliseconds = 30_000
  /// `nonstream_type`: what the `type` of an answer is that was not streamed.
  var wholeAnswerType = "done"
  /// `on_reload`.
  var onReload = SessionReload.keep
}

/// What a route to a service says about WebSockets.
struct ServiceSocketSettings: Sendable, Equatable {
  /// `websocket`.
  var treatment = SocketTreatment.proxy
  /// `message_size`: the longest message of a client; nil: any.
  var messageBytesMax: Int?
  /// `websocket_idle`: how long neither side may say anything.
  var idleMilliseconds = 3_600_000
  /// `query_token`, `origins`, `on_reload`.
  var common = SocketSettings()
}

/// `auth`: which tokens are accepted.
struct AuthSettings: Sendable, Equatable {
  /// One to four; the first signs, all verify.
  let secrets: [SecretText]
  /// What the claim `iss` must be; nil for anything.
  let issuer: String?
  /// One of these must be in the claim `aud`; empty for anything.
  let audiences: [String]
  /// Whether a token without the claim `exp` is refused.
  let requiresExpiry: Bool
  /// Tolerated difference of clocks.
  let leewaySeconds: Int
  /// Claims that hold who is calling, in the order they are tried.
  let userClaims: [String]
  /// Claims that hold the caller's roles.
  let roleClaims: [String]
}

/// One row of `roles`.
struct Role: Sendable, Equatable {
  /// Unique among roles.
  let name: String
  /// Names such as `mcp:read`; a last part `*` stands for all below, `*` alone for everything.
  let permissions: [String]
}

/// One row of `policies`.
struct PolicySettings: Sendable, Equatable {
  /// Unique among policies.
  let name: String
  /// An index into `Snapshot.scripts`.
  let script: Int
  /// What the script's `init` is given; an empty map when the file gives none.
  let settings: SettingsTree
  /// A placeholder stands for one of the settings: the snapshot is for checking only, and `init` is not asked.
  let isOpen: Bool
  /// Texts of the settings that no message may repeat.
  var concealed: [String] = []
}

/// `log`.
struct LogSettings: Sendable, Equatable {
  /// How much.
  let level: LogLevel
  /// Whether each exchange writes a line.
  let access: Bool
}
