// `builtin: models`: the models that can be asked for, or one of them, in a form that OpenAI's and Anthropic's clients
// read. Which one the path names, and that there is none of this name, is known before this is called.
// Called by a worker for each request that its route leads here; the text was made with the generation.

/// The endpoint.
enum ModelsEndpoint {
  /// `{"object":"list","data":[…],…}`, or a member of `data`.
  @Sendable static func write(_ body: inout ByteWriter, _ facts: BuiltinFacts) -> BuiltinReply {
    body.append(facts.models.count > 0 ? facts.models : StaticBytes(ModelList.none))
    return BuiltinReply()
  }
}
