---@meta mq.connection

---@class mq.connection
---@field id string unique in this process; on outgoing connections another one at each event
---@field remote_ip string? nil when the peer is one of host.proxies
---@field remote_port integer?
---@field peer_ip string? the other end of the socket, be it a proxy or not
---@field local_ip string?
---@field local_port integer?
---@field is_secure boolean
---@field is_authenticated boolean incoming only
---@field login string? incoming only: the login that was accepted last
---@field direction "incoming" | "outgoing"
---@field vars table incoming only: yours, as long as the connection lives
---@field transaction mq.transaction incoming only; nil before the first MAIL FROM
local connection = {}

---Starts a task that dies with the connection. Incoming only.
---@param fn fun(): any
---@return mq.task
function connection:spawn(fn) end

---From one MAIL FROM to the next.
---@class mq.transaction
---@field envelope mq.address
---@field recipients mq.address[] offered so far
---@field vars table yours, until the next MAIL FROM

---Two are equal when they are the same mailbox, however it is spelt. An address is never equal to a string.
---@class mq.address
---@field email string? as the client wrote it; nil for the null sender
---@field localpart string? what is meant before the @, without quotes
---@field domain string? in lower case, without a trailing dot
---@field is_null boolean
---@field is_local boolean may be assigned in smtp_in_rcptto
---@operator concat(string): string
