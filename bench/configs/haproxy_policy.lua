-- HAProxy's policy as an action in Lua: the token is checked by HAProxy's own converters, limits and credits are
-- tables. A Python template: a doubled dollar stands for one.

local limits, credits = {}, {}

local function refuse(txn, status)
  txn:done(txn:reply{status = status})
end

core.register_action("policy", {"http-req"}, function(txn)
  local token = txn.f:http_auth_bearer()
  if not token or token == "" then return refuse(txn, 401) end
  if txn.c:jwt_header_query(token, "$$.alg") ~= "HS256" then return refuse(txn, 401) end
  if tostring(txn.c:jwt_verify(token, "HS256", "$secret")) ~= "1" then return refuse(txn, 401) end
  -- Without "int" a number comes with six digits only.
  local ends, now = tonumber(txn.c:jwt_payload_query(token, "$$.exp", "int")), core.now().sec
  if not ends or ends < now then return refuse(txn, 401) end

  local user = txn.c:jwt_payload_query(token, "$$.sub")
  local limit = limits[user]
  if not limit then
    limit = {second = now, count = 0}
    limits[user] = limit
  end
  if limit.second ~= now then limit.second, limit.count = now, 0 end
  limit.count = limit.count + 1
  if limit.count > $rate_limit then return refuse(txn, 429) end

  local left = credits[user] or $credits
  if left < 1 then return refuse(txn, 402) end
  credits[user] = left - 1
end)
