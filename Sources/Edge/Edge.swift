// The whole program as one call; `EdgeMain` is nothing but that call.

import Glibc

/// Edge.
public enum Edge {
  /// Runs the command line of this process and ends it with the command's exit code.
  public static func main() -> Never {
    exit(CommandTable.run(Array(CommandLine.arguments.dropFirst())))
  }
}
