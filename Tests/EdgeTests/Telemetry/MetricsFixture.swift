// Metrics as a test wants them.

import Testing

@testable import Edge

extension Metrics {
  /// The whole answer.
  func answer(_ counters: Counters = Counters(workers: 1), most: Int = answerBytesMax) throws -> String {
    let outcome = written(capacity: most) { write(&$0, counters, most: most) }
    #expect(!outcome.overflowed)
    return outcome.text
  }

  /// The whole answer, read.
  func told(_ counters: Counters = Counters(workers: 1), most: Int = answerBytesMax) throws -> Exposition004 {
    try Exposition004(try answer(counters, most: most))
  }

  /// An exchange of a client that took so long.
  func note(
    _ route: UInt16, status: UInt16 = 200, cause: EndCause = .completed, nanoseconds: UInt64 = 1, bytes: UInt64 = 0,
    worker: Int = 0
  ) {
    var record = ExchangeRecord()
    record.status = status
    record.cause = cause
    record.start = 1_000
    record.end = 1_000 + nanoseconds
    record.requestBytes = bytes
    record.responseBytes = 2 * bytes
    noteExchange(record, route: route, worker: worker)
  }
}
