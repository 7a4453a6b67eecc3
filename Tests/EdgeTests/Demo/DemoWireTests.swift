// How the demo provider treats connections: requests in pieces, in rows, with rubbish, many at once, and clients that
// leave.

import Testing

@testable import Edge

@Suite(.timeLimit(.minutes(1))) struct DemoWireTests {
  private let health = "GET /health HTTP/1.1\r\nhost: demo\r\n\r\n"

  @Test func portsAreReal() throws {
    try withDemo { demo in
      #expect(demo.address.host == "127.0.0.1" && demo.address.port != 0)
      let error = #expect(throws: DemoError.self) { try DemoProvider(port: demo.address.port) }
      #expect(error?.message.contains("Address already in use") == true)
      #expect(throws: DemoError.self, "it runs") { try demo.start() }
    }
  }

  @Test func endCutsConnectionsAndRefusesNewOnes() throws {
    let demo = try DemoProvider(port: 0)
    try demo.start()
    let client = try DemoClient(demo)
    #expect(try client.fetch("GET", "/health").status == 200)
    try client.send(DemoClient.request(asked("Hi", model: "demo-hang")))
    demo.end()
    demo.end()
    #expect(client.rest() == "")
    #expect(throws: DemoError.self) { try DemoClient(demo) }
  }

  @Test func pipelinedRequestsAreAnsweredInOrder() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      let bodies = [
        asked("one"), asked("two", "\"stream\":true,"), asked("three"), "{", asked("four", "\"stream\":true,"),
      ]
      try client.send(bodies.map { DemoClient.request($0) }.joined() + health)
      for (word, status) in [("one", 200), ("two", 200), ("three", 200), ("JSON", 400), ("four", 200), ("ok", 200)] {
        let heard = try client.answer()
        #expect(heard.status == status && heard.body.contains(word), "\(word): \(heard.body)")
      }
    }
  }

  /// More answers than are made ahead of a client that does not read.
  @Test func longRowsOfRequests() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      try client.send(String(repeating: health, count: 3_000))
      for _ in 0..<3_000 { #expect(try client.answer().status == 200) }
      #expect(client.isSilent)
    }
  }

  @Test func requestsInPieces() throws {
    let text = Array(DemoClient.request(asked("Hi")).utf8)
    let body = asked("chunks")
    let (front, back) = (body.prefix(10), body.dropFirst(10))
    let chunked = Array(
      ("POST /v1/chat/completions HTTP/1.1\r\nhost: demo\r\ntransfer-encoding: chunked\r\n\r\n"
        + "a;x=y\r\n\(front)\r\n\(String(back.utf8.count, radix: 16))\r\n\(back)\r\n0\r\nt: u\r\n\r\n").utf8)
    try withDemo { demo in
      let client = try DemoClient(demo)
      for pieces in [text.map { [$0] }, chunked.map { [$0] }] {
        for piece in pieces { try client.send(piece) }
        #expect(try client.answer().body.contains("You said: "))
      }
      for place in stride(from: 1, to: text.count, by: 17) {
        try client.send(Array(text[..<place]))
        // Its answer shows that the half was read, or will be with the rest; neither may confuse the other.
        try client.send(Array(text[place...]) + Array(health.utf8))
        #expect(try client.answer().body.contains("You said: Hi"))
        #expect(try client.answer().body == "{\"status\":\"ok\"}")
      }
      try client.send(chunked)
      #expect(try client.answer().body.contains("You said: chunks"))
    }
  }

  @Test func expectationsAndOldVersions() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      let body = asked("Hi")
      try client.send(String(DemoClient.request(body, fields: "expect: 100-continue\r\n").dropLast(body.count)))
      #expect(try client.answer().status == 100)
      try client.send(body)
      #expect(try client.answer().status == 200)
      try client.send(DemoClient.request(body, fields: "connection: close\r\n"))
      let last = try client.answer()
      #expect(last.status == 200 && last.fields["connection"] == "close" && client.rest() == "")

      let old = try DemoClient(demo)
      let streamed = asked("Hi", "\"stream\":true,")
      try old.send("POST /v1/chat/completions HTTP/1.0\r\ncontent-length: \(streamed.utf8.count)\r\n\r\n\(streamed)")
      let heard = try old.answer()
      #expect(heard.fields["transfer-encoding"] == nil && heard.fields["connection"] == "close")
      #expect(heard.frames.last == "[DONE]")
    }
  }

  @Test func garbageIsRefused() throws {
    let post = "POST /v1/chat/completions HTTP/1.1\r\nhost: demo\r\n"
    let table: [(bytes: String, status: Int)] = [
      ("\r\n\r\n", 400), ("\u{0}\u{1}\u{2}\n", 400), ("GET / HTTP/2.0\r\nhost: demo\r\n\r\n", 505),
      ("GET /\r\n\r\n", 400), ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1\nhost: demo\n\n", 400),
      ("GET / HTTP/1.1\r\nhost: demo\r\nx: " + String(repeating: "y", count: 20_000), 431),
      (post + "content-length: 1x\r\n\r\n", 400), (post + "content-length: 8388609\r\n\r\n", 413),
      (post + "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", 400),
      (post + "transfer-encoding: gzip\r\n\r\n", 501), (post + "transfer-encoding: chunked\r\n\r\nno\r\n", 400),
      (post + "expect: wonders\r\n\r\n", 417),
    ]
    try withDemo { demo in
      for row in table {
        let client = try DemoClient(demo)
        try client.send(raw(row.bytes) + Array(health.utf8))
        let heard = try client.answer()
        #expect(heard.status == row.status, "\(row.bytes.prefix(80).debugDescription)")
        #expect(heard.body.hasPrefix("{\"error\":{") && heard.fields["connection"] == "close")
        #expect(client.rest() == "", "nothing follows a refusal")
      }
      var generator = SeededGenerator(seed: 7)
      for _ in 0..<200 {
        let client = try DemoClient(demo)
        try client.send(generator.bytes(1 + generator.below(400)))
        client.endSending()
        _ = client.rest()
      }
      #expect(try DemoClient(demo).fetch("GET", "/health").status == 200)
    }
  }

  @Test func longBodies() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      let words = "p " + String(repeating: "wörd ", count: 200_000)
      let heard = try client.ask(asked(words))
      #expect(heard.status == 200 && heard.body.contains("\"prompt_tokens\":200001,"))
      #expect(heard.body.contains(" wörd w…\\nI am"), "cut between characters")
      #expect(try client.fetch("GET", "/health").status == 200)
    }
  }

  @Test func manyStreamsAtOnce() throws {
    try withDemo(gap: 1) { demo in
      let clients = try (0..<150).map { _ in try DemoClient(demo) }
      for (number, client) in clients.enumerated() {
        try client.send(DemoClient.request(asked("number \(number)", "\"stream\":true,")))
      }
      for (number, client) in clients.enumerated().reversed() {
        let heard = try client.answer()
        #expect(heard.frames.last == "[DONE]" && !heard.isCut)
        #expect(heard.body.contains("{\"content\":\" \(number)\"}"))
      }
      for client in clients { try client.send(health) }
      for client in clients { #expect(try client.answer().status == 200) }
    }
  }

  // MARK: clients that leave

  @Test func hangingRequestsEndWithTheirClient() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      try client.send(DemoClient.request(asked("Hi", model: "demo-hang")) + health)
      #expect(try DemoClient(demo).fetch("GET", "/health").status == 200)
      #expect(client.isSilent)
      client.endSending()
      #expect(client.rest() == "", "its end is answered with the connection's end")
    }
  }

  @Test func streamsEndWithTheirClient() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      try client.send(DemoClient.request(asked("Hi", model: "demo-max", "\"stream\":true,\"max_tokens\":131072,")))
      #expect(client.line() == "HTTP/1.1 200 OK")
      client.endSending()
      #expect(!client.rest().contains("[DONE]"))
      // Gone without a word, in the middle of everything.
      for model in ["demo-max", "demo-hang", "demo-slow", "demo-chat"] {
        for stream in ["", "\"stream\":true,"] {
          let leaving = try DemoClient(demo)
          try leaving.send(DemoClient.request(asked("Hi", model: model, stream)))
        }
      }
      #expect(try DemoClient(demo).fetch("GET", "/health").status == 200)
    }
  }

  /// Who has said all it will still gets what can be answered at once.
  @Test func halfClosedClientsAreAnswered() throws {
    try withDemo { demo in
      let client = try DemoClient(demo)
      try client.send(health + DemoClient.request(asked("Hi")) + "GET /hea")
      client.endSending()
      #expect(try client.answer().status == 200)
      #expect(try client.answer().body.contains("You said: Hi"))
      #expect(client.rest() == "")
    }
  }
}
