-- A handler that does harm, a hole for each path: none of them may hold the worker, nor be answered with 200.

local handler = {}

local holes = {}

local function spin() while true do end end

function holes.endless() spin() end

-- What stops a script must not be caught.
function holes.swallowed()
  while true do pcall(spin) end
end

-- Tries every way to split what never matches.
function holes.pattern()
  ("a"):rep(3000):find((".-"):rep(8) .. "b")
end

function holes.memory()
  local text = "x"
  while true do text = text:rep(1000) end
end

-- The handler of an error goes on where the error was to end.
function holes.handler()
  xpcall(spin, function() spin() end)
  spin()
end

function holes.nested()
  local function deeper()
    return coroutine.wrap(deeper)()
  end
  while true do pcall(deeper) end
end

-- C calls back and back.
function holes.sorting()
  local values = {}
  for index = 1, 4000 do values[index] = index end
  while true do
    table.sort(values, function(a, b)
      for _ = 1, 1000 do end
      return a > b
    end)
  end
end

function handler.handle(req, ctx)
  local hole = holes[req.params.hole]
  if not hole then edge.refuse("NOT_FOUND") end
  hole()
  edge.reply{body = "this was not stopped"}
end

return handler
