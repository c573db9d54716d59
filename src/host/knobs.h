/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The readings of MailerQ's documentation that can be chosen, and switches of the stand-in itself.
 * One table in knobs.c names each knob, its values (the first is the default) and where it is kept.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum host_api { HOST_API_565, HOST_API_50, HOST_API_41, HOST_API_40, HOST_API_30 };
enum host_spelling { HOST_SPELLING_CAMEL, HOST_SPELLING_PASCAL, HOST_SPELLING_BOTH };
enum host_init { HOST_INIT_EACH, HOST_INIT_AFTER_ALL };
enum host_fork { HOST_FORK_AFTER_INIT, HOST_FORK_OFF, HOST_FORK_BEFORE_INIT };
enum host_continue { HOST_CONTINUE_ALTERNATE, HOST_CONTINUE_INLINE, HOST_CONTINUE_DEFERRED };
enum host_disconnect {
    HOST_DISCONNECT_DURING_PAUSE,
    HOST_DISCONNECT_AFTER_HANDBACK,
    HOST_DISCONNECT_NO_CLOSE
};
enum host_after_send {
    HOST_AFTER_SEND_ALWAYS,
    HOST_AFTER_SEND_SUPPRESS,
    HOST_AFTER_SEND_CLOSE,
    HOST_AFTER_SEND_UNAWARE
};
enum host_data { HOST_DATA_CHUNKS, HOST_DATA_WHOLE, HOST_DATA_AT_COMMAND };
enum host_own_auth { HOST_OWN_AUTH_NONE, HOST_OWN_AUTH_BEFORE, HOST_OWN_AUTH_AFTER };
enum host_timers { HOST_TIMERS_LATE, HOST_TIMERS_EXACT, HOST_TIMERS_FAIL };
enum host_watchers { HOST_WATCHERS_SPURIOUS, HOST_WATCHERS_EXACT, HOST_WATCHERS_FAIL };

/* Booleans and enums are ints, so that one table can set them all. */
struct host_knobs {
    int api;         /* enum host_api; chooses the program's variant */
    int spelling;    /* enum host_spelling; the same */
    int json_hidden; /* the same: the JSON library is not visible to plugins */
    int decoys;      /* the same: exports lua_newstate and the like, which abort */
    int api_version; /* what mq_version has to return */
    int auth_by_symbol;
    int init;          /* enum host_init */
    int fork;          /* enum host_fork */
    int ctx_init_main; /* context callbacks on the main thread */
    int shutdown_cleanup_first;
    int close_on_exit;
    int sync_continue;    /* a hand-back inside the callback is remembered */
    int continue_mode;    /* enum host_continue */
    int disconnect;       /* enum host_disconnect */
    int reply_after_send; /* enum host_after_send */
    int secure_on_implicit;
    int banner_before;
    int proxy_before; /* the connect event comes before the PROXY header was read */
    int data;         /* enum host_data */
    int data_chunk;   /* bytes */
    int data_unstuffed;
    int recipient_string;
    int local_message;
    int own_auth; /* enum host_own_auth */
    int auth_outside_honour;
    int password_null; /* AUTHENTICATE gets no password, as with CRAM-MD5 */
    int json_minimal;
    int message_after_reply;
    int data_in_loop_ok;
    int flag_values_libev;
    int brackets;
    int extract_off;
    int timers;   /* enum host_timers */
    int watchers; /* enum host_watchers */
    int blocking_off;
    int locale_environment; /* setlocale(LC_ALL, "") before anything else */
    int strict_off;
};

void host_knobs_init(struct host_knobs *knobs);

/* Sets one from "NAME=VALUE". False with a message that lists what exists in error. */
bool host_knobs_set(struct host_knobs *knobs, const char *assignment, char *error, size_t size);

/* The value of a knob as it is written; NULL when the table has no such knob. */
const char *host_knobs_value(const struct host_knobs *knobs, const char *name);

/* One line for each knob, the default first. */
void host_knobs_print(FILE *file);
