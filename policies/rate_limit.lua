-- How often: a limit for each user and route, or for each network where nobody has said who is calling.
--
-- Stands behind auth, so that a user is counted wherever the requests come from. Exact over all workers.
--
-- settings: limit   at most so many in any such time: "100 per 1m"
--       or  rate    a steady rate: "10 per 1s"
--           burst   with rate: so many at once (default: what the rate gives in a second)

local policy = {}

local limit

function policy.init(settings)
  limit = edge.limit.define("requests", settings)
end

-- What is asked is a request, or a message on a WebSocket.
local function take(asked, ctx)
  local kind, caller = "user", ctx.user
  if not caller then kind, caller = "network", asked.network end
  local granted, wait = limit:take(asked.route, kind, caller)
  if not granted then edge.refuse("RATE_LIMIT_EXCEEDED", {retry_after = wait}) end
end

-- On a WebSocket each message counts, not its opening; where nobody is asked about messages, the opening does.
function policy.on_request(req, ctx)
  if not req.messages then take(req, ctx) end
end

policy.on_message = take

return policy
