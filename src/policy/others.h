/* SPDX-License-Identifier: MIT */
#pragma once

/* Lua files in a policy's folder that do not belong to it. */

#include "policy/bundle.h"
#include "vm/vm.h"

/* Tells found about each that does not compile in vm, one line with file, line and reason; tests of the
 * policy
 * (*_test.lua) are left out. bundle is a checked one. Not from inside Lua. */
void mqlua_others_check(mqlua_vm *vm, const mqlua_bundle *bundle, void (*found)(void *ud, const char *text),
                        void *ud);
