// Whether a ledger's file is sound: the promises of its entries, checked row by row.
// Called by tests, and by an operator's command when no Edge runs. It changes nothing.

/// The check.
enum LedgerCheck {
  private static let rules: [(sql: String, text: String)] = [
    (
      """
      SELECT t.id, t.account FROM transfers t JOIN accounts a ON a.id = t.account
      WHERE a.name NOT GLOB 'user/*'
        OR t.contra <> CASE t.kind WHEN 'settlement' THEN 1 ELSE 2 END
        OR CASE t.kind WHEN 'settlement' THEN t.amount > 0 ELSE t.amount <= 0 END
      """, "transfer on the wrong side"
    ),
    (
      """
      SELECT account, id FROM (
        SELECT account, id, previous, lag(id, 1, 0) OVER (PARTITION BY account ORDER BY id) AS before FROM transfers)
      WHERE previous <> before
      """, "transfer out of its account's chain"
    ),
    (
      """
      SELECT t.account, t.id FROM transfers t LEFT JOIN transfers p ON p.id = t.previous
      WHERE t.balance_after <> coalesce(p.balance_after, 0) + t.amount OR t.balance_after < 0
      """, "balance after a transfer is wrong"
    ),
    (
      """
      WITH newest AS (SELECT account, max(id) AS id FROM transfers GROUP BY account)
      SELECT a.id, a.balance FROM accounts a
      LEFT JOIN newest n ON n.account = a.id LEFT JOIN transfers t ON t.id = n.id
      WHERE a.name GLOB 'user/*' AND (a.balance IS NOT coalesce(t.balance_after, 0) OR a.last <> coalesce(n.id, 0))
      """, "balance is not that of the last transfer"
    ),
    (
      """
      SELECT t.id, count(g.transfer) FROM transfers t LEFT JOIN grants g ON g.transfer = t.id
      GROUP BY t.id HAVING count(g.transfer) <> (t.kind = 'grant')
      """, "grant without its reasons"
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
