// Mistakes that are easily made: each is found, and the hint leads to what was meant.

import Testing

@testable import Edge

@Suite struct MistakeTests {
  private static let head =
    "version: 1\nlisteners: {main: {bind: \"127.0.0.1:3003\"}}\nroutes: {r: {path: /, builtin: health}}\n"

  private static func messages(_ body: String, _ environment: [String: String] = [:]) throws -> [String] {
    try Fixture.load(head + body + "\n", environment: environment).text
  }

  /// A body, and what its only message holds.
  @Test(arguments: [
    // References.
    ("server: {var: \"${env:V:-${env:HOME}/var}\"}", "a reference cannot stand in the default of another"),
    ("server: {var: \"${ENV:V}\"}", "did you mean '${env:V}'?"),
    ("server: {var: \"${File:/x}\"}", "did you mean '${file:/x}'?"),
    ("server: {var: \"${V}\"}", "did you mean '${env:V}'?"),
    // Numbers and quantities.
    ("server: {workers: 08}", "write 8\n"), ("server: {workers: 010}", "write 10, or 0o10 if octal is meant"),
    ("server: {workers: -010}", "write -10\n"), ("server: {drain: 30S}", "did you mean '30s'?"),
    ("server: {drain: 30 s}", "did you mean '30s'?"), ("server: {drain: 30 sec}", "did you mean '30s'?"),
    // Names and addresses of services.
    ("services: {s: {endpoints: \"http://h:1 http://i:1\"}}", "write [\"http://h:1\", \"http://i:1\"]"),
    ("services: {s: {endpoints: \"http://h:1, http://i:1\"}}", "write [\"http://h:1\", \"http://i:1\"]"),
    ("services: {s: {endpoints: \"http://h:1\", timeouts: {read: 30s}}}", "known here: connect, head"),
    (
      "providers: {p: {dialect: openai, key: none, endpoints: \"http://h:1/v1\"}}",
      "written as 'path', such as path: /v1"
    ),
    // Keys.
    ("timeouts: {head: 1s}", "'timeouts' stands in server, services.NAME, providers.NAME"),
    ("log:\n  level: info\n    extra", "the value goes on in line 6"),
    ("policy: {}", "did you mean 'policies'?"),
    ("services: {s: {endpoints: \"http://h:1\"}, endpoints: \"http://h:1\"}", "'endpoints' is a key of a service"),
    ("log: {\"level:info\"}", "write 'level: ' with a blank behind the colon"),
    ("models: {m: {price: 1, max_tokens: 5, providers: []}}", "did you mean 'max_output'?"),
  ])
  func hint(_ body: String, _ wanted: String) throws {
    let found = try MistakeTests.messages(body).map { $0 + "\n" }
    #expect(found.contains { $0.contains(wanted) }, "\(found)")
  }

  @Test(arguments: [
    ("3003", "write \"*:3003\" for every address, or 127.0.0.1:3003"),
    ("http://127.0.0.1:80", "is a URL, not an address to listen on\n  bind\n  write 127.0.0.1:80"),
    ("127.0.0.1", "write it like 127.0.0.1:3003"),
  ])
  func binds(_ text: String, _ wanted: String) throws {
    do throws(ValueComplaint) {
      _ = try HostPort.readBind(text)
      Issue.record("accepted")
    } catch {
      #expect("\(error.message)\n  bind\n  \(error.hint ?? "")".contains(wanted), "\(error)")
    }
  }

  /// A hint that would be refused itself is none.
  @Test(arguments: [
    ("api", "did you mean '/api'?"), ("http://h/api", ""), ("~ ^/api", ""), ("^/a$", ""), ("“/h”", ""),
    ("-/a -/b", ""), ("/users/{id}", "did you mean '/users/:id'?"), ("/api/<id>/x", "did you mean '/api/:id/x'?"),
    ("/a{b}", "write %7B instead"),
  ])
  func paths(_ text: String, _ wanted: String) throws {
    do throws(ValueComplaint) {
      _ = try PathPattern.read(text)
      Issue.record("accepted")
    } catch {
      #expect((error.hint ?? "") == wanted, "\(error)")
    }
  }

  @Test(arguments: [
    ("http://127.0.0.1:3007", "write the name of a service; URLs stand in its 'endpoints'"),
    ("chat-service ", "did you mean 'chat-service'?"), ("auth, rate", "write [auth, rate] for several"),
    ("p/gpt-4", ""), ("Chat", "did you mean 'chat'?"),
  ])
  func names(_ text: String, _ wanted: String) throws {
    do throws(ValueComplaint) {
      _ = try NameText.readReference(text, of: .service)
      Issue.record("accepted")
    } catch {
      #expect((error.hint ?? "") == wanted, "\(error)")
    }
  }

  // MARK: - What cannot be read

  @Test(arguments: [
    ("services:\n  s:\n    endpoints:x\n    tls: {}", "line 6 has no blank behind its ':'"),
    ("<<<<<<< HEAD\nlog: {}\n", "line 4 is what a merge conflict leaves behind"),
    ("log:\n  {{ name }}\n  x: y", "fill in a template before it is read"),
    ("log:\n  level: info\n  \u{A0}access: true\n", "holds a no-break space (U+00A0)"),
  ])
  func causes(_ body: String, _ wanted: String) throws {
    let found = try MistakeTests.messages(body)
    #expect(found.contains { $0.contains(wanted) }, "\(found)")
  }

  // MARK: - Secrets that are none

  @Test(arguments: [
    ("\"***\"", "asterisks stand for a key that is not shown"), ("None", "did you mean 'none'?"),
    ("$OPENAI_API_KEY", "the key is the name of a variable"), ("os.environ/OPENAI", "write ${env:NAME}"),
  ])
  func keys(_ key: String, _ wanted: String) throws {
    let body = "providers: {p: {dialect: openai, endpoints: \"http://h:1\", key: \(key)}}"
    let found = try MistakeTests.messages(body)
    #expect(found.contains { $0.contains(wanted) }, "\(found)")
    for message in found { #expect(!message.contains("OPENAI")) }
  }

  @Test(arguments: [
    (String(repeating: " ", count: 40), "the secret is nothing but blanks", true),
    (String(repeating: "*", count: 40), "asterisks stand for a secret", true),
    ("'" + String(repeating: "ab", count: 20) + "'", "is in quotes, which count as part of it", false),
    (String(repeating: "ab", count: 20) + " ", "begins or ends with a blank", false),
    (String(repeating: "a", count: 40), "is one character over and over", false),
  ])
  func secrets(_ secret: String, _ wanted: String, _ isError: Bool) throws {
    let (outcome, found) = try Fixture.load(MistakeTests.head, environment: ["JWT_SECRET": secret])
    #expect(found.contains { $0.contains(wanted) }, "\(found)")
    #expect((outcome.snapshot == nil) == isError)
    let (written, more) = try Fixture.load(MistakeTests.head + "auth: {secret: \"\(secret)\"}\n")
    #expect(more.contains { $0.contains(wanted) }, "\(more)")
    #expect((written.snapshot == nil) == isError)
    for message in found + more { #expect(!message.contains("abab") && !message.contains("aaaa")) }
  }

  // MARK: - What is right, but surely not meant

  @Test(arguments: [
    ("*", "127.0.0.1", true), ("*", "localhost", true), ("*", "[::1]", true), ("*", "10.0.0.1", false),
    ("0.0.0.0", "127.0.0.1", true), ("0.0.0.0", "[::1]", false), ("[::]", "[::1]", true),
    ("127.0.0.1", "localhost", true), ("127.0.0.1", "127.0.0.1", true), ("127.0.0.1", "127.0.0.2", false),
    ("10.0.0.1", "localhost", false),
  ])
  func circles(_ bind: String, _ host: String, _ isCircle: Bool) throws {
    for (port, isSame) in [(3003, true), (3004, false)] {
      let (outcome, found) = try Fixture.load(
        "version: 1\nlisteners: {main: {bind: \"\(bind):3003\"}}\nroutes: {r: {path: /, service: s}}\n"
          + "services: {s: {endpoints: \"http://\(host):\(port)\"}}\n")
      #expect(outcome.snapshot != nil)
      #expect(found.contains { $0.contains("in a circle") } == (isCircle && isSame), "\(found)")
    }
  }

  @Test(arguments: [
    (
      "servces:use", "", "no role but those with '*' has the permission 'servces:use'\n", "did you mean 'services:use'?"
    ),
    ("mcp:raed", "", "no role but those with '*' has", "did you mean 'mcp:read'?"),
    ("mcp:read", "", "", ""), ("gateway:read", "", "", ""),
    ("mcp:other", "roles: {user: {permissions: \"mcp:*\"}}\n", "", ""),
    (
      "gateway:read", "roles: {admin: {permissions: [x]}}\n", "no role has the permission 'gateway:read'\n", ""
    ),
  ])
  func permissions(_ permission: String, _ roles: String, _ wanted: String, _ hint: String) throws {
    let folder = try Fixture.Folder()
    try folder.write("policies/p.lua", "return {on_request = function() end}")
    try folder.write(
      "routes.yaml",
      "version: 1\nlisteners: {main: {bind: \"127.0.0.1:0\"}}\npolicies: {p: {script: p.lua}}\n"
        + "routes: {r: {path: /, builtin: health, policies: p, permission: \"\(permission)\"}}\n" + roles)
    let found = folder.rendered(folder.load()).map { $0 + "\n" }
    if wanted.isEmpty {
      #expect(found == [])
    } else {
      #expect(found.count == 1 && found[0].contains(wanted) && (hint.isEmpty || found[0].contains(hint)), "\(found)")
    }
  }

  @Test(arguments: [
    ("0755", "begins with a zero"), ("99999999999999999999", "is too large for a whole number"),
    ("1e400", "is too large for a number"), ("[1, {a: 007}]", "begins with a zero"),
  ])
  func numbersInSettings(_ value: String, _ wanted: String) throws {
    let found = try MistakeTests.messages("policies: {p: {script: p.lua, settings: {mode: \(value)}}}")
    #expect(found.contains { $0.contains("a value of 'policies.p.settings' \(wanted)") }, "\(found)")
    let quoted = try MistakeTests.messages("policies: {p: {script: p.lua, settings: {mode: \"0755\", f: .inf}}}")
    #expect(!quoted.contains { $0.contains("a value of") })
  }

  // MARK: - Settings of scripts

  @Test func settingsThatNobodyReads() throws {
    let found = try PolicyBench.findings(
      "policies: {p: {script: p.lua, settings: {price: 3}}, q: {script: p.lua, settings: {}}}\n",
      ["p.lua": "return {on_log = function() end}"])
    #expect(found.count == 1)
    #expect(
      found.first?.contains("'policies.p.settings' has no effect: 'p.lua' has no 'init'") ?? false, "\(found)")
  }

  /// What is to be changed is shown first.
  @Test func settingsThatAreRefused() throws {
    let found = try PolicyBench.findings(
      "policies: {p: {script: p.lua, settings: {n: 1}}}\n",
      ["p.lua": "return {\n  init = function(s) error('n is 2', 0) end,\n  on_log = function() end}"])
    #expect(
      found == [
        """
        routes.yaml:3:41: error: n is 2
          policies: {p: {script: p.lua, settings: {n: 1}}}
                                                  ^~~~~~
        p.lua:2:3: note: this line of the script says so
            init = function(s) error('n is 2', 0) end,
            ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
        """
      ])
  }

  /// One script that takes too long costs what it may cost, many do not cost as much each.
  @Test func slowScripts() throws {
    let rows = (0..<6).map { "  p\($0): {script: p.lua, settings: {n: \($0)}}\n" }.joined()
    let found = try PolicyBench.findings(
      "policies:\n" + rows, ["p.lua": "return {init = function() while true do end end, on_log = function() end}"])
    #expect(found.count == 2, "\(found)")
  }
}
