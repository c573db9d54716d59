/* SPDX-License-Identifier: MIT */

/*
 * The names under which one variant of the program exports the host's functions. Which ones:
 *   NAMES_CAMEL     MailerQ 4 and 5 as the current pages spell it
 *   NAMES_PASCAL    the spelling of the older pages
 *   NAMES_SMTP      MailerQ 2.1 and 3.0, where hand-backs take a context
 *   WITH_LOG        5.6.5 and later
 *   JSON_IS_PASCAL  MQ_Json although the other names are not
 *   WITH_DECOYS     names of Lua and libev that abort when a plugin lands in them
 */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/api.h"

#define SITE __builtin_return_address(0)

/* The C names differ from the exported ones: some variants export another type than mailerq.h declares. */
#define EXPORT_R(type, name, to, parameters, ...)                                                            \
    MQ_EXPORT type out_##name parameters __asm__(#name);                                                     \
    type out_##name parameters                                                                               \
    {                                                                                                        \
        return host_api_##to(__VA_ARGS__, SITE);                                                             \
    }
#define EXPORT_V(name, to, parameters, ...)                                                                  \
    MQ_EXPORT void out_##name parameters __asm__(#name);                                                     \
    void out_##name parameters                                                                               \
    {                                                                                                        \
        host_api_##to(__VA_ARGS__, SITE);                                                                    \
    }

typedef void watcher_callback(MQ_IOWatcher *watcher, int fd, int events, void *data);
typedef void timer_callback(void *data);

/* clang-format off */
#define EXPORT_CONTEXT(data, set_data, watch, unwatch, start, stop, reset)                                   \
    EXPORT_R(void *, data, context_data, (MQ_Context *c), c)                                                 \
    EXPORT_V(set_data, set_context_data, (MQ_Context *c, void *v), c, v)                                     \
    EXPORT_R(MQ_IOWatcher *, watch, io_watch,                                                                \
             (MQ_Context *c, int fd, int e, watcher_callback *f, void *d), c, fd, e, f, d)                   \
    EXPORT_V(unwatch, io_unwatch, (MQ_IOWatcher *w), w)                                                      \
    EXPORT_R(MQ_Timer *, start, start_timer,                                                                 \
             (MQ_Context *c, float t, timer_callback *f, void *d), c, t, f, d)                               \
    EXPORT_V(stop, stop_timer, (MQ_Timer *t), t)                                                             \
    EXPORT_V(reset, reset_timer, (MQ_Timer *t, float s), t, s)

#define EXPORT_CONNECTION(fd, send_, authed, set_authed, secure_, data, set_data)                            \
    EXPORT_R(int, fd, file_descriptor, (MQ_Connection *c), c)                                                \
    EXPORT_R(size_t, send_, send, (MQ_Connection *c, const void *b, size_t n), c, b, n)                      \
    EXPORT_R(bool, authed, authenticated, (MQ_Connection *c), c)                                             \
    EXPORT_V(set_authed, set_authenticated, (MQ_Connection *c, bool a), c, a)                                \
    EXPORT_R(bool, secure_, secure, (MQ_Connection *c), c)                                                   \
    EXPORT_R(void *, data, connection_data, (MQ_Connection *c), c)                                           \
    EXPORT_V(set_data, set_connection_data, (MQ_Connection *c, void *v), c, v)

#define EXPORT_MESSAGE(envelope_, set_envelope_, recipient_, set_recipient_, mime_, set_mime_)               \
    EXPORT_R(const void *, envelope_, envelope, (MQ_Message *m), m)                                          \
    EXPORT_V(set_envelope_, set_envelope, (MQ_Message *m, const char *t, size_t n), m, t, n)                 \
    EXPORT_R(const void *, recipient_, recipient, (MQ_Message *m), m)                                        \
    EXPORT_V(set_recipient_, set_recipient, (MQ_Message *m, const char *t, size_t n), m, t, n)               \
    EXPORT_R(const char *, mime_, mime, (MQ_Message *m), m)                                                  \
    EXPORT_V(set_mime_, set_mime, (MQ_Message *m, const char *t, size_t n), m, t, n)

#define EXPORT_LOCAL(local_, set_local_)                                                                     \
    EXPORT_R(bool, local_, local, (void *h), h)                                                              \
    EXPORT_V(set_local_, set_local, (void *h, bool l), h, l)

#define EXPORT_HANDBACK(continue_, complete_, retry_)                                                        \
    EXPORT_V(continue_, continue, (MQ_Connection *c), c)                                                     \
    EXPORT_V(complete_, complete, (MQ_Connection *c), c)                                                     \
    EXPORT_V(retry_, retry, (MQ_Connection *c), c)

EXPORT_R(struct ev_loop *, MQ_ev, ev, (MQ_Context *c), c)
/* clang-format on */

#ifdef NAMES_CAMEL
EXPORT_HANDBACK(MQ_continue, MQ_complete, MQ_retry)
EXPORT_CONTEXT(MQ_contextData, MQ_setContextData, MQ_ioWatch, MQ_ioUnwatch, MQ_startTimer, MQ_stopTimer,
               MQ_resetTimer)
EXPORT_CONNECTION(MQ_fileDescriptor, MQ_send, MQ_authenticated, MQ_setAuthenticated, MQ_secure,
                  MQ_connectionData, MQ_setConnectionData)
EXPORT_MESSAGE(MQ_envelope, MQ_setEnvelope, MQ_recipient, MQ_setRecipient, MQ_mime, MQ_setMime)
EXPORT_LOCAL(MQ_local, MQ_setLocal)
#ifdef JSON_IS_PASCAL
EXPORT_R(host_json *, MQ_Json, json, (MQ_Message * m), m)
#else
EXPORT_R(host_json *, MQ_json, json, (MQ_Message * m), m)
#endif
#endif

#ifdef NAMES_PASCAL
EXPORT_HANDBACK(MQ_Continue, MQ_Complete, MQ_Retry)
EXPORT_CONTEXT(MQ_ContextData, MQ_SetContextData, MQ_IOWatch, MQ_IOUnwatch, MQ_TimerStart, MQ_TimerStop,
               MQ_TimerReset)
/* those for connections were never spelled in another way */
#ifndef NAMES_CAMEL
EXPORT_CONNECTION(MQ_fileDescriptor, MQ_send, MQ_authenticated, MQ_setAuthenticated, MQ_secure,
                  MQ_connectionData, MQ_setConnectionData)
#endif
EXPORT_MESSAGE(MQ_Envelope, MQ_SetEnvelope, MQ_Recipient, MQ_SetRecipient, MQ_Mime, MQ_SetMime)
EXPORT_LOCAL(MQ_Local, MQ_SetLocal)
EXPORT_R(host_json *, MQ_Json, json, (MQ_Message * m), m)
#endif

#ifdef NAMES_SMTP
EXPORT_V(MQ_Continue, handback_context, (MQ_Context * c), c)
EXPORT_V(MQ_Complete, handback_context, (MQ_Context * c), c)
EXPORT_V(MQ_Retry, handback_context, (MQ_Context * c), c)
EXPORT_CONTEXT(MQ_ContextData, MQ_SetContextData, MQ_IOWatch, MQ_IOUnwatch, MQ_TimerStart, MQ_TimerStop,
               MQ_TimerReset)
EXPORT_CONNECTION(MQ_SmtpFileDescriptor, MQ_SmtpSend, MQ_SmtpAuthenticated, MQ_SetSmtpAuthenticated,
                  MQ_SmtpSecure, MQ_SmtpData, MQ_SetSmtpData)
EXPORT_MESSAGE(MQ_Envelope, MQ_SetEnvelope, MQ_Recipient, MQ_SetRecipient, MQ_Mime, MQ_SetMime)
EXPORT_R(host_json *, MQ_Json, json, (MQ_Message * m), m)
#endif

#if defined(NAMES_CAMEL) || defined(NAMES_PASCAL)
EXPORT_R(const char *, MQ_email, email, (MQ_Address * a), a)
#endif

#ifdef WITH_LOG
EXPORT_V(MQ_log, log, (int priority, const char *message), priority, message)
#endif

#ifdef WITH_DECOYS
__attribute__((noreturn)) static void decoy(const char *name)
{
    fprintf(stderr, "a plugin's call of %s landed in the program\n", name);
    abort();
}

MQ_EXPORT void *lua_newstate(void);
void *lua_newstate(void)
{
    decoy("lua_newstate");
}

MQ_EXPORT void *luaL_newstate(void);
void *luaL_newstate(void)
{
    decoy("luaL_newstate");
}

MQ_EXPORT int ev_run(struct ev_loop *loop, int flags);
int ev_run(struct ev_loop *loop, int flags)
{
    decoy("ev_run");
}

/* The host's own calls (linked with --wrap=ev_run). */
int __wrap_ev_run(struct ev_loop *loop, int flags);
int __wrap_ev_run(struct ev_loop *loop, int flags)
{
    int (*real)(struct ev_loop *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "ev_run");
    return real(loop, flags);
}
#endif
