-- rate_limit.lua: how often. Time stands still until a test lets it pass.

local tests = {}

local function limited(t, settings) return t.policy("rate_limit.lua", settings) end

local function from(user, route) return {route = route or "chat", ctx = {user = user}} end

local function at(address, route) return {route = route or "chat", address = address} end

function tests.admits_exactly_the_limit(t)
  local policy = limited(t, {limit = "3 per 1m"})
  for _ = 1, 3 do t.passes(policy:on_request(from("ann"))) end
  local refused = policy:on_request(from("ann"))
  t.refuses(refused, "RATE_LIMIT_EXCEEDED")
  t.equal(refused.status, 429)
  t.equal(refused.retry_after, 60)
  t.equal(refused.details, nil)
end

function tests.the_wait_is_as_long_as_it_says(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request(from("ann")))
  t.sleep(59.5)
  t.equal(policy:on_request(from("ann")).retry_after, 1, "half a second, said in whole ones")
  t.sleep(0.499)
  t.refuses(policy:on_request(from("ann")), "RATE_LIMIT_EXCEEDED")
  t.sleep(0.002)
  t.passes(policy:on_request(from("ann")))
end

function tests.the_window_slides(t)
  local policy = limited(t, {limit = "2 per 1m"})
  t.passes(policy:on_request(from("ann")))
  t.sleep(40)
  t.passes(policy:on_request(from("ann")))
  t.equal(policy:on_request(from("ann")).retry_after, 20)
  t.sleep(20.001)
  t.passes(policy:on_request(from("ann")))
  t.equal(policy:on_request(from("ann")).retry_after, 40, "the second one still counts")
end

function tests.refused_requests_do_not_count(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request(from("ann")))
  for _ = 1, 10 do
    t.refuses(policy:on_request(from("ann")), "RATE_LIMIT_EXCEEDED")
    t.sleep(5)
  end
  t.sleep(10.001)
  t.passes(policy:on_request(from("ann")))
end

function tests.users_are_counted_apart(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request(from("ann")))
  t.passes(policy:on_request(from("bob")))
  t.refuses(policy:on_request(from("ann")), "RATE_LIMIT_EXCEEDED")
end

function tests.a_user_is_one_wherever_the_requests_come_from(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request{route = "chat", address = "192.0.2.1", ctx = {user = "ann"}})
  t.refuses(policy:on_request{route = "chat", address = "192.0.2.2", ctx = {user = "ann"}}, "RATE_LIMIT_EXCEEDED")
end

function tests.routes_are_counted_apart(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request(from("ann", "chat")))
  t.passes(policy:on_request(from("ann", "whoami")))
  t.refuses(policy:on_request(from("ann", "chat")), "RATE_LIMIT_EXCEEDED")
end

function tests.addresses_count_where_nobody_is_known(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request(at("192.0.2.1")))
  t.passes(policy:on_request(at("192.0.2.2")))
  t.refuses(policy:on_request(at("192.0.2.1")), "RATE_LIMIT_EXCEEDED")
end

function tests.a_whole_network_of_version_6_counts_as_one(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request(at("2001:db8:1:1::1")))
  t.refuses(policy:on_request(at("2001:db8:1:1:ffff::2")), "RATE_LIMIT_EXCEEDED")
  t.passes(policy:on_request(at("2001:db8:1:2::1")))
end

function tests.nobody_can_take_the_place_of_an_address(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_request(at("192.0.2.1")))
  t.passes(policy:on_request(from("192.0.2.1")))
  t.passes(policy:on_request(from("network 192.0.2.1")))
end

function tests.on_a_websocket_messages_count_and_its_opening_does_not(t)
  local policy = limited(t, {limit = "2 per 1m"})
  for _ = 1, 9 do t.passes(policy:on_request{route = "chat", upgrade = true, ctx = {user = "ann"}}) end
  for _ = 1, 2 do t.passes(policy:on_message(from("ann"))) end
  local refused = policy:on_message(from("ann"))
  t.refuses(refused, "RATE_LIMIT_EXCEEDED")
  t.equal(refused.retry_after, 60)
  t.passes(policy:on_message(from("bob")))
end

function tests.where_messages_are_not_asked_about_the_opening_counts(t)
  local policy = limited(t, {limit = "2 per 1m"})
  local opening = {route = "chat", upgrade = true, messages = false, ctx = {user = "ann"}}
  for _ = 1, 2 do t.passes(policy:on_request(opening)) end
  t.refuses(policy:on_request(opening), "RATE_LIMIT_EXCEEDED")
end

function tests.messages_and_requests_count_together(t)
  local policy = limited(t, {limit = "2 per 1m"})
  t.passes(policy:on_request(from("ann")))
  t.passes(policy:on_message(from("ann")))
  t.refuses(policy:on_request(from("ann")), "RATE_LIMIT_EXCEEDED")
  t.refuses(policy:on_message(from("ann")), "RATE_LIMIT_EXCEEDED")
end

function tests.messages_of_nobody_count_by_network(t)
  local policy = limited(t, {limit = "1 per 1m"})
  t.passes(policy:on_message(at("2001:db8:1:1::1")))
  t.refuses(policy:on_message(at("2001:db8:1:1::2")), "RATE_LIMIT_EXCEEDED")
  t.passes(policy:on_message(at("192.0.2.1")))
end

function tests.a_steady_rate_with_its_burst(t)
  local policy = limited(t, {rate = "1 per 1s", burst = 3})
  for _ = 1, 3 do t.passes(policy:on_request(from("ann"))) end
  t.equal(policy:on_request(from("ann")).retry_after, 1)
  t.sleep(1.001)
  t.passes(policy:on_request(from("ann")))
  t.refuses(policy:on_request(from("ann")), "RATE_LIMIT_EXCEEDED")
  t.sleep(60)
  for _ = 1, 3 do t.passes(policy:on_request(from("ann"))) end
  t.refuses(policy:on_request(from("ann")), "RATE_LIMIT_EXCEEDED")
end

function tests.without_a_burst_a_rate_lets_in_what_it_gives_in_a_second(t)
  local policy = limited(t, {rate = "2 per 1s"})
  for _ = 1, 2 do t.passes(policy:on_request(from("ann"))) end
  t.refuses(policy:on_request(from("ann")), "RATE_LIMIT_EXCEEDED")
end

function tests.slow_rates_have_long_waits(t)
  local policy = limited(t, {rate = "1 per 1h", burst = 1})
  t.passes(policy:on_request(from("ann")))
  t.equal(policy:on_request(from("ann")).retry_after, 3600)
end

function tests.it_needs_a_rule(t)
  t.fails(function() limited(t) end, "needs 'limit'")
  t.fails(function() limited(t, {}) end, "needs 'limit'")
end

function tests.rules_that_make_no_sense_are_found_at_the_start(t)
  local wrong = {
    ["is not a limit"] = {limit = "often"},
    ["lets nothing in"] = {limit = "0 per 1m"},
    ["is not an interval"] = {limit = "10 per minute"},
    ["too many for a window"] = {limit = "20000 per 1m"},
    ["out of bounds"] = {limit = "10 per 60d"},
    ["not both"] = {limit = "10 per 1m", rate = "1 per 1s"},
    ["'burst' goes with 'rate'"] = {limit = "10 per 1m", burst = 3},
    ["a burst of 0"] = {rate = "1 per 1s", burst = 0},
    ["does not know 'limits'"] = {limits = "10 per 1m"},
  }
  for problem, settings in pairs(wrong) do
    t.fails(function() limited(t, settings) end, problem)
  end
end

function tests.values_of_other_types_are_found_at_the_start(t)
  t.fails(function() limited(t, {limit = 100}) end)
  t.fails(function() limited(t, {rate = 10, burst = 1}) end)
  t.fails(function() limited(t, {rate = "1 per 1s", burst = "many"}) end, "'burst' must be a whole number")
end

return tests
