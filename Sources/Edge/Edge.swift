import Glibc

/// The whole program; `EdgeMain` only calls it.
public enum Edge {
  /// Runs the command line and ends the process with its exit code.
  public static func main() -> Never { exit(0) }
}
