-- What wrk sends, and what it prints of the answers. KIND is get, tls, post, json or upload.
local kind = os.getenv("KIND")
wrk.headers["User-Agent"] = "python-requests/2.32.5"
wrk.headers["Accept"] = "*/*"
wrk.headers["Accept-Encoding"] = "gzip, deflate"
if kind == "post" then
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = '{"model": "x", "pad": "' .. string.rep("y", 488) .. '"}'
elseif kind == "json" then
  local size = tonumber(os.getenv("SIZE"))
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = '{"pad": ["' .. string.rep('0123456789abcdef","', (size - 20) / 19) .. '"]}'
elseif kind == "upload" then
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/octet-stream"
  wrk.body = string.rep("y", 1048576)
end
done = function(summary, latency)
  local failed = summary.errors
  io.write(string.format("SUMMARY %d %d %d %d %d %d\n", summary.requests, summary.duration,
    summary.bytes, latency:percentile(50), latency:percentile(99),
    failed.status + failed.connect + failed.read + failed.write + failed.timeout))
end
