/* SPDX-License-Identifier: MIT */

#include "json/tree.h"
#include "json/tree_internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*any_function)(void);

static void set_symbol(void *table, const mqlua_tree_symbol *symbol, void *address)
{
    memcpy((char *)table + symbol->offset, &address, sizeof(any_function));
}

/* Where a function comes from: its name may belong to several libraries (jansson and json-c share some). */
static const void *object_of(void *address)
{
    Dl_info info;
    return dladdr(address, &info) ? info.dli_fbase : NULL;
}

/* All symbols, from one and the same object. Returns the name of the first one missing, or NULL. */
static const char *fill(void *table, const mqlua_tree_source *source, void *handle)
{
    const void *object = NULL;
    for (const mqlua_tree_symbol *symbol = source->symbols; symbol->name; symbol++) {
        void *address = dlsym(handle, symbol->name);
        if (address && !object)
            object = object_of(address);
        if (address && object_of(address) != object)
            address = NULL;
        if (!address && !symbol->optional)
            return symbol->name;
        set_symbol(table, symbol, address);
    }
    return NULL;
}

/* A handle on whatever the process exports the library from: the program itself, or a library it was linked
 * with. */
static void *handle_of_process(const mqlua_tree_source *source)
{
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, source->symbols[0].name);
    if (!address || !dladdr(address, &info) || !info.dli_fname)
        return NULL;
    void *handle = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    return handle ? handle : dlopen(NULL, RTLD_NOW); /* the program has no name to open it by */
}

static void *handle_of_copy(const mqlua_tree_source *source)
{
    void *handle = NULL;
    for (const char *const *soname = source->sonames; *soname && !handle; soname++)
        handle = dlopen(*soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    return handle;
}

static void explain(char **error, const char *what, const char *detail)
{
    if (error && asprintf(error, "%s: %s is missing", what, detail) < 0)
        *error = NULL;
}

const mqlua_tree *mqlua_tree_load(enum mqlua_tree_library library, char **error)
{
    const mqlua_tree_source *source = library == MQLUA_TREE_JSONC ? &mqlua_tree_jsonc : &mqlua_tree_fastjson;
    if (error)
        *error = NULL;
    mqlua_tree *tree = calloc(1, source->size);
    if (!tree)
        return NULL;
    *tree = *source->functions;

    void *handle = handle_of_process(source);
    tree->of_host = handle != NULL;
    if (!handle)
        handle = handle_of_copy(source);
    const char *missing = handle ? fill(tree, source, handle) : "library";
    if (!missing) {
        if (source->adapt)
            source->adapt(tree);
        return tree;
    }
    explain(error, tree->library, missing);
    if (handle)
        dlclose(handle);
    free(tree);
    return NULL;
}

void mqlua_tree_free(const mqlua_tree *tree)
{
    free((void *)tree);
}
