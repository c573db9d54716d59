local parts = {}

function parts.note(text)
  mq.log.info("%s: %s", text, mq.json.encode({ text = text, list = mq.array({ 1, 2 }) }))
  assert(mq.re.match(text, "(?<first>.)(x)?", "u").first == text:sub(1, 1))
  mq.re.gsub(text, "(?:a|b)+", "$0$0")
  mq.re.set({ "a", "b" }):all(text)
  local digest = mq.hash.sha256(text)
    .. mq.hmac.md5(text, text, { raw = true })
    .. mq.random.token()
    .. mq.uuid()
  for _, name in ipairs({ "base64", "base64url", "hex", "quoted_printable", "url" }) do
    mq[name].decode(mq[name].encode(digest:rep(20)))
  end
end

function parts.edit(message)
  local json = message.json
  message:tag("one", "two")
  message:add_header("X-A", "a")
  message:remove_header("Subject")
  json.data = { id = 9007199254740993LL, deep = { list = { 1, 2, { "three" } }, none = mq.null } }
  json.extra.known = json.extra.known + 1
  table.insert(json.extra.list, ("x"):rep(600))
  json.pool = nil
  message.recipient = "other@example.net"
  message.mime = "X: y\r\n\r\n" .. ("text\r\n"):rep(200)
end

function parts.tasks(connection)
  local done = {}
  local tasks = {}
  for i = 1, 3 do
    tasks[i] = mq.spawn(function()
      mq.sleep(0.001 * i)
      done[i] = true
      return i
    end)
  end
  mq.after(0.001, function()
    done.after = true
  end)
  connection:spawn(function()
    mq.sleep(0.002)
  end)
  for i, result in ipairs(mq.wait(tasks)) do
    if not result.ok then
      error(result.value)
    end
  end
  local ok = pcall(mq.with_timeout, 0.001, function()
    mq.sleep(1)
  end)
  local step = coroutine.wrap(function()
    mq.sleep(0.001)
    coroutine.yield(ok)
  end)
  step()
end

return parts
