-- connection_attempts.lua: how often WebSockets are opened. Time stands still until a test lets it pass.

local tests = {}

local function limited(t, settings) return t.policy("connection_attempts.lua", settings) end

local function by(user) return {upgrade = true, ctx = {user = user}} end

local function at(address) return {upgrade = true, address = address} end

function tests.in_front_of_auth_networks_count(t)
  local policy = limited(t, {limit = "2 per 1m"})
  for _ = 1, 2 do t.passes(policy:on_request(at("192.0.2.1"))) end
  local refused = policy:on_request(at("192.0.2.1"))
  t.refuses(refused, "RATE_LIMIT_EXCEEDED")
  t.equal(refused.status, 429)
  t.equal(refused.retry_after, 60)
  t.passes(policy:on_request(at("192.0.2.2")))
end

function tests.a_whole_network_of_version_6_counts_as_one(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request(at("2001:db8:1:1::1")))
  t.refuses(policy:on_request(at("2001:db8:1:1:ffff::2")), "RATE_LIMIT_EXCEEDED")
end

function tests.behind_auth_users_count_wherever_they_are(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request{upgrade = true, address = "192.0.2.1", ctx = {user = "ann"}})
  t.refuses(policy:on_request{upgrade = true, address = "192.0.2.2", ctx = {user = "ann"}}, "RATE_LIMIT_EXCEEDED")
  t.passes(policy:on_request(by("bob")))
end

function tests.routes_count_together(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request{upgrade = true, route = "platform", ctx = {user = "ann"}})
  t.refuses(policy:on_request{upgrade = true, route = "other", ctx = {user = "ann"}}, "RATE_LIMIT_EXCEEDED")
end

function tests.nobody_can_take_the_place_of_an_address(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request(at("192.0.2.1")))
  t.passes(policy:on_request(by("192.0.2.1")))
  t.passes(policy:on_request(by("network 192.0.2.1")))
end

function tests.who_waits_may_try_again(t)
  local policy = limited(t, {rate = "1 per 2s", burst = 1})
  t.passes(policy:on_request(by("ann")))
  t.equal(policy:on_request(by("ann")).retry_after, 2)
  t.sleep(2.001)
  t.passes(policy:on_request(by("ann")))
end

function tests.other_requests_do_not_count(t)
  local policy = limited(t, {limit = "1 per 1m"})
  for _ = 1, 9 do t.passes(policy:on_request{ctx = {user = "ann"}}) end
  t.passes(policy:on_request(by("ann")))
end

function tests.messages_are_not_its_business(t)
  t.fails(function() limited(t, {limit = "1 per 1m"}):on_message{} end, "no on_message")
end

function tests.it_needs_a_rule(t)
  t.fails(function() limited(t, {}) end, "needs 'limit'")
end

return tests
