/* SPDX-License-Identifier: MIT */
#include "vm/stack.h"
#include <lauxlib.h>
#include <pthread.h>
#include <stdbool.h>

/* The stack of the thread that asked last; kept in the registry of the state. */
typedef struct known {
    pthread_t thread;
    const char *low;
    const char *high;
    bool valid;
} known;

static const char registry_key = 0;

static known *known_of(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&registry_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    known *stack = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (stack)
        return stack;
    lua_pushlightuserdata(L, (void *)&registry_key);
    stack = lua_newuserdata(L, sizeof(*stack));
    stack->valid = false;
    lua_rawset(L, LUA_REGISTRYINDEX);
    return stack;
}

static void look(known *stack)
{
    pthread_attr_t attributes;
    void *low = NULL;
    size_t size = 0;
    stack->valid = false;
    if (pthread_getattr_np(pthread_self(), &attributes))
        return;
    if (!pthread_attr_getstack(&attributes, &low, &size)) {
        stack->thread = pthread_self();
        stack->low = low;
        stack->high = (const char *)low + size;
        stack->valid = true;
    }
    pthread_attr_destroy(&attributes);
}

void mqlua_stack_check_for(lua_State *L, size_t more)
{
    luaL_checkstack(L, 3, NULL);
    known *stack = known_of(L);
    if (!stack->valid || !pthread_equal(stack->thread, pthread_self()))
        look(stack);
    const char *here = __builtin_frame_address(0);
    /* a frame elsewhere is on a stack that the host switched to, whose size nobody knows */
    if (stack->valid && here >= stack->low && here < stack->high &&
        (size_t)(here - stack->low) < MQLUA_STACK_SPARE + more)
        luaL_error(L, "stack overflow (nested calls through C functions)");
}

void mqlua_stack_check(lua_State *L)
{
    mqlua_stack_check_for(L, 0);
}
