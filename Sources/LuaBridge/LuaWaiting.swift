// Calls that wait for an answer, from the point of view of whoever keeps them: all that must be kept is the coroutine.
//
// Called by: whoever runs policies on behalf of exchanges. Never: raises over a Swift frame.
import CLua

/// Where the answer of a host function goes.
public typealias HostResult = UnsafeMutablePointer<clua_result>

extension LuaCall {
  /// A call that waits, of which its coroutine was kept.
  @inlinable public init(function: Int32 = -1, context: Int32? = nil, coroutine: Int32) {
    self.init(function: function, context: context)
    call.coroutine = coroutine
  }

  /// Which coroutine runs it.
  @inlinable public var coroutine: Int32 { call.coroutine }
}

extension LuaMachine {
  /// Answers what a call waits for with one or two plain values.
  @inlinable public func resume(_ call: inout LuaCall, _ first: LuaValue, _ second: LuaValue? = nil) -> LuaOutcome {
    var values = (first, second ?? .nothing)
    return withUnsafePointer(to: &values) { pair in
      pair.withMemoryRebound(to: LuaValue.self, capacity: 2) {
        resume(&call, values: $0, count: second == nil ? 1 : 2)
      }
    }
  }

  /// Answers what a call waits for with an error.
  public func resume(_ call: inout LuaCall, error text: String) -> LuaOutcome {
    var text = text
    return text.withUTF8 { resume(&call, error: $0) }
  }
}
