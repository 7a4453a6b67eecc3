-- Who is calling: a signed token in `Authorization: Bearer` or `x-api-key`; of WebSockets also where browsers put it.
--
-- Without a valid token the request is refused. With one, `ctx.user` and `ctx.roles` say who it is for everything that
-- follows, and the service learns the user from a header that clients of this route cannot forge. A WebSocket ends at
-- `ctx.expires`.
--
-- settings: user_header   the header that names the user to the service; false for none (default x-user-id)

local policy = {}

local verify = edge.jwt.verify
local user_header

function policy.init(settings)
  for name in pairs(settings) do
    if name ~= "user_header" then error("unknown setting '" .. name .. "': there is user_header", 0) end
  end
  user_header = settings.user_header
  if user_header == nil then user_header = "x-user-id" end
  if user_header == false then return end
  -- YAML reads `no` as a text.
  local word = type(user_header) == "string" and user_header:lower()
  if word == "no" or word == "off" or word == "none" then
    error("user_header: '" .. user_header .. "' is a text; write false for none", 0)
  end
  if not word or not word:match("^[%w!#$%%&'*+.^_`|~-]+$") then
    error("user_header must be the name of a header, or false", 0)
  end
end

function policy.on_request(req, ctx)
  local principal, problem = verify(req.credential)
  if not principal then edge.refuse("UNAUTHORIZED", {reason = problem}) end

  ctx.user = principal.user
  ctx.roles = principal.roles
  ctx.expires = principal.expires
  if user_header then req.headers[user_header] = principal.user end
end

return policy
