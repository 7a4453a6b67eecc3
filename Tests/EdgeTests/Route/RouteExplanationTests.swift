// The explanation of a route: it agrees with the table, and every reason that it gives is one.

import Testing

@testable import Edge

@Suite struct RouteExplanationTests {
  private func explain(
    _ routes: [Route], _ path: String, _ method: Method = .get, host: String = "h", listener: Int = 0
  ) -> RouteExplanation { RouteExplanation(routes, host: host, path: path, method: method, listener: listener) }

  /// Names with what they lack, the winner first.
  private func shown(_ routes: [Route], _ explanation: RouteExplanation) -> [String] {
    explanation.standings.map { standing in
      ([routes[standing.route].name] + standing.lacks.map { "\($0)" }).joined(separator: " ")
    }
  }

  @Test func theReasons() throws {
    let routes = [
      try Route.of("all", ["/*"]), try Route.of("chat", ["/api/chat/*"]), try Route.of("api", ["/api/*", "/x"]),
      try Route.of("one", ["/api/chat/:id"], methods: ["GET"]), try Route.of("any", ["/api/chat/:name"]),
      try Route.of("post", ["/api/chat/7"], methods: ["POST"]), try Route.of("other", ["/api/chat/8"]),
      try Route.of("host", ["/*"], hosts: ["a.test", "*.b.test"]),
      try Route.of("metrics", ["/api/chat/7"], methods: ["GET"], listeners: [1]),
    ]
    #expect(
      shown(routes, explain(routes, "/api/chat/7")) == [
        "one", "any naming", "chat depth", "api depth", "all depth", "metrics listener", "post method", "host host",
      ])
    #expect(
      shown(routes, explain(routes, "/api/chat/7", .head)).prefix(2) == ["one", "any naming"],
      "GET stands for HEAD")
    #expect(explain(routes, "/api/chat/7", .head).winner?.standsForHead == true)
    #expect(
      shown(routes, explain(routes, "/z", host: "C.B.test")) == ["host", "all precision"])
    #expect(explain(routes, "/z", host: "c.b.test").winner?.host?.text == "*.b.test")
    #expect(explain(routes, "/x").standings.map(\.path.text) == ["/x", "/*", "/*"])
  }

  @Test func nobodyWins() throws {
    let routes = [
      try Route.of("read", ["/a"], methods: ["GET"]), try Route.of("write", ["/:x"], methods: ["PUT"]),
      try Route.of("hidden", ["/a"], methods: ["DELETE"], listeners: [1]),
    ]
    let explanation = explain(routes, "/a", .post)
    #expect(explanation.winner == nil)
    #expect(explanation.allowed == Method.get.bit | Method.head.bit | Method.put.bit)
    #expect(shown(routes, explanation) == ["read method", "hidden listener method", "write method"])
    #expect(explain(routes, "/a/b").standings.isEmpty)
    #expect(explain([try Route.of("root", ["/"])], "*", .options).standings.isEmpty)
  }

  // MARK: Many routes

  private static let words = ["a", "b", "c", "api", "v1", "users"]

  private func path(_ random: inout SeededGenerator) -> String {
    var text = ""
    for depth in 0..<(1 + random.below(4)) {
      text += "/" + (random.below(10) < 3 ? ":p\(depth)" : Self.words[random.below(6)])
    }
    switch random.below(6) {
    case 0, 1: return text + "/*"
    case 2: return text + "/"
    default: return text
    }
  }

  @Test(arguments: [(60, 51, 500), (300, 52, 100)])
  func agreesWithTheTable(_ count: Int, _ seed: Int, _ queries: Int) throws {
    var random = SeededGenerator(seed: UInt64(seed))
    let hosts = [[], [], ["x.com"], ["*.x.com"], ["*.a.x.com", "y.com"]]
    let methods = [[], ["GET"], ["POST"], ["PUT", "DELETE"], ["GET", "POST"]]
    var routes = [try Route.of("all", ["/*"], methods: ["OPTIONS"])]
    for index in 1..<count {
      routes.append(
        try Route.of(
          "r\(index)", (0..<(1 + random.below(2))).map { _ in path(&random) }, hosts: hosts[random.below(5)],
          methods: methods[random.below(5)], listeners: [[0], [1], [0, 1]][random.below(3)]))
    }
    let bench = RouteBench(routes)
    // Whatever else they ask for.
    let paths = routes.map { RouteBench([$0.with(hosts: [], methods: [], listeners: [0, 1])]) }
    let names = ["x.com", "b.x.com", "b.a.x.com", "Y.com", "z.org", ""]
    var losers = 0
    for _ in 0..<queries {
      let path = path(&random).replacing(":p", with: "q").replacing("*", with: "s1/a")
      let query = Query(
        path: path, method: [.get, .head, .post, .put, .patch, .other][random.below(6)], host: names[random.below(6)],
        listener: random.below(2))
      let explanation = explain(routes, path, query.method, host: query.host, listener: query.listener)
      let found: RouteMatch =
        explanation.winner.map { .route(Int32($0.route)) }
        ?? (explanation.allowed == 0 ? .notFound : .methodNotAllowed(explanation.allowed))
      let expected = bench.match(path, query.method, host: query.host, listener: query.listener)
      if found != expected { Issue.record("\(query): \(found), not \(expected)") }
      for standing in explanation.standings where !standing.lacks.isEmpty {
        losers += 1
        for lack in standing.lacks where !isTrue(lack, routes, standing, explanation.winner, query) {
          Issue.record("\(query): \(routes[standing.route].name) does not lack \(lack)")
        }
      }
      let near = Set(explanation.standings.map(\.route))
      for index in routes.indices where near.contains(index) != (paths[index].match(path) == .route(0)) {
        Issue.record("\(query): \(routes[index].name) came near or not")
      }
    }
    #expect(losers > queries)
  }

  private struct Query {
    let path: String
    let method: Method
    let host: String
    let listener: Int

    /// What a table says of these routes alone.
    func match(_ routes: [Route]) -> RouteMatch {
      RouteBench(routes).match(path, method, host: host, listener: listener)
    }
  }

  /// Asks tables of one or two routes whether a route lacks this.
  private func isTrue(
    _ lack: RouteExplanation.Lack, _ routes: [Route], _ standing: RouteExplanation.Standing,
    _ winner: RouteExplanation.Standing?, _ query: Query
  ) -> Bool {
    let route = routes[standing.route]
    switch lack {
    case .listener: return query.match([route.with(hosts: [], methods: [])]) == .notFound
    case .host: return query.match([route.with(methods: [], listeners: [0, 1])]) == .notFound
    case .method:
      if case .methodNotAllowed = query.match([route.with(hosts: [], listeners: [0, 1])]) { return true }
      return false
    case .precision, .depth, .naming, .order:
      guard let winner else { return false }
      let both = [route, routes[winner.route]]
      // Alone it would win; only where nothing else decides does the order.
      guard query.match([route]) == .route(0), query.match(both) == .route(lack == .order ? 0 : 1) else { return false }
      let hostless = both.map { $0.with(hosts: []) }
      switch lack {
      case .precision: return standing.host != winner.host
      case .depth: return query.match(hostless.map { $0.with(methods: []) }) == .route(1)
      default: return query.match(hostless.map { $0.with(methods: []) }) == .route(0)
      }
    }
  }
}

extension Route {
  /// The same with other conditions.
  fileprivate func with(hosts: [HostPattern]? = nil, methods: [Method]? = nil, listeners: [Int]? = nil) -> Route {
    Route(
      name: name, hosts: hosts ?? self.hosts, paths: paths, methods: methods ?? self.methods,
      listeners: listeners ?? self.listeners, target: target, bodyBytesMax: 0, clientFin: .abort,
      replaysOnStale: false, policies: [], permission: nil)
  }
}
