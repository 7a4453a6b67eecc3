// `edge.jwt`: tokens are verified here and nowhere else. A script hands over what `req.credential` gave it, which it
// cannot read itself.

import Glibc
import LuaBridge

/// The rows of `edge.jwt`.
enum JWTAPI {
  static let rows = [
    HostRow(
      "edge.jwt.verify", "edge.jwt.verify(credential)",
      "Verifies a token: `{user=, roles={…}, expires=}`, or nil and what is wrong with it.", verify),
    HostRow(
      "edge.jwt.claims", "edge.jwt.claims(credential)",
      "Verifies a token: all its claims, or nil and what is wrong with it.", claims),
  ]

  private static let verify: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    switch host.verified(call) {
    case .refused(let problem): return call.values(.nothing, .string(problem.utf8Start, problem.utf8CodeUnitCount))
    case .valid(let token): return host.principal(token.pointee, call)
    }
  }

  private static let claims: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    switch host.verified(call) {
    case .refused(let problem): return call.values(.nothing, .string(problem.utf8Start, problem.utf8CodeUnitCount))
    case .valid(let token):
      return host.values(ofJSON: token.pointee.claims.start, token.pointee.claims.count, call)
        ?? call.values(.nothing, .string("malformed"))
    }
  }
}

/// What became of a token.
private enum VerifiedCredential {
  case valid(UnsafePointer<VerifiedToken>)
  case refused(StaticString)
}

extension PolicyHost {
  fileprivate func verified(_ call: HostCall) -> VerifiedCredential {
    let token: UnsafeBufferPointer<UInt8>
    if let text = call.string(1) {
      token = text
    } else if call.handle(1, class: HostClass.credential) != nil {
      guard let view else { return .refused("no credential") }
      switch RequestCredential(view) {
      case .none: return .refused("no credential")
      case .foreign: return .refused("unsupported scheme")
      case .conflict: return .refused("two credentials")
      case .one(let bytes): token = bytes
      }
    } else {
      return .refused("no credential")
    }
    guard let start = token.baseAddress else { return .refused(TokenFault.malformed.text) }
    switch verifier.verify(start, token.count, wallSeconds: Int64(wallNanoseconds / 1_000_000_000)) {
    case .valid(let verified): return .valid(verified)
    case .refused(let fault): return .refused(fault.text)
    }
  }

  /// `{user=, roles={…}, expires=}`.
  fileprivate func principal(_ token: VerifiedToken, _ call: HostCall) -> Int32 {
    guard let area = flat.baseAddress else { return call.nothing() }
    let expires = token.expires != .max
    area[0] = .map(expires ? 3 : 2)
    area[1] = .string("user")
    area[2] = .string(token.user.start, token.user.count)
    area[3] = .string("roles")
    // Who has no role is a user.
    area[4] = .list(max(1, token.roleCount))
    area[5] = .string("user")
    for index in 0..<token.roleCount {
      area[5 + index] = .string(token.roles[index].start, token.roles[index].count)
    }
    let count = 5 + max(1, token.roleCount)
    if expires {
      area[count] = .string("expires")
      area[count + 1] = .integer(Int(token.expires))
    }
    return call.values(at: UnsafePointer(area), count: 1)
  }
}
