-- Sends the requests of a file one after another, each thread its own share, and counts the answers by status.
-- wrk -s rotate.lua URL -- FILE THREADS ONCE: the file holds whole requests with a zero byte after each;
-- ONCE "1": each is sent once, and what is sent after the last one counts as wrong.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local count, all = tonumber(args[2]), 0
  once = args[3] == "1"
  mine, at, statuses = {}, 0, {}
  for request in file:read("*a"):gmatch("([^%z]+)%z") do
    if all % count == number then mine[#mine + 1] = request end
    all = all + 1
  end
  file:close()
  if #mine == 0 then error("no request for a thread") end
  -- Threads do not walk in step.
  if not once then at = math.floor(#mine * number / count) end
end

function request()
  at = at + 1
  if at > #mine then
    if once then return "GET /no-request-is-left HTTP/1.1\r\nHost: bench\r\n\r\n" end
    at = 1
  end
  return mine[at]
end

function response(status, headers, body)
  statuses[status] = (statuses[status] or 0) + 1
end

function done(summary, latency)
  local statuses = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      statuses[status] = (statuses[status] or 0) + count
    end
  end
  local parts = {}
  for status, count in pairs(statuses) do table.insert(parts, string.format('"%d": %d', status, count)) end
  local lost = summary.errors
  io.write(string.format(
    'RESULT {"statuses": {%s}, "lost": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f}\n',
    table.concat(parts, ", "), lost.connect + lost.read + lost.write + lost.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
