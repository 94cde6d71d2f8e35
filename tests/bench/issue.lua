-- wrk: one POST over and over; at the end one line of JSON. Usage: -- TOKEN BODY_FILE [CONTENT_TYPE]
function init(arguments)
  local file = assert(io.open(arguments[2], "rb"))
  wrk.method, wrk.body = "POST", file:read("*a")
  file:close()
  wrk.headers["Content-Type"] = arguments[3] or "application/json"
  wrk.headers["Authorization"] = "Bearer " .. arguments[1]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
