-- Gives each customer's mail a tag, an IP pool and a priority.

local customers = assert(mq.json.decode(mq.file("customers.json"))) -- by login
local pools = { shared = true, transactional = true, bulk = true }

-- A mistake in the file shall be found when the policy loads, not when the mail comes.
for login, customer in pairs(customers) do
  assert(type(customer.id) == "string", login .. ": id is missing")
  assert(pools[customer.pool], login .. ": pool '" .. tostring(customer.pool) .. "' is unknown")
end

local messages = mq.counter("customer_messages", { labels = { "customer" } })

mq.on("smtp_in_message", function(connection, message)
  local json = message.json
  local login = json.connection and json.connection.user -- who logged in, with TLS
  local customer = customers[login]
  if not customer then
    json.pool = "shared"
    return nil
  end
  message:tag("customer:" .. customer.id)
  json.pool = customer.pool
  json.priority = customer.priority
  json.customer = { id = customer.id, login = login } -- for the programs that read the result queues
  messages:inc(customer.id)
end)
