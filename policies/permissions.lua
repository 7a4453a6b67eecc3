-- What the caller may do: its roles must have the permission that the route asks for.
--
-- Stands behind auth, which says what roles the caller has. Roles and their permissions stand in `roles`, what a route
-- asks for in its `permission`.
--
-- settings: permission   for routes that name none themselves

local policy = {}

local allows = edge.permission.allows
local default

-- Words of lower-case letters, digits, '_', '.' and '-' with ':' between them.
local function is_permission(value)
  if type(value) ~= "string" or not value:match("^[a-z0-9_.-][a-z0-9_.:-]*$") then return false end
  return not (value .. ":"):find("::", 1, true)
end

function policy.init(settings)
  for name in pairs(settings) do
    if name ~= "permission" then error("unknown setting '" .. name .. "': there is permission", 0) end
  end
  default = settings.permission
  if default ~= nil and not is_permission(default) then
    error("permission must be a name such as services:use", 0)
  end
end

-- What is asked of a request, and again of each message on a WebSocket: what roles may do can have changed since.
local function check(asked, ctx)
  local permission = asked.permission or default
  -- A route that was meant to be guarded must not be open because a line is missing.
  if not permission then
    error("the route '" .. asked.route .. "' has no 'permission', and neither have the settings")
  end

  if not allows(ctx.roles, permission) then
    edge.refuse("FORBIDDEN", {permission = permission})
  end
end

policy.on_request = check
policy.on_message = check

return policy
