// Runs the tests of policies: every file in the folder of tests, every function of the table that it returns, in order
// of name. Each file has a machine of its own, each test a desk that was cleared.
//
// Called by: the verb `test`. Never: prints, or stops at the first failure.

import Glibc
import LuaBridge

/// What came of the tests of one file.
struct TestReport {
  /// As messages call it.
  let path: String
  var passed = 0
  /// One text for each test that failed, with file and line in front.
  var failures: [String] = []
}

/// Which tests run: those whose file and name hold every word, whatever their case.
struct TestFilter {
  private let words: [String]

  init(_ text: String?) { words = (text ?? "").lowercased().split(separator: " ").map(String.init) }

  func takes(_ path: String, _ name: String) -> Bool {
    let text = "\(path): \(name)".lowercased()
    return words.allSatisfy { text.contains($0) }
  }
}

/// The tests of policies of a configuration.
struct PolicyTests {
  let snapshot: Snapshot
  let filter: TestFilter

  /// Where they are looked for.
  var folder: String { FilePath.join(snapshot.server.policiesFolder, "tests") }

  static let ending = "_test.lua"

  /// What a test may take: a loop without an end is stopped after a second of CPU time.
  private static let limits = LuaLimits(
    memory: 2 * Limits.scriptMemoryBytes, single: Limits.scriptStringBytes, sliceTicks: 500, exchangeTicks: 500)

  /// Runs all files in byte order; a folder that is not there has none.
  func run() throws(TestFault) -> [TestReport] {
    let names: [String]
    do throws(FileFault) { names = try ConfigFile.names(in: folder) } catch {
      if error.isMissing { return [] }
      throw TestFault(text: "the folder '\(folder)' cannot be read: \(error.reason)")
    }
    guard let clock = LuaClock() else { throw TestFault(text: "the system gives no timer for scripts") }
    defer { clock.end() }
    let ground = TestGround(snapshot: snapshot, clock: clock)
    var reports: [TestReport] = []
    for name in names where name.hasSuffix(PolicyTests.ending) && !name.hasPrefix(".") {
      let report = try run(file: FilePath.join(folder, name), ground)
      if report.passed > 0 || !report.failures.isEmpty { reports.append(report) }
    }
    return reports
  }

  private func run(file path: String, _ ground: TestGround) throws(TestFault) -> TestReport {
    var report = TestReport(path: path)
    let script: ScriptFile
    do throws(FileFault) {
      script = ScriptFile(
        path: path, bytes: try ConfigFile.read(path, bytesMax: ScriptReader.fileBytesMax), contentHash: 0)
    } catch {
      report.failures.append("\(path): cannot be read: \(error.reason)")
      return report
    }
    guard let desk = TestDesk(ground),
      let lua = LuaMachine(limits: PolicyTests.limits, context: Unmanaged.passUnretained(desk).toOpaque()),
      PolicyTests.furnish(lua)
    else { throw TestFault(text: "there is no memory for tests") }
    defer { lua.close() }
    lua.use(ground.clock)
    let prelude = PolicyTests.prelude(of: lua)
    let index: Int
    do throws(LuaError) { index = try lua.load(name: path, source: script.bytes) } catch {
      report.failures.append(PolicyTests.text(of: error, in: script))
      return report
    }
    lua.freeze()
    let keys = lua.keys(of: index).sorted { $0.name < $1.name }
    if keys.isEmpty { report.failures.append("\(path): the table that it returns holds no test") }
    for key in keys where filter.takes(path, key.name) {
      guard key.isFunction, let function = lua.function(index, key.name) else {
        report.failures.append("\(path): '\(key.name)' must be a function")
        continue
      }
      desk.begin()
      if let failure = run(function, lua, desk, prelude) {
        report.failures.append(PolicyTests.text(of: failure, in: key.name, path))
      } else {
        report.passed += 1
      }
    }
    desk.begin()
    return report
  }

  // MARK: The machine

  private static func furnish(_ lua: LuaMachine) -> Bool {
    for row in TestAPI.functions where !lua.define("\(TestAPI.path).\(row.name)", row.function) { return false }
    for row in TestAPI.shared where !lua.define(row.name, row.function) { return false }
    return lua.defineClass("policy", methods: TestAPI.methods.map { ($0.name, $0.function) }) == TestAPI.policy
  }

  /// The function that fills `t`; -1 when there is no memory for it.
  private static func prelude(of lua: LuaMachine) -> Int32 {
    guard let script = try? lua.load(name: "prelude", source: Array(TestAPI.prelude.utf8)) else { return -1 }
    return lua.function(script, "fill") ?? -1
  }

  // MARK: A test

  /// Runs one test; what went wrong, if something did.
  private func run(_ function: Int32, _ lua: LuaMachine, _ desk: TestDesk, _ prelude: Int32) -> LuaError? {
    guard prelude >= 0, let context = lua.makeContext() else { return lua.error }
    defer { lua.endContext(context) }
    var t = LuaValue.context
    var filling = LuaCall(function: prelude, context: context)
    let isFilled = lua.start(&filling, at: &t, count: 1) == .done
    let failure = isFilled ? nil : lua.error
    lua.finish(&filling)
    if let failure { return failure }
    var call = LuaCall(function: function, context: context)
    var outcome = lua.start(&call, at: &t, count: 1)
    while outcome == .pending {
      do throws(TestFault) {
        switch try desk.perform() {
        case .policy(let index):
          var handle = LuaValue.handle(class: TestAPI.policy, payload: Int64(index))
          outcome = lua.resume(&call, values: &handle, count: 1)
        case .outcome(let value): outcome = lua.resume(&call, values: desk.area.hold(value), count: 1)
        }
      } catch { outcome = lua.resume(&call, error: error.text) }
    }
    let error = outcome == .done ? nil : lua.error
    lua.finish(&call)
    return error
  }

  // MARK: Failures

  /// The message with the test's name behind file and line.
  private static func text(of error: LuaError, in test: String, _ path: String) -> String {
    if let line = error.line, error.message.hasPrefix("\(path):\(line): ") {
      return "\(path):\(line): \(test): \(error.message.dropFirst("\(path):\(line): ".count))"
    }
    return "\(path): \(test): \(error.message)"
  }

  /// A file that cannot be loaded, shown as the configuration's mistakes are.
  private static func text(of error: LuaError, in script: ScriptFile) -> String {
    guard let place = error.offset.map({ script.place(offset: $0) }) ?? error.line.map({ script.place(line: $0) })
    else { return Diagnosis(.error, .file(script.path), error.message).render() }
    let prefix = "\(script.path):\(error.line ?? 0): "
    let message = error.message.hasPrefix(prefix) ? String(error.message.dropFirst(prefix.count)) : error.message
    return Diagnosis(.error, .place(place), message).render()
  }
}
