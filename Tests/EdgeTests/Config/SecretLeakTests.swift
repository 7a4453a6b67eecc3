// Secrets in every place where somebody may have put one: no message, hint, excerpt or printed value shows them.

import Testing

@testable import Edge

@Suite struct SecretLeakTests {
  private static let head =
    "version: 1\nlisteners: {main: {bind: \"127.0.0.1:0\"}}\nroutes: {r: {path: /, builtin: health}}\n"
  private static let secret = "sk-proj-Zq81xTTv09ab77LmPo"

  /// What a message may still hold of the secret: nothing as long as this.
  private func check(_ texts: [String], _ secret: String = SecretLeakTests.secret, least: Int = 6) {
    let scalars = Array(secret)
    for text in texts {
      for start in 0...(scalars.count - least) {
        #expect(!text.contains(String(scalars[start..<(start + least)])), "\(text)")
      }
    }
  }

  /// `SECRET` stands for the secret, in files without a grammatical mistake.
  @Test(arguments: [
    // One level off, or under a parent that is misspelt or another.
    "providers:\n  openai: {dialect: openai}\n  key: SECRET",
    "providers: {openai: SECRET}",
    "providers: {SECRET}",
    "providers: {openai: {SECRET}}",
    "providers: [{api_key: SECRET}]",
    "providers: [SECRET]",
    "providers: {openai: {api_key: {value: SECRET}}}",
    "providers: {openai: {headers: {Authorization: Bearer SECRET}}}",
    "providers: {openai: {\"key:SECRET\"}}",
    "providers: {openai: {\"key=SECRET\"}}",
    "provider: {openai: {dialect: openai, key: SECRET}}",
    "Providers: {openai: {key: SECRET}}",
    "auth: SECRET",
    "auth: {SECRET}",
    "auth: [SECRET]",
    "auth: {claims: {secret: SECRET}}",
    "auth: {claims: SECRET}",
    "Auth: {secret: SECRET}",
    "authentication: {jwt: {secret: SECRET}}",
    "secret: SECRET",
    "JWT_SECRET: SECRET",
    "SECRET",
    "SECRET: 1",
    "general_settings: {master_key: SECRET}",
    "litellm: {a: [{b: SECRET}, SECRET]}",
    "models: {m: {api_key: SECRET}}",
    "services: {s: {endpoints: \"http://h:1\", key: SECRET}}",
    "services: {s: {endpoints: \"http://h:1\", token: SECRET}}",
    "services: {s: {endpoints: \"http://h:1\", timeouts: {key: SECRET}}}",
    "services: {s: {endpoints: \"http://h:1\", headers: {Authorization: Bearer SECRET}}}",
    "services: {s: {endpoints: {a: SECRET}}}",
    "services: {s: {endpoints: \"http://h:1/?api_key=SECRET\"}}",
    "services: SECRET",
    "log:\n  level: info\n    SECRET",
    "services: {SECRET: {endpoints: \"http://h:1\"}}",
    "providers: {p: {dialect: openai-chat, endpoints: \"http://h\", path: \"/v1?key=SECRET\", key: none}}",
    "log: SECRET",
    "log: {level: [SECRET]}",
    "policies: {p: {script: a.lua, token: SECRET}}",
    "policies: {p: {script: a.lua, settings: {api_token: SECRET}, x: 1}}",
    // Values of a known key that say where they come from.
    "auth: {issuer: x, leeway: x, secret: !!str SECRET}",
    "auth: {secret: !!int SECRET}",
  ])
  func whereverItStands(_ body: String) throws {
    let text = SecretLeakTests.head + body.replacing("SECRET", with: SecretLeakTests.secret) + "\n"
    let (outcome, messages) = try Fixture.load(text)
    #expect(outcome.snapshot == nil)
    #expect(!messages.isEmpty)
    check(messages)
  }

  /// Files with a grammatical mistake, whose lines nobody can place.
  @Test(arguments: [
    "auth:\n  secret: &SECRET\n", "auth:\n  secret: *SECRET\n", "auth:\n  secret: !SECRET\n",
    "auth:\n  secret: !SECRET x\n", "auth: {secret: !<SECRET> x}\n", "providers:\n  p:\n    key: *SECRET\n",
    "services:\n  s: &SECRET {}\n", "x: !!SECRET y\n",
    "auth:\n  secret:\n    SECRET: x\n    SECRET: y\n", "auth: {SECRET, SECRET}\n",
    "providers:\n  p:\n    key: SECRET\n   dialect: openai\n",
    "providers:\n  p:\n    dialect: openai\n    other: x: SECRET\n",
    "auth:\n  secret:\n    - |\n      SECRET\n  - x\n",
    "auth: {\nleeway: SECRET SECRET\n: x\n",
    "services:\n  s:\n    api_key: SECRET: x\n", "services:\n  s: SECRET: x\n", "SECRET: x: y\n",
    "JWT_SECRET: SECRET: x\n", "policies:\n  a: {script: a.lua, settings: {token: SECRET, x: y: z}}\n",
    "policies:\n  a:\n    settings:\n      token:\n        a: b: SECRET\n",
    "master:\n  a: SECRET: x\n", "litellm_settings:\n  - x\n  b: SECRET\n",
  ])
  func whereTheGrammarIsBroken(_ body: String) throws {
    let text = SecretLeakTests.head + body.replacing("SECRET", with: SecretLeakTests.secret)
    let (outcome, messages) = try Fixture.load(text)
    #expect(outcome.snapshot == nil)
    #expect(!messages.isEmpty)
    check(messages)
  }

  /// What is pasted from elsewhere: JSON, other roots.
  @Test(arguments: [
    "{\n  \"providers\": {\n    \"p\": {\n      \"key\": \"SECRET\",\n      \"key\": \"SECRET\"\n    }\n  }\n}\n",
    "{\n  \"providers\": {\n    \"p\": {\n      \"key\": \"SECRET\"\n      \"dialect\": \"openai\"\n    }\n  }\n}\n",
    "{\"providers\": {\"p\": {\"key\": \"SECRET\"}, \"p\": {}}}\n", "{\n\"x\": [\n\"SECRET\"\n\"y\"\n]\n}\n",
    "- version: 1\n- auth: {secret: SECRET}\n", "- SECRET\n", "SECRET\n", "\"SECRET\"\n", "SECRET: SECRET\n",
    "auth:\n\tsecret: SECRET\n",
  ])
  func whateverTheFile(_ body: String) throws {
    let (outcome, messages) = try Fixture.load(body.replacing("SECRET", with: SecretLeakTests.secret))
    #expect(outcome.snapshot == nil)
    #expect(!messages.isEmpty)
    check(messages)
  }

  @Test(arguments: ["s3cr(etPW9", "hunter'2PW", "a,b[cdefg", "with blank", "a@b@cdefg", "a/b/cdefg", "a?b#cdefg"])
  func passwordsOfURLs(_ password: String) throws {
    for form in ["http://admin:PW@h:1", "admin:PW@h:1", "HTTPS://admin:PW@h:1/x"] {
      if form.hasPrefix("admin"), password.contains(" ") { continue }
      let url = form.replacing("PW", with: password)
      let body = "services: {s: {endpoints: \"\(url)\", timeouts: {x: 1}}}\nlog: {level: \"\(url)\"}\n"
      let (outcome, messages) = try Fixture.load(SecretLeakTests.head + body)
      #expect(outcome.snapshot == nil)
      check(messages, password, least: 5)
    }
  }

  @Test func pathsAreShownNevertheless() throws {
    let body = "services: {s: {endpoints: \"http://h:1\"}}\nroutes: {a: {path: \"/@me\", service: t}}\n"
    let (_, messages) = try Fixture.load(
      "version: 1\nlisteners: {main: {bind: \"127.0.0.1:0\"}}\n" + body)
    #expect(messages.contains { $0.contains("{path: \"/@me\", service: t}") }, "\(messages)")
  }

  /// A value that came from outside comes back in no message of a check.
  @Test func valuesFromOutside() throws {
    let folder = try Fixture.Folder()
    try folder.write("tok", SecretLeakTests.secret + "\n")
    for value in ["${env:TOK}", "${file:tok}", "x${env:TOK}"] {
      for row in [
        "include: VALUE/*.yaml", "include: VALUE", "include: VALUE/a.yaml", "log: {level: VALUE}",
        "services: {s: {endpoints: VALUE}}", "roles: {r: {permissions: VALUE}}",
        "models: {m: {price: 1, providers: VALUE}}", "policies: {p: {script: VALUE}}",
        "services: {s: {endpoints: \"http://h:1\"}, t: {endpoints: \"https://h:1\", tls: {ca_file: VALUE}}}",
      ] {
        let body = SecretLeakTests.head + row.replacing("VALUE", with: "\"\(value)\"") + "\nx: 1\n"
        try folder.write("routes.yaml", body)
        check(folder.rendered(folder.load(["TOK": SecretLeakTests.secret])))
        // Without the unknown key, what is checked later.
        try folder.write("routes.yaml", body.replacing("\nx: 1", with: ""))
        check(folder.rendered(folder.load(["TOK": SecretLeakTests.secret])))
      }
    }
  }

  @Test func scriptsDoNotTellTheirSettings() throws {
    let scripts = [
      "return {init = function(s) error('bad ' .. s.tok) end, on_log = function() end}",
      "return {init = function(s) error('bad ' .. s.tok:sub(1, 9), 0) end, on_log = function() end}",
      "return {init = function(s) edge.limit.define('l', {limit = s.tok}) end, on_log = function() end}",
      "return {init = function(s) local x = s[s.tok].y end, on_log = function() end}",
    ]
    for script in scripts {
      for (settings, environment) in [
        ("tok: \"${env:TOK}\"", ["TOK": SecretLeakTests.secret]),
        ("tok: \"${env:TOK}\", other: 1", ["TOK": SecretLeakTests.secret]),
      ] {
        let findings = try PolicyBench.findings(
          "policies: {p: {script: p.lua, settings: {\(settings)}}}\n", ["p.lua": script], environment: environment)
        #expect(findings.count == 1)
        check(findings)
      }
    }
  }

  /// Texts whose name says what they are.
  @Test func settingsWithTheNameOfASecret() throws {
    let folder = try Fixture.Folder()
    try folder.write("policies/p.lua", "return {init = function() end, on_log = function() end}")
    try folder.write(
      "routes.yaml",
      SecretLeakTests.head + "policies: {p: {script: p.lua, settings: {api_token: \(SecretLeakTests.secret), "
        + "max_tokens: 5, list: {password: \"\", header: x-api-key}}}}\n")
    let resolved = try #require(folder.load().resolved)
    let text = ResolvedPrinter.text(resolved)
    check([text])
    #expect(text.contains("{api_token: \"***\", max_tokens: 5, list: {password: \"\", header: x-api-key}}"))
  }

  @Test func partsOfSecretsAreHidden() {
    #expect(SecretText.conceal("a 'abcdefghij' b", ["abcdefghij"]) == "a '***' b")
    #expect(SecretText.conceal("a 'cdefghi' b", ["abcdefghij"]) == "a '***' b")
    #expect(SecretText.conceal("a 'cdefg' b", ["abcdefghij"]) == "a 'cdefg' b")
    #expect(SecretText.conceal("abcd abc", ["abcd"]) == "*** abc")
    #expect(SecretText.conceal("ab", ["ab", ""]) == "ab")
    #expect(SecretText.conceal("", ["abcdefgh"]) == "")
  }

  @Test(arguments: [
    ("timeouts", true), ("maxTokens", true), ("x-api-key", true), ("head_2", true), ("version2", true),
    (SecretLeakTests.secret, false), ("hunter2hunter", false), ("key:value", false), ("a b", false), ("", false),
    ("abcdefghijklmnopqrstuvwxyzabcdefg", false), ("aBcDeFgHiJ", false), ("12345", false),
  ])
  func namesOfKeys(_ text: String, _ isPlain: Bool) { #expect(SecretName.isPlain(text) == isPlain) }
}
