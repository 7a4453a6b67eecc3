// The command line: operands, options with and without values, those that may be given several times.

import Testing

@testable import Edge

@Suite struct CommandTableTests {
  private let row = CommandRow(
    verb: "ask", summary: "asks", operands: ["METHOD", "URL"],
    options: [
      CommandOption("-H", value: "FIELD", isRepeatable: true, "a field"), CommandOption("-d", value: "BODY", "a body"),
      .config, .dev,
    ]
  ) { _ in ExitCode.success }

  private func read(_ words: String...) throws(UsageError) -> CommandArguments { try CommandArguments.read(words, row) }

  @Test func operandsAndOptions() throws {
    let given = try read("-H", "a: b", "GET", "--dev", "/x=y", "-H", "c: d=e", "--config=f", "-d", "-1")
    #expect(given.operands == ["GET", "/x=y"])
    #expect(given.values("-H") == ["a: b", "c: d=e"])
    #expect(given.value("-d") == "-1")
    #expect(given.configPath == "f")
    #expect(given.has("--dev"))
    #expect(try read("GET", "/", "-Ha: b", "-d@x=y").value("-d") == "@x=y")
    #expect(try read("GET", "/", "-Ha: b").values("-H") == ["a: b"])
    #expect(try read("GET", "/").configPath == "routes.yaml")
  }

  @Test func whatIsWrong() {
    let cases: [([String], String)] = [
      ([], "METHOD is missing; usage: edge ask METHOD URL [OPTIONS]"), (["GET"], "URL is missing"),
      (["GET", "/", "secret"], "too many arguments"), (["GET", "/", "-d", "a", "-d", "b"], "-d is given twice"),
      (["GET", "/", "-d"], "-d needs a value"), (["GET", "/", "--dev=1"], "--dev takes no value"),
      (["GET", "/", "--confg", "f"], "did you mean '--config'?"),
    ]
    for (words, part) in cases {
      do throws(UsageError) {
        _ = try CommandArguments.read(words, row)
        Issue.record("\(words) was read")
      } catch {
        #expect(error.message.contains(part), "\(words)")
        #expect(!error.message.contains("secret"), "what is no option is not repeated")
      }
    }
  }
}
