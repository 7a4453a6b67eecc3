-- A handler that answers with its setting: what a reload has changed is seen by what it says.
--
-- settings: mark   any text

local handler = {}

local mark

function handler.init(settings) mark = tostring(settings.mark) end

function handler.handle(req, ctx) edge.reply{body = mark} end

return handler
