// The rules, applied to every tracked file.

import Testing

@Suite("The repository keeps the house rules")
struct RepositoryTests {
  let checkout: Checkout

  init() throws { checkout = try Checkout.shared.get() }

  @Test("A floor names only itself and lower ones, and imports are where they belong")
  func layering() { report(Layering.findings(checkout.swift)) }

  @Test("Files, functions and lines are short")
  func sizes() {
    report(checkout.texts.flatMap { Sizes.findings($0) })
    report(checkout.swift.flatMap { Sizes.findings($0) })
    report(PlainText.findings(sizes: checkout.sizes))
  }

  @Test("Swift without traps, unexplained unsafety, prints and empty names")
  func banned() { report(checkout.swift.flatMap { Banned.findings($0) }) }

  @Test("Sources say what they are")
  func documentation() { report(checkout.swift.flatMap { Documentation.findings($0) }) }

  @Test("No file holds marks, machine paths, registries or stray white space")
  func plainText() { report(checkout.texts.flatMap { PlainText.findings($0) }) }

  @Test("Every exception still has something to excuse, and a reason")
  func exceptions() {
    let all =
      Layering.findings(checkout.swift) + PlainText.findings(sizes: checkout.sizes)
      + checkout.swift.flatMap { Sizes.findings($0) + Banned.findings($0) + Documentation.findings($0) }
      + checkout.texts.flatMap { Sizes.findings($0) + PlainText.findings($0) }
    for exception in House.exceptions {
      #expect(!exception.reason.isEmpty, "\(exception.path): an exception without a reason")
      #expect(all.contains { exception.covers($0) }, "\(exception.path): nothing left to excuse: \(exception.about)")
    }
  }
}
