// `edge.credit`: balances, holds, the history of an account, grants. What the table of balances knows is answered at
// once; everything else is left as an operation for whoever runs the policy.
// Called by scripts. Never: charges anything; that is the driver's, when an exchange has ended.

import Glibc
import LuaBridge

/// The rows of `edge.credit`.
enum CreditAPI {
  static let rows = [
    HostRow(
      "edge.credit.amount", "edge.credit.amount(credits)",
      "An amount, in billionths of a credit: of `\"12.5\"`, `12` or a decimal, such as JSON gives. nil and what is "
        + "wrong, where it is none; a number with a fraction is none.",
      amount),
    HostRow(
      "edge.credit.decimal", "edge.credit.decimal(amount)",
      "The amount as a value that JSON writes as a plain decimal number, such as 12.5, and `tostring` as its text.",
      decimal),
    HostRow(
      "edge.credit.balance", "edge.credit.balance(account)",
      "What the account has, what of it is held for work that runs, and what is left. May wait.", balance),
    HostRow(
      "edge.credit.hold", "edge.credit.hold(account, amount)",
      "In on_select, once: sets the amount aside for this exchange. true, or false when the account does not cover it, "
        + "and what is left. May wait. Without a ledger the exchange ends with SERVICE_UNAVAILABLE.", hold),
    HostRow(
      "edge.credit.history", "edge.credit.history(account, {before=, limit=50})",
      "The newest entries of the account, and what `before` must be for those below; nil when there are none. An entry "
        + "has `transaction`, `kind` (initial, grant, settlement), `amount`, `balance` after it and `time`; a "
        + "settlement `request`, `provider`, `model`, `usage` as the log has it and `shortfall`; a grant `reason`. "
        + "Waits.",
      history),
    HostRow(
      "edge.credit.grant", "edge.credit.grant(account, amount, {by=, key=, reason=})",
      "Gives credits to the account: `{transaction=, balance=}`. `by` says who does, `key` makes it once however often "
        + "it is asked for. nil and `\"conflict\"` when the key was used for something else, `\"overflow\"` when there "
        + "would be more credits than can be counted, `\"account\"` when no token can name this user. Waits.", grant),
  ]

  /// Entries that one call may ask for.
  static let historyMax = 200
  private static let historyDefault = 50
  private static let nameBytesMax = 256
  private static let reasonBytesMax = 1 << 10

  // MARK: Amounts

  private static let amount: HostFunction = { state, _, result in
    let call = HostCall(state, result)
    do throws(Amount.Fault) {
      return call.value(.integer(Int(try credits(of: call).units)))
    } catch { return call.values(.nothing, .string(error.text)) }
  }

  private static func credits(of call: HostCall) throws(Amount.Fault) -> Amount {
    if let text = call.string(1) { return try Amount(credits: text) }
    if let units = call.handle(1, class: HostClass.decimal) {
      if units < 0 { throw .number }
      return Amount(units: units)
    }
    switch call.kind(1) {
    case .integer: return try Amount(credits: call.integer(1) ?? -1)
    case .number: throw .number
    default: throw .type
    }
  }

  private static let decimal: HostFunction = { state, _, result in
    let call = HostCall(state, result)
    guard let units = call.integer(1) else {
      return call.raise("edge.credit.decimal takes a whole number of billionths")
    }
    return call.value(.handle(class: HostClass.decimal, payload: Int64(units)))
  }

  /// `tostring` of a decimal.
  static let decimalText: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context), let units = call.handle(1, class: HostClass.decimal) else {
      return call.raise("this is no decimal")
    }
    let text = host.text.write { $0.append(Amount(units: units)) }
    return text.map { call.value(.string($0)) } ?? call.nothing()
  }

  // MARK: Balances

  private static let balance: HostFunction = {
    account($0, $1, $2, "edge.credit.balance") { call, host, account in
      if let known = host.tools.ledger?.balances.balance(account) {
        return call.values(
          .integer(Int(known.balance.units)), .integer(Int(known.held.units)), .integer(Int(known.available.units)))
      }
      return host.wait(call, .balance(account: String(decoding: account, as: UTF8.self)))
    }
  }

  private static let hold: HostFunction = {
    account($0, $1, $2, "edge.credit.hold") { call, host, account in
      guard host.phase == .onSelect else { return call.raise("edge.credit.hold has a meaning in on_select only") }
      guard host.hold == nil else { return call.raise("edge.credit.hold holds once for each exchange") }
      guard let amount = amount(of: call) else { return call.raise(amountFault) }
      let outcome = host.tools.ledger?.hold(account, amount) ?? .pending
      if case .pending = outcome {
        host.wait = .hold(amount)
        return host.wait(call, .hold(account: String(decoding: account, as: UTF8.self), amount))
      }
      guard let held = host.take(outcome, amount) else {
        host.refuseWithoutLedger()
        return call.end()
      }
      return call.values(.boolean(held.isGranted), .integer(Int(held.available.units)))
    }
  }

  // MARK: Entries

  private static let history: HostFunction = {
    account($0, $1, $2, "edge.credit.history") { call, host, account in
      var (before, limit): (Int64, Int) = (0, historyDefault)
      if call.kind(2) != .nothing {
        let entries: FlatMap
        do throws(FlatMap.Fault) { entries = try FlatMap(call, 2, host.flat, of: "edge.credit.history") } catch {
          return call.raise(error.message)
        }
        if let stranger = entries.stranger(among: ["before", "limit"]) {
          return call.raise("edge.credit.history does not know '\(stranger)'; it takes before and limit")
        }
        if entries.place("before") != nil {
          guard let place = entries.integer("before"), place > 0 else {
            return call.raise("'before' of edge.credit.history is what the call before has returned")
          }
          before = Int64(place)
        }
        if entries.place("limit") != nil {
          guard let wanted = entries.integer("limit"), (1...historyMax).contains(wanted) else {
            return call.raise("'limit' of edge.credit.history is a whole number from 1 to 200")
          }
          limit = wanted
        }
      }
      let name = String(decoding: account, as: UTF8.self)
      return host.wait(call, .history(account: name, before: before, limit: limit))
    }
  }

  private static let grant: HostFunction = {
    account($0, $1, $2, "edge.credit.grant") { call, host, account in
      guard let amount = amount(of: call), amount > .zero else {
        return call.raise("a grant is above 0; \(amountFault)")
      }
      let entries: FlatMap
      do throws(FlatMap.Fault) { entries = try FlatMap(call, 3, host.flat, of: "edge.credit.grant") } catch {
        return call.raise(error.message)
      }
      if let stranger = entries.stranger(among: ["by", "key", "reason"]) {
        return call.raise("edge.credit.grant does not know '\(stranger)'; it takes by, key and reason")
      }
      guard let by = text(entries, "by", nameBytesMax) else {
        return call.raise("'by' of edge.credit.grant says who grants: UTF-8 of 1 to 256 bytes")
      }
      let (key, reason) = (text(entries, "key", nameBytesMax), text(entries, "reason", reasonBytesMax))
      if key == nil, entries.place("key") != nil {
        return call.raise("'key' of edge.credit.grant is UTF-8 of 1 to 256 bytes")
      }
      if reason == nil, entries.place("reason") != nil {
        return call.raise("'reason' of edge.credit.grant is UTF-8 of 1 to 1,024 bytes")
      }
      guard TokenRules.isName(account) else { return call.values(.nothing, .string("account")) }
      let name = String(decoding: account, as: UTF8.self)
      return host.wait(call, .grant(account: name, amount, by: by, key: key, reason: reason))
    }
  }

  // MARK: Arguments

  private static let amountFault: StaticString =
    "an amount is a whole number of billionths from 0 on; edge.credit.amount makes one"

  /// The second argument; nil when it is no amount that can be held or given.
  private static func amount(of call: HostCall) -> Amount? {
    call.integer(2).flatMap { $0 < 0 ? nil : Amount(units: Int64($0)) }
  }

  private static func text(_ entries: FlatMap, _ name: StaticString, _ bytesMax: Int) -> String? {
    guard let text = entries.string(name), let start = text.baseAddress, (1...bytesMax).contains(text.count),
      isUTF8(start, text.count)
    else { return nil }
    return String(decoding: text, as: UTF8.self)
  }

  /// Calls `body` with the first argument, which must be the name of an account, where a script may wait.
  @inline(__always)
  private static func account(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?, _ name: StaticString,
    _ body: (HostCall, PolicyHost, UnsafeBufferPointer<UInt8>) -> Int32
  ) -> Int32 {
    let call = HostCall(state, result)
    let answer = PolicyHost.with(context) { host in
      guard host.phase != .start else { return call.raise("edge.credit may wait for the ledger, and init cannot wait") }
      guard let account = call.string(1), let start = account.baseAddress, (1...nameBytesMax).contains(account.count),
        isUTF8(start, account.count)
      else { return call.raise("\(name) takes an account: a name of 1 to 256 bytes of UTF-8, such as ctx.user") }
      return body(call, host, account)
    }
    return answer ?? call.nothing()
  }
}

extension PolicyHost {
  /// Leaves a question for the ledger.
  fileprivate func wait(_ call: HostCall, _ request: LedgerRequest) -> Int32 {
    operation = .ledger(request)
    return call.pause()
  }

  /// Notes what came of holding credits; nil: nobody can say whether the account covers it.
  func take(_ outcome: HoldOutcome, _ amount: Amount) -> (isGranted: Bool, available: Amount)? {
    switch outcome {
    case .granted(let account, let available):
      hold = HeldCredits(account: account, amount: amount)
      holdResult = .granted
      return (true, available)
    case .refused(let available):
      holdResult = .refused
      return (false, available)
    case .pending, .unavailable:
      holdResult = .unavailable
      return nil
    }
  }

  /// Ends the exchange: what costs something is not done while nobody can write down that it was.
  func refuseWithoutLedger() {
    refuse(.serviceUnavailable, StaticBytes("The ledger of credits cannot be reached; try again shortly."))
  }
}
