/* SPDX-License-Identifier: MIT */

#include "api/verdict.h"
#include "api/assign.h"
#include "api/report.h"
#include "base/line.h"
#include "vm/bytes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 400 }; /* a reply line is at most 512 bytes */

#define REPLY_EVENTS                                                                                         \
    (MQLUA_BIT(MQLUA_IN_CONNECT) | MQLUA_BIT(MQLUA_IN_SECURE) | MQLUA_BIT(MQLUA_IN_MAILFROM) |               \
     MQLUA_BIT(MQLUA_IN_RCPTTO))
#define CONTROL_EVENTS                                                                                       \
    (REPLY_EVENTS | MQLUA_BIT(MQLUA_IN_AUTHENTICATE) | MQLUA_BIT(MQLUA_IN_DATA) |                            \
     MQLUA_BIT(MQLUA_IN_MESSAGE) | MQLUA_BIT(MQLUA_OUT_DATA))

typedef struct kind_info {
    const char *name;
    unsigned events; /* where it may be returned */
} kind_info;

static const kind_info kinds[MQLUA_VERDICTS] = {
    [MQLUA_VERDICT_DONE] = {"mq.done", CONTROL_EVENTS},
    [MQLUA_VERDICT_COMPLETE] = {"mq.complete", CONTROL_EVENTS},
    [MQLUA_VERDICT_RERUN] = {"mq.rerun", CONTROL_EVENTS},
    [MQLUA_VERDICT_ACCEPT] = {"mq.accept", MQLUA_BIT(MQLUA_IN_AUTHENTICATE)},
    [MQLUA_VERDICT_DENY] = {"mq.deny", MQLUA_BIT(MQLUA_IN_AUTHENTICATE)},
    [MQLUA_VERDICT_REJECT] = {"mq.reject", REPLY_EVENTS},
    [MQLUA_VERDICT_TEMPFAIL] = {"mq.tempfail", REPLY_EVENTS},
    [MQLUA_VERDICT_DISCONNECT] = {"mq.disconnect", REPLY_EVENTS | MQLUA_BIT(MQLUA_IN_AUTHENTICATE)},
    [MQLUA_VERDICT_DISCARD] = {"mq.discard", MQLUA_BIT(MQLUA_IN_MESSAGE)},
    [MQLUA_VERDICT_QUARANTINE] = {"mq.quarantine", MQLUA_BIT(MQLUA_IN_MESSAGE)},
    [MQLUA_VERDICT_HOLD] = {"mq.hold", MQLUA_BIT(MQLUA_OUT_DATA)},
};

const char *mqlua_verdict_name(mqlua_verdict_kind kind)
{
    return kinds[kind].name;
}

/* ---- making them ---- */

static void note_made(lua_State *L, mqlua_verdict_kind kind)
{
    mqlua_made *made = mqlua_env_of(L)->made;
    lua_Debug ar;
    if (!made)
        return;
    made->count++;
    made->kind = kind;
    made->task = mqlua_task_current(mqlua_vm_of(L));
    made->where[0] = '\0';
    if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar))
        snprintf(made->where, sizeof made->where, "%s:%d", ar.short_src, ar.currentline);
}

static int push_verdict(lua_State *L, mqlua_verdict_kind kind, const char *text, const char *reason)
{
    size_t text_size = strlen(text) + 1, reason_size = strlen(reason) + 1;
    mqlua_verdict *verdict =
        mqlua_object_push(L, &mqlua_verdict_type, sizeof *verdict + text_size + reason_size, NULL);
    verdict->kind = kind;
    verdict->text = memcpy(verdict->bytes, text, text_size);
    verdict->reason = memcpy(verdict->bytes + text_size, reason, reason_size);
    note_made(L, kind);
    return 1;
}

/* Text that ends up in a reply (ASCII) or in JSON: one line. Whatever a sender got into it, the verdict
 * counts: the text is cleaned and cut, with a warning. Only a wrong type raises. Pushes nothing: line is the
 * caller's. */
static const char *clean_line(lua_State *L, int index, const char *fallback, bool ascii,
                              char line[TEXT_MAX + 1])
{
    size_t size = strlen(fallback);
    const char *text = lua_isnoneornil(L, index) ? fallback : mqlua_bytes_check(L, index, &size);
    if (!mqlua_line_clean(line, TEXT_MAX + 1, text, size, ascii))
        mqlua_report(mqlua_env_of(L), "the text of a verdict was changed",
                     ascii ? "a reply is one line of printable ASCII, at most 400 bytes"
                           : "a reason is one line of UTF-8 without control characters, at most 400 bytes");
    return line;
}

/* The codes of a kind, in *low and *high. False for one without a reply. */
static bool codes_of(mqlua_verdict_kind kind, int *low, int *high)
{
    *low = kind == MQLUA_VERDICT_REJECT ? 500 : kind == MQLUA_VERDICT_TEMPFAIL ? 400 : 421;
    *high = kind == MQLUA_VERDICT_DISCONNECT ? 421 : *low + 99;
    return kind == MQLUA_VERDICT_REJECT || kind == MQLUA_VERDICT_TEMPFAIL || kind == MQLUA_VERDICT_DISCONNECT;
}

const char *mqlua_verdict_wrong_code(mqlua_verdict_kind kind, int code, char *buffer, size_t size)
{
    int low, high;
    if (!codes_of(kind, &low, &high) || (code >= low && code <= high))
        return NULL;
    const char *use = code / 100 == 4 ? " (use mq.tempfail)" : code / 100 == 5 ? " (use mq.reject)" : "";
    if (low == high)
        snprintf(buffer, size, "must be %d, got %d%s", low, code, use);
    else
        snprintf(buffer, size, "must be a code from %d to %d, got %d%s", low, high, code, use);
    return buffer;
}

/* RFC 3463: class of the reply code, then two numbers. */
const char *mqlua_verdict_wrong_status(mqlua_verdict_kind kind, const char *status, char *buffer, size_t size)
{
    int low, high, class, subject, detail, used = 0;
    if (!codes_of(kind, &low, &high) ||
        (sscanf(status, "%1d.%3d.%3d%n", &class, &subject, &detail, &used) == 3 && !status[used] &&
         class == low / 100))
        return NULL;
    snprintf(buffer, size, "must be an enhanced status code such as \"%d.7.1\", got \"%s\"", low / 100,
             status);
    return buffer;
}

static int push_reply(lua_State *L, mqlua_verdict_kind kind, int code_default, const char *status_default,
                      const char *text)
{
    char line[TEXT_MAX + 1];
    int code = luaL_optint(L, 1, code_default);
    if (mqlua_verdict_wrong_code(kind, code, line, sizeof line))
        luaL_argerror(L, 1, line);
    luaL_optstring(L, 2, NULL);
    const char *status = lua_isnoneornil(L, 2) ? status_default : mqlua_object_name(L, 2);
    if (mqlua_verdict_wrong_status(kind, status, line, sizeof line))
        luaL_argerror(L, 2, line);
    const char *reply = lua_pushfstring(L, "%d %s %s", code, status, clean_line(L, 3, text, true, line));
    return push_verdict(L, kind, reply, "");
}

static int l_reject(lua_State *L)
{
    return push_reply(L, MQLUA_VERDICT_REJECT, 550, "5.7.1", "Rejected by policy");
}

static int l_tempfail(lua_State *L)
{
    return push_reply(L, MQLUA_VERDICT_TEMPFAIL, 450, "4.7.1", "Try again later");
}

static int l_disconnect(lua_State *L)
{
    return push_reply(L, MQLUA_VERDICT_DISCONNECT, 421, "4.7.1", "Closing connection");
}

/* Verdicts without arguments are made once per state. */
static int l_plain(lua_State *L)
{
    if (!lua_isnone(L, 1))
        return luaL_error(L, "%s takes no arguments", kinds[lua_tointeger(L, lua_upvalueindex(1))].name);
    note_made(L, (mqlua_verdict_kind)lua_tointeger(L, lua_upvalueindex(1)));
    lua_pushvalue(L, lua_upvalueindex(2));
    return 1;
}

static int l_discard(lua_State *L)
{
    if (!mqlua_env_of(L)->settings->host.inbox_mailerq)
        return luaL_error(
            L, "mq.discard binds MailerQ's own delivery only: say \"inbox\": \"mailerq\" under \"host\" in "
               "the settings if MailerQ itself delivers what arrives in its inbox, else use mq.quarantine");
    char line[TEXT_MAX + 1];
    return push_verdict(L, MQLUA_VERDICT_DISCARD, clean_line(L, 1, "discarded by policy", false, line), "");
}

static int l_quarantine(lua_State *L)
{
    char line[TEXT_MAX + 1];
    luaL_checkany(L, 1);
    mqlua_assign_address(L, "the recipient of mq.quarantine", 1, false);
    return push_verdict(L, MQLUA_VERDICT_QUARANTINE, lua_tostring(L, 1),
                        clean_line(L, 2, "quarantined by policy", false, line));
}

static int l_hold(lua_State *L)
{
    char line[TEXT_MAX + 1];
    return push_verdict(L, MQLUA_VERDICT_HOLD, clean_line(L, 1, "held by policy", false, line), "");
}

static int l_tostring(lua_State *L)
{
    mqlua_verdict *verdict = mqlua_object_check(L, 1, &mqlua_verdict_type);
    lua_pushfstring(L, "%s(%s)", kinds[verdict->kind].name, verdict->text);
    return 1;
}

static const luaL_Reg meta[] = {{"__tostring", l_tostring}, {NULL, NULL}};

const mqlua_type mqlua_verdict_type = {.name = "verdict", .meta = meta};

void mqlua_verdict_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"reject", l_reject},   {"tempfail", l_tempfail},     {"disconnect", l_disconnect},
        {"discard", l_discard}, {"quarantine", l_quarantine}, {"hold", l_hold},
        {NULL, NULL},
    };
    mqlua_object_register(L, &mqlua_verdict_type);
    luaL_register(L, NULL, functions);
    for (int kind = MQLUA_VERDICT_DONE; kind <= MQLUA_VERDICT_DENY; kind++) {
        lua_pushinteger(L, kind);
        push_verdict(L, (mqlua_verdict_kind)kind, "", "");
        lua_pushcclosure(L, l_plain, 2);
        lua_setfield(L, -2, kinds[kind].name + strlen("mq."));
    }
}

/* ---- where they belong ---- */

/* What to use instead, at an event where a verdict is out of place. */
static const char *instead(mqlua_event event)
{
    switch (event) {
    case MQLUA_IN_AUTHENTICATE:
        return "use mq.accept, mq.deny or mq.disconnect";
    case MQLUA_IN_DATA:
    case MQLUA_IN_MESSAGE:
        return "use mq.discard or mq.quarantine in smtp_in_message";
    case MQLUA_OUT_DATA:
        return "use mq.hold";
    case MQLUA_IN_CLOSE:
    case MQLUA_OUT_SENT:
        return "this event only observes: return nothing";
    case MQLUA_IN_CONNECT:
    case MQLUA_IN_SECURE:
    case MQLUA_IN_MAILFROM:
    case MQLUA_IN_RCPTTO:
        return "use mq.reject, mq.tempfail or mq.disconnect";
    default:
        return "return nothing";
    }
}

static int list_events(unsigned events, char *buffer, size_t size)
{
    int used = 0;
    for (int event = 0; event < MQLUA_EVENTS; event++)
        if (events & MQLUA_BIT(event) && (size_t)used < size)
            used += snprintf(buffer + used, size - (size_t)used, "%s%s", used ? ", " : "",
                             mqlua_event_names[event]);
    return used;
}

const char *mqlua_verdict_misplaced(mqlua_verdict_kind kind, mqlua_event event,
                                    const mqlua_settings *settings, char *buffer, size_t size)
{
    unsigned events = kinds[kind].events;
    if (settings->host.reply_never == 1 && (kind == MQLUA_VERDICT_REJECT || kind == MQLUA_VERDICT_TEMPFAIL))
        events |= MQLUA_BIT(MQLUA_IN_DATA);
    if (events & MQLUA_BIT(event))
        return NULL;
    char list[256];
    list_events(events, list, sizeof list);
    snprintf(buffer, size, "%s cannot be returned from %s (%s); it belongs to %s", kinds[kind].name,
             mqlua_event_names[event], instead(event), list);
    return buffer;
}
