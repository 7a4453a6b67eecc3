import Testing

@testable import Edge

/// Answers of the admin socket, as texts and as what is read from them.
enum AdminSample {
  static let report =
    "{\"outcome\":\"OUTCOME\",\"generation\":5,\"time\":\"T\",\"milliseconds\":12,\"errors\":[],\"warnings\":[],"
    + "\"changes\":[],\"more\":0}"

  static let status =
    "{\"version\":\"0.1.0\",\"pid\":4711,\"config\":\"/a/routes.yaml\",\"development\":false,\"state\":\"serving\","
    + "\"started\":\"2026-01-31T12:00:00.000Z\",\"uptime\":7384,\"workers\":2,\"generation\":5,\"generations\":["
    + "{\"number\":4,\"since\":\"S\",\"running\":12},{\"number\":5,\"since\":\"S\",\"running\":3}],\"listeners\":["
    + "{\"name\":\"main\",\"address\":\"127.0.0.1:3003\",\"serves\":\"routes\"}],\"connections\":10,\"webSockets\":1,"
    + "\"users\":1,\"exchanges\":{\"running\":4,\"total\":1000},\"cpuSeconds\":1.234,\"residentBytes\":12345678,"
    + "\"descriptors\":{\"open\":20,\"max\":1048576},\"bodies\":{\"bytes\":0,\"max\":268435456},"
    + "\"ledger\":{\"failing\":false,\"queue\":0},\"creditsCharged\":1.25,"
    + "\"reloads\":{\"done\":1,\"unchanged\":0,\"failed\":2,\"refused\":0},\"restart\":[],\"reload\":null}"

  static func answer(_ text: String, _ status: Int = 200) -> AdminAnswer {
    AdminAnswer(status: status, body: Array(text.utf8))
  }

  static func reading(_ change: (inout StatusReading) -> Void = { _ in }) throws -> StatusReading {
    var reading = try StatusReading.read(answer(status))
    change(&reading)
    return reading
  }
}

struct ReloadTextTests {
  private func reason(_ body: () throws(AdminFault) -> Void) -> String {
    do throws(AdminFault) { try body() } catch { return error.reason }
    return ""
  }

  @Test func everyKindOfChange() {
    var report = ReloadReading(outcome: .reloaded, generation: 5, milliseconds: 12)
    report.changes = [
      ChangeReading(kind: "restart", path: "server.workers", before: "2", after: "4"),
      ChangeReading(kind: "changed", path: "models.gpt-4.price", before: "0.03", after: "0.05"),
      ChangeReading(kind: "changed", path: "policies.auth", before: nil, after: nil),
      ChangeReading(kind: "removed", path: "services.old", before: nil, after: nil),
      ChangeReading(kind: "added", path: "routes.chat", before: nil, after: nil),
    ]
    let text = ReloadText(report, olderRunning: 2)
    #expect(
      text.lines == [
        "generation 5 serves (12 ms); 2 older generations still run", "  + routes.chat", "  - services.old",
        "  ~ models.gpt-4.price: 0.03 -> 0.05", "  ~ policies.auth", "  ! server.workers: 2 -> 4, after a restart",
      ])
    #expect(text.isDone && text.complaints.isEmpty)
    report.more = 7
    #expect(ReloadText(report).lines.first == "generation 5 serves (12 ms)")
    #expect(ReloadText(report).lines.last == "  … 7 more")
  }

  @Test func otherOutcomes() {
    var report = ReloadReading(outcome: .unchanged, generation: 4)
    #expect(ReloadText(report).lines == ["nothing has changed; generation 4 serves"])
    report.changes = [ChangeReading(kind: "restart", path: "server.workers", before: "1", after: "2")]
    #expect(
      ReloadText(report).lines == [
        "nothing has changed; generation 4 serves", "  ! server.workers: 1 -> 2, after a restart",
      ])
    report.changes = []
    report.outcome = .failed
    report.errors = ["a.yaml:1:2: error: x\n  1 | y"]
    report.warnings = ["a.yaml:3:1: warning: z"]
    report.reason = "a.yaml has errors"
    let failed = ReloadText(report)
    #expect(failed.lines.isEmpty && !failed.isDone)
    #expect(
      failed.complaints == [
        "a.yaml:3:1: warning: z", "a.yaml:1:2: error: x\n  1 | y",
        "edge reload: generation 4 still serves: a.yaml has errors",
      ])
    report.outcome = .refused
    #expect(!ReloadText(report).isDone)
  }

  @Test func hostileTexts() {
    var report = ReloadReading(outcome: .reloaded)
    report.changes = [ChangeReading(kind: "added", path: "a\u{1b}[2J\u{202e}", before: nil, after: "\r\n\u{9b}")]
    report.warnings = ["one\ntwo\u{7}"]
    let text = ReloadText(report)
    #expect(text.lines[1] == "  + a\\x1b[2J\\u{202e}: (none) -> \\x0d\\n\\x9b")
    #expect(text.complaints == ["one\ntwo\\x07"])
  }

  @Test func reports() throws {
    for outcome in ["reloaded", "unchanged", "failed", "refused"] {
      let text = AdminSample.report.replacing("OUTCOME", with: outcome)
      #expect(try ReloadReading.read(AdminSample.answer(text)).outcome.rawValue == outcome)
      let longer = text.dropLast() + ",\"reason\":\"a\\u001b\\n\\ud83d\\ude00\",\"new\":{\"a\":[1]}}"
      #expect(try ReloadReading.read(AdminSample.answer(String(longer), 422)).reason == "a\u{1b}\n😀")
    }
    for (from, to) in [("OUTCOME", "else"), ("\"more\":0", "\"more\":\"0\""), ("\"errors\":[]", "\"errors\":[1]")] {
      let text = AdminSample.report.replacing(from, with: to).replacing("OUTCOME", with: "failed")
      let said = reason { () throws(AdminFault) in _ = try ReloadReading.read(AdminSample.answer(text)) }
      #expect(said.contains("of another version"), "\(said)")
    }
  }

  @Test func everyMemberOfAStatusIsMissed() throws {
    _ = try AdminSample.reading()
    let members = AdminSample.status.matches(of: #/"([a-zA-Z]+)":/#).map { String($0.1) }
    #expect(members.count > 35)
    for name in Set(members) {
      let text = AdminSample.status.replacing("\"\(name)\":", with: "\"x-\(name)\":")
      let said = reason { () throws(AdminFault) in _ = try StatusReading.read(AdminSample.answer(text)) }
      #expect(said.contains("of another version") && said.contains(name), "\(name): \(said)")
    }
  }

  @Test func otherAnswers() {
    func said(_ text: String, _ status: Int) -> AdminFault? {
      do throws(AdminFault) { _ = try StatusReading.read(AdminSample.answer(text, status)) } catch { return error }
      return nil
    }
    let error = "{\"error\":{\"code\":\"A\",\"message\":\"No \\u001b.\",\"requestId\":\"x\"},\"timestamp\":\"t\"}"
    #expect(said(error, 503) == AdminFault(.refused, "No \\x1b. (A)"))
    #expect(said(error, 404)?.reason.contains("it has no /status") == true)
    for text in ["", "<html>", "[]", "{}", "{\"error\":1}"] { #expect(said(text, 500)?.kind == .otherVersion) }
    for text in ["", "<html>", "[]", "{}", "\u{1b}"] { #expect(said(text, 200)?.kind == .otherVersion) }
  }
}
