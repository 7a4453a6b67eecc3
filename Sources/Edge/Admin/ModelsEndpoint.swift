// `builtin: models`: the models that can be asked for, in a form that OpenAI's and Anthropic's clients read.
// Called by a worker for each request that its route leads here; the text was made with the generation.

/// The endpoint.
enum ModelsEndpoint {
  /// `{"object":"list","data":[…],…}`.
  @Sendable static func write(_ body: inout ByteWriter, _ facts: BuiltinFacts) -> BuiltinReply {
    body.append(facts.models.count > 0 ? facts.models : StaticBytes(ModelList.none))
    return BuiltinReply()
  }
}
