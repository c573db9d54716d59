---@meta mq

-- The global mq: registering handlers, and configuration. What each file here describes is explained in
-- docs/LUA_API.md.

---@class mq
---@field null lightuserdata JSON's null
---@field log mq.log
---@field json mq.json
---@field password mq.password
---@field mime mq.mime
---@field generation mq.generation
mq = {}

---@class mq.worker
---@field number integer 1, 2, ... in order of start

---An error's text with traceback. Returns a verdict, or nothing.
---@alias mq.on_error mq.verdict | fun(err: string): mq.verdict?

---@class mq.on_options
---@field name? string shown in the log; unique among the handlers of the event
---@field timeout? number seconds; shortens the event's deadline for this handler
---@field on_error? mq.on_error what a failure of this handler comes to
---@field chunks? true smtp_in_data: the handler knows that it may get the whole message, a piece, or nothing

---Registers a handler of an event. Only while the policy loads.
---@overload fun(event: "initialize", handler: fun(), options?: mq.on_options)
---@overload fun(event: "cleanup", handler: fun(), options?: mq.on_options)
---@overload fun(event: "context_initialize", handler: fun(worker: mq.worker), options?: mq.on_options)
---@overload fun(event: "context_cleanup", handler: fun(worker: mq.worker), options?: mq.on_options)
---@overload fun(event: "smtp_in_connect", handler: (fun(connection: mq.connection): mq.verdict?), options?: mq.on_options)
---@overload fun(event: "smtp_in_secure", handler: (fun(connection: mq.connection): mq.verdict?), options?: mq.on_options)
---@overload fun(event: "smtp_in_authenticate", handler: (fun(connection: mq.connection, login: string?, password: string?): mq.verdict?), options?: mq.on_options)
---@overload fun(event: "smtp_in_mailfrom", handler: (fun(connection: mq.connection, address: mq.address): mq.verdict?), options?: mq.on_options)
---@overload fun(event: "smtp_in_rcptto", handler: (fun(connection: mq.connection, address: mq.address): mq.verdict?), options?: mq.on_options)
---@overload fun(event: "smtp_in_data", handler: (fun(connection: mq.connection, chunk: mq.buffer): mq.verdict?), options: mq.on_options)
---@overload fun(event: "smtp_in_message", handler: (fun(connection: mq.connection, message: mq.message): mq.verdict?), options?: mq.on_options)
---@overload fun(event: "smtp_in_close", handler: fun(connection: mq.connection), options?: mq.on_options)
---@overload fun(event: "smtp_out_data", handler: (fun(connection: mq.connection, message: mq.message): mq.verdict?), options?: mq.on_options)
---@overload fun(event: "smtp_out_sent", handler: fun(connection: mq.connection, message: mq.message), options?: mq.on_options)
---@overload fun(event: "reload", handler: (fun(): any), options?: mq.on_options)
function mq.on(event, handler, options) end

---@class mq.deadlines
---@field incoming? number seconds for all handlers of one incoming event
---@field outgoing? number seconds for all handlers of one outgoing event

---@class mq.configure_options
---@field on_error? table<string, mq.on_error> by event
---@field deadline? mq.deadlines

---What may change with a reload. Only while the policy loads.
---@param options mq.configure_options
function mq.configure(options) end

---@class mq.generation
---@field number integer grows with every reload; 0 while a policy is only checked
---@field hash string of the policy's content, 32 hex digits
---@field carried any what the reload handler returned in the state before
