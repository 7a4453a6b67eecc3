import Testing

@testable import Edge

struct RouteParametersTests {
  private let arena = Arena()

  private func value(_ name: String, of patterns: [String], in path: String) throws -> String? {
    let parameters = RouteParameters(try patterns.map(PathPattern.read), arena: arena)
    let (name, path) = (arena.text(name), arena.text(path))
    return parameters.value(
      of: UnsafeBufferPointer(start: name.start, count: name.count), in: path.start, path.count
    ).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func segments() throws {
    #expect(try value("id", of: ["/users/:id"], in: "/users/7") == "7")
    #expect(try value("id", of: ["/users/:id/*"], in: "/users/7/a/b") == "7")
    #expect(try value("b", of: ["/:a/x/:b"], in: "/1/x/%20") == "%20")
    #expect(try value("a", of: ["/:a/x/:b"], in: "/1/x/2") == "1")
    #expect(try value("c", of: ["/:a/x/:b"], in: "/1/x/2") == nil)
  }

  /// Of several paths the one that matches counts.
  @Test func severalPaths() throws {
    let paths = ["/v1/:id", "/v2/:id/:id2", "/plain"]
    #expect(try value("id", of: paths, in: "/v1/a") == "a")
    #expect(try value("id", of: paths, in: "/v2/b/c") == "b")
    #expect(try value("id2", of: paths, in: "/v2/b/c") == "c")
    #expect(try value("id2", of: paths, in: "/v1/a") == nil)
    #expect(try value("id", of: paths, in: "/plain") == nil)
  }

  @Test func pathsThatDoNotMatch() throws {
    for path in ["/users", "/users/", "/users/7/8", "/other/7", "/"] {
      #expect(try value("id", of: ["/users/:id"], in: path) == nil, "\(path)")
    }
  }
}
