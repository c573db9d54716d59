/* SPDX-License-Identifier: MIT */

/* Constants that can never be right, and addresses that are used as texts, in handlers and in the functions
 * that they call. Where a handler itself is wrong, it is so for certain; what comes from elsewhere (an
 * upvalue, a function that is called) may be meant for something that never happens. */

#include "api/lint_internal.h"
#include "base/email.h"
#include "vm/flow.h"
#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEEPEST = 8,     /* functions that call one another */
    FUNCTIONS = 300, /* that one handler reaches, each as often as it is called */
};

/* A use, kept until the function was read: only then the state may be asked. */
typedef struct noted {
    struct noted *next;
    mqlua_use use;
    char bytes[];
} noted;

typedef struct said {
    struct said *next;
    char text[];
} said;

/* Where it stands. */
typedef struct look {
    lint *l;
    lua_State *L;
    int function; /* index of the stack */
    int depth;
    int *left; /* functions that may still be read */
} look;

/* ---- notes of uses ---- */

static size_t size_of(const mqlua_use *use)
{
    size_t size = strlen(use->place) + strlen(use->source) + 2;
    for (int i = 0; i < MQLUA_FLOW_VALUES; i++)
        size += use->values[i].text ? use->values[i].size + 1 : 0;
    return size;
}

static const char *append(char **at, const char *text, size_t size)
{
    char *begin = *at;
    memcpy(begin, text, size);
    begin[size] = 0;
    *at += size + 1;
    return begin;
}

/* The last one comes first. */
static void note(void *ud, const mqlua_use *use)
{
    lint *l = ud;
    noted *n = malloc(sizeof *n + size_of(use));
    if (!n) {
        l->memory = false;
        return;
    }
    char *at = n->bytes;
    n->use = *use;
    n->use.place = append(&at, use->place, strlen(use->place));
    n->use.source = append(&at, use->source, strlen(use->source));
    for (int i = 0; i < MQLUA_FLOW_VALUES; i++)
        if (use->values[i].text)
            n->use.values[i].text = append(&at, use->values[i].text, use->values[i].size);
    n->next = l->noted;
    l->noted = n;
}

/* Frees the notes down to that one. */
static void forget(lint *l, const noted *end)
{
    for (noted *n; (n = l->noted) != end;) {
        l->noted = n->next;
        free(n);
    }
}

void mqlua_lint_values_free(lint *l)
{
    forget(l, NULL);
    for (said *s; (s = l->said);) {
        l->said = s->next;
        free(s);
    }
}

/* Several handlers may call one function: what is wrong in it is said once. */
__attribute__((format(printf, 4, 5))) static void tell(lint *l, const mqlua_use *use, mqlua_lint_kind kind,
                                                       const char *format, ...)
{
    char text[600], line[700];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(line, sizeof line, "%s:%d: %s", use->source + (use->source[0] == '@'), use->line, text);
    for (const said *s = l->said; s; s = s->next)
        if (strcmp(s->text, line) == 0)
            return;
    said *s = malloc(sizeof *s + strlen(line) + 1);
    if (s) {
        strcpy(s->text, line);
        s->next = l->said;
        l->said = s;
    }
    mqlua_lint_say(l, kind, "%s", line);
}

/* ---- what is in places ---- */

/* Pushes the value of an upvalue or a global, or of a field of it; nil for what is not there. */
static void push_place(const look *at, const char *place)
{
    lua_State *L = at->L;
    const char *field = place + strcspn(place, ".");
    if (strncmp(place, "_G.", 3) == 0)
        lua_getfenv(L, at->function);
    else if (place[0] != '^' || !lua_getupvalue(L, at->function, atoi(place + 1)))
        lua_pushnil(L);
    while (*field == '.' && lua_istable(L, -1)) {
        size_t size = strcspn(++field, ".");
        lua_pushlstring(L, field, size);
        lua_rawget(L, -2);
        lua_remove(L, -2);
        field += size;
    }
    if (*field) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
}

/* A value with what its upvalue holds in place of the upvalue, with a text pushed. *near: it stands in the
 * function. One that the function has a condition on is unknown: it may be what turns something off. */
static mqlua_value resolve(const look *at, const mqlua_value *value, bool *near)
{
    mqlua_value known = *value;
    *near = at->depth == 0 && value->type != MQLUA_VALUE_PLACE;
    if (value->type == MQLUA_VALUE_PLACE && value->text[0] == '^' && !strchr(value->text, '.')) {
        push_place(at, value->text);
        if (lua_type(at->L, -1) == LUA_TSTRING) {
            known.type = MQLUA_VALUE_TEXT;
            known.text = lua_tolstring(at->L, -1, &known.size);
        } else if (lua_type(at->L, -1) == LUA_TNUMBER) {
            known.type = MQLUA_VALUE_NUMBER;
            known.number = (int)lua_tointeger(at->L, -1);
        }
        /* it stays there: the text is borrowed from it */
    }
    if (value->tested && (known.type == MQLUA_VALUE_TEXT || known.type == MQLUA_VALUE_NUMBER))
        known.type = MQLUA_VALUE_UNKNOWN;
    return known;
}

static mqlua_lint_kind kind_at(bool near)
{
    return near ? MQLUA_LINT_WRONG : MQLUA_LINT_MISTAKE;
}

/* ---- judging ---- */

/* Is the value no address? null: the null sender may be. */
static void judge_address(const look *at, const mqlua_use *use, const char *what, bool null)
{
    bool near;
    mqlua_value value = resolve(at, &use->values[0], &near);
    if (value.type == MQLUA_VALUE_NUMBER)
        tell(at->l, use, kind_at(near), "%s must be an address, got a number", what);
    if (value.type != MQLUA_VALUE_TEXT || (null && (value.size == 0 || strcmp(value.text, "<>") == 0)))
        return;
    const char *wrong = mqlua_email_wrong(value.text, value.size);
    if (wrong)
        tell(at->l, use, kind_at(near), "%s must be an address such as \"user@example.com\": \"%.80s\" %s",
             what, value.text, wrong);
}

static void judge_reply(const look *at, const mqlua_use *use, mqlua_verdict_kind kind)
{
    bool near_code, near_status;
    mqlua_value code = resolve(at, &use->values[0], &near_code);
    mqlua_value status = resolve(at, &use->values[1], &near_status);
    char buffer[200];
    if (code.type == MQLUA_VALUE_NUMBER && mqlua_verdict_wrong_code(kind, code.number, buffer, sizeof buffer))
        tell(at->l, use, kind_at(near_code), "the code of %s %s", mqlua_verdict_name(kind), buffer);
    else if (status.type == MQLUA_VALUE_TEXT &&
             mqlua_verdict_wrong_status(kind, status.text, buffer, sizeof buffer))
        tell(at->l, use, kind_at(near_status), "the status of %s %s", mqlua_verdict_name(kind), buffer);
}

/* Is place, of a handler of the event, one whose value is an address? */
static bool is_address(mqlua_event event, const char *place)
{
    if (event == MQLUA_IN_MAILFROM || event == MQLUA_IN_RCPTTO)
        return strcmp(place, "2") == 0 || strcmp(place, "1.transaction.envelope") == 0;
    if (event == MQLUA_IN_MESSAGE && strcmp(place, "1.transaction.envelope") == 0)
        return true;
    return (event == MQLUA_IN_MESSAGE || event == MQLUA_OUT_DATA || event == MQLUA_OUT_SENT) &&
           (strcmp(place, "2.recipient") == 0 || strcmp(place, "2.envelope") == 0);
}

/* One function may serve several events, and know which it is at. */
static bool is_text_elsewhere(const lint *l, const char *place)
{
    const mqlua_registry *registry = l->state->env.registry;
    for (int event = 0; event < MQLUA_EVENTS; event++)
        for (int i = 0; i < registry->events[event].count; i++)
            if (!is_address(event, place) && mqlua_lint_is_same(l, registry->events[event].list[i].function))
                return true;
    return false;
}

static void judge_use_of_address(const look *at, const mqlua_use *use)
{
    bool near;
    if (!is_address(at->l->event, use->place) || is_text_elsewhere(at->l, use->place))
        return;
    if (use->what == MQLUA_USE_KEY)
        tell(at->l, use, MQLUA_LINT_MISTAKE,
             "an address as a key of a table finds nothing: write tostring(address) or address.email");
    else if (use->values[0].type == MQLUA_VALUE_TEXT ||
             resolve(at, &(mqlua_value){use->values[0].type, use->values[0].text, 0, 0, false}, &near).type ==
                 MQLUA_VALUE_TEXT)
        tell(at->l, use, MQLUA_LINT_MISTAKE,
             "an address is never equal to a text: compare its email or its domain "
             "(address.email == \"joe@example.org\")");
}

static void judge_set(const look *at, const mqlua_use *use)
{
    static const char *const places[] = {"recipient", "envelope", "json.recipient", "json.envelope"};
    for (size_t i = 0; at->l->event == MQLUA_IN_MESSAGE && i < sizeof places / sizeof *places; i++)
        if (strncmp(use->place, "2.", 2) == 0 && strcmp(use->place + 2, places[i]) == 0)
            judge_address(at, use, places[i], i % 2 == 1);
}

/* ---- functions ---- */

static void read_function(const look *at, const mqlua_value *values, int count);

/* The verdict that the function on top of the stack makes, whatever its name is; MQLUA_VERDICTS: none. */
static mqlua_verdict_kind kind_of_function(const look *at)
{
    lua_State *L = at->L;
    int function = lua_gettop(L), kind = 0;
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_pushliteral(L, "mq");
    lua_rawget(L, -2);
    for (bool found = !lua_istable(L, -1); !found && kind < MQLUA_VERDICTS;) {
        lua_pushstring(L, mqlua_verdict_name(kind) + strlen("mq."));
        lua_rawget(L, -2);
        found = lua_rawequal(L, -1, function);
        lua_pop(L, 1);
        if (!found)
            kind++;
    }
    lua_settop(L, function);
    return kind;
}

/* Is the function on top of the stack one of the policy's files? */
static bool is_of_policy(const look *at)
{
    lua_Debug info = {0};
    if (!lua_isfunction(at->L, -1) || lua_iscfunction(at->L, -1))
        return false;
    lua_pushvalue(at->L, -1);
    lua_getinfo(at->L, ">S", &info);
    for (mqlua_file *file = mqlua_bundle_files(at->l->state->env.bundle); file; file = file->next)
        if (info.source[0] == '@' && strcmp(file->name, info.source + 1) == 0)
            return true;
    return false;
}

static void judge_call(const look *at, const mqlua_use *use)
{
    push_place(at, use->place);
    mqlua_verdict_kind kind = lua_isfunction(at->L, -1) ? kind_of_function(at) : MQLUA_VERDICTS;
    if (kind == MQLUA_VERDICT_QUARANTINE) {
        judge_address(at, use, "the recipient of mq.quarantine", false);
    } else if (kind < MQLUA_VERDICTS) {
        judge_reply(at, use, kind);
    } else if (is_of_policy(at) && at->depth < DEEPEST && --*at->left > 0) {
        mqlua_value values[MQLUA_FLOW_VALUES] = {0};
        int count = use->count < MQLUA_FLOW_VALUES ? use->count : MQLUA_FLOW_VALUES;
        look inner = {at->l, at->L, lua_gettop(at->L), at->depth + 1, at->left};
        bool near;
        for (int i = 0; i < count; i++) {
            values[i] = resolve(at, &use->values[i], &near);
            if (values[i].type == MQLUA_VALUE_PLACE && !strchr("12", values[i].text[0]))
                values[i].type = MQLUA_VALUE_UNKNOWN; /* an upvalue or a global of this function */
        }
        read_function(&inner, values, count);
    }
}

static void judge(const look *at, const mqlua_use *use)
{
    int top = lua_gettop(at->L);
    luaL_checkstack(at->L, 20 + MQLUA_FLOW_VALUES, "functions");
    if (use->what == MQLUA_USE_CALL)
        judge_call(at, use);
    else if (use->what == MQLUA_USE_SET)
        judge_set(at, use);
    else
        judge_use_of_address(at, use);
    lua_settop(at->L, top);
}

/* Notes come last to first: the list is turned round, so that mistakes are told in order. */
static noted *in_order(lint *l, noted *end)
{
    noted *first = end;
    while (l->noted != end) {
        noted *n = l->noted;
        l->noted = n->next;
        n->next = first;
        first = n;
    }
    return l->noted = first;
}

static void read_function(const look *at, const mqlua_value *values, int count)
{
    lint *l = at->l;
    noted *end = l->noted;
    lua_pushvalue(at->L, at->function);
    if (!mqlua_flow_read(l->calls, at->L, values, count, note, l))
        l->memory = false;
    lua_pop(at->L, 1);
    for (const noted *n = in_order(l, end); n != end; n = n->next)
        judge(at, &n->use);
    forget(l, end);
}

void mqlua_lint_values(lint *l, lua_State *L)
{
    static const mqlua_value parameters[] = {{MQLUA_VALUE_PLACE, "1", 1, 0, false},
                                             {MQLUA_VALUE_PLACE, "2", 1, 0, false}};
    int left = FUNCTIONS;
    look at = {l, L, lua_gettop(L), 0, &left};
    if (!l->calls || lua_iscfunction(L, -1))
        return;
    lua_pushvalue(L, -1);
    lua_getinfo(L, ">S", &l->function);
    read_function(&at, parameters, 2);
}
