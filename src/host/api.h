/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The functions that plugins call. The program exports them under the names of its variant
 * (src/cli/symbols.c), which pass the address they were called from as site. Semantics as in mailerq.h; every
 * misuse aborts with its rule. Worker thread only, host_api_log excepted.
 */

#include "host/types.h"

void host_api_continue(MQ_Connection *connection, const void *site);
void host_api_complete(MQ_Connection *connection, const void *site);
void host_api_retry(MQ_Connection *connection, const void *site);
/* MailerQ 3.0 hands back with the context; no plugin of ours may do that. */
void host_api_handback_context(MQ_Context *context, const void *site);

void *host_api_context_data(MQ_Context *context, const void *site);
void host_api_set_context_data(MQ_Context *context, void *value, const void *site);
struct ev_loop *host_api_ev(MQ_Context *context, const void *site);
MQ_IOWatcher *host_api_io_watch(MQ_Context *context, int fd, int events,
                                void (*callback)(MQ_IOWatcher *watcher, int fd, int events, void *data),
                                void *data, const void *site);
void host_api_io_unwatch(MQ_IOWatcher *watcher, const void *site);
MQ_Timer *host_api_start_timer(MQ_Context *context, float timeout, void (*callback)(void *data), void *data,
                               const void *site);
void host_api_stop_timer(MQ_Timer *timer, const void *site);
void host_api_reset_timer(MQ_Timer *timer, float timeout, const void *site);

int host_api_file_descriptor(MQ_Connection *connection, const void *site);
size_t host_api_send(MQ_Connection *connection, const void *buffer, size_t size, const void *site);
bool host_api_authenticated(MQ_Connection *connection, const void *site);
void host_api_set_authenticated(MQ_Connection *connection, bool authenticated, const void *site);
bool host_api_secure(MQ_Connection *connection, const void *site);
void *host_api_connection_data(MQ_Connection *connection, const void *site);
void host_api_set_connection_data(MQ_Connection *connection, void *data, const void *site);

host_json *host_api_json(MQ_Message *message, const void *site);
/* MQ_Address, or a string with the knob recipient=string or api=3.0. */
const void *host_api_envelope(MQ_Message *message, const void *site);
const void *host_api_recipient(MQ_Message *message, const void *site);
void host_api_set_envelope(MQ_Message *message, const char *envelope, size_t size, const void *site);
void host_api_set_recipient(MQ_Message *message, const char *recipient, size_t size, const void *site);
const char *host_api_mime(MQ_Message *message, const void *site);
void host_api_set_mime(MQ_Message *message, const char *mime, size_t size, const void *site);

/* An address, or a message with the knob local=message. */
bool host_api_local(void *handle, const void *site);
void host_api_set_local(void *handle, bool local, const void *site);
const char *host_api_email(MQ_Address *address, const void *site);

void host_api_log(int priority, const char *message, const void *site);
