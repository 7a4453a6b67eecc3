import Foundation
import Testing

@testable import Edge

struct ErrorCodeTests {
  @Test func rowsStandInTheOrderOfTheCases() {
    #expect(ErrorRow.table.count == ErrorCode.allCases.count)
    for code in ErrorCode.allCases { #expect(code.row.code == code) }
  }

  /// The codes of the product contract, section 6.7, that are spoken over HTTP, with their status.
  static let contract: [(String, UInt16)] = [
    ("UNAUTHORIZED", 401), ("INVALID_API_KEY", 401), ("SESSION_EXPIRED", 401), ("INSUFFICIENT_CREDITS", 402),
    ("FORBIDDEN", 403), ("SECURITY_VIOLATION", 403), ("NOT_FOUND", 404), ("MODEL_NOT_FOUND", 404),
    ("METHOD_NOT_ALLOWED", 405), ("REQUEST_TIMEOUT", 408), ("CONFLICT", 409), ("MESSAGE_TOO_LARGE", 413),
    ("RANGE_NOT_SATISFIABLE", 416), ("MISDIRECTED_REQUEST", 421), ("CONTENT_REJECTED", 422),
    ("UPGRADE_REQUIRED", 426), ("RATE_LIMIT_EXCEEDED", 429), ("HEADERS_TOO_LARGE", 431), ("INVALID_REQUEST", 400),
    ("INVALID_MESSAGE_FORMAT", 400), ("INVALID_PROTOCOL_VERSION", 400), ("INVALID_MESSAGE_ID", 400),
    ("TOOL_EXECUTION_FAILED", 400), ("CANCELLED", 499), ("POLICY_ERROR", 500), ("INTERNAL_ERROR", 500),
    ("PROCESS_SPAWN_FAILED", 500), ("NOT_IMPLEMENTED", 501), ("PROVIDER_ERROR", 502),
    ("ALL_PROVIDERS_FAILED", 502), ("SERVICE_UNAVAILABLE", 503), ("QUEUE_FULL", 503), ("TIMEOUT", 504),
  ]

  @Test(arguments: contract) func theContractIsKept(_ name: String, _ status: UInt16) {
    #expect(ErrorRow.table.contains { $0.name.description == name && $0.status == status })
  }

  @Test func noOtherNames() {
    let names = Set(ErrorCodeTests.contract.map(\.0))
    for row in ErrorRow.table { #expect(names.contains(row.name.description), "\(row.name)") }
  }

  /// OpenAI's codes that clients know; the others are the names in lower case.
  @Test func codesOfOtherFormats() {
    let known: [ErrorCode: String] = [.insufficientCredits: "insufficient_quota"]
    let types: Set<String> = [
      "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
      "request_too_large", "rate_limit_error", "api_error", "timeout_error", "overloaded_error",
    ]
    for row in ErrorRow.table {
      #expect(row.openAICode.description == known[row.code] ?? row.name.description.lowercased())
      #expect(types.contains(row.anthropicType.description))
      #expect(
        (row.openAIType.description == "server_error")
          == (row.anthropicType.description == "api_error"
            || row.status >= 503 && row.status <= 504))
      #expect(row.isTerminal == [402, 403].contains(row.status))
    }
  }

  /// Messages and reasons are written into JSON and status lines as they stand.
  @Test func textsNeedNoEscaping() {
    for row in ErrorRow.table {
      for text in [row.name, row.reason, row.message, row.openAIType, row.openAICode, row.anthropicType] {
        #expect(text.utf8CodeUnitCount > 0)
        #expect(text.description.utf8.allSatisfy { (0x20...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c }, "\(text)")
      }
      #expect(row.message.description.hasSuffix("."))
    }
  }
}

struct MethodTests {
  private func method(_ token: String) -> Method {
    let area = ByteArea(raw(token))
    return Method(area.base, area.count)
  }

  @Test func namesAreFound() {
    for known in Method.allCases where known != .other { #expect(method(known.name.description) == known) }
  }

  @Test(arguments: ["", "get", "Get", "GETS", "GE", "PROPFIND", "POSt", "QUERY"])
  func everythingElseIsOther(_ token: String) { #expect(method(token) == .other) }

  @Test func namesInAConfiguration() {
    for known in Method.served { #expect(Method(name: known.name.description) == known) }
    for name in ["", "get", "CONNECT", "TRACE", "PROPFIND", "GET ", "*"] { #expect(Method(name: name) == nil) }
  }

  @Test func bitsAreApart() {
    #expect(Set(Method.allCases.map(\.bit)).count == Method.allCases.count)
    #expect(Method.servedBits & (Method.connect.bit | Method.trace.bit | Method.other.bit) == 0)
    #expect(Method.servedBits.nonzeroBitCount == 7)
  }

  /// RFC 9110 section 9.2.2.
  @Test func idempotence() {
    let idempotent: Set<Method> = [.get, .head, .put, .delete, .options, .trace]
    for method in Method.allCases { #expect(method.isIdempotent == idempotent.contains(method)) }
  }
}

struct EndCauseTests {
  @Test func namesOfTheContract() {
    let expected: Set<String> = [
      "completed", "refused", "client_left", "client_error", "client_timeout", "upstream_error", "upstream_timeout",
      "upstream_cut", "unavailable", "cancelled", "drain", "policy_error", "internal_error",
    ]
    #expect(Set(EndCause.allCases.map(\.name.description)) == expected)
    #expect(EndCause.allCases.count == expected.count)
  }
}

struct ClosedSetTests {
  @Test func levelsAreOrdered() {
    #expect(LogLevel.allCases == [.error, .warn, .info, .debug])
    #expect(LogLevel.allCases == LogLevel.allCases.shuffled().sorted())
  }

  @Test func wordsOfTheConfiguration() {
    #expect(BuiltinName.allCases.map(\.rawValue) == ["health", "stats", "ready", "metrics", "models"])
    #expect(Set(Credential.allCases.map(\.rawValue)) == ["authorization", "x-api-key", "cookie"])
    #expect(ClientFin.allCases.map(\.rawValue) == ["abort", "finish"])
  }
}

struct ULIDTests {
  private func id(_ wall: UInt64, _ random: inout Random) -> String {
    let id = ULID(wall: wall, random: &random)
    return text { $0.append(id) }
  }

  @Test func knownTexts() {
    // The moment of the specification's example: 1469918176385 ms is 01ARYZ6S41.
    let high: UInt64 = 1_469_918_176_385 << 16
    #expect(text { $0.append(ULID(high: high, low: 0)) } == "01ARYZ6S410000000000000000")
    #expect(text { $0.append(ULID(high: 0, low: 0)) } == String(repeating: "0", count: 26))
    #expect(text { $0.append(ULID(high: .max, low: .max)) } == "7" + String(repeating: "Z", count: 25))
    #expect(text { $0.append(ULID(high: 0, low: 31)) }.hasSuffix("0Z"))
    #expect(text { $0.append(ULID(high: 1, low: 0)) } == "0000000000000G000000000000")
  }

  @Test func theAlphabetIsCrockfords() {
    let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    for value in 0..<32 {
      let written = text { $0.append(ULID(high: 0, low: UInt64(value))) }
      #expect(written.last == alphabet[value])
    }
  }

  @Test func textsSortByTimeAndDiffer() {
    var random = Random()
    var wall: UInt64 = 1_700_000_000_000_000_000
    var texts: [String] = []
    for step in 0..<500 {
      texts.append(id(wall, &random))
      wall += UInt64(step % 7 + 1) * 1_000_000
    }
    #expect(texts == texts.sorted())
    #expect(Set(texts).count == texts.count)
    #expect(Set((0..<500).map { _ in id(wall, &random) }).count == 500)
    #expect(texts.allSatisfy { $0.count == ULID.textCount })
  }

  @Test func doesNotFit() {
    let outcome = written(capacity: 25) { $0.append(ULID(high: 1, low: 1)) }
    #expect(outcome.overflowed && outcome.text.isEmpty)
    let exact = written(capacity: 26) { $0.append(ULID(high: 1, low: 1)) }
    #expect(!exact.overflowed && exact.text.count == 26)
  }
}
