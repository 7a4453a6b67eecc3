-- Who is calling: a signed token in `Authorization: Bearer` or `x-api-key`; of WebSockets also where browsers put it.
--
-- Without a valid token the request is refused. With one, `ctx.user` and `ctx.roles` say who it is for everything that
-- follows, and the service learns the user from a header that clients of this route cannot forge. A WebSocket ends at
-- `ctx.expires`.
--
-- settings: user_header   the header that names the user to the service; false for none (default x-user-id)

local policy = {}

local user_header

function policy.init(settings)
  user_header = settings.user_header
  if user_header == nil then user_header = "x-user-id" end
  if user_header == false then return end
  if type(user_header) ~= "string" then error("user_header must be the name of a header, or false", 0) end
end

function policy.on_request(req, ctx)
  local principal, problem = edge.jwt.verify(req.credential)
  if not principal then edge.refuse("UNAUTHORIZED", {reason = problem}) end

  ctx.user = principal.user
  ctx.roles = principal.roles
  ctx.expires = principal.expires
  if user_header then req.headers[user_header] = principal.user end
end

return policy
