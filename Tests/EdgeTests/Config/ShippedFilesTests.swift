// The files that ship must load.

import Testing

@testable import Edge

@Suite struct ShippedFilesTests {
  @Test func theChatServiceHasALimitOfItsOwn() throws {
    let outcome = Loader.load(
      path: Fixture.repository + "/routes.yaml", options: LoadOptions(environment: Fixture.environment))
    let limit = try #require(outcome.snapshot).policies.first { $0.name == "chat-limit" }
    #expect(limit?.settings == .map([SettingsPair(key: "limit", value: .text("200 per 1m"))]))
  }

  @Test func theyLoadWithoutEnvironment() throws {
    let outcome = Loader.load(
      path: Fixture.repository + "/routes.yaml", options: LoadOptions(environment: Fixture.environment))
    #expect(
      outcome.diagnoses.map(\.message) == [
        "the provider 'openai' is disabled: OPENAI_API_KEY is not set",
        "the provider 'claude' is disabled: CLAUDE_API_KEY is not set",
        "the provider 'demo' is left out: it is there under --dev only",
        "the provider 'demo-anthropic' is left out: it is there under --dev only",
        "no provider of the models 'gpt-3.5-turbo', 'gpt-4', 'gpt-4-turbo', 'claude-3-haiku', 'claude-3-opus' and "
          + "'claude-3-sonnet' can be used",
      ])
    let snapshot = try #require(outcome.snapshot)
    #expect(
      snapshot.listeners == [
        Listener(name: "main", address: HostPort(host: "127.0.0.1", port: 3003)),
        Listener(name: "metrics", address: HostPort(host: "127.0.0.1", port: 3004), isOnlyNamed: true),
      ])
    let service = try #require(snapshot.services.first)
    #expect(snapshot.services.count == 1)
    #expect(service.name == "chat-service")
    #expect(service.endpoints == [.plain("127.0.0.1", 3007)])
    #expect(service.headTimeoutMilliseconds == 15_000)
    let lines = snapshot.routes.map { route in
      let policies = route.policies.map { snapshot.policies[$0].name }.joined(separator: " ")
      let listeners = route.listeners.map { snapshot.listeners[$0].name }.joined(separator: " ")
      return "\(route.name) \(route.paths[0].text) [\(policies)] \(route.permission ?? "-") on \(listeners)"
    }
    #expect(
      lines == [
        "health /health [] - on main", "ready /ready [] - on main",
        "stats /stats [auth permissions] gateway:read on main", "metrics /metrics [] - on metrics",
        "whoami /api/whoami [auth rate-limit] - on main",
        "chat-completions /v1/chat/completions [auth permissions select-provider credits rate-limit] services:use on "
          + "main",
        "messages /v1/messages [auth permissions select-provider credits rate-limit] services:use on main",
        "platform / [attempts-by-address auth attempts-by-user permissions select-provider credits rate-limit] "
          + "services:use on main",
        "models /v1/models/* [auth] - on main", "credits-balance /api/credits/balance [auth rate-limit] - on main",
        "credits-history /api/credits/history [auth rate-limit] - on main",
        "credits-grant /api/credits/grant [auth permissions rate-limit] credits:grant on main",
        "chat /api/chat/* [auth permissions chat-limit] services:use on main",
      ])
    let targets = Dictionary(snapshot.routes.map { ($0.name, $0.target) }, uniquingKeysWith: { first, _ in first })
    #expect(targets["chat-completions"] == .models(.openAIChat))
    #expect(targets["messages"] == .models(.anthropicMessages))
    #expect(snapshot.routes.allSatisfy { !$0.fallsBackFromNamed })
    #expect(targets["platform"] == .models(.platformV1))
    let platform = try #require(snapshot.routes.first { $0.name == "platform" })
    #expect(platform.paths.map(\.text) == ["/", "/ws"] && platform.methods == [.get])
    #expect(platform.socket == SocketSettings(takesQueryToken: true))
    #expect(snapshot.routes.allSatisfy { ($0.socket != nil) == ($0.name == "platform") })
    #expect(targets["models"] == .builtin(.models))
    #expect(targets["chat"] == .service(0))
    #expect(snapshot.providers.isEmpty && snapshot.stores.ledger == .sqlite && snapshot.credits.initial == .zero)
    let models = snapshot.models.map { model in
      "\(model.name) " + model.equivalents.map { snapshot.models[$0].name }.joined(separator: " ")
    }
    #expect(
      models == [
        "gpt-3.5-turbo claude-3-haiku", "gpt-4 claude-3-opus", "gpt-4-turbo claude-3-sonnet",
        "claude-3-haiku gpt-3.5-turbo", "claude-3-opus gpt-4", "claude-3-sonnet gpt-4-turbo",
      ])
    #expect(
      outcome.files.map(\.path).map { $0.split(separator: "/").last }
        == ["routes.yaml", "providers.yaml", "services.yaml"])
  }

  @Test func developmentNeedsNoKey() throws {
    let demo = HostPort(host: "127.0.0.1", port: 4321)
    let folder = try Fixture.Folder()
    for name in ["routes.yaml", "conf.d", "policies"] {
      try folder.copy(from: Fixture.repository + "/" + name, to: name)
    }
    let options = LoadOptions(
      environment: Fixture.environment.merging(["SSL_CERT_FILE": "/nonexistent"]) { $1 }, dev: true, demo: demo)
    let outcome = Loader.load(path: folder.path + "/routes.yaml", options: options)
    #expect(outcome.diagnoses.filter { $0.severity != .note } == [])
    let snapshot = try #require(outcome.snapshot)
    #expect(snapshot.providers.map(\.name) == ["openai", "claude", "demo", "demo-anthropic"])
    #expect(snapshot.providers.map(\.priority) == [1, 2, 1, 1])
    let dialects = snapshot.providers.map(\.dialect)
    #expect(dialects == [.openAIChat, .anthropicMessages, .openAIChat, .anthropicMessages])
    #expect(snapshot.providers.allSatisfy { $0.isDemo && $0.service.endpoints.map(\.address) == [demo] })
    #expect(snapshot.credits.initial.text == "1000")
    #expect(snapshot.models.count == 15)
    let fallback = try #require(snapshot.models.first { $0.name == "demo-fallback" })
    #expect(fallback.upstreamName == "demo-500")
    #expect(fallback.equivalents.map { snapshot.models[$0].name } == ["demo-claude"])
    let prices =
      ["claude-3-haiku": 250_000, "claude-3-opus": 15_000_000, "claude-3-sonnet": 3_000_000] as [String: Int64]
    for (name, price) in prices { #expect(snapshot.models.first { $0.name == name }?.price.output == price) }
    #expect(snapshot.models.first { $0.name == "demo-max" }?.price.output == 1_000_000_000)
    #expect(snapshot.models.first { $0.name == "gpt-4" }?.price.input == 30_000_000)
  }

  @Test func portsAct() throws {
    let variables = ["PORT": "8080", "METRICS_PORT": "0", "OPENAI_API_KEY": "sk-a", "CLAUDE_API_KEY": "sk-c"]
    let options = LoadOptions(environment: Fixture.environment.merging(variables) { $1 })
    let outcome = Loader.load(path: Fixture.repository + "/routes.yaml", options: options)
    #expect(outcome.snapshot?.listeners.map(\.address.port) == [8080, 0])
    #expect(outcome.snapshot?.providers.first?.key == SecretText(bytes: Array("sk-a".utf8)))
    #expect(outcome.snapshot?.providers.last?.key == SecretText(bytes: Array("sk-c".utf8)))
    #expect(outcome.snapshot?.providers.map(\.isDemo) == [false, false])
    #expect(outcome.diagnoses.filter { $0.severity != .note } == [])
  }

  @Test func theExampleEnvironmentIsValidAndActs() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", "version: 1\nlisteners: {main: {bind: '127.0.0.1:${env:PORT}'}}\nroutes: {}\n")
    try folder.copy(from: Fixture.repository + "/.env.example", to: ".env")
    let outcome = folder.load(dev: true)
    #expect(outcome.diagnoses.filter { $0.severity == .error } == [])
    #expect(outcome.snapshot?.log.level == .info)
    #expect(outcome.snapshot?.listeners.first?.address.port == 3003)
  }
}
