/* SPDX-License-Identifier: MIT */

#include "mq/symbols.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef struct entry {
    size_t offset;
    bool mandatory;
    const char *names[4]; /* spellings in order: today's first */
} entry;

#define MANDATORY(member, ...)                                                                               \
    {                                                                                                        \
        offsetof(mqlua_symbols, member), true,                                                               \
        {                                                                                                    \
            __VA_ARGS__, NULL                                                                                \
        }                                                                                                    \
    }
#define OPTIONAL(member, ...)                                                                                \
    {                                                                                                        \
        offsetof(mqlua_symbols, member), false,                                                              \
        {                                                                                                    \
            __VA_ARGS__, NULL                                                                                \
        }                                                                                                    \
    }

/* The pages of 4.0 to 5.5 spelled many names differently before 2019; a host exports one spelling or the
 * other. */
static const entry entries[] = {
    MANDATORY(hand_continue, "MQ_continue", "MQ_Continue"),
    MANDATORY(hand_complete, "MQ_complete", "MQ_Complete"),
    MANDATORY(hand_retry, "MQ_retry", "MQ_Retry"),
    MANDATORY(context_data, "MQ_contextData", "MQ_ContextData"),
    MANDATORY(set_context_data, "MQ_setContextData", "MQ_SetContextData"),
    MANDATORY(io_watch, "MQ_ioWatch", "MQ_IOWatch"),
    MANDATORY(io_unwatch, "MQ_ioUnwatch", "MQ_IOUnwatch"),
    MANDATORY(start_timer, "MQ_startTimer", "MQ_TimerStart"),
    MANDATORY(stop_timer, "MQ_stopTimer", "MQ_TimerStop"),
    MANDATORY(send, "MQ_send"),
    MANDATORY(set_authenticated, "MQ_setAuthenticated"),
    MANDATORY(authenticated, "MQ_authenticated"),
    MANDATORY(secure, "MQ_secure"),
    MANDATORY(file_descriptor, "MQ_fileDescriptor"),
    MANDATORY(connection_data, "MQ_connectionData"),
    MANDATORY(set_connection_data, "MQ_setConnectionData"),
    MANDATORY(json, "MQ_json", "MQ_Json"),
    MANDATORY(set_envelope, "MQ_setEnvelope", "MQ_SetEnvelope"),
    MANDATORY(set_recipient, "MQ_setRecipient", "MQ_SetRecipient"),
    MANDATORY(mime, "MQ_mime", "MQ_Mime"),
    MANDATORY(set_mime, "MQ_setMime", "MQ_SetMime"),
    MANDATORY(email, "MQ_email"),
    OPTIONAL(log, "MQ_log"),
    OPTIONAL(local, "MQ_local", "MQ_Local"),
    OPTIONAL(set_local, "MQ_setLocal", "MQ_SetLocal"),
    OPTIONAL(recipient, "MQ_recipient", "MQ_Recipient"),
    OPTIONAL(envelope, "MQ_envelope", "MQ_Envelope"),
};

static void *find(const char *const *names)
{
    void *symbol = NULL;
    for (; !symbol && *names; names++)
        symbol = dlsym(RTLD_DEFAULT, *names);
    return symbol;
}

bool mqlua_symbols_load(mqlua_symbols *symbols, char *missing, size_t size)
{
    size_t used = 0;
    bool complete = true;
    memset(symbols, 0, sizeof *symbols);
    missing[0] = '\0';
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        const entry *e = &entries[i];
        void *symbol = find(e->names);
        memcpy((char *)symbols + e->offset, &symbol, sizeof symbol);
        if (symbol || !e->mandatory)
            continue;
        complete = false;
        if (used < size)
            used += (size_t)snprintf(missing + used, size - used, "%s%s", used ? ", " : "", e->names[0]);
    }
    symbols->legacy = dlsym(RTLD_DEFAULT, "MQ_SmtpSend") != NULL;
    return complete;
}
