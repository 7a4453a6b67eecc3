// From a loaded configuration to a generation: what outlives generations is claimed (sockets, handles of endpoints
// and services, names to look up), then the rows are compiled. Control thread only, off the loops; a step that fails
// gives back what the steps before it claimed.

/// Why there is no new generation.
struct GenerationError: Error {
  let message: String
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
  private let workers: Int
  private let addresses: AddressBook
  private let resolver: Resolver
  private let announce: (Handle) -> Void

  /// `announce` tells the workers that the addresses of an endpoint have changed.
  init(workers: Int, addresses: AddressBook, resolver: Resolver, announce: @escaping (Handle) -> Void) {
    self.workers = workers
    self.addresses = addresses
    self.resolver = resolver
    self.announce = announce
  }

  /// A generation that can be published at once. Host names that are new have been looked up, unless that takes long.
  func build(
    _ snapshot: Snapshot, resolved: SectionFields, number: UInt32, place: UInt8
  ) throws(GenerationError) -> Generation {
    let contexts = try makeContexts(snapshot)
    let opened: [OpenListener]
    do { opened = try listeners.bind(snapshot.listeners, generation: number) } catch {
      throw GenerationError(message: error.message)
    }
    var claimed: (services: [StableName], endpoints: [StableName]) = ([], [])
    guard claim(snapshot, &claimed) else {
      release(services: claimed.services, endpoints: claimed.endpoints)
      listeners.abandon(opened)
      throw GenerationError(
        message: "more than \(Limits.endpointsMax) endpoints or \(Limits.servicesMax) services in living generations")
    }
    lookUp(snapshot)
    tlsContexts = contexts
    let plan = GenerationPlan(
      snapshot: snapshot, workers: workers, resolved: resolved, listeners: opened, services: claimed.services,
      endpoints: claimed.endpoints, tlsContexts: snapshot.trustFiles.map { contexts[$0.contentHash] ?? [] })
    return Generation(number: number, place: place, plan: plan)
  }

  /// The generation is published; returns the listeners that it has removed.
  func published(_ generation: Generation) -> [OpenListener] {
    listeners.keep(generation.plan.listeners, generation: generation.number)
  }

  /// Closes removed listeners that no worker accepts from any more.
  func closeListeners(_ isAdopted: (UInt32) -> Bool) -> [OpenListener] { listeners.closeRemoved(isAdopted) }

  /// The generation has ended: what only it used is free again.
  func release(_ generation: Generation, newest: Generation) {
    release(services: generation.plan.services, endpoints: generation.plan.endpoints)
    keepNames(newest.plan.snapshot)
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

  /// What makes endpoints the same: connections verified against other certificates or for another name are not
  /// interchangeable.
  private func name(of endpoint: Endpoint, _ service: Service, _ snapshot: Snapshot) -> String {
    guard endpoint.scheme == .https, let trust = service.trust else { return endpoint.text }
    let hash = snapshot.trustFiles[trust].contentHash
    return "\(endpoint.text) \(service.serverName ?? "") \(String(hash, radix: 16))"
  }

  // MARK: Handles

  private func claim(_ snapshot: Snapshot, _ claimed: inout (services: [StableName], endpoints: [StableName])) -> Bool {
    for service in snapshot.services {
      guard let handle = serviceNames.claim(service.name) else { return false }
      claimed.services.append(StableName(name: service.name, handle: handle))
      for endpoint in service.endpoints {
        let name = name(of: endpoint, service, snapshot)
        guard let handle = endpointNames.claim(name) else { return false }
        claimed.endpoints.append(StableName(name: name, handle: handle))
        let address = endpoint.address
        if let numeric = SocketAddress(numeric: address.host, port: address.port) {
          addresses.write(handle, AddressSet([numeric]))
        } else {
          endpointsByHost[address.host, default: []].insert(name)
        }
      }
    }
    return true
  }

  private func release(services: [StableName], endpoints: [StableName]) {
    for service in services { serviceNames.release(service.name) }
    for endpoint in endpoints where endpointNames.release(endpoint.name) {
      addresses.remove(endpoint.handle)
      for host in endpointsByHost.keys { endpointsByHost[host]?.remove(endpoint.name) }
    }
    endpointsByHost = endpointsByHost.filter { !$0.value.isEmpty }
  }

  // MARK: Names

  private func keepNames(_ newest: Snapshot) {
    resolver.keep(Set(endpointsByHost.keys), everyMilliseconds: newest.server.dnsRefreshMilliseconds)
  }

  private func lookUp(_ snapshot: Snapshot) {
    keepNames(snapshot)
    let names = Set(endpointsByHost.keys)
    if names.isEmpty { return }
    resolver.wait(for: names, milliseconds: Limits.resolveWaitMilliseconds)
    for name in names { resolved(name) }
  }

  /// The resolver knows something of a host name: whoever connects to it is told, if that is news.
  func resolved(_ host: String) {
    guard let found = resolver.addresses(of: host) else { return }
    for name in endpointsByHost[host] ?? [] {
      guard let handle = endpointNames[name], addresses.addresses(of: handle) != found else { continue }
      addresses.write(handle, found)
      announce(handle)
    }
  }
}
