/* SPDX-License-Identifier: MIT */

#include "api/connection.h"
#include "api/tasks.h"
#include "base/cidr.h"
#include "base/email.h"
#include "vm/refs.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

typedef struct connection_object {
    mqlua_object object;
    mqlua_connection *connection;
} connection_object;

static const mqlua_type connection_type, transaction_type;

/* ---- what the host knows ---- */

/* inet_ntop prints with sprintf, which is most of what a connection costs. */
static void write_ipv4(const unsigned char *bytes, char *text)
{
    for (int i = 0; i < 4; i++) {
        unsigned byte = bytes[i];
        if (byte >= 100)
            *text++ = (char)('0' + byte / 100);
        if (byte >= 10)
            *text++ = (char)('0' + byte / 10 % 10);
        *text++ = (char)('0' + byte % 10);
        *text++ = i < 3 ? '.' : '\0';
    }
}

static void read_endpoint(const struct sockaddr_storage *address, mqlua_endpoint *endpoint)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        write_ipv4((const unsigned char *)&in->sin_addr, endpoint->ip);
        endpoint->port = ntohs(in->sin_port);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        /* A dual-stack listener shows IPv4 clients as mapped addresses; policies mean the IPv4 one. */
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
            write_ipv4(in6->sin6_addr.s6_addr + 12, endpoint->ip);
        else
            inet_ntop(AF_INET6, &in6->sin6_addr, endpoint->ip, sizeof endpoint->ip);
        endpoint->port = ntohs(in6->sin6_port);
    }
}

typedef int (*name_function)(int, struct sockaddr *, socklen_t *);

/* One end of the connection, at the first time that it is asked for: each costs a system call. */
static void read_end(mqlua_connection *c, mqlua_endpoint *end, name_function function)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (end->known || !c->fresh)
        return;
    end->known = true;
    int fd = c->env->symbols->file_descriptor(c->host);
    if (fd < 0 || function(fd, (struct sockaddr *)&address, &size) != 0)
        return;
    read_endpoint(&address, end);
    if (end == &c->remote)
        c->proxied = c->env->proxies && mqlua_cidr_contains(c->env->proxies, (struct sockaddr *)&address);
}

static const mqlua_endpoint *remote_end(mqlua_connection *c)
{
    read_end(c, &c->remote, getpeername);
    return &c->remote;
}

const char *mqlua_connection_client(mqlua_connection *c)
{
    const mqlua_endpoint *remote = remote_end(c);
    return c->proxied ? "" : remote->ip;
}

static const mqlua_endpoint *local_end(mqlua_connection *c)
{
    read_end(c, &c->local, getsockname);
    return &c->local;
}

static void read_flags(mqlua_connection *c)
{
    if (!c->fresh)
        return;
    c->secure = c->env->symbols->secure(c->host);
    c->authenticated = !c->outgoing && c->env->symbols->authenticated(c->host);
}

void mqlua_connection_see(mqlua_connection *c)
{
    remote_end(c);
    local_end(c);
    read_flags(c);
}

/* ---- life ---- */

void mqlua_connection_init(mqlua_connection *c, mqlua_env *env, MQ_Connection *host, bool outgoing)
{
    mqlua_slot slot = c->slot, transaction = c->transaction.slot;
    *c = (mqlua_connection){.slot = slot, .host = host, .env = env, .outgoing = outgoing, .lane = c->lane};
    c->object = c->vars = LUA_NOREF;
    c->transaction = (mqlua_transaction){.slot = transaction, .object = LUA_NOREF, .vars = LUA_NOREF};
}

static void drop(mqlua_env *env, int *reference)
{
    if (*reference != LUA_NOREF) /* env may be NULL: then there never was one */
        mqlua_refs_drop(env->vm, *reference);
    *reference = LUA_NOREF;
}

void mqlua_connection_forget(mqlua_connection *c)
{
    mqlua_connection_cancel_jobs(c);
    c->slot.serial++;
    c->transaction.slot.serial++;
    drop(c->env, &c->object);
    drop(c->env, &c->vars);
    drop(c->env, &c->transaction.object);
    drop(c->env, &c->transaction.vars);
}

void mqlua_connection_cancel_jobs(mqlua_connection *c)
{
    if (c->jobs)
        mqlua_task_cancel(c->jobs);
    c->jobs = NULL;
}

void mqlua_connection_end(mqlua_connection *c)
{
    mqlua_connection_cancel_jobs(c); /* smtp_in_close may have spawned some */
    if (c->leases.count)
        mqlua_leases_end(&c->leases);
    mqlua_transaction_end(c);
    mqlua_connection_forget(c);
    free(c->login);
    c->login = NULL;
    c->host = NULL;
}

void mqlua_connection_set_login(mqlua_connection *c, const char *login, size_t size)
{
    free(c->login);
    c->login = login ? strndup(login, size) : NULL;
}

/* ---- transactions ---- */

bool mqlua_names_add(mqlua_names *names, const char *name)
{
    char *copy = strdup(name);
    char **list = copy ? realloc(names->list, (names->count + 1) * sizeof *list) : NULL;
    if (!list) {
        free(copy);
        return false;
    }
    names->list = list;
    list[names->count++] = copy;
    return true;
}

/* As the host gave it: what follows a blank is no part of it. */
static mqlua_email read_name(const char *name)
{
    mqlua_email email;
    mqlua_email_read(&email, name, mqlua_email_length(name, strlen(name)));
    return email;
}

size_t mqlua_names_count(const mqlua_names *names, const char *name)
{
    size_t count = 0;
    const mqlua_email wanted = read_name(name);
    for (size_t i = 0; i < names->count; i++) {
        const mqlua_email email = read_name(names->list[i]);
        count += mqlua_email_same(&email, &wanted, true);
    }
    return count;
}

static void names_free(mqlua_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (mqlua_names){0};
}

void mqlua_transaction_end(mqlua_connection *c)
{
    mqlua_transaction *t = &c->transaction;
    t->slot.serial++;
    t->open = t->discard = t->disposed = t->answered = false;
    free(t->envelope);
    t->envelope = NULL;
    names_free(&t->recipients);
    names_free(&t->refused);
    names_free(&t->kept);
    free(t->kept_id);
    t->kept_id = NULL;
    drop(c->env, &t->object);
    drop(c->env, &t->vars);
}

bool mqlua_transaction_begin(mqlua_connection *c, const char *envelope)
{
    mqlua_transaction_end(c);
    c->transaction.open = true;
    if (envelope && *envelope)
        c->transaction.envelope = strdup(envelope);
    return !envelope || !*envelope || c->transaction.envelope;
}

/* ---- fields ---- */

/* Of a connection_object: a connection, or the transaction of one. */
static mqlua_connection *connection_of(const void *object)
{
    return ((const connection_object *)object)->connection;
}

static int push_text(lua_State *L, const char *text)
{
    if (text && *text)
        lua_pushstring(L, text);
    else
        lua_pushnil(L);
    return 1;
}

static int push_port(lua_State *L, int port)
{
    if (port)
        lua_pushinteger(L, port);
    else
        lua_pushnil(L);
    return 1;
}

static int get_id(lua_State *L, void *object)
{
    const mqlua_connection *c = connection_of(object);
    char id[32];
    snprintf(id, sizeof id, "%x-%llx", c->worker, c->number);
    return push_text(L, id);
}

/* Behind a proxy the socket's peer is the proxy: its address must not be taken for the client's. */
static int get_remote_ip(lua_State *L, void *object)
{
    mqlua_connection *c = connection_of(object);
    const mqlua_endpoint *remote = remote_end(c);
    return push_text(L, c->proxied ? NULL : remote->ip);
}

static int get_remote_port(lua_State *L, void *object)
{
    mqlua_connection *c = connection_of(object);
    const mqlua_endpoint *remote = remote_end(c);
    return push_port(L, c->proxied ? 0 : remote->port);
}

static int get_peer_ip(lua_State *L, void *object)
{
    return push_text(L, remote_end(connection_of(object))->ip);
}

static int get_local_ip(lua_State *L, void *object)
{
    return push_text(L, local_end(connection_of(object))->ip);
}

static int get_local_port(lua_State *L, void *object)
{
    return push_port(L, local_end(connection_of(object))->port);
}

static int get_is_secure(lua_State *L, void *object)
{
    mqlua_connection *c = connection_of(object);
    read_flags(c);
    lua_pushboolean(L, c->secure);
    return 1;
}

static mqlua_connection *check_incoming(lua_State *L, const void *object, const char *field)
{
    mqlua_connection *c = connection_of(object);
    if (c->outgoing)
        luaL_error(L, "connection.%s is there for incoming connections only", field);
    return c;
}

mqlua_connection *mqlua_connection_check(lua_State *L, int index, const char *field)
{
    return check_incoming(L, mqlua_object_check(L, index, &connection_type), field);
}

static int get_is_authenticated(lua_State *L, void *object)
{
    mqlua_connection *c = check_incoming(L, object, "is_authenticated");
    read_flags(c);
    lua_pushboolean(L, c->authenticated);
    return 1;
}

static int get_login(lua_State *L, void *object)
{
    return push_text(L, check_incoming(L, object, "login")->login);
}

static int get_direction(lua_State *L, void *object)
{
    lua_pushstring(L, connection_of(object)->outgoing ? "outgoing" : "incoming");
    return 1;
}

/* Pushes the table behind reference, made now if there is none. */
static int push_table(lua_State *L, int *reference)
{
    if (*reference == LUA_NOREF) {
        lua_newtable(L);
        lua_pushvalue(L, -1);
        *reference = mqlua_refs_add(L);
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, *reference);
    }
    return 1;
}

static int get_vars(lua_State *L, void *object)
{
    return push_table(L, &check_incoming(L, object, "vars")->vars);
}

static int get_transaction(lua_State *L, void *object)
{
    mqlua_connection *c = check_incoming(L, object, "transaction");
    mqlua_transaction *t = &c->transaction;
    if (!t->open) {
        lua_pushnil(L);
        return 1;
    }
    if (t->object == LUA_NOREF) {
        connection_object *made = mqlua_object_push(L, &transaction_type, sizeof *made, &t->slot);
        made->connection = c;
        lua_pushvalue(L, -1);
        t->object = mqlua_refs_add(L);
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, t->object);
    }
    return 1;
}

/* connection:spawn(fn): a task that dies with the connection. */
static int l_spawn(lua_State *L)
{
    mqlua_connection *c = check_incoming(L, mqlua_object_check(L, 1, &connection_type), "spawn");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    mqlua_connection_see(c);
    if (!c->jobs && !(c->jobs = mqlua_task_group(c->env->vm)))
        return luaL_error(L, "not enough memory");
    mqlua_tasks_push_job(L, 2, c->lane, c->jobs);
    return 1;
}

static const mqlua_field connection_fields[] = {
    {"id", get_id, NULL},
    {"remote_ip", get_remote_ip, NULL},
    {"remote_port", get_remote_port, NULL},
    {"peer_ip", get_peer_ip, NULL},
    {"local_ip", get_local_ip, NULL},
    {"local_port", get_local_port, NULL},
    {"is_secure", get_is_secure, NULL},
    {"is_authenticated", get_is_authenticated, NULL},
    {"login", get_login, NULL},
    {"direction", get_direction, NULL},
    {"vars", get_vars, NULL},
    {"transaction", get_transaction, NULL},
    {NULL, NULL, NULL},
};

static const luaL_Reg connection_methods[] = {{"spawn", l_spawn}, {NULL, NULL}};

static const mqlua_type connection_type = {.name = "connection",
                                           .dead = "connection is closed",
                                           .fields = connection_fields,
                                           .methods = connection_methods};

static int get_envelope(lua_State *L, void *object)
{
    mqlua_address_push(L, connection_of(object)->transaction.envelope, NULL);
    return 1;
}

static int get_recipients(lua_State *L, void *object)
{
    mqlua_names *recipients = &connection_of(object)->transaction.recipients;
    lua_createtable(L, (int)recipients->count, 0);
    for (size_t i = 0; i < recipients->count; i++) {
        mqlua_address_push(L, recipients->list[i], NULL);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static int get_transaction_vars(lua_State *L, void *object)
{
    return push_table(L, &connection_of(object)->transaction.vars);
}

static const mqlua_field transaction_fields[] = {
    {"envelope", get_envelope, NULL},
    {"recipients", get_recipients, NULL},
    {"vars", get_transaction_vars, NULL},
    {NULL, NULL, NULL},
};

static const mqlua_type transaction_type = {
    .name = "transaction", .dead = "transaction is over", .fields = transaction_fields};

void mqlua_connection_push(lua_State *L, mqlua_connection *c)
{
    if (c->object != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, c->object);
        return;
    }
    connection_object *object = mqlua_object_push(L, &connection_type, sizeof *object, &c->slot);
    object->connection = c;
    lua_pushvalue(L, -1);
    c->object = mqlua_refs_add(L);
}

void mqlua_connection_open(lua_State *L)
{
    mqlua_object_register(L, &connection_type);
    mqlua_object_register(L, &transaction_type);
}
