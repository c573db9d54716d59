---@meta mq.re

-- Regular expressions, with the arguments and results of OpenResty's ngx.re.

---@class mq.re
mq.re = {}

---Groups by number and name; [0] is the whole match, false stands for a group that is unset.
---@alias mq.groups table<integer | string, string | false>

---@class mq.re_position
---@field pos? integer where the search begins, from 1; set to what is behind the match

---nil when nothing matches; nil, a message and "limit" when the search would take too much.
---@param text string | mq.buffer
---@param regex string
---@param options? string letters of "aimsuxDJ"
---@param ctx? mq.re_position
---@param groups? table to be filled instead of a new one
---@return mq.groups? groups
---@return string? error
---@return "limit"? code
function mq.re.match(text, regex, options, ctx, groups) end

---The first and the last byte of the match, or of a group of it.
---@param text string | mq.buffer
---@param regex string
---@param options? string
---@param ctx? mq.re_position
---@param group? integer
---@return integer? from
---@return integer? to
---@return string? error
---@return "limit"? code
function mq.re.find(text, regex, options, ctx, group) end

---An iterator over all matches.
---@param text string | mq.buffer
---@param regex string
---@param options? string
---@return fun(): mq.groups?, string?, "limit"?
function mq.re.gmatch(text, regex, options) end

---Replaces the first match.
---@param text string | mq.buffer
---@param regex string
---@param replacement string | fun(groups: mq.groups): string? "$1", "${1}", "${name}" are groups, "$$" is "$"
---@param options? string
---@return string? text
---@return integer? count
---@return string? error
---@return "limit"? code
function mq.re.sub(text, regex, replacement, options) end

---Replaces all matches.
---@param text string | mq.buffer
---@param regex string
---@param replacement string | fun(groups: mq.groups): string?
---@param options? string
---@return string? text
---@return integer? count
---@return string? error
---@return "limit"? code
function mq.re.gsub(text, regex, replacement, options) end

---The parts between the matches, each followed by the first group of the match behind it.
---@param text string | mq.buffer
---@param regex string
---@param options? string
---@param ctx? mq.re_position
---@param most? integer parts
---@param into? string[] to be filled instead of a new one
---@return string[]? parts
---@return string? error
---@return "limit"? code
function mq.re.split(text, regex, options, ctx, most, into) end

---Many expressions that are asked together.
---@param list string[]
---@param options? string
---@return mq.patterns
function mq.re.set(list, options) end

---@class mq.patterns
---@operator len: integer
local patterns = {}

---The number of the first expression that matches.
---@param text string | mq.buffer
---@return integer? number
---@return string? error
---@return "limit"? code
function patterns:match(text) end

---The numbers of all that match.
---@param text string | mq.buffer
---@return integer[]? numbers
---@return string? error
---@return "limit"? code
function patterns:all(text) end
