/// Placeholder until the parser lands with the next commit.
public enum YAML {}
