/* SPDX-License-Identifier: MIT */

#include "api/message.h"
#include "api/assign.h"
#include "api/compose.h"
#include "api/content.h"
#include "api/edits.h"
#include "api/header_text.h"
#include "api/headers.h"
#include "base/utf8.h"
#include "json/doc.h"
#include "vm/bytes.h"
#include "vm/refs.h"
#include "vm/text.h"
#include <stdlib.h>
#include <string.h>

typedef struct message_object {
    mqlua_object object;
    mqlua_message *message;
} message_object;

static const mqlua_type message_type;

static mqlua_message *check(lua_State *L)
{
    message_object *object = mqlua_object_check(L, 1, &message_type);
    return object->message;
}

/* ---- the document ---- */

static void apply_envelope(lua_State *L, void *ud, int index)
{
    mqlua_message *m = ud;
    size_t size = 0;
    const char *text = lua_isnil(L, index) ? "" : lua_tolstring(L, index, &size);
    m->env->symbols->set_envelope(m->host, text, size);
}

static void apply_recipient(lua_State *L, void *ud, int index)
{
    mqlua_message *m = ud;
    size_t size;
    const char *text = lua_tolstring(L, index, &size);
    m->env->symbols->set_recipient(m->host, text, size);
}

/* Pushes why a key cannot be written at this event. False, and nothing pushed: it can. */
static bool push_unwritable(lua_State *L, const mqlua_message *m, const char *key)
{
    bool addressed = strcmp(key, "envelope") == 0 || strcmp(key, "recipient") == 0;
    if (m->event == MQLUA_OUT_SENT)
        lua_pushfstring(L, "nothing can be written in smtp_out_sent: the message has left already (json.%s)",
                        key);
    else if (m->event == MQLUA_OUT_DATA && addressed)
        lua_pushfstring(L,
                        "%s cannot be changed in smtp_out_data: it was sent before the data; change it in "
                        "smtp_in_message",
                        key);
    else if (m->event == MQLUA_OUT_DATA && strcmp(key, "headers") == 0)
        lua_pushliteral(L, "headers cannot be added or removed in smtp_out_data: MailerQ may have applied "
                           "json.headers already; do it in smtp_in_message, or change message.mime");
    else
        return false;
    return true;
}

static void check_writable(lua_State *L, void *ud, const char *key)
{
    if (push_unwritable(L, ud, key))
        luaL_error(L, "%s", lua_tostring(L, -1));
}

static void check_assignment(lua_State *L, void *ud, const char *key, int index)
{
    mqlua_message *m = ud;
    check_writable(L, m, key);
    if (strcmp(key, "mime") == 0)
        mqlua_content_check(L, m, index);
    else if (strcmp(key, "envelope") == 0)
        mqlua_assign_address(L, key, index, true);
    else if (strcmp(key, "recipient") == 0)
        mqlua_assign_address(L, key, index, false);
    else
        mqlua_properties_check(L, key, index);
}

static const mqlua_doc_key keys[] = {
    {"mime", mqlua_content_push, mqlua_content_apply},
    {"envelope", NULL, apply_envelope},
    {"recipient", NULL, apply_recipient},
    {NULL, NULL, NULL},
};

static const mqlua_doc_hooks hooks = {
    .name = "json", .keys = keys, .check = check_assignment, .changed = check_writable};

static bool has_document(const mqlua_message *m)
{
    return m->document.slot != NULL;
}

mqlua_doc *mqlua_message_document(lua_State *L, mqlua_message *m)
{
    if (has_document(m))
        return &m->document;
    void *root = m->env->tree ? m->env->symbols->json(m->host) : NULL;
    if (!root)
        luaL_error(
            L,
            "the message's JSON cannot be read: see the log at start, and host.json_library in the settings");
    mqlua_doc_begin(&m->document, m->env->tree, root, &m->slot, &hooks, m);
    return &m->document;
}

void mqlua_message_push_json(lua_State *L, mqlua_message *m)
{
    mqlua_doc_push(L, mqlua_message_document(L, m));
}

/* ---- life ---- */

/* The slots keep counting, and the document is as its end has left it. */
void mqlua_message_init(mqlua_message *m, mqlua_env *env, MQ_Message *host, mqlua_event event)
{
    m->host = host;
    m->env = env;
    m->event = event;
    m->local.host = NULL;
    m->local.staged = false;
    m->object = LUA_NOREF;
    m->previous = NULL;
    m->next = env->messages;
    if (m->next)
        m->next->previous = m;
    env->messages = m;
}

void mqlua_message_end(mqlua_message *m)
{
    if (!m->host)
        return;
    lua_State *L = mqlua_vm_state(m->env->vm);
    m->slot.serial++;
    m->mime_slot.serial++;
    m->local.slot.serial++;
    mqlua_doc_end(L, &m->document);
    mqlua_refs_drop(m->env->vm, m->object);
    m->object = LUA_NOREF;
    m->host = NULL;
    if (m->next)
        m->next->previous = m->previous;
    *(m->previous ? &m->previous->next : &m->env->messages) = m->next;
}

static int commit_document(lua_State *L)
{
    mqlua_message *m = lua_touserdata(L, 1);
    luaL_checkstack(L, 16, "too deep");
    if (mqlua_doc_prepare(L, &m->document))
        mqlua_doc_apply(L, &m->document);
    return 0;
}

static bool store(mqlua_message *m, char **error)
{
    if (!has_document(m) || !mqlua_doc_is_touched(&m->document))
        return true;
    if (mqlua_doc_is_simple(&m->document))
        return mqlua_doc_settle(&m->document);
    return mqlua_vm_finish(m->env->vm, commit_document, m, error) == 0;
}

static void commit_local(mqlua_message *m)
{
    void (*set)(void *, bool) = (void (*)(void *, bool))m->env->symbols->set_local;
    if (m->local.staged)
        set(m->local.host, m->local.value);
    m->local.staged = false;
}

int mqlua_message_commit(mqlua_message *m, char **error)
{
    *error = NULL;
    if (!store(m, error)) {
        mqlua_message_discard(m);
        return -1;
    }
    commit_local(m);
    return 0;
}

void mqlua_message_discard(mqlua_message *m)
{
    m->local.staged = false;
    if (has_document(m))
        mqlua_doc_discard(mqlua_vm_state(m->env->vm), &m->document);
}

/* ---- fields ---- */

/* What is really used on the wire may differ from the JSON on outgoing mail; only a known API can tell. */
static const char *wire_address(mqlua_message *m, void *function)
{
    if (!mqlua_event_outgoing(m->event) || m->env->settings->host.address_api != 1 || !function)
        return NULL;
    void *(*get)(MQ_Message *) = (void *(*)(MQ_Message *))function;
    MQ_Address *address = get(m->host);
    return address ? m->env->symbols->email(address) : NULL;
}

static int push_address(lua_State *L, mqlua_message *m, const char *key, void *function)
{
    const char *wire = wire_address(m, function);
    size_t size;
    if (!wire && !mqlua_doc_text(mqlua_message_document(L, m), key, &wire, &size)) {
        mqlua_message_push_json(L, m);
        lua_getfield(L, -1, key);
        wire = lua_tostring(L, -1);
    }
    mqlua_address_push(L, wire, NULL);
    return 1;
}

static mqlua_message *message_of(const void *object)
{
    return ((const message_object *)object)->message;
}

static int get_envelope(lua_State *L, void *object)
{
    mqlua_message *m = message_of(object);
    return push_address(L, m, "envelope", m->env->symbols->envelope);
}

static int get_recipient(lua_State *L, void *object)
{
    mqlua_message *m = message_of(object);
    return push_address(L, m, "recipient", m->env->symbols->recipient);
}

static int set_key(lua_State *L, void *object, const char *key)
{
    mqlua_message *m = message_of(object);
    mqlua_doc *doc = mqlua_message_document(L, m);
    lua_pushvalue(L, 2);
    check_assignment(L, m, key, lua_gettop(L));
    mqlua_doc_set(L, doc, key);
    return 0;
}

static int set_envelope(lua_State *L, void *object)
{
    return set_key(L, object, "envelope");
}

static int set_recipient(lua_State *L, void *object)
{
    return set_key(L, object, "recipient");
}

static int set_mime(lua_State *L, void *object)
{
    return set_key(L, object, "mime");
}

static int get_json(lua_State *L, void *object)
{
    mqlua_message_push_json(L, message_of(object));
    return 1;
}

static int get_mime(lua_State *L, void *object)
{
    mqlua_message_push_json(L, message_of(object));
    lua_getfield(L, -1, "mime");
    return 1;
}

/* The handle that the host's local functions take for this message, found when first asked for. */
static mqlua_local *check_local(lua_State *L, mqlua_message *m)
{
    const mqlua_env *env = m->env;
    int api = env->settings->host.local_api;
    if (m->event != MQLUA_IN_MESSAGE)
        luaL_error(L, "message.is_local has no meaning on outgoing mail");
    if (api < 0 || !env->symbols->local || !env->symbols->set_local)
        luaL_error(
            L, "message.is_local: whether this host's MQ_local takes messages or addresses is not known: say "
               "local_api under \"host\" in the settings");
    if (api == 0)
        m->local.host = m->host;
    else if (!m->local.host && env->settings->host.address_api == 1 && env->symbols->recipient)
        m->local.host = ((void *(*)(MQ_Message *))env->symbols->recipient)(m->host);
    if (!m->local.host)
        luaL_error(
            L, "message.is_local: this host's MQ_local takes an address, which a message gives only where "
               "address_api is \"address\" in the settings; use address.is_local in smtp_in_rcptto");
    return &m->local;
}

static int get_is_local(lua_State *L, void *object)
{
    mqlua_local *local = check_local(L, message_of(object));
    bool (*get)(void *) = (bool (*)(void *))mqlua_env_of(L)->symbols->local;
    lua_pushboolean(L, local->staged ? local->value : get(local->host));
    return 1;
}

static int set_is_local(lua_State *L, void *object)
{
    mqlua_local *local = check_local(L, message_of(object));
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    local->staged = true;
    local->value = lua_toboolean(L, 2);
    return 0;
}

/* Pushes the content and the edits of the header as a handler has made them. False: there is no content. */
static bool push_header(lua_State *L, const char **bytes, size_t *size)
{
    mqlua_doc *doc = mqlua_message_document(L, check(L));
    mqlua_doc_get(L, doc, "mime");
    mqlua_doc_get(L, doc, "headers");
    return mqlua_bytes_to(L, -2, bytes, size);
}

/* message:header(name, n): the n-th field of that name, unfolded. */
static int l_header(lua_State *L)
{
    luaL_checkstring(L, 2);
    const char *name = mqlua_object_name(L, 2), *bytes;
    int number = luaL_optint(L, 3, 1);
    size_t size;
    luaL_argcheck(L, number >= 1, 3, "counts from 1");
    bool there = push_header(L, &bytes, &size);
    if (there && lua_istable(L, -1))
        there = mqlua_edits_push(L, bytes, size, lua_gettop(L), name, number);
    else if (there)
        there = mqlua_headers_push(L, bytes, size, name, number);
    if (!there)
        lua_pushnil(L);
    return 1;
}

static int l_headers(lua_State *L)
{
    const char *bytes;
    size_t size;
    if (!push_header(L, &bytes, &size))
        lua_newtable(L);
    else if (lua_istable(L, -1))
        mqlua_edits_push_all(L, bytes, size, lua_gettop(L));
    else
        mqlua_headers_push_all(L, bytes, size);
    return 1;
}

int mqlua_message_l_set_mime(lua_State *L)
{
    mqlua_message *m = check(L);
    mqlua_object_check(L, 2, &mqlua_bytes_type);
    lua_settop(L, 2);
    check_writable(L, m, "mime");
    mqlua_doc_set(L, mqlua_message_document(L, m), "mime");
    return 0;
}

static const mqlua_field fields[] = {
    {"envelope", get_envelope, set_envelope},
    {"recipient", get_recipient, set_recipient},
    {"mime", get_mime, set_mime},
    {"is_local", get_is_local, set_is_local},
    {"json", get_json, NULL},
    {NULL, NULL, NULL},
};

/* Makes the tag at index a string of UTF-8. False for nil: what a sender left out is no tag. */
static bool take_tag(lua_State *L, int index)
{
    size_t size;
    if (lua_isnil(L, index))
        return false;
    bool string = lua_type(L, index) == LUA_TSTRING;
    if (!string && !mqlua_object_text(L, index, &size))
        luaL_error(L, "message:tag takes strings and addresses, got a %s", luaL_typename(L, index));
    const char *text = mqlua_bytes_check(L, index, &size);
    if (size > 64)
        mqlua_vm_charge(L, size);
    if (string && mqlua_utf8_is(text, size))
        return true;
    mqlua_text clean;
    mqlua_text_init(&clean, L);
    mqlua_utf8_clean(mqlua_text_room(&clean, mqlua_utf8_clean(NULL, text, size)), text, size);
    mqlua_text_push(&clean);
    lua_replace(L, index);
    lua_pop(L, 1);
    return true;
}

/* message:tag(...): adds those that the message does not have. In C because most policies do it to every
 * message. */
static int l_tag(lua_State *L)
{
    mqlua_message *m = check(L);
    int last = lua_gettop(L), count = 1;
    for (int i = 2; i <= last; i++) {
        if (!take_tag(L, i) || ++count == i)
            continue;
        lua_pushvalue(L, i);
        lua_replace(L, count);
    }
    check_writable(L, m, "tags");
    mqlua_doc_add_strings(L, mqlua_message_document(L, m), "tags", 2, count);
    return 0;
}

/* (message): for methods in Lua that change json.headers. Raises where that cannot be, at whoever called the
 * method. */
static int l_check_headers(lua_State *L)
{
    if (!push_unwritable(L, check(L), "headers"))
        return 0;
    luaL_where(L, 2);
    lua_insert(L, -2);
    lua_concat(L, 2);
    return lua_error(L);
}

/* The others (delay, add_header, ...) are written in Lua: lua/mq/core/message.lua. */
static const luaL_Reg methods[] = {
    {"header", l_header}, {"headers", l_headers}, {"tag", l_tag}, {NULL, NULL}};

static const mqlua_type message_type = {
    .name = "message", .dead = "message is over", .fields = fields, .methods = methods};

void mqlua_message_push(lua_State *L, mqlua_message *m)
{
    if (m->object != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, m->object);
        return;
    }
    message_object *object = mqlua_object_push(L, &message_type, sizeof *object, &m->slot);
    object->message = m;
    lua_pushvalue(L, -1);
    m->object = mqlua_refs_add(L);
}

void mqlua_message_open(lua_State *L)
{
    mqlua_object_register(L, &message_type);
    mqlua_object_push_methods(L, &message_type);
    lua_setfield(L, LUA_REGISTRYINDEX, "mqlua.message.methods");
    lua_createtable(L, 0, 4);
    lua_pushcfunction(L, mqlua_edits_l_forget);
    lua_setfield(L, -2, "forget");
    lua_pushcfunction(L, l_check_headers);
    lua_setfield(L, -2, "check");
    lua_pushcfunction(L, mqlua_header_text_l_encode);
    lua_setfield(L, -2, "encode");
    lua_pushcfunction(L, mqlua_compose_l_add_field);
    lua_setfield(L, -2, "add_field");
    lua_setfield(L, LUA_REGISTRYINDEX, "mqlua.message.header");
}
