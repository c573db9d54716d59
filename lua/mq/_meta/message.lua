---@meta mq.message

---@class mq.message
---@field envelope mq.address | string | nil
---@field recipient mq.address | string
---@field mime mq.buffer | string | nil
---@field is_local boolean
---@field json mq.message_json
local message = {}

---The value of the n-th header field of that name, unfolded, with the edits of the policy.
---@param name string
---@param n? integer default 1
---@return string?
function message:header(name, n) end

---@class mq.header_field
---@field name string
---@field value string

---All header fields in order, with the edits of the policy.
---@return mq.header_field[]
function message:headers() end

---MailerQ adds the field when it sends the message. Nothing is added for nil.
---@param name string
---@param value string | mq.address | mq.buffer | nil
function message:add_header(name, value) end

---MailerQ removes every field of that name when it sends the message.
---@param name string
function message:remove_header(name) end

---Adds tags that are not there yet; nil is passed over.
---@param ... string | mq.address | mq.buffer | nil
function message:tag(...) end

---@class mq.dkim_key
---@field domain string
---@field selector string
---@field key string
---@field expire? any
---@field headers? string[]
---@field report? any
---@field protocols? string[]
---@field canonicalization? string

---Signs with one more key.
---@param key mq.dkim_key
function message:add_dkim(key) end

---Not before so many seconds from now.
---@param seconds number
function message:delay(seconds) end

---MailerQ gives up so many seconds from now.
---@param seconds number
function message:expire(seconds) end

---The message's JSON. All properties are optional; other keys are yours.
---@class mq.message_json
---@field envelope string?
---@field recipient string?
---@field mime mq.buffer | string | nil
---@field key string?
---@field keepmime boolean?
---@field data table?
---@field ips string[]?
---@field pool string?
---@field delayed string?
---@field nextattempt { time: string }?
---@field maxdelivertime string?
---@field maxattempts integer?
---@field retries integer[]?
---@field force boolean?
---@field inlinecss boolean?
---@field dkim mq.dkim_key | mq.dkim_key[] | nil
---@field dsn { notify: string?, ret: string?, orcpt: string?, envid: string? }?
---@field queues table<string, any>?
---@field smarthost { hostname: string?, port: any, username: string?, password: string? }?
---@field tags string[]?
---@field headers table<string, any>?
---@field priority integer?
---@field security string?
---@field hostname string?
---@field received string?
---@field connection table?
---@field checks table[]?
---@field [string] any
local json = {}

---A copy of the whole as plain tables.
---@return table
function json:totable() end
