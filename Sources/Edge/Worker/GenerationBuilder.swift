// From a loaded configuration to a generation: what outlives generations is claimed (sockets, handles of endpoints
// and services, names to look up), then the rows are compiled. Control thread only, off the loops; a step that fails
// gives back what the steps before it claimed.

import LuaBridge

/// Why there is no new generation.
struct GenerationError: Error {
  let message: String
  /// What is wrong with the policies, if that is it.
  var diagnoses: [Diagnosis] = []
}

/// Makes generations and takes back what they held.
final class GenerationBuilder {
  private(set) var listeners = ListenerPlaces()
  private var endpointNames = StableNames(capacity: Limits.endpointsMax)
  private var serviceNames = StableNames(capacity: Limits.servicesMax)
  /// Endpoints to tell when the addresses of a host name change.
  private var endpointsByHost: [String: Set<String>] = [:]
  /// Of the newest generation, by the content of the trust file: parsing the system's takes milliseconds.
  private var tlsContexts: [UInt64: [TLSClientContext]] = [:]
  /// The same for listeners, by their certificate.
  private var serverContexts: [UInt64: [TLSServerContext]] = [:]
  /// How often the newest generation wants names to be looked up.
  private var refreshMilliseconds = 30_000
  /// The control worker among them, which is the last and has no clients.
  private let workers: Int
  private let addresses: AddressBook
  private let resolver: Resolver
  private let log: Log
  /// What scripts share over all generations.
  private let limits = RateLimits()
  private let keyValues: KeyValueStore
  private let ledger: Ledger
  private let metrics: Metrics
  /// What operators are served, and the socket that is for them in every generation.
  private let builtins: BuiltinTable
  private let adminSocket: ListenerSocket?

  init(
    workers: Int, addresses: AddressBook, resolver: Resolver, keyValues: KeyValueStore, ledger: Ledger,
    metrics: Metrics, log: Log, builtins: BuiltinTable = BuiltinTable(rows: []), adminSocket: ListenerSocket? = nil
  ) {
    self.workers = workers
    self.builtins = builtins
    self.adminSocket = adminSocket
    self.keyValues = keyValues
    self.ledger = ledger
    self.metrics = metrics
    self.log = log
    self.addresses = addresses
    self.resolver = resolver
  }

  /// A generation that can be published at once. Host names that are new have been looked up, unless that takes long.
  func build(
    _ snapshot: Snapshot, resolved: SectionFields, number: UInt32, place: UInt8
  ) throws(GenerationError) -> Generation {
    // First: this is where most mistakes are, and nothing is claimed for it that is not given back by itself.
    let policies = try makePolicies(snapshot, resolved)
    let contexts = try makeContexts(snapshot)
    let serverContexts = try makeServerContexts(snapshot)
    let known = Set(endpointsByHost.keys)
    var claimed: (services: [StableName], endpoints: [StableName]) = ([], [])
    do throws(GenerationError) {
      guard claim(snapshot, &claimed) else {
        throw GenerationError(
          message: "more than \(Limits.endpointsMax) endpoints or \(Limits.servicesMax) services in living generations")
      }
      let refresh = snapshot.server.dnsRefreshMilliseconds
      lookUp(Set(endpointsByHost.keys).subtracting(known), everyMilliseconds: refresh)
      // Last, so that nobody connects who is then kept waiting.
      let opened = try bind(snapshot, number)
      tlsContexts = contexts
      self.serverContexts = serverContexts
      refreshMilliseconds = refresh
      let plan = GenerationPlan(
        snapshot: snapshot, workers: workers, resolved: resolved, listeners: opened + adminListener,
        builtins: builtins, services: claimed.services,
        endpoints: claimed.endpoints, tlsContexts: snapshot.trustFiles.map { contexts[$0.contentHash] ?? [] },
        serverContexts: snapshot.certificates.map { serverContexts[$0.contentHash] ?? [] },
        policies: policies, names: metrics.names)
      return Generation(number: number, place: place, plan: plan)
    } catch {
      release(services: claimed.services, endpoints: claimed.endpoints)
      keepNames(everyMilliseconds: refreshMilliseconds)
      throw error
    }
  }

  private func bind(_ snapshot: Snapshot, _ number: UInt32) throws(GenerationError) -> [OpenListener] {
    do {
      var opened = try listeners.bind(snapshot.listeners, generation: number)
      for index in opened.indices {
        opened[index].serves = snapshot.audience(ofListener: index)
        opened[index].isSecure = snapshot.listeners[index].isSecure
      }
      return opened
    } catch { throw GenerationError(message: error.message) }
  }

  private var adminListener: [OpenListener] {
    guard let adminSocket else { return [] }
    return [
      OpenListener(
        place: ListenerBoard.adminPlace, name: adminSocket.name, since: 1, bind: HostPort(host: "", port: 0),
        socket: adminSocket, serves: .admin)
    ]
  }

  /// The generation is published; returns the listeners that it has removed.
  func published(_ generation: Generation) -> [OpenListener] {
    listeners.keep(
      generation.plan.listeners.filter { $0.place != ListenerBoard.adminPlace }, generation: generation.number)
  }

  /// Whether a removed listener still waits for workers to leave it.
  var isClosingListeners: Bool { listeners.isClosing }

  /// Closes removed listeners that no worker accepts from any more.
  func closeListeners(_ isAdopted: (UInt32) -> Bool) -> [OpenListener] { listeners.closeRemoved(isAdopted) }

  /// The generation has ended: what only it used is free again.
  func release(_ generation: Generation) {
    release(services: generation.plan.services, endpoints: generation.plan.endpoints)
    keepNames(everyMilliseconds: refreshMilliseconds)
  }

  /// Compiles every script and starts it, once for each worker.
  private func makePolicies(
    _ snapshot: Snapshot, _ resolved: SectionFields
  ) throws(GenerationError) -> [PolicyMachine] {
    guard let clock = LuaClock() else { throw GenerationError(message: "the system gives no timer for scripts") }
    defer { clock.end() }
    let tools = PolicyTools(
      snapshot, limits: limits, keyValues: keyValues, log: log, ledger: ledger, metrics: metrics)
    do throws(PolicyFaults) {
      var machines: [PolicyMachine] = []
      for _ in 0..<(workers - 1) { machines.append(try PolicyMachine(snapshot, tools, clock: clock)) }
      return machines
    } catch {
      throw GenerationError(
        message: "the policies have errors", diagnoses: PolicyCheck.diagnoses(error, snapshot, resolved))
    }
  }

  private func makeContexts(_ snapshot: Snapshot) throws(GenerationError) -> [UInt64: [TLSClientContext]] {
    var contexts: [UInt64: [TLSClientContext]] = [:]
    for file in snapshot.trustFiles where contexts[file.contentHash] == nil {
      if let known = tlsContexts[file.contentHash] {
        contexts[file.contentHash] = known
        continue
      }
      let trust: TrustStore
      do { trust = try TrustStore(pem: file.bytes) } catch {
        throw GenerationError(message: "\(file.path): \(error.reason)")
      }
      let made = (0..<workers).compactMap { _ in TLSClientContext(trust) }
      guard made.count == workers else { throw GenerationError(message: "no memory for TLS") }
      contexts[file.contentHash] = made
    }
    return contexts
  }

  private func makeServerContexts(_ snapshot: Snapshot) throws(GenerationError) -> [UInt64: [TLSServerContext]] {
    var contexts: [UInt64: [TLSServerContext]] = [:]
    for file in snapshot.certificates where contexts[file.contentHash] == nil {
      if let known = serverContexts[file.contentHash] {
        contexts[file.contentHash] = known
        continue
      }
      do throws(TLSIdentityError) {
        var made: [TLSServerContext] = []
        for _ in 0..<workers { made.append(try TLSServerContext(file.identity)) }
        contexts[file.contentHash] = made
      } catch { throw GenerationError(message: "\(file.path): \(error.reason)") }
    }
    return contexts
  }

  /// What makes endpoints the same: connections verified against other certificates or for another name are not
  /// interchangeable.
  private func name(of endpoint: Endpoint, _ service: Service, _ snapshot: Snapshot) -> String {
    guard endpoint.scheme == .https, let trust = service.trust else { return endpoint.text }
    let hash = snapshot.trustFiles[trust].contentHash
    return "\(endpoint.text) \(service.serverName ?? "") \(String(hash, radix: 16))"
  }

  // MARK: Handles

  private func claim(_ snapshot: Snapshot, _ claimed: inout (services: [StableName], endpoints: [StableName])) -> Bool {
    for (index, service) in snapshot.upstreams.enumerated() {
      let upstream = snapshot.upstreamName(index)
      guard let handle = serviceNames.claim(upstream) else { return false }
      claimed.services.append(StableName(name: upstream, handle: handle))
      for endpoint in service.endpoints {
        let (name, host) = (name(of: endpoint, service, snapshot), endpoint.address.host)
        guard let handle = endpointNames.claim(name) else { return false }
        claimed.endpoints.append(StableName(name: name, handle: handle, host: host))
        if let numeric = SocketAddress(numeric: host, port: endpoint.address.port) {
          addresses.write(handle, AddressSet([numeric]))
        } else {
          endpointsByHost[host, default: []].insert(name)
        }
      }
    }
    return true
  }

  private func release(services: [StableName], endpoints: [StableName]) {
    for service in services { serviceNames.release(service.name) }
    for endpoint in endpoints where endpointNames.release(endpoint.name) {
      addresses.remove(endpoint.handle)
      endpointsByHost[endpoint.host]?.remove(endpoint.name)
      if endpointsByHost[endpoint.host]?.isEmpty ?? false { endpointsByHost[endpoint.host] = nil }
    }
  }

  // MARK: Names

  private func keepNames(everyMilliseconds: Int) {
    resolver.keep(Set(endpointsByHost.keys), everyMilliseconds: everyMilliseconds)
  }

  /// Waits a while for names that no living generation has. Endpoints may be new where their names are not.
  private func lookUp(_ names: Set<String>, everyMilliseconds: Int) {
    keepNames(everyMilliseconds: everyMilliseconds)
    if !names.isEmpty { resolver.wait(for: names, milliseconds: Limits.resolveWaitMilliseconds) }
    for name in endpointsByHost.keys { resolved(name) }
  }

  /// The resolver knows something of a host name: it is written down for all that connect to it.
  func resolved(_ host: String) {
    guard let found = resolver.addresses(of: host) else { return }
    for name in endpointsByHost[host] ?? [] {
      if let handle = endpointNames[name] { addresses.write(handle, found) }
    }
  }
}
