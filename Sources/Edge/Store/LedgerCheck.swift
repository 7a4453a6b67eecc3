// Whether a ledger's file is sound: the promises of double entry, checked row by row.
// Called by tests, and by an operator's command when no Edge runs. It changes nothing.

/// The check.
enum LedgerCheck {
  private static let rules: [(sql: String, text: String)] = [
    (
      "SELECT transfer, sum(amount) FROM postings GROUP BY transfer HAVING sum(amount) <> 0", "postings do not sum to 0"
    ),
    (
      """
      SELECT t.id, count(p.account) FROM transfers t LEFT JOIN postings p ON p.transfer = t.id
      GROUP BY t.id HAVING count(p.account) <> 2
      """, "transfer without two postings"
    ),
    (
      """
      SELECT a.id, a.balance FROM accounts a
      WHERE a.balance <> (SELECT coalesce(sum(amount), 0) FROM postings WHERE account = a.id)
      """, "balance is not the sum of its postings"
    ),
    (
      """
      SELECT account, transfer FROM (
        SELECT account, transfer, balance_after, sum(amount) OVER (PARTITION BY account ORDER BY transfer) AS total
        FROM postings) WHERE balance_after <> total
      """, "balance after a posting is wrong"
    ),
    ("SELECT id, balance FROM accounts WHERE name GLOB 'user/*' AND balance < 0", "balance of a user below zero"),
    (
      """
      SELECT t.id, p.amount FROM transfers t JOIN postings p ON p.transfer = t.id JOIN accounts a ON a.id = p.account
      WHERE a.name GLOB 'user/*' AND CASE t.kind WHEN 'settlement' THEN p.amount > 0 ELSE p.amount <= 0 END
      """, "amount on the wrong side"
    ),
    ("SELECT 0, count(*) FROM pragma_foreign_key_check HAVING count(*) > 0", "rows that lead nowhere"),
  ]

  /// What is wrong; empty when the ledger is sound. A file that cannot be read is wrong too.
  static func verify(path: String) -> [String] {
    var findings: [String] = []
    do throws(SQLiteError) {
      let database = try LedgerDatabase(path: path, mayWrite: false)
      let integrity = try database.prepare("PRAGMA integrity_check").first([]) { $0.text(0) } ?? ""
      if integrity != "ok" { findings.append("integrity: \(integrity)") }
      for rule in rules {
        try database.prepare(rule.sql).run([]) { row in
          findings.append("\(rule.text): \(row.integer(0)), \(row.integer(1))")
        }
      }
    } catch {
      findings.append("cannot be read: \(error.message)")
    }
    return findings
  }
}
