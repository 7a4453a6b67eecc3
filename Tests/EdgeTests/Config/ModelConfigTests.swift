// `providers`, `models`, `credits`, `stores`, and what routes and listeners say about them: decoding, what becomes of
// providers without a key, and remarks. What is wrong with them is in the corpus of broken configurations.

import Testing

@testable import Edge

@Suite struct ModelConfigTests {
  private static let head = "version: 1\nlisteners: {main: {bind: \"127.0.0.1:3003\"}}\n"
  private static let local = "providers: {p: {dialect: openai-chat, endpoints: \"http://h\", key: none}}\n"

  private static func snapshot(
    _ body: String, _ environment: [String: String] = [:], dev: Bool = false
  ) throws -> Snapshot {
    let (outcome, findings) = try Fixture.load(head + body, environment: environment, dev: dev)
    #expect(!outcome.hasErrors, "\(findings)")
    return try #require(outcome.snapshot)
  }

  private static func messages(_ body: String, dev: Bool = false) throws -> [String] {
    let outcome = try Fixture.load(head + body, dev: dev).outcome
    return outcome.diagnoses.map { "\($0.severity): \($0.message)" + ($0.hint.map { " / \($0)" } ?? "") }
  }

  // MARK: - Decoding

  @Test func everyKeyOfAProviderIsDecoded() throws {
    let snapshot = try ModelConfigTests.snapshot(
      """
      providers:
        far:
          dialect: openai-chat
          endpoints: ["http://a.test", "http://b.test:81"]
          path: /api/v2
          key: short
          priority: 7
          timeouts: {connect: 1s, head: 2s, idle: 3s, answer: 4s}
          pool: {size: 5, idle: 6s}
        near: {dialect: openai-chat, endpoints: "http://c.test", key: none}
      models: {m: {providers: [far, near], price: 1, max_output: 1}}
      """)
    #expect(
      snapshot.providers[0]
        == Provider(
          name: "far", dialect: .openAIChat,
          service: Service(
            name: "far", endpoints: [.plain("a.test", 80), .plain("b.test", 81)], connectTimeoutMilliseconds: 1_000,
            headTimeoutMilliseconds: 2_000, idleTimeoutMilliseconds: 3_000, poolSize: 5, poolIdleMilliseconds: 6_000,
            pass: [], trust: nil, serverName: nil),
          basePath: "/api/v2", key: SecretText(bytes: Array("short".utf8)), priority: 7,
          answerTimeoutMilliseconds: 4_000, isDemo: false))
    #expect(
      snapshot.providers[1]
        == Provider(
          name: "near", dialect: .openAIChat,
          service: Service(
            name: "near", endpoints: [.plain("c.test", 80)], connectTimeoutMilliseconds: 3_000,
            headTimeoutMilliseconds: 30_000, idleTimeoutMilliseconds: 120_000, poolSize: 256,
            poolIdleMilliseconds: 10_000, pass: [], trust: nil, serverName: nil),
          basePath: "/v1", key: nil, priority: 1, answerTimeoutMilliseconds: 600_000, isDemo: false))
    #expect(snapshot.models[0].providers == [1, 0], "a lower priority comes first")
  }

  /// What is written, and the prices in 1e-12 credit per token: input, output, cached, written, reasoning, then above
  /// how many tokens those of long input hold, and those.
  private struct PriceCase: Sendable {
    let text: String
    let usual: [Int64]
    var above: Int64 = 0
    var long: [Int64] = [0, 0, 0, 0, 0]
  }

  private static let priceCases: [PriceCase] = [
    PriceCase(text: "0.03", usual: [30_000_000, 30_000_000, 30_000_000, 30_000_000, 30_000_000]),
    PriceCase(text: "0", usual: [0, 0, 0, 0, 0]),
    PriceCase(text: "\"${env:RATE:-0.000000001}\"", usual: [1, 1, 1, 1, 1]),
    PriceCase(
      text: "{input: 1, output: 0.000000002}", usual: [1_000_000_000, 2, 1_000_000_000, 1_000_000_000, 2]),
    PriceCase(
      text: """
        {input: 0.000000005, output: 0.000000004, cached: 0, cache_write: 0.000000002, reasoning: 0.000000001,
            long: {above: 9, input: 0.000000006, output: 0.000000007}}
        """, usual: [5, 4, 0, 2, 1], above: 9, long: [6, 7, 6, 6, 7]),
    PriceCase(
      text: """
        {input: 0, output: 0, long: {above: 1, input: 0, output: 0, cached: 0.000000001, cache_write: 0.000000002,
            reasoning: 0.000000003}}
        """, usual: [0, 0, 0, 0, 0], above: 1, long: [0, 0, 1, 2, 3]),
  ]

  @Test func prices() throws {
    for one in ModelConfigTests.priceCases {
      let body = ModelConfigTests.local + "models: {m: {providers: p, price: \(one.text), max_output: 1}}\n"
      let price = try ModelConfigTests.snapshot(body).models[0].price
      let usual = [price.input, price.output, price.cached, price.cacheWrite, price.reasoning]
      let long = [price.longInput, price.longOutput, price.longCached, price.longCacheWrite, price.longReasoning]
      #expect(usual == one.usual, "\(one.text)")
      #expect(long == one.long, "\(one.text)")
      #expect(price.longInputTokens == one.above, "\(one.text)")
    }
  }

  @Test func everyOtherKeyIsDecoded() throws {
    let snapshot = try ModelConfigTests.snapshot(
      ModelConfigTests.local
        + """
        models:
          Big:2: {providers: p, price: 1, max_output: 4096, upstream_name: org/big, image_tokens: 7}
          small: {providers: p, price: 1, max_output: 16}
        stores: {ledger: memory, durability: relaxed}
        credits: {initial: 0.5}
        server: {memory: {bodies: 1MiB}, stats: public}
        services: {s: {endpoints: "http://s"}}
        routes:
          free: {path: /free, service: s}
          open: {path: /stats, builtin: stats}

        """)
    let models = snapshot.models
    #expect(models.map(\.name) == ["Big:2", "small"])
    #expect(models.map(\.upstreamName) == ["org/big", nil])
    #expect(models.map(\.outputTokensMax) == [4096, 16])
    #expect(models.map(\.imageTokens) == [7, 2000])
    #expect(snapshot.stores == StoreSettings(ledger: .memory, durability: .relaxed))
    #expect(snapshot.credits == CreditSettings(initial: Amount(units: 500_000_000)))
    #expect(snapshot.server.bodyMemoryBytes == 1 << 20 && snapshot.server.statsArePublic)
    #expect(snapshot.routes.map(\.price) == [nil, nil])
    #expect(snapshot.routes[1].target == .builtin(.stats))
  }

  @Test func routesCostAndLeadToModels() throws {
    let folder = try Fixture.Folder()
    try folder.write("policies/a.lua", "return {}\n")
    try folder.write(
      "routes.yaml",
      ModelConfigTests.head + ModelConfigTests.local
        + """
        models: {m: {providers: p, price: 1, max_output: 1}}
        services: {s: {endpoints: "http://s"}}
        policies: {a: {script: a.lua}}
        routes:
          paid: {path: /paid, service: s, price: 0.25, policies: a}
          chat: {path: /chat, dialect: openai-chat, policies: a}

        """)
    let outcome = folder.load()
    #expect(folder.rendered(outcome) == [])
    let routes = try #require(outcome.snapshot).routes
    #expect(routes.map(\.target) == [.service(0), .models(.openAIChat)])
    #expect(routes.map(\.price) == [Amount(units: 250_000_000), nil])
  }

  // MARK: - Providers without a key

  /// The key, whether `--dev` is on, and what becomes of the provider.
  @Test(arguments: [
    ("key: x", false, "asked x"), ("key: x", true, "asked x"), ("key: none", false, "asked"),
    ("key: \"none\"", true, "asked"), ("key: \"${env:UNSET:-none}\"", false, "asked"),
    ("key: \"\"", false, "disabled"), ("key: \"\"", true, "demo"), ("priority: 1", false, "disabled"),
    ("priority: 1", true, "demo"), ("key: \"${env:UNSET:-}\"", false, "disabled"),
    ("key: \"${env:UNSET:-}\"", true, "demo"), ("key: \"${env:KEY:-}\"", false, "asked of-environment"),
    ("key: x, dev: true", false, "disabled"), ("key: x, dev: true", true, "asked x"), ("dev: true", true, "demo"),
  ])
  func keys(_ text: String, _ dev: Bool, _ expected: String) throws {
    let body = """
      providers: {p: {dialect: openai-chat, endpoints: "http://h", path: /x, \(text)}}
      models: {m: {providers: p, price: 1, max_output: 1}}

      """
    let snapshot = try ModelConfigTests.snapshot(body, ["KEY": "of-environment"], dev: dev)
    var found = "disabled"
    if let provider = snapshot.providers.first {
      found = provider.isDemo ? "demo" : "asked"
      if let key = provider.key { found += " " + String(decoding: key.bytes, as: UTF8.self) }
      let endpoint = provider.isDemo ? Endpoint.plain("127.0.0.1", 1) : .plain("h", 80)
      #expect(provider.service.endpoints == [endpoint] && provider.basePath == (provider.isDemo ? "/v1" : "/x"))
      #expect(snapshot.models.first?.providers == [0])
    }
    #expect(found == expected)
  }

  @Test func modelsKeepTheirOtherProviders() throws {
    let body = """
      providers:
        a: {dialect: openai-chat, endpoints: "http://a"}
        b: {dialect: openai-chat, endpoints: "http://b", key: x}
        c: {dialect: openai-chat, endpoints: "http://c", key: x, priority: 0}
        d: {dialect: openai-chat, dev: true}
        e: {dialect: openai-chat, endpoints: "http://e", key: x}
      models:
        all: {providers: [e, d, c, b, a], price: 1, max_output: 1}
        none: {providers: [a, d], price: 1, max_output: 1}
        dev: {providers: [d], price: 1, max_output: 1}

      """
    func offers(dev: Bool) throws -> [String] {
      let snapshot = try ModelConfigTests.snapshot(body, dev: dev)
      return snapshot.models.map { model in
        "\(model.name) " + model.providers.map { snapshot.providers[$0].name }.joined()
      }
    }
    #expect(try offers(dev: false) == ["all ceb", "none "])
    #expect(try offers(dev: true) == ["all cedba", "none ad", "dev d"])
  }

  /// What is said, with and without `--dev`.
  @Test func remarks() throws {
    let body = """
      providers:
        a: {dialect: openai-chat, endpoints: "http://a", key: "${env:A_KEY:-}"}
        b: {dialect: openai-chat, endpoints: "http://b"}
        c: {dialect: openai-chat, dev: true}
        d: {dialect: openai-chat, endpoints: "http://d", key: x}
      models:
        m: {providers: [a, b], price: 1, max_output: 1}
        n: {providers: c, price: 1, max_output: 1}
      routes: {h: {path: /h, builtin: health}}

      """
    let stands = "; under --dev, the demo provider stands in"
    #expect(
      try ModelConfigTests.messages(body) == [
        "warning: the provider 'a' is disabled: A_KEY is not set / set A_KEY" + stands,
        "warning: the provider 'b' is disabled: it has no key / give it a 'key', or write 'key: none' if it asks for "
          + "none" + stands,
        "note: the provider 'c' is left out: it is there under --dev only",
        "warning: no model names the provider 'd'",
        "warning: no provider of the model 'm' can be used",
      ])
    #expect(
      try ModelConfigTests.messages(body, dev: true) == [
        "note: the demo provider stands in for 'a': A_KEY is not set",
        "note: the demo provider stands in for 'b': it has no key", "warning: no model names the provider 'd'",
      ])
  }

  // MARK: - Equivalents

  /// Two providers, one of them for development; models that stand in for each other.
  private static let equal = """
    providers:
      p: {dialect: openai-chat, endpoints: "http://p", key: x}
      q: {dialect: anthropic-messages, endpoints: "http://q"}
      d: {dialect: openai-chat, dev: true}
    models:
      one: {providers: p, price: 1, max_output: 1, equivalents: [dev, three, two]}
      two: {providers: q, price: 1, max_output: 1, equivalents: one}
      dev: {providers: d, price: 1, max_output: 1, equivalents: one}
      three: {providers: q, price: 1, max_output: 1, equivalents: []}
      four: {providers: q, price: 1, max_output: 1, equivalents: three}
    routes: {h: {path: /h, builtin: health}}

    """

  @Test func equivalentsAreDecoded() throws {
    func names(dev: Bool) throws -> [String] {
      let snapshot = try ModelConfigTests.snapshot(ModelConfigTests.equal, dev: dev)
      return snapshot.models.map { model in
        ([model.name] + model.equivalents.map { snapshot.models[$0].name }).joined(separator: " ")
      }
    }
    #expect(try names(dev: true) == ["one dev three two", "two one", "dev one", "three", "four three"])
    #expect(try names(dev: false) == ["one three two", "two one", "three", "four three"])
  }

  /// A model is dead when nobody answers for it, not even an equivalent; those of an equivalent are not asked.
  @Test func modelsThatEquivalentsAnswerAreNotDead() throws {
    let messages = try ModelConfigTests.messages(ModelConfigTests.equal)
    #expect(messages.last == "warning: no provider of the models 'three' and 'four' can be used")
    #expect(messages.count == 3)
    let silent = ModelConfigTests.equal.replacing("endpoints: \"http://p\", key: x", with: "endpoints: \"http://p\"")
    #expect(
      try ModelConfigTests.messages(silent).last
        == "warning: no provider of the models 'one', 'two', 'three' and 'four' can be used")
  }

  @Test func equivalentsAndFallbackAreNamedInChanges() throws {
    func resolved(_ more: String, _ route: String = "") throws -> SectionFields {
      let folder = try Fixture.Folder()
      try folder.write("policies/a.lua", "return {}\n")
      try folder.write(
        "routes.yaml",
        ModelConfigTests.head + ModelConfigTests.local
          + """
          models:
            m: {providers: p, price: 1, max_output: 1\(more)}
            n: {providers: p, price: 1, max_output: 1}
            o: {providers: p, price: 1, max_output: 1}
          policies: {a: {script: a.lua}}
          routes: {chat: {path: /chat, dialect: anthropic-messages, policies: a\(route)}}

          """)
      let outcome = folder.load()
      #expect(folder.rendered(outcome) == [])
      #expect(outcome.snapshot?.routes.first?.fallsBackFromNamed == route.contains("true"))
      #expect(outcome.snapshot?.routes.first?.target == .models(.anthropicMessages))
      return try #require(outcome.resolved)
    }
    let base = try resolved("")
    #expect(ConfigDiff(from: base, to: try resolved(", equivalents: []")).paths(.changed) == [])
    let one = try resolved(", equivalents: n")
    #expect(ConfigDiff(from: base, to: one).paths(.changed) == ["models.m.equivalents"])
    #expect(ConfigDiff(from: one, to: try resolved(", equivalents: [n]")).paths(.changed) == [])
    let two = try resolved(", equivalents: [n, o]")
    #expect(ConfigDiff(from: one, to: two).paths(.changed) == ["models.m.equivalents"])
    let turned = try resolved(", equivalents: [o, n]")
    #expect(ConfigDiff(from: two, to: turned).paths(.changed) == ["models.m.equivalents"])
    let explicit = try resolved("", ", fallback_explicit: true")
    #expect(ConfigDiff(from: base, to: explicit).paths(.changed) == ["routes.chat.fallback_explicit"])
    #expect(
      ConfigDiff(from: explicit, to: try resolved("", ", fallback_explicit: false")).paths(.changed)
        == ["routes.chat.fallback_explicit"])
  }

  /// As many as the table of models considers.
  @Test func asManyProvidersAsAreConsidered() { #expect(ModelChecks.candidatesMax == ModelTable.candidatesMax) }

  @Test func aListenerThatIsAnEndpointIsAPoint() throws {
    let body = """
      providers: {p: {dialect: openai-chat, endpoints: "http://127.0.0.1:3003", key: none}}
      models: {m: {providers: p, price: 1, max_output: 1}}
      routes: {h: {path: /h, builtin: health}}

      """
    let message = "warning: this endpoint is a listener of Edge itself: requests would go in a circle"
    #expect(try ModelConfigTests.messages(body) == [message])
  }

  // MARK: - Secrets, certificates, placeholders

  @Test func keysAreNeverShown() throws {
    let body = """
      providers:
        a: {dialect: openai-chat, endpoints: "http://a", key: sk-hush}
        b: {dialect: openai-chat, endpoints: "http://b", key: "${env:KEY}"}
        c: {dialect: openai-chat, endpoints: "http://c", key: "${env:UNSET:-}"}
        d: {dialect: openai-chat, endpoints: "http://d", key: none}

      """
    let (outcome, findings) = try Fixture.load(ModelConfigTests.head + body, environment: ["KEY": "sk-hush-too"])
    #expect(findings.count == 6, "no model names any, one is disabled, and there is no route")
    let printed = ResolvedPrinter.text(try #require(outcome.resolved))
    let interpolated = String(reflecting: try #require(outcome.snapshot).providers)
    #expect(interpolated.contains("***"))
    #expect(!(findings.joined() + printed + interpolated).contains("sk-hush"))
    let keys = printed.split(separator: "\n").filter { $0.contains(" key:") }.compactMap {
      $0.split(separator: " ").dropFirst().first
    }
    #expect(keys == ["\"***\"", "\"***\"", "\"\"", "none"])
  }

  /// A service and a provider may have one name; what cannot be used needs no certificates.
  @Test func providersKnowWhatTheyTrust() throws {
    let folder = try Fixture.Folder()
    try folder.write("one.pem", try TestCertificate.authority("a").pem)
    try folder.write("two.pem", try TestCertificate.authority("b").pem)
    try folder.write(
      "routes.yaml",
      ModelConfigTests.head
        + """
        services: {same: {endpoints: "https://s", tls: {ca_file: one.pem}}}
        providers:
          same: {dialect: openai-chat, endpoints: "https://p", key: x, tls: {ca_file: two.pem, server_name: n.test}}
          idle: {dialect: openai-chat, endpoints: "https://p", tls: {ca_file: nowhere.pem}}
          plain: {dialect: openai-chat, endpoints: "http://p", key: x}
        models: {m: {providers: [same, idle, plain], price: 1, max_output: 1}}
        routes: {r: {path: /, service: same}}

        """)
    let first = try #require(folder.load().snapshot)
    #expect(first.trustFiles.map(\.path) == [folder.path + "/one.pem", folder.path + "/two.pem"])
    #expect(first.services[0].trust == 0)
    #expect(first.providers.map(\.service.trust) == [1, nil])
    #expect(first.providers.map(\.service.serverName) == ["n.test", nil])

    let before = try #require(folder.load().resolved)
    try folder.write("two.pem", try TestCertificate.authority("c").pem)
    let second = folder.load()
    var diff = ConfigDiff(from: before, to: try #require(second.resolved))
    diff.compareFiles(first, try #require(second.snapshot))
    #expect(diff.paths(.changed) == ["providers.same.tls.ca_file"])
  }

  @Test func placeholdersStandIn() throws {
    let body = """
      providers:
        a: {dialect: "${env:A}", endpoints: "${env:B}", key: "${env:C}", path: "${env:D}", priority: "${env:E}"}
      models:
        m: {providers: a, price: "${env:F}", max_output: "${env:G}", upstream_name: "${env:H}",
            equivalents: ["${env:O}", n]}
        n: {providers: ["${env:I}"], price: {input: "${env:J}", output: 1}, max_output: 1}
      credits: {initial: "${env:K}"}
      stores: {ledger: "${env:L}"}
      server: {stats: "${env:M}", memory: {bodies: "${env:N}"}}
      routes: {h: {path: /h, builtin: health}}

      """
    #expect(try Fixture.load(ModelConfigTests.head + body).outcome.diagnoses.count == 15)
    let outcome = try Fixture.load(ModelConfigTests.head + body, placeholders: true).outcome
    #expect(outcome.diagnoses == [])
    #expect(outcome.snapshot?.models.map(\.name) == ["m"])
    #expect(outcome.snapshot?.models.first?.equivalents == [])
  }

  // MARK: - Credits, stores, listeners

  @Test func developmentBeginsWithCredits() throws {
    func initial(_ body: String, dev: Bool) throws -> (amount: String?, line: String?) {
      let outcome = try Fixture.load(ModelConfigTests.head + body, dev: dev).outcome
      let printed = ResolvedPrinter.text(try #require(outcome.resolved))
      let line = printed.split(separator: "\n").first { $0.contains("initial:") }
      return (
        outcome.snapshot?.credits.initial.text,
        line.map { $0.split(separator: " ").joined(separator: " ") }
      )
    }
    #expect(try initial("routes: {}\n", dev: false) == ("0", "initial: 0 # default"))
    #expect(try initial("routes: {}\n", dev: true) == ("1000", "initial: 1000 # --dev"))
    #expect(try initial("credits: {initial: 2.5}\n", dev: true).amount == "2.5")
    #expect(try initial("credits: {initial: 0}\n", dev: true).amount == "0")
  }

  @Test(arguments: [("production", false), ("development", true), ("test", true), ("", true)])
  func aLedgerInMemory(_ mode: String, _ isAllowed: Bool) throws {
    let body = ModelConfigTests.head + "stores: {ledger: memory}\n"
    let outcome = try Fixture.load(body, environment: ["NODE_ENV": mode]).outcome
    #expect((outcome.snapshot != nil) == isAllowed)
    let other = try Fixture.load(ModelConfigTests.head, environment: ["NODE_ENV": mode]).outcome
    #expect(other.snapshot?.stores == StoreSettings(ledger: .sqlite, durability: .strict))
  }

  /// Routes that name no listener are not reached on those that want to be named, and do not collide there.
  @Test func listenersThatWantToBeNamed() throws {
    let body = """
      version: 1
      listeners:
        own: {bind: "127.0.0.1:3004", only_named: true}
        main: {bind: "127.0.0.1:3003"}
        more: {bind: "127.0.0.1:3005", only_named: false}
      routes:
        a: {path: /x, builtin: health}
        b: {path: /x, builtin: metrics, listeners: own}
        c: {path: /c, builtin: health, listeners: [more, own]}

      """
    let (outcome, findings) = try Fixture.load(body)
    #expect(findings == [])
    #expect(outcome.snapshot?.routes.map(\.listeners) == [[1, 2], [0], [0, 2]])
    let unnamed = try Fixture.load(body.replacing(", listeners: own", with: ", host: h").replacing(", own]", with: "]"))
    #expect(
      unnamed.outcome.diagnoses.map(\.message) == [
        "nothing is reached on the listener 'own': it has 'only_named', and no route names it"
      ])
  }

  @Test func changesAreNamedWithoutValues() throws {
    func resolved(_ key: String, _ price: String) throws -> SectionFields {
      let body = """
        providers: {p: {dialect: openai-chat, endpoints: "http://h", key: \(key)}}
        models: {m: {providers: p, price: \(price), max_output: 1}}

        """
      return try #require(try Fixture.load(ModelConfigTests.head + body).outcome.resolved)
    }
    let base = try resolved("x", "1")
    #expect(ConfigDiff(from: base, to: try resolved("x", "1.0")).paths(.changed) == [])
    #expect(ConfigDiff(from: base, to: try resolved("y", "1")).paths(.changed) == ["providers.p.key"])
    let map = try resolved("x", "{input: 1, output: 1}")
    #expect(ConfigDiff(from: base, to: map).paths(.changed) == ["models.m.price"])
    #expect(
      ConfigDiff(from: map, to: try resolved("x", "{input: 1, output: 1.5}")).paths(.changed)
        == ["models.m.price.output"])
  }
}
