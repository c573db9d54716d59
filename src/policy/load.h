/* SPDX-License-Identifier: MIT */
#pragma once

/* From a bundle to a running state: compiling, require, and running the entry file. */

#include "policy/bundle.h"
#include "vm/vm.h"

/* Loading may take longer than an event. */
#define MQLUA_LOAD_BUDGET 5.0 /* seconds of run time */

/* One embedded module of the library (lua/mq), in an array that ends with a NULL name; made by the build. */
typedef struct mqlua_embedded {
    const char *name; /* as for require: "mq.message" */
    const char *text;
    size_t size;
} mqlua_embedded;

extern const mqlua_embedded mqlua_library[];

/* Compiles every Lua file of the bundle in vm and keeps the bytecode in the bundle. What these files require
 * by a literal name comes into an open bundle, too, and what those require, and so on. The bundle must not be
 * shared yet. False with *error (malloc'ed: file, line, reason). Not from inside Lua. */
bool mqlua_load_compile(mqlua_vm *vm, mqlua_bundle *bundle, char **error);

/* Sets up require in the state of vm for a bundle: the policy's folder, the library, Lua's usual paths.
 * Raises. */
void mqlua_load_open(lua_State *L, mqlua_bundle *bundle, bool c_modules);

/* Runs the entry file in vm (mqlua_load_open must have run), then closes the globals. False with *error. Not
 * from inside Lua. */
bool mqlua_load_run(mqlua_vm *vm, mqlua_bundle *bundle, char **error);
