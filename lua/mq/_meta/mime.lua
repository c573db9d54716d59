---@meta mq.mime

-- Mail taken apart.

---@class mq.mime
mq.mime = {}

---The parts of a mail.
---@param bytes string | mq.buffer
---@return mq.mail? mail
---@return string? message
---@return string? code
function mq.mime.parse(bytes) end

---A header field's value with its encoded words decoded.
---@param value string | mq.buffer
---@return string? text
---@return string? message
---@return string? code
function mq.mime.decode(value) end

---The addresses in a header field's value.
---@param value string | mq.buffer
---@return mq.mail_address[]? addresses
---@return string? message
---@return string? code
function mq.mime.addresses(value) end

---@class mq.mail_address
---@field email string
---@field name string?
---@field group string?

---The parts of the message.
---@return mq.mail? mail
---@return string? message
---@return string? code
function message:parts() end

---The parts of a mail, in order; multiparts are not in the list.
---@class mq.mail
---@field [integer] mq.part
---@field root mq.part the message as a part
---@field subject string?
---@field text string? what a reader is shown, as UTF-8
---@field html string? the same as HTML
---@field attachments mq.part[] the parts that have a filename or are attachments
---@field links string[]? in texts and HTML, each once
---@field delivery_report mq.delivery_report? RFC 3464
---@field feedback_report mq.feedback_report? RFC 5965
local mail = {}

---Adds a footer to the text that a reader is shown, and to its HTML.
---@param text string
---@param html? string default: made from text
---@return true?
---@return string? message
---@return "signed" | "no text" | string | nil code
function mail:append_text(text, html) end

---Adds a part at the end.
---@param options { content: string, type?: string, filename?: string, disposition?: string }
---@return true?
---@return string? message
---@return string? code
function mail:add_part(options) end

---What a DKIM-Signature has as bh.
---@param options? { canonicalization?: "relaxed" | "simple", algorithm?: "sha256" | "sha1", length?: integer }
---@return string? hash in base64
---@return string? message
---@return string? code
function mail:body_hash(options) end

---@param name string
---@param n? integer default 1
---@return string? value decoded
function mail:header(name, n) end

---@param name string
---@return mq.mail_address[]? addresses
---@return string? message
---@return string? code
function mail:addresses(name) end

---@class mq.delivery_report
---@field reporting_mta string?
---@field envelope_id string?
---@field arrival_date string?
---@field fields table<string, string[]>
---@field recipients mq.delivery_report_recipient[]
---@field original mq.part? the message that it is about, or its header

---@class mq.delivery_report_recipient
---@field recipient string?
---@field original_recipient string?
---@field action string?
---@field status string?
---@field diagnostic string?
---@field remote_mta string?
---@field fields table<string, string[]>

---@class mq.feedback_report
---@field type string?
---@field user_agent string?
---@field source_ip string?
---@field sender string?
---@field recipients string[]
---@field arrival_date string?
---@field domains string[]
---@field links string[]
---@field fields table<string, string[]>
---@field original mq.part?

---@class mq.part
---@field type string such as "text/plain"
---@field disposition string? "attachment", "inline"
---@field filename string?
---@field charset string?
---@field encoding "plain" | "base64" | "quoted-printable" | "uuencode"
---@field size integer? bytes, decoded
---@field bytes string? decoded
---@field text string? of a text: UTF-8, whatever the charset
---@field headers mq.header_field[] decoded
---@field parts mq.part[] of a multipart, or the message in a message
---@field parent mq.part?
local part = {}

---@param name string
---@param n? integer default 1
---@return string? value decoded
function part:header(name, n) end

---@param name string
---@return mq.mail_address[]? addresses
---@return string? message
---@return string? code
function part:addresses(name) end

---Gives it another content: a text as UTF-8, anything else as bytes.
---@param content string
function part:replace_body(content) end

---Adds text to a text, before the end of the body of HTML.
---@param text string
---@return true?
---@return string? message
---@return string? code
function part:append_text(text) end

---It goes with its header.
function part:remove() end
