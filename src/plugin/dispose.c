/* SPDX-License-Identifier: MIT */

/* How mq.discard and mq.quarantine are carried out: documented properties of MailerQ's JSON, nothing else.
 * Staged after the handler's own writes were committed, and written as a whole. In C, so that neither what
 * the policy did to Lua nor its lack of memory stands between a verdict and what it means. */

#include "plugin/run.h"
#include "api/report.h"
#include "json/value.h"
#include <stdlib.h>

typedef struct disposal {
    const mqlua_run *run;
    mqlua_message *message;
    const char *recipient, *reason; /* recipient NULL: a discard */
} disposal;

static void set_string(lua_State *L, mqlua_doc *doc, const char *key, const char *text)
{
    lua_pushstring(L, text);
    mqlua_doc_set(L, doc, key);
}

static void remove_key(lua_State *L, mqlua_doc *doc, const char *key)
{
    lua_pushnil(L);
    mqlua_doc_set(L, doc, key);
}

/* An array, which can have no named members: one with elements, or empty and marked as one. */
static bool is_array(lua_State *L, int index)
{
    mqlua_path root = {.key = "json"};
    size_t count;
    return lua_objlen(L, index) || mqlua_value_table(L, index, &root, &count) == MQLUA_TREE_ARRAY;
}

/* Pushes the object that is under key. True: a new one, which is not under it yet; what else was there goes.
 */
static bool get_object(lua_State *L, mqlua_doc *doc, const char *key)
{
    mqlua_doc_get(L, doc, key);
    if (lua_istable(L, -1) && !is_array(L, lua_gettop(L)))
        return false;
    lua_pop(L, 1);
    lua_createtable(L, 0, 4);
    return true;
}

static void put_object(lua_State *L, mqlua_doc *doc, const char *key, bool made)
{
    if (made)
        mqlua_doc_set(L, doc, key);
    else
        lua_pop(L, 1); /* a commit sees what was changed in it */
}

/* Puts the value on top of the stack under key into the table below it. A script may have had that table: no
 * metamethod of it runs here, where nothing bounds it. */
static void set_field(lua_State *L, const char *key)
{
    lua_pushstring(L, key);
    lua_insert(L, -2);
    lua_rawset(L, -3);
}

/* No bounce, whatever the message asks for. */
static void silence(lua_State *L, mqlua_doc *doc)
{
    bool made = get_object(L, doc, "dsn");
    lua_pushliteral(L, "NEVER");
    set_field(L, "notify");
    put_object(L, doc, "dsn", made);
}

/* For the audit: who did this, and why. */
static void note(lua_State *L, mqlua_doc *doc, const disposal *d, const char *verdict)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, verdict);
    set_field(L, "verdict");
    lua_pushstring(L, d->reason);
    set_field(L, "reason");
    lua_pushnumber(L, (lua_Number)d->run->state->env.generation);
    set_field(L, "generation");
    if (d->recipient) {
        mqlua_doc_get(L, doc, "recipient");
        set_field(L, "recipient");
    }
    mqlua_doc_set(L, doc, "mailerq-lua");
}

/* No queue of results but "results", which stays for the audit; and in the past already: MailerQ gives up
 * before the first attempt. */
static void discard(lua_State *L, mqlua_doc *doc, const disposal *d)
{
    static const char *const queues[] = {"success", "failure", "retry", "dsn"};
    silence(L, doc);
    set_string(L, doc, "maxdelivertime", "2000-01-01 00:00:00");
    bool made = get_object(L, doc, "queues");
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
        lua_pushlightuserdata(L, NULL);
        set_field(L, queues[i]);
    }
    put_object(L, doc, "queues", made);
    note(L, doc, d, "discard");
}

/* What was meant for the original recipient must not steer the way to the quarantine. */
static void quarantine(lua_State *L, mqlua_doc *doc, const disposal *d)
{
    note(L, doc, d, "quarantine");
    set_string(L, doc, "recipient", d->recipient);
    lua_pushliteral(L, "quarantine");
    mqlua_doc_add_strings(L, doc, "tags", lua_gettop(L), lua_gettop(L));
    silence(L, doc);
    remove_key(L, doc, "smarthost");
    remove_key(L, doc, "pool");
    remove_key(L, doc, "ips");
}

static int stage(lua_State *L)
{
    const disposal *d = lua_touserdata(L, 1);
    mqlua_doc *doc = mqlua_message_document(L, d->message);
    if (d->recipient)
        quarantine(L, doc, d);
    else
        discard(L, doc, d);
    return 0;
}

static void dispose(mqlua_run *run, const char *recipient, const char *reason)
{
    disposal d = {run, &run->message, recipient, reason};
    char *error = NULL;
    if (mqlua_vm_store(run->state->env.vm, stage, &d, &error) ||
        mqlua_message_commit(&run->message, &error)) {
        mqlua_message_discard(&run->message);
        mqlua_report(&run->state->env, "a verdict on a message could not be written",
                     error ? error : "not enough memory");
    }
    free(error);
}

void mqlua_dispose_discard(mqlua_run *run, const char *reason)
{
    dispose(run, NULL, reason);
}

void mqlua_dispose_quarantine(mqlua_run *run, const char *recipient, const char *reason)
{
    dispose(run, recipient, reason);
}
