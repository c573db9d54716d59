-- Where mail goes and how long it is tried, by the recipient's domain.

local routes = assert(mq.json.decode(mq.file("routes.json")))

-- A mistake in the file shall be found when the policy loads, not when the mail comes.
for domain, route in pairs(routes) do
  local host = route.smarthost
  assert(not host or type(host.hostname) == "string", domain .. ": smarthost.hostname is missing")
  assert(route.hours == nil or tonumber(route.hours), domain .. ": hours must be a number")
end

-- The route of the domain itself, else of the nearest domain above it.
local function find_route(domain)
  while domain do
    if routes[domain] then
      return routes[domain]
    end
    domain = domain:match("^[^.]+%.(.+)$")
  end
  return routes["*"]
end

mq.on("smtp_in_message", function(connection, message)
  local route = find_route(message.recipient.domain)
  if route.smarthost then
    message.json.smarthost = route.smarthost -- assignment copies
  end
  if route.hours then
    message:expire(route.hours * 3600) -- maxdelivertime, in UTC as MailerQ wants it
  end
end)
