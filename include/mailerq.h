/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * MailerQ's plugin API as its public documentation describes it (versions 4.0 to 5.13).
 *
 * The vendor's own mailerq.h is not public; where CMake finds one, that one is used instead.
 * The plugin never links to these functions: it looks each of them up at run time (src/mq/symbols.h).
 * The stand-in host implements them, and small C plugins written for tests call them directly.
 *
 * MQ_API_VERSION, MQ_READ and MQ_WRITE have no published values. The odd values below belong to the
 * stand-in host only, so that a value written by hand is noticed; a real MailerQ needs those of its
 * own header, or the settings host.api_version, host.read_flag and host.write_flag.
 */

#include <stdbool.h>
#include <stddef.h>

#define MQ_EXPORT __attribute__((visibility("default")))

#define MQ_API_VERSION 0x5D13

#define MQ_READ  0x10
#define MQ_WRITE 0x20

/* Priorities of MQ_log; these values are published. */
#define MQ_CRIT 1
#define MQ_WARN 2
#define MQ_INFO 3

#ifdef __cplusplus
extern "C" {
#endif

typedef struct MQ_Context MQ_Context;       /* one worker thread */
typedef struct MQ_Connection MQ_Connection; /* one SMTP connection, incoming or outgoing */
typedef struct MQ_Message MQ_Message;       /* one message for one recipient */
typedef struct MQ_Address MQ_Address;       /* an e-mail address */
typedef struct MQ_IOWatcher MQ_IOWatcher;
typedef struct MQ_Timer MQ_Timer;

struct ev_loop;
struct fjson_object;

/* ---- exported by a plugin, called by MailerQ ---- */
MQ_EXPORT int mq_version(void);
MQ_EXPORT void mq_initialize(void);
MQ_EXPORT void mq_cleanup(void);
MQ_EXPORT void mq_context_initialize(MQ_Context *context);
MQ_EXPORT void mq_context_cleanup(MQ_Context *context);
MQ_EXPORT bool mq_smtp_in_connect(MQ_Context *context, MQ_Connection *connection);
MQ_EXPORT bool mq_smtp_in_secure(MQ_Context *context, MQ_Connection *connection);
MQ_EXPORT bool mq_smtp_in_authenticate(MQ_Context *context, MQ_Connection *connection, const char *login,
                                       size_t loginsize, const char *passwd, size_t passwdsize);
MQ_EXPORT bool mq_smtp_in_mailfrom(MQ_Context *context, MQ_Connection *connection, MQ_Address *envelope);
MQ_EXPORT bool mq_smtp_in_rcptto(MQ_Context *context, MQ_Connection *connection, MQ_Address *address);
MQ_EXPORT bool mq_smtp_in_data(MQ_Context *context, MQ_Connection *connection, const char *mime, size_t size);
MQ_EXPORT bool mq_smtp_in_message(MQ_Context *context, MQ_Connection *connection, MQ_Message *message);
MQ_EXPORT bool mq_smtp_in_close(MQ_Context *context, MQ_Connection *connection);
MQ_EXPORT bool mq_smtp_out_data(MQ_Context *context, MQ_Connection *connection, MQ_Message *message);
MQ_EXPORT bool mq_smtp_out_sent(MQ_Context *context, MQ_Connection *connection, MQ_Message *message);

/* ---- provided by MailerQ ---- */

/* control: hand back after a callback returned true */
void MQ_continue(MQ_Connection *connection);
void MQ_complete(MQ_Connection *connection);
void MQ_retry(MQ_Connection *connection);

/* context and event loop */
void *MQ_contextData(MQ_Context *context);
void MQ_setContextData(MQ_Context *context, void *value);
struct ev_loop *MQ_ev(MQ_Context *context);
MQ_IOWatcher *MQ_ioWatch(MQ_Context *context, int fd, int events,
                         void (*callback)(MQ_IOWatcher *watcher, int fd, int events, void *data), void *data);
void MQ_ioUnwatch(MQ_IOWatcher *watcher);
MQ_Timer *MQ_startTimer(MQ_Context *context, float timeout, void (*callback)(void *data), void *data);
void MQ_stopTimer(MQ_Timer *timer);
void MQ_resetTimer(MQ_Timer *timer, float timeout);

/* connection */
int MQ_fileDescriptor(MQ_Connection *connection);
size_t MQ_send(MQ_Connection *connection, const void *buffer, size_t size);
bool MQ_authenticated(MQ_Connection *connection);
void MQ_setAuthenticated(MQ_Connection *connection, bool authenticated);
bool MQ_secure(MQ_Connection *connection);
void *MQ_connectionData(MQ_Connection *connection);
void MQ_setConnectionData(MQ_Connection *connection, void *data);

/* message; MQ_json returns a struct json_object (json-c) up to 4.4.
 * The pages contradict each other on what MQ_recipient returns and what MQ_local and MQ_setLocal
 * take. Here: addresses, the likelier reading. The stand-in host can be told the other one. */
struct fjson_object *MQ_json(MQ_Message *message);
MQ_Address *MQ_envelope(MQ_Message *message);
void MQ_setEnvelope(MQ_Message *message, const char *envelope, size_t size);
MQ_Address *MQ_recipient(MQ_Message *message);
void MQ_setRecipient(MQ_Message *message, const char *recipient, size_t size);
const char *MQ_mime(MQ_Message *message);
void MQ_setMime(MQ_Message *message, const char *mime, size_t size);

/* address */
bool MQ_local(MQ_Address *address);
void MQ_setLocal(MQ_Address *address, bool local);
const char *MQ_email(MQ_Address *address);

/* log, 5.6.5 and later; may be called from any thread */
void MQ_log(int priority, const char *message);

#ifdef __cplusplus
}
#endif
