-- What it costs: the balance must cover the estimate, and the credits are set aside before anybody is asked.
--
-- Stands behind auth, which says whose credits they are, and before rate_limit, so that who cannot pay counts nowhere.
-- What was set aside and is not used comes back by itself when the exchange ends.

local policy = {}

local estimate_of, balance_of, hold = edge.price.estimate, edge.credit.balance, edge.credit.hold

local function insufficient(required, available)
  edge.refuse("INSUFFICIENT_CREDITS", {
    required = edge.credit.decimal(required),
    available = edge.credit.decimal(available),
  })
end

-- What is asked is a request, or a message on a WebSocket.
local function check(asked, ctx)
  local estimate = estimate_of()
  if not estimate then return end

  if not ctx.user then error("nobody pays on the route '" .. asked.route .. "': this policy stands behind auth") end
  local _, _, available = balance_of(ctx.user)
  if available < estimate then insufficient(estimate, available) end
end

-- On a WebSocket each message costs, not its opening; where nobody is asked about messages, the opening does.
function policy.on_request(req, ctx)
  if not req.messages then check(req, ctx) end
end

policy.on_message = check

-- Others may have spent since; a hold cannot be spent twice.
function policy.on_select(candidates, ctx)
  local estimate = candidates[1].estimate
  local held, available = hold(ctx.user, estimate)
  if not held then insufficient(estimate, available) end
end

return policy
