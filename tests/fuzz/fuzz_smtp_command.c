/* SPDX-License-Identifier: MIT */

/* Any bytes as a command line: what comes out is within its limits, and an accepted address is accepted
 * again. */

#undef NDEBUG /* the checks are what it is for */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "host/bytes.h"
#include "host/smtp_command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *line = (const char *)data;
    struct host_smtp_command command, again;
    enum host_smtp_error error = host_smtp_command_parse(line, size, &command);
    assert(command.argument >= line && command.argument + command.argument_size <= line + size);
    assert(host_smtp_command_reply(error)[3] == ' ');
    assert(strlen(command.address) <= HOST_SMTP_ADDRESS_MAX);
    bool envelope = command.verb == HOST_SMTP_MAIL || command.verb == HOST_SMTP_RCPT;
    if (error || !envelope)
        return 0;
    struct host_bytes text = {0};
    host_bytes_printf(&text, "%s:<%s>%s", command.verb == HOST_SMTP_MAIL ? "MAIL FROM" : "RCPT TO",
                      command.address, command.smtputf8 ? " SMTPUTF8" : "");
    assert(host_smtp_command_parse(text.data, text.size, &again) == HOST_SMTP_OK);
    assert(strcmp(command.address, again.address) == 0);
    host_bytes_free(&text);
    return 0;
}
