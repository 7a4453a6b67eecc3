// Who may name whom: the floors inside Sources/Edge, and the modules that may be imported.
//
// Reads tokens, not meaning: a name declared at file level, or a type nested anywhere, belongs to the floors that
// declare it, and every mention counts. So a lower floor cannot use a higher one's name for something else either.

enum Layering {
  static let rule = "layering"

  /// The folder of a file below Sources/Edge; nil elsewhere. Files directly in Sources/Edge belong to the top floor.
  static func folder(of path: String) -> String? {
    let parts = path.split(separator: "/")
    guard parts.count >= 3, parts[0] == "Sources", parts[1] == "Edge" else { return nil }
    return parts.count == 3 ? House.floors.last?.first : String(parts[2])
  }

  static func floor(of folder: String) -> Int? { House.floors.firstIndex { $0.contains(folder) } }

  static func findings(_ files: [SwiftFile]) -> [Finding] {
    let names = Names(files)
    return files.flatMap { unknownFolder($0) + mentions(in: $0, names) } + circles(files) + files.flatMap(imports)
  }

  private static func unknownFolder(_ file: SwiftFile) -> [Finding] {
    guard let folder = folder(of: file.path), floor(of: folder) == nil else { return [] }
    let message = "the folder \(folder) has no floor: add it to the table in Tests/Tidy/House.swift"
    return [Finding(rule: rule, path: file.path, line: 1, message: message)]
  }

  // MARK: mentions

  /// Which folders of Sources/Edge declare a name.
  private struct Names {
    var top: [String: Set<String>] = [:]
    var nested: [String: Set<String>] = [:]
    /// Every declared name by folder, to tell a call of a short global function from a call of an own one.
    var own: [String: Set<String>] = [:]

    init(_ files: [SwiftFile]) {
      for file in files {
        guard let folder = Layering.folder(of: file.path) else { continue }
        for declared in file.declarations where declared.kind != .extends {
          own[folder, default: []].insert(declared.name)
          if declared.isTopLevel {
            top[declared.name, default: []].insert(folder)
          } else if !declared.isLocal, declared.kind == .type || declared.kind == .alias {
            nested[declared.name, default: []].insert(folder)
          }
          // A generic parameter makes its name the folder's own.
          for name in declared.parameters { nested[name, default: []].insert(folder) }
        }
      }
    }

    /// The folders that declare the name when the given one does not.
    func homes(_ name: String, seenFrom folder: String) -> Set<String>? {
      if nested[name]?.contains(folder) == true { return nil }
      if let homes = top[name] { return homes.contains(folder) ? nil : homes.union(nested[name] ?? []) }
      return House.commonNames.contains(name) ? nil : nested[name]
    }
  }

  private static func mentions(in file: SwiftFile, _ names: Names) -> [Finding] {
    guard let folder = folder(of: file.path), let floor = floor(of: folder) else { return [] }
    var seen: Set<String> = []
    var found: [Finding] = []
    for (index, token) in file.tokens.enumerated() where token.kind == .word || token.kind == .attribute {
      let name = token.kind == .attribute ? String(token.text.dropFirst()) : token.text
      guard !seen.contains(name), let homes = names.homes(name, seenFrom: folder) else { continue }
      let floors = homes.map { Layering.floor(of: $0) ?? Int.max }
      guard floors.allSatisfy({ $0 >= floor }) else { continue }
      guard isReference(name, at: index, in: file, own: names.own[folder] ?? []) else { continue }
      seen.insert(name)
      let owners = homes.sorted().joined(separator: ", ")
      let kind = floors.contains(floor) ? "its sibling" : "the higher floor"
      let message = "\(folder) names \(name), declared in \(kind) \(owners)"
      found.append(Finding(rule: rule, path: file.path, line: token.line, message: message))
    }
    return found
  }

  /// Short global functions share their names with members of everything (`read`, `send`), so those count only when
  /// called plainly where no own declaration has the name.
  private static func isReference(_ name: String, at index: Int, in file: SwiftFile, own: Set<String>) -> Bool {
    if name.count >= 6 || name.first?.isUppercase == true { return true }
    let tokens = file.tokens
    let isMember = index > 0 && (tokens[index - 1].isSymbol(".") || tokens[index - 1].isKeyword("func"))
    let isCall = index + 1 < tokens.count && tokens[index + 1].isSymbol("(")
    return isCall && !isMember && !own.contains(name)
  }

  // MARK: circles

  /// Two folders of one floor's folder that each name what only the other declares at file level.
  private static func circles(_ files: [SwiftFile]) -> [Finding] {
    func room(_ file: SwiftFile) -> String { file.path.split(separator: "/").dropLast().joined(separator: "/") }
    let sources = files.filter(\.isSource)
    var homes: [String: Set<String>] = [:]
    for file in sources {
      for declared in file.declarations where declared.isTopLevel && declared.kind != .extends {
        homes[declared.name, default: []].insert(room(file))
      }
    }
    /// Folder that names → folder named → the first place.
    var uses: [String: [String: Finding]] = [:]
    for file in sources {
      for token in file.tokens where token.kind == .word {
        guard let owners = homes[token.text], owners.count == 1, let home = owners.first, home != room(file),
          folder(of: home + "/.") == folder(of: file.path), uses[room(file)]?[home] == nil,
          token.text.count >= 6 || token.text.first?.isUppercase == true
        else { continue }
        let message = "\(room(file)) and \(home) name each other, here \(token.text)"
        let finding = Finding(rule: "circle", path: file.path, line: token.line, message: message)
        uses[room(file), default: [:]][home] = finding
      }
    }
    return uses.keys.sorted().flatMap { from in
      (uses[from] ?? [:]).sorted { $0.key < $1.key }.filter { uses[$0.key]?[from] != nil }.map(\.value)
    }
  }

  // MARK: modules

  private static let importKinds: Set<String> = [
    "struct", "class", "enum", "protocol", "typealias", "func", "let", "var",
  ]

  /// Imports that the module tables do not allow.
  static func imports(_ file: SwiftFile) -> [Finding] {
    var found: [Finding] = []
    for (index, token) in file.tokens.enumerated() where token.isKeyword("import") {
      var next = index + 1
      if next < file.tokens.count, importKinds.contains(file.tokens[next].text) { next += 1 }
      guard next < file.tokens.count, file.tokens[next].kind == .word else { continue }
      let module = file.tokens[next].text
      if let reason = House.refusedModules[module] {
        found.append(Finding(rule: "import", path: file.path, line: token.line, message: "\(module): \(reason)"))
      }
      guard file.isSource else { continue }
      let allowed = House.modules[module] ?? []
      if allowed.contains(where: { file.path.hasPrefix($0) }) { continue }
      let place = allowed.isEmpty ? "nowhere under Sources" : "only below " + allowed.joined(separator: ", ")
      let message = "\(module) may be imported \(place)"
      found.append(Finding(rule: "import", path: file.path, line: token.line, message: message))
    }
    return found
  }
}
