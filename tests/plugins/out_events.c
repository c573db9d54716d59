/* SPDX-License-Identifier: MIT */

/* Does at the outgoing events what the key "test" of a message asks for. */

#include <libfastjson/json.h>
#include <stdlib.h>
#include <string.h>

#include "mailerq.h"

#define SET_MIME  "Subject: set\r\n\r\n.by a plugin\r\n"
#define BARE_LF   "Subject: set\n\nby a plugin\n"
#define NO_HEADER "by a plugin\r\n"

static bool wants(MQ_Message *message, const char *what)
{
    struct fjson_object *test = NULL;
    return fjson_object_object_get_ex(MQ_json(message), "test", &test) && test &&
           strcmp(fjson_object_get_string(test), what) == 0;
}

static void note(MQ_Message *message, const char *key)
{
    fjson_object_object_add(MQ_json(message), key, fjson_object_new_boolean(1));
}

struct pause {
    MQ_Connection *connection;
    MQ_Message *message; /* NULL: it is gone when the time is over */
};

static void hand_back(void *data)
{
    struct pause *pause = data;
    MQ_Connection *connection = pause->connection;
    if (pause->message)
        MQ_setMime(pause->message, SET_MIME, strlen(SET_MIME));
    free(pause);
    MQ_continue(connection);
}

static bool take_control(MQ_Context *context, MQ_Connection *connection, MQ_Message *message, float seconds)
{
    struct pause *pause = malloc(sizeof *pause);
    if (!pause)
        return false;
    *pause = (struct pause){connection, message};
    if (MQ_startTimer(context, seconds, hand_back, pause))
        return true;
    free(pause);
    return false;
}

int mq_version(void)
{
    return MQ_API_VERSION;
}

bool mq_smtp_out_data(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    note(message, "seen-data");
    if (MQ_mime(message))
        note(message, "had-mime");
    if (wants(message, "set"))
        MQ_setMime(message, SET_MIME, strlen(SET_MIME));
    if (wants(message, "bare-lf"))
        MQ_setMime(message, BARE_LF, strlen(BARE_LF));
    if (wants(message, "no-header"))
        MQ_setMime(message, NO_HEADER, strlen(NO_HEADER));
    if (wants(message, "delete"))
        fjson_object_object_del(MQ_json(message), "mime");
    if (wants(message, "pause"))
        return take_control(context, connection, message, 0.05f);
    if (wants(message, "late"))
        return take_control(context, connection, NULL, 1.0f);
    return wants(message, "hold");
}

bool mq_smtp_out_sent(MQ_Context *context, MQ_Connection *connection, MQ_Message *message)
{
    note(message, "seen-sent");
    if (wants(message, "set-late"))
        MQ_setMime(message, SET_MIME, strlen(SET_MIME));
    return wants(message, "pause-sent") && take_control(context, connection, NULL, 0.05f);
}
