/* SPDX-License-Identifier: MIT */

#include "api/open.h"
#include "api/address.h"
#include "api/cidr.h"
#include "api/clock.h"
#include "api/connection.h"
#include "api/digests.h"
#include "api/encodings.h"
#include "api/generation.h"
#include "api/limits.h"
#include "api/logging.h"
#include "api/memoize.h"
#include "api/data.h"
#include "api/message.h"
#include "api/metrics.h"
#include "api/mime.h"
#include "api/on.h"
#include "api/password.h"
#include "api/random.h"
#include "api/re.h"
#include "api/shared.h"
#include "api/tasks.h"
#include "api/timers.h"
#include "api/verdict.h"
#include "json/doc.h"
#include "json/text.h"
#include "json/value.h"
#include "policy/load.h"
#include <string.h>

/* The Lua half: each file gets mq and a table that scripts never see. */
static void run_core(lua_State *L, int mq, int private)
{
    for (const mqlua_embedded *module = mqlua_library; module->name; module++) {
        if (strncmp(module->name, "mq.core.", strlen("mq.core.")) != 0)
            continue;
        lua_pushfstring(L, "=%s", module->name);
        if (luaL_loadbuffer(L, module->text, module->size, lua_tostring(L, -1)))
            lua_error(L);
        lua_pushvalue(L, mq);
        lua_pushvalue(L, private);
        lua_call(L, 2, 0);
        lua_pop(L, 1);
    }
}

int mqlua_api_open(lua_State *L)
{
    static void (*const parts[])(lua_State *) = {
        mqlua_json_open,     mqlua_on_open,      mqlua_verdict_open,   mqlua_tasks_open,
        mqlua_timers_open,   mqlua_cidr_open,    mqlua_data_open,      mqlua_logging_open,
        mqlua_password_open, mqlua_metrics_open, mqlua_clock_open,     mqlua_generation_open,
        mqlua_shared_open,   mqlua_digests_open, mqlua_encodings_open, mqlua_random_open,
        mqlua_re_open,
    };
    mqlua_env *env = mqlua_env_of(L);
    lua_newtable(L);
    int mq = lua_gettop(L);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        parts[i](L);
    mqlua_address_open(L);
    mqlua_connection_open(L);
    mqlua_message_open(L);
    lua_newtable(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "mqlua.message.methods");
    lua_setfield(L, -2, "message_methods");
    lua_getfield(L, LUA_REGISTRYINDEX, "mqlua.message.header");
    lua_setfield(L, -2, "header");
    lua_getfield(L, LUA_REGISTRYINDEX, "mqlua.tasks");
    lua_setfield(L, -2, "tasks");
    mqlua_limits_push(L);
    lua_setfield(L, -2, "limits");
    mqlua_mime_push(L);
    lua_setfield(L, -2, "mime");
    mqlua_memoize_push(L);
    lua_setfield(L, -2, "memoize");
    lua_pushvalue(L, mq);
    lua_setglobal(L, "mq");
    run_core(L, mq, mq + 1);
    mqlua_load_open(L, env->bundle, env->settings->limits.allow & MQLUA_ALLOW_CMODULES);
    return 0;
}

void mqlua_api_close(mqlua_env *env)
{
    mqlua_timers_stop(env);
}
