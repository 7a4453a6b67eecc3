-- whoami.lua: the caller reads who it is.

local tests = {}

function tests.tells_user_roles_and_request_id(t)
  local whoami = t.policy("whoami.lua")
  local answer = whoami:handle{id = "request-1", ctx = {user = "ann", roles = {"user", "admin"}}}
  t.replies(answer, 200)
  t.equal(answer.json, {user = "ann", roles = {"user", "admin"}, requestId = "request-1"})
  t.equal(answer.headers["content-type"], "application/json")
end

function tests.the_roles_are_a_list_even_when_there_are_none(t)
  local whoami = t.policy("whoami.lua")
  t.contains(whoami:handle{ctx = {user = "ann", roles = {}}}.body, '"roles":[]')
  t.contains(whoami:handle{ctx = {user = "ann"}}.body, '"roles":[]')
end

function tests.nobody_is_not_somebody(t)
  local answer = t.policy("whoami.lua"):handle{}
  t.replies(answer, 200)
  t.equal(answer.json.user, nil)
end

function tests.it_is_a_handler_and_nothing_else(t)
  local whoami = t.policy("whoami.lua")
  t.fails(function() whoami:on_request{} end, "no on_request")
  t.fails(function() whoami:on_log{} end, "no on_log")
end

return tests
