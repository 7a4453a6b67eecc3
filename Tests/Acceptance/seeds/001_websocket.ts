interface MCPRequest {
  id: string;
  type: 'completion' | 'chat' | 'embedding';
  provider: 'openai' | 'claude' | 'auto';
  model: string;
  messages?: Message[];
  prompt?: string;
  stream: boolean;
  maxTokens?: number;
}

interface MCPStreamChunk {
  id: string;
  type: 'chunk' | 'done' | 'error';
  data?: string;
  usage?: {
    promptTokens: number;
    completionTokens: number;
    totalTokens: number;
  };
  error?: {
    code: string;
    message: string;
  };
}

interface MCPResponse {
  id: string;
  type: 'completion';
  data: string;
  usage: {
    promptTokens: number;
    completionTokens: number;
    totalTokens: number;
    credits: number;
  };
  metadata: {
    model: string;
    provider: string;
    latency: number;
  };
}
