/* SPDX-License-Identifier: MIT */

#include "api/lint_internal.h"
#include "vm/flow.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How far functions are followed that call others. */
enum { DEPTH = 50 };

void mqlua_lint_say(lint *l, mqlua_lint_kind kind, const char *format, ...)
{
    char text[700];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    l->found(l->ud, kind, text);
}

mqlua_verdict_kind mqlua_lint_kind_of(const char *name)
{
    int kind = 0;
    while (kind < MQLUA_VERDICTS && strcmp(mqlua_verdict_name(kind) + strlen("mq."), name) != 0)
        kind++;
    return kind;
}

static bool refuses(mqlua_verdict_kind kind)
{
    return kind == MQLUA_VERDICT_REJECT || kind == MQLUA_VERDICT_TEMPFAIL;
}

/* "@policy.lua" is the file policy.lua. */
static const char *file_of(const mqlua_call *call)
{
    return call->source + (call->source[0] == '@');
}

/* ---- verdicts that are made and not returned ---- */

static void see_forgotten(void *ud, const mqlua_call *call)
{
    mqlua_verdict_kind kind = call->name ? mqlua_lint_kind_of(call->name) : MQLUA_VERDICTS;
    if (kind < MQLUA_VERDICTS && call->use == MQLUA_CALL_DROPPED)
        mqlua_lint_say(ud, MQLUA_LINT_MISTAKE,
                       "%s:%d: %s without 'return' does nothing: write 'return %s(...)'", file_of(call),
                       call->line, mqlua_verdict_name(kind), mqlua_verdict_name(kind));
}

static void read_files(lint *l)
{
    for (mqlua_file *file = mqlua_bundle_files(l->state->env.bundle); file; file = file->next)
        if (file->kind == MQLUA_FILE_LUA && file->parsed && l->calls &&
            (!mqlua_calls_read(l->calls, file->parsed, file->parsed_size, see_forgotten, l) ||
             !mqlua_lint_patterns(l, file->parsed, file->parsed_size) ||
             !mqlua_flow_learn(l->calls, file->parsed, file->parsed_size)))
            l->memory = false;
}

/* ---- verdicts at the wrong event ---- */

/* The verdict in an upvalue of the handler on top of the stack, or MQLUA_VERDICTS. */
static mqlua_verdict_kind kind_in_upvalue(lua_State *L, int number)
{
    if (!lua_getupvalue(L, -1, number))
        return MQLUA_VERDICTS;
    mqlua_verdict *verdict = mqlua_object_test(L, -1, &mqlua_verdict_type, NULL);
    mqlua_verdict_kind kind = verdict ? verdict->kind : MQLUA_VERDICTS;
    lua_pop(L, 1);
    return kind;
}

static bool takes(const lint *l, mqlua_event event, mqlua_verdict_kind kind)
{
    char buffer[400];
    return !mqlua_verdict_misplaced(kind, event, l->state->env.settings, buffer, sizeof buffer);
}

bool mqlua_lint_is_same(const lint *l, int reference)
{
    lua_State *L = mqlua_vm_state(l->state->env.vm);
    lua_Debug other = {0};
    lua_rawgeti(L, LUA_REGISTRYINDEX, reference);
    if (!lua_isfunction(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    lua_getinfo(L, ">S", &other);
    return strcmp(other.source, l->function.source) == 0 && other.linedefined == l->function.linedefined &&
           other.lastlinedefined == l->function.lastlinedefined;
}

/* One function may serve several events, and know which it is at. */
static bool is_right_elsewhere(const lint *l, mqlua_verdict_kind kind)
{
    const mqlua_registry *registry = l->state->env.registry;
    for (int event = 0; event < MQLUA_EVENTS; event++) {
        if (!takes(l, event, kind))
            continue;
        for (int i = 0; i < registry->events[event].count; i++)
            if (mqlua_lint_is_same(l, registry->events[event].list[i].function) ||
                mqlua_lint_is_same(l, registry->events[event].list[i].on_error))
                return true;
        if (mqlua_lint_is_same(l, registry->on_error[event]))
            return true;
    }
    return false;
}

static bool observes(int event)
{
    return event == MQLUA_IN_CLOSE || event == MQLUA_OUT_SENT;
}

/* Elsewhere it can be a branch that is never taken: no reason to stop the mail. */
static void see_misplaced(void *ud, const mqlua_call *call)
{
    lint *l = ud;
    char buffer[400];
    if (call->inner || call->use != MQLUA_CALL_RETURNED)
        return;
    mqlua_verdict_kind kind = call->name ? mqlua_lint_kind_of(call->name)
                                         : kind_in_upvalue(mqlua_vm_state(l->state->env.vm), call->upvalue);
    if (kind < MQLUA_VERDICTS &&
        mqlua_verdict_misplaced(kind, l->event, l->state->env.settings, buffer, sizeof buffer) &&
        !is_right_elsewhere(l, kind))
        mqlua_lint_say(l, observes(l->event) ? MQLUA_LINT_WRONG : MQLUA_LINT_MISTAKE, "%s:%d: %s",
                       file_of(call), call->line, buffer);
}

/* What decides when the handler fails: a registry reference, or LUA_NOREF. */
static int on_error(const lint *l)
{
    return l->handler->on_error != LUA_NOREF ? l->handler->on_error
                                             : l->state->env.registry->on_error[l->event];
}

/* The function on top of the stack. */
static void read_top(lint *l, lua_State *L, void (*see)(void *ud, const mqlua_call *call))
{
    if (!l->calls || lua_iscfunction(L, -1))
        return;
    lua_pushvalue(L, -1);
    lua_getinfo(L, ">S", &l->function);
    if (!mqlua_calls_read_function(l->calls, L, see, l))
        l->memory = false;
}

/* ---- rejects at RCPT TO ---- */

static void see_refusal(void *ud, const mqlua_call *call)
{
    if (call->name && call->use != MQLUA_CALL_DROPPED && refuses(mqlua_lint_kind_of(call->name)))
        ((lint *)ud)->rejects = true;
}

/* Has this been called for the value on top of the stack before? seen is the index of a table of them. */
static bool seen_before(lua_State *L, int seen)
{
    lua_pushvalue(L, -1);
    lua_rawget(L, seen);
    bool before = !lua_isnil(L, -1);
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, seen);
    return before;
}

/* Pops a value. Is it a verdict that refuses, or a function that makes one, itself or through upvalues? */
static void follow(lint *l, lua_State *L, int seen, int depth)
{
    int value = lua_gettop(L);
    const mqlua_verdict *verdict = mqlua_object_test(L, value, &mqlua_verdict_type, NULL);
    if (verdict && refuses(verdict->kind))
        l->rejects = true;
    if (lua_isfunction(L, value) && depth < DEPTH && !seen_before(L, seen)) {
        luaL_checkstack(L, 10, "functions");
        read_top(l, L, see_refusal);
        for (int i = 1; !l->rejects && lua_getupvalue(L, value, i); i++)
            follow(l, L, seen, depth + 1);
    }
    lua_settop(L, value - 1);
}

static void note_rejects(lint *l, lua_State *L)
{
    const mqlua_settings *settings = l->state->env.settings;
    if (l->event != MQLUA_IN_RCPTTO || settings->host.reply_never != MQLUA_UNKNOWN || l->rejects)
        return;
    lua_newtable(L);
    int seen = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, l->handler->function);
    follow(l, L, seen, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, on_error(l));
    follow(l, L, seen, 0);
    lua_pop(L, 1);
    if (l->rejects)
        mqlua_lint_say(l, MQLUA_LINT_NOTE,
                       "handler '%s' rejects at RCPT TO, which ends the session: the sender tries the other "
                       "recipients again later. Find out whether your MailerQ needs that, and set "
                       "host.reply_after_send (docs/MAILERQ.md)",
                       l->handler->name);
}

/* ---- all of it ---- */

static void look_at_handler(lint *l, lua_State *L)
{
    bool decides = l->event >= MQLUA_IN_CONNECT && l->event != MQLUA_IN_CLOSE && l->event != MQLUA_OUT_SENT;
    lua_rawgeti(L, LUA_REGISTRYINDEX, l->handler->function);
    read_top(l, L, see_misplaced);
    mqlua_lint_values(l, L);
    lua_pop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, on_error(l));
    if (lua_isfunction(L, -1))
        read_top(l, L, see_misplaced);
    lua_pop(L, 1);
    note_rejects(l, L);
    if (decides && l->event != MQLUA_IN_AUTHENTICATE && on_error(l) == LUA_NOREF)
        mqlua_lint_say(l, MQLUA_LINT_NOTE,
                       "handler '%s' of %s fails open: after an error the next one goes on (see on_error)",
                       l->handler->name, mqlua_event_names[l->event]);
}

static int look(lua_State *L)
{
    lint *l = lua_touserdata(L, 1);
    const mqlua_registry *registry = l->state->env.registry;
    read_files(l);
    for (int event = 0; event < MQLUA_EVENTS; event++) {
        l->event = event;
        for (int i = 0; i < registry->events[event].count; i++) {
            l->handler = &registry->events[event].list[i];
            look_at_handler(l, L);
        }
    }
    return 0;
}

bool mqlua_lint(mqlua_state *state, void (*found)(void *ud, mqlua_lint_kind kind, const char *text), void *ud)
{
    lint l = {.state = state, .calls = mqlua_calls_new("mq"), .found = found, .ud = ud, .memory = true};
    if (!l.calls)
        mqlua_lint_say(
            &l, MQLUA_LINT_NOTE,
            "what the handlers return was not looked at: the bytecode of this LuaJIT is not known");
    int status = mqlua_vm_setup(state->env.vm, look, &l, NULL);
    mqlua_calls_free(l.calls);
    mqlua_lint_values_free(&l);
    return status == 0 && l.memory;
}
