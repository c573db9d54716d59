/* SPDX-License-Identifier: MIT */

/* How mq.discard and mq.quarantine are carried out: documented properties of MailerQ's JSON, nothing else.
 * Staged after the handler's own writes were committed, and written as a whole. In C, so that neither what
 * the policy did to Lua nor its lack of memory stands between a verdict and what it means. */

#include "plugin/dispose.h"
#include "plugin/run_internal.h"
#include "api/report.h"
#include "base/line.h"
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

/* Puts the value on top of the stack under key into the table below it. A script may have had that table: no
 * metamethod of it runs here, where nothing bounds it. */
static void set_field(lua_State *L, const char *key)
{
    lua_pushstring(L, key);
    lua_insert(L, -2);
    lua_rawset(L, -3);
}

/* Nothing that the sender or an earlier handler wrote decides what becomes of the message. The handler's
 * writes are in the tree already; what is staged here is not yet. */
static void clear(lua_State *L, mqlua_doc *doc, const disposal *d)
{
    const mqlua_tree *tree = d->run->state->env.tree;
    mqlua_tree_iter iter = {0};
    while (tree->object_next(tree, doc->root, &iter))
        if (!mqlua_properties_lasts(iter.key)) {
            lua_pushnil(L);
            mqlua_doc_set(L, doc, iter.key);
        }
}

/* No bounce, and no queue of results but the configured one, which stays for the audit. */
static void silence(lua_State *L, mqlua_doc *doc)
{
    static const char *const queues[] = {"success", "failure", "retry", "dsn"};
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "NEVER");
    set_field(L, "notify");
    mqlua_doc_set(L, doc, "dsn");
    lua_createtable(L, 0, 4);
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
        lua_pushlightuserdata(L, NULL);
        set_field(L, queues[i]);
    }
    mqlua_doc_set(L, doc, "queues");
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

/* In the past already: MailerQ gives up before the first attempt. */
static void discard(lua_State *L, mqlua_doc *doc, const disposal *d)
{
    set_string(L, doc, "maxdelivertime", "2000-01-01 00:00:00");
    note(L, doc, d, "discard");
}

/* tags is an array of strings, whatever somebody made of it. */
static void tag(lua_State *L, mqlua_doc *doc, const disposal *d)
{
    const mqlua_tree *tree = d->run->state->env.tree;
    void *tags;
    if (tree->object_get(tree, doc->root, "tags", &tags) && tree->type(tree, tags) != MQLUA_TREE_ARRAY) {
        lua_pushnil(L);
        mqlua_doc_set(L, doc, "tags");
    }
    lua_pushliteral(L, "quarantine");
    mqlua_doc_add_strings(L, doc, "tags", lua_gettop(L), lua_gettop(L));
}

static void quarantine(lua_State *L, mqlua_doc *doc, const disposal *d)
{
    note(L, doc, d, "quarantine");
    set_string(L, doc, "recipient", d->recipient);
    tag(L, doc, d);
}

static int stage(lua_State *L)
{
    const disposal *d = lua_touserdata(L, 1);
    mqlua_doc *doc = mqlua_message_document(L, d->message);
    clear(L, doc, d);
    silence(L, doc);
    if (d->recipient)
        quarantine(L, doc, d);
    else
        discard(L, doc, d);
    return 0;
}

static bool dispose(mqlua_run *run, const char *recipient, const char *reason)
{
    disposal d = {run, &run->message, recipient, reason};
    char *error = NULL;
    bool written = true;
    if (mqlua_vm_store(run->state->env.vm, stage, &d, &error) ||
        mqlua_message_commit(&run->message, &error)) {
        mqlua_message_discard(&run->message);
        mqlua_report(&run->state->env, "a verdict on a message could not be written",
                     error ? error : "not enough memory");
        written = false;
    }
    run->peer->connection.transaction.disposed |= written;
    free(error);
    return written;
}

bool mqlua_dispose_done(mqlua_run *run)
{
    if (!run->peer->connection.transaction.disposed)
        return false;
    const mqlua_tree *tree = run->state->env.tree;
    void *root = tree ? run->worker->plugin->symbols.json(run->message.host) : NULL, *node, *verdict;
    return root && tree->object_get(tree, root, "mailerq-lua", &node) &&
           tree->type(tree, node) == MQLUA_TREE_OBJECT && tree->object_get(tree, node, "verdict", &verdict);
}

/* No message is discarded without a line in the log, whatever the cause: this is the only trace of it. */
static void tell(mqlua_run *run, const char *reason)
{
    const mqlua_tree *tree = run->state->env.tree;
    const mqlua_symbols *symbols = &run->worker->plugin->symbols;
    char recipient[321] = "?";
    void *root = tree ? symbols->json(run->message.host) : NULL, *node;
    size_t size;
    if (root && tree->object_get(tree, root, "recipient", &node) &&
        tree->type(tree, node) == MQLUA_TREE_STRING) {
        const char *text = tree->string(tree, node, &size);
        mqlua_line_clean(recipient, sizeof recipient, text, size, false);
    }
    mqlua_log(symbols, MQLUA_LOG_INFO, "mailerq-lua: the message for <%s> is discarded: %s", recipient,
              reason);
}

void mqlua_dispose_discard(mqlua_run *run, const char *reason)
{
    if (dispose(run, NULL, reason))
        tell(run, reason);
}

void mqlua_dispose_quarantine(mqlua_run *run, const char *recipient, const char *reason)
{
    dispose(run, recipient, reason);
}
