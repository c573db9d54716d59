/* SPDX-License-Identifier: MIT */
#pragma once

/* Every rule of the API that a plugin can break, in one place. Breaking one ends the process. */

#include <stdarg.h>
#include <stdbool.h>

#define HOST_RULES(RULE)                                                                                     \
    RULE(CF1, "hand-back before the callback returned true")                                                 \
    RULE(CF2, "hand-back after the callback returned false")                                                 \
    RULE(CF3, "second hand-back for one pause")                                                              \
    RULE(CF4, "unsolicited hand-back")                                                                       \
    RULE(CF5, "hand-back after the connection was closed")                                                   \
    RULE(CF6, "MQ_retry a hundred times at one event")                                                       \
    RULE(TH1, "called on another thread than the context's")                                                 \
    RULE(TG1, "wrong or dead handle")                                                                        \
    RULE(TM1, "timer misused")                                                                               \
    RULE(IO1, "watched file descriptor was closed")                                                          \
    RULE(IO2, "watcher unwatched twice")                                                                     \
    RULE(IO3, "second watcher on one file descriptor")                                                       \
    RULE(IO4, "unknown events or bad file descriptor")                                                       \
    RULE(CD1, "context or connection data outside an mq_* callback")                                         \
    RULE(ST1, "setter called with NULL or a malformed value")                                                \
    RULE(ST2, "setter called where nothing can be changed")                                                  \
    RULE(SN1, "MQ_send on a closed or outgoing connection")                                                  \
    RULE(AU1, "MQ_setAuthenticated on an outgoing connection")                                               \
    RULE(FD1, "the connection's file descriptor was changed")                                                \
    RULE(JS1, "reference count of the message's JSON changed")                                               \
    RULE(JS2, "the message's JSON cannot be published")                                                      \
    RULE(JS3, "MIME set for delivery is malformed")                                                          \
    RULE(LG1, "MQ_log with NULL or a line end")                                                              \
    RULE(BL1, "callback blocked the worker")                                                                 \
    RULE(LO1, "watchers or timers left after mq_context_cleanup")                                            \
    RULE(LD1, "the ledger of pauses does not add up")                                                        \
    RULE(NM1, "the host ran out of memory")

enum host_rule {
#define HOST_RULE_ENUM(id, text) HOST_RULE_##id,
    HOST_RULES(HOST_RULE_ENUM)
#undef HOST_RULE_ENUM
};

/* Prints "rule CF1: <rule>: <what happened>", where the plugin called from (site, may be NULL) and the
 * earlier place that explains it (earlier, may be NULL), then aborts. Any thread. */
__attribute__((noreturn, format(printf, 4, 5))) void
host_rule_broken(enum host_rule rule, const void *site, const void *earlier, const char *format, ...);

/* A line "warning <id>: ..." on stderr for what is suspicious but allowed. Any thread. */
__attribute__((format(printf, 2, 3))) void host_rule_warn(const char *id, const char *format, ...);
