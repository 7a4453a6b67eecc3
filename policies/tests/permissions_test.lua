-- permissions.lua: what callers may do. The roles stand here, so that the tests hold whatever the configuration says.

local tests = {}

local roles = {
  user = {"services:use", "mcp:read"},
  editor = {"mcp:*"},
  admin = {"*"},
  nobody = {},
}

local function permissions(t, settings) return t.policy("permissions.lua", settings, {roles = roles}) end

local function asked(t, caller, permission)
  return permissions(t):on_request{route = "chat", permission = permission, ctx = {user = "ann", roles = caller}}
end

function tests.who_has_the_permission_passes(t)
  t.passes(asked(t, {"user"}, "services:use"))
  t.passes(asked(t, {"user"}, "mcp:read"))
end

function tests.who_has_it_not_is_refused_and_told_what_is_missing(t)
  local refused = asked(t, {"user"}, "mcp:execute")
  t.refuses(refused, "FORBIDDEN", {permission = "mcp:execute"})
  t.equal(refused.status, 403)
  t.equal(refused.retry_after, nil)
end

function tests.one_of_several_roles_is_enough(t)
  t.passes(asked(t, {"nobody", "user"}, "services:use"))
  t.refuses(asked(t, {"nobody", "editor"}, "services:use"), "FORBIDDEN")
end

function tests.wildcards_reach_as_far_as_they_say(t)
  t.passes(asked(t, {"editor"}, "mcp:execute"))
  t.passes(asked(t, {"editor"}, "mcp:tools:list"))
  t.refuses(asked(t, {"editor"}, "mcpx:read"), "FORBIDDEN")
  t.refuses(asked(t, {"editor"}, "services:use"), "FORBIDDEN")
  t.passes(asked(t, {"admin"}, "anything:at:all"))
end

function tests.unknown_roles_and_none_allow_nothing(t)
  t.refuses(asked(t, {"stranger"}, "services:use"), "FORBIDDEN")
  t.refuses(asked(t, {}, "services:use"), "FORBIDDEN")
  t.refuses(asked(t, nil, "services:use"), "FORBIDDEN")
end

function tests.one_name_is_as_good_as_a_list(t)
  t.passes(asked(t, "user", "services:use"))
  t.refuses(asked(t, "nobody", "services:use"), "FORBIDDEN")
end

function tests.roles_that_are_no_names_break_the_policy(t)
  t.fails(asked(t, {1, 2}, "services:use"), "takes roles: one name, or a list")
  t.fails(asked(t, {name = "user"}, "services:use"), "takes roles: one name, or a list")
end

function tests.a_route_without_a_permission_is_not_open(t)
  local broken = permissions(t):on_request{route = "chat", ctx = {user = "ann", roles = {"admin"}}}
  t.fails(broken, "the route 'chat' has no 'permission'")
end

function tests.the_settings_give_a_permission_to_routes_without_one(t)
  local policy = permissions(t, {permission = "services:use"})
  t.passes(policy:on_request{ctx = {roles = {"user"}}})
  t.refuses(policy:on_request{ctx = {roles = {"editor"}}}, "FORBIDDEN", {permission = "services:use"})
end

function tests.a_route_s_own_permission_comes_first(t)
  local policy = permissions(t, {permission = "services:use"})
  t.passes(policy:on_request{permission = "mcp:execute", ctx = {roles = {"editor"}}})
  t.refuses(policy:on_request{permission = "mcp:execute", ctx = {roles = {"user"}}}, "FORBIDDEN")
end

function tests.a_permission_that_is_no_name_is_found_at_the_start(t)
  for _, wrong in ipairs{1, true, {"services:use"}, "", "MCP READ", "mcp:", "mcp::read", ":mcp", "mcp:*"} do
    t.fails(function() permissions(t, {permission = wrong}) end, "permission must be a name")
  end
end

function tests.an_unknown_setting_is_found_at_the_start(t)
  t.fails(function() permissions(t, {permision = "services:use"}) end, "unknown setting 'permision'")
end

function tests.each_message_on_a_websocket_is_judged_again(t)
  local policy = permissions(t)
  local function sent(caller) return {route = "chat", permission = "services:use", ctx = {roles = caller}} end
  t.passes(policy:on_message(sent({"user"})))
  t.refuses(policy:on_message(sent({"editor"})), "FORBIDDEN", {permission = "services:use"})
  t.refuses(policy:on_message(sent(nil)), "FORBIDDEN")
  t.fails(policy:on_message{route = "chat", ctx = {roles = {"admin"}}}, "the route 'chat' has no 'permission'")
  t.passes(permissions(t, {permission = "services:use"}):on_message{ctx = {roles = {"user"}}})
end

function tests.so_is_the_opening_of_one(t)
  local policy = permissions(t)
  t.refuses(policy:on_request{upgrade = true, permission = "services:use", ctx = {roles = {"editor"}}}, "FORBIDDEN")
end

function tests.it_tells_the_service_nothing(t)
  t.equal(asked(t, {"user"}, "services:use").service_headers, {})
end

return tests
