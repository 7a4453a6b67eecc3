// The functions, fields and methods of scripts as a reference page.
//
// Owns: the Markdown that lists them. Called by: the test that keeps `docs/policies-reference.md` true. Never: knows a
// function of `edge.*`; they come from the rows of `HostTable` and `TestAPI`.

/// Writes the reference page.
enum PolicyReference {
  /// A call and what it does.
  private typealias Row = (usage: String, doc: String)

  /// What the machine brings itself, so that no row says it.
  private static let ownRows: [(group: String, usage: String, doc: String)] = [
    (
      "edge.json", "edge.json.array([table])",
      "Marks a table, or a new one, so that it is a list of JSON even when it is empty, and returns it."
    ),
    ("edge.json", "edge.json.null", "The null of JSON. It is not nil: a key with this value is there."),
  ]

  /// Written in Lua, so that it can call what it is given.
  private static let failsRow: Row = (
    "t.fails(what[, part])",
    "Fails unless the function raises an error, or the outcome is that the policy failed; with this part in the "
      + "message."
  )

  /// The page as Markdown with a line end.
  static func markdown() -> String {
    var text = """
      # Reference of `edge.*`, `req`, `msg`, `res` and `chunk`

      Made from the rows in the code; do not edit. [policies.md](policies.md) says how policies work.


      """
    for group in groups() { append(group.name, group.rows, to: &text) }
    for object in HostTable.objects where !object.fields.isEmpty {
      append(object.name, object.fields.map { ($0.usage, $0.doc) }, to: &text)
    }
    for kind in HostTable.classes where !kind.methods.isEmpty {
      append(kind.name, kind.methods.map { ($0.usage, $0.doc) }, to: &text)
    }
    let testRows: [Row] = TestAPI.functions.map { ($0.usage, $0.doc) } + [failsRow]
    append("t", testRows + TestAPI.methods.map { ($0.usage, $0.doc) }, about: "For `edge test`.", to: &text)
    text += "## Errors\n\nWhat `edge.refuse` takes; codes of several rows have the first one's status.\n\n"
    text += "| Code | Status |\n|---|---|\n"
    var known: Set<String> = []
    for row in ErrorRow.table where known.insert("\(row.name)").inserted {
      text += "| `\(row.name)` | \(row.status) |\n"
    }
    return text
  }

  /// The functions by what stands in front of their last name, in the order of the rows.
  private static func groups() -> [(name: String, rows: [Row])] {
    var groups: [(name: String, rows: [Row])] = []
    func add(_ name: String, _ row: Row) {
      if let place = groups.firstIndex(where: { $0.name == name }) {
        groups[place].rows.append(row)
      } else {
        groups.append((name, [row]))
      }
    }
    for row in HostTable.functions {
      add(row.name.split(separator: ".").dropLast().joined(separator: "."), (row.usage, row.doc))
    }
    for row in ownRows { add(row.group, (row.usage, row.doc)) }
    return groups
  }

  private static func append(_ name: String, _ rows: [Row], about: String = "", to text: inout String) {
    text += "## `\(name)`\n\n" + (about.isEmpty ? "" : "\(about)\n\n") + "| | |\n|---|---|\n"
    for row in rows {
      let cells = ["`\(row.usage)`", row.doc].map { $0.replacing("|", with: "\\|") }
      text += "| \(cells.joined(separator: " | ")) |\n"
    }
    text += "\n"
  }
}
