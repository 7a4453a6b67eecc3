-- What the caller may do: its roles must have the permission that the route asks for.
--
-- Stands behind auth, which says what roles the caller has. Roles and their permissions stand in `roles`, what a route
-- asks for in its `permission`.
--
-- settings: permission   for routes that name none themselves

local policy = {}

local default

function policy.init(settings)
  default = settings.permission
  if default ~= nil and type(default) ~= "string" then error("permission must be a name such as services:use", 0) end
end

function policy.on_request(req, ctx)
  local permission = req.permission or default
  -- A route that was meant to be guarded must not be open because a line is missing.
  if not permission then error("the route '" .. req.route .. "' has no 'permission', and neither have the settings") end

  if not edge.permission.allows(ctx.roles, permission) then
    edge.refuse("FORBIDDEN", {permission = permission})
  end
end

return policy
