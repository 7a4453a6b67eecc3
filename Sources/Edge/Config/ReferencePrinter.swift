// The rows as a reference page.
//
// Owns: the Markdown that lists every key with its type, default and meaning.
// Called by: the documentation target.
// Never: knows a key; everything comes from the rows.

/// Writes the reference page.
enum ReferencePrinter {
  /// The page as Markdown with a line end.
  static func markdown() -> String {
    var text = """
      # Configuration and error reference

      Made by `edge check --print-reference` from the rows in the code; do not edit. `docs/routes.schema.json`, by
      `edge check --print-schema`, says the same to editors.


      """
    page(RootSection.schema, path: "", into: &text)
    text += "## Error codes\n\nWhat `error.code` of an answer says.\n\n| Code | Status | Meaning |\n|---|---|---|\n"
    for row in ErrorRow.table { text += "| `\(row.name)` | \(row.status) | \(row.message) |\n" }
    return text
  }

  private static func page(_ section: SchemaSection, path: String, into text: inout String) {
    text += "## \(path.isEmpty ? "Top level" : "`\(path)`")\n\n\(section.doc)\n\n"
    text += "| Key | Value | Default | Reload | Meaning |\n|---|---|---|---|---|\n"
    for row in section.rows {
      let cells = [
        "`\(row.key)`", row.type.expectation, fallback(row), row.reload.rawValue, row.doc,
      ].map { $0.replacing("|", with: "\\|") }
      text += "| \(cells.joined(separator: " | ")) |\n"
    }
    text += "\n"
    for row in section.rows {
      let inner = path.isEmpty ? row.key : "\(path).\(row.key)"
      switch row.type {
      case .section(let section), .either(_, let section): page(section, path: inner, into: &text)
      case .named(let section, _, _): page(section, path: "\(inner).NAME", into: &text)
      default: break
      }
    }
  }

  private static func fallback(_ row: SchemaRow) -> String {
    switch row.fallback {
    case .required, .requiredSince: "required"
    case .absent: "none"
    case .empty:
      switch row.type {
      case .section: "see below"
      case .named, .tree: "empty"
      default: "`[]`"
      }
    case .literal(let text), .literalWith(_, let text): "`\(text)`"
    case .environment(let name, let suffix, let otherwise):
      "`\(name)`" + (suffix.isEmpty ? "" : " in \(suffix)") + (otherwise.map { ", else `\($0)`" } ?? "")
    }
  }
}
