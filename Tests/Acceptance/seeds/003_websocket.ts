// Client → Server
interface MCPRequest {
  id: string; // Unique request ID
  type: 'completion' | 'chat'; // Request type
  provider?: 'openai' | 'claude' | 'auto';
  model: string;
  messages: Message[];
  stream: boolean;
  maxTokens?: number;
  temperature?: number;
}

// Server → Client
interface MCPResponse {
  id: string; // Matches request ID
  type: 'chunk' | 'done' | 'error';
  data?: string; // Content chunk
  usage?: TokenUsage; // Final usage stats
  error?: ErrorDetails;
}
