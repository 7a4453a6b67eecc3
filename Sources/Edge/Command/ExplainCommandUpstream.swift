// The part of `edge explain` about where the request goes and how long Edge waits: the service behind a route, and the
// timeouts that act, each with where it comes from.
//
// Called by: the verb `explain`. Never: connects to anything, or looks a name up.

/// Explains what stands behind a route.
struct ExplainUpstream {
  let sources: ExplainSources
  let route: Route
  /// Names of the providers that may be asked.
  let providers: [String]

  func explain(_ page: inout ExplainPage) {
    if case .service(let index) = route.target { explain(sources.snapshot.services[index], &page) }
    explainTimeouts(&page)
  }

  private func explain(_ service: Service, _ page: inout ExplainPage) {
    let own = sources.fields(RootSection.services, service.name)
    let fields = sources.fields(RootSection.routes, route.name)
    page.title("service  \(service.name)  \(own?.place.label ?? "")")
    var rows = service.endpoints.enumerated().map { place, endpoint in
      [
        place == 0 ? "endpoints" : "", endpoint.text,
        place == 0 ? ExplainSources.origin(own, ServiceSection.endpoints) : "",
      ]
    }
    if let trust = service.trust {
      let tls = ExplainSources.section(own, ServiceSection.tls)
      let origin = ExplainSources.origin(tls, ServiceSection.caFile)
      rows.append(["ca_file", sources.snapshot.trustFiles[trust].path, origin])
      if let name = service.serverName {
        rows.append(["server_name", name, ExplainSources.origin(tls, ServiceSection.serverName)])
      }
    }
    let passed = service.pass.map(\.rawValue).joined(separator: ", ")
    let credentials = passed.isEmpty ? "none of the client's" : passed
    rows.append(["passes on", credentials, ExplainSources.origin(own, ServiceSection.pass)])
    rows.append([
      "replay_on_stale", "\(route.replaysOnStale)", ExplainSources.origin(fields, RouteSection.replayOnStale),
    ])
    if let price = route.price {
      rows.append(["price", "\(price.text) credits a request", ExplainSources.origin(fields, RouteSection.price)])
    }
    page.rows(rows)
  }

  private func explainTimeouts(_ page: inout ExplainPage) {
    page.title("timeouts")
    let server = ExplainSources.section(sources.resolved, RootSection.server)
    let client = ExplainSources.section(server, ServerSection.timeouts)
    var rows = [ServerSection.head, ServerSection.body, ServerSection.send, ServerSection.idle].map {
      ExplainSources.time("server.timeouts", client, $0)
    }
    if route.socket != nil {
      let fields = sources.fields(RootSection.routes, route.name)
      rows.append(ExplainSources.time("routes.\(route.name)", fields, RouteSection.ping))
    }
    let all = [ServiceSection.connect, ServiceSection.head, ServiceSection.idle]
    if case .service(let index) = route.target {
      let name = sources.snapshot.services[index].name
      let section = ExplainSources.section(sources.fields(RootSection.services, name), ServiceSection.timeouts)
      rows += all.map { ExplainSources.time("services.\(name).timeouts", section, $0) }
    }
    for name in providers {
      let section = ExplainSources.section(sources.fields(RootSection.providers, name), ProviderSection.timeouts)
      rows += (all + [ProviderSection.answer]).map {
        ExplainSources.time("providers.\(name).timeouts", section, $0)
      }
    }
    page.rows(rows.compactMap { $0 })
  }
}
