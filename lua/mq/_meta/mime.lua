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
local mail = {}

---@param name string
---@param n? integer default 1
---@return string? value decoded
function mail:header(name, n) end

---@param name string
---@return mq.mail_address[]? addresses
---@return string? message
---@return string? code
function mail:addresses(name) end

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
