// `edge.price`: what a request would cost. Whoever runs the policy has put it into the host; a script that asks before
// the body was read waits for that.
// Called by scripts. Never: prices anything, or reads the body.

import LuaBridge

/// The row of `edge.price`.
enum PriceAPI {
  static let rows = [
    HostRow(
      "edge.price.estimate", "edge.price.estimate()",
      "In on_request, on_message and handle: what the cheapest of those that could answer would hold, in billionths of "
        + "a credit; nil where the route costs nothing. Waits until the body is there. A body that is no proper "
        + "request, or asks for a model that nobody offers, ends the exchange.", estimate)
  ]

  private static let estimate: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    return PolicyHost.with(context) { estimate(call, $0) } ?? call.nothing()
  }

  private static func estimate(_ call: HostCall, _ host: PolicyHost) -> Int32 {
    guard host.mayAsk else {
      return call.raise("edge.price.estimate has a meaning in on_request, on_message and handle only")
    }
    switch host.price {
    case .free: return call.value(.nothing)
    case .known(let amount): return call.value(.integer(Int(amount.units)))
    case .refused(let code, let message):
      host.refuse(code, message)
      return call.end()
    case .needsBody:
      host.wait = .estimate
      host.operation = .body
      return call.pause()
    }
  }
}

extension PolicyHost {
  /// Ends the exchange as `edge.refuse` would, for a reason that is not the script's.
  func refuse(_ code: ErrorCode, _ message: StaticBytes) {
    verdict = PolicyVerdict(code: code)
    if message.count > 0 { verdict.message = UnsafeBufferPointer(start: message.start, count: message.count) }
  }
}
