-- A handler for three paths, by the last word of each: balance, history and grant.
--
-- Stands behind auth, which says whose credits they are; grant behind permissions too.

local handler = {}

local function invalid(message) edge.refuse("INVALID_REQUEST", {message = message}) end

local function balance(req, ctx)
  local total, held, available = edge.credit.balance(ctx.user)
  edge.reply{json = {
    userId = ctx.user,
    balance = edge.credit.decimal(total),
    held = edge.credit.decimal(held),
    available = edge.credit.decimal(available),
  }}
end

-- A whole number from 1 on in the query, nil where there is none.
local function number(req, name, most)
  local text = req.args[name]
  if not text then return nil end
  local value = text:match("^%d+$") and math.tointeger(tonumber(text))
  if not value or value < 1 or value > most then invalid(name .. " is a whole number from 1 to " .. most) end
  return value
end

local function history(req, ctx)
  local before, limit = number(req, "cursor", math.maxinteger), number(req, "limit", 200)
  local entries, following = edge.credit.history(ctx.user, {before = before, limit = limit or 50})
  local list = edge.json.array{}
  for index, entry in ipairs(entries) do
    list[index] = {
      id = entry.transaction, kind = entry.kind, timestamp = edge.time.text(entry.time),
      credits = edge.credit.decimal(entry.amount), balance = edge.credit.decimal(entry.balance),
      requestId = entry.request, provider = entry.provider, model = entry.model, usage = entry.usage,
    }
  end
  edge.reply{json = {entries = list, next = following and tostring(following)}}
end

local known = {userId = 256, credits = true, reason = 1024, idempotencyKey = 256}

-- A text in a body, at most as long as `known` says; nil where there is none.
local function text(body, name)
  local value = body[name]
  if value == nil then return nil end
  if type(value) ~= "string" or #value < 1 or #value > known[name] then
    invalid(name .. " is a text of 1 to " .. known[name] .. " bytes")
  end
  return value
end

local function grant(req, ctx)
  -- Credits out of nothing must not be open to everybody because a line is missing.
  if not req.permission then error("the route '" .. req.route .. "' grants credits and has no 'permission'") end

  local body = edge.json.try_decode(req.body or "", "decimals")
  if type(body) ~= "table" then invalid("the body is no JSON object") end
  for name in pairs(body) do
    if not known[name] then invalid("the body has an unknown key: " .. name) end
  end
  local user = text(body, "userId") or invalid("userId is missing")
  local amount, problem = edge.credit.amount(body.credits)
  if not amount then invalid("credits: " .. problem) end
  if amount == 0 or amount > edge.credit.amount(1000000000) then invalid("credits are above 0, up to 1000000000") end

  local granted, why = edge.credit.grant(user, amount, {
    by = ctx.user, key = text(body, "idempotencyKey"), reason = text(body, "reason"),
  })
  if why == "account" then invalid("userId is no name of a user: it has control characters, or spaces at an end") end
  if why == "overflow" then invalid("credits: with so many, there would be more than the ledger can count") end
  if not granted then edge.refuse("CONFLICT", {message = "The idempotencyKey was used for another grant."}) end
  edge.reply{json = {
    transactionId = granted.transaction,
    creditsGranted = edge.credit.decimal(amount),
    balance = edge.credit.decimal(granted.balance),
  }}
end

local actions = {["GET balance"] = balance, ["GET history"] = history, ["POST grant"] = grant}

function handler.handle(req, ctx)
  if not ctx.user then error("nobody is known on the route '" .. req.route .. "': this handler stands behind auth") end
  local action = actions[req.method .. " " .. (req.path:match("[^/]+$") or "")]
  if not action then edge.refuse("NOT_FOUND") end
  action(req, ctx)
end

return handler
