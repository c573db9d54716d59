-- Looks for signatures while a message comes in, piece by piece, and judges when it is there. Nothing is
-- copied or kept
-- but the last few bytes of each piece: a message of 100 MB costs no memory.

local QUARANTINE = "quarantine@example.com"

-- A signature is one line in the file.
local signatures, longest = {}, 0
for line in mq.file("signatures.txt"):gmatch("[^\r\n]+") do
  if not line:match("^#") then
    signatures[#signatures + 1] = line
    longest = math.max(longest, #line)
  end
end

local function find_signature(bytes)
  for number, signature in ipairs(signatures) do
    if bytes:find(signature, 1, true) then
      return number
    end
  end
end

-- Depending on the host, chunk is the whole message or a piece that may end anywhere, in the middle of a
-- signature too:
-- where two pieces meet is looked at again.
mq.on("smtp_in_data", function(connection, chunk)
  local vars = connection.transaction.vars
  if not vars.found then
    local seam = (vars.tail or "") .. chunk:sub(1, longest - 1)
    vars.found = find_signature(chunk) or find_signature(seam)
    vars.tail = #chunk >= longest and chunk:sub(-(longest - 1)) or seam:sub(-(longest - 1))
  end
end, { chunks = true })

mq.on("smtp_in_message", function(connection, message)
  local found = connection.transaction.vars.found
  if found then
    mq.log.warn("signature %d from %s", found, connection.remote_ip or "?")
    return mq.quarantine(QUARANTINE, "signature " .. found)
  end
end)
