// `routes.test.yaml`: which route a request must lead to. A list of rows:
//
//   - {request: GET /api/chat/x, host: api.example.com, listener: main, route: chat}
//   - {request: DELETE /health, error: METHOD_NOT_ALLOWED}
//
// Owns: the keys of a row, and what is wrong with one.
// Called by: the verb `test`. Never: matches a request; see the tests of the route table.

import YAML

/// A row that makes sense.
struct RouteExpectation: Sendable {
  /// What must become of the request.
  enum Result: Sendable, Equatable {
    /// A route takes it.
    case route(String)
    /// No route does.
    case nothing
    /// It is refused with this code.
    case error(String)

    /// As messages say it.
    var text: String {
      switch self {
      case .route(let name): "route '\(name)'"
      case .nothing: "no route"
      case .error(let code): code
      }
    }
  }

  /// Where the request stands.
  let place: SourcePlace
  /// Method and target.
  let request: String
  /// As the field Host would have it.
  let host: String
  /// An index into `Snapshot.listeners`.
  let listener: Int
  /// What must become of it.
  let expected: Result
}

/// The file with its rows.
struct RouteTestFile: Sendable {
  /// As messages show it.
  let path: String
  /// Those that make sense.
  private(set) var rows: [RouteExpectation] = []
  /// What is wrong with the others.
  private(set) var diagnoses: [Diagnosis] = []

  /// What the file is called, beside the main file.
  static let name = "routes.test.yaml"

  private static let request = SchemaRow(
    "request", .text, .absent, .live, "Method and path, such as `GET /api/chat/x?a=b`.")
  private static let host = SchemaRow(
    "host", .text, .literal("localhost"), .live, "The host that the client asks for, with a port or without.")
  private static let listener = SchemaRow(
    "listener", .reference(.listener), .absent, .live, "The listener it comes by; the first one when left out.")
  private static let route = SchemaRow(
    "route", .text, .absent, .live, "The name of the route that takes it, or `none`.")
  private static let error = SchemaRow(
    "error", .text, .absent, .live, "The code of the error that it is refused with.")

  /// The keys of a row.
  static let schema = SchemaSection(
    "routeTest", "Which route a request must lead to.", [request, host, listener, route, error])

  /// The word for no route.
  private static let none = "none"

  /// Reads the file; nil when there is none.
  static func read(_ path: String, for snapshot: Snapshot) throws(FileFault) -> RouteTestFile? {
    do throws(FileFault) {
      let bytes = try ConfigFile.read(path, bytesMax: Loader.fileBytesMax)
      var file = RouteTestFile(path: path)
      file.read(SourceFile(path: path, bytes: bytes), snapshot)
      return file
    } catch {
      if error.isMissing { return nil }
      throw error
    }
  }

  private mutating func read(_ source: SourceFile, _ snapshot: Snapshot) {
    let node: Node?
    do throws(YAMLError) {
      node = try YAMLParser.parse(source.map, limits: YAMLParser.Limits(bytesMax: Loader.fileBytesMax))
    } catch {
      let place = SourcePlace(source: source, start: error.position, end: error.position)
      diagnoses = [Diagnosis(.error, .place(place), error.message, hint: error.hint)]
      return
    }
    guard let node else { return }
    guard let members = node.sequence else {
      let example = "begin each row with a dash: - {request: GET /health, route: health}"
      diagnoses = [Diagnosis(.error, .place(source.place(of: node)), "the file must be a list", hint: example)]
      return
    }
    var reader = SectionReader(
      source: source,
      references: ReferenceResolver(variables: EnvironmentVariables([:]), folder: "", placeholders: false),
      diagnoses: DiagnosisList())
    for member in members {
      let place = source.place(of: member)
      guard member.mapping != nil else {
        reader.diagnoses.error(place, "a row must be a mapping, found \(reader.noun(member))")
        continue
      }
      let before = reader.diagnoses.sorted(mainPath: path).count
      guard let fields = reader.read(RouteTestFile.schema, member, path: "", place: place) else { continue }
      // What is wrong already is not reported twice.
      if reader.diagnoses.sorted(mainPath: path).count > before { continue }
      do throws(RowFault) { rows.append(try RouteTestFile.row(fields, snapshot)) } catch {
        reader.diagnoses.error(error.place, error.message, hint: error.hint)
      }
    }
    diagnoses = reader.diagnoses.sorted(mainPath: path)
  }

  /// What is wrong with a row.
  private struct RowFault: Error {
    let place: SourcePlace
    let message: String
    var hint: String?
  }

  private static func text(_ row: SchemaRow, in fields: SectionFields) -> (text: String, place: SourcePlace)? {
    guard let setting = fields[row], case .text(let text)? = setting.value else { return nil }
    return (text, setting.place ?? fields.place)
  }

  private static func row(_ fields: SectionFields, _ snapshot: Snapshot) throws(RowFault) -> RouteExpectation {
    guard let request = text(request, in: fields) else {
      throw RowFault(place: fields.place, message: "a row needs a 'request' such as GET /health")
    }
    guard request.text.split(separator: " ", omittingEmptySubsequences: false).count == 2 else {
      throw RowFault(
        place: request.place, message: "'\(request.text)' is no request",
        hint: "write method and path with one space between, such as GET /health")
    }
    var index = 0
    if let listener = text(listener, in: fields) {
      guard let found = snapshot.listeners.firstIndex(where: { $0.name == listener.text }) else {
        throw RowFault(
          place: listener.place, message: "there is no listener '\(listener.text)'",
          hint: Nearness.hint(for: listener.text, among: snapshot.listeners.map(\.name)))
      }
      index = found
    }
    return RouteExpectation(
      place: request.place, request: request.text, host: text(host, in: fields)?.text ?? "localhost", listener: index,
      expected: try result(fields, snapshot))
  }

  private static func result(_ fields: SectionFields, _ snapshot: Snapshot) throws(RowFault) -> RouteExpectation.Result
  {
    switch (text(route, in: fields), text(error, in: fields)) {
    case (nil, nil):
      throw RowFault(
        place: fields.place, message: "a row says what must become of the request",
        hint: "add route: NAME, route: none or error: CODE")
    case (_?, let error?):
      throw RowFault(place: error.place, message: "a row has 'route' or 'error', not both")
    case (let route?, nil):
      if route.text == none { return .nothing }
      let names = snapshot.routes.map(\.name)
      guard names.contains(route.text) else {
        throw RowFault(
          place: route.place, message: "there is no route '\(route.text)'",
          hint: Nearness.hint(for: route.text, among: names + [none]))
      }
      return .route(route.text)
    case (nil, let error?):
      let names = Set(ErrorRow.table.map { "\($0.name)" }).sorted()
      guard names.contains(error.text) else {
        throw RowFault(
          place: error.place, message: "there is no error '\(error.text)'",
          hint: Nearness.hint(for: error.text, among: names))
      }
      return error.text == "\(ErrorCode.notFound.row.name)" ? .nothing : .error(error.text)
    }
  }
}
