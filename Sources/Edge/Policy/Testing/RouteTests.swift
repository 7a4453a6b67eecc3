// Runs the tests of the route table: each row's request is read as a worker reads it and matched against the routes of
// the configuration, compiled as a worker has them.
//
// Called by: the verb `test`. Never: asks a policy, or looks at anything but the table.

import Glibc

/// The tests of the routes of a configuration.
struct RouteTests {
  let snapshot: Snapshot
  let filter: TestFilter

  /// What routing said, as rows write it.
  private struct Finding {
    let result: RouteExpectation.Result
    /// Why, where the name alone does not tell.
    var reason = ""
  }

  /// Runs all rows of a file that has been read.
  func run(_ file: RouteTestFile) -> TestReport {
    var report = TestReport(path: file.path)
    for diagnosis in file.diagnoses { report.failures.append(diagnosis.render()) }
    let arena = Arena()
    let table = RouteCompiler.compile(
      snapshot.routes, listenerPlaces: snapshot.listeners.indices.map { UInt8($0) }, arena: arena)
    for row in file.rows where filter.takes(file.path, row.request) {
      let found = find(row, table)
      if found.result == row.expected {
        report.passed += 1
        continue
      }
      let text = "\(row.request): expected \(row.expected.text), found \(found.result.text)\(found.reason)"
      report.failures.append(Diagnosis(.error, .place(row.place), text).render())
    }
    return report
  }

  private func find(_ row: RouteExpectation, _ table: RouteTable) -> Finding {
    let words = row.request.split(separator: " ", maxSplits: 1).map(String.init)
    let limits = HeadLimits(bytes: snapshot.limits.headBytesMax, fields: snapshot.limits.headFieldsMax)
    let wire: WireRequest
    do throws(WireRefusal) {
      wire = try WireRequest(
        method: words.first ?? "", target: words.last ?? "", host: row.host, fields: [], limits: limits)
    } catch {
      return Finding(result: .error("\(error.code.row.name)"), reason: ": \(error.message)")
    }
    let query = RouteQuery(
      host: wire.hostName.start, hostCount: wire.hostName.count, path: wire.target.path,
      pathCount: wire.target.pathCount, method: wire.head.method, listener: UInt8(row.listener))
    switch table.match(query) {
    case .route(let index): return Finding(result: .route(snapshot.routes[Int(index)].name))
    case .methodNotAllowed: return Finding(result: .error("\(ErrorCode.methodNotAllowed.row.name)"))
    case .notFound: return Finding(result: .nothing)
    }
  }
}
