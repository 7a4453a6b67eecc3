// The CPU clock of a thread that runs scripts.
//
// Called by: whoever owns the thread. Never: used on another thread than the one that made it.
import CLua

/// Stops scripts that take too much CPU time. One per thread that runs scripts, made and ended there; machines that are
/// used on the thread are told with `LuaMachine.use`.
public final class LuaClock {
  var clock: OpaquePointer?

  /// Starts the clock of the calling thread; nil when the system has no timer left.
  public init?() {
    clock = clua_clock_start()
    if clock == nil { return nil }
  }

  /// Stops it, on the thread that made it, when no machine uses it any more.
  public func end() {
    clua_clock_end(clock)
    clock = nil
  }

  deinit { end() }
}
