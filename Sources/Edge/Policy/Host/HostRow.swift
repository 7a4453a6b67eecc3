// The form of the rows of functions, objects and handles that scripts see, and the numbers by which rows name each
// other. The rows themselves stand in Policy/API.

import LuaBridge

/// A function of `edge.*`, a field of an object or a method of a handle.
struct HostRow: Sendable {
  /// Functions: the dotted path below the globals. Fields and methods: the bare name.
  let name: String
  /// How it is called, as the reference shows it.
  let usage: String
  /// One or two sentences for people.
  let doc: String
  let function: HostFunction

  init(_ name: String, _ usage: String, _ doc: String, _ function: HostFunction) {
    self.name = name
    self.usage = usage
    self.doc = doc
    self.function = function
  }
}

/// An object: its fields, and what answers keys that are no field.
struct HostObject: Sendable {
  let name: String
  let fields: [HostRow]
  let index: HostFunction?
  let assign: HostFunction?

  /// Places of the objects, in the order of `HostTable.objects`.
  static let request: Int = 0
  static let headers: Int = 1
  static let parameters: Int = 2
  static let arguments: Int = 3
  static let message: Int = 4
  static let answer: Int = 5
  static let answerHeaders: Int = 6
  static let chunk: Int = 7
  /// That of the request whose policies run; it says nothing by itself.
  static let credential: Int = 8
}

/// A kind of handle with its methods.
struct HostClass: Sendable {
  let name: String
  let methods: [HostRow]
  /// What `tostring` makes of it; a class that has one holds values, which JSON may write too.
  var text: HostFunction?

  /// Places of the classes, in the order of `HostTable.classes`.
  static let limit: Int = 0
  static let decimal: Int = 1
  static let counter: Int = 2
}
