import Testing

@testable import Edge

/// The JWS vectors of Project Wycheproof. Their payloads are no claims: structure and signature are what they test.
@Suite struct TokenVectorsTests {
  struct Vector {
    var id: Int
    var isValid: Bool
    var token: [UInt8]
    /// The bytes of a symmetric key, else of the public key's modulus or coordinate.
    var key: [UInt8]
    var isSymmetric: Bool
  }

  /// Vectors whose verdict is not ours, each with its reason.
  static let exceptions: [Int: String] = [
    367: "the same bytes as 357, which is valid: the padding that it speaks of got lost",
    370: "the same bytes as 357, which is valid: the padding that it speaks of got lost",
    372: "a question mark in the header is no base64url; RFC 7515 section 2 knows no characters to be ignored",
    373: "a question mark in the payload, likewise",
  ]

  static func vectors() throws -> [Vector] {
    let sample = JSONSample(try Vectors.bytes("wycheproof/json_web_signature_test.json"))
    try #require(sample.fault() == nil)
    let document = sample.document
    var vectors: [Vector] = []
    for group in document.elements(of: try sample.value("testGroups")) {
      let key = try (try? sample.value("public", in: group)) ?? sample.value("private", in: group)
      let isSymmetric = document.value(of: "k", in: key) != .missing
      let material = try (try? sample.value("n", in: key)) ?? sample.value(isSymmetric ? "k" : "x", in: key)
      let area = ByteArea(sample.string(material))
      let count = try #require(Base64.decodeURL(area.base, area.count, into: area.base))
      for test in document.elements(of: try sample.value("tests", in: group)) {
        let token = try sample.value("jws", in: test)
        let id = document.integer(try sample.value("tcId", in: test))
        vectors.append(
          Vector(
            id: Int(try #require(id)), isValid: document.isString(try sample.value("result", in: test), "valid"),
            token: document.kind(token) == .string ? sample.string(token) : Array(document.raw(token)),
            key: area.slice(0..<count), isSymmetric: isSymmetric))
      }
    }
    return vectors
  }

  @Test func hs256() throws {
    let vectors = try Self.vectors().filter(\.isSymmetric)
    #expect(vectors.count == 40)
    for vector in vectors {
      let bench = try TokenBench { $0.keys = [vector.key] }
      let fault = bench.authenticate(vector.token)
      let isExpected = (fault == nil) == vector.isValid
      #expect(isExpected == (Self.exceptions[vector.id] == nil), "vector \(vector.id): \(String(describing: fault))")
      // A good signature over what is no map of claims.
      #expect(bench.verify(vector.token).fault == fault ?? .badClaims)
    }
  }

  /// Whoever signs with another algorithm, or with a public key as if it were ours, is refused.
  @Test func otherAlgorithms() throws {
    let vectors = try Self.vectors().filter { !$0.isSymmetric }
    #expect(vectors.count == 361)
    var unsupported = 0
    for vector in vectors {
      for key in [TokenBench.key, vector.key] {
        let fault = try TokenBench { $0.keys = [key] }.verify(vector.token).fault
        if vector.isValid {
          #expect(fault == .unsupportedAlgorithm, "vector \(vector.id)")
        } else {
          #expect(fault != nil, "vector \(vector.id)")
        }
        if fault == .unsupportedAlgorithm { unsupported += 1 }
      }
    }
    #expect(unsupported > 600)
  }
}
