import Testing

@testable import Edge

struct RouteTableTests {
  private func bench(_ routes: [(String, String)]) throws -> RouteBench {
    RouteBench(try routes.map { try Route.of($0.0, [$0.1]) })
  }

  @Test func noRoutes() { #expect(RouteBench([]).find("/") == "404") }

  @Test func exactPaths() throws {
    let bench = try bench([("root", "/"), ("a", "/a"), ("slash", "/a/"), ("ab", "/a/b")])
    for (path, name) in [
      ("/", "root"), ("/a", "a"), ("/a/", "slash"), ("/a/b", "ab"), ("/a/b/", "404"), ("/A", "404"), ("/aa", "404"),
      ("/b", "404"), ("/a/b/c", "404"), ("/a/c", "404"),
    ] { #expect(bench.find(path) == name, "\(path)") }
  }

  @Test func everythingBelow() throws {
    let bench = try bench([("api", "/api/*")])
    for path in ["/api", "/api/", "/api/a", "/api/a/b/c/", "/api/*"] { #expect(bench.find(path) == "api", "\(path)") }
    for path in ["/", "/apis", "/ap", "/API", "/x/api"] { #expect(bench.find(path) == "404", "\(path)") }
    let all = try self.bench([("all", "/*"), ("root", "/")])
    #expect(all.find("/") == "root")
    for path in ["/a", "/a/", "/a/b"] { #expect(all.find(path) == "all") }
    #expect(try self.bench([("all", "/*")]).find("/") == "all")
  }

  @Test func parametersTakeOneSegment() throws {
    let bench = try bench([("one", "/u/:id"), ("two", "/u/:id/x"), ("below", "/w/:id/*")])
    for (path, name) in [
      ("/u/7", "one"), ("/u/7/x", "two"), ("/u/", "404"), ("/u", "404"), ("/u/7/", "404"), ("/u/7/y", "404"),
      ("/w/7", "below"), ("/w/7/", "below"), ("/w/7/a/b", "below"), ("/w", "404"), ("/w/", "404"), ("/u/:id", "one"),
    ] { #expect(bench.find(path) == name, "\(path)") }
  }

  @Test func moreSpecificWins() throws {
    let bench = try bench([
      ("all", "/*"), ("below", "/a/*"), ("parameter", "/a/:x"), ("literal", "/a/b"), ("deep", "/a/b/*"),
      ("mixed", "/:p/b/c"), ("back", "/a/:x/d"),
    ])
    for (path, name) in [
      ("/a/b", "literal"), ("/a/c", "parameter"), ("/a", "below"), ("/a/", "below"), ("/a/c/e", "below"),
      ("/a/b/c", "deep"),
      ("/a/c/d", "back"), ("/a/b/d", "deep"), ("/z/b/c", "mixed"), ("/z/b", "all"), ("/z", "all"), ("/", "all"),
    ] { #expect(bench.find(path) == name, "\(path)") }
  }

  /// A literal segment that leads nowhere does not hide a parameter that does.
  @Test func wrongTurnsAreTakenBack() throws {
    let bench = try bench([("literal", "/a/b/c"), ("parameter", "/a/:x/d"), ("end", "/:y/b/e"), ("all", "/*")])
    #expect(bench.find("/a/b/c") == "literal")
    #expect(bench.find("/a/b/d") == "parameter")
    #expect(bench.find("/a/b/e") == "end")
    #expect(bench.find("/a/b/f") == "all")
  }

  // MARK: Methods

  @Test func methods() throws {
    let bench = RouteBench([
      try Route.of("read", ["/a"], methods: ["GET"]), try Route.of("write", ["/a"], methods: ["POST", "PUT"]),
      try Route.of("rest", ["/b"], methods: ["DELETE"]), try Route.of("any", ["/c"]),
    ])
    #expect(bench.find("/a", .get) == "read")
    #expect(bench.find("/a", .head) == "read", "GET includes HEAD")
    #expect(bench.find("/a", .put) == "write")
    #expect(bench.find("/a", .delete) == "405 GET HEAD POST PUT")
    #expect(bench.find("/a", .other) == "405 GET HEAD POST PUT")
    #expect(bench.find("/b", .get) == "405 DELETE")
    for method in Method.allCases { #expect(bench.find("/c", method) == "any") }
  }

  @Test func aRouteThatNamesItsMethodsComesFirst() throws {
    let bench = RouteBench([try Route.of("any", ["/a"]), try Route.of("post", ["/a"], methods: ["POST"])])
    #expect(bench.find("/a", .post) == "post")
    #expect(bench.find("/a", .get) == "any")
  }

  /// HEAD comes with GET only where no route asks for it by name.
  @Test func aRouteThatNamesHeadTakesIt() throws {
    let get = try Route.of("get", ["/a"], methods: ["GET"])
    let head = try Route.of("head", ["/a"], methods: ["HEAD"])
    for routes in [[get, head], [head, get]] {
      #expect(RouteBench(routes).find("/a", .head) == "head")
      #expect(RouteBench(routes).find("/a", .get) == "get")
    }
  }

  /// What opens a WebSocket has nothing to say to HEAD.
  @Test func webSocketsTakeGetOnly() throws {
    var socket = try Route.of("socket", ["/ws"], methods: ["GET"])
    socket.socket = SocketSettings()
    let bench = RouteBench([socket])
    #expect(bench.find("/ws", .get) == "socket")
    #expect(bench.find("/ws", .head) == "405 GET")
    #expect(bench.find("/ws", .post) == "405 GET")
  }

  /// A method that no route can name is taken by routes that name none.
  @Test func methodsWithoutARow() throws {
    let bench = RouteBench([try Route.of("get", ["/a"], methods: ["GET"]), try Route.of("any", ["/b"])])
    #expect(bench.find("/a", .other) == "405 GET HEAD")
    #expect(bench.find("/b", .other) == "any")
  }

  @Test func lessSpecificRoutesAreAskedBeforeA405() throws {
    let bench = RouteBench([
      try Route.of("exact", ["/a/b"], methods: ["GET"]), try Route.of("parameter", ["/a/:x"], methods: ["PUT"]),
      try Route.of("below", ["/a/*"], methods: ["POST"]), try Route.of("other", ["/*"], methods: ["DELETE"]),
    ])
    #expect(bench.find("/a/b", .get) == "exact")
    #expect(bench.find("/a/b", .put) == "parameter")
    #expect(bench.find("/a/b", .post) == "below")
    #expect(bench.find("/a/b", .delete) == "other")
    #expect(bench.find("/a/b", .patch) == "405 GET HEAD POST PUT DELETE")
    #expect(bench.find("/a/c", .get) == "405 POST PUT DELETE")
  }

  // MARK: Hosts and listeners

  @Test func hosts() throws {
    let bench = RouteBench([
      try Route.of("any", ["/*"]), try Route.of("wide", ["/*"], hosts: ["*.example.com"]),
      try Route.of("narrow", ["/*"], hosts: ["*.a.example.com"]),
      try Route.of("exact", ["/*"], hosts: ["b.a.example.com"]),
      try Route.of("six", ["/*"], hosts: ["[::1]"]),
    ])
    for (host, name) in [
      ("b.a.example.com", "exact"), ("B.A.Example.COM", "exact"), ("c.a.example.com", "narrow"),
      ("a.example.com", "wide"),
      ("x.y.example.com", "wide"), ("example.com", "any"), (".example.com", "any"), ("xexample.com", "any"),
      ("", "any"),
      ("b.a.example.com.evil", "any"), ("::1", "six"), ("::2", "any"),
    ] { #expect(bench.find("/p", host: host) == name, "\(host)") }
  }

  @Test func hostsWithoutAPathFallThrough() throws {
    let bench = RouteBench([
      try Route.of("exact", ["/a"], hosts: ["x.com"], methods: ["GET"]),
      try Route.of("suffix", ["/a"], hosts: ["*.com"], methods: ["POST"]), try Route.of("any", ["/b"]),
    ])
    #expect(bench.find("/a", .post, host: "x.com") == "suffix")
    #expect(bench.find("/b", host: "x.com") == "any")
    #expect(bench.find("/a", .put, host: "x.com") == "405 GET HEAD POST")
    #expect(bench.find("/a", host: "y.org") == "404")
  }

  @Test func listeners() throws {
    let bench = RouteBench([
      try Route.of("first", ["/a"], listeners: [0]), try Route.of("second", ["/a"], methods: ["GET"], listeners: [1]),
      try Route.of("last", ["/z"], listeners: [63]),
    ])
    #expect(bench.find("/a", listener: 0) == "first")
    #expect(bench.find("/a", listener: 1) == "second")
    #expect(bench.find("/a", .post, listener: 1) == "405 GET HEAD")
    #expect(bench.find("/a", listener: 2) == "404", "what others serve is no 405 here")
    #expect(bench.find("/z", listener: 63) == "last")
    #expect(bench.find("/z", listener: 0) == "404")
  }

  @Test func severalPathsAndHosts() throws {
    let bench = RouteBench([try Route.of("r", ["/a", "/b/*", "/"], hosts: ["x.com", "*.y.com"])])
    for host in ["x.com", "z.y.com"] {
      for path in ["/", "/a", "/b", "/b/c"] { #expect(bench.find(path, host: host) == "r") }
    }
    #expect(bench.find("/c", host: "x.com") == "404")
    #expect(bench.find("/a", host: "y.com") == "404")
  }

  /// `*` is no path: only what takes everything may take it.
  @Test func theAsteriskIsNotTheRoot() throws {
    #expect(try bench([("root", "/")]).find("*", .options) == "404")
  }

  // MARK: Many routes

  private static let words = ["a", "b", "c", "api", "v1", "users", "x-y", "%C3%A9", "z"]

  private func path(_ random: inout SeededGenerator) -> String {
    var text = ""
    for depth in 0..<(1 + random.below(5)) {
      let kind = random.below(10)
      let literal = kind < 7 ? RouteTableTests.words[random.below(9)] : "s\(random.below(60))"
      text += "/" + (kind < 2 ? ":p\(depth)" : literal)
    }
    switch random.below(8) {
    case 0, 1: return text + "/*"
    case 2: return text + "/"
    default: return text
    }
  }

  @Test(arguments: [(200, 31, 1_500), (10_000, 32, 400)])
  func agreesWithTryingAll(_ count: Int, _ seed: Int, _ queries: Int) throws {
    var random = SeededGenerator(seed: UInt64(seed))
    let hosts = [[], [], ["x.com"], ["*.x.com"], ["*.a.x.com", "y.com"]]
    let methods = [[], ["GET"], ["POST"], ["PUT", "DELETE"], ["GET", "POST"]]
    var routes: [Route] = [try Route.of("all", ["/*"], methods: ["OPTIONS"])]
    for index in 1..<count {
      routes.append(
        try Route.of(
          "r\(index)", (0..<(1 + random.below(2))).map { _ in path(&random) }, hosts: hosts[random.below(5)],
          methods: methods[random.below(5)], listeners: [[0], [1], [0, 1]][random.below(3)]))
    }
    let (bench, naive) = (RouteBench(routes), NaiveRouter(routes))
    let names = ["x.com", "b.x.com", "b.a.x.com", "Y.com", "z.org", ""]
    var found = 0
    for _ in 0..<queries {
      let path = path(&random).replacing(":p", with: "q").replacing("*", with: "s1/a")
      let (host, method) = (names[random.below(6)], [Method.get, .head, .post, .put, .patch, .other][random.below(6)])
      let listener = random.below(2)
      let expected = naive.match(host: host, path: path, method: method, listener: listener)
      let match = bench.match(path, method, host: host, listener: listener)
      if case .route = expected { found += 1 }
      if match != expected { Issue.record("\(method) \(host)\(path) on \(listener): \(match), not \(expected)") }
    }
    #expect(found > queries / 20)
  }
}
