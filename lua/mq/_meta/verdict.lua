---@meta mq.verdict

-- Verdicts: what a handler returns.

---@class mq.verdict

---Stops this policy's remaining handlers of the event; the next plugin goes on.
---@return mq.verdict
---@nodiscard
function mq.done() end

---As mq.done, and skips the other plugins for this event.
---@return mq.verdict
---@nodiscard
function mq.complete() end

---All plugins again from the first, once per event.
---@return mq.verdict
---@nodiscard
function mq.rerun() end

---smtp_in_authenticate: marks the connection authenticated.
---@return mq.verdict
---@nodiscard
function mq.accept() end

---smtp_in_authenticate: leaves the connection as it is; the host answers.
---@return mq.verdict
---@nodiscard
function mq.deny() end

---connect, secure, mailfrom, rcptto: a permanent refusal, followed by 421.
---@param code? integer 500 to 599, default 550
---@param status? string enhanced status code, default "5.7.1"
---@param text? string one line
---@return mq.verdict
---@nodiscard
function mq.reject(code, status, text) end

---connect, secure, mailfrom, rcptto: a temporary refusal, followed by 421.
---@param code? integer 400 to 499, default 450
---@param status? string enhanced status code, default "4.7.1"
---@param text? string one line
---@return mq.verdict
---@nodiscard
function mq.tempfail(code, status, text) end

---connect, secure, authenticate, mailfrom, rcptto: 421 and nothing else.
---@param code? 421
---@param status? string enhanced status code, default "4.7.1"
---@param text? string one line
---@return mq.verdict
---@nodiscard
function mq.disconnect(code, status, text) end

---smtp_in_message: MailerQ does not deliver the message. Needs "inbox": "mailerq" in the settings.
---@param reason? string one line
---@return mq.verdict
---@nodiscard
function mq.discard(reason) end

---smtp_in_message: the message goes to another mailbox.
---@param recipient string | mq.address
---@param reason? string one line
---@return mq.verdict
---@nodiscard
function mq.quarantine(recipient, reason) end

---smtp_out_data: this delivery attempt fails.
---@param reason? string one line
---@return mq.verdict
---@nodiscard
function mq.hold(reason) end
