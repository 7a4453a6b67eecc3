-- credits.lua: whether the balance covers the estimate, and what is set aside. Credits are written as people read them;
-- policies see whole numbers of billionths.

local tests = {}

local function paid(t, credits) return t.policy("credits.lua", nil, {credits = credits}) end

local function asked(user, estimate) return {estimate = estimate, ctx = {user = user}, method = "POST", body = "{}"} end

local function from(user, estimate)
  return {ctx = {user = user}, candidates = {
    {provider = "openai", model = "gpt-4", estimate = estimate},
    {provider = "other", model = "gpt-4", estimate = "100"},
  }}
end

-- Before anything else

function tests.who_can_pay_passes(t)
  local outcome = paid(t, {ann = "12.5"}):on_request(asked("ann", "0.03"))
  t.passes(outcome)
  t.equal(outcome.held, nil, "nothing is set aside yet")
  t.equal(outcome.credits, {ann = "12.5"})
  t.equal(outcome.service_headers, {})
end

function tests.exactly_enough_is_enough(t)
  t.passes(paid(t, {ann = "0.000000002"}):on_request(asked("ann", "0.000000002")))
  local refused = paid(t, {ann = "0.000000001"}):on_request(asked("ann", "0.000000002"))
  t.refuses(refused, "INSUFFICIENT_CREDITS", {required = 0.000000002, available = 0.000000001})
end

function tests.who_cannot_pay_is_told_what_is_missing(t)
  local refused = paid(t, {ann = "1.25"}):on_request(asked("ann", 3))
  t.refuses(refused, "INSUFFICIENT_CREDITS", {required = 3, available = 1.25})
  t.equal(refused.status, 402)
  t.equal(refused.retry_after, nil)
end

function tests.a_new_account_has_nothing(t)
  t.refuses(paid(t):on_request(asked("ann", "0.03")), "INSUFFICIENT_CREDITS", {required = 0.03, available = 0})
  t.refuses(paid(t, {bob = 5}):on_request(asked("ann", "0.03")), "INSUFFICIENT_CREDITS")
end

function tests.what_is_held_is_not_there(t)
  local policy = paid(t, {ann = 10})
  t.passes(policy:on_select(from("ann", 6)))
  t.passes(policy:on_request(asked("ann", 4)))
  t.refuses(policy:on_request(asked("ann", "4.000000001")), "INSUFFICIENT_CREDITS",
    {required = 4.000000001, available = 4})
end

function tests.what_costs_nothing_needs_nobody(t)
  t.passes(paid(t):on_request{})
  t.passes(paid(t):on_request{ctx = {user = "ann"}, body = "{}"})
  t.passes(paid(t):on_request(asked("ann", 0)))
end

function tests.it_stands_behind_auth(t)
  t.fails(paid(t):on_request(asked(nil, "0.03")), "stands behind auth")
  t.fails(paid(t):on_select(from(nil, "0.03")), "takes an account: a name")
end

function tests.a_request_that_nobody_serves_is_refused_as_such(t)
  local policy = paid(t, {ann = 10})
  t.refuses(policy:on_request(asked("ann", {refused = "MODEL_NOT_FOUND"})), "MODEL_NOT_FOUND")
  local refused = policy:on_request(asked("ann", {refused = "INVALID_REQUEST", message = "The body is no JSON."}))
  t.refuses(refused, "INVALID_REQUEST")
  t.equal(refused.message, "The body is no JSON.")
end

-- On a WebSocket

local function sent(user, estimate) return {estimate = estimate, ctx = {user = user}, json = {model = "gpt-4"}} end

function tests.each_message_must_be_covered(t)
  local policy = paid(t, {ann = 3})
  t.passes(policy:on_message(sent("ann", 3)))
  t.refuses(policy:on_message(sent("ann", "3.5")), "INSUFFICIENT_CREDITS", {required = 3.5, available = 3})
  t.passes(policy:on_message(sent("bob", 0)))
  t.passes(policy:on_message(sent(nil, nil)))
  t.fails(policy:on_message(sent(nil, 1)), "stands behind auth")
end

function tests.its_opening_costs_nothing(t)
  local opened = {upgrade = true, estimate = 1, ctx = {user = "ann"}}
  t.passes(paid(t):on_request(opened))
end

function tests.where_messages_are_not_asked_about_the_opening_costs(t)
  local opening = {upgrade = true, messages = false, estimate = 1, ctx = {user = "ann"}}
  t.refuses(paid(t, {ann = "0.5"}):on_request(opening), "INSUFFICIENT_CREDITS", {required = 1, available = 0.5})
  t.passes(paid(t, {ann = 1}):on_request(opening))
end

function tests.a_message_that_nobody_serves_is_refused_as_such(t)
  t.refuses(paid(t, {ann = 3}):on_message(sent("ann", {refused = "MODEL_NOT_FOUND"})), "MODEL_NOT_FOUND")
end

function tests.without_a_ledger_no_message_goes_anywhere(t)
  local message = sent("ann", 1)
  message.ledger = "unavailable"
  t.refuses(paid(t, {ann = 3}):on_message(message), "SERVICE_UNAVAILABLE")
end

-- When it is known who answers

function tests.the_estimate_of_the_first_is_set_aside(t)
  local outcome = paid(t, {ann = "12.5"}):on_select(from("ann", "0.03"))
  t.passes(outcome)
  t.equal(outcome.held, {account = "ann", credits = "0.03"})
  t.equal(outcome.order, {"openai", "other"}, "the order is not its business")
  t.equal(outcome.credits, {ann = "12.5"}, "nothing is spent yet")
end

function tests.a_service_costs_too(t)
  local outcome = paid(t, {ann = 1}):on_select{
    ctx = {user = "ann"}, candidates = {{service = "pictures", estimate = "0.5"}},
  }
  t.equal(outcome.held, {account = "ann", credits = "0.5"})
  t.equal(outcome.order, {"pictures"})
end

function tests.credits_are_held_once(t)
  local policy = paid(t, {ann = 1})
  for _ = 1, 2 do t.passes(policy:on_select(from("ann", "0.5"))) end
  local refused = policy:on_select(from("ann", "0.000000001"))
  t.refuses(refused, "INSUFFICIENT_CREDITS", {required = 0.000000001, available = 0})
  t.equal(refused.held, nil)
end

function tests.accounts_are_apart(t)
  local policy = paid(t, {ann = 1, bob = 1})
  t.passes(policy:on_select(from("ann", 1)))
  t.passes(policy:on_select(from("bob", 1)))
  t.refuses(policy:on_select(from("ann", 1)), "INSUFFICIENT_CREDITS", {required = 1, available = 0})
end

function tests.without_a_ledger_nothing_that_costs_is_done(t)
  local policy = paid(t, {ann = 1})
  local selection, request = from("ann", 1), asked("ann", 1)
  selection.ledger, request.ledger = "unavailable", "unavailable"
  t.refuses(policy:on_select(selection), "SERVICE_UNAVAILABLE")
  t.refuses(policy:on_request(request), "SERVICE_UNAVAILABLE")
end

return tests
