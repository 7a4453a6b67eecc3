// The whole program as one call; `EdgeMain` is nothing but that call.
// It hands the command line to the table of commands and ends the process.

import Glibc

/// Edge.
public enum Edge {
  /// Runs the command line of this process and ends it with the command's exit code.
  public static func main() -> Never {
    exit(Console.exitCode(CommandTable.run(Array(CommandLine.arguments.dropFirst()))))
  }
}
