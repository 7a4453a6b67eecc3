-- How often somebody may try to open a WebSocket: a limit for each user, or for each network where nobody has said who
-- is calling. Other requests pass.
--
-- In front of auth it counts by network, whoever calls and whether or not the token is good; behind it by user. A row
-- of `policies` for each: they count for themselves.
--
-- settings: limit   at most so many in any such time: "60 per 1m"
--       or  rate    a steady rate: "1 per 1s"
--           burst   with rate: so many at once (default: what the rate gives in a second)

local policy = {}

local limit

function policy.init(settings)
  limit = edge.limit.define("attempts", settings)
end

function policy.on_request(req, ctx)
  if not req.upgrade then return end

  local kind, caller = "user", ctx.user
  if not caller then kind, caller = "network", req.network end
  local granted, wait = limit:take(kind, caller)
  if not granted then edge.refuse("RATE_LIMIT_EXCEEDED", {retry_after = wait}) end
end

return policy
